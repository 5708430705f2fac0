"""Workers: which one drives what, what a lost lease means, and that nothing is ever left behind: on both databases."""

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text, update
from sqlalchemy.exc import OperationalError

from dpsync.connector import Accepted, Applied, CannotTell, Instruction, Outcome, Retryable
from dpsync.intake.answers import Received
from dpsync.model import Cause, Right, State
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.engine import lease
from dpsync.propagation.engine.attempts import Attempts
from dpsync.propagation.engine.worker import Worker
from dpsync.propagation.queue.tasks import Task
from dpsync.propagation.rules.lifecycle import DecisionKind, Timer
from dpsync.propagation.rules.plan import Safety
from dpsync.store import tables as t
from tests.builders import TestConnector, World, busy, later, proof
from tests.faults.counting import Counted
from tests.invariants import faults
from tests.waiting import until

ADA, BEN = "ada@example.org", "ben@example.org"
DPO = Person("Dana Officer", "dana", "decided in the test")


def turned_until_idle(*workers: Worker) -> None:
    """Turn until nothing is under way, as `run` does."""
    for worker in workers:
        until(lambda worker=worker: worker.turn() == 0)  # type: ignore[misc]  # because mypy cannot type the default


class Gate:
    """Calls wait at it until it is opened."""

    def __init__(self, world: World, vendor: str = "alpha") -> None:
        self.vendor = world.vendors[vendor]
        self.opened = threading.Event()

    def __call__(self, instruction: Instruction) -> Outcome:
        self.opened.wait(60)
        self.vendor.do(instruction)
        return Applied(evidence=proof())


def decided(world: World, asked: Received, kind: DecisionKind, causes: frozenset[Cause]) -> None:
    now = world.clock.now()
    world.writer.call(lambda unit: decide(unit, world.controller, asked.request_id, kind, DPO, now, causes=causes))


# --- whose account it is


def test_an_account_that_wakes_after_the_others_fell_idle_is_driven(world: World) -> None:
    world.use(world.processor("alpha"), world.processor("beta"), world.processor("paper", world.notice))
    worker = world.worker()
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    worker.run_until_idle()
    assert world.states(asked)["paper"] is State.HELD, "its contact has not confirmed itself"
    decided(world, asked, DecisionKind.RELEASE, frozenset({Cause.CONTACT_UNVERIFIED}))
    world.clock.advance(timedelta(seconds=5))
    turned_until_idle(worker)
    assert world.states(asked)["paper"] is State.ACCEPTED
    assert faults(world) == []


def test_a_slot_that_slept_through_the_end_of_its_lease_begins_nothing_more(world: World) -> None:
    world.use(safety=Safety(irreversible_per_day=100))
    gate = Gate(world)
    world.vendors["alpha"].answers += [gate] * 4
    for number in range(12):
        world.vendors["alpha"].hold(f"p{number}@example.org")
        world.ask(Right.OPT_OUT, f"p{number}@example.org", id=str(number))
    one = world.worker()
    one.turn()
    until(lambda: world.vendors["alpha"].running == 4)
    one.turn()
    world.clock.advance(timedelta(seconds=75))
    world.writer.call(lambda unit: unit.connection.execute(t.account.update().values(owner="w-another")))
    world.writer.call(lambda unit: lease.heartbeat(unit, "w-another", world.clock.now() + timedelta(hours=1)))
    before = {row.id for row in world.rows(t.attempt)}
    one.turn()  # it woke, and renews its heartbeat
    gate.opened.set()
    until(lambda: all(row.ended_at for row in world.rows(t.attempt)))
    turned_until_idle(one)
    one.close()
    assert {row.id for row in world.rows(t.attempt)} == before
    world.restart()
    world.drive()
    assert {row.state for row in world.rows(t.propagation)} == {State.VERIFIED}
    assert faults(world) == []


