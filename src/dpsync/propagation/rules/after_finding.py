"""What follows where we looked ourselves. Pure: a part of `lifecycle`."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from dpsync.connector import AsAsked, CannotTell, Contradicts
from dpsync.ledger.entry import EntryKind
from dpsync.model import DONE_STATES, Rung, State, Way
from dpsync.propagation.rules.backoff import STILL_VERIFIED_AFTER, UNDONE_AFTER, reread_delay
from dpsync.propagation.rules.event import Next, Position, Step, Timer, go, stay


def after_finding(at: Position, finding: AsAsked | Contradicts | CannotTell, now: datetime) -> Step:
    """What our own reading makes of it."""
    if at.state is State.PENDING and at.doubtful:
        return _doubt_resolved(at, finding, now)
    if at.state not in DONE_STATES | {State.CONTRADICTED, State.ACCEPTED, State.HANDED_OVER, State.ESCALATED}:
        return stay(at, EntryKind.REPEAT)
    match finding:
        case AsAsked():
            return _seen(at, now)
        case Contradicts():
            return _seen_otherwise(at, finding, now)
        case CannotTell(later=later, reason=reason) if at.state in OWED and at.way is Way.API:
            return still_queued(at, reason, now, readable=later)
        case CannotTell(later=later, blocked=blocked, reason=reason):
            # What was blocked was no reading: it goes on when the account does, and none of them is used up.
            wait = timedelta(0) if blocked else reread_delay(at.rereads) if later else None
            step = replace(stay(at, EntryKind.CANNOT_TELL), rereads=at.rereads + (not blocked), reason=reason)
            return step if wait is None else replace(step, timer=Timer.REREAD, timer_at=now + wait)
        case _:
            assert_never(finding)


def _seen(at: Position, now: datetime) -> Step:
    if at.state is State.VERIFIED:
        return go(at, State.VERIFIED, EntryKind.VERIFIED, Rung.STILL_VERIFIED)
    later = now + STILL_VERIFIED_AFTER
    return go(at, State.VERIFIED, EntryKind.VERIFIED, Rung.VERIFIED, timer=Timer.REREAD, timer_at=later)


OWED = {State.ACCEPTED, State.HANDED_OVER, State.ESCALATED}


def _seen_otherwise(at: Position, seen: Contradicts, now: datetime) -> Step:
    refused_since = seen.final and at.way is Way.API
    if at.state in OWED and not refused_since:
        # Nobody has said yet that it is done, so nothing is contradicted.
        return still_queued(at, seen.reason, now, readable=True)
    # Told they were; that it was done is not so. The vendor's index may lag, so it is looked at once more by itself.
    rung = min(at.rung, Rung.ACKNOWLEDGED)
    step = replace(
        go(at, State.CONTRADICTED, EntryKind.CONTRADICTED, alert="contradicted", reason=seen.reason), rung=rung
    )
    if at.state in OWED | {State.CONTRADICTED}:
        return step
    return replace(step, timer=Timer.REREAD, timer_at=now + timedelta(hours=1))


def still_queued(at: Position, reason: str, now: datetime, *, readable: bool) -> Step:
    """It is not so yet. What an interface queued is looked at until the day of the answer; then a person is told."""
    step = replace(stay(at, EntryKind.CANNOT_TELL), rereads=at.rereads + 1, reason=reason)
    if at.way is not Way.API:
        return replace(step, keep_timer=True)
    if at.state is State.ACCEPTED and now >= _owed_by(at, now):
        step = go(at, State.ESCALATED, EntryKind.ESCALATED, alert="no_answer", rereads=at.rereads + 1, reason=reason)
    return read_again(step, at, now, readable=readable)


def read_again(step: Step, at: Position, now: datetime, *, readable: bool) -> Step:
    """After 10 min, 1 h, 6 h and then daily, for as long as nobody has said how it ended; on the day it is owed too."""
    again = now + (reread_delay(at.rereads) or timedelta(days=1))
    if step.state is State.ACCEPTED:
        until = _owed_by(at, now)
        timer, again = (Timer.REREAD, min(again, until)) if readable else (Timer.ESCALATE, until)
        return replace(step, timer=timer, timer_at=again)
    return replace(step, timer=Timer.REREAD, timer_at=again) if readable else step


def _owed_by(at: Position, now: datetime) -> datetime:
    return at.answer_by or now


def _doubt_resolved(at: Position, finding: AsAsked | Contradicts | CannotTell, now: datetime) -> Step:
    match finding:
        case AsAsked():
            later = now + STILL_VERIFIED_AFTER
            return go(at, State.VERIFIED, EntryKind.VERIFIED, Rung.VERIFIED, timer=Timer.REREAD, timer_at=later)
        case Contradicts(reason=reason):
            # What is asked for again and again with nothing to show for it must not be so in silence.
            seen = at.rereads + 1
            alert = "undone" if seen >= UNDONE_AFTER else ""
            return go(at, State.PENDING, EntryKind.DEFERRED, next=Next.NOW, reason=reason, rereads=seen, alert=alert)
        case CannotTell(later=True, blocked=blocked, reason=reason):
            wait, kept = Next.ACCOUNT if blocked else Next.BACKOFF, at.rereads
            return go(at, State.PENDING, EntryKind.CANNOT_TELL, next=wait, doubtful=True, reason=reason, rereads=kept)
        case CannotTell(reason=reason):
            # This cannot be read back at all; the contract says that told twice is told once, so it is told again.
            return go(at, State.PENDING, EntryKind.CANNOT_TELL, next=Next.NOW, reason=reason)
        case _:
            assert_never(finding)
