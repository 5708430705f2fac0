"""What follows where we failed, and the processor said nothing that we heard. Pure: a part of `lifecycle`."""

from dataclasses import replace
from datetime import datetime, timedelta

from dpsync.ledger.entry import EntryKind
from dpsync.model import DONE_STATES, State, Way
from dpsync.propagation.rules.event import Next, Position, Step, Timer, go, stay

QUARANTINE_AFTER = 5
"""A propagation whose driving raised, or during which we crashed, this often waits for a person; the others flow on."""

_OWED = {State.ACCEPTED, State.HANDED_OVER}


def after_defect(at: Position, now: datetime) -> Step:
    """Our own code raised while driving it."""
    defects = at.defects + 1
    if at.state is not State.PENDING and not (at.state in _OWED and defects >= QUARANTINE_AFTER):
        step = replace(stay(at, EntryKind.DEFERRED), defects=defects, alert="defect", reason="a defect of dpsync")
        again = at.timer is not None and defects < QUARANTINE_AFTER
        return replace(step, timer=at.timer, timer_at=now + timedelta(hours=1)) if again else step
    if defects >= QUARANTINE_AFTER:
        return go(at, State.ESCALATED, EntryKind.ESCALATED, defects=defects, alert="quarantine", reason="quarantined")
    # What a defect left behind at the processor nobody knows.
    ours = {"alert": "defect", "reason": "a defect of dpsync"}
    return go(at, State.PENDING, EntryKind.DEFERRED, None, next=Next.BACKOFF, doubtful=True, defects=defects, **ours)


def after_interruption(at: Position, now: datetime, *, crashed: bool) -> Step:
    """An attempt was interrupted. Only a crash is charged: an outage of our store is no fault of what was under way."""
    defects = at.defects + crashed
    deadly = crashed and defects >= QUARANTINE_AFTER
    if deadly and at.state in {State.PENDING, *_OWED}:
        return go(at, State.ESCALATED, EntryKind.ESCALATED, defects=defects, alert="quarantine", reason="interrupted")
    if at.state is State.PENDING:
        # Once may be chance; again and again it kills us, or our store comes and goes.
        soon = Next.BACKOFF if at.doubtful or defects > 1 else Next.NOW
        return go(
            at, State.PENDING, EntryKind.DEFERRED, next=soon, doubtful=True, defects=defects, reason="interrupted"
        )
    if at.state in {State.WITHDRAWN, State.SUPERSEDED}:
        return go(at, State.ESCALATED, EntryKind.ESCALATED, alert="withdrawn_in_doubt", reason="interrupted")
    step = replace(stay(at, EntryKind.DEFERRED), defects=defects, reason="interrupted")
    if deadly:
        return replace(step, alert="defect")  # read, or reminded of, no more: it would kill us for ever
    soon_again = now if defects <= 1 else now + timedelta(hours=1)
    if at.state in DONE_STATES | {State.CONTRADICTED}:
        return replace(step, timer=Timer.REREAD, timer_at=soon_again)
    if at.state in {*_OWED, State.ESCALATED}:
        return replace(step, timer=Timer.REREAD if at.way is Way.API else Timer.REMIND, timer_at=soon_again)
    return replace(step, keep_timer=True)
