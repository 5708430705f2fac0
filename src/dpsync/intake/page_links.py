"""The links to read-only pages: what their holders see, and what a code opens beyond that.

A code is asked for only where a page would name a person: the dossier, and the receipt, which opens what the ledger
commits to. That it was shown is on the record before anybody sees it.
"""

from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from dpsync.cases.departures import LETTER as DEPARTURE
from dpsync.errors import NotFound
from dpsync.installation import Installation
from dpsync.intake import mailed_codes, page_values, tickets
from dpsync.intake.case_values import CasePage, case_page, is_departure
from dpsync.intake.mailed_codes import Sent
from dpsync.intake.page_values import StatusPage
from dpsync.ledger.entry import EntryKind
from dpsync.model import Role
from dpsync.propagation import codes, page_links
from dpsync.propagation.codes import CodeCheck
from dpsync.propagation.decisions import ROLES, by_link, demand_request, remember
from dpsync.propagation.page_links import MAY_SEE_WHO, Page, PageKind
from dpsync.propagation.points import asked_for
from dpsync.propagation.questions import ask_again
from dpsync.propagation.showing import SHOWN, show
from dpsync.reports.make import letter_to_leaving
from dpsync.reports.receipt import PrintedReceipt
from dpsync.reports.render import Report
from dpsync.reports.who import Who, who_of
from dpsync.store.page_link_tables import page_link
from dpsync.store.writer import Unit

BEHIND_A_CODE = frozenset({PageKind.DOSSIER, PageKind.RECEIPT})


@dataclass(frozen=True, slots=True)
class PageLink:
    """A link that is good. `role`: whom it was mailed to."""

    id: str
    page: Page
    role: Role

    @property
    def addressee(self) -> str:
        """What the role is called."""
        return ROLES[self.role]

    @property
    def has_code(self) -> bool:
        """Whether a code opens more than the link alone."""
        return self.page.kind in BEHIND_A_CODE and self.role in MAY_SEE_WHO

    @property
    def decides(self) -> bool:
        """Whether its role may ask for a link to decide about a request that it shows, or record a step of a case."""
        return self.page.kind in {PageKind.DOSSIER, PageKind.STATUS, PageKind.CASE} and self.role in MAY_SEE_WHO


@dataclass(frozen=True, slots=True)
class Opened:
    """What came of a code. `who`: the person, None where the identifiers were destroyed."""

    check: CodeCheck
    who: Who | None = field(default=None, repr=False)


class PageLinks:
    """What the holders of links may see. `token` is the secret part of a link."""

    def __init__(self, there: Installation) -> None:
        self._there = there

    def link(self, token: str, now: datetime) -> PageLink | None:
        """What a link opens; None where it opens nothing. Changes nothing."""
        row = self._there.read(lambda connection: self._row(connection, token, now))
        return None if row is None else PageLink(row.id, page_links.page_of(row), Role(row.role))

    def status(self, now: datetime) -> StatusPage:
        """What waits."""
        return page_values.status_page(self._there, now)

    def receipt(self, page: Page, now: datetime) -> PrintedReceipt | None:
        """The page of the receipt; None where none is written yet."""
        return page_values.receipt_page(self._there, page.about, now)

    def receipt_file(self, page: Page) -> bytes:
        """The whole receipt, for whoever gave the code. Raises `OSError` where there is none."""
        return page_values.receipt_file(self._there, page.about)

    def case(self, page: Page) -> CasePage:
        """A complaint or an incident, without anybody's words. Raises `NotFound`."""
        return self._there.read(lambda connection: case_page(connection, self._there, page.about, words=False))

    def departure_letter(self, page: Page, now: datetime) -> str:
        """The letter to a processor that leaves; "" for any other case. It names nobody."""
        name = page.about.removeprefix(f"{DEPARTURE}-")
        return letter_to_leaving(self._there, name, now) if is_departure(page.about) else ""

    def report(self, page: Page, now: datetime) -> Report:
        """A report, the register, or a dossier without names."""
        if page.kind is PageKind.REPORT:
            return page_values.month_page(self._there, page.about, now)
        if page.kind is PageKind.REGISTER:
            return page_values.register_page(self._there, now)
        return page_values.dossier_page(self._there, page.about, now, named=False, who=None)

    def named(self, page: Page, who: Who | None, now: datetime) -> Report:
        """The dossier with names, for whoever gave the code."""
        return page_values.dossier_page(self._there, page.about, now, named=True, who=who)

    def ask_to_decide(self, link: PageLink, request_id: str, now: datetime) -> "Future[bool]":
        """Have a link to decide about a request emailed to the role; False where one is on its way, or too many are.

        Raises (in the future) `NotFound`.
        """

        def work(unit: Unit) -> bool:
            demand_request(unit.connection, request_id)
            return ask_again(unit.connection, link.role, asked_for(request_id, now), now)

        return self._there.writer.submit(work)

    # --- the code

    def form(self, link: PageLink, now: datetime) -> str:
        """The hidden field of a form on its page."""
        return tickets.form(self._there.keys, link.id, now)

    def is_form(self, link: PageLink, text: str, now: datetime) -> bool:
        """Whether a form comes from its page."""
        return tickets.is_form(self._there.keys, link.id, text, now)

    def send_code(self, token: str, now: datetime) -> Sent:
        """Mail a code to the role's address; waits for the mail host, so it is called in a thread."""
        return mailed_codes.send(
            self._there, page_link, lambda c: self._row(c, token, now), "the page that our email linked to", now
        )

    def open(self, token: str, code: str, now: datetime) -> "Future[Opened]":
        """What a right code opens; that it was opened is on the record before. Too many wrong ones close the link.

        Raises (in the future) `NotFound` for a link that opens nothing any more.
        """
        there, controller = self._there, self._there.controller

        def work(unit: Unit) -> Opened:
            row = self._row(unit.connection, token, now)
            if row is None:
                raise NotFound("no link that is good is this one")
            check = codes.checked(unit.connection, controller, row, code, now, page_link)
            if check is CodeCheck.LOCKED:
                page_links.revoke(unit.connection, [row.id], now)
            return self._opened(unit, row, now) if check is CodeCheck.RIGHT else Opened(check)

        return there.writer.submit(work)

    def _opened(self, unit: Unit, row: Row[Any], now: datetime) -> Opened:
        there, page = self._there, page_links.page_of(row)
        person = by_link(Role(row.role), "", f"the {page.kind.value}, shown by the link to it")
        if page.kind is PageKind.RECEIPT:
            remember(unit, there.controller, page.about, SHOWN, person, now, event=EntryKind.SHOWN)
            return Opened(CodeCheck.RIGHT)
        try:
            return Opened(CodeCheck.RIGHT, who_of(show(unit, there, page.about, person, now)))
        except NotFound:
            return Opened(CodeCheck.RIGHT)  # destroyed: the rest of the dossier is there all the same

    def _row(self, connection: Connection, token: str, now: datetime) -> Row[Any] | None:
        return page_links.found_by(connection, self._there.controller, token, now)
