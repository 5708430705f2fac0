"""The processor without an API, over real SMTP and real links: what a letter proves, and what it never does."""

from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
import requests

from dpsync.ledger import entry
from dpsync.model import DONE_STATES, Right, Rung, State
from dpsync.sandbox.mailbox import Message
from dpsync.sandbox.recipient import fill_in, links_of
from dpsync.service import Service
from dpsync.store import tables as t
from tests.journeys.installation import DPO, FORMS, OPERATOR, SOON, Asked, Installation, installed, sqlite_url

ADA = "ada@example.org"
CONTACT = "privacy@stratosoft.example"
PERSON = {"name": "Ada Lovelace", "phone": "+44 7700 900123"}
IDENTIFIERS = (ADA, "Lovelace", "900123", "crm-4711")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def ask(there: Installation, right: Right = Right.ERASURE) -> Asked:
    return there.ask(right, ADA, id="crm-4711", **PERSON)


def letters(there: Installation, to: str = CONTACT) -> list[Message]:
    """The mails about a person, in order; not the question whether the contact is the right one."""
    return [one for one in there.sandbox.messages(to, settled=True) if b"notice.json" in one.raw]


def parsed(message: Message) -> EmailMessage:
    return message_from_bytes(message.raw, policy=policy.default)


def readable(message: Message) -> str:
    """The whole mail with its head, as its reader sees it: attachments too."""
    whole = parsed(message)
    parts = [part.get_content() for part in whole.walk() if not part.is_multipart()]
    texts = [part.decode() if isinstance(part, bytes) else str(part) for part in parts]
    return "\n".join([*(f"{name}: {value}" for name, value in whole.items()), *texts])


def confirmed(there: Installation) -> None:
    """The contact has said by its link that it is the right desk, and from here on does nothing by itself."""
    there.sandbox.rule(CONTACT, "confirm_contact")
    there.drive()
    there.sandbox.messages(settled=True)
    assert [row.confirmed_at is not None for row in there.rows(t.contact)] == [True]
    there.sandbox.rule(CONTACT, "silent")


def events(there: Installation, asked: Asked) -> list[str]:
    rows = there.service.read(lambda connection: there.service.log.entries_of(connection, asked.id))
    return [str(entry.decode(body)["event"]) for _, body in rows]


