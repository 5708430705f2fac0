"""The schema: its migrations, and that they make what the code speaks of."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.engine import make_url

from dpsync.store import database
from dpsync.store import tables as t
from dpsync.store.database import open_database, writing

Shape = dict[str, dict[str, Any]]
"""What a database says of each of its tables."""


@contextmanager
def new_database(url: str, folder: Path) -> Iterator[Engine]:
    """An empty database on the same engine as `url`."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        with closing(f"sqlite:///{folder / 'new.db'}") as engine:
            yield engine
        return
    name = f"{parsed.database}_new"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name}"))
        try:
            with closing(parsed.set(database=name).render_as_string(hide_password=False)) as engine:
                yield engine
        finally:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@contextmanager
def closing(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    try:
        yield engine
    finally:
        engine.dispose()


def shape(engine: Engine) -> Shape:
    """Columns, keys, rules and indices of every table, in an order that does not depend on when each was added."""
    inspector = inspect(engine)
    found: Shape = {}
    for name in set(inspector.get_table_names()) - {"alembic_version"}:
        columns = {one["name"]: _column(one) for one in inspector.get_columns(name)}
        found[name] = {
            "columns": columns,
            "key": inspector.get_pk_constraint(name)["constrained_columns"],
            "foreign": sorted(str(one) for one in inspector.get_foreign_keys(name)),
            "unique": sorted(str(one["column_names"]) for one in inspector.get_unique_constraints(name)),
            "checks": sorted(str(one) for one in inspector.get_check_constraints(name)),
            "indices": {one["name"]: _index(one) for one in inspector.get_indexes(name)},
        }
    return found


def _column(one: Any) -> dict[str, Any]:
    return {"type": str(one["type"]), "nullable": one["nullable"], "default": one["default"]}


def _index(one: Any) -> dict[str, Any]:
    options = {key: str(value) for key, value in one.get("dialect_options", {}).items()}
    return {"columns": one["column_names"], "unique": bool(one["unique"]), "options": options}


def test_the_migrations_make_exactly_the_tables_of_the_code(engine: Engine, database_url: str, tmp_path: Path) -> None:
    with new_database(database_url, tmp_path) as at_once:
        with writing(at_once) as connection:
            t.metadata.create_all(connection)
        wanted = shape(at_once)
    found = shape(engine)
    assert found.keys() == wanted.keys(), "a table is in store/tables.py or in the newest migration, and not in both"
    for name, table in wanted.items():
        assert found[name] == table, f"table {name}: store/tables.py and the newest migration say different things"


def test_a_migration_imports_nothing_of_the_house() -> None:
    folder = Path(database.__file__).with_name("migrations") / "versions"
    assert [one.name for one in folder.glob("*.py") if "dpsync" in one.read_text(encoding="utf-8")] == []
