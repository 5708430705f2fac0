"""`dpsync receive` and `dpsync work`, the halves of `serve`, each a process of its own."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from dpsync.__main__ import main
from dpsync.errors import Exit
from dpsync.settings import load
from dpsync.signature import signed_headers
from dpsync.store import tables as t
from dpsync.store.database import reading
from tests.databases import closing
from tests.journeys.test_service_commands import INIT, free_port
from tests.waiting import until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "house"
    assert main([*INIT, "--rehearsal", "--processor", "forms=notice", "--mode", "live", str(path)]) == 0
    return path


@contextmanager
def running(folder: Path, duty: str) -> Iterator[dict[str, Any]]:
    """Gives what it says once it is ready; told to stop, it stops in order."""
    command = [sys.executable, "-m", "dpsync", "--config", str(folder / "dpsync.toml"), duty]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if '"ready"' in line)
        try:
            yield json.loads(said)
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
            assert process.wait(60) == 0


def answer(url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(url, body or None, headers or {})  # noqa: S310 - because it is our own, on loopback
    with urllib.request.urlopen(request, timeout=60) as got:  # noqa: S310 - because it is our own, on loopback
        return dict(json.load(got))


def asked(folder: Path, url: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    secret = load(folder / "dpsync.toml", {}).intake.secrets[0].get_secret_value()
    data = {"right": "opt_out", "subject": {"id": "crm-1", "email": "ada@example.org"}}
    body = json.dumps({"type": "data_subject.request", "timestamp": now.isoformat(), "data": data}).encode()
    headers = {**signed_headers(secret, "evt-1", now, body), "content-type": "application/json"}
    return answer(f"{url}/requests", body, headers)


def through(engine: Engine) -> bool:
    """Every timed job ran, and a worker lives."""
    with reading(engine) as connection:
        waiting = select(func.count()).where(t.job.c.last_ok_at.is_(None))
        workers = select(func.count()).select_from(t.worker)
        return connection.execute(waiting).scalar_one() == 0 < connection.execute(workers).scalar_one()


def test_one_process_receives_and_another_one_works(folder: Path) -> None:
    config = folder / "dpsync.toml"
    config.write_text(config.read_text(encoding="utf-8").replace("8460", str(free_port())), encoding="utf-8")
    with ExitStack() as stack:
        receiver = stack.enter_context(running(folder, "receive"))
        engine = stack.enter_context(closing(load(config, {}).store.url))
        assert answer(f"{receiver['url']}/readyz") | {"entries": 0} == {
            "status": "ready",
            "ledger": "example.org/dpsync/REHEARSAL",
            "worker": "elsewhere",
            "timed": "elsewhere",
            "disks": "written",
            "entries": 0,
        }
        assert asked(folder, receiver["url"])["status"] == "held", "its contact has not confirmed itself"
        assert not through(engine)
        worker = stack.enter_context(running(folder, "work"))
        assert "url" not in worker
        until(lambda: through(engine))
        assert main(["-q", "--config", str(config), "work"]) == Exit.LATER, "on SQLite one process works"
