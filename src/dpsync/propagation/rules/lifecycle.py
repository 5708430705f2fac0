"""What happens to a propagation next. Pure: one function, `advance`, over everything that can happen to it.

docs/states.md is generated from this file by asking `advance` every question there is.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from dpsync.connector import (
    Accepted,
    Applied,
    AsAsked,
    CannotTell,
    Contradicts,
    Finding,
    HandOver,
    NothingHeld,
    NotIdentifiable,
    Outcome,
    Recipient,
    Refused,
    Retryable,
)
from dpsync.errors import CredentialsRejected, IllegalTransition
from dpsync.ledger.entry import EntryKind
from dpsync.mail_status import undelivered
from dpsync.model import DONE_STATES, Cause, Rung, State, Way
from dpsync.propagation.rules.after_answer import ON_THEIR_WORD, after_answer
from dpsync.propagation.rules.after_decision import after_decision, released
from dpsync.propagation.rules.after_failure import after_defect, after_interruption
from dpsync.propagation.rules.backoff import STILL_VERIFIED_AFTER, UNDONE_AFTER, reread_delay
from dpsync.propagation.rules.event import (
    Answer,
    AnswerKind,
    Decision,
    DecisionKind,
    Defect,
    Event,
    Interrupted,
    Next,
    Position,
    Step,
    Timer,
    go,
    stay,
)

__all__ = [
    "Answer",
    "AnswerKind",
    "Decision",
    "DecisionKind",
    "Defect",
    "Event",
    "Interrupted",
    "Next",
    "Position",
    "Step",
    "Timer",
    "advance",
]


def advance(at: Position, event: Event, now: datetime) -> Step:
    """What follows from `event`. Raises `DecisionRefused` for a decision that does not fit the state,
    `IllegalTransition` for what can only be a bug.
    """
    step = _next(at, event, now)
    told = step.told and not _shows_the_contrary(at, event)
    return replace(step, told=told, touched=at.touched or step.doubtful or _may_have_touched(event))


def _shows_the_contrary(at: Position, event: Event) -> bool:
    """Whether it takes back that the processor was told: a letter that reached nobody, or the wrong contact.

    A letter to our own operator says nothing of the processor; and what was done, or seen to be, had been heard of:
    unless it was done on their word alone, and the same side says that the contact was wrong.
    """
    if at.way is not Way.NOTICE or at.state in DONE_STATES - ON_THEIR_WORD | {State.CONTRADICTED}:
        return False
    match event:
        case Answer(kind=AnswerKind.BOUNCED) | Refused() if at.state in ON_THEIR_WORD | {State.REFUSED}:
            return False  # somebody there said it
        case Answer(kind=AnswerKind.WRONG_RECIPIENT, older=False):
            return True
        case Answer(kind=AnswerKind.BOUNCED, older=False) | Refused():
            return not at.heard
        case _:
            return False


def _may_have_touched(event: Event) -> bool:
    """Whether something may stand changed at the processor, or somebody there may have heard of it, from here on."""
    match event:
        case Refused(evidence=evidence) | HandOver(evidence=evidence):
            return bool(evidence)  # a no in one list says nothing of the others
        case Applied() | Accepted() | Defect() | Interrupted():
            return True
        case NothingHeld() | NotIdentifiable() | Retryable() | CredentialsRejected() | AsAsked() | Contradicts():
            return False  # what was left in doubt is in the step's own doubt
        case CannotTell() | Answer() | Decision() | Timer():
            return False
        case _:
            assert_never(event)


def _next(at: Position, event: Event, now: datetime) -> Step:
    match event:
        case Applied() | NothingHeld() | Accepted() | HandOver() | NotIdentifiable() | Refused() | Retryable():
            return _after_outcome(at, event, now)
        case AsAsked() | Contradicts() | CannotTell():
            return _after_finding(at, event, now)
        case Answer():
            return after_answer(at, event, now)
        case Decision():
            return after_decision(at, event)
        case Timer():
            return _after_timer(at, event, now)
        case CredentialsRejected():
            return _after_rejection(at, event, now)
        case Defect():
            return after_defect(at, now)
        case Interrupted(crashed=crashed):
            return after_interruption(at, now, crashed=crashed)
        case _:
            assert_never(event)


# --- the processor said something


def _after_outcome(at: Position, outcome: Outcome, now: datetime) -> Step:
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
        return _after_reminder(at, outcome, now)
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
        case Accepted(answer_by=answer_by):
            return _accepted(at, answer_by, now)
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


def _accepted(at: Position, answer_by: datetime | None, now: datetime) -> Step:
    until = answer_by or now + at.answer_within
    match at.way:
        case Way.API:
            step = go(at, State.ACCEPTED, EntryKind.ACCEPTED, Rung.ACKNOWLEDGED, answer_by=until)
            return _read_again(step, replace(at, rereads=0, answer_by=until), now, readable=at.verifiable)
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


def _after_reminder(at: Position, outcome: Outcome, now: datetime) -> Step:
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


# --- we looked


def _after_finding(at: Position, finding: Finding, now: datetime) -> Step:
    if at.state is State.PENDING and at.doubtful:
        return _doubt_resolved(at, finding, now)
    if at.state not in DONE_STATES | {State.CONTRADICTED, State.ACCEPTED, State.HANDED_OVER, State.ESCALATED}:
        return stay(at, EntryKind.REPEAT)
    match finding:
        case AsAsked():
            return _seen(at, now)
        case Contradicts():
            return _seen_otherwise(at, finding, now)
        case CannotTell(later=later, reason=reason) if at.state in _OWED and at.way is Way.API:
            return _still_queued(at, reason, now, readable=later)
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


_OWED = {State.ACCEPTED, State.HANDED_OVER, State.ESCALATED}


def _seen_otherwise(at: Position, seen: Contradicts, now: datetime) -> Step:
    refused_since = seen.final and at.way is Way.API
    if at.state in _OWED and not refused_since:
        # Nobody has said yet that it is done, so nothing is contradicted.
        return _still_queued(at, seen.reason, now, readable=True)
    # Told they were; that it was done is not so. The vendor's index may lag, so it is looked at once more by itself.
    rung = min(at.rung, Rung.ACKNOWLEDGED)
    step = replace(
        go(at, State.CONTRADICTED, EntryKind.CONTRADICTED, alert="contradicted", reason=seen.reason), rung=rung
    )
    if at.state in _OWED | {State.CONTRADICTED}:
        return step
    return replace(step, timer=Timer.REREAD, timer_at=now + timedelta(hours=1))


def _still_queued(at: Position, reason: str, now: datetime, *, readable: bool) -> Step:
    """It is not so yet. What an interface queued is looked at until the day of the answer; then a person is told."""
    step = replace(stay(at, EntryKind.CANNOT_TELL), rereads=at.rereads + 1, reason=reason)
    if at.way is not Way.API:
        return replace(step, keep_timer=True)
    if at.state is State.ACCEPTED and now >= _owed_by(at, now):
        step = go(at, State.ESCALATED, EntryKind.ESCALATED, alert="no_answer", rereads=at.rereads + 1, reason=reason)
    return _read_again(step, at, now, readable=readable)


def _read_again(step: Step, at: Position, now: datetime, *, readable: bool) -> Step:
    """After 10 min, 1 h, 6 h and then daily, for as long as nobody has said how it ended; on the day it is owed too."""
    again = now + (reread_delay(at.rereads) or timedelta(days=1))
    if step.state is State.ACCEPTED:
        until = _owed_by(at, now)
        timer, again = (Timer.REREAD, min(again, until)) if readable else (Timer.ESCALATE, until)
        return replace(step, timer=timer, timer_at=again)
    return replace(step, timer=Timer.REREAD, timer_at=again) if readable else step


def _owed_by(at: Position, now: datetime) -> datetime:
    return at.answer_by or now


def _doubt_resolved(at: Position, finding: Finding, now: datetime) -> Step:
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


# --- time passed, or our credential failed


def _after_timer(at: Position, timer: Timer, now: datetime) -> Step:
    match timer:
        case Timer.COOLING_OFF:
            if Cause.COOLING_OFF not in at.causes:
                return replace(stay(at, EntryKind.REPEAT), keep_timer=False)
            return released(at, frozenset({Cause.COOLING_OFF}))
        case Timer.ESCALATE:
            if at.state not in {State.ACCEPTED, State.HANDED_OVER}:
                return replace(stay(at, EntryKind.REPEAT), keep_timer=False)
            step = go(at, State.ESCALATED, EntryKind.ESCALATED, alert="no_answer")
            # A letter is followed by one to the backup contact; what an interface queued is only read.
            if at.way is Way.API:
                return _read_again(step, at, now, readable=at.verifiable)
            return replace(step, timer=Timer.REMIND, timer_at=now)
        case Timer.REREAD | Timer.REMIND:
            raise IllegalTransition(f"{timer.value} is acted on by asking the connector")
        case _:
            assert_never(timer)


def _after_rejection(at: Position, rejected: CredentialsRejected, now: datetime) -> Step:
    """The credential is ours: the account waits, nobody is charged. What earlier calls did stays in doubt."""
    reason = rejected.brief
    # Our own mail host is no account of the processor's: nothing is stopped, letters come back by themselves.
    alert = rejected.alert
    if at.state is State.PENDING:
        wait = Next.BACKOFF if rejected.by_mail_host else Next.ACCOUNT
        doubtful = at.doubtful or rejected.doubtful
        step = go(
            at, State.PENDING, EntryKind.DEFERRED, next=wait, doubtful=doubtful, reason=reason, rereads=at.rereads
        )
        return replace(step, alert=alert)
    if at.state in {State.WITHDRAWN, State.SUPERSEDED} and rejected.doubtful:
        return go(at, State.ESCALATED, EntryKind.ESCALATED, alert="withdrawn_in_doubt", reason=reason)
    if rejected.by_mail_host:
        step = _after_reminder(at, Retryable(reason=reason), now)
        return replace(step, alert=step.alert or alert)
    return replace(stay(at, EntryKind.DEFERRED), reason=reason, alert=alert, keep_timer=True)
