"""The ladder of alerts above what is open: no state, only voices that grow louder. Retries go on beneath it.

One alert per rung, processor and day, however many requests stand behind it. Sources: docs on the legal dates; GDPR
Art. 12(3), 19, 21(3).
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, select

from dpsync.alerts import raise_alert
from dpsync.ledger import entry
from dpsync.ledger.entry import Event
from dpsync.model import CLOSED_STATES, Cause, Right, State
from dpsync.propagation.controller import Controller
from dpsync.store import tables as t
from dpsync.store.writer import Unit


@dataclass(frozen=True, slots=True)
class Open:
    """An open propagation, as the ladder sees it."""

    request_id: str
    processor: str
    right: Right
    state: State
    received_at: datetime
    target_at: datetime
    strict_on: date
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Voice:
    """One rung of the ladder: who hears of it and how it is called."""

    rung: str
    role: str
    sentence: str


STOP_OPERATOR = Voice("opt-out-4h", "operator", "An opt-out is not done four hours after it was received")
STOP_DPO = Voice("opt-out-12h", "dpo", "An opt-out is not done twelve hours after it was received")
STOP_OVERDUE = Voice("opt-out-overdue", "dpo", "An opt-out is overdue: it had 24 hours (Art. 21(3))")
TARGET = Voice("target", "operator", "Not done within the target of 72 hours")
TARGET_DPO = Voice("target-dpo", "dpo", "Not done a day after the target of 72 hours")
DAY_SEVEN = Voice("day-7", "dpo", "Not done after seven days: write to the processor")
NEAR = Voice("near", "dpo", "The legal date is near")
OVERDUE = Voice("overdue", "dpo", "Overdue: the legal date has passed")
HELD = Voice("held", "dpo", "Held and waiting for a decision")


def voices(one: Open, now: datetime, today: date) -> Iterable[Voice]:
    """The rungs that one open propagation has reached: the loudest only, and that it is held. Pure."""
    if one.state is State.HELD:
        yield HELD
    age = now - one.received_at
    if one.right is Right.OPT_OUT:
        ladder = [
            (timedelta(hours=24), STOP_OVERDUE),
            (timedelta(hours=12), STOP_DPO),
            (timedelta(hours=4), STOP_OPERATOR),
        ]
        yield from [voice for after, voice in ladder if age >= after][:1]
        return
    if now >= one.due_at:
        yield OVERDUE
    elif one.strict_on - today == timedelta(days=7) or one.strict_on - today <= timedelta(days=2):
        yield NEAR
    elif age >= timedelta(days=7):
        yield DAY_SEVEN
    elif now >= one.target_at + timedelta(days=1):
        yield TARGET_DPO
    elif now >= one.target_at:
        yield TARGET


def climb(unit: Unit, controller: Controller, now: datetime) -> int:
    """Raise what the ladder says now. Returns how many alerts are new; each is a ledger entry too."""
    today = now.astimezone(controller.zone).date()
    heard: dict[tuple[Voice, str], list[str]] = defaultdict(list)
    for one in open_propagations(unit.connection):
        for voice in voices(one, now, today):
            heard[voice, one.processor].append(one.request_id)
    new = 0
    for (voice, name), requests in sorted(heard.items(), key=lambda item: (item[0][0].rung, item[0][1])):
        processor = controller.processors.get(name)
        raised = raise_alert(
            unit.connection,
            cause=f"{voice.rung}:{name}",
            role=voice.role,
            subject=f"{voice.sentence} ({processor.title if processor else name})",
            body=f"{len(requests)} request(s) at this processor, the first: {requests[0]}. `dpsync status` shows all.",
            now=now,
            zone=controller.zone,
        )
        if raised:
            new += 1
            unit.append(None, entry.encode(Event.ALERT, now, dest=name, cause=voice.rung, n=len(requests)))
            if voice in {NEAR, OVERDUE} and controller.deputy:
                raise_alert(
                    unit.connection,
                    cause=f"{voice.rung}-deputy:{name}",
                    role="deputy",
                    subject=f"{voice.sentence} ({processor.title if processor else name})",
                    body=f"{len(requests)} request(s), the first: {requests[0]}. `dpsync status` shows all.",
                    now=now,
                    zone=controller.zone,
                )
    return new


def open_propagations(connection: Connection) -> list[Open]:
    """Everything that still waits for somebody or something, oldest first; what only cools off is left out."""
    p, r = t.propagation.c, t.request.c
    rows = connection.execute(
        select(p.request_id, p.processor, p.right, p.state, p.causes, r.received_at, r.target_at, r.strict_on, r.due_at)
        .join(t.request, r.id == p.request_id)
        .where(p.state.not_in([state.value for state in CLOSED_STATES]))
        .order_by(p.ordinal)
    )
    return [
        Open(
            row.request_id,
            row.processor,
            Right(row.right),
            State(row.state),
            row.received_at,
            row.target_at,
            date.fromisoformat(row.strict_on),
            row.due_at,
        )
        for row in rows
        if row.causes != Cause.COOLING_OFF.value
    ]
