"""What cannot go on now is looked at again later; what a reading would no longer prove is not read."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, literal, update

from dpsync.alerts import Concern, raise_alert
from dpsync.model import State
from dpsync.propagation.alert_texts import alert
from dpsync.propagation.controller import Controller
from dpsync.propagation.queue import lanes
from dpsync.propagation.queue.tasks import Task
from dpsync.propagation.rules.event import Timer
from dpsync.propagation.rules.plan import Waiting
from dpsync.store import tables as t
from dpsync.store.columns import Instant
from dpsync.store.writer import Unit

LATER = timedelta(hours=1)
_P = t.propagation.c


def set_aside(unit: Unit, controller: Controller, row: Mapping[str, Any], why: str, now: datetime) -> None:
    """The processor left the configuration, or the request does not open: it is looked at again in an hour."""
    if row["timer_at"] is not None:
        _set_timer(unit, row["id"], timer_at=now + LATER)
    if row["state"] == State.PENDING:
        lanes.put_lane_off(unit.connection, row["account_id"], row["subject_id"], now + LATER, 0)
    alert(unit.connection, controller, why, row["request_id"], row["processor"], now)


def postpone(unit: Unit, controller: Controller, task: Task, now: datetime) -> None:
    """Set a task that dpsync itself fails on aside for an hour, and tell the operator."""
    if task.propagation_id is not None:
        has_timer = (_P.id == task.propagation_id) & (_P.timer != "")
        unit.connection.execute(update(t.propagation).where(has_timer).values(timer_at=now + LATER))
    else:
        lanes.put_lane_off(unit.connection, task.account_id, task.subject_id, now + LATER, 0)
    raise_alert(
        unit.connection,
        cause="defect-begin",
        role="operator",
        subject="A defect of dpsync on one request",
        body="It cannot be begun; it is tried again every hour. The log names the place. `dpsync status`",
        now=now,
        zone=controller.zone,
        concerns=[Concern(task.account_id, f"at account {task.account_id}")],
    )


def read_no_more(unit: Unit, own: Waiting, now: datetime) -> None:
    """A read-back would prove nothing; of what was only queued, nothing but the day of the answer is waited for."""
    if own.state is not State.ACCEPTED:
        clear_timer(unit, own.id)
        return
    _set_timer(unit, own.id, timer=Timer.ESCALATE.value, timer_at=func.coalesce(_P.answer_by, literal(now, Instant)))


def clear_timer(unit: Unit, propagation_id: int) -> None:
    """Nothing is brought about by time alone any more."""
    _set_timer(unit, propagation_id, timer="", timer_at=None)


def _set_timer(unit: Unit, propagation_id: int, **values: object) -> None:
    unit.connection.execute(update(t.propagation).where(_P.id == propagation_id).values(**values))