@pytest.mark.no_database
def test_no_identifier_leaves_before_the_contact_has_confirmed_itself(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as there:
        asked = ask(there)
        there.drive()
        there.drive(DAY)
        assert there.state(asked, "forms") is State.HELD
        (question,) = there.sandbox.messages(CONTACT, settled=True)
        assert not [one for one in IDENTIFIERS if one in readable(question)]
        (link,) = links_of(question.raw)
        assert [deed.status for deed in fill_in(link, {"confirm": "yes"})] == [200, 200]
        there.drive(SOON)
        (letter,) = letters(there)
        assert all(one in readable(letter) for one in IDENTIFIERS)
        assert there.state(asked, "forms") is State.ACCEPTED
        assert there.row(asked, "forms").rung == Rung.SENT
        there.sound()


@pytest.mark.parametrize("right", Right)
def test_subject_and_text_of_a_letter_name_nobody(right: Right, tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True) as there:
        confirmed(there)
        changes = {"changes": {"email": "ada.new@example.org", "last_name": "Byron"}}
        there.ask(right, ADA, id="crm-4711", **PERSON, **(changes if right is Right.RECTIFICATION else {}))
        there.drive()
        (letter,) = letters(there)
        message = parsed(letter)
        attached = [part for part in message.iter_attachments() if part.get_filename() == "notice.json"]
        text = message.get_body(("plain",))
        assert text is not None
        shown = "\n".join([text.get_content(), *(f"{name}: {value}" for name, value in message.items())])
        shown += f"{letter.mail_from} {letter.mail_options} {letter.rcpt_options}"
        assert not [one for one in (*IDENTIFIERS, "ada.new", "Byron") if one in shown]
        assert "REHEARSAL" in str(message["Subject"])
        assert len(attached) == 1
        assert all(one in attached[0].get_payload(decode=True).decode() for one in IDENTIFIERS)  # type: ignore[union-attr]  # because a part with a name has a payload


@pytest.mark.no_database
def test_a_letter_that_was_put_off_keeps_its_message_id(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as there:
        confirmed(there)
        there.sandbox.rule(CONTACT, "later", times=2)
        asked = ask(there)
        there.drive()
        (planned,) = there.rows(t.notice)
        assert planned.sent_at is None
        assert there.state(asked, "forms") is State.PENDING
        assert there.row(asked, "forms").rung == Rung.NONE
        for _ in range(3):
            there.drive(DAY)
        (letter,) = letters(there)
        assert str(parsed(letter)["Message-ID"]) == f"<{planned.message_id}>"
        assert [row.message_id for row in there.rows(t.notice)] == [planned.message_id]
        assert there.state(asked, "forms") is State.ACCEPTED
        assert there.row(asked, "forms").attempts == 3
        there.sound()


def test_an_answer_to_a_letter_whose_receipt_was_lost_counts_and_nothing_is_sent_again(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True, patience=0.5) as there:
        confirmed(there)
        there.sandbox.rule(CONTACT, "slow", "answer_by_link", seconds=60, name="Pat Desk")
        asked = ask(there)
        there.drive()
        assert len(letters(there)) == 1  # and whoever read it has answered
        assert there.state(asked, "forms") is State.DECLARED_DONE
        there.sandbox.release()
        there.drive(DAY)
        assert len(letters(there)) == 1
        assert there.state(asked, "forms") is State.DECLARED_DONE
        there.sound()


def test_a_letter_whose_receipt_was_lost_is_repeated_to_the_byte(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True, patience=0.5) as there:
        confirmed(there)
        there.sandbox.rule(CONTACT, "slow", seconds=60)
        asked = ask(there)
        there.drive()
        assert there.state(asked, "forms") is State.PENDING
        assert there.row(asked, "forms").doubtful
        there.sandbox.rule(CONTACT, "silent")
        there.sandbox.release()
        there.drive(DAY)
        first, second = letters(there)
        assert first.raw == second.raw
        assert there.state(asked, "forms") is State.ACCEPTED
        assert len(there.rows(t.notice)) == 1
        there.sound()


def test_silence_is_reminded_of_in_the_same_thread_and_then_a_person_hears(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as there:
        confirmed(there)
        asked = ask(there)
        there.drive()
        there.drive(4 * DAY)
        assert len(letters(there)) == 1
        there.drive(2 * DAY)
        first, reminder = map(parsed, letters(there))
        assert reminder["In-Reply-To"] == reminder["References"] == first["Message-ID"]
        assert reminder["Message-ID"] != first["Message-ID"]
        assert "Reminder" in str(reminder["Subject"])
        assert there.state(asked, "forms") is State.ACCEPTED
        there.drive(6 * DAY)
        assert there.state(asked, "forms") is State.ESCALATED
        assert ("dpo", "no_answer") in there.alerts()
        assert any(b"has not answered in time" in one.raw for one in there.sandbox.messages(DPO))
        there.sound()


@pytest.mark.no_database
def test_a_scanner_that_opens_every_link_proves_nothing(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as there:
        asked = ask(there)
        there.sandbox.rule(CONTACT, "scanner_prefetch")
        there.drive()
        (question,) = there.sandbox.messages(CONTACT, settled=True)
        assert [(deed.method, deed.status) for deed in question.deeds] == [("HEAD", 200), ("GET", 200)]
        there.drive(SOON)
        assert there.state(asked, "forms") is State.HELD
        (link,) = links_of(question.raw)
        fill_in(link, {"confirm": "yes"})
        there.drive(SOON)
        (letter,) = letters(there)
        assert {(deed.method, deed.status) for deed in letter.deeds} == {("HEAD", 200), ("GET", 200)}
        there.drive(SOON)
        assert there.state(asked, "forms") is State.ACCEPTED
        assert there.row(asked, "forms").rung == Rung.SENT
        assert there.rows(t.answer) == []
        there.sound()


@pytest.mark.parametrize(
    ("word", "state", "rung", "alert"),
    [
        ("done", State.DECLARED_DONE, Rung.CONFIRMED, None),
        ("nothing_held", State.DECLARED_NOTHING_HELD, Rung.CONFIRMED, None),
        ("partly", State.ESCALATED, Rung.ACKNOWLEDGED, ("dpo", "partly")),
        ("refused", State.REFUSED, Rung.ACKNOWLEDGED, ("operator", "refused")),
        ("wrong_recipient", State.ESCALATED, Rung.SENT, ("operator", "wrong_recipient")),
        ("received", State.ACCEPTED, Rung.ACKNOWLEDGED, None),
    ],
)
def test_what_somebody_answers_by_the_link_is_what_is_known(
    word: str, state: State, rung: Rung, alert: tuple[str, str] | None, tmp_path: Path
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True) as there:
        confirmed(there)
        there.sandbox.rule(CONTACT, "answer_by_link", answer=word, name="Pat Desk", remark="as agreed")
        asked = ask(there)
        there.drive()
        (letter,) = letters(there)
        assert [(deed.method, deed.status) for deed in letter.deeds] == [("GET", 200), ("POST", 200)]
        there.drive(SOON)
        assert there.state(asked, "forms") is state
        assert there.row(asked, "forms").rung == rung
        incident = [("dpo", "incident-proposed")] if word == "wrong_recipient" else []
        assert there.alerts() == ([alert] if alert else []) + incident
        (answer,) = there.rows(t.answer)
        assert b"Pat Desk" not in answer.sealed
        assert b"Pat Desk" in there.service.keys.open("answer", answer.sealed, str(answer.propagation_id).encode())
        receipt = there.service.settings.ledger.receipts / f"{asked.id}.json"
        assert receipt.exists() is (state in DONE_STATES)
        if receipt.exists():
            assert "forms: " in there.verified_by_a_stranger(asked, ADA)
        there.sound()


def test_a_later_answer_is_kept_beside_the_first_and_what_rests_on_a_word_falls_with_it(
    database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as there:
        confirmed(there)
        there.sandbox.rule(CONTACT, "answer_by_link", answer="done")
        asked = ask(there)
        there.drive()
        (letter,) = letters(there)
        link = next(one for one in links_of(letter.raw) if "/answers/" in one)
        later = requests.post(link, data={"answer": "refused", "name": "Sam", "remark": "no"}, timeout=60)
        assert later.status_code == 200
        there.drive(SOON)
        assert there.state(asked, "forms") is State.ESCALATED
        assert requests.get(f"{there.url}/answers/{'u' * 43}", timeout=60).status_code == 404
        assert requests.post(f"{there.url}/answers/{'u' * 43}", data={"answer": "done"}, timeout=60).status_code == 404
        assert [row.kind for row in there.rows(t.answer)] == ["done", "refused"]
        there.sound()


def test_a_letter_that_bounces_at_once_is_escalated_and_the_operator_hears(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as there:
        confirmed(there)
        there.sandbox.rule(CONTACT, "bounce_5.1.1")
        asked = ask(there)
        there.drive()
        there.drive(DAY)
        assert there.state(asked, "forms") is State.ESCALATED
        assert there.row(asked, "forms").rung == Rung.NONE
        assert ("operator", "bounced") in there.alerts()
        assert letters(there) == []
        assert any(b"could not be delivered" in one.raw for one in there.sandbox.messages(OPERATOR))
        there.sound()


def test_a_reminder_that_bounces_is_escalated(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True) as there:
        confirmed(there)
        asked = ask(there)
        there.drive()
        there.sandbox.rule(CONTACT, "bounce_5.1.1")
        there.drive(6 * DAY)
        assert there.state(asked, "forms") is State.ESCALATED
        assert ("operator", "bounced") in there.alerts()
        assert "bounced" in events(there, asked)
        there.sound()


def test_what_the_api_cannot_do_is_a_task_for_our_operator_and_not_done_by_being_sent(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), web=True) as there:
        there.sandbox.add(ADA, status="unsubscribed", merge_fields={"LNAME": "Byron"})
        there.sandbox.rule(OPERATOR, "silent")
        changes = {"email": "ada.new@example.org", "last_name": "Lovelace"}
        asked = there.ask(Right.RECTIFICATION, ADA, id="crm-4711", changes=changes)
        there.drive()
        assert there.state(asked) is State.HANDED_OVER
        (task,) = letters(there, OPERATOR)
        text = parsed(task).get_body(("plain",))
        assert text is not None
        assert "Mailchimp refused the new address" in text.get_content()
        assert ADA not in text.get_content()
        assert dict(there.sandbox.holdings(ADA)[0].merge_fields)["LNAME"] == "Lovelace"
        link = next(one for one in links_of(task.raw) if "/answers/" in one)
        fill_in(link, {"answer": "done", "name": "Olli Operator"})
        Service(there.service).run_once()
        assert there.state(asked) is State.CONTRADICTED, "our own reading shows that the old address is still there"
        assert ("dpo", "contradicted") in there.alerts()
        there.sound()


def test_done_but_not_done_is_contradicted_told_and_never_counted_until_it_is_seen(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), web=True) as there:
        there.sandbox.add(ADA, status="unsubscribed", merge_fields={"LNAME": "Byron"})
        there.sandbox.rule(OPERATOR, "done_but_not_done")
        asked = there.ask(Right.RECTIFICATION, ADA, id="crm-4711", changes={"email": "ada.new@example.org"})
        Service(there.service).run_once()
        (task,) = letters(there, OPERATOR)
        assert [deed.method for deed in task.deeds] == ["GET", "POST"]
        for _ in range(3):
            there.drive(2 * HOUR)
        row = there.row(asked)
        assert (row.state, row.rung) == (State.CONTRADICTED, Rung.ACKNOWLEDGED)
        assert [row.kind for row in there.rows(t.answer)] == ["done"]
        assert ("dpo", "contradicted") in there.alerts()
        said = [event for event in events(there, asked) if event != "attempt"]
        assert said[-3:] == ["declared", "contradicted", "contradicted"]
        assert there.rows(t.request)[0].closed_at is None
        there.drive(45 * DAY)
        assert any("overdue" in cause for _, cause in there.alerts()), "it is open, and its legal date passes"
        there.sound()
