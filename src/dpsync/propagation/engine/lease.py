"""Which worker drives which account: one at a time, so that its cap, its rate and each subject's order are in-process.

On SQLite the worker holds an operating-system lock and is alone; on PostgreSQL the same rows are shared by many.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from sqlalchemy import Select, delete, exists, func, insert, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from dpsync import telemetry
from dpsync.errors import KeyProblem
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.propagation.commitments import request_key, rows_said
from dpsync.propagation.controller import Controller
from dpsync.propagation.record import Attempt, Update, record
from dpsync.propagation.rules.lifecycle import Defect, Interrupted
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


# --- what a dead worker left


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered(Attempt):
    """An attempt that stands unanswered; `stopped`: its worker said that it was stopping."""

    worker: str
    stopped: bool


def recover(
    unit: Unit,
    controller: Controller,
    account_id: str,
    judged: Callable[[Unanswered], Interrupted | Defect | None],
    now: datetime,
) -> int:
    """Close the attempts that were left unanswered: each is in doubt, and is read back before it is repeated.

    `judged` says what became of each, None where it is still under way. Returns how many were closed.
    """
    a, p = t.attempt.c, t.propagation.c
    found = unit.connection.execute(
        select(a.id, a.number, a.propagation_id, a.worker, a.reason)
        .join(t.propagation, p.id == a.propagation_id)
        .where(p.account_id == account_id, a.ended_at.is_(None))
        .order_by(a.id)
    ).all()
    unanswered = [
        Unanswered(row.id, row.number, row.propagation_id, worker=row.worker, stopped=row.reason == STOPPED)
        for row in found
    ]
    happened = [(left, what) for left in unanswered if (what := judged(left)) is not None]
    for left, what in happened:
        entries = len(unit.entries)
        try:
            with unit.connection.begin_nested():
                record(unit, controller, Update(left.propagation_id, [what], now, left))
        except SQLAlchemyError:
            raise  # the store's trouble, not this row's
        except Exception as error:  # noqa: BLE001 - because one row that cannot be read must not keep the account shut
            del unit.entries[entries:]
            telemetry.log("lease").error("cannot record an interruption", error=error, account=account_id)
            _close(unit, controller, left, now)
    return len(happened)


def _close(unit: Unit, controller: Controller, left: Unanswered, now: datetime) -> None:
    """The same without the rules, which could not be asked; where the key opens, its entry commits to the rows too."""
    ended = {"ended_at": now, "outcome": "Interrupted", "reason": "interrupted"}
    p = t.propagation.c
    unit.connection.execute(update(t.attempt).where(t.attempt.c.id == left.id).values(**ended))
    unit.connection.execute(update(t.propagation).where(p.id == left.propagation_id).values(doubtful=True))
    found = select(t.propagation, t.request.c.wrapped_key, t.request.c.key_month).join(
        t.request, t.request.c.id == p.request_id
    )
    row = dict(unit.connection.execute(found.where(p.id == left.propagation_id)).mappings().one())
    said: dict[str, str | int] = {"req": row["request_id"], "dest": row["processor"], "right": row["right"]}
    said |= {"state": row["state"], "rung": row["rung"], "way": row["way"], "attempt": left.number}
    with suppress(KeyProblem):
        if key := request_key(controller, row):
            written = [("propagation", row), ("ended", {"number": left.number, **ended})]
            said["rows"] = rows_said(key.commit_key, written)
    unit.append(row["request_id"], entry.encode(EntryKind.DEFERRED, now, **said))
