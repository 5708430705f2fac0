"""Where a link to a complaint or an incident leads: the code comes first, then the words, then one step is recorded.

The link is that of a mail: to the case itself, or to the list of what waits. What is recorded goes through the function
of its command.
"""

from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from dpsync.cases import complaints, departures, incidents
from dpsync.cases.acts import act
from dpsync.cases.departures import DepartureStep
from dpsync.cases.incidents import Closing, IncidentKind, NewIncident
from dpsync.cases.values import PersonTold
from dpsync.errors import NotFound
from dpsync.installation import Installation
from dpsync.intake import mailed_codes, tickets
from dpsync.intake.case_form import OF_A_DEPARTURE, CaseGiven
from dpsync.intake.case_values import CasePage, CaseStep, case_page, is_departure
from dpsync.intake.mailed_codes import Sent
from dpsync.intake.new_cases import NEW, new_page, record_new
from dpsync.intake.typed import digest_of
from dpsync.ledger.entry import EntryKind
from dpsync.model import Role
from dpsync.propagation import codes, page_links
from dpsync.propagation.codes import CodeCheck
from dpsync.propagation.decisions import Person, by_link
from dpsync.propagation.page_links import PageKind
from dpsync.reports.make import leaving_days
from dpsync.store.page_link_tables import page_link
from dpsync.store.writer import Unit

CHANGED = "This has changed since you looked. Nothing is recorded yet."
NOT_NOW = "This cannot be recorded as things stand. Please choose again."


@dataclass(frozen=True, slots=True)
class CaseLooked:
    """What came of a code or a step: the case is shown, with a ticket to record by, or it is not."""

    check: CodeCheck
    page: CasePage | None = field(default=None, repr=False)
    ticket: str = ""
    recorded: bool = False
    refused: str = ""


class CaseLinks:
    """What the holders of links may see and record of cases. `token` is the secret part of a link."""

    def __init__(self, there: Installation) -> None:
        self._there = there

    def send_code(self, token: str, now: datetime) -> Sent:
        """Mail a code to the role's address; waits for the mail host, so it is called in a thread."""
        what = "the case that you want to record a step of"
        return mailed_codes.send(self._there, page_link, lambda c: self._row(c, token, now), what, now)

    def look(self, token: str, case_id: str, code: str, now: datetime) -> "Future[CaseLooked]":
        """Show the case for a right code; that it was shown is on the record before. Too many wrong ones end the link.

        Raises (in the future) `NotFound`.
        """

        def work(unit: Unit) -> CaseLooked:
            row = self._demanded(unit, token, now)
            check = codes.checked(unit.connection, self._there.controller, row, code, now, page_link)
            if check is CodeCheck.LOCKED:
                page_links.revoke(unit.connection, [row.id], now)
            return self._shown(unit, row, case_id, now) if check is CodeCheck.RIGHT else CaseLooked(check)

        return self._there.writer.submit(work)

    def record(
        self, token: str, case_id: str, ticket: str, given: CaseGiven, now: datetime, *, problem: str
    ) -> "Future[CaseLooked]":
        """Record a step, once, of what was shown; show it again where it is no more so, or where there is a problem.

        Raises (in the future) `DecisionRefused`, and then nothing is recorded; `NotFound`.
        """

        def work(unit: Unit) -> CaseLooked:
            row = self._demanded(unit, token, now)
            seen = tickets.seen_by(self._there.keys, _about(row, case_id), ticket, now)
            if seen is None:
                return CaseLooked(CodeCheck.NONE)
            page = self._case(unit.connection, case_id, words=True)
            if page.seen != seen:
                return self._page(row, page, now, CHANGED)
            if problem or given.step not in page.can:
                return self._page(row, page, now, problem or NOT_NOW)
            person = by_link(Role(row.role), given.name, given.reason)
            if case_id in NEW:
                made = record_new(unit, self._there, case_id, given, person, now)
                return CaseLooked(CodeCheck.RIGHT, self._case(unit.connection, made, words=False), "", recorded=True)
            _carry_out(unit, self._there, case_id, given, person, now)
            if page_links.page_of(row).kind is PageKind.CASE:
                page_links.revoke(unit.connection, [row.id], now)  # a link to one case is good for one step
            return CaseLooked(CodeCheck.RIGHT, case_page(unit.connection, self._there, case_id, words=False), "", True)

        return self._there.writer.submit(work)

    def _shown(self, unit: Unit, row: Row[Any], case_id: str, now: datetime) -> CaseLooked:
        there = self._there
        page = self._case(unit.connection, case_id, words=False)
        if case_id in NEW or is_departure(case_id):  # nothing of a person is shown
            return self._page(row, page, now)
        person = by_link(Role(row.role), "", "shown by the link to it")
        act(unit, there.controller, case_id, EntryKind.SHOWN, person, now, said={})
        return self._page(row, case_page(unit.connection, there, case_id, words=True), now)

    def _case(self, connection: Connection, case_id: str, *, words: bool) -> CasePage:
        if case_id in NEW:
            return new_page(connection, self._there, case_id)
        return case_page(connection, self._there, case_id, words=words)

    def _page(self, row: Row[Any], page: CasePage, now: datetime, refused: str = "") -> CaseLooked:
        ticket = tickets.ticket(self._there.keys, _about(row, page.id), page.seen, now)
        return CaseLooked(CodeCheck.RIGHT, page, ticket, refused=refused)

    def _demanded(self, unit: Unit, token: str, now: datetime) -> Row[Any]:
        row = self._row(unit.connection, token, now)
        if row is None:
            raise NotFound("no link that is good is this one")
        return row

    def _row(self, connection: Connection, token: str, now: datetime) -> Row[Any] | None:
        return page_links.reader_of(connection, self._there.controller, token, now)


