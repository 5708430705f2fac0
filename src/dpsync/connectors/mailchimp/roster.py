"""Everybody whom an audience of Mailchimp holds, page by page.

Source: specification 3.0.55, `GET /lists/{list_id}/members`, as read in November 2026. It pages by a number of records
to skip, so who leaves the audience meanwhile moves all others forward: each page begins with the end of the one before.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from dpsync.connector import Reply, Retryable, RosterLine
from dpsync.connectors.mailchimp.calls import LIST_ID, PAGE, SILENT, STATUSES, Calls
from dpsync.errors import PayloadInvalid
from dpsync.vendor.deliveries import moment
from dpsync.vendor.errors import Ended, unreadable

AGAIN: Final = 20
"""Records of the page before that are asked for once more: so many may go meanwhile, and nobody is passed over."""
MOVED: Final = "the audience changed while it was read"

_FIELDS: Final = ",".join(
    ["list_id", "total_items"]
    + [f"members.{name}" for name in ("contact_id", "email_address", "status", "last_changed", "source")]
)
_HOW: Final = re.compile(r"[A-Za-z0-9 ._()/:-]{1,60}")


def lines_of(calls: Calls, audience: str) -> Iterator[RosterLine]:
    """Everybody in it. Whether archived contacts come unasked is not documented, so they are asked for. Raises `Ended`.

    They come first: whoever is taken out of the archive meanwhile is seen in one of the two.
    """
    yield from _lines(calls, audience, {"status": "archived"})
    yield from _lines(calls, audience, {})


def _lines(calls: Calls, audience: str, only: Mapping[str, str]) -> Iterator[RosterLine]:
    end: Sequence[str] = ()
    skipped = 0
    while True:
        page, total = _page(calls, audience, skipped, only)
        new = _behind(page, end)
        yield from new
        reached = skipped + len(page)
        if reached >= total:
            return
        if not new:
            raise unreadable()  # it promises more, and shows nothing
        end = [line.record for line in page[-AGAIN:]]
        skipped = reached - len(end)


def _page(calls: Calls, audience: str, skipped: int, only: Mapping[str, str]) -> tuple[list[RosterLine], int]:
    """One page, and how many records there are in all."""
    reply: Reply = calls.lists.get_list_members_info(audience, fields=_FIELDS, count=PAGE, offset=skipped, **only)
    found = calls.object_in(reply)
    rows, total = found.get("members"), found.get("total_items")
    if found.get("list_id") != audience or not isinstance(rows, list) or not isinstance(total, int) or total < 0:
        raise unreadable()
    return [_line(audience, row) for row in rows], total


def _behind(page: Sequence[RosterLine], end: Sequence[str]) -> Sequence[RosterLine]:
    """What of a page stands behind the end of the one before. Raises `Ended` where that is not in it."""
    if not end:
        return page
    seen = [at for at, line in enumerate(page) if line.record in end]
    if not seen:
        raise Ended(Retryable(reason=MOVED))
    return page[seen[-1] + 1 :]


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
