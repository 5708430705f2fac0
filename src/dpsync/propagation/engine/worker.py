"""The worker: keeps its heartbeat and its accounts, and turns each account's drive."""

import secrets
import threading
from collections.abc import Callable, Collection
from datetime import datetime

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from dpsync import liveness, telemetry
from dpsync.connector_services import CALLS_AT_ONCE, Clock
from dpsync.errors import DpsyncError, Locked
from dpsync.propagation.controller import Controller
from dpsync.propagation.engine import lease
from dpsync.propagation.engine.attempts import Attempts
from dpsync.propagation.engine.call_threads import CallThreads
from dpsync.propagation.engine.drive import Drive
from dpsync.propagation.engine.membership import TERMS, Lease, Membership
from dpsync.propagation.queue.tasks import anything_due, due_accounts
from dpsync.store.database import reading
from dpsync.store.trouble import trouble
from dpsync.store.writer import Writer

POLL = 0.5
SHORT_POLL = 0.02
FRUITLESS = 250
"""Turns in a row that could begin nothing of what is due; then it is somebody else's, and this run ends."""
STOP_WITHIN = 20.0
"""How long an orderly stop lets calls go on; then they are aborted."""
ABORT_WITHIN = 2.0
"""How long what was aborted may take to be recorded as in doubt."""
LEAVE_WITHIN = 5.0


