"""The month's report mails itself: on the first working day, once, and never into silence."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dpsync.cli.check_doors import month_report_of
from dpsync.cli.check_lines import CheckResult
from dpsync.extras import is_installed
from dpsync.ledger.entry import decode
from dpsync.mail import tag_of
from dpsync.model import Right
from dpsync.propagation.correspondence import incoming
from dpsync.propagation.rules.legal_clock import LegalClock
from dpsync.reports import page_one
from dpsync.reports.make import month_report as report_of_month
from dpsync.reports.make import period_of
from dpsync.reports.trustees import FEW
from dpsync.reports.verdict import Verdict
from dpsync.running import month_report
from dpsync.running.month_report import Mailing, MailingState, due
from dpsync.store import tables as t
from tests.journeys.installation import DPO, FORMS, NEWSLETTER, Installation, installed, sqlite_url
from tests.mailhost import MailHost, mail_host
from tests.printed import text_of as pdf_text

pytestmark = pytest.mark.no_database

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ADA = "ada@example.org"
LONDON = ZoneInfo("Europe/London")
ENGLAND = LegalClock("Europe/London", "GB-ENG")
MORNING = datetime(2026, 12, 1, 7, 30, tzinfo=UTC)
"""Tuesday, the first working day of December."""


@pytest.fixture
def as_pdf(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the service sends it: in all other tests the report goes as HTML, which is made in a tenth of the time."""
    monkeypatch.setattr(month_report, "is_installed", is_installed)


def turn(there: Installation, to: datetime) -> None:
    there.clock.advance(to - there.clock.now())


def reports(there: Installation) -> list[EmailMessage]:
    """The month's reports that the DPO got, in order."""
    mails = [message_from_bytes(one.raw, policy=policy.default) for one in there.sandbox.messages(DPO, settled=True)]
    return [mail for mail in mails if any(part.get_filename() for part in mail.walk())]


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def files_of(mail: EmailMessage) -> dict[str, bytes]:
    return {str(part.get_filename()): part.get_payload(decode=True) for part in mail.iter_attachments()}  # type: ignore[misc]  # because the library leaves the payload open


def standing(there: Installation) -> Mailing | None:
    return there.service.read(month_report.newest)


# --- when


@pytest.mark.parametrize(
    ("nation", "month", "day"),
    [
        ("GB-ENG", date(2026, 12, 1), date(2026, 12, 1)),
        ("GB-ENG", date(2026, 8, 1), date(2026, 8, 3)),
        ("GB-SCT", date(2026, 8, 1), date(2026, 8, 4)),
        ("GB-ENG", date(2027, 1, 1), date(2027, 1, 4)),
        ("GB-SCT", date(2027, 1, 1), date(2027, 1, 5)),
        ("GB-ENG", date(2021, 5, 1), date(2021, 5, 4)),
    ],
)
def test_the_first_working_day_is_that_of_the_legal_clock(nation: str, month: date, day: date) -> None:
    assert LegalClock("Europe/London", nation).first_working_day(month) == day


LONG_AGO = date(2026, 1, 10)
AT_SEVEN = datetime(2027, 1, 4, 7, 0, tzinfo=LONDON)


def test_a_report_is_due_from_seven_on_the_first_working_day_on() -> None:
    november = Mailing("2026-11", MailingState.SENT, datetime(2026, 12, 1, 7, tzinfo=UTC))
    assert due(november, LONG_AGO, ENGLAND, AT_SEVEN - timedelta(seconds=1)) is None
    one = due(november, LONG_AGO, ENGLAND, AT_SEVEN)
    assert one == Mailing("2026-12", MailingState.WAITING, AT_SEVEN.astimezone(UTC))
    assert due(november, LONG_AGO, ENGLAND, datetime(2027, 1, 5, 3, tzinfo=LONDON)) is not None, "any later hour"
    assert due(Mailing("2026-12", MailingState.SENT, AT_SEVEN), LONG_AGO, ENGLAND, AT_SEVEN + 20 * DAY) is None


