"""Installed without extras, everything runs that needs none; what needs one says which, and how to get it."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dpsync.extras import PACKAGES
from dpsync.sandbox.server import running_sandbox
from tests.journeys.test_commands import ADA, CONFIG, KEY

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
BROUGHT = (
    *("aiosmtpd", "apprise", "atpublic", "attr", "markdown", "oauthlib", "psycopg", "requests_oauthlib", "yaml"),
    *("weasyprint", "pydyf", "tinycss2", "tinyhtml5", "cssselect2", "pyphen", "PIL", "fontTools", "brotli", "zopfli"),
    *("webencodings", "rfc3161_client"),
)
"""What the extras install and nothing else does, as it is imported."""

BARE = f"""
import contextlib, io, json, sys
sys.modules.update(dict.fromkeys({BROUGHT!r}))  # Python finds none of them
from dpsync.__main__ import main
for argv in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = int(main(["--config", "dpsync.toml", *argv]))
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""
"""dpsync where only its own dependencies are installed. Several commands in one process: each start costs a second."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def dpsync(folder: Path, *commands: str) -> list[Ran]:
    """Run the commands one after the other."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DPSYNC")}
    argv = [sys.executable, "-c", BARE, json.dumps([shlex.split(command) for command in commands])]
    ran = subprocess.run(argv, cwd=folder, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    return [Ran(*json.loads(line)) for line in ran.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Settings before imitated vendors, which run in this process and not in the bare one."""
    with running_sandbox((KEY,)) as sandbox, socket.create_server(("127.0.0.1", 0)) as listener:
        for audience in sandbox.audiences():
            sandbox.add(ADA, list_id=audience)
        for name, value in (("webhook", "whsec_" + "a" * 40), ("key", KEY)):
            (tmp_path / name).write_text(value, encoding="utf-8")
            (tmp_path / name).chmod(0o600)
        settings = CONFIG.format(
            port=listener.getsockname()[1],
            safety='mode = "live"',
            smtp_host=sandbox.smtp_host,
            smtp_port=sandbox.smtp_port,
            mailchimp_url=sandbox.mailchimp_url,
        )
        (tmp_path / "dpsync.toml").write_text(settings, encoding="utf-8")
        listener.close()
        yield tmp_path


def test_each_extra_is_known_by_a_package_that_it_brings() -> None:
    assert {extra: names for extra, names in EXTRAS.items() if len(names) != 1} == {}
    named = {extra: re.split(r"[\[>=<]", names[0])[0].replace("-", "_") for extra, names in EXTRAS.items()}
    assert named == PACKAGES


def test_all_commands_do_their_work_on_sqlite_without_any_extra(folder: Path) -> None:
    begun, checked, submitted, driven, shown, verified = dpsync(
        folder, "init", "check --json", f"submit erasure --email {ADA} --by Dora", "run-once", "status --all", "verify"
    )
    assert [ran.code for ran in (begun, submitted, verified)] == [0, 0, 0], (begun, submitted, verified)
    assert {line["code"] for line in json.loads(checked.out)["lines"] if line["verdict"] == "PROBLEM"} <= {"DP-301"}
    assert driven.code == 0, driven.err
    assert "done, seen by us (newsletter)" in shown.out


def test_status_says_what_processors_are_called_and_loads_no_client_of_theirs(folder: Path) -> None:
    begun, submitted = dpsync(folder, "init", f"submit erasure --email {ADA} --by Dora")
    assert (begun.code, submitted.code) == (0, 0), (begun, submitted)
    status = "import sys; from dpsync.__main__ import main; main(['--config', 'dpsync.toml', 'status'])"
    loaded = "print(sorted({'mailchimp_marketing', 'requests'} & set(sys.modules)))"
    argv = [sys.executable, "-c", f"{status}; {loaded}"]
    ran = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=300, check=True)
    assert "newsletter" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "[]"


def test_the_service_starts_and_ends_without_any_extra(folder: Path) -> None:
    assert dpsync(folder, "init")[0].code == 0
    serve = f"import sys; sys.modules.update(dict.fromkeys({BROUGHT!r})); from dpsync.__main__ import main; main()"
    argv = [sys.executable, "-c", serve, "--config", str(folder / "dpsync.toml"), "serve"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as service:
        assert service.stderr is not None
        assert any('"ready"' in line for line in service.stderr)
        service.send_signal(signal.SIGTERM)
        service.communicate(timeout=60)


def test_what_rehearses_says_which_package_it_needs(folder: Path) -> None:
    for name, ran in zip(("sandbox", "demo"), dpsync(folder, "sandbox", "demo"), strict=True):
        assert (ran.code, ran.out) == (78, "")
        assert f"DP-206: dpsync {name} needs the package aiosmtpd" in ran.err
        assert "pip install '.[sandbox]'" in ran.err


def test_a_database_at_postgresql_says_which_package_it_needs(folder: Path) -> None:
    assert dpsync(folder, "init")[0].code == 0  # without keys those would be missed first
    (folder / "database").write_text("postgresql://dp:secret@127.0.0.1/dp", encoding="utf-8")
    (folder / "database").chmod(0o600)
    with (folder / "dpsync.toml").open("a", encoding="utf-8") as settings:
        settings.write('\n[store]\nurl = { file = "database" }\n')
    begun, checked, verified = dpsync(folder, "init", "check --offline", "verify")
    assert [ran.code for ran in (begun, checked, verified)] == [78, 78, 78]
    for said in (begun.err, checked.err, verified.err):
        assert "DP-206" in said
        assert "a database at postgresql:// needs the package psycopg" in said
        assert "pip install '.[postgresql]'" in said
        assert "secret" not in said


def test_a_report_as_pdf_says_which_package_it_needs_and_the_others_need_none(folder: Path) -> None:
    _, checked, *refused, page = dpsync(
        folder,
        "init",
        "check --offline --json",
        *("report --format pdf", "report -o x.pdf", "register -o x.pdf", "report --trustees 2026 -o x.pdf"),
        "report -o x.html",
    )
    for ran in refused:
        assert (ran.code, ran.out) == (78, "")
        assert "DP-206: a report as PDF needs the package weasyprint" in ran.err
        assert "pip install '.[pdf]'" in ran.err
    assert [path.name for path in folder.glob("x.*")] == ["x.html"]
    assert page.code == 0
    assert "pdf" not in {line["what"] for line in json.loads(checked.out)["lines"]}


def test_a_url_for_alerts_says_which_package_it_needs_and_is_no_channel(folder: Path) -> None:
    (folder / "chat").write_text("json://127.0.0.1/hook", encoding="utf-8")
    (folder / "chat").chmod(0o600)
    with (folder / "dpsync.toml").open("a", encoding="utf-8") as settings:
        settings.write('\n[alerts]\nurls = [{ file = "chat" }]\n')
    _, checked = dpsync(folder, "init", "check --offline --json")
    told = {line["code"]: line["text"] for line in json.loads(checked.out)["lines"] if line["what"] == "alerts"}
    assert "alerts.urls[0]: needs the package apprise" in told["DP-302"]
    assert "pip install '.[apprise]'" in told["DP-302"]
    assert "if it fails, nobody notices" in told["DP-301"]
