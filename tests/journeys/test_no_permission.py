"""Where this user may not read or write, or the disk can only be read or is full: said before the first loss."""

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
listen = "127.0.0.1:0"

[mail]
host = "127.0.0.1"
tls = "none"
from = "it@example.org"
incoming = "incoming"

[processors.newsletter]
connector = "mailchimp"
contact = "privacy@mailchimp.example"
api_key = { file = "mailchimp.key" }
"""
AS_ROOT = os.geteuid() == 0
USER = pwd.getpwnam("nobody") if AS_ROOT else pwd.getpwuid(os.geteuid())
WAYS_OUT = re.compile(r"`((?:chmod|chown) [^`]+)`")
LOOK = """
import contextlib, encodings.ascii, encodings.idna, encodings.latin_1, importlib, io, json, os, pkgutil
import subprocess, sys
import dpsync
from dpsync.__main__ import main
user, warm = json.loads(sys.argv[1])

def look(config, *words):
    if config == "sh":
        return [subprocess.run(["sh", "-e", "-c", *words]).returncode, ""]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = main(["--config", config, *words])
    return [int(code), out.getvalue()]

if user:  # who may not load what lies in root's folders
    look(*warm)
    for room in ("running", "intake", "propagation", "reports", "retention", "store", "ledger", "vendor", "connectors"):
        place = importlib.import_module(f"dpsync.{room}")
        for one in pkgutil.walk_packages(place.__path__, f"{place.__name__}."):
            if ".versions" not in one.name and ".verify_receipt" not in one.name and ".migrations" not in one.name:
                importlib.import_module(one.name)
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
for asked in sys.stdin:
    print(json.dumps([look(*run) for run in json.loads(asked)]), flush=True)
