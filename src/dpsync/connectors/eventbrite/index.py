"""Whom Eventbrite holds: a person's orders and tickets, and who holds which ticket."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Final, cast
from zlib import crc32

from dpsync.address import normalised
from dpsync.connector import Kit, Retryable
from dpsync.connectors.eventbrite.calls import ATTENDEES, STALE, STATUSES, EventbriteCalls, Row, id_of
from dpsync.vendor.errors import Ended

_HINT = re.compile(r"orders/[0-9]{1,30}/|events/[0-9]{1,30}/attendees/[0-9]{1,30}/")
_SLOTS: Final = 64  # hints kept at most: a lost one costs nothing, for the list of changes is read as well
_OVERLAP: Final = timedelta(minutes=15)  # between two readings of changes: their clock is not ours


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """A record of the person. `own`: it bears one of the addresses now, and did not only bear it once."""

    kind: str
    id: str
    event: str
    order: str = ""
    own: bool = True

    @property
    def names(self) -> dict[str, str]:
        """What its path is filled in with."""
        return {"order": self.id} if self.kind == "order" else {"event": self.event, "attendee": self.id}

    def __str__(self) -> str:
        told = f"{self.kind} {self.id} of event {self.event}" + (f", order {self.order}" if self.order else "")
        # a ticket may have been passed on to somebody else
        return told if self.own else f"{told} (bore the address once and does not now: compare before you act)"


@dataclass(frozen=True, slots=True)
class _Run:
    """How far one list of attendees was read: `upto` by whole runs; `next` is the place in the one that `begun`."""

    upto: str = ""
    begun: str = ""
    next: str = ""
    seen: int = 0
    total: int = 0

    @property
    def since(self) -> str:
        return f"{datetime.fromisoformat(self.upto) - _OVERLAP:%Y-%m-%dT%H:%M:%SZ}" if self.upto else ""


def profile_of(row: Row) -> Row:
    """Who holds a ticket."""
    found = row.get("profile")
    return cast("dict[str, object]", found) if isinstance(found, dict) else {}


class Index:
    """Who holds which ticket, by the keyed pseudonym of the address: the vendor's own search knows buyers only.

    On the shelf: `who/PSEUDONYM/ATTENDEE` is [event, order], kept when the address changes; `is/ATTENDEE`
    the pseudonym it has now; `index/ORGANISATION/STATUS` how far the list was read; `look/N` what a webhook named.
    """

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def read(self, calls: EventbriteCalls, organisation: str) -> None:
        """Bring one organisation up to date. What was read stays read, however this ends. Raises `Ended`."""
        for status in STATUSES:
            if not self._read(calls, organisation, status):
                self._read(calls, organisation, status)  # what changed since the run that was cut began

    def _read(self, calls: EventbriteCalls, organisation: str, status: str) -> bool:
        """Read to the end; whether it was begun just now. Raises `Ended`."""
        place, names, again = f"index/{organisation}/{status}", {"organization": organisation}, False
        run = _Run(**json.loads(self._kit.shelf.get(place) or "{}"))
        resumed = bool(run.begun)
        run = run if resumed else replace(run, begun=self._kit.clock.now().isoformat())
        while True:
            page = calls.page(
                "attendees", ATTENDEES, names, status=status, changed_since=run.since, continuation=run.next
            )
            rows = self._entries(page.rows) if page else {}
            if page is not None:
                first = run.total if run.next else page.total or 0
                run = replace(run, next=page.next, seen=run.seen + len(page.rows), total=first)
            whole = page is not None and not page.next and run.seen >= run.total
            if page is None or not page.next:  # the end, or the place was lost, or rows slipped past: from page 1 then
                run = _Run(upto=run.begun) if whole else _Run(upto=run.upto, begun=run.begun)
            self._kit.shelf.put_all({**rows, place: json.dumps(asdict(run))})
            if whole:
                return not resumed
            if not run.next and again:
                raise Ended(Retryable(reason=STALE))
            again = again or not run.next

    def _entries(self, rows: Iterable[Row]) -> dict[str, str]:
        entries: dict[str, str] = {}
        for row in rows:
            email = profile_of(row).get("email")
            who = self._kit.pseudonym(normalised(email)) if isinstance(email, str) and email else ""
            value = json.dumps([id_of(row, "event_id"), str(row.get("order_id") or "")])
            entries[f"is/{id_of(row)}"] = who
            if who:
                entries[f"who/{who}/{id_of(row)}"] = value
        return entries

    def hint(self, path: str) -> None:
        """Remember an order or attendee to look at, where it is one by its path."""
        if _HINT.fullmatch(path):
            self._kit.shelf.put(f"look/{crc32(path.encode()) % _SLOTS:02}", path)

    def look(self, calls: EventbriteCalls) -> None:
        """Read what webhooks named. Raises `Ended` only where the whole account must wait."""
        for place, path in self._kit.shelf.find("look/").items():
            if not path:
                continue
            ids = path.split("/")
            kind = "order" if ids[0] == "orders" else "attendee"
            names = {"order": ids[1]} if kind == "order" else {"event": ids[1], "attendee": ids[3]}
            rows: dict[str, str] = {}
            try:
                found, _ = calls.record(kind, names, ("attendees",) if kind == "order" else ())
                listed = found.get("attendees") if found and kind == "order" else [found]
                rows = self._entries(row for row in listed if isinstance(row, dict)) if isinstance(listed, list) else {}
            except Ended as end:
                if end.stop:
                    raise
                if isinstance(end.outcome, Retryable):
                    continue  # a fault of this one record keeps nobody waiting: it is asked for in the next search
            self._kit.shelf.put_all(rows)
            self._kit.shelf.swap(place, path, "")  # a newer hint in the same place stays

    def tickets(self, address: str) -> Iterator[HeldRecord]:
        """Every ticket that bears the address, or did."""
        who = self._kit.pseudonym(normalised(address))
        for place, value in self._kit.shelf.find(f"who/{who}/").items():
            attendee = place.rpartition("/")[2]
            event, order = json.loads(value)
            yield HeldRecord("attendee", attendee, event, order, own=self._kit.shelf.get(f"is/{attendee}") == who)
