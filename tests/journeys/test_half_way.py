"""What went only in part before something stopped it is never called untold, nor lost: on both databases."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dpsync.connector import HandOver, Recipient, Refused, Retryable
from dpsync.errors import CredentialsRejected
from dpsync.ledger import entry
from dpsync.model import Right, State
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.store import tables as t
from tests.builders import World, proof
from tests.invariants import faults

pytestmark = pytest.mark.no_database

ADA = "ada@example.org"
DPO = Person("Dana Officer", "dana", "decided in the test")


def say(world: World, request_id: str, kind: DecisionKind) -> State:
    (said,) = world.writer.call(lambda unit: decide(unit, world.controller, request_id, kind, DPO, world.clock.now()))
    return said.state


def causes(world: World) -> list[str]:
    return [row.cause for row in world.rows(t.alert)]


def test_a_credential_rejected_half_way_leaves_doubt_and_the_evidence_of_the_first_calls(world: World) -> None:
    rejected = CredentialsRejected("POST /lists/{id}", 401, evidence=(*proof(204), *proof(401)), doubtful=True)
    world.vendors["alpha"].answers.append(rejected)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    row = world.row(asked)
    assert (row.state, row.doubtful, row.attempts) == (State.PENDING, True, 0)
    assert [kept.status for kept in world.rows(t.evidence)] == [204, 401]
    (attempt,) = world.rows(t.attempt)
    assert (attempt.outcome, attempt.reason) == ("CredentialsRejected", "401 to POST /lists/{id}")
    (told,) = [one for row in world.rows(t.entry) if (one := entry.decode(row.body))["event"] == "deferred"]
    assert told["http"] == 401
    assert "resp" in told
    assert (world.rows(t.account)[0].stopped, causes(world)) == ("credential", ["credential"])
    assert say(world, asked.request_id, DecisionKind.WITHDRAW) is State.ESCALATED
    assert faults(world) == []


def test_a_credential_rejected_at_the_first_call_leaves_no_doubt(world: World) -> None:
    world.vendors["alpha"].answers.append(CredentialsRejected("GET /", 401, evidence=proof(401)))
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert not world.row(asked).doubtful
    assert say(world, asked.request_id, DecisionKind.WITHDRAW) is State.WITHDRAWN


def test_what_went_in_part_stays_gone_after_a_reading_that_shows_the_rest(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)
    half = Retryable(reason="busy", evidence=proof(429), doubtful=True, busy=True, retry_after=timedelta(hours=1))
    vendor.answers += [half, replace(half, doubtful=False)]
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    world.clock.advance(timedelta(hours=2))
    world.drive()
    assert [what for what, _, _ in vendor.calls] == ["carry_out", "verify", "carry_out"]
    assert not world.row(asked).doubtful
    assert say(world, asked.request_id, DecisionKind.WITHDRAW) is State.ESCALATED
    assert causes(world) == ["withdrawn_in_doubt"]


def test_what_the_interface_did_before_it_handed_the_rest_on_is_not_withdrawn(world: World) -> None:
    hand_over = HandOver(to=Recipient.PROCESSOR, task="Delete the order", evidence=proof(204))
    world.vendors["alpha"].answers.append(hand_over)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert world.state(asked) is State.HELD, "its contact has not confirmed itself"
    assert say(world, asked.request_id, DecisionKind.WITHDRAW) is State.ESCALATED


def test_a_letter_that_has_gone_is_not_withdrawn_by_trying_again_first(world: World) -> None:
    world.use(world.processor("paper", world.notice))
    world.confirm("paper")
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert say(world, asked.request_id, DecisionKind.RETRY) is State.PENDING
    assert say(world, asked.request_id, DecisionKind.WITHDRAW) is State.ESCALATED


def test_a_no_from_one_list_does_not_make_the_others_untold(world: World) -> None:
    world.vendors["alpha"].answers.append(Refused(reason="no", evidence=(*proof(204), *proof(418))))
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert say(world, asked.request_id, DecisionKind.RETRY) is State.PENDING
    assert say(world, asked.request_id, DecisionKind.WITHDRAW) is State.ESCALATED


def test_a_password_that_our_own_mail_host_rejects_stops_no_processor(world: World) -> None:
    alpha, paper = world.processor("alpha", account="main"), world.processor("paper", world.notice, account="main")
    world.use(alpha, paper, world.processor("print", world.notice))
    for name in ("paper", "print"):
        world.confirm(name)
    world.notice.vendor.answers += [CredentialsRejected("SMTP AUTH", 535)] * 2
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    world.drive()
    assert {row.stopped for row in world.rows(t.account)} == {""}
    assert causes(world) == ["mail_credential"]
    assert "DP-303" in world.rows(t.alert)[0].body
    assert world.states(asked) == {"alpha": State.NOTHING_HELD, "paper": State.PENDING, "print": State.PENDING}
    world.clock.advance(timedelta(minutes=1))
    world.drive()
    assert [world.states(asked)[name] for name in ("paper", "print")] == [State.ACCEPTED] * 2
    assert faults(world) == []
