"""Measures what is promised and writes bench/RESULTS.md. `python -m bench [--quick] [--rounds N]`."""

import os
import platform
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import insert

from bench import at_size, driving, receiving
from bench.installation import ACCOUNTS, installed, sandbox
from bench.postgresql import Server, postgresql
from dpsync.installation import Installation
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.soundness import verify_ledger
from dpsync.store import tables as t
from dpsync.store.writer import Unit

LATENCY_MS = 50.0
RESULTS = Path(__file__).with_name("RESULTS.md")
Row = tuple[str, str, str]


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def drive(server: Server, people: int, rounds: int) -> list[Row]:
    """Floor, SQLite and PostgreSQL in turn, so that what else the machine does falls on all of them."""
    with sandbox(people + 2, LATENCY_MS) as box:
        each = driving.calls_of_one_erasure(box)
    found: dict[str, list[driving.Run]] = {"floor": [], "SQLite": [], "PostgreSQL": []}
    for number in range(rounds):
        for name, runs in found.items():
            say(f"driving, round {number + 1} of {rounds}: {name}")
            with sandbox(people, LATENCY_MS) as box:
                if name == "floor":
                    run = driving.floor(box, people, each)
                else:
                    run = driving.dpsync(name, None if name == "SQLite" else server.fresh(), box, people)
            runs.append(run)
            say(f"  {run.seconds:.1f} s, {run.cpu_ms:.1f} ms CPU an erasure")
    ideal = people * len(each) * LATENCY_MS / 1000 / driving.AT_ONCE
    rows: list[Row] = []
    for name, runs in found.items():
        seconds = statistics.median(run.seconds for run in runs)
        # Each beside the floor of its own round: what else the machine did then weighed on both.
        ratios = [run.seconds / floor.seconds for run, floor in zip(runs, found["floor"], strict=True)]
        remark = f"{statistics.median(run.cpu_ms for run in runs):.1f} ms CPU an erasure"
        if name != "floor":
            remark += f", {statistics.median(run.statements for run in runs):.1f} statements"
            remark += f"; rounds {min(ratios):.2f} to {max(ratios):.2f}" if rounds > 1 else ""
        what = f"{ACCOUNTS} x {people:,} erasures, {len(each)} calls each, 10 at once an account: {name}"
        rows.append((what, f"{seconds:.1f} s, {statistics.median(ratios):.2f} x the floor", remark))
    rows.append(("the same, ideal", f"{ideal:.1f} s", "latency alone"))
    return rows


def receive(name: str, url: str | None, count: int) -> list[Row]:
    """Start, load, rest: one `dpsync serve` a database. Its processors are stopped, so that only receiving is seen."""
    say(f"receiving: {name}")
    port = receiving.free_port()
    with installed(url, None, port) as (config, there):
        accounts = sorted({one.account for one in there.controller.processors.values()})
        there.write(
            lambda unit: unit.connection.execute(
                insert(t.account), [{"id": account, "stopped": "person"} for account in accounts]
            )
        )
        with receiving.serving(config, there.environ, port) as served:
            time.sleep(1)
            idle = served.resident_mb
            load = receiving.load(port, count)
            time.sleep(1)
            pending = served.resident_mb
        note = "" if not load.refused else f", {load.refused} REFUSED"
        return [
            (f"start to ready: {name}", f"{served.ready_seconds:.2f} s", "process start to /readyz 200"),
            (
                f"receiver, {receiving.CONNECTIONS} connections, 4 processors a request: {name}",
                f"{load.requests / load.seconds:,.0f} requests/s{note}",
                f"p50 {load.p50_ms:.0f} ms, p99 {load.p99_ms:.0f} ms; sender on the same cores",
            ),
            (f"resident, idle: {name}", f"{idle:.0f} MB", ""),
            (f"resident, {4 * count:,} propagations pending: {name}", f"{pending:.0f} MB", ""),
        ]


def verify(count: int) -> list[Row]:
    """Verify a ledger of `count` entries in full."""
    say("verifying")
    with installed(None, None) as (_, there):
        _fill(there, count)
        started = time.monotonic()
        found = verify_ledger(there, full=True)
        seconds = time.monotonic() - started
        if found.problems:
            raise SystemExit(found.problems[0])
    return [("ledger verified in full", f"{seconds / found.entries * 100_000:.1f} s per 100,000 entries", "SQLite")]


def _fill(there: Installation, count: int) -> None:
    now = datetime.now(UTC)

    def work(unit: Unit) -> None:
        for number in range(1000):
            unit.append(None, entry.encode(EntryKind.ALERT, now, dest="p0", cause="bench", n=number))

    for _ in range(count // 1000):
        there.write(work)


def main() -> None:
    quick = "--quick" in sys.argv
    people, rounds, webhooks, entries = (100, 1, 500, 10_000) if quick else (1000, 3, 2500, 100_000)
    if "--rounds" in sys.argv:
        rounds = int(sys.argv[sys.argv.index("--rounds") + 1])
    packages, megabytes = receiving.installed_size()
    busy = os.getloadavg()[0]
    with postgresql() as server:
        rows = [
            *drive(server, people, rounds),
            *receive("SQLite", None, webhooks),
            *receive("PostgreSQL", server.fresh(), webhooks),
            *verify(entries),
            *at_size.rows(entries * 10),
            ("installed for use", f"{packages} packages, {megabytes:.0f} MB", "without bytecode, with dependencies"),
        ]
    lines = [
        "# Measured",
        "",
        (
            f"`make bench` on {datetime.now(UTC):%Y-%m-%d}: {receiving.cores()} cores, "
            f"Python {platform.python_version()}, "
            f"{platform.system()}; sandbox, database and sender on the same cores, fsync on, the brake's limit raised; "
            f"load {busy:.1f} from other work before it began."
        ),
        (
            "Floor: threads and pooled `requests` making the same calls to the same sandbox, which answers after "
            f"{LATENCY_MS:.0f} ms; floor and dpsync in turn, the median of {rounds} round{'s' if rounds > 1 else ''}."
        ),
        "",
        "| what | measured | remark |",
        "| --- | --- | --- |",
        *[f"| {what} | {figure} | {remark} |" for what, figure, remark in rows],
        "",
    ]
    sys.stdout.write("\n".join(lines))
    if not quick:
        RESULTS.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
