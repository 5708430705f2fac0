"""Our own trouble is never the processor's no: what our own mail host does not take waits, and our operator hears."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dpsync.cli.check_doors import letters_that_wait, questions_that_wait
from dpsync.cli.check_lines import CheckResult
from dpsync.cli.checks import _tested
from dpsync.errors import MailHostRefused
from dpsync.model import Right, State
from dpsync.propagation.correspondence.undelivered import tell_of_mail_host
from dpsync.propagation.decisions import Person
from dpsync.propagation.naming import name_contact
from dpsync.reports.make import month_report, titled_processors
from dpsync.reports.status import status_rows
from dpsync.reports.unasked import for_our_operator, unasked
from dpsync.store import tables as t
from tests.journeys.installation import FORMS, NEWSLETTER, OPERATOR, Asked, Installation, installed, sqlite_url
from tests.journeys.test_decisions_by_link import CAREFUL
from tests.journeys.test_inbox import HOOTSUITE, keep_secrets
from tests.journeys.test_letters import CONTACT, DAY, ask, confirmed, events
from tests.mailhost import MailHost, mail_host

LISTS = 'retention = { months = 3, admin = "inbox@example.org" }'
TITLE = "Stratosoft, sign-up forms"
OURS = {("operator", "mail_refused"), ("dpo", "held")}
PRIVACY = "privacy@example.org"
MODES = {
    "its sender at MAIL": {"MAIL": "550 5.7.60 Client does not have permissions to send as this sender"},
    "its sender at RCPT": {"RCPT": "553 5.7.1 <x>: Sender address rejected: not owned by user"},
    "an unknown sender at RCPT": {"RCPT": "550 5.1.0 <x>: Sender address rejected: User unknown"},
    "relaying": {"RCPT": "554 5.7.1 <x>: Relay access denied"},
    "relaying, without a code": {"RCPT": "550 relay not permitted"},
    "relaying, as qmail says it": {"RCPT": "553 sorry, that domain isn't in my list of allowed rcpthosts"},
    "its sender at the end": {"DATA": "554 5.2.252 SendAsDenied; not allowed to send as this address"},
    "our domain": {"DATA": "550 5.7.26 This mail is unauthenticated"},
    "its size": {"DATA": "552 5.3.4 Message size exceeds fixed limit"},
    "its contents": {"DATA": "554 5.7.1 looks like spam"},
}


@contextmanager
def own_host(there: Installation, replies: dict[str, str]) -> Iterator[MailHost]:
    """From here on our mail goes to a host of its own, which takes the mailbox's own mail and answers letters so."""
    host = MailHost()

    class Picky(dict[str, str]):
        def get(self, step: str, otherwise: Any = None) -> Any:
            from_letters = host.senders and host.senders[-1] != PRIVACY
            return replies.get(step, otherwise) if from_letters else otherwise

    host.replies = Picky()
    with mail_host(host):
        there.restart((f"port = {there.sandbox.smtp_port}", f"port = {host.port}"))
        yield host


BY_CODE_AND_WITHOUT = ["its sender at RCPT", "relaying, without a code"]


@pytest.mark.parametrize("mode", BY_CODE_AND_WITHOUT)
def test_what_our_own_mail_host_does_not_take_is_nobodys_refusal_and_goes_once_it_does(
    mode: str, database_url: str, tmp_path: Path
) -> None:
    waits_and_goes(mode, database_url, tmp_path)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in BY_CODE_AND_WITHOUT])
def test_whatever_it_is_about_and_whenever_it_says_so(mode: str, tmp_path: Path) -> None:
    waits_and_goes(mode, sqlite_url(tmp_path), tmp_path)


