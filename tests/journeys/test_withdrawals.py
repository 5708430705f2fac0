"""What the main database takes back: stopped where it can be, told to a person where it went."""

import re
from dataclasses import replace

import pytest

from dpsync.errors import NotFound
from dpsync.intake.answers import Received
from dpsync.intake.payload import Withdrawal
from dpsync.intake.reception import Reception
from dpsync.model import Right, State
from dpsync.store import tables as t
from tests.builders import World
from tests.invariants import faults

ADA = "ada@example.org"


def take_back(world: World, asked: Received, event: str = "evt-back") -> Received:
    withdrawal = Withdrawal(source="crm", event_id=event, request_id=asked.request_id)
    return Reception(world.controller, world.writer).submit_withdrawal(withdrawal, world.clock.now()).result(10)


def told(world: World) -> list[tuple[str, str, str]]:
    rows = [row for row in world.rows(t.alert) if row.cause.startswith("withdrawn_too_late")]
    return [(row.role, row.subject, row.body) for row in rows]


def test_what_was_not_sent_is_stopped_and_nobody_need_hear_of_it(world: World) -> None:
    asked = world.ask(Right.ERASURE, ADA, id="1")
    assert not take_back(world, asked).repeated
    assert world.state(asked) is State.WITHDRAWN
    assert take_back(world, asked).repeated
    assert told(world) == []
    assert faults(world) == []


def test_a_webhook_takes_back_by_the_whole_id_only(world: World) -> None:
    asked = world.ask(Right.ERASURE, ADA, id="1")
    for cut in (asked.request_id[:-1], asked.request_id[:6], asked.request_id.lower()):
        with pytest.raises(NotFound):
            take_back(world, replace(asked, request_id=cut))
    assert world.state(asked) is State.PENDING


def test_what_had_gone_when_it_was_taken_back_is_told_to_the_operator(world: World) -> None:
    world.use(world.processor("alpha"), world.processor("beta"))
    world.vendors["alpha"].hold(ADA)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert world.states(asked) == {"alpha": State.VERIFIED, "beta": State.NOTHING_HELD}
    take_back(world, asked)
    take_back(world, asked)
    ((role, subject, body),) = told(world)
    assert (role, subject) == ("operator", "A request was taken back after it had gone (Alpha, Beta)")
    assert "Alpha: verified; Beta: nothing held" in body
    assert "personal-data breach" in body
    assert re.findall(r"`(dpsync [^`]+)`", body) == [f"dpsync dossier {asked.request_id}"]
    assert [row.kind for row in world.rows(t.decision)] == ["withdraw"]
    assert faults(world) == []


def test_only_what_had_gone_is_named(world: World) -> None:
    world.use(world.processor("alpha"), world.processor("letters", world.notice))
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    world.drive()
    take_back(world, asked)
    assert world.states(asked)["letters"] is State.WITHDRAWN
    ((_, subject, body),) = told(world)
    assert subject.endswith("(Alpha)")
    assert "Letters" not in body
