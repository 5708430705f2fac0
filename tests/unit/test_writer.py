"""The one writer: what waits is one transaction, one bad item harms no other, and no answer comes before the commit."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, insert, select, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from dpsync.errors import EventConflict, Locked, NotFound
from dpsync.intake.answers import Received
from dpsync.intake.reception import Reception
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.model import Request, Right, Subject
from dpsync.store import tables as t
from dpsync.store.database import open_database, reading, writing
from dpsync.store.patience import Patience
from dpsync.store.writer import LARGEST_BATCH, Unit, Writer
from tests.builders import START, World
from tests.faults.counting import Counted
from tests.invariants import faults

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def put(key: str, value: str = "") -> Callable[[Unit], str]:
    """Work that writes one row and one entry."""

    def work(unit: Unit) -> str:
        unit.connection.execute(insert(t.meta).values(key=key, value=value))
        unit.append(None, entry.encode(EntryKind.ALERT, NOW, cause="test"))
        return key

    return work


def keys(engine: Engine) -> set[str]:
    with reading(engine) as connection:
        return {row.key for row in connection.execute(select(t.meta.c.key)) if not row.key.startswith("_")}


class Held:
    """Keeps the writer's thread busy until released, so that everything submitted meanwhile is one batch."""

    def __init__(self, writer: Writer) -> None:
        self.inside, self.go = threading.Event(), threading.Event()
        self.done = writer.submit(self)
        assert self.inside.wait(60)

    def __call__(self, unit: Unit) -> None:
        self.inside.set()
        assert self.go.wait(60)


@pytest.fixture
def transactions(engine: Engine) -> list[str]:
    """Every commit of the engine, in order."""
    commits: list[str] = []
    event.listen(engine, "commit", lambda _: commits.append("commit"))
    return commits


@pytest.fixture
def writer(engine: Engine) -> Iterator[Writer]:
    made = Writer(engine, lambda *_: None)
    yield made
    made.close()


def test_all_that_waits_is_one_transaction(engine: Engine, writer: Writer, transactions: list[str]) -> None:
    held = Held(writer)
    futures = [writer.submit(put(f"k{number}")) for number in range(100)]
    transactions.clear()
    held.go.set()
    assert [future.result(60) for future in futures] == [f"k{number}" for number in range(100)]
    assert transactions == ["commit"] * 2, "the holder's own, then one for all hundred"
    assert len(keys(engine)) == 100


def test_a_batch_has_a_largest_size(engine: Engine, writer: Writer, transactions: list[str]) -> None:
    held = Held(writer)
    futures = [writer.submit(put(f"k{number}")) for number in range(LARGEST_BATCH + 1)]
    transactions.clear()
    held.go.set()
    for future in futures:
        future.result(60)
    assert len(transactions) == 3