def waits_and_goes(mode: str, database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as there:
        confirmed(there)
        replies = dict(MODES[mode])
        with own_host(there, replies) as host:
            asked = ask(there)
            there.drive()
            row = there.row(asked, "forms")
            assert (row.state, row.told_at, there.alerts()) == (State.PENDING, None, [("operator", "mail_refused")])
            assert "refused" not in events(there, asked)
            (alert,) = there.rows(t.alert)
            assert "DP-303" in alert.body
            (line,) = letters_that_wait(there.service)
            assert (line.verdict, line.code) == (CheckResult.PROBLEM, "DP-303")
            assert line.text.startswith("1 letter not accepted by our own mail host since 20 Nov 2026, 09:00")
            assert line.text.endswith(f": {row.reason}")
            assert not month_report(there.service, there.clock.now()).duties, "nobody is to write to the processor"
            assert [one.to for one in host.taken] == [(OPERATOR,)], "an alert goes from the mailbox itself"
            there.sound()
            replies.clear()
            there.drive(DAY)
            assert there.state(asked, "forms") is State.ACCEPTED
            assert not list(letters_that_wait(there.service))
            there.sound()


@pytest.mark.no_database
def test_each_reason_why_our_own_mail_host_refuses_is_told(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=FORMS) as there:
        reasons = [MailHostRefused("SMTP DATA", 554, advice="its size"), MailHostRefused("SMTP RCPT", 553)]
        for refused in (*reasons, *reasons):
            there.service.write(
                lambda unit, refused=refused: tell_of_mail_host(  # type: ignore[misc]  # because mypy does not infer a lambda's default
                    unit, there.service.controller, refused, there.clock.now()
                )
            )
        (told,) = there.told()
        assert len(told.concerns) == 2
        assert all(any(one.brief in concern for concern in told.concerns) for one in reasons)


def test_a_question_that_our_own_mail_host_does_not_take_is_asked_again_and_no_contact_is_blamed(
    database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as there:
        replies = dict(MODES["its sender at RCPT"])
        with own_host(there, replies) as host:
            asked = ask(there)
            assert (waits_for(there, asked), unasked(there.service)) == (("Stratosoft, sign-up forms",), None), (
                "nobody tried yet"
            )
            there.drive()
            assert {("operator", "mail_refused")} <= {*there.alerts()} <= OURS
            assert waits_for(there, asked) == ("the operator",)
            (line,) = questions_that_wait(there.service)
            assert (line.verdict, line.code) == (CheckResult.PROBLEM, "DP-303")
            assert f"{TITLE} not accepted by our own mail host since 20 Nov 2026, 09:00" in line.text
            assert "the mail host does not take our envelope sender" in line.text
            assert "our mail host has not taken the question whether Stratosoft" in to_do(there)
            replies.clear()
            there.drive(DAY)
            assert "our mail host" not in to_do(there)
            assert (CONTACT,) in [one.to for one in host.taken]
            assert {("operator", "mail_refused")} <= {*there.alerts()} <= OURS
            assert (waits_for(there, asked), list(questions_that_wait(there.service))) == (
                ("Stratosoft, sign-up forms",),
                [],
            )


def to_do(there: Installation) -> str:
    """What the month's report asks its reader to do."""
    report = month_report(there.service, there.clock.now())
    return " ".join(duty.sentence for duty in report.duties)


def test_a_contact_that_somebody_named_waits_for_us_like_one_of_the_settings(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True) as there:
        there.drive()
        with own_host(there, dict(MODES["its sender at RCPT"])):
            asked, person, new = ask(there), Person("Dana", "dana", "they moved"), "new@stratosoft.example"
            assert unasked(there.service) is None, "whom the settings name has been asked"
            there.service.write(
                lambda unit: name_contact(unit, there.service.controller, "forms", new, person, there.clock.now())
            )
            there.drive(timedelta(minutes=1))
            found = unasked(there.service)
            assert found is not None
            assert found.titles == {"forms": TITLE}
            assert waits_for(there, asked) == ("the operator",)


def test_who_gets_work_lists_is_told_of_and_no_letter_is_said_to_wait_for_it(tmp_path: Path) -> None:
    keep_secrets(tmp_path)
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS + HOOTSUITE, web=True) as there:
        there.drive()
        with own_host(there, dict(MODES["its sender at RCPT"])):
            there.restart(("[processors.inbox]", f"[processors.inbox]\n{LISTS}"))
            asked = ask(there)
            there.drive()
            found = unasked(there.service)
            assert found is not None
            assert (found.titles, found.requests) == ({"inbox": "Hootsuite Inbox"}, frozenset())
            assert TITLE in waits_for(there, asked)
            assert "the operator" not in waits_for(there, asked)


def test_a_question_to_the_dpo_that_our_own_mail_host_does_not_take_is_told_of(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + CAREFUL, web=True) as there:
        there.drive()
        with mail_host(MailHost(replies=dict(MODES["its sender at MAIL"]))) as host:
            there.restart((f"port = {there.sandbox.smtp_port}", f"port = {host.port}"))
            there.ask(Right.ERASURE, "ada@example.org")
            there.drive()
            found = unasked(there.service)
            assert found is not None
            assert (found.titles, found.roles) == ({}, ("DPO",))
            assert "our question to the DPO: what the DPO should decide waits for our operator" in found.sentence
            (line,) = questions_that_wait(there.service)
            assert "the question to the DPO not accepted by our own mail host since 20 Nov 2026, 09:00" in line.text
            host.replies.clear()
            there.drive(timedelta(minutes=1))
            assert unasked(there.service) is None


def test_of_a_mail_host_that_is_away_for_an_hour_our_operator_hears(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + CAREFUL, web=True) as there:
        there.drive()
        there.restart((f"port = {there.sandbox.smtp_port}", "port = 1"))
        there.ask(Right.ERASURE, "ada@example.org")
        there.drive()
        assert there.alerts() == [], "it may be back in a minute"
        there.drive(timedelta(hours=1))
        (told,) = [one for one in there.told() if "has taken no mail for an hour" in one.subject]
        assert "The mail host did not answer: `dpsync check`" in told.text
        assert "envelope" not in told.text
        assert there.alerts().count(("operator", "mail_away")) == 1
        there.drive(timedelta(minutes=1))
        assert there.alerts().count(("operator", "mail_away")) == 1
        found = unasked(there.service)
        assert found is not None
        assert found.roles == ("DPO",)


def waits_for(there: Installation, asked: Asked) -> tuple[str, ...]:
    """For whom a request waits, as `status` says it."""
    known = titled_processors(there.service.settings)
    rows = there.service.read(
        lambda connection: status_rows(connection, now=there.clock.now(), request_id=asked.id, processors=known)
    )
    (row,) = for_our_operator(rows, unasked(there.service))
    return row.waits_for


def test_a_refusal_of_our_mail_host_that_is_over_is_no_reason_any_more(tmp_path: Path) -> None:
    with (
        installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True) as there,
        own_host(there, dict(MODES["its sender at RCPT"])),
    ):
        there.drive()
        assert unasked(there.service)
        there.clock.advance(timedelta(days=2, minutes=1))
        assert unasked(there.service) is None


