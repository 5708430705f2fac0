"""Whether the parts of a service go on; when one of them does not, the service ends as a whole, to be started again.

A thread may end by anything at all, and it may hang. Both look alike from outside: no more signs of life.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from dpsync import systemd, telemetry
from dpsync.errors import Exit

LOOK_EVERY = 5.0
LAST_RESORT = 90.0
"""How long an orderly end may take after a thread was found dead; then the process ends as it stands."""

_own = threading.local()


def beat() -> None:
    """A sign of life of the thread that calls this; of one that nobody watches it is nothing."""
    watched: Pulse | None = getattr(_own, "watched", None)
    if watched is not None:
        watched.beat()


@contextmanager
def holding_signals(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Stop in order on SIGTERM and SIGINT, however often they come until the worker has finished what it does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Pulse:
    """Signs of life, each expected at most `silent_for` real seconds after the last."""

    def __init__(self, name: str, silent_for: float) -> None:
        self.name = name
        self._silent_for = silent_for
        self._at = time.monotonic()

    def beat(self) -> None:
        """Show that it goes on."""
        self._at = time.monotonic()

    @property
    def trouble(self) -> str:
        """Why it is not taken to go on; "" where it does."""
        return "gives no sign of life" if time.monotonic() - self._at > self._silent_for else ""


class Watched(Pulse):
    """A thread of a service."""

    def __init__(self, name: str, work: Callable[[], None], *, silent_for: float) -> None:
        super().__init__(name, silent_for)
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin the work."""
        self.beat()
        self._thread.start()

    def join(self, within: float) -> None:
        """Wait for its end."""
        if self._thread.ident is not None:
            self._thread.join(within)

    def _run(self) -> None:
        _own.watched = self
        self._work()

    @property
    def trouble(self) -> str:
        """Why it is not taken to go on; "" where it does, or has not begun."""
        if self._thread.ident is None:
            return ""
        return super().trouble if self._thread.is_alive() else "has ended"


class Guard:
    """Looks after the parts of a service until `stop`: tells systemd that all live, or has the service ended (`end`).

    `status` says in a word or two how it is going. `failed` names what was found, "" while nothing was.
    """

    def __init__(
        self,
        parts: Sequence[Pulse],
        stop: threading.Event,
        end: Callable[[], None],
        status: Callable[[], str],
        *,
        look_every: float = LOOK_EVERY,
        last_resort: float = LAST_RESORT,
    ) -> None:
        self.failed = ""
        self._parts = tuple(parts)
        self._stop = stop
        self._end = end
        self._status = status
        self._every = min(look_every, (systemd.watchdog_seconds() or 2 * look_every) / 2)
        self._last_resort = last_resort
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="guard", daemon=True).start()

    def ended(self) -> None:
        """Be told that the service has ended."""
        self._ended.set()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            found = next((f"{one.name} {one.trouble}" for one in self._parts if one.trouble), "")
            if found and not self._stop.is_set():  # else it ended because it was told to, a moment ago
                self._fail(found)
                return
            systemd.notify("WATCHDOG=1", f"STATUS={self._status()}")

    def _fail(self, found: str) -> None:
        self.failed = found
        telemetry.log("service").error("stopping", reason=found)
        systemd.notify(f"STATUS=stopping, to be started again: {found}")
        self._end()
        if not self._ended.wait(self._last_resort):
            # A thread that nobody can end must not keep a service from being started again. What was under way is in
            # doubt and is read back; what was committed stands.
            os._exit(Exit.FAULT)
