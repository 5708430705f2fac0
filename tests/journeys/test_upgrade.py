"""An older database under a newer program: refused, then copied and migrated, and the work on the way goes on."""

import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, MetaData, select, text
from sqlalchemy.exc import DBAPIError

from dpsync.__main__ import main
from dpsync.errors import Locked, StoreProblem
from dpsync.model import State
from dpsync.store import tables as t
from dpsync.store.database import open_database, reading, worker_lock, writing
from dpsync.store.schema import SCHEMA, demand_current_schema, migrate, schema_version
from tests.builders import World
from tests.crashes.test_killed import program
from tests.databases import new_database
from tests.faults.counting import Counted
from tests.stored_schema import REQUESTS, STORED, begin

NOW = timedelta(minutes=10)
"""How long after its first request the stored database is found."""
CONFIG = """\
[controller]
name = "Example Gardens"
dpo = "dpo@example.org"
operator = "it@example.org"

[store]
url = { env = "DPSYNC_TEST_DATABASE" }

[ledger]
origin = "example.org/dpsync"

[intake]
secrets = [{ env = "DPSYNC_TEST_SECRET" }]
"""


@pytest.fixture
def older(database_url: str, tmp_path: Path) -> Iterator[Engine]:
    with new_database(database_url, tmp_path) as engine:
        begin(engine, tmp_path)
        yield engine


def url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def stored_rows(engine: Engine) -> dict[str, list[dict[str, object]]]:
    """All that stood in the stored database, as its own columns, whatever came to them."""
    tables = MetaData()
    found: dict[str, list[dict[str, object]]] = {}
    with reading(engine) as connection:
        tables.reflect(connection)
        for name, rows in STORED["rows"].items():
            columns = [tables.tables[name].c[key] for key in {key: None for row in rows for key in row}]
            found[name] = sorted((dict(row) for row in connection.execute(select(*columns)).mappings()), key=str)
    return found


def finish(engine: Engine, folder: Path) -> None:
    """Go on with the stored work to its end, and see at the processor and in the ledger that it is so."""
    world = World(engine, folder)
    alpha = world.vendors["alpha"]
    alpha.people = {address: dict(held) for address, held in STORED["people"].items()}
    world.use(world.processor("alpha"), world.processor("forms", world.notice))
    world.clock.advance(NOW)
    world.restart()
    world.drive()
    states = [world.states(one) for one in REQUESTS]
    assert [one["alpha"] for one in states] == [State.VERIFIED] * 4
    assert [one["forms"] for one in states] == [State.ACCEPTED] * 4
    assert alpha.people == {
        "bob@example.org": {"status": "unsubscribed"},
        "cy@example.org": {"status": "subscribed", "CITY": "Kent"},
        "dee@example.org": {"status": "archived"},
    }
    assert world.ledger_problems() == ()
    world.close()


def test_an_upgrade_keeps_every_row_and_the_work_on_the_way_is_finished(older: Engine, tmp_path: Path) -> None:
    before = stored_rows(older)
    done = migrate(older, backed_up=True)
    assert done is not None
    assert done.was == "0001"
    demand_current_schema(older)
    assert stored_rows(older) == before
    finish(older, tmp_path)


@pytest.mark.fault(40)
@pytest.mark.parametrize("moment", ["copied", "changed", "committing"])
def test_killed_in_the_middle_of_an_upgrade_the_old_database_is_whole_and_the_next_one_brings_it_through(
    moment: str, older: Engine, tmp_path: Path, counted: Counted
) -> None:
    if moment == "copied" and older.dialect.name == "postgresql":
        pytest.skip(reason="on PostgreSQL the copy is the operator's")
    before = stored_rows(older)
    assert program("migrating", url_of(older), moment) == -signal.SIGKILL
    assert schema_version(older) == "0001"
    assert stored_rows(older) == before
    assert migrate(older, backed_up=True) is not None
    after = stored_rows(older)
    counted(40, lost=sum(row not in after[name] for name, rows in before.items() for row in rows))
    assert stored_rows(older) == before
    finish(older, tmp_path)


def test_a_migrated_ledger_only_grows_still(older: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with writing(older) as connection:  # as SQLite does by itself with a table that a migration has to rebuild
        for table, name in (("entry", "entry_no_delete"), ("entry", "entry_only_grows")):
            on = "" if older.dialect.name == "sqlite" else f" ON {table}"
            connection.execute(text(f"DROP TRIGGER IF EXISTS {name}{on}"))
    assert run(older, tmp_path, monkeypatch, "init", str(tmp_path), "--backed-up") == 0
    with pytest.raises(DBAPIError, match="only grows"), writing(older) as connection:
        connection.execute(text("DELETE FROM entry"))


# --- the copy that leads back


def test_the_copy_holds_what_was_only_in_the_log_and_is_for_its_owner_alone(
    sqlite_template: Path, tmp_path: Path
) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'dpsync.db'}")
    begin(engine, tmp_path)
    with engine.connect() as held:  # a reader keeps the newest rows in `-wal`
        held.execute(text("SELECT 1"))
        with writing(engine) as connection:
            connection.execute(text("INSERT INTO meta VALUES ('newest', 'row')"))
        done = migrate(engine)
    assert done is not None
    assert done.copy == tmp_path / "dpsync.db.schema-0001"
    assert done.copy.stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect(done.copy)) as copy:
        assert copy.execute("SELECT value FROM meta WHERE key = 'newest'").fetchone() == ("row",)
        assert copy.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    engine.dispose()


def test_where_no_copy_can_be_made_nothing_is_migrated(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'dpsync.db'}")
    begin(engine, tmp_path)
    (tmp_path / "dpsync.db.schema-0001").mkdir()
    with pytest.raises(StoreProblem, match="cannot be written"):
        migrate(engine)
    assert schema_version(engine) == "0001"
    engine.dispose()


