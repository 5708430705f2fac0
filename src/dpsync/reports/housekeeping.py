"""Whether the service itself is well: alerts that nobody has got yet, and when each timed job last succeeded."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from dpsync.store import meta
from dpsync.store import tables as t


@dataclass(frozen=True, slots=True)
class AlertLine:
    """An alert that no channel has taken yet."""

    subject: str
    role: str
    created_at: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class JobLine:
    """A timed job: when it last succeeded (None: never) and when it is due."""

    name: str
    last_ok_at: datetime | None
    due_at: datetime


DRILL = "drill"
"""The row of `meta` that says when a back-up was tried last, and how many problems there were."""


@dataclass(frozen=True, slots=True)
class Drilled:
    """When a back-up was tried last, and how many problems there were."""

    at: datetime
    problems: int


def drilled(connection: Connection) -> Drilled | None:
    """The last `dpsync drill`; None before the first."""
    value = meta.value_of(connection, DRILL)
    if value is None:
        return None
    at, _, problems = value.partition(" ")
    return Drilled(datetime.fromisoformat(at), int(problems))


def undelivered(connection: Connection, now: datetime) -> tuple[AlertLine, ...]:
    """What should have gone by now, or was tried in vain; what is still being gathered is not late."""
    a = t.alert.c
    owed = a.sent_at.is_(None) & ((a.attempts > 0) | (a.due_at <= now))
    rows = connection.execute(select(a.subject, a.role, a.created_at, a.attempts).where(owed).order_by(a.id))
    return tuple(AlertLine(row.subject, row.role, row.created_at, row.attempts) for row in rows)


def alerts_raised(connection: Connection, begin: datetime, end: datetime) -> int:
    """How many alerts were raised from `begin` up to `end`."""
    a = t.alert.c
    raised = select(func.count()).where(a.created_at >= begin, a.created_at < end)
    return int(connection.execute(raised).scalar_one())


def jobs(connection: Connection) -> tuple[JobLine, ...]:
    """The timed jobs by name."""
    j = t.job.c
    rows = connection.execute(select(j.name, j.last_ok_at, j.due_at).order_by(j.name))
    return tuple(JobLine(row.name, row.last_ok_at, row.due_at) for row in rows)


def mail_waiting(connection: Connection, request_id: str | None = None) -> int:
    """How many messages that came in by mail nobody has read yet: all, or those about one request."""
    p = t.post.c
    waiting = select(func.count()).select_from(t.post).where(p.waits_for != "", p.read_at.is_(None))
    if request_id is not None:
        of_it = select(t.propagation.c.id).where(t.propagation.c.request_id == request_id)
        waiting = waiting.where(p.propagation_id.in_(of_it))
    return int(connection.execute(waiting).scalar_one())