def test_a_worker_that_stops_keeps_the_account_whose_call_is_still_open(world: World) -> None:
    gate = Gate(world)
    world.vendors["alpha"].answers.append(gate)
    world.use(world.processor("alpha"), world.processor("beta"))
    world.ask(Right.OPT_OUT, ADA, id="1")
    one, two = world.worker(), world.worker()
    while {row.owner for row in world.rows(t.account)} != {one.id}:
        world.writer.call(lambda unit: unit.connection.execute(t.worker.delete().where(t.worker.c.id == two.id)))
        one.turn()
        world.clock.advance(timedelta(seconds=3))
    until(lambda: world.vendors["alpha"].running == 1 and not world.rows(t.lane)[1:])
    closing = threading.Thread(target=one.close)
    closing.start()
    while closing.is_alive():
        world.clock.advance(timedelta(seconds=1))
        closing.join(0.01)
    assert {row.id: row.owner for row in world.rows(t.account)} == {"alpha": one.id, "beta": None}
    two.turn()
    assert {row.id: row.owner for row in world.rows(t.account)}["alpha"] == one.id
    gate.opened.set()
    world.clock.advance(timedelta(seconds=90))
    turned_until_idle(two)
    until(
        lambda: two.turn() == 0 and {row.state for row in world.rows(t.propagation)} <= {State.VERIFIED, "nothing_held"}
    )


def test_a_worker_that_stops_cuts_what_has_had_its_time_and_leaves_it_in_doubt(world: World) -> None:
    cut = threading.Event()

    def endless(_: Instruction) -> Outcome:
        assert cut.wait(60)
        return Retryable(reason="cut", evidence=proof(None), doubtful=True)

    world.vendors["alpha"].answers.append(endless)
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    worker = world.worker(abort=cut.set, stop_within=0.0)
    worker.turn()
    until(lambda: world.vendors["alpha"].running == 1)
    closing = threading.Thread(target=worker.close)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()
    assert [row.owner for row in world.rows(t.account)] == [None]
    assert (world.state(asked), world.row(asked).doubtful) == (State.PENDING, True)
    assert faults(world) == []


def test_clocks_that_disagree_take_no_living_worker_for_dead(world: World) -> None:
    world.vendors["alpha"].answers += [later()] * 2
    world.ask(Right.OPT_OUT, ADA, id="1")
    shared = world.clock.now()
    one = world.worker(shared_now=lambda _: shared)
    one.turn()
    world.clock.advance(timedelta(minutes=2))  # the other machine's clock runs ahead
    two = world.worker(shared_now=lambda _: shared)
    two.turn()
    assert {row.owner for row in world.rows(t.account)} == {one.id}


# --- nothing stays behind


def test_one_attempt_that_cannot_be_read_keeps_no_account_shut(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA, BEN)
    vendor.answers += [SystemExit(), SystemExit()]
    bad, good = world.ask(Right.ERASURE, ADA, id="1"), world.ask(Right.ERASURE, BEN, id="2")
    first = world.worker()
    first.turn()
    until(lambda: len(vendor.calls) == 2)
    world.restart()
    world.writer.call(
        lambda unit: unit.connection.execute(
            update(t.request).where(t.request.c.id == bad.request_id).values(wrapped_key=b"damaged")
        )
    )
    world.drive()
    assert world.state(good) is State.VERIFIED
    assert world.state(bad) is State.PENDING
    assert "unopened" in [row.cause for row in world.rows(t.alert)]
    assert faults(world, planted=bad.request_id) == []


def test_a_stopped_account_leaves_the_others_alone(world: World) -> None:
    from dpsync.errors import CredentialsRejected

    world.use(world.processor("alpha"), world.processor("beta"))
    world.vendors["alpha"].answers.append(CredentialsRejected("GET /", 401))
    asked = [world.ask(Right.OPT_OUT, f"p{number}@example.org", id=str(number)) for number in range(10)]
    world.drive()
    assert {world.states(one)["beta"] for one in asked} <= {State.VERIFIED, State.NOTHING_HELD}
    assert State.PENDING in {world.states(one)["alpha"] for one in asked}
    assert faults(world) == []