def test_a_database_server_is_migrated_only_when_somebody_says_that_it_is_backed_up(
    older: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(older, tmp_path, monkeypatch, "init", str(tmp_path))
    seen = capsys.readouterr()
    if older.dialect.name == "sqlite":
        assert code == 0
        assert "from schema 0001 to" in seen.err
        assert "new.db.schema-0001" in seen.err
        return
    assert code == 78
    assert "pg_dump" in seen.err
    assert "--backed-up" in seen.err
    assert schema_version(older) == "0001"
    assert run(older, tmp_path, monkeypatch, "init", str(tmp_path), "--backed-up") == 0
    assert schema_version(older) == SCHEMA


# --- an older copy that was put back


def put_back(engine: Engine, folder: Path) -> None:
    """The database as it was before the upgrade; what lies beside it stays as it is."""
    (folder / "keys").rename(folder / "newest")
    begin(engine, folder)
    shutil.rmtree(folder / "keys")
    (folder / "newest").rename(folder / "keys")


def test_an_older_copy_that_lost_a_request_is_not_migrated(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    init = ("init", str(tmp_path), "--backed-up")
    with new_database(database_url, tmp_path) as engine:
        begin(engine, tmp_path)
        assert run(engine, tmp_path, monkeypatch, *init) == 0
        assert run(engine, tmp_path, monkeypatch, "submit", "erasure", "--email", "eve@example.org") == 0
    for left in tmp_path.glob("new.db*"):
        left.unlink()
    with new_database(database_url, tmp_path) as engine:
        put_back(engine, tmp_path)
        before = stored_rows(engine)
        capsys.readouterr()
        assert run(engine, tmp_path, monkeypatch, *init) == 2
        assert "DP-605" in capsys.readouterr().err
        assert schema_version(engine) == "0001"
        assert stored_rows(engine) == before
        (tmp_path / "anchors" / "journal").rename(tmp_path / "anchors" / "journal.gap")
        assert run(engine, tmp_path, monkeypatch, *init) == 0, "once a person has accepted the loss"


def test_an_older_copy_that_does_not_reach_its_anchor_is_not_migrated(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    init = ("init", str(tmp_path), "--backed-up")
    with new_database(database_url, tmp_path) as engine:
        begin(engine, tmp_path)
        assert run(engine, tmp_path, monkeypatch, *init) == 0
        assert run(engine, tmp_path, monkeypatch, "submit", "erasure", "--email", "eve@example.org") == 0
        run(engine, tmp_path, monkeypatch, "run-once")  # leaves a checkpoint behind the new entries
        with reading(engine) as connection:
            request = connection.execute(select(t.request.c.id).order_by(t.request.c.ordinal.desc())).scalars().first()
        assert run(engine, tmp_path, monkeypatch, "receipt", str(request), "-o", str(tmp_path / "one.json")) == 0
    for left in tmp_path.glob("new.db*"):
        left.unlink()
    (tmp_path / "anchors" / "journal").rename(tmp_path / "journal")
    with new_database(database_url, tmp_path) as engine:
        put_back(engine, tmp_path)
        capsys.readouterr()
        assert run(engine, tmp_path, monkeypatch, *init) == 2
        assert "DP-601" in capsys.readouterr().err
        assert schema_version(engine) == "0001"


# --- who migrates, and who does not


def run(engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch, *argv: str) -> int:
    monkeypatch.setenv("DPSYNC_TEST_DATABASE", url_of(engine))
    monkeypatch.setenv("DPSYNC_TEST_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    config = folder / "dpsync.toml"
    config.write_text(CONFIG, encoding="utf-8")
    return main(["--config", str(config), *argv])


@pytest.mark.parametrize(
    "command", [("serve",), ("run-once",), ("status",), ("submit", "erasure", "--email", "eve@example.org")]
)
def test_no_command_but_init_changes_an_older_schema(
    command: tuple[str, ...],
    older: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(older, tmp_path, monkeypatch, *command) == 78
    said = capsys.readouterr().err
    assert "DP-203" in said
    assert "older schema 0001" in said
    assert "dpsync init" in said
    assert schema_version(older) == "0001"


@pytest.mark.parametrize("command", [("serve",), ("status",), ("init", ".")])
def test_a_schema_that_is_newer_than_the_program_is_refused_by_every_command(
    command: tuple[str, ...],
    older: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    migrate(older, backed_up=True)
    with writing(older) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    monkeypatch.chdir(tmp_path)
    assert run(older, tmp_path, monkeypatch, *command) == 78
    said = capsys.readouterr().err
    assert "schema 0999, which is newer than this program" in said
    assert schema_version(older) == "0999"


def test_nothing_is_migrated_under_a_worker_that_is_at_work(older: Engine) -> None:
    if older.dialect.name == "sqlite":
        with worker_lock(older.url), pytest.raises(Locked, match="another dpsync worker"):
            migrate(older)
        assert schema_version(older) == "0001"
        return
    alive = "UPDATE worker SET beat_until = (extract(epoch FROM clock_timestamp()) + 5) * 1000000"
    with writing(older) as connection:
        connection.execute(text(alive))
    with pytest.raises(Locked, match="stop it"):
        migrate(older, backed_up=True)
    assert schema_version(older) == "0001"


def test_a_current_schema_is_left_alone_beside_a_worker(older: Engine) -> None:
    migrate(older, backed_up=True)
    with worker_lock(older.url):
        assert migrate(older, backed_up=True) is None
    with reading(older) as connection:
        assert connection.execute(select(t.request.c.id)).all()
