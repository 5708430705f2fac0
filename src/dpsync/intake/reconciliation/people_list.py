"""The list of people of a main database: one SELECT, read once and page by page, over a login that only reads.

One statement is one moment's view there, however long the list is. Nothing of a driver's own text is kept or shown,
because it may hold what stands in a row.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from dpsync import telemetry
from dpsync.errors import ConfigurationError, DpsyncError, Fault
from dpsync.intake.polling.table import engine_of
from dpsync.intake.reconciliation.listed import Listed, faults_of, listed
from dpsync.intake.sources.reading import READY
from dpsync.settings.sources import ReconcileSection
from dpsync.settings.values import UNSET_CODE

PAGE: Final = 200
"""Rows that are compared together."""

_SELECT: Final = re.compile(r"(?:\s|--[^\n]*\n)*(?:select|with)\b", re.IGNORECASE)
_READ_ONLY: Final = {
    "sqlite": ("PRAGMA query_only = ON",),
    "postgresql": ("SET TRANSACTION READ ONLY", "SET LOCAL TIME ZONE 'UTC'"),
    "mysql": ("SET SESSION TRANSACTION READ ONLY", "SET SESSION time_zone = '+00:00'"),
}


class ListUnknown(DpsyncError):
    """Read by the operator: what a main database says of its people is not known, so it was compared with nothing."""

    code = "DP-325"


class ListsPeople(Protocol):
    """What lists the people of a main database."""

    def pages(self) -> Iterator[list[Listed | None]]:
        """All rows, some at a time; None for a row that does not say of whom it is. Raises `ListUnknown`."""


class SourcePeople:
    """Opens a connection only while it is read: once a day, and by command."""

    def __init__(self, source: str, section: ReconcileSection, folder: Path) -> None:
        """`folder`: of the settings. Raises `ConfigurationError`, and `ExtraMissing` where a driver is missing."""
        if not section.url:
            raise ConfigurationError([Fault(f"sources.{source}.reconcile.url", "is not set here", UNSET_CODE)])
        self.source = source
        self._query = _query(source, section.query, folder)
        self._url = make_url(section.url)
        self._engine = engine_of(self._url)

    def pages(self) -> Iterator[list[Listed | None]]:
        """All rows, some at a time; None for a row that does not say of whom it is. Raises `ListUnknown`."""
        with self._trouble_named(), self._engine.connect() as connection:
            self._only_read(connection)
            # Without parameters, a % in the query is a %.
            options = {"stream_results": True, "max_row_buffer": PAGE, "no_parameters": True}
            rows = connection.execution_options(**options).exec_driver_sql(self._query)
            columns = list(rows.keys())
            if wrong := faults_of(columns):
                raise ListUnknown(f"its list {wrong}")
            while page := rows.fetchmany(PAGE):
                yield [listed(dict(zip(columns, row, strict=True))) for row in page]

    def _only_read(self, connection: Connection) -> None:
        for statement in _READ_ONLY[self._url.get_backend_name()]:
            connection.execute(text(statement))

    @contextmanager
    def _trouble_named(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            telemetry.log("timed").warning("list of people not read", error=error, source=self.source)
            lost = not isinstance(error, DBAPIError) or error.connection_invalidated or error.statement is None
            raise ListUnknown(
                "the database does not answer, or refuses the login"
                if lost
                else "the query cannot be run there to its end: may the login read all that it names?"
            ) from None


def ready_queries() -> list[str]:
    """The names of the queries that come with dpsync."""
    return sorted(one.name.removesuffix(_ENDS) for one in READY.iterdir() if one.name.endswith(_ENDS))


_ENDS: Final = "-people.sql"


def _query(source: str, named: str, folder: Path) -> str:
    key = f"sources.{source}.reconcile.query"
    if named in ready_queries():
        found = (READY / f"{named}{_ENDS}").read_text("utf-8")
    elif _SELECT.match(named):
        found = named
    else:
        try:
            found = (folder / named).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            known = ", ".join(ready_queries())
            raise ConfigurationError(
                [Fault(key, f"is no SELECT, and no file that can be read. Ready-made: {known}")]
            ) from None
    if not _SELECT.match(found):
        raise ConfigurationError([Fault(key, "must begin with SELECT or WITH")])
    return found.strip().rstrip(";")
