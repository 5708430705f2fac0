"""Two worker processes on one PostgreSQL: stopped, woken and killed, they act as one, and end everything once."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dpsync.model import Right, State
from dpsync.propagation.rules.plan import Safety
from dpsync.store import tables as t
from dpsync.store.database import open_database
from tests.builders import World
from tests.faults.counting import Counted
from tests.invariants import faults
from tests.journeys.sharing import CALL, LEASE, STEPS
from tests.waiting import until

CAP = 4  # of the test's connector


@dataclass
class Processor:
    """The far end: who calls, when, how many at once. Calls wait while the gate is shut."""

    gate: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    calls: list[tuple[float, int, str, str, str]] = field(default_factory=list)
    running: dict[int, int] = field(default_factory=dict)
    peak: int = 0
    done: set[tuple[str, str]] = field(default_factory=set)

    def take(self, said: dict[str, str]) -> str:
        pid = int(said["pid"])
        with self.lock:
            self.running[pid] = self.running.get(pid, 0) + 1
            self.peak = max(self.peak, sum(self.running.values()))
            self.calls.append((time.monotonic(), pid, said["who"], said["right"], said["what"]))
        self.gate.wait(60)
        time.sleep(0.005)
        with self.lock:
            self.running[pid] -= 1
            if said["what"] == f"carry_out {STEPS - 1}":
                self.done.add((said["who"], said["right"]))
            return "done" if (said["who"], said["right"]) in self.done else "open"


@pytest.fixture
def processor() -> Iterator[tuple[Processor, int]]:
    made = Processor()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = made.take(said).encode()
            with suppress(OSError):  # whoever asked may be dead
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - because http.server names it so
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    yield made, server.server_port
    made.gate.set()
    server.shutdown()
    serving.join()
    server.server_close()


@dataclass
class Workers:
    """The installation and its worker processes."""

    world: World
    processor: Processor
    start: Callable[[], tuple["subprocess.Popen[str]", str]]

    def ask(self, people: int) -> None:
        for number in range(people):
            self.world.ask(Right.OPT_OUT, f"p{number}@example.org", id=f"p{number}")
            self.world.ask(Right.ERASURE, f"p{number}@example.org", id=f"p{number}")

    def owner(self) -> str | None:
        rows = self.world.rows(t.account)
        return rows[0].owner if rows else None

    def all_through(self) -> bool:
        return {row.state for row in self.world.rows(t.propagation)} == {State.VERIFIED}

    def order_was_kept(self) -> bool:
        """Nobody's erasure began before that person's opt-out was through."""
        begun: dict[str, float] = {}
        through: dict[str, float] = {}
        for at, _, who, right, what in self.processor.calls:
            if right == Right.ERASURE:
                begun.setdefault(who, at)
            elif what == f"carry_out {STEPS - 1}":
                through.setdefault(who, at)
        return all(through[who] < at for who, at in begun.items())


@pytest.fixture
def workers(
    database_url: str, postgresql_url: str, tmp_path: Path, processor: tuple[Processor, int]
) -> Iterator[Workers]:
    world = World(open_database(postgresql_url), tmp_path)
    world.clock._now = datetime.now(UTC)
    world.use(world.processor("alpha"), safety=Safety(irreversible_per_day=1000))
    processes: list[subprocess.Popen[str]] = []

    def start() -> tuple["subprocess.Popen[str]", str]:
        command = [sys.executable, "-m", "tests.journeys.sharing", postgresql_url, str(tmp_path), str(processor[1])]
        root = Path(__file__).parents[2]
        made = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(made)
        assert made.stdout is not None
        return made, made.stdout.readline().strip()

    yield Workers(world, processor[0], start)
    processor[0].gate.set()
    for process in processes:
        process.send_signal(signal.SIGCONT)
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
    world.close()
    world.engine.dispose()


pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.mark.begins_early
@pytest.mark.fault(19)
@pytest.mark.fault(46)
def test_a_stopped_owner_is_followed_after_its_last_call_and_begins_nothing_when_it_wakes(
    workers: Workers, counted: Counted
) -> None:
    far, world = workers.processor, workers.world
    workers.ask(10)
    (old, old_id), (new, new_id) = workers.start(), workers.start()
    until(lambda: far.running.get(old.pid) == CAP or far.running.get(new.pid) == CAP)
    if workers.owner() == new_id:
        old, old_id, new, new_id = new, new_id, old, old_id
    old.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    far.gate.set()  # its open calls are answered; it does not hear of it
    until(lambda: far.running[old.pid] == 0)
    until(lambda: workers.owner() == new_id)
    took = time.monotonic() - stopped
    beat = LEASE.total_seconds() / 3
    assert took >= (LEASE + CALL).total_seconds() - 2 * beat, "taken over while a call could still be open"
    old.send_signal(signal.SIGCONT)
    until(workers.all_through)
    assert [call for call in far.calls if call[1] == old.pid and call[0] > stopped] == []
    assert far.peak <= CAP
    counted(46, over_the_cap=max(0, far.peak - CAP))
    counted(19, double_sends=len([call for call in far.calls if call[1] == old.pid and call[0] > stopped]))
    assert workers.order_was_kept()
    until(lambda: faults(world) == [])


def test_a_killed_owner_leaves_nothing_behind(workers: Workers) -> None:
    far, world = workers.processor, workers.world
    workers.ask(10)
    first, _ = workers.start()
    until(lambda: far.running.get(first.pid) == CAP)
    second, _ = workers.start()
    first.kill()
    far.gate.set()
    until(workers.all_through)
    assert {call[1] for call in far.calls} == {first.pid, second.pid}
    assert far.peak <= CAP
    assert workers.order_was_kept()
    assert len(far.done) == 20
    assert faults(world) == []


def test_an_owner_that_stops_in_order_makes_nobody_wait_for_its_heartbeat(workers: Workers) -> None:
    far, world = workers.processor, workers.world
    far.gate.set()
    workers.ask(2)
    first, first_id = workers.start()
    until(workers.all_through)
    assert workers.owner() == first_id
    assert first.stdin is not None
    first.stdin.close()
    assert first.wait(60) == 0
    first.stdin = None
    assert workers.owner() is None
    assert world.rows(t.worker) == []
    assert faults(world) == []