def test_what_was_not_sent_stays_due_and_what_was_missed_is_made_up_for_month_by_month() -> None:
    waiting = Mailing("2026-09", MailingState.WAITING, datetime(2026, 10, 1, 7, tzinfo=UTC))
    assert due(waiting, LONG_AGO, ENGLAND, AT_SEVEN) == waiting
    doubtful = replace(waiting, state=MailingState.DOUBTFUL)
    assert due(doubtful, LONG_AGO, ENGLAND, AT_SEVEN) == doubtful
    after = due(replace(waiting, state=MailingState.SENT), LONG_AGO, ENGLAND, AT_SEVEN)
    assert after is not None
    assert after.month == "2026-10"


@pytest.mark.parametrize(("begun", "is_due"), [(date(2026, 12, 31), True), (date(2027, 1, 1), False)])
def test_no_report_tells_of_a_month_before_the_ledger_began(begun: date, is_due: bool) -> None:
    assert (due(None, begun, ENGLAND, AT_SEVEN) is not None) is is_due


# --- what


@pytest.mark.usefixtures("as_pdf")
def test_the_report_of_a_month_comes_once_with_page_one_as_its_text(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=NEWSLETTER) as there:
        asked = there.ask(Right.ERASURE, ADA)
        there.drive()
        turn(there, MORNING - HOUR)
        there.drive()
        assert reports(there) == []
        there.drive(HOUR)
        (mail,) = reports(there)
        values = period_of(there.service, date(2026, 11, 1), date(2026, 11, 30), there.clock.now())
        text = text_of(mail)
        assert mail["To"] == DPO
        assert mail["Subject"].startswith(f"REHEARSAL {values.verdict.value}: ")
        assert mail["Subject"].endswith("November 2026")
        told = (
            "Requests by right",
            "Erasure: received 1; told everyone 1; done, seen by us ",
            "The record is unaltered",
        )
        assert [one for one in (values.sentence, *told) if one not in " ".join(text.split())] == []
        assert max(len(line) for line in text.splitlines() if "://" not in line) <= 80
        files = files_of(mail)
        assert list(files) == ["report-2026-11.pdf", "report-2026-11.csv"]
        assert values.sentence in pdf_text(files["report-2026-11.pdf"])
        rows = list(csv.reader(io.StringIO(files["report-2026-11.csv"].decode("utf-8-sig"))))
        assert any(asked.id in row for row in rows)
        assert not [
            one for one in (ADA, "crm-1") if one in text or any(one.encode() in part for part in files.values())
        ]
        for _ in range(3):
            there.drive(DAY)
        assert len(reports(there)) == 1
        entered = [said for row in there.rows(t.entry) if (said := decode(row.body)).get("kind") == "report"]
        digest = sha256(files["report-2026-11.csv"]).hexdigest()
        assert [(one["event"], one["name"], one["digest"]) for one in entered] == [("notice_sent", "2026-11", digest)]
        kept = standing(there)
        assert kept is not None
        assert (kept.month, kept.state) == ("2026-11", MailingState.SENT)
        there.service.demand_own_store()
        there.sound()


def test_a_quiet_month_is_one_friendly_sentence(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER) as there:
        turn(there, MORNING)
        there.drive()
        (mail,) = reports(there)
        assert mail["Subject"] == "REHEARSAL A quiet month: no requests in November 2026"
        rehearsal, told, *_, files = text_of(mail).strip().split("\n\n")
        assert rehearsal.startswith("REHEARSAL")
        assert " ".join(told.split()).startswith(
            "A quiet month at Example Gardens: in November 2026 no request came in"
        )
        assert "The next report is about the time from 1 December 2026 on." in " ".join(told.split())
        assert len(files.splitlines()) == 2


