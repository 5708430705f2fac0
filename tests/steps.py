"""What follows from what, as it was last read and found right: a short digest for each state, way and event.

The rules in test_lifecycle.py say what must hold; this says that nothing else has changed, down to the minute of a
timer and the words of a reason. Whoever means a change writes it anew (`python -m tests.steps`), and its review sees
which steps are others now.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from operator import attrgetter
from pathlib import Path

from dpsync.connector import (
    Accepted,
    CannotTell,
    Contradicts,
    Declares,
    HandOver,
    NotIdentifiable,
    Recipient,
    Refused,
    ReportedOutcome,
    Retryable,
)
from dpsync.errors import CredentialsRejected, DecisionRefused, IllegalTransition, MailHostRefused
from dpsync.model import Cause, ExemptionCode, Right, Rung, State, Way
from dpsync.propagation.rules.lifecycle import (
    Answer,
    AnswerKind,
    Decision,
    DecisionKind,
    Event,
    Position,
    Step,
    Timer,
    advance,
)
from dpsync.propagation.rules.states import events
from tests.builders import proof

STORED = Path(__file__).with_name("stored") / "steps.json"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
_VALUES = attrgetter(*(one.name for one in fields(Step) if one.name != "causes"))
SOON, LATER = NOW + timedelta(hours=5), NOW + timedelta(days=40)


def told() -> Iterator[tuple[str, Event]]:
    """All that the page of states asks, and each of them with more to it."""
    yield from events()
    reason = "the reason"
    yield "accepted until", Accepted(evidence=(), answer_by=LATER)
    yield "accepted for hours", Accepted(evidence=(), answer_by=SOON)
    for to in Recipient:
        yield f"handed to the {to} after a call", HandOver(to=to, task="the task", evidence=proof())
    yield "not identifiable because", NotIdentifiable(reason=reason)
    for status in ("", "5.1.1", "5.7.1", "4.2.2"):
        yield f"refused with {status}", Refused(reason=reason, evidence=proof(), status=status)
    for busy, doubtful, blocked in product((False, True), repeat=3):
        yield (
            f"later {busy:d}{doubtful:d}{blocked:d}",
            Retryable(reason=reason, busy=busy, doubtful=doubtful, blocked=blocked),
        )
    for outcome in ReportedOutcome:
        yield f"declares {outcome}", Declares(outcome=outcome, evidence=proof(), reason=reason, answer_by=LATER)
    for flag in (False, True):
        yield f"contradicts because {flag:d}", Contradicts(reason=reason, evidence=(), final=flag)
        yield f"cannot tell because {flag:d}", CannotTell(reason=reason, later=flag)
        yield f"cannot tell, blocked {flag:d}", CannotTell(reason=reason, later=flag, blocked=True)
    for kind in AnswerKind:
        yield f"{kind} to an older letter", Answer(kind, older=True)
        yield f"{kind} with a status", Answer(kind, digest="00", status="5.1.1")
    cool = frozenset({Cause.COOLING_OFF})
    for decided, causes in product(DecisionKind, (cool, frozenset(Cause))):
        yield f"{decided} of {len(causes)}", Decision(decided, causes)
    yield "exempted as too much", Decision(DecisionKind.EXEMPT, code=ExemptionCode.DISPROPORTIONATE)
    for timer in Timer:
        yield f"timer {timer}", timer
    yield "the mail host rejects us half way", CredentialsRejected("SMTP AUTH", 535, doubtful=True)
    yield "the mail host refuses us half way", MailHostRefused("SMTP DATA", 554, doubtful=True)


def positions(state: State, way: Way) -> Iterator[Position]:
    """Where one of this state and way may stand: all in rest, and then one thing after the other otherwise."""
    causes = frozenset({Cause.BRAKE, Cause.COOLING_OFF}) if state is State.HELD else frozenset[Cause]()
    rest = Position(right=Right.RECTIFICATION, state=state, way=way, causes=causes)
    for rung in (Rung.NONE, Rung.SENT, Rung.ACKNOWLEDGED, Rung.STILL_VERIFIED):
        yield replace(rest, rung=rung)
    yield replace(rest, causes=frozenset({Cause.COOLING_OFF}) & causes)
    yield replace(rest, causes=frozenset({Cause.BRAKE}) & causes)
    yield from (replace(rest, right=right, controller=own) for right in Right for own in (False, True))
    yield from (replace(rest, doubtful=True, told=told, touched=told) for told in (False, True))
    yield from (replace(rest, told=True, heard=heard) for heard in (False, True))
    yield from (replace(rest, touched=True, rung=rung) for rung in (Rung.NONE, Rung.SENT))
    yield from (replace(rest, defects=defects, doubtful=doubt) for defects in (1, 3, 4) for doubt in (False, True))
    yield from (replace(rest, rereads=rereads, doubtful=doubt) for rereads in (1, 2, 3, 9) for doubt in (False, True))
    yield replace(rest, lifting=True)
    yield replace(rest, contact_confirmed=False)
    yield replace(rest, answer_within=timedelta(days=3))
    for readable, until in product((False, True), (None, NOW - timedelta(1), NOW, SOON, LATER)):
        yield replace(rest, verifiable=readable, answer_by=until, rereads=1)
        yield replace(rest, verifiable=False, declares=readable, answer_by=until, doubtful=readable, told=readable)
    yield from (replace(rest, timer=timer, defects=defects) for timer in Timer for defects in (0, 3, 4))


def steps_from(state: State, way: Way) -> dict[str, str]:
    """The digest of all steps from the positions of a state and way, for each thing that can happen."""
    return {name: _digest(state, way, event) for name, event in told()}


def _digest(state: State, way: Way, event: Event) -> str:
    said = hashlib.sha256()
    for at in positions(state, way):
        try:
            step = advance(at, event, NOW)
            said.update(f"{_VALUES(step)} {sorted(step.causes)}\n".encode())
        except (DecisionRefused, IllegalTransition) as refusal:
            said.update(f"{refusal}\n".encode())
    return said.hexdigest()[:8]


if __name__ == "__main__":
    found = {f"{state} {way}": steps_from(state, way) for state, way in product(State, Way)}
    STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
