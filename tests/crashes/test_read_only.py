"""A disk that can only be read, in the middle of a run: it is said, nothing acknowledged is lost, and it goes on."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from dpsync.__main__ import main
from dpsync.installation import Installation
from dpsync.signature import signed_headers
from tests.databases import new_database
from tests.disks import read_only
from tests.journeys.test_store_away import listening_as_systemd
from tests.standins.door import free_port
from tests.waiting import LONG, until

CONFIG = """\
[controller]
name = "Example Gardens"
dpo = "dpo@example.org"
operator = "it@example.org"

[store]
url = {{ env = "DPSYNC_TEST_DATABASE" }}

[ledger]
origin = "example.org/dpsync"

[intake]
secrets = [{{ env = "DPSYNC_TEST_SECRET" }}]
listen = "127.0.0.1:{port}"
"""
SECRET = "whsec_" + base64.b64encode(b"disks" * 6).decode()


@pytest.fixture
def place(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "dpsync"
    folder.mkdir()
    with new_database(database_url, folder) as engine:
        monkeypatch.setenv("DPSYNC_TEST_DATABASE", engine.url.render_as_string(hide_password=False))
        monkeypatch.setenv("DPSYNC_TEST_SECRET", SECRET)
        (folder / "dpsync.toml").write_text(CONFIG.format(port=free_port()))
        assert main(["--config", str(folder / "dpsync.toml"), "init"]) == 0
        yield folder


class Serving:
    """A `serve`, as whoever sends, watches or runs it sees it."""

    def __init__(self, config: Path, told: Callable[[str], None]) -> None:
        with Installation(config, os.environ) as service:
            self._url = f"http://{service.settings.intake.listen}"
        self.told = told
        self._sent = 0
        self.accepted: list[str] = []

    def ready(self) -> dict[str, object]:
        with suppress(requests.ConnectionError):
            answer = requests.get(f"{self._url}/readyz", timeout=LONG)
            said: dict[str, object] = answer.json()
            assert (answer.status_code == 200) == (said.get("status") == "ready")
            return said
        return {}

    def send(self) -> int:
        self._sent += 1
        event = f"evt-{self._sent}"
        subject = {"id": f"crm-{self._sent}", "email": f"p{self._sent}@example.org"}
        body = json.dumps({"type": "data_subject.request", "data": {"right": "opt_out", "subject": subject}}).encode()
        headers = signed_headers(SECRET, event, datetime.now(UTC), body)
        status = requests.post(f"{self._url}/requests", data=body, headers=headers, timeout=LONG).status_code
        self.accepted += [event] if status == 202 else []
        return status


@contextmanager
def serving(config: Path, log: Path, notify: Path) -> Iterator[Serving]:
    notify.mkdir()
    with listening_as_systemd(notify) as (path, told), log.open("wb") as said:
        environ = {**os.environ, "NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000"}
        command = [sys.executable, "-m", "dpsync", "--config", str(config), "serve"]
        process = subprocess.Popen(command, env=environ, stdout=said, stderr=said)
        try:
            told("READY=1")
            yield Serving(config, told)
            process.send_signal(signal.SIGTERM)
            assert process.wait(LONG) == 0
        finally:
            process.kill()
            process.wait()


def test_serve_says_it_takes_nothing_meanwhile_and_goes_on_by_itself(place: Path, tmp_path: Path) -> None:
    config, log = place / "dpsync.toml", tmp_path / "log"
    with serving(config, log, tmp_path / "notify") as served:
        assert served.send() == 202
        for name, answer in (("anchors", 503), ("receipts", 202), ("keys", 202), (".", 503)):
            folder = place / name
            with read_only(folder):
                until(lambda: served.ready().get("disks") == "cannot be written")
                served.told(f"STATUS=waiting: {folder}")
                assert served.send() == answer, folder
            until(lambda: served.ready().get("status") == "ready")
            served.told("STATUS=ready")
            assert served.send() == 202, folder
    told = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    whole = "proof, keys" + (", database" if (place / "new.db").exists() else "")
    for event in ("cannot write", "can write again"):
        assert [one["reason"] for one in told if one["event"] == event] == ["proof", "proof", "keys", whole]
    assert main(["--config", str(config), "verify"]) == 0
    with Installation(config, os.environ) as service:
        kept = {one.event_id for one in service.custody.journal.read().accepted}
    assert len(served.accepted) == 7
    assert set(served.accepted) <= kept


WORDS = {
    "submit": ("submit", "opt_out", "--email", "q@example.org", "--id", "crm-q"),
    "check": ("check", "--offline"),
    "run-once": ("run-once",),
    "verify": ("verify",),
    "report": ("report", "-o"),
}
FREE = (0, "")
SAID = {
    "sqlite": dict.fromkeys(WORDS, (78, "DP-203")),
    "postgresql": {"submit": (78, "DP-604"), "check": (78, "DP-604"), "run-once": (78, "DP-202"), "verify": FREE},
    "anchors": {"submit": (78, "DP-604"), "check": (78, "DP-604"), "run-once": (78, "DP-604"), "verify": FREE},
    "receipts": {"submit": FREE, "check": (78, "DP-604"), "run-once": (78, "DP-604"), "verify": FREE},
    "keys": {"submit": FREE, "check": (78, "DP-202"), "run-once": (78, "DP-202"), "verify": FREE},
}
"""Who only reads goes on; of a report it is `-o` that is wrong, unless even the database cannot be opened."""


def test_each_command_says_which_place_can_only_be_read(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(place / "dpsync.toml"), *WORDS["submit"]]) == 0  # it has the key of the month
    engine = os.environ["DPSYNC_TEST_DATABASE"].split(":")[0].split("+")[0]
    for key, folder in {engine: place, **{name: place / name for name in ("anchors", "receipts", "keys")}}.items():
        expected = {"report": (64, "DP-105"), **SAID[key]}
        with read_only(folder):
            for name, words in WORDS.items():
                more = (str(folder / "report.html"),) if name == "report" else ()
                ended = main(["--config", str(place / "dpsync.toml"), *words, *more])
                said, (code, kind) = "".join(capfd.readouterr()), expected[name]
                assert (ended, kind in said, "DP-100" in said) == (code, True, False), (key, name, ended, said)
                told = re.findall(r"(\S+) can only be read: .*?`mount -o remount,rw,bind (\S+)`", said)
                assert {where for _, where in told} == ({str(folder)} if kind not in {"", "DP-105"} else set()), said
    assert main(["--config", str(place / "dpsync.toml"), "verify"]) == 0
