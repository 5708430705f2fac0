"""Many requests out of one list: what a suppression list or a retention purge asks for, by the same door as any other.

A row's event id follows from what the row asks for. So a list may be handed in again, after an interruption or with
rows added: what came before is known, and nothing of it is done twice.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice

from sqlalchemy import Connection, exists, func, select

from dpsync.errors import EventConflict, PayloadInvalid
from dpsync.installation import Installation
from dpsync.intake import events
from dpsync.intake.acceptance import Asked
from dpsync.intake.events import Conflict
from dpsync.intake.lists.reading import ListRow
from dpsync.intake.payload import parse_request
from dpsync.intake.reception import receive_all
from dpsync.model import Right, State
from dpsync.store import tables as t

_R, _P = t.request.c, t.propagation.c

SOURCE = "import"
EVENT = "import event"
"""What the keyed digest is for that makes a row's event id."""

AT_ONCE = 200
"""Rows in one transaction: what else is to be written waits for no more than that."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """What a whole list asks for. `received_at`, `scope`: as in the canonical body; None for now, {} for everything."""

    right: Right
    by: str = field(repr=False)
    ground: str | None = None
    received_at: str | None = None
    scope: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that asks for nothing we understand: its line, the field and why, never its value."""

    line: int
    field: str
    problem: str


@dataclass(slots=True)
class ImportTally:
    """What came of a list: rows by what became of them."""

    counts: Counter[str] = field(default_factory=Counter)
    rejected: list[Rejected] = field(default_factory=list)

    def __getitem__(self, what: str) -> int:
        return self.counts[what]


def wishes(
    there: Installation, rows: Iterable[ListRow], bulk: Bulk, now: datetime, tally: ImportTally
) -> Iterator[Asked]:
    """Each row as a request; what is rejected, or stands in the list twice, is counted instead."""
    seen: set[str] = set()
    for row in rows:
        tally.counts["rows"] += 1
        data = _data(row, bulk)
        body = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        event = there.keys.mac(EVENT, body).hex()[:32]
        if event in seen:
            tally.counts["twice in the list"] += 1
            continue
        seen.add(event)
        try:
            request = parse_request(data, source=SOURCE, event_id=event, now=now, by=bulk.by)
        except PayloadInvalid as refusal:
            tally.counts["rejected"] += 1
            tally.rejected.append(Rejected(row.line, refusal.field, refusal.problem))
            continue
        tally.counts["good"] += 1
        yield Asked(request, events.body_mac(there.controller, body), now)


def look(there: Installation, rows: Iterable[ListRow], bulk: Bulk, now: datetime) -> ImportTally:
    """What would come of a list. Writes nothing. Of what is known, `withdrawn since` was withdrawn everywhere."""
    tally = ImportTally()
    for some in _parts(wishes(there, rows, bulk, now, tally)):
        named = [(SOURCE, asked.request.event_id) for asked in some]
        tally.counts["known"] += len(there.read(partial(events.known_among, named=named)))
        tally.counts["withdrawn since"] += there.read(partial(_withdrawn, some=some))
    return tally


def _withdrawn(connection: Connection, some: Iterable[Asked]) -> int:
    """How many came before and were stopped: whoever asks again is not told of anywhere."""
    stands = exists().where(_P.request_id == _R.id, _P.state != State.WITHDRAWN.value)
    events_of = [asked.request.event_id for asked in some]
    gone = select(func.count()).where(_R.source == SOURCE, _R.event_id.in_(events_of), ~stands)
    return int(connection.execute(gone).scalar_one())


def take_in(
    there: Installation, rows: Iterable[ListRow], bulk: Bulk, now: datetime, heard: Callable[[int], None]
) -> ImportTally:
    """Ask for everything in a list, `AT_ONCE` rows a transaction. `heard` is told how many rows are committed."""
    tally = ImportTally()
    for some in _parts(wishes(there, rows, bulk, now, tally)):
        received = there.write(partial(receive_all, controller=there.controller, many=some))
        for one in received:
            if isinstance(one, Conflict):  # its id follows from what it asks for
                raise EventConflict("a row's event id came before with another row")
            tally.counts["known" if one.repeated else "held" if one.held else "accepted"] += 1
        heard(tally["known"] + tally["held"] + tally["accepted"])
    return tally


def _parts(asked: Iterator[Asked]) -> Iterator[list[Asked]]:
    while some := list(islice(asked, AT_ONCE)):
        yield some


def _data(row: ListRow, bulk: Bulk) -> dict[str, object]:
    subject: dict[str, object] = dict(row.named)
    if "other_emails" in row.named:
        subject["other_emails"] = list(row.other_emails)
    data: dict[str, object] = {"right": bulk.right.value, "subject": subject}
    if bulk.ground:
        data["ground"] = bulk.ground
    if bulk.received_at:
        data["received_at"] = bulk.received_at
    if bulk.scope or row.part is not None:
        # A row whose part is blank is refused: left out, its opt-out would be from everything.
        data["scope"] = {**bulk.scope, **(row.part or {})} if row.part != {} else {}
    return data
