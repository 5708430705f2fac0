"""The worker: keeps its heartbeat and its accounts, and turns each account's drive."""

import secrets
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from dpsync import liveness, telemetry
from dpsync.connector_services import CALL_SECONDS, CALLS_AT_ONCE, Clock
from dpsync.errors import DpsyncError, Locked
from dpsync.propagation.controller import Controller
from dpsync.propagation.engine import lease
from dpsync.propagation.engine.attempts import Attempts
from dpsync.propagation.engine.call_threads import Callers
from dpsync.propagation.engine.drive import NEEDS_NO_CALL, Drive
from dpsync.propagation.queue import waits
from dpsync.propagation.rules.lifecycle import Interrupted
from dpsync.store import tables as t
from dpsync.store.database import reading
from dpsync.store.trouble import trouble
from dpsync.store.upsert import insert_or_ignore
from dpsync.store.writer import Unit, Writer

LEASE = timedelta(seconds=10)
BEAT_EVERY = 2.0
SHORTEN_EVERY = 60.0
POLL = 0.5
SHORT_POLL = 0.02
FRUITLESS = 250
"""Turns in a row that could begin nothing of what is due; then it is somebody else's, and this run ends."""
STOP_WITHIN = 20.0
"""How long an orderly stop lets calls go on; then they are cut."""
CUT_WITHIN = 2.0
"""How long what was cut may take to be recorded as in doubt."""
LEAVE_WITHIN = 5.0


