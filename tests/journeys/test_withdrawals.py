"""What the main database takes back: stopped where it can be, told to a person where it went."""

import json
import re
import threading
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from dpsync.errors import EventConflict, NotFound
from dpsync.intake.answers import Received
from dpsync.intake.payload import Withdrawal
from dpsync.intake.reception import Reception
from dpsync.model import Request, Right, State, Subject
from dpsync.signature import signed_headers
from dpsync.store import tables as t
from dpsync.store.writer import Unit
from tests.builders import World
from tests.invariants import faults
from tests.journeys.installation import SECRET, installed

ADA = "ada@example.org"


def taking_back(world: World, request_id: str, event: str, body: bytes | None = None) -> "Future[Received]":
    withdrawal = Withdrawal(source="crm", event_id=event, request_id=request_id)
    reception = Reception(world.controller, world.writer)
    return reception.submit_withdrawal(withdrawal, body or f"back {request_id}".encode(), world.clock.now())


def take_back(world: World, asked: Received, event: str = "evt-back", body: bytes | None = None) -> Received:
    return taking_back(world, asked.request_id, event, body).result(60)


def conflicts(world: World) -> list[tuple[str, str]]:
    rows = [one for one in world.told() if one.cause == "event-conflict"]
    return [(one.cause, re.findall(r"`(dpsync [^`]+)`", one.text)[0]) for one in rows]


def told(world: World) -> list[tuple[str, str, str]]:
    return [(one.role, one.subject, one.text) for one in world.told() if one.cause == "withdrawn_too_late"]


def test_what_was_not_sent_is_stopped_and_nobody_need_hear_of_it(world: World) -> None:
    asked = world.ask(Right.ERASURE, ADA, id="1")
    assert not take_back(world, asked).repeated
    assert world.state(asked) is State.WITHDRAWN
    assert take_back(world, asked, "evt-back-again").repeated
    assert told(world) == []
    assert faults(world) == []


@pytest.mark.no_database
def test_a_webhook_takes_back_by_the_whole_id_only(world: World) -> None:
    asked = world.ask(Right.ERASURE, ADA, id="1")
    for cut in (asked.request_id[:-1], asked.request_id[:6], asked.request_id.lower()):
        with pytest.raises(NotFound):
            take_back(world, replace(asked, request_id=cut))
    assert world.state(asked) is State.PENDING


@pytest.mark.no_database
def test_what_had_gone_when_it_was_taken_back_is_told_to_the_operator(world: World) -> None:
    world.use(world.processor("alpha"), world.processor("beta"))
    world.vendors["alpha"].hold(ADA)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert world.states(asked) == {"alpha": State.VERIFIED, "beta": State.NOTHING_HELD}
    take_back(world, asked)
    take_back(world, asked, "evt-back-again")
    ((role, subject, body),) = told(world)
    assert (role, subject) == ("operator", "A request was withdrawn after it had been sent")
    assert "Alpha: verified; Beta: nothing held" in body
    assert "personal-data breach" in body
    assert re.findall(r"`(dpsync [^`]+)`", body) == [f"dpsync dossier {asked.request_id}"]
    assert [row.kind for row in world.rows(t.decision)] == ["withdraw"]
    assert faults(world) == []


@pytest.mark.no_database
def test_only_what_had_gone_is_named(world: World) -> None:
    world.use(world.processor("alpha"), world.processor("letters", world.notice))
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    world.drive()
    take_back(world, asked)
    assert world.states(asked)["letters"] is State.WITHDRAWN
    ((_, _, body),) = told(world)
    assert "Alpha" in body
    assert "Letters" not in body


# --- its event is one event


