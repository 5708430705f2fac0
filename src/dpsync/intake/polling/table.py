"""The outbox of a main database: a table there, in a database of another program, which dpsync may read and update.

By state and never by "id above the last one": rows are committed out of order, and one with a lower number would never
be seen. Nothing of a driver's own text is kept or shown, because it may hold what stands in a row.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, column, create_engine, func, select, table, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from dpsync import telemetry
from dpsync.errors import ConfigurationError, DpsyncError, Fault
from dpsync.extras import demand
from dpsync.settings.sources import OutboxSection
from dpsync.settings.values import UNSET_CODE

PAGE = 100
"""Rows that are taken together: what else is to be written here waits for no more than that."""
CONNECT_SECONDS, CALL_SECONDS = 10, 60
LONGEST_REASON = 200
NEW, TAKEN, REFUSED = "new", "taken", "refused"
EMPTIED = "{}"
"""What stands in a row that was taken: whoever asked to be erased must not remain in an outbox."""


class OutboxAway(DpsyncError):
    """Read by the operator: the outbox of a main database cannot be read. What waits there waits on."""

    code = "DP-324"


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A row that waits. `message`: the text as its trigger wrote it."""

    id: int
    event_id: str = field(repr=False)
    made_at: datetime
    message: str = field(repr=False)


class OutboxPage:
    """Rows that nobody else can take, until they are marked or the page is closed."""

    def __init__(self, outbox: "SourceOutbox", connection: Connection, rows: Sequence[OutboxRow]) -> None:
        self.rows = rows
        self._outbox = outbox
        self._connection = connection

    def mark(self, taken: Sequence[int], refused: Mapping[int, str]) -> None:
        """Say over there what became of the rows, and commit. Raises `OutboxAway`; then they will come again."""
        with self._outbox.trouble_named():
            for reason in sorted(set(refused.values())):
                self._set(
                    [row for row, why in refused.items() if why == reason],
                    {"state": REFUSED, "reason": reason[:LONGEST_REASON]},
                )
            self._set(taken, {"state": TAKEN, "message": EMPTIED, "reason": None})
            self._connection.commit()

    def _set(self, rows: Sequence[int], values: Mapping[str, str | None]) -> None:
        c = self._outbox.rows.c
        if rows:
            # A refused one that a person set back meanwhile is looked at anew.
            of_them = update(self._outbox.rows).where(c.id.in_(rows), c.state == NEW)
            self._connection.execute(of_them.values(**values))

    def close(self) -> None:
        """Let the rows go, as they are."""
        self._connection.close()


class SourceOutbox:
    """Opens a connection only while it is asked something: once a minute, and by `dpsync check`."""

    def __init__(self, source: str, section: OutboxSection) -> None:
        """Raises `ConfigurationError` where the URL is not set here, `ExtraMissing` where a driver is missing."""
        if not section.url:
            raise ConfigurationError([Fault(f"sources.{source}.outbox.url", "is not set here", UNSET_CODE)])
        self.source = source
        self.table = section.table
        self.url = make_url(section.url)
        self.rows = table(section.table, *map(column, ("id", "event_id", "made_at", "message", "state", "reason")))
        self._engine = engine_of(self.url)

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection, for reading. Raises `OutboxAway`."""
        with self.trouble_named(), self._engine.connect() as connection:
            yield connection

    def take(self, after: int) -> OutboxPage:
        """The next rows that wait, of those with a higher number: within one look, what has to wait is passed over.

        Raises `OutboxAway`.
        """
        c = self.rows.c
        waiting = select(c.id, c.event_id, c.made_at, c.message).where(c.state == NEW, c.id > after)
        with self.trouble_named():
            connection = self._engine.connect()
            try:
                if _skips(self._engine):
                    waiting = waiting.with_for_update(skip_locked=True)
                found = connection.execute(waiting.order_by(c.id).limit(PAGE)).all()
                return OutboxPage(self, connection, [_row(one) for one in found])
            except BaseException:
                connection.close()
                raise

    def counts(self) -> dict[str, int]:
        """How many rows wait, and how many were refused. Raises `OutboxAway`."""
        state = self.rows.c.state
        with self.connected() as connection:
            found = connection.execute(
                select(state, func.count()).where(state.in_([NEW, REFUSED])).group_by(state)
            ).all()
        return {NEW: 0, REFUSED: 0} | {row[0]: row[1] for row in found}

    @contextmanager
    def trouble_named(self) -> Iterator[None]:
        """Turn what a driver raises into our own words."""
        try:
            yield
        except (DBAPIError, ValueError, TypeError) as error:
            telemetry.log("timed").warning("outbox away", error=error, source=self.source)
            lost = isinstance(error, DBAPIError) and (error.connection_invalidated or error.statement is None)
            raise OutboxAway(
                "the database does not answer, or refuses the login"
                if lost
                else f"dpsync cannot read and update {self.table}: is it there, with its columns and its grant?"
            ) from None


def engine_of(url: URL) -> Engine:
    """What opens connections to a main database, one at a time and none for long."""
    if url.get_backend_name() == "sqlite":
        # Opened as it is: a path that leads nowhere must not become an empty main database.
        path = f"file:{quote(url.database or '')}?mode=rw"
        return create_engine(
            "sqlite://", creator=lambda: sqlite3.connect(path, uri=True, timeout=CONNECT_SECONDS), poolclass=NullPool
        )
    if url.get_backend_name() == "mysql":
        demand("mariadb", "an outbox at mysql://")
        arguments = {"connect_timeout": CONNECT_SECONDS, "read_timeout": CALL_SECONDS, "write_timeout": CALL_SECONDS}
        # Under MySQL's usual level, a page that is taken would keep new rows out of the gaps beside it.
        return create_engine(url, poolclass=NullPool, connect_args=arguments, isolation_level="READ COMMITTED")
    demand("postgresql", "an outbox at postgresql://")
    wait = f"-c statement_timeout={CALL_SECONDS}s -c idle_in_transaction_session_timeout={CALL_SECONDS}s"
    query = dict(url.query)
    given = query.pop("options", "")
    options = f"{given if isinstance(given, str) else ' '.join(given)} {wait}".strip()
    return create_engine(
        url.set(query=query),
        poolclass=NullPool,
        connect_args={"connect_timeout": CONNECT_SECONDS, "prepare_threshold": None, "options": options},
    )


def _skips(engine: Engine) -> bool:
    """Whether it can pass over rows that somebody else holds. SQLite has no such locks: its file has one writer."""
    dialect = engine.dialect
    if dialect.name != "mysql":
        return dialect.name == "postgresql"
    first = (10, 6) if getattr(dialect, "is_mariadb", False) else (8,)
    return tuple(dialect.server_version_info or ()) >= first


def _row(found: Any) -> OutboxRow:
    return OutboxRow(int(found.id), str(found.event_id), moment(found.made_at), str(found.message))


def moment(told: object) -> datetime:
    """UTC, where no zone stands beside it: MariaDB and SQLite keep none. Raises `ValueError` for what is no moment."""
    moment = told if isinstance(told, datetime) else datetime.fromisoformat(str(told))
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("before or after all years") from None
