"""A disk that is full passes: no file outside the database calls it a damage, a wrong key or a wrong setting."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dpsync.errors import DpsyncError, Exit, ProofDiskFull
from dpsync.journal import AcceptedRequest, Journal
from dpsync.ledger import note
from dpsync.ledger.anchors import Anchors
from dpsync.ledger.continuation import Continuation
from dpsync.ledger.note import Checkpoint, Signer
from dpsync.sealing import Keys
from tests.disks import small

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small(tmp_path / "disk", "64k") as folder:
        yield folder


def fill(disk: Path) -> None:
    with suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_checkpoint_a_consistency_file_and_a_line_of_the_journal_wait_for_room(disk: Path, tmp_path: Path) -> None:
    keys = Keys.create(tmp_path / "keys")
    anchors, journal = Anchors(disk), Journal(disk, keys)
    journal.begin()
    accepted = [AcceptedRequest(f"r-{number}", "crm", f"evt-{number}", NOW) for number in range(200)]
    text = note.sign(Checkpoint("example.org/full", 1, bytes(32)), Signer("example.org/full", keys.signing_key))
    step = Continuation(1, (), text).text
    fill(disk)
    for write in (
        lambda: anchors.write(text),
        lambda: anchors.write_step(step),
        lambda: journal.append(accepted, 1),
    ):
        with pytest.raises(ProofDiskFull) as full:
            write()
        assert full.value.exit is Exit.LATER
    (disk / "filler").unlink()
    anchors.write(text)
    anchors.write_step(step)
    journal.append(accepted[:2], 1)
    told = journal.read()
    assert ([one.request_id for one in told.accepted], told.damaged) == (["r-0", "r-1"], ())
    assert anchors.read({}).damaged == ()


def test_a_key_that_finds_no_room_is_no_wrong_key(disk: Path) -> None:
    keys = Keys.create(disk / "keys")
    fill(disk)
    for make in (lambda: keys.begin_month("2026-11"), lambda: Keys.create(disk / "others")):
        with pytest.raises(OSError, match="No space left") as full:
            make()
        assert not isinstance(full.value, DpsyncError)
    (disk / "filler").unlink()
    keys.begin_month("2026-11")
    Keys.create(disk / "others")