def test_a_month_with_trouble_is_not_called_quiet(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER) as there:
        quiet = report_of_month(there.service, there.clock.now())
    assert page_one.is_quiet(quiet)
    broken = replace(quiet, ledger=replace(quiet.ledger, verified=False, problems=("entry 1 is not as signed",)))
    assert not page_one.is_quiet(broken)
    assert page_one.subject(broken).startswith("Do not rely on it")
    assert "THE RECORD COULD NOT BE VERIFIED" in "\n\n".join(page_one.paragraphs(broken)).partition("[ ")[0]
    assert "  entry 1 is not as signed" in "\n".join(page_one.paragraphs(broken))


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({"received": 12}, "In order: 12 requests, November 2026"),
        ({"received": 12, "not_yet": 2}, "Needs a decision: 2 of 12 requests not done yet, November 2026"),
        ({"received": 12, "not_yet": 2, "overdue": 1}, "Overdue: 1 of 12 requests, November 2026"),
        ({"received": 12, "not_yet": 2}, "Overdue: something other than a request, November 2026"),
        ({}, "Overdue: something other than a request, November 2026"),
    ],
)
def test_the_subject_says_how_it_stands_how_many_and_which_month(
    counts: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER) as there:
        there.ask(Right.ERASURE, ADA)
        made = report_of_month(there.service, there.clock.now())
    named = Verdict(says.partition(":")[0])
    assert page_one.subject(replace(made, verdict=named, total=replace(made.carried_total, **counts))) == says


def test_no_value_draws_a_line_of_its_own(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER) as there:
        made = report_of_month(there.service, there.clock.now())
    made = replace(made, verdict=Verdict.NEEDS_A_DECISION, notes=("a\u202eb\x1b[31m",))
    assert "To note\n  a\\u202eb\\x1b[31m" in page_one.paragraphs(made)


@pytest.mark.usefixtures("as_pdf")
def test_what_is_too_large_for_an_email_is_named_with_its_digest(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER) as there:
        made = report_of_month(there.service, there.clock.now())
    whole, _ = month_report.attached(made, "2026-11")
    files, said = month_report.attached(made, "2026-11", most=len(whole[0][1]))
    assert [name for name, _ in files] == ["report-2026-11.pdf"]
    assert "too large for an email. SHA-256 " in said
    assert "dpsync report --month 2026-11 -o report-2026-11.csv" in said


@pytest.mark.usefixtures("as_pdf")
def test_in_january_the_trustees_page_comes_with_it_and_no_line_is_about_one_request(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER) as there:
        few = there.ask(Right.ERASURE, ADA)
        for number in range(FEW):
            there.ask(Right.OPT_OUT, f"person{number}@example.org", id=f"crm-{number + 2}")
        there.drive()
        turn(there, MORNING)
        there.drive()
        turn(there, datetime(2027, 1, 4, 7, 30, tzinfo=UTC))
        there.drive()
        november, december = reports(there)
        assert list(files_of(november)) == ["report-2026-11.pdf", "report-2026-11.csv"]
        name = "trustees-2026.pdf"
        assert list(files_of(december)) == ["report-2026-12.pdf", "report-2026-12.csv", name]
        assert f"  {name}: the year for your trustees" in text_of(december)
        page = pdf_text(files_of(december)[name])
        assert page.startswith("REHEARSAL")
        for told in (
            "data-protection requests, 2026",
            "The record is unaltered",
            "All 6 ",
            "Opt-outs: told usually",
        ):
            assert told in page
        for hidden in ("Erasure ", "Opt-out 5", "Requests: told", few.id[:6], "slowest", "What you need to do", "crm"):
            assert hidden not in page


# --- and if it cannot be


@contextmanager
def own_host(there: Installation, **replies: str) -> Iterator[MailHost]:
    host = MailHost(replies=dict(replies))
    with mail_host(host):
        there.restart((f"port = {there.sandbox.smtp_port}", f"port = {host.port}"))
        yield host


def to_dpo(host: MailHost) -> list[EmailMessage]:
    mails = [message_from_bytes(one.raw, policy=policy.default) for one in host.taken if one.to == (DPO,)]
    return [mail for mail in mails if any(part.get_filename() for part in mail.walk())]


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("550 5.1.1 no such user", "no such mailbox"),
        ("553 5.7.1 sender address rejected", "does not take our envelope sender"),
    ],
)
def test_a_report_that_is_refused_is_an_alert_at_once_and_goes_once_it_is_accepted(
    reply: str, why: str, database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=NEWSLETTER) as there:
        turn(there, MORNING)
        with own_host(there, RCPT=reply) as host:
            there.drive()
            (told,) = [one for one in there.told() if "month's report" in one.subject]
            assert "DP-305" in told.body
            assert why in "".join(told.concerns)
            assert "`dpsync report --month 2026-11 -o report-2026-11.html`" in "".join(told.concerns)
            kept = standing(there)
            assert kept is not None
            assert kept.state is MailingState.WAITING, "the mail host has not got it: that is no doubt"
            there.drive(HOUR)
            (line,) = month_report_of(there.service, there.clock.now())
            assert (line.verdict, line.code) == (CheckResult.PROBLEM, "DP-305")
            host.replies.clear()
            there.drive(HOUR)
            (mail,) = to_dpo(host)
            assert "You may have this report already" not in text_of(mail)
            (line,) = month_report_of(there.service, there.clock.now())
            assert line.verdict is CheckResult.OK
            there.drive(DAY)
            assert len(to_dpo(host)) == 1


