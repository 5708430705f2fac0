"""What the entries tell of a place, and what lies beside the ledger: checkpoints, receipts, and what is none."""

import base64
import errno
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from dpsync.errors import ProofDamaged, ProofDiskFull
from dpsync.ledger import anchors as outside
from dpsync.ledger import entry, note, receipt
from dpsync.ledger.anchors import LARGEST, Anchors, Outside
from dpsync.ledger.continuation import Continuation
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
    there = tmp_path / "receipts"
    assert folder.newest() == {there / "newest.checkpoint": many["checkpoint"]}
    (there / "newest.checkpoint").unlink()
    assert folder.newest() == {there / "r-a.json": many["checkpoint"]}


def test_the_newest_checkpoint_is_noted_beside_the_receipts_and_none_of_them_is_read(
    folder: ReceiptFolder, tmp_path: Path
) -> None:
    noted, few, many = tmp_path / "receipts" / "newest.checkpoint", receipt_under("r-b", 2), receipt_under("r-a", 12)
    folder.write(few)
    folder.write(many)
    folder.write(few)
    assert noted.read_text() == many["checkpoint"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "scandir", lambda *_: pytest.fail("every file is looked at"))
        assert ReceiptFolder(folder._folder, [SIGNER.verifier]).newest() == {noted: many["checkpoint"]}
    assert folder.checkpoints()[noted] == many["checkpoint"]
    others: list[bytes] = [b"", b"no checkpoint", noted.read_bytes()[:-9], b"\xff", checkpoint(40).encode()]
    for other in others:
        noted.write_bytes(other)
        assert [*folder.newest()] == [tmp_path / "receipts" / "r-a.json"], "what is not signed says nothing"
    for away in (noted.unlink, noted.mkdir):
        noted.unlink(missing_ok=True)
        if away is noted.mkdir:
            noted.mkdir()
        ReceiptFolder(folder._folder, [SIGNER.verifier]).write(few)
        assert noted.read_text() == many["checkpoint"], "the newest of all, and not of the one that was written"


