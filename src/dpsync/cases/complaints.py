"""Complaints (DPA 2018 s. 164A): received, acknowledged, followed up, answered, escalated. The outcome is a person's.

The acknowledgement has two dates, by the statute's words and by the ICO's method. Where the law sets none, the rest is
the same. While a complaint is open, or with the authority, the evidence of the requests that it is about is held.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime

from sqlalchemy import Connection

from dpsync.cases.acts import Act, act, acts, demand_day, demand_requests, new_id
from dpsync.cases.values import Channel, Complainant, Complaint, NewComplaint, PersonTold, Result, Topic
from dpsync.errors import DecisionRefused, NotFound, UsageError
from dpsync.ledger.entry import EntryKind
from dpsync.propagation.controller import Controller
from dpsync.propagation.decisions import Person
from dpsync.store.writer import Unit

LETTER = "C"
_RECEIVED = "when it was received"


def open_complaint(unit: Unit, controller: Controller, new: NewComplaint, person: Person, now: datetime) -> Complaint:
    """Record a complaint that came in, with its dates. Raises `NotFound`, `UsageError`, `DecisionRefused`."""
    clock = controller.legal_clock
    _demand(unit, controller, new, now)
    dates, case_id = clock.complaint(new.received_at), new_id(LETTER)
    said = {
        "received_at": new.received_at.isoformat(),
        "received_on": clock.day_of(new.received_at).isoformat(),
        "channel": new.channel.value,
        "by": new.by.value,
        "checked_on": new.authority_checked_on.isoformat() if new.authority_checked_on else "",
        "about": list(new.about),
        "processors": list(new.processors),
        "topics": [one.value for one in new.topics],
        "contains": new.contains,
        "strict_on": dates.strict_on.isoformat() if dates else "",
        "due_on": dates.due_on.isoformat() if dates else "",
        "rule": dates.rule if dates else "no statutory date",
    }
    entered: dict[str, str | int] = {
        "kind": new.channel.value,
        "received": int(new.received_at.timestamp()),
        "rule": str(said["rule"]),
        "n": len(new.about),
    }
    if dates:
        overdue = int(dates.due_at.timestamp())
        entered |= {"strict": dates.strict_on.isoformat(), "due": dates.due_on.isoformat(), "overdue": overdue}
    words, kind = {"note": new.note.strip()}, EntryKind.COMPLAINT_RECEIVED
    act(unit, controller, case_id, kind, person, now, said=said, words=words, entered=entered)
    return complaint(unit.connection, case_id)


def _demand(unit: Unit, controller: Controller, new: NewComplaint, now: datetime) -> None:
    """Refuse what cannot be recorded. Raises `NotFound`, `UsageError`, `DecisionRefused`."""
    if new.by is Complainant.REPRESENTATIVE and new.authority_checked_on is None:
        raise UsageError("for a representative, say with --authority-checked when you saw that they may act")
    if new.by is not Complainant.REPRESENTATIVE and new.authority_checked_on is not None:
        raise UsageError("--authority-checked is about a representative: give it with --representative")
    if not new.topics:
        raise UsageError("say with --topic what it is about")
    if new.received_at > now:
        raise DecisionRefused("the time of receipt is in the future")
    if unknown := set(new.processors) - set(controller.processors):
        raise NotFound("there is no processor " + ", ".join(sorted(unknown)))
    demand_requests(unit.connection, new.about)


def acknowledge(
    unit: Unit, controller: Controller, case_id: str, told: PersonTold, person: Person, now: datetime
) -> Complaint:
    """Record that the person was told that the complaint came and is looked into. Raises `DecisionRefused`."""
    before = complaint(unit.connection, case_id)
    if before.acknowledged is not None:
        raise DecisionRefused(f"it was acknowledged already, on {before.acknowledged.on:%d %b %Y}")
    if not before.open:
        raise DecisionRefused("the person was told the outcome already, which was the acknowledgement too")
    return _told(unit, controller, before, EntryKind.COMPLAINT_ACKNOWLEDGED, told, person, now)


def progress(
    unit: Unit, controller: Controller, case_id: str, told: PersonTold, person: Person, now: datetime
) -> Complaint:
    """Record that the person was told how it goes. Raises `DecisionRefused`."""
    before = complaint(unit.connection, case_id)
    if not before.holds:
        raise DecisionRefused("it is closed: there is no progress to tell of")
    return _told(unit, controller, before, EntryKind.COMPLAINT_PROGRESS, told, person, now)


def decide(
    unit: Unit, controller: Controller, case_id: str, result: Result, told: PersonTold, person: Person, now: datetime
) -> Complaint:
    """Record the outcome, and how the person was told. A second one only after it went to the authority."""
    before = complaint(unit.connection, case_id)
    if not before.holds:
        raise DecisionRefused(f"it has an outcome already: {before.result}")
    if not person.reason.strip():
        raise UsageError("say with --reason why")
    return _told(unit, controller, before, EntryKind.COMPLAINT_OUTCOME, told, person, now, result=result.value)


def escalate(
    unit: Unit,
    controller: Controller,
    case_id: str,
    on: date,
    authority: str,
    reference: str,
    person: Person,
    now: datetime,
) -> Complaint:
    """Record that the complaint is with the authority now, since a day; name and reference are sealed."""
    before = complaint(unit.connection, case_id)
    demand_day(controller, on, before.received_on, now, "the day", _RECEIVED)
    words = {"authority": authority.strip(), "reference": reference.strip()}
    kind, said = EntryKind.COMPLAINT_ESCALATED, {"on": on.isoformat()}
    act(unit, controller, case_id, kind, person, now, said=said, words=words, entered={"told_on": on.isoformat()})
    return complaint(unit.connection, case_id)


def _told(
    unit: Unit,
    controller: Controller,
    before: Complaint,
    kind: EntryKind,
    told: PersonTold,
    person: Person,
    now: datetime,
    *,
    result: str = "",
) -> Complaint:
    since, began = _earliest(before) if result else (before.received_on, _RECEIVED)
    demand_day(controller, told.on, since, now, "the day on which the person was told", began)
    said = {**told.said, **({"result": result} if result else {})}
    entered = {**told.entered, **({"kind": result} if result else {})}
    act(unit, controller, before.id, kind, person, now, said=said, entered=entered)
    return complaint(unit.connection, before.id)


def _earliest(before: Complaint) -> tuple[date, str]:
    """The first day on which the person can have been told an outcome, and what was on that day."""
    days = [(before.received_on, _RECEIVED)]
    if before.acknowledged is not None:
        days.append((before.acknowledged.on, "when it was acknowledged"))
    if before.with_authority and before.escalated_on is not None:
        days.append((before.escalated_on, "since when it is with the authority"))
    return max(days, key=lambda one: one[0])


# --- reading


def complaint(connection: Connection, case_id: str) -> Complaint:
    """One complaint as it stands. Raises `NotFound`."""
    found = acts(connection, LETTER, case_id)
    if not found:
        raise NotFound(f"there is no complaint {case_id}")
    return _stands(found[case_id])


def complaints(connection: Connection) -> Sequence[Complaint]:
    """Every complaint as it stands, the oldest first."""
    return tuple(_stands(found) for found in acts(connection, LETTER).values())


def evidence_held(connection: Connection) -> Collection[str]:
    """The requests whose evidence must stay because of a complaint: nothing of them may be destroyed."""
    return {request for one in complaints(connection) if one.holds for request in one.about}


def _stands(found: Sequence[Act]) -> Complaint:
    one = _received(found[0])
    for step in found[1:]:
        said = step.said
        match step.kind:
            case EntryKind.COMPLAINT_ACKNOWLEDGED:
                one = replace(one, acknowledged=_read(said))
            case EntryKind.COMPLAINT_PROGRESS:
                one = replace(one, progress=(*one.progress, _read(said)))
            case EntryKind.COMPLAINT_OUTCOME:
                result, told = Result(said["result"]), _read(said)
                one = replace(one, result=result, told=told, closed_at=step.at, with_authority=False)
            case EntryKind.COMPLAINT_ESCALATED:
                one = replace(one, escalated_on=date.fromisoformat(said["on"]), with_authority=True)
            case _:
                continue
    return one


def _received(first: Act) -> Complaint:
    said = first.said
    return Complaint(
        id=first.case_id,
        received_at=datetime.fromisoformat(said["received_at"]),
        received_on=date.fromisoformat(said["received_on"]),
        channel=Channel(said["channel"]),
        by=Complainant(said["by"]),
        about=tuple(said["about"]),
        processors=tuple(said["processors"]),
        topics=tuple(Topic(name) for name in said["topics"]),
        contains=said["contains"],
        authority_checked_on=_day(said["checked_on"]),
        strict_on=_day(said["strict_on"]),
        due_on=_day(said["due_on"]),
        rule=said["rule"],
    )


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def _read(said: Mapping[str, str]) -> PersonTold:
    return PersonTold(date.fromisoformat(said["on"]), Channel(said["how"]), said.get("digest", ""))
