"""What cannot be printed stops no command: standard error says what is done, and the exit code is one of its own."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import pytest
import typer

from dpsync.__main__ import main
from dpsync.cli.app import COMMANDS, GROUPS
from dpsync.cli.console import Talk
from dpsync.errors import Exit, Locked
from tests.gardens import GARDENS
from tests.keeping import standins

FULL = Path("/dev/full")
CONFIG = (
    GARDENS
    + """
[safety]
mode = "confirm"
cooling_off = "24h"
approvals = 1

[processors.forms]
connector = "notice"
contact = "privacy@stratosoft.example"

[processors.inbox]
connector = "postbox"
contact = "privacy@postbox.example"
retention = { months = 3, admin = "inbox@example.org" }
"""
)
WHY = ("--by", "Dana Officer", "--reason", "a test")
HOW = ("--by", "Dana Officer", "--how", "by telephone")

READING: dict[str, tuple[str, ...]] = {
    "status": ("--json",),
    "plan": ("erasure", "--email", "ben@example.org"),
    "report": (),
    "dossier": ("REQUEST",),
    "processors": (),
    "register": (),
    "explain": (),
    "verify": (),
    "config schema": (),
    "config upgrade": (),
    "contact": ("forms",),
    "completion": ("bash",),
    "retention show": ("--json",),
    "links show": ("--json",),
    "source list": (),
    "source sample": ("supabase",),
    "source outbox": ("civicrm",),
    "keys show": ("--json",),
    "forgotten": ("--json",),
    "complaint list": ("--json",),
    "incident list": ("--json",),
}
WRITING: dict[str, tuple[tuple[str, ...], str]] = {
    "init": ((), "nothing new"),
    "submit": (("erasure", "--email", "ben@example.org", "--id", "crm-2"), "request r-"),
    "status --who": (("REQUEST", "--who"), "REQUEST"),
    "dossier --who": (("REQUEST", "--who"), "REQUEST"),
    "find": (("--email", "ada@example.org"), "REQUEST"),
    "import": (("opt_out", "LIST", "--by", "Dana Officer", "--json"), "new requests are stored"),
    "screen": (("LIST", "-o", "MAY", "--json"), "MAY"),
    "release": (("REQUEST", "forms", *WHY), "REQUEST"),
    "extend": (("REQUEST", "--told-on", "TODAY", *WHY), "REQUEST"),
    "hold-evidence": (("REQUEST", "--until", "2099-12-31", *WHY), "REQUEST"),
    "letter": (("REQUEST",), "REQUEST"),
    "told": (("REQUEST", "--on", "TODAY", "--by", "Dana Officer"), "REQUEST"),
    "acknowledge": (("REQUEST", "forms", "--answer", "done", *WHY), "REQUEST"),
    "withdraw": (("REQUEST", "inbox", *WHY), "REQUEST"),
    "exempt": (("RESTRICTION", "inbox", "--code", "art19_impossible", *WHY), "RESTRICTION"),
    "pause": (("forms",), "nothing more is sent to forms"),
    "resume": (("forms",), "dpsync sends to forms again"),
    "receipt": (("REQUEST", "-o", "FOLDER"), "REQUEST"),
    "backup": (("FOLDER",), "a back-up in"),
    "doctor": (("-o", "MAY"), "MAY"),
    "complaint open": (
        ("--received", "2026-11-20", "--channel", "mail", "--topic", "delay", "--by", "Dana Officer"),
        "complaint C-",
    ),
    "incident open": (("--what", "a laptop is lost", "--by", "Dana Officer"), "incident I-"),
    "links revoke": (("--all",), "links are revoked"),
    "retention state-open": (HOW, "inbox: stated 1"),
    "keys rotate": (("signing", *WHY, "--yes"), "a new key is in use: signing"),
    "run-once": ((), "every answer"),
}
"""Arguments, and what standard error names of what was done."""
ELSEWHERE = {
    "retry": "one way with `release`",
    "settle": "one way with `release`",
    "check": "its own exit code says more; below",
    "drill": "its own exit code says more",
    "leaving": "prints as `contact`, and ends as `told`",
    "witness": "runs until it is ended",
    "restore": "prints nothing on standard output",
    "recover": "ends as `backup`",
    "serve": "prints nothing on standard output",
    "receive": "prints nothing on standard output",
    "work": "prints nothing on standard output",
    "sandbox": "runs until it is ended",
    "demo": "lasts; it prints through the same `Talk`",
    "retention": "by its own commands",
    "links": "by its own commands",
    "keys": "by its own commands",
    "keys check": "its own exit code says more",
    "complaint": "by its own commands",
    "incident": "by its own commands",
    **{f"complaint {name}": "ends as `complaint open`" for name in ("acknowledge", "progress", "outcome", "escalate")},
    "incident close": "ends as `incident open`",
    "complaint show": "prints as `complaint list`",
    "incident show": "prints as `incident list`",
    "service": "by its own commands",
    "intake": "by its own commands",
    "source": "by its own commands",
    "source test": "prints as `source sample`",
    "source merges": "prints as `contact`",
    "source reconcile": "its own exit code says more",
    "sweep": "its own exit code says more",
    "hooks": "by its own commands",
    **{f"hooks {name}": "its own exit code says more" for name in ("list", "register", "test")},
    "opendsr": "by its own commands",
    "opendsr token": "prints as `source sample`, and keeps nothing",
    "source leave": "ends as `contact ADDRESS`",
    "welcome": "ends as `contact ADDRESS`",
    "source findings": "prints as `source merges`",
    "source merge": "ends as `contact ADDRESS`",
    "config": "by its own commands",
    "service show": "prints as `config schema`",
    "service install": "prints nothing on standard output",
    "intake show": "prints as `config schema`",
    "health": "its own exit code says more",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("unprinted")
    (path / "dpsync.toml").write_text(CONFIG, encoding="utf-8")
    (path / "list.csv").write_text("email\nkim@example.org\n", encoding="utf-8")
    with standins():
        assert ran(path, "init") == 0
        assert ran(path, "submit", "erasure", "--email", "ada@example.org", "--id", "crm-1") == 0
        assert ran(path, "submit", "restriction", "--email", "eve@example.org", "--id", "crm-3") == 0
        yield path


def ran(folder: Path, *words: str) -> int:
    return main(["--config", str(folder / "dpsync.toml"), *words])


def rows(folder: Path, sql: str, *values: str) -> list[str]:
    connection = sqlite3.connect(folder / "var" / "dpsync.db")
    try:
        return [str(value) for (value,) in connection.execute(sql, values)]
    finally:
        connection.close()


def plant(folder: Path, sql: str) -> None:
    with sqlite3.connect(folder / "var" / "dpsync.db") as connection:
        connection.execute(sql)
    connection.close()


def named(folder: Path, word: str) -> str:
    ids = {
        name: rows(folder, "SELECT id FROM request WHERE right = ? ORDER BY ordinal", right)[0]
        for name, right in (("REQUEST", "erasure"), ("RESTRICTION", "restriction"))
    }
    today = datetime.now(ZoneInfo("Europe/London")).date().isoformat()
    files = {"LIST": str(folder / "list.csv"), "MAY": str(folder / "may.csv")}
    return {**ids, **files, "FOLDER": str(folder), "TODAY": today}.get(word, word)


def onto_a_full_disk(
    folder: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    capsys.readouterr()
    with FULL.open("w") as full, monkeypatch.context() as here:
        here.setattr(sys, "stdout", full)
        code = ran(folder, *(named(folder, word) for word in words))
    return code, capsys.readouterr().err


def test_every_command_is_looked_at_here() -> None:
    own = {f"{group} {one.name}" for group, of in GROUPS.items() for one in of.registered_commands}
    looked_at = {*READING, *(name.partition(" --")[0] for name in WRITING), *ELSEWHERE}
    assert {*COMMANDS, *GROUPS} - looked_at == set()
    assert own - looked_at == {f"retention {name}" for name in ("check", "attest", "except")}, "they end as state-open"


@pytest.mark.parametrize("name", READING)
def test_what_only_reads_says_so_and_may_be_given_again(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = onto_a_full_disk(folder, (*name.split(), *READING[name]), monkeypatch, capsys)
    assert code == Exit.UNTOLD, said
    assert "DP-108: not all of the answer could be printed: its disk is full" in said
    assert "It has stored nothing, and may be given again." in said


@pytest.mark.parametrize("name", WRITING)
def test_what_was_done_is_said_with_its_id_where_the_answer_cannot_be_printed(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, names = WRITING[name]
    if name == "acknowledge":
        plant(folder, "UPDATE propagation SET state = 'accepted' WHERE processor = 'forms'")
    command = name.partition(" --")[0].split()
    code, said = onto_a_full_disk(folder, (*command, *arguments), monkeypatch, capsys)
    if name == "run-once":
        assert code in {Exit.DONE, Exit.PARTLY}, said
        return
    assert code == Exit.UNTOLD, said
    assert "DP-108" in said
    assert said.splitlines()[-1].startswith("It is done all the same; do not do it twice: ")
    assert named(folder, names) in said.splitlines()[-1]


def test_what_a_command_found_is_not_hidden_by_an_answer_that_cannot_be_printed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = onto_a_full_disk(folder, ("check", "--offline"), monkeypatch, capsys)
    assert code == Exit.LOOK
    assert "DP-108" in said
    assert " problem" in said


def test_a_full_standard_error_is_no_failure_of_what_is_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FULL.open("w") as full, monkeypatch.context() as here:
        here.setattr(sys, "stderr", full)
        assert ran(folder, "submit", "opt_out", "--email", "cleo@example.org", "--id", "crm-4") == 0
    assert capsys.readouterr().out.startswith("r-")


def test_trouble_after_the_commit_says_that_it_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    late = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

    @late.command()
    def late_trouble(ctx: typer.Context, *, done: Annotated[bool, typer.Option()] = False) -> None:
        talk: Talk = ctx.obj
        talk.did = "request r-1 is accepted" if done else ""
        raise Locked("another process holds the database")

    assert main([], commands=late) == Exit.LATER
    assert "It is done" not in capsys.readouterr().err
    assert main(["--done"], commands=late) == Exit.UNTOLD
    assert capsys.readouterr().err.endswith("It is done all the same; do not do it twice: request r-1 is accepted\n")


# --- in a process of its own: what a shell does to an output


def piped(folder: Path, words: tuple[str, ...], **how: object) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "dpsync", "--config", str(folder / "dpsync.toml"), *words]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
    return subprocess.run(argv, text=True, check=False, timeout=120, **given)  # type: ignore[call-overload, no-any-return]  # because what is given differs


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    (tmp_path / "dpsync.toml").write_text(CONFIG.partition("[processors.inbox]")[0], encoding="utf-8")
    assert ran(tmp_path, "init") == 0
    return tmp_path


ASKED = ("submit", "erasure", "--email", "ada@example.org", "--id", "crm-1")


def test_an_output_that_is_closed_or_whose_reader_has_gone_is_said(plain: Path) -> None:
    closed = piped(plain, ASKED, preexec_fn=lambda: os.close(1))
    reading, writing = os.pipe()
    os.close(reading)
    gone = piped(plain, ASKED, stdout=writing)
    os.close(writing)
    for ended, reason in ((closed, "it is closed"), (gone, "its reader has gone")):
        assert ended.returncode == Exit.UNTOLD, ended.stderr
        assert f"could be printed: {reason}" in ended.stderr
        assert ended.stderr.splitlines()[-1].startswith("It is done all the same; do not do it twice: request r-")
    told = [line.split()[12] for ended in (closed, gone) for line in ended.stderr.splitlines()[-1:]]
    assert sorted(told) == sorted(rows(plain, "SELECT id FROM request")), "each is done once, under the id that is said"
    both = piped(plain, ASKED, preexec_fn=lambda: os.closerange(1, 3))
    assert both.returncode == Exit.UNTOLD
    assert ran(plain, "verify") == 0, "nothing was written into the database that is no row"


WRITE = """
import resource, signal, sys
sys.dont_write_bytecode = True  # Python would leave the half of a compiled module there, which nothing could load
from pathlib import Path
from dpsync.cli.opening import written
from dpsync.errors import DpsyncError
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    written(Path(sys.argv[1]), b"x" * 9000)
except DpsyncError as error:
    sys.exit(f"{error.code} {int(error.exit)} {error.message}")
"""


def test_a_file_that_does_not_fit_leaves_no_half_of_it_and_the_old_one_stands(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    for before in (None, b"the old one"):
        if before is not None:
            report.write_bytes(before)
        ended = subprocess.run(
            [sys.executable, "-c", WRITE, str(report)], capture_output=True, text=True, check=False, timeout=60
        )
        assert ended.stderr.startswith("DP-105 75 "), ended.stderr
        assert f"{report} is not written" in ended.stderr
        assert [path.name for path in tmp_path.iterdir()] == ([] if before is None else ["report.html"])
    assert report.read_bytes() == b"the old one"
