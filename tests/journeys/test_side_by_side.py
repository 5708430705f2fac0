"""What two processes write at once on PostgreSQL: it goes side by side, and ends as if it had come one by one."""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, insert, select, update

from dpsync.alert_causes import AlertCause
from dpsync.alerts import raise_alert
from dpsync.connector import Applied, AsAsked, CannotTell, NothingHeld
from dpsync.errors import DecisionRefused, EventConflict
from dpsync.intake.answers import Received
from dpsync.intake.opendsr.service import cancel
from dpsync.intake.reception import Reception
from dpsync.intake.side_by_side import SideBySide
from dpsync.journal import Stretch
from dpsync.journal_comparison import compared, still_all
from dpsync.ledger.comparison import differences
from dpsync.model import DONE_STATES, Cause, Request, Right, State, Subject
from dpsync.propagation.engine.attempts import Attempts, Begun
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.queue.tasks import due_tasks
from dpsync.propagation.record import Update
from dpsync.propagation.rules.plan import Safety
from dpsync.store import tables as t
from dpsync.store.beside import TURN_LOCK, beside
from dpsync.store.database import open_database, reading
from dpsync.store.writer import Unit
from tests.builders import START, TestConnector, TurnableClock, World, proof
from tests.invariants import faults
from tests.waiting import until

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

ADA, BEN = "ada@example.org", "ben@example.org"
BRIEFLY = 0.3


class AtTurn:
    """Stops a process's next transaction where it is about to take its turn, until `go`."""

    def __init__(self, world: World) -> None:
        self.reached, self.go = threading.Event(), threading.Event()
        event.listen(world.engine, "before_cursor_execute", self._look)

    def _look(self, *told: Any) -> None:
        if f"({TURN_LOCK})" in told[2] and not self.reached.is_set():
            self.reached.set()
            assert self.go.wait(60)


@pytest.fixture
def other(world: World, tmp_path: Path) -> Iterator[World]:
    """A second process of the same installation, as far as the database can see. The month has its key already."""
    world.ask(Right.RESTRICTION, "first@example.org", event="first of the month")
    made = World(open_database(world.engine.url.render_as_string(hide_password=False)), tmp_path)
    yield made
    made.writer.close()
    made.engine.dispose()


def asked(
    at: World, email: str, *, event_id: str = "", body: bytes = b"body", own: str | None = None
) -> "Future[Received]":
    subject = Subject(id=own, email=email)
    request = Request("crm", event_id or f"evt-{email}", Right.OPT_OUT, subject, received_at=START)
    return SideBySide(at.controller, at.writer).submit(request, body, at.clock.now())


def requests(world: World) -> list[Any]:
    return [row for row in world.rows(t.request) if row.event_id != "first of the month"]


def sound(world: World) -> bool:
    with reading(world.engine) as connection:
        assert differences(connection, world.keys) == ()
    assert faults(world) == []
    return world.ledger_problems() == ()


@pytest.mark.parametrize("attempt_first", [True, False])
def test_a_request_of_opendsr_is_cancelled_or_begun_and_never_both(
    world: World, other: World, *, attempt_first: bool
) -> None:
    source, uuid = "opendsr:shop", "a7551968-d5d6-44b2-9831-815ac9017798"
    for one in (world, other):
        one.controller = replace(one.controller, opendsr=frozenset({source}), callbacks=frozenset({source}))
    world.drive()  # what came first is out of the way
    request = Request(source, uuid, Right.ERASURE, Subject(email=ADA), received_at=START)
    kept = Reception(world.controller, world.writer).submit(request, b"", world.clock.now()).result(60)
    cancelling = partial(cancel, controller=other.controller, source=source, subject_request_id=uuid, now=START)
    if not attempt_first:
        other.writer.submit(cancelling).result(60)
        world.drive()
        begun = {row.propagation_id for row in world.rows(t.attempt)}
        assert (world.row(kept).id in begun, world.state(kept)) == (False, State.WITHDRAWN)
        return
    stop = AtTurn(world)
    with ThreadPoolExecutor(1) as pool:
        driving = pool.submit(world.drive)
        assert stop.reached.wait(60)
        late = other.writer.submit(cancelling)
        threading.Event().wait(BRIEFLY)
        assert not late.done(), "it waits for whoever is beginning"
        stop.go.set()
        with pytest.raises(DecisionRefused):
            late.result(60)
        driving.result(60)
    assert world.state(kept) in DONE_STATES
    assert world.rows(t.withdrawal) == []


# --- who is received


