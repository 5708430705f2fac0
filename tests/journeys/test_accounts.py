"""A processor that the settings give another account: nothing of it is lost, forgotten or sent twice: on both."""

import threading
from datetime import timedelta

import pytest

from dpsync.connector import Retryable
from dpsync.errors import CredentialsRejected
from dpsync.model import Cause, Right, State
from dpsync.propagation.engine import moving
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.rules.plan import Safety
from dpsync.store import tables as t
from tests.builders import World, later, proof
from tests.invariants import faults

ADA, NEW = "ada@example.org", "ada.new@example.org"


def rename(world: World, account: str = "renamed") -> None:
    """The process ends, the settings name another account for alpha, and a worker starts."""
    world.restart()
    world.use(world.processor("alpha", account=account))
    world.worker(alone=True)


def stopped(world: World) -> dict[str, str]:
    return {row.id: row.stopped for row in world.rows(t.account)}


def stop(world: World, account: str, why: str) -> None:
    values = t.account.update().where(t.account.c.id == account).values(stopped=why)
    world.writer.call(lambda unit: unit.connection.execute(values))


@pytest.mark.no_database
def test_an_erasure_after_a_renaming_reaches_the_address_that_a_doubtful_rectification_left(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)
    vendor.answers.append(Retryable(reason="cut", evidence=proof(None), doubtful=True))
    world.ask(Right.RECTIFICATION, ADA, id="1", to=NEW)
    world.drive()
    rename(world)
    erase = world.ask(Right.ERASURE, NEW, id="1")
    world.clock.advance(timedelta(hours=1))
    world.drive()
    assert vendor.people == {}
    assert world.state(erase) is State.VERIFIED
    assert faults(world) == []


def test_what_is_finished_is_remembered_by_processor_under_whatever_account_it_was(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)
    world.ask(Right.RECTIFICATION, ADA, id="1", to=NEW)
    world.drive()
    clear = t.propagation.update().values(timer="", timer_at=None)
    world.writer.call(lambda unit: unit.connection.execute(clear))
    world.clock.advance(timedelta(days=2))
    rename(world)
    world.ask(Right.OPT_OUT, ADA, id="1")
    world.drive()
    assert vendor.people == {NEW: {"status": "unsubscribed"}}
    assert world.row(world.ask(Right.OPT_OUT, ADA, id="1")).account_id == "renamed"