def test_run_until_idle_ends_beside_a_paused_account_and_a_busy_one(world: World) -> None:
    world.use(world.processor("alpha"), world.processor("beta"))
    world.vendors["alpha"].answers.append(busy(429, seconds=600))
    world.vendors["beta"].answers += [later() for _ in range(50)]
    for number in range(20):
        world.ask(Right.OPT_OUT, f"p{number}@example.org", id=str(number))
    ended = threading.Thread(target=world.drive, daemon=True)
    ended.start()
    ended.join(60)
    assert not ended.is_alive()
    assert faults(world) == []


def test_two_groups_that_become_one_while_both_are_in_flight_are_driven_one_at_a_time(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold("a@example.org", "b@example.org")
    gate = Gate(world)
    vendor.answers += [gate, gate]
    world.ask(Right.OPT_OUT, "a@example.org")
    world.ask(Right.OPT_OUT, "b@example.org")
    worker = world.worker()
    worker.turn()
    until(lambda: vendor.running == 2)
    third = world.ask(Right.OPT_OUT, "a@example.org", others=["b@example.org"])
    assert len({row.subject_id for row in world.rows(t.propagation)}) == 1
    for _ in range(5):
        worker.turn()
        time.sleep(0.01)
    assert vendor.running == 2, "the merged group was driven a third time at once"
    gate.opened.set()
    worker.run_until_idle()
    assert world.state(third) is State.VERIFIED
    assert {row.state for row in world.rows(t.propagation)} == {State.VERIFIED}
    assert faults(world) == []


def test_a_hundred_random_mishaps_leave_no_lane_behind(world: World) -> None:
    a_hundred_mishaps(world, random.Random(7))


def a_hundred_mishaps(world: World, dice: random.Random) -> None:
    """Requests of six people, with faults of the processor, of ours and of the store, pauses, decisions and deaths."""
    vendor = world.vendors["alpha"]
    world.use(safety=Safety(irreversible_per_day=1000, cooling_off=timedelta(hours=1)))
    people = [f"p{number}@example.org" for number in range(6)]
    vendor.hold(*people)
    outage = OperationalError("SELECT", {}, Exception())
    for number in range(100):
        person = dice.randrange(6)
        mishap = dice.choice([None, None, later(), busy(503), SystemExit(), RuntimeError("poison"), outage])
        if mishap is not None:
            vendor.answers.append(mishap)
        right = dice.choice(list(Right))
        new = f"n{number}@example.org" if right is Right.RECTIFICATION else None
        asked = world.ask(right, people[person], id=f"crm-{person}", to=new)
        if dice.random() < 0.3:
            kind = dice.choice([DecisionKind.RELEASE, DecisionKind.WITHDRAW, DecisionKind.SETTLE, DecisionKind.RETRY])
            decided(world, asked, kind, frozenset(Cause))
        if dice.random() < 0.1:
            standing_still(world, dice.choice(["person", "", "paused", ""]))
        if dice.random() < 0.5:
            world.drive()
        elif dice.random() < 0.3:
            world.worker().turn()
            until(lambda: vendor.running == 0)
            world.restart()
        world.clock.advance(timedelta(minutes=dice.randrange(600)))
    go_on = t.account.update().values(stopped="", paused_until=None)
    world.writer.call(lambda unit: unit.connection.execute(go_on))
    vendor.answers.clear()  # the processor is well from here on
    for _ in range(20):
        world.drive()
        world.clock.advance(timedelta(hours=13))
    assert faults(world) == []
    assert State.PENDING not in {row.state for row in world.rows(t.propagation)}


# --- what time alone brings about


def standing_still(world: World, how: str) -> None:
    """The account takes nothing; a pause is asked for anew each time, for the longest that a vendor may ask for."""
    paused = {"paused_until": world.clock.now() + timedelta(hours=24)}
    values = paused if how == "paused" else {"stopped": how}
    world.writer.call(lambda unit: unit.connection.execute(t.account.update().values(**values)))


@pytest.mark.parametrize("how", ["person", "credential", "paused"])
def test_a_cooling_off_ends_while_its_account_stands_still_and_nothing_goes_out(world: World, how: str) -> None:
    world.use(safety=Safety(cooling_off=timedelta(hours=1)))
    world.vendors["alpha"].hold(ADA)
    world.worker()
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    world.clock.advance(timedelta(hours=2))
    standing_still(world, how)
    world.drive()
    assert world.state(asked) is State.PENDING
    assert world.vendors["alpha"].calls == []
    assert faults(world) == []


@pytest.mark.parametrize("how", ["person", "credential", "paused"])
def test_the_silence_of_a_processor_escalates_while_its_account_stands_still(world: World, how: str) -> None:
    world.use(world.processor("alpha"), world.processor("paper", world.notice))
    world.worker()
    queued = world.vendors["alpha"].answers
    queued.append(Accepted(evidence=proof(202), answer_by=world.clock.now() + timedelta(days=3)))
    world.vendors["alpha"].findings.append(CannotTell(reason="queued", later=True))
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    decided(world, asked, DecisionKind.RELEASE, frozenset({Cause.CONTACT_UNVERIFIED}))
    world.drive()
    assert set(world.states(asked).values()) == {State.ACCEPTED}
    letters = len(world.notice.letters)
    world.clock.advance(timedelta(days=2))
    standing_still(world, how)
    world.drive()
    assert set(world.states(asked).values()) == {State.ACCEPTED}, "the day of the answer has not come"
    world.clock.advance(timedelta(days=9))
    standing_still(world, how)
    world.drive()
    assert set(world.states(asked).values()) == {State.ESCALATED}
    assert {row.cause for row in world.rows(t.alert)} >= {"no_answer"}
    assert len(world.notice.letters) == letters
    assert faults(world) == []


def test_what_was_answered_between_being_looked_at_and_being_begun_is_neither_reminded_nor_forgotten(
    world: World,
) -> None:
    world.use(world.processor("paper", world.notice))
    worker = world.worker()
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    decided(world, asked, DecisionKind.RELEASE, frozenset({Cause.CONTACT_UNVERIFIED}))
    world.drive()
    row = world.row(asked, "paper")
    world.clock.advance(row.timer_at + timedelta(hours=1) - world.clock.now())
    later_on = world.clock.now()
    for timer in (Timer.REMIND, Timer.ESCALATE):
        elsewhen = t.propagation.update().values(timer="reread", timer_at=later_on + timedelta(days=1))
        world.writer.call(lambda unit, to=elsewhen: unit.connection.execute(to))  # type: ignore[misc]  # because mypy cannot type the default
        attempts = Attempts(world.controller, worker.id, world.clock)
        task = Task("paper", row.subject_id, row.id, timer)
        assert world.writer.submit_to(attempts.begin, task).result() is None
        assert world.row(asked, "paper").timer_at == later_on + timedelta(days=1)
        assert world.state(asked, "paper") is State.ACCEPTED


# --- the database goes away and comes back


# A file does not go away; a full or a locked one is told of in test_writer.
@pytest.mark.fault(22)
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_worker_outlives_a_database_that_went_away(world: World, engine: Engine, counted: Counted) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA, BEN)
    gate = Gate(world)
    vendor.answers.append(gate)
    first = world.ask(Right.ERASURE, ADA, id="1")
    worker, stop = world.worker(), threading.Event()
    running = threading.Thread(target=worker.run, args=(stop,))
    running.start()
    until(lambda: vendor.running == 1)
    _cut_every_connection(engine)
    gate.opened.set()
    until(lambda: vendor.running == 0)
    _cut_every_connection(engine)

    def seen() -> bool:
        with suppress(Exception):
            return world.state(first) is State.VERIFIED
        return False

    until(seen)
    second = world.ask(Right.ERASURE, BEN, id="2")
    worker.wake()
    until(lambda: world.state(second) is State.VERIFIED)
    stop.set()
    worker.wake()
    running.join(60)
    assert not running.is_alive()
    assert faults(world) == []
    lost = [one for one in (first, second) if world.state(one) is not State.VERIFIED]
    counted(22, lost=len(lost))


