"""What happened to one request, as values, and in one list in order of time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from dpsync.reports.lines import RequestStanding
from dpsync.reports.words import STATES, asked_for, day


@dataclass(frozen=True, slots=True)
class EvidenceLine:
    """What is kept of one call. `part`: outcome or finding. `status` None: no answer came."""

    part: str
    endpoint: str
    scope: str
    status: int | None
    request_id: str
    at: datetime
    digest: str
    note: str


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One attempt. `ended_at` None: begun and not answered, so its effect is in doubt."""

    processor: str
    title: str
    number: int
    kind: str
    begun_at: datetime
    ended_at: datetime | None
    outcome: str
    reason: str
    evidence: tuple[EvidenceLine, ...]


@dataclass(frozen=True, slots=True)
class NoticeLine:
    """One letter of the correspondence; `reference` is what both sides call it."""

    processor: str
    title: str
    number: int
    kind: str
    reference: str
    created_at: datetime
    sent_at: datetime | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AnswerLine:
    """What was answered to notice `number` (0: told in another way). `said` is empty while it is sealed."""

    processor: str
    title: str
    number: int
    kind: str
    final: bool
    at: datetime
    said: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class DecisionLine:
    """What somebody of the controller decided, and why. No `processors`: for all of them."""

    processors: tuple[str, ...]
    kind: str
    detail: str
    by: str
    os_user: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class EntryLine:
    """One entry of the ledger; `fields` without its version, time, event and request."""

    idx: int
    at: datetime
    event: str
    fields: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened. `kind`: request, attempt, evidence, notice, answer or decision."""

    at: datetime
    kind: str
    title: str
    what: str
    detail: str = ""


def moments(
    asked: RequestStanding,
    attempts: Iterable[AttemptLine],
    notices: Iterable[NoticeLine],
    answers: Iterable[AnswerLine],
    decisions: Iterable[DecisionLine],
) -> tuple[Moment, ...]:
    """Everything in order of time; what happened at one moment stays in the order of cause and effect."""
    found = [
        *_of_request(asked),
        *_of_decisions(decisions),
        *(moment for attempt in attempts for moment in _of_attempt(attempt)),
        *_of_notices(notices),
        *_of_answers(answers),
        *_of_ends(asked),
    ]
    return tuple(sorted(found, key=lambda moment: moment.at))


def _of_request(asked: RequestStanding) -> Iterator[Moment]:
    assumed = " (assumed: the sender gave no time, or none that can be right)" if asked.received_assumed else ""
    lifting = "lifting of a " if asked.lifting else ""
    yield Moment(
        asked.received_at,
        "request",
        "",
        f"{lifting}{asked_for(asked.right, asked.scope)} received{assumed}",
        asked.ground,
    )
    yield Moment(asked.accepted_at, "request", "", f"accepted from {asked.source}", f"legal date {day(asked.due_on)}")


def _of_attempt(attempt: AttemptLine) -> Iterator[Moment]:
    called = f"attempt {attempt.number} ({attempt.kind.replace('_', ' ')})"
    yield Moment(attempt.begun_at, "attempt", attempt.title, f"{called} begun")
    for one in attempt.evidence:
        status = "no answer" if one.status is None else str(one.status)
        ids = " ".join(part for part in (one.request_id and f"their id {one.request_id}", one.scope, one.note) if part)
        yield Moment(one.at, "evidence", attempt.title, f"{one.endpoint}: {status}", ids)
    if attempt.ended_at is None:
        yield Moment(attempt.begun_at, "attempt", attempt.title, f"{called} has no answer yet: its effect is in doubt")
    else:
        yield Moment(attempt.ended_at, "attempt", attempt.title, f"{called}: {attempt.outcome}", attempt.reason)


def _of_notices(notices: Iterable[NoticeLine]) -> Iterator[Moment]:
    for one in notices:
        sent = "sent" if one.sent_at else "written; nobody knows whether it was sent"
        yield Moment(
            one.sent_at or one.created_at,
            "notice",
            one.title,
            f"notice {one.number} ({one.kind}) {sent}",
            one.reference,
        )


def _of_answers(answers: Iterable[AnswerLine]) -> Iterator[Moment]:
    for one in answers:
        to = f"to notice {one.number}" if one.number else "given in another way"
        said = "; ".join(f"{label}: {text}" for label, text in one.said)
        yield Moment(one.at, "answer", one.title, f"answer {to}: {one.kind.replace('_', ' ')}", said)


def _of_decisions(decisions: Iterable[DecisionLine]) -> Iterator[Moment]:
    for one in decisions:
        of = f" ({one.detail})" if one.detail else ""
        who = f"{one.by} ({one.os_user})" if one.os_user else one.by  # a link has no account of the machine
        what = f"{one.kind.replace('_', ' ')}{of} by {who}"
        yield Moment(one.at, "decision", ", ".join(one.processors), what, one.reason)


def _of_ends(asked: RequestStanding) -> Iterator[Moment]:
    for line in asked.lines:
        if line.done_at is not None:
            yield Moment(line.done_at, "request", line.title, "done", f"now: {STATES[line.state]}")
    if asked.closed_at is not None:
        yield Moment(asked.closed_at, "request", "", "closed: nobody needs to act any more")
    if asked.shredded_at is not None:
        yield Moment(asked.shredded_at, "request", "", "identifiers destroyed: only the proof is left")
