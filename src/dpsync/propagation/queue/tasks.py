"""What is due at an account at this moment: the next of each lane, and what time alone brings about."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, bindparam, exists, or_, select

from dpsync.model import State
from dpsync.propagation.rules.event import Timer
from dpsync.store import tables as t


@dataclass(frozen=True, slots=True)
class Task:
    """Something due: the next of a lane (`timer` None), or what time alone brings about.

    `may_call_until` gives, each time anew, the monotonic moment after which no call of it may begin.
    """

    account_id: str
    subject_id: str
    propagation_id: int | None = None
    timer: Timer | None = None
    may_call_until: Callable[[], float] = field(default=lambda: float("inf"), repr=False, compare=False)

    @property
    def lane(self) -> tuple[str, str]:
        """The account and the subject: of one lane, one call is under way at a time."""
        return self.account_id, self.subject_id


_L, _P, _A = t.lane.c, t.propagation.c, t.account.c
_LANES = (
    select(_L.subject_id)
    .where(_L.account_id == bindparam("account"), _L.due_at <= bindparam("now"))
    .order_by(_L.due_at)
    .limit(bindparam("most"))
)
_TIMERS = (
    select(_P.subject_id, _P.id, _P.timer)
    .where(_P.account_id == bindparam("account"), _P.timer_at <= bindparam("now"))
    .order_by(_P.timer_at)
    .limit(bindparam("most"))
)
_OWED = _P.state.in_([State.ACCEPTED, State.HANDED_OVER]) & (_P.answer_by <= bindparam("now"))
_NEEDS_NO_CALL = or_(
    _P.timer.in_([Timer.COOLING_OFF, Timer.ESCALATE]), _OWED & _P.timer.in_([Timer.REMIND, Timer.REREAD])
)


def due_tasks(
    connection: Connection, account_id: str, now: datetime, may_call_until: Callable[[], float], limit: int
) -> list[Task]:
    """What is due at an account, longest due first: lanes, then timers."""
    asked = {"account": account_id, "now": now, "most": limit}
    lanes, timers = connection.execute(_LANES, asked), connection.execute(_TIMERS, asked)
    tasks = [Task(account_id, row.subject_id, may_call_until=may_call_until) for row in lanes]
    return tasks + [Task(account_id, row.subject_id, row.id, Timer(row.timer), may_call_until) for row in timers]


def due_without_a_call(connection: Connection, account_id: str, now: datetime, limit: int) -> list[Task]:
    """What time brings about although nothing may be called: a cooling-off ends, and silence is told to a person.

    Silence is also that of a processor which could not be reminded, or read, until the day of its answer came.
    """
    asked = {"account": account_id, "now": now, "most": limit}
    timers = connection.execute(_TIMERS.where(_NEEDS_NO_CALL), asked)
    ends = Timer.COOLING_OFF
    return [Task(account_id, row.subject_id, row.id, ends if row.timer == ends else Timer.ESCALATE) for row in timers]


_READY = (_A.stopped == "") & (_A.paused_until.is_(None) | (_A.paused_until <= bindparam("now")))
_DUE_ACCOUNTS = select(_A.id).where(
    _A.owner == bindparam("worker"),
    or_(
        _READY & exists().where(_L.account_id == _A.id, _L.due_at <= bindparam("now")),
        exists().where(_P.account_id == _A.id, _P.timer_at <= bindparam("now")),
    ),
)


def due_accounts(connection: Connection, worker_id: str, now: datetime) -> set[str]:
    """The accounts of this worker at which something is due; what waits at one that is stopped or paused is not."""
    return set(connection.execute(_DUE_ACCOUNTS, {"worker": worker_id, "now": now}).scalars())


def anything_due(connection: Connection, accounts: Collection[str], worker_id: str, now: datetime) -> bool:
    """Whether something is due at one of `accounts` that this worker drives, or nobody does."""
    mine = select(_A.id).where(_A.id.in_(accounts), (_A.owner == worker_id) | _A.owner.is_(None))
    ready = mine.where(_A.stopped == "", _A.paused_until.is_(None) | (_A.paused_until <= now))
    lanes = select(_L.subject_id).where(_L.account_id.in_(ready), _L.due_at <= now)
    timers = select(_P.id).where(_P.timer_at <= now)
    queries = (lanes, timers.where(_P.account_id.in_(ready)), timers.where(_P.account_id.in_(mine), _NEEDS_NO_CALL))
    return any(connection.execute(query.limit(1), {"now": now}).first() is not None for query in queries)
