"""Attempts that wait together: one statement for all of them, one call a lane, and one bad row harms no other."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event, update

from dpsync.connector import Applied, AsAsked, CannotTell, Instruction, NothingHeld, Outcome
from dpsync.model import Right, State
from dpsync.propagation.engine.attempts import Attempts, Begun
from dpsync.propagation.queue.tasks import Task
from dpsync.propagation.record import Update
from dpsync.propagation.rules.lifecycle import Event, Timer
from dpsync.store import tables as t
from dpsync.store.shelf import StoredShelf
from dpsync.store.writer import Writer
from tests.builders import World, proof
from tests.invariants import faults

PEOPLE = [f"p{number}@example.org" for number in range(12)]


def tasks(world: World) -> list[Task]:
    """Twelve people are to be erased: what a worker would begin."""
    world.worker()
    for number, address in enumerate(PEOPLE):
        world.vendors["alpha"].hold(address)
        world.ask(Right.ERASURE, address, id=str(number))
    return [Task("alpha", row.subject_id) for row in world.rows(t.lane)]


def done(world: World, begun: Begun) -> Update:
    said: list[Event] = [Applied(evidence=proof(204)), AsAsked(evidence=proof(404))]
    return Update(begun.propagation_id, said, world.clock.now() + timedelta(seconds=1), begun)


def asked_of_the_store(engine: Engine) -> list[str]:
    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _r, statement, *_: seen.append(statement))
    return seen


@pytest.mark.no_database
def test_what_twelve_attempts_ask_of_the_store_is_what_one_asks(world: World, engine: Engine) -> None:
    attempts, twelve = Attempts(world.controller, "w", world.clock), tasks(world)
    seen = asked_of_the_store(engine)

    def cost(some: list[Task]) -> int:
        before = len(seen)
        begun = world.writer.call(lambda unit: attempts.begin(unit, some))
        answers = [done(world, one) for one in begun if one]
        assert len(answers) == len(some)
        world.writer.call(lambda unit: attempts.finish(unit, answers))
        return len(seen) - before

    one, eleven = cost(twelve[:1]), cost(twelve[1:])
    assert eleven == one, "asking for each anew was most of what an attempt cost"
    assert {row.state for row in world.rows(t.propagation)} == {State.VERIFIED}
    assert all(row.closed_at for row in world.rows(t.request))
    assert world.rows(t.lane) == []
    assert faults(world) == []


def test_a_lane_that_is_ordered_twice_at_once_is_begun_once(world: World) -> None:
    attempts, (first, *_) = Attempts(world.controller, "w", world.clock), tasks(world)
    begun = world.writer.call(lambda unit: attempts.begin(unit, [first, first]))
    assert [one is not None for one in begun] == [True, False]
    assert len(world.rows(t.attempt)) == 1
    assert world.writer.call(lambda unit: attempts.begin(unit, [first])) == [None], "it is under way"


def test_nothing_is_begun_of_an_account_that_another_worker_took(world: World) -> None:
    attempts, some = Attempts(world.controller, "w", world.clock), tasks(world)
    world.writer.call(lambda unit: unit.connection.execute(update(t.account).values(owner="another")))
    assert world.writer.call(lambda unit: attempts.begin(unit, some)) == [None] * 12
    assert world.rows(t.attempt) == []


def test_a_request_that_cannot_be_opened_keeps_no_other_from_being_begun(world: World) -> None:
    attempts, twelve = Attempts(world.controller, "w", world.clock), tasks(world)
    broken = world.rows(t.request)[3]
    world.writer.call(
        lambda unit: unit.connection.execute(
            update(t.request).where(t.request.c.id == broken.id).values(sealed=b"\x01" + bytes(40))
        )
    )
    futures = [world.writer.submit_to(attempts.begin, task) for task in twelve]
    begun = [future.result(60) for future in futures]
    lost = [task for task, one in zip(twelve, begun, strict=True) if one is None]
    assert [task.subject_id for task in lost] == [broken.subject_id]
    assert "unopened" in [row.cause for row in world.rows(t.alert)]
    assert len(world.rows(t.attempt)) == 11


def test_an_outcome_that_cannot_be_written_leaves_nobody_behind_who_was_begun_with_it(
    engine: Engine, tmp_path: Path
) -> None:
    world = World(engine, tmp_path)
    refused: list[int] = []

    def keep(connection: Connection, bodies: Sequence[tuple[str | None, bytes]]) -> None:
        if not refused and any(b'"applied"' in body for _, body in bodies):
            if len(bodies) == 2:  # one outcome and its reading, alone: the writer has nothing left to try
                refused.append(1)
            raise ArithmeticError
        world.log.append(connection, bodies)

    world.writer = Writer(engine, keep)
    tasks(world)
    world.drive()
    assert refused
    world.clock.advance(timedelta(hours=1))
    world.drive()
    assert {row.state for row in world.rows(t.propagation)} == {State.VERIFIED}
    assert all(row.ended_at for row in world.rows(t.attempt))
    assert world.rows(t.lane) == []
    assert faults(world) == []
    world.close()


@pytest.mark.no_database
def test_what_a_connector_notes_stands_with_the_outcome_and_not_with_another_persons(world: World) -> None:
    vendor = world.vendors["alpha"]
    shelf = StoredShelf("alpha", world.engine, lambda: world.writer, world.keys, world.clock)

    def cut_off(instruction: Instruction) -> Outcome:
        shelf.note("cut", "off")
        raise SystemExit

    def erased(instruction: Instruction) -> Outcome:
        vendor.do(instruction)
        shelf.note("erased", "yes")
        assert shelf.get("erased") is None
        return Applied(evidence=proof(204))

    vendor.hold(PEOPLE[0])
    vendor.answers += [cut_off, erased]
    asked = world.ask(Right.ERASURE, PEOPLE[0], id="0")
    world.drive()
    assert [row.outcome for row in world.rows(t.attempt)] == ["Interrupted", "Contradicts", "Applied AsAsked"]
    assert shelf.find("") == {"erased": "yes"}
    assert world.state(asked) is State.VERIFIED
    assert faults(world) == []


def test_a_request_closes_when_the_ledger_says_so_whatever_is_finished_with_its_last(world: World) -> None:
    """What was closed already is read again in the same commit, and a second later by the clock."""
    world.use(world.processor("alpha"), world.processor("beta"))
    world.worker()
    ada = world.ask(Right.OPT_OUT, PEOPLE[0])
    attempts, (lane,) = Attempts(world.controller, "w", world.clock), {row.subject_id for row in world.rows(t.lane)}

    def begun(task: Task) -> Begun:
        (one,) = world.writer.call(lambda unit: attempts.begin(unit, [task]))
        assert one is not None
        return one

    def finish(*updates: Update) -> None:
        world.writer.call(lambda unit: attempts.finish(unit, updates))

    said: list[Event] = [Applied(evidence=proof()), CannotTell(reason="not yet", evidence=proof(), later=True)]
    first = begun(Task("alpha", lane))
    finish(Update(first.propagation_id, said, world.clock.now(), first))
    world.clock.advance(timedelta(days=1))
    again = begun(Task("alpha", lane, first.propagation_id, Timer.REREAD))
    last, now = begun(Task("beta", lane)), world.clock.now()
    finish(
        Update(last.propagation_id, [NothingHeld(evidence=proof(404))], now, last),
        Update(again.propagation_id, [AsAsked(evidence=proof())], now + timedelta(seconds=2), again),
    )
    assert world.states(ada) == {"alpha": State.VERIFIED, "beta": State.NOTHING_HELD}
    assert world.ledger_problems() == ()
