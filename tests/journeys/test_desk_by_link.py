"""What the DPO sees and records by link: which older request goes first, a letter to the person, a long reason."""

from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
import requests

from dpsync.cases.complaints import complaints
from dpsync.cases.values import Channel, PersonTold
from dpsync.intake.body import LONGEST_BODY
from dpsync.intake.typed import LONGEST_FORM_WITH_A_LETTER
from dpsync.ledger.entry import decode
from dpsync.model import Right, State
from dpsync.propagation.page_links import REGISTER, Page, PageKind
from dpsync.propagation.telling import all_told
from dpsync.store import tables as t
from tests.journeys.installation import FORMS, NEWSLETTER, installed
from tests.journeys.test_complaints import came
from tests.journeys.test_decisions_by_link import ADA, MINUTE, YES, Person, ask, command, desk
from tests.journeys.test_letters import CONTACT
from tests.journeys.test_links_to_pages import link_of, today
from tests.journeys.test_more_by_link import WHO, Asker, Operator, kinds, page_of
from tests.unit.test_reports import untagged

pytestmark = pytest.mark.no_database

BEN = "ben@example.org"
ALREADY = "An older request of the same person"


def test_the_question_names_the_older_request_of_the_same_person(tmp_path: Path, database_url: str) -> None:
    with desk(tmp_path, database_url) as there:
        there.sandbox.fault("status", status=503, times=None, method="PATCH")
        there.sandbox.add(ADA)
        there.ask(Right.RECTIFICATION, BEN, id="crm-2", changes={"first_name": "Ben"})
        first = there.ask(Right.RECTIFICATION, ADA, changes={"first_name": "Ada"})
        asked = there.ask(Right.ERASURE, ADA)
        there.drive()
        assert there.state(first) is State.PENDING
        dpo = Person(there)
        told = f"{ALREADY} goes first: rectification {first.id[:8]}, received 20 Nov 2026."
        (mail,) = dpo.mails("Please decide")
        assert told in " ".join(str(mail.get_content()).split())
        assert told in untagged(dpo.look().text)
        assert dpo.page.text.count(ALREADY) == 1, "another person's request is none of it"
        again = there.ask(Right.ERASURE, ADA)
        there.drive()
        held = f"{ALREADY} is held, too: erasure {asked.id[:8]}, received 20 Nov 2026."
        (mail,) = [one for one in dpo.mails("Please decide") if again.id[:8] in str(one["Subject"])]
        assert held in " ".join(str(mail.get_content()).split())


def test_the_first_request_of_a_person_names_no_older_one(tmp_path: Path, database_url: str) -> None:
    with desk(tmp_path, database_url) as there:
        ask(there)
        dpo = Person(there)
        assert ALREADY not in str(dpo.mails("Please decide")[0].get_content())
        assert ALREADY not in dpo.look().text


def test_a_letter_to_the_person_is_recorded_by_link_as_by_command(tmp_path: Path, database_url: str) -> None:
    with installed(tmp_path, database_url, processors=NEWSLETTER, web=True) as there:
        there.sandbox.add(ADA)
        asked = there.ask(Right.ERASURE, ADA)
        there.drive()
        assert there.state(asked) is State.VERIFIED
        dpo = Asker(there)
        assert dpo.ask(page_of(there, Page(PageKind.DOSSIER, asked.id))).status_code == 200
        there.drive(MINUTE)
        dpo.look()
        on = there.clock.now().date()
        told = {**WHO, "choice": "told", "told_on": on.isoformat()}
        assert dpo.send("decide", told).status_code == 422
        assert "which letter it was, and how it went" in dpo.page.text
        assert dpo.send("decide", {**told, "letter": "lifting", "channel": "post"}).status_code == 409
        assert "Only a restriction can be lifted" in dpo.page.text
        assert kinds(there) == []
        went = {**told, "letter": "erasure", "channel": "post"}
        assert dpo.send("decide", {**went, "text": "x" * 10_001}).status_code == 422
        page = dpo.send("decide", {**went, "text": "界" * 9_990 + "\r\nYours"})
        assert page.status_code == 200
        assert "The letter is recorded. No other is due." in page.text
        (one,) = there.service.read(lambda connection: all_told(connection, asked.id))
        assert (one.kind, one.on, one.how) == ("erasure", on, "post")
        assert one.digest == sha256(("界" * 9_990 + "\nYours").encode()).hexdigest()
        (entry,) = [said for row in there.rows(t.entry) if (said := decode(row.body))["event"] == "person_told"]
        assert (entry["told_on"], entry["way"]) == (on.isoformat(), "post")
        there.sound()


@pytest.mark.parametrize("letter", ["界", "é", "a"])
def test_a_reason_of_the_greatest_length_is_taken_in_every_script(
    letter: str, tmp_path: Path, database_url: str
) -> None:
    with desk(tmp_path, database_url) as there:
        asked = ask(there)
        dpo = Person(there)
        dpo.look()
        longest = {"name": letter * 200, "reason": letter * 2000}
        assert dpo.send("decide", {**YES, **longest}).status_code == 200
        assert kinds(there) == ["release"]
        assert there.service.opened_decision(asked.id, there.rows(t.decision)[-1].sealed).decode()


