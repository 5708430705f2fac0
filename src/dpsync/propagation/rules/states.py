"""docs/states.md: every state and what each event makes of it, asked of `lifecycle.advance` itself."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

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
    Defect,
    EarlierAddress,
    Event,
    Interrupted,
    Position,
    Step,
    Timer,
    advance,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)

EXPLAINED = {
    State.HELD: "accepted; the legal dates run, and nothing is sent until time or a named person releases it",
    State.PENDING: "on its way: the next attempt is due now or later",
    State.ACCEPTED: "the processor has it, and owes an answer",
    State.HANDED_OVER: "our own operator has the task",
    State.APPLIED: "the processor said that it is done",
    State.DECLARED_DONE: "a person or a system at the processor said that it is done",
    State.NOTHING_HELD: "the processor said, in its documented way, that it does not hold the person",
    State.DECLARED_NOTHING_HELD: "a person or a system at the processor said that nothing is held",
    State.VERIFIED: "dpsync has read back that it is done",
    State.CONTRADICTED: "dpsync has read back the opposite of what was said",
    State.REFUSED: "the processor said no, or gave an answer that is not documented",
    State.ESCALATED: "a person must look: a bounce, a wrong recipient, only a part done, an answer taken back, "
    "silence, or five defects",
    State.NOT_IDENTIFIABLE: "no identifier that this processor understands; this is never called nothing held",
    State.SUPERSEDED: "a newer request made it pointless before it was sent",
    State.WITHDRAWN: "taken back before it was sent",
    State.SETTLED: "closed by a named person with a reason; never counted as done",
    State.EXEMPT: "the processor need not be told (Art. 19), with reason and name; never counted as done",
}


def events() -> Iterator[tuple[str, Event]]:
    """One event of every kind, with the words for it."""
    yield "outcome: applied", Applied(evidence=())
    yield "outcome: nothing held", NothingHeld(evidence=())
    yield "outcome: accepted", Accepted(evidence=())
    yield "outcome: hand over to the contact", HandOver(to=Recipient.PROCESSOR, task="")
    yield "outcome: hand over to our operator", HandOver(to=Recipient.OPERATOR, task="")
    yield "outcome: not identifiable", NotIdentifiable(reason="")
    yield "outcome: refused", Refused(reason="", evidence=())
    yield "outcome: later", Retryable(reason="")
    yield "outcome: no answer, effect in doubt", Retryable(reason="", doubtful=True)
    yield "outcome: the whole account is busy", Retryable(reason="", busy=True)
    yield "finding: as asked", AsAsked(evidence=())
    yield "finding: contradicts", Contradicts(reason="", evidence=())
    yield "finding: it will not be done", Contradicts(reason="", evidence=(), final=True)
    yield "finding: cannot tell now", CannotTell(reason="", later=True)
    yield "finding: cannot ever tell", CannotTell(reason="")
    for outcome in ReportedOutcome:
        word = outcome.value.replace("_", " ")
        yield f"finding: the processor says {word}", Declares(outcome=outcome, evidence=())
    for kind in AnswerKind:
        yield f"answer: {kind.value.replace('_', ' ')}", Answer(kind)
    for decided in DecisionKind:
        names = {DecisionKind.RELEASE, DecisionKind.HOLD, DecisionKind.CONFIRM}
        causes = frozenset({Cause.BRAKE}) if decided in names else frozenset()
        yield (
            f"decision: {decided.value}",
            Decision(decided, causes, ExemptionCode.IMPOSSIBLE if decided is DecisionKind.EXEMPT else None),
        )
    yield "time: cooling-off over", Timer.COOLING_OFF
    yield "time: no answer in time", Timer.ESCALATE
    yield "our credential is rejected", CredentialsRejected("GET /", 401)
    yield "our credential is rejected half way", CredentialsRejected("GET /", 401, doubtful=True)
    yield "our mail host rejects our password", CredentialsRejected("SMTP AUTH", 535)
    yield "our mail host takes no letter of ours", MailHostRefused("SMTP RCPT", 553)
    yield "a defect of ours", Defect()
    yield "the attempt was interrupted", Interrupted()
    yield "the process died during the attempt", Interrupted(crashed=True)
    yield "an older change of address came in late", EarlierAddress()


def positions() -> Iterator[tuple[str, Position]]:
    """Every state as it typically stands, and those that go on otherwise by letter, in doubt or unreadable."""
    for state in State:
        way = Way.NOTICE if state is State.ACCEPTED else Way.OPERATOR if state is State.HANDED_OVER else Way.API
        causes = frozenset({Cause.BRAKE}) if state is State.HELD else frozenset()
        at = Position(right=Right.RECTIFICATION, state=state, way=way, causes=causes)
        yield state.value, at
        if state is State.ACCEPTED:
            yield "accepted, by its interface", replace(at, way=Way.API, answer_by=NOW + timedelta(days=10))
            yield "accepted, by its interface, and the day has come", replace(at, way=Way.API, answer_by=NOW)
        if state is State.PENDING:
            yield "pending, in doubt", replace(at, doubtful=True)
        if state in {State.PENDING, State.ESCALATED}:
            yield f"{state.value}, by letter", replace(at, way=Way.NOTICE)
        if state is State.CONTRADICTED:
            yield "contradicted, and can be read no more", replace(at, verifiable=False)


def page() -> str:
    """The whole page."""
    lines = [
        "# States of a propagation",
        "",
        "Generated from `dpsync.propagation.rules.lifecycle`; `make docs` writes it anew.",
        "",
        "| state | means |",
        "| --- | --- |",
        *[f"| `{state.value}` | {EXPLAINED[state]} |" for state in State],
        "",
        "A rung says how far the proof reaches: " + " < ".join(_named(rung) for rung in Rung) + ".",
        "The tables are right for every rung. *At least* a rung raises a lower rung to it. *At most* a rung takes a",
        "higher rung down to it. If no rung is named, each stays as it was. For withdrawal and exemption, the tables",
        "show a propagation that was never told.",
    ]
    for name, at in positions():
        rows = [(words, told) for words, event in events() if (told := _told(at, event))]
        lines += ["", f"## {name}", ""]
        if rows:
            lines += ["| what happens | what follows |", "| --- | --- |", *[f"| {a} | {b} |" for a, b in rows]]
        else:
            lines.append("No event changes it any more.")
    return "\n".join(lines) + "\n"


def _told(at: Position, event: Event) -> str:
    try:
        step = advance(at, event, NOW)
    except DecisionRefused as refusal:
        return f"refused: {refusal.message}"
    except IllegalTransition:
        return ""
    if step.entry.value == "repeat" and not step.alert:
        return ""  # noted, changes nothing
    return _words(at, event, step)


def _words(at: Position, event: Event, step: Step) -> str:
    parts = [f"`{step.state.value}`" if step.state is not at.state else "stays"]
    if step.causes:
        parts.append("held for " + ", ".join(sorted(step.causes)))
    if rungs := _rungs(at, event):
        parts.append(f"rung {rungs}")
    if step.way is not at.way:
        parts.append(f"by {step.way.value}")
    if step.doubtful:
        parts.append("in doubt: read before it is repeated")
    if step.next.value != "nothing":
        parts.append(
            {"now": "goes on at once", "backoff": "goes on later", "account": "waits for the account"}[step.next]
        )
    if step.timer and step.timer_at:
        parts.append(f"{step.timer.value} {_span(step.timer_at - NOW)}")
    if step.alert:
        parts.append(f"alert `{step.alert}`")
    return "; ".join(parts)


def _rungs(at: Position, event: Event) -> str:
    """What becomes of each rung, in the fewest words that say it of all of them; "" where each stays."""
    after = {}
    for rung in Rung:
        with suppress(DecisionRefused):  # what proves that it was told excludes an exemption
            after[rung] = advance(replace(at, rung=rung), event, NOW).rung
    if all(after[rung] is rung for rung in after):
        return ""
    for bound in Rung:
        if all(after[rung] is max(rung, bound) for rung in after):
            return f"at least {_named(bound)}"
        if all(after[rung] is min(rung, bound) for rung in after):
            return f"at most {_named(bound)}"
    return ", ".join(f"{_named(rung)} to {_named(then)}" for rung, then in after.items() if then is not rung)


def _named(rung: Rung) -> str:
    return rung.name.lower().replace("_", " ")


def _span(span: timedelta) -> str:
    return "at once" if span <= timedelta(0) else f"in {span}"


if __name__ == "__main__":
    Path("docs/states.md").write_text(page(), encoding="utf-8")
