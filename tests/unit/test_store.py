"""The store: schema and version, who may write, who may drive, and the connectors' memory."""

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, select, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from dpsync.errors import Locked
from dpsync.sealing import Keys
from dpsync.store import database
from dpsync.store import tables as t
from dpsync.store.database import (
    open_database,
    reading,
    truncate_wal,
    worker_lock,
    writing,
)
from dpsync.store.patience import Patience
from dpsync.store.shelf import StoredShelf, keep, take_notes
from dpsync.store.writer import Writer
from tests.builders import World
from tests.once import as_it_is


@pytest.fixture
def file(sqlite_template: Path, tmp_path: Path) -> str:
    shutil.copy(sqlite_template, tmp_path / "dpsync.db")
    return f"sqlite:///{tmp_path / 'dpsync.db'}"


# --- who may write


def test_who_only_reads_cannot_write(engine: Engine) -> None:
    with pytest.raises(SQLAlchemyError), reading(engine) as connection:
        connection.execute(insert(t.meta).values(key="sneaked", value="in"))
    with writing(engine) as connection:  # the connection of the pool may write again
        connection.execute(insert(t.meta).values(key="allowed", value=""))
    with reading(engine) as connection:
        keys = {row.key for row in connection.execute(select(t.meta.c.key))}
    assert "allowed" in keys
    assert "sneaked" not in keys


def test_who_reads_sees_one_moment_and_holds_no_writer_up(engine: Engine) -> None:
    with reading(engine) as reader:
        before = len(reader.execute(select(t.meta)).all())
        with writing(engine) as connection:  # it would wait for this reader for ever, or give up
            connection.execute(insert(t.meta).values(key="meanwhile", value=""))
        if engine.dialect.name == "sqlite":
            assert len(reader.execute(select(t.meta)).all()) == before
    with reading(engine) as reader:
        assert len(reader.execute(select(t.meta)).all()) == before + 1


def test_what_failed_in_the_middle_is_undone(engine: Engine) -> None:
    with pytest.raises(SQLAlchemyError), writing(engine) as connection:
        connection.execute(insert(t.meta), [{"key": "half", "value": ""}, {"key": "half", "value": ""}])
    with writing(engine) as connection:
        nested = connection.begin_nested()
        connection.execute(insert(t.meta).values(key="inner", value=""))
        nested.rollback()
        connection.execute(insert(t.meta).values(key="outer", value=""))
    with reading(engine) as connection:
        assert {row.key for row in connection.execute(select(t.meta.c.key))} & {"half", "inner", "outer"} == {"outer"}


def test_a_deleted_value_is_gone_from_the_files_once_the_wal_is_cut(file: str, tmp_path: Path) -> None:
    engine = open_database(file)
    with writing(engine) as connection:
        connection.execute(insert(t.meta).values(key="k", value="canary-in-the-mine"))
    with writing(engine) as connection:
        connection.execute(update(t.meta).where(t.meta.c.key == "k").values(value=""))
    assert b"canary" in (tmp_path / "dpsync.db-wal").read_bytes()
    with reading(engine) as reader:
        reader.execute(select(t.meta)).all()
        with writing(engine) as connection:
            connection.execute(insert(t.meta).values(key="more", value=""))
        impatient = open_database(file, patience=Patience(longest=0.1))
        assert not truncate_wal(impatient), "a reader holds it open"
        impatient.dispose()
    assert truncate_wal(engine)
    assert (tmp_path / "dpsync.db-wal").read_bytes() == b""
    assert b"canary" not in (tmp_path / "dpsync.db").read_bytes()
    with writing(engine) as connection:  # and the connection that cut it still writes as before
        connection.execute(insert(t.meta).values(key="after", value=""))
    engine.dispose()


def test_the_settings_that_promises_rest_on_are_in_force(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_set_up_sqlite", as_it_is)
    with reading(engine) as connection:
        if engine.dialect.name == "sqlite":
            asked = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in PRAGMAS}
            assert asked == PRAGMAS
        else:
            asked = {name: connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in SHOWN}
            assert asked == SHOWN


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1}
SHOWN = {"idle_in_transaction_session_timeout": "15s", "synchronous_commit": "on", "TimeZone": "UTC"}


# --- the writer's lock and the worker's


def started(code: str, *arguments: str) -> "subprocess.Popen[str]":
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


HOLDS_THE_WRITERS_LOCK = """
import os, signal, sys
from dpsync.store.database import open_database, writing
with writing(open_database(sys.argv[1], paused_holder="1s")):
    print("ready", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""

HOLDS_THE_WORKERS_LOCK = """
import sys, time
from dpsync.store.database import worker_lock
with worker_lock(sys.argv[1]):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_stopped_process_that_holds_the_writers_lock_loses_it(postgresql_url: str) -> None:
    holder = started(HOLDS_THE_WRITERS_LOCK, postgresql_url)
    engine = open_database(postgresql_url)

    def write() -> int:
        with writing(engine) as connection:
            return int(connection.execute(text("SELECT 1")).scalar_one())

    try:
        with ThreadPoolExecutor(1) as other:
            try:
                assert other.submit(write).result(60) == 1, "it still has the lock"
            finally:
                holder.send_signal(signal.SIGKILL)  # else the other would wait for ever
    finally:
        holder.communicate(timeout=60)
        engine.dispose()


