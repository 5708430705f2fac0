"""What is kept outside the database: a checkpoint that is missed or older, a spoilt file, a receipt that is none."""

import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from dpsync.errors import LedgerTampered, ProofDamaged
from dpsync.ledger import entry, note, receipt, verify_receipt
from dpsync.model import Right
from dpsync.soundness import verify_ledger
from dpsync.store import tables as t
from tests.journeys.installation import Installation, installed

ADA, BEN, CARA = "ada@example.org", "ben@example.org", "cara@example.org"


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with installed(tmp_path, database_url) as made:
        made.sandbox.add(ADA)
        yield made


def anchors(there: Installation) -> Path:
    return there.service.settings.ledger.anchor


def rolled_back(there: Installation, *, upto: int) -> None:
    """The database as it was when the ledger had that many entries, and the rest of it gone, as a back-up would be."""
    engine = create_engine(there.environ["DPSYNC_TEST_DATABASE"])
    statements = [
        "DELETE FROM entry WHERE idx >= :upto",
        "DELETE FROM node WHERE (idx + 1) * (1 << level) > :upto",
        "DELETE FROM checkpoint WHERE size > :upto",
        "DELETE FROM meta WHERE key IN ('anchored', 'journal')",
        "INSERT INTO meta VALUES ('anchored', CAST(:upto AS text)), ('journal', '0 0')",
    ]
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            for row in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                connection.execute(text(f"DROP TRIGGER {row.name}"))
        else:
            connection.execute(text("SET session_replication_role = replica"))
        for statement in statements:
            connection.execute(text(statement), {"upto": upto})
    engine.dispose()


def test_a_new_ledger_has_its_first_checkpoint_and_journal_outside_from_the_beginning(there: Installation) -> None:
    names = sorted(path.name for path in anchors(there).iterdir())
    assert names == ["000000000002.checkpoint", "checkpoint", "journal"]
    there.start_beside()


def test_beside_each_checkpoint_lies_what_shows_that_it_continues_the_one_before(there: Installation) -> None:
    kept = (anchors(there) / "checkpoint").read_text(encoding="utf-8")
    for _ in range(3):
        asked = there.ask(Right.ERASURE, ADA)
        there.service.anchor(there.clock.now())
    there.service.anchor(there.clock.now())  # nothing came in between: no step
    steps = sorted(anchors(there).glob("*.consistency"), key=lambda path: int(path.name.partition("-")[0]))
    numbers = sorted(int(path.stem) for path in anchors(there).glob("0*.checkpoint"))
    assert [path.stem for path in steps] == [f"{old}-{new}" for old, new in pairwise(numbers)]
    there.drive()
    raw = receipt.dump(there.service.receipt(asked.id, there.clock.now()))
    there.service.anchor(there.clock.now())
    line = there.service.log.signer.verifier.line
    every = tuple(path.read_text(encoding="utf-8") for path in anchors(there).glob("*.consistency"))
    assert verify_receipt.check(raw, line, ADA, kept, every)
    with pytest.raises(verify_receipt.NOT_HOLDING, match="no consistency file"):
        verify_receipt.check(raw, line, ADA, kept, every[1:])


@pytest.mark.parametrize("left", ["both", "numbered", "newest", "old newest"])
def test_a_rollback_is_noticed_by_any_checkpoint_that_is_left(there: Installation, left: str) -> None:
    first = (anchors(there) / "checkpoint").read_bytes()
    there.ask(Right.ERASURE, ADA)
    there.service.anchor(there.clock.now())
    rolled_back(there, upto=2)
    if left == "numbered":
        (anchors(there) / "checkpoint").unlink()
    if left == "newest":
        next(anchors(there).glob("*3.checkpoint")).unlink()
    if left == "old newest":
        (anchors(there) / "checkpoint").write_bytes(first)
    with pytest.raises(LedgerTampered, match="signs 3 entries, but the ledger ends after 2"):
        there.start_beside()


def test_a_rollback_is_noticed_where_a_receipt_alone_tells_of_it(there: Installation) -> None:
    there.ask(Right.ERASURE, ADA)
    there.drive()
    assert len(list(there.service.settings.ledger.receipts.glob("r-*.json"))) == 1
    for path in anchors(there).glob("*c*"):
        if path.name != "000000000002.checkpoint":
            path.unlink()
    rolled_back(there, upto=2)
    with pytest.raises(LedgerTampered, match=r"anchor newest\.checkpoint: .* but the ledger ends after 2"):
        there.start_beside()


@pytest.mark.no_database
def test_a_numbered_checkpoint_is_never_written_over(there: Installation) -> None:
    path = anchors(there) / "000000000003.checkpoint"
    there.ask(Right.ERASURE, ADA)
    older = (anchors(there) / "checkpoint").read_bytes()
    another = note.sign(note.Checkpoint(there.service.origin, 3, bytes(32)), there.service.log.signer).encode()
    for content, refused, says in (
        (older, ProofDamaged, "is not written over"),
        (another, LedgerTampered, "nothing is written over"),
    ):
        path.write_bytes(content)
        with pytest.raises(refused, match=says):
            there.service.anchor(there.clock.now())
        assert path.read_bytes() == content


