"""What SQLAlchemy compiled out of a statement is kept for all engines of a process. Each test opens an engine of its
own, and would compile the same statements again: a fifth of what the tests of a database cost.
"""

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache


def keep_compiled() -> None:
    """From here on. A statement is compiled for a dialect, and two dialects of one class compile it alike."""
    begin, kept = Engine.__init__, LRUCache[Any, Any](3_000)

    def begun(self: Engine, *given: Any, **more: Any) -> None:
        begin(self, *given, **more)
        self._compiled_cache = kept

    Engine.__init__ = begun  # type: ignore[method-assign]  # because no event tells of an engine that is made
    for dialect in (PGDialect_psycopg, SQLiteDialect_pysqlite):
        of_class = {"__hash__": lambda self: hash(type(self)), "__eq__": lambda self, other: type(self) is type(other)}
        for name, method in of_class.items():
            setattr(dialect, name, method)
