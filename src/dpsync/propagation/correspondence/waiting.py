"""What waits for a person: what is held, what is stuck, whom the operator must see to. Found by reading, and counted.

A question asks about all of a request that is of its kind. So requests are chosen, and read as they then are.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, select, tuple_

from dpsync.alerts import few
from dpsync.model import Cause, State
from dpsync.propagation import questions
from dpsync.propagation.correspondence.reaching import OPEN
from dpsync.propagation.held import BECAUSE, Held
from dpsync.propagation.points import CREDENTIAL, Point, stuck_point
from dpsync.propagation.queue.lanes import causes_of
from dpsync.store import tables as t
from dpsync.store.question_tables import question

_IN_ONE = 200  # SQLite takes a bounded number of parameters in one statement
_P, _A = t.propagation.c, t.account.c
_HELD: Final[ColumnElement[bool]] = (_P.state == State.HELD.value) & (_P.causes != Cause.COOLING_OFF.value)
_ASKED = select(question.c.request_id)


@dataclass(frozen=True, slots=True)
class Awaited:
    """Requests that are held or stuck, and of which people are told or asked. `crowds`: how many are held by a
    processor for a cause, where they are too many to be told each for itself.
    """

    held: Sequence[str]
    crowds: Mapping[tuple[str, Cause], int]
    stuck: Sequence[str]
    silent: bool

    def __bool__(self) -> bool:
        return bool(self.held or self.crowds or self.stuck or self.silent)


def look(connection: Connection, now: datetime) -> Awaited:
    """What waits now."""
    groups = select(_P.processor, _P.causes, func.count()).where(_HELD).group_by(_P.processor, _P.causes)
    found = {(row[0], causes_of(row[1])): (row[1], row[2]) for row in connection.execute(groups)}
    numbers: Counter[tuple[str, Cause]] = Counter()
    for (processor, causes), (_, number) in found.items():
        for cause in causes & BECAUSE.keys():
            numbers[processor, cause] += number
    named = few(numbers)
    pairs = [
        (processor, text)
        for (processor, causes), (text, _) in found.items()
        if any((processor, cause) in named for cause in causes)
    ]
    ids = _named(connection, pairs)
    crowds = {one: number for one, number in numbers.items() if one not in named}
    for cause in sorted({cause for _, cause in crowds} - {Cause.CONTACT_UNVERIFIED}):
        ids |= _to_ask(connection, _HELD & _P.causes.contains(cause.value))
    stuck = _to_ask(connection, _stuck(now))
    return Awaited(sorted(ids), crowds, sorted(stuck), bool(silent_contacts(connection, now)))


def _named(connection: Connection, pairs: Sequence[tuple[str, str]]) -> set[str]:
    found: set[str] = set()
    for at in range(0, len(pairs), _IN_ONE):
        chosen = tuple_(_P.processor, _P.causes).in_(pairs[at : at + _IN_ONE])
        found |= set(connection.execute(select(_P.request_id).where(_HELD, chosen).distinct()).scalars())
    return found


def _to_ask(connection: Connection, wanted: ColumnElement[bool]) -> set[str]:
    """The requests that somebody was asked about before, and so many others as there may be questions in a day."""
    asked = select(_P.request_id).where(wanted, _P.request_id.in_(_ASKED)).distinct()
    fresh = select(_P.ordinal, _P.request_id).where(wanted, _P.request_id.not_in(_ASKED)).distinct()
    fresh = fresh.order_by(_P.ordinal).limit(questions.MOST_A_DAY)
    return {*connection.execute(asked).scalars(), *(row.request_id for row in connection.execute(fresh))}


def _rows(connection: Connection, ids: Sequence[str], wanted: ColumnElement[bool]) -> list[Any]:
    columns = select(_P.ordinal, _P.id, _P.request_id, _P.processor, _P.state, _P.causes, _P.state_since)
    found: list[Any] = []
    for at in range(0, len(ids), _IN_ONE):
        found += connection.execute(columns.where(wanted, _P.request_id.in_(ids[at : at + _IN_ONE]))).all()
    return sorted(found, key=lambda row: (row.ordinal, row.id))


def held_of(connection: Connection, ids: Sequence[str], now: datetime) -> list[Held]:
    """What is held of these requests, the oldest first."""
    return [
        Held(row.request_id, row.processor, causes_of(row.causes), row.state_since > now - questions.STUCK_FOR)
        for row in _rows(connection, ids, _HELD)
    ]


def _stuck(now: datetime) -> ColumnElement[bool]:
    found: ColumnElement[bool] = _P.state.in_(sorted(questions.STUCK))
    return found & (_P.state_since <= now - questions.STUCK_FOR)


def stuck_of(connection: Connection, ids: Sequence[str], now: datetime) -> list[Point]:
    """What of these requests has been stuck for so long that the DPO is asked about it, the oldest first."""
    rows = _rows(connection, ids, _stuck(now))
    return [stuck_point(row.request_id, row.processor, State(row.state), row.state_since) for row in rows]


def silent_contacts(connection: Connection, now: datetime) -> list[Point]:
    """What the operator is asked of each contact that is silent for a day: the oldest request that waits for it."""
    silent = OPEN & _P.causes.contains(Cause.CONTACT_UNVERIFIED.value)
    return _oldest(connection, Cause.CONTACT_UNVERIFIED.value, silent & (_P.state_since <= now - questions.STUCK_FOR))


def rejected_credentials(connection: Connection) -> list[Point]:
    """What the operator is asked of each account that is stopped by its credential: the oldest request there."""
    if connection.execute(select(_A.id).where(_A.stopped == CREDENTIAL).limit(1)).first() is None:
        return []  # nearly always, and this is looked at every minute
    stopped = (_P.state == State.PENDING.value) & _P.account_id.in_(select(_A.id).where(_A.stopped == CREDENTIAL))
    return _oldest(connection, CREDENTIAL, stopped)


def _oldest(connection: Connection, why: str, wanted: ColumnElement[bool]) -> list[Point]:
    first = select(_P.processor, func.min(_P.ordinal).label("ordinal")).where(wanted).group_by(_P.processor)
    c = first.subquery().c
    oldest = select(t.request.c.id, c.processor).join(t.request, t.request.c.ordinal == c.ordinal)
    return [Point(row.id, row.processor, why) for row in connection.execute(oldest.order_by(c.ordinal, c.processor))]