class Worker:
    """Drives every account that it can get. `alone`: this process holds the file lock of a SQLite store.

    `shared_now` is the clock that heartbeats go by. Beyond one machine it must be the database's: a worker whose own
    clock ran two minutes ahead would take living workers for dead. `cut` ends every call that is under way.
    """

    def __init__(
        self,
        controller: Controller,
        engine: Engine,
        writer: Writer,
        clock: Clock,
        *,
        alone: bool,
        lease_for: timedelta = LEASE,
        call_deadline: timedelta = timedelta(seconds=CALL_SECONDS + 1),
        calls_at_once: int = CALLS_AT_ONCE,
        cut: Callable[[], None] = lambda: None,
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
        self._lease_for = lease_for
        self._call_deadline = call_deadline
        self._cut = cut
        self._stop_within = stop_within
        self._leave_within = leave_within
        self._shared_now = shared_now or (lambda _: clock.now())
        self._attempts = Attempts(controller, self.id)
        self._fresh: set[str] = set()  # accounts that nobody knew before
        self._moved = False  # whether everything stands at the account that the settings name
        self._valid_until = 0.0
        self._seen_until = float("inf")  # until when this worker's last heartbeat holds
        self._blind_until = 0.0
        self._next_beat = 0.0
        self._next_shortening = 0.0
        self._drives: dict[str, Drive] = {}
        self._epochs: dict[str, int] = {}  # under which each account was taken
        self._lost: list[Drive] = []  # another worker's by now; a call of ours may still be under way
        self._wake = threading.Event()
        caps = {p.account: p.connector.max_inflight for p in controller.processors.values()}
        self._callers = Callers(max(4, min(calls_at_once, sum(caps.values()))))
        self.turned_at: datetime | None = None
        self.away = ""  # why the store does not answer, in our words, for as long as it does not

    def wake(self) -> None:
        """Look again now: something was accepted, or finished."""
        self._wake.set()

    def start(self) -> None:
        """Give every configured account its row, and take over what a dead process left."""
        accounts = {processor.account for processor in self._controller.processors.values()}

        def work(unit: Unit) -> None:
            for account_id in sorted(accounts):
                if insert_or_ignore(unit.connection, t.account, {"id": account_id}):
                    self._fresh.add(account_id)
            if self._alone:
                lease.alone(unit, self.id)
            self._shorten(unit, self._shared_now(unit.connection))
            self._move(unit)

        self._writer.call(work)

    def _move(self, unit: Unit) -> None:
        now = self._shared_now(unit.connection)
        self._moved = lease.move(unit, self._controller, self.id, self._fresh, now, self._call_deadline)

    def _shorten(self, unit: Unit, shared_now: datetime) -> None:
        """See that nothing waits for a time that a clock named which was ahead: once a minute, over few rows."""
        waits.shorten_beats(unit.connection, shared_now, self._lease_for)
        if self._clock.monotonic() >= self._next_shortening:
            accounts = {processor.account for processor in self._controller.processors.values()}
            waits.shorten(unit.connection, self._controller, accounts, self._clock.now())
            self._next_shortening = self._clock.monotonic() + SHORTEN_EVERY

    def turn(self) -> int:
        """Renew, take what is free, and fill every drive's slots. Returns how many calls are under way."""
        if self._clock.monotonic() >= self._next_beat:
            self._renew()
        self.turned_at = self._clock.now()
        return sum(self._turned(drive) for drive in list(self._drives.values()))

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
                self._next_beat = min(self._next_beat, self._clock.monotonic())
            under_way = self.turn()
            if progress:
                progress(under_way)
            if under_way == 0 and not self._anything_due():
                return
            # Due and yet nothing under way: another worker's share, or an attempt of its that is not answered yet.
            fruitless = 0 if under_way else fruitless + 1
            self._wake.wait(POLL if under_way else SHORT_POLL)

    def close(self) -> None:
        """Begin nothing more, wait for what is under way, cut what is left of it, give the accounts back."""
        self._valid_until = 0.0
        if self._calling_after(self._stop_within):
            self._cut()
        calling = self._calling_after(CUT_WITHIN)
        self._callers.close()
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
        # From before the question: what the answer's way took is time that another worker already counts.
        asked = self._clock.monotonic()
        blind = self._was_blind(asked)

        def work(unit: Unit) -> dict[str, int]:
            now = self._shared_now(unit.connection)
            self._shorten(unit, now)
            lease.beat(unit, self.id, now + self._lease_for)
            if not self._moved:
                self._move(unit)
            taken = lease.acquire(unit, self.id, now, self._call_deadline)
            alive = lease.living(unit, now, self._call_deadline)

            def judged(left: lease.Unfinished, *, whole: bool) -> Interrupted | None:
                if left.worker in alive:
                    return Interrupted() if whole else None
                return Interrupted(crashed=not blind and not left.stopped)

            for account_id in sorted({*taken, *lease.abandoned(unit, self.id, alive)}):
                what = partial(judged, whole=account_id in taken)
                lease.recover(unit, self._controller, account_id, what, self._clock.now())
            mine = select(t.account.c.id, t.account.c.epoch).where(t.account.c.owner == self.id)
            return {row.id: row.epoch for row in unit.connection.execute(mine)}

        owned = self._writer.call(work)
        # Another epoch: it was somebody else's in between, who may have done what is newer.
        kept = {account_id for account_id in self._drives if owned.get(account_id) == self._epochs[account_id]}
        # Before the lease is longer again: a slot that slept through its end must not go on with another's account.
        self._lost = [drive for drive in self._lost if not drive.idle]
        for account_id in self._drives.keys() - kept:
            drive = self._drives.pop(account_id)
            drive.lose()
            self._lost.append(drive)
        self._valid_until = self._seen_until = asked + self._lease_for.total_seconds()
        self._next_beat = asked + min(BEAT_EVERY, self._lease_for.total_seconds() / 3)
        self._epochs = owned
        for account_id in owned.keys() - kept:
            self._drives[account_id] = self._back(account_id) or self._drive(account_id)

    def _was_blind(self, asked: float) -> bool:
        """Whether the store was out of this worker's own reach a moment ago.

        Then the other heartbeats ended because of that, and it says nothing of those workers that they are not back.
        """
        if asked >= self._seen_until:
            self._blind_until = asked + (self._lease_for + self._call_deadline).total_seconds()
        return asked < self._blind_until

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
            self._callers,
            attempts=self._attempts,
            may_call_until=lambda: self._valid_until if account_id in self._drives else 0.0,
            wake=self.wake,
        )

    def _anything_due(self) -> bool:
        now = self._clock.now()
        configured = {processor.account for processor in self._controller.processors.values()}
        with reading(self._engine) as connection:
            mine = select(t.account.c.id).where(
                t.account.c.id.in_(configured), (t.account.c.owner == self.id) | t.account.c.owner.is_(None)
            )
            paused = t.account.c.paused_until
            ready = mine.where(t.account.c.stopped == "", paused.is_(None) | (paused <= now))
            lanes = select(t.lane.c.subject_id).where(t.lane.c.account_id.in_(ready), t.lane.c.due_at <= now)
            timers = select(t.propagation.c.id).where(t.propagation.c.timer_at <= now)
            at = t.propagation.c.account_id
            queries = (lanes, timers.where(at.in_(ready)), timers.where(at.in_(mine), NEEDS_NO_CALL))
            return any(connection.execute(query.limit(1), {"now": now}).first() is not None for query in queries)


def _why(error: SQLAlchemyError | Locked) -> str:
    """What is wrong with the store, as a command would say it at its start."""
    found = trouble(error) if isinstance(error, DBAPIError) else error
    return found.message if isinstance(found, DpsyncError) else "the database does not answer"
