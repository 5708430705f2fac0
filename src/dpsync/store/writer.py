"""The one writer: one queue, one thread, one transaction for all that waits, a savepoint an item.

Measured with three competing writers, SQLite made one wait 3.2 s; one writer does thousands of acknowledged webhooks a
second, because all that came in during one commit is the next one. No timer: the previous fsync is the wait.

On PostgreSQL several processes write. What is marked so is done beside theirs first, and alone where that fails: see
`store.beside`.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from dpsync.errors import Locked, StoreAway, StoreHeld
from dpsync.store.beside import LEFT, is_beside, runs_beside, take_turn, was_undone
from dpsync.store.database import writing
from dpsync.store.trouble import trouble

T = TypeVar("T")
X = TypeVar("X")
LARGEST_BATCH = 256
CLOSE_WITHIN = 30.0

Bodies = list[tuple[str | None, bytes]]
BeforeCommit = Callable[[Connection, Sequence[tuple[str | None, bytes]]], int | None]
"""Appends entries to the ledger; gives how many it has then, as far as it knows."""


class Journal(Protocol):
    """Where it is kept, outside the database, what people are told was accepted (`dpsync.journal`)."""

    def demand(self) -> None:
        """Raise where nothing could be kept now; then nothing is committed."""

    def append(self, accepted: Sequence[Any], entries: int) -> object:
        """Keep what was committed; raise where it could not be, then nobody is told that it was."""


@dataclass(slots=True)
class Unit:
    """What one item may use: the open transaction, and the ledger entries that are appended just before the commit.

    The entries are collected because the ledger's head comes last: what takes its place in the record first has
    been decided last. `beside`: others write meanwhile.
    """

    connection: Connection
    beside: bool = False
    entries: Bodies = field(default_factory=list)
    accepted: list[Any] = field(default_factory=list)
    last: list[Callable[[Connection], None]] = field(default_factory=list)

    def append(self, request_id: str | None, body: bytes) -> None:
        """Add an entry of the ledger to what this transaction commits."""
        self.entries.append((request_id, body))

    def accept(self, event: Any) -> None:
        """Have it kept outside, after the commit, that this was accepted; only then does whoever waits hear of it."""
        self.accepted.append(event)

    def in_turn(self, work: Callable[[Connection], None]) -> None:
        """Have `work` done once nobody else can commit before we do: at once, or where others write, at the end."""
        if self.beside:
            self.last.append(work)
        else:
            work(self.connection)


Many = Callable[[Unit, Sequence[Any]], Sequence[Any]]
"""Does many of one kind at once, and answers in their order."""


class QueuedWrite(NamedTuple):
    """One item of what waits."""

    many: Many
    item: Any
    future: Future[Any]


def _one_by_one(unit: Unit, works: Sequence[Callable[[Unit], Any]]) -> list[Any]:
    return [work(unit) for work in works]


class Writer:
    """All of a process's writing. `before_commit` appends the entries to the ledger, in the same transaction."""

    def __init__(self, engine: Engine, before_commit: BeforeCommit, journal: Journal | None = None) -> None:
        self._engine = engine
        self._shared = engine.dialect.name == "postgresql"  # by several processes
        self._journal = journal
        self._before_commit = before_commit
        self._queue: queue.SimpleQueue[QueuedWrite | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, work: Callable[[Unit], T]) -> "Future[T]":
        """Have `work` done in the next transaction. The future resolves after the commit, never before."""
        return self.submit_to(_one_by_one, work)

    def submit_to(self, many: Callable[[Unit, Sequence[X]], Sequence[T]], item: X) -> "Future[T]":
        """The same for one item of a kind: all that wait for the same `many` are done by one call of it.

        So a statement is asked once for all that wait, and not once for each. Where that call raises, each item is done
        by a call, and a savepoint, of its own.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                future.set_exception(Locked("the service is stopping"))
                return future
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
                self._thread.start()
            self._queue.put(QueuedWrite(many, item, future))
        return future

    def call(self, work: Callable[[Unit], T]) -> T:
        """Have `work` done and wait for the commit. Raises what `work` raised, or what the database said."""
        return self.submit(work).result()

    @property
    def waiting(self) -> int:
        """How many items wait for a transaction."""
        return self._queue.qsize()

    def close(self, within: float = CLOSE_WITHIN) -> None:
        """Finish what waits, then stop; after `within` seconds go without a store that does not answer."""
        with self._lock:
            self._closed = True
            thread = self._thread
            if thread is not None:
                self._queue.put(None)
        if thread is not None:
            thread.join(within)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            first = self._queue.get()
            batch = [] if first is None else [first]
            stopping = first is None
            while not stopping and len(batch) < LARGEST_BATCH:
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    stopping = True
                else:
                    batch.append(item)
            if batch:
                self._write(batch)

    def _write(self, batch: list[QueuedWrite]) -> None:
        live = [job for job in batch if job.future.set_running_or_notify_cancel()]
        if self._shared and all(runs_beside(job.many) for job in live):
            live = _told(live, self._beside(live))
        if live:
            _told(live, self._results(live))

    def _beside(self, jobs: list[QueuedWrite]) -> list[Any]:
        """What came of each beside other processes' writing; `LEFT` of what has to be done alone."""
        try:
            return self._commit(jobs, beside=True)
        except BaseException as error:  # noqa: BLE001 - because it is handed to whoever waits; the thread lives on
            known = _concerns_all(error) and not was_undone(error)
            return [_Failed(_named(error)) if known else LEFT] * len(jobs)

    def _results(self, jobs: list[QueuedWrite]) -> list[Any]:
        """What came of each: all in one transaction; if that fails, a savepoint each; if that fails, one by one.

        Nearly every batch is good, and two savepoint statements an item were half of what PostgreSQL was asked.
        """
        for attempt in (self._commit, self._commit_guarded):
            try:
                return attempt(jobs)
            except BaseException as error:  # noqa: BLE001 - because it is handed to whoever waits; the thread lives on
                if len(jobs) == 1 or _concerns_all(error):
                    return [_Failed(_named(error))] * len(jobs)
        return [result for job in jobs for result in self._results([job])]

    def _commit(self, jobs: Sequence[QueuedWrite], *, beside: bool = False) -> list[Any]:
        kinds: dict[Many, list[int]] = {}
        for place, job in enumerate(jobs):
            kinds.setdefault(job.many, []).append(place)
        results: list[Any] = [None] * len(jobs)
        told: set[int] = set()
        with writing(self._engine, beside=beside) as connection:
            unit = Unit(connection, beside=beside)
            for many, places in kinds.items():
                before = len(unit.accepted)
                answers = many(unit, [jobs[place].item for place in places])
                for place, answer in zip(places, answers, strict=True):
                    results[place] = answer
                if len(unit.accepted) > before:
                    told.update(place for place in places if results[place] is not LEFT)
            size = self._append(connection, [unit])
        return self._kept(results, told, unit.accepted, size)

    def _commit_guarded(self, jobs: Sequence[QueuedWrite]) -> list[Any]:
        results: list[Any] = []
        good: list[Unit] = []
        told: set[int] = set()
        with writing(self._engine) as connection:
            for job in jobs:
                unit = Unit(connection)
                savepoint = connection.begin_nested()
                try:
                    (answer,) = job.many(unit, [job.item])
                except BaseException as error:
                    if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError):
                        raise  # a full disk or a lost server concerns the whole transaction
                    savepoint.rollback()
                    results.append(_Failed(error))
                else:
                    savepoint.commit()
                    if unit.accepted:
                        told.add(len(results))
                    results.append(answer)
                    good.append(unit)
            size = self._append(connection, good)
        return self._kept(results, told, [one for unit in good for one in unit.accepted], size)

    def _append(self, connection: Connection, units: Sequence[Unit]) -> int:
        if self._journal is not None and any(unit.accepted for unit in units):
            self._journal.demand()
        last = [one for unit in units for one in unit.last]
        if is_beside(connection) and (last or any(unit.entries for unit in units)):
            take_turn(connection)
        for work in last:
            work(connection)
        entries = [one for unit in units for one in unit.entries]
        return (entries and self._before_commit(connection, entries)) or 0

    def _kept(self, results: list[Any], told: set[int], accepted: Sequence[Any], size: int) -> list[Any]:
        """After the commit: those of `told` hear of it only once it is kept outside. Their work is done in any case."""
        if self._journal is None or not accepted:
            return results
        try:
            self._journal.append(accepted, size)
        except BaseException as error:  # noqa: BLE001 - because it is handed to whoever waits; the thread lives on
            return [_Failed(error) if place in told else result for place, result in enumerate(results)]
        return results


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


def _told(jobs: Sequence[QueuedWrite], results: Sequence[Any]) -> list[QueuedWrite]:
    """Tell whoever waits; gives what is left to be done."""
    for job, result in zip(jobs, results, strict=True):
        if isinstance(result, _Failed):
            job.future.set_exception(result.error)
        elif result is not LEFT:
            job.future.set_result(result)
    return [job for job, result in zip(jobs, results, strict=True) if result is LEFT]


def _concerns_all(error: BaseException) -> bool:
    """Whether the store failed, and not an item: trying again would make each wait anew.

    Where the server went during the commit, nobody knows whether it happened; work that was done is not done again by
    the writer, but by whoever asked for it and looks first.
    """
    if isinstance(error, StoreHeld):
        return True
    if not isinstance(error, DBAPIError):
        return False
    # Without a statement it was the connecting or the commit that failed.
    return error.connection_invalidated or error.statement is None or isinstance(trouble(error), (Locked, StoreAway))


def _named(error: BaseException) -> BaseException:
    found = trouble(error) if isinstance(error, DBAPIError) else None
    return found if isinstance(found, Locked) else error
