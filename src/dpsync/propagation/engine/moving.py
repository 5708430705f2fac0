"""A processor that has another account now: what is open moves there, and with it what stopped the old one."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, exists, insert, literal, or_, select, update

from dpsync.model import CLOSED_STATES, State
from dpsync.propagation.controller import Controller
from dpsync.propagation.rules import brake
from dpsync.store import tables as t
from dpsync.store.writer import Unit


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
