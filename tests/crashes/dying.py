"""Run as a program: lives of an installation on a SQLite file, each a fork that dies at a given step by SIGKILL.

The processor's truth lies in a JSON file of its own, as a real processor's would: it outlives us.
"""

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dpsync.connector import Finding, Instruction, Outcome
from dpsync.model import Right
from dpsync.store.database import open_database
from dpsync.store.writer import QueuedWrite, Writer
from tests.builders import TestConnector, Vendor, World
from tests.crashes.forking import serve_forks

PEOPLE = [f"p{number}@example.org" for number in range(3)]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingWriter(Writer):
    """Dies right after the n-th commit, before anybody has heard of it."""

    commits_left = -1

    def _commit(self, jobs: Sequence[QueuedWrite], *, beside: bool = False) -> list[Any]:
        results = super()._commit(jobs, beside=beside)
        self.commits_left -= 1
        if self.commits_left == 0:
            die()
        return results


class OutlivingVendor(TestConnector):
    """Keeps its people in a file, and dies with us before or after the effect of the n-th call."""

    def __init__(self, path: Path, step: str, nth: int) -> None:
        super().__init__(Vendor())
        self.path = path
        self.step = step
        self.left = nth
        self.vendor.people = json.loads(path.read_text()) if path.exists() else {}

    def carry_out(self, instruction: Instruction) -> Outcome:
        with self.vendor.lock:
            self.left -= 1
            last = self.left == 0
        if last and self.step == "before-effect":
            die()
        said = super().carry_out(instruction)
        self.keep()
        if last and self.step == "after-effect":
            die()
        return said

    def keep(self) -> None:
        """Whole or not at all: another thread may end the process in the middle of it."""
        with self.vendor.lock:
            draft = self.path.with_suffix(".part")
            draft.write_text(json.dumps(self.vendor.people))
            draft.replace(self.path)

    def verify(self, instruction: Instruction) -> Finding:
        said = super().verify(instruction)
        if self.step == "after-reading":
            self.left -= 1
            if self.left == 0:
                die()
        return said


def live(place: str, step: str, nth: str) -> None:
    folder = Path(place)
    world = World(open_database(f"sqlite:///{folder / 'dpsync.db'}"), folder)
    world.writer = DyingWriter(world.engine, world.log.append)
    connector = OutlivingVendor(folder / "vendor.json", step, int(nth))
    world.use(world.processor("alpha", connector))
    if step == "commit":
        world.writer.commits_left = int(nth)
    if not (folder / "vendor.json").exists():
        connector.vendor.hold(*PEOPLE)
        connector.keep()
    for number, person in enumerate(PEOPLE):
        # The main database sends again what it has no answer for; the same event id changes nothing.
        world.ask(Right.ERASURE, person, id=f"crm-{number}", event=f"evt-{number}")
    world.worker(alone=True).run_until_idle()
    world.close()


if __name__ == "__main__":
    serve_forks(live)
