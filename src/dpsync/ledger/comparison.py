"""Whether the states and dates in the database are those that the ledger tells of.

The ledger may be sound while a table beside it was written by hand: then reports would print what nobody recorded, or
leave out what was.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import chain
from typing import Any

from sqlalchemy import Connection, bindparam, select

from dpsync.ledger import conversation_comparison, entry, stored
from dpsync.model import CLOSED_STATES, DONE_STATES, Rung
from dpsync.store import tables

PAGE = 500
"""Requests compared at a time; SQLite takes a bounded number of parameters in one statement."""

MOST_NAMED = 50


@dataclass(slots=True)
class _Place:
    """What the entries about one request at one processor say; `idx` None: none did since it was accepted.

    `told`, `done` and `closed` are seconds: since when it has been told, done or closed.
    """

    state: str = "pending"
    rung: int = 0
    idx: int | None = None
    told: int | None = None
    done: int | None = None
    closed: int | None = None

    def hear(self, idx: int, said: dict[str, str | int]) -> None:
        """Go on by the next entry."""
        state, ts = str(said["state"]), int(said["ts"])
        self.rung, self.idx = int(said["rung"]), idx
        # An entry from before this was written down tells it by the rung, which never fell.
        told = said.get("told", int(self.rung >= Rung.SENT))
        self.told = (ts if self.told is None else self.told) if told else None
        # What was contradicted was not done: it counts from when it is done again.
        if state in DONE_STATES and not (self.state in DONE_STATES and self.done):
            self.done = ts
        if state in CLOSED_STATES and not (self.state in CLOSED_STATES and self.closed):
            self.closed = ts
        self.state = state

    @property
    def ended(self) -> int | None:
        """Since when nobody is waited for here."""
        return self.closed if self.state in CLOSED_STATES else None


@dataclass(slots=True)
class _Request:
    """What the entries of one request say. `receipt`: the first, which is about no processor."""

    idx: int = 0
    receipt: dict[str, str | int] = field(default_factory=dict)
    places: dict[str, _Place] = field(default_factory=dict)

    def ended(self, processors: Iterable[str]) -> int | None:
        """Since when nobody is waited for at any of them; None while somebody is."""
        closed = [self.places.get(name, _Place()).ended for name in processors]
        ends = [one for one in closed if one is not None]
        return max(ends) if ends and len(ends) == len(closed) else None


def differences(connection: Connection) -> tuple[str, ...]:
    """Each request that the ledger tells of and the database has not; each request and processor whose right, state,
    rung or dates are not what its ledger entries say, in order of receipt; then each private conversation whose state
    does not follow from what the ledger tells of.

    Needs the view of one moment, for a state and its entry are written together. An entry that cannot be read says
    nothing here: `Log.verify` names it.
    """
    found: list[str] = []
    for problem in chain(_missing(connection), _problems(connection), conversation_comparison.problems(connection)):
        if len(found) == MOST_NAMED:
            return (*found, "and more")
        found.append(problem)
    return tuple(found)


def _missing(connection: Connection) -> Iterator[str]:
    told = tables.entry.c.request_id
    kept = select(tables.request.c.id).where(tables.request.c.id == told)
    query = select(told).distinct().where(told.is_not(None), ~kept.exists()).order_by(told).limit(MOST_NAMED + 1)
    for request_id in connection.execute(query).scalars():
        yield f"request {request_id}: the ledger tells of it, and the database does not have it"


def _problems(connection: Connection) -> Iterator[str]:
    last = 0
    while rows := connection.execute(_REQUESTS, {"last": last}).all():
        last = rows[-1].ordinal
        ids = [row.id for row in rows]
        told = _told(connection, ids)
        kept = _kept(connection, ids)
        for row in rows:
            yield from _of_request(row, kept.get(row.id, {}), told.get(row.id, _Request()))


_REQUEST = tables.request.c
_REQUESTS = (
    select(
        _REQUEST.ordinal,
        _REQUEST.id,
        _REQUEST.right,
        _REQUEST.accepted_at,
        _REQUEST.due_on,
        _REQUEST.due_at,
        _REQUEST.closed_at,
    )
    .where(_REQUEST.ordinal > bindparam("last"))
    .order_by(_REQUEST.ordinal)
    .limit(PAGE)
)


def _of_request(row: Any, here: dict[str, Any], told: _Request) -> Iterator[str]:
    name, said = f"request {row.id}", told.receipt
    if not said:
        yield f"{name}: the ledger does not tell of its receipt"
    elif said["list"] != entry.list_digest(here):
        yield f"{name}: its processors in the database are not those it was accepted for"
    if said and (row.right, row.due_on, _seconds(row.accepted_at)) != (said["right"], said["due"], said["ts"]):
        yield f"{name}: right, time of acceptance or legal date are not those of entry {told.idx}"
    # The end of a day depends on the controller's zone, which is nowhere more than a day from UTC.
    elif said and not timedelta() <= row.due_at.date() - date.fromisoformat(row.due_on) <= timedelta(days=1):
        yield f"{name}: it counts as overdue from {row.due_at.date()} on, its legal date is {row.due_on}"
    if _is_otherwise(row.closed_at, told.ended(here)):
        yield f"{name}: the database says closed at {row.closed_at or 'no time'}; the ledger tells otherwise"
    for processor, kept in here.items():
        yield from _of_place(f"{name} at {processor}", row, kept, told.places.get(processor, _Place()))


def _is_otherwise(closed_at: datetime | None, ended: int | None) -> bool:
    """Closed where the ledger tells of no end, or the reverse, or too early: a group is closed at its last moment."""
    closed = _seconds(closed_at)
    return (closed is None) != (ended is None) or (closed is not None and ended is not None and closed < ended)


def _of_place(name: str, row: Any, kept: Any, said: _Place) -> Iterator[str]:
    if (kept.state, kept.rung) != (said.state, said.rung):
        where = "no entry tells of more than" if said.idx is None else f"entry {said.idx} says"
        yield f"{name}: the database says {kept.state}, rung {kept.rung}; {where} {said.state}, rung {said.rung}"
    if kept.right != row.right:
        yield f"{name}: the database says {kept.right}, of a request for {row.right}"
    for what, at, ts in (("told", kept.told_at, said.told), ("done", kept.done_at, said.done)):
        if _seconds(at) != ts:
            yield f"{name}: the database says {what} at {at or 'no time'}; the ledger tells of another time, or none"


def _seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())


def _told(connection: Connection, ids: list[str]) -> dict[str, _Request]:
    column = tables.entry.c
    told: dict[str, _Request] = {}
    rows = connection.execute(
        select(column.idx, column.request_id, column.body).where(column.request_id.in_(ids)).order_by(column.idx)
    )
    for idx, request_id, body in rows:
        try:
            said = entry.decode(stored.raw(body))
        except ValueError:
            continue
        request = told.setdefault(request_id, _Request())
        if "list" in said:
            request.idx, request.receipt = idx, said
        if "state" in said:
            request.places.setdefault(str(said["dest"]), _Place()).hear(idx, said)
    return told


def _kept(connection: Connection, ids: list[str]) -> dict[str, dict[str, Any]]:
    column = tables.propagation.c
    kept: dict[str, dict[str, Any]] = {}
    rows = connection.execute(
        select(
            column.request_id,
            column.processor,
            column.right,
            column.state,
            column.rung,
            column.told_at,
            column.done_at,
        )
        .where(column.request_id.in_(ids))
        .order_by(column.processor)
    )
    for row in rows:
        kept.setdefault(row.request_id, {})[row.processor] = row
    return kept
