"""Drives one account: takes what is due, begins it, asks the connector, records the answer.

`Drive.turn` is the whole engine. Between "begun" and "recorded" no transaction is open; if we die there, the attempt
stands unanswered in the store and is read back before it is repeated.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, select
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, SQLAlchemyError

from dpsync import telemetry
from dpsync.connector import Applied, Finding, Outcome, Retryable
from dpsync.connector_services import Clock
from dpsync.errors import CredentialsRejected, Locked
from dpsync.propagation.controller import Controller
from dpsync.propagation.engine import lookalikes
from dpsync.propagation.engine.attempts import Attempts, Begun
from dpsync.propagation.engine.call_threads import CallThreads
from dpsync.propagation.engine.choosing import postpone
from dpsync.propagation.engine.lease import Unanswered, recover
from dpsync.propagation.queue.due import is_blocked
from dpsync.propagation.queue.tasks import Task, due_tasks, due_without_a_call
from dpsync.propagation.record import Update
from dpsync.propagation.rules.lifecycle import Defect, Interrupted
from dpsync.store import tables as t
from dpsync.store.database import reading
from dpsync.store.shelf import take_notes
from dpsync.store.writer import Writer

_OF_ONE_ROW = (DataError, IntegrityError, ProgrammingError)
"""What a database refuses however often it is asked: tried again at once it would be asked in a circle."""

_ACCOUNT = select(t.account.c.stopped, t.account.c.paused_until).where(t.account.c.id == bindparam("account"))

Said = Outcome | Finding | CredentialsRejected | Defect
Beginning = tuple[Task, "Future[Begun | None]"]
"""A task, and its attempt that is being begun."""


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
        threads: CallThreads,
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
        self._threads = threads
        self._attempts = attempts
        self._may_call_until = may_call_until
        self._wake = wake
        self._leases = 0  # how many leases were lost
        self._busy: set[str] = set()
        self._buffer: deque[Task] = deque()
        self._open_slots = 0  # how many the account's health allows
        self._slots = 0  # how many are at work
        self._unrecorded = 0  # how many found trouble with the account that its row does not tell of yet
        self._interrupted = False  # an attempt stands unanswered that nobody works on
        self._failed: dict[int, Defect | Interrupted] = {}  # what became of it, by its attempt; else our store failed
        self._lock = threading.Lock()
        caps = [p.connector.max_inflight for p in controller.processors.values() if p.account == account_id]
        self._cap = min(caps, default=1)

    @property
    def idle(self) -> bool:
        """Nothing is in flight."""
        with self._lock:
            return self._slots == 0

    @property
    def quiet(self) -> bool:
        """Nothing is in flight, waits here, or was interrupted: only what is due can give it something to do."""
        with self._lock:
            return not (self._slots or self._buffer or self._interrupted)

    def turn(self) -> int:
        """Fill the free slots with what is due. Returns how many slots are at work."""
        self._recover()
        with self._lock:
            full = self._slots >= self._open_slots and len(self._buffer) >= self._cap
        if not full and self._may_begin():
            self._refill()
        with self._lock:
            while self._slots < self._open_slots and (task := self._take()) is not None:
                self._slots += 1
                self._threads.submit(partial(self._slot, task))
            return self._slots

    def _recover(self) -> None:
        """After a slot died under us (the store was gone when it wanted to finish), its attempt is in doubt."""
        with self._lock:
            if not self._interrupted or self._slots:
                return
        now, failed = self._clock.now(), dict(self._failed)

        def judged(left: Unanswered) -> Defect | Interrupted:
            return failed.get(left.id, Interrupted())

        self._writer.call(lambda unit: recover(unit, self._controller, self.account_id, judged, now))
        with self._lock:
            self._interrupted = False
            self._failed.clear()

    def lose(self) -> None:
        """The lease is gone: what was due under it begins no call any more, also where the account comes back."""
        self._leases += 1
        with self._lock:
            self._buffer.clear()

    def _while_held(self) -> Callable[[], float]:
        lost = self._leases
        return lambda: self._may_call_until() if self._leases == lost else 0.0

    def _may_begin(self) -> bool:
        return self._clock.monotonic() < self._may_call_until()

    def _refill(self) -> None:
        now = self._clock.now()
        with self._lock:
            known = self._busy | {task.subject_id for task in self._buffer}
        with reading(self._engine) as connection:
            free, most = self._free(connection, now), 2 * self._cap + len(known)
            if free:
                due = due_tasks(connection, self.account_id, now, self._while_held(), most)
            else:
                due = due_without_a_call(connection, self.account_id, now, most)
        new = [task for task in due if task.subject_id not in known]
        with self._lock:
            opens = 0 if self._unrecorded else free
            self._open_slots = opens
            self._buffer = deque([*self._buffer, *new] if opens else [])
        for beginning in [] if free else [self._order(task) for task in new]:
            self._begun(beginning)

    def _free(self, connection: Connection, now: datetime) -> int:
        account = connection.execute(_ACCOUNT, {"account": self.account_id}).one_or_none()
        if (
            self._unrecorded
            or account is None
            or account.stopped
            or (account.paused_until and account.paused_until > now)
        ):
            return 0
        # After a pause one call is a half-open probe; the others come when it has succeeded.
        return 1 if account.paused_until else self._cap

    def _take(self) -> Task | None:
        """The next task whose subject is not in flight; its subject is in flight from here on. Needs the lock.

        None where an attempt was interrupted: the account runs empty, so that it is recovered.
        """
        if self._interrupted or not self._may_begin():
            return None
        for _ in range(len(self._buffer)):
            task = self._buffer.popleft()
            if task.subject_id not in self._busy:
                self._busy.add(task.subject_id)
                return task
        return None

    def _slot(self, task: Task) -> None:
        """Go on with one task after the other while this account has any."""
        current = self._order(task) if self._may_begin() else None  # what waited for a thread may be too late
        if current is None:
            with self._lock:
                self._busy.discard(task.subject_id)
        try:
            while current is not None:
                current = self._through(current)
        except BaseException as error:  # noqa: BLE001 - because a slot that died in silence would be counted for ever
            self._interrupted = True
            telemetry.log("drive").error("interrupted", error=error, account=self.account_id)
        finally:
            with self._lock:
                self._slots -= 1
            self._wake()

    def _through(self, beginning: Beginning) -> Beginning | None:
        """Bring one task to its end, and begin the next in the same commit: a slot waits once a task, not twice."""
        following: Beginning | None = None
        begun: Begun | None = None
        try:
            begun = self._begun(beginning)
            if begun is not None:
                said = self._ask(begun)
                came = Update(begun.propagation_id, said, self._clock.now(), begun, notes=take_notes())
                finished = self._writer.submit_to(self._attempts.finish, came)
                trouble = any(isinstance(one, (Retryable, CredentialsRejected)) or is_blocked(one) for one in said)
                if trouble:
                    self._record_first(finished)
                else:
                    following = self._next()
                    finished.result()
        except BaseException as error:
            self._release(following)
            if begun is not None:
                self._failed[begun.id] = _failure_of(error)
            raise
        finally:
            self._release(beginning)
        return following or self._next()

    def _record_first(self, finished: "Future[Any]") -> None:
        """Begin nothing more until the account's row tells of the trouble, and has been looked at again."""
        self._hold_back(1)
        try:
            finished.result()
        finally:
            self._hold_back(-1)

    def _hold_back(self, unrecorded: int) -> None:
        with self._lock:
            self._unrecorded += unrecorded
            self._open_slots = 0
            self._buffer.clear()

    def _next(self) -> Beginning | None:
        with self._lock:
            # A long backlog at one account must not keep the threads from the others.
            stay = self._slots <= self._open_slots and not self._threads.crowded
            task = self._take() if stay else None
            low = len(self._buffer) < self._cap
        if low:
            self._wake()
        return self._order(task) if task else None

    def _release(self, beginning: Beginning | None) -> None:
        if beginning is not None:
            with self._lock:
                self._busy.discard(beginning[0].subject_id)

    def _order(self, task: Task) -> Beginning:
        return task, self._writer.submit_to(self._attempts.begin, task)

    def _begun(self, beginning: Beginning) -> Begun | None:
        """The attempt, once it is committed as begun: from here on it is visible and unanswered, whatever happens."""
        task, begun = beginning
        try:
            return begun.result()
        except Exception as error:
            if isinstance(error, (SQLAlchemyError, Locked)) and not isinstance(error, _OF_ONE_ROW):
                raise  # the store's trouble, not this task's
            telemetry.log("drive").error("cannot begin", error=error, account=self.account_id)
            now = self._clock.now()
            self._writer.call(lambda unit: postpone(unit, self._controller, task, now))
            return None

    def _ask(self, begun: Begun) -> list[Said]:
        """Call the connector, with no transaction open."""
        take_notes()  # what an interrupted call noted belongs to nobody's outcome
        said: list[Said] = []
        try:
            if begun.kind == "verify":
                return [begun.connector.verify(begun.instruction)]
            outcome = lookalikes.tell(begun.connector, begun.instruction)
            said.append(outcome)
            if isinstance(outcome, Applied) and begun.verifies:
                said.append(begun.connector.verify(begun.instruction))
        except CredentialsRejected as error:
            said.append(error)
        except (SQLAlchemyError, Locked):
            raise  # what a connector remembers is in the store too: its trouble is no defect of this propagation
        except Exception as error:  # noqa: BLE001 - because one poisoned propagation must not stop the others
            # The one place where what no connector may raise is caught: it becomes a defect on the record.
            telemetry.log("drive").error("defect", error=error, account=self.account_id, kind=begun.kind)
            said.append(Defect())
        return said


def _failure_of(error: BaseException) -> Defect | Interrupted:
    """What became of an attempt whose thread ended with `error`: only what is not our store's trouble is charged."""
    if isinstance(error, (SQLAlchemyError, Locked)) and not isinstance(error, _OF_ONE_ROW):
        return Interrupted()
    # What is no Exception (SystemExit) ends threads, and elsewhere whole processes.
    return Defect() if isinstance(error, Exception) else Interrupted(crashed=True)
