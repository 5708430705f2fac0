"""The service on its machine: its unit, whether it runs, what the main database enters, and what `check` sees of it."""

import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import jsonschema
import pytest

from dpsync.__main__ import main
from dpsync.cli.shapes import SHAPES
from dpsync.cli.systemd_unit import sample_units
from dpsync.errors import Exit
from dpsync.settings import load
from tests.shapes import undocumented
from tests.waiting import LONG, until

ROOT = Path(__file__).parents[2]
INIT = ("init", "--name", "Example Gardens", "--dpo", "dpo@example.org", "--operator", "it@example.org")
PROGRAM = [sys.executable, "-m", "dpsync"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "house"
    assert main([*INIT, "--rehearsal", "--processor", "forms=notice", "--mode", "live", str(path)]) == 0
    config = path / "dpsync.toml"
    text = config.read_text(encoding="utf-8").replace("8460", str(free_port()))
    config.write_text(text, encoding="utf-8")
    return path


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ran(folder: Path, *words: str) -> int:
    return main(["--config", str(folder / "dpsync.toml"), *words])


def listen_of(folder: Path) -> str:
    return load(folder / "dpsync.toml", {}, secrets=False).intake.listen


@contextmanager
def serving(folder: Path) -> Iterator[None]:
    command = [*PROGRAM, "--config", str(folder / "dpsync.toml"), "serve"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: ran(folder, "-q", "health") == 0)
            yield
        finally:
            process.send_signal(signal.SIGTERM)


@contextmanager
def answering(folder: Path, body: bytes, status: int = 200) -> Iterator[None]:
    """Another program, where the receiver should listen."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - because the library names it so
            pass

    host, _, port = listen_of(folder).rpartition(":")
    with HTTPServer((host, int(port)), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def typed_in_a_shell(command: str) -> str:
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=30).stdout


def receiver_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    capsys.readouterr()
    ran(folder, "check", "--json")
    lines: list[dict[str, str]] = json.loads(capsys.readouterr().out)["lines"]
    return next(line for line in lines if line["what"] == "receiver")


def test_health_and_check_tell_of_a_service_that_does_not_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(folder, "health") == Exit.LATER
    assert "is not running" in capsys.readouterr().out
    assert receiver_line(folder, capsys)["verdict"] == "waiting"


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"<html>", 200), (b"[]", 200), (b'{"status": "ready"}', 404), (b'{"status": "up"}', 200), (b'{"x": 1}', 503)],
)
def test_another_program_on_the_port_is_a_problem_and_never_our_service(
    folder: Path, body: bytes, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(folder, body, status):
        assert ran(folder, "health") == Exit.LOOK
        line = receiver_line(folder, capsys)
    assert (line["verdict"], line["code"]) == ("PROBLEM", "DP-104")


@pytest.mark.parametrize(("status", "said"), [(200, "ready"), (503, "not ready")])
def test_another_dpsync_on_the_port_is_a_problem_and_never_our_service(
    folder: Path, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {"status": said, "ledger": "another.example/dpsync", "worker": "turning", "timed": "turning"}
    with answering(folder, json.dumps(body).encode(), status):
        assert ran(folder, "health") == Exit.LOOK
        assert "of the ledger another.example/dpsync" in capsys.readouterr().out
        line = receiver_line(folder, capsys)
    assert (line["verdict"], line["code"]) == ("PROBLEM", "DP-104")


def test_a_port_that_somebody_holds_and_answers_nothing_on_is_a_problem(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host, _, port = listen_of(folder).rpartition(":")
    with socket.socket() as silent:
        silent.bind((host, int(port)))  # bound, and nobody listens: a connection is refused
        line = receiver_line(folder, capsys)
    assert (line["verdict"], line["code"]) == ("PROBLEM", "DP-104")


def test_an_address_of_another_machine_is_a_problem_before_the_service_starts(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = folder / "dpsync.toml"
    text = config.read_text(encoding="utf-8")
    config.write_text(re.sub(r"(?m)^listen = .*$", 'listen = "192.0.2.1:8460"', text), encoding="utf-8")
    line = receiver_line(folder, capsys)
    assert (line["verdict"], line["code"]) == ("PROBLEM", "DP-104")


@pytest.mark.slow
def test_what_intake_show_prints_works_as_it_stands_and_stores_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(folder):
        capsys.readouterr()
        assert ran(folder, "health", "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert undocumented(told, SHAPES["health"]) == set()
        assert told["serving"] == "ready"
        assert receiver_line(folder, capsys)["verdict"] == "ok"
        assert ran(folder, "intake", "show", "--json") == 0
        shown = json.loads(capsys.readouterr().out)
        entries = told["readyz"]["entries"]
        assert json.loads(typed_in_a_shell(shown["curl"])) == {"status": "test received"}
        assert typed_in_a_shell(shown["curl"].replace("dpsync.test", "dpsync.Test")) == "", "401 says nothing"
        ran(folder, "health", "--json")
        assert json.loads(capsys.readouterr().out)["readyz"]["entries"] == entries
    assert undocumented(shown, SHAPES["intake show"]) == set()
    secret = (folder / "secrets" / "webhook").read_text(encoding="utf-8").strip()
    assert secret not in json.dumps(shown)


def test_a_source_of_its_own_is_shown_with_its_address_scheme_and_secret(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = folder / "dpsync.toml"
    config.write_text(config.read_text(encoding="utf-8") + SOURCE, encoding="utf-8")
    assert ran(folder, "intake", "show", "crm") == 0
    said = capsys.readouterr().out
    assert re.search(r"(?m)^address +http://\S+/requests/crm$", said)
    assert re.search(r"(?m)^signed by +github$", said)
    assert "secret     what is in file:" in said
    assert ran(folder, "intake", "show", "crm", "--json") == 0
    assert undocumented(json.loads(capsys.readouterr().out), SHAPES["intake show"]) == set()
    assert ran(folder, "intake", "show", "crmm") == Exit.USAGE
    assert "there is no [sources.crmm] in the settings; there are: crm." in capsys.readouterr().err


def test_without_a_webhook_secret_there_is_nothing_to_enter(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = folder / "dpsync.toml"
    config.write_text(
        re.sub(r"(?m)^secrets = .*$", "secrets = []", config.read_text(encoding="utf-8")), encoding="utf-8"
    )
    assert ran(folder, "intake", "show") == Exit.CONFIGURATION
    assert "intake.secrets" in capsys.readouterr().err


def test_the_schema_is_one_that_the_written_settings_keep(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import tomllib

    capsys.readouterr()
    assert ran(folder, "config", "schema") == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.validate(tomllib.loads((folder / "dpsync.toml").read_text(encoding="utf-8")), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"controler": {}}, schema)


SOURCE = """
[sources.crm]
mapping = "hasura"
scheme = "github"
secrets = [{ file = "secrets/webhook" }]
"""


# --- the unit


@pytest.fixture
def owned(folder: Path) -> Path:
    """The same, owned by a user who is not root, as a service's files are."""
    if os.getuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            shutil.chown(path, "daemon")
    return folder


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for systemd's, which does not run in a container: writes down what it was told."""
    told, bin_folder = tmp_path / "told", tmp_path / "bin"
    bin_folder.mkdir()
    program = bin_folder / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {told}\nexit ${{SYSTEMCTL_EXIT:-0}}\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    told.touch()
    return told


def keys_owner(folder: Path) -> str:
    return (folder / "keys").owner()


def test_a_unit_is_written_once_and_started_when_wanted(owned: Path, systemctl: Path, tmp_path: Path) -> None:
    units = tmp_path / "units"
    units.mkdir()
    install = ("service", "install", "--unit-folder", str(units))
    if keys_owner(owned) == "root":
        pytest.skip(reason="needs a user who is not root, or the right to give files to one")
    assert ran(owned, *install) == 0
    unit = (units / "dpsync.service").read_text(encoding="utf-8")
    assert f"User={keys_owner(owned)}\n" in unit
    assert f"--config {owned / 'dpsync.toml'} serve\n" in unit
    writes = next(line for line in unit.splitlines() if line.startswith("ReadWritePaths="))
    assert set(writes.partition("=")[2].split()) == {
        str(owned / name) for name in ("anchors", "keys", "receipts", "var")
    }
    assert systemctl.read_text(encoding="utf-8") == "daemon-reload\n"
    assert ran(owned, *install, "--now") == 0
    assert systemctl.read_text(encoding="utf-8").splitlines()[-1] == "enable --now dpsync.service"
    assert (units / "dpsync.service").read_text(encoding="utf-8") == unit


def test_a_unit_that_somebody_changed_is_not_written_over_unasked(
    owned: Path, systemctl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "dpsync.service"
    place.write_text("[Unit]\n", encoding="utf-8")
    install = ("service", "install", "--unit-folder", str(tmp_path))
    assert ran(owned, *install) == Exit.USAGE
    assert place.read_text(encoding="utf-8") == "[Unit]\n"
    assert "--replace" in capsys.readouterr().err
    assert ran(owned, *install, "--replace") == 0
    assert "ExecStart=" in place.read_text(encoding="utf-8")


def test_a_folder_of_units_that_is_not_there_is_named(
    owned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(owned, "service", "install", "--unit-folder", str(tmp_path / "none")) == Exit.USAGE
    assert "there is no folder" in capsys.readouterr().err


def test_a_systemd_that_does_not_take_it_is_said_and_is_no_success(
    owned: Path, systemctl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SYSTEMCTL_EXIT", "1")
    for _ in range(2):  # the second finds the unit as it should be, and systemd no better
        capsys.readouterr()
        assert ran(owned, "service", "install", "--now", "--unit-folder", str(tmp_path)) == Exit.LOOK
        said = capsys.readouterr().err
        assert "journalctl" in said
        assert "systemd has not taken it" in said
        assert "for you: `systemctl daemon-reload` must work first" in said
        assert "enable --now" not in said
    monkeypatch.setenv("SYSTEMCTL_EXIT", "0")
    assert ran(owned, "service", "install", "--now", "--unit-folder", str(tmp_path)) == Exit.DONE
    assert "the service runs" in capsys.readouterr().err


@pytest.mark.skipif(os.getuid() != 0, reason="only root's keys belong to root")
def test_no_service_runs_as_root(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(folder, "service", "show") == Exit.USAGE
    said = capsys.readouterr().err
    assert "useradd --system" in said
    assert f"chown -R dpsync: {folder / 'anchors'}" in said
    assert ran(folder, "service", "show", "--user", "nobody") == Exit.USAGE
    assert "could not read them" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_itself_finds_nothing_wrong_in_the_unit(
    owned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert ran(owned, "service", "show") == 0
    unit = tmp_path / "dpsync.service"
    unit.write_text(capsys.readouterr().out, encoding="utf-8")
    ended = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert [line for line in ended.stderr.splitlines() if "dpsync.service" in line] == []


def test_the_units_that_are_shipped_are_those_that_the_command_writes() -> None:
    shipped = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "config" / "systemd").iterdir()}
    assert shipped == sample_units(), "make docs"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("name", [name for name in sample_units() if name.endswith(".service")])
def test_systemd_finds_the_units_hardened(name: str) -> None:
    judge = ["systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20"]  # of 100: below 2 of 10
    place = ROOT / "config" / "systemd" / name
    ended = subprocess.run([*judge, str(place)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"Overall exposure level for \S+: 1\.\d OK", ended.stdout)


# --- asking and answering on a terminal


def typed(command: list[str], answers: list[tuple[str, str]], columns: int = 100) -> tuple[int, str]:
    """Run a command on a terminal of its own; each answer is typed when its question is there."""
    process, terminal = pty.fork()
    if process == 0:
        os.environ["COLUMNS"] = str(columns)
        os.execv(command[0], command)  # noqa: S606 - because the terminal is all that it gets
    shown, waiting, ends = "", list(answers), time.monotonic() + LONG
    while time.monotonic() < ends:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            shown += os.read(terminal, 4096).decode()
        except OSError:
            break  # the program has ended
        if waiting and waiting[0][0] in shown:
            question, answer = waiting.pop(0)
            shown = shown.replace(question, "", 1)
            os.write(terminal, answer.encode() + b"\n")
    os.close(terminal)
    assert not waiting, f"never asked: {waiting}"
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), shown


def test_a_wrong_answer_is_asked_again_and_costs_no_other(tmp_path: Path) -> None:
    code, shown = typed(
        [*PROGRAM, "init", str(tmp_path / "new")],
        [
            ("responsible for the data?", "Example Gardens"),
            ("data protection officer?", "Dana <dpo@example.org>"),
            ("data protection officer?", "dpo@example.org"),
            ("runs this machine?", "it@example.org"),
            ("Which processors?", "newsletter=mailchump"),
            ("Which processors?", "newsletter=mailchimp forms=notice"),
            ("Start carefully?", "y"),
        ],
    )
    assert code == 0, shown
    asked = " ".join(shown.partition("Written")[0].split())
    assert "the answer must be an email address, without a name. Please answer again." in asked
    assert "there is no such connector for newsletter" in asked
    assert "--" not in asked, "whoever is asked types no option"
    assert "[]" not in asked
    settings = load(tmp_path / "new" / "dpsync.toml", {}, secrets=False)
    assert settings.controller.name == "Example Gardens"
    assert set(settings.processors) == {"newsletter", "forms"}


def test_check_names_each_value_that_is_still_to_be_filled_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*INIT, "--processor", "newsletter=mailchimp", "--mode", "live", str(tmp_path)]) == 0
    capsys.readouterr()
    ran(tmp_path, "check", "--offline", "--json")
    lines = json.loads(capsys.readouterr().out)["lines"]
    named = {line["text"].partition(" ")[0] for line in lines if "FILL IN" in line["text"]}
    assert named == {"mail.host", "mail.from", "processors.newsletter.contact", "processors.newsletter.api_key"}


def test_the_shell_completes_commands_as_its_script_asks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    variable = re.search(r"(_DPSYNC_COMPLETE)=complete_bash", script)
    assert variable
    environ = {**os.environ, "COMP_WORDS": "dpsync ver", "COMP_CWORD": "1", variable[1]: "complete_bash"}
    program = shutil.which("dpsync", path=str(Path(sys.executable).parent))
    assert program
    ended = subprocess.run([program], env=environ, capture_output=True, text=True, check=False)
    assert ended.stdout.split() == ["verify"]
    for shell in ("zsh", "fish"):
        assert main(["completion", shell]) == 0
    assert main(["completion", "tcsh"]) == Exit.USAGE