def test_a_mail_host_that_is_silent_for_a_moment_is_no_alert(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER) as there:
        turn(there, MORNING)
        with own_host(there, RCPT="451 4.3.0 later") as host:
            there.drive()
            assert there.alerts() == []
            there.drive(HOUR)
            assert there.alerts() == [("operator", "report_undelivered")]
            host.replies.clear()
            there.drive(HOUR)
            (mail,) = to_dpo(host)
            assert "You may have this report already" not in text_of(mail), "a 451 is a whole answer, and no doubt"


def test_a_report_whose_reply_was_lost_goes_again_and_says_so(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER) as there:
        turn(there, MORNING)
        with own_host(there) as host:
            host.lose_final_reply = True
            there.drive()
            host.lose_final_reply = False
            there.drive(HOUR)
            there.drive(HOUR)
            first, again = to_dpo(host)
            assert first["Message-ID"] == again["Message-ID"]
            assert "You may have this report already" not in text_of(first)
            assert "You may have this report already" in text_of(again)


class Killed(BaseException):
    """What a `kill -9` leaves: nothing is caught, nothing is written any more."""


class Dying:
    """A mail host at which the process dies, before or after it took the message."""

    sender = "privacy@example.org"

    def __init__(self, mail: Any, *, took: bool) -> None:
        self.mail = mail
        self.took = took

    def post(self, raw: bytes, **how: Any) -> Any:
        if self.took:
            self.mail.post(raw, **how)
        raise Killed


@pytest.mark.parametrize("took", [False, True])
def test_a_crash_between_sending_and_recording_loses_no_report(took: bool, database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=NEWSLETTER) as there:
        turn(there, MORNING)
        one = due(None, date(2026, 11, 20), ENGLAND, there.clock.now().astimezone(LONDON))
        assert one is not None
        assert there.service.mail is not None
        with pytest.raises(Killed):
            month_report._send(there.service, Dying(there.service.mail, took=took), one, there.clock.now())
        there.restart()
        there.drive()
        mails = reports(there)
        assert len(mails) == 1 + took
        assert "You may have this report already" in text_of(mails[-1])
        there.drive(DAY)
        assert len(reports(there)) == 1 + took


def test_without_a_mail_host_the_operator_is_told_once_a_month(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER) as there:
        config = (tmp_path / "dpsync.toml").read_text(encoding="utf-8")
        section = "[mail]" + config.partition("[mail]")[2].partition("[processors")[0]
        there.restart((section, ""))
        turn(there, MORNING)
        for _ in range(3):
            there.drive()
            there.drive(DAY)
        (told,) = [one for one in there.told() if "month's report" in one.subject]
        assert "no mail host is set" in "".join(told.concerns)


def test_who_wants_none_gets_none(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER) as there:
        there.restart(('tls = "none"', 'tls = "none"\nmonthly_report = false'))
        turn(there, MORNING)
        there.drive()
        assert reports(there) == []
        (line,) = month_report_of(there.service, there.clock.now())
        assert line.verdict is CheckResult.NOT_SET


def test_a_report_that_comes_back_is_told_to_the_operator(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        turn(there, MORNING)
        there.drive()
        tag = tag_of(there.service.controller.report_id("2026-11"))
        back = incoming.Incoming(digest="d" * 64, kind=incoming.MailKind.FAILED, tags=(tag,), status="5.2.2")
        now = there.clock.now()
        waits = there.service.write(lambda unit: incoming.take(unit, there.service.controller, back, now))
        assert waits is False
        assert ("operator", "report_undelivered") in there.alerts()
        there.sound()
