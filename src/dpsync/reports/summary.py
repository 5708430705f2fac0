"""How many requests are open, late, held, or wait for a person: counted by the database, or of rows that are there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, case, false, func, or_, select

from dpsync.model import CLOSED_STATES, Cause, State
from dpsync.propagation import extensions
from dpsync.reports.meaning import Count, Late
from dpsync.reports.status import StatusRow
from dpsync.reports.words import several
from dpsync.store import tables as t

_R, _P, _D = t.request.c, t.propagation.c, t.decision.c
_OPEN_STATES = sorted(set(State) - CLOSED_STATES)
_ALWAYS = [State.CONTRADICTED, State.ESCALATED, State.HANDED_OVER, State.NOT_IDENTIFIABLE, State.REFUSED]
"""What waits for a person whatever the time (`meaning.need`)."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Requests by what is said of them: `behind` is past our own target, `stopped` waits at a stopped processor.

    `told` of `places`: at how many processors these requests were told, and how many they go to.
    """

    open: int = 0
    overdue: int = 0
    behind: int = 0
    held: int = 0
    people: int = 0
    stopped: int = 0
    told: int = 0
    places: int = 0


def summary_of(rows: Sequence[StatusRow]) -> Summary:
    """Of these rows."""
    return Summary(
        open=sum(1 for row in rows if row.counts_as is Count.NOT_YET),
        overdue=sum(1 for row in rows if row.late is Late.OVERDUE),
        behind=sum(1 for row in rows if row.late is Late.TARGET),
        held=sum(1 for row in rows if row.causes),
        people=sum(1 for row in rows if row.needs_a_person),
        stopped=sum(1 for row in rows if row.stopped),
        told=sum(row.told for row in rows),
        places=sum(row.processors for row in rows),
    )


def summary(connection: Connection, now: datetime) -> Summary:
    """Of all open requests: the same numbers as of their rows, but no row is read."""
    overdue, behind = _late(connection, now)
    stopped = (_P.state == State.PENDING.value) & _P.account_id.in_(
        select(t.account.c.id).where(t.account.c.stopped != "")
    )
    cools = (_P.causes == Cause.COOLING_OFF.value) & ~overdue
    needs = or_(
        _P.state.in_(_ALWAYS),
        and_(_P.state == State.HELD.value, ~cools),
        stopped,
        and_(_P.state == State.PENDING.value, overdue | behind),
        and_(_P.state == State.ACCEPTED.value, overdue | (_P.answer_by <= now)),
    )

    def any_of(condition: Any) -> Any:
        return func.max(case((condition, 1), else_=0))

    open_ones = select(_P.request_id).where(_P.state.in_(_OPEN_STATES))
    each = (
        select(
            any_of(overdue).label("overdue"),
            any_of(behind).label("behind"),
            any_of(_P.causes != "").label("held"),
            any_of(needs).label("people"),
            any_of(stopped).label("stopped"),
            func.count(_P.told_at).label("told"),
            func.count(_P.id).label("places"),
        )
        .select_from(t.request)
        .outerjoin(t.propagation, _P.request_id == _R.id)
        .where(_R.id.in_(open_ones) | _R.id.not_in(select(_P.request_id)))
        .group_by(_R.id)
        .subquery()
        .c
    )
    names = ("overdue", "behind", "held", "people", "stopped", "told", "places")
    row = connection.execute(select(func.count(), *(func.sum(each[name]) for name in names))).one()
    return Summary(*(int(number or 0) for number in row))


def _late(connection: Connection, now: datetime) -> tuple[Any, Any]:
    """Whether an open request is overdue, and whether it is past our target only. An extended date counts."""
    longer = extensions.all_of(connection)
    ended = [one for one, dates in longer.items() if dates.due_at <= now]
    extended = _R.id.in_(select(_D.request_id).where(_D.kind == extensions.KIND)) if longer else false()
    over = (_R.due_at <= now) & ~extended
    if ended:
        over |= _R.id.in_(ended)
    overdue = (_R.target_at <= now) & over
    return overdue, (_R.target_at <= now) & ~over


def head_line(found: Summary, stopped: int = 0, conversations: int = 0, owed: int = 0) -> str:
    """One sentence that is never better than its worst row. `stopped`: how many processors are; `conversations`: how
    many private ones are overdue; `owed`: how many letters, complaints and incidents are.
    """
    parts = [f"{found.overdue:,} OVERDUE"] if found.overdue else []
    parts += [f"{several(conversations, 'private conversation')} OVERDUE"] if conversations else []
    parts += [f"{owed:,} of letters, complaints and incidents OVERDUE"] if owed else []
    parts += [f"{several(stopped, 'processor')} STOPPED"] if stopped else []
    parts += [f"{found.people:,} waiting for a person"] if found.people else []
    parts += [f"{found.behind:,} later than our own target"] if found.behind else []
    parts += [f"{found.held:,} held"] if found.held else []
    late = found.overdue or found.behind or conversations or owed
    opened = f"{'; '.join([*parts, several(found.open, 'request') + ' open'])}."
    return f"{opened} Told {found.told:,} of {found.places:,}." + ("" if late else " Nothing is late.")
