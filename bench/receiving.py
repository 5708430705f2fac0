"""The receiver under load: 32 connections, each sending signed webhooks one by one to a real `dpsync serve`."""

import asyncio
import itertools
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from bench.installation import ACCOUNTS, SECRET, address
from dpsync.signature import signed_headers

CONNECTIONS = 32
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Load:
    """What the senders saw."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int


@dataclass(frozen=True, slots=True)
class Served:
    """A running `dpsync serve`."""

    port: int
    pid: int
    ready_seconds: float

    @property
    def resident_mb(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found.group(1)) / 1024 if found else 0.0


@contextmanager
def serving(config: Path, environ: Mapping[str, str], port: int) -> Iterator[Served]:
    """`dpsync serve` in a process of its own, from its start until /readyz says ready."""
    started = time.monotonic()
    command = [sys.executable, "-m", "dpsync", "--config", str(config), "serve"]
    process = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        while not _ready(port):
            if process.poll() is not None or time.monotonic() - started > 30:
                raise SystemExit("`dpsync serve` did not become ready")
            time.sleep(0.01)
        yield Served(port, process.pid, time.monotonic() - started)
    finally:
        process.terminate()
        process.wait(timeout=40)


def _ready(port: int) -> bool:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def message(number: int, right: str = "opt_out") -> bytes:
    """One complete HTTP request with a signed opt-out, or another right, of a person whom one account may hold."""
    now = datetime.now(UTC)
    data = {
        "right": right,
        "received_at": now.isoformat(),
        "subject": {"id": f"crm-{number}", "email": address(number % ACCOUNTS, number // ACCOUNTS)},
    }
    body = json.dumps({"type": "data_subject.request", "timestamp": now.isoformat(), "data": data}).encode()
    headers = {"host": "bench", "content-type": "application/json", "content-length": str(len(body))}
    headers |= signed_headers(SECRET, f"load-{number}", now, body)
    head = "POST /requests HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode() + b"\r\n" + body


@dataclass(slots=True)
class _Senders:
    """Those who share one row of messages, and what they saw."""

    port: int
    messages: Iterator[bytes]
    times: list[float] = field(default_factory=list)
    refused: int = 0

    async def send(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Send one after the other over one connection, each when `wait` lets it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for one in self.messages:
            await wait()
            begun = time.perf_counter()
            writer.write(one)
            head = await reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"content-length: (\d+)", head)
            await reader.readexactly(int(found.group(1)) if found else 0)
            self.times.append(time.perf_counter() - begun)
            self.refused += not head.startswith(b"HTTP/1.1 202")
        writer.close()
        await writer.wait_closed()


def load(port: int, count: int, *, first: int = 0, right: str = "opt_out", per_second: float = math.inf) -> Load:
    """Send `count` signed webhooks over 32 connections from this process, at most so many a second."""
    # Made one by one: a signature is good for five minutes, and this may take longer.
    senders = _Senders(port, (message(number, right) for number in range(first, first + count)))
    began, turn = time.perf_counter(), itertools.count()

    async def wait() -> None:
        early = began + next(turn) / per_second - time.perf_counter()
        if early > 0:
            await asyncio.sleep(early)

    async def run() -> None:
        await asyncio.gather(*[senders.send(wait) for _ in range(CONNECTIONS)])

    asyncio.run(run())
    seconds, times = time.perf_counter() - began, sorted(senders.times)
    p50, p99 = (times[int(len(times) * share)] * 1000 for share in (0.5, 0.99))
    return Load(count, seconds, p50, p99, senders.refused)


def installed_size() -> tuple[int, float]:
    """Packages besides dpsync, and megabytes with it but without bytecode, after `pip install .` into a bare venv.

    What it installs is not looked for here, where mypy and pytest lie beside it: it is installed once more.
    """
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare"
        venv.create(bare, with_pip=False)
        python = bare / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-compile"]
        uv = ["uv", "pip", "install", "--python", str(python)]
        subprocess.run([*(pip if find_spec("pip") else uv), "--quiet", str(ROOT)], check=True)
        (packages,) = bare.glob("lib/python3*/site-packages")
        size = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file() and path.suffix != ".pyc")
        return len(list(packages.glob("*.dist-info"))) - 1, size / 1e6


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def cores() -> int:
    return os.cpu_count() or 1
