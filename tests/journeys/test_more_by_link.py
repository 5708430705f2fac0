"""All that a command decides is decided by link, too: extend, lift, exempt, every answer, a contact, a credential."""

from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
import requests

from dpsync.model import Right, Role, State
from dpsync.propagation import extensions
from dpsync.propagation.page_links import STATUS, Page, PageKind, link_to
from dpsync.store import tables as t
from dpsync.store.question_tables import question
from tests.journeys.installation import DPO, FORMS, NEWSLETTER, OPERATOR, Asked, Installation, installed
from tests.journeys.test_decisions_by_link import (
    ADA,
    MINUTE,
    TWO,
    YES,
    Forms,
    Person,
    ask,
    desk,
    ledger,
)
from tests.journeys.test_letters import CONTACT, confirmed
from tests.journeys.test_links_to_pages import get, link_of
from tests.journeys.test_stuck_by_link import SAID, stuck

pytestmark = pytest.mark.no_database

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WHO = {"name": "Dana Officer", "reason": "many requests came at once"}
CONTROLLER = FORMS + 'kind = "controller"\n'


@pytest.fixture
def held(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with desk(tmp_path, database_url) as made:
        yield made


@pytest.fixture
def told(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    """Of a processor that is told by letter, and answers."""
    with installed(tmp_path, database_url, processors=FORMS, web=True) as made:
        confirmed(made)
        yield made


class Asker(Person):
    """Somebody who asked on a page for a link to decide."""

    def ask(self, url: str) -> requests.Response:
        page = get(f"{url}/decide")
        (form,) = Forms(page.text).found
        return requests.post(f"{url}/decide", data=form, timeout=60)

    def link(self) -> str:
        (link,) = [word for word in self.text(self.mails("Your link to decide")[-1]).split() if "/decisions/" in word]
        return link

    def text(self, mail: EmailMessage) -> str:
        return " ".join(str(mail.get_content()).split())


class Operator(Person):
    """Whoever runs the machine."""

    def __init__(self, there: Installation) -> None:
        super().__init__(there, OPERATOR)

    def link(self) -> str:
        (link,) = [word for word in str(self.mails("Please look")[-1].get_content()).split() if "/decisions/" in word]
        return link


def kinds(there: Installation) -> list[str]:
    return [row.kind for row in there.rows(t.decision) if row.kind != "shown"]


def last_decision(there: Installation) -> str:
    *_, row = [one for one in there.rows(t.decision) if one.kind != "shown"]
    return there.service.opened_decision(row.request_id, row.sealed).decode()


# --- extend


def test_the_legal_date_is_extended_as_by_command_and_what_is_held_is_asked_again(held: Installation) -> None:
    asked = ask(held)
    dpo = Person(held)
    first = dpo.link()
    dpo.look()
    today = held.clock.now().date().isoformat()
    page = dpo.send("decide", {**WHO, "choice": "extend", "told_on": today})
    assert page.status_code == 200
    assert "22 Feb 2027" in page.text
    made = held.service.read(lambda connection: extensions.of(connection, asked.id))
    assert made is not None
    assert made.told_on.isoformat() == today
    assert "extended" in ledger(held, asked)
    assert "DPO by link" in last_decision(held)
    held.drive(MINUTE)
    held.drive(HOUR)
    (mail,) = dpo.mails("Your decision is recorded")
    assert "decided a part of it" in str(mail.get_content())
    assert dpo.link() != first, "a new question asks about what is held"
    assert held.state(asked) is State.HELD
    dpo.look()
    assert 'value="extend"' not in dpo.page.text, "the law allows it once"
    assert dpo.send("decide", {**WHO, "choice": "extend", "told_on": today}).status_code == 200
    assert kinds(held) == ["extend"]
    assert dpo.send("decide", YES).status_code == 200
    held.drive()
    assert held.state(asked) is State.VERIFIED
    held.sound()


@pytest.mark.parametrize(
    ("day", "status", "said"),
    [
        ("", 422, "the day on which the person was told"),
        ("yesterday", 422, "the day on which the person was told"),
        (timedelta(days=1), 409, "in the future"),
        (timedelta(days=-60), 409, "within the first month"),
    ],
)
def test_an_extension_without_a_day_of_the_first_month_is_not_recorded(
    day: str | timedelta, status: int, said: str, held: Installation
) -> None:
    asked = ask(held)
    dpo = Person(held)
    dpo.look()
    on = day if isinstance(day, str) else (held.clock.now() + day).date().isoformat()
    page = dpo.send("decide", {**WHO, "choice": "extend", "told_on": on})
    assert page.status_code == status
    assert said in page.text
    assert ADA in page.text, "it is the same page"
    assert kinds(held) == []
    assert held.service.read(lambda connection: extensions.of(connection, asked.id)) is None
    held.sound()


def test_after_the_first_month_no_extension_is_offered(held: Installation) -> None:
    ask(held)
    held.drive(timedelta(days=33))
    dpo = Person(held)
    dpo.look()
    assert 'value="extend"' not in dpo.page.text
    on = held.clock.now().date().isoformat()
    assert dpo.send("decide", {**WHO, "choice": "extend", "told_on": on}).status_code == 200
    assert kinds(held) == [], "it is only shown again"


# --- exempt


def test_one_processor_is_exempt_and_the_others_are_asked_about_again(tmp_path: Path, database_url: str) -> None:
    with desk(tmp_path, database_url, processors=NEWSLETTER + CONTROLLER) as there:
        asked = ask(there)
        dpo = Person(there)
        dpo.look()
        assert 'name="at.newsletter"' not in dpo.page.text, "an erasure is owed by whoever works for us"
        assert dpo.send("decide", {**WHO, "at.forms": "art19_disproportionate"}).status_code == 200
        assert there.state(asked, "forms") is State.EXEMPT
        assert there.state(asked) is State.HELD
        assert {"exempted", "decided"} <= set(ledger(there, asked))
        there.drive(HOUR)
        assert len(dpo.mails("Please decide")) == 2
        dpo.look()
        assert dpo.send("decide", YES).status_code == 200
        there.drive()
        assert there.state(asked) is State.VERIFIED
        there.sound()


def test_whole_and_single_are_not_decided_together(tmp_path: Path, database_url: str) -> None:
    with desk(tmp_path, database_url, processors=NEWSLETTER + CONTROLLER) as there:
        ask(there)
        dpo = Person(there)
        dpo.look()
        page = dpo.send("decide", {**YES, "at.forms": "art19_impossible"})
        assert page.status_code == 422
        assert "either about the whole request" in page.text
        assert kinds(there) == []


# --- what a processor said


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("nothing_held", State.DECLARED_NOTHING_HELD),
        ("refused", State.REFUSED),
        ("received", State.ESCALATED),
        ("wrong_recipient", State.ESCALATED),
        ("bounced", State.ESCALATED),
        ("partly", State.ESCALATED),
    ],
)
def test_every_answer_is_recorded_as_the_command_records_it(said: str, state: State, told: Installation) -> None:
    asked = stuck(told)
    dpo = Person(told)
    dpo.look()
    assert dpo.send("decide", {**SAID, "at.forms": said}).status_code == 200
    assert told.state(asked, "forms") is state
    kept = [row.kind for row in told.rows(t.answer)]
    assert kept[-1] == said
    told.sound()


