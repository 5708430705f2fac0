"""What the entries tell of a place, and what lies beside the ledger: checkpoints, receipts, and what is none."""

import base64
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from dpsync.errors import ProofDamaged, ProofDiskFull
from dpsync.ledger import anchors as outside
from dpsync.ledger import entry, note, receipt
from dpsync.ledger.anchors import LARGEST, Anchors, Outside
from dpsync.ledger.conversation_comparison import _Told
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.note import Checkpoint, Signer
from dpsync.ledger.receipt_folder import VERIFIER, ReceiptFolder
from dpsync.ledger.told import PlaceTold
from dpsync.model import Rung
from dpsync.store import tables as t
from tests.unit.test_ledger_receipt import NOW, SIGNER, ledger, receipt_under

ORIGIN = "example.org/outside"
ANCHOR_SIGNER = Signer.from_seed(ORIGIN, bytes(range(32)))


def checkpoint(size: int) -> str:
    return note.sign(Checkpoint(ORIGIN, size, bytes(32)), ANCHOR_SIGNER)


@pytest.fixture
def folder(tmp_path: Path) -> ReceiptFolder:
    found = ReceiptFolder(tmp_path / "receipts", [SIGNER.verifier])
    found.begin()
    return found


def test_the_newest_receipt_is_the_one_whose_checkpoint_signs_most(folder: ReceiptFolder, tmp_path: Path) -> None:
    few, many = receipt_under("r-b", 2), receipt_under("r-a", 12)
    for value in (many, few):  # the order of the names and of the times says nothing
        folder.write(value)
    assert folder.newest() == {tmp_path / "receipts" / "r-a.json": many["checkpoint"]}


