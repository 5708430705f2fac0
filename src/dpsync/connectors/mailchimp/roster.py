"""Everybody whom an audience of Mailchimp holds, page by page.

Source: specification 3.0.55, `GET /lists/{list_id}/members`, as read in November 2026. It pages by a number of records
to skip.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from dpsync.connector import Reply, Retryable, RosterLine
from dpsync.connectors.mailchimp.calls import LIST_ID, PAGE, SILENT, STATUSES, Calls
from dpsync.connectors.mailchimp.leaving import audience_of, group_of
from dpsync.errors import PayloadInvalid
from dpsync.vendor.deliveries import moment
from dpsync.vendor.errors import Ended, unreadable
from dpsync.vendor.rosters import MOVED, Page, overlapping

_FIELDS: Final = ",".join(
    ["list_id", "total_items"]
    + [f"members.{name}" for name in ("contact_id", "email_address", "status", "last_changed", "source")]
)
_GROUPS: Final = "members.interests"
_PARTS: Final[tuple[Mapping[str, str], ...]] = ({"status": "archived"}, {})
_HOW: Final = re.compile(r"[A-Za-z0-9 ._()/:-]{1,60}")


def lines_of(calls: Calls, audiences: Iterable[str], after: str, parts: Collection[str]) -> Iterator[RosterLine]:
    """Everybody in them, and in which of the interest groups `parts` each is.

    Raises `Ended`: also where the audience of the mark `after` is not there any more.

    Whether archived contacts come unasked is not documented, so they are asked for. They come first: whoever is taken
    out of the archive meanwhile is seen in one of the two.
    """
    begins, _, place = after.partition(" ")
    for audience in audiences:
        groups = {group_of(part): part for part in parts if audience_of(part) == audience and group_of(part)}
        for only in _PARTS:
            name = f"{audience}/{only.get('status', '')}"
            if begins not in ("", name):
                continue
            for line in overlapping(partial(_page, calls, audience, only, groups), place):
                yield replace(line, mark=f"{name} {line.mark}") if line.mark else line
            begins = place = ""
    if begins:
        raise Ended(Retryable(reason=MOVED))


def _page(calls: Calls, audience: str, only: Mapping[str, str], groups: Mapping[str, str], skipped: int) -> Page:
    fields = f"{_FIELDS},{_GROUPS}" if groups else _FIELDS
    reply: Reply = calls.lists.get_list_members_info(audience, fields=fields, count=PAGE, offset=skipped, **only)
    found = calls.object_in(reply)
    rows, total = found.get("members"), found.get("total_items")
    if found.get("list_id") != audience or not isinstance(rows, list) or not isinstance(total, int) or total < 0:
        raise unreadable()
    return Page([_line(audience, groups, row) for row in rows], total)


def _line(audience: str, groups: Mapping[str, str], row: object) -> RosterLine:
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
        within=_within(groups, status, more.get("interests")) if groups else frozenset(),
        changed_at=_changed_at(more.get("last_changed")),
        by=how if isinstance(how, str) and _HOW.fullmatch(how) else "",
    )


def _within(groups: Mapping[str, str], status: str, inside: object) -> frozenset[str]:
    """As `leaving.still_in` has it: who is archived is mailed in none. A group that is not there any more mails nobody.

    Raises `Ended`.
    """
    if not isinstance(inside, dict):
        raise unreadable()
    is_in = frozenset(part for group, part in groups.items() if inside.get(group, False) is not False)
    return is_in if status != "archived" else frozenset()


def _changed_at(value: object) -> datetime | None:
    try:
        return moment(value, "last_changed")
    except PayloadInvalid:
        return None
