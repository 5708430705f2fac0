"""Three months and no longer: from the vendor's webhook to the export that shows nothing, over real HTTP and SMTP."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import requests

from dpsync.connector import KeepsConversations
from dpsync.ledger import entry
from dpsync.model import ConversationState
from dpsync.propagation.decisions import Person
from dpsync.reports import render
from dpsync.reports.make import month_report
from dpsync.reports.verdict import Verdict
from dpsync.retention import acts, export_check
from dpsync.retention.export_check import Checked, Range
from dpsync.sandbox.recipient import fill_in, links_of
from dpsync.store import conversation_tables as ct
from dpsync.store import tables as t
from tests.builders import START
from tests.journeys.installation import SECRET, Installation, installed, sqlite_url
from tests.journeys.test_inbox import HOOTSUITE, SIGNED, keep_secrets
from tests.keeping import ADMIN, DEPUTY, HEADER, body_of, standins, told

DAY, HOUR, WEEK = timedelta(days=1), timedelta(hours=1), timedelta(days=7)
RULE = f'retention = {{{{ months = 3, admin = "{ADMIN}", deputy = "{DEPUTY}" }}}}'
INBOX = f"""
[processors.inbox]
title = "Postbox, messages"
connector = "postbox"
contact = "privacy@postbox.example"
inbound_secret = {{{{ env = "DPSYNC_TEST_SECRET" }}}}
{RULE}
"""
DANA = Person("Dana Officer", "dana", "the monthly check")
OLD = START - 90 * DAY  # 22 August; the last day is Sunday 22 November
PEOPLE = ("Ada", "Byron", "7700900123", "+44")


@pytest.fixture
def hootsuite(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    """An installation beside the imitated Hootsuite, whose admin confirms the address that is asked."""
    keep_secrets(tmp_path)
    with installed(tmp_path, database_url, processors=f"{HOOTSUITE}{RULE}\n", web=True) as there:
        there.sandbox.hootsuite.hear(f"{there.url}/in/inbox/{SECRET}", SIGNED)
        there.sandbox.rule(ADMIN, "confirm_contact")
        yield there


def until(met: Callable[[], object]) -> None:
    """A webhook travels in the sandbox's own thread."""
    waiting = threading.Event()
    for _ in range(400):
        if met():
            return
        waiting.wait(0.025)
    raise AssertionError("it did not come to pass")


def states(there: Installation) -> list[ConversationState]:
    return [ConversationState(row.state) for row in there.rows(ct.conversation)]


def begun(there: Installation) -> None:
    """The addresses confirm themselves, and what waits for that goes out."""
    there.drive()
    there.sandbox.messages(settled=True)
    there.drive(HOUR)


def letters(there: Installation, to: str = ADMIN) -> list[EmailMessage]:
    mails = [one.raw for one in there.sandbox.messages(to, settled=True) if b"worklist.txt" in one.raw]
    return [message_from_bytes(raw, policy=policy.default) for raw in mails]


def attached(letter: EmailMessage) -> str:
    (part,) = letter.iter_attachments()
    return str(part.get_content())


def answer(letter: EmailMessage, **typed: str) -> list[int]:
    (link,) = [one for one in links_of(letter.as_bytes()) if "/answers/" in one]
    return [deed.status for deed in fill_in(link, {"which": "all", "name": "Pat Inbox", **typed})]


def check(there: Installation, text: str, folder: Path) -> Checked:
    """The admin hands over the month's export, made for everything up to three months ago."""
    file = folder / "export.csv"
    file.write_bytes(text.encode())
    service, now = there.service, there.clock.now()
    processor = service.controller.processors["inbox"]
    assert isinstance(processor.connector, KeepsConversations)
    assert processor.retention is not None
    found = export_check.read(file, processor.connector, processor.retention, service.zone, now)
    days = Range(date(2020, 1, 1), (now - 92 * DAY).date())
    return service.write(lambda unit: export_check.check(unit, service.controller, "inbox", found, days, DANA, now))


def exported(there: Installation) -> str:
    end = there.clock.now() - 92 * DAY
    return there.sandbox.hootsuite.export(datetime(2020, 1, 1, tzinfo=UTC), end)


def events(there: Installation) -> list[str]:
    said = [entry.decode(row.body) for row in there.rows(t.entry)]
    return [str(one["event"]) for one in said if one.get("kind") in {"retention", "worklist"}]


def closed(there: Installation, created: datetime = OLD) -> str:
    """Somebody wrote long ago, and an agent resolves it now; the contact's id."""
    vendor = there.sandbox.hootsuite
    contact = vendor.add("+447700900123", "Ada Byron", medium="whatsapp", created=created, texts=["my secret"])
    known = len(states(there))
    vendor.act(contact, "resolve")
    until(lambda: len(states(there)) > known)
    return contact


