"""A main database whose triggers leave each change in an outbox, polled on MariaDB, PostgreSQL and SQLite."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dpsync.intake.polling import watching
from dpsync.intake.polling.inspection import problems_of
from dpsync.intake.polling.table import OutboxAway
from dpsync.running import metrics
from dpsync.store import tables as t
from tests.journeys.polled import Polled, polled
from tests.maindatabase import MainDatabase, postgresql_main, sqlite_main, with_people

TRIGGERS = ("dpsync_person_insert", "dpsync_person_update", "dpsync_person_delete")
ADA = "INSERT INTO person (id, email, name) VALUES (4711, 'ada@example.org', 'Ada L')"
STOP = "UPDATE person SET do_not_email = TRUE WHERE id = 4711"
NO_MARK = {
    "mysql": "CREATE TRIGGER no_mark BEFORE UPDATE ON dpsync_outbox FOR EACH ROW SIGNAL SQLSTATE '45000'",
    "sqlite": "CREATE TRIGGER no_mark BEFORE UPDATE ON dpsync_outbox BEGIN SELECT RAISE(ABORT, 'no'); END",
    "postgresql": """CREATE FUNCTION no_mark() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
        CREATE TRIGGER no_mark BEFORE UPDATE ON dpsync_outbox FOR EACH ROW EXECUTE FUNCTION no_mark()""",
}
"""What keeps dpsync from its second commit, after the first."""


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def main(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MainDatabase]:
    """With a table of people, and the outbox that the ready-made SQL makes for it."""
    if request.param == "sqlite":
        made = sqlite_main(tmp_path)
    elif request.param == "postgresql":
        made = postgresql_main(request.getfixturevalue("postgresql_url"))
    else:
        made = request.getfixturevalue("mariadb_server").main()
    with made as database:
        yield with_people(database)


@pytest.fixture
def there(tmp_path: Path, sqlite_template: Path, main: MainDatabase) -> Iterator[Polled]:
    with polled(tmp_path, sqlite_template, main) as made:
        yield made


def drop(main: MainDatabase, trigger: str, table: str) -> None:
    main.run(f"DROP TRIGGER {trigger}" + (f" ON {table}" if main.kind == "postgresql" else ""))


def test_each_change_is_taken_once_and_its_names_do_not_stay_in_the_outbox(there: Polled, main: MainDatabase) -> None:
    main.run(ADA, STOP, "UPDATE person SET name = 'Ada K' WHERE id = 4711")
    there.look()
    there.look()
    assert there.rights() == ["opt_out"], "what was taken does not come again, and a name is nobody's wish"
    (asked,) = there.asked()
    assert (asked.source, asked.subject.id, asked.subject.email) == ("crm", "crm:4711", "ada@example.org")
    assert asked.received_at == there.clock.now()
    (row,) = main.outbox()
    assert (row.state, row.message, row.reason) == ("taken", "{}", None)
    main.run("UPDATE person SET email = 'new@example.org' WHERE id = 4711", "DELETE FROM person WHERE id = 4711")
    there.look()
    assert there.rights() == ["opt_out", "rectification", "erasure"]
    assert "maybe_merge" in [row.causes for row in there.rows(t.propagation)][-1], "a row that is gone may be a merge"


def test_what_was_committed_here_and_not_marked_there_comes_again_and_changes_nothing(
    there: Polled, main: MainDatabase
) -> None:
    main.run(ADA, STOP, "UPDATE person SET email = NULL WHERE id = 4711")
    main.dated(there.clock.now())
    main.run(NO_MARK[main.kind])
    there.look_again()
    assert main.states() == ["new", "new"], "the second commit did not come about"
    first = there.rows(t.request)
    drop(main, "no_mark", "dpsync_outbox")
    there.look_again()
    assert len(first) == 1
    assert there.rows(t.request) == first
    assert main.states() == ["taken", "refused"]


def test_a_row_that_is_not_understood_is_refused_with_its_reason_and_blocks_nobody(
    there: Polled, main: MainDatabase
) -> None:
    main.run("INSERT INTO person (id, email, do_not_email) VALUES (1, 'grace@example.org', TRUE)", ADA)
    main.run('UPDATE dpsync_outbox SET message = \'{"table": "pet"}\'')
    main.run(STOP, "UPDATE person SET do_not_email = FALSE WHERE id = 4711")
    there.look()
    there.look()
    assert there.rights() == ["opt_out"]
    assert main.states() == ["refused", "taken", "refused"]
    unknown, _, taken_back = main.outbox()
    assert unknown.reason == "422: matches no rule of this source"
    assert taken_back.reason.startswith("422: refuse.opt-out-taken-back"), "coming back is no consent"
    counted = {(row.source, row.field, row.times) for row in there.rows(t.refusal)}
    assert counted == {("source crm outbox", "", 1), ("source crm outbox", "refuse.opt-out-taken-back", 1)}
    (alert,) = [one for one in there.told() if one.cause == "requests-refused"]
    assert "set their state to `new` again" in alert.text
    main.run("UPDATE dpsync_outbox SET state = 'new', reason = NULL WHERE id = 1")
    there.look()
    assert main.states()[0] == "refused", "it was looked at anew"
    assert main.outbox()[0].reason == unknown.reason


def test_a_missing_trigger_and_a_login_that_may_do_too_much_are_alarms(there: Polled, main: MainDatabase) -> None:
    watching.inspect_all(there.service, there.clock.now())
    assert there.told() == []
    drop(main, "dpsync_person_delete", "person")
    watching.inspect_all(there.service, there.clock.now())
    (alert,) = there.told()
    assert (alert.cause, alert.role) == ("outbox-changed", "operator")
    assert "lacks dpsync_person_delete: changes there reach nobody" in alert.text
    if main.kind != "sqlite":  # there, who may do what is up to the file
        main.run(f"GRANT SELECT ON person TO {main.login}")
        (problem,) = problems_of(there.outbox(), TRIGGERS[:2])
        assert "may do more than read and update dpsync_outbox" in problem


def test_an_outbox_that_is_away_for_an_hour_is_told_and_measured(there: Polled, main: MainDatabase) -> None:
    there.look()
    main.run("ALTER TABLE dpsync_outbox RENAME TO elsewhere")
    for minutes in (0, 59):
        there.clock.advance(timedelta(minutes=minutes))
        there.look_again()
    assert there.told() == []
    there.clock.advance(timedelta(minutes=1))
    there.look_again()
    (alert,) = there.told()
    assert (alert.cause, "source crm: for 1 hour" in alert.text) == ("outbox-away", True)
    assert 'dpsync_outbox_away_seconds{source="crm"} 3600.0' in metrics.exposition(there.service)[0].decode()
    with pytest.raises(OutboxAway, match="its columns and its grant"):
        there.outbox().counts()
    main.run("ALTER TABLE elsewhere RENAME TO dpsync_outbox")
    there.look()
    assert 'dpsync_outbox_away_seconds{source="crm"} 0.0' in metrics.exposition(there.service)[0].decode()
    there.service.demand_own_store()
