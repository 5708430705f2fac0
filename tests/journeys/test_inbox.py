"""A vendor that shows nothing when asked: what it sends of its own accord alone verifies and contradicts."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dpsync.model import Right, Rung, State, Way
from dpsync.sandbox.box import HOOTSUITE_CLIENT, HOOTSUITE_ORGANIZATION, HOOTSUITE_SECRET
from dpsync.sandbox.recipient import fill_in, links_of
from dpsync.store import tables as t
from tests.journeys.installation import OPERATOR, SECRET, Asked, Installation, installed

ADA, NEW, PHONE = "ada@example.org", "ada.new@example.org", "+447700900123"
SIGNED = "5e" * 32
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
HOOTSUITE = f"""
[processors.inbox]
title = "Hootsuite Inbox"
connector = "hootsuite"
contact = "privacy@hootsuite.example"
base_url = "{{hootsuite_url}}"
client_id = "{HOOTSUITE_CLIENT}"
client_secret = {{{{ file = "hootsuite" }}}}
organization_id = "{HOOTSUITE_ORGANIZATION}"
webhook_secret = {{{{ file = "signing" }}}}
inbound_secret = {{{{ env = "DPSYNC_TEST_SECRET" }}}}
"""


def keep_secrets(folder: Path) -> None:
    """The two secrets that `HOOTSUITE` names."""
    for name, value in (("hootsuite", HOOTSUITE_SECRET), ("signing", SIGNED)):
        (folder / name).write_text(value)
        (folder / name).chmod(0o600)


@pytest.fixture
def inbox(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    keep_secrets(tmp_path)
    with installed(tmp_path, database_url, processors=HOOTSUITE, web=True) as there:
        there.sandbox.hootsuite.hear(f"{there.url}/in/inbox/{SECRET}", SIGNED)
        yield there


def seen(there: Installation, medium: str = "whatsapp") -> str:
    """Somebody wrote, staff resolved it, and write-back told us; the contact's id."""
    attributes = {"email": ADA, "first_name": "Ada", "last_name": "Byron"}
    contact = there.sandbox.hootsuite.add(PHONE, "visitor", medium=medium, attributes=attributes, texts=["my secret"])
    there.sandbox.hootsuite.act(contact, "resolve")
    return contact


def writes_again(there: Installation, contact: str) -> None:
    there.sandbox.hootsuite.act(PHONE, "write", medium="whatsapp", text="hello again")
    there.sandbox.hootsuite.act(contact, "resolve")


def change(there: Installation) -> Asked:
    asked = there.ask(Right.RECTIFICATION, ADA, changes={"email": NEW})
    there.drive()
    return asked


def state(there: Installation, asked: Asked) -> State:
    return there.state(asked, "inbox")


def task(there: Installation) -> str:
    """The words of the operator's last task, on one line."""
    return " ".join(there.sandbox.messages(OPERATOR)[-1].raw.decode().split())


def done(there: Installation) -> None:
    (link,) = [one for one in links_of(there.sandbox.messages(OPERATOR)[-1].raw) if "/answers/" in one]
    fill_in(link, {"answer": "done", "name": "Olli Operator"})
    there.drive()


@pytest.mark.no_database
def test_a_change_is_accepted_and_only_a_later_conversation_verifies_it(inbox: Installation) -> None:
    contact = seen(inbox)
    asked = change(inbox)
    held = {name: value for name, (value, source) in inbox.sandbox.hootsuite.attributes(contact).items()}
    assert held.items() >= {"email": NEW, "first_name": "Ada", "last_name": "Byron"}.items(), "none was lost"
    assert state(inbox, asked) is State.ACCEPTED
    inbox.drive(20 * MINUTE)
    assert state(inbox, asked) is State.ACCEPTED, "a 200 and no error is no proof"
    writes_again(inbox, contact)
    inbox.drive(DAY)
    assert state(inbox, asked) is State.VERIFIED
    assert inbox.row(asked, "inbox").rung == Rung.VERIFIED
    assert "POST crm-write-back" in {one.endpoint for one in inbox.rows(t.evidence)}
    inbox.sound()


