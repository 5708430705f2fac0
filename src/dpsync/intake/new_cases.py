"""A complaint that came in, or an incident, recorded by link: which page asks for it, and what comes of the answers."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection, func, select

from dpsync.cases import complaints, incidents
from dpsync.cases.acts import A
from dpsync.cases.incidents import IncidentKind, NewIncident
from dpsync.cases.values import Channel, Complainant, NewComplaint, Topic
from dpsync.installation import Installation
from dpsync.intake.case_form import CaseGiven
from dpsync.intake.case_values import CasePage, CaseStep
from dpsync.intake.made_requests import receive_made
from dpsync.model import Right
from dpsync.propagation.decisions import Person, find_request
from dpsync.store.writer import Unit

NEW: Final[Mapping[str, str]] = MappingProxyType({"C-new": "Complaint", "I-new": "Incident"})
"""What stands in a path in place of the id of a case that is still to be recorded, and what it will be."""


def new_page(connection: Connection, there: Installation, case_id: str) -> CasePage:
    """The page of a case that nobody has recorded yet; whatever is recorded in between makes it another one."""
    steps = connection.execute(select(func.count()).select_from(A.id.table)).scalar_one()
    return CasePage(
        id=case_id,
        title=NEW[case_id],
        rows=(),
        history=(),
        can=(CaseStep.RECEIVED,) if case_id == "C-new" else (CaseStep.OPEN,),
        seen=there.keys.mac("case seen", f"{case_id}\n{steps}".encode()).hex()[:32],
        facts={},
        places=tuple((one.name, one.title) for one in there.controller.processors.values()),
    )


def record_new(unit: Unit, there: Installation, case_id: str, given: CaseGiven, person: Person, now: datetime) -> str:
    """Record it through the function of its command; gives its id. Raises `NotFound`, `DecisionRefused`."""
    about = tuple(dict.fromkeys(find_request(unit.connection, one) for one in given.about.split()))
    if case_id == "I-new":
        aware_at = min(_began(there, given.on), now) if given.on else now
        people, records = given.number(given.people), given.number(given.records)
        new = NewIncident(IncidentKind.OTHER, aware_at, given.facts, about, people, records)
        return incidents.open_incident(unit, there.controller, new, person, now).id
    complaint = NewComplaint(
        received_at=_began(there, given.on) if given.on else now,
        channel=given.channel or Channel.OTHER,
        topics=tuple(topic for topic in Topic if topic in given.topics),
        by=Complainant.REPRESENTATIVE if given.checked_on else Complainant.SUBJECT,
        authority_checked_on=given.checked_on,
        about=about,
        processors=tuple(name for name in there.controller.processors if name in given.places),
        note=given.reason,
    )
    if given.contains is not None:
        complaint = _with_request(unit, there, complaint, given.contains, given, person, now)
    return complaints.open_complaint(unit, there.controller, complaint, person, now).id


def _with_request(
    unit: Unit,
    there: Installation,
    complaint: NewComplaint,
    right: Right,
    given: CaseGiven,
    person: Person,
    now: datetime,
) -> NewComplaint:
    """The complaint about the request that was hidden in it, which was received when the complaint was."""
    named = {"id": given.subject_id, "email": given.email}
    data = {
        "right": right.value,
        "subject": {name: value for name, value in named.items() if value},
        "received_at": complaint.received_at.isoformat().replace("+00:00", "Z"),
    }
    made = receive_made(unit, there, data, f"complaint-{secrets.token_hex(12)}", person.by, now)
    return replace(complaint, contains=right.value, about=(*complaint.about, made.request_id))


def _began(there: Installation, on: date) -> datetime:
    """A day is its first moment on the controller's wall, as in the command."""
    return datetime.combine(on, time.min, there.zone).astimezone(UTC)
