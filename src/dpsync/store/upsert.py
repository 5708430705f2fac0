"""Insert unless it is there already: the one statement that the two engines spell in their own modules."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_or_ignore(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row; where a unique key stands already, change nothing. Whether a row was inserted."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = _PREPARED.get((table.name, connection.dialect.name))
    if statement is None:
        # RETURNING tells for sure: psycopg's row count is -1 where a key is generated.
        key = next(iter(table.primary_key))
        statement = dialect.insert(table).on_conflict_do_nothing().returning(key)
        _PREPARED[table.name, connection.dialect.name] = statement
    return connection.execute(statement, dict(values)).first() is not None


def insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert many rows in one statement, those left out whose unique key stands already."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    if rows:  # an empty list would insert one row of defaults
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), [dict(row) for row in rows])


_PREPARED: dict[tuple[str, str], Any] = {}
