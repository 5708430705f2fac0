"""A main database that lists its people is compared with what was asked: each kind of difference is found, and once."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from dpsync.__main__ import main as dpsync
from dpsync.intake.reconciliation.listed import Listed
from dpsync.intake.reconciliation.people_list import ListUnknown, SourcePeople
from dpsync.model import Cause, Right
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.reports.reconciled import ListState
from dpsync.settings.sources import ReconcileSection
from dpsync.store import tables as t
from tests.journeys.reconciled import QUERY, SETTINGS, TABLE, Reconciled, address, ask_before, reconciled
from tests.maindatabase import MainDatabase, MariaDb, postgresql_main, sqlite_main

DAY = timedelta(days=1)


@pytest.fixture
def main(tmp_path: Path) -> Iterator[MainDatabase]:
    """With a table of people."""
    with sqlite_main(tmp_path) as database:
        database.run(TABLE)
        yield database


@pytest.fixture
def there(tmp_path: Path, sqlite_template: Path, main: MainDatabase) -> Iterator[Reconciled]:
    with reconciled(tmp_path, sqlite_template, main) as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def each(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> Iterator[Reconciled]:
    """The same on servers, too, with a login that may read the table of people and nothing else."""
    if request.param == "sqlite":
        yield request.getfixturevalue("there")
        return
    with on_a_server(request) as database:
        database.run(TABLE, f"GRANT SELECT ON people TO {database.login}")
        with reconciled(tmp_path, sqlite_template, database) as made:
            yield made


def on_a_server(request: pytest.FixtureRequest) -> AbstractContextManager[MainDatabase]:
    if request.param == "postgresql":
        return postgresql_main(request.getfixturevalue("postgresql_url"))
    servers: MariaDb = request.getfixturevalue("mariadb_server")
    return servers.main()


def put(main: MainDatabase, own_id: int, **columns: object) -> None:
    """A row of the main database; its address is that of the id where none is named."""
    named = {"id": own_id, "emails": f"p{own_id}@example.org", **columns}
    marks = ", ".join(f":{one}" for one in named)
    main.run(f"INSERT INTO people ({', '.join(named)}) VALUES ({marks})", **named)  # noqa: S608 - because all are ours


def plant(there: Reconciled) -> None:
    """One of each difference, by the number of the person; 10 agrees, and 11 is nobody's business."""
    ask_before(there)
    late = (there.clock.now() - 2 * DAY).isoformat()
    put(there.main, 1, opted_out=True, changed_at=late)
    put(there.main, 2)
    put(there.main, 3, emails="moved3@example.org")
    put(there.main, 5)
    put(there.main, 6, deleted=True, merged_into=7)
    put(there.main, 7)
    put(there.main, 8, erased=True, changed_at=late)
    put(there.main, 9, restricted=True, changed_at=late)
    put(there.main, 10, opted_out=True)
    put(there.main, 11)


def test_each_difference_is_found_once_and_the_second_run_says_the_same(each: Reconciled) -> None:
    there = each
    plant(there)
    before = len(there.requests())
    first = there.compare()
    assert first.why == ""
    assert first.new == {"missed": 3, "contactable": 1, "address": 1, "gone": 1, "returned": 1, "merged": 1}
    numbers = (first.standing.agree, first.standing.differ, first.standing.not_known)
    assert numbers == (1, 8, 0)
    made = there.requests()[before:]
    assert sorted(row.right for row in made) == ["erasure", "erasure", "opt_out", "opt_out", "restriction"]
    causes = {row.request_id: row.causes for row in there.rows(t.propagation)}
    held = sorted(causes[row.id] for row in made if row.right == "erasure")
    assert [Cause.MAYBE_MERGE in one.split(",") for one in held] == [False, True]
    assert all(Cause.COOLING_OFF in one.split(",") for one in held)
    missed = next(row for row in made if row.right == "restriction")
    assert (missed.received_at, missed.received_assumed) == (there.clock.now() - 2 * DAY, False)
    after, told = there.requests(), there.told()
    second = there.compare()
    assert second.new == {}
    assert (there.requests(), there.told()) == (after, told), "nothing is asked or told twice"
    assert there.findings() == [("address", "rectification"), ("contactable", "opt_out"), ("returned", "erasure")]
    assert there.standing().state is ListState.COMPARED


def test_what_was_missed_is_told_with_its_delay_and_what_differs_by_a_mark_alone(there: Reconciled) -> None:
    plant(there)
    there.compare()
    told = {one.cause: one for one in there.told()}
    missed = told["missed-by-message"]
    assert missed.role == "operator"
    assert sum("2 days late" in line for line in missed.concerns) == 3
    assert sum("may be a merge" in line for line in missed.concerns) == 1
    assert told["source-differs"].role == "dpo"
    assert len(told["source-differs"].concerns) == 3, "contactable, address, merged"
    assert len(told["erased-returned"].concerns) == 1
    everything = "".join(one.text for one in told.values())
    assert "@example.org" not in everything
    assert "crm:" not in everything