@pytest.mark.parametrize("lost", ["all of the folder", "the newest", "the folder itself"])
def test_missing_checkpoints_of_a_ledger_that_is_not_new_refuse_the_start(there: Installation, lost: str) -> None:
    there.ask(Right.ERASURE, ADA)
    there.service.anchor(there.clock.now())
    if lost == "the newest":
        (anchors(there) / "000000000003.checkpoint").unlink()
        (anchors(there) / "checkpoint").unlink()
    else:
        shutil.rmtree(anchors(there))
        if lost == "all of the folder":
            anchors(there).mkdir()
    with pytest.raises(ProofDamaged, match=r"the checkpoint of 3 entries was written .* empty file .*3\.gap"):
        there.start_beside()
    assert not (anchors(there) / "checkpoint").exists(), "nothing is made anew"
    assert verify_ledger(there.service, full=True).damaged


@pytest.mark.parametrize(
    "lost",
    ["checkpoint", "000000000002.checkpoint", "000000000003.checkpoint", "000000000004.checkpoint", "3-4.consistency"],
)
def test_whatever_is_missing_outside_stops_each_command_that_writes_and_not_the_start_alone(
    there: Installation, lost: str
) -> None:
    for right in (Right.ERASURE, Right.OPT_OUT):
        there.ask(right, ADA)
        there.service.anchor(there.clock.now())
    there.service.custody.demand(there.service.read)
    (anchors(there) / lost).unlink()
    with pytest.raises(ProofDamaged, match=lost.replace(".checkpoint", "")) as refused:
        there.service.custody.demand(there.service.read)
    with pytest.raises(ProofDamaged) as start:
        there.start_beside()
    assert refused.value.message == start.value.message


def test_a_loss_that_a_person_has_accepted_is_on_the_record_and_stops_nothing(there: Installation) -> None:
    asked = there.ask(Right.ERASURE, ADA)
    there.service.anchor(there.clock.now())
    shutil.rmtree(anchors(there))
    anchors(there).mkdir()
    for name in ("000000000003.gap", "journal.gap"):
        (anchors(there) / name).touch()
    there.start_beside()
    there.start_beside()
    said = [entry.decode(row.body) for row in there.rows(t.entry)]
    assert [one["name"] for one in said if one["event"] == "gap"] == ["000000000003.gap", "journal.gap"]
    assert [one.request_id for one in there.service.custody.journal.read().accepted] == [asked.id], "what is there"
    there.ask(Right.OPT_OUT, BEN, id="crm-2")
    there.sound()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("checkpoint", b""),
        ("checkpoint", b"\xff\xfe\x00"),
        ("000000000002.checkpoint", b"example.org/journeys/REHEARSAL\n"),
    ],
)
def test_a_spoilt_checkpoint_is_called_a_damaged_file_and_not_tampering(
    there: Installation, name: str, content: bytes
) -> None:
    (anchors(there) / name).write_bytes(content)
    found = verify_ledger(there.service, full=True)
    assert found.problems == ()
    (problem,) = found.damaged
    assert f"{name} is a damaged file" in problem
    with pytest.raises(ProofDamaged, match="damaged file"):
        there.start_beside()
    (anchors(there) / name).rename((anchors(there) / name).with_suffix(".gap"))
    there.start_beside()


@pytest.mark.parametrize("trap", ["checkpoint", "journal"])
def test_no_draft_follows_a_link_that_somebody_laid(there: Installation, tmp_path: Path, trap: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in (f".{trap}.part", f"{trap}.part"):
        (anchors(there) / name).symlink_to(victim)
    if trap == "checkpoint":
        (anchors(there) / trap).unlink()
        (anchors(there) / trap).symlink_to(victim)
    there.ask(Right.ERASURE, ADA)
    there.service.anchor(there.clock.now())
    assert victim.read_text() == "precious"


def odd_file(path: Path) -> None:
    path.write_bytes(b"")


def odd_folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_text("x")


def odd_content(path: Path) -> None:
    path.write_text('{"format": "something else"}')


def odd_link(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


@pytest.mark.no_database
@pytest.mark.parametrize("odd", [odd_file, odd_folder, odd_content, odd_link])
def test_what_is_no_receipt_is_kept_aside_and_blocks_no_other(there: Installation, odd: Callable[[Path], None]) -> None:
    folder = there.service.settings.ledger.receipts
    there.sandbox.add(BEN)
    first = there.ask(Right.ERASURE, ADA)
    there.drive()
    path = folder / f"{first.id}.json"
    path.unlink()
    odd(path)
    second = there.ask(Right.ERASURE, BEN, id="crm-2")
    there.drive()
    assert "VALID" in there.verified_by_a_stranger(first, ADA)
    assert "VALID" in there.verified_by_a_stranger(second, BEN)
    assert [one.name.startswith(f"{path.name}.odd-") for one in folder.glob("*.odd-*")] == [True]
    assert there.alerts() == []


@pytest.mark.no_database
def test_another_requests_receipt_under_the_wrong_name_is_no_receipt(there: Installation) -> None:
    folder = there.service.settings.ledger.receipts
    there.sandbox.add(BEN)
    first, second = there.ask(Right.ERASURE, ADA), there.ask(Right.ERASURE, BEN, id="crm-2")
    there.drive()
    shutil.copy(folder / f"{first.id}.json", folder / f"{second.id}.json")
    there.drive()
    assert "VALID" in there.verified_by_a_stranger(second, BEN)


def test_a_receipts_folder_that_is_gone_is_missed_and_not_made(there: Installation) -> None:
    there.ask(Right.ERASURE, ADA)
    there.drive()
    shutil.rmtree(there.service.settings.ledger.receipts)
    with pytest.raises(ProofDamaged, match=r"receipts folder .* is missing"):
        there.start_beside()
    assert not there.service.settings.ledger.receipts.exists()
