"""The schema: its migrations, and that they make what the code speaks of."""

from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, insert, inspect, text

from dpsync.errors import StoreProblem
from dpsync.store import schema
from dpsync.store import tables as t
from dpsync.store.database import open_database, writing
from dpsync.store.schema import demand_current_schema, migrate, schema_version
from tests.builders import World
from tests.databases import new_database

FOLDER = Path(schema.__file__).with_name("migrations")
Shape = dict[str, dict[str, Any]]
"""What a database says of each of its tables."""


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
    assert [one.name for one in (FOLDER / "versions").glob("*.py") if "dpsync" in one.read_text(encoding="utf-8")] == []


def test_migrating_twice_changes_nothing(world: World, engine: Engine) -> None:
    world.writer.call(lambda unit: unit.connection.execute(insert(t.meta).values(key="kept", value="yes")))
    before = shape(engine)
    for _ in range(2):
        migrate(engine)
        assert shape(engine) == before
    assert "kept" in {row.key for row in world.rows(t.meta)}
    demand_current_schema(engine)


def test_an_empty_database_and_one_of_another_version_are_refused(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'new.db'}")
    assert schema_version(engine) is None
    with pytest.raises(StoreProblem, match="dpsync init"):
        demand_current_schema(engine)
    migrate(engine)
    demand_current_schema(engine)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreProblem, match="9999"):
        demand_current_schema(engine)
    engine.dispose()


def test_a_file_that_is_no_database_is_refused_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"not a database at all" * 500)
    engine = open_database(f"sqlite:///{tmp_path / 'broken.db'}")
    with pytest.raises(StoreProblem):
        demand_current_schema(engine)
    engine.dispose()


def test_this_program_names_the_newest_migration() -> None:
    assert ScriptDirectory(FOLDER).get_current_head() == schema.SCHEMA
