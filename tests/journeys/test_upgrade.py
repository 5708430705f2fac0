"""An older database under a newer program: refused, then copied and migrated, and the work on the way goes on."""

import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, select, text
from sqlalchemy.exc import DBAPIError

from dpsync.__main__ import main
from dpsync.cli.app import COMMANDS, GROUPS
from dpsync.errors import Locked, StoreProblem
from dpsync.model import State
from dpsync.store import tables as t
from dpsync.store.database import open_database, reading, worker_lock, writing
from dpsync.store.schema import SCHEMA, demand_current_schema, migrate, schema_version
from tests.builders import World
from tests.crashes.forking import Fork, forks
from tests.databases import new_database, new_schema
from tests.faults.counting import Counted
from tests.stored_schema import REQUESTS, SHIPPED, STORED, begin

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


DATABASE_COMMANDS = """\
init .
check
serve
receive
work
run-once
plan erasure --email eve@example.org
submit erasure --email eve@example.org
import erasure people.csv --by Dana
screen people.csv -o out.csv
status
pause
resume
release r-1 --by Dana --reason x
withdraw r-1 --by Dana --reason x
retry r-1 alpha --by Dana --reason x
welcome --email eve@example.org --on 2026-11-20 --consent form --by Dana
settle r-1 alpha --by Dana --reason x
exempt r-1 alpha --code art19_impossible --by Dana --reason x
extend r-1 --told-on 2026-11-20 --by Dana --reason x
hold-evidence r-1 --until 2099-12-31 --by Dana --reason x
letter r-1
told r-1 --on 2026-11-20 --by Dana
acknowledge r-1 alpha --answer done --by Dana --reason x
contact alpha new@example.org --by Dana --reason x
report
dossier r-1
register
leaving alpha
find --email eve@example.org
receipt r-1
verify
forgotten
backup copies
drill copies
recover --by Dana --reason x
witness
complaint list
incident list
keys show
keys check
keys rotate signing --by Dana --reason x
links show
links revoke --all
retention show
source findings
source merges
sweep
hooks list
""".splitlines()
"""Each command that works with the database; of a group all take the same way to it."""
WITHOUT_DATABASE = {
    *("explain", "completion", "sandbox", "demo", "health", "processors", "config schema", "config upgrade"),
    *("service show", "service install", "intake show", "source list", "source outbox", "source sample", "source test"),
    "opendsr token",
    "doctor",  # says which version is there
    "restore",  # puts another database there, of which it asks the same
}


@pytest.fixture
def older(database_url: str, tmp_path: Path) -> Iterator[Engine]:
    with new_schema(database_url, tmp_path) as engine:
        begin(engine, tmp_path)
        yield engine


def url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def stored_rows(engine: Engine) -> dict[str, list[dict[str, object]]]:
    """All that stands in a database, but its version."""
    with reading(engine) as connection:  # to reflect each table would take most of a test's time
        names = sorted(set(inspect(connection).get_table_names()) - {"alembic_version"})
        found = {name: connection.execute(text(f'SELECT * FROM "{name}"')).mappings().all() for name in names}  # noqa: S608 - because the names are the schema's
        return {name: sorted(map(dict, rows), key=str) for name, rows in found.items()}


def lost(before: dict[str, list[dict[str, object]]], after: dict[str, list[dict[str, object]]]) -> list[str]:
    """The tables in which a row is gone, or another one, whatever columns came to it."""
    return [
        name
        for name, rows in before.items()
        if len(after[name]) != len(rows)
        or not all(any(row.items() <= one.items() for one in after[name]) for row in rows)
    ]


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


@pytest.fixture(scope="module")
def upgrades() -> Iterator[Fork]:
    with forks("migrating") as fork:
        yield fork


OLDER = [version for version in SHIPPED if version != SCHEMA]
MOMENTS = ("copied", "changed", "committing")
KILLED = [
    *(("0001", moment) for moment in MOMENTS),
    *((version, MOMENTS[number % 3]) for number, version in enumerate(OLDER[1:])),
]


