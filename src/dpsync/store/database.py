"""Connections: how a transaction begins on each engine, so that the same code means the same on both.

One writer at a time, on both. On SQLite that is `BEGIN IMMEDIATE`; on PostgreSQL one advisory lock, taken first. So
ledger indices are in commit order, no two writers can deadlock, and a race is decided before anything is read. What
`beside` says may run beside others shares that lock. See docs/decisions/0001-one-writer-at-a-time.md and 0023.
"""

import errno
import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url

from dpsync.connector_services import CALLS_AT_ONCE
from dpsync.errors import Locked, StoreAway, StoreProblem
from dpsync.extras import demand
from dpsync.store.beside import is_beside, options
from dpsync.store.columns import EPOCH
from dpsync.store.patience import Patience, ask_sqlite, listen_to_postgresql, quiet_seconds
from dpsync.store.trouble import FULL, file_trouble

WRITER_LOCK = 0x6470_7379  # any fixed number; one database serves one installation
KEPT = 8
"""Connections that stay open between transactions."""
CONNECTIONS = KEPT + CALLS_AT_ONCE // 8
"""How many a process has at most. A caller holds one only while it reads what its connector remembers, a millisecond of
a call's fifty or more, and never while it waits for the one writer: so all of them wait in one line that always moves.
Measured on two cores, with every caller reading five times at the same moment, the longest waited a second for all five
on PostgreSQL and half of one on SQLite. PostgreSQL takes 100 as shipped: two workers beside reports and a person."""
CONNECT_SECONDS = 10
GONE = {"keepalives_idle": 20, "keepalives_interval": 5, "keepalives_count": 4, "tcp_user_timeout": 40_000}
"""A server that vanished in the middle of an answer is given up after 40 s (libpq), not after TCP's two hours."""

PAUSED_HOLDER = "15s"
"""A writer that stops in the middle (SIGSTOP, a paused machine) loses its transaction after this, and the lock."""


def open_database(url: str, *, patience: Patience | None = None, paused_holder: str = PAUSED_HOLDER) -> Engine:
    """An engine for `url`, its connections set up as this house needs them. Opens no connection yet.

    Raises `StoreProblem` or `StoreAway` where the folder of a SQLite file cannot be made, `ExtraMissing` where the
    driver for PostgreSQL is not installed.
    `patience`: how its transactions wait for whoever holds the database.
    """
    parsed, waits = make_url(url), patience or Patience()
    if parsed.get_backend_name() != "sqlite":
        return _postgresql(parsed, waits, paused_holder)
    if parsed.database and parsed.database != ":memory:":
        if found := file_trouble(url, writes=False):  # a pipe in its place would be waited for
            raise found
        _make_folder(url, Path(parsed.database).parent)
    return _sqlite(parsed, waits)


def _sqlite(url: URL, patience: Patience) -> Engine:
    arguments = {"timeout": quiet_seconds(patience.longest)}
    engine = create_engine(url, pool_size=KEPT, max_overflow=CONNECTIONS - KEPT, connect_args=arguments)
    database = url.database or ""
    event.listen(engine, "connect", lambda connection, _: _set_up_sqlite(connection, patience, database))
    event.listen(engine, "begin", lambda connection: _begin_sqlite(connection, patience, database))
    return engine


def _postgresql(url: URL, patience: Patience, paused_holder: str) -> Engine:
    demand("postgresql", "a database at postgresql://")
    # Without a limit a server that vanished is waited for as long as TCP likes: minutes, for each of what waits.
    # No prepared statements: a pooler (PgBouncer in transaction mode) gives each transaction to another session.
    arguments = {"connect_timeout": CONNECT_SECONDS, "prepare_threshold": None, "client_encoding": "utf8", **GONE}
    engine = create_engine(
        url, pool_size=KEPT, max_overflow=CONNECTIONS - KEPT, pool_pre_ping=True, connect_args=arguments
    )
    event.listen(engine, "begin", _Beginning(schema_of(url), patience.longest, paused_holder))
    listen_to_postgresql(engine, patience, arguments)
    return engine


