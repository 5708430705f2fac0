"""Incidents: what may be a breach of personal data (Art. 4(12)), with the 72 hours and the record of Art. 33.

dpsync proposes one where it sees the cause, and a person opens or dismisses it. dpsync notifies nobody: whether the
authority (Art. 33) and the people (Art. 34) are told is a decision of the controller, who does it and records it here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection

from dpsync.cases.acts import Act, act, acts, demand_day, demand_requests, new_id, words_of
from dpsync.errors import DecisionRefused, NotFound, UsageError
from dpsync.ledger.entry import EntryKind
from dpsync.propagation.controller import Controller
from dpsync.propagation.decisions import Person
from dpsync.sealing import Keys
from dpsync.store.writer import Unit

LETTER = "I"
LIMIT = timedelta(hours=72)
"""Art. 33(1), from when the controller became aware: hours, so no weekend and no holiday moves their end."""

NOBODY = Person("dpsync", "", "the record shows it")
"""Who proposes."""


class IncidentKind(StrEnum):
    """What happened."""

    MISTAKEN_ERASURE = "mistaken_erasure"
    WRONG_RECIPIENT = "wrong_recipient"
    LOST_KEY = "lost_key"
    OTHER = "other"


class Finding(StrEnum):
    """What became of it. Only `breach_notified` and `breach_no_risk` say that it was a breach."""

    NOT_A_BREACH = "not_a_breach"
    BREACH_NO_RISK = "breach_no_risk"
    BREACH_NOTIFIED = "breach_notified"


class Stage(StrEnum):
    """How far it is."""

    PROPOSED = "proposed"
    OPEN = "open"
    CLOSED = "closed"


FACTS: Mapping[str, str] = {
    "what": "What happened",
    "categories": "Whose data, and which (Art. 33(3)(a))",
    "consequences": "Likely consequences (Art. 33(3)(c))",
    "measures": "Measures taken or proposed (Art. 33(3)(d))",
    "contact": "Contact point (Art. 33(3)(b))",
}
"""What Art. 33(3) and (5) ask to be written down, beside the numbers; sealed."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident as it stands. `cause` names what dpsync saw ("" where a person opened it).

    `people`, `records`: about how many, None where nobody said. `notified_on`: when the authority was told;
    `people_told_on`: when the people were (Art. 34).
    """

    id: str
    kind: IncidentKind
    cause: str
    aware_at: datetime
    about: tuple[str, ...]
    stage: Stage
    recorded_at: datetime
    people: int | None = None
    records: int | None = None
    finding: Finding | None = None
    notified_on: date | None = None
    people_told_on: date | None = None
    closed_at: datetime | None = None

    @property
    def limit_at(self) -> datetime:
        """The end of the 72 hours within which the authority is told, unless there is no risk to anybody."""
        return self.aware_at + LIMIT

    @property
    def open(self) -> bool:
        """Whether a person must still decide."""
        return self.stage is not Stage.CLOSED


@dataclass(frozen=True, slots=True)
class NewIncident:
    """What whoever opens an incident says of it. `facts` by the names of `FACTS`."""

    kind: IncidentKind
    aware_at: datetime
    facts: Mapping[str, str]
    about: tuple[str, ...] = ()
    people: int | None = None
    records: int | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """How an incident ends. `reference` and the reason, which is the person's, are sealed."""

    finding: Finding
    notified_on: date | None = None
    reference: str = ""
    people_told_on: date | None = None


def propose(
    unit: Unit,
    controller: Controller,
    kind: IncidentKind,
    cause: str,
    aware_at: datetime,
    about: Sequence[str],
    now: datetime,
) -> Incident:
    """Record that something may be an incident; for dpsync itself. `cause` is a name of ours."""
    said = {"kind": kind.value, "cause": cause, "aware_at": aware_at.isoformat(), "about": list(about)}
    entered: dict[str, str | int] = {"kind": kind.value, "received": int(aware_at.timestamp()), "n": len(about)}
    case_id = new_id(LETTER)
    act(unit, controller, case_id, EntryKind.INCIDENT_PROPOSED, NOBODY, now, said=said, entered=entered)
    return incident(unit.connection, case_id)


