"""`python -m bench.load PART`: a service under load, on SQLite, with sandbox and senders on the same cores.

steady    [--minutes 30]         webhooks at 80 % of what it takes while it drives: is its memory flat, how long is p99
waiting   [--propagations 100000] as many open, and nobody listens at the processors: memory, start, `status`, `report`
storm     [--erasures 50000]      signed erasures as fast as they go in: how many calls that cannot be undone came of it
idle      [--connections 3000]    connections that say nothing: does whoever says something get in
"""

import argparse
import resource
import socket
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import requests
from sqlalchemy import func, select

from bench import reporting
from bench.installation import ACCOUNTS, Box, installed, sandbox
from bench.receiving import free_port, load, serving
from dpsync.installation import Installation
from dpsync.store import tables as t

BRAKE = 50
FILES = 1024
"""What a service may have open where nobody raised it: Debian's default."""


def steady(minutes: float) -> None:
    """80 % of what it takes for a quarter of a minute, for so many minutes."""
    port = free_port()
    with (
        sandbox(1_000, 20) as box,
        installed(None, box, port) as (config, there),
        serving(config, there.environ, port) as served,
    ):
        burst = load(port, 5_000)
        rate = 0.8 * burst.requests / burst.seconds
        print(f"takes {rate / 0.8:,.0f} a second while it drives; sent from here on: {rate:,.0f} a second")
        sent, slice_seconds, ends = burst.requests, 30, time.monotonic() + minutes * 60
        while time.monotonic() < ends:
            count = int(rate * slice_seconds)
            part = load(port, count, first=sent, per_second=rate)
            sent += count
            print(
                f"{sent:>9,} sent, {part.refused} refused; p50 {part.p50_ms:.0f} ms, p99 {part.p99_ms:.0f} ms;"
                f" {served.resident_mb:.0f} MB; {_done(there):,} propagations at their end",
                flush=True,
            )


def _done(there: Installation) -> int:
    asked = select(func.count()).where(t.propagation.c.done_at.is_not(None))
    return there.read(lambda connection: connection.execute(asked).scalar_one())


def waiting(propagations: int) -> None:
    """Filled with the processors away; then a service for two minutes, and the commands beside it."""
    with tempfile.TemporaryDirectory(prefix="dpsync-bench-") as name:
        folder = Path(name)
        each = reporting.PROCESSORS
        with (
            reporting.filled(folder, -(-propagations // each), pending=True, port=(port := free_port())) as environ,
            serving(folder / "dpsync.toml", environ, port) as served,
        ):
            print(f"ready after {served.ready_seconds:.2f} s")
            for minute in range(3):
                print(f"{served.resident_mb:.0f} MB after {minute} minutes", flush=True)
                time.sleep(60 if minute < 2 else 0)
            month = f"{datetime.now(UTC):%Y-%m}"
            for words in (("status",), ("report", "--month", month), ("report", "--month", month), ("status",)):
                print(reporting.cost(folder, environ, *words), flush=True)
            print(f"{served.resident_mb:.0f} MB at the end")


def storm(erasures: int) -> None:
    """Each erasure is of another person, whom one account of the four holds."""
    port = free_port()
    with sandbox(erasures // ACCOUNTS + 1, 0) as box, installed(None, box, port, brake=BRAKE) as (config, there):
        with serving(config, there.environ, port):
            part = load(port, erasures, right="erasure")
            print(f"{part.requests:,} in {part.seconds:.0f} s, {part.refused} refused", flush=True)
            _come_to_rest(box)
        counted = requests.get(f"{box.control}/counters", timeout=60).json()
        print(f"a brake of {BRAKE} an account; deleted for ever: {counted['effects_by_account']}")
        for what, column in (("propagations", t.propagation.c.state), ("alerts", t.alert.c.cause)):
            asked = select(column, func.count()).group_by(column)
            found = there.read(partial(lambda asked, connection: connection.execute(asked).all(), asked))
            print(f"{what}: " + ", ".join(f"{count:,} {name}" for name, count in found))


def _come_to_rest(box: Box) -> None:
    """Wait until no call was made for half a minute."""
    before = -1
    while before != (before := requests.get(f"{box.control}/counters", timeout=60).json()["calls_total"]):
        time.sleep(30)


def idle(connections: int) -> None:
    """They are open, and those that have to give way are closed, while webhooks go in."""
    port = free_port()
    with installed(None, None, port) as (config, there), serving(config, there.environ, port) as served:
        resource.prlimit(served.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        alone = load(port, 500)
        with ExitStack() as open_ones:
            for _ in range(connections):
                open_ones.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            beside = load(port, 500, first=500)
        for when, part in (("alone", alone), (f"beside {connections:,} that say nothing", beside)):
            print(
                f"{when}: {part.refused} of {part.requests} refused; p50 {part.p50_ms:.0f} ms, p99 {part.p99_ms:.0f} ms"
            )


PARTS = {
    "steady": (steady, "--minutes", 30.0),
    "waiting": (waiting, "--propagations", 100_000),
    "storm": (storm, "--erasures", 50_000),
    "idle": (idle, "--connections", 3_000),
}


def main() -> None:
    """Measure one part."""
    parser = argparse.ArgumentParser(prog="bench.load", description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    for name, (work, option, usual) in PARTS.items():
        one = parts.add_parser(name, help=work.__doc__)
        one.add_argument(option, dest="size", type=type(usual), default=usual)
    given = parser.parse_args()
    PARTS[given.part][0](given.size)


if __name__ == "__main__":
    main()