def test_the_newest_that_is_sound_is_found_behind_those_that_are_not(folder: ReceiptFolder, tmp_path: Path) -> None:
    there = tmp_path / "receipts"
    sound = [folder.write(receipt_under(f"r-{one}", 12)) for one in "cb"]
    folder.write(receipt_under("r-a", 2))
    for one in "de":
        larger = receipt.dump(receipt_under(f"r-{one}", 20))
        (there / f"r-{one}.json").write_bytes(larger[: len(larger) // 2])
    for other in ("r-f.txt", "x-f.json", "f.json"):
        (there / other).write_bytes(receipt.dump(receipt_under("r-f", 20)))
    (there / "newest.checkpoint").unlink()
    assert [*folder.newest()] == [sound[1]], "of one size, the first by name"
    assert [*folder.checkpoints()] == [there / "r-a.json", *reversed(sound)]
    assert [*folder.told()] == ["r-a", "r-b", "r-c", "r-d", "r-e"]


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
    (there / "newest.checkpoint").unlink()
    assert folder.newest() == {path: value["checkpoint"]}


def test_how_far_receipts_reach_is_looked_for_once_and_then_known(folder: ReceiptFolder) -> None:
    many = receipt_under("r-b", 12)
    size = note.parse(many["checkpoint"])[0].size
    folder.write(many)
    folder.write(receipt_under("r-a", 2))
    assert folder.under == size
    again = ReceiptFolder(folder._folder, [SIGNER.verifier])
    assert again.under == size
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "scandir", lambda *_: pytest.fail("every file is looked at once more"))
        again.write(receipt_under("r-c", 2))
        assert again.under == size
        again.write(larger := receipt_under("r-d", 20))
        assert again.under == note.parse(larger["checkpoint"])[0].size > size
    assert ReceiptFolder(folder._folder / "none", [SIGNER.verifier]).under == 0


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


@pytest.mark.parametrize(
    ("refused", "told"), [(errno.EIO, "cannot be used: Input/output error"), (errno.ENOSPC, "is full: make room")]
)
def test_a_checkpoint_that_the_disk_did_not_give_this_time_is_no_damaged_file(
    refused: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchors = Anchors(tmp_path)
    anchors.write(checkpoint(1))
    opened, failed = os.open, list[Any]()

    def once(path: Any, *more: Any, **named: Any) -> int:
        if str(path).endswith("000000000001.checkpoint") and not failed:
            failed.append(path)
            raise OSError(refused, os.strerror(refused))
        return opened(path, *more, **named)

    monkeypatch.setattr(os, "open", once)
    (said,) = anchors.read({}).damaged
    assert told in said
    assert ".gap" not in said, "nobody is to set a good file aside"


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


def test_a_receipt_is_ahead_of_a_ledger_that_does_not_hold_all_it_was_made_of(folder: ReceiptFolder) -> None:
    path = folder.write(receipt_under("r-a", 2))
    size = note.parse(folder.checkpoints()[path])[0].size
    both = [path.with_name("newest.checkpoint"), path]
    assert [folder.ahead(at) for at in (size - 1, size, size + 1)] == [both, [], []]


def test_a_stamp_is_kept_to_the_byte_with_what_was_asked(tmp_path: Path) -> None:
    Anchors(tmp_path, [ANCHOR_SIGNER.verifier]).write_stamp(7, "one", b"asked", b"said")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "000000000007.one.tsq": b"asked",
        "000000000007.one.tsr": b"said",
    }


def test_a_damaged_consistency_file_of_an_ordinary_size_is_not_called_too_large(tmp_path: Path) -> None:
    path = tmp_path / "000000000001-000000000002.consistency"
    path.write_bytes(b"-" * (LARGEST + 1000))
    (damaged,) = Anchors(tmp_path, [ANCHOR_SIGNER.verifier]).read({}).damaged
    assert f"{path} is a damaged file (" in damaged


def test_the_checkpoints_and_consistency_files_of_more_entries_are_ahead(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path, [ANCHOR_SIGNER.verifier])
    anchors.write(checkpoint(5))
    # As large as one may be: a checkpoint that many have signed, and a long proof.
    signed = checkpoint(6)
    while len(signed.encode()) < LARGEST - 200:
        signed += f"— example.org/other {base64.b64encode(bytes(100)).decode()}\n"
    step = Continuation(5, (bytes(32),) * 60, signed)
    assert len(step.text.encode()) > LARGEST
    (tmp_path / f"{step.name}.consistency").write_text(step.text)
    (tmp_path / "1-2.consistency").write_text("nothing")
    found = [sorted(path.name for path in anchors.ahead(size)) for size in (4, 5, 6)]
    assert found == [["000000000005.checkpoint", "5-6.consistency", "checkpoint"], ["5-6.consistency"], []]
    beside = ["000000000006.cosigned", "000000000006.tsa.example.org.tsq", "000000000006.tsa.example.org.tsr"]
    for name in (*beside, "000000000007.notes", "of-a-person.tsr", "00000000006.tsr"):
        (tmp_path / name).write_text("")
    assert sorted(path.name for path in anchors.ahead(5)) == [*beside, "5-6.consistency"]
    assert anchors.ahead(6) == []


def test_under_a_cosigned_checkpoint_stand_the_lines_of_others_and_nothing_else(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path, [ANCHOR_SIGNER.verifier])
    other = note.sign(Checkpoint(ORIGIN, 3, bytes(31) + b"x"), ANCHOR_SIGNER)
    one, two = "— example.org/one AAAAAAAAAAA=\n", "— example.org/two AAAAAAAAAAA=\n"
    (tmp_path / "000000000003.cosigned").write_text(other)
    assert anchors.write_cosigned(checkpoint(3), one) == checkpoint(3) + one
    assert anchors.write_cosigned(checkpoint(3), two) == checkpoint(3) + one + two
    assert anchors.write_cosigned(checkpoint(3), one) == checkpoint(3) + one + two
    assert (tmp_path / "000000000003.cosigned").read_text() == checkpoint(3) + one + two
