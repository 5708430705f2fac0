"""An older copy of the database put back: no command writes into it, for then the newest -wal would fit no more."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from dpsync.__main__ import main
from dpsync.cli.app import COMMANDS, GROUPS
from tests.gardens import GARDENS

CONFIG = (
    GARDENS
    + """
[intake]
listen = "127.0.0.1:0"

[processors.forms]
connector = "notice"
contact = "privacy@stratosoft.example"
"""
)
BY = ("--by", "Dora", "--reason", "telephoned")
SUBMIT = ("submit", "opt_out", "--email", "ada@example.org", "--id", "crm-1")
DECISIONS = [(name, "{request}", "forms", *BY) for name in ("release", "withdraw", "retry", "settle")]
STEPS = (("acknowledge",), ("progress",), ("outcome", "upheld", "--reason", "slow"), ("escalate",))
GROUPED = ("retention", "complaint", "incident", "keys", "source", "hooks")
WRITING: list[tuple[str, ...]] = [
    SUBMIT,
    *DECISIONS,
    ("exempt", "{request}", "forms", "--code", "art19_impossible", *BY),
    ("acknowledge", "{request}", "forms", "--answer", "done", *BY),
    ("extend", "{request}", "--told-on", "2026-11-20", *BY),
    ("hold-evidence", "{request}", "--until", "2099-12-31", *BY),
    ("letter", "{request}", "--by", "Dora"),
    ("told", "{request}", "--on", "2026-11-20", "--by", "Dora"),
    ("source", "merge", "crm", "4711", "4712", *BY),
    ("source", "reconcile", "crm"),
    ("sweep",),
    ("hooks", "register"),
    ("welcome", "--email", "ada@example.org", "--on", "2026-11-20", "--consent", "form", "--by", "Dora"),
    ("source", "leave", "0123456789ab", *BY),
    ("contact", "forms", "new@stratosoft.example", *BY),
    ("leaving", "forms", "--instructed-on", "2026-11-20", "--by", "Dora"),
    ("pause",),
    ("pause", "forms"),
    ("resume",),
    ("receipt", "{request}"),
    ("status", "{request}", "--who", "--by", "Dora"),
    ("dossier", "{request}", "--who", "--by", "Dora"),
    ("find", "--email", "ada@example.org", "--by", "Dora"),
    ("keys", "rotate", "signing", *BY, "--yes"),
    ("keys", "rotate", "pepper", *BY, "--yes"),
    ("import", "opt_out", "list.csv", "--by", "Dora"),
    ("screen", "list.csv", "-o", "may.csv"),
    ("serve",),
    ("receive",),
    ("work",),
    ("run-once",),
    ("backup", "."),
    ("witness",),
    *(("complaint", what, "C-000", *more, "--on", "2026-11-20", "--by", "Dora") for what, *more in STEPS),
    ("complaint", "open", "--received", "2026-11-20", "--channel", "mail", "--topic", "delay", "--by", "Dora"),
    ("incident", "open", "--what", "a laptop is lost", "--by", "Dora"),
    ("incident", "close", "I-000", "--finding", "not_a_breach", *BY),
    ("retention", "check", __file__, "--from", "2026-10-01", "--to", "2026-10-31", "--by", "Dora"),
    ("retention", "attest", "--by", "Dora", "--how", "by telephone"),
    ("retention", "except", "DPS-1", "--until", "2026-12-24", *BY),
    ("retention", "state-open", "--by", "Dora", "--how", "by telephone"),
]
READING: list[tuple[str, ...]] = [
    ("check", "--offline"),
    ("status",),
    ("plan", *SUBMIT[1:]),
    ("report",),
    ("register",),
    ("source", "merges"),
    ("source", "findings"),
    ("hooks", "list"),
    ("hooks", "test"),
    ("dossier", "{request}"),
    ("verify",),
    ("retention", "show"),
    ("forgotten",),
    ("keys", "show"),
    ("keys", "check"),
    ("complaint", "list"),
    ("incident", "list"),
    ("doctor",),
]
WAYS_BACK = {"restore", "recover", "drill"}
"""What goes on with such a copy is in test_recovery; a drill reads a back-up, and this one lies nowhere."""
OF_NO_DATABASE = {"init", "health", "processors", "explain", "sandbox", "demo", "completion"}


@dataclass
class PutBack:
    """The older copy with the one request that it has, and what its file holds."""

    config: Path
    database: Path
    before: bytes
    request: str
    capsys: pytest.CaptureFixture[str]

    def run(self, argv: Sequence[str]) -> tuple[int, str]:
        self.capsys.readouterr()
        code = main(["--config", str(self.config), *(word.format(request=self.request) for word in argv)])
        seen = self.capsys.readouterr()
        return code, seen.out + seen.err


@pytest.fixture
def put_back(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> PutBack:
    monkeypatch.chdir(tmp_path)
    there = PutBack(tmp_path / "dpsync.toml", tmp_path / "var" / "dpsync.db", b"", "", capsys)
    there.config.write_text(CONFIG)
    (tmp_path / "list.csv").write_text("email\nada@example.org\n")
    assert there.run(["init"])[0] == 0
    code, said = there.run(SUBMIT)
    assert code == 0, said
    there.request = said.split()[0]
    with closing(sqlite3.connect(there.database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    there.before = there.database.read_bytes()
    assert there.run([*SUBMIT[:2], "--email", "ben@example.org", "--id", "crm-2"])[0] == 0
    for end in ("-wal", "-shm"):
        Path(f"{there.database}{end}").unlink(missing_ok=True)
    there.database.write_bytes(there.before)
    return there


def test_every_command_is_known_here_as_one_that_writes_or_reads() -> None:
    own: set[tuple[str, ...]] = {(name,) for name in {*COMMANDS} - OF_NO_DATABASE - WAYS_BACK}
    own |= {(name, str(one.name)) for name in GROUPED for one in GROUPS[name].registered_commands}
    own -= {("complaint", "show"), ("incident", "show")}  # of one case, which an older copy need not have
    own -= {("source", name) for name in ("list", "outbox", "sample", "test")}  # of no database
    assert {argv[:2] if argv[0] in GROUPED else argv[:1] for argv in (*WRITING, *READING)} == own


def test_no_command_writes_into_a_database_that_lost_a_request(put_back: PutBack) -> None:
    for argv in WRITING:
        code, said = put_back.run(argv)
        assert (code, "DP-605" in said) == (2, True), (argv, said)
        assert put_back.database.read_bytes() == put_back.before, argv


def test_what_only_reads_goes_on_and_leaves_the_database_as_it_was(put_back: PutBack) -> None:
    for argv in READING:
        code, said = put_back.run(argv)
        assert code in {0, 2, 3}, (argv, said)
        assert put_back.database.read_bytes() == put_back.before, argv
    assert "DP-605" in put_back.run(["verify"])[1]


def test_a_database_that_contradicts_a_checkpoint_outside_is_written_into_by_no_command(put_back: PutBack) -> None:
    (journal,) = put_back.config.parent.rglob("journal")
    journal.rename(journal.with_suffix(".gap"))
    with closing(sqlite3.connect(put_back.database)) as connection, connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute("DELETE FROM entry")
        connection.execute("DELETE FROM node")
    put_back.before = put_back.database.read_bytes()
    for argv in WRITING:
        code, said = put_back.run(argv)
        assert (code, "DP-601" in said) == (2, True), (argv, said)
        assert put_back.database.read_bytes() == put_back.before, argv
