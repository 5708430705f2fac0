"""Which worker drives which account: one at a time, so that its cap, its rate and each subject's order are in-process.

On SQLite the worker holds an operating-system lock and is alone; on PostgreSQL the same rows are shared by many.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from sqlalchemy import Select, delete, exists, func, insert, or_, select, update

from dpsync.store import tables as t
from dpsync.store.writer import Unit

STOPPED: Final = "stopped"
"""Noted of an attempt that is not answered when its worker stops in order."""


def heartbeat(unit: Unit, worker_id: str, until: datetime) -> None:
    """Say that this worker lives. One row a worker, not one an account: renewed each second, rows cost vacuum."""
    done = unit.connection.execute(update(t.worker).where(t.worker.c.id == worker_id).values(beat_until=until))
    if done.rowcount == 0:
        unit.connection.execute(insert(t.worker).values(id=worker_id, beat_until=until))


def leave(unit: Unit, worker_id: str, still_calling: Collection[str] = ()) -> None:
    """Give everything back, in order: a worker that stops makes nobody wait for its heartbeat.

    An account where a call is still under way is kept until the heartbeat and that call are over. Whoever closes its
    attempt then knows that this worker did not die of it.
    """
    open_ones = (t.attempt.c.worker == worker_id) & t.attempt.c.ended_at.is_(None)
    unit.connection.execute(update(t.attempt).where(open_ones).values(reason=STOPPED))
    account = t.account.c
    mine = (account.owner == worker_id) & account.id.not_in(still_calling)
    unit.connection.execute(update(t.account).where(mine).values(owner=None))
    if not still_calling:
        unit.connection.execute(delete(t.worker).where(t.worker.c.id == worker_id))


def alone(unit: Unit, worker_id: str) -> None:
    """On SQLite the file lock proves that every other worker in the table is dead."""
    unit.connection.execute(update(t.account).where(t.account.c.owner != worker_id).values(owner=None))
    unit.connection.execute(delete(t.worker).where(t.worker.c.id != worker_id))


def acquire(unit: Unit, worker_id: str, now: datetime, call_deadline: timedelta) -> list[str]:
    """Take this worker's share of the accounts that have work, or a dead worker's attempt. Returns those newly taken.

    An account is taken from another worker only when that one's heartbeat *and* the longest call it may still have open
    are over: else old and new connections together exceed the processor's limit, and an old rectification may land
    after the new erasure.
    """
    account, worker = t.account.c, t.worker.c
    alive = select(worker.id).where(worker.beat_until > now - call_deadline)
    due = or_(
        exists().where(t.lane.c.account_id == account.id, t.lane.c.due_at <= now),
        exists().where(t.propagation.c.account_id == account.id, t.propagation.c.timer_at <= now),
        # What was withdrawn while it was under way has neither lane nor timer; that it is in doubt must be said.
        account.id.in_(_interrupted(alive)),
    )
    active = unit.connection.execute(select(func.count()).select_from(t.account).where(due)).scalar_one()
    # What it owns and has nothing to do for takes nobody's share: else an account that wakes later is never taken.
    owned = unit.connection.execute(
        select(func.count()).select_from(t.account).where(account.owner == worker_id, due)
    ).scalar_one()
    workers = unit.connection.execute(select(func.count()).select_from(alive.subquery())).scalar_one()
    want = ceil(active / max(workers, 1)) - owned
    if want <= 0:
        return []
    free = or_(account.owner.is_(None), account.owner.not_in(alive))
    found = unit.connection.execute(select(account.id).where(free, due).order_by(account.id).limit(want))
    taken = [row.id for row in found]
    unit.connection.execute(
        update(t.account).where(account.id.in_(taken)).values(owner=worker_id, epoch=account.epoch + 1)
    )
    return taken


def living(unit: Unit, now: datetime, call_deadline: timedelta) -> set[str]:
    """The workers that may still have a call open."""
    alive = select(t.worker.c.id).where(t.worker.c.beat_until > now - call_deadline)
    return set(unit.connection.execute(alive).scalars())


def abandoned(unit: Unit, worker_id: str, alive: Collection[str]) -> list[str]:
    """This worker's accounts where an attempt of a dead worker stands unanswered.

    Nearly always it took them with the account; but what moves to an account that it has already comes later.
    """
    mine = select(t.account.c.id).where(t.account.c.owner == worker_id, t.account.c.id.in_(_interrupted(alive)))
    return list(unit.connection.execute(mine).scalars())


def _interrupted(alive: Collection[str] | Select[tuple[str]]) -> Select[tuple[str]]:
    """The accounts where an attempt stands unanswered that none of `alive` can answer."""
    a, p = t.attempt.c, t.propagation.c
    joined = select(p.account_id).join(t.attempt, a.propagation_id == p.id)
    return joined.where(a.ended_at.is_(None), a.worker.not_in(alive))
