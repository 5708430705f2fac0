"""The month's report, mailed to the data protection officer on the first working day of the next month.

Once: what became of it stands in one row of `meta`. "doubtful" is written before it is handed to the mail host. If we
crash then, or the reply is lost, it goes again under the same Message-ID, and says that it may be there already.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from functools import partial
from hashlib import sha256

from dateutil.relativedelta import relativedelta
from sqlalchemy import Connection, select

from dpsync.connector_services import Mail, MailRefused, NoAnswer
from dpsync.errors import CredentialsRejected
from dpsync.extras import is_installed, unusable
from dpsync.installation import Installation
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.mail import bounce_address, letter, tag_of
from dpsync.mail_status import undelivered
from dpsync.model import Role
from dpsync.propagation import page_links
from dpsync.propagation.controller import Controller
from dpsync.propagation.correspondence.undelivered import tell_of_report
from dpsync.propagation.page_links import Page, PageKind
from dpsync.propagation.rules.legal_clock import LegalClock
from dpsync.reports import page_one
from dpsync.reports.formats import Format
from dpsync.reports.make import month_end, period_of
from dpsync.reports.period import PeriodReport
from dpsync.reports.render import csv_digest, rendered
from dpsync.reports.trustees import trustees_of
from dpsync.store import meta
from dpsync.store import tables as t
from dpsync.store.writer import Unit

HOUR_OF_DAY = 7
"""On the first working day it goes from this hour on, by the controller's own clock."""

PATIENCE = timedelta(minutes=45)
"""How long a mail host may be silent before the operator hears of it. A refusal is told at once."""

MOST = 7_000_000
"""Bytes of all files together. As mail they are a third more, and many hosts accept no more than ten million."""

_KEY = "month_report"
_UNSURE = (
    "You may have this report already: dpsync sent it once, and does not know whether it arrived. Both copies tell of "
    "the same month. This one tells how things stand now."
)


class MailingState(StrEnum):
    """What became of a month's report."""

    WAITING = "waiting"
    DOUBTFUL = "doubtful"
    SENT = "sent"


@dataclass(frozen=True, slots=True)
class Mailing:
    """The newest month (2026-11) of which a report was due. `since`: when it was first tried; of a sent one, sent."""

    month: str
    state: MailingState
    since: datetime


def newest(connection: Connection) -> Mailing | None:
    """What became of the newest month's report; None before the first."""
    value = meta.value_of(connection, _KEY)
    if value is None:
        return None
    month, state, since = value.split(" ")
    return Mailing(month, MailingState(state), datetime.fromisoformat(since))


def due(last: Mailing | None, begun_on: date, clock: LegalClock, now: datetime) -> Mailing | None:
    """The report that is to be mailed at `now` (in the controller's zone), None for none. Pure.

    The one that was not sent yet; else the month after the newest; without any, the last month. None of a month that
    was over when the ledger began (`begun_on`).
    """
    if last is not None and last.state is not MailingState.SENT:
        return last
    this_month = now.date().replace(day=1)
    first = this_month - relativedelta(months=1)
    if last is not None:
        first = date.fromisoformat(f"{last.month}-01") + relativedelta(months=1)
    if first >= this_month or begun_on > month_end(first):
        return None
    day = clock.first_working_day(first + relativedelta(months=1))
    if (now.date(), now.hour) < (day, HOUR_OF_DAY):
        return None
    return Mailing(f"{first:%Y-%m}", MailingState.WAITING, now.astimezone(UTC))


def mail(there: Installation, now: datetime) -> None:
    """Mail the report that is due, if one is. What cannot be mailed is tried again, and the operator is told."""
    if there.settings.mail is not None and not there.settings.mail.monthly_report:
        return
    clock, local = there.controller.legal_clock, now.astimezone(there.zone)
    one = due(there.read(newest), there.read(partial(begun_on, zone=there.zone)), clock, local)
    if one is not None and there.mail is not None:
        _send(there, there.mail, one, now)
    elif one is not None and local.date() == clock.first_working_day(local.date()):
        _tell(there, one, "no mail host is set ([mail])", now)