@pytest.mark.no_database
def test_what_waits_goes_on_under_the_new_name_and_a_rejected_credential_is_resumed_there(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    world.vendors["alpha"].answers.append(CredentialsRejected("GET /", 401))
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    rename(world)
    world.drive()
    assert world.state(asked) is State.PENDING
    assert stopped(world) == {"alpha": "", "renamed": "credential"}
    stop(world, "renamed", "")
    world.drive()
    assert world.state(asked) is State.VERIFIED
    assert {row.account_id for row in world.rows(t.propagation)} == {"renamed"}
    assert faults(world) == []


def test_what_a_person_stopped_stays_stopped_also_where_nothing_waits(world: World) -> None:
    world.ask(Right.OPT_OUT, ADA, id="1")
    world.drive()
    world.clock.advance(timedelta(days=40))
    world.drive()
    stop(world, "alpha", "person")
    rename(world)
    assert stopped(world)["renamed"] == "person"


@pytest.mark.parametrize(("why", "carried"), [("person", "person"), ("credential", "")])
def test_an_account_that_is_in_use_already_takes_over_only_what_a_person_stopped(
    world: World, why: str, carried: str
) -> None:
    world.use(world.processor("alpha"), world.processor("beta"))
    world.vendors["alpha"].answers += [later()] * 9
    world.ask(Right.OPT_OUT, ADA, id="1")
    world.drive()
    stop(world, "alpha", why)
    world.restart()
    world.use(world.processor("alpha", account="beta"), world.processor("beta"))
    world.worker(alone=True)
    assert stopped(world) == {"alpha": "", "beta": carried}
    assert faults(world) == []


@pytest.mark.no_database
def test_one_of_two_processors_leaves_a_shared_account_and_the_other_stays(world: World) -> None:
    world.use(world.processor("alpha", account="both"), world.processor("beta", account="both"))
    for name in ("alpha", "beta"):
        world.vendors[name].answers += [later()] * 9
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    world.drive()
    world.restart()
    world.use(world.processor("alpha", account="own"), world.processor("beta", account="both"))
    world.worker(alone=True)
    assert {row.processor: row.account_id for row in world.rows(t.propagation)} == {"alpha": "own", "beta": "both"}
    assert faults(world) == []
    for vendor in world.vendors.values():
        vendor.answers.clear()
    world.clock.advance(timedelta(days=1))
    world.drive()
    assert set(world.states(asked).values()) == {State.NOTHING_HELD}


@pytest.mark.no_database
def test_a_new_name_does_not_let_the_brake_go(world: World) -> None:
    world.use(safety=Safety(irreversible_per_day=1))
    world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    rename(world)
    second = world.ask(Right.ERASURE, "ben@example.org", id="2")
    assert causes_of(world.row(second).causes) == {Cause.BRAKE}


def test_two_workers_that_start_at_once_move_everything_once(world: World) -> None:
    world.vendors["alpha"].answers += [later()] * 40
    for number in range(20):
        world.ask(Right.OPT_OUT, f"p{number}@example.org", id=str(number))
    world.drive()
    world.restart()
    world.use(world.processor("alpha", account="renamed"))
    threads = [threading.Thread(target=world.worker) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {row.account_id for row in world.rows(t.propagation)} == {"renamed"}
    assert {row.account_id for row in world.rows(t.lane)} == {"renamed"}
    world.vendors["alpha"].answers.clear()
    world.clock.advance(timedelta(days=1))
    world.drive()
    assert {row.state for row in world.rows(t.propagation)} == {State.NOTHING_HELD}
    assert faults(world) == []


@pytest.mark.no_database
def test_what_a_living_worker_drives_by_older_settings_is_left_to_it_until_it_is_gone(world: World) -> None:
    world.vendors["alpha"].answers += [later()] * 9
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    old = world.worker()
    old.run_until_idle()
    world.use(world.processor("alpha", account="renamed"))
    new = world.worker()
    assert world.row(asked).account_id == "alpha"
    old.close()
    world.vendors["alpha"].answers.clear()
    world.clock.advance(timedelta(days=1))
    new.run_until_idle()
    assert (world.row(asked).account_id, world.state(asked)) == ("renamed", State.NOTHING_HELD)
    assert faults(world) == []


def test_what_a_receiver_by_older_settings_puts_under_the_old_name_is_moved_when_its_turn_comes(world: World) -> None:
    world.use(world.processor("alpha"), world.processor("beta"))
    world.worker()
    old = world.controller
    world.restart()
    world.use(world.processor("alpha", account="renamed"), world.processor("beta", account="alpha"))
    worker = world.worker()
    world.controller = old
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    assert world.row(asked).account_id == "alpha"
    worker.run_until_idle()
    world.clock.advance(timedelta(minutes=1))
    worker.run_until_idle()
    assert {row.processor: row.account_id for row in world.rows(t.propagation)} == {"alpha": "renamed", "beta": "alpha"}
    assert set(world.states(asked).values()) == {State.NOTHING_HELD}
    assert faults(world) == []


@pytest.mark.no_database
def test_moving_twice_changes_nothing(world: World) -> None:
    world.vendors["alpha"].answers += [later()] * 9
    world.ask(Right.OPT_OUT, ADA, id="1")
    world.drive()
    rename(world)
    before = world.rows(t.propagation), world.rows(t.lane), world.rows(t.account)
    moved = world.writer.call(
        lambda unit: moving.move(unit, world.controller, "w-1", {"renamed"}, world.clock.now(), timedelta(seconds=61))
    )
    assert moved
    assert (world.rows(t.propagation), world.rows(t.lane), world.rows(t.account)) == before
