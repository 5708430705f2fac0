"""What stands where a key, a secret, a file or a folder should be is named as what it is, and each way out works."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest

from dpsync.__main__ import main

CONFIG = """\
[controller]
name = "Example Gardens"
dpo = "dpo@example.org"
operator = "it@example.org"

[ledger]
origin = "example.org/dpsync"

[intake]
secrets = [{ file = "secrets/webhook" }]

[processors.newsletter]
connector = "mailchimp"
contact = "privacy@mailchimp.example"
api_key = { file = "secrets/mailchimp.key" }
"""
COMMANDS = re.compile(r"`((?:mv|rmdir|chmod|mkdir|touch) [^`]+)`")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    (folder / "dpsync.toml").write_text(CONFIG, encoding="utf-8")
    (folder / "secrets").mkdir(mode=0o700)
    for name, secret in (("webhook", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), ("mailchimp.key", "abcdef-us1")):
        (folder / "secrets" / name).write_text(secret)
        (folder / "secrets" / name).chmod(0o600)
    assert main(["--config", str(folder / "dpsync.toml"), "init"]) == 0
    asked = ("submit", "erasure", "--email", "ada@example.org", "--id", "crm-1")
    assert main(["--config", str(folder / "dpsync.toml"), *asked]) == 0
    (month,) = (folder / "keys" / "months").iterdir()
    assert month.suffix == ".key"
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "a folder with spaces"
    shutil.copytree(made, folder)
    return folder


def checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["--config", str(folder / "dpsync.toml"), "check", "--offline"])
    seen = capsys.readouterr()
    return code, seen.out + seen.err


def a_folder(path: Path) -> None:
    path.mkdir()


def a_file(path: Path) -> None:
    path.write_text("something else")


def a_dead_link(path: Path) -> None:
    path.symlink_to("nowhere")


def a_circle(path: Path) -> None:
    path.symlink_to(path.name)


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with chdir(path.parent), socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)


def an_empty_file(path: Path) -> None:
    path.touch(mode=0o600)


def a_huge_file(path: Path) -> None:
    path.write_bytes(b"0" * 200_000)
    path.chmod(0o600)


Planting = Callable[[Path], None]
SAID: dict[Planting, str] = {
    a_folder: "is a folder, where a file should be",
    a_file: "is a file, where a folder should be",
    a_dead_link: "is a link that leads nowhere",
    a_circle: "is a link that leads in a circle",
    a_pipe: "is a pipe, where a",
    a_socket: "is a socket, where a",
    an_empty_file: "is empty",
    a_huge_file: "is larger than",
}
FOR_A_FILE: tuple[Planting, ...] = (a_folder, a_dead_link, a_circle, a_pipe, a_socket, an_empty_file, a_huge_file)
CASES: list[tuple[str, str, Planting]] = [
    *(("keys/signing.key", "DP-202", plant) for plant in FOR_A_FILE),
    *(("secrets/mailchimp.key", "DP-20", plant) for plant in FOR_A_FILE if plant is not an_empty_file),
    *(("keys/pepper-1.key", "DP-202", plant) for plant in (a_folder, a_pipe)),
    *(("keys/months/MONTH", "DP-202", plant) for plant in (a_folder, a_pipe, a_dead_link, an_empty_file)),
    *(("keys/months", "DP-202", plant) for plant in (a_file, a_circle)),
    *(("keys", "DP-202", plant) for plant in (a_file, a_dead_link, a_pipe)),
    *(("secrets/webhook", "DP-20", plant) for plant in (a_folder, a_pipe)),
    *(("anchors", "DP-604", plant) for plant in (a_file, a_pipe, a_dead_link)),
    *(("receipts", "DP-604", plant) for plant in (a_file, a_socket, a_circle)),
    *(("anchors/journal", "DP-604", plant) for plant in (a_folder, a_pipe, a_dead_link)),
    *(("anchors/checkpoint", "DP-604", plant) for plant in (a_folder, a_pipe, a_dead_link)),
    *(("var", "DP-203", plant) for plant in (a_file, a_dead_link)),
    *(("var/dpsync.db", "DP-203", plant) for plant in (a_folder, a_pipe, a_circle)),
]


@pytest.mark.parametrize(("name", "code", "plant"), CASES, ids=lambda one: getattr(one, "__name__", one))
def test_what_stands_there_is_named_and_the_way_out_works(
    name: str, code: str, plant: Planting, here: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, _ = checked(here, capsys)
    (month,) = (path.name for path in (made / "keys" / "months").iterdir())
    name = name.replace("MONTH", month)
    path = here / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    plant(path)

    ended, said = checked(here, capsys)
    assert ended == 78, said
    assert f"{path} {SAID[plant]}" in said
    assert code in said
    assert "open to" not in said
    assert "DP-100" not in said

    for command in COMMANDS.findall(said):
        subprocess.run(["/bin/sh", "-c", command], check=False, capture_output=True, timeout=10)
    if not os.path.lexists(path) or plant is an_empty_file:
        back = shutil.copytree if (made / name).is_dir() else shutil.copy
        back(made / name, path)
    ended, said = checked(here, capsys)
    assert ended == before, said


def test_what_is_open_to_others_is_called_that_and_the_command_closes_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, _ = checked(here, capsys)
    for name, mode in (("keys", 0o755), ("keys/months", 0o755), ("keys/signing.key", 0o640)):
        (here / name).chmod(mode)
        ended, said = checked(here, capsys)
        assert (ended, f"{here / name} is open to group or others" in said) == (78, True), said
        (command,) = COMMANDS.findall(said)
        subprocess.run(["/bin/sh", "-c", command], check=True, timeout=10)
    (here / "secrets" / "webhook").chmod(0o644)
    ended, said = checked(here, capsys)
    assert (ended, "is open to everybody on this machine" in said) == (78, True), said
    (command,) = COMMANDS.findall(said)
    subprocess.run(["/bin/sh", "-c", command], check=True, timeout=10)
    assert checked(here, capsys)[0] == before


def test_a_secret_that_is_empty_is_not_set_here(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "secrets" / "mailchimp.key").write_text("")
    ended, said = checked(here, capsys)
    assert (ended, f"DP-204 processors.newsletter.api_key: points to what cannot be used: {here}" in said) == (2, True)
    assert "mailchimp.key is empty: put the secret into a file of that name" in said


ALERTS = 'urls = [{ file = "secrets/alerts" }]'


def _open(path: Path) -> None:
    path.write_text("json://127.0.0.1:9/alert")
    path.chmod(0o644)


@pytest.mark.parametrize("plant", [a_folder, a_dead_link, a_pipe, a_huge_file, an_empty_file, _open])
def test_whoever_only_reads_needs_no_secret_whatever_stands_in_its_place(
    plant: Planting, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = here / "dpsync.toml"
    config.write_text(f"{CONFIG}\n[alerts]\n{ALERTS}\n", encoding="utf-8")
    plant(here / "secrets" / "alerts")
    for words in (("report",), ("status",), ("verify",), ("register",), ("forgotten",)):
        assert main(["--config", str(config), *words]) == 0, (words, capsys.readouterr().err)
    assert main(["--config", str(config), "run-once"]) == 78
    said = capsys.readouterr()
    assert "alerts.urls[0]: points to what cannot be used" in said.err
    assert main(["--config", str(config), "check"]) == 78
    seen = capsys.readouterr().out
    assert "alerts.urls[0]: points to what cannot be used" in seen
    assert "2 channels" not in seen  # what cannot be had is no way to anybody


def test_of_many_spoilt_checkpoints_the_first_few_and_the_number_are_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for size in range(900, 940):
        (here / "anchors" / f"{size:012d}.checkpoint").write_text("spoilt")
    _, seen = checked(here, capsys)
    assert seen.count("is a damaged file") == 3
    assert "and 37 more like these: `dpsync verify` names each" in seen
    assert main(["--config", str(here / "dpsync.toml"), "run-once"]) == 78
    said = capsys.readouterr().err
    assert said.count("is a damaged file") == 3
    assert "and 37 more: `dpsync verify` names each" in said
    assert main(["--config", str(here / "dpsync.toml"), "verify"]) == 2
    assert capsys.readouterr().err.count("is a damaged file") == 40


def test_offline_a_channel_that_is_merely_not_set_here_is_no_problem(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = here / "dpsync.toml"
    unset = 'urls = [{ env = "NOWHERE_ONE" }, { env = "NOWHERE_TWO" }]'
    config.write_text(f"{CONFIG}\n[alerts]\n{unset}\n", encoding="utf-8")
    main(["--config", str(config), "check", "--offline"])
    seen = capsys.readouterr().out
    assert "not set here: alerts.urls[0], alerts.urls[1]" in seen
    assert "DP-301" not in seen
    (here / "secrets" / "alerts").touch()
    config.write_text(f"{CONFIG}\n[alerts]\n{ALERTS}\n", encoding="utf-8")
    main(["--config", str(config), "check", "--offline"])
    assert "DP-301" in capsys.readouterr().out  # one alone would be too few, too


def test_a_secret_that_slipped_in_as_a_path_is_not_repeated(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = here / "dpsync.toml"
    config.write_text(CONFIG.replace("secrets/mailchimp.key", "hunter2-us1"), encoding="utf-8")
    _, said = checked(here, capsys)
    assert "points to a file that is not there: put the secret into a file of that name, mode 0600" in said
    assert "hunter2" not in said
