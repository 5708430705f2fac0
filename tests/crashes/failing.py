"""What fails once, at the n-th time: a statement or a commit of the database, or a use of the file system.

It fails as the database or the system would have it fail, beneath the libraries that dpsync calls: SQLAlchemy and
Python's own `os` and `io`. Nothing of ours is replaced.
"""

import errno
import io
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Dialect, event

SQLITE = {"failing": sqlite3.SQLITE_IOERR, "locked": sqlite3.SQLITE_LOCKED, "full": sqlite3.SQLITE_FULL}
"""What SQLite says; except after `locked` it has undone the transaction by itself (https://sqlite.org/lang_transaction)."""
POSTGRESQL = ("killed", "full")
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EACCES": errno.EACCES, "short": errno.ENOSPC}
NAMES = frozenset({"open", "link", "replace", "rename", "unlink", "mkdir"})
"""What a missing permission can refuse."""


class Nth:
    """Counts, and says of one time alone that it fails. 0: none ever does."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.count = 0
        self.what = ""
        self._lock = threading.Lock()

    @property
    def over(self) -> bool:
        """Whether it has failed by now."""
        return self.what != ""

    def fails(self, what: str) -> bool:
        """Whether this is the time."""
        with self._lock:
            self.count += 1
            if self.count != self.number:
                return False
            self.what = what
            return True


class FailingDatabase:
    """Statements, and commits in both forms: it did not happen; it did, and nobody heard."""

    def __init__(self) -> None:
        self.nth, self.how = Nth(), ""

    def watch(self, dialect: Dialect) -> None:
        """From here on all that is asked in it counts: by every engine that has it."""
        for name in ("do_execute", "do_executemany"):
            event.listen(dialect, name, self._asked)
        event.listen(dialect, "do_execute_no_params", lambda cursor, said, _: self._asked(cursor, said, (), None))
        commit: Callable[[Any], None] = dialect.do_commit

        def committed(connection: Any) -> None:
            if self.nth.fails("commit that did not happen"):
                self._fail(connection)
            commit(connection)
            if self.nth.fails("commit that nobody heard of"):
                self._fail(connection)

        dialect.do_commit = committed  # type: ignore[assignment, method-assign]  # because no event comes after it

    def _asked(self, cursor: Any, statement: str, *_: object) -> None:
        if self.nth.fails(" ".join(statement.split())[:90]):
            self._fail(cursor.connection)

    def _fail(self, connection: Any) -> None:
        connection = getattr(connection, "driver_connection", connection)
        if not isinstance(connection, sqlite3.Connection):
            self._fail_on_postgresql(connection)
        refused = sqlite3.OperationalError(self.how)
        refused.sqlite_errorcode = SQLITE[self.how]
        if self.how != "locked":
            connection.rollback()
        raise refused

    def _fail_on_postgresql(self, connection: Any) -> None:
        if self.how == "killed":
            with type(connection).connect(connection.info.dsn, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])
        connection.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full'; END $$")


@cache
def failing_database(dialect: Dialect) -> FailingDatabase:
    """What counts all that is asked in a dialect, and lets one of it fail."""
    made = FailingDatabase()
    made.watch(dialect)
    return made


class FailingFiles:
    """Every use of a file or folder below one place that Python makes; what SQLite itself does to its file is not."""

    def __init__(self, nth: Nth, how: str, place: Path) -> None:
        self.nth, self._how, self._place = nth, how, str(place)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within, all that happens below that place counts."""
        with pytest.MonkeyPatch.context() as patch:
            for name in (*NAMES, "fsync", "ftruncate"):
                patch.setattr(os, name, self._refusing(name, getattr(os, name)))
            patch.setattr(io, "open", self._refusing("open", io.open))
            patch.setattr(os, "write", self._writing(os.write))
            patch.setattr(os, "fdopen", self._buffered(os.fdopen))
            yield

    def _refusing(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(first: Any, *rest: Any, **more: Any) -> Any:
            self._step(name, first)
            return call(first, *rest, **more)

        return called

    def _step(self, name: str, where: Any) -> bool:
        """Raises where this is the time; whether it is, where a half is to be written."""
        place = self._place_of(where)
        if not place.startswith(self._place) or (self._how == "EACCES" and name not in NAMES):
            return False
        if self._how == "short" and name != "write":
            return False
        if not self.nth.fails(f"{name} {place}"):
            return False
        if self._how == "short":
            return True
        number = ERRORS[self._how]
        raise OSError(number, os.strerror(number), place)

    @staticmethod
    def _place_of(where: Any) -> str:
        return str(Path(f"/proc/self/fd/{where}").readlink()) if isinstance(where, int) else os.fspath(where)

    def _writing(self, write: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
        def written(file: int, content: Any) -> int:
            return write(file, content[: len(content) // 2] if self._step("write", file) else content)

        return written

    def _buffered(self, call: Callable[..., Any]) -> Callable[..., Any]:
        files = self

        class Raw(io.FileIO):
            full = False

            def write(self, content: Any, /) -> int:
                if self.full:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                self.full = files._step("write", self.fileno())
                return super().write(content[: len(content) // 2] if self.full else content)

        def opened(file: int, mode: str = "r", *rest: Any, **more: Any) -> Any:
            return io.BufferedWriter(Raw(file, "w")) if mode == "wb" else call(file, mode, *rest, **more)

        return opened
