"""Checkpoints and receipts that lie beside the ledger: which is the newest, and what is said of what is none."""

import os
from pathlib import Path

import pytest

from dpsync.errors import ProofDamaged, ProofDiskFull
from dpsync.ledger import note, receipt
from dpsync.ledger.anchors import LARGEST, Anchors
from dpsync.ledger.note import Checkpoint, Signer
from dpsync.ledger.receipt_folder import ReceiptFolder
from tests.unit.test_ledger_receipt import SIGNER, receipt_under

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
