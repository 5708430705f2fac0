"""Everybody whom the lists of Campaign Monitor hold, state by state and page by page.

Source: the reference of API v3.3 and the fixtures of createsend-python (MIT), as read in November 2026. Pages are
numbered, so whoever leaves a state meanwhile moves all behind them forward. A state's records are in order of when they
came into it: read from the last page to the first, nobody is passed over; and whoever went from one state to another
meanwhile is at the end of that one, which is read once more.
"""

from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from dpsync.connector import Instruction, Kit, Roster, RosterLine
from dpsync.connectors.campaign_monitor.calls import Calls, Client
from dpsync.connectors.campaign_monitor.leaving import is_alone
from dpsync.connectors.campaign_monitor.observed import ahead, in_utc
from dpsync.connectors.campaign_monitor.records import IN_USE, OBJECTED, STATES
from dpsync.vendor.errors import unreadable

PAGE: Final = 1000  # the vendor's maximum
READ: Final = ("unsubscribed", "bounced", "deleted", "unconfirmed", "active")
"""The states of a list, each a page of its own."""
BACK: Final = timedelta(hours=2)
"""How much more than the time of the sweep is read again: the account's clock goes back by an hour once a year."""


class ListRoster(Roster):
    """Whom Campaign Monitor holds."""

    _kit: Kit

    @abstractmethod
    def calls(self, order: Instruction | None) -> Calls:
        """Those of one instruction."""

    @abstractmethod
    def places(self, calls: Calls) -> Iterable[Client]:
        """Every client with all its lists."""

    def roster(self, after: str = "", parts: Collection[str] = ()) -> Iterator[RosterLine]:
        """Everybody in every list of every client, also who is `Deleted` there: that keeps the data.

        It gives no mark: whoever changes state while nobody reads would be passed over. It knows no part smaller than a
        list.
        """
        del after, parts
        calls = self.calls(None)
        began, apart = ahead(calls, self._kit.clock.now())
        for client in self.places(calls):
            suppressed = frozenset(
                hash(_address(row)) for row in _rows(calls, "/clients/{id}/suppressionlist", client.id)
            )
            for place in client.lists:
                yield from _Listing(calls, place, suppressed, began, apart).lines()


@dataclass(frozen=True, slots=True)
class _Listing:
    """One list. `suppressed`: hashes of addresses, to take less room; `began`: by the account's own clock."""

    calls: Calls
    place: str
    suppressed: Collection[int]
    began: str
    apart: timedelta

    def lines(self) -> Iterator[RosterLine]:
        """Everybody in it; whoever changes state meanwhile twice."""
        alone = is_alone(self.calls, self.place)
        since = _earlier(self.began)
        late: set[int] = set()  # hashes of the records, as they were seen, that the second look shows again
        for again in (False, True):
            for state in READ:
                for row in _rows(self.calls, f"/lists/{{id}}/{state}", self.place, since if again else ""):
                    line = self._line(row, alone=alone)
                    mark, changed = hash((line.record, row.get("State"))), str(row.get("Date"))
                    if mark in late or (again and changed < since):
                        continue
                    if changed >= since:
                        late.add(mark)
                    yield line

    def _line(self, row: Mapping[str, object], *, alone: bool) -> RosterLine:
        address, state = _address(row), row.get("State")
        if not isinstance(state, str) or state not in STATES:
            raise unreadable()
        # suppression is not known to silence a list of which an unsubscribe counts for that list only
        silent = hash(address) in self.suppressed and not (alone and state in IN_USE)
        return RosterLine(
            place=self.place,
            record=address,
            address=str(row["EmailAddress"]).strip(),
            mailed=state in IN_USE and not silent,
            used=not silent,
            opted_out=state in OBJECTED,
            changed_at=in_utc(row.get("Date"), self.apart),
        )


def _rows(calls: Calls, template: str, place: str, since: str = "") -> Iterator[Mapping[str, object]]:
    """All of it, from the end; with `since` only the pages on which somebody came later. Raises `Ended`."""
    first, total = _page(calls, template, place, 1)
    for number in range(max(1, -(-total // PAGE)), 0, -1):
        page = first if total <= PAGE else _page(calls, template, place, number)[0]
        yield from page
        if since and page and str(page[0].get("Date")) < since:
            return


def _page(calls: Calls, template: str, place: str, number: int) -> tuple[list[Mapping[str, object]], int]:
    params = {"page": str(number), "pagesize": str(PAGE), "orderfield": "date", "orderdirection": "asc"}
    found = calls.content(calls.about("GET", template, place, params), dict)
    rows, total, shown = found.get("Results"), found.get("TotalNumberOfRecords"), found.get("PageNumber")
    if not isinstance(rows, list) or not isinstance(total, int) or total < 0 or shown != number:
        raise unreadable()
    if len(rows) != max(0, min(PAGE, total - PAGE * (number - 1))) or not all(isinstance(row, dict) for row in rows):
        raise unreadable()
    return rows, total


def _address(row: Mapping[str, object]) -> str:
    """What the vendor knows a record by: it has no other id. In small letters. Raises `Ended`."""
    address = row.get("EmailAddress")
    if not isinstance(address, str) or not address.strip():
        raise unreadable()
    return address.strip().lower()


def _earlier(began: str) -> str:
    return f"{datetime.fromisoformat(began) - BACK:%Y-%m-%d %H:%M:%S}"
