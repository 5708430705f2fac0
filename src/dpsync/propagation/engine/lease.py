"""Which worker drives which account: one at a time, so that its cap, its rate and each subject's order are in-process.

On SQLite the worker holds an operating-system lock and is alone; on PostgreSQL the same rows are shared by many.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from math import ceil
from typing import Final, NamedTuple

from sqlalchemy import Connection, Select, delete, exists, func, insert, literal, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from dpsync import telemetry
from dpsync.errors import KeyProblem
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.model import CLOSED_STATES, State
from dpsync.propagation.commitments import request_key, rows_said
from dpsync.propagation.controller import Controller
from dpsync.propagation.record import Attempted, record
from dpsync.propagation.rules import brake
from dpsync.propagation.rules.lifecycle import Defect, Interrupted
from dpsync.store import tables as t
from dpsync.store.writer import Unit

STOPPED: Final = "stopped"
"""Noted of an attempt that is not answered when its worker stops in order."""


def beat(unit: Unit, worker_id: str, until: datetime) -> None:
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
        # What was called off while it was under way has neither lane nor timer; that it is in doubt must be said.
        account.id.in_(_cut_off(alive)),
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


class Unfinished(NamedTuple):
    """An attempt that stands unanswered; `stopped`: its worker said that it was stopping."""

    id: int
    number: int
    propagation_id: int
    worker: str
    stopped: bool


def living(unit: Unit, now: datetime, call_deadline: timedelta) -> set[str]:
    """The workers that may still have a call open."""
    alive = select(t.worker.c.id).where(t.worker.c.beat_until > now - call_deadline)
    return set(unit.connection.execute(alive).scalars())


def abandoned(unit: Unit, worker_id: str, alive: Collection[str]) -> list[str]:
    """This worker's accounts where an attempt of a dead worker stands unanswered.

    Nearly always it took them with the account; but what moves to an account that it has already comes later.
    """
    mine = select(t.account.c.id).where(t.account.c.owner == worker_id, t.account.c.id.in_(_cut_off(alive)))
    return list(unit.connection.execute(mine).scalars())


def _cut_off(alive: Collection[str] | Select[tuple[str]]) -> Select[tuple[str]]:
    """The accounts where an attempt stands unanswered that none of `alive` can answer."""
    a, p = t.attempt.c, t.propagation.c
    joined = select(p.account_id).join(t.attempt, a.propagation_id == p.id)
    return joined.where(a.ended_at.is_(None), a.worker.not_in(alive))


def recover(
    unit: Unit,
    controller: Controller,
    account_id: str,
    judged: Callable[[Unfinished], Interrupted | Defect | None],
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
    unfinished = [
        Unfinished(row.id, row.number, row.propagation_id, row.worker, row.reason == STOPPED) for row in found
    ]
    happened = [(left, what) for left in unfinished if (what := judged(left)) is not None]
    for left, what in happened:
        entries = len(unit.entries)
        try:
            with unit.connection.begin_nested():
                record(unit, controller, left.propagation_id, what, now, attempt=Attempted(left.id, left.number))
        except SQLAlchemyError:
            raise  # the store's trouble, not this row's
        except Exception as error:  # noqa: BLE001 - because one row that cannot be read must not keep the account shut
            del unit.entries[entries:]
            telemetry.log("lease").error("cannot record an interruption", error=error, account=account_id)
            _close(unit, controller, left, now)
    return len(happened)


def _close(unit: Unit, controller: Controller, left: Unfinished, now: datetime) -> None:
    """The same without the rules, which could not be asked; where the key opens, its entry commits to the rows too."""
    ended = {"ended_at": now, "outcome": "Interrupted", "reason": "cut off"}
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


# --- a processor that has another account now


def move(
    unit: Unit, controller: Controller, worker_id: str, fresh: Collection[str], now: datetime, call_deadline: timedelta
) -> bool:
    """Bring what is open to the account that the settings name for its processor today; twice changes nothing.

    `fresh`: accounts that were unknown before these settings. They take over the whole health of the old one; any other
    takes over only what a person stopped, because its own credential may be good. False where something had to be left
    to a living worker that goes by the old settings: asked again, it follows later.
    """
    present = {name: processor.account for name, processor in controller.processors.items()}
    left: set[str] = set()
    for name, old in _misplaced(unit.connection, present, now):
        if _driven_by_another(unit.connection, old, worker_id, now - call_deadline):
            left.add(old)
            continue
        _move_health(unit.connection, old, present[name], whole=present[name] in fresh)
        _move_work(unit.connection, name, old, present[name], now)
    gone = t.account.c.id.not_in([*present.values(), *left])
    # What no processor names any more stops nobody; else what comes back to it could never be resumed.
    unit.connection.execute(update(t.account).where(gone).values(stopped="", paused_until=None, failures=0))
    return not left


def _misplaced(connection: Connection, present: Mapping[str, str], now: datetime) -> list[tuple[str, str]]:
    """(processor, its old account) of everything that is open or counted by the brake, or that a stop stands for."""
    p = t.propagation.c
    waits = p.state.in_([state.value for state in State if state not in CLOSED_STATES])
    counted = p.brake_at > now - brake.WINDOW
    stopped = select(t.account.c.id).where(t.account.c.stopped != "", t.account.c.id.not_in(present.values()))
    stands = p.account_id.in_([row.id for row in connection.execute(stopped)])
    found = connection.execute(
        select(p.processor, p.account_id)
        .where(p.processor.in_(present), or_(waits, p.timer_at.is_not(None), counted, stands))
        .distinct()
    )
    return sorted((row.processor, row.account_id) for row in found if row.account_id != present[row.processor])


def _driven_by_another(connection: Connection, account_id: str, worker_id: str, since: datetime) -> bool:
    living = select(t.worker.c.id).where(t.worker.c.beat_until > since, t.worker.c.id != worker_id)
    driven = select(t.account.c.id).where(t.account.c.id == account_id, t.account.c.owner.in_(living))
    return connection.execute(driven).first() is not None


def _move_health(connection: Connection, old: str, new: str, *, whole: bool) -> None:
    before = connection.execute(select(t.account).where(t.account.c.id == old)).one_or_none()
    if before is None:
        return
    here = t.account.c.id == new
    if before.stopped and (whole or before.stopped == "person"):
        connection.execute(update(t.account).where(here, t.account.c.stopped == "").values(stopped=before.stopped))
    if whole:
        health = {"paused_until": before.paused_until, "failures": before.failures}
        connection.execute(update(t.account).where(here).values(**health))


def _move_work(connection: Connection, name: str, old: str, new: str, now: datetime) -> None:
    p, lane = t.propagation.c, t.lane.c
    own = (p.processor == name) & (p.account_id == old)
    pending = select(p.subject_id).where(own, p.state == State.PENDING.value)
    there = t.lane.alias()
    stands = exists().where(there.c.account_id == new, there.c.subject_id == lane.subject_id)
    here = (lane.account_id == new) & lane.subject_id.in_(pending)
    connection.execute(update(t.lane).where(here, lane.due_at > now).values(due_at=now, attempts=0))
    copied = select(literal(new), lane.subject_id, lane.due_at, lane.attempts)
    copied = copied.where(lane.account_id == old, lane.subject_id.in_(pending), ~stands)
    connection.execute(insert(t.lane).from_select(["account_id", "subject_id", "due_at", "attempts"], copied))
    waits = p.state.in_([state.value for state in State if state not in CLOSED_STATES])
    moving = or_(waits, p.timer_at.is_not(None), p.brake_at > now - brake.WINDOW)
    connection.execute(update(t.propagation).where(own, moving).values(account_id=new))
    still = exists().where(p.account_id == old, p.subject_id == lane.subject_id, p.state == State.PENDING.value)
    connection.execute(delete(t.lane).where(lane.account_id == old, ~still))