def test_a_receiver_commits_while_another_is_in_the_middle_of_its_transaction(world: World, other: World) -> None:
    stop = AtTurn(world)
    slow = asked(world, ADA)
    assert stop.reached.wait(60)
    quick = asked(other, BEN).result(60)
    assert not slow.done(), "the first is still in the middle"
    stop.go.set()
    assert {slow.result(60).request_id, quick.request_id} == {row.id for row in requests(world)}
    assert sound(world)


@pytest.mark.parametrize("own", [None, "crm-1"])
def test_two_receivers_that_meet_a_new_person_at_once_make_one(world: World, other: World, own: str | None) -> None:
    stop = AtTurn(world)
    slow = asked(world, ADA, event_id="one", own=own)
    assert stop.reached.wait(60)
    with ThreadPoolExecutor(1) as pool:
        quick = pool.submit(asked(other, ADA, event_id="two", own=own).result, 60)
        threading.Event().wait(BRIEFLY)  # under one id the second waits for the first's row of `alias`
        stop.go.set()
        assert slow.result(60).request_id != quick.result(60).request_id
    assert len({row.subject_id for row in requests(world)}) == len({row.person for row in requests(world)}) == 1
    assert sound(world)


@pytest.mark.parametrize("same", [True, False])
def test_one_event_at_two_receivers_at_once_is_one_request(world: World, other: World, *, same: bool) -> None:
    stop = AtTurn(world)
    first = asked(world, ADA, event_id="evt", body=b"a")
    assert stop.reached.wait(60)
    second = asked(other, ADA, event_id="evt", body=b"a" if same else b"b")
    threading.Event().wait(BRIEFLY)
    assert not second.done(), "whether it is the second turns on the first's commit"
    stop.go.set()
    answer = first.result(60)
    if same:
        assert second.result(60).request_id == answer.request_id
        assert second.result(60).repeated
    else:
        with pytest.raises(EventConflict):
            second.result(60)
    assert len(requests(world)) == 1
    assert sound(world)


def test_the_brake_lets_no_more_go_where_two_receivers_count_at_once(world: World, other: World) -> None:
    for one in (world, other):
        one.use(safety=Safety(irreversible_per_day=1))
    stop = AtTurn(world)
    slow = asked(world, ADA)
    assert stop.reached.wait(60)
    assert not asked(other, BEN).result(60).held
    stop.go.set()
    assert slow.result(60).held
    assert sorted(row.state for row in world.rows(t.propagation) if row.right == Right.OPT_OUT) == [
        State.HELD,
        State.PENDING,
    ]
    assert sound(world)


def test_of_a_batch_the_strangers_are_told_before_those_who_have_to_be_alone(world: World, other: World) -> None:
    del other
    asked(world, ADA, event_id="first").result(60)
    stop = AtTurn(world)
    held = asked(world, "eve@example.org")
    assert stop.reached.wait(60)
    known, new = asked(world, ADA, event_id="again"), asked(world, BEN)
    told: list[str] = []
    known.add_done_callback(lambda _: told.append("known"))
    new.add_done_callback(lambda _: told.append("new"))
    stop.go.set()
    assert not any(one.result(60).repeated for one in (held, known, new))
    assert told == ["new", "known"]
    assert sound(world)


def test_a_mark_in_the_journal_waits_for_who_commits_later_with_a_smaller_ordinal(world: World, other: World) -> None:
    stop = AtTurn(world)
    slow = asked(world, ADA)
    assert stop.reached.wait(60)
    asked(other, BEN).result(60)
    with reading(other.engine) as connection:
        seen = compared(connection, Stretch((), 0, 0, ()), 0, 0)
    assert seen.requests == 2, "the first of the month and the quick one"
    stop.go.set()
    slow.result(60)
    assert not other.writer.call(lambda unit: still_all(unit.connection, 0, seen))
    with reading(other.engine) as connection:
        seen = compared(connection, Stretch((), 0, 0, ()), 0, 0)
    assert other.writer.call(lambda unit: still_all(unit.connection, 0, seen))


# --- four at once

LIMIT, PEOPLE, EACH = 12, 12, 10


class Running(TurnableClock):
    """It goes on, and a few seconds ahead of the others."""

    def __init__(self, ahead: int) -> None:
        super().__init__()
        self._began, self._ahead = time.monotonic(), ahead

    def now(self) -> datetime:
        return START + timedelta(seconds=self._ahead + time.monotonic() - self._began)

    def monotonic(self) -> float:
        return time.monotonic()


