"""Where requests stand at each processor: the values that period report, dossier and status are all made of."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, select, type_coerce

from dpsync.ledger.stored_rows import Stretched, placed
from dpsync.model import Right, State
from dpsync.propagation import extensions
from dpsync.reports.around import AT_ONCE, Around, Moments
from dpsync.reports.lines import LineHead, PropagationLine, RequestStanding
from dpsync.reports.meaning import Count, Late, Need
from dpsync.reports.processors import ProcessorLine
from dpsync.store import tables as t
from dpsync.store.columns import Instant

T = TypeVar("T")
SHORT = len("r-") + 6

Wanted = Callable[[object, object], bool]
"""Whether a request is wanted, by when it was received and closed: microseconds since the epoch, as they are stored."""


def read_standing(
    connection: Connection, chosen: ColumnElement[bool], now: datetime, processors: Mapping[str, ProcessorLine]
) -> tuple[RequestStanding, ...]:
    """The requests for which `chosen` (over table `request`) holds, oldest first, each with its lines by name."""
    return Standings(now, processors).with_the_rest(connection, chosen)


_R, _P = t.request.c, t.propagation.c


def _as_stored(columns: Iterable[Any]) -> tuple[Any, ...]:
    """Times as the integers that they are stored as: many rows have the same one, and it is read once (`Moments`)."""
    return tuple(type_coerce(one, BigInteger()) if isinstance(one.type, Instant) else one for one in columns)


_OF_REQUESTS = (
    *(_R.id, _R.right, _R.lifting, _R.ground, _R.source, _R.received_at, _R.received_assumed, _R.accepted_at),
    *(_R.target_at, _R.starts_on, _R.strict_on, _R.due_on, _R.letter_by, _R.due_at, _R.clock_rule, _R.closed_at),
    *(_R.shredded_at, _R.scope),
)
_OF_KIND = (
    *(_P.processor, _P.account_id, _P.state, _P.rung, _P.way, _P.causes, _P.reason, _P.task, _P.attempts),
    _P.notices,
)
"""What lines have in common (`Around.kind`)."""
_OF_PLACES = (_P.request_id, *_OF_KIND, _P.told_at, _P.done_at, _P.state_since, _P.answer_by, _P.timer_at)
"""In the order in which they are taken: a name looked up is dearer than a place, and there are 300,000 rows."""
_RECEIVED, _CLOSED = 5, 15
"""Where `_OF_REQUESTS` has them."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """What takes `_OF_REQUESTS` out of a row; and out of one of a propagation its request, `_OF_KIND` and its times."""

    request: Callable[[Any], tuple[Any, ...]]
    owner: Callable[[Any], str]
    kind: Callable[[Any], tuple[Any, ...]]
    times: Callable[[Any], tuple[Any, ...]]


def _taken(requests: Sequence[int], places: Sequence[int]) -> _Taken:
    """By where the columns of `_OF_REQUESTS` and `_OF_PLACES` stand."""
    owner, kind, times = places[0], places[1 : 1 + len(_OF_KIND)], places[1 + len(_OF_KIND) :]
    return _Taken(itemgetter(*requests), itemgetter(owner), itemgetter(*kind), itemgetter(*times))


_ASKED = _taken(range(len(_OF_REQUESTS)), range(len(_OF_PLACES)))
_STORED = _taken(placed("request", _OF_REQUESTS), placed("propagation", _OF_PLACES))
(_ORDINAL,) = placed("request", (_R.ordinal,))

_day = lru_cache(4096)(date.fromisoformat)
"""Thousands of requests have the same few days."""


def _standing(row: Sequence[Any], places: Iterable[Any], around: Around, taken: _Taken) -> RequestStanding:
    id_, right, lifting, ground, source, received, assumed, accepted, target, starts, *days, rule = row[:-3]
    closed, gone, scope = row[-3:]
    strict_on, due_on, letter_by, over = days
    moments, longer = around.moments, around.longer.get(id_)
    target_at, closed_at = moments[target], moments[closed]
    if longer is None:
        strict_on, due_on, letter_by, due_at = _day(strict_on), _day(due_on), _day(letter_by), moments[over]
    else:  # the dates that count are those of the extension
        strict_on, due_on, letter_by, due_at = longer.strict_on, longer.due_on, longer.strict_on, longer.due_at
    head = LineHead(
        id_, id_[:SHORT], _RIGHTS[right], bool(lifting), moments[received], moments[accepted], strict_on, due_on,
        forgotten=gone is not None, scope=scope,
    )  # fmt: skip
    lines = _lines(places, head, around, taken, (target_at, due_at))
    counts_as = around.counts_as(tuple([line.kind for line in lines]))
    late = _late(target_at, due_at, around.now if counts_as is Count.NOT_YET else None, closed_at)
    # By place: with 19 names, making each took half as long again.
    return RequestStanding(
        id_, head.short, head.right, head.lifting, ground, source, head.received_at, bool(assumed), head.accepted_at,
        target_at, _day(starts), strict_on, due_on, letter_by, due_at, rule, closed_at, moments[gone], counts_as,
        _told_everyone(lines), late, lines, scope,
    )  # fmt: skip


_RIGHTS = {right.value: right for right in Right}


def _lines(
    places: Iterable[Any], head: LineHead, around: Around, taken: _Taken, ends: tuple[datetime, datetime]
) -> tuple[PropagationLine, ...]:
    """`ends`: our target, and the legal date. One loop and no call that is not needed: it goes round 300,000 times."""
    of_kind, times, moments, now = taken.kind, taken.times, around.moments, around.now
    right, (target_at, due_at) = head.right, ends
    kinds, needs, found = around.kinds[right], around.needs, []
    for row in places:
        key = of_kind(row)
        told, done, since, answer, timer = times(row)
        kind, done_at, state_since, answer_by = kinds.get(key), moments[done], moments[since], moments[answer]
        kind = kind or around.kind(right, key)
        # A later reading of what is done moves `state_since`, and is no later end.
        finished_at = ((done_at or state_since) if kind.done else state_since) if kind.closed else None
        late = _late(target_at, due_at, None if finished_at else now, finished_at)
        silent = answer_by is not None and answer_by <= now
        needed = needs.get((kind, late, silent))
        if needed is None:
            needed = around.need(kind, late, silent=silent)
        waits_until = None if kind.closed else _waits_until(kind.state, moments, timer, answer_by)
        needed = Need.FORGOTTEN if head.forgotten and not kind.closed else needed
        found.append(
            PropagationLine(head, kind, moments[told], done_at, state_since, finished_at, late, waits_until, needed)
        )
    return tuple(found)


def _waits_until(state: State, moments: Moments, timer: int | None, answer_by: datetime | None) -> datetime | None:
    if state is State.HELD:
        held: datetime | None = moments[timer]
        return held
    return answer_by if state is State.ACCEPTED else None


def _told_everyone(lines: tuple[PropagationLine, ...]) -> bool:
    # What a newer request overtook is told with that one; whoever is exempt was not told, whatever excuses it.
    concerned = [line.told_at for line in lines if line.kind.state is not State.SUPERSEDED]
    return bool(concerned) and None not in concerned


def _late(target_at: datetime, due_at: datetime, open_at: datetime | None, finished_at: datetime | None) -> Late:
    """`open_at`: now, where it is open. A legal date that was missed stays missed when the request is closed."""
    if open_at is None:
        return Late.FINISHED if finished_at is not None and finished_at >= due_at else Late.NO
    if open_at < target_at:
        return Late.NO
    return Late.OVERDUE if open_at >= due_at else Late.TARGET


class Standings:
    """Where requests stand: made of pages that somebody else reads in order of receipt, and of what came after those.

    `wanted`: of which requests in the pages, by when they were received and closed, as stored. Whoever reads does so in
    one view.
    """

    def __init__(self, now: datetime, processors: Mapping[str, ProcessorLine], wanted: Wanted | None = None) -> None:
        self._now, self._processors, self._wanted = now, processors, wanted
        self._around: Around | None = None
        self._found: list[RequestStanding] = []
        self._until = 0

    def take(self, connection: Connection, page: Stretched) -> None:
        """Take the next page."""
        self._until = page["request"][-1][_ORDINAL]
        self._make(connection, page["request"], page["propagation"], _STORED)

    def with_the_rest(self, connection: Connection, chosen: ColumnElement[bool]) -> tuple[RequestStanding, ...]:
        """All that was taken, and those after it for which `chosen` (over table `request`) holds."""
        left = chosen & (_R.ordinal > self._until)
        requests = connection.execute(select(*_as_stored(_OF_REQUESTS)).where(left).order_by(_R.ordinal)).all()
        if requests:
            places = select(*_as_stored(_OF_PLACES)).join(t.request, _R.id == _P.request_id).where(left)
            ordered = places.order_by(_R.ordinal, _P.processor).execution_options(yield_per=AT_ONCE)
            self._make(connection, requests, connection.execute(ordered), _ASKED)
        return tuple(self._found)

    def _make(self, connection: Connection, requests: Iterable[Any], places: Iterable[Any], taken: "_Taken") -> None:
        around = self._around = self._around or _around(connection, self._now, self._processors)
        wanted, grouped = self._wanted, groupby(places, taken.owner)
        waiting = next(grouped, None)
        for row in map(taken.request, requests):
            lines: Iterable[Any] = ()
            if waiting is not None and waiting[0] == row[0]:
                lines = list(waiting[1])
                waiting = next(grouped, None)
            if wanted is None or wanted(row[_RECEIVED], row[_CLOSED]):
                self._found.append(_standing(row, lines, around, taken))


def _around(connection: Connection, now: datetime, processors: Mapping[str, ProcessorLine]) -> "Around":
    stopped: dict[str, str] = {
        row.id: row.stopped
        for row in connection.execute(select(t.account.c.id, t.account.c.stopped).where(t.account.c.stopped != ""))
    }
    return Around(now, processors, stopped, extensions.all_of(connection))


def value_of(kind: type[T], row: Row[Any], **given: Any) -> T:
    """A value of the dataclass `kind`: a field is what was `given`, or else the row's column of that name."""
    names: list[str] = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]  # because no bound says "a dataclass"
    return kind(**{name: getattr(row, name) for name in names if name not in given}, **given)