def test_the_same_withdrawal_again_gets_the_same_answer_and_nothing_new(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    first = take_back(world, asked)
    before = [world.rows(table) for table in t.metadata.sorted_tables]
    # On another day, what had gone would be told anew.
    world.clock.advance(timedelta(days=2))
    assert take_back(world, asked) == replace(first, repeated=True)
    assert [world.rows(table) for table in t.metadata.sorted_tables] == before
    assert faults(world) == []


@pytest.mark.no_database
def test_a_withdrawal_under_the_event_of_another_withdrawal_is_refused_and_told(world: World) -> None:
    one, two = world.ask(Right.ERASURE, ADA, id="1"), world.ask(Right.ERASURE, "bob@example.org", id="2")
    take_back(world, one)
    with pytest.raises(EventConflict):
        take_back(world, two)
    assert (world.state(one), world.state(two)) == (State.WITHDRAWN, State.PENDING)
    assert conflicts(world) == [("event-conflict", f"dpsync status {one.request_id}")]
    assert faults(world) == []


@pytest.mark.no_database
def test_a_withdrawal_under_the_event_of_a_request_is_refused_and_told(world: World) -> None:
    asked = world.ask(Right.ERASURE, ADA, id="1", event="evt")
    with pytest.raises(EventConflict):
        take_back(world, asked, "evt")
    assert world.state(asked) is State.PENDING
    assert conflicts(world) == [("event-conflict", f"dpsync status {asked.request_id}")]


@pytest.mark.no_database
@pytest.mark.parametrize("email", [ADA, "bob@example.org"], ids=["known", "new"])
def test_a_request_under_the_event_of_a_withdrawal_is_refused_and_told(world: World, email: str) -> None:
    asked = world.ask(Right.ERASURE, ADA, id="1")
    take_back(world, asked, "evt")
    with pytest.raises(EventConflict):
        world.ask(Right.OPT_OUT, email, event="evt")
    assert [row.id for row in world.rows(t.request)] == [asked.request_id]
    assert conflicts(world) == [("event-conflict", f"dpsync status {asked.request_id}")]


@pytest.mark.no_database
def test_what_was_not_found_leaves_its_event_free(world: World) -> None:
    asked = world.ask(Right.ERASURE, ADA, id="1")
    with pytest.raises(NotFound):
        take_back(world, replace(asked, request_id="r-0000"), "evt")
    take_back(world, asked, "evt")
    assert world.state(asked) is State.WITHDRAWN
    assert conflicts(world) == []


@pytest.mark.no_database
def test_the_same_id_of_another_source_is_another_event(world: World) -> None:
    asked = world.ask(Right.ERASURE, ADA, id="1", event="evt")
    withdrawal = Withdrawal("webhook", "evt", asked.request_id)
    Reception(world.controller, world.writer).submit_withdrawal(withdrawal, b"back", world.clock.now()).result(60)
    assert world.state(asked) is State.WITHDRAWN


@pytest.mark.parametrize("withdrawal_first", [True, False])
def test_one_event_of_both_kinds_in_one_batch_is_one_of_them_and_a_conflict(
    world: World, withdrawal_first: bool
) -> None:
    old = world.ask(Right.ERASURE, ADA, id="1")
    inside, go = threading.Event(), threading.Event()

    def keep_busy(_: Unit) -> None:
        inside.set()
        assert go.wait(60)

    world.writer.submit(keep_busy)
    assert inside.wait(60)

    def back() -> "Future[Received]":
        return taking_back(world, old.request_id, "evt")

    def new() -> "Future[Received]":
        request = Request(
            "crm", "evt", Right.OPT_OUT, Subject(id="2", email="bob@example.org"), received_at=world.clock.now()
        )
        return Reception(world.controller, world.writer).submit(request, b"new", world.clock.now())

    first, second = [ask() for ask in ((back, new) if withdrawal_first else (new, back))]
    go.set()
    stands = first.result(60)
    with pytest.raises(EventConflict):
        second.result(60)
    assert world.state(old) is (State.WITHDRAWN if withdrawal_first else State.PENDING)
    assert len(world.rows(t.request)) == (1 if withdrawal_first else 2)
    assert conflicts(world) == [("event-conflict", f"dpsync status {stands.request_id}")]
    assert faults(world) == []


@pytest.mark.no_database
def test_at_the_signed_door_an_event_is_one_event_whichever_of_the_two_it_is(tmp_path: Path, database_url: str) -> None:
    with installed(tmp_path, database_url, web=True) as there:

        def post(event: str, kind: str, data: dict[str, object]) -> tuple[int, str]:
            body = json.dumps({"type": kind, "data": data}).encode()
            signed = signed_headers(SECRET, event, there.clock.now(), body)
            answer = requests.post(f"{there.url}/requests", data=body, headers=signed, timeout=60)
            return answer.status_code, answer.json().get("request", "")

        def ask(event: str, right: str) -> tuple[int, str]:
            return post(event, "data_subject.request", {"right": right, "subject": {"id": event, "email": ADA}})

        def back(event: str, request_id: str) -> tuple[int, str]:
            return post(event, "data_subject.request.withdrawn", {"request": request_id})

        (_, one), (_, two) = ask("w1", "erasure"), ask("w2", "erasure")
        assert back("w4", one) == back("w4", one) == (202, one)
        assert back("w4", two) == ask("w4", "opt_out") == back("w1", two) == (409, "")
        accepted = {(one.kind, one.event_id) for one in there.service.custody.journal.read().accepted}
        assert accepted == {("request", "w1"), ("request", "w2"), ("withdrawal", "w4")}
        assert [cause for _, cause in there.alerts()].count("event-conflict") == 1
        assert len(there.rows(t.request)) == 2