def test_a_difference_that_is_gone_is_closed_and_its_record_forgotten(there: Reconciled) -> None:
    plant(there)
    there.compare()
    there.main.run("UPDATE people SET opted_out = TRUE WHERE id = 2", "DELETE FROM people WHERE id = 5")
    there.main.run("UPDATE people SET emails = 'p3@example.org' WHERE id = 3")
    assert there.compare().closed > 0
    assert there.findings() == []
    there.clock.advance(2 * DAY)
    assert there.compare().new == {"contactable": 1}, "the winner of the merge lost the loser's opt-out"


def test_what_is_too_much_changes_nothing_until_a_person_allows_a_number(there: Reconciled) -> None:
    for own_id in range(100, 151):
        put(there.main, own_id, opted_out=True)
    before = there.rows(t.entry)
    dry = there.compare(dry=True)
    assert (dry.standing.state, there.told()) == (ListState.STOPPED, []), "who only looks tells nobody"
    there.run_job()
    there.run_job()
    assert there.requests() == []
    assert there.rows(t.entry) == before
    (alert,) = there.told()
    assert (alert.cause, "more than 50" in alert.text) == ("not-reconciled", True)
    assert there.standing().agree == 0
    assert there.compare(released=50).standing.state is ListState.STOPPED
    assert there.compare(released=51).new == {"missed": 51}
    assert len(there.requests()) == 51
    assert there.compare().new == {}


def test_a_list_that_breaks_off_or_is_cut_agrees_with_nobody_and_does_nothing(there: Reconciled) -> None:
    there.ask(Right.OPT_OUT, 10, address(10))
    put(there.main, 10, opted_out=True)
    for own_id in range(100, 120):
        put(there.main, own_id)
    assert there.compare().standing.agree == 1
    there.main.run("UPDATE people SET opted_out = TRUE", "DELETE FROM people WHERE id < 112")
    cut = there.compare()
    assert (cut.standing.state, cut.standing.agree, cut.standing.not_known) == (ListState.UNKNOWN, 0, 1)
    assert "is it whole?" in cut.why
    there.main.run("ALTER TABLE people RENAME TO others")
    away = there.compare()
    assert (away.standing.state, away.standing.agree) == (ListState.UNKNOWN, 0)
    assert away.standing.listed == 21, "what the last whole one had is remembered"
    there.main.run("ALTER TABLE others RENAME TO people", "DELETE FROM people")
    assert there.compare().why == "the list names nobody"
    assert len(there.requests()) == 1
    assert [one.cause for one in there.told()].count("not-reconciled") == 1


def test_what_cannot_be_read_closes_nothing_and_is_gone_for_nobody(there: Reconciled) -> None:
    there.ask(Right.OPT_OUT, 2, address(2))
    there.ask(Right.OPT_OUT, 4, address(4))
    there.clock.advance(2 * DAY)
    put(there.main, 2)
    put(there.main, 4, opted_out=True)
    assert there.compare().new == {"contactable": 1}
    there.main.run("UPDATE people SET opted_out = TRUE, changed_at = 'some day' WHERE id = 2")
    unread = there.compare()
    assert (unread.closed, unread.standing.not_known) == (0, 1)
    there.main.run("UPDATE people SET changed_at = NULL")
    assert there.compare().closed == 1


def test_a_request_that_was_withdrawn_is_not_made_again_of_the_same_row(there: Reconciled) -> None:
    put(there.main, 1, opted_out=True, version=3)
    there.compare()
    (made,) = there.requests()
    there.decide(made.id, DecisionKind.WITHDRAW)
    there.compare()
    assert there.compare().new == {}
    assert len(there.requests()) == 1
    there.main.run("UPDATE people SET opted_out = FALSE, version = 4")
    there.compare()
    there.main.run("UPDATE people SET opted_out = TRUE, version = 5")
    assert there.compare().new == {"missed": 1}, "another wish"
    assert len(there.requests()) == 2


def test_several_rows_of_one_record_are_one_request_with_all_addresses(there: Reconciled) -> None:
    there.main.run("DROP TABLE people", TABLE.replace("PRIMARY KEY", ""))
    put(there.main, 1, opted_out=True)
    put(there.main, 1, opted_out=True, emails="other@example.org")
    assert there.compare().new == {"missed": 1}
    assert there.compare().new == {}
    (one,) = there.asked()
    assert set(one.addresses) == {address(1), "other@example.org"}


def test_who_opted_out_by_address_alone_counts_for_the_record_that_has_it(there: Reconciled) -> None:
    there.ask(Right.OPT_OUT, None, address(1))
    there.ask(Right.OPT_OUT, None, address(2))
    there.clock.advance(2 * DAY)
    put(there.main, 1, opted_out=True)
    put(there.main, 2)
    assert there.compare().new == {"contactable": 1}