# --- asked for


def test_a_link_to_decide_is_asked_for_on_a_page_and_lifts_a_restriction(told: Installation) -> None:
    told.sandbox.rule(CONTACT, "answer_by_link", answer="done")
    asked = told.ask(Right.RESTRICTION, ADA, id="crm-4711", name="Ada Canary")
    told.drive()
    told.sandbox.messages(settled=True)
    told.drive()
    assert told.state(asked, "forms") is State.DECLARED_DONE
    dpo = Asker(told)
    assert dpo.ask(page_of(told, Page(PageKind.DOSSIER, asked.id))).status_code == 200
    assert kinds(told) == []
    told.drive(MINUTE)
    (mail,) = dpo.mails("Your link to decide")
    assert "If nobody decides, nothing changes" in dpo.text(mail)
    assert "anary" not in mail.as_string()
    page = dpo.look()
    assert ADA in page.text
    today = told.clock.now().date().isoformat()
    lift = {**WHO, "choice": "lift", "told_on": today}
    assert dpo.send("decide", lift).status_code == 422
    assert dpo.send("decide", {**lift, "how": "by letter"}).status_code == 200
    (_, lifting) = told.rows(t.request)
    assert (lifting.right, lifting.lifting, lifting.source) == ("restriction", True, "dpsync-link")
    assert "lifted" in [event for row in told.rows(t.request) for event in ledger(told, Asked(row.id, asked.right, ()))]
    told.drive()
    assert "already decided" in dpo.get().text
    told.sound()