def test_a_test_mail_goes_as_letters_go(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        replies = dict(MODES["its sender at RCPT"])
        with own_host(there, replies) as host:
            (line,) = _tested(there.service)
            assert (line.verdict, line.code) == (CheckResult.PROBLEM, "DP-303")
            assert "envelope sender" in line.text
            replies.clear()
            there.clock.advance(DAY)
            (line,) = _tested(there.service)
            assert line.verdict is CheckResult.OK
            assert re.fullmatch(r"bounce\+[a-z2-7]{32}@example\.org", host.taken[-1].sender)


def test_a_recipient_that_is_unknown_there_is_still_the_contacts(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True) as there:
        confirmed(there)
        with own_host(there, {"RCPT": "550 5.1.1 <x>: Recipient address rejected: User unknown"}):
            asked = ask(there)
            there.drive()
            assert there.state(asked, "forms") is State.ESCALATED, "a mail system's no is nobody's refusal"
            assert ("operator", "bounced") in there.alerts()
            assert ("operator", "refused") not in there.alerts()
            assert there.row(asked, "forms").told_at is None
            assert duty_of(there, asked).startswith("The letter about the erasure")
            there.sound()


def duty_of(there: Installation, asked: Asked) -> str:
    (duty,) = month_report(there.service, there.clock.now()).duties
    assert duty.requests == (asked.id,)
    return duty.sentence
