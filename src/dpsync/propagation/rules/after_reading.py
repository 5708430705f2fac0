"""What follows where we asked the processor, and saw something or have its word. Pure: a part of `lifecycle`.

Its word is the same as where it comes by a message or from a person: declared, and never verified.
"""

from dataclasses import replace
from datetime import datetime

from dpsync.connector import Accepted, Declares, Finding, ReportedOutcome
from dpsync.ledger.entry import EntryKind
from dpsync.model import DONE_STATES, Rung, State, Way
from dpsync.propagation.rules.after_answer import after_answer
from dpsync.propagation.rules.after_finding import OWED, after_finding, still_queued
from dpsync.propagation.rules.after_outcome import after_outcome
from dpsync.propagation.rules.event import Answer, AnswerKind, Position, Step, stay

_CAN_BE_ASKED = OWED | DONE_STATES | {State.CONTRADICTED, State.REFUSED}


def after_reading(at: Position, finding: Finding, now: datetime) -> Step:
    """What comes of a call that only reads."""
    return _on_its_word(at, finding, now) if isinstance(finding, Declares) else after_finding(at, finding, now)


def _on_its_word(at: Position, said: Declares, now: datetime) -> Step:
    """Nothing that was said goes back: "not yet" after "done" changes nothing."""
    asked = at.state in _CAN_BE_ASKED or (at.state is State.PENDING and at.doubtful and at.way is Way.API)
    if not asked:
        return stay(at, EntryKind.REPEAT)
    if said.outcome is ReportedOutcome.RECEIVED:
        return _on_its_way(at, said, now)
    if at.state is State.REFUSED and said.outcome is ReportedOutcome.REFUSED:
        return stay(at, EntryKind.CANNOT_TELL)
    # In doubt whether it was told, its word shows that it was.
    told = replace(at, state=State.ACCEPTED) if at.state is State.PENDING else at
    step = after_answer(told, Answer(AnswerKind(said.outcome.value)), now)
    # Asked again it would only say the same.
    return replace(step, timer=None, timer_at=None, keep_timer=False, reason=step.reason or said.reason)


def _on_its_way(at: Position, said: Declares, now: datetime) -> Step:
    if at.state is State.PENDING:
        return after_outcome(at, Accepted(evidence=said.evidence, answer_by=said.answer_by), now)
    if at.state in OWED and at.way is Way.API:
        step = still_queued(at, said.reason, now, readable=True)
        return replace(step, rung=max(step.rung, Rung.ACKNOWLEDGED), told=True)
    return stay(at, EntryKind.CANNOT_TELL)