def _cut_every_connection(engine: Engine) -> None:
    with suppress(Exception), engine.connect() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()")
        )


def test_a_store_that_does_not_answer_keeps_no_worker_from_stopping(world: World) -> None:
    answers = threading.Event()
    worker = world.worker(leave_within=0.2)
    worker.turn()
    stuck = world.writer.submit(lambda _: answers.wait(60))
    worker.close()
    assert not stuck.done(), "it waited for the store"
    world.writer.close(within=0.2)
    assert not stuck.done(), "the writer waited for the store"
    answers.set()
    assert stuck.result(60)


def test_a_store_that_fails_while_a_connector_remembers_is_no_defect_of_the_propagation(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    world.vendors["alpha"].answers.append(OperationalError("SELECT", {}, Exception()))
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert world.state(asked) is State.VERIFIED
    assert next(row.outcome for row in world.rows(t.attempt)) == "Interrupted"
    assert world.rows(t.alert) == []


def test_a_row_that_the_database_refuses_is_put_off_and_the_others_flow(world: World, engine: Engine) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA, BEN)
    vendor.answers.append(later())
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    last = t.attempt.update().values(number=2**31 - 1)  # PostgreSQL knows no next one
    world.writer.call(lambda unit: unit.connection.execute(last))
    world.clock.advance(timedelta(hours=1))
    good = world.ask(Right.ERASURE, BEN, id="2")
    ended = threading.Thread(target=world.drive, daemon=True)
    ended.start()
    ended.join(60)
    assert not ended.is_alive(), "it is asked in a circle"
    assert world.state(good) is State.VERIFIED
    refused = engine.dialect.name == "postgresql"
    assert ("defect-begin" in [row.cause for row in world.rows(t.alert)]) is refused
    assert faults(world, planted=asked.request_id) == []