def test_from_the_webhook_to_the_export_that_shows_nothing(hootsuite: Installation, tmp_path: Path) -> None:
    contact = closed(hootsuite)
    begun(hootsuite)
    (letter,) = letters(hootsuite)
    listed = attached(letter)
    (row,) = hootsuite.rows(ct.conversation)
    assert row.reference in listed
    assert f"contact       {contact}" in listed
    assert "last day 22 November 2026" in listed
    assert not [one for one in PEOPLE if one in letter.as_string() or one in listed]
    assert states(hootsuite) == [ConversationState.LISTED]

    assert hootsuite.sandbox.hootsuite.erase(contact, row.reference) == 1
    assert answer(letter) == [200, 200]
    assert states(hootsuite) == [ConversationState.ATTESTED]

    hootsuite.drive(WEEK)
    done = check(hootsuite, exported(hootsuite), tmp_path)
    assert (done.rows, done.verified, done.contradicted) == (0, 1, 0)
    assert states(hootsuite) == [ConversationState.VERIFIED_BY_EXPORT]
    assert hootsuite.rows(ct.conversation)[0].sealed is None
    assert events(hootsuite) == ["handed_over", "notice_sent", "declared", "verified"]
    report = month_report(hootsuite.service, hootsuite.clock.now())
    assert report.verdict is Verdict.IN_ORDER
    assert "Gone, their export shows: 1" in render.text(report)
    assert "X (Twitter)" in render.text(report)
    hootsuite.sound()


@pytest.mark.no_database
def test_what_was_said_to_be_deleted_and_is_in_the_export_is_contradicted_and_listed_again(
    hootsuite: Installation, tmp_path: Path
) -> None:
    closed(hootsuite)
    begun(hootsuite)
    (letter,) = letters(hootsuite)
    assert answer(letter) == [200, 200]  # and nothing was deleted
    hootsuite.drive(WEEK)
    assert len(letters(hootsuite)) == 1  # what is attested is on no list
    done = check(hootsuite, exported(hootsuite), tmp_path)
    assert (done.rows, done.verified, done.contradicted) == (1, 0, 1)
    assert month_report(hootsuite.service, hootsuite.clock.now()).verdict is Verdict.OVERDUE
    hootsuite.drive(WEEK)
    *_, newest = letters(hootsuite)
    assert "(overdue; should be gone, and was seen again)" in attached(newest)
    assert states(hootsuite) == [ConversationState.CONTRADICTED]
    assert {"retention-contradicted", "retention-overdue"} <= {cause for _, cause in hootsuite.alerts()}
    hootsuite.sound()


@pytest.mark.no_database
def test_a_conversation_that_is_still_open_is_never_verified_by_an_export(
    hootsuite: Installation, tmp_path: Path
) -> None:
    vendor = hootsuite.sandbox.hootsuite
    contact = vendor.add("fb-1", "Ada Byron", created=OLD)
    vendor.act(contact, "pending")
    until(lambda: states(hootsuite))
    begun(hootsuite)
    hootsuite.drive(WEEK)
    assert exported(hootsuite).count("\n") == 1  # the head alone: it shows no open one
    assert check(hootsuite, exported(hootsuite), tmp_path).verified == 0
    assert states(hootsuite) == [ConversationState.LISTED]
    assert month_report(hootsuite.service, hootsuite.clock.now()).verdict is Verdict.OVERDUE


# --- with the stand-in: what no vendor does on demand


