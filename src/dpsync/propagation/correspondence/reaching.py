"""What is open, and which level of the ladder it has reached: counted by the database, and only the few read as rows.

So a look costs as many statements and rows with half a million open propagations as with a hundred.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, case, func, select

from dpsync.alerts import few
from dpsync.model import CLOSED_STATES, Cause, Right, State
from dpsync.propagation import extensions
from dpsync.propagation.correspondence.levels import (
    LEVELS,
    Dates,
    Level,
    Open,
    is_named,
    level_of,
    reached,
    reaches_next,
)
from dpsync.store import tables as t

_IN_ONE = 500  # SQLite takes a bounded number of parameters in one statement
_P, _R, _D = t.propagation.c, t.request.c, t.decision.c
OPEN: Final[ColumnElement[bool]] = _P.state.in_(sorted(set(State) - CLOSED_STATES)) & (
    _P.causes != Cause.COOLING_OFF.value
)
"""What still waits for somebody or something; what only cools off is left out."""

_EXTENDED = select(_D.request_id).where(_D.kind == extensions.KIND)
_COLUMNS = Dates(_P.right, _R.received_at, _R.target_at, _R.strict_on, _R.due_at)


@dataclass(frozen=True, slots=True)
class LevelReached:
    """What has reached a level. `named`: the propagations of processors that have few, with the opt-outs that reach it
    next. `crowds`: how many there are of each other processor; `next`: how many of its opt-outs reach it next.
    """

    level: Level
    named: Sequence[Open]
    crowds: Mapping[str, int]
    next: Mapping[str, int]


def open_propagations(connection: Connection, only: ColumnElement[bool] = OPEN) -> list[Open]:
    """Those for which `only` holds (over propagation and request), the oldest first, with their dates as extended."""
    rows = connection.execute(
        select(_P.request_id, _P.processor, _P.told_at, _R.due_on, *_COLUMNS)
        .join(t.request, _R.id == _P.request_id)
        .where(only)
        .order_by(_P.ordinal, _P.id)
    ).all()
    longer = extensions.all_of(connection) if rows else {}
    return [
        Open(
            row.request_id,
            row.processor,
            Right(row.right),
            row.received_at,
            row.target_at,
            more.strict_on if (more := longer.get(row.request_id)) else date.fromisoformat(row.strict_on),
            more.due_on if more else date.fromisoformat(row.due_on),
            more.due_at if more else row.due_at,
            row.told_at is not None,
        )
        for row in rows
    ]


def still_open(connection: Connection, ones: Iterable[Open]) -> list[Open]:
    """Those of them that are still open, as they are now."""
    wanted, found = {one.about for one in ones}, []
    ids = sorted({about.partition("/")[0] for about in wanted})
    for at in range(0, len(ids), _IN_ONE):
        found += open_propagations(connection, OPEN & _P.request_id.in_(ids[at : at + _IN_ONE]))
    return [one for one in found if one.about in wanted]


def all_reached(connection: Connection, now: datetime, today: date) -> list[LevelReached]:
    """What has reached each level that anything has reached."""
    at = _level_at(now, today)
    extended = _extended(connection)
    counts = _counted(connection, at, extended, now, today)
    found = []
    for level in LEVELS:
        here: Counter[str] = Counter()
        for (cause, _, processor), number in counts.items():
            here[processor] += number if cause == level.cause else 0
        if not +here:
            continue
        coming = _coming(counts, level)
        named = few(here + coming)
        wanted = at == level.cause.value
        if level.after is not None:
            wanted |= reaches_next(_COLUMNS, level.after, now)
        rows = _of(connection, OPEN & _R.id.not_in(_EXTENDED) & wanted, named)
        rows += [one for one in extended if one.processor in named and is_named(one, level, now, today)]
        crowds = {processor: here[processor] for processor in (here + coming) if processor not in named}
        found.append(LevelReached(level, rows, crowds, coming))
    return found


def counted(connection: Connection, now: datetime, today: date) -> Counter[tuple[str, str, str]]:
    """How many are open, by the cause of the level that they have reached ("" for none), right and processor."""
    return _counted(connection, _level_at(now, today), _extended(connection), now, today)


def _level_at(now: datetime, today: date) -> Any:
    return case(*[(so, level.cause.value) for level, so in reached(_COLUMNS, now, today)], else_="")


def _extended(connection: Connection) -> list[Open]:
    return open_propagations(connection, OPEN & _R.id.in_(_EXTENDED))


def _counted(
    connection: Connection, at: Any, extended: Sequence[Open], now: datetime, today: date
) -> Counter[tuple[str, str, str]]:
    """What was extended is judged one by one: the request's own dates say nothing of it."""
    each = select(at.label("cause"), _P.right, _P.processor).join(t.request, _R.id == _P.request_id)
    c = each.where(OPEN, _R.id.not_in(_EXTENDED)).subquery().c
    query = select(c.cause, c.right, c.processor, func.count()).group_by(c.cause, c.right, c.processor)
    found = Counter({(cause, right, name): number for cause, right, name, number in connection.execute(query)})
    for one in extended:
        level = level_of(one, now, today)
        found[level.cause.value if level else "", one.right.value, one.processor] += 1
    return found


def _coming(counts: Mapping[tuple[str, str, str], int], level: Level) -> Counter[str]:
    """How many opt-outs of each processor reach a level of hours next."""
    found: Counter[str] = Counter()
    louder = {one.cause for one in LEVELS[: LEVELS.index(level) + 1]}
    for (cause, right, processor), number in counts.items():
        if level.after is not None and right == Right.OPT_OUT.value and cause not in louder:
            found[processor] += number
    return found


def _of(connection: Connection, wanted: ColumnElement[bool], processors: Collection[str]) -> list[Open]:
    names, found = sorted(processors), list[Open]()
    for at in range(0, len(names), _IN_ONE):
        found += open_propagations(connection, wanted & _P.processor.in_(names[at : at + _IN_ONE]))
    return found


def overdue(connection: Connection, now: datetime, most: int) -> tuple[list[str], int]:
    """The requests that are open somewhere after their legal date: the first `most` ids, and how many there are."""
    late = select(_P.request_id).join(t.request, _R.id == _P.request_id)
    late = late.where(OPEN, _R.id.not_in(_EXTENDED), _R.due_at <= now).distinct()
    number = connection.execute(select(func.count()).select_from(late.subquery())).scalar_one()
    ids = connection.execute(late.order_by(_P.request_id).limit(most)).scalars()
    extended = _extended(connection)
    more = {one.request_id for one in extended if one.due_at <= now}
    return sorted({*ids, *more})[:most], number + len(more)
