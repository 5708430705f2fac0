"""Changes to the rows of every table that proves something."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from dpsync.ledger.rows import UNPROVEN, WHOLE_TABLES
from dpsync.store import tables as t
from dpsync.store.callback_tables import UNPROVEN as WHY
from tests.changes.change import Change, Maker, by_verify_and_start
from tests.changes.grounds import Grounds

Row = dict[str, Any]
Statement = tuple[str, Sequence[object]]
UNPROVEN_TABLES = {
    **WHOLE_TABLES,
    **{table.name: table.info[WHY] for table in t.metadata.sorted_tables if WHY in table.info},
}
"""Tables no row of which proves anything, and why: those that the ledger knows, and those that say so themselves."""

PROVEN = tuple(table.name for table in t.metadata.sorted_tables if table.name not in UNPROVEN_TABLES)
KEYS = {table.name: [column.name for column in table.primary_key.columns] for table in t.metadata.sorted_tables}


def columns(table: str) -> list[str]:
    """Those that prove something."""
    return [column.name for column in t.metadata.tables[table].c if f"{table}.{column.name}" not in UNPROVEN]


def proofs(path: Path, table: str) -> list[Row]:
    """Those of its rows that prove something: of contacts, those that were confirmed."""
    return [row for row in rows(path, table) if table != "contact" or row["confirmed_at"] is not None]


def rows(path: Path, table: str) -> list[Row]:
    """As they are stored, in the order of their key."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        order = ", ".join(KEYS[table])
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY {order}")]


def by_hand(there: Grounds, *statements: Statement) -> None:
    """Write as an administrator does, past every trigger and every key."""
    with closing(sqlite3.connect(there.database)) as connection, connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement, values in statements:
            connection.execute(statement, values)


def _where(table: str, row: Row) -> Statement:
    return " AND ".join(f"{key} = ?" for key in KEYS[table]), [row[key] for key in KEYS[table]]


def put(table: str, row: Row, **values: object) -> Statement:
    """Write these columns of a row."""
    where, keys = _where(table, row)
    named = ", ".join(f'"{name}" = ?' for name in values)
    return f"UPDATE OR REPLACE {table} SET {named} WHERE {where}", [*values.values(), *keys]


def drop(table: str, row: Row) -> Statement:
    """Delete a row."""
    where, keys = _where(table, row)
    return f"DELETE FROM {table} WHERE {where}", keys


def add(table: str, row: Row) -> Statement:
    """Insert a row."""
    named = ", ".join(f'"{name}"' for name in row)
    return f"INSERT OR REPLACE INTO {table} ({named}) VALUES ({', '.join('?' * len(row))})", [*row.values()]


def places(there: Grounds, table: str, row: Row) -> list[str]:
    """By what words a message names the row: the request that it belongs to, its reference, or its table."""
    at = there.database
    match table:
        case "request":
            return [row["id"]]
        case "propagation" | "decision" | "withdrawal":
            return [row["request_id"]]
        case "evidence":
            (one,) = [one for one in rows(at, "attempt") if one["id"] == row["attempt_id"]]
            return places(there, "attempt", one)
        case "attempt" | "notice" | "answer":
            return _of_part(there, row)
        case "post":
            return ["post: "] if row["propagation_id"] is None else _of_part(there, row)
        case "checkpoint":
            return [f"checkpoint {row['size']}"]
        case "conversation":
            return [f"conversation {row['reference']}"]
        case "retention_act" | "retention_act_row" | "retention_letter":
            return ["retention_act", "retention_letter", "work list", "conversation "]
        case _:
            return [f"{table}: "]


def _of_part(there: Grounds, row: Row) -> list[str]:
    (part,) = [one for one in rows(there.database, "propagation") if one["id"] == row["propagation_id"]]
    return [part["request_id"]]


def wrong(value: object, random: Random, others: Sequence[object]) -> object:
    """Another value in its place: of another row, nothing, or one that is almost the same."""
    found = [one for one in others if one != value]
    if found and random.random() < 0.4:
        return random.choice(found)
    match value:
        case None:
            return random.choice(["x", 1, b"x"])
        case int():
            return value + random.choice([-1_000_000, -1, 1, 3_600_000_000])
        case bytes():
            at = random.randrange(max(1, len(value)))
            return value[:at] + bytes([value[at] ^ 1 << random.randrange(8)]) + value[at + 1 :] if value else b"x"
        case _:
            return random.choice([f"{value}x", str(value)[:-1] or "y", f" {value}", ""]) if value else "x"