@pytest.fixture
def inbox(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with standins(), installed(tmp_path, database_url, processors=INBOX, web=True) as there:
        there.sandbox.rule(ADMIN, "confirm_contact")
        there.sandbox.rule(DEPUTY, "confirm_contact")
        yield there


def deliver(there: Installation, *conversations: Any, secret: str = SECRET) -> int:
    body = body_of(*conversations)
    return requests.post(f"{there.url}/in/inbox/{secret}", data=body, timeout=60).status_code


@pytest.mark.no_database
def test_what_is_seen_again_by_webhook_after_the_answer_is_contradicted(inbox: Installation) -> None:
    assert deliver(inbox, told(1, OLD), secret="another-secret-of-128-bits") == 404
    assert inbox.rows(ct.conversation) == []
    assert [deliver(inbox, told(1, OLD)) for _ in range(2)] == [200, 200]
    begun(inbox)
    (letter,) = letters(inbox)
    assert answer(letter) == [200, 200]
    inbox.drive(DAY)
    assert deliver(inbox, told(1, OLD)) == 200  # the same as before, late
    assert states(inbox) == [ConversationState.ATTESTED]
    assert deliver(inbox, told(1, OLD, seen=inbox.clock.now())) == 200
    assert states(inbox) == [ConversationState.CONTRADICTED]
    inbox.sound()


@pytest.mark.no_database
def test_the_rows_that_are_ticked_are_attested_and_no_other(inbox: Installation) -> None:
    deliver(inbox, told(1, OLD), told(2, OLD))
    begun(inbox)
    (letter,) = letters(inbox)
    one = inbox.rows(ct.conversation)[0].reference
    assert answer(letter, which="some", row=one) == [200, 200]
    assert {row.reference: row.state for row in inbox.rows(ct.conversation)}[one] == ConversationState.ATTESTED
    assert sorted(states(inbox)) == [ConversationState.ATTESTED, ConversationState.LISTED]
    assert answer(letter, which="some") == [200, 422]


@pytest.mark.no_database
def test_a_list_that_the_mail_host_put_off_goes_out_later_under_the_same_message_id(inbox: Installation) -> None:
    begun(inbox)
    inbox.sandbox.rule(ADMIN, "later", times=2)
    deliver(inbox, told(1, OLD))
    inbox.drive(3 * DAY)  # Monday
    (kept,) = inbox.rows(ct.retention_letter)
    assert (kept.sent_at, letters(inbox)) == (None, [])
    for _ in range(3):
        inbox.drive(HOUR)
    (letter,) = letters(inbox)
    assert str(letter["Message-ID"]) == f"<{kept.message_id}>"
    assert events(inbox) == ["handed_over", "notice_sent"]


def test_a_list_that_the_mail_host_refuses_for_good_is_told_at_once_and_goes_out_when_it_can(
    inbox: Installation,
) -> None:
    begun(inbox)
    inbox.sandbox.rule(ADMIN, "bounce_5.1.1")
    deliver(inbox, told(1, OLD))
    inbox.drive(3 * DAY)  # Monday
    assert ("operator", "retention-bounced") in inbox.alerts()
    assert letters(inbox) == []
    inbox.sandbox.rule(ADMIN, "silent")
    inbox.drive(HOUR)
    assert len(letters(inbox)) == 1


@pytest.mark.no_database
def test_silence_is_reminded_of_escalated_to_the_deputy_and_shown_as_overdue(inbox: Installation) -> None:
    deliver(inbox, told(1, OLD))
    begun(inbox)
    for _ in range(8 * 24 // 12):
        inbox.drive(12 * HOUR)
    subjects = [str(letter["Subject"]).partition("REHEARSAL ")[2].split(":")[0] for letter in letters(inbox)]
    assert subjects == ["Work list", "Work list", "Reminder"]  # at the first start, on Monday, on Thursday
    (to_deputy,) = letters(inbox, DEPUTY)
    assert "No answer yet" in str(to_deputy["Subject"])
    causes = [cause for _, cause in inbox.alerts()]
    assert "retention-unanswered" in causes
    assert causes.count("retention-overdue") >= 5
    report = month_report(inbox.service, inbox.clock.now())
    assert report.verdict is Verdict.OVERDUE
    assert "at Postbox, messages 1 private conversation is overdue." in report.sentence
    inbox.sound()


@pytest.mark.no_database
def test_a_month_without_a_check_is_said_and_a_check_ends_it(inbox: Installation, tmp_path: Path) -> None:
    inbox.drive(32 * DAY)
    assert "retention-unchecked" in [cause for _, cause in inbox.alerts()]
    assert month_report(inbox.service, inbox.clock.now()).verdict is Verdict.NEEDS_A_DECISION
    assert check(inbox, HEADER, tmp_path).verified == 0
    now = inbox.clock.now()
    inbox.service.write(lambda unit: acts.state_none_open(unit, inbox.service.controller, "inbox", DANA, now))
    assert month_report(inbox.service, now).verdict is Verdict.IN_ORDER


def test_no_id_of_a_conversation_is_found_anywhere_but_in_the_letter(tmp_path: Path) -> None:
    """In the database, its -wal, the receipts, the anchors and every other mail."""
    with standins(), installed(tmp_path, sqlite_url(tmp_path), processors=INBOX, web=True) as there:
        there.sandbox.rule(ADMIN, "confirm_contact")
        deliver(there, told(1, OLD))
        begun(there)
        assert "conv-canary-1" in attached(letters(there)[0])
        there.drive(9 * DAY)
        others = [one.raw for one in there.sandbox.messages(settled=True) if b"worklist.txt" not in one.raw]
        files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
        shown = render.text(month_report(there.service, there.clock.now())).encode()
    assert len(others) > 1
    for content in (*others, *files, shown):
        assert b"canary" not in content
