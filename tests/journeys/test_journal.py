"""What was answered 202 is known outside the database: a database that lost some of it does not start in silence."""

import os
import resource
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import delete

from dpsync.errors import AcceptedLost, ProofDamaged, StoreProblem
from dpsync.installation import Installation as Opened
from dpsync.intake.answers import Received
from dpsync.intake.payload import parse
from dpsync.journal import Journal
from dpsync.model import Right
from dpsync.sealing import Keys
from dpsync.soundness import judge_and_tell, verify_ledger
from dpsync.store import integrity
from dpsync.store import tables as t
from dpsync.store.writer import Unit
from tests.crashes.failing import FailingFiles, Nth
from tests.faults.counting import Counted
from tests.journeys.installation import Asked, Installation, installed, receive, sqlite_url

PEOPLE = [f"p{number}@example.org" for number in range(5)]


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with installed(tmp_path, database_url) as made:
        yield made


def journal(there: Installation) -> Journal:
    return there.service.custody.journal


def named(there: Installation) -> list[str]:
    return [one.request_id for one in journal(there).read().accepted]


unsound = partial(integrity.problem, thorough=True)


def ask(there: Installation, count: int = 5) -> list[Asked]:
    return [there.ask(Right.OPT_OUT, email, id=f"crm-{email}") for email in PEOPLE[:count]]


def receive_one(service: Opened, there: Installation, number: int) -> Received:
    body = there.body(Right.OPT_OUT, f"q{number}@example.org", id=f"crm-q{number}")
    request = parse(body, source="crm", event_id=f"evt-q{number}", now=there.clock.now())
    return receive(service, request, body)


def forget(there: Installation, asked: Asked) -> None:
    """The database loses one request, its entries stay: what a person would do by hand."""

    def work(unit: Unit) -> None:
        unit.connection.execute(delete(t.propagation).where(t.propagation.c.request_id == asked.id))
        unit.connection.execute(delete(t.request).where(t.request.c.id == asked.id))

    there.service.write(work)


def test_every_request_and_withdrawal_that_was_accepted_is_in_the_journal(there: Installation) -> None:
    asked = ask(there)
    repeated = receive_one(there.service, there, 1)
    assert receive_one(there.service, there, 1) == Received(repeated.request_id, held=False, repeated=True)
    body = f'{{"type": "data_subject.request.withdrawn", "data": {{"request": "{asked[0].id}"}}}}'.encode()
    withdrawal = parse(body, source="crm", event_id="evt-w", now=there.clock.now())
    receive(there.service, withdrawal, body)
    told = journal(there).read()
    assert named(there) == [*[one.id for one in asked], *[repeated.request_id] * 2, asked[0].id]
    assert told.accepted[-1].kind == "withdrawal"
    assert told.entries == there.service.read(there.service.log.size)
    there.start_beside()


def test_a_request_that_the_database_lost_refuses_the_start_by_its_name(there: Installation) -> None:
    first, second = ask(there, 2)
    forget(there, second)
    with pytest.raises(AcceptedLost, match=rf"1 request was accepted .* {second.id}\. Look for"):
        there.start_beside()
    (lost,) = verify_ledger(there.service, full=True).lost
    assert first.id not in lost


@pytest.mark.fault(23)
def test_a_lost_wal_names_each_request_that_vanished_with_it(tmp_path: Path, counted: Counted) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        database = tmp_path / "dpsync.db"
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        asked = ask(there)
        without_wal = database.read_bytes()
        assert (tmp_path / "dpsync.db-wal").stat().st_size > 0
        there.service.close()
        for end in ("", "-wal", "-shm"):
            Path(f"{database}{end}").unlink(missing_ok=True)
        database.write_bytes(without_wal)
        with pytest.raises(AcceptedLost) as caught:
            there.start_beside()
        assert all(one.id in caught.value.message for one in asked)
        counted(23, silent_starts=sum(one.id not in caught.value.message for one in asked))
        (tmp_path / "anchors" / "journal").rename(tmp_path / "anchors" / "journal.gap")
        there.start_beside()
        with there.another_process() as service:
            again = receive_one(service, there, 7)
            assert [one.request_id for one in service.custody.journal.read().accepted] == [again.request_id]
        assert (tmp_path / "anchors" / "journal.gap-recorded").exists(), "what it told of is kept"