def test_what_is_too_large_for_a_page_is_answered_by_a_page(tmp_path: Path, database_url: str) -> None:
    with desk(tmp_path, database_url) as there:
        ask(there)
        link = Person(there).link()
        page = requests.post(link, data={"reason": "a" * (LONGEST_FORM_WITH_A_LETTER + 1)}, timeout=60)
        assert page.status_code == 413
        assert page.headers["content-type"].startswith("text/html")
        assert "This is too much text." in page.text
        assert "Nothing is recorded." in page.text
        door = f"{link.partition('/decisions/')[0]}/requests"
        assert requests.post(door, data=b"a" * (LONGEST_BODY + 1), timeout=60).json() == {
            "error": "the body is too large"
        }


def test_that_a_link_was_revoked_is_in_the_ledger_with_its_request_and_without(
    tmp_path: Path, database_url: str
) -> None:
    with desk(tmp_path, database_url) as there:
        today(there)
        asked = ask(there)
        link_of(there, PageKind.DOSSIER, asked.id)
        page_of(there, REGISTER)
        command(there, database_url, "links", "revoke", "--all", "--by", "Dana Officer")
        entries = [said for row in there.rows(t.entry) if (said := decode(row.body)).get("kind") == "revoke_link"]
        assert {said["event"] for said in entries} == {"decided"}
        opened = {str(said["cause"]).split()[0]: said for said in entries}
        assert opened["dossier"]["req"] == opened["decision"]["req"] == asked.id
        assert "req" not in opened["register"]
        assert len(str(opened["register"]["by"])) == 64
        kept = [row for row in there.rows(t.decision) if row.kind == "revoke_link"]
        assert "Dana Officer" in there.service.opened_decision(asked.id, kept[0].sealed).decode()
        before = len(entries)
        command(there, database_url, "links", "revoke", "--all")
        entries = [said for row in there.rows(t.entry) if (said := decode(row.body)).get("kind") == "revoke_link"]
        assert len(entries) == before, "nothing was good any more"
        there.drive(timedelta(hours=1))
        there.sound()


def test_a_silent_contact_is_asked_again_by_link_with_another_mail(tmp_path: Path, database_url: str) -> None:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as there:
        asked = there.ask(Right.ERASURE, ADA, id="crm-4711")
        there.drive()
        contact = Person(there, CONTACT)
        there.drive(timedelta(days=1, hours=1))
        operator = Operator(there)
        operator.look()
        assert len(contact.mails("Please confirm")) == 1
        assert operator.send("decide", {**WHO, "at.forms": "ask_contact"}).status_code == 200
        assert "Still held: the processor&#39;s contact has not confirmed the address" in operator.page.text
        for _ in range(3):
            there.drive(MINUTE)
        first, second = contact.mails("Please confirm")
        assert first["Message-ID"] != second["Message-ID"]
        assert there.state(asked, "forms") is State.HELD
        assert kinds(there) == ["ask_contact"]
        (link,) = [word for word in str(second.get_content()).split() if "/contacts/" in word]
        assert requests.post(link, data={"confirm": "yes"}, timeout=60).status_code == 200
        there.drive(MINUTE)
        assert there.state(asked, "forms") is State.ACCEPTED
        there.sound()


def test_a_complaint_about_the_request_is_acknowledged_by_link(tmp_path: Path, database_url: str) -> None:
    with installed(tmp_path, database_url, processors=NEWSLETTER, web=True) as there:
        asked = there.ask(Right.ERASURE, ADA)
        there.drive()
        other, about = came(there), came(there, about=(asked.id,))
        dpo = Asker(there)
        assert dpo.ask(page_of(there, Page(PageKind.DOSSIER, asked.id))).status_code == 200
        there.drive(MINUTE)
        dpo.look()
        on = there.clock.now().date()
        told = {**WHO, "choice": "acknowledge", "told_on": on.isoformat()}
        assert dpo.send("decide", told).status_code == 422
        page = dpo.send("decide", {**told, "channel": "phone"})
        assert page.status_code == 200
        assert about.id in page.text
        assert other.id not in page.text
        found = {one.id: one for one in there.service.read(complaints)}
        assert found[other.id].acknowledged is None
        assert found[about.id].acknowledged == PersonTold(on, Channel.PHONE)
        there.drive(MINUTE)
        there.sound()


def test_that_nobody_asked_is_recorded_by_link_of_what_is_stopped_and_of_nothing_else(
    tmp_path: Path, database_url: str
) -> None:
    with desk(tmp_path, database_url) as there:
        stopped, going = ask(there), there.ask(Right.ERASURE, BEN, id="crm-2")
        there.drive()
        dpo = Asker(there)
        command(there, database_url, "withdraw", stopped.id, "--by", "Dana", "--reason", "the import was wrong")
        for asked in (going, stopped):
            dpo.ask(page_of(there, Page(PageKind.DOSSIER, asked.id)))
            there.drive(MINUTE)
            dpo.look()
            assert ('value="nobody_asked"' in dpo.page.text) is (asked is stopped)
        page = dpo.send("decide", {**WHO, "choice": "nobody_asked"})
        assert page.status_code == 200
        assert "No letter is due." in page.text
        assert kinds(there)[-1] == "nobody_asked"
        there.sound()


def test_without_a_complaint_there_is_none_to_acknowledge(tmp_path: Path, database_url: str) -> None:
    with installed(tmp_path, database_url, processors=NEWSLETTER, web=True) as there:
        asked = there.ask(Right.ERASURE, ADA)
        there.drive()
        dpo = Asker(there)
        dpo.ask(page_of(there, Page(PageKind.DOSSIER, asked.id)))
        there.drive(MINUTE)
        assert 'value="told"' in dpo.look().text
        assert 'value="acknowledge"' not in dpo.page.text