def edit(table: str, there: Grounds, random: Random) -> Change | None:
    """Another value in one column of one row."""
    found = proofs(there.database, table)
    row, column = random.choice(found), random.choice(columns(table))
    value = wrong(row[column], random, [one[column] for one in found])
    if value == row[column]:
        return None
    named = [column] if table not in {"checkpoint", "alias", "evidence", "request"} else []
    both = [*places(there, table, row), *named]
    return Change(
        f"edit {table}.{column}", both, partial(_do, [put(table, row, **{column: value})]), by_verify_and_start
    )


def _do(statements: Sequence[Statement], there: Grounds) -> None:
    by_hand(there, *statements)


def delete(table: str, there: Grounds, random: Random) -> Change | None:
    """One row less."""
    row = random.choice(proofs(there.database, table))
    if table == "checkpoint":
        return None  # its note lies outside, and the entries show the root again
    return Change(f"delete {table}", places(there, table, row), partial(_do, [drop(table, row)]), by_verify_and_start)


def insert(table: str, there: Grounds, random: Random) -> Change | None:
    """One row more: a copy of another one, under keys of its own."""
    row = dict(random.choice(proofs(there.database, table)))
    kept = {column.name for column in t.metadata.tables[table].c if column.foreign_keys}
    for name in {*KEYS[table], *_UNIQUE.get(table, ())} - kept:
        value = row[name]
        row[name] = value + 1_000 if isinstance(value, int) else f"{value}x"
    named = places(there, table, row)
    return Change(f"insert {table}", named, partial(_do, [add(table, row)]), by_verify_and_start)


_UNIQUE = {
    "request": ("id", "event_id"),
    "propagation": ("processor",),
    "notice": ("message_id", "reference", "token_hash"),
    "contact": ("token_hash",),
    "conversation": ("reference",),
}


def swap(table: str, there: Grounds, random: Random) -> Change | None:
    """Two rows with each other's content."""
    found = proofs(there.database, table)
    if len(found) < 2:
        return None
    one, other = random.sample(found, 2)
    names = [name for name in columns(table) if name not in KEYS[table] and name not in _UNIQUE.get(table, ())]
    names = [name for name in names if one[name] != other[name]]
    if not names:
        return None
    some = names if random.random() < 0.5 else [random.choice(names)]
    if _alike(table, found, one, other, some):
        return None
    made = [put(table, a, **{name: b[name] for name in some}) for a, b in ((one, other), (other, one))]
    named = [*places(there, table, one), *places(there, table, other)]
    return Change(f"swap {table}: {', '.join(some)}", named, partial(_do, made), by_verify_and_start)


def _alike(table: str, found: Sequence[Row], one: Row, other: Row, some: Sequence[str]) -> bool:
    """Whether the same rows are there afterwards, in another order."""
    changed = {id(one): {name: other[name] for name in some}, id(other): {name: one[name] for name in some}}
    proven = columns(table)

    def content(rows: Sequence[Row]) -> list[str]:
        return sorted(repr([row[name] for name in proven]) for row in rows)

    return content(found) == content([{**row, **changed.get(id(row), {})} for row in found])


def truncate(table: str, there: Grounds, random: Random) -> Change | None:
    """The last rows of a table are gone, or all."""
    found = proofs(there.database, table)
    if not found or table == "checkpoint":
        return None
    gone = found[random.randrange(len(found)) :]
    named = [place for row in gone for place in places(there, table, row)]
    return Change(f"truncate {table}", named, partial(_do, [drop(table, row) for row in gone]), by_verify_and_start)


def older(table: str, there: Grounds, random: Random) -> Change | None:
    """A table as it was some weeks before, or one row of it."""
    before, now = rows(there.older / "dpsync.db", table), rows(there.database, table)
    if table == "checkpoint":
        return None
    if proofs(there.older / "dpsync.db", table) == proofs(there.database, table):
        return None
    named = [place for row in now if row not in before for place in places(there, table, row)]
    made: list[Statement] = [(f"DELETE FROM {table}", [])]
    made += [add(table, row) for row in before]
    return Change(f"old copy of {table}", named, partial(_do, made), by_verify_and_start)


KINDS: Mapping[str, Callable[[str, Grounds, Random], Change | None]] = {
    "edit": edit,
    "delete": delete,
    "insert": insert,
    "swap": swap,
    "truncate": truncate,
    "old copy": older,
}


def makers() -> Mapping[str, Maker]:
    """By name, one for each table and kind of change."""
    return {f"{name} {table}": partial(kind, table) for table in PROVEN for name, kind in KINDS.items()}
