"""Which worker drives which account: one at a time, so that its cap, its rate and each subject's order are in-process.

On SQLite the worker holds an operating-system lock and is alone; on PostgreSQL the same rows are shared by many.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import Connection, delete, exists, func, insert, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from dpsync import telemetry
from dpsync.propagation.controller import Controller
from dpsync.propagation.lifecycle import Defect, Interrupted
from dpsync.propagation.record import Attempted, record
from dpsync.store import tables as t
from dpsync.store.writer import Unit


def beat(unit: Unit, worker_id: str, until: datetime) -> None:
    """Say that this worker lives. One row a worker, not one an account: renewed each second, rows cost vacuum."""
    done = unit.connection.execute(update(t.worker).where(t.worker.c.id == worker_id).values(beat_until=until))
    if done.rowcount == 0:
        unit.connection.execute(insert(t.worker).values(id=worker_id, beat_until=until))


def leave(unit: Unit, worker_id: str, still_calling: Collection[str] = ()) -> None:
    """Give everything back, in order: a worker that stops makes nobody wait for its heartbeat.

    An account where a call is still under way is kept until the heartbeat and that call are over.
    """
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
    """Take this worker's share of the accounts that have work. Returns those newly taken.

    An account is taken from another worker only when that one's heartbeat *and* the longest call it may still have open
    are over: else old and new connections together exceed the processor's limit, and an old rectification may land
    after the new erasure.
    """
    account, worker = t.account.c, t.worker.c
    alive = select(worker.id).where(worker.beat_until > now - call_deadline)
    due = or_(
        exists().where(t.lane.c.account_id == account.id, t.lane.c.due_at <= now),
        exists().where(t.propagation.c.account_id == account.id, t.propagation.c.timer_at <= now),
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


def recover(unit: Unit, controller: Controller, account_id: str, what: Interrupted | Defect, now: datetime) -> int:
    """Close the attempts that were left unanswered: each is in doubt, and is read back before it is repeated."""
    a, p = t.attempt.c, t.propagation.c
    cut = unit.connection.execute(
        select(a.id, a.number, a.propagation_id)
        .join(t.propagation, p.id == a.propagation_id)
        .where(p.account_id == account_id, a.ended_at.is_(None))
        .order_by(a.id)
    ).all()
    for row in cut:
        entries = len(unit.entries)
        try:
            with unit.connection.begin_nested():
                record(unit, controller, row.propagation_id, what, now, attempt=Attempted(row.id, row.number))
        except SQLAlchemyError:
            raise  # the store's trouble, not this row's
        except Exception as error:  # noqa: BLE001 - because one row that cannot be read must not keep the account shut
            del unit.entries[entries:]
            telemetry.log("lease").error("cannot record an interruption", error=error, account=account_id)
            _close(unit.connection, row.id, row.propagation_id, now)
    return len(cut)


def _close(connection: Connection, attempt_id: int, propagation_id: int, now: datetime) -> None:
    ended = {"ended_at": now, "outcome": "Interrupted", "reason": "cut off"}
    connection.execute(update(t.attempt).where(t.attempt.c.id == attempt_id).values(**ended))
    connection.execute(update(t.propagation).where(t.propagation.c.id == propagation_id).values(doubtful=True))
