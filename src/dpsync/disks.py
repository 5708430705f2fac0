"""Whether a service can still write where it must: said while it cannot, and not only by the first request that fails.

A disk that meets an error is remounted read-only by the system (ext4: errors=remount-ro), in the middle of a run.
"""

import threading
import time
from collections.abc import Callable, Mapping

from dpsync import telemetry

LOOK_EVERY = 2.0
"""Seconds for which an answer holds: a look writes a few bytes, and /readyz may be asked by anybody."""


class Disks:
    """What keeps a service from writing. `look` gives a sentence for each place that cannot be written, by its name (a
    word of ours: the log may hold no path). A change goes into the log.
    """

    def __init__(self, look: Callable[[], Mapping[str, str]]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._closed: Mapping[str, str] = {}

    @property
    def trouble(self) -> str:
        """What is wrong, with the way out; "" while everything can be written."""
        with self._lock:
            if time.monotonic() - self._looked_at >= LOOK_EVERY:
                self._tell(self._look())
                self._looked_at = time.monotonic()
            return "; ".join(self._closed.values())

    def _tell(self, closed: Mapping[str, str]) -> None:
        if closed and closed.keys() != self._closed.keys():
            telemetry.log("service").error("cannot write", reason=", ".join(closed))
        elif self._closed and not closed:
            telemetry.log("service").warning("can write again", reason=", ".join(self._closed))
        self._closed = closed
