"""The threads that calls are made on."""

import threading
from collections.abc import Callable
from queue import SimpleQueue


class CallThreads:
    """Up to `most` threads, each made when it is needed; none of them keeps a process that stops from ending.

    Not a `ThreadPoolExecutor`: the interpreter joins that one's threads at its end, and a name look-up that hangs is
    aborted by nobody.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._made = 0
        self._owed = 0  # works that are not done yet
        self._lock = threading.Lock()
        self._works: SimpleQueue[Callable[[], object] | None] = SimpleQueue()

    @property
    def crowded(self) -> bool:
        """Whether something waits for a thread: who has one for long gives it back after what it is at."""
        return self._owed > self._most

    def submit(self, work: Callable[[], object]) -> None:
        """Have `work` done as soon as a thread is free. What it raises ends its thread, and no other."""
        with self._lock:
            self._owed += 1
            wanted = self._made < min(self._owed, self._most)
            self._made += wanted
        self._works.put(work)
        if wanted:
            threading.Thread(target=self._run, name="call", daemon=True).start()

    def close(self) -> None:
        """Let the threads end that have nothing to do; whatever is being done goes on."""
        with self._lock:
            for _ in range(self._made):
                self._works.put(None)

    def _run(self) -> None:
        try:
            while (work := self._works.get()) is not None:
                try:
                    work()
                finally:
                    with self._lock:
                        self._owed -= 1
        finally:
            with self._lock:
                self._made -= 1
