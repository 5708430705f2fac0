"""Where requests stand at each processor: the values that period report, dossier and status are all made of."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, select, type_coerce

from dpsync.mail_status import is_undelivered
from dpsync.model import CLOSED_STATES, DONE_STATES, Cause, Right, Rung, State, Way
from dpsync.propagation import extensions
from dpsync.propagation.extensions import Extension
from dpsync.reports.lines import LineHead, LineKind, PropagationLine, RequestStanding
from dpsync.reports.meaning import Count, Late, Need, counted, counted_together, need, waits_for
from dpsync.reports.processors import ProcessorLine
from dpsync.store import tables as t
from dpsync.store.columns import EPOCH, Instant

T = TypeVar("T")
SHORT = len("r-") + 6

AT_ONCE = 2000
"""So many rows are held besides what is made of them."""


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
        if waiting is not None and waiting[0] == row[0]:
            lines = list(waiting[1])
            waiting = next(grouped, None)
        found.append(_standing(row, lines, around, longer.get(row[0])))
    return tuple(found)


_R, _P = t.request.c, t.propagation.c


def _as_stored(*columns: Any) -> tuple[Any, ...]:
    """Times as the integers that they are stored as: many rows have the same one, and it is read once (`_Moments`)."""
    return tuple(type_coerce(one, BigInteger()) if isinstance(one.type, Instant) else one for one in columns)


_OF_REQUESTS = _as_stored(
    *(_R.id, _R.right, _R.lifting, _R.ground, _R.source, _R.received_at, _R.received_assumed, _R.accepted_at),
    *(_R.target_at, _R.starts_on, _R.strict_on, _R.due_on, _R.letter_by, _R.due_at, _R.clock_rule, _R.closed_at),
    *(_R.shredded_at, _R.scope),
)
_OF_KIND = (
    *(_P.processor, _P.account_id, _P.state, _P.rung, _P.way, _P.causes, _P.reason, _P.task, _P.attempts),
    _P.notices,
)
"""What lines have in common (`_Around.kind`)."""
_OF_PLACES = _as_stored(*(_P.request_id, *_OF_KIND, _P.told_at, _P.done_at, _P.state_since, _P.answer_by, _P.timer_at))
"""In the order in which they are taken: a name looked up is dearer than a place, and there are 300,000 rows."""
_KIND = slice(1, 1 + len(_OF_KIND))

_owner = itemgetter(0)
_day = lru_cache(4096)(date.fromisoformat)
"""Thousands of requests have the same few days."""


class _Moments(dict[int | None, Any]):
    """A stored time as one of ours. Those of one request are much the same, so each is made once."""

    def __missing__(self, stored: int) -> datetime:
        if len(self) > AT_ONCE:
            self.clear()
            self[None] = None
        made = self[stored] = EPOCH + timedelta(microseconds=stored)
        return made


@dataclass(frozen=True, slots=True)
class _Around:
    """What stands around a request: the time, the processors as they are set, and why an account is stopped."""

    now: datetime
    processors: Mapping[str, ProcessorLine]
    stopped: Mapping[str, str]
    kinds: dict[Right, dict[tuple[Any, ...], LineKind]] = field(default_factory=lambda: defaultdict(dict))
    needs: dict[tuple[LineKind, Late, bool], Need] = field(default_factory=dict)
    moments: _Moments = field(default_factory=lambda: _Moments({None: None}))

    def kind(self, right: Right, key: tuple[Any, ...]) -> LineKind:
        """Of a right, and a processor, account, state, rung, way, causes, reason, task, attempts and notices; made
        once."""
        found = self.kinds[right].get(key)
        if found is None:
            found = self.kinds[right][key] = self._made(right, *key)
        return found

    def _made(
        self,
        right: Right,
        name: str,
        account: str,
        stored: str,
        rung: int,
        way: str,
        said: str,
        *rest: Any,
    ) -> LineKind:
        processor, state = self.processors.get(name), State(stored)
        can = processor.of(right) if processor else None
        causes = tuple(Cause(one) for one in said.split(",") if one)
        stop = self.stopped.get(account, "") if state is State.PENDING else ""
        reason, task, attempts, notices = rest
        return LineKind(
            right=right,
            processor=name,
            title=processor.title if processor else name,
            state=state,
            counts_as=counted(state),
            rung=Rung(rung),
            way=Way(way),
            causes=causes,
            reason=reason,
            task=task,
            attempts=attempts,
            notices=notices,
            waits_for=waits_for(state, frozenset(causes), stopped=bool(stop)),
            stopped=stop,
            limits=can.limits if can else "" if processor else "not configured any more: what it can do is not known",
            done=state in DONE_STATES,
            closed=state in CLOSED_STATES,
        )

    def need(self, kind: LineKind, late: Late, *, silent: bool) -> Need:
        """What a person must do about a line; asked once of all that are alike."""
        found = self.needs.get((kind, late, silent))
        if found is None:
            causes, reached = frozenset(kind.causes), not is_undelivered(kind.reason)
            found = need(kind.state, causes, late, stopped=bool(kind.stopped), silent=silent, reached=reached)
            self.needs[kind, late, silent] = found
        return found


def _standing(
    row: Sequence[Any], places: Iterable[Row[Any]], around: _Around, longer: Extension | None
) -> RequestStanding:
    id_, right, lifting, ground, source, received, assumed, accepted, target, starts, *days, rule = row[:-3]
    closed, gone, scope = row[-3:]
    strict_on, due_on, letter_by, over = days
    moments = around.moments
    target_at, closed_at = moments[target], moments[closed]
    if longer is None:
        strict_on, due_on, letter_by, due_at = _day(strict_on), _day(due_on), _day(letter_by), moments[over]
    else:  # the dates that count are those of the extension
        strict_on, due_on, letter_by, due_at = longer.strict_on, longer.due_on, longer.strict_on, longer.due_at
    head = LineHead(
        id_, id_[:SHORT], _RIGHTS[right], lifting, moments[received], moments[accepted], strict_on, due_on,
        forgotten=gone is not None, scope=scope,
    )  # fmt: skip
    lines = tuple([_line(one, head, around, target_at, due_at) for one in places])
    counts_as = counted_together([line.kind.counts_as for line in lines])
    return RequestStanding(
        id=id_, short=head.short, right=head.right, lifting=lifting, ground=ground, source=source,
        received_at=head.received_at, received_assumed=assumed, accepted_at=head.accepted_at, target_at=target_at,
        starts_on=_day(starts), strict_on=strict_on, due_on=due_on, letter_by=letter_by, due_at=due_at,
        clock_rule=rule, closed_at=closed_at, shredded_at=moments[gone], counts_as=counts_as,
        told_everyone=_told_everyone(lines), lines=lines, scope=scope,
        late=_late(target_at, due_at, around.now if counts_as is Count.NOT_YET else None, closed_at),
    )  # fmt: skip


_RIGHTS = {right.value: right for right in Right}


def _line(row: Row[Any], head: LineHead, around: _Around, target_at: datetime, due_at: datetime) -> PropagationLine:
    told, done, since, answer, timer = row[_KIND.stop :]
    kind, moments = around.kind(head.right, row[_KIND]), around.moments
    done_at, state_since = moments[done], moments[since]
    # A later reading of what is done moves `state_since`, and is no later end.
    finished_at = ((done_at or state_since) if kind.done else state_since) if kind.closed else None
    late = _late(target_at, due_at, None if finished_at else around.now, finished_at)
    answer_by = moments[answer]
    silent, state = answer_by is not None and answer_by <= around.now, kind.state
    return PropagationLine(
        head, kind, moments[told], done_at, state_since, finished_at, late,
        moments[timer] if state is State.HELD else answer_by if state is State.ACCEPTED else None,
        Need.FORGOTTEN if head.forgotten and not kind.closed else around.need(kind, late, silent=silent),
    )  # fmt: skip


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


def value_of(kind: type[T], row: Row[Any], **given: Any) -> T:
    """A value of the dataclass `kind`: a field is what was `given`, or else the row's column of that name."""
    names: list[str] = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]  # because no bound says "a dataclass"
    return kind(**{name: getattr(row, name) for name in names if name not in given}, **given)
