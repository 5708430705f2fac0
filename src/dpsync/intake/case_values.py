"""What whoever holds a link sees of a complaint or an incident, and which steps they may record.

Without a code: days, kinds and ids. What people wrote may name somebody, so it is shown only after the code.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection

from dpsync.cases.acts import Act, acts, words_of
from dpsync.cases.complaints import LETTER, complaint, complaints
from dpsync.cases.departures import LETTER as DEPARTURE
from dpsync.cases.departures import Departure, case_of, departure, departures
from dpsync.cases.incidents import FACTS, Incident, Stage, facts_of, incident, incidents
from dpsync.cases.proposals import SAYS
from dpsync.cases.values import Complaint, Result
from dpsync.errors import NotFound
from dpsync.installation import Installation
from dpsync.mail import long_day
from dpsync.reports.make import leaving_days
from dpsync.reports.words import day, moment


class CaseStep(StrEnum):
    """What can be recorded of a case by link."""

    RECEIVED = "received"
    ACKNOWLEDGE = "acknowledge"
    PROGRESS = "progress"
    OUTCOME = "outcome"
    ESCALATE = "escalate"
    OPEN = "open"
    CLOSE = "close"
    INSTRUCTED = "instructed"
    CONFIRMED = "confirmed"


WORDS: Final[Mapping[CaseStep, str]] = MappingProxyType(
    {
        CaseStep.RECEIVED: "A complaint came in",
        CaseStep.ACKNOWLEDGE: "The person was told that we have the complaint and look into it",
        CaseStep.PROGRESS: "The person was told how it goes",
        CaseStep.OUTCOME: "The person was told the outcome. This closes the complaint",
        CaseStep.ESCALATE: "The complaint is with the authority now",
        CaseStep.OPEN: "Write down what happened (Art. 33). The incident stays open",
        CaseStep.CLOSE: "Close it: what it was, and who was told",
        CaseStep.INSTRUCTED: "We instructed it in writing to delete or return everything",
        CaseStep.CONFIRMED: "It confirmed that everything is deleted or returned",
    }
)


@dataclass(frozen=True, slots=True)
class CaseLine:
    """One open case on the page of what waits. `by`: the next date, "" for none."""

    id: str
    what: str
    stands: str
    by: str
    late: bool


@dataclass(frozen=True, slots=True)
class CasePage:
    """One case. `rows`: label and value. `history`: a sentence a step. `can`: what may be recorded now.

    `facts`: what was written down for Art. 33, by the names of `FACTS`; empty before the code. `seen`: a digest of it.
    `places`: name and title of each processor, where a new case is recorded.
    """

    id: str
    title: str
    rows: tuple[tuple[str, str], ...]
    history: tuple[str, ...] = field(repr=False)
    can: tuple[CaseStep, ...]
    seen: str
    facts: Mapping[str, str] = field(repr=False)
    places: tuple[tuple[str, str], ...] = ()
    people: int | None = None
    records: int | None = None

    @property
    def is_complaint(self) -> bool:
        """Whether it is about what somebody complains of."""
        return self.id.startswith(f"{LETTER}-")

    @property
    def is_departure(self) -> bool:
        """Whether it is about a processor that leaves. What is neither is an incident."""
        return is_departure(self.id)

    @property
    def is_new(self) -> bool:
        """Whether nothing of it is recorded, nor known."""
        return not self.rows


def is_departure(case_id: str) -> bool:
    """Whether a processor that leaves is called so."""
    return case_id.startswith(f"{DEPARTURE}-")


def open_cases(connection: Connection, there: Installation, now: datetime) -> tuple[CaseLine, ...]:
    """The complaints and incidents that a person must still act on, the oldest first."""
    today = there.controller.legal_clock.day_of(now)
    leaving = departures(connection, leaving_days(there.settings))
    return (
        *(_complaint_line(one, today) for one in complaints(connection) if one.holds),
        *(_incident_line(one, there, now) for one in incidents(connection) if one.open),
        *(_departure_line(one, today) for one in leaving.values() if one.confirmed is None),
    )


def _complaint_line(one: Complaint, today: date) -> CaseLine:
    waits = one.due_on if one.acknowledged_on is None else None
    late = one.acknowledged_on is None and one.late(today)
    return CaseLine(one.id, "Complaint", complaint_stands(one), f"acknowledge by {day(waits)}" if waits else "", late)


def _incident_line(one: Incident, there: Installation, now: datetime) -> CaseLine:
    ends = f"the 72 hours end {moment(one.limit_at, there.zone)}"
    return CaseLine(one.id, "Incident", one.stage.value, ends, now >= one.limit_at)


def _departure_line(one: Departure, today: date) -> CaseLine:
    by = f"its last day is {day(one.last_day)}"
    return CaseLine(case_of(one.processor), "Leaving processor", departure_stands(one), by, one.last_day < today)


def departure_stands(one: Departure) -> str:
    """Where the departure of a processor stands, in few words."""
    if one.confirmed is not None:
        return "confirmed that everything is deleted or returned"
    return "not instructed" if one.instructed is None else "instructed, not confirmed"


_OUTCOMES = {
    Result.UPHELD: "upheld",
    Result.PARTLY: "upheld in part",
    Result.NOT_UPHELD: "not upheld",
    Result.WITHDRAWN: "withdrawn by the person",
    Result.OUT_OF_SCOPE: "not about data protection",
}


def complaint_stands(one: Complaint) -> str:
    """Where a complaint stands, in few words."""
    if one.with_authority:
        return "with the authority"
    if one.result is not None:
        return _OUTCOMES[one.result]
    return "open, not acknowledged" if one.acknowledged_on is None else "open, acknowledged"


def case_page(connection: Connection, there: Installation, case_id: str, *, words: bool) -> CasePage:
    """A case as it stands. `words`: what people wrote is opened, too. Raises `NotFound`."""
    if is_departure(case_id):
        return _departure_page(connection, there, case_id.removeprefix(f"{DEPARTURE}-"), words=words)
    is_complaint = case_id.startswith(f"{LETTER}-")
    made = complaint(connection, case_id) if is_complaint else incident(connection, case_id)
    steps = acts(connection, case_id[0], case_id)[case_id]
    is_incident = isinstance(made, Incident)
    return CasePage(
        id=case_id,
        title="Incident" if is_incident else "Complaint",
        rows=tuple(_of_incident(made, there) if isinstance(made, Incident) else _of_complaint(made, there)),
        history=tuple(_sentence(there, one, words=words) for one in steps),
        can=_steps_of(made),
        seen=there.keys.mac("case seen", f"{case_id}\n{len(steps)}".encode()).hex()[:32],
        facts=facts_of(connection, there.keys, case_id) if words and is_incident else {},
        people=made.people if isinstance(made, Incident) else None,
        records=made.records if isinstance(made, Incident) else None,
    )


def _departure_page(connection: Connection, there: Installation, name: str, *, words: bool) -> CasePage:
    last_day = leaving_days(there.settings).get(name)
    if last_day is None:
        raise NotFound(f"{name} does not leave")
    one, case_id = departure(connection, name, last_day), case_of(name)
    steps = [
        step
        for step in acts(connection, DEPARTURE, case_id).get(case_id, ())
        if step.said["last_day"] == last_day.isoformat()
    ]
    confirm = (CaseStep.CONFIRMED,) if one.instructed else ()
    return CasePage(
        id=case_id,
        title="Leaving processor",
        rows=(
            ("Processor", there.controller.title_of(name)),
            ("Last day", day(last_day)),
            ("Stands", departure_stands(one)),
        ),
        history=tuple(_sentence(there, step, words=words) for step in steps),
        can=() if one.confirmed else (CaseStep.INSTRUCTED, *confirm),
        seen=there.keys.mac("case seen", f"{case_id}\n{last_day}\n{len(steps)}".encode()).hex()[:32],
        facts={},
    )


def _steps_of(made: Complaint | Incident) -> tuple[CaseStep, ...]:
    if isinstance(made, Incident):
        return (CaseStep.OPEN, CaseStep.CLOSE) if made.open else ()
    first = (CaseStep.ACKNOWLEDGE,) if made.open and made.acknowledged_on is None else ()
    running = (CaseStep.PROGRESS, CaseStep.OUTCOME) if made.holds else ()
    return (*first, *running, *(() if made.with_authority else (CaseStep.ESCALATE,)))


def _of_complaint(one: Complaint, there: Installation) -> Iterator[tuple[str, str]]:
    yield "Stands", complaint_stands(one)
    yield "Received", f"{day(one.received_on)}, by {one.channel}"
    if one.due_on and one.strict_on:
        yield "Acknowledge", f"by {day(one.strict_on)}, at the latest {day(one.due_on)}"
    yield from _about(one.about, [there.controller.title_of(name) for name in one.processors])
    yield "Topics", ", ".join(topic.value for topic in one.topics)


def _of_incident(one: Incident, there: Installation) -> Iterator[tuple[str, str]]:
    yield "Stands", one.finding.value.replace("_", " ") if one.finding else one.stage.value
    yield "What it may be", SAYS[one.kind]
    yield "Aware since", moment(one.aware_at, there.zone)
    yield "72 hours end", moment(one.limit_at, there.zone)
    yield from _about(one.about, [])
    if one.stage is not Stage.PROPOSED:
        for label, number in (("People", one.people), ("Records", one.records)):
            yield label, "not written down" if number is None else f"about {number:,}"


def _about(requests: Sequence[str], places: Sequence[str]) -> Iterator[tuple[str, str]]:
    named = [*(f"request {one[:8]}" for one in requests), *places]
    if named:
        yield "About", ", ".join(named)


def _sentence(there: Installation, one: Act, *, words: bool) -> str:
    kind = str(one.said.get("step") or one.kind.value.removeprefix("complaint_").removeprefix("incident_"))
    kind = kind.replace("_", " ")
    said = [f"{moment(one.at, there.zone)}: {kind}", *_said(one)]
    if words:
        opened = words_of(there.keys, one)
        named = {"by": "", "reason": "why: ", "note": "note: ", **{name: f"{title}: " for name, title in FACTS.items()}}
        said += [f"{named.get(name, f'{name}: ')}{text}" for name, text in opened.items() if text]
    return "; ".join(said)


def _said(one: Act) -> Iterator[str]:
    said = one.said
    if "result" in said:
        yield _OUTCOMES[Result(str(said["result"]))]
    if "step" in said:
        yield f"on {long_day(date.fromisoformat(said['on']))} by {said['how']}"
    elif "how" in said:
        yield f"told on {long_day(date.fromisoformat(said['on']))} by {said['how']}"
    elif "on" in said:
        yield f"since {long_day(date.fromisoformat(said['on']))}"
    if said.get("finding"):
        yield str(said["finding"]).replace("_", " ")
    if said.get("notified_on"):
        yield f"the authority was told on {long_day(date.fromisoformat(said['notified_on']))}"
    if said.get("people_told_on"):
        yield f"the people were told on {long_day(date.fromisoformat(said['people_told_on']))}"
