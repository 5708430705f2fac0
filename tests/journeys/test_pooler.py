"""What stands between dpsync and PostgreSQL, or was set there by somebody else, changes nothing of what it does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from dpsync.errors import StoreProblem
from dpsync.model import Right, State
from dpsync.soundness import verify_ledger
from dpsync.store.database import open_database, reading, writing
from dpsync.store.trouble import trouble
from tests.databases import new_database
from tests.journeys.installation import installed
from tests.standins.pooler import pooled

HOSTILE = {
    "DateStyle": "'SQL, DMY'",
    "TimeZone": "'Pacific/Auckland'",
    "search_path": "elsewhere, pg_catalog",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "'serializable'",
    "default_transaction_read_only": "on",
    "synchronous_commit": "off",
    "client_encoding": "'LATIN1'",
    "bytea_output": "'escape'",
    "statement_timeout": "'30ms'",
    "lock_timeout": "'1ms'",
    "IntervalStyle": "'sql_standard'",
    "extra_float_digits": "-15",
}
"""What an administrator may have set for all that connect."""


@pytest.fixture
def url(postgresql_url: str, tmp_path: Path) -> Iterator[str]:
    with new_database(postgresql_url, tmp_path) as engine:
        yield engine.url.render_as_string(hide_password=False)


def journey(folder: Path, url: str) -> None:
    """An installation from nothing to the end of its work, beside a second process of it."""
    with installed(folder, url) as here:
        people = [f"person-{number}@example.org" for number in range(12)]
        for person in people:
            here.sandbox.add(person)
        asked = [here.ask(Right.ERASURE, person, id=f"crm-{number}") for number, person in enumerate(people)]
        here.drive()
        with here.another_process() as other:
            other.demand_own_store()
            assert verify_ledger(other, full=True).problems == ()
        assert {here.state(one) for one in asked} == {State.VERIFIED}
        here.sound()


def test_through_a_pooler_in_transaction_mode_all_is_as_without_it(url: str, tmp_path: Path) -> None:
    with pooled(url, tmp_path) as through:
        journey(tmp_path, through)


def test_a_pooler_that_refuses_our_options_is_named(url: str, tmp_path: Path) -> None:
    with pooled(url, tmp_path) as through:
        engine = open_database(f"{through}?options=-csearch_path%3Dpublic")
        with pytest.raises(DBAPIError, match="startup parameter") as refused, reading(engine):
            pass
        found = trouble(refused.value)
        assert isinstance(found, StoreProblem)
        assert "pooler" in found.message


def test_a_pooler_in_statement_mode_is_named(url: str, tmp_path: Path) -> None:
    with pooled(url, tmp_path, mode="statement") as through:
        engine = open_database(through)
        with pytest.raises(DBAPIError) as refused, reading(engine):
            pass
        found = trouble(refused.value)
        engine.dispose()
        assert isinstance(found, StoreProblem)
        assert "statement mode" in found.message


def test_what_was_set_for_the_role_and_the_database_changes_nothing(url: str, tmp_path: Path) -> None:
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE SCHEMA elsewhere"))
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        for setting, value in HOSTILE.items():
            connection.execute(text(f"ALTER DATABASE {name} SET {setting} = {value}"))
    admin.dispose()
    journey(tmp_path, url)
    engine = open_database(url)
    with writing(engine) as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == "on"
        assert connection.execute(text("SHOW transaction_isolation")).scalar_one() == "read committed"
    with reading(engine) as connection:
        assert connection.execute(text("SHOW TimeZone")).scalar_one() == "UTC"
        places = "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename IN ('request', 'entry', 'alembic_version')"
        assert connection.execute(text(places)).scalars().all() == ["public"]
    engine.dispose()
