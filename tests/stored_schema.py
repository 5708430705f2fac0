"""A database as the first schema left it, with work under way; and its processor, which outlives every upgrade.

`stored/schema_0001.json` was written by the program of that schema, killed in the middle of its work: one request is
done, one letter and two calls are without an answer (one of the calls had its effect), one request came in since.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, Integer, MetaData, Table, insert, inspect, select, text

from dpsync.ledger.log import protect
from dpsync.sealing import Keys
from dpsync.store import schema
from dpsync.store.database import writing

STORED: Mapping[str, Any] = json.loads(
    Path(__file__).with_name("stored").joinpath("schema_0001.json").read_text(encoding="utf-8")
)
REQUESTS = [row["id"] for row in STORED["rows"]["request"]]


MIGRATIONS = Path(schema.__file__).with_name("migrations")
SHIPPED = sorted(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
"""Every schema that a program of ours ever worked with."""


def begin(engine: Engine, folder: Path, version: str = "0001") -> None:
    """Fill an empty database with that work, as the schema `version` held it, and put its keys into `folder`.

    Each table that came after the first schema has a row, too.
    """
    with writing(engine) as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        first = set(inspect(connection).get_table_names())
        if version != "0001":
            command.upgrade(config, version)
        protect(connection)
    keys = place_keys(folder / "keys")
    meta = [{"key": "origin", "value": "example.org/dpsync"}, {"key": "keys", "value": keys.fingerprint()}]
    tables = MetaData()
    with writing(engine) as connection:
        tables.reflect(connection)
        rows = {"meta": meta, **STORED["rows"]}
        for table in tables.sorted_tables:
            for row in rows.get(table.name, ()):
                connection.execute(insert(table), {name: _value(value) for name, value in row.items()})
        for table in tables.sorted_tables:
            if version > "0001" and table.name not in first - {"alert"} | {"brake_slot"}:  # which triggers fill
                _one_row(connection, table)
        if engine.dialect.name == "postgresql":
            for table in tables.sorted_tables:
                _go_on_counting(connection, table)


def _one_row(connection: Connection, table: Table) -> None:
    """A row with something in each column that must have it, of what it refers to the first."""
    row: dict[str, Any] = {}
    for column in table.columns:
        counted = table.primary_key.columns.keys() == [column.name] and isinstance(column.type, Integer)
        if column.nullable or column.server_default is not None or counted:
            continue
        if column.foreign_keys:
            (key,) = column.foreign_keys
            row[column.name] = connection.execute(select(key.column).limit(1)).scalar_one()
        else:
            row[column.name] = _SOMETHING[column.type.python_type]
    connection.execute(insert(table), row)


_SOMETHING: Mapping[type, Any] = {str: "something", int: 1, bytes: b"something", bool: False}


def _value(stored: Any) -> Any:
    return bytes.fromhex(stored["hex"]) if isinstance(stored, dict) else stored


def _go_on_counting(connection: Connection, table: Table) -> None:
    for column in table.primary_key:
        if column.server_default is not None:
            newest = f"SELECT max({column.name}) FROM {table.name}"  # noqa: S608 - because both names are the schema's
            connection.execute(
                text(f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), ({newest}))")
            )


def place_keys(directory: Path) -> Keys:
    (directory / "months").mkdir(parents=True)
    for name, key in STORED["keys"].items():
        (directory / name).write_text(key, encoding="ascii")
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return Keys.load(directory)
