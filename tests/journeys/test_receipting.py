"""Receipts of what closed: a look costs what happened since, one checkpoint for many, and what is spoilt is missed."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dpsync.cli.receipt import _proof
from dpsync.errors import NoteInvalid
from dpsync.ledger.receipt import dump
from dpsync.model import Right
from dpsync.running import receipting
from dpsync.store import meta
from dpsync.store import tables as t
from tests.journeys.installation import Installation, installed, sqlite_url
from tests.unit.test_ledger_receipt import receipt_of

PEOPLE = [f"p{number}@example.org" for number in range(6)]


@pytest.fixture
def finished(database_url: str, tmp_path: Path) -> Iterator[Installation]:
    """Six requests that closed, each with its receipt."""
    with installed(tmp_path, database_url) as there:
        for person in PEOPLE:
            there.ask(Right.ERASURE, person)
        there.drive()
        assert len(files(there)) == len(PEOPLE)
        yield there


def files(there: Installation) -> list[Path]:
    return sorted(there.service.settings.ledger.receipts.glob("r-*.json"))


def look(there: Installation, in_turn: int = receipting.IN_TURN) -> int:
    """A minute later; how many receipts there are then."""
    there.clock.advance(timedelta(minutes=1))
    receipting.write(there.service, there.clock.now(), in_turn=in_turn)
    return len(files(there))


@pytest.mark.no_database
def test_many_receipts_lie_under_one_checkpoint(finished: Installation) -> None:
    for path in files(finished):
        path.unlink()
    before = len(finished.rows(t.checkpoint))
    assert look(finished) == len(PEOPLE)
    assert len(set(finished.service.custody.receipts.checkpoints().values())) == 1
    assert len(finished.rows(t.checkpoint)) <= before + 1


def test_what_closed_long_ago_is_looked_at_in_turn_and_what_closes_at_once(finished: Installation) -> None:
    look(finished)
    for path in files(finished):
        path.unlink()
    assert [look(finished, in_turn=2) for _ in range(2)] == [2, 4]
    finished.ask(Right.ERASURE, "new@example.org")
    finished.drive()
    there = {path.stem for path in files(finished)}
    assert finished.asked[-1].id in there
    assert look(finished, in_turn=2) == len(PEOPLE) + 1
    files(finished)[0].write_text("spoilt", encoding="utf-8")
    for _ in range(4):
        look(finished, in_turn=2)
    assert "spoilt" not in files(finished)[0].read_text(encoding="utf-8")


def test_a_receipt_that_could_not_be_written_is_tried_again_with_each_look(finished: Installation) -> None:
    look(finished)
    rows = [dict(row._mapping) for row in finished.rows(t.evidence)]
    finished.service.write(lambda unit: unit.connection.execute(t.evidence.delete()))
    for path in files(finished):
        path.unlink()
    assert look(finished) == 0
    finished.service.write(lambda unit: unit.connection.execute(t.evidence.insert(), rows))
    finished.service.custody.looked.ordinal = 10**6  # the others' turn has just passed
    assert look(finished, in_turn=1) == len(PEOPLE)


def test_how_far_was_looked_is_kept_from_time_to_time(finished: Installation) -> None:
    def kept() -> int:
        return int(finished.service.read(lambda connection: meta.value_of(connection, "receipts")) or 0)

    look(finished)
    assert kept() == 0
    assert finished.service.custody.looked.entries == len(finished.rows(t.entry))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(receipting, "REMEMBERED", 5)
        look(finished)
    assert kept() == len(finished.rows(t.entry))


def test_the_kept_receipt_of_what_is_forgotten_is_given_out_only_as_it_was_sealed(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        kept = there.service.settings.ledger.receipts / "r-one.json"
        for part in ("entries", "processors", "origin", "nothing"):
            kept.write_bytes(dump({name: value for name, value in receipt_of().items() if name != part}))
            with pytest.raises(NoteInvalid):
                _proof(there.service, "r-one", tmp_path / "given.json")
