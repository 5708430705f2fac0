"""A copy of the proof reaches the data protection officer each morning, and what does not arrive is said."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from dpsync.cli.check_lines import CheckResult
from dpsync.cli.check_proof import with_others
from dpsync.ledger import note
from dpsync.model import Right
from dpsync.running import checkpoint_mail
from tests.journeys.installation import DPO, FORMS, NEWSLETTER, Installation, installed, sqlite_url
from tests.mailhost import MailHost, mail_host

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MORNING = datetime(2026, 11, 23, 7, 5, tzinfo=UTC)
ON = ("[mail]\n", "[mail]\ndaily_checkpoint = true\n")


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Installation]:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + FORMS) as one:
        one.restart(ON)
        one.clock.advance(MORNING - one.clock.now())
        yield one


def checkpoints(there: Installation) -> list[EmailMessage]:
    mails = [message_from_bytes(one.raw, policy=policy.default) for one in there.sandbox.messages(DPO, settled=True)]
    return [mail for mail in mails if checkpoint_mail.SUBJECT in str(mail["Subject"])]


def files_of(mail: EmailMessage) -> dict[str, str]:
    return {str(part.get_filename()): part.get_payload(decode=True).decode() for part in mail.iter_attachments()}  # type: ignore[union-attr]  # because the library leaves the payload open


def text_of(mail: EmailMessage) -> str:
    body: Any = mail.get_body(("plain",))
    return " ".join(str(body.get_content()).split())


def line_of(there: Installation) -> tuple[CheckResult, str]:
    (line,) = with_others(there.service, there.clock.now())
    return line.verdict, line.code


def test_each_morning_one_arrives_and_each_is_shown_to_continue_the_one_before(there: Installation) -> None:
    assert line_of(there) == (CheckResult.WAITING, "")
    there.drive()
    there.drive(HOUR)
    (first,) = checkpoints(there)
    assert "/pages/" in text_of(first), "the way to what waits, every day"
    there.ask(Right.ERASURE, "ada@example.org")
    there.drive(DAY)
    _, second = checkpoints(there)
    key = there.service.log.signer.verifier
    heads = [note.verify(files_of(mail)["checkpoint.txt"], [key]) for mail in (first, second)]
    assert heads[0].size < heads[1].size
    (proof,) = [text for name, text in files_of(second).items() if name.startswith("consistency-")]
    assert proof.startswith(f"old {heads[0].size}\n")
    assert proof.endswith(files_of(second)["checkpoint.txt"])
    assert {str(mail["Subject"]) for mail in (first, second)} == {"REHEARSAL dpsync checkpoint"}
    assert str(first["From"]) == "dpsync checkpoint <privacy@example.org>"
    assert first["Message-ID"] != second["Message-ID"]
    assert line_of(there) == (CheckResult.OK, "")


def test_it_says_what_is_open_and_overdue_and_when_the_next_one_comes(there: Installation) -> None:
    there.drive()
    (quiet,) = checkpoints(there)
    assert "0 requests are open. None is overdue." in text_of(quiet)
    assert "The next one comes on Tue 24 Nov 2026." in text_of(quiet)
    asked = there.ask(Right.ERASURE, "ada@example.org")  # its letter waits for a contact who has not confirmed
    there.drive(timedelta(days=60))
    late = text_of(checkpoints(there)[-1])
    assert "1 request is open." in late
    assert f"Overdue: {asked.id}." in late
    assert "ada" not in late


def test_nothing_is_mailed_before_seven_or_where_it_is_switched_off(there: Installation) -> None:
    there.clock.advance(timedelta(hours=-1))
    there.drive()
    assert checkpoints(there) == []
    there.restart((ON[1], "[mail]\ndaily_checkpoint = false\n"))
    there.drive(HOUR)
    there.drive(DAY)
    assert checkpoints(there) == []
    assert line_of(there) == (CheckResult.NOT_SET, "")


@pytest.mark.parametrize(("reply", "hour"), [("550 5.1.1 no such user", 7), ("451 4.3.0 try later", 11)])
def test_one_that_is_not_accepted_is_tried_again_and_the_operator_is_told(
    there: Installation, reply: str, hour: int
) -> None:
    host = MailHost(replies={"RCPT": reply})
    with mail_host(host):
        there.restart((f"port = {there.sandbox.smtp_port}", f"port = {host.port}"))
        there.clock.advance((hour - 7) * HOUR)
        there.drive()
        assert ("operator", "checkpoint_undelivered") in there.alerts()
        assert there.service.read(checkpoint_mail.newest) is None
        host.replies.clear()
        there.drive(HOUR)
        assert [one.to for one in host.taken if b"dpsync checkpoint" in one.raw] == [(DPO,)]
    newest = there.service.read(checkpoint_mail.newest)
    assert newest is not None
    assert newest.on == MORNING.date()


def test_a_mail_host_that_is_silent_for_a_moment_is_no_alert(there: Installation) -> None:
    host = MailHost(replies={"RCPT": "451 4.3.0 try later"})
    with mail_host(host):
        there.restart((f"port = {there.sandbox.smtp_port}", f"port = {host.port}"))
        there.drive()
    assert ("operator", "checkpoint_undelivered") not in there.alerts()


def test_days_without_any_are_a_problem(there: Installation) -> None:
    there.drive()
    there.clock.advance(2 * DAY)
    assert line_of(there) == (CheckResult.PROBLEM, "DP-306")
