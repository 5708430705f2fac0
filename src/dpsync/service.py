"""The service: what an installation does. Receiver, worker and timed jobs, alone or together."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime, timedelta
from datetime import time as time_of_day
from functools import cached_property
from typing import TypeVar

from sqlalchemy import Connection

from dpsync import custody, liveness, metrics, systemd, telemetry, timekeeping
from dpsync.alerts import Concern, raise_alert, tell_of_useless
from dpsync.channels import useless
from dpsync.connector_services import Mail, MailRefused, NoAnswer
from dpsync.disks import Disks
from dpsync.errors import CredentialsRejected, Locked, Stalled
from dpsync.installation import Installation
from dpsync.intake import mail_directory
from dpsync.intake.answers import AnswerPage, ContactPage, Received
from dpsync.intake.limits import serve_config
from dpsync.intake.payload import Withdrawal, parse
from dpsync.intake.ports import Ports
from dpsync.intake.reception import Reception
from dpsync.intake.refusals import Refusals, tell_of_rest
from dpsync.intake.server import Server
from dpsync.intake.signature import Verifier
from dpsync.intake.web import create_app
from dpsync.ledger.audit import Verification
from dpsync.liveness import Guard, Pulse, Watched
from dpsync.model import Request
from dpsync.propagation import contacts, receipts
from dpsync.propagation.correspondence import acknowledgement, answer_receipts, escalation, incoming, undelivered
from dpsync.propagation.engine.worker import Worker
from dpsync.propagation.rules.lifecycle import AnswerKind
from dpsync.retention import acts
from dpsync.retention.service import Retaining
from dpsync.scheduler import TAKEN_FOR, Job, Jobs, daily, every
from dpsync.soundness import judge_and_tell
from dpsync.store.database import worker_lock
from dpsync.store.writer import Unit

T = TypeVar("T")
ENDED_WITHIN = 30.0
"""The worker's own 20 s, what it needs besides, and a turn or a timed job that is not through."""