def page_of(there: Installation, page: Page, role: Role = Role.DPO) -> str:
    """A page, as a mail of this moment to a role would link to it."""
    return there.service.write(
        lambda unit: link_to(unit.connection, there.service.controller, role, page, there.clock.now())
    )


def test_asking_twice_sends_one_link_and_a_foreign_form_none(held: Installation) -> None:
    asked = ask(held)
    url = link_of(held, PageKind.DOSSIER, asked.id)
    dpo = Asker(held)
    (form,) = Forms(get(f"{url}/decide").text).found
    elsewhere = requests.post(f"{url}/decide", data=form, headers={"Sec-Fetch-Site": "cross-site"}, timeout=60)
    assert elsewhere.status_code == 403
    assert requests.post(f"{url}/decide", data={"form": "1.-.00"}, timeout=60).status_code == 403
    assert len(held.rows(question)) == 1
    assert dpo.ask(url).status_code == 200
    assert dpo.ask(url).status_code == 503
    held.drive(MINUTE)
    assert len(dpo.mails("Your link to decide")) == 1
    dpo.look()
    assert dpo.send("decide", YES).status_code == 200, "what is held is decided there as well"
    held.drive()
    assert held.state(asked) is State.VERIFIED
    held.sound()


def test_what_waits_offers_the_link_too_and_the_operator_has_none(held: Installation) -> None:
    asked = ask(held)
    held.drive(2 * DAY)
    url = link_of(held, PageKind.STATUS)
    dpo = Asker(held)
    assert dpo.ask(f"{url}/{asked.id}").status_code == 200
    assert get(f"{url}/decide").status_code == 404
    assert get(f"{url}/r-{'0' * 26}/decide").status_code == 200
    assert dpo.ask(f"{url}/r-{'0' * 26}").status_code == 404
    theirs = page_of(held, STATUS, Role.OPERATOR)
    assert "/decide" not in get(f"{theirs}/{asked.id}").text
    assert get(f"{theirs}/{asked.id}/decide").status_code == 404


# --- the operator's questions


def test_a_contact_that_is_silent_for_a_day_is_asked_of_the_operator_who_sees_no_person(
    tmp_path: Path, database_url: str
) -> None:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as there:
        asked = there.ask(Right.ERASURE, ADA, id="crm-4711", name="Ada Canary")
        there.drive()
        operator = Operator(there)
        assert operator.mails("Please look") == []
        there.drive(DAY + HOUR)
        (mail,) = operator.mails("Please look")
        text = " ".join(str(mail.get_content()).split())
        for said in ("Stratosoft, sign-up forms", "not confirmed its address", "If nobody decides", "19 December 2026"):
            assert said in text
        page = operator.look()
        assert page.status_code == 200
        assert "anary" not in page.text + mail.as_string()
        assert "shown" not in ledger(there, asked)
        assert 'value="release"' not in page.text
        assert operator.send("decide", {**SAID, "choice": "release", "sure": "yes"}).status_code == 200
        assert there.state(asked, "forms") is State.HELD
        assert operator.send("decide", {**SAID, "at.forms": "contact"}).status_code == 200
        assert "operator by link" in last_decision(there)
        there.drive()
        assert there.state(asked, "forms") is State.ACCEPTED
        there.sound()


