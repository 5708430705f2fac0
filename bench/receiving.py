"""The receiver under load: 32 connections, each sending signed webhooks one by one to a real `dpsync serve`."""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from bench.installation import SECRET
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


def message(number: int) -> bytes:
    """One complete HTTP request with a signed opt-out of an invented person."""
    now = datetime.now(UTC)
    data = {
        "right": "opt_out",
        "received_at": now.isoformat(),
        "subject": {"id": f"crm-{number}", "email": f"l{number}@example.org"},
    }
    body = json.dumps({"type": "data_subject.request", "timestamp": now.isoformat(), "data": data}).encode()
    headers = {"host": "bench", "content-type": "application/json", "content-length": str(len(body))}
    headers |= signed_headers(SECRET, f"load-{number}", now, body)
    head = "POST /requests HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode() + b"\r\n" + body


async def _sender(port: int, messages: list[bytes], times: list[float], refused: list[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while messages:
        one = messages.pop()
        begun = time.perf_counter()
        writer.write(one)
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"content-length: (\d+)", head)
        await reader.readexactly(int(found.group(1)) if found else 0)
        times.append(time.perf_counter() - begun)
        if not head.startswith(b"HTTP/1.1 202"):
            refused.append(1)
    writer.close()
    await writer.wait_closed()


def load(port: int, count: int) -> Load:
    """Send `count` signed webhooks over 32 connections from this process."""
    messages = [message(number) for number in range(count)]
    times: list[float] = []
    refused: list[int] = []

    async def run() -> float:
        begun = time.perf_counter()
        await asyncio.gather(*[_sender(port, messages, times, refused) for _ in range(CONNECTIONS)])
        return time.perf_counter() - begun

    seconds = asyncio.run(run())
    times.sort()
    return Load(count, seconds, times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000, len(refused))


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
