"""Everybody whom an audience of Mailchimp holds, page by page.

Source: specification 3.0.55, `GET /lists/{list_id}/members`, as read in November 2026. It pages by a number of records
to skip.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from dpsync.connector import Reply, Retryable, RosterLine
from dpsync.connectors.mailchimp.calls import LIST_ID, PAGE, SILENT, STATUSES, Calls
from dpsync.errors import PayloadInvalid
from dpsync.vendor.deliveries import moment
from dpsync.vendor.errors import Ended, unreadable
from dpsync.vendor.rosters import MOVED, Page, overlapping

_FIELDS: Final = ",".join(
    ["list_id", "total_items"]
    + [f"members.{name}" for name in ("contact_id", "email_address", "status", "last_changed", "source")]
)
_PARTS: Final[tuple[Mapping[str, str], ...]] = ({"status": "archived"}, {})
_HOW: Final = re.compile(r"[A-Za-z0-9 ._()/:-]{1,60}")


def lines_of(calls: Calls, audiences: Iterable[str], after: str) -> Iterator[RosterLine]:
    """Everybody in them. Whether archived contacts come unasked is not documented, so they are asked for. Raises
    `Ended`: also where the audience of the mark `after` is not there any more.

    They come first: whoever is taken out of the archive meanwhile is seen in one of the two.
    """
    begins, _, place = after.partition(" ")
    for audience in audiences:
        for only in _PARTS:
            name = f"{audience}/{only.get('status', '')}"
            if begins not in ("", name):
                continue
            for line in overlapping(partial(_page, calls, audience, only), place):
                yield replace(line, mark=f"{name} {line.mark}") if line.mark else line
            begins = place = ""
    if begins:
        raise Ended(Retryable(reason=MOVED))


def _page(calls: Calls, audience: str, only: Mapping[str, str], skipped: int) -> Page:
    reply: Reply = calls.lists.get_list_members_info(audience, fields=_FIELDS, count=PAGE, offset=skipped, **only)
    found = calls.object_in(reply)
    rows, total = found.get("members"), found.get("total_items")
    if found.get("list_id") != audience or not isinstance(rows, list) or not isinstance(total, int) or total < 0:
        raise unreadable()
    return Page([_line(audience, row) for row in rows], total)


def _line(audience: str, row: object) -> RosterLine:
    match row:
        case {"contact_id": str(record), "email_address": str(address), "status": str(status), **more}:
            if not LIST_ID.fullmatch(record) or status not in STATUSES:
                raise unreadable()
        case _:
            raise unreadable()
    how = more.get("source")
    return RosterLine(
        place=audience,
        record=record,
        address=address.strip(),
        mailed=status not in SILENT,
        used=status != "archived",
        opted_out=status == "unsubscribed",
        changed_at=_changed_at(more.get("last_changed")),
        by=how if isinstance(how, str) and _HOW.fullmatch(how) else "",
    )


def _changed_at(value: object) -> datetime | None:
    try:
        return moment(value, "last_changed")
    except PayloadInvalid:
        return None
