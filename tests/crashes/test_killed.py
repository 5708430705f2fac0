"""The process is killed after each commit and around each call; restarted, everything ends once and is proved."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dpsync.ledger.log import Log
from dpsync.ledger.note import Signer
from dpsync.sealing import Keys
from dpsync.store import tables as t
from dpsync.store.database import open_database, reading
from tests.crashes.forking import Fork, forks
from tests.faults.counting import Counted

STEPS = [
    *[("commit", nth) for nth in range(1, 11)],
    *[(step, nth) for step in ("before-effect", "after-effect") for nth in (1, 2, 3)],
    ("after-reading", 2),
]


@pytest.fixture(scope="module")
def lives() -> Iterator[Fork]:
    with forks("dying") as fork:
        yield fork


def program(name: str, *argv: str) -> int:
    command = [sys.executable, "-m", f"tests.crashes.{name}", *argv]
    root = Path(__file__).parents[2]
    return subprocess.run(command, cwd=root, check=False, timeout=60).returncode


@pytest.mark.fault(17)
@pytest.mark.parametrize(("step", "nth"), STEPS)
def test_killed_and_restarted_nothing_is_lost_and_nothing_claimed(
    step: str, nth: int, lives: Fork, tmp_path: Path, sqlite_template: Path, counted: Counted
) -> None:
    shutil.copy(sqlite_template, tmp_path / "dpsync.db")
    assert lives(str(tmp_path), step, str(nth)) in {-signal.SIGKILL, 0}
    assert lives(str(tmp_path), "none", "0") == 0
    engine = open_database(f"sqlite:///{tmp_path / 'dpsync.db'}")
    with reading(engine) as connection:
        states = [row.state for row in connection.execute(t.propagation.select())]
        unanswered = [row for row in connection.execute(t.attempt.select()) if row.ended_at is None]
        log = Log("example.org/dpsync", Signer("example.org/dpsync", Keys.load(tmp_path / "keys").signing_key))
        problems = log.verify(connection, full=True).problems
    engine.dispose()
    assert states == ["verified"] * 3
    assert unanswered == []
    assert problems == ()
    assert json.loads((tmp_path / "vendor.json").read_text()) == {}
    false = len(json.loads((tmp_path / "vendor.json").read_text()))
    counted(17, lost=3 - states.count("verified"), false_done=false, mismatches=len(problems))


def test_the_kills_really_kill(lives: Fork, tmp_path: Path, sqlite_template: Path) -> None:
    for number, (step, nth) in enumerate([("commit", 2), ("before-effect", 1), ("after-effect", 1)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copy(sqlite_template, folder / "dpsync.db")
        assert lives(str(folder), step, str(nth)) == -signal.SIGKILL


def test_a_call_that_hangs_keeps_no_stopped_process_alive_and_stays_in_doubt(
    tmp_path: Path, sqlite_template: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "dpsync.db")
    assert program("stopping", str(tmp_path)) == 0
    engine = open_database(f"sqlite:///{tmp_path / 'dpsync.db'}")
    with reading(engine) as connection:
        attempts = connection.execute(t.attempt.select()).all()
        owners = [row.owner for row in connection.execute(t.account.select())]
    engine.dispose()
    assert [row.ended_at for row in attempts] == [None]
    assert owners == [attempts[0].worker], "who comes next waits for the call that may still be there"