def test_an_error_that_comes_after_the_yes_is_never_called_done_and_stops_further_writing(inbox: Installation) -> None:
    contact = seen(inbox)
    inbox.sandbox.hootsuite.switch(import_errors=True)
    asked = change(inbox)
    assert state(inbox, asked) is State.ACCEPTED
    inbox.clock.advance(5 * MINUTE)
    assert inbox.sandbox.hootsuite.tick() == 1
    inbox.drive(6 * MINUTE)
    assert state(inbox, asked) is State.CONTRADICTED
    assert ("dpo", "contradicted") in inbox.alerts()
    assert inbox.sandbox.hootsuite.attributes(contact)["email"][0] == ADA
    more = inbox.ask(Right.RECTIFICATION, ADA, changes={"first_name": "Augusta"})
    inbox.drive()
    assert (state(inbox, more), inbox.row(more, "inbox").way) == (State.HANDED_OVER, Way.OPERATOR)
    assert inbox.sandbox.hootsuite.calls("PUT /inbox/v2/contact/{contact_id}/contact-attributes") == 1


@pytest.mark.no_database
def test_a_change_that_no_conversation_shows_is_a_persons_after_the_contracts_time(inbox: Installation) -> None:
    seen(inbox)
    asked = change(inbox)
    for _ in range(9):
        inbox.drive(DAY)
        assert state(inbox, asked) is State.ACCEPTED
    inbox.drive(2 * DAY)
    assert state(inbox, asked) is State.ESCALATED


def test_an_erasure_is_the_operators_and_who_is_seen_after_it_contradicts_it(inbox: Installation) -> None:
    contact = seen(inbox)
    asked = inbox.ask(Right.ERASURE, ADA, phone=PHONE)
    inbox.drive()
    assert state(inbox, asked) is State.HANDED_OVER
    assert f"Where to find it: {contact}" in task(inbox)
    reference = task(inbox).rpartition("Our reference: ")[2].split()[0]
    assert f"enter {reference} and nothing else" in task(inbox)
    writes_again(inbox, contact)  # while the task waits
    inbox.clock.advance(2 * DAY)
    inbox.sandbox.hootsuite.erase(contact, reference)
    done(inbox)
    assert state(inbox, asked) is State.DECLARED_DONE
    assert inbox.sandbox.hootsuite.holds(ADA) == []
    assert [one.hint for one in inbox.sandbox.hootsuite.deleted()] == [reference]
    inbox.clock.advance(MINUTE)
    writes_again(inbox, PHONE)
    inbox.drive(HOUR)
    assert state(inbox, asked) is State.CONTRADICTED
    assert ("dpo", "contradicted") in inbox.alerts()
    inbox.sound()


@pytest.mark.no_database
def test_who_writes_on_x_is_a_search_and_never_called_not_held(inbox: Installation) -> None:
    seen(inbox, medium="twit")
    asked = inbox.ask(Right.ERASURE, "ada.on.x@example.org")
    inbox.drive()
    assert state(inbox, asked) is State.HANDED_OVER
    assert "search every channel of Hootsuite Inbox" in task(inbox)
    assert "since 2026-11-20 only" in task(inbox)


@pytest.mark.no_database
def test_an_opt_out_stands_on_our_own_list_and_the_operator_is_told(inbox: Installation) -> None:
    asked = inbox.ask(Right.OPT_OUT, ADA, phone=PHONE)
    inbox.drive()
    assert state(inbox, asked) is State.HANDED_OVER
    blocked = [row.key for row in inbox.rows(t.shelf) if row.key.startswith("blocked/opt_out/")]
    assert len(blocked) == 2
    assert inbox.sandbox.hootsuite.calls() == 0
    done(inbox)
    assert state(inbox, asked) is State.DECLARED_DONE


@pytest.mark.no_database
def test_a_revoked_app_stops_the_account_and_says_what_to_do(inbox: Installation) -> None:
    seen(inbox)
    inbox.sandbox.hootsuite.switch(revoked=True)
    asked = change(inbox)
    assert state(inbox, asked) is State.PENDING
    assert [row.stopped for row in inbox.rows(t.account)] == ["credential"]
    assert "not linked to the organisation" in inbox.rows(t.attempt)[-1].reason


@pytest.mark.no_database
def test_no_word_of_a_message_comes_to_rest_here(inbox: Installation) -> None:
    seen(inbox)
    assert [row.key.partition("/")[0] for row in inbox.rows(t.shelf)]
    for file in inbox.folder.rglob("*"):
        assert not file.is_file() or b"my secret" not in file.read_bytes()
