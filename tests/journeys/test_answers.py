"""What is answered by the link: the first final word stands, later ones beside it, and the contact hears of each."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from hashlib import sha256
from pathlib import Path

import pytest
import requests

from dpsync.connector import Accepted, Instruction, Outcome
from dpsync.ledger import entry
from dpsync.ledger.note import VerifierKey
from dpsync.model import Right, State
from dpsync.propagation.correspondence.acknowledgement import MOST_BY_LINK
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.instructions import NOTICE_LINK_LIVES
from dpsync.propagation.rules.lifecycle import AnswerKind, DecisionKind
from dpsync.sandbox.mailbox import Message
from dpsync.sandbox.recipient import links_of
from dpsync.store import tables as t
from tests.builders import TestLetters, World, proof
from tests.journeys.installation import FORMS, OPERATOR, SOON, Asked, Installation, installed, sqlite_url
from tests.journeys.test_letters import CONTACT, IDENTIFIERS, ask, confirmed, events, letters, readable

DAY = timedelta(days=1)


def link(there: Installation) -> str:
    (letter,) = letters(there)
    return next(one for one in links_of(letter.raw) if "/answers/" in one)


def answer(there: Installation, word: str, **more: str) -> requests.Response:
    return requests.post(
        link(there), data={"answer": word, "name": "Pat Desk", "remark": "because", **more}, timeout=60
    )


def receipts(there: Installation, to: str = CONTACT) -> list[EmailMessage]:
    mails = [message_from_bytes(one.raw, policy=policy.default) for one in there.sandbox.messages(to)]
    return [one for one in mails if "Receipt of your answer" in str(one["Subject"])]


def told(there: Installation) -> Asked:
    confirmed(there)
    asked = ask(there)
    there.drive()
    return asked


def note_in(receipt: EmailMessage) -> tuple[dict[str, str], str, bytes]:
    """The fields of the signed note, its text, and the signature."""
    (part,) = receipt.iter_attachments()
    text, _, line = part.get_content().replace("\r\n", "\n").partition("\n\n")
    fields = dict(row.split(": ", 1) for row in text.splitlines()[1:])
    return fields, text + "\n", base64.b64decode(line.split(" ")[2])[4:]


@pytest.mark.no_database
def test_the_contact_gets_a_signed_receipt_with_the_digest_of_the_letter(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as there:
        asked = told(there)
        (letter,) = letters(there)
        assert answer(there, "done", live="erased", backups_expire="2027-01-31").status_code == 200
        there.drive(SOON)
        (receipt,) = receipts(there)
        fields, text, signature = note_in(receipt)
        assert fields == {
            "reference": there.rows(t.notice)[0].reference,
            "right": "erasure",
            "answer": "done",
            "answered": "2026-11-20T09:00:00+00:00",
            "number": "1 to notice 1",
            "notice-sha256": sha256(letter.raw).hexdigest(),
        }
        assert VerifierKey.parse(there.service.log.signer.verifier.line).fits(text, signature)
        assert receipt["In-Reply-To"] == f"<{there.rows(t.notice)[0].message_id}>"
        whole = readable(there.sandbox.messages(CONTACT)[-1])
        assert not [one for one in (*IDENTIFIERS, "Pat Desk", "because", "/answers/") if one in whole]
        there.drive(SOON)
        assert len(receipts(there)) == 1
        (row,) = there.rows(t.answer)
        kept = json.loads(there.service.keys.open("answer", row.sealed, str(row.propagation_id).encode()))
        assert (kept["live data"], kept["back-ups expire"]) == ("erased", "2027-01-31")
        assert kept["notice"] == f"sha256 {sha256(letter.raw).hexdigest()}"
        rows = there.service.read(lambda connection: there.service.log.entries_of(connection, asked.id))
        declared = [one for one in (entry.decode(body) for _, body in rows) if one["event"] == "declared"]
        assert len(str(declared[0]["digest"])) == 64
        there.sound()


def test_an_answer_that_is_quicker_than_the_mail_host_leaves_the_letter_its_digest(world: World) -> None:
    class Quick(TestLetters):
        def carry_out(self, instruction: Instruction) -> Outcome:
            world.answer(instruction.answer_url.rpartition("/")[2], AnswerKind.DONE)
            return Accepted(evidence=proof(250), digest="5a" * 32)

    world.controller = replace(world.controller, notice=Quick())
    world.use(world.processor("forms", connector=world.controller.notice))
    world.confirm("forms")
    asked = world.ask(Right.ERASURE, "ada@example.org", id="1")
    world.drive()
    assert world.state(asked, "forms") is State.DECLARED_DONE
    (letter,) = world.rows(t.notice)
    assert (letter.digest, letter.sent_at is None, world.row(asked, "forms").notices) == ("5a" * 32, False, 1)
    assert world.ledger_problems() == ()


def test_after_an_answer_to_a_letter_whose_receipt_was_lost_the_next_letter_is_another(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True, patience=0.5) as there:
        confirmed(there)
        there.sandbox.rule(CONTACT, "slow", "answer_by_link", seconds=60, answer="refused")
        asked = ask(there)
        there.drive()
        there.sandbox.messages(settled=True)
        assert there.state(asked, "forms") is State.REFUSED
        there.sandbox.rule(CONTACT, "answer_by_link", answer="done")
        there.sandbox.release()
        now, dana = there.clock.now(), Person("Dana Officer", "root", "we spoke")
        there.service.write(
            lambda unit: decide(unit, there.service.controller, asked.id, DecisionKind.RETRY, dana, now)
        )
        there.drive(SOON)
        first, second = letters(there)
        ids = [message_from_bytes(one.raw, policy=policy.default)["Message-ID"] for one in (first, second)]
        assert ids[0] != ids[1]
        assert there.state(asked, "forms") is State.DECLARED_DONE
        assert [row.number for row in there.rows(t.answer)] == [1, 2]
        there.sound()


@pytest.mark.no_database
def test_an_answer_that_takes_the_first_back_is_added_shown_and_told_to_the_dpo(
    database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as there:
        asked = told(there)
        for word in ("done", "received", "refused"):
            assert answer(there, word).status_code == 200
        there.drive(SOON)
        assert there.state(asked, "forms") is State.ESCALATED, "what rests on a word falls with the word"
        assert there.alerts() == [("dpo", "taken_back")]
        assert [note_in(one)[0]["number"] for one in receipts(there)] == [f"{n} to notice 1" for n in (1, 2, 3)]
        page = requests.get(link(there), timeout=60).text
        assert page.count("<li>") == 3
        assert [row.final for row in there.rows(t.answer)] == [True, False, True]
        assert events(there, asked)[-2:] == ["repeat", "escalated"]
        there.sound()


def test_a_link_expires_and_the_store_holds_no_key_to_it(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as there:
        told(there)
        token = link(there).rpartition("/")[2]
        kept = "".join(repr(list(there.rows(table))) for table in t.metadata.sorted_tables)
        assert token not in kept
        assert requests.get(link(there), timeout=60).status_code == 200
        there.clock.advance(NOTICE_LINK_LIVES)
        assert requests.get(link(there), timeout=60).status_code == 404
        assert answer(there, "done").status_code == 404
        assert there.rows(t.answer) == []


def test_each_letter_is_about_one_person_and_one_right(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True) as there:
        confirmed(there)
        people = ("ada@example.org", "ben@example.org")
        for number, address in enumerate(people):
            for right in (Right.OPT_OUT, Right.RESTRICTION):
                there.ask(right, address, id=f"crm-{number}")
        there.drive()
        mails = [readable(one) for one in letters(there)]
        assert len(mails) == 4
        assert sorted([one for one in people if one in mail] for mail in mails) == [
            [one] for one in people for _ in "12"
        ]
        rights = ("objects to direct marketing", "Please restrict the data")
        assert all(sum(right in " ".join(mail.split()) for right in rights) == 1 for mail in mails)
        assert len({row.message_id for row in there.rows(t.notice)}) == 4


def test_whoever_answers_without_end_is_stopped(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True) as there:
        told(there)
        statuses = [answer(there, "received").status_code for _ in range(MOST_BY_LINK + 1)]
        assert statuses == [200] * MOST_BY_LINK + [409]
        assert len(there.rows(t.answer)) == MOST_BY_LINK


def test_a_receipt_waits_for_the_mail_host_and_goes_once(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True) as there:
        told(there)
        there.sandbox.rule(CONTACT, "later")
        answer(there, "done")
        there.drive(SOON)
        assert receipts(there) == []
        there.sandbox.rule(CONTACT, "silent")
        there.drive(SOON)
        there.drive(SOON)
        assert len(receipts(there)) == 1


@pytest.mark.parametrize(("rule", "days"), [("bounce_5.1.1", 0), ("later", 4)])
def test_a_receipt_that_cannot_go_is_given_up(rule: str, days: int, tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True) as there:
        told(there)
        there.sandbox.rule(CONTACT, rule)
        answer(there, "done")
        there.drive(SOON)
        there.drive(days * DAY)
        there.sandbox.rule(CONTACT, "silent")
        there.drive(SOON)
        assert receipts(there) == []


def test_no_receipt_goes_to_a_contact_that_the_letter_did_not_go_to(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True) as there:
        told(there)
        answer(there, "done")
        others = 'contact = "new@stratosoft.example"\nbackup_contact = "two@stratosoft.example"'
        there.restart((f'contact = "{CONTACT}"', others))
        there.drive(SOON)
        mails: list[Message] = there.sandbox.messages()
        assert not [one for one in mails if b"Receipt of your answer" in one.raw]
        assert there.rows(t.answer)[0].receipted_at is not None


def test_what_is_told_by_hand_or_by_a_mail_system_has_no_receipt(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True) as there:
        told(there)
        row = there.rows(t.propagation)[0]
        for number, kind in ((0, "done"), (1, "delivered"), (1, "automatic")):
            values = {"propagation_id": row.id, "number": number, "kind": kind, "final": False, "sealed": b"x"}
            there.service.write(
                lambda unit, values=values: unit.connection.execute(
                    t.answer.insert().values(**values, at=there.clock.now())
                )  # type: ignore[misc]  # because mypy does not infer a lambda's default
            )
        there.drive(SOON)
        assert receipts(there) + receipts(there, OPERATOR) == []
