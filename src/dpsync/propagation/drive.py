"""Drives one account: takes what is due, begins it, asks the connector, records the answer.

`Drive.turn` is the whole engine. Between "begun" and "recorded" no transaction is open; if we die there, the attempt
stands unanswered in the store and is read back before it is repeated.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError

from dpsync import telemetry
from dpsync.connector import Applied, Clock, Finding, Outcome, Retryable
from dpsync.errors import CredentialsRejected, Locked
from dpsync.propagation.attempts import Attempts, Begun, Order, Task, postpone
from dpsync.propagation.controller import Controller
from dpsync.propagation.lease import recover
from dpsync.propagation.lifecycle import Defect, Interrupted, Timer
from dpsync.propagation.record import Happened
from dpsync.store import tables as t
from dpsync.store.database import reading
from dpsync.store.writer import Writer

Said = Outcome | Finding | CredentialsRejected | Defect


class Drive:
    """One account, driven by one worker.

    `may_call_until` gives the monotonic moment after which no call may begin (the lease's end). `wake` is called
    whenever something finished, so that the worker looks again.
    """

    def __init__(
        self,
        account_id: str,
        controller: Controller,
        engine: Engine,
        writer: Writer,
        clock: Clock,
        pool: Executor,
        *,
        attempts: Attempts,
        may_call_until: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self.account_id = account_id
        self._controller = controller
        self._engine = engine
        self._writer = writer
        self._clock = clock
        self._pool = pool
        self._attempts = attempts
        self._may_call_until = may_call_until
        self._wake = wake
        self._tenure = 0  # how often the lease was lost
        self._busy: set[str] = set()
        self._buffer: deque[Task] = deque()
        self._open_slots = 0  # how many the account's health allows
        self._slots = 0  # how many are at work
        self._cut_off: Defect | Interrupted | None = None  # an attempt stands unanswered that nobody works on
        self._lock = threading.Lock()
        caps = [p.connector.max_inflight for p in controller.processors.values() if p.account == account_id]
        self._cap = min(caps, default=1)

    @property
    def idle(self) -> bool:
        """Nothing is in flight."""
        with self._lock:
            return self._slots == 0

    def turn(self) -> int:
        """Fill the free slots with what is due. Returns how many slots are at work."""
        self._heal()
        with self._lock:
            full = self._slots >= self._open_slots and len(self._buffer) >= self._cap
        if not full and self._may_begin():
            self._refill()
        with self._lock:
            while self._slots < self._open_slots and (task := self._take()) is not None:
                self._slots += 1
                self._pool.submit(self._slot, task)
            return self._slots

    def _heal(self) -> None:
        """After a slot died under us (the store was gone when it wanted to finish), its attempt is in doubt."""
        with self._lock:
            what = self._cut_off if self._slots == 0 else None
        if what is not None:
            now = self._clock.now()
            self._writer.call(lambda unit: recover(unit, self._controller, self.account_id, what, now))
            self._cut_off = None

    def lose(self) -> None:
        """The lease is gone: what was begun under it begins no call any more, also where the account comes back."""
        self._tenure += 1

    def _while_held(self) -> Callable[[], float]:
        tenure = self._tenure
        return lambda: self._may_call_until() if self._tenure == tenure else 0.0

    def _may_begin(self) -> bool:
        return self._clock.monotonic() < self._may_call_until()

    def _refill(self) -> None:
        now = self._clock.now()
        with self._lock:
            known = self._busy | {task.subject_id for task in self._buffer}
        with reading(self._engine) as connection:
            free = self._free(connection, now)
            due = due_tasks(connection, self.account_id, now, limit=2 * self._cap + len(known)) if free else []
        with self._lock:
            self._open_slots = free
            if not free:
                self._buffer.clear()
            self._buffer.extend(task for task in due if task.subject_id not in known)

    def _free(self, connection: Connection, now: datetime) -> int:
        account = connection.execute(select(t.account).where(t.account.c.id == self.account_id)).one_or_none()
        if account is None or account.stopped or (account.paused_until and account.paused_until > now):
            return 0
        # After a pause one call tries the door; the others come when it has opened.
        return 1 if account.paused_until else self._cap

    def _take(self) -> Task | None:
        """The next task whose subject is not in flight; its subject is in flight from here on. Needs the lock."""
        if not self._may_begin():
            return None
        for _ in range(len(self._buffer)):
            task = self._buffer.popleft()
            if task.subject_id not in self._busy:
                self._busy.add(task.subject_id)
                return task
        return None

    def _slot(self, task: Task) -> None:
        """Go on with one task after the other while this account has any."""
        current: Task | None = task
        try:
            while current is not None:
                try:
                    self._run(current)
                except BaseException as error:
                    ours = isinstance(error, Exception) and not isinstance(error, (SQLAlchemyError, Locked))
                    self._cut_off = Defect() if ours else Interrupted()
                    telemetry.log("drive").error("cut off", error=error, account=self.account_id)
                    raise
                finally:
                    with self._lock:
                        self._busy.discard(current.subject_id)
                with self._lock:
                    stay = self._slots <= self._open_slots
                    current = self._take() if stay else None
                    low = len(self._buffer) < self._cap
                if low:
                    self._wake()
        finally:
            with self._lock:
                self._slots -= 1
            self._wake()

    def _run(self, task: Task) -> None:
        begun = self._begin(task)
        if begun is not None:
            self._finish(begun, self._ask(begun))

    def _begin(self, task: Task) -> Begun | None:
        # After this commit the attempt is visible and unanswered, whatever happens to us.
        now = self._clock.now()
        order = Order(self.account_id, task, now, self._while_held())
        try:
            return self._writer.submit_to(self._attempts.begin, order).result()
        except (SQLAlchemyError, Locked):
            raise  # the store's trouble, not this task's
        except Exception as error:  # noqa: BLE001 - because one row that cannot be read must not stop the others
            telemetry.log("drive").error("cannot begin", error=error, account=self.account_id)
            self._writer.call(lambda unit: postpone(unit, self._controller, self.account_id, task, now))
            return None

    def _ask(self, begun: Begun) -> list[Said]:
        """Call the connector, with no transaction open."""
        said: list[Said] = []
        try:
            if begun.kind == "verify":
                return [begun.connector.verify(begun.instruction)]
            outcome = begun.connector.carry_out(begun.instruction)
            said.append(outcome)
            if isinstance(outcome, Applied) and begun.verifies:
                said.append(begun.connector.verify(begun.instruction))
        except CredentialsRejected as error:
            said.append(error)
        except Exception as error:  # noqa: BLE001 - because one poisoned propagation must not stop the others
            # The one place where what no connector may raise is caught: it becomes a defect on the record.
            telemetry.log("drive").error("defect", error=error, account=self.account_id, kind=begun.kind)
            said.append(Defect())
        return said

    def _finish(self, begun: Begun, said: list[Said]) -> None:
        happened = Happened(begun.propagation_id, said, self._clock.now(), begun.attempt)
        self._writer.submit_to(self._attempts.finish, happened).result()
        if any(isinstance(one, (Retryable, CredentialsRejected)) for one in said):
            with self._lock:
                self._open_slots = 0  # until the account's row has been looked at again
                self._buffer.clear()


# --- what is due


def due_tasks(connection: Connection, account_id: str, now: datetime, limit: int) -> list[Task]:
    """What is due at an account, longest due first: lanes, then timers."""
    lane, p = t.lane.c, t.propagation.c
    lanes = connection.execute(
        select(lane.subject_id)
        .where(lane.account_id == account_id, lane.due_at <= now)
        .order_by(lane.due_at)
        .limit(limit)
    )
    tasks = [Task(row.subject_id) for row in lanes]
    timers = connection.execute(
        select(p.subject_id, p.id, p.timer)
        .where(p.account_id == account_id, p.timer_at <= now)
        .order_by(p.timer_at)
        .limit(limit)
    )
    return tasks + [Task(row.subject_id, row.id, Timer(row.timer)) for row in timers]
