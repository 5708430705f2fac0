"""What each test would do anew, for hundredths of a second each, is done once in a process and kept."""

import os
import sqlite3
from typing import Any

from sqlalchemy import Connection, Engine, event, inspect
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

from dpsync.running import month_report
from dpsync.store import database, schema
from dpsync.store.patience import Patience

as_it_is = database._set_up_sqlite


def keep_compiled() -> None:
    """What SQLAlchemy compiled out of a statement is good for every engine: each test opens one of its own, and would
    compile the same statements again, a fifth of what the tests of a database cost. Dialects of one class are alike.
    """
    begin, kept = Engine.__init__, LRUCache[Any, Any](3_000)

    def begun(self: Engine, *given: Any, **more: Any) -> None:
        begin(self, *given, **more)
        self._compiled_cache = kept

    Engine.__init__ = begun  # type: ignore[method-assign]  # because no event tells of an engine that is made
    for dialect in (PGDialect_psycopg, SQLiteDialect_pysqlite):
        of_class = {"__hash__": lambda self: hash(type(self)), "__eq__": lambda self, other: type(self) is type(other)}
        for name, method in of_class.items():
            setattr(dialect, name, method)


def keep_migrations() -> None:
    """An empty database is made by the statements that alembic gave for the first one: to make them took ten times as
    long. A database that holds something is migrated as ever.
    """
    upgrade, kept = schema._upgrade, dict[str, list[tuple[str, Any]]]()

    def upgraded(connection: Connection) -> None:
        if inspect(connection).get_table_names():
            upgrade(connection)
        elif statements := kept.get(connection.dialect.name):
            for statement, parameters in statements:
                connection.exec_driver_sql(statement, parameters)
        else:
            kept[connection.dialect.name] = _told(connection, upgrade)

    schema._upgrade = upgraded


def spare_the_disk() -> None:
    """Nothing waits for the disk: processes are killed here, and never the machine, so each finds what was written.

    What `dpsync` asks of the disk is looked at in test_durable.py and, with `as_it_is`, in test_store.py.
    """

    def spared(connection: sqlite3.Connection, patience: Patience, database: str) -> None:
        as_it_is(connection, patience, database)
        connection.execute("PRAGMA synchronous=OFF")

    def not_waited_for(fd: Any) -> None:
        os.fstat(fd)  # what is no open file is refused as ever

    database._set_up_sqlite = spared
    os.fsync = not_waited_for


def spare_the_pdf() -> None:
    """The month's report goes as HTML, as it does where the PDF extra is missing: a PDF took a quarter of each story
    that lasts over the end of a month. Tests that are about it ask for `as_pdf`.
    """

    def lacking(extra: str) -> bool:
        return False

    month_report.is_installed = lacking  # type: ignore[attr-defined]  # because it is what that module imports


def _told(connection: Connection, upgrade: Any) -> list[tuple[str, Any]]:
    """Each statement that it gave, with its parameters."""
    told = list[tuple[str, Any]]()

    def listen(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        told.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", listen)
    upgrade(connection)
    event.remove(connection, "before_cursor_execute", listen)
    return told