def _send(there: Installation, host: Mail, one: Mailing, now: datetime) -> None:
    first = date.fromisoformat(f"{one.month}-01")
    made = period_of(there, first, month_end(first), now)
    year = period_of(there, first.replace(month=1), month_end(first), now) if first.month == 12 else None
    links = there.write(partial(_links, controller=there.controller, month=one.month, now=now))
    raw = written(there, host.sender, made, one, now, year, links)
    message_id = there.controller.report_id(one.month)
    there.write(lambda unit: _note(unit, replace(one, state=MailingState.DOUBTFUL)))
    try:
        host.post(
            raw,
            to=there.settings.controller.dpo,
            envelope_sender=bounce_address(host.sender, tag_of(message_id)),
            envelope_id=tag_of(message_id),
            digest_key=message_id.encode(),
        )
    except NoAnswer as failure:
        waits = one if not failure.sent else replace(one, state=MailingState.DOUBTFUL)
        there.write(lambda unit: _note(unit, waits))
        if now - one.since >= PATIENCE:
            _tell(there, one, failure.reason, now)
    except MailRefused as refused:
        there.write(lambda unit: _note(unit, one))
        _tell(there, one, undelivered(refused.status, "the mail host refused it"), now)
    except CredentialsRejected as refused:
        there.write(lambda unit: _note(unit, one))
        _tell(there, one, refused.brief, now)
    else:
        digest = csv_digest(made)
        there.write(lambda unit: _note_sent(unit, one.month, digest, now))


def written(
    there: Installation,
    sender: str,
    made: PeriodReport,
    one: Mailing,
    now: datetime,
    year: PeriodReport | None = None,
    links: Sequence[str] = (),
) -> bytes:
    """The complete email: page one as its text, the page and the rows as files; in January, the `year` for trustees."""
    unsure = [_UNSURE] if one.state is MailingState.DOUBTFUL else []
    files, said = attached(made, one.month, year)
    return letter(
        sender=sender,
        to=there.settings.controller.dpo,
        subject=page_one.subject(made),
        message_id=there.controller.report_id(one.month),
        at=now,
        paragraphs=[*unsure, *page_one.paragraphs(made), *links, said],
        attached=files,
        rehearsal=there.settings.controller.rehearsal,
    )


def _links(unit: Unit, controller: Controller, month: str, now: datetime) -> list[str]:
    """Where the report opens in a browser, as it stands then; nothing where links are off."""
    pages = {
        "This report, as it stands when you open it": Page(PageKind.REPORT, month),
        "What waits now, where you can also decide and record, without a command": page_links.STATUS,
        "The register of processors": page_links.REGISTER,
    }
    found = {
        words: page_links.link_to(unit.connection, controller, Role.DPO, page, now) for words, page in pages.items()
    }
    lines = [f"  {words}:\n  {link}" for words, link in found.items() if link]
    return (
        ["\n".join(["On a page (the links open without a code; please do not forward them):", *lines])] if lines else []
    )


def attached(
    made: PeriodReport, month: str, year: PeriodReport | None = None, most: int = MOST
) -> tuple[Sequence[tuple[str, bytes]], str]:
    """The files, and what the text says of them. One that is too large for an email is named with its SHA-256."""
    files: list[tuple[str, bytes]] = []
    said = []
    page = Format.PDF if is_installed("pdf") and not unusable("pdf") else Format.HTML
    whole = {Format.PDF: "the whole report, to read and print", Format.HTML: "the whole report, for a browser"}[page]
    for form, what in ((page, whole), (Format.CSV, "every row, for a spreadsheet")):
        name, content = f"report-{month}.{form.value}", rendered(made, form)
        if sum(len(one) for _, one in files) + len(content) <= most:
            files.append((name, content))
            said.append(f"  {name}: {what}, attached")
        else:
            command = f"dpsync report --month {month} -o {name}"
            said.append(f"  {name}: {what}, too large for an email. SHA-256 {sha256(content).hexdigest()}\n  {command}")
    if year is not None:
        name = f"trustees-{year.first.year}.{page.value}"
        files.append((name, rendered(trustees_of(year), page)))
        said.append(f"  {name}: the year for your trustees, in which no request is named, attached")
    return files, "\n".join(said)


def begun_on(connection: Connection, zone: tzinfo) -> date:
    """The day on which the ledger began; long ago, where its first entry cannot be read."""
    body = connection.execute(select(t.entry.c.body).where(t.entry.c.idx == 0)).scalar_one()
    try:
        return datetime.fromtimestamp(int(entry.decode(body)["ts"]), zone).date()
    except ValueError:
        return date.min


def _tell(there: Installation, one: Mailing, why: str, now: datetime) -> None:
    there.write(lambda unit: tell_of_report(unit.connection, there.controller, one.month, why, now))


def _note_sent(unit: Unit, month: str, digest: str, now: datetime) -> None:
    """That it went, with what its CSV hashes to: whoever has a copy can show later that it is the one that went."""
    _note(unit, Mailing(month, MailingState.SENT, now))
    unit.append(None, entry.encode(EntryKind.NOTICE_SENT, now, kind="report", name=month, digest=digest))


def _note(unit: Unit, one: Mailing) -> None:
    meta.put(unit.connection, _KEY, f"{one.month} {one.state.value} {one.since.astimezone(UTC).isoformat()}")
