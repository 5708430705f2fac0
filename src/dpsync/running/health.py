"""How a service is going: what /readyz, systemd and the heartbeat's watcher hear of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from dpsync import telemetry
from dpsync.connector_services import NoAnswer
from dpsync.installation import Installation
from dpsync.liveness import Pulse
from dpsync.outbox import reaches_nobody
from dpsync.propagation.engine.worker import Worker
from dpsync.running.disks import Disks

TURNS_WITHIN = timedelta(seconds=30)


class Health:
    """Whether the parts of a service go on, and whether store and disks take what comes.

    `parts` are the threads that are watched, none before they begin. `worker` is None where another process drives.
    """

    def __init__(self, there: Installation, worker: Worker | None) -> None:
        self._there = there
        self._worker = worker
        self._disks = Disks(there)
        self.parts: Sequence[Pulse] = ()

    def readiness(self) -> Mapping[str, object]:
        """What /readyz says: ready means that worker and timed jobs go on, and that store and disks take what comes."""
        closed = self._disks.trouble
        turning = "elsewhere" if self._worker is None else "turning"
        still = {part.name for part in self.parts if part.trouble} | (set() if self._turning() else {"worker"})
        return {
            "status": "not ready" if still or closed else "ready",
            "ledger": self._there.origin,
            "worker": "still" if "worker" in still else turning,
            "timed": "still" if "timed" in still else turning,
            "disks": "cannot be written" if closed else "written",
            "entries": self._there.read(self._there.log.size),
        }

    def sentence(self) -> str:
        """The same in a few words, for systemd; asks the database nothing."""
        away = "" if self._worker is None else self._worker.away
        if held := self._there.patience.said or self._disks.trouble or away:
            return f"waiting: {held}"
        return "ready" if self._turning() else "waiting: the database does not answer"

    def beat(self, now: datetime) -> None:
        """Tell the heartbeat's watcher that we live: only if the worker turned and the store took this job's row.

        Not while an alert reaches nobody: then the watcher is the only one who can still tell a person.
        """
        url = self._there.settings.alerts.heartbeat
        if url is None or not self._turning() or self._there.read(partial(reaches_nobody, now=now)):
            return
        try:
            self._there.http.call("GET", url.get_secret_value(), template="GET heartbeat")
        except NoAnswer as error:
            telemetry.log("service").warning("heartbeat not delivered", error=error)

    def _turning(self) -> bool:
        if self._worker is None:
            return True
        at = self._worker.turned_at
        return at is not None and self._there.clock.now() - at < TURNS_WITHIN
