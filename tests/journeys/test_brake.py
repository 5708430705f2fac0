"""What the brake counts, and when: what can go out and cannot be undone, each of them, whoever let it go."""

import threading
from datetime import timedelta

import pytest

from dpsync.connector import NotIdentifiable, Retryable
from dpsync.intake.answers import Received
from dpsync.intake.reception import Reception
from dpsync.model import Cause, Request, Right, State, Subject
from dpsync.propagation.correspondence import acknowledgement
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.propagation.rules.plan import Safety
from dpsync.store import tables as t
from tests.builders import World, proof

DPO = Person("Dana Officer", "dana", "decided in the test")


def say(world: World, asked: Received, kind: DecisionKind, **more: object) -> None:
    world.writer.call(
        lambda unit: decide(unit, world.controller, asked.request_id, kind, DPO, world.clock.now(), **more)  # type: ignore[arg-type]  # because a test gives what fits
    )


def causes(world: World, asked: Received, processor: str = "alpha") -> set[Cause]:
    return set(causes_of(world.row(asked, processor).causes))


def erase(world: World, number: int) -> Received:
    return world.ask(Right.ERASURE, f"p{number}@example.org", id=f"crm-{number}")


def held(world: World) -> int:
    return sum(row.state == State.HELD for row in world.rows(t.propagation))


@pytest.mark.parametrize("known", [False, True], ids=["newcomers", "known before"])
def test_of_a_hundred_that_come_in_one_transaction_the_limit_goes(world: World, *, known: bool) -> None:
    world.use(safety=Safety(irreversible_per_day=5))
    reception, now = Reception(world.controller, world.writer), world.clock.now()
    people = [Subject(id=f"crm-{number}", email=f"p{number}@example.org") for number in range(100)]

    def asked(right: Right, person: Subject) -> Request:
        return Request(source="crm", event_id=f"{right}-{person.id}", right=right, subject=person, received_at=now)

    if known:
        for person in people:
            reception.submit(asked(Right.RESTRICTION, person), b"", now).result()
    gate = threading.Event()
    world.writer.submit(lambda _: gate.wait())
    accepted = [reception.submit(asked(Right.OPT_OUT, person), b"", now) for person in people]
    gate.set()
    assert sum(one.result().held for one in accepted) == held(world) == 95


@pytest.mark.no_database
def test_two_processors_on_one_account_are_two_calls(world: World) -> None:
    world.use(
        world.processor("alpha", account="one"),
        world.processor("beta", account="one"),
        safety=Safety(irreversible_per_day=3),
    )
    first, second = erase(world, 1), erase(world, 2)
    assert held(world) == 1
    assert world.states(first) == {"alpha": State.PENDING, "beta": State.PENDING}
    assert causes(world, second, "beta") == {Cause.BRAKE}


@pytest.mark.no_database
def test_what_is_held_for_another_cause_uses_nothing_up(world: World) -> None:
    world.use(safety=Safety(irreversible_per_day=1, approvals=1))
    assert causes(world, erase(world, 1)) == causes(world, erase(world, 2)) == {Cause.APPROVAL}
    assert not world.ask(Right.OPT_OUT, "p3@example.org", id="crm-3").held
    assert causes(world, world.ask(Right.OPT_OUT, "p4@example.org", id="crm-4")) == {Cause.BRAKE}


@pytest.mark.no_database
def test_what_found_no_identifier_uses_nothing_up_unless_something_had_gone(world: World) -> None:
    world.use(safety=Safety(irreversible_per_day=1))
    nobody = NotIdentifiable(reason="no identifier")
    world.vendors["alpha"].answers += [nobody, Retryable(reason="cut", evidence=proof(None), doubtful=True)]
    first = erase(world, 1)
    world.drive()
    assert (world.state(first), world.row(first).brake_at) == (State.NOT_IDENTIFIABLE, None)
    second = erase(world, 2)
    assert not second.held
    world.drive()
    say(world, second, DecisionKind.SETTLE)
    assert causes(world, erase(world, 3)) == {Cause.BRAKE}


@pytest.mark.no_database
@pytest.mark.parametrize("kind", [DecisionKind.WITHDRAW, DecisionKind.SETTLE])
def test_what_was_called_off_before_it_went_uses_nothing_up(world: World, kind: DecisionKind) -> None:
    world.use(safety=Safety(irreversible_per_day=1))
    say(world, erase(world, 1), kind)
    assert not erase(world, 2).held
    assert erase(world, 3).held


@pytest.mark.no_database
def test_what_cools_off_together_meets_the_brake_when_it_goes(world: World) -> None:
    world.use(safety=Safety(irreversible_per_day=2, cooling_off=timedelta(hours=24)))
    for number in range(5):
        world.vendors["alpha"].hold(f"p{number}@example.org")
        assert causes(world, erase(world, number)) == {Cause.COOLING_OFF}
    assert world.rows(t.alert) == []
    world.clock.advance(timedelta(hours=25))
    world.drive()
    assert len(world.vendors["alpha"].people) == held(world) == 3
    assert {row.causes for row in world.rows(t.propagation) if row.state == State.HELD} == {Cause.BRAKE}
    assert len(world.rows(t.alert)) == 1
    world.clock.advance(timedelta(hours=25))
    world.drive()
    assert held(world) == 3, "only a person releases what the brake holds"
    assert world.ledger_problems() == ()


def test_a_contact_that_confirms_itself_lets_no_more_letters_go_than_the_brake(world: World) -> None:
    paper = world.processor("paper", world.notice)
    world.use(paper, safety=Safety(irreversible_per_day=2))
    world.confirm("paper")
    world.writer.call(lambda unit: unit.connection.execute(t.contact.update().values(confirmed_at=None)))
    for number in range(5):
        assert causes(world, erase(world, number), "paper") == {Cause.CONTACT_UNVERIFIED}
    token = world.controller.contact_token(paper.contact, "paper")
    world.writer.call(lambda unit: acknowledgement.confirm_contact(unit, world.controller, token, world.clock.now()))
    world.drive()
    assert len(world.notice.letters) == 2
    assert held(world) == 3


@pytest.mark.no_database
def test_what_a_person_lets_go_goes_and_is_counted(world: World) -> None:
    world.use(safety=Safety(irreversible_per_day=1, approvals=1))
    asked = [erase(world, number) for number in range(2)]
    for one in asked:
        say(world, one, DecisionKind.RELEASE)
    world.drive()
    assert [world.state(one) for one in asked] == [State.NOTHING_HELD] * 2
    assert causes(world, world.ask(Right.OPT_OUT, "p4@example.org", id="crm-4")) == {Cause.BRAKE}


@pytest.mark.no_database
def test_a_second_attempt_is_not_counted_again(world: World) -> None:
    world.use(safety=Safety(irreversible_per_day=2))
    world.vendors["alpha"].answers += [Retryable(reason="later", evidence=proof(500))] * 3
    erase(world, 1)
    for _ in range(4):
        world.drive()
        world.clock.advance(timedelta(hours=1))
    assert not erase(world, 2).held


def test_the_brake_is_let_go_by_name_alone_where_another_cause_was_released(world: World) -> None:
    world.use(safety=Safety(irreversible_per_day=1, approvals=1))
    first, second = (erase(world, number) for number in range(2))
    say(world, first, DecisionKind.RELEASE)
    world.drive()
    say(world, second, DecisionKind.RELEASE, causes=frozenset({Cause.APPROVAL}))
    world.drive()
    assert causes(world, second) == {Cause.BRAKE}
    say(world, second, DecisionKind.RELEASE)
    world.drive()
    assert world.state(second) is State.NOTHING_HELD
