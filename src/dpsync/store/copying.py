"""A copy of the whole database while others work on it, as of one moment; and the way back into an empty place.

SQLite by its own online back-up, PostgreSQL by pg_dump and pg_restore, which belong to the server and are not ours.
"""

import os
import secrets
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSchema

from dpsync import durable
from dpsync.errors import StoreProblem
from dpsync.store.database import schema_of

FILES: Final = {"sqlite": "database.sqlite", "postgresql": "database.pgdump"}
"""What the copy is called, by engine."""

SCRATCH: Final = "dpsync_drill_"
"""How the name of a database begins that is only there to try a copy."""

_PING_SECONDS = 1.0
"""How often the session that holds the view says that it lives (`store.database.PAUSED_HOLDER`)."""


def copy_sqlite(database: Path, copy: Path) -> None:
    """The file as it is after the last commit, with what stands in its `-wal`. On the disk when it returns.

    One step: in between, a writer would make it begin anew, for ever if there are many. Writers go on meanwhile.
    Raises `OSError`, `sqlite3.Error`.
    """
    durable.create(copy, b"")
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")  # one file, and none beside it
    durable.sync(copy)


def opened_copy(copy: Path) -> Engine:
    """A copy of a SQLite file, to be read."""
    return create_engine(f"sqlite:///{copy}", poolclass=NullPool)


def dump(connection: Connection, copy: Path) -> None:
    """What this transaction sees of a PostgreSQL database, in pg_dump's own form. Raises `StoreProblem`, `OSError`."""
    url = connection.engine.url
    snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
    durable.create(copy, b"")
    options = ["--format=custom", f"--schema={_pattern(url)}", f"--snapshot={snapshot}", f"--file={copy}"]
    _run("pg_dump", [_address(url), *options], url, lambda: connection.execute(text("SELECT 1")))
    durable.sync(copy)


def demand_empty(engine: Engine) -> None:
    """Refuse a schema that holds something: nothing that stands there is ever dropped. Raises `StoreProblem`."""
    with engine.connect() as connection, connection.begin():
        found = connection.execute(
            text("SELECT count(*) FROM pg_tables WHERE schemaname = :schema"), {"schema": schema_of(engine.url)}
        ).scalar_one()
    if found:
        raise StoreProblem(
            f"the PostgreSQL database {engine.url.database} holds {found} tables already, and nothing is written over "
            "them: keep it as it is, make an empty one (createdb), name that in [store] url, and try again"
        )


def restore_dump(engine: Engine, copy: Path) -> None:
    """Put such a copy into the empty schema of `engine`, whole or not at all. Raises `StoreProblem`."""
    options = ["--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error"]
    options += [f"--schema={schema_of(engine.url)}", str(copy)]
    _run("pg_restore", [_address(engine.url), *options], engine.url)


def may_make_databases(engine: Engine) -> bool:
    """Whether the user of a PostgreSQL database may make another one beside it."""
    query = "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
    with engine.connect() as connection, connection.begin():
        return bool(connection.execute(text(query)).scalar_one_or_none())


@contextmanager
def scratch_database(engine: Engine) -> Iterator[Engine]:
    """An empty PostgreSQL database beside that of `engine`, of a name of its own; it is dropped at the end.

    Raises `StoreProblem` where the server refuses one.
    """
    name = f"{SCRATCH}{secrets.token_hex(8)}"
    server = create_engine(engine.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    scratch = create_engine(engine.url.set(database=name), poolclass=NullPool)
    try:
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template0"))
    except DBAPIError as refused:
        raise StoreProblem("the PostgreSQL server makes no database to try the back-up in: see its log") from refused
    try:
        if (schema := schema_of(engine.url)) != "public":
            with scratch.begin() as connection:
                connection.execute(CreateSchema(schema))
        yield scratch
    finally:
        scratch.dispose()
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        server.dispose()


def demand_readable(copy: Path) -> None:
    """Have pg_restore read such a copy from end to end, into nothing. Raises `StoreProblem`."""
    _run("pg_restore", [f"--file={os.devnull}", str(copy)])


def _address(url: URL) -> str:
    # The password goes by the environment: everybody on this machine can see the arguments of a process.
    address = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    return f"--dbname={address}"


def _run(
    program: str, arguments: list[str], url: URL | None = None, meanwhile: Callable[[], object] = lambda: None
) -> None:
    path = shutil.which(program)
    if path is None:
        raise StoreProblem(
            f"{program} is not installed here, and a PostgreSQL database needs it: install the client programs of the "
            "server's version (Debian: apt install postgresql-client)"
        )
    environ = {**os.environ, "LC_ALL": "C"}
    if url is not None and url.password:
        environ["PGPASSWORD"] = str(url.password)
    nothing = subprocess.DEVNULL
    with subprocess.Popen(  # noqa: S603 - because the server's own programs are run, with arguments of ours
        [path, *arguments], stdin=nothing, stdout=nothing, stderr=subprocess.PIPE, env=environ
    ) as running:
        while True:
            try:
                _, said = running.communicate(timeout=_PING_SECONDS)
                break
            except subprocess.TimeoutExpired:
                meanwhile()
    _demand_done(program, running.returncode, said)


def _pattern(url: URL) -> str:
    """The schema as pg_dump takes a pattern: in quotation marks every sign means itself."""
    name = schema_of(url).replace('"', '""')
    return f'"{name}"'


def _demand_done(program: str, code: int, said: bytes) -> None:
    """Refuse what did not end well. Of what it said only what we know is repeated: it may quote rows."""
    if code == 0:
        return
    why = f"it ended with {code}"
    if b"server version mismatch" in said:
        why = "it is older than the server: install the client programs of the server's version"
    elif b"unsupported version" in said:
        why = "it is older than the pg_dump that made the copy: install the client programs of that version"
    elif b"No space left" in said:
        why = "the disk is full"
    raise StoreProblem(f"{program} did not finish: {why}")