def _make_folder(url: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise (
            StoreAway(FULL)
            if full
            else file_trouble(url)
            or StoreProblem(f"{folder}, the folder of [store] url, cannot be made: {error.strerror}")
        ) from None


def schema_of(url: URL) -> str:
    """The PostgreSQL schema that the tables are in: the first of `search_path` in the URL's `options`, else `public`.

    Spelled as PostgreSQL reads it: without quotation marks in lower case. `$user` names none of ours.
    """
    options = url.query.get("options", "")
    found = _SEARCH_PATH.findall(options if isinstance(options, str) else " ".join(options))
    names = _NAME.findall(re.sub(r"\\(.)", r"\1", found[-1])) if found else []
    spelled = (name[1:-1].replace('""', '"') if name.startswith('"') else name.lower() for name in names)
    return next((name for name in spelled if name != "$user"), "public")


_SEARCH_PATH = re.compile(r"(?:-c\s*|--)search_path=((?:\\.|\S)+)")
"""With the backslashes that PostgreSQL takes before white space: libpq-connect, `options`."""
_NAME = re.compile(r'"(?:[^"]|"")+"|[^\s,"]+')


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class _Beginning:
    """How a transaction begins on PostgreSQL: with every setting that the code rests on, in one round trip.

    Set for the transaction and not for the session: what the server's file, `ALTER ROLE`, `ALTER DATABASE`, the URL or
    a pooler's last user have set changes nothing here, and nothing of ours is left behind for a pooler's next one.
    """

    def __init__(self, schema: str, longest_wait: float, paused_holder: str) -> None:
        always = {
            "timezone": "UTC",
            "datestyle": "ISO",
            "standard_conforming_strings": "on",
            "search_path": _quoted(schema),
            "statement_timeout": "0",
            "lock_timeout": f"'{longest_wait * 1000:.0f}ms'",
            "idle_in_transaction_session_timeout": f"'{paused_holder}'",
        }
        pins = "".join(f"; SET LOCAL {name} = {value}" for name, value in always.items())
        # READ COMMITTED: a snapshot from before the writer's lock would not show what its last holder did.
        begin = f"SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE{pins}; SET LOCAL synchronous_commit = on; "
        self._writing = f"{begin}SELECT pg_advisory_xact_lock({WRITER_LOCK})"
        # Deferred: a trigger that counts would make everybody wait for who counted first.
        self._beside = f"{begin}SELECT pg_advisory_xact_lock_shared({WRITER_LOCK}); SET CONSTRAINTS ALL DEFERRED"
        # READ COMMITTED would see another moment with each statement, and numbers of one report would not agree.
        self._reading = f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY{pins}"

    def __call__(self, connection: Connection) -> None:
        writes = connection.get_execution_options().get("dpsync_writes", False)
        writing = self._beside if is_beside(connection) else self._writing
        connection.exec_driver_sql(writing if writes else self._reading)


def _set_up_sqlite(connection: sqlite3.Connection, patience: Patience, database: str) -> None:
    # sqlite3 would begin by itself, late and deferred: read-then-write would fail with BUSY at once.
    connection.isolation_level = None
    cursor = connection.cursor()
    ask_sqlite(patience, database, lambda: cursor.execute("PRAGMA journal_mode=WAL"))
    cursor.execute("PRAGMA synchronous=FULL")  # NORMAL may lose acknowledged commits on power loss
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection, patience: Patience, database: str) -> None:
    """Begin with all that a transaction may ever have to wait for.

    A reader's view begins with the first thing it reads, so that is read here, and its wait is one that is told of.
    """
    options = connection.get_execution_options()
    if options.get("dpsync_writes", False):
        ask_sqlite(patience, database, lambda: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        return
    connection.exec_driver_sql("BEGIN")
    if options.get("isolation_level") != "AUTOCOMMIT":
        ask_sqlite(patience, database, lambda: connection.exec_driver_sql(_FIRST_READ).first())


_FIRST_READ = "SELECT 1 FROM sqlite_master LIMIT 1"


@contextmanager
def writing(engine: Engine, *, beside: bool = False) -> Iterator[Connection]:
    """A transaction that alone may write; committed at the end, rolled back on an exception.

    `beside`: on PostgreSQL it shares that with others that say so, see `store.beside`.
    """
    with engine.connect().execution_options(**options(beside=beside)) as connection, connection.begin():
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees one moment and cannot write; it never holds the writer up."""
    with engine.connect() as connection, connection.begin():
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA query_only=ON")
        try:
            yield connection
        finally:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA query_only=OFF")


def database_now(connection: Connection) -> datetime:
    """The time by the clock that every worker shares: the server's on PostgreSQL, the machine's on SQLite."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    microseconds: int = connection.execute(
        text("SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint")
    ).scalar_one()
    return EPOCH + timedelta(microseconds=microseconds)


@contextmanager
def worker_lock(url: str | URL) -> Iterator[None]:
    """Be the only *worker* on a SQLite store; other commands write beside it. On PostgreSQL the lease decides.

    The operating system frees the lock when its holder dies, however it dies. Raises `Locked`, naming the holder.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        yield
        return
    with _lock_file(str(url), Path(f"{parsed.database}.worker")) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise Locked(f"another dpsync worker (process {holder}) drives this database; it does the work") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _lock_file(url: str, path: Path) -> TextIO:
    try:
        return path.open("a+", encoding="ascii")
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreAway(FULL) from None
        raise file_trouble(url) or StoreProblem(f"{path} cannot be opened: {error.strerror}") from None


def truncate_wal(engine: Engine) -> bool:
    """Move what stands in SQLite's `-wal` into the file and cut it to nothing; False while a reader holds it open.

    Deleted clear text stands in `-wal` until then. On PostgreSQL there is nothing to do.
    """
    if engine.dialect.name != "sqlite":
        return True
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        row: Any = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
    return bool(row[0] == 0)
