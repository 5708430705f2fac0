"""Waiting for a database that somebody else holds: in the open, and not for ever.

A back-up tool, an open `sqlite3` shell or a forgotten `LOCK TABLE` hold it for as long as they like. Whoever waits says
so after a few seconds and gives up after a bounded time; nothing of what waited is then stored.
"""

import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from dpsync.errors import StoreHeld

QUIET = 3.0
"""Seconds that are waited before anything is said: dpsync's own writers hold it for milliseconds."""
LONGEST_WAIT = 30.0
"""Seconds that are waited at most, by every command and by `serve` for each of its transactions. SQLite's waiting is
not fair: of twenty writers at once on a busy machine the last may need half of it. A paused writer loses PostgreSQL's
lock after 15 s (`database.PAUSED_HOLDER`)."""
LOOK_EVERY = 1.0
LOCK_NOT_AVAILABLE = "55P03"

Told = Callable[[str], None]


def _nobody(_: str) -> None:
    """Nobody listens."""


class Patience:
    """How the transactions of one engine wait. `told` hears a sentence each time that a wait becomes a long one."""

    def __init__(self, told: Told | None = None, longest: float = LONGEST_WAIT) -> None:
        self.longest = longest
        self.told = told or _nobody
        self._holder = ""

    @property
    def said(self) -> str:
        """Who is waited for at this moment, as a sentence; "" while nobody is."""
        return f"the database is in use by {self._holder}" if self._holder else ""

    def waits_for(self, holder: str) -> None:
        """Note who is waited for, and say so once; "" ends it."""
        begins = holder and not self._holder
        self._holder = holder
        if begins:
            self.told(f"{self.said}: waiting, for at most {self.longest:.0f} s")

    def over(self) -> StoreHeld:
        """What is said at the end of a wait that was in vain."""
        holder = self._holder or "another process"
        self._holder = ""
        return StoreHeld(
            f"the database was in use by {holder} for {self.longest:.0f} s, and nothing of what waited was stored: "
            "let that finish, or end it (a back-up, an open database shell), then give the command again"
        )


# --- SQLite: all that waits does so where a transaction begins


def quiet_seconds(longest: float) -> float:
    """How long SQLite itself waits, in silence, each time that it is asked."""
    return min(QUIET, longest)


def ask_sqlite(patience: Patience, database: str, ask: Callable[[], object]) -> None:
    """Have `ask` done as soon as nobody stands in its way. Raises `StoreHeld`, and what else `ask` raises."""
    began, waited = time.monotonic(), False
    while True:
        try:
            ask()
        except (DBAPIError, sqlite3.Error) as error:
            if not _is_busy(error):
                raise
        else:
            if waited:  # of another thread of this process that still waits, a reader that did not says nothing
                patience.waits_for("")
            return
        waited = True
        if time.monotonic() - began >= patience.longest:
            raise patience.over() from None
        patience.waits_for(_holder_of_file(Path(database)))


def _is_busy(error: DBAPIError | sqlite3.Error) -> bool:
    code = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _holder_of_file(database: Path) -> str:
    """Which process holds a file, as far as this system tells (Linux: proc(5), /proc/locks).

    The file is never opened for it: closing it again would end this process's own locks on it (fcntl(2)).
    """
    with suppress(OSError, ValueError, IndexError):
        files = {path.stat().st_ino for path in (database, Path(f"{database}-shm")) if path.exists()}
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            _, kind, _, access, process, place, *_ = line.split()
            ours = int(process) in {os.getpid(), -1}
            if kind == "POSIX" and access == "WRITE" and not ours and int(place.rsplit(":", 1)[1]) in files:
                name = Path(f"/proc/{process}/comm").read_text(encoding="utf-8").strip()
                return f"another process ({_plain(name)}, process {process})"
    return "another process"


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9 ._-]", "", name)[:40] or "without a name"


# --- PostgreSQL: any statement may meet a lock

_HOLDERS = text("""
    WITH RECURSIVE holding (pid) AS (
        SELECT unnest(pg_blocking_pids(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND usename = current_user AND wait_event_type = 'Lock'
        UNION SELECT unnest(pg_blocking_pids(pid)) FROM holding)
    SELECT one.pid, one.application_name FROM pg_stat_activity AS one JOIN holding ON holding.pid = one.pid
    WHERE one.wait_event_type IS DISTINCT FROM 'Lock' ORDER BY one.xact_start LIMIT 1
""")
"""Who holds what our own sessions wait for; of a chain the one who waits for nobody."""


def listen_to_postgresql(engine: Engine, patience: Patience, arguments: dict[str, Any]) -> None:
    """Have a lock that is not given in time end as `StoreHeld`; where somebody hears of it, look who holds it."""

    def refuse(context: ExceptionContext) -> None:
        if getattr(context.original_exception, "sqlstate", None) == LOCK_NOT_AVAILABLE:
            raise patience.over()

    event.listen(engine, "handle_error", refuse)
    if patience.told is not _nobody:
        _Watch(engine, patience, arguments)


class _Watch:
    """Looks, from a session of its own, who holds what a transaction of this engine has long been waiting for.

    One thread, which lives while any connection is in use.
    """

    def __init__(self, engine: Engine, patience: Patience, arguments: dict[str, Any]) -> None:
        self._patience = patience
        self._own = create_engine(engine.url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=arguments)
        self._lock = threading.Lock()
        self._since: dict[int, float] = {}
        self._running = False
        event.listen(engine, "checkout", self._taken)
        event.listen(engine, "checkin", self._given_back)

    def _taken(self, _connection: object, record: object, _proxy: object) -> None:
        with self._lock:
            self._since[id(record)] = time.monotonic()
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="store-watch", daemon=True).start()

    def _given_back(self, _connection: object, record: object) -> None:
        with self._lock:
            self._since.pop(id(record), None)

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_EVERY)
            with self._lock:
                oldest = min(self._since.values(), default=None)
                self._running = oldest is not None
            long = oldest is not None and time.monotonic() - oldest > QUIET
            self._patience.waits_for(self._holder() if long else "")
            if oldest is None:
                return

    def _holder(self) -> str:
        try:
            with self._own.connect() as connection:
                row = connection.execute(_HOLDERS).first()
        except SQLAlchemyError:
            return ""  # a server that lets nobody in is another trouble
        return "" if row is None else f"another process ({_plain(row.application_name or '')}, session {row.pid})"
