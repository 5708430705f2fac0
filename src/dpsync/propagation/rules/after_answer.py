"""What follows where somebody answered: a person there, or a mail system of a letter. Pure: a part of `lifecycle`."""

from dataclasses import replace
from datetime import datetime
from typing import Final, assert_never

from dpsync.ledger.entry import EntryKind
from dpsync.mail_status import undelivered
from dpsync.model import DONE_STATES, Rung, State, Way
from dpsync.propagation.rules.event import Answer, AnswerKind, Position, Step, Timer, go, stay

_AGAINST = frozenset({AnswerKind.PARTLY, AnswerKind.REFUSED, AnswerKind.WRONG_RECIPIENT})
ON_THEIR_WORD = frozenset({State.DECLARED_DONE, State.DECLARED_NOTHING_HELD})
TAKEN_BACK: Final = "they said that it was done, and later took that back"
_WRONG_AFTER_ALL: Final = undelivered(otherwise="they said that it was done, and later: wrong recipient")


def after_answer(at: Position, answer: Answer, now: datetime) -> Step:
    """What an answer makes of it, be it a person's or a mail system's report."""
    waiting = {State.ACCEPTED, State.HANDED_OVER, State.ESCALATED}
    # A bounce after a word or our own reading is of an older letter. Who answers has it, whatever we noted of it yet.
    if answer.kind is not AnswerKind.BOUNCED:
        waiting |= {State.CONTRADICTED, State.REFUSED} | ({State.PENDING} if at.way is not Way.API else set())
    if at.state not in waiting or answer.older:
        return _after_later_answer(at, answer)
    if at.state is State.CONTRADICTED and at.verifiable and answer.kind in {AnswerKind.DONE, AnswerKind.NOTHING_HELD}:
        # What was seen beats what is said: it is read again at once, and nothing but that makes it done.
        return replace(stay(at, EntryKind.ACKNOWLEDGED), timer=Timer.REREAD, timer_at=now)
    match answer.kind:
        case AnswerKind.DELIVERED | AnswerKind.RECEIVED:
            # Neither is done: the reminder still goes. And what reached our own operator reached nobody outside.
            reached = Rung.ACKNOWLEDGED if answer.kind is AnswerKind.RECEIVED else Rung.DELIVERED
            step = replace(stay(at, EntryKind(reached.name.lower())), keep_timer=True)
            if answer.kind is AnswerKind.RECEIVED and at.declares and at.way is Way.API:
                # Its own system has news: what they are it is asked, for a message may come late, twice or never.
                step = replace(step, keep_timer=False, timer=Timer.REREAD, timer_at=now)
            # A host's word that one contact has it does not outweigh another's that one has not: a person's does.
            told = at.told or answer.kind is AnswerKind.RECEIVED or at.rung is Rung.NONE
            return step if at.way is Way.OPERATOR else replace(step, rung=max(at.rung, reached), told=told)
        case AnswerKind.DONE | AnswerKind.NOTHING_HELD:
            reread = {"timer": Timer.REREAD, "timer_at": now} if at.verifiable else {}
            return go(at, State(f"declared_{answer.kind}"), EntryKind.DECLARED, Rung.CONFIRMED, **reread)
        case AnswerKind.REFUSED:
            return go(at, State.REFUSED, EntryKind.REFUSED, Rung.ACKNOWLEDGED, alert="refused")
        case AnswerKind.PARTLY:
            return go(at, State.ESCALATED, EntryKind.ESCALATED, Rung.ACKNOWLEDGED, alert="partly")
        case AnswerKind.WRONG_RECIPIENT:
            reason = "" if at.way is Way.API else undelivered(otherwise="the contact says: wrong recipient")
            return go(at, State.ESCALATED, EntryKind.ESCALATED, alert="wrong_recipient", reason=reason)
        case AnswerKind.BOUNCED:
            reason = "" if at.way is Way.API else undelivered(answer.status)
            return go(at, State.ESCALATED, EntryKind.BOUNCED, alert="bounced", reason=reason)
        case _:
            assert_never(answer.kind)


def _after_later_answer(at: Position, answer: Answer) -> Step:
    """What is said after the final answer is added to the record; what rested on that answer alone falls with it."""
    said = stay(at, EntryKind.REPEAT)
    if answer.older:
        return replace(said, alert="taken_back" if at.state in DONE_STATES and answer.kind in _AGAINST else "")
    if at.state in ON_THEIR_WORD and answer.kind in _AGAINST:
        elsewhere = answer.kind is AnswerKind.WRONG_RECIPIENT and at.way is not Way.API
        reason = _WRONG_AFTER_ALL if elsewhere else TAKEN_BACK
        return go(at, State.ESCALATED, EntryKind.ESCALATED, alert="taken_back", reason=reason)
    if at.state in DONE_STATES and answer.kind in _AGAINST:
        return replace(said, alert="taken_back")
    lost = answer.kind is AnswerKind.BOUNCED and at.way is Way.NOTICE and not at.by_link
    answered = at.state in DONE_STATES | {State.REFUSED, State.CONTRADICTED, State.SETTLED}
    return replace(said, alert="letter_lost" if lost and answered else "")