# --- many lists, one lease


class ManyLists(TestConnector):
    """One instruction is sixty calls, each a second long, while the worker's own thread goes on turning."""

    def __init__(self, world: World, before_call: Callable[[int], object] = lambda _: None) -> None:
        super().__init__(world.vendors["alpha"])
        self.world, self.before_call = world, before_call
        self.made: list[int] = []
        self.worker: Worker | None = None

    def carry_out(self, instruction: Instruction) -> Outcome:
        clock, worker = self.world.clock, self.worker
        assert worker is not None
        for call in range(60):
            self.before_call(call)
            until(lambda: worker.turned_at == clock.now())
            if clock.monotonic() >= instruction.deadline:
                return Retryable(reason="too late", evidence=proof(None), doubtful=bool(self.made))
            self.made.append(call)
            clock.advance(timedelta(seconds=1))
        return super().carry_out(instruction)


def driven(world: World, lists: ManyLists) -> Worker:
    """A worker that turns until the instruction has come to its end."""
    world.use(world.processor("alpha", lists))
    world.vendors["alpha"].hold(ADA)
    lists.worker = worker = world.worker()
    world.ask(Right.OPT_OUT, ADA, id="1")
    until(lambda: worker.turn() == 0 and bool(lists.made))
    return worker


def test_an_instruction_that_takes_longer_than_one_lease_goes_on_while_the_lease_is_renewed(world: World) -> None:
    lists = ManyLists(world)
    driven(world, lists)
    assert lists.made == list(range(60))
    assert [row.state for row in world.rows(t.propagation)] == [State.VERIFIED]
    assert len(world.rows(t.attempt)) == 1


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_lease_that_was_lost_stops_what_was_begun_under_it_also_where_it_comes_back(
    world: World, *, comes_back: bool
) -> None:
    def taken_by_another(call: int) -> None:
        if call == 5:
            world.clock.advance(timedelta(seconds=75))
            owner = None if comes_back else "w-another"
            taken = t.account.update().values(owner=owner, epoch=t.account.c.epoch + 1)
            world.writer.call(lambda unit: unit.connection.execute(taken))
            world.writer.call(lambda unit: lease.heartbeat(unit, "w-another", world.clock.now() + timedelta(hours=1)))

    lists = ManyLists(world, taken_by_another)
    driven(world, lists)
    assert lists.made == list(range(5))
    assert [row.state for row in world.rows(t.propagation)] == [State.PENDING]