def test_what_is_no_receipt_is_not_the_newest_and_nothing_waits_for_it(folder: ReceiptFolder, tmp_path: Path) -> None:
    assert folder.newest() == {}
    there = tmp_path / "receipts"
    value = receipt_under("r-a", 2)
    path = folder.write(value)
    larger = receipt.dump(receipt_under("r-c", 12))
    (there / "r-cut.json").write_bytes(larger[: len(larger) // 2])
    (there / "r-empty.json").touch()
    (there / "r-folder.json").mkdir()
    os.mkfifo(there / "r-pipe.json")
    (tmp_path / "elsewhere.json").write_bytes(larger)
    (there / "r-link.json").symlink_to(tmp_path / "elsewhere.json")
    (there / "r-nowhere.json").symlink_to(tmp_path / "nowhere.json")
    assert folder.newest() == {path: value["checkpoint"]}


def test_a_receipt_is_missing_until_it_tells_of_the_moment_at_which_its_request_closed(folder: ReceiptFolder) -> None:
    closed = NOW + timedelta(minutes=1)
    wanted = [("r-a", closed), ("r-b", closed)]
    assert folder.missing(wanted) == ["r-a", "r-b"]
    value = receipt_under("r-a", 2)
    folder.write(value)
    last = max(int(entry.decode(base64.b64decode(one["body"]))["ts"]) for one in value["entries"])
    at = datetime.fromtimestamp(last, UTC)
    assert folder.missing([("r-a", at)]) == []
    assert folder.missing([("r-a", at + timedelta(seconds=0.9))]) == []
    assert folder.missing([("r-a", at + timedelta(seconds=1))]) == ["r-a"]


def test_a_receipt_that_is_a_link_is_missing(folder: ReceiptFolder, tmp_path: Path) -> None:
    path = folder.write(receipt_under("r-a", 2))
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    assert folder.missing([("r-a", datetime.fromtimestamp(0, UTC))]) == ["r-a"]


def test_beside_receipts_lies_the_verifier_of_this_version(folder: ReceiptFolder, tmp_path: Path) -> None:
    there = tmp_path / "receipts" / "verify_receipt.py"
    folder.write(receipt_under("r-a", 2))
    assert there.read_bytes() == VERIFIER.read_bytes()
    there.write_bytes(b"of an earlier version")
    folder.write(receipt_under("r-b", 2))
    assert there.read_bytes() == VERIFIER.read_bytes()


def test_what_stands_in_place_of_a_checkpoint_is_named_as_what_it_is(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path)
    anchors.write(checkpoint(1))
    (tmp_path / "000000000002.checkpoint").mkdir()
    (tmp_path / "000000000003.checkpoint").write_bytes(b"x" * (LARGEST + 1))
    (tmp_path / "000000000004.checkpoint").touch()
    (tmp_path / "000000000005.checkpoint").write_text(checkpoint(1), encoding="utf-8")
    folder, large, empty, other = anchors.read({}).damaged
    assert "is a folder, where a file should be, which says nothing" in folder
    assert f"is larger than {LARGEST:,} bytes, which says nothing" in large
    assert "000000000004.checkpoint is a damaged file (empty, cut off or no checkpoint), which" in empty
    assert "000000000005.checkpoint is a damaged file (it holds the checkpoint of 1 entries), which" in other


def test_a_folder_that_takes_no_checkpoint_is_damaged_and_not_full(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ProofDamaged) as refused:
        Anchors(tmp_path / "file").write(checkpoint(1))
    assert not isinstance(refused.value, ProofDiskFull)


def test_the_folders_are_made_with_those_above_and_may_be_there_already(tmp_path: Path) -> None:
    for made in (Anchors(tmp_path / "a" / "b"), ReceiptFolder(tmp_path / "c" / "d", [])):
        made.begin()
        made.begin()
    assert (tmp_path / "a" / "b").is_dir()
    assert (tmp_path / "c" / "d").is_dir()


def test_the_newest_is_the_largest_and_of_one_size_the_last(tmp_path: Path) -> None:
    anchors, newest = Anchors(tmp_path), tmp_path / "checkpoint"
    other = note.sign(Checkpoint(ORIGIN, 2, bytes(32)), ANCHOR_SIGNER, Signer.from_seed(ORIGIN, bytes(32)))
    for text, stands in ((checkpoint(2), checkpoint(2)), (checkpoint(1), checkpoint(2)), (other, other)):
        anchors.write(text)
        assert newest.read_text(encoding="utf-8") == stands
    assert (tmp_path / "000000000002.checkpoint").read_text(encoding="utf-8") == checkpoint(2)
    newest.write_bytes(b"damaged")
    anchors.write(checkpoint(0))
    assert newest.read_text(encoding="utf-8") == checkpoint(0)


def test_a_hidden_file_is_nobodys_checkpoint(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path)
    anchors.write(checkpoint(1))
    (tmp_path / ".000000000009.checkpoint").touch()
    assert anchors.read({}).damaged == ()


def test_each_checkpoint_outside_is_compared_but_those_the_ledger_holds_itself() -> None:
    """A kept one is compared where it is kept, unless it is the largest, which speaks for all before it."""
    entries = [(None, entry.encode(EntryKind.ALERT, NOW, cause="overdue"))]
    with ledger(entries * 5) as (log, connection):
        forks = {size: note.sign(Checkpoint(log.origin, size, bytes(32)), SIGNER) for size in (1, 2, 5)}
        connection.execute(insert(t.checkpoint).values(size=1, note=forks[1], at=NOW))

        def against(*sizes: int) -> list[str]:
            told = Outside({forks[size]: str(size) for size in sizes}, ())
            return sorted(problem.split(":")[0] for problem in outside.against(connection, log, told))

        assert against(1, 2, 5) == ["anchor 2", "anchor 5"]
        assert against(1) == ["anchor 1"]


# --- what the entries tell of one place


def heard(*said: Mapping[str, str | int]) -> PlaceTold:
    place = PlaceTold()
    for number, one in enumerate(said, 1):
        place.hear(number, {"ts": number, "rung": Rung.SENT, "state": "handed_over", **one})
    return place


def test_it_is_told_from_its_first_proof_until_one_takes_it_back() -> None:
    assert heard({"rung": Rung.NONE}).told is None
    assert heard({"rung": Rung.SENT}).told == 1
    assert heard({}, {}).told == 1
    assert heard({"told": 1}, {"told": 1}).told == 1
    assert heard({"told": 1}, {"told": 0}).told is None
    assert heard({"told": 1}, {"told": 0}, {"told": 1}).told == 3
    assert heard({"told": 0}).told is None


def test_it_is_done_from_the_first_of_its_done_states_and_anew_after_a_contradiction() -> None:
    done, seen, no = ({"state": state} for state in ("applied", "verified", "contradicted"))
    assert heard(done, seen).done == 1
    assert heard(done, no).done == 1
    assert heard(done, no, seen).done == 3
    assert (heard(done, done, no, no).since, heard(done, done, no, no).state) == (3, "contradicted")


def test_of_what_is_about_no_request_only_acts_on_lists_are_heard_as_such() -> None:
    heard = _Told()
    heard.hear(1, {"event": "received", "list": "l-1", "ts": 0})
    heard.hear(2, {"event": "verified", "ts": 0})
    assert heard.lists == set()
