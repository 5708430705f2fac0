"""Attempts that are cut off: what is charged for it, and that nothing of it stays behind: on both databases."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy.exc import DataError, OperationalError

from dpsync.connector import Applied, CannotTell, Finding, Instruction, Outcome
from dpsync.model import Right, State
from dpsync.propagation.engine.worker import Worker
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.store import tables as t
from tests.builders import World, proof
from tests.faults.counting import Counted
from tests.invariants import faults
from tests.journeys.test_workers import Gate, decided, turned_until_idle
from tests.waiting import until

ADA, BEN = "ada@example.org", "ben@example.org"


def raising(error: BaseException) -> Callable[[Instruction], Outcome | Finding]:
    def answer(_: Instruction) -> Outcome:
        raise error

    return answer


def poisoned_by_ada(world: World, error: BaseException) -> Callable[[Instruction], Outcome]:
    """Whoever asks for Ada meets `error`; the others are served."""

    def answer(instruction: Instruction) -> Outcome:
        if ADA in instruction.addresses:
            raise error
        world.vendors["alpha"].do(instruction)
        return Applied(evidence=proof())

    return answer


def died_while(world: World, calls: int) -> None:
    """A worker begins what is due, and its process dies in the midst of so many calls."""
    before = len(world.vendors["alpha"].calls)
    worker = world.worker()
    worker.turn()
    until(lambda: len(world.vendors["alpha"].calls) == before + calls and world.vendors["alpha"].running == 0)
    world.restart()


# --- what is charged


@pytest.mark.no_database
def test_outages_of_our_store_charge_nobody_however_many_there_are(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)
    outage = raising(OperationalError("SELECT", {}, Exception()))
    vendor.answers.append(outage)
    vendor.findings += [outage] * 7
    asked = world.ask(Right.ERASURE, ADA, id="1")
    for _ in range(9):
        world.drive()
        world.clock.advance(timedelta(days=1))
    assert len([row for row in world.rows(t.attempt) if row.outcome == "Interrupted"]) == 8
    assert (world.state(asked), world.row(asked).defects) == (State.VERIFIED, 0)
    assert faults(world) == []


def test_what_the_database_refuses_of_one_propagation_is_its_own_fault_and_not_asked_in_a_circle(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA, BEN)
    vendor.answers += [poisoned_by_ada(world, DataError("INSERT", {}, Exception()))] * 20
    bad, good = world.ask(Right.ERASURE, ADA, id="1"), world.ask(Right.ERASURE, BEN, id="2")
    for _ in range(12):
        world.drive()
        world.clock.advance(timedelta(days=1))
    assert (world.state(bad), world.row(bad).defects) == (State.ESCALATED, 5)
    assert world.state(good) is State.VERIFIED
    assert faults(world) == []


@pytest.mark.fault(31)
def test_what_kills_our_process_is_set_aside_after_five_deaths_and_who_was_beside_it_flows(
    world: World, counted: Counted
) -> None:
    vendor = world.vendors["alpha"]
    began = world.clock.now()
    vendor.hold(ADA, BEN)
    deadly = poisoned_by_ada(world, SystemExit())
    bad = world.ask(Right.ERASURE, ADA, id="1")
    good = world.ask(Right.ERASURE, BEN, id="2")
    vendor.answers += [deadly] * 20
    for _ in range(20):
        world.drive()
        world.restart()
        world.clock.advance(timedelta(hours=13))
    assert (world.state(bad), world.row(bad).defects) == (State.ESCALATED, 5)
    assert "quarantine" in [row.cause for row in world.rows(t.alert)]
    assert world.state(good) is State.VERIFIED
    assert faults(world) == []
    waited = world.row(good).done_at - began
    counted(31, minutes_that_others_wait=waited / timedelta(minutes=1))


@pytest.mark.no_database
def test_a_process_that_died_during_an_attempt_charges_it_and_nothing_that_was_not_under_way(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA, BEN)
    vendor.answers.append(SystemExit())
    under_way = world.ask(Right.ERASURE, ADA, id="1")
    died_while(world, calls=1)
    waiting = world.ask(Right.ERASURE, BEN, id="2")
    world.worker().turn()
    assert (world.row(under_way).defects, world.row(waiting).defects) == (1, 0)
    world.drive()
    assert {world.state(under_way), world.state(waiting)} == {State.VERIFIED}
    assert faults(world) == []


def test_a_reading_that_kills_our_process_is_not_repeated_for_ever(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert world.state(asked) is State.VERIFIED
    world.clock.advance(timedelta(days=31))
    world.vendors["alpha"].findings += [raising(SystemExit())] * 20
    for _ in range(20):
        world.drive()
        world.restart()
        world.clock.advance(timedelta(hours=13))
    assert len([row for row in world.rows(t.attempt) if row.outcome == "Interrupted"]) == 5
    assert world.state(asked) is State.VERIFIED
    assert "defect" in [row.cause for row in world.rows(t.alert)]
    assert faults(world) == []


def stopped_with_a_call_open(world: World, worker: Worker) -> None:
    closing = threading.Thread(target=worker.close)
    closing.start()
    while closing.is_alive():
        world.clock.advance(timedelta(seconds=1))
        closing.join(0.01)


@pytest.mark.parametrize("how", ["stopped in order", "both without a store", "died"])
def test_a_worker_that_is_gone_is_blamed_only_where_it_died_alone(world: World, how: str) -> None:
    gate = Gate(world)
    world.vendors["alpha"].answers.append(gate)
    world.vendors["alpha"].findings += [CannotTell(reason="not now", later=True)] * 30
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    one = world.worker()
    one.turn()
    until(lambda: world.vendors["alpha"].running == 1)
    two = world.worker()
    two.turn()
    if how == "stopped in order":
        stopped_with_a_call_open(world, one)
    for _ in range(30):
        world.clock.advance(timedelta(seconds=100 if how == "both without a store" else 5))
        two.turn()
    assert [row.owner for row in world.rows(t.account)] == [two.id]
    assert world.row(asked).defects == (how == "died")
    gate.opened.set()
    until(lambda: world.vendors["alpha"].running == 0)
    turned_until_idle(two)


# --- nothing stays behind


@pytest.mark.no_database
def test_what_was_called_off_while_it_was_under_way_is_said_to_be_in_doubt_although_nothing_is_due(
    world: World,
) -> None:
    world.vendors["alpha"].answers.append(SystemExit())
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    worker = world.worker()
    worker.turn()
    until(lambda: len(world.vendors["alpha"].calls) == 1)
    decided(world, asked, DecisionKind.SETTLE, frozenset())
    world.restart()
    assert world.rows(t.lane) == []
    world.drive()
    assert faults(world) == []


def test_an_attempt_that_comes_to_an_account_which_its_worker_has_already_is_closed_too(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)
    vendor.answers.append(SystemExit())
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    first = world.worker()
    first.turn()
    until(lambda: len(vendor.calls) == 1)  # and that worker is never heard of again
    world.use(world.processor("alpha", account="beta"), world.processor("beta"))
    second = world.worker()
    world.ask(Right.OPT_OUT, BEN, id="2")
    for _ in range(30):
        turned_until_idle(second)
        world.clock.advance(timedelta(seconds=5))
    assert world.state(asked) is State.VERIFIED
    assert faults(world) == []


def test_an_account_under_steady_work_comes_to_rest_for_an_attempt_that_was_cut_off(world: World) -> None:
    vendor = world.vendors["alpha"]
    people = [f"p{number}@example.org" for number in range(40)]
    vendor.hold(*people)
    turnstile, cut = threading.Semaphore(0), threading.Event()

    def steady(instruction: Instruction) -> Outcome:
        if people[0] in instruction.addresses and not cut.is_set():
            cut.set()
            raise OperationalError("SELECT", {}, Exception())
        turnstile.acquire(timeout=60)
        vendor.do(instruction)
        return Applied(evidence=proof())

    vendor.answers += [steady] * 80
    asked = [world.ask(Right.OPT_OUT, person, id=person) for person in people]
    worker = world.worker()

    def closed() -> bool:
        return "Interrupted" in [row.outcome for row in world.rows(t.attempt)]

    for _ in people:
        until(lambda: 0 < worker.turn() == vendor.running or closed() or world.rows(t.lane) == [])
        if closed():
            break
        turnstile.release()
    assert any(world.state(one) is State.PENDING for one in asked[1:]), "it was left until all others were through"
    for _ in people:
        turnstile.release()
    world.drive()
    assert {world.state(one) for one in asked} == {State.VERIFIED}
    assert faults(world) == []


def test_what_waits_for_a_processor_without_a_section_is_not_lost_beside_one_that_is_through(world: World) -> None:
    shared = world.processor("alpha", account="shared"), world.processor("beta", account="shared")
    world.use(*shared)
    world.vendors["alpha"].hold(ADA)
    world.vendors["beta"].hold(ADA)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.use(shared[0])
    world.drive()
    assert world.states(asked) == {"alpha": State.VERIFIED, "beta": State.PENDING}
    assert faults(world) == []
    world.restart()
    world.use(*shared)
    world.clock.advance(timedelta(hours=2))
    world.drive()
    assert world.states(asked) == {"alpha": State.VERIFIED, "beta": State.VERIFIED}


def test_a_row_that_cannot_be_read_at_one_account_stops_no_other(world: World) -> None:
    world.use(world.processor("alpha"), world.processor("beta"))
    world.vendors["beta"].hold(ADA)
    world.worker()
    first = world.ask(Right.OPT_OUT, BEN, id="1")
    world.drive()
    at_alpha = (t.propagation.c.request_id == first.request_id) & (t.propagation.c.processor == "alpha")
    nonsense = t.propagation.update().where(at_alpha).values(timer="nonsense", timer_at=world.clock.now())
    world.writer.call(lambda unit: unit.connection.execute(nonsense))
    asked = world.ask(Right.OPT_OUT, ADA, id="2")
    world.drive()
    assert world.states(asked)["beta"] is State.VERIFIED
