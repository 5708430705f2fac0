"""Where requests stand at each processor: the values that period report, dossier and status are all made of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, select

from dpsync.mail_status import is_undelivered
from dpsync.model import CLOSED_STATES, DONE_STATES, Cause, Right, Rung, State, Way
from dpsync.propagation import extensions
from dpsync.propagation.extensions import Extension
from dpsync.reports.meaning import Count, Late, Need, WaitsFor, counted, counted_together, need, waits_for
from dpsync.reports.processors import ProcessorLine
from dpsync.store import tables as t

T = TypeVar("T")
SHORT = len("r-") + 6

AT_ONCE = 2000
"""So many rows are held besides what is made of them."""


@dataclass(frozen=True, slots=True)
class PropagationLine:
    """One request at one processor. Times are UTC; `limits` is what its API cannot do for this right.

    `waits_until`: when time alone, or the answer that is owed, ends the waiting. `stopped`: the account is stopped.
    `finished_at`: since when it is closed and nobody is waited for.
    """

    request_id: str
    short: str
    right: Right
    lifting: bool
    received_at: datetime
    accepted_at: datetime
    strict_on: date
    due_on: date
    processor: str
    title: str
    state: State
    counts_as: Count
    rung: Rung
    way: Way
    causes: tuple[Cause, ...]
    reason: str
    task: str
    attempts: int
    notices: int
    told_at: datetime | None
    done_at: datetime | None
    state_since: datetime
    finished_at: datetime | None
    late: Late
    waits_for: WaitsFor
    waits_until: datetime | None
    need: Need
    stopped: str
    limits: str

    @property
    def open(self) -> bool:
        """Whether it is not closed."""
        return self.state not in CLOSED_STATES


@dataclass(frozen=True, slots=True)
class RequestStanding:
    """One request and where it stands everywhere. Dates are the controller's days, as reception stored them."""

    id: str
    short: str
    right: Right
    lifting: bool
    ground: str
    source: str
    received_at: datetime
    received_assumed: bool
    accepted_at: datetime
    target_at: datetime
    starts_on: date
    strict_on: date
    due_on: date
    letter_by: date
    due_at: datetime
    clock_rule: str
    closed_at: datetime | None
    shredded_at: datetime | None
    counts_as: Count
    told_everyone: bool
    late: Late
    lines: tuple[PropagationLine, ...]

    @property
    def open(self) -> bool:
        """Whether it is not done, and not set aside, somewhere."""
        return self.counts_as is Count.NOT_YET

    @property
    def ordinary(self) -> bool:
        """Whether nothing of it is late, and nobody has to do anything."""
        alike = self.lines and self.late is Late.NO
        return bool(alike) and all(line.late is Late.NO and line.need is Need.NOTHING for line in self.lines)


def read_standing(
    connection: Connection, chosen: ColumnElement[bool], now: datetime, processors: Mapping[str, ProcessorLine]
) -> tuple[RequestStanding, ...]:
    """The requests for which `chosen` (over table `request`) holds, oldest first, each with its lines by name."""
    stopped: dict[str, str] = {
        row.id: row.stopped
        for row in connection.execute(select(t.account.c.id, t.account.c.stopped).where(t.account.c.stopped != ""))
    }
    places = (
        select(*_OF_PLACES)
        .join(t.request, _R.id == _P.request_id)
        .where(chosen)
        .order_by(_R.ordinal, _P.processor)
        .execution_options(yield_per=AT_ONCE)
    )
    requests = connection.execute(select(*_OF_REQUESTS).where(chosen).order_by(_R.ordinal)).all()
    longer, around = extensions.all_of(connection), _Around(now, processors, stopped)
    grouped = groupby(connection.execute(places), _owner)
    waiting = next(grouped, None)
    found = []
    for row in requests:
        lines: Iterable[Row[Any]] = ()
        if waiting is not None and waiting[0] == row.id:
            lines = list(waiting[1])
            waiting = next(grouped, None)
        found.append(_standing(row, lines, around, _dates(row, longer.get(row.id))))
    return tuple(found)


_R, _P = t.request.c, t.propagation.c
_OF_REQUESTS: tuple[Any, ...] = (
    *(_R.id, _R.right, _R.lifting, _R.ground, _R.source, _R.received_at, _R.received_assumed, _R.accepted_at),
    *(_R.target_at, _R.starts_on, _R.strict_on, _R.due_on, _R.letter_by, _R.due_at, _R.clock_rule, _R.closed_at),
    _R.shredded_at,
)
_OF_PLACES: tuple[Any, ...] = (
    *(_P.request_id, _P.processor, _P.account_id, _P.state, _P.rung, _P.way, _P.causes, _P.reason, _P.task),
    *(_P.attempts, _P.notices, _P.told_at, _P.done_at, _P.state_since, _P.answer_by, _P.timer_at),
)
"""In the order in which `_line` takes them: a name looked up is dearer than a place, and there are 300,000 rows."""

_owner = itemgetter(0)
_day = lru_cache(4096)(date.fromisoformat)
"""Thousands of requests have the same few days."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What lines say alike that are at one processor, for one right and in one state."""

    processor: str
    title: str
    state: State
    counts_as: Count
    rung: Rung
    way: Way
    causes: tuple[Cause, ...]
    whatever: frozenset[Cause]
    waits_for: WaitsFor
    stopped: str
    limits: str
    done: bool
    closed: bool