def test_dead_between_commit_and_journal_is_no_loss_and_is_made_up_for_at_the_next_start(there: Installation) -> None:
    first, second = ask(there, 2)
    whole = journal(there).path.read_bytes().splitlines(keepends=True)
    # Killed in the middle of the second line: the commit stands, nobody was answered.
    journal(there).path.write_bytes(whole[0] + whole[1][: len(whole[1]) // 2])
    there.start_beside()
    assert named(there) == [first.id, second.id]
    third = receive_one(there.service, there, 3)
    assert named(there) == [first.id, second.id, third.request_id]
    assert journal(there).read().damaged == ()
    there.start_beside()


@pytest.mark.no_database
def test_where_nothing_can_be_kept_outside_nothing_is_accepted(there: Installation) -> None:
    path = journal(there).path
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(ProofDamaged, match="journal of accepted requests"):
        ask(there, 1)
    assert there.rows(t.request) == [], "refused before the commit"
    assert not path.exists(), "and not made anew"
    path.with_name("elsewhere").rename(path)
    assert len(ask(there, 1)) == 1


@pytest.mark.no_database
def test_what_was_committed_and_could_not_be_kept_is_not_called_accepted_before_it_is(there: Installation) -> None:
    path = journal(there).path
    size, limit = path.stat().st_size, 16 * 1024 * 1024
    os.truncate(path, limit)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    try:
        with pytest.raises(ProofDamaged):
            receive_one(there.service, there, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        os.truncate(path, size)
    assert len(there.rows(t.request)) == 1, "committed, and nobody was answered"
    again = receive_one(there.service, there, 1)
    assert again.repeated
    assert named(there) == [again.request_id]
    assert len(there.rows(t.request)) == 1


def test_two_processes_write_one_journal_and_lose_no_line(there: Installation) -> None:
    with there.another_process() as other, ThreadPoolExecutor(8) as pool:
        several = [(there.service, other)[number % 2] for number in range(40)]
        ids = [one.request_id for one in pool.map(lambda one, n: receive_one(one, there, n), several, range(40))]
    told = journal(there).read()
    assert sorted(one.request_id for one in told.accepted) == sorted(ids)
    assert told.damaged == ()
    there.start_beside()


@pytest.mark.parametrize("how", ["shorter", "a line less", "another key"])
def test_a_journal_that_was_cut_or_changed_is_a_damaged_file(there: Installation, how: str) -> None:
    ask(there, 3)
    there.start_beside()
    path = journal(there).path
    lines = path.read_bytes().splitlines(keepends=True)
    spoilt = {
        "shorter": lines[:1],
        "a line less": [lines[0], lines[2], lines[2]],
        "another key": [lines[0], b"A" * (len(lines[1]) - 1) + b"\n", lines[2]],
    }
    path.write_bytes(b"".join(spoilt[how]))
    found = verify_ledger(there.service, full=True)
    assert found.problems == found.lost == ()
    assert str(path) in found.damaged[0]


def test_a_line_that_stands_twice_is_named(there: Installation) -> None:
    ask(there, 3)
    there.start_beside()
    path = journal(there).path
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[1], lines[2]]))
    found = verify_ledger(there.service, full=True)
    assert "an older line stands once more at line 3" in found.damaged[0]