def _about(row: Row[Any], case_id: str) -> str:
    """What a ticket is for: this case, by this link."""
    return f"{row.id}/{case_id}"


def _carry_out(unit: Unit, there: Installation, case_id: str, given: CaseGiven, person: Person, now: datetime) -> None:
    """Record one step through the function of its command. Raises `DecisionRefused`."""
    controller = there.controller
    if given.step is CaseStep.OPEN:
        people, records = given.number(given.people), given.number(given.records)
        new = NewIncident(IncidentKind.OTHER, now, given.facts, (), people, records)
        incidents.open_incident(unit, controller, new, person, now, case_id=case_id)
    elif given.step is CaseStep.CLOSE and given.finding is not None:
        how = Closing(given.finding, given.notified_on, given.reference, given.people_told_on)
        incidents.close(unit, controller, case_id, how, person, now)
    elif given.step is CaseStep.ESCALATE and given.on is not None:
        authority = there.settings.controller.complaints_to
        complaints.escalate(unit, controller, case_id, given.on, authority, given.reference, person, now)
    elif given.on is not None and given.channel is not None:
        told = PersonTold(given.on, given.channel, digest_of(given.letter))
        if given.step in OF_A_DEPARTURE:
            _depart(unit, there, case_id, DepartureStep(given.step.value), told, person, now)
            return
        if given.step is CaseStep.OUTCOME and given.result is not None:
            complaints.decide(unit, controller, case_id, given.result, told, person, now)
        elif given.step is CaseStep.PROGRESS:
            complaints.progress(unit, controller, case_id, told, person, now)
        else:
            complaints.acknowledge(unit, controller, case_id, told, person, now)


def _depart(
    unit: Unit, there: Installation, case_id: str, step: DepartureStep, told: PersonTold, person: Person, now: datetime
) -> None:
    name = case_id.removeprefix(f"{departures.LETTER}-")
    before = departures.departure(unit.connection, name, leaving_days(there.settings)[name])
    departures.record(unit, there.controller, before, step, told, person, now)
