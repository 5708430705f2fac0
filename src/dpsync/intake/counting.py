"""Counts at the doors what nobody waits for: many a second are one write, and a store that takes none loses none."""

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from datetime import datetime
from typing import Generic, TypeVar

from dpsync.store.writer import Unit, Writer

K = TypeVar("K", bound=Hashable)


class Counting(Generic[K]):
    """Counts by kind, with one write under way at a time: whatever comes in meanwhile is the next one."""

    def __init__(self, writer: Writer, keep: Callable[[Unit, Mapping[K, int], datetime], None]) -> None:
        """`keep` adds the counts to what the store has."""
        self._writer = writer
        self._keep = keep
        self._lock = threading.Lock()
        self._waiting: Counter[K] = Counter()
        self._next = _begun()
        self._writing = False

    def note(self, counts: Mapping[K, int], now: datetime) -> "Future[None]":
        """Count it. The future resolves after the commit.

        Where the store takes nothing it resolves all the same, and the count is written with the next one.
        """
        with self._lock:
            self._waiting.update(counts)
            counted = self._next
        self._write(now)
        return counted

    def _write(self, now: datetime) -> None:
        with self._lock:
            if self._writing or not self._waiting:
                return
            counts, counted = self._waiting, self._next
            self._waiting, self._next, self._writing = Counter(), _begun(), True
        writing = self._writer.submit(lambda unit: self._keep(unit, counts, now))
        writing.add_done_callback(lambda done: self._written(done, counts, counted, now))

    def _written(self, done: "Future[None]", counts: "Counter[K]", counted: "Future[None]", now: datetime) -> None:
        failed = done.exception() is not None
        with self._lock:
            self._writing = False
            if failed:
                self._waiting.update(counts)
        counted.set_result(None)
        if not failed:
            self._write(now)


def _begun() -> "Future[None]":
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()  # from here on nobody who waits in vain can cancel it for the others
    return future
