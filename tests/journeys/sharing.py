"""Run as a program: one worker on a shared PostgreSQL, by the real clock, until its standard input closes.

The processor is an HTTP server of the test's: it outlives the worker, and counts who is there at once.
"""

import http.client
import json
import os
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dpsync.connector import Applied, AsAsked, CannotTell, Contradicts, Finding, Instruction, Outcome, Retryable
from dpsync.propagation.engine.membership import Lease
from dpsync.propagation.engine.worker import Worker
from dpsync.store.database import database_now, open_database
from tests.builders import TestConnector, TurnableClock, Vendor, World, proof

LEASE = timedelta(seconds=3)  # where a busy machine stands still for a second, the lease must not end
CALL = timedelta(seconds=1)
STEPS = 3
"""How many calls one instruction takes, as an erasure in many lists does."""


class MachineClock(TurnableClock):
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class FarConnector(TestConnector):
    """Begins no call after the instruction's deadline, as the contract demands."""

    def __init__(self, port: int) -> None:
        super().__init__(Vendor())
        self.port = port

    def _call(self, instruction: Instruction, what: str) -> str | None:
        if time.monotonic() >= instruction.deadline:
            return None
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            body = {"what": what, "right": instruction.right, "who": instruction.subject_id, "pid": os.getpid()}
            connection.request("POST", "/", json.dumps(body))
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def carry_out(self, instruction: Instruction) -> Outcome:
        for step in range(STEPS):
            if self._call(instruction, f"carry_out {step}") is None:
                return Retryable(reason="no call begins after the deadline", doubtful=step > 0)
        return Applied(evidence=proof())

    def verify(self, instruction: Instruction) -> Finding:
        answer = self._call(instruction, "verify")
        if answer is None:
            return CannotTell(reason="no call begins after the deadline", evidence=(), later=True)
        return AsAsked(evidence=proof()) if answer == "done" else Contradicts(reason="not yet", evidence=proof())


def main(url: str, folder: Path, port: int) -> None:
    world = World(open_database(url, paused_holder="1s"), folder)
    world.clock = MachineClock()
    world.use(world.processor("alpha", FarConnector(port)))
    worker = Worker(
        world.controller,
        world.engine,
        world.writer,
        world.clock,
        alone=False,
        terms=Lease(LEASE, CALL),
        shared_now=database_now,
    )
    worker.start()
    stop = threading.Event()
    running = threading.Thread(target=worker.run, args=(stop,))
    running.start()
    print(worker.id, flush=True)  # noqa: T201 - because the test reads who this is
    sys.stdin.read()
    stop.set()
    worker.wake()
    running.join()
    world.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
