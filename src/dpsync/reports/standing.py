"""Where requests stand at each processor: the values that period report, dossier and status are all made of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from itertools import groupby
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


def read_standing(
    connection: Connection, chosen: ColumnElement[bool], now: datetime, processors: Mapping[str, ProcessorLine]
) -> tuple[RequestStanding, ...]:
    """The requests for which `chosen` (over table `request`) holds, oldest first, each with its lines by name."""
    r, p = t.request.c, t.propagation.c
    stopped: dict[str, str] = {
        row.id: row.stopped
        for row in connection.execute(select(t.account.c.id, t.account.c.stopped).where(t.account.c.stopped != ""))
    }
    hidden = {"sealed", "wrapped_key", "person", "subject_id", "body_mac", "event_id"}
    asked = select(*[column for column in r if column.name not in hidden]).where(chosen).order_by(r.ordinal)
    places = (
        select(*[column for column in p if column.name not in {"subject_id", "person", "handed"}])
        .join(t.request, r.id == p.request_id)
        .where(chosen)
        .order_by(r.ordinal, p.processor)
        .execution_options(yield_per=AT_ONCE)
    )
    requests = connection.execute(asked).all()
    longer, around = extensions.all_of(connection), _Around(processors, stopped)
    grouped = groupby(connection.execute(places), lambda row: str(row.request_id))
    waiting = next(grouped, None)
    found = []
    for row in requests:
        lines: Iterable[Row[Any]] = ()
        if waiting is not None and waiting[0] == row.id:
            lines = list(waiting[1])
            waiting = next(grouped, None)
        found.append(_standing(row, lines, now, around, _dates(row, longer.get(row.id))))
    return tuple(found)


_day = lru_cache(4096)(date.fromisoformat)
"""Thousands of requests have the same few days."""


@dataclass(frozen=True, slots=True)
class _Around:
    """What stands around a request: the processors as they are set, and why an account is stopped."""

    processors: Mapping[str, ProcessorLine]
    stopped: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What every line of a request says of it."""

    id: str
    short: str
    right: Right
    lifting: bool
    received_at: datetime
    accepted_at: datetime


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


def _standing(
    row: Row[Any], places: Iterable[Row[Any]], now: datetime, around: _Around, dates: _Dates
) -> RequestStanding:
    asked = _Asked(row.id, row.id[:SHORT], Right(row.right), row.lifting, row.received_at, row.accepted_at)
    lines = tuple(_line(one, asked, now, around, dates) for one in places)
    counts_as = counted_together([line.counts_as for line in lines])
    return value_of(
        RequestStanding,
        row,
        starts_on=_day(row.starts_on),
        strict_on=dates.strict_on,
        due_on=dates.due_on,
        due_at=dates.due_at,
        letter_by=dates.letter_by,
        short=asked.short,
        right=asked.right,
        counts_as=counts_as,
        told_everyone=_told_everyone(lines),
        late=_late(dates, now if counts_as is Count.NOT_YET else None, row.closed_at),
        lines=lines,
    )


def _line(row: Row[Any], asked: _Asked, now: datetime, around: _Around, dates: _Dates) -> PropagationLine:
    processor, state = around.processors.get(row.processor), State(row.state)
    can = processor.of(asked.right) if processor else None
    causes = tuple(Cause(name) for name in row.causes.split(",") if name)
    # A later reading of what is done moves `state_since`, and is no later end.
    finished_at = (row.done_at or row.state_since) if state in DONE_STATES else row.state_since
    finished_at = finished_at if state in CLOSED_STATES else None
    late = _late(dates, None if finished_at else now, finished_at)
    stop = around.stopped.get(row.account_id, "") if state is State.PENDING else ""
    silent = row.answer_by is not None and row.answer_by <= now
    reached = not is_undelivered(row.reason)
    # Each by itself: with 100,000 requests, names looked up one by one would be half of the report's time.
    return PropagationLine(
        request_id=asked.id, short=asked.short, right=asked.right, lifting=asked.lifting,
        received_at=asked.received_at, accepted_at=asked.accepted_at, strict_on=dates.strict_on, due_on=dates.due_on,
        processor=row.processor, title=processor.title if processor else row.processor, state=state,
        counts_as=counted(state), rung=Rung(row.rung), way=Way(row.way), causes=causes, reason=row.reason,
        task=row.task, attempts=row.attempts, notices=row.notices, told_at=row.told_at, done_at=row.done_at,
        state_since=row.state_since, finished_at=finished_at, late=late,
        waits_for=waits_for(state, frozenset(causes), stopped=bool(stop)),
        waits_until=row.timer_at if state is State.HELD else row.answer_by if state is State.ACCEPTED else None,
        need=need(state, frozenset(causes), late, stopped=bool(stop), silent=silent, reached=reached),
        stopped=stop,
        limits=can.limits if can else "" if processor else "not configured any more: what it can do is not known",
    )  # fmt: skip


def _told_everyone(lines: tuple[PropagationLine, ...]) -> bool:
    # What a newer request overtook is told with that one; whoever is exempt was not told, whatever excuses it.
    concerned = [line for line in lines if line.state is not State.SUPERSEDED]
    return bool(concerned) and all(line.told_at is not None for line in concerned)


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
