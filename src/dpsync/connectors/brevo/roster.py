"""Everybody whom an account of Brevo holds, page by page.

Source: developers.brevo.com, reference of API v3 (get-contacts), as read in November 2026. The oldest contact comes
first, so who is added meanwhile comes last. It shows all attributes of each, whether they are asked for or not.
"""

from abc import abstractmethod
from collections.abc import Collection, Iterator
from datetime import datetime
from functools import partial
from typing import Final

from dpsync.connector import Instruction, Roster, RosterLine
from dpsync.connectors.brevo.calls import BLOCKS, PLACE, Calls, contact_in
from dpsync.connectors.brevo.leaving import is_in
from dpsync.errors import PayloadInvalid
from dpsync.vendor.deliveries import moment
from dpsync.vendor.errors import unreadable
from dpsync.vendor.rosters import Page, overlapping

PAGE: Final = 1000  # the vendor's maximum


class AccountRoster(Roster):
    """Whom Brevo holds."""

    @abstractmethod
    def calls(self, order: Instruction | None) -> Calls:
        """Those of one instruction."""

    def roster(self, after: str = "", parts: Collection[str] = ()) -> Iterator[RosterLine]:
        """Every contact; whether one on the blocklist left or bounced, only a look at it tells."""
        return overlapping(partial(_page, self.calls(None), parts), after)


def _page(calls: Calls, parts: Collection[str], skipped: int) -> Page:
    reply = calls.tell("GET", "/contacts", limit=str(PAGE), offset=str(skipped), sort="asc")
    found = calls.content(reply, dict)
    rows, total = found.get("contacts"), found.get("count")
    if not isinstance(rows, list) or not isinstance(total, int) or total < 0:
        raise unreadable()
    return Page([_line(parts, row) for row in rows], total)


def _line(parts: Collection[str], row: object) -> RosterLine:
    if not isinstance(row, dict):
        raise unreadable()
    # a contact with a number alone has no address
    held = contact_in({**row, "email": row.get("email") or ""})
    blocked = BLOCKS[0] in held.blocked
    return RosterLine(
        place=PLACE,
        record=str(held.id),
        address=held.email.strip(),
        mailed=bool(held.unblocked),
        used=bool(held.unblocked or held.lists),
        opted_out=blocked,
        unsure=blocked,
        within=frozenset(part for part in parts if is_in(part, held)),
        changed_at=_changed_at(row.get("modifiedAt")),
    )


def _changed_at(value: object) -> datetime | None:
    try:
        return moment(value, "modifiedAt")
    except PayloadInvalid:
        return None
