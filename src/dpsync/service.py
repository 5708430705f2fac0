"""The service: an installation with a worker, timed jobs and a receiver, wired and started."""

import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from dpsync import systemd
from dpsync.errors import Stalled
from dpsync.installation import Installation
from dpsync.intake.decision_links import DecisionLinks
from dpsync.intake.inbound import listeners_of
from dpsync.intake.letter_links import LetterLinks
from dpsync.intake.limits import serve_config
from dpsync.intake.page_links import PageLinks
from dpsync.intake.receiver import Receiver
from dpsync.intake.reception import Reception
from dpsync.intake.refusals import Refusals
from dpsync.intake.server import Server, listening
from dpsync.intake.signature import Verifier
from dpsync.intake.web import create_app
from dpsync.liveness import Guard, Watched
from dpsync.propagation.engine.worker import Worker
from dpsync.retention.service import Conversations
from dpsync.running import metrics, timekeeping
from dpsync.running.health import Health
from dpsync.running.jobs import after_work, jobs_of
from dpsync.running.start import start
from dpsync.scheduler import TAKEN_FOR
from dpsync.store.database import worker_lock

ENDED_WITHIN = 30.0
"""The worker's own 20 s, what it needs besides, and a turn or a timed job that is not through."""

SILENT_FOR: Mapping[str, float] = MappingProxyType({"worker": 300.0, "timed": TAKEN_FOR.total_seconds()})
"""How long a part of `serve` may show no sign of life, in real seconds. The store's own time limits are shorter."""


def worker_of(there: Installation) -> Worker:
    """A worker for this installation; on SQLite only under the worker's lock."""
    return Worker(
        there.controller,
        there.engine,
        there.writer,
        there.clock,
        alone=there.engine.dialect.name == "sqlite",
        abort=there.http.abort,
        shared_now=timekeeping.shared_clock(there),  # beyond one machine, heartbeats go by it
    )


def receiver_of(there: Installation, worker: Worker, health: Health) -> Receiver:
    """What stands behind the doors of this installation. Raises `ConfigurationError`."""
    secrets = [secret.get_secret_value() for secret in there.settings.intake.secrets]
    return Receiver(
        clock=there.clock,
        verifier=Verifier(secrets),
        reception=Reception(there.controller, there.writer),
        worker=worker,
        listeners=listeners_of(there),
        letters=LetterLinks(there),
        conversations=Conversations(there),
        refusals=Refusals(there.controller, there.writer),
        health=health,
        controller=there.settings.controller.name,
        rehearsal=there.settings.controller.rehearsal,
        decisions=DecisionLinks(there) if there.controller.asked else None,
        pages=PageLinks(there) if there.controller.asked else None,
    )


class Service:
    """An installation at work, once: until nothing is due (`run_once`), or until a signal (`serve`)."""

    def __init__(self, there: Installation, *, silent_for: Mapping[str, float] = SILENT_FOR) -> None:
        """Raises `ConfigurationError`. `silent_for` is what `SILENT_FOR` says of itself."""
        self._there = there
        self._silent_for = silent_for
        self._worker = worker_of(there)
        self._health = Health(there, self._worker)
        self._jobs = jobs_of(there, self._worker.id, self._health.beat)

    def run_once(self, progress: Callable[[int], None] | None = None) -> None:
        """Drive everything due, and what the clock owes, until nothing is due. Raises `Locked` beside a `serve`."""
        with worker_lock(self._there.settings.store.url):
            self._begin()
            self._jobs.run_due()
            self._worker.run_until_idle(progress)
            after_work(self._there, self._there.clock.now())
            self._worker.close()

    def serve(self, *, ready: Callable[[str], None]) -> signal.Signals | None:
        """Receiver, worker and timed jobs in this process, until SIGTERM or SIGINT. `ready` is told once, with the URL.

        On a signal: accept nothing more, let what is under way finish for 20 s, abort what is left of it, give the
        accounts back. No thread holds the process beyond that. Raises `Locked` where another worker drives this store,
        or the address is taken; `Stalled` where a part ended or hung. Returns the signal that ended it.
        """
        settings = self._there.settings
        with (
            worker_lock(settings.store.url),
            listening(settings.intake.listen) as listener,
            metrics.listening(self._there),
        ):
            start(self._there)
            self._begin()
            stop = threading.Event()
            parts = self._parts(stop)
            host, port = listener.getsockname()[:2]

            def up() -> None:
                systemd.notify("READY=1", "STATUS=ready")
                ready(f"http://{host}:{port}")

            app = create_app(receiver_of(self._there, self._worker, self._health))
            server = Server(serve_config(app, host, port), up, stop)
            guard = Guard((*parts, server.pulse), stop, server.end, self._health.sentence)
            with server.holding_signals():
                try:
                    for part in parts:
                        part.start()
                    guard.start()
                    server.run(sockets=[listener])
                finally:
                    systemd.notify("STOPPING=1")
                    self._end(parts, stop)
                    guard.ended()
            if guard.failed:
                raise Stalled(f"{guard.failed}: this process ends, to be started again")
            return server.ended_by

    def _begin(self) -> None:
        timekeeping.look(self._there)
        self._worker.start()
        self._jobs.start()

    def _parts(self, stop: threading.Event) -> Sequence[Watched]:
        """The threads beside the receiver's, not started yet."""
        self._health.parts = parts = (
            Watched("worker", lambda: self._worker.run(stop), silent_for=self._silent_for["worker"]),
            Watched("timed", lambda: self._jobs.tick(stop), silent_for=self._silent_for["timed"]),
        )
        return parts

    def _end(self, parts: Sequence[Watched], stop: threading.Event) -> None:
        stop.set()
        self._worker.wake()
        until = self._there.clock.monotonic() + ENDED_WITHIN
        for part in parts:
            if not part.trouble:  # what hangs is not waited for
                part.join(max(0.0, until - self._there.clock.monotonic()))
