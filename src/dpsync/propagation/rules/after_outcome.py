"""What follows where the processor said something, or our mail host did. Pure: a part of `lifecycle`."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from dpsync.connector import (
    Accepted,
    Applied,
    HandOver,
    NothingHeld,
    NotIdentifiable,
    Outcome,
    Recipient,
    Refused,
    Retryable,
)
from dpsync.errors import IllegalTransition
from dpsync.ledger.entry import EntryKind
from dpsync.mail_status import undelivered
from dpsync.model import Cause, Rung, State, Way
from dpsync.propagation.rules.after_finding import read_again
from dpsync.propagation.rules.event import Next, Position, Step, Timer, go, stay


def after_outcome(at: Position, outcome: Outcome, now: datetime) -> Step:
    """What the processor's answer makes of it."""
    if at.state is not State.PENDING:
        return _after_late_outcome(at, outcome, now)
    return _after_outcome_awaited(at, outcome, now)


def _after_late_outcome(at: Position, outcome: Outcome, now: datetime) -> Step:
    """Said after the state moved on: an answer to a reminder, or to a call that was under way."""
    went = isinstance(outcome, (Applied, NothingHeld)) and at.way is Way.API
    waiting = at.state in {State.ACCEPTED, State.HANDED_OVER, State.ESCALATED}
    if waiting and went:
        return _after_outcome_awaited(at, outcome, now)
    if waiting and at.way is not Way.API:
        return after_reminder(at, outcome, now)
    if at.state in {State.WITHDRAWN, State.SUPERSEDED} and isinstance(outcome, (Applied, Accepted)):
        # It was under way when it was called off, and it went through. A person must see that.
        return go(at, State.ESCALATED, EntryKind.ESCALATED, Rung.SENT, alert="withdrawn_in_doubt")
    return stay(at, EntryKind.REPEAT)  # too late to change anything, and still a fact


def _after_outcome_awaited(at: Position, outcome: Outcome, now: datetime) -> Step:
    match outcome:
        case Applied():
            return go(at, State.APPLIED, EntryKind.APPLIED, Rung.CONFIRMED, timer=Timer.REREAD, timer_at=now)
        case NothingHeld():
            return go(at, State.NOTHING_HELD, EntryKind.NOTHING_HELD, Rung.CONFIRMED)
        case Accepted():
            return _accepted(at, outcome, now)
        case HandOver(to=to, task=task):
            return _handed_on(at, to, task)
        case NotIdentifiable(reason=reason):
            return go(at, State.NOT_IDENTIFIABLE, EntryKind.NOT_IDENTIFIABLE, alert="not_identifiable", reason=reason)
        case Refused(reason=reason) if at.way is Way.API:
            return go(at, State.REFUSED, EntryKind.REFUSED, alert="refused", reason=reason)
        case Refused():
            return _bounced(at, outcome)
        case Retryable(busy=busy, doubtful=doubtful, reason=reason):
            return go(
                at,
                State.PENDING,
                EntryKind.DEFERRED,
                next=Next.ACCOUNT if busy else Next.BACKOFF,
                doubtful=at.doubtful or doubtful,
                reason=reason,
                rereads=at.rereads,
            )
        case _:
            assert_never(outcome)


def _bounced(at: Position, refused: Refused) -> Step:
    """A mail system takes no letter for this contact: the same at once as in a report later, and nobody's no."""
    reason = undelivered(refused.status, refused.reason)
    return go(at, State.ESCALATED, EntryKind.BOUNCED, alert="bounced", reason=reason)


def _accepted(at: Position, accepted: Accepted, now: datetime) -> Step:
    until = accepted.answer_by or now + at.answer_within
    match at.way:
        case Way.API:
            rung = Rung.ACKNOWLEDGED if accepted.heard else Rung.DELIVERED
            step = go(at, State.ACCEPTED, EntryKind.ACCEPTED, rung, answer_by=until)
            return read_again(step, replace(at, rereads=0, answer_by=until), now, readable=at.readable)
        case Way.NOTICE | Way.OPERATOR:
            state = State.ACCEPTED if at.way is Way.NOTICE else State.HANDED_OVER
            # A letter to our own operator tells nobody outside, so it proves nothing about the processor.
            rung = Rung.SENT if at.way is Way.NOTICE else Rung.NONE
            step = go(at, state, EntryKind.NOTICE_SENT, rung, answer_by=until)
            return replace(step, timer=Timer.REMIND, timer_at=now + (until - now) / 2)
        case _:
            assert_never(at.way)


def _handed_on(at: Position, to: Recipient, task: str) -> Step:
    way = Way.NOTICE if to is Recipient.PROCESSOR else Way.OPERATOR
    if way is at.way:
        raise IllegalTransition("the way by letter handed over to itself")
    if way is Way.NOTICE and not at.contact_confirmed:
        causes = frozenset({Cause.CONTACT_UNVERIFIED})
        return go(at, State.HELD, EntryKind.HELD, way=way, causes=causes, alert="contact_unverified", reason=task)
    return go(at, State.PENDING, EntryKind.HANDED_OVER, way=way, next=Next.NOW, reason=task)


def after_reminder(at: Position, outcome: Outcome, now: datetime) -> Step:
    """What came of a reminder's letter."""
    match outcome:
        case Accepted():
            return (
                replace(stay(at, EntryKind.REMINDED), timer=Timer.ESCALATE, timer_at=now + at.answer_within / 2)
                if at.state is not State.ESCALATED
                else stay(at, EntryKind.REMINDED)
            )
        case Retryable(reason=reason):
            if at.state is not State.ESCALATED and at.answer_by and now >= at.answer_by:
                return go(at, State.ESCALATED, EntryKind.ESCALATED, alert="no_answer", reason=reason)
            again = now + timedelta(hours=1)
            return replace(stay(at, EntryKind.DEFERRED), timer=Timer.REMIND, timer_at=again, reason=reason)
        case Refused():
            return _bounced(at, outcome)
        case NotIdentifiable(reason=reason):
            return go(at, State.ESCALATED, EntryKind.BOUNCED, alert="bounced", reason=reason)
        case Applied() | NothingHeld() | HandOver():
            return stay(at, EntryKind.REPEAT)
        case _:
            assert_never(outcome)
