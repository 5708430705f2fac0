"""What somebody filled in on the page of a case: read, and what keeps it from being recorded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from dpsync.cases.incidents import FACTS, Finding
from dpsync.cases.values import Channel, Result
from dpsync.intake.case_values import CaseStep
from dpsync.intake.typed import LONGEST_NAME, day_of, letter_problem, one_of, plain, too_long
from dpsync.model import Right

LONGEST_FACT = 800
MOST = 1_000_000_000
"""People or records; more is a slip of the finger."""

TOPIC, AT = "topic.", "at."
"""What the name of a field begins with that ticks a topic, or a processor."""

WITH_A_DAY = frozenset({CaseStep.ACKNOWLEDGE, CaseStep.PROGRESS, CaseStep.OUTCOME})
OF_A_DEPARTURE = frozenset({CaseStep.INSTRUCTED, CaseStep.CONFIRMED})
WITH_REASON = frozenset({CaseStep.OUTCOME, CaseStep.CLOSE})


@dataclass(frozen=True, slots=True)
class CaseGiven:
    """The fields of the form; None or "" for what is empty or makes no sense."""

    step: CaseStep | None = None
    name: str = field(default="", repr=False)
    reason: str = field(default="", repr=False)
    on: date | None = None
    channel: Channel | None = None
    result: Result | None = None
    reference: str = field(default="", repr=False)
    letter: str = field(default="", repr=False)
    topics: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()
    about: str = ""
    contains: Right | None = None
    email: str = field(default="", repr=False)
    subject_id: str = field(default="", repr=False)
    checked_on: date | None = None
    facts: Mapping[str, str] = field(default_factory=dict, repr=False)
    people: str = ""
    records: str = ""
    finding: Finding | None = None
    notified_on: date | None = None
    people_told_on: date | None = None

    def number(self, text: str) -> int | None:
        """A number that was typed; None where nothing was."""
        return int(text) if text else None


def given_of(sent: Mapping[str, str]) -> CaseGiven:
    """What the fields of the form say; a value that the page does not have counts as nothing."""
    return CaseGiven(
        step=one_of(CaseStep, sent.get("choice", "")),
        name=" ".join(plain(sent.get("name", "")).split()),
        reason=plain(sent.get("reason", "")),
        on=day_of(sent.get("on", "")),
        channel=one_of(Channel, sent.get("channel", "")),
        result=one_of(Result, sent.get("result", "")),
        reference=plain(sent.get("reference", "")),
        letter=plain(sent.get("letter", "")),
        topics=_ticked(sent, TOPIC),
        places=_ticked(sent, AT),
        about=plain(sent.get("about", "")),
        contains=one_of(Right, sent.get("contains", "")),
        email=plain(sent.get("email", "")),
        subject_id=plain(sent.get("subject_id", "")),
        checked_on=day_of(sent.get("checked_on", "")),
        facts={name: plain(sent.get(name, "")) for name in FACTS},
        people=_digits(sent.get("people", "")),
        records=_digits(sent.get("records", "")),
        finding=one_of(Finding, sent.get("finding", "")),
        notified_on=day_of(sent.get("notified_on", "")),
        people_told_on=day_of(sent.get("people_told_on", "")),
    )


def problem_of(given: CaseGiven) -> str:
    """What keeps it from being recorded, as a sentence to the person; "" where nothing does."""
    if given.step is None:
        return "Please choose what you want to record."
    if not given.name:
        return "Please type your name."
    if given.step in WITH_REASON and not given.reason:
        return "Please say why."
    if len(given.reference) > LONGEST_NAME or any(len(text) > LONGEST_FACT for text in given.facts.values()):
        return f"Please keep the reference below {LONGEST_NAME} characters and each answer below {LONGEST_FACT}."
    return _lacking(given) or letter_problem(given.letter) or too_long(given.name, given.reason)


def _lacking(given: CaseGiven) -> str:
    if given.step is CaseStep.RECEIVED and (given.on is None or given.channel is None or not given.topics):
        return "Please give the day on which it came, how, and what it is about."
    if given.step is CaseStep.RECEIVED and given.contains and not (given.email or given.subject_id):
        return "Please give the person's email address, or their id in the main database, for what they ask for."
    if given.step is CaseStep.RECEIVED and given.contains is None and (given.email or given.subject_id):
        return "Please choose what the person asks for, or leave their address and id empty."
    if given.step in WITH_A_DAY and (given.on is None or given.channel is None):
        return "Please give the day on which the person was told, and how."
    if given.step in OF_A_DEPARTURE and (given.on is None or given.channel is None):
        return "Please give the day, and how it was said."
    if given.step is CaseStep.OUTCOME and given.result is None:
        return "Please choose the outcome."
    if given.step is CaseStep.ESCALATE and given.on is None:
        return "Please give the day since when it is with the authority."
    return _lacking_of_incident(given)


def _lacking_of_incident(given: CaseGiven) -> str:
    if given.step is CaseStep.OPEN:
        if not given.facts["what"]:
            return "Please say what happened."
        if any(text and not _is_number(text) for text in (given.people, given.records)):
            return "Please write how many people and records as a number, or leave it empty."
    if given.step is CaseStep.CLOSE:
        if given.finding is None:
            return "Please choose what it was."
        if (given.finding is Finding.BREACH_NOTIFIED) != (given.notified_on is not None):
            return "Please give the day on which the authority was told, if it was told, and only then."
    return ""


def _ticked(sent: Mapping[str, str], begins: str) -> frozenset[str]:
    return frozenset(name.removeprefix(begins) for name, said in sent.items() if name.startswith(begins) and said)


def _digits(text: str) -> str:
    return "".join(plain(text).split())


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12 and int(text) <= MOST
