"""What reports say of complaints, incidents and held evidence: counts, a sentence each, and what somebody must do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from dpsync.cases.complaints import complaints
from dpsync.cases.holds import EvidenceHold, held
from dpsync.cases.incidents import Incident, incidents
from dpsync.cases.standing import ComplaintTally, IncidentTally, complaint_tally, incident_tally
from dpsync.cases.values import Complaint
from dpsync.mail import long_day
from dpsync.reports.duties import Duty
from dpsync.reports.words import moment, several

SOON: Final = timedelta(days=31)
"""So long before its last day a report asks whether evidence must be held for longer: each month has one."""


@dataclass(frozen=True, slots=True)
class CasesLine:
    """Complaints and incidents of a period, what stands open of them, and held evidence. `said`: a sentence each."""

    complaints: ComplaintTally
    incidents: IncidentTally
    said: tuple[str, ...]
    duties: tuple[Duty, ...]


def cases_of(
    connection: Connection, first: date, last: date, now: datetime, zone: ZoneInfo, request_id: str = ""
) -> CasesLine:
    """Those of the controller's days `first` to `last`, as things stand at `now`; `request_id`: about that one."""
    today = now.astimezone(zone).date()
    came = [one for one in complaints(connection) if not request_id or request_id in one.about]
    seen = [one for one in incidents(connection) if not request_id or request_id in one.about]
    tally, breaches = complaint_tally(came, first, last, today), incident_tally(seen, first, last, now, zone)
    holds = [one for one in held(connection, today).values() if request_id in ("", one.request_id)]
    said = (*_of_complaints(tally), *_of_incidents(breaches), *_of_holds(holds))
    duties = [_to_answer(one, today) for one in came if one.open]
    duties += [_to_decide(one, now, zone) for one in seen if one.open]
    duties += [_to_prolong(one) for one in holds if one.until - today <= SOON]
    return CasesLine(tally, breaches, said, tuple(sorted(duties, key=lambda one: (not one.overdue, one.by or today))))


def cases_about(connection: Connection, request_id: str, now: datetime, zone: ZoneInfo) -> tuple[str, ...]:
    """A sentence for each complaint and incident about one request, with its dates, the oldest first, and whether its
    evidence is held."""
    came = (one for one in complaints(connection) if request_id in one.about)
    seen = (one for one in incidents(connection) if request_id in one.about)
    kept = held(connection, now.astimezone(zone).date()).get(request_id)
    lasting = (f"Its evidence is held until {long_day(kept.until)}, by a decision.",) if kept else ()
    return (*map(_complaint_said, came), *(_incident_said(one, zone) for one in seen), *lasting)


def _complaint_said(one: Complaint) -> str:
    parts = [f"Complaint {one.id} came on {long_day(one.received_on)} by {one.channel}"]
    if one.acknowledged:
        parts.append(f"acknowledged on {long_day(one.acknowledged.on)}")
    elif one.open:
        parts.append(f"not acknowledged yet{f', due {long_day(one.due_on)}' if one.due_on else ''}")
    parts += [f"told how it goes on {long_day(told.on)}" for told in one.progress]
    if one.result and one.told:
        parts.append(f"outcome {one.result.value.replace('_', ' ')}, told on {long_day(one.told.on)}")
    if one.escalated_on:
        until = "" if one.with_authority else ", until its outcome"
        parts.append(f"with the authority since {long_day(one.escalated_on)}{until}")
    return f"{'; '.join(parts)}{'; open' if one.open else ''}."


def _incident_said(one: Incident, zone: ZoneInfo) -> str:
    parts = [f"Incident {one.id} ({one.kind.value.replace('_', ' ')}), aware {moment(one.aware_at, zone)}"]
    parts.append(f"72 hours end {moment(one.limit_at, zone)}" if one.open else "closed " + moment(one.closed_at, zone))
    parts.append(one.finding.value.replace("_", " ") if one.finding else one.stage.value)
    if one.notified_on:
        parts.append(f"the authority was told on {long_day(one.notified_on)}")
    if one.people_told_on:
        parts.append(f"the people were told on {long_day(one.people_told_on)}")
    return f"{'; '.join(parts)}."


def _of_complaints(tally: ComplaintTally) -> Iterator[str]:
    if not tally.anything:
        return
    months = ", ".join(f"{number} in {date.fromisoformat(f'{month}-01'):%B %Y}" for month, number in tally.received)
    several_months = f" ({months})" if len(tally.received) > 1 else ""
    came = f"{several(tally.total, 'complaint')} came in{several_months}"
    yield f"{came}, {tally.closed} got an outcome, {tally.open} open now."
    if tally.unacknowledged:
        yield f"{several(tally.unacknowledged, 'complaint is', 'complaints are')} not acknowledged yet."
    if tally.acknowledged_late:
        yield f"{tally.acknowledged_late} of those that came in were not acknowledged by the legal date."
    if tally.median_days is not None:
        yield f"From receipt to outcome: {tally.median_days:g} days (median)."


def _of_incidents(tally: IncidentTally) -> Iterator[str]:
    if not tally.anything:
        return
    yield (
        f"{several(tally.recorded, 'incident')} on the record, {tally.breaches} found to be a breach, "
        f"{tally.notified} notified to the authority; now {tally.open} open and {tally.proposed} proposed."
    )
    if tally.over:
        yield f"Of {several(tally.over, 'incident')} the 72 hours are over, and nobody has decided."


def _of_holds(holds: Sequence[EvidenceHold]) -> Iterator[str]:
    if holds:
        many = several(len(holds), "request")
        yield f"The evidence about {many} is held by a decision, of the first until {long_day(holds[0].until)}."


def _to_prolong(one: EvidenceHold) -> Duty:
    told = f"The evidence about {one.request_id[:8]} is held until {long_day(one.until)}. Prolong that if you need it "
    told += "for longer: after that day it is forgotten like any other."
    command = f"dpsync hold-evidence {one.request_id[:8]} --until DATE --by NAME --reason WHY"
    return Duty(overdue=False, by=one.until, sentence=told, command=command, requests=(one.request_id,))


def _to_answer(one: Complaint, today: date) -> Duty:
    if one.acknowledged_on is None:
        over = one.late(today)
        by = one.due_on if over else one.strict_on
        told = "Tell the person that the complaint came and is looked into, then record it."
        return Duty(
            over, by, f"Complaint {one.id}: {told}", f"dpsync complaint acknowledge {one.id} --on DATE --by NAME"
        )
    told = f"Complaint {one.id}: tell the person how it goes, or the outcome, then record it."
    command = f"dpsync complaint outcome {one.id} RESULT --on DATE --by NAME --reason WHY"
    return Duty(overdue=False, by=None, sentence=told, command=command)


def _to_decide(one: Incident, now: datetime, zone: ZoneInfo) -> Duty:
    over = now >= one.limit_at
    told = f"Incident {one.id}: decide whether the authority is told; the 72 hours end {moment(one.limit_at, zone)}."
    return Duty(over, one.limit_at.astimezone(zone).date(), told, f"dpsync incident show {one.id}")
