"""A row of `meta` that somebody deleted or wrote is named by every command; none is made anew in its place."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Delete, Insert, Update, delete, insert, text, update

from dpsync.errors import StoreProblem
from dpsync.installation import Installation as Opened
from dpsync.model import Right
from dpsync.running.start import initialise
from dpsync.soundness import verify_ledger
from dpsync.store import tables as t
from dpsync.store.schema import SCHEMA
from tests.journeys.installation import Installation, installed
from tests.journeys.test_put_back import SUBMIT, PutBack, put_back

__all__ = ["put_back"]

MADE_ANEW = {"configuration", "soundness", "compared", "anchored_at", "unfindable"}
"""The digest of the settings is an entry; the last judgements and the last look at the anchors are repeated each day; a
start looks again at which requests lead to no box."""


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with installed(tmp_path, database_url) as made:
        made.ask(Right.OPT_OUT, "ada@example.org")
        made.drive()
        verify_ledger(made.service, full=False)
        yield made


def change(there: Installation, statement: Delete | Insert | Update) -> None:
    there.service.write(lambda unit: unit.connection.execute(statement))


@pytest.mark.no_database
def test_each_row_that_is_never_deleted_is_missed(there: Installation) -> None:
    rows = [row for row in there.rows(t.meta) if row.key not in MADE_ANEW]
    assert {row.key for row in rows} > {"origin", "keys", "anchored", "journal"}
    assert any(row.key.startswith("key:month:") for row in rows)
    for row in rows:
        change(there, delete(t.meta).where(t.meta.c.key == row.key))
        with pytest.raises(StoreProblem, match=rf"lacks {row.key}:"):
            there.service.demand_own_store()
        change(there, insert(t.meta).values(row._asdict()))
    there.service.demand_own_store()


@pytest.mark.no_database
@pytest.mark.parametrize("key", ["anchored", "anchored_at", "journal", "soundness", "compared"])
def test_each_row_that_is_read_as_a_number_or_a_time_is_looked_at_first(there: Installation, key: str) -> None:
    change(there, delete(t.meta).where(t.meta.c.key == key))
    change(there, insert(t.meta).values(key=key, value="7 7 x"))
    with pytest.raises(StoreProblem, match=rf"is not what was written there \({key}\)"):
        there.service.demand_own_store()


@pytest.mark.parametrize("value", ["2026-13-01T00:00:00+00:00", "soon"])
@pytest.mark.parametrize("key", ["idle-key:2026-11", "lost-key:2026-11", "destroyed-key:2026-11", "recovered_at"])
def test_each_row_that_says_since_when_something_is_so_says_a_moment(there: Installation, key: str, value: str) -> None:
    moment = there.clock.now().isoformat()
    change(there, insert(t.meta).values(key=key, value=moment))
    there.service.demand_own_store()
    change(there, update(t.meta).where(t.meta.c.key == key).values(value=value))
    with pytest.raises(StoreProblem, match=rf"is not what was written there \({key}\)"):
        there.service.demand_own_store()


@pytest.mark.no_database
def test_before_the_first_request_a_beginning_that_was_cut_off_goes_on(tmp_path: Path, database_url: str) -> None:
    with installed(tmp_path, database_url) as made:
        for key in ("anchored", "journal"):
            change(made, delete(t.meta).where(t.meta.c.key == key))
        initialise(made.service)
        assert {row.key for row in made.rows(t.meta)} >= {"anchored", "journal"}


@pytest.mark.parametrize("like", ["keys", "origin", "%key%"])
def test_every_command_names_it_and_none_ends_in_a_fault_of_ours(put_back: PutBack, like: str) -> None:
    (journal,) = put_back.config.parent.rglob("journal")
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:1]))
    with closing(sqlite3.connect(put_back.database)) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key LIKE ?", (like,))
    for argv in (("check", "--offline"), ("verify",), SUBMIT, ("run-once",), ("init",), ("status",)):
        code, said = put_back.run(argv)
        assert (code, "DP-203" in said) == (78, True), (argv, said)
        assert "table `meta` lacks key" in said or f"table `meta` lacks {like}" in said, (argv, said)
        assert "DP-100" not in said


@pytest.mark.parametrize(
    ("lose", "put_back"),
    [
        ("ALTER TABLE alembic_version RENAME TO aside", "ALTER TABLE aside RENAME TO alembic_version"),
        ("DELETE FROM alembic_version", f"INSERT INTO alembic_version VALUES ('{SCHEMA}')"),  # noqa: S608 - because it is our own
    ],
    ids=["table", "row"],
)
def test_a_ledger_without_its_version_is_no_empty_database(there: Installation, lose: str, put_back: str) -> None:
    there.service.write(lambda unit: unit.connection.execute(text(lose)))
    try:
        for act in (Opened.demand_own_store, initialise):
            with pytest.raises(StoreProblem, match=r"has a ledger, and nothing that says of which version"):
                act(there.service)
    finally:
        there.service.write(lambda unit: unit.connection.execute(text(put_back)))
    there.service.demand_own_store()
