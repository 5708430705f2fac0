"""Each file outside that tells of the ledger is heard by every command that writes, and a spoilt one is called so."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dpsync.errors import AcceptedLost, LedgerTampered, ProofDamaged, StoreProblem
from dpsync.ledger import note
from dpsync.model import Right
from dpsync.soundness import verify_ledger
from tests.journeys.installation import Installation, installed, sqlite_url
from tests.journeys.test_custody import anchors, rolled_back
from tests.journeys.test_journal import ask, forget, journal, named, receive_one

ADA, BEN = "ada@example.org", "ben@example.org"


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with installed(tmp_path, database_url) as made:
        made.sandbox.add(ADA)
        made.sandbox.add(BEN)
        yield made


def begin_to_write(there: Installation) -> None:
    """What each command that writes looks at first."""
    with there.another_process() as service:
        service.custody.demand(service.read)


# --- receipts


@pytest.mark.no_database
def test_no_command_writes_where_one_receipt_alone_tells_of_more(there: Installation) -> None:
    first = there.ask(Right.ERASURE, ADA)
    there.drive()
    older = {path.name: path.read_bytes() for path in anchors(there).iterdir()}
    size = there.service.read(there.service.log.size)
    there.ask(Right.ERASURE, BEN, id="crm-2")
    there.drive()
    begin_to_write(there)
    for path in anchors(there).iterdir():
        path.unlink()
    for name, content in older.items():
        (anchors(there) / name).write_bytes(content)
    rolled_back(there, upto=size)
    receipts = there.service.settings.ledger.receipts
    for name in (r"newest\.checkpoint", r"r-\w+\.json"):
        with pytest.raises(LedgerTampered, match=rf"anchor {name}: .* but the ledger ends after {size}"):
            begin_to_write(there)
        (receipts / "newest.checkpoint").unlink(missing_ok=True)
    assert there.service.custody.receipts.newest().keys() < set(receipts.glob("r-*.json"))
    for path in receipts.glob("r-*.json"):
        if path.name != f"{first.id}.json":
            path.write_bytes(path.read_bytes()[:-20])  # one that is no receipt any more says nothing
    begin_to_write(there)


# --- checkpoints


def flip_signature(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-10] = ord("A") if raw[-10] != ord("A") else ord("B")
    path.write_bytes(raw)


def of_another_key(path: Path) -> None:
    head, _ = note.parse(path.read_text())
    path.write_text(note.sign(head, note.Signer.from_seed(head.origin, bytes(32))))


def of_another_size(path: Path) -> None:
    first = min(path.parent.glob("0*.checkpoint"))
    path.write_bytes(first.read_bytes())


@pytest.mark.parametrize(
    ("name", "spoil", "says"),
    [
        ("checkpoint", flip_signature, "signature by a known key does not fit"),
        ("000000000003.checkpoint", flip_signature, "signature by a known key does not fit"),
        ("checkpoint", of_another_key, "no known key has signed"),
        ("000000000003.checkpoint", of_another_size, "it holds the checkpoint of 2 entries"),
    ],
)
def test_a_checkpoint_that_cannot_be_relied_on_is_a_damaged_file_and_no_tampering(
    there: Installation, name: str, spoil: Callable[[Path], None], says: str
) -> None:
    for number in range(2):
        there.ask(Right.OPT_OUT, ADA, id=f"crm-{number}")
        there.service.anchor(there.clock.now())
    path = anchors(there) / name
    good = path.read_bytes()
    spoil(path)
    found = verify_ledger(there.service, full=True)
    assert found.problems == found.lost == ()
    (problem,) = found.damaged
    assert f"{path} is a damaged file" in problem
    assert says in problem
    for go in (begin_to_write, Installation.start_beside):
        with pytest.raises(ProofDamaged, match=re.escape(says)):
            go(there)
    path.write_bytes(good)
    there.start_beside()


def test_a_checkpoint_that_our_key_has_signed_and_the_rows_contradict_is_tampering(there: Installation) -> None:
    path = anchors(there) / "000000000002.checkpoint"
    head, _ = note.parse(path.read_text())
    path.write_text(note.sign(note.Checkpoint(head.origin, head.size, bytes(32)), there.service.log.signer))
    for go in (begin_to_write, Installation.start_beside):
        with pytest.raises(LedgerTampered, match="have another root"):
            go(there)


# --- the journal


def flip_in_last_line(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    assert raw.endswith(b"\n")
    raw[-20] = ord("A") if raw[-20] != ord("A") else ord("B")
    path.write_bytes(raw)


@pytest.mark.parametrize("compared_before", [True, False])
def test_a_whole_line_that_does_not_open_is_a_damaged_journal_and_no_torn_one(
    there: Installation, *, compared_before: bool
) -> None:
    ask(there, 3)
    if compared_before:
        there.start_beside()
    flip_in_last_line(journal(there).path)
    for full in (True, False):
        found = verify_ledger(there.service, full=full)
        assert found.problems == found.lost == ()
        assert "is a damaged file: line 3 does not open" in found.damaged[0]
    with pytest.raises(ProofDamaged, match="line 3 does not open"):
        there.start_beside()
    journal(there).path.rename(journal(there).path.with_suffix(".gap"))
    there.start_beside()


def test_where_the_journal_is_damaged_too_what_is_missing_is_not_counted_out(there: Installation) -> None:
    asked = ask(there, 3)
    forget(there, asked[1])
    flip_in_last_line(journal(there).path)
    with pytest.raises(AcceptedLost, match=r"at least 1 request was .*; .* is a damaged file: line 3 does not open"):
        there.start_beside()


def test_a_half_line_is_cut_off_by_whoever_writes_next(there: Installation) -> None:
    first, second = ask(there, 2)
    path = journal(there).path
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    again = receive_one(there.service, there, 3)
    assert named(there) == [first.id, again.request_id]
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    last = receive_one(there.service, there, 4)
    assert named(there) == [first.id, again.request_id, last.request_id], "what lacks its line feed alone is whole"
    assert journal(there).read().damaged == ()
    there.start_beside()
    assert second.id in named(there)


# --- the database's own file


def test_where_the_databases_file_is_damaged_nothing_is_called_lost(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        ask(there)
        there.service.close()
        with closing(sqlite3.connect(tmp_path / "dpsync.db")) as connection, connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            of_events = (
                "SELECT m.rootpage FROM sqlite_master AS m JOIN pragma_index_info(m.name) AS i "
                "WHERE m.tbl_name = 'request' AND m.type = 'index' AND i.name = 'event_id'"
            )
            (page,) = connection.execute(of_events).fetchone()
            (size,) = connection.execute("PRAGMA page_size").fetchone()
        path = tmp_path / "dpsync.db"
        raw = path.read_bytes()
        at, end = (page - 1) * size, page * size
        spoilt = raw[at:end].replace(b"evt-", b"evt,")
        assert spoilt != raw[at:end]
        path.write_bytes(raw[:at] + spoilt + raw[end:])
        for go in (begin_to_write, Installation.start_beside):
            with pytest.raises(StoreProblem, match="the database file is damaged"):
                go(there)
