"""Rows as they are stored: what somebody wrote there by hand need not be of its column's type."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Table, bindparam, select, type_coerce
from sqlalchemy.types import NullType

from dpsync.store import tables as t

PAGE = 500
"""Rows read at a time; SQLite takes a bounded number of parameters in one statement."""


def columns_of(table: Table) -> list[Any]:
    """Every column of a table, untouched by its type."""
    return [type_coerce(column, NullType()).label(column.name) for column in table.c]


def all_of(connection: Connection, table: Table, which: Any = True) -> Sequence[Mapping[str, Any]]:
    """All rows of a table, or those of a condition, in the order of its key."""
    found = select(*columns_of(table)).where(which).order_by(*table.primary_key.columns)
    return dicts(connection.execute(found))


def requests(connection: Connection, ids: Sequence[str] | None = None) -> Iterator[list[dict[str, Any]]]:
    """The rows of table `request` in order of receipt, a page at a time; of `ids` alone where given, in their order."""
    column = t.request.c
    rows = select(*columns_of(t.request)).order_by(column.ordinal)
    if ids is not None:
        chosen = rows.where(column.id.in_(bindparam("ids")))
        for at in range(0, len(ids), PAGE):
            yield dicts(connection.execute(chosen, {"ids": ids[at : at + PAGE]}))
        return
    last, next_ones = -(2**63), rows.where(column.ordinal > bindparam("last")).limit(PAGE)
    while page := dicts(connection.execute(next_ones, {"last": last})):
        yield page
        last = page[-1]["ordinal"]


def dicts(found: CursorResult[Any]) -> list[dict[str, Any]]:
    """Each row by the names of its columns; for many rows in half the time that their own mapping takes."""
    names = tuple(found.keys())
    return [dict(zip(names, row, strict=True)) for row in found.all()]


def seconds(stored_at: object) -> object:
    """A stored time in whole seconds, as entries have it; what is no time stays as it is, and fits none."""
    return stored_at // 1_000_000 if isinstance(stored_at, int) else stored_at