def open_incident(
    unit: Unit, controller: Controller, new: NewIncident, person: Person, now: datetime, *, case_id: str = ""
) -> Incident:
    """Open an incident, or one that was proposed (`case_id`). Its 72 hours run from the earlier of the two times.

    Raises `NotFound`, `UsageError` without what happened, `DecisionRefused` for one that is closed.
    """
    if not new.facts.get("what", "").strip():
        raise UsageError("say with --what what happened")
    if new.aware_at > now:
        raise DecisionRefused("the time at which you became aware is in the future")
    demand_requests(unit.connection, new.about)
    aware_at, about, kind = new.aware_at, new.about, new.kind
    if case_id:
        before = incident(unit.connection, case_id)
        if not before.open:
            raise DecisionRefused("it is closed. Open another one")
        aware_at = min(before.aware_at, aware_at)
        about, kind = tuple(dict.fromkeys((*before.about, *about))), before.kind
    said = {
        "kind": kind.value,
        "aware_at": aware_at.isoformat(),
        "about": list(about),
        "people": new.people,
        "records": new.records,
    }
    entered: dict[str, str | int] = {"kind": kind.value, "received": int(aware_at.timestamp()), "n": len(about)}
    named, words = case_id or new_id(LETTER), {name: new.facts.get(name, "").strip() for name in FACTS}
    act(unit, controller, named, EntryKind.INCIDENT_OPENED, person, now, said=said, words=words, entered=entered)
    return incident(unit.connection, named)


def close(unit: Unit, controller: Controller, case_id: str, how: Closing, person: Person, now: datetime) -> Incident:
    """Close an incident, with a reason. A breach that was notified says when; one without risk says why (Art. 33(1)).

    Raises `DecisionRefused` where it is closed, or was only proposed and is said to be a breach: its facts are missing.
    """
    before = incident(unit.connection, case_id)
    if not before.open:
        raise DecisionRefused(f"it is closed already: {before.finding}")
    if not person.reason.strip():
        raise UsageError("say with --reason why")
    if before.stage is Stage.PROPOSED and how.finding is not Finding.NOT_A_BREACH:
        raise DecisionRefused("it is only proposed: open it first with what happened, so that the record is complete")
    if (how.finding is Finding.BREACH_NOTIFIED) != (how.notified_on is not None):
        raise UsageError("give --notified-on with --finding breach_notified, and with no other")
    since = controller.legal_clock.day_of(before.aware_at)
    for day, what in (
        (how.notified_on, "the day on which the authority was told"),
        (how.people_told_on, "the day on which the people were told"),
    ):
        if day is not None:
            demand_day(controller, day, since, now, what, "when you became aware of it")
    said = {
        "finding": how.finding.value,
        "notified_on": how.notified_on.isoformat() if how.notified_on else "",
        "people_told_on": how.people_told_on.isoformat() if how.people_told_on else "",
    }
    entered: dict[str, str | int] = {"kind": how.finding.value}
    if how.notified_on:
        entered["told_on"] = how.notified_on.isoformat()
    words, kind = {"reference": how.reference.strip()}, EntryKind.INCIDENT_CLOSED
    act(unit, controller, case_id, kind, person, now, said=said, words=words, entered=entered)
    return incident(unit.connection, case_id)


# --- reading


def incident(connection: Connection, case_id: str) -> Incident:
    """One incident as it stands. Raises `NotFound`."""
    found = acts(connection, LETTER, case_id)
    if not found:
        raise NotFound(f"there is no incident {case_id}")
    return _stands(found[case_id])


def incidents(connection: Connection) -> Sequence[Incident]:
    """Every incident as it stands, the oldest first."""
    return tuple(_stands(found) for found in acts(connection, LETTER).values())


def facts_of(connection: Connection, keys: Keys, case_id: str) -> Mapping[str, str]:
    """What was written down of one, opened: the newest of each of `FACTS`."""
    found: dict[str, str] = {}
    for one in acts(connection, LETTER, case_id).get(case_id, ()):
        words = words_of(keys, one)
        found |= {name: words[name] for name in FACTS if words.get(name)}
    return found


def _stands(found: Sequence[Act]) -> Incident:
    one = _begun(found[0])
    for step in found:
        said = step.said
        if step.kind is EntryKind.INCIDENT_OPENED:
            one = replace(
                one,
                stage=Stage.OPEN,
                aware_at=datetime.fromisoformat(said["aware_at"]),
                about=tuple(said["about"]),
                people=said["people"] if said["people"] is not None else one.people,
                records=said["records"] if said["records"] is not None else one.records,
            )
        elif step.kind is EntryKind.INCIDENT_CLOSED:
            notified, told = said["notified_on"], said["people_told_on"]
            one = replace(
                one,
                stage=Stage.CLOSED,
                finding=Finding(said["finding"]),
                notified_on=date.fromisoformat(notified) if notified else None,
                people_told_on=date.fromisoformat(told) if told else None,
                closed_at=step.at,
            )
    return one


def _begun(first: Act) -> Incident:
    said = first.said
    return Incident(
        id=first.case_id,
        kind=IncidentKind(said["kind"]),
        cause=said.get("cause", ""),
        aware_at=datetime.fromisoformat(said["aware_at"]),
        about=tuple(said["about"]),
        stage=Stage.PROPOSED,
        recorded_at=first.at,
    )