class Worker:
    """Drives every account that it can get. `alone`: this process holds the file lock of a SQLite store.

    `shared_now` is the clock that heartbeats go by, see `Membership`. `abort` ends every call that is under way.
    """

    def __init__(
        self,
        controller: Controller,
        engine: Engine,
        writer: Writer,
        clock: Clock,
        *,
        alone: bool,
        terms: Lease = TERMS,
        calls_at_once: int = CALLS_AT_ONCE,
        abort: Callable[[], None] = lambda: None,
        stop_within: float = STOP_WITHIN,
        leave_within: float = LEAVE_WITHIN,
        shared_now: Callable[[Connection], datetime] | None = None,
    ) -> None:
        self.id = "w-" + secrets.token_hex(8)
        self._controller = controller
        self._engine = engine
        self._writer = writer
        self._clock = clock
        self._alone = alone
        self._abort = abort
        self._stop_within = stop_within
        self._leave_within = leave_within
        self._attempts = Attempts(controller, self.id, clock)
        now = shared_now or (lambda _: clock.now())
        self._membership = Membership(self.id, controller, writer, clock, terms, now)
        self._drives: dict[str, Drive] = {}
        self._epochs: dict[str, int] = {}  # under which each account was taken
        self._lost: list[Drive] = []  # another worker's by now; a call of ours may still be under way
        self._wake = threading.Event()
        caps = {p.account: p.connector.max_inflight for p in controller.processors.values()}
        self._threads = CallThreads(max(4, min(calls_at_once, sum(caps.values()))))
        self.turned_at: datetime | None = None
        self.away = ""  # why the store does not answer, in our words, for as long as it does not

    def wake(self) -> None:
        """Look again now: something was accepted, or finished."""
        self._wake.set()

    def start(self) -> None:
        """Give every configured account its row, and take over what a dead process left."""
        self._membership.start(alone=self._alone)

    def turn(self) -> int:
        """Renew, take what is free, and fill every drive's slots. Returns how many calls are under way."""
        if self._clock.monotonic() >= self._membership.next_beat:
            self._renew()
        self.turned_at = self._clock.now()
        drives = list(self._drives.values())
        due = self._due() if any(drive.quiet for drive in drives) else set()
        return sum(self._turned(drive) for drive in drives if drive.account_id in due or not drive.quiet)

    def _due(self) -> Collection[str]:
        """Where something is to do: one question for all accounts, for most have nothing."""
        with reading(self._engine) as connection:
            return due_accounts(connection, self.id, self._clock.now())

    def _turned(self, drive: Drive) -> int:
        try:
            return drive.turn()
        except (SQLAlchemyError, Locked):
            raise  # the store's trouble concerns all of them
        except Exception as error:  # noqa: BLE001 - because one bad row at one account must not stop the others
            telemetry.log("worker").error("defect", error=error, account=drive.account_id)
            return 0

    def run(self, stop: threading.Event) -> None:
        """Turn until `stop` is set, then let what is under way finish."""
        while not stop.is_set():
            liveness.beat()
            self._wake.clear()
            try:
                self.turn()
                self.away = ""
            except (SQLAlchemyError, Locked) as error:
                self.away = _why(error)
                telemetry.log("worker").warning(
                    "the store does not answer", error=error, reason=telemetry.Sentence(self.away)
                )
                # The store is gone for the moment. Nothing was begun, and nothing is lost: the rows are the truth.
                stop.wait(POLL)
            except Exception as error:  # noqa: BLE001 - because a worker that died of one bad row drives nothing at all
                telemetry.log("worker").error("defect", error=error)
                stop.wait(POLL)
            self._wake.wait(POLL)
        self.close()

    def run_until_idle(self, progress: Callable[[int], None] | None = None) -> None:
        """Drive everything due until nothing is due, or nothing of it can be begun here."""
        fruitless = under_way = 0
        while fruitless < FRUITLESS:
            self._wake.clear()
            if under_way == 0:  # else at its usual beat: on each of a thousand turns it was a twelfth of all statements
                self._membership.next_beat = min(self._membership.next_beat, self._clock.monotonic())
            under_way = self.turn()
            if progress:
                progress(under_way)
            if under_way == 0 and not self._anything_due():
                return
            # Due and yet nothing under way: another worker's share, or an attempt of its that is not answered yet.
            fruitless = 0 if under_way else fruitless + 1
            self._wake.wait(POLL if under_way else SHORT_POLL)

    def close(self) -> None:
        """Begin nothing more, wait for what is under way, abort what is left of it, give the accounts back."""
        self._membership.valid_until = 0.0
        if self._calling_after(self._stop_within):
            self._abort()
        calling = self._calling_after(ABORT_WITHIN)
        self._threads.close()
        left = self._writer.submit(lambda unit: lease.leave(unit, self.id, calling))
        try:
            left.result(timeout=self._leave_within)
        except (TimeoutError, SQLAlchemyError, Locked) as error:
            # A store that does not answer keeps nobody from stopping: the others wait for our heartbeat's end.
            telemetry.log("worker").warning("left without giving the accounts back", error=error)

    def _calling_after(self, seconds: float) -> set[str]:
        """The accounts where calls are still under way once all have ended, or `seconds` have passed."""
        waited = threading.Event()
        until = self._clock.monotonic() + seconds
        while (calling := self._calling()) and self._clock.monotonic() < until:
            waited.wait(SHORT_POLL)
        return calling

    def _calling(self) -> set[str]:
        return {drive.account_id for drive in [*self._drives.values(), *self._lost] if not drive.idle}

    def _renew(self) -> None:
        owned, asked = self._membership.renew()
        # Another epoch: it was somebody else's in between, who may have done what is newer.
        kept = {account_id for account_id in self._drives if owned.get(account_id) == self._epochs[account_id]}
        # Before the lease is longer again: a slot that slept through its end must not go on with another's account.
        self._lost = [drive for drive in self._lost if not drive.idle]
        for account_id in self._drives.keys() - kept:
            drive = self._drives.pop(account_id)
            drive.lose()
            self._lost.append(drive)
        self._membership.hold(asked)
        self._epochs = owned
        for account_id in owned.keys() - kept:
            self._drives[account_id] = self._back(account_id) or self._drive(account_id)

    def _back(self, account_id: str) -> Drive | None:
        """The drive of an account that was lost and came back while a call was under way: that call still counts."""
        return next((drive for drive in self._lost if drive.account_id == account_id and not drive.idle), None)

    def _drive(self, account_id: str) -> Drive:
        return Drive(
            account_id,
            self._controller,
            self._engine,
            self._writer,
            self._clock,
            self._threads,
            attempts=self._attempts,
            may_call_until=lambda: self._membership.valid_until if account_id in self._drives else 0.0,
            wake=self.wake,
        )

    def _anything_due(self) -> bool:
        configured = {processor.account for processor in self._controller.processors.values()}
        with reading(self._engine) as connection:
            return anything_due(connection, configured, self.id, self._clock.now())


def _why(error: SQLAlchemyError | Locked) -> str:
    """What is wrong with the store, as a command would say it at its start."""
    found = trouble(error) if isinstance(error, DBAPIError) else error
    return found.message if isinstance(found, DpsyncError) else "the database does not answer"