def test_who_comes_back_under_a_new_id_is_told_and_may_be_left_as_somebody_else(there: Reconciled) -> None:
    erased = there.ask(Right.ERASURE, 5, address(5))
    for kind in (DecisionKind.RELEASE, DecisionKind.SETTLE):
        there.decide(erased, kind)
    put(there.main, 15, emails=address(5), version=1)
    put(there.main, 16)
    assert there.compare().new == {"returned": 1}
    assert there.compare().new == {}
    (found,) = there.waiting()
    assert found.record == "15"
    assert there.leave(found.key[:12])
    left = there.compare()
    assert (left.new, left.standing.differ, there.findings()) == ({}, 0, [])
    there.main.run("UPDATE people SET version = 2 WHERE id = 15")
    assert there.compare().new == {"returned": 1}, "the record says something else"


def test_of_people_for_whom_nothing_was_asked_nothing_is_kept(there: Reconciled) -> None:
    there.ask(Right.OPT_OUT, 10, address(10))
    put(there.main, 10, opted_out=True)
    for own_id in range(100, 105):
        put(there.main, own_id, emails=f"stranger{own_id}@example.org")
    before = {table.name: len(there.rows(table)) for table in t.metadata.sorted_tables}
    there.compare()
    after = {table.name: len(there.rows(table)) for table in t.metadata.sorted_tables}
    assert {name for name in after if after[name] != before[name]} <= {"meta", "listed_person"}
    assert after["listed_person"] <= 1


def test_a_merge_the_winner_of_which_is_opted_out_by_the_loser_reaches_its_addresses_too(there: Reconciled) -> None:
    there.ask(Right.OPT_OUT, 6, address(6))
    put(there.main, 6, deleted=True, merged_into=7)
    put(there.main, 7)
    there.compare()
    told_again = there.asked()[-1]
    assert (told_again.right, told_again.subject.id) == (Right.OPT_OUT, "crm:7")
    assert address(6) in told_again.addresses


def test_a_postgresql_list_is_read_in_pages_and_only_read(postgresql_url: str) -> None:
    query = (
        "SELECT n AS id, 'p' || n || '@example.org' AS emails, n % 2 = 0 AS opted_out FROM generate_series(1, 450) n"
    )
    pages = list(people_of(postgresql_url, query).pages())
    assert [len(page) for page in pages] == [200, 200, 50]
    assert pages[0][1] == Listed("2", ("p2@example.org",), opted_out=True)
    writing = """WITH made AS (INSERT INTO meta VALUES ('a', 'b') RETURNING 1)
        SELECT 1 AS id, '' AS emails, 1 AS erased FROM made"""
    with pytest.raises(ListUnknown, match="cannot be run"):
        list(people_of(postgresql_url, writing).pages())


def people_of(url: str, query: str) -> SourcePeople:
    settings = ReconcileSection.model_construct(url=make_url(url).render_as_string(hide_password=False), query=query)
    return SourcePeople("crm", settings, Path())


def test_who_was_entered_by_hand_is_missed_too_once_the_list_had_named_them(there: Reconciled) -> None:
    subject = {"id": "crm:4", "email": address(4)}
    there.take({"type": "data_subject.request", "data": {"right": "opt_out", "subject": subject}}, "by-hand", "command")
    put(there.main, 5)
    assert there.compare().new == {}, "nobody knows whether this main database ever had them"
    put(there.main, 4, opted_out=True)
    there.compare()
    there.main.run("DELETE FROM people WHERE id = 4")
    assert there.compare().new == {"gone": 1}


def test_the_commands_say_how_it_compares_and_so_do_check_and_report(
    main: MainDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DPSYNC_TEST_MAIN", main.url)
    monkeypatch.setenv("DPSYNC_TEST_CRM", "0123456789abcdef0123456789abcdef")
    config = tmp_path / "dpsync.toml"
    config.write_text(SETTINGS.replace("QUERY", QUERY), encoding="utf-8")
    put(main, 1, opted_out=True)

    def said(*argv: str) -> tuple[int, str]:
        code = dpsync(["--config", str(config), *argv])
        return code, capsys.readouterr().out

    assert said("init")[0] == 0
    assert "crm: 0 agree, 1 differ, 0 not known" in said("source", "reconcile", "crm", "--dry-run")[1]
    assert "not compared yet" in said("check", "--offline")[1]
    code, told = said("source", "reconcile", "crm", "--json")
    found = json.loads(told)
    assert (code, found["state"], found["new"], found["agree"]) == (2, "compared", {"missed": 1}, 0)
    assert json.loads(said("source", "findings", "--json")[1])["findings"][0]["record"] == "1"
    assert said("source", "reconcile", "crm")[0] == 0
    assert "1 agree, 0 differ, 0 not known" in said("check", "--offline")[1]
    assert "crm: 1 agree, 0 differ, 0 not known" in said("report")[1]
    assert said("source", "leave", "0123456789ab", "--by", "Dana", "--reason", "a test")[0] == 64
    assert said("source", "reconcile", "crm", "--at-most", "900")[0] == 64, "nobody said so"
