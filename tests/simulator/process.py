"""One process of dpsync, step by step on one thread: the real reception, worker and writer over a given database.

What the service does on many threads is done here in an order that the seed decides: calls wait in a list, and what is
to be written waits until somebody wants to know what became of it. So a month plays again exactly as it was, and the
process can die between any two commits.
"""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import Engine

from dpsync.intake.side_by_side import SideBySide
from dpsync.propagation.controller import Controller
from dpsync.propagation.engine.call_threads import CallThreads
from dpsync.propagation.engine.worker import Worker
from dpsync.store.writer import BeforeCommit, QueuedWrite, Writer
from tests.builders import TurnableClock
from tests.simulator.vendors import Died

T = TypeVar("T")
X = TypeVar("X")
TURNS = 60


class Fate:
    """When the process dies: around the commit that comes after so many others."""

    def __init__(self) -> None:
        self.dead = False
        self._commits = -1
        self._after = False

    def will_die(self, commits: int, *, after: bool) -> None:
        self._commits, self._after = commits, after

    def die(self) -> None:
        self.dead = True
        raise Died

    def before_commit(self) -> None:
        if self.dead or (self._commits == 0 and not self._after):
            self.die()

    def after_commit(self) -> None:
        if self._commits == 0 and self._after:
            self.die()
        self._commits -= 1


class Awaited(Future[T]):
    """What becomes of something written: asking for it has it written, with all that waits."""

    def __init__(self, write: Callable[[], None]) -> None:
        super().__init__()
        self._write = write

    def result(self, timeout: float | None = None) -> T:
        if not self.done():
            self._write()
        return super().result(timeout)


class SteppedWriter(Writer):
    """Commits when it is asked what came of it, and not on a thread of its own."""

    def __init__(self, engine: Engine, before_commit: BeforeCommit, fate: Fate) -> None:
        super().__init__(engine, before_commit)
        self._fate = fate
        self._held: list[QueuedWrite] = []

    def submit_to(self, many: Callable[[Any, Sequence[X]], Sequence[T]], item: X) -> "Future[T]":
        future: Awaited[T] = Awaited(self.flush)
        self._held.append(QueuedWrite(many, item, future))
        return future

    def flush(self) -> None:
        """Write all that waits, in one transaction."""
        batch, self._held = self._held, []
        if not batch:
            return None
        try:
            self._fate.before_commit()
        except Died as died:
            return self._lost(batch, died)
        # Whoever waits hears of it after the commit: so it is written under other futures first.
        told = [QueuedWrite(one.many, one.item, Future[Any]()) for one in batch]
        self._write(told)
        try:
            self._fate.after_commit()
        except Died as died:
            return self._lost(batch, died)
        for own, one in zip(batch, told, strict=True):
            error = one.future.exception()
            if error is not None:
                own.future.set_exception(error)
            else:
                own.future.set_result(one.future.result())
        return None

    @staticmethod
    def _lost(batch: Sequence[QueuedWrite], died: Died) -> None:
        for one in batch:
            one.future.set_exception(died)


class SteppedCalls(CallThreads):
    """Keeps what would be done on threads until its turn comes."""

    def __init__(self, most: int, lot: random.Random) -> None:
        super().__init__(most)
        self._lot = lot
        self.works: list[Callable[[], object]] = []

    def submit(self, work: Callable[[], object]) -> None:
        self.works.append(work)

    def one(self) -> bool:
        """Do one of what waits. Whether there was any."""
        if not self.works:
            return False
        work = self.works.pop(self._lot.randrange(len(self.works)))
        with suppress(SystemExit):
            work()
        return True

    def close(self) -> None:
        self.works.clear()


class SteppedWorker(Worker):
    """A worker whose calls are made one by one."""

    def __init__(self, lot: random.Random, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.calls = SteppedCalls(8, lot)
        self._threads = self.calls

    def settle(self, dead: Callable[[], bool]) -> None:
        """Drive everything that is due, as far as anything of it can be begun."""
        self._membership.next_beat = min(self._membership.next_beat, self._clock.monotonic())
        for _ in range(TURNS):
            self.turn()
            worked = False
            while self.calls.one():
                worked = True
                if dead():
                    raise Died
            if not worked and not self._anything_due():
                return


class Process:
    """All that lives in one process; thrown away when it dies."""

    def __init__(
        self,
        engine: Engine,
        controller: Controller,
        clock: TurnableClock,
        append: BeforeCommit,
        lot: random.Random,
    ) -> None:
        self.fate = Fate()
        self.writer = SteppedWriter(engine, append, self.fate)
        self.reception = SideBySide(controller, self.writer)
        self.worker = SteppedWorker(lot, controller, engine, self.writer, clock, alone=True)
        self._started = False

    def settle(self) -> None:
        """The worker takes over what a dead process left, then drives all that is due."""
        if not self._started:
            self.worker.start()
            self._started = True
        self.worker.settle(lambda: self.fate.dead)

    def finish(self, asked: "Future[T]") -> T:
        """What came of something handed in, once it is committed."""
        self.writer.flush()
        return asked.result(timeout=0)
