"""The alerts about cases: a complaint that nobody acknowledged, silence about one, an incident whose hours run out.

Days 7, 20 and 25 and 21 days of silence are our own figures, earlier than the law's 30 days. What nobody answers is
told again; the outcome of a complaint is never decided by time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert, told_of
from dpsync.cases import followed, proposals
from dpsync.cases.complaints import LETTER as COMPLAINT
from dpsync.cases.complaints import complaint, complaints
from dpsync.cases.followed import FollowedUp
from dpsync.cases.incidents import LETTER as INCIDENT
from dpsync.cases.incidents import Incident, incident, incidents
from dpsync.cases.proposals import Seen
from dpsync.cases.values import Complaint
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.propagation.controller import Controller
from dpsync.store.writer import Unit

SILENCE = timedelta(days=21)
ONCE = timedelta(days=3650)
DAILY = timedelta(0)
WEEKLY = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class CaseLevel:
    """A step: who hears of it, with which words. `back`: how long it is not told again."""

    cause: AlertCause
    roles: tuple[str, ...]
    subject: str
    back: timedelta


NOT_ACKNOWLEDGED = (
    (25, CaseLevel(AlertCause.COMPLAINT_25, ("dpo", "deputy"), "A complaint must be acknowledged now", DAILY)),
    (20, CaseLevel(AlertCause.COMPLAINT_20, ("dpo", "deputy"), "A complaint is not acknowledged after 20 days", ONCE)),
    (7, CaseLevel(AlertCause.COMPLAINT_7, ("dpo",), "A complaint is not acknowledged after seven days", ONCE)),
)
SILENT = CaseLevel(
    AlertCause.COMPLAINT_SILENT, ("dpo",), "Somebody who complained has heard nothing for 21 days", WEEKLY
)
INCIDENT_OVER = CaseLevel(AlertCause.INCIDENT_72H, ("dpo", "deputy"), "The 72 hours of an incident are over", DAILY)
INCIDENT_NEAR = CaseLevel(
    AlertCause.INCIDENT_48H, ("dpo", "deputy"), "Of an incident's 72 hours, fewer than 24 are left", ONCE
)
_ACKNOWLEDGE = (
    "Write to the person that it came and is looked into. Then: `dpsync complaint acknowledge ID --on DATE --by NAME`"
)
_TELL = (
    "Tell the person how it goes, or the outcome. Then: `dpsync complaint progress ID --on DATE --by NAME`, or `dpsync "
    "complaint outcome ID RESULT --on DATE --by NAME --reason WHY`"
)
_DECIDE = (
    "Decide whether the authority is told (Art. 33). Then: `dpsync incident close ID --finding FINDING --by NAME "
    "--reason WHY`"
)


def level_of(one: Complaint, today: date) -> CaseLevel | None:
    """The step that a complaint has reached, the loudest only. Pure."""
    if one.open and one.acknowledged_on is None and one.due_on is not None:
        age = (today - one.received_on).days
        if level := next((level for days, level in NOT_ACKNOWLEDGED if age >= days), None):
            return level
    return SILENT if one.holds and today - one.heard_on >= SILENCE else None


def level_of_incident(one: Incident, now: datetime) -> CaseLevel | None:
    """The step that an incident has reached. Pure."""
    if not one.open:
        return None
    if now >= one.limit_at:
        return INCIDENT_OVER
    return INCIDENT_NEAR if now >= one.limit_at - timedelta(hours=24) else None


@dataclass(frozen=True, slots=True)
class CasesFound:
    """What may be a breach and is not proposed; the complaints and incidents of which there is something to tell.

    `recorded`: steps that a mail asked for and that are recorded since.
    """

    seen: Sequence[Seen]
    complaints: Sequence[str]
    incidents: Sequence[str]
    recorded: Sequence[FollowedUp]

    def __bool__(self) -> bool:
        return bool(self.seen or self.complaints or self.incidents or self.recorded)


def look(connection: Connection, controller: Controller, now: datetime) -> CasesFound:
    """What the steps may have to say now. Only reads: every case of all years is looked at, while others write."""
    heard = _heard(controller, complaints(connection), incidents(connection), now)
    fresh = {one.about for level, found in heard.items() for one in _fresh(connection, controller, level, found, now)}
    return CasesFound(
        proposals.unproposed(connection, controller, now),
        sorted(one for one in fresh if one.startswith(COMPLAINT)),
        sorted(one for one in fresh if one.startswith(INCIDENT)),
        followed.look(connection, now),
    )


def climb(unit: Unit, controller: Controller, found: CasesFound, now: datetime) -> int:
    """Propose incidents, and raise what still is so. Returns how many alerts are new; each is an entry, too."""
    new = proposals.propose_all(unit, controller, found.seen, now)
    still = [complaint(unit.connection, one) for one in found.complaints]
    cases = [*(incident(unit.connection, one) for one in found.incidents), *new]
    heard = _heard(controller, still, cases, now)
    told = followed.tell(unit, controller, found.recorded, now)
    return len(new) + told + sum(_raise(unit, controller, level, each, now) for level, each in heard.items())


def _heard(
    controller: Controller, open_complaints: Sequence[Complaint], cases: Sequence[Incident], now: datetime
) -> dict[CaseLevel, list[Concern]]:
    today = controller.legal_clock.day_of(now)
    heard: dict[CaseLevel, list[Concern]] = {}
    for one in open_complaints:
        if level := level_of(one, today):
            heard.setdefault(level, []).append(Concern(one.id, _of_complaint(one)))
    for case in cases:
        if level := level_of_incident(case, now):
            end = case.limit_at.astimezone(controller.zone)
            said = f"{case.id}: {proposals.SAYS[case.kind]}; 72 hours end {end:%d %b %Y, %H:%M}"
            heard.setdefault(level, []).append(Concern(case.id, said))
    return heard


def _of_complaint(one: Complaint) -> str:
    by = f"; acknowledge by {one.strict_on:%d %b %Y} (at the latest {one.due_on:%d %b %Y})" if one.strict_on else ""
    return f"{one.id}, received {one.received_on:%d %b %Y}{by if one.acknowledged_on is None else ''}"


def _fresh(
    connection: Connection, controller: Controller, level: CaseLevel, found: Sequence[Concern], now: datetime
) -> list[Concern]:
    abouts = [one.about for one in found]
    known = told_of(connection, level.cause, abouts, now, controller.zone, back=level.back)
    return [one for one in found if one.about not in known]


def _raise(unit: Unit, controller: Controller, level: CaseLevel, found: Sequence[Concern], now: datetime) -> int:
    fresh, zone = _fresh(unit.connection, controller, level, found, now), controller.zone
    if not fresh:
        return 0
    body = _DECIDE if level in (INCIDENT_OVER, INCIDENT_NEAR) else _TELL if level is SILENT else _ACKNOWLEDGE
    for role in level.roles:
        if role == "deputy" and not controller.deputy:
            continue
        raise_alert(
            unit.connection,
            cause=level.cause,
            also=role != level.roles[0],
            role=role,
            subject=level.subject,
            body=body,
            now=now,
            zone=zone,
            concerns=fresh,
            at_once=True,
        )
    unit.append(None, entry.encode(EntryKind.ALERT, now, cause=level.cause, n=len(fresh)))
    return 1
