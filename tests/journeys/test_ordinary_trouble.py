"""Ordinary trouble is never a fault of dpsync itself: each command says what it is, and where, with its own code."""

import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dpsync.__main__ import main
from tests.standins.door import free_port

CONFIG = """\
[controller]
name = "Example Gardens"
dpo = "dpo@example.org"
operator = "it@example.org"

[ledger]
origin = "example.org/dpsync"

[intake]
secrets = [{{ file = "webhook" }}]
listen = "{listen}"
{more}

[processors.forms]
connector = "notice"
contact = "privacy@stratosoft.example"
"""
FINE = {0, 2, 3, 64, 69, 75, 78}
"""Every exit code that is no fault of dpsync."""

Place = tuple[Path, str]
"""The folder of an installation, and the id of the one request in it."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("made")
    configure(folder)
    (folder / "webhook").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    (folder / "webhook").chmod(0o600)
    assert main(["--config", str(folder / "dpsync.toml"), "init"]) == 0
    asked = ["submit", "erasure", "--email", "ada@example.org", "--id", "crm-1"]
    assert main(["--config", str(folder / "dpsync.toml"), *asked]) == 0
    with sqlite3.connect(folder / "var" / "dpsync.db") as connection:
        (request,) = connection.execute("SELECT id FROM request").fetchone()
    connection.close()
    assert main(["--config", str(folder / "dpsync.toml"), "verify"]) == 0
    return folder, str(request)


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    shutil.copytree(made[0], tmp_path / "here")
    return tmp_path / "here", made[1]


def configure(folder: Path, listen: str = "127.0.0.1:0", more: str = "") -> None:
    (folder / "dpsync.toml").write_text(CONFIG.format(listen=listen, more=more), encoding="utf-8")


def commands(place: Place) -> list[list[str]]:
    folder, request = place
    return [
        ["init"],
        ["check", "--offline"],
        ["run-once"],
        ["submit", "erasure", "--email", "ben@example.org"],
        ["status", "--json"],
        ["pause"],
        ["withdraw", request, "--by", "Dana", "--reason", "a test"],
        ["report", "-o", str(folder / "report.html")],
        ["dossier", request, "-o", str(folder / "dossier.html")],
        ["receipt", request, "-o", str(folder / "receipt.json")],
        ["verify"],
    ]


def instead(*names: str, with_a: str) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        for name in names:
            path = folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            path.mkdir() if with_a == "folder" else path.write_text("something else")

    return plant


TROUBLES: dict[str, Callable[[Path], None]] = {
    "a file for the anchors' folder": instead("anchors", with_a="file"),
    "a file for the receipts' folder": instead("receipts", with_a="file"),
    "a file for the keys' folder": instead("keys", with_a="file"),
    "a file for the database's folder": instead("var", with_a="file"),
    "a folder for the database": instead("var/dpsync.db", with_a="folder"),
    "a folder for the settings": instead("dpsync.toml", with_a="folder"),
    "a folder for a secret": instead("webhook", with_a="folder"),
    "a folder for what is written": instead("report.html", "dossier.html", "receipt.json", with_a="folder"),
    "a folder for the worker's lock": instead("var/dpsync.db.worker", with_a="folder"),
    "no folder at all": shutil.rmtree,
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_no_file_that_is_not_what_it_should_be_is_a_fault_of_dpsync(
    trouble: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    TROUBLES[trouble](place[0])
    for command in commands(place):
        capsys.readouterr()
        code = main(["--config", str(place[0] / "dpsync.toml"), *command])
        seen = capsys.readouterr()
        said = seen.out + seen.err
        assert code in FINE, (command, said)
        assert "DP-100" not in said, command
        assert "Traceback" not in said, command
        assert code in {0, 2, 3} or "DP-" in said, (command, said)


# --- what a command is told to write, or to read


def nobody_reads(path: Path) -> None:
    os.mkfifo(path)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/full")  # not /dev/null: should a test go wrong as root, nothing that others need is lost


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.mark.parametrize("stands", [nobody_reads, a_device, a_socket], ids=["pipe", "device", "socket"])
@pytest.mark.parametrize("command", ["report", "dossier", "receipt"])
def test_what_is_no_file_is_never_written_over_and_never_waited_for(
    command: str, stands: Callable[[Path], None], place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    target = place[0] / "target"
    stands(target)
    before = target.lstat()
    asked = [place[1]] if command in {"dossier", "receipt"} else []
    assert main(["--config", str(place[0] / "dpsync.toml"), command, *asked, "-o", str(target)]) == 64
    said = capsys.readouterr().err
    assert "DP-105" in said
    assert "where a file should be; name a file" in said
    assert (target.lstat().st_ino, target.lstat().st_mode) == (before.st_ino, before.st_mode)


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_standard_output_may_be_named(name: str, place: Place) -> None:
    """Also where it leads to a file: `/dev/stdout` is then no file that anything may be moved over."""
    plain = ran(place, "dossier", place[1], "--format", "json")
    kept = place[0] / "kept"
    with kept.open("wb") as out:
        ended = ran(place, "dossier", place[1], "--format", "json", "-o", name, stdout=out, cwd=place[0])
    assert (ended.returncode, kept.read_text(encoding="utf-8")[:40]) == (0, plain.stdout[:40])
    assert not (place[0] / "-").exists()
    assert Path("/dev/stdout").is_symlink()
    with kept.open("wb") as out:
        refused = ran(place, "receipt", place[1], "-o", name, stdout=out, cwd=place[0])
    assert (refused.returncode, "name a file" in refused.stderr) == (64, True), refused.stderr
    assert Path("/dev/stdout").is_symlink()


def test_a_pipe_in_place_of_a_checkpoint_is_named_and_not_waited_for(place: Place) -> None:
    pipe = place[0] / "pipe"
    os.mkfifo(pipe)
    ended = ran(place, "receipt", place[1], "-o", str(place[0] / "receipt.json"), "--since", str(pipe))
    assert (ended.returncode, "is a pipe, where a file should be" in ended.stderr) == (64, True), ended.stderr


# --- in a process of its own: what the shell, or the machine, may do to it


def ran(place: Place, *command: str, **how: object) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "dpsync", "--config", str(place[0] / "dpsync.toml"), *command]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
    return subprocess.run(argv, text=True, check=False, timeout=120, **given)  # type: ignore[call-overload, no-any-return]  # because what is given differs


@pytest.mark.parametrize(("closed", "code"), [(0, 0), (1, 74), (2, 0)])
def test_a_stream_that_is_closed_does_no_harm(closed: int, code: int, place: Place) -> None:
    def close() -> None:
        os.close(closed)

    ended = ran(place, "submit", "opt_out", "--email", "eve@example.org", preexec_fn=close)
    assert ended.returncode == code, ended.stderr
    config = str(place[0] / "dpsync.toml")
    assert main(["--config", config, "verify"]) == 0, "nothing was written into the database that is no row"


def test_a_reader_that_has_gone_is_no_fault_and_is_said(place: Place) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = ran(place, "status", "--json", stdout=writing)
    os.close(writing)
    assert (ended.returncode, ended.stderr.count("\n")) == (74, 2)
    assert "its reader has gone" in ended.stderr


def test_a_limit_on_files_or_on_their_size_is_the_machines(place: Place) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12))

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    for limit, command in ((few, ["status"]), (small, ["report", "-o", "report.html"])):
        # else Python would leave the half of a compiled module there, which nothing could load any more
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        ended = ran(place, *command, preexec_fn=limit, cwd=place[0], env=env)
        assert ended.returncode in FINE, ended.stderr
        assert "DP-100" not in ended.stderr
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("where", ["the receiver", "the metrics"])
def test_a_port_that_is_taken_says_whose_setting_it_is_and_passes(where: str, place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        if where == "the receiver":
            configure(place[0], address)
        else:
            configure(place[0], f"127.0.0.1:{free_port()}", f'metrics_listen = "{address}"')
        ended = ran(place, "serve")
    assert ended.returncode == 75
    assert "DP-104" in ended.stderr
    assert address in ended.stderr


@pytest.mark.parametrize("listen", ["a..b:8460", "203.0.113.1:1"])
def test_a_host_that_is_none_of_this_machine_is_said_in_a_sentence(listen: str, place: Place) -> None:
    configure(place[0], listen)
    ended = ran(place, "serve")
    assert ended.returncode in {75, 78}
    assert "DP-100" not in ended.stderr
    assert "cannot listen on" in ended.stderr or "intake.listen" in ended.stderr


def test_a_demo_that_may_not_have_its_folder_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("here first")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        assert main(["demo", "--folder", str(folder)]) == 64
        assert "DP-10" in capsys.readouterr().err
