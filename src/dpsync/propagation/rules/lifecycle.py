"""What happens to a propagation next. Pure: one function, `advance`, over everything that can happen to it.

docs/states.md is generated from this file by asking `advance` every question there is.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final, assert_never

from dpsync.connector import (
    Accepted,
    Applied,
    AsAsked,
    CannotTell,
    Contradicts,
    Declares,
    HandOver,
    NothingHeld,
    NotIdentifiable,
    Refused,
    Retryable,
)
from dpsync.errors import CredentialsRejected, IllegalTransition
from dpsync.ledger.entry import EntryKind
from dpsync.model import DONE_STATES, Cause, State, Way
from dpsync.propagation.rules.after_answer import ON_THEIR_WORD, after_answer
from dpsync.propagation.rules.after_decision import after_decision, released
from dpsync.propagation.rules.after_failure import after_defect, after_interruption
from dpsync.propagation.rules.after_finding import read_again
from dpsync.propagation.rules.after_outcome import after_outcome, after_reminder
from dpsync.propagation.rules.after_reading import after_reading
from dpsync.propagation.rules.event import (
    Answer,
    AnswerKind,
    Decision,
    DecisionKind,
    Defect,
    EarlierAddress,
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
    "EarlierAddress",
    "Event",
    "Interrupted",
    "Next",
    "Position",
    "Step",
    "Timer",
    "advance",
]

_ASKED_ANEW: Final = "an older change came in late, so it is asked again under the earlier address too"


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
        case CannotTell() | Declares() | Answer() | Decision() | Timer() | EarlierAddress():
            return False
        case _:
            assert_never(event)


def _next(at: Position, event: Event, now: datetime) -> Step:
    match event:
        case Applied() | NothingHeld() | Accepted() | HandOver() | NotIdentifiable() | Refused() | Retryable():
            return after_outcome(at, event, now)
        case AsAsked() | Contradicts() | CannotTell() | Declares():
            return after_reading(at, event, now)
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
        case EarlierAddress():
            return _asked_anew(at)
        case _:
            assert_never(event)


def _asked_anew(at: Position) -> Step:
    """It was told of too few addresses. Where that can be seen it is looked at first; else it is told once more.

    "Nothing held" was an answer about other addresses, so it is none now; and whoever reads nothing has not been told.
    """
    if at.state not in DONE_STATES | {State.ACCEPTED, State.HANDED_OVER}:
        raise IllegalTransition(f"an earlier address while {at.state.value}: whatever is told next names it anyway")
    readable = at.way is Way.API and at.verifiable
    step = go(at, State.PENDING, EntryKind.RETRIED, next=Next.NOW, doubtful=readable, reason=_ASKED_ANEW)
    return replace(step, told=at.told and readable, alert="earlier_address")


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
                return read_again(step, at, now, readable=at.readable)
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
        step = after_reminder(at, Retryable(reason=reason), now)
        return replace(step, alert=step.alert or alert)
    return replace(stay(at, EntryKind.DEFERRED), reason=reason, alert=alert, keep_timer=True)
