"""What a processor only queued is looked at until the day of its answer; then it is a person's: on both databases."""

from datetime import datetime, timedelta
from typing import ClassVar

import pytest

from dpsync.connector import Accepted, CannotTell, Capability, Contradicts, Finding, Instruction, Means, Retryable
from dpsync.model import Right, Rung, State
from dpsync.propagation.commitments import Author
from dpsync.propagation.correspondence import acknowledgement
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.rules.lifecycle import AnswerKind, DecisionKind
from dpsync.store import tables as t
from tests.builders import START, TestConnector, World, proof
from tests.invariants import faults

ADA, DAY = "ada@example.org", timedelta(days=1)
DPO = Person("Dana Officer", "dana", "decided in the test")


def queue(world: World, answer_by: datetime | None = None) -> None:
    """The vendor holds Ada, and takes the next instruction into its queue."""
    world.vendors["alpha"].hold(ADA)
    world.vendors["alpha"].answers.append(Accepted(evidence=proof(202), answer_by=answer_by))


def pass_days(world: World, days: int) -> None:
    for _ in range(days):
        world.clock.advance(DAY)
        world.drive()


def readings(world: World) -> int:
    return [what for what, _, _ in world.vendors["alpha"].calls].count("verify")


def causes(world: World) -> list[str]:
    return [row.cause for row in world.rows(t.alert)]


@pytest.mark.no_database
@pytest.mark.parametrize(("answer_by", "days"), [(START + timedelta(days=28), 28), (None, 10)])
def test_what_is_queued_is_read_until_its_day_and_then_a_person_is_told(
    world: World, answer_by: datetime | None, days: int
) -> None:
    queue(world, answer_by)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert (world.state(asked), Rung(world.row(asked).rung)) == (State.ACCEPTED, Rung.ACKNOWLEDGED)
    assert world.row(asked).answer_by == START + timedelta(days=days)
    pass_days(world, days - 1)
    assert world.state(asked) is State.ACCEPTED
    assert readings(world) >= days - 1, "it is not looked at every day"
    assert causes(world) == []
    pass_days(world, 1)
    assert (world.state(asked), causes(world)) == (State.ESCALATED, ["no_answer"])
    assert faults(world) == []


@pytest.mark.no_database
def test_what_is_done_after_its_day_is_still_found(world: World) -> None:
    queue(world)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    pass_days(world, 20)
    assert world.state(asked) is State.ESCALATED
    world.vendors["alpha"].people.clear()
    pass_days(world, 2)
    assert world.state(asked) is State.VERIFIED
    assert world.notice.letters == []


@pytest.mark.no_database
@pytest.mark.parametrize("days", [1, 12])
def test_what_a_person_was_told_counts_before_and_after_the_day(world: World, days: int) -> None:
    queue(world)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    pass_days(world, days)
    world.vendors["alpha"].findings.append(CannotTell(reason="not shown"))
    author, now = Author("Dana", "told by telephone"), world.clock.now()
    state = world.writer.call(
        lambda unit: acknowledgement.answer_by_hand(
            unit, world.controller, asked.request_id, "alpha", AnswerKind.DONE, author, "dana", now
        )
    )
    assert state is State.DECLARED_DONE
    world.drive()
    assert world.state(asked) is State.DECLARED_DONE


@pytest.mark.no_database
def test_what_the_processor_said_since_it_will_not_do_is_contradicted_and_can_be_tried_again(world: World) -> None:
    queue(world)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    world.vendors["alpha"].findings.append(Contradicts(reason="taken back", evidence=proof(200), final=True))
    pass_days(world, 1)
    assert (world.state(asked), causes(world)) == (State.CONTRADICTED, ["contradicted"])
    world.writer.call(
        lambda unit: decide(unit, world.controller, asked.request_id, DecisionKind.RETRY, DPO, world.clock.now())
    )
    world.drive()
    assert world.state(asked) is State.VERIFIED


class Blind(TestConnector):
    """Its interface shows nothing of what it was told."""

    capabilities: ClassVar[dict[Right, Capability]] = {
        right: Capability(Means.API, "queued", "", "", "a test") for right in Right
    }


@pytest.mark.no_database
def test_where_nothing_can_be_read_only_the_day_is_waited_for(world: World) -> None:
    world.use(world.processor("alpha", Blind(world.vendors["alpha"])))
    queue(world)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    pass_days(world, 9)
    assert (world.state(asked), readings(world)) == (State.ACCEPTED, 0)
    pass_days(world, 1)
    assert (world.state(asked), causes(world)) == (State.ESCALATED, ["no_answer"])
    pass_days(world, 5)
    assert (readings(world), world.notice.letters) == (0, [])


def test_a_queue_that_an_erasure_overtook_is_not_read_and_still_ends_with_a_person(world: World) -> None:
    queue(world)
    stop = world.ask(Right.OPT_OUT, ADA, id="1")
    world.drive()
    world.ask(Right.ERASURE, ADA, id="1")
    pass_days(world, 9)
    assert world.state(stop) is State.ACCEPTED
    pass_days(world, 2)
    assert world.state(stop) is State.ESCALATED


@pytest.mark.no_database
def test_a_connector_that_fails_on_every_reading_leaves_it_to_a_person(world: World) -> None:
    def poisoned(instruction: Instruction) -> Finding:
        raise RuntimeError(type(instruction).__name__)

    queue(world, START + timedelta(days=400))
    world.vendors["alpha"].findings += [poisoned] * 20
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    pass_days(world, 8)
    assert world.state(asked) is State.ESCALATED
    assert "quarantine" in causes(world)


@pytest.mark.no_database
def test_an_answer_that_comes_after_a_withdrawal_sends_no_reminder_by_letter(world: World) -> None:
    def withdrawn_meanwhile(instruction: Instruction) -> Retryable:
        world.writer.call(
            lambda unit: decide(unit, world.controller, asked.request_id, DecisionKind.WITHDRAW, DPO, world.clock.now())
        )
        return Retryable(reason=type(instruction).__name__, evidence=proof(503), doubtful=True)

    world.confirm("alpha")
    world.vendors["alpha"].answers.append(withdrawn_meanwhile)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert world.state(asked) is State.ESCALATED
    pass_days(world, 3)
    assert world.notice.letters == []
