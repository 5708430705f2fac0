"""The way back where it is cut off, spoilt or misused: nothing is parted, nothing is put back that was not signed."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from dpsync.backup import find, restore, take, try_out
from dpsync.errors import ConfigurationError, StoreProblem, UsageError
from dpsync.model import Right, State, Way
from dpsync.propagation.resuming import resume
from dpsync.running import witnessing
from dpsync.running.recovery import recover
from dpsync.store import copying
from dpsync.store import tables as t
from tests.journeys.installation import FORMS, NEWSLETTER, Installation, installed, sqlite_url
from tests.journeys.test_letters import CONTACT, letters
from tests.journeys.test_recovery import DANA, programs_of_the_server

ADA, BEN = "ada@example.org", "ben@example.org"


@pytest.mark.parametrize("where", ["keys", "keys/months", "link"])
def test_no_database_is_laid_beside_the_keys(where: str, tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        (tmp_path / "link").symlink_to("keys")
        before = sorted((tmp_path / "keys").rglob("*"))
        with pytest.raises(UsageError, match="keys and database together open everything"):
            take(there.service, tmp_path / where)
        assert sorted((tmp_path / "keys").rglob("*")) == before


def taken(there: Installation) -> Path:
    folder = there.folder / "backups"
    folder.mkdir()
    return take(there.service, folder).folder


def spoilt(folder: Path, sql: str) -> None:
    """Somebody changes the copy, and writes its new digest beside it."""
    database, page = folder / "database.sqlite", folder / "backup.json"
    with closing(sqlite3.connect(database)) as connection, connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute(sql)
    said = json.loads(page.read_text()) | {"digest": sha256(database.read_bytes()).hexdigest()}
    page.write_text(json.dumps(said, sort_keys=True, indent=1) + "\n")


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE entry SET body = replace(body, 'received', 'repeated') WHERE idx = 2",
        "DELETE FROM entry WHERE idx = (SELECT max(idx) FROM entry)",
        "UPDATE request SET ground = 'another'",
        "UPDATE propagation SET state = 'verified'",
    ],
)
def test_a_copy_that_was_changed_together_with_its_digest_is_not_put_back(sql: str, tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        there.ask(Right.ERASURE, ADA)
        folder = taken(there)
        spoilt(folder, sql)
        there.running.close()
        before = {path.name: path.read_bytes() for path in tmp_path.glob("dpsync.db*")}
        before.pop("dpsync.db.worker", None)  # the worker's lock, which every command may make
        with there.another_process() as other:
            with pytest.raises(StoreProblem, match="not as the ledger tells"):
                restore(other, find(folder))
            assert not other.custody.mark.exists()
        after = {path.name: path.read_bytes() for path in tmp_path.glob("dpsync.db*")}
        after.pop("dpsync.db.worker", None)
        assert after == before
        there.begin()


def test_a_copy_of_before_what_the_checkpoints_outside_tell_is_put_back(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        there.ask(Right.ERASURE, ADA)
        folder = taken(there)
        there.ask(Right.ERASURE, BEN, id="crm-2")
        there.service.anchor(there.clock.now())
        there.running.close()
        with there.another_process() as other:
            assert restore(other, find(folder)) is not None
            recover(other, DANA, there.clock.now())
        there.begin()
        del there.asked[1:]
        there.sound()


def test_cut_off_between_two_renames_the_next_run_keeps_the_former_database_in_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        there.ask(Right.ERASURE, ADA)
        folder = taken(there)
        there.running.close()
        for nth in range(1, 4):
            for path in tmp_path.glob("dpsync.db*"):
                path.unlink()
            (tmp_path / "anchors" / "restored").unlink(missing_ok=True)
            parts = {"": b"the newest", "-wal": b"its log", "-shm": b"its index"}
            for end, content in parts.items():
                (tmp_path / f"dpsync.db{end}").write_bytes(content)
            with monkeypatch.context() as here:
                here.setattr(Path, "rename", dying(nth))
                with pytest.raises(KeyboardInterrupt):
                    _restored(there, folder)
            kept = _restored(there, folder)
            assert {end: Path(f"{kept}{end}").read_bytes() for end in parts} == parts
            assert sorted(path.name for path in tmp_path.glob(".dpsync.db*")) == []


def dying(nth: int) -> Callable[[Path, object], Path]:
    real, left = Path.rename, [nth]

    def rename(path: Path, to: object) -> Path:
        if path.name.startswith("dpsync.db"):
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
        return real(path, to)  # type: ignore[arg-type]  # because it is passed on as it is

    return rename


def _restored(there: Installation, folder: Path) -> Path:
    from dpsync.installation import Installation as Opened

    with Opened(there.folder / "dpsync.toml", there.environ, clock=there.clock) as other:
        kept = restore(other, find(folder))
    assert kept is not None
    return kept


def test_an_installation_is_not_its_own_witness(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        log, own = there.service.log.signer.verifier.line, witnessing.cosigner_of(there.service).witness.line
        config = tmp_path / "dpsync.toml"
        plain = config.read_text()
        for section, key in (
            (f'[witness]\nlogs = ["{log}"]\n', "witness.logs"),
            (f'witnesses = [{{ url = "https://witness.example.org", key = "{own}" }}]\n', "ledger.witnesses"),
        ):
            place = "[ledger]\n" if "witnesses" in section else "[intake]\n"
            changed = plain.replace(place, f"{place}{section}" if "witnesses" in section else f"{section}\n{place}")
            config.write_text(changed)
            with pytest.raises(ConfigurationError) as caught:
                there.start_beside()
            assert [fault.key for fault in caught.value.faults] == [key]
        config.write_text(plain)
        there.start_beside()


def test_after_a_recovery_no_reminder_of_a_letter_goes_by_itself(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + FORMS, web=True) as there:
        there.sandbox.rule(CONTACT, "confirm_contact")
        there.drive()
        there.sandbox.messages(settled=True)
        there.sandbox.rule(CONTACT, "silent")
        one = there.ask(Right.ERASURE, ADA)
        there.drive()
        assert there.state(one, "forms") is State.ACCEPTED
        folder = taken(there)
        there.running.close()
        for path in tmp_path.glob("dpsync.db*"):
            path.unlink()
        with there.another_process() as other:
            restore(other, find(folder))
            recover(other, DANA, there.clock.now())
        there.begin()
        there.service.write(lambda unit: resume(unit.connection, ["newsletter", "forms"]))
        sent = len(letters(there))
        for _ in range(40):
            there.drive(timedelta(days=1))
        assert len(letters(there)) == sent
        assert there.state(one, "forms") is State.ESCALATED
        assert any("no answer" in told.text.lower() or one.id in told.text for told in there.told())
        assert there.row(one, "forms").way == Way.NOTICE
        there.sound()


# --- PostgreSQL


@pytest.fixture
def programs(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    if not database_url.startswith("postgresql"):
        pytest.skip(reason="about PostgreSQL")
    folder = programs_of_the_server()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def test_a_drill_on_postgresql_puts_the_copy_into_a_database_of_its_own_and_drops_it(
    tmp_path: Path, database_url: str, programs: Path
) -> None:
    with installed(tmp_path, database_url) as there:
        there.ask(Right.ERASURE, ADA)
        folder = taken(there)
        assert try_out(there.service, find(folder)).untried == ""
        assert try_out(there.service, find(folder)).problems == ()
        there.service.write(lambda unit: unit.connection.execute(t.request.update().values(ground="another")))
        (tmp_path / "spoilt").mkdir()
        tried = try_out(there.service, take(there.service, tmp_path / "spoilt"))
        assert "ground" in tried.problems[0]
        with there.service.engine.connect() as connection:
            names = connection.exec_driver_sql("SELECT datname FROM pg_database").scalars().all()
        assert not [name for name in names if name.startswith(copying.SCRATCH)]
        assert programs.is_dir()


def test_a_pg_restore_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, database_url: str, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.databases import new_database

    with installed(tmp_path, database_url) as there:
        there.ask(Right.ERASURE, ADA)
        folder = taken(there)
        failing = tmp_path / "bin"
        failing.mkdir()
        real = shutil.which("pg_restore")
        scratch, restoring = f"*{copying.SCRATCH}*", "*single-transaction*"
        script = f'#!/bin/sh\ncase "$*" in {scratch}) exec {real} "$@";; {restoring}) exit 1;; esac\n'
        (failing / "pg_restore").write_text(f'{script}exec {real} "$@"\n')
        (failing / "pg_restore").chmod(0o755)
        with new_database(database_url, tmp_path) as empty:
            there.running.close()
            url = empty.url.render_as_string(hide_password=False)
            there.environ = {**there.environ, "DPSYNC_TEST_DATABASE": url}
            with monkeypatch.context() as here, there.another_process() as other:
                here.setenv("PATH", f"{failing}{os.pathsep}{os.environ['PATH']}")
                with pytest.raises(StoreProblem, match="did not finish"):
                    restore(other, find(folder))
                assert not other.custody.mark.exists()
            with there.another_process() as other:
                assert restore(other, find(folder)) is None
                assert other.custody.mark.exists()
