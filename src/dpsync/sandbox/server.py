"""Starts a sandbox: in a thread for tests, or as a process for a rehearsal.

For tests: `with running_sandbox() as sandbox`. For a rehearsal: `python -m dpsync.sandbox`, which prints its addresses
as one JSON line once it answers, and stops on SIGTERM or SIGINT.
"""

import argparse
import asyncio
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from dpsync.sandbox.box import HOST, KEY, Addresses, Sandbox
from dpsync.sandbox.mailbox import DEMO
from dpsync.sandbox.running import RunningSandbox
from dpsync.sandbox.scenario import Scenario

__all__ = ["Addresses", "RunningSandbox", "main", "running_sandbox", "serve"]


def _system_time() -> datetime:
    return datetime.now(UTC)


@contextmanager
def running_sandbox(
    api_keys: Sequence[str] | Mapping[str, str] = (KEY,),
    *,
    now: Callable[[], datetime] = _system_time,
    latency_ms: float = 0.0,
    scenario: Scenario | Mapping[str, object] | None = None,
    http_port: int = 0,
    smtp_port: int = 0,
) -> Iterator[RunningSandbox]:
    """A sandbox in a thread of its own, stopped at the end of the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="sandbox", daemon=True)
    thread.start()

    async def start() -> tuple[Sandbox, Addresses]:
        sandbox = Sandbox(api_keys, now=now)
        _slow_down(sandbox, latency_ms)
        return sandbox, await sandbox.start(HOST, http_port, smtp_port)

    try:
        sandbox, addresses = asyncio.run_coroutine_threadsafe(start(), loop).result(60)
        try:
            running = RunningSandbox(sandbox, loop, addresses)
            if scenario is not None:
                running.seed(scenario)
            yield running
        finally:
            asyncio.run_coroutine_threadsafe(sandbox.stop(), loop).result(60)
    finally:
        asyncio.run_coroutine_threadsafe(_drain(loop), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


async def _drain(loop: asyncio.AbstractEventLoop) -> None:
    left = [task for task in asyncio.all_tasks(loop) if task is not asyncio.current_task()]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await loop.shutdown_default_executor()
    await asyncio.sleep(0)


async def serve(
    *,
    http_port: int,
    smtp_port: int,
    latency_ms: float = 0.0,
    scenario: Scenario | None = None,
    api_keys: Sequence[str] = (KEY,),
    ready: Callable[[Addresses], None],
    host: str = HOST,
) -> None:
    """Runs until SIGTERM or SIGINT; `ready` is told the addresses once both ports answer.

    Unless the scenario says otherwise, everybody in the mailbox confirms contacts and answers "done".
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sandbox = Sandbox(api_keys, now=_system_time)
    sandbox.mailbox.default = DEMO
    _slow_down(sandbox, latency_ms)
    if scenario is not None:
        sandbox.fill(scenario)
    addresses = await sandbox.start(host, http_port, smtp_port)
    ready(addresses)
    await _until(stop, sandbox)
    await sandbox.stop()


def _slow_down(sandbox: Sandbox, latency_ms: float) -> None:
    for vendor in sandbox.vendors:
        vendor.latency = latency_ms / 1000


async def _until(stop: asyncio.Event, sandbox: Sandbox) -> None:
    """Lets the vendors do what they owe, once a second, until the end."""
    while not stop.is_set():
        for vendor in sandbox.vendors:
            vendor.tick()
        try:
            await asyncio.wait_for(stop.wait(), 1)
        except TimeoutError:
            continue


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="dpsync sandbox", description="The vendors' APIs and a mailbox on loopback.")
    parser.add_argument("--http-port", type=int, default=0)
    parser.add_argument("--smtp-port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--scenario", type=Path)
    parser.add_argument("--api-key", action="append")
    given = parser.parse_args(argv)
    scenario = Scenario.model_validate_json(given.scenario.read_bytes()) if given.scenario else None
    asyncio.run(
        serve(
            http_port=given.http_port,
            smtp_port=given.smtp_port,
            latency_ms=given.latency_ms,
            scenario=scenario,
            api_keys=tuple(given.api_key or (KEY,)),
            ready=_announce,
        )
    )
    return 0


def _announce(addresses: Addresses) -> None:
    sys.stdout.write(json.dumps(asdict(addresses)) + "\n")
    sys.stdout.flush()
