"""Rows as they are stored: what somebody wrote there by hand need not be of its column's type."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Select, Table, bindparam, select, type_coerce
from sqlalchemy.types import NullType

from dpsync.ledger.stored import plain
from dpsync.store import tables as t

PAGE = 500
"""Requests, or rows, read at a time."""

Stretched = Mapping[str, Sequence[tuple[Any, ...]]]
"""Rows by the name of their table, as they are stored."""


def columns_of(table: Table) -> list[Any]:
    """Every column of a table, untouched by its type."""
    return [type_coerce(column, NullType()).label(column.name) for column in table.c]


def all_of(connection: Connection, table: Table, which: Any = True) -> Sequence[Mapping[str, Any]]:
    """All rows of a table, or those of a condition, in the order of its key."""
    found = select(*columns_of(table)).where(which).order_by(*table.primary_key.columns)
    return dicts(connection.execute(found))


def stretches(connection: Connection) -> list[tuple[int, int]]:
    """The first and last ordinal of each page of requests, in order of receipt; every request is in one."""
    found = ordinals(connection, select(t.request.c.ordinal))
    return [(page[0], page[-1]) for page in (found[at : at + PAGE] for at in range(0, len(found), PAGE))]


def ordinals(connection: Connection, asked: Select[tuple[int]], **given: int) -> list[int]:
    """The ordinals that a question gives, the least first."""
    return sorted(one for (one,) in plain(connection.execute(asked, given)))


def printed_of(connection: Connection, stretch: tuple[int, int]) -> Stretched:
    """What reports print of all requests from one ordinal to another, both included; each table in a fixed order.

    By a range: a list of 500 ids in each of nine questions took half of the time that reading took.
    """
    return _read(connection, stretch, _PRINTED)


def beneath_of(connection: Connection, stretch: tuple[int, int]) -> Stretched:
    """The same of what lies beneath it: attempts and their calls, notices and answers, two thirds of all rows."""
    return _read(connection, stretch, _BENEATH)


def _read(connection: Connection, stretch: tuple[int, int], asked: Mapping[str, Select[Any]]) -> Stretched:
    first, last = stretch
    return {table: plain(connection.execute(query, {"first": first, "last": last})) for table, query in asked.items()}


def named(table: str, found: Stretched) -> list[dict[str, Any]]:
    """The rows of a table in such a stretch, by the names of its columns."""
    names = _NAMES[table]
    return [dict(zip(names, row, strict=True)) for row in found[table]]


def placed(table: str, columns: Iterable[Any]) -> list[int]:
    """Where columns of a table stand in a row of such a stretch."""
    return [_NAMES[table].index(column.name) for column in columns]


def dicts(found: CursorResult[Any]) -> list[dict[str, Any]]:
    """Each row by the names of its columns; for many rows in half the time that their own mapping takes."""
    names = tuple(found.keys())
    return [dict(zip(names, row, strict=True)) for row in found.all()]


def seconds(stored_at: object) -> object:
    """A stored time in whole seconds, as entries have it; what is no time stays as it is, and fits none."""
    return stored_at // 1_000_000 if isinstance(stored_at, int) else stored_at


_R, _P = t.request.c, t.propagation.c
_PARTS = t.request.join(t.propagation, _P.request_id == _R.id)
_WITHIN = _R.ordinal.between(bindparam("first"), bindparam("last"))


_BELOW = {
    table: _PARTS.join(table, table.c.propagation_id == _P.id) for table in (t.attempt, t.notice, t.answer, t.post)
}
_BESIDE = {table: t.request.join(table, table.c.request_id == _R.id) for table in (t.decision, t.withdrawal)}
# Ordered as the indexes are, one within the other, which SQLite need not sort.
_ORDERED: list[tuple[Table, Any, tuple[Any, ...]]] = [
    (t.request, t.request, ()),
    (t.propagation, _PARTS, (_P.processor,)),
    *((table, found, (_P.processor, *table.primary_key.columns)) for table, found in _BELOW.items()),
    *((table, found, (*table.primary_key.columns,)) for table, found in _BESIDE.items()),
]
# Asked as a join, SQLite would go through all calls for each page of requests.
_ATTEMPTS = select(t.attempt.c.id).select_from(_BELOW[t.attempt]).where(_WITHIN)
_CALLS = select(*columns_of(t.evidence)).where(t.evidence.c.attempt_id.in_(_ATTEMPTS))
_OF_STRETCH: dict[str, Select[Any]] = {
    **{
        str(table.name): select(*columns_of(table)).select_from(source).where(_WITHIN).order_by(_R.ordinal, *order)
        for table, source, order in _ORDERED
    },
    "evidence": _CALLS.order_by(*t.evidence.primary_key.columns),
}
_PRINTED_TABLES = {"request", "propagation", "post", "decision", "withdrawal"}
_PRINTED = {table: query for table, query in _OF_STRETCH.items() if table in _PRINTED_TABLES}
_BENEATH = {table: query for table, query in _OF_STRETCH.items() if table not in _PRINTED_TABLES}
_NAMES = {table: tuple(query.selected_columns.keys()) for table, query in _OF_STRETCH.items()}
