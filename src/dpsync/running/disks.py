"""Whether a service can still write where it must: said while it cannot, and not only by the first request that fails.

A disk that meets an error is remounted read-only by the system (ext4: errors=remount-ro), in the middle of a run.
"""

import threading
import time
from collections.abc import Mapping

from dpsync import telemetry
from dpsync.errors import DpsyncError
from dpsync.installation import Installation
from dpsync.store.trouble import file_trouble

LOOK_EVERY = 2.0
"""Seconds for which an answer holds: a look writes a few bytes, and /readyz may be asked by anybody."""


class Disks:
    """What keeps an installation from writing. A change goes into the log, in our words: it may hold no path."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._closed: Mapping[str, str] = {}

    @property
    def trouble(self) -> str:
        """What is wrong, with the way out; "" while everything can be written."""
        with self._lock:
            if time.monotonic() - self._looked_at >= LOOK_EVERY:
                self._tell(unwritable(self._installation))
                self._looked_at = time.monotonic()
            return "; ".join(self._closed.values())

    def _tell(self, closed: Mapping[str, str]) -> None:
        if closed and closed.keys() != self._closed.keys():
            telemetry.log("service").error("cannot write", reason=", ".join(closed))
        elif self._closed and not closed:
            telemetry.log("service").warning("can write again", reason=", ".join(self._closed))
        self._closed = closed


def unwritable(installation: Installation) -> dict[str, str]:
    """A sentence for each of `proof`, `keys` and `database` that is to be written into, and cannot be."""
    found: dict[str, str] = {}
    if proof := installation.custody.unwritable():
        found["proof"] = "; ".join(one.told("") for one in proof)
    try:
        installation.keys.demand_room()
    except DpsyncError as problem:
        found["keys"] = problem.message
    if store := file_trouble(installation.settings.store.url):
        found["database"] = store.message
    return found
