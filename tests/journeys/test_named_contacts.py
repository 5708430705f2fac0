"""Another contact than that of the settings: it counts once it has confirmed itself, and never in silence."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import requests
from sqlalchemy import update

from dpsync.errors import DecisionRefused, NotFound, UsageError
from dpsync.ledger.entry import decode
from dpsync.model import Right, State
from dpsync.propagation import contacts
from dpsync.propagation.contacts import NamedState
from dpsync.propagation.decisions import Person as Named
from dpsync.propagation.naming import FOR_EVERYBODY, name_contact
from dpsync.store import tables as t
from dpsync.store.contact_tables import contact_named
from tests.journeys.installation import DPO, FORMS, OPERATOR, Installation, differences, installed
from tests.journeys.test_decisions_by_link import ADA, MINUTE, Person, command
from tests.journeys.test_letters import CONTACT, confirmed
from tests.journeys.test_links_to_pages import today
from tests.journeys.test_more_by_link import WHO, Operator, kinds

DAY = timedelta(days=1)
RIGHT = "dpo@stratosoft.example"
WHY = Named("Dana Officer", "dana", "told by telephone")


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as made:
        yield made


def name(there: Installation, address: str, *, link: bool = False, person: Named = WHY, at: str = "forms") -> None:
    service, now = there.service, there.clock.now()
    service.write(lambda unit: name_contact(unit, service.controller, at, address, person, now, link=link))


def counts(there: Installation) -> str:
    processor = there.service.controller.processors["forms"]
    return there.service.read(lambda connection: contacts.present(connection, there.service.controller, processor))


def state(there: Installation) -> NamedState | None:
    processor = there.service.controller.processors["forms"]
    one = there.service.read(lambda connection: contacts.named(connection, there.service.controller, processor))
    return one.state if one else None


def confirms(there: Installation, address: str) -> None:
    mail = Person(there, address).mails("Please confirm")[-1]
    (link,) = [word for word in str(mail.get_content()).split() if "/contacts/" in word]
    assert requests.post(link, data={"confirm": "yes"}, timeout=60).status_code == 200


def test_by_link_the_right_contact_is_named_and_gets_the_letter_only_after_it_confirmed(there: Installation) -> None:
    asked = there.ask(Right.ERASURE, ADA)
    there.drive()
    there.drive(timedelta(days=1, hours=1))
    operator = Operator(there)
    operator.look()
    assert operator.send("decide", {**WHO, "at.forms": "name_contact"}).status_code == 422
    assert "type the address" in operator.page.text
    for wrong in ("dpo@elsewhere.example", "not an address"):
        assert operator.send("decide", {**WHO, "at.forms": "name_contact", "to.forms": wrong}).status_code == 409
    assert operator.send("decide", {**WHO, "at.forms": "name_contact", "to.forms": RIGHT}).status_code == 200
    assert kinds(there) == ["name_contact"]
    assert (counts(there), state(there)) == (CONTACT, NamedState.WAITS)
    assert {("operator", "contact-named"), ("dpo", "contact-named-dpo")} <= set(there.alerts())
    there.drive(MINUTE)
    there.drive(MINUTE)
    assert there.state(asked, "forms") is State.HELD
    assert Person(there, RIGHT).mails("erasure") == []
    confirms(there, RIGHT)
    assert (counts(there), state(there)) == (RIGHT, NamedState.COUNTS)
    there.drive(MINUTE)
    assert there.state(asked, "forms") is State.ACCEPTED
    assert [ADA in str(mail) for mail in Person(there, CONTACT).mails("")] == [False]
    assert len(Person(there, RIGHT).mails("")) == 2
    assert ("operator", "contact-counts") in there.alerts()
    there.sound()


@pytest.mark.no_database
def test_until_the_named_one_has_confirmed_the_settings_count_and_then_no_more(there: Installation) -> None:
    confirmed(there)
    name(there, RIGHT)
    first = there.ask(Right.ERASURE, ADA)
    there.drive()
    assert there.state(first, "forms") is State.ACCEPTED
    assert any(first.id[:4] and "reference" in str(mail).lower() for mail in Person(there, CONTACT).mails(""))
    before = len(Person(there, CONTACT).mails(""))
    confirms(there, RIGHT)
    second = there.ask(Right.OPT_OUT, "ben@example.org", id="crm-2")
    there.drive()
    assert there.state(second, "forms") is State.ACCEPTED
    assert len(Person(there, CONTACT).mails("")) == before
    there.sound()


def test_the_settings_own_address_takes_it_back_and_a_newer_setting_counts_again(there: Installation) -> None:
    confirmed(there)
    name(there, RIGHT)
    there.drive()
    confirms(there, RIGHT)
    assert counts(there) == RIGHT
    name(there, CONTACT)
    assert (counts(there), state(there)) == (CONTACT, None)
    there.clock.advance(DAY)
    name(there, RIGHT)
    assert counts(there) == RIGHT, "it has confirmed itself before"
    there.restart((f'contact = "{CONTACT}"', 'contact = "third@stratosoft.example"'))
    assert (counts(there), state(there)) == ("third@stratosoft.example", NamedState.OVERRULED)
    there.restart(('contact = "third@stratosoft.example"', f'contact = "{RIGHT}"'))
    assert (counts(there), state(there)) == (RIGHT, None)
    there.sound()


@pytest.mark.no_database
def test_what_cannot_be_named_is_refused(there: Installation) -> None:
    for address, link in (("nonsense", False), (CONTACT, False), ("a@elsewhere.example", True)):
        with pytest.raises(DecisionRefused):
            name(there, address, link=link)
    with pytest.raises(NotFound):
        name(there, RIGHT, at="nobody")
    with pytest.raises(UsageError):
        name(there, RIGHT, person=Named("Dana", "dana", " "))
    assert there.rows(contact_named) == []
    name(there, "a@elsewhere.example")
    with pytest.raises(DecisionRefused, match="already"):
        name(there, "a@elsewhere.example")


@pytest.mark.no_database
def test_by_link_a_domain_where_everybody_has_a_mailbox_is_no_proof(tmp_path: Path, database_url: str) -> None:
    public = FORMS.replace("stratosoft.example", "gmail.com")
    assert "gmail.com" in FOR_EVERYBODY
    with installed(tmp_path, database_url, processors=public, web=True) as there:
        with pytest.raises(DecisionRefused, match="by link"):
            name(there, "somebody@gmail.com", link=True)
        name(there, "somebody@gmail.com")


@pytest.mark.parametrize("column", ["processor", "instead_of", "pseudonym", "os_user", "at", "sealed"])
def test_a_named_contact_that_is_changed_in_the_database_is_found(column: str, there: Installation) -> None:
    name(there, RIGHT)
    (said,) = [one for row in there.rows(t.entry) if (one := decode(row.body)).get("kind") == "name_contact"]
    assert (said["event"], said["dest"], "@" in json.dumps(said)) == ("decided", "forms", False)
    assert differences(there.service) == ()
    old = there.rows(contact_named)[0]
    other = {"at": datetime.fromtimestamp(0, there.clock.now().tzinfo), "sealed": b"x"}.get(column, "other")
    assert getattr(old, column) != other
    there.service.write(lambda unit: unit.connection.execute(update(contact_named).values({column: other})))
    assert any(one.startswith(f"contact_named: {column} ") for one in differences(there.service))
    there.service.write(lambda unit: unit.connection.execute(contact_named.delete()))
    assert len(differences(there.service)) == 1


@pytest.mark.no_database
def test_a_setting_that_is_newer_counts_and_check_waits_for_nobody(
    there: Installation, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    today(there)
    confirmed(there)
    name(there, RIGHT)
    there.restart((f'contact = "{CONTACT}"', 'contact = "third@stratosoft.example"'))
    command(there, database_url, "contact", "forms")
    out = capsys.readouterr().out
    assert "The settings name another contact since: that one counts." in out
    assert "write into the settings" not in out
    name(there, "fourth@stratosoft.example")
    assert state(there) is NamedState.WAITS, "in place of the newer setting"


@pytest.mark.no_database
def test_by_command_a_contact_is_named_and_check_says_which_counts(
    there: Installation, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    today(there)
    words = ("--by", "Dana Officer", "--reason", "they moved")
    command(there, database_url, "contact", "forms", "new@elsewhere.example", *words)
    assert "the contact in the settings counts" in capsys.readouterr().out
    command(there, database_url, "contact", "forms", "--json")
    said = json.loads(capsys.readouterr().out)
    assert (said["counts"], said["settings"], said["named"]["state"]) == (CONTACT, CONTACT, "waits")
    there.drive(MINUTE)
    confirms(there, "new@elsewhere.example")
    command(there, database_url, "contact", "forms")
    out = capsys.readouterr().out
    assert "has confirmed itself and counts" in out
    assert 'under [processors.forms]: contact = "new@elsewhere.example"' in out
    command(there, database_url, "processors")
    assert "new@elsewhere.example" in capsys.readouterr().out
    assert len(Person(there, OPERATOR).mails("another contact")) == 1
    assert len(Person(there, DPO).mails("another contact")) == 1
