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
from dpsync.propagation.rules.lifecycle import Decision, DecisionKind, EarlierAddress, Timer
from dpsync.propagation.rules.plan import Waiting, choose, outdated, overtaken
from dpsync.store import tables as t
from dpsync.store.beside import alone
from dpsync.store.columns import Instant
from dpsync.store.writer import Unit

LATER = timedelta(hours=1)
_P = t.propagation.c
_OF_PERSON = t.propagation.alias()
_LATE = t.propagation.alias("late")
_ASKED = DONE_STATES | {State.ACCEPTED, State.HANDED_OVER}


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
    if _ask_anew(unit, controller, lane, now):
        return None  # the lane is due at once, for what goes on in it now
    # What belongs to a processor without a section blocks nobody else on the same account.
    choice = choose([row for row in lane if row.processor in controller.processors])
    if choice.head is None:
        choice = choose(lane)
    if choice.superseded:
        alone(unit.connection)  # a request that closes by it closes before what is finished in the same commit
        supersede = [Decision(DecisionKind.SUPERSEDE)]
        record(unit, controller, *(Update(row.id, supersede, now) for row in choice.superseded))
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
    reads = timer is Timer.REREAD
    if (overtaken(own, lane) or _erased_since(unit.connection, own)) if reads else outdated(own, lane):
        _ask_no_more(unit, own, now)
        return None
    return own, "verify" if reads else "reminder"


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


def _ask_anew(unit: Unit, controller: Controller, lane: Sequence[LaneRow], now: datetime) -> bool:
    """Ask again what was asked before a rectification that is older, and came in late. Gives whether anything is.

    Only by that one is it known under which address the processor may hold the person: where nobody was found under
    the new one, an erasure or an opt-out was not done. What was begun after that one came in went under both.
    """
    changed = [row for row in lane if row.right is Right.RECTIFICATION and not row.tried]
    late = [row for row in changed if row.state in {State.PENDING, State.EXEMPT}]
    known = {row.id: older for row in lane if row.state in _ASKED and (older := [o for o in late if _names(o, row)])}
    if not known:
        return False
    came = select(func.max(t.request.c.accepted_at)).join(_LATE, _LATE.c.request_id == t.request.c.id)
    begun = select(func.max(t.attempt.c.begun_at)).where(t.attempt.c.propagation_id == _P.id).scalar_subquery()
    too_few = (
        select(_P.id, _P.request_id, _P.processor, t.request.c.sealed.is_(None).label("forgotten"))
        .join(t.request, t.request.c.id == _P.request_id)
        .where(_P.id.in_(known), begun < came.where(_LATE.c.id.in_([one.id for one in late])).scalar_subquery())
    )
    rows = unit.connection.execute(too_few).all()
    for row in rows:
        if row.forgotten:
            alert(unit.connection, controller, "earlier_address", row.request_id, row.processor, now)
    if again := [Update(row.id, [EarlierAddress()], now) for row in rows if not row.forgotten]:
        alone(unit.connection)  # requests open again by it
        record(unit, controller, *again)
    return bool(again)


def _names(late: Waiting, row: Waiting) -> bool:
    """Whether a rectification that came in late may name an earlier address of what was asked before it."""
    of_the_same = (late.person, late.processor) == (row.person, row.processor)
    return of_the_same and row.right is not Right.RECTIFICATION and late.ordinal > row.ordinal and is_older(late, row)


def _erased_since(connection: Connection, own: Waiting) -> bool:
    """Whether an erasure went after it, though it was asked for before: it was held, or came with an older version.

    What ended in the same moment, in one commit, counts as after it: had it gone before, nobody would have been there.
    """
    if own.right is Right.ERASURE:
        return False
    since = select(_P.state_since).where(_P.id == own.id).scalar_subquery()
    here = select(_OF_PERSON.c.id).where(
        _OF_PERSON.c.person == own.person,
        _OF_PERSON.c.processor == own.processor,
        _OF_PERSON.c.right == Right.ERASURE.value,
        _OF_PERSON.c.state.in_(ERASED),
        _OF_PERSON.c.state_since >= since,
    )
    return connection.execute(here.limit(1)).first() is not None


def _ask_no_more(unit: Unit, own: Waiting, now: datetime) -> None:
    """Neither read nor remind again; where an answer is owed, nothing but its day is waited for."""
    if own.state not in {State.ACCEPTED, State.HANDED_OVER}:
        clear_timer(unit, own.id)
        return
    _set_timer(unit, own.id, timer=Timer.ESCALATE.value, timer_at=func.coalesce(_P.answer_by, literal(now, Instant)))


def clear_timer(unit: Unit, propagation_id: int) -> None:
    """Nothing is brought about by time alone any more."""
    _set_timer(unit, propagation_id, timer="", timer_at=None)


def _set_timer(unit: Unit, propagation_id: int, **values: object) -> None:
    unit.connection.execute(update(t.propagation).where(_P.id == propagation_id).values(**values))
