"""Insert unless it is there already, or in its place: what the two engines spell in their own modules."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_or_ignore(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row; where a unique key stands already, change nothing. Whether a row was inserted."""
    return connection.execute(_statement(connection, table, replace=False), dict(values)).first() is not None


def insert_or_replace_all(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, no two with one primary key; a row whose key stands already takes the new values."""
    connection.execute(_statement(connection, table, replace=True), [dict(row) for row in rows])


@cache
def _made(dialect_name: str, table: Table, *, replace: bool) -> Any:
    made = (postgresql if dialect_name == "postgresql" else sqlite).insert(table)
    key = list(table.primary_key)
    if replace:
        taken = {column.name: made.excluded[column.name] for column in table.c if column not in set(key)}
        return made.on_conflict_do_update(index_elements=key, set_=taken)
    # RETURNING tells for sure: psycopg's row count is -1 where a key is generated.
    return made.on_conflict_do_nothing().returning(key[0])


def _statement(connection: Connection, table: Table, *, replace: bool) -> Any:
    return _made(connection.dialect.name, table, replace=replace)


def insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert many rows in one statement, those left out whose unique key stands already."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    if rows:  # an empty list would insert one row of defaults
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), [dict(row) for row in rows])
