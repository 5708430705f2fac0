"""The service: an installation with a worker, timed jobs and a receiver, wired and started."""

import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from enum import StrEnum
from secrets import token_bytes
from types import MappingProxyType

from dpsync import systemd
from dpsync.errors import Stalled
from dpsync.installation import Installation
from dpsync.intake.case_links import CaseLinks
from dpsync.intake.counting import Counting
from dpsync.intake.decision_links import DecisionLinks
from dpsync.intake.inbound import listeners_of
from dpsync.intake.later_outcomes import LaterOutcomes
from dpsync.intake.letter_links import LetterLinks
from dpsync.intake.limits import serve_config
from dpsync.intake.observed import Observed
from dpsync.intake.opendsr.service import OpenDsr
from dpsync.intake.page_links import PageLinks
from dpsync.intake.person_letter_links import PersonLetterLinks
from dpsync.intake.receiver import Receiver
from dpsync.intake.refusals import Refusals
from dpsync.intake.server import Server, listening
from dpsync.intake.side_by_side import SideBySide
from dpsync.intake.sources import messages
from dpsync.intake.sources.reception import SourceReception
from dpsync.intake.sources.source import sources_of
from dpsync.intake.web import create_app
from dpsync.liveness import Guard, Watched, holding_signals
from dpsync.propagation.decisions import ROLES
from dpsync.propagation.engine.worker import Worker
from dpsync.retention.service import Conversations
from dpsync.running import metrics, timekeeping
from dpsync.running.callback_targets import targets_of
from dpsync.running.health import Health
from dpsync.running.jobs import after_work, jobs_of
from dpsync.running.no_server import NoServer
from dpsync.running.start import start
from dpsync.scheduler import TAKEN_FOR
from dpsync.settings import Settings
from dpsync.signature import Verifier
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
    handing_over = there.settings.opendsr
    return Receiver(
        clock=there.clock,
        verifier=_verifier_of(there.settings),
        reception=SideBySide(there.controller, there.writer),
        worker=worker,
        listeners=listeners_of(there),
        letters=LetterLinks(there),
        conversations=Conversations(there),
        refusals=Refusals(there.controller, there.writer),
        observed=Observed(there),
        outcomes=LaterOutcomes(there),
        health=health,
        controller=there.settings.controller.name,
        source_reception=SourceReception(there.controller, there.writer),
        source_messages=Counting(there.writer, messages.keep),
        sources=sources_of(there),
        rehearsal=there.settings.controller.rehearsal,
        passphrases=frozenset(ROLES[role] for role in there.controller.passphrases),
        decisions=DecisionLinks(there) if there.controller.asked else None,
        pages=PageLinks(there) if there.controller.asked else None,
        cases=CaseLinks(there) if there.controller.asked else None,
        person_letters=PersonLetterLinks(there) if there.controller.asked else None,
        opendsr=OpenDsr(there, handing_over) if handing_over else None,
    )


def _verifier_of(settings: Settings) -> Verifier:
    """Where others ask by doors of their own, nobody need sign: a key that nobody knows refuses whoever does."""
    known = [secret.get_secret_value() for secret in settings.intake.secrets]
    return Verifier([token_bytes(32)] if not known and settings.asked_elsewhere else known)


class ServiceKind(StrEnum):
    """What a process of an installation does. Beyond one process there are some of each: `receive` and `work`."""

    SERVE = "serve"
    RECEIVE = "receive"
    WORK = "work"

    @property
    def receives(self) -> bool:
        """Whether it answers to webhooks and links."""
        return self is not ServiceKind.WORK

    @property
    def works(self) -> bool:
        """Whether it tells processors, and does what is due by the clock."""
        return self is not ServiceKind.RECEIVE


class Service:
    """An installation at work, once: until nothing is due (`run_once`), or until a signal (`serve`)."""

    def __init__(
        self,
        there: Installation,
        kind: ServiceKind = ServiceKind.SERVE,
        *,
        silent_for: Mapping[str, float] = SILENT_FOR,
    ) -> None:
        """Raises `ConfigurationError`. `silent_for` is what `SILENT_FOR` says of itself."""
        self._there = there
        self._kind = kind
        self._silent_for = silent_for
        self._worker = worker_of(there)  # where another process works, it is never started
        self._health = Health(there, self._worker if kind.works else None)
        self._jobs = jobs_of(there, self._worker.id, self._health.beat)
        targets_of(there)

    def run_once(self, progress: Callable[[int], None] | None = None) -> Sequence[str]:
        """Drive everything due, and what the clock owes, until nothing is due. Returns the timed jobs that failed.

        Raises `Locked` beside a `serve`.
        """
        with worker_lock(self._there.settings.store.url):
            self._begin()
            self._jobs.run_due()
            self._worker.run_until_idle(progress)
            after_work(self._there, self._there.clock.now())
            self._worker.close()
        return sorted(self._jobs.failing)

    def serve(self, *, ready: Callable[[str], None]) -> signal.Signals | None:
        """What this process is for, until SIGTERM or SIGINT. `ready` is told once, with the URL; "" for none.

        On a signal: accept nothing more, let what is under way finish for 20 s, abort what is left of it, give the
        accounts back. No thread holds the process beyond that. Raises `Locked` where another worker drives this store,
        or the address is taken; `Stalled` where a part ended or hung. Returns the signal that ended it.
        """
        settings = self._there.settings
        with ExitStack() as held:
            if self._kind.works:
                held.enter_context(worker_lock(settings.store.url))
            sockets = [held.enter_context(listening(settings.intake.listen))] if self._kind.receives else []
            if self._kind.works:
                held.enter_context(metrics.listening(self._there))
            start(self._there)
            stop = threading.Event()
            parts = self._begun(stop) if self._kind.works else ()
            server = self._server(sockets, ready, stop)
            guard = Guard((*parts, server.pulse), stop, server.end, self._health.sentence)
            with holding_signals(server.handle_exit):
                try:
                    for part in parts:
                        part.start()
                    guard.start()
                    server.run(sockets=sockets)
                finally:
                    systemd.notify("STOPPING=1")
                    self._end(parts, stop)
                    guard.ended()
            if guard.failed:
                raise Stalled(f"{guard.failed}: this process ends, to be started again")
            return server.ended_by

    def _server(
        self, sockets: Sequence[socket.socket], ready: Callable[[str], None], stop: threading.Event
    ) -> Server | NoServer:
        host, port = sockets[0].getsockname()[:2] if sockets else ("", 0)

        def up() -> None:
            systemd.notify("READY=1", "STATUS=ready")
            ready(f"http://{host}:{port}" if sockets else "")

        if not sockets:
            return NoServer(up, stop)
        app = create_app(receiver_of(self._there, self._worker, self._health))
        return Server(serve_config(app, host, port), up, stop)

    def _begun(self, stop: threading.Event) -> Sequence[Watched]:
        self._begin()
        return self._parts(stop)

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