class Service(Installation):
    """An installation at work. Commands use it for one thing and close it; `serve` keeps it."""

    silent_for: Mapping[str, float] = {"worker": 300.0, "timed": TAKEN_FOR.total_seconds()}
    """How long a part of `serve` may show no sign of life, in real seconds. The store's own time limits are shorter."""
    parts: tuple[Pulse, ...] = ()

    def read(self, work: Callable[[Connection], T]) -> T:
        """The same; and a sign of life of whoever reads."""
        liveness.beat()
        return super().read(work)

    def write(self, work: Callable[[Unit], T]) -> T:
        """The same; and a sign of life of whoever writes."""
        liveness.beat()
        return super().write(work)

    disks = cached_property(Disks)

    @cached_property
    def reception(self) -> Reception:
        return Reception(self.controller, self.writer)

    def start(self) -> Verification:
        """What must be so before anything is sent; and say of which channel for alerts nobody would ever hear."""
        self.demand_own_store()
        clock = timekeeping.trouble(self)  # before anything is written under it
        verification = super().start()
        timekeeping.tell(self, clock)
        found = useless(self.settings.alerts, rehearsal=self.settings.controller.rehearsal)
        if found:
            telemetry.log("service").error("channels for alerts are useless", code="DP-302", count=len(found))
            self.write(lambda unit: tell_of_useless(unit.connection, found, self.clock.now(), self.zone))
        return verification

    @cached_property
    def refusals(self) -> Refusals:
        return Refusals(self.controller, self.writer)

    def receive(self, request: Request | Withdrawal, body: bytes, now: datetime) -> "Future[Received]":
        """Accept what came in by any door."""
        if isinstance(request, Withdrawal):
            return self.reception.submit_withdrawal(request, body, now)
        return self.reception.submit(request, body, now)

    def run_once(self, progress: Callable[[int], None] | None = None) -> None:
        """Drive everything due, and what the clock owes, until nothing is due. Raises `Locked` beside a `serve`."""
        with worker_lock(self.settings.store.url):
            self._look_at_clock(self.clock.now())
            worker = self.worker()
            worker.start()
            jobs = self._jobs(worker)
            jobs.start()
            jobs.run_due()
            worker.run_until_idle(progress)
            self._after_work(self.clock.now())
            worker.close()

    def worker(self) -> Worker:
        """A worker for this installation; on SQLite only under the worker's lock."""
        return Worker(
            self.controller,
            self.engine,
            self.writer,
            self.clock,
            alone=self.engine.dialect.name == "sqlite",
            abort=self.http.abort,
            shared_now=timekeeping.shared_clock(self),  # beyond one machine, heartbeats go by it
        )

    def _jobs(self, worker: Worker) -> Jobs:
        morning = daily(time_of_day(7, 0), self.zone)
        jobs = [
            Job("ladder", every(timedelta(hours=1)), self._ladder),
            # Alerts first, and each for itself: what fails beside them must not keep them back.
            Job("alerts", every(timedelta(minutes=1)), self.send_alerts),
            Job("clock", every(timedelta(minutes=1)), self._look_at_clock),
            Job("post", every(timedelta(minutes=1)), self.read_post),
            Job("contacts", every(timedelta(minutes=1)), self.ask_contacts),
            Job("answer-receipts", every(timedelta(minutes=1)), self.mail_answer_receipts),
            Job("receipts", every(timedelta(minutes=1)), self.write_receipts),
            Job("refusals", morning, self._tell_of_refusals),
            Job("checkpoint", morning, self._anchor_daily),
            Job("heartbeat", every(timedelta(minutes=1)), lambda now: self._beat(worker, now)),
            Job("compare", every(timedelta(hours=1)), lambda now: self._judge(now, full=False)),
            Job("verify", every(timedelta(days=7)), lambda now: self._judge(now, full=True)),
            Job("keys", every(timedelta(hours=1)), lambda now: custody.tell_of_keys(self, now)),
        ]
        jobs += Retaining(self).jobs()
        return Jobs({job.name: job for job in jobs}, self.engine, self.writer, self.clock, worker.id, self._job_failed)

    def read_post(self, now: datetime) -> None:
        """Read what came in by mail, where the settings name its folder."""
        folder = self.settings.mail.incoming if self.settings.mail else None
        if folder is None:
            return

        def take(one: incoming.Incoming) -> bool:
            return self.write(lambda unit: incoming.take(unit, self.controller, one, now))

        mail_directory.take_in(folder, take)
        read = mail_directory.put_right(folder, self.read(incoming.unread))
        if read:
            self.write(lambda unit: incoming.mark_read(unit, read, now))

    def mail_answer_receipts(self, now: datetime) -> None:
        """Mail the contacts what was answered in their name."""
        if self.mail is None:
            return
        for one in self.read(lambda connection: answer_receipts.owed(connection, now)):
            try:
                if not answer_receipts.send(self.controller, self.mail, self.log.signer, one, now):
                    return  # the mail host takes nothing just now
            except CredentialsRejected as refused:
                self._tell_of_mail_host(refused, now)
                return
            self.write(lambda unit, one=one: answer_receipts.mark_sent(unit, one, now))  # type: ignore[misc]  # because mypy does not infer a lambda's default

    def _look_at_clock(self, _: datetime) -> None:
        timekeeping.tell(self, timekeeping.trouble(self))

    def _ladder(self, now: datetime) -> None:
        self.write(lambda unit: escalation.climb(unit, self.controller, now))

    def _tell_of_refusals(self, now: datetime) -> None:
        self.write(lambda unit: tell_of_rest(unit, self.controller, now))

    def _anchor_daily(self, now: datetime) -> None:
        self.anchor(now)

    def _beat(self, worker: Worker, now: datetime) -> None:
        """Tell the heartbeat's watcher that we live: only if the worker turned and the store took this job's row."""
        url = self.settings.alerts.heartbeat
        if url is None or not self._turning(worker, now):
            return
        try:
            self.http.call("GET", url.get_secret_value(), template="GET heartbeat")
        except NoAnswer as error:
            telemetry.log("service").warning("heartbeat not delivered", error=error)

    def _judge(self, now: datetime, *, full: bool) -> None:
        judge_and_tell(self, now, full=full, progress=lambda *_: liveness.beat())

    def _job_failed(self, name: str) -> None:
        self.write(
            lambda unit: raise_alert(
                unit.connection,
                cause="job",
                role="operator",
                subject="A timed job failed",
                body="dpsync tries again in five minutes. `dpsync check` shows more.",
                now=self.clock.now(),
                zone=self.zone,
                concerns=[Concern(name, f"job {name}")],
            )
        )

    def _after_work(self, now: datetime) -> None:
        """What follows from what happened: questions to contacts, receipts of what closed, alerts."""
        try:
            self.ask_contacts(now)
            self.write_receipts(now)
        finally:
            self.send_alerts(now)

    def ask_contacts(self, now: datetime) -> None:
        """Ask the contacts that letters wait for whether they are the right ones."""
        if self.mail is None or not self.controller.public_url:
            return
        for name, address in self.read(lambda c: acknowledgement.contacts_to_ask(c, self.controller)):
            self._ask_contact(self.mail, name, address, now)

    def _ask_contact(self, mail: Mail, name: str, address: str, now: datetime) -> None:
        refused = False
        try:
            if not acknowledgement.ask_contact(self.controller, mail, name, address, now):
                return
        except CredentialsRejected as error:
            self._tell_of_mail_host(error, now)
            return  # it is asked again: nobody there has said no
        except MailRefused:
            refused = True  # asked once a minute for ever, it would be refused as often: a person must hear of it

        def work(unit: Unit) -> None:
            contacts.mark_asked(unit.connection, self.controller, name, address, now)
            if refused:
                undelivered.tell_of_contact(unit, self.controller, name, now)

        self.write(work)

    def _tell_of_mail_host(self, refused: CredentialsRejected, now: datetime) -> None:
        self.write(lambda unit: undelivered.tell_of_mail_host(unit, self.controller, refused, now))

    def write_receipts(self, now: datetime) -> None:
        """Write the receipt of each request that closed, or closed anew, since its receipt was written."""
        missing = self.custody.receipts.missing(self.read(receipts.closed))
        refused = self.custody.write_receipts(missing, lambda one: self.receipt(one, now))
        if refused:
            self.write(lambda unit: receipts.tell_of(unit.connection, refused, now, self.zone))
        if self.custody.behind(self.read):  # of this time, or of one that ended between the two
            self.anchor(now)

    def send_alerts(self, now: datetime) -> None:
        """Send what waits in the outbox."""
        self.outbox.send_due(lambda work: self.write(lambda unit: work(unit.connection)), self.read, now)

    # --- serving

    def serve(self, *, ready: Callable[[str], None]) -> signal.Signals | None:
        """Receiver, worker and timed jobs in this process, until SIGTERM or SIGINT. `ready` is told once, with the URL.

        On a signal: accept nothing more, let what is under way finish for 20 s, abort what is left of it, give the
        accounts back. No thread holds the process beyond that. Raises `Locked` where another worker drives this store,
        or the address is taken. Returns the signal that ended it.
        """
        with worker_lock(self.settings.store.url), self._listening() as listener, metrics.listening(self):
            self.start()
            self._look_at_clock(self.clock.now())
            worker = self.worker()
            worker.start()
            jobs = self._jobs(worker)
            jobs.start()
            stop = threading.Event()
            host, port = listener.getsockname()[:2]
            parts = (
                Watched("worker", lambda: worker.run(stop), silent_for=self.silent_for["worker"]),
                Watched("timed", lambda: jobs.tick(stop), silent_for=self.silent_for["timed"]),
            )
            self.parts = parts

            def up() -> None:
                systemd.notify("READY=1", "STATUS=ready")
                ready(f"http://{host}:{port}")

            server = Server(serve_config(create_app(self._ports(worker)), host, port), up, stop)
            guard = Guard((*parts, server.pulse), stop, server.end, lambda: self._how_it_goes(worker))
            with server.holding_signals():
                try:
                    for part in parts:
                        part.start()
                    guard.start()
                    server.run(sockets=[listener])
                finally:
                    systemd.notify("STOPPING=1")
                    stop.set()
                    worker.wake()
                    until = self.clock.monotonic() + ENDED_WITHIN
                    for part in parts:
                        if not part.trouble:  # what hangs is not waited for
                            part.join(max(0.0, until - self.clock.monotonic()))
                    guard.ended()
            if guard.failed:
                raise Stalled(f"{guard.failed}: this process ends, to be started again")
            return server.ended_by

    def _how_it_goes(self, worker: Worker) -> str:
        if held := self.patience.said or self.disks.trouble or worker.away:
            return f"waiting: {held}"
        return "ready" if self._turning(worker, self.clock.now()) else "waiting: the database does not answer"

    @contextmanager
    def _listening(self) -> Iterator[socket.socket]:
        host, _, port = self.settings.intake.listen.rpartition(":")
        try:
            # Named TCP: only then does asyncio set TCP_NODELAY, without which each answer waits 40 ms.
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host.strip("[]"), int(port)))
            listener.listen(512)
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "no such host"
            raise Locked(f"cannot listen on {self.settings.intake.listen}: {why}", code="DP-104") from error
        with listener:
            yield listener

    def _ports(self, worker: Worker) -> Ports:
        verifier = Verifier([secret.get_secret_value() for secret in self.settings.intake.secrets])

        def receive(request: Request | Withdrawal, body: bytes, now: datetime) -> "Future[Received]":
            future = self.receive(request, body, now)
            future.add_done_callback(lambda _: worker.wake())
            return future

        return Ports(
            now=self.clock.now,
            verify=verifier.verify,
            parse=parse,
            receive=receive,
            ready=lambda: self.readiness(worker),
            answer_page=self._answer_page,
            record_answer=self._record_answer,
            contact_page=self._contact_page,
            confirm_contact=self._confirm_contact,
            worklist_page=Retaining(self).page,
            attest=Retaining(self).attest,
            listens=self.inbound.listens,
            deliver=self._deliver,
            refused=self.refusals.note,
            controller=self.settings.controller.name,
            rehearsal=self.settings.controller.rehearsal,
        )

    def _deliver(self, processor: str, secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        seen = self.inbound.connector(processor, secret).receive(headers, body)
        if seen:
            self.write(lambda unit: acts.note(unit, self.controller, processor, seen, now))

    def readiness(self, worker: Worker) -> dict[str, object]:
        """What /readyz says: ready means that worker and timed jobs go on, and that store and disks take what comes."""
        turning = self._turning(worker, self.clock.now())
        closed = self.disks.trouble
        still = {part.name for part in self.parts if part.trouble} | (set() if turning else {"worker"})
        return {
            "status": "not ready" if still or closed else "ready",
            "worker": "still" if "worker" in still else "turning",
            "timed": "still" if "timed" in still else "turning",
            "disks": "cannot be written" if closed else "written",
            "entries": self.read(self.log.size),
        }

    def _turning(self, worker: Worker, now: datetime) -> bool:
        return worker.turned_at is not None and now - worker.turned_at < timedelta(seconds=30)

    def _answer_page(self, token: str, now: datetime) -> AnswerPage | None:
        found = self.read(lambda connection: acknowledgement.question(connection, self.controller, token, now))
        if found is None:
            return None
        return AnswerPage(found.reference, found.right, found.processor, found.lifting, found.earlier)

    def _record_answer(
        self, token: str, kind: AnswerKind, given: acknowledgement.Given, now: datetime
    ) -> "Future[object]":
        return self.writer.submit(
            lambda unit: acknowledgement.answer_by_link(unit, self.controller, token, kind, given, now)
        )

    def _contact_page(self, token: str) -> ContactPage | None:
        found = self.read(lambda connection: acknowledgement.contact_of(connection, self.controller, token))
        return None if found is None else ContactPage(found[0], confirmed=found[1])

    def _confirm_contact(self, token: str, now: datetime) -> "Future[object]":
        return self.writer.submit(lambda unit: acknowledgement.confirm_contact(unit, self.controller, token, now))