class Put:
    """Work for many at once; remembers how many came to each call, and refuses what is called "bad"."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def all(self, unit: Unit, names: Sequence[str]) -> list[str]:
        self.calls.append(len(names))
        for name in names:
            put(name)(unit)
        if "bad" in names:
            raise NotFound("no such thing")
        return [name.upper() for name in names]


def test_all_that_waits_for_the_same_is_done_by_one_call(engine: Engine, writer: Writer) -> None:
    one, other = Put(), Put()
    held = Held(writer)
    futures = [writer.submit_to((one, other)[number % 2].all, f"k{number}") for number in range(10)]
    alone = writer.submit(put("alone"))
    held.go.set()
    assert [future.result(60) for future in futures] == [f"K{number}" for number in range(10)]
    assert alone.result(60) == "alone"
    assert one.calls == other.calls == [5]
    assert len(keys(engine)) == 11


def test_where_one_call_for_many_fails_each_has_its_own(engine: Engine, writer: Writer) -> None:
    many = Put()
    held = Held(writer)
    futures = {name: writer.submit_to(many.all, name) for name in ("a", "bad", "b")}
    held.go.set()
    assert (futures["a"].result(60), futures["b"].result(60)) == ("A", "B")
    with pytest.raises(NotFound):
        futures["bad"].result(60)
    assert many.calls == [3, 1, 1, 1]
    assert keys(engine) == {"a", "b"}


@pytest.mark.parametrize("position", [0, 5, 10])
@pytest.mark.parametrize("kind", ["ours", "double", "wrong"])
def test_one_bad_item_harms_no_other(engine: Engine, kind: str, position: int, tmp_path: Path) -> None:
    world = World(engine, tmp_path)
    world.writer.call(put("taken"))

    def ours(unit: Unit) -> str:
        put("half")(unit)
        raise NotFound("no such thing")

    def wrong(unit: Unit) -> str:
        put("half")(unit)
        unit.connection.execute(text("SELECT * FROM there_is_no_such_table"))
        return ""

    bad, raised = {
        "ours": (ours, NotFound),
        "double": (put("taken"), IntegrityError),
        "wrong": (wrong, SQLAlchemyError),
    }[kind]
    held = Held(world.writer)
    futures = [world.writer.submit(bad if number == position else put(f"k{number}")) for number in range(11)]
    held.go.set()
    for number, future in enumerate(futures):
        if number == position:
            with pytest.raises(raised):
                future.result(60)
        else:
            assert future.result(60) == f"k{number}"
    assert keys(engine) == {"taken"} | {f"k{number}" for number in range(11) if number != position}
    assert len(world.rows(t.entry)) == 11, "an entry for each row, and none for the bad one"
    assert faults(world) == []
    world.close()


def test_a_batch_that_cannot_be_committed_as_a_whole_lands_one_by_one(engine: Engine) -> None:
    def refuse_poison(connection: Connection, bodies: Sequence[tuple[str | None, bytes]]) -> None:
        if any(body == b"poison" for _, body in bodies):
            raise ValueError("an entry that is none")

    def poison(unit: Unit) -> None:
        put("poisoned")(unit)
        unit.append(None, b"poison")

    writer = Writer(engine, refuse_poison)
    held = Held(writer)
    good = [writer.submit(put(f"k{number}")) for number in range(3)]
    bad = writer.submit(poison)
    good += [writer.submit(put(f"k{number}")) for number in range(3, 6)]
    held.go.set()
    assert {future.result(60) for future in good} == {f"k{number}" for number in range(6)}
    with pytest.raises(ValueError, match="none"):
        bad.result(60)
    assert keys(engine) == {f"k{number}" for number in range(6)}
    writer.close()


def test_no_answer_comes_before_the_commit(engine: Engine) -> None:
    seen: list[bool] = []
    writer = Writer(engine, lambda *_: None)
    held = Held(writer)
    future = writer.submit(put("mine"))
    future.add_done_callback(lambda _: seen.append("mine" in keys(engine)))
    assert keys(engine) == set()
    held.go.set()
    future.result(60)
    writer.close()
    assert seen == [True]


def test_an_item_that_nobody_waits_for_any_more_is_not_done(engine: Engine, writer: Writer) -> None:
    held = Held(writer)
    gone, kept = writer.submit(put("gone")), writer.submit(put("kept"))
    assert gone.cancel()
    held.go.set()
    kept.result(60)
    assert keys(engine) == {"kept"}


def test_close_finishes_what_waits_and_takes_nothing_more(engine: Engine) -> None:
    writer = Writer(engine, lambda *_: None)
    held = Held(writer)
    waiting = [writer.submit(put(f"k{number}")) for number in range(600)]
    closing = threading.Thread(target=writer.close)
    closing.start()
    while not writer._closed:
        time.sleep(0.001)
    late = writer.submit(put("late"))
    held.go.set()
    closing.join(60)
    assert all(future.done() and future.exception() is None for future in waiting)
    with pytest.raises(Locked):
        late.result(60)
    assert len(keys(engine)) == 600
    writer.close()


def test_whatever_an_item_raises_the_writer_goes_on(engine: Engine, writer: Writer) -> None:
    def leave(unit: Unit) -> None:
        raise SystemExit

    for _ in range(2):
        held = Held(writer)
        bad, good = writer.submit(leave), writer.submit(put(f"k{time.monotonic_ns()}"))
        held.go.set()
        with pytest.raises(SystemExit):
            bad.result(60)
        good.result(60)


# --- what comes in twice, at once


def asked(world: World, event_id: str, body: bytes) -> "Future[Received]":
    request = Request("crm", event_id, Right.OPT_OUT, Subject(id="1", email="ada@example.org"), received_at=START)
    return Reception(world.controller, world.writer).submit(request, body, world.clock.now())


def test_one_event_twice_in_one_batch_is_one_request_and_one_answer(world: World) -> None:
    held = Held(world.writer)
    futures = [asked(world, "evt", b"same") for _ in range(100)]
    held.go.set()
    answers = [future.result(60) for future in futures]
    assert {answer.request_id for answer in answers} == {world.rows(t.request)[0].id}
    assert [answer.repeated for answer in answers] == [False] + [True] * 99
    assert len(world.rows(t.request)) == len(world.rows(t.propagation)) == 1
    assert faults(world) == []


def test_one_event_with_two_bodies_in_one_batch_is_one_request_and_a_conflict(world: World) -> None:
    held = Held(world.writer)
    first, second = asked(world, "evt", b"one"), asked(world, "evt", b"two")
    other = asked(world, "evt-2", b"three")
    held.go.set()
    assert not first.result(60).repeated
    with pytest.raises(EventConflict):
        second.result(60)
    other.result(60)
    assert len(world.rows(t.request)) == 2
    assert [row.cause for row in world.rows(t.alert)] == ["event-conflict"]
    assert faults(world) == []


# --- the store says no


@pytest.fixture
def file(sqlite_template: Path, tmp_path: Path) -> str:
    shutil.copy(sqlite_template, tmp_path / "dpsync.db")
    return f"sqlite:///{tmp_path / 'dpsync.db'}"


@pytest.mark.fault(21)
def test_a_locked_database_is_said_at_once_to_all_and_nothing_is_acknowledged(file: str, counted: Counted) -> None:
    engine, holder = open_database(file, patience=Patience(longest=0.2)), open_database(file)
    writer = Writer(engine, lambda *_: None)
    asked: list[object] = []
    event.listen(engine, "begin", asked.append)
    with writing(holder) as connection:
        connection.execute(insert(t.meta).values(key="theirs", value=""))
        for future in [writer.submit(put(f"k{number}")) for number in range(50)]:
            with pytest.raises(Locked):
                future.result(60)
    assert len(asked) < 25, "each of what waited had its own turn of waiting"
    assert keys(engine) == {"theirs"}
    counted(21, acknowledged_without_a_row=len(keys(engine) - {"theirs"}))
    assert writer.call(put("after")) == "after"
    writer.close()
    engine.dispose()
    holder.dispose()


@pytest.mark.fault(20)
def test_a_full_disk_loses_nothing_that_was_acknowledged_and_heals_by_itself(
    file: str, tmp_path: Path, counted: Counted
) -> None:
    engine = open_database(file)
    world, full = World(engine, tmp_path), True
    pages = _pages(engine)

    @event.listens_for(engine, "begin")
    def limit(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 6 if full else 1_000_000}")

    acknowledged, refused = set(), 0
    for number in range(60):
        try:
            acknowledged.add(world.ask(Right.OPT_OUT, f"p{number}@example.org", id=str(number)).request_id)
        except SQLAlchemyError:
            refused += 1
    assert refused
    assert acknowledged == {row.id for row in world.rows(t.request)}
    missing = acknowledged - {row.id for row in world.rows(t.request)}
    counted(20, acknowledged_without_a_row=len(missing))
    full = False
    again = world.ask(Right.OPT_OUT, "later@example.org", id="later")
    assert again.request_id in {row.id for row in world.rows(t.request)}
    assert faults(world) == []
    world.close()
    engine.dispose()


def _pages(engine: Engine) -> int:
    with reading(engine) as connection:
        pages: int = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    return pages


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_server_that_goes_in_the_middle_is_told_to_all_of_the_batch(database_url: str) -> None:
    engine, other = open_database(database_url), open_database(database_url)
    writer = Writer(engine, lambda *_: None)
    ran: list[str] = []

    def cut(unit: Unit) -> None:
        own = unit.connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with other.connect() as connection:
            connection.execute(text(f"SELECT pg_terminate_backend({own})"))
        ran.append("cut")

    held = Held(writer)
    futures: list[Future[Any]] = [writer.submit(put("before")), writer.submit(cut), writer.submit(put("after"))]
    held.go.set()
    for future in futures:
        with pytest.raises(SQLAlchemyError):
            future.result(60)
    assert ran == ["cut"], "what may have been committed is not done again"
    assert keys(engine) == set()
    assert writer.call(put("later")) == "later"
    writer.close()
    engine.dispose()
    other.dispose()
