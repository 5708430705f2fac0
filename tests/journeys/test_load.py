"""As many calls at once as a process ever has, against the few connections it keeps: nothing starves or dead-locks."""

import threading
from typing import ClassVar

from sqlalchemy import Engine, event

from dpsync.connector import Instruction, NothingHeld, Outcome, Shelf
from dpsync.connector_services import CALLS_AT_ONCE
from dpsync.model import Right, State
from dpsync.propagation.rules.plan import Safety
from dpsync.store import tables as t
from dpsync.store.database import CONNECTIONS, KEPT
from dpsync.store.shelf import StoredShelf
from tests.builders import TestConnector, Vendor, World, proof
from tests.invariants import faults
from tests.waiting import until

AT_ONE_ACCOUNT = 8
ACCOUNTS = CALLS_AT_ONCE // AT_ONE_ACCOUNT


class Remembering(TestConnector):
    """Reads and writes its shelf in the midst of the call, when every other caller does."""

    max_inflight: ClassVar[int] = AT_ONE_ACCOUNT

    def __init__(self, vendor: Vendor, shelf: Shelf, all_of_them: threading.Barrier) -> None:
        super().__init__(vendor)
        self.shelf, self.all_of_them = shelf, all_of_them

    def carry_out(self, instruction: Instruction) -> Outcome:
        self.all_of_them.wait(60)
        for number in range(5):
            self.shelf.get(f"{instruction.subject_id} {number}")
        self.all_of_them.wait(60)
        self.shelf.put(f"{instruction.subject_id}", "seen")
        return super().carry_out(instruction)


def test_all_callers_reach_for_the_store_at_once_and_none_waits_in_vain(world: World, engine: Engine) -> None:
    open_now, most = 0, 0
    counting = threading.Lock()

    def out(*_: object) -> None:
        nonlocal open_now, most
        with counting:
            open_now += 1
            most = max(most, open_now)

    def back(*_: object) -> None:
        nonlocal open_now
        with counting:
            open_now -= 1

    event.listen(engine, "checkout", out)
    event.listen(engine, "checkin", back)
    all_of_them = threading.Barrier(CALLS_AT_ONCE)
    connectors = []
    for number in range(ACCOUNTS):
        name = f"p{number}"
        shelf = StoredShelf(name, engine, lambda: world.writer, world.keys, world.clock)
        connectors.append(Remembering(world.vendors[name], shelf, all_of_them))
    named = [world.processor(f"p{number}", one) for number, one in enumerate(connectors)]
    world.use(*named, safety=Safety(irreversible_per_day=1000))
    people = [f"p{number}@example.org" for number in range(AT_ONE_ACCOUNT)]
    for person in people:
        world.ask(Right.OPT_OUT, person, id=person)
    world.drive()
    assert {row.state for row in world.rows(t.propagation)} == {State.NOTHING_HELD}
    assert {row.outcome for row in world.rows(t.attempt)} == {"NothingHeld"}, "somebody waited in vain"
    assert len(world.rows(t.shelf)) == CALLS_AT_ONCE
    assert KEPT <= most <= CONNECTIONS, "they did not meet"
    assert faults(world) == []


def test_a_long_backlog_at_one_account_does_not_keep_the_threads_from_another(world: World) -> None:
    world.use(world.processor("alpha"), world.processor("beta"))
    alpha, beta = world.vendors["alpha"], world.vendors["beta"]
    turnstile = threading.Semaphore(0)

    def slow(_: Instruction) -> Outcome:
        turnstile.acquire(timeout=60)
        return NothingHeld(evidence=proof(404))

    alpha.answers += [slow] * 40
    beta.answers += [slow] * 40
    for number in range(40):
        world.ask(Right.OPT_OUT, f"p{number}@example.org", id=str(number))
    worker = world.worker(calls_at_once=4)
    begun = 4

    def all_threads_call() -> bool:
        return worker.turn() > 0 and len(alpha.calls) + len(beta.calls) == begun

    while not (alpha.calls and beta.calls) and begun < 24:
        until(all_threads_call)
        turnstile.release()
        begun += 1
    assert begun < 24, "one account waits until the other has nothing left"
    for _ in range(80):
        turnstile.release()
    world.drive()
    assert {row.state for row in world.rows(t.propagation)} == {State.NOTHING_HELD}
    assert faults(world) == []
