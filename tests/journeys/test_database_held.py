"""A database that somebody else holds for minutes: whoever waits says so, gives up in time, and stores nothing."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import HTTPError

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool
from standardwebhooks.webhooks import Webhook

from dpsync.__main__ import main
from dpsync.errors import StoreHeld
from dpsync.store import tables as t
from dpsync.store.database import open_database, reading, writing
from dpsync.store.patience import LONGEST_WAIT, Patience
from tests.databases import new_database
from tests.journeys.test_store_away import CONFIG, LONG, listening_as_systemd
from tests.standins.door import free_port

pytestmark = pytest.mark.begins_early

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOLDING = """\
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
connection.execute(sys.argv[3])
print("held", flush=True)
sys.stdin.readline()
"""
SUBMIT = ("submit", "opt_out", "--email", "ada@example.org")


@pytest.fixture
def url(database_url: str, tmp_path: Path) -> Iterator[str]:
    with new_database(database_url, tmp_path) as engine:
        yield engine.url.render_as_string(hide_password=False)


@pytest.fixture
def config(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.setenv("DPSYNC_TEST_DATABASE", url)
    monkeypatch.setenv("DPSYNC_TEST_SECRET", SECRET)
    path = tmp_path / "dpsync.toml"
    path.write_text(CONFIG.format(port=free_port()), encoding="utf-8")
    assert main(["--config", str(path), "init"]) == 0
    capsys.readouterr()
    return path


@contextmanager
def held_file(url: str, how: str = "BEGIN IMMEDIATE", before: str = "SELECT 1") -> Iterator[str]:
    """A SQLite file, held by another process; gives how that one is named."""
    command = [sys.executable, "-c", HOLDING, str(make_url(url).database), before, how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield f"process {process.pid}"
        process.communicate("\n")


@contextmanager
def held_table(url: str) -> Iterator[str]:
    """The table of requests on PostgreSQL, locked in another session; gives how that one is named."""
    engine = create_engine(url, poolclass=NullPool, connect_args={"application_name": "a back-up"})
    with engine.connect() as connection:
        connection.execute(text("LOCK TABLE request IN ACCESS EXCLUSIVE MODE"))
        yield f"a back-up, session {connection.execute(text('SELECT pg_backend_pid()')).scalar_one()}"


def held(url: str) -> AbstractContextManager[str]:
    return held_file(url) if url.startswith("sqlite") else held_table(url)


def count_of(url: str) -> int:
    engine = open_database(url)
    with reading(engine) as connection:
        found = len(connection.execute(select(t.request.c.id)).all())
    engine.dispose()
    return found


def run(config: Path, *argv: str) -> tuple[int, str]:
    """A command in a process of its own, as a stranger runs it; its exit code, and what it said on stderr."""
    command = [sys.executable, "-m", "dpsync", "--config", str(config), *argv]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONG)
    return ran.returncode, ran.stderr


def test_a_command_says_who_holds_the_database_waits_for_a_while_and_stores_nothing(url: str, config: Path) -> None:
    began = time.monotonic()
    with held(url) as holder:
        code, said = run(config, *SUBMIT)
    assert code == 75
    assert time.monotonic() - began > LONGEST_WAIT, "a moment's lock is waited for"
    told, refused, *_ = said.splitlines()
    assert "in use by" in told
    assert holder in told
    assert "waiting" in told
    assert refused.startswith("DP-103")
    assert "nothing" in refused
    assert "stored" in refused
    assert count_of(url) == 0
    assert run(config, *SUBMIT)[0] == 0


def test_a_database_that_is_free_again_is_gone_on_with(url: str, config: Path) -> None:
    command = [sys.executable, "-m", "dpsync", "--config", str(config), *SUBMIT]
    with held(url):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert "in use by" in process.stderr.readline()
    process.communicate(timeout=LONG)
    assert process.returncode == 0
    assert count_of(url) == 1


@pytest.mark.parametrize("writes", [True, False], ids=["writing", "reading"])
@pytest.mark.parametrize("before", ["PRAGMA locking_mode = EXCLUSIVE", "SELECT 1"])
def test_every_transaction_on_a_file_waits_for_the_same_time(
    writes: bool, before: str, sqlite_template: Path, tmp_path: Path
) -> None:
    path = tmp_path / "dpsync.db"
    path.write_bytes(sqlite_template.read_bytes())
    url = f"sqlite:///{path}"
    engine = open_database(url, patience=Patience(longest=0.3))
    held_whole = before != "SELECT 1"
    with held_file(url, "BEGIN EXCLUSIVE", before):
        expected = pytest.raises(StoreHeld) if writes or held_whole else nullcontext()
        with expected, (writing if writes else reading)(engine) as connection:
            connection.execute(select(t.request.c.id)).all()
    engine.dispose()


@contextmanager
def serving(config: Path, folder: Path) -> Iterator[tuple[Callable[[str], None], subprocess.Popen[str]]]:
    """A `serve` under a systemd that listens; gives a wait for a word of it, and the process."""
    with listening_as_systemd(folder) as (path, told):
        environ = {**os.environ, "NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000"}
        command = [sys.executable, "-m", "dpsync", "--config", str(config), "serve"]
        process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
        said: list[str] = []
        assert process.stderr is not None
        reader = threading.Thread(target=lambda: said.extend(process.stderr or ()))
        reader.start()
        try:
            yield told, process
        finally:
            process.kill()
            process.wait()
            reader.join()
            process.stderr.close()


def webhook(config: Path, number: int) -> tuple[int, str]:
    """A signed request to the receiver; the status of its answer, and what it says of a later time."""
    port = int(config.read_text().rsplit(":", 1)[1].strip().rstrip('"'))
    now = datetime.now(UTC)
    body = json.dumps(
        {"type": "data_subject.request", "data": {"right": "opt_out", "subject": {"email": f"p{number}@example.org"}}}
    )
    signed = Webhook(SECRET).sign(f"evt-{number}", now, body)
    headers = {
        "webhook-id": f"evt-{number}",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signed,
        "content-type": "application/json",
    }
    request = urllib.request.Request(f"http://127.0.0.1:{port}/requests", body.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=LONG) as answer:  # noqa: S310 - because it is loopback
            return answer.status, ""
    except HTTPError as refused:
        refused.close()
        return refused.code, str(refused.headers.get("retry-after", ""))


def test_a_receiver_answers_503_in_time_while_somebody_holds_the_database_and_goes_on_afterwards(
    url: str, config: Path, tmp_path: Path
) -> None:
    with serving(config, tmp_path) as (told, process):
        told("READY=1")
        assert webhook(config, 1)[0] == 202
        with held(url):
            began = time.monotonic()
            status, later = webhook(config, 2)
            assert (status, later.isdigit()) == (503, True)
            assert time.monotonic() - began < 2 * LONGEST_WAIT
            told("STATUS=waiting: the database is in use by")
        told("STATUS=ready")
        assert webhook(config, 2)[0] == 202
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG) == 0
    assert count_of(url) == 2


def test_serve_waits_for_a_database_that_is_held_at_its_start_and_tells_systemd(
    url: str, config: Path, tmp_path: Path
) -> None:
    with held(url) as holder, serving(config, tmp_path) as (told, process):
        told("STATUS=waiting: the database is in use by")
        told("STATUS=waiting")
        assert holder
        assert process.poll() is None