def test_a_second_worker_hears_which_process_drives_and_a_killed_one_frees_it(file: str) -> None:
    first = started(HOLDS_THE_WORKERS_LOCK, file)
    try:
        with pytest.raises(Locked, match=str(first.pid)), worker_lock(file):
            pass
        engine = open_database(file)
        with writing(engine) as connection:  # others write beside it
            connection.execute(insert(t.meta).values(key="beside", value=""))
        engine.dispose()
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=60)
    with worker_lock(file):
        assert Path(file.removeprefix("sqlite:///") + ".worker").read_text() == str(os.getpid())


EIGHT_WRITE_AT_ONCE = """
import os, sys, traceback
from pathlib import Path
from dpsync.model import Right
from dpsync.store.database import open_database
from tests.builders import World
waiting, go = os.pipe()
children = []
for number in map(str, range(8)):
    children.append(os.fork())
    if not children[-1]:
        try:
            os.close(go)
            world = World(open_database(sys.argv[1]), Path(sys.argv[2]))
            os.read(waiting, 1)
            world.ask(Right.OPT_OUT, f"p{number}@example.org", id=number, event=number)
            world.close()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
os.close(go)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""


@pytest.mark.slow
def test_eight_processes_that_write_at_once_lose_nothing(file: str, tmp_path: Path) -> None:
    """Forks of one that has loaded everything: they write at the same moment, and none has to load Python first."""
    Keys.create(tmp_path / "keys")
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", EIGHT_WRITE_AT_ONCE, file, str(tmp_path)], cwd=root, check=True, timeout=60)
    world = World(open_database(file), tmp_path)
    assert len(world.rows(t.request)) == 8
    assert world.ledger_problems() == ()
    world.close()
    world.engine.dispose()


# --- the shelf


def test_a_shelf_keeps_what_was_put_last_and_shows_it_to_its_own_processor_only(world: World) -> None:
    mine, other = (
        StoredShelf(name, world.engine, lambda: world.writer, world.keys, world.clock) for name in ("alpha", "beta")
    )
    assert mine.get("a/1") is None
    mine.put("a/1", "first")
    mine.put("a/1", "second")
    mine.put("a/2", "Ünïcode")
    mine.put("a_3", "not under a/")
    mine.put("b", "")
    other.put("a/1", "theirs")
    assert mine.get("a/1") == "second"
    assert mine.find("a/") == {"a/1": "second", "a/2": "Ünïcode"}
    assert mine.find("a_") == {"a_3": "not under a/"}
    assert mine.get("b") == ""
    assert other.find("") == {"a/1": "theirs"}


def test_a_shelf_is_sealed_at_rest_and_bound_to_its_place(file: str, tmp_path: Path) -> None:
    world = World(open_database(file), tmp_path)
    shelf = StoredShelf("alpha", world.engine, lambda: world.writer, world.keys, world.clock)
    shelf.put("status", "subscribed-canary")
    for path in tmp_path.glob("dpsync.db*"):
        assert b"canary" not in path.read_bytes()
    world.writer.call(lambda unit: unit.connection.execute(update(t.shelf).values(key="another")))
    with pytest.raises(Exception) as moved:  # noqa: PT011 - because which error is sealing's own affair
        shelf.get("another")
    assert not isinstance(moved.value, DBAPIError)
    world.close()
    world.engine.dispose()


def test_a_shelf_value_is_durable_when_put_returns(engine: Engine, tmp_path: Path) -> None:
    world = World(engine, tmp_path)
    StoredShelf("alpha", engine, lambda: world.writer, world.keys, world.clock).put("k", "v")
    again = Writer(engine, lambda *_: None)
    assert StoredShelf("alpha", engine, lambda: again, Keys.load(tmp_path / "keys"), world.clock).get("k") == "v"
    again.close()
    world.close()


def test_of_two_that_swap_the_same_value_one_succeeds(world: World) -> None:
    shelf = StoredShelf("alpha", world.engine, lambda: world.writer, world.keys, world.clock)
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda n: shelf.swap("token", None, f"first {n}"), range(16))) == 1
        stands = shelf.get("token")
        assert sum(pool.map(lambda n: shelf.swap("token", stands, f"second {n}"), range(16))) == 1
    assert (shelf.get("token") or "").startswith("second")
    assert not shelf.swap("token", stands, "third")
    assert not shelf.swap("another", "never there", "third")
    assert shelf.get("another") is None


def test_many_are_put_in_one_commit(world: World) -> None:
    shelf = StoredShelf("alpha", world.engine, lambda: world.writer, world.keys, world.clock)
    shelf.put_all({"a": "1", "b": "2"})
    shelf.put_all({"b": "3", "c": "4"})
    shelf.put_all({})
    assert shelf.find("") == {"a": "1", "b": "3", "c": "4"}


def test_what_is_noted_is_kept_by_whoever_records_the_outcome_and_the_last_of_one_key_stands(world: World) -> None:
    shelf = StoredShelf("alpha", world.engine, lambda: world.writer, world.keys, world.clock)
    take_notes()
    for number in range(3):
        shelf.note("k", str(number))
    shelf.note("other", "v")
    with ThreadPoolExecutor(1) as elsewhere:
        assert not elsewhere.submit(take_notes).result(), "another thread asks for another person"
    assert shelf.find("") == {}
    notes = take_notes()
    assert not take_notes()
    world.writer.call(lambda unit: keep(unit.connection, notes))
    assert shelf.find("") == {"k": "2", "other": "v"}
