"""A recovery that was cut off, and one without a journal: what is missing is never called nothing."""

from contextlib import ExitStack
from errno import ENOSPC
from pathlib import Path

import pytest

from dpsync.backup import find, restore, take
from dpsync.errors import NotWritten, RecoveryNeeded
from dpsync.model import Right
from dpsync.running import recovery
from dpsync.running.recovery import recover
from dpsync.running.start import start
from dpsync.store import copying
from tests.journeys import test_recovery
from tests.journeys.installation import Installation, installed, sqlite_url
from tests.journeys.test_recovery import ADA, DANA, back_again, before_and_a_week, the_disk_is_lost

there = test_recovery.there


@pytest.mark.parametrize("done", [0, 4, 99])
def test_a_recovery_that_was_killed_is_run_again_and_finds_no_less(
    there: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    """`done`: how many files it had set aside; of 99 all but the mark."""
    taken, _ = before_and_a_week(there, tmp_path / "backups")
    folder, real = there.service.settings.ledger.anchor, recovery._set_aside
    asides: list[Path] = []
    known = max(int(path.stem) for path in folder.glob("0*.checkpoint"))

    def cut(path: Path) -> Path:
        if len(asides) == done or path.name == "restored":
            raise KeyboardInterrupt
        asides.append(path)
        return real(path)

    with ExitStack() as elsewhere:
        the_disk_is_lost(there, elsewhere)
        with there.another_process() as other:
            restore(other, find(tmp_path / "backups"))
            monkeypatch.setattr(recovery, "_set_aside", cut)
            with pytest.raises(KeyboardInterrupt):
                recover(other, DANA, there.clock.now())
            monkeypatch.undo()
            with pytest.raises(RecoveryNeeded):
                start(other)
            missing = recover(other, DANA, there.clock.now()).missing
            assert (len(missing.lost), missing.listed) == (3, True)
            assert done == 99 or missing.short >= known - taken.entries
            assert not list(folder.glob("*.gap"))
        there.begin()
        there.asked = there.asked[:4]
        there.sound()


@pytest.mark.parametrize(("gone", "listed"), [(False, True), (True, False)])
def test_what_no_journal_tells_is_called_unknown_and_never_nothing(
    there: Installation, tmp_path: Path, gone: bool, listed: bool
) -> None:
    """A person set the journal aside before: as it was, or with an empty file in place of one that is gone."""
    (tmp_path / "backups").mkdir()
    taken = take(there.service, tmp_path / "backups")
    there.ask(Right.ERASURE, ADA, id="crm-1")
    there.drive()
    there.service.anchor(there.clock.now())
    journal = there.service.custody.journal.path
    known = max(int(path.stem) for path in journal.parent.glob("0*.checkpoint"))
    with ExitStack() as elsewhere:
        the_disk_is_lost(there, elsewhere)
        aside = journal.rename(journal.with_suffix(".gap"))
        if gone:
            aside.write_bytes(b"")
        missing = back_again(there, tmp_path / "backups").missing
        assert (len(missing.lost), missing.listed) == (listed, listed)
        assert missing.short >= known - taken.entries > 0
        assert ("which requests were lost is not known" in missing.said) is not listed


def test_a_restore_without_room_changes_nothing_and_the_service_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(database: Path, copy: Path) -> None:
        copy.write_bytes(b"half")
        raise OSError(ENOSPC, "No space left on device")

    with installed(tmp_path, sqlite_url(tmp_path)) as one:
        (tmp_path / "backups").mkdir()
        one.ask(Right.ERASURE, ADA)
        take(one.service, tmp_path / "backups")
        one.running.close()
        with one.another_process() as other:
            monkeypatch.setattr(copying, "copy_sqlite", full)
            with pytest.raises(NotWritten):
                restore(other, find(tmp_path / "backups"))
            assert not other.custody.unrecovered
            assert not list(one.folder.glob(".dpsync.db*"))
        one.begin()
        one.sound()