@pytest.mark.fault(40)
@pytest.mark.parametrize(("version", "moment"), KILLED)
def test_killed_in_the_middle_of_an_upgrade_the_old_database_is_whole_and_the_next_one_brings_it_through(
    version: str,
    moment: str,
    upgrades: Fork,
    database_url: str,
    tmp_path: Path,
    counted: Counted,
) -> None:
    """From each schema that was ever shipped, with work on the way: all of it is finished, and proved."""
    if moment == "copied" and database_url.startswith("postgresql"):
        if version == "0001":
            pytest.skip(reason="on PostgreSQL the copy is the operator's")
        moment = "changed"
    with new_schema(database_url, tmp_path) as engine:
        begin(engine, tmp_path, version)
        before = stored_rows(engine)
        assert upgrades(moment, url_of(engine)) == -signal.SIGKILL
        assert schema_version(engine) == version
        assert stored_rows(engine) == before
        done = migrate(engine, backed_up=True)
        assert done is not None
        assert done.was == version
        demand_current_schema(engine)
        gone = lost(before, stored_rows(engine))
        counted(40, lost=len(gone))
        assert gone == []
        finish(engine, tmp_path)


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


# --- what must be so before it counts


def test_a_ledger_that_is_not_in_order_is_not_migrated(
    older: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with writing(older) as connection:
        if older.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER entry_no_update"))
        else:
            connection.execute(text("ALTER TABLE entry DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE entry SET body = (SELECT body FROM entry WHERE idx = 1) WHERE idx = 2"))
    assert run(older, tmp_path, monkeypatch, "init", str(tmp_path), "--backed-up") == 2
    assert "DP-601" in capsys.readouterr().err
    assert schema_version(older) == "0001"


def test_a_migration_that_would_lose_a_row_is_not_committed(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'dpsync.db'}")
    begin(engine, tmp_path)
    with writing(engine) as connection:  # it is not looked at how the row is lost
        connection.execute(text("CREATE TRIGGER loses AFTER UPDATE ON alembic_version BEGIN DELETE FROM notice; END"))
    before = stored_rows(engine)
    with pytest.raises(StoreProblem, match="would lose rows of notice"):
        migrate(engine)
    assert schema_version(engine) == "0001"
    assert stored_rows(engine) == before
    engine.dispose()


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
    assert ("`dpsync init` copies the database" in said) is (older.dialect.name == "sqlite")
    assert ("pg_dump" in said and "`dpsync init --backed-up`" in said) is (older.dialect.name == "postgresql")
    assert schema_version(older) == "0001"


@pytest.mark.fault(40)
def test_a_schema_that_is_newer_than_the_program_is_refused_by_every_command(
    older: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], counted: Counted
) -> None:
    migrate(older, backed_up=True)
    with writing(older) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    monkeypatch.chdir(tmp_path)
    Path("people.csv").write_text("email\neve@example.org\n", encoding="utf-8")
    before, refused = stored_rows(older), f"schema 0999, which is newer than this program ({SCHEMA})"
    for command in DATABASE_COMMANDS if older.dialect.name == "sqlite" else ("init .", "serve", "status"):
        ended, said = run(older, tmp_path, monkeypatch, *command.split()), capsys.readouterr()
        assert (ended, refused in said.err + said.out) == (78, True), command
    assert schema_version(older) == "0999"
    gone = lost(before, stored_rows(older))
    counted(40, lost=len(gone))
    assert gone == []


def test_each_command_that_needs_the_database_is_among_those_that_were_tried() -> None:
    tried = {line.split()[0] for line in DATABASE_COMMANDS} | WITHOUT_DATABASE
    alone = {f"{name} {one.name}" for name in GROUPS.keys() - tried for one in GROUPS[name].registered_commands}
    assert {*COMMANDS, *alone} - tried == set()


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
