"""The commands of the way back, typed in a shell: backup, drill, restore, recover."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from dpsync.__main__ import main
from tests.journeys.test_put_back import CONFIG, SUBMIT

BY = ("--by", "Dana Officer", "--reason", "the disk died")


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> "Run":
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dpsync.toml").write_text(CONFIG)
    (tmp_path / "backups").mkdir()
    made = Run(tmp_path, capsys)
    assert made("init")[0] == made(*SUBMIT)[0] == 0
    return made


class Run:
    """Commands of one installation, and where it lies."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def __call__(self, *argv: str) -> tuple[int, str]:
        self._capsys.readouterr()
        code = main(["--config", str(self.folder / "dpsync.toml"), *argv])
        seen = self._capsys.readouterr()
        return code, seen.out + seen.err

    @property
    def database(self) -> Path:
        return self.folder / "var" / "dpsync.db"

    def taken(self) -> Path:
        code, said = self("backup", "backups")
        assert code == 0, said
        return Path(said.splitlines()[0])


def words(texts: Sequence[str]) -> set[str]:
    return {text.split()[0] for text in texts if text}


def test_from_the_back_up_to_the_service_that_goes_on(run: Run) -> None:
    taken = run.taken()
    assert sorted(path.name for path in taken.iterdir()) == ["backup.json", "database.sqlite"]
    assert run(*SUBMIT[:2], "--email", "ben@example.org", "--id", "crm-2")[0] == 0
    code, said = run("drill", "backups")
    assert (code, ": good, as of" in said, "1 accepted request came after it" in said) == (0, True, True), said
    code, said = run("restore", "backups")
    assert code == 0, said
    assert "dpsync recover --by NAME" in said
    assert len(list(run.database.parent.glob("dpsync.db.before-*Z-????"))) == 1, "the former one is kept"
    for argv in (SUBMIT, ("pause",), ("run-once",), ("serve",), ("backup", "backups"), ("check", "--offline")):
        code, said = run(*argv)
        assert (code, "DP-606" in said) in {(2, True), (78, True)}, (argv, said)
    code, said = run("recover", *BY)
    assert code == 2, said
    assert words(said.splitlines()) >= {"missing", "held", "ask", "aside", "Stored", "Waits"}
    assert "missing  request r-" in said
    assert run("verify")[0] == 0
    assert run(*SUBMIT[:2], "--email", "ben@example.org", "--id", "crm-2")[0] == 0
    assert run("recover", *BY)[0] == 64, "there is nothing to recover"


def test_a_database_that_was_put_back_by_hand_leads_to_recover_and_is_recovered(run: Run) -> None:
    with closing(sqlite3.connect(run.database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = run.database.read_bytes()
    assert run(*SUBMIT[:2], "--email", "ben@example.org", "--id", "crm-2")[0] == 0
    for end in ("-wal", "-shm"):
        Path(f"{run.database}{end}").unlink(missing_ok=True)
    run.database.write_bytes(before)
    code, said = run("run-once")
    assert (code, "`dpsync recover" in said) == (2, True)
    assert run("recover", *BY)[0] == 2
    assert run("verify")[0] == 0


def test_a_ledger_that_is_no_older_copy_is_never_recovered(run: Run) -> None:
    assert run("receipt", run_of(run), "-o", "backups")[0] == 3
    (checkpoint,) = run.folder.glob("anchors/000000000002.checkpoint")
    taken = run.taken()
    for path in run.folder.glob("anchors/*"):
        path.unlink()
    checkpoint.write_text("")
    code, said = run("recover", *BY)
    assert (code, "DP-604" in said) == (78, True), said
    assert taken.is_dir()


def run_of(run: Run) -> str:
    return str(json.loads(run("status", "--json")[1])["requests"][0]["request"])


@pytest.mark.parametrize("what", ["origin", "keys", "digest", "schema", "page", "deep", "kind", "file", "nothing"])
def test_what_is_not_our_own_whole_back_up_is_not_put_back(run: Run, what: str) -> None:
    taken = run.taken()
    page = taken / "backup.json"
    said = json.loads(page.read_text())
    wrong = {"origin": "example.org/other", "keys": "0" * 64, "digest": "0" * 64, "schema": "0001"}
    unread = {
        "page": "{}",
        "deep": "[" * 2000,
        "kind": json.dumps(said | {"keys": 7, "schema": "\ud800"}, sort_keys=True, indent=1) + "\n",
    }
    if what in wrong:
        page.write_bytes(json.dumps(said | {what: wrong[what]}, sort_keys=True, indent=1).encode() + b"\n")
    elif what in unread:
        page.write_text(unread[what])
    elif what == "file":
        raw = bytearray((taken / "database.sqlite").read_bytes())
        raw[-100] ^= 1
        (taken / "database.sqlite").write_bytes(raw)
    else:
        page.unlink()
    before = run.database.read_bytes()
    code, told = run("restore", "backups")
    assert code in {64, 78}, told
    assert run.database.read_bytes() == before
    assert not (run.folder / "anchors" / "restored").exists()
    if what not in {*unread, "nothing"}:
        assert run("drill", "backups")[0] == 2


def test_no_key_is_in_a_back_up_and_nobody_else_may_read_it(run: Run) -> None:
    taken = run.taken()
    secrets = [path.read_bytes().strip() for path in run.folder.glob("keys/**/*") if path.is_file()]
    held = b"".join(path.read_bytes() for path in taken.iterdir())
    assert secrets
    assert not any(secret in held for secret in secrets if len(secret) > 20)
    assert {path.stat().st_mode & 0o077 for path in [taken, *taken.iterdir()]} == {0}


def test_a_back_up_goes_nowhere_where_there_is_no_folder(run: Run) -> None:
    code, said = run("backup", "nowhere")
    assert (code, "make it first" in said) == (64, True)
    assert not (run.folder / "nowhere").exists()