def received(at: World, lot: random.Random) -> None:
    """What one process receives, one after the other. Some of it came to another one, too."""
    for _ in range(EACH):
        number, right = lot.randrange(PEOPLE), lot.choice([Right.OPT_OUT, Right.ERASURE])
        subject = Subject(id=lot.choice([f"crm-{number}", None]), email=f"p{number}@example.org")
        event_id = f"{right}-{number}-{lot.randrange(3)}-{subject.id}"
        request = Request("crm", event_id, right, subject, received_at=START)
        SideBySide(at.controller, at.writer).submit(request, event_id.encode(), at.clock.now()).result(60)


def idle(world: World) -> bool:
    time.sleep(BRIEFLY)
    with reading(world.engine) as connection:
        return bool(connection.execute(select(func.count()).select_from(t.lane)).scalar_one() == 0)


def test_what_four_processes_receive_and_drive_at_once_is_in_order_and_within_every_limit(
    world: World, other: World, tmp_path: Path
) -> None:
    url, stop = world.engine.url.render_as_string(hide_password=False), threading.Event()
    worlds = [world, other, *(World(open_database(url), tmp_path) for _ in range(2))]
    shared = [world.processor(name) for name in ("alpha", "beta")]
    for name in ("alpha", "beta"):
        world.vendors[name].hold(*(f"p{number}@example.org" for number in range(PEOPLE)))
    for number, one in enumerate(worlds):
        one.clock = Running(number)
        one.use(*shared, safety=Safety(irreversible_per_day=LIMIT))
    workers = [one.worker() for one in worlds]
    with ThreadPoolExecutor(8) as pool:
        driving = [pool.submit(worker.run, stop) for worker in workers]
        receiving = [pool.submit(received, one, random.Random(number)) for number, one in enumerate(worlds)]
        try:
            for each in receiving:
                each.result(120)
            until(lambda: idle(world))
        finally:
            stop.set()
        for each in driving:
            each.result(60)
    for made in worlds[2:]:
        made.writer.close()
        made.engine.dispose()
    assert_within_every_limit(world)
    assert sound(world)


def assert_within_every_limit(world: World) -> None:
    rows = [row for row in world.rows(t.propagation) if row.right != Right.RESTRICTION]
    for name in ("alpha", "beta"):
        here = [row for row in rows if row.account_id == name]
        # Who was let through, and shares an address by the time they would be told, gives it back.
        given_back = sum(Cause.SHARED_ADDRESS in causes_of(row.causes) for row in here)
        assert LIMIT - given_back <= sum(row.brake_at is not None for row in here) <= LIMIT < len(here)
        assert world.vendors[name].peak <= TestConnector.max_inflight
    groups: dict[str, set[str]] = defaultdict(set)
    for row in world.rows(t.alias):
        groups[row.pseudonym].add(row.subject_id)
    assert all(len(subjects) == 1 for subjects in groups.values())


# --- what is begun and finished


@pytest.fixture
def two_accounts(world: World, other: World) -> tuple[World, World]:
    for one in (world, other):
        one.use(world.processor("alpha"), world.processor("beta"))
        one.worker()  # each account gets its row
    return world, other


def attempts(at: World) -> Attempts:
    return Attempts(at.controller, "w-test", at.clock)


def begun(at: World, account: str, asked_for: Received) -> Begun:
    (subject,) = [row.subject_id for row in requests(at) if row.id == asked_for.request_id]
    with reading(at.engine) as connection:
        due = due_tasks(connection, account, at.clock.now(), lambda: 1e9, 5)
    (task,) = [one for one in due if one.subject_id == subject]
    found = at.writer.submit_to(attempts(at).begin, task).result(60)
    assert found is not None
    return found


def finish(at: World, one: Begun, *said: Any) -> "Future[Any]":
    update_of_it = Update(one.propagation_id, said, at.clock.now(), one)
    return at.writer.submit_to(attempts(at).finish, update_of_it)


def test_the_last_of_two_that_finish_at_once_closes_the_request(two_accounts: tuple[World, World]) -> None:
    world, other = two_accounts
    ada = world.ask(Right.OPT_OUT, ADA, id="1")
    alpha, beta = begun(world, "alpha", ada), begun(other, "beta", ada)
    stop = AtTurn(world)
    slow = finish(world, alpha, NothingHeld(evidence=proof(404)))
    assert stop.reached.wait(60)
    finish(other, beta, NothingHeld(evidence=proof(404))).result(60)
    assert requests(world)[0].closed_at is None
    stop.go.set()
    slow.result(60)
    assert requests(world)[0].closed_at is not None
    assert sound(world)