"""
CHECK = ("check", "--offline")


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    # Not below the tests' own folder, which nobody else may enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        first = folder / "first"
        first.mkdir()
        (first / "incoming").mkdir()
        (first / "dpsync.toml").write_text(CONFIG, encoding="utf-8")
        (first / "mailchimp.key").write_text("abcdef-us1")
        (first / "mailchimp.key").chmod(0o600)
        assert main(["--config", str(first / "dpsync.toml"), "init"]) == 0
        asked = ("submit", "erasure", "--email", "ada@example.org", "--id", "crm-1")
        assert main(["--config", str(first / "dpsync.toml"), *asked]) == 0
        yield folder


def owned(path: Path) -> None:
    """By the user who runs it, as after an installation."""
    if AS_ROOT:
        for one in (path, *path.rglob("*")):
            os.chown(one, USER.pw_uid, USER.pw_gid)


Looked = Callable[..., list[tuple[int, str]]]


@contextmanager
def looking(made: Path, user: int, *within: str) -> Iterator[Looked]:
    """Runs commands of dpsync, or `sh` with a script and its words, in one process that has loaded everything, as this
    user (0: who runs the tests) and `within` a program that isolates it; what each ended with and said.
    """
    given = json.dumps([user, (str(made / "first" / "dpsync.toml"), *CHECK)])
    command, pipe = [*within, sys.executable, "-c", LOOK, given], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as running:
        asked, answered = running.stdin, running.stdout
        assert asked is not None
        assert answered is not None

        def look(*runs: tuple[str, ...]) -> list[tuple[int, str]]:
            asked.write(json.dumps(runs) + "\n")
            asked.flush()
            return [(code, said) for code, said in json.loads(answered.readline())]

        yield look
        asked.close()


@pytest.fixture(scope="module")
def looked(made: Path) -> Iterator[Looked]:
    with looking(made, USER.pw_uid if AS_ROOT else 0) as look:
        yield look


def closed(mode: int) -> Callable[[Path], None]:
    return lambda path: path.chmod(mode)


def somebody_elses(path: Path) -> None:
    if AS_ROOT:
        os.chown(path, 0, 0)
        path.chmod(0o755 if path.is_dir() else 0o600)
    else:
        path.chmod(0o500 if path.is_dir() else 0)


CASES: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "anchors of somebody else": ("anchors", somebody_elses, "DP-604"),
    "anchors that may only be read": ("anchors", closed(0o500), "DP-604"),
    "anchors that may not be entered": ("anchors", closed(0), "DP-604"),
    "receipts of somebody else": ("receipts", somebody_elses, "DP-604"),
    "receipts that may only be read": ("receipts", closed(0o500), "DP-604"),
    "a journal of somebody else": ("anchors/journal", somebody_elses, "DP-604"),
    "a journal that may only be read": ("anchors/journal", closed(0o400), "DP-604"),
    "a checkpoint that may not be read": ("anchors/checkpoint", closed(0), "DP-604"),
    "a key of somebody else": ("keys/signing.key", somebody_elses, "DP-202"),
    "a key that may not be read": ("keys/pepper-1.key", closed(0), "DP-202"),
    "no room for the next month's key": ("keys/months", closed(0o500), "DP-202"),
    "a secret of somebody else": ("mailchimp.key", somebody_elses, "DP-204"),
    "a database's folder of somebody else": ("var", somebody_elses, "DP-203"),
    "incoming mail of somebody else": ("incoming", somebody_elses, "DP-304"),
}


def test_what_this_user_may_not_have_is_said_with_a_command_that_helps(made: Path, looked: Looked) -> None:
    folders = {name: made / f"case {number}" for number, name in enumerate(CASES)}
    for folder in folders.values():
        shutil.copytree(made / "first", folder)
        owned(folder)
    runs = [(str(folder / "dpsync.toml"), *CHECK) for folder in folders.values()]
    assert [code for code, _ in looked(runs[0])] == [2], "one channel for alerts, and nothing else; they are copies"
    for name, (place, plant, _) in CASES.items():
        plant(folders[name] / place)

    ways_out: dict[str, list[str]] = {}
    for name, (code, said) in zip(CASES, looked(*runs), strict=True):
        place, _, kind = CASES[name]
        assert kind in said, (name, said)
        assert f"{folders[name] / place} cannot be " in said, (name, said)
        assert f"by this user ({USER.pw_name})" in said, (name, said)
        assert code == (2 if kind in {"DP-204", "DP-304"} else 78), (name, said)
        ways_out[name] = WAYS_OUT.findall(said)
        assert ways_out[name], (name, said)
    for commands in ways_out.values():
        for command in commands:
            subprocess.run(["/bin/sh", "-c", command], check=True, timeout=10)
    assert [code for code, _ in looked(*runs)] == [2] * len(CASES)


def test_nothing_is_begun_where_the_proof_could_not_be_kept(made: Path, looked: Looked) -> None:
    folder = made / "beginning"
    shutil.copytree(made / "first", folder)
    owned(folder)
    config = str(folder / "dpsync.toml")
    (folder / "receipts").chmod(0o500)
    ended = looked((config, *CHECK), (config, "run-once"), (config, "serve"))
    assert [code for code, _ in ended] == [78, 78, 78], ended
    for _, said in ended:
        assert "DP-604" in said
        assert f"{folder / 'receipts'} cannot be written by this user" in said


READ_ONLY = 'mount --bind "$0" "$0"; mount -o remount,ro,bind "$0"'
FULL = 'umount "$0"; mount -t tmpfs -o size=16k tmpfs "$0"; head -c 100000 /dev/zero >"$0/full" 2>/dev/null || true'


def test_a_disk_that_can_only_be_read_or_is_full_is_said(made: Path) -> None:
    alone = ["unshare", "--mount", *([] if AS_ROOT else ["--map-root-user"])]
    if subprocess.run([*alone, "mount", "-t", "tmpfs", "none", "/mnt"], check=False, capture_output=True).returncode:
        pytest.skip(reason="nothing may be mounted here")
    folder = made / "mounted"
    shutil.copytree(made / "first", folder)
    config, receipts = str(folder / "dpsync.toml"), str(folder / "receipts")
    check, run_once = (config, *CHECK), (config, "run-once")
    with looking(made, 0, *alone) as look:
        (shell, _), *ended = look(("sh", READ_ONLY, receipts), check, run_once)
        assert [shell, *(code for code, _ in ended)] == [0, 78, 78]
        assert all("DP-604" in said and "receipts can only be read" in said for _, said in ended), ended
        (way_out,) = re.findall(r"as root: `(mount [^`]*)`", ended[0][1])
        assert [code for code, _ in look(("sh", way_out), check)] == [0, 2]
        (shell, _), *ended = look(("sh", FULL, receipts), check, run_once)
        assert [shell, *(code for code, _ in ended)] == [0, 75, 75]
        assert all("receipts is full" in said for _, said in ended), ended