def test_a_contact_that_confirms_itself_ends_the_question(tmp_path: Path, database_url: str) -> None:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as there:
        there.ask(Right.ERASURE, ADA, id="crm-4711")
        there.drive()
        there.drive(DAY + HOUR)
        operator = Operator(there)
        (mail,) = Person(there, CONTACT).mails("Please confirm")
        (link,) = [word for word in str(mail.get_content()).split() if "/contacts/" in word]
        assert requests.post(link, data={"confirm": "yes"}, timeout=60).status_code == 200
        there.drive(MINUTE)
        there.drive(MINUTE)
        assert len(operator.mails("Already decided")) == 1
        assert "already decided" in operator.get().text


def test_a_rejected_credential_is_asked_of_the_operator_and_goes_on_by_link(tmp_path: Path, database_url: str) -> None:
    with installed(tmp_path, database_url, processors=NEWSLETTER, web=True) as there:
        there.sandbox.add(ADA)
        there.sandbox.fault("status", status=401, times=None)
        asked = there.ask(Right.ERASURE, ADA)
        other = there.ask(Right.ERASURE, "ben@example.org", id="crm-2")
        there.drive()
        operator = Operator(there)
        (mail,) = operator.mails("Please look")
        assert "rejects our credential" in str(mail.get_content())
        there.drive(HOUR)
        assert len(operator.mails("Please look")) == 1, "one, however many wait"
        there.sandbox.clear_faults()
        operator.look()
        assert operator.send("decide", {**SAID, "at.newsletter": "resume"}).status_code == 200
        assert kinds(there) == ["resume"]
        there.drive()
        assert [there.state(one) for one in (asked, other)] == [State.VERIFIED, State.NOTHING_HELD]
        there.sound()


def test_whoever_resumes_hears_at_once_that_the_credential_is_still_rejected(tmp_path: Path, database_url: str) -> None:
    with installed(tmp_path, database_url, processors=NEWSLETTER, web=True) as there:
        there.sandbox.fault("status", status=401, times=None)
        there.ask(Right.ERASURE, ADA)
        there.drive()
        operator = Operator(there)
        for already in range(1, 3):
            assert len(operator.mails("Please look")) == already
            operator.look()
            assert operator.send("decide", {**SAID, "at.newsletter": "resume"}).status_code == 200
            there.drive(MINUTE)
            there.drive(MINUTE)
            assert len(operator.mails("Please look")) == already + 1, "what was put right is not"
        assert kinds(there) == ["resume", "resume"]


def test_whoever_has_the_address_of_the_dpo_is_asked_as_the_dpo(tmp_path: Path, database_url: str) -> None:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as there:
        there.restart((f'operator = "{OPERATOR}"', f'operator = "{DPO}"'))
        asked = there.ask(Right.ERASURE, ADA, id="crm-4711")
        there.drive()
        there.drive(DAY + HOUR)
        (mail,) = Person(there).mails("Please look")
        assert "not confirmed its address" in str(mail.get_content())
        assert {row.role for row in there.rows(question)} == {"dpo"}
        assert there.state(asked, "forms") is State.HELD


# --- two people


def test_a_link_that_was_asked_for_makes_the_dpo_no_second_person(tmp_path: Path, database_url: str) -> None:
    with desk(tmp_path, database_url, safety=TWO) as there:
        asked = ask(there)
        first = Person(there)
        first.look()
        assert "1 of 2 people have said yes" in first.send("decide", YES).text
        dpo = Asker(there)
        assert dpo.ask(page_of(there, Page(PageKind.DOSSIER, asked.id))).status_code == 200
        there.drive(MINUTE)
        dpo.look()
        again = dpo.send("decide", {**YES, "name": "Somebody Else"})
        assert "1 of 2 people have said yes" in again.text
        there.drive()
        assert there.state(asked) is State.HELD
        there.sound()
