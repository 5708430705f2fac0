"""What is open, late, held, and waiting for whom: the rows of `dpsync status`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, exists, func, select

from dpsync.model import CLOSED_STATES, Cause, Right, State
from dpsync.reports.lines import PropagationLine, RequestStanding
from dpsync.reports.meaning import Count, Late, WaitsFor
from dpsync.reports.processors import ProcessorLine
from dpsync.reports.standing import SHORT, read_standing
from dpsync.reports.words import STATES
from dpsync.store import tables as t

AT_ONCE = 500
"""SQLite takes a bounded number of parameters in one statement."""


MOST_NAMED = 100
"""So many lines a run ends with; of more it says how many."""


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One request. `states` is compact: alike processors together, what is held with its causes. `waits_for` is for
    whom, in words, with the processors' titles where it is they. `stopped`: where it waits for a `dpsync resume`.
    """

    request_id: str
    short: str
    right: Right
    lifting: bool
    received_at: datetime
    due_on: date
    due_at: datetime
    counts_as: Count
    states: str
    causes: tuple[Cause, ...]
    stopped: tuple[str, ...]
    waits_for: tuple[str, ...]
    late: Late
    needs_a_person: bool
    told: int
    processors: int
    scope: str = ""


def status_rows(
    connection: Connection,
    *,
    now: datetime,
    only_open: bool = True,
    limit: int = 100,
    request_id: str | None = None,
    processors: Mapping[str, ProcessorLine] | None = None,
) -> list[StatusRow]:
    """At most `limit` requests: the open ones, those first whose legal date comes first; or all, the newest first.

    `request_id` (a full id) gives that one, open or not. `processors` lend their titles.
    """
    r, p = t.request.c, t.propagation.c
    chosen = select(r.id).limit(limit)
    if request_id is not None:
        chosen = chosen.where(r.id == request_id)
    elif only_open:
        closed = [state.value for state in CLOSED_STATES]
        anything = exists().where(p.request_id == r.id)
        something_open = exists().where(p.request_id == r.id, p.state.not_in(closed))
        chosen = chosen.where(something_open | ~anything).order_by(r.due_at, r.ordinal)
    else:
        chosen = chosen.order_by(r.ordinal.desc())
    ids = [row.id for row in connection.execute(chosen)]
    asked = {
        one.id: one
        for part in (ids[at : at + AT_ONCE] for at in range(0, len(ids), AT_ONCE))
        for one in read_standing(connection, r.id.in_(part), now, processors or {})
    }
    return [_row(asked[one]) for one in ids]


@dataclass(frozen=True, slots=True)
class NotThrough:
    """What a run could not bring through at one processor: nobody calls it done."""

    short: str
    processor: str
    state: str
    reason: str


def not_through(connection: Connection) -> tuple[list[NotThrough], int]:
    """What is to be tried again, stopped, refused or contradicted: the first `MOST_NAMED`, and how many there are."""
    p = t.propagation.c
    behind = (State.PENDING, State.REFUSED, State.CONTRADICTED, State.ESCALATED, State.NOT_IDENTIFIABLE)
    chosen = p.state.in_([state.value for state in behind])
    number = connection.execute(select(func.count()).select_from(t.propagation).where(chosen)).scalar_one()
    query = select(p.request_id, p.processor, p.state, p.reason).where(chosen).order_by(p.ordinal, p.processor)
    rows = connection.execute(query.limit(MOST_NAMED))
    return [NotThrough(row.request_id[:SHORT], row.processor, row.state, row.reason) for row in rows], number


def _row(one: RequestStanding) -> StatusRow:
    return StatusRow(
        request_id=one.id,
        short=one.short,
        right=one.right,
        lifting=one.lifting,
        received_at=one.received_at,
        due_on=one.due_on,
        due_at=one.due_at,
        counts_as=one.counts_as,
        states=_compact(one.lines),
        causes=tuple(sorted({cause for line in one.lines for cause in line.causes})),
        stopped=tuple(line.processor for line in one.lines if line.stopped),
        waits_for=_waits(one.lines),
        late=one.late,
        needs_a_person=any(line.need for line in one.lines),
        told=sum(1 for line in one.lines if line.told_at is not None),
        processors=len(one.lines),
        scope=one.scope,
    )


def _compact(lines: tuple[PropagationLine, ...]) -> str:
    alike: dict[str, list[str]] = {}
    for line in lines:
        held = ", ".join(cause.replace("_", " ") for cause in line.causes)
        said = f"held: {held}" if line.state is State.HELD else STATES[line.state]
        said += ", STOPPED" if line.stopped else ""
        alike.setdefault(said, []).append(line.title)
    if len(alike) == 1 and len(lines) > 1:
        return f"{next(iter(alike))} (all {len(lines)})"
    return "; ".join(f"{said} ({', '.join(titles)})" for said, titles in alike.items())


def _waits(lines: tuple[PropagationLine, ...]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for line in lines:
        match line.waits_for:
            case WaitsFor.NOBODY:
                continue
            case WaitsFor.PROCESSOR:
                found[line.title] = None
            case WaitsFor.DPO | WaitsFor.OPERATOR:
                found[f"the {'DPO' if line.waits_for is WaitsFor.DPO else 'operator'}"] = None
            case WaitsFor.TIME | WaitsFor.DPSYNC:
                found[line.waits_for.value] = None
    return tuple(found)