def test_a_request_that_the_journal_listed_and_does_not_list_any_more_is_named(there: Installation) -> None:
    ids = ask(there, 3)
    there.start_beside()
    kept = journal(there)
    lines = kept.path.read_bytes().splitlines(keepends=True)
    opened = kept._opened(lines[1].rstrip())
    assert opened is not None
    spare = [replace(opened[1][0], request_id=ids[0].id)] * len(opened[1])
    lines[1] = kept._line(opened[0]["n"], spare, opened[0]["size"])
    kept.path.write_bytes(b"".join(lines))
    found = verify_ledger(there.service, full=True)
    assert found.problems == found.lost == ()
    assert [one.partition(". ")[0] for one in found.damaged] == [
        f"{kept.path} does not list any more, although it did: {opened[1][0].request_id}"
    ]


def test_what_was_compared_by_the_clock_is_not_compared_again_by_each_command(there: Installation) -> None:
    custody, now = there.service.custody, there.clock.now()

    def left() -> int:
        lying = custody.lying(there.service.read, quick=True)
        return len(lying.told.accepted) if lying.told else 0

    asked = ask(there)
    assert left() == len(asked)
    judge_and_tell(there.service, now, full=False)
    assert left() == 0
    assert {*named(there)} == {one.id for one in asked}
    custody.journal.path.write_bytes(b"")
    judge_and_tell(there.service, now, full=False)
    assert custody.journal.path.read_bytes() == b""
    assert "shorter than it was" in there.told()[-1].body
    custody.journal.path.unlink()
    judge_and_tell(there.service, now, full=False)
    assert not custody.journal.path.exists()


def test_a_journal_that_is_gone_refuses_the_start_and_is_not_made_anew(there: Installation) -> None:
    ask(there, 1)
    journal(there).path.unlink()
    with pytest.raises(ProofDamaged, match=r"journal of accepted requests.*make an empty file .*journal\.gap"):
        there.start_beside()
    assert not journal(there).path.exists()


@pytest.mark.no_database
def test_nothing_of_a_person_or_an_event_stands_in_the_journal_in_clear(there: Installation) -> None:
    (asked,) = ask(there, 1)
    raw = journal(there).path.read_bytes()
    assert not [word for word in (PEOPLE[0], asked.id, "evt-1", "crm") if word.encode() in raw]


# --- the database's own file


def test_a_damaged_page_refuses_the_start_in_its_own_words(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        ask(there)
        there.service.close()
        path = tmp_path / "dpsync.db"
        with sqlite3.connect(path) as connection:
            (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'lane_due'").fetchone()
            (size,) = connection.execute("PRAGMA page_size").fetchone()
        connection.close()
        with path.open("r+b") as file:
            file.seek((page - 1) * size + 3)
            file.write(b"\xff\xff")
        with pytest.raises(StoreProblem, match=r"the database file is damaged: SQLite's quick_check says: .*Page"):
            there.start_beside()


def test_an_index_that_does_not_fit_its_table_is_seen_by_verify(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        ask(there)
        assert there.service.read(unsound) == ""
        there.service.close()
        with sqlite3.connect(tmp_path / "dpsync.db") as connection:
            connection.execute("PRAGMA writable_schema=ON")
            connection.execute(
                "UPDATE sqlite_master SET sql = replace(sql, 'received_at', 'due_at') WHERE name = 'request_received'"
            )
        connection.close()
        with there.another_process() as service:
            assert "request_received" in service.read(unsound)


@pytest.mark.no_database
def test_a_journal_follows_no_link(there: Installation, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    path = journal(there).path
    path.unlink()
    path.symlink_to(victim)
    with pytest.raises(ProofDamaged):
        receive_one(there.service, there, 1)
    assert victim.stat().st_size == 0


def test_a_disk_that_fails_to_read_is_named_and_is_no_missing_permission(tmp_path: Path) -> None:
    kept = Journal(tmp_path, Keys.create(tmp_path / "keys"))
    kept.begin()
    with (
        FailingFiles(Nth(1), "EIO", kept.path).watched(),
        pytest.raises(ProofDamaged, match=r"journal cannot be read: Input/output error"),
    ):
        kept.read()