@dataclass(frozen=True, slots=True)
class _Around:
    """What stands around a request: the time, the processors as they are set, and why an account is stopped."""

    now: datetime
    processors: Mapping[str, ProcessorLine]
    stopped: Mapping[str, str]
    kinds: dict[tuple[object, ...], _Kind] = field(default_factory=dict)

    def kind(self, *key: Any) -> _Kind:
        """Of a right, processor, account, state, rung, way and causes; made once, for most lines are of a few."""
        found = self.kinds.get(key)
        if found is None:
            found = self.kinds[key] = self._made(*key)
        return found

    def _made(self, right: Right, name: str, account: str, stored: str, rung: int, way: str, said: str) -> _Kind:
        processor, state = self.processors.get(name), State(stored)
        can = processor.of(right) if processor else None
        causes = tuple(Cause(one) for one in said.split(",") if one)
        stop = self.stopped.get(account, "") if state is State.PENDING else ""
        return _Kind(
            processor=name,
            title=processor.title if processor else name,
            state=state,
            counts_as=counted(state),
            rung=Rung(rung),
            way=Way(way),
            causes=causes,
            whatever=frozenset(causes),
            waits_for=waits_for(state, frozenset(causes), stopped=bool(stop)),
            stopped=stop,
            limits=can.limits if can else "" if processor else "not configured any more: what it can do is not known",
            done=state in DONE_STATES,
            closed=state in CLOSED_STATES,
        )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What every line of a request says of it."""

    id: str
    short: str
    right: Right
    lifting: bool
    received_at: datetime
    accepted_at: datetime
    forgotten: bool


@dataclass(frozen=True, slots=True)
class _Dates:
    """The legal dates that count: those of the extension, where there is one."""

    strict_on: date
    due_on: date
    due_at: datetime
    target_at: datetime
    letter_by: date


def _dates(row: Row[Any], longer: Extension | None) -> _Dates:
    if longer is not None:
        return _Dates(longer.strict_on, longer.due_on, longer.due_at, row.target_at, letter_by=longer.strict_on)
    return _Dates(_day(row.strict_on), _day(row.due_on), row.due_at, row.target_at, _day(row.letter_by))


def _standing(row: Row[Any], places: Iterable[Row[Any]], around: _Around, dates: _Dates) -> RequestStanding:
    gone = row.shredded_at is not None
    asked = _Asked(row.id, row.id[:SHORT], Right(row.right), row.lifting, row.received_at, row.accepted_at, gone)
    lines = tuple([_line(one, asked, around, dates) for one in places])
    counts_as = counted_together([line.counts_as for line in lines])
    return RequestStanding(
        id=asked.id, short=asked.short, right=asked.right, lifting=asked.lifting, ground=row.ground, source=row.source,
        received_at=asked.received_at, received_assumed=row.received_assumed, accepted_at=asked.accepted_at,
        target_at=dates.target_at, starts_on=_day(row.starts_on), strict_on=dates.strict_on, due_on=dates.due_on,
        letter_by=dates.letter_by, due_at=dates.due_at, clock_rule=row.clock_rule, closed_at=row.closed_at,
        shredded_at=row.shredded_at, counts_as=counts_as, told_everyone=_told_everyone(lines),
        late=_late(dates, around.now if counts_as is Count.NOT_YET else None, row.closed_at), lines=lines,
    )  # fmt: skip


def _line(row: Iterable[Any], asked: _Asked, around: _Around, dates: _Dates) -> PropagationLine:
    _, name, account, state, rung, way, causes, reason, task, attempts, notices, *times = row
    told_at, done_at, state_since, answer_by, timer_at = times
    kind = around.kind(asked.right, name, account, state, rung, way, causes)
    # A later reading of what is done moves `state_since`, and is no later end.
    finished_at = ((done_at or state_since) if kind.done else state_since) if kind.closed else None
    late = _late(dates, None if finished_at else around.now, finished_at)
    silent, reached = answer_by is not None and answer_by <= around.now, not is_undelivered(reason)
    # Each by itself: with 100,000 requests, names looked up one by one would be half of the report's time.
    return PropagationLine(
        request_id=asked.id, short=asked.short, right=asked.right, lifting=asked.lifting,
        received_at=asked.received_at, accepted_at=asked.accepted_at, strict_on=dates.strict_on, due_on=dates.due_on,
        processor=kind.processor, title=kind.title, state=kind.state, counts_as=kind.counts_as, rung=kind.rung,
        way=kind.way, causes=kind.causes, reason=reason, task=task, attempts=attempts, notices=notices,
        told_at=told_at, done_at=done_at, state_since=state_since, finished_at=finished_at, late=late,
        waits_for=kind.waits_for,
        waits_until=timer_at if kind.state is State.HELD else answer_by if kind.state is State.ACCEPTED else None,
        need=Need.FORGOTTEN if asked.forgotten and not kind.closed
        else need(kind.state, kind.whatever, late, stopped=bool(kind.stopped), silent=silent, reached=reached),
        stopped=kind.stopped, limits=kind.limits,
    )  # fmt: skip


def _told_everyone(lines: tuple[PropagationLine, ...]) -> bool:
    # What a newer request overtook is told with that one; whoever is exempt was not told, whatever excuses it.
    concerned = [line.told_at for line in lines if line.state is not State.SUPERSEDED]
    return bool(concerned) and None not in concerned


def _late(dates: _Dates, open_at: datetime | None, finished_at: datetime | None) -> Late:
    """`open_at`: now, where it is open. A legal date that was missed stays missed when the request is closed."""
    if open_at is None:
        return Late.FINISHED if finished_at is not None and finished_at >= dates.due_at else Late.NO
    if open_at < dates.target_at:
        return Late.NO
    return Late.OVERDUE if open_at >= dates.due_at else Late.TARGET


def value_of(kind: type[T], row: Row[Any], **given: Any) -> T:
    """A value of the dataclass `kind`: a field is what was `given`, or else the row's column of that name."""
    names: list[str] = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]  # because no bound says "a dataclass"
    return kind(**{name: getattr(row, name) for name in names if name not in given}, **given)