def test_what_a_worker_finishes_late_waits_for_what_the_next_one_begins_at_its_account(
    two_accounts: tuple[World, World],
) -> None:
    world, other = two_accounts
    lost = begun(world, "alpha", world.ask(Right.OPT_OUT, ADA, id="1"))
    ben = world.ask(Right.OPT_OUT, BEN, id="2")
    stop = AtTurn(other)
    with ThreadPoolExecutor(1) as pool:
        new = pool.submit(begun, other, "alpha", ben)
        assert stop.reached.wait(60)
        late = finish(world, lost, NothingHeld(evidence=proof(404)))
        threading.Event().wait(BRIEFLY)
        assert not late.done()
        stop.go.set()
    late.result(60)
    finish(other, new.result(60), NothingHeld(evidence=proof(404))).result(60)
    assert sound(world)


def test_a_request_that_closes_as_overtaken_closes_before_what_is_finished_in_the_same_commit(
    two_accounts: tuple[World, World],
) -> None:
    world, _ = two_accounts
    first = world.ask(Right.RECTIFICATION, ADA, id="1")
    done = begun(world, "alpha", first)
    finish(world, done, Applied(evidence=proof()), CannotTell(reason="not yet", evidence=proof(), later=True)).result(
        60
    )
    world.clock.advance(timedelta(days=1))
    again = begun(world, "alpha", first)
    world.ask(Right.ERASURE, ADA, id="1")
    inside, go = threading.Event(), threading.Event()

    def wait(_: Unit) -> None:
        inside.set()
        assert go.wait(60)

    held = world.writer.submit(wait)
    assert inside.wait(60)
    with reading(world.engine) as connection:
        (task,) = due_tasks(connection, "beta", world.clock.now(), lambda: 1e9, 5)
    other = world.writer.submit_to(attempts(world).begin, task)
    now = world.clock.now() + timedelta(seconds=2)
    late = world.writer.submit_to(
        attempts(world).finish, Update(again.propagation_id, [AsAsked(evidence=proof())], now, again)
    )
    go.set()
    for each in (held, other, late):
        each.result(60)
    assert world.states(first) == {"alpha": State.VERIFIED, "beta": State.SUPERSEDED}
    assert world.ledger_problems() == ()


# --- the rule itself


class Marked:
    """Work that may run beside others; how often it was done, beside and alone."""

    def __init__(self, work: Any) -> None:
        self.work = work
        self.done: list[str] = []

    @beside
    def all(self, unit: Unit, many: Sequence[Any]) -> Sequence[Any]:
        self.done.append("beside" if unit.beside else "alone")
        return [self.work(unit, one) for one in many]


def test_what_must_be_alone_waits_for_all_others_and_they_for_it(world: World, other: World) -> None:
    inside, go = threading.Event(), threading.Event()

    def wait(unit: Unit, _: None) -> None:
        del unit
        inside.set()
        assert go.wait(60)

    long = world.writer.submit_to(Marked(wait).all, None)
    assert inside.wait(60)
    ended: list[str] = []
    serial = other.writer.submit(lambda _: ended.append("alone"))
    threading.Event().wait(BRIEFLY)
    assert not serial.done()
    third = asked(other, ADA)
    third.add_done_callback(lambda _: ended.append("beside"))
    go.set()
    long.result(60)
    third.result(60)
    assert ended == ["alone", "beside"], "nobody is kept waiting by those who come later"


def test_whoever_comes_upon_an_alert_is_undone_and_done_again_alone(world: World) -> None:
    def tell(unit: Unit, key: str) -> None:
        unit.connection.execute(insert(t.meta).values(key=key, value=""))
        zone = world.controller.zone
        raise_alert(
            unit.connection, cause=AlertCause.HELD, role="dpo", subject="A test", body="Nothing.", now=START, zone=zone
        )

    work = Marked(tell)
    world.writer.submit_to(work.all, "one").result(60)
    assert work.done == ["beside", "alone"]
    assert len(world.rows(t.alert)) == 1


def test_two_that_stand_in_each_others_way_are_both_done(world: World, other: World) -> None:
    world.use(world.processor("alpha"), world.processor("beta"))
    world.worker()
    met = threading.Barrier(2)

    def lock(unit: Unit, order: Sequence[str]) -> None:
        for name in order:
            unit.connection.execute(
                update(t.account).where(t.account.c.id == name).values(failures=t.account.c.failures + 1)
            )
            if unit.beside and name == order[0]:
                met.wait(60)

    one, two = Marked(lock), Marked(lock)
    waiting = [world.writer.submit_to(one.all, ("alpha", "beta")), other.writer.submit_to(two.all, ("beta", "alpha"))]
    for each in waiting:
        each.result(60)
    assert sorted([one.done, two.done], key=len) == [["beside"], ["beside", "alone"]]
    assert {row.failures for row in world.rows(t.account)} == {2}
