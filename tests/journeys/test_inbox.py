"""A vendor that shows nothing when asked: its webhooks alone decide what is verified and what is contradicted."""

import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
import responses
from requests import PreparedRequest

from dpsync.connector import Kit
from dpsync.connectors.hootsuite import Hootsuite, HootsuiteSettings
from dpsync.http import HttpClient
from dpsync.intake.answers import Received
from dpsync.model import Changes, Right, Rung, State, Way
from dpsync.propagation.lifecycle import AnswerKind
from dpsync.store import tables as t
from dpsync.store.shelf import StoredShelf
from tests.builders import START, World

ADA, NEW, CONTACT = "ada@example.org", "ada.new@example.org", "693ed54b"
HEX = "00ff" * 16


@dataclass
class Inbox:
    """The world with Hootsuite as its only processor, before a line on which the vendor says yes."""

    world: World
    connector: Hootsuite
    held: list[dict[str, str]] = field(default_factory=list)

    def conversation(self, email: str, *, at: datetime, contact: str = CONTACT) -> None:
        row = {"attribute": "email", "value": email, "source": "CRM_CONFIRMED"}
        data = {
            "conversation": {"id": "c-1", "createdAt": START.isoformat(), "currentStatus": "resolved"},
            "medium": {"id": "whatsapp"},
            "channel": {"id": "0-0253"},
            "contactProfile": {"id": contact, "primaryIdentifier": "visitor"},
            "contactAttributes": [row],
        }
        stamp = at.isoformat()
        self.deliver({"timestamp": stamp, "idempotencyKey": stamp, "type": "CONVERSATION_RESOLVED", "data": data})

    def deliver(self, event: dict[str, Any]) -> None:
        body = json.dumps(event).encode()
        signature = hmac.new(bytes.fromhex(HEX), body, hashlib.sha256).hexdigest()
        self.connector.receive({"x-hootsuite-signature": signature}, body)

    def ask(self, right: Right, **more: Any) -> Received:
        asked = self.world.ask(right, ADA, id="1", **more)
        self.world.drive()
        return asked

    def after(self, span: timedelta) -> None:
        self.world.clock.advance(span)
        self.world.drive()

    def state(self, asked: Received) -> State:
        return self.world.state(asked, "inbox")


@pytest.fixture
def inbox(world: World) -> Iterator[Inbox]:
    section = {"client_id": "c", "client_secret": "s", "organization_id": "900002", "webhook_secret": HEX}
    shelf = StoredShelf("inbox", world.engine, lambda: world.writer, world.keys, world.clock)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as line, HttpClient(world.clock) as http:
        kit = Kit(http, world.clock, lambda value: world.keys.pseudonym("address", value), shelf)
        connector = Hootsuite.from_settings(HootsuiteSettings.model_validate(section), kit)
        made = Inbox(world, connector)

        def put(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
            rows = json.loads(request.body or b"")["contactAttributes"]
            made.held.append({row["attribute"]: row["value"] for row in rows})
            return 200, {}, "{}"

        line.post(re.compile(".*/oauth2/token"), json={"access_token": "t", "expires_in": 3599})
        line.add_callback("PUT", re.compile(".*/contact-attributes"), put, content_type="application/json")
        world.use(world.processor("inbox", connector))
        yield made


def test_a_change_is_accepted_and_only_a_later_conversation_verifies_it(inbox: Inbox) -> None:
    inbox.conversation(ADA, at=START)
    asked = inbox.ask(Right.RECTIFICATION, changes=Changes(email=NEW))
    assert inbox.held == [{"email": NEW}]
    assert inbox.state(asked) is State.ACCEPTED
    inbox.after(timedelta(minutes=20))
    assert inbox.state(asked) is State.ACCEPTED, "a 200 and no error is no proof"
    inbox.conversation(NEW, at=inbox.world.clock.now())
    inbox.after(timedelta(days=1))
    assert inbox.state(asked) is State.VERIFIED
    assert inbox.world.row(asked, "inbox").rung == Rung.VERIFIED
    assert {one.endpoint for one in inbox.world.rows(t.evidence)} == {
        "POST /oauth2/token",
        "PUT /inbox/v2/contact/{contactProfileId}/contact-attributes",
        "POST crm-write-back",
    }


def test_an_erasure_is_the_operators_and_who_is_seen_after_it_contradicts_it(inbox: Inbox) -> None:
    world = inbox.world
    inbox.conversation(ADA, at=START)
    asked = inbox.ask(Right.ERASURE)
    assert (inbox.state(asked), world.row(asked, "inbox").way) == (State.HANDED_OVER, Way.OPERATOR)
    (letter,) = world.notice.letters
    assert letter.letter
    assert letter.letter.references == (CONTACT,)
    assert letter.reference in letter.letter.task, "the hint that the task names is the letter's own reference"
    inbox.conversation(ADA, at=START + timedelta(days=1))  # while the task waits
    world.clock.advance(timedelta(days=2))
    world.answer(letter.answer_url.rpartition("/")[2], AnswerKind.DONE)
    world.drive()
    assert inbox.state(asked) is State.DECLARED_DONE
    inbox.conversation(ADA, at=world.clock.now() + timedelta(minutes=1), contact="a-new-one")
    inbox.after(timedelta(hours=1))
    assert inbox.state(asked) is State.CONTRADICTED
    assert "contradicted:inbox" in {row.cause for row in world.rows(t.alert)}


def test_who_was_never_seen_is_a_search_and_never_called_not_held(inbox: Inbox) -> None:
    asked = inbox.ask(Right.ERASURE)
    assert inbox.state(asked) is State.HANDED_OVER
    (letter,) = inbox.world.notice.letters
    assert letter.letter
    assert "No conversation has come in by write-back yet" in letter.letter.task
    inbox.world.answer(letter.answer_url.rpartition("/")[2], AnswerKind.NOTHING_HELD)
    inbox.world.drive()
    assert inbox.state(asked) is State.DECLARED_NOTHING_HELD


def test_an_opt_out_stands_on_our_own_list_before_the_operator_is_told(inbox: Inbox) -> None:
    asked = inbox.ask(Right.OPT_OUT)
    assert inbox.state(asked) is State.HANDED_OVER
    blocked = [row.key for row in inbox.world.rows(t.shelf) if row.key.startswith("blocked/opt_out/")]
    assert len(blocked) == 1
    assert ADA not in blocked[0]
