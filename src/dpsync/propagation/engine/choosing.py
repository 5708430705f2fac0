"""Which propagation of a lane goes next, by the settings of today; and what cannot go on now is put off.

What was overtaken is closed on the way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, literal, select, update

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.model import DONE_STATES, Right, State
from dpsync.propagation.alert_texts import alert
from dpsync.propagation.controller import Controller
from dpsync.propagation.instructions import is_older
from dpsync.propagation.owed import ERASED
from dpsync.propagation.queue import lanes
from dpsync.propagation.queue.lanes import LaneRow
from dpsync.propagation.queue.tasks import Task
from dpsync.propagation.record import Update, record
from dpsync.propagation.rules.lifecycle import Decision, DecisionKind, Timer
from dpsync.propagation.rules.plan import Waiting, choose, overtaken
from dpsync.store import tables as t
from dpsync.store.beside import alone
from dpsync.store.columns import Instant
from dpsync.store.writer import Unit

LATER = timedelta(hours=1)
_P = t.propagation.c
_OF_PERSON = t.propagation.alias()
_LATE = t.propagation.alias("late")


def next_of(
    unit: Unit, controller: Controller, task: Task, lane: Sequence[LaneRow], now: datetime
) -> tuple[Waiting, str] | None:
    """The propagation of its lane that a call is made for, and "verify" or "reminder" where its timer says so.

    None for no call.
    """
    if any(row.unanswered for row in lane):
        return None
    if task.timer is not None:
        row = next((row for row in lane if row.id == task.propagation_id), None)
        # Its subject was joined with another meanwhile, and it is found there next; or somebody answered.
        if row is None or not _still_due(row, task.timer, now):
            return None
        return _by_timer(unit, controller, row, lane, task.timer, now)
    # What belongs to a processor without a section blocks nobody else on the same account.
    choice = choose([row for row in lane if row.processor in controller.processors])
    if choice.head is None:
        choice = choose(lane)
    if choice.superseded:
        alone(unit.connection)  # a request that closes by it closes before what is finished in the same commit
        supersede = [Decision(DecisionKind.SUPERSEDE)]
        record(unit, controller, *(Update(row.id, supersede, now) for row in choice.superseded))
    _read_anew(unit, lane, now)
    if choice.head is None:
        lanes.drop_lane(unit.connection, task.account_id, task.subject_id)
        return None
    return choice.head, ""


def _by_timer(
    unit: Unit, controller: Controller, own: Waiting, lane: Sequence[Waiting], timer: Timer, now: datetime
) -> tuple[Waiting, str] | None:
    if timer in {Timer.COOLING_OFF, Timer.ESCALATE}:
        record(unit, controller, Update(own.id, [timer], now))
        return None
    if timer is Timer.REREAD and (overtaken(own, lane) or _erased_since(unit.connection, own)):
        _read_no_more(unit, own, now)
        return None
    return own, "verify" if timer is Timer.REREAD else "reminder"


def _still_due(row: LaneRow, timer: Timer, now: datetime) -> bool:
    """Whether time still brings it about: what was looked at a moment ago may have been answered since.

    An escalation may come instead of a reminder or a reading that nothing can go out for.
    """
    due = row.timer_at is not None and row.timer_at <= now
    return due and (row.timer == timer or (timer is Timer.ESCALATE and row.timer != Timer.COOLING_OFF))


def placed(
    unit: Unit, controller: Controller, subject_id: str, everywhere: Sequence[LaneRow], now: datetime
) -> list[LaneRow]:
    """All of a subject, each at the account that the settings of today name, whatever it was called before.

    What somebody who still goes by older settings put elsewhere is moved to where it belongs.
    """
    found = []
    for row in everywhere:
        processor = controller.processors.get(row.processor)
        account = processor.account if processor else row.account_id
        found.append(replace(row, account_id=account))
        if row.account_id == account or row.unanswered:
            continue
        alone(unit.connection)  # at the other account somebody else may drive it
        unit.connection.execute(update(t.propagation).where(_P.id == row.id).values(account_id=account))
        if row.state is State.PENDING:
            lanes.make_lane_due(unit.connection, account, subject_id, now, hurry=lanes.Hurry.AT_ONCE)
    return found


def lane_at(account_id: str, everywhere: Sequence[LaneRow]) -> list[LaneRow]:
    """What of a subject belongs to one account, of all that was `placed`."""
    return [row for row in everywhere if row.account_id == account_id]


# --- later


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
        cause=AlertCause.DEFECT_BEGIN,
        role="operator",
        subject="A defect of dpsync on one request",
        body="dpsync cannot begin it, and tries again every hour. The log names the place in the code. `dpsync status` "
        "shows what waits.",
        now=now,
        zone=controller.zone,
        concerns=[Concern(task.account_id, f"at account {task.account_id}")],
    )


def _read_anew(unit: Unit, lane: Sequence[LaneRow], now: datetime) -> None:
    """Look again at what was done before a rectification that is older, and came in late.

    Only by that one is it known under which address the processor may hold the person: where nobody was found under
    the new one, an erasure or an opt-out was not done. What went after that one came in went under both.
    """
    late = [row for row in lane if row.right is Right.RECTIFICATION and row.state is State.PENDING and not row.tried]
    unread = [
        row.id
        for row in lane
        if row.right is not Right.RECTIFICATION
        and row.state in DONE_STATES
        and any(
            one.person == row.person
            and one.processor == row.processor
            and one.ordinal > row.ordinal
            and is_older(one, row)
            for one in late
        )
    ]
    if unread:
        came = select(func.max(t.request.c.accepted_at)).join(_LATE, _LATE.c.request_id == t.request.c.id)
        before = _P.done_at < came.where(_LATE.c.id.in_([row.id for row in late])).scalar_subquery()
        here = _P.id.in_(unread) & before
        unit.connection.execute(update(t.propagation).where(here).values(timer=Timer.REREAD.value, timer_at=now))


def _erased_since(connection: Connection, own: Waiting) -> bool:
    """Whether an erasure went after it, though it was asked for before: it was held, or came with an older version."""
    if own.right is Right.ERASURE:
        return False
    since = select(_P.state_since).where(_P.id == own.id).scalar_subquery()
    here = select(_OF_PERSON.c.id).where(
        _OF_PERSON.c.person == own.person,
        _OF_PERSON.c.processor == own.processor,
        _OF_PERSON.c.right == Right.ERASURE.value,
        _OF_PERSON.c.state.in_(ERASED),
        _OF_PERSON.c.state_since > since,
    )
    return connection.execute(here.limit(1)).first() is not None


def _read_no_more(unit: Unit, own: Waiting, now: datetime) -> None:
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
