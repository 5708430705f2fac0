"""Drives one account: takes what is due, begins it, asks the connector, records the answer.

`Drive.turn` is the whole engine. Between "begun" and "recorded" no transaction is open; if we die there, the attempt
stands unanswered in the store and is read back before it is repeated.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, CursorResult, Engine, bindparam, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from dpsync import telemetry
from dpsync.alerts import raise_alert
from dpsync.connector import (
    Applied,
    Clock,
    Connector,
    Finding,
    Instruction,
    Letter,
    NoticeKind,
    Outcome,
    Processor,
    Retryable,
)
from dpsync.errors import CredentialsRejected, IllegalTransition, Locked
from dpsync.ledger import entry
from dpsync.ledger.entry import Event
from dpsync.model import Cause, Mode, Request, Right, State, Way, normalised
from dpsync.propagation import at_rest, lanes
from dpsync.propagation.contacts import is_confirmed
from dpsync.propagation.controller import Controller, token_hash
from dpsync.propagation.lease import recover
from dpsync.propagation.lifecycle import Decision, DecisionKind, Defect, Interrupted, Timer
from dpsync.propagation.persons import shares_an_address
from dpsync.propagation.plan import Waiting, choose, overtaken, restriction_in_force
from dpsync.propagation.record import Attempted, Happened, alert, record, record_all, request_key, supersede
from dpsync.store import tables as t
from dpsync.store.database import reading
from dpsync.store.upsert import insert_or_ignore
from dpsync.store.writer import Unit, Writer

NOTICE_LINK_LIVES = timedelta(days=400)
Said = Outcome | Finding | CredentialsRejected | Defect


@dataclass(frozen=True, slots=True)
class Task:
    """Something due: the next of a lane (`timer` None), or what time alone brings about."""

    subject_id: str
    propagation_id: int | None = None
    timer: Timer | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt that is committed as begun, and all that the call needs."""

    propagation_id: int
    attempt: Attempted
    kind: str
    connector: Connector
    verifies: bool
    instruction: Instruction


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
        worker_id: str,
        may_call_until: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self.account_id = account_id
        self._controller = controller
        self._engine = engine
        self._writer = writer
        self._clock = clock
        self._pool = pool
        self._worker_id = worker_id
        self._may_call_until = may_call_until
        self._wake = wake
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
        now, deadline = self._clock.now(), self._may_call_until()
        try:
            return self._writer.call(
                lambda unit: begin(unit, self._controller, self.account_id, task, now, deadline, self._worker_id)
            )
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
        now = self._clock.now()
        self._writer.call(
            lambda unit: record_all(unit, self._controller, [Happened(begun.propagation_id, said, now, begun.attempt)])
        )
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


# --- beginning


def begin(
    unit: Unit,
    controller: Controller,
    account_id: str,
    task: Task,
    now: datetime,
    deadline: float,
    worker_id: str,
) -> Begun | None:
    """Commit to one attempt, or find that there is none to make."""
    if _owner(unit.connection, account_id) not in {worker_id, None}:
        return None  # the lease went while this waited for its turn
    lane = lanes.lane_of(unit.connection, task.subject_id, account_id)
    if any(row.unanswered for row in lane):
        return None
    waiting = [row.waiting for row in lane]
    if task.timer is not None and task.propagation_id is not None:
        if task.timer in {Timer.COOLING_OFF, Timer.ESCALATE}:
            record(unit, controller, task.propagation_id, task.timer, now)
            return None
        own = next((row for row in waiting if row.id == task.propagation_id), None)
        if own is None:
            return None  # its subject was joined with another meanwhile; it is found there next
        if task.timer is Timer.REREAD and overtaken(own, waiting):
            _clear_timer(unit, task.propagation_id)
            return None
        kind = "verify" if task.timer is Timer.REREAD else "reminder"
        return _attempt(unit, controller, own, waiting, kind, now, deadline, worker_id)
    # What belongs to a processor without a section blocks nobody else on the same account.
    choice = choose([row for row in waiting if row.processor in controller.processors] or waiting)
    supersede(unit, controller, choice.superseded, now)
    if choice.head is None:
        lanes.drop_lane(unit.connection, account_id, task.subject_id)
        return None
    return _attempt(unit, controller, choice.head, waiting, "", now, deadline, worker_id)


def postpone(unit: Unit, controller: Controller, account_id: str, task: Task, now: datetime) -> None:
    """Set a task that dpsync itself fails on aside for an hour, and tell the operator."""
    if task.propagation_id is not None:
        unit.connection.execute(
            update(t.propagation)
            .where(t.propagation.c.id == task.propagation_id)
            .values(timer_at=now + timedelta(hours=1))
        )
    else:
        lanes.put_lane_off(unit.connection, account_id, task.subject_id, now + timedelta(hours=1), 0)
    raise_alert(
        unit.connection,
        cause=f"defect:{account_id}",
        role="operator",
        subject="A defect of dpsync on one request",
        body="It cannot be begun; it is tried again every hour. The log names the place. `dpsync status`",
        now=now,
        zone=controller.zone,
    )


def _clear_timer(unit: Unit, propagation_id: int) -> None:
    unit.connection.execute(
        update(t.propagation).where(t.propagation.c.id == propagation_id).values(timer="", timer_at=None)
    )


_P, _R, _N = t.propagation.c, t.request.c, t.attempt.c.number
_TO_TELL = (
    select(
        t.propagation,
        _R.sealed,
        _R.wrapped_key,
        _R.key_month,
        select(func.max(_N)).where(t.attempt.c.propagation_id == _P.id).scalar_subquery().label("attempted"),
    )
    .join(t.request, _R.id == _P.request_id)
    .where(_P.id == bindparam("propagation_id"))
)
_BEGIN = insert(t.attempt)


def _attempt(
    unit: Unit,
    controller: Controller,
    head: Waiting,
    lane: Sequence[Waiting],
    kind: str,
    now: datetime,
    deadline: float,
    worker_id: str,
) -> Begun | None:
    row = dict(unit.connection.execute(_TO_TELL, {"propagation_id": head.id}).mappings().one())
    processor = controller.processors.get(row["processor"])
    key = request_key(controller, row)
    if processor is None or key is None:
        # The processor left the configuration (or the request is shredded): it is looked at again in an hour.
        later = now + timedelta(hours=1)
        if row["timer_at"] is not None:
            unit.connection.execute(update(t.propagation).where(_P.id == head.id).values(timer_at=later))
        if row["state"] == State.PENDING:
            lanes.put_lane_off(unit.connection, row["account_id"], row["subject_id"], later, 0)
        alert(unit.connection, controller, "unconfigured", row["request_id"], row["processor"], None, now)
        return None
    request = at_rest.from_bytes(key.open(row["sealed"], row["request_id"].encode()))
    by_letter = kind == "reminder" or (row["way"] != Way.API and kind != "verify")
    kind = kind or ("verify" if row["doubtful"] else "notice" if by_letter else "carry_out")
    if (wait := _must_wait(unit.connection, controller, processor, row, request, kind)) and kind != "verify":
        _hold_back(unit, controller, head.id, State(row["state"]), wait, now)
        return None
    number = (row["attempted"] or 0) + 1
    made = unit.connection.execute(
        _BEGIN, {"propagation_id": head.id, "number": number, "kind": kind, "worker": worker_id, "begun_at": now}
    )
    told = {"req": row["request_id"], "dest": row["processor"], "right": row["right"], "way": row["way"]}
    unit.append(row["request_id"], entry.encode(Event.ATTEMPT, now, attempt=number, kind=kind, **told))
    letter = _letter(unit, controller, processor, row, kind, now) if by_letter else None
    capability = processor.connector.capabilities.get(request.right)
    addresses = _known_addresses(unit.connection, controller, row, request, head, lane)
    return Begun(
        propagation_id=head.id,
        attempt=Attempted(_new_id(made), number, charged=kind in {"carry_out", "notice"}),
        kind=kind,
        connector=controller.notice if by_letter else processor.connector,
        verifies=bool(capability and capability.verified_by),
        instruction=_instruction(controller, row, request, addresses, key.commit_key, letter, deadline),
    )


def _owner(connection: Connection, account_id: str) -> str | None:
    return connection.execute(select(t.account.c.owner).where(t.account.c.id == account_id)).scalar_one_or_none()


def _must_wait(
    connection: Connection,
    controller: Controller,
    processor: Processor,
    row: Mapping[str, Any],
    request: Request,
    kind: str,
) -> frozenset[Cause]:
    """Why this call may not go *now*, whatever was so when the request came in. Asked before each call that tells.

    A restriction may have come since, another id may use the address, the contact may be another one. What a named
    person has released stays released.
    """
    causes: set[Cause] = set()
    if controller.safety.mode is Mode.OBSERVE:
        causes.add(Cause.OBSERVE)
    if request.irreversible and kind != "reminder":
        everywhere = [one.waiting for one in lanes.lane_of(connection, row["subject_id"])]
        if restriction_in_force(everywhere, row["person"]):
            causes.add(Cause.RESTRICTION_IN_FORCE)
        if shares_an_address(connection, row["person"]):
            causes.add(Cause.SHARED_ADDRESS)
    released = lanes.causes_of(row["released"])
    if row["way"] == Way.NOTICE or kind == "reminder":
        to, _ = _recipient(controller, processor, row, kind)
        if to != controller.operator and not is_confirmed(connection, controller, processor.name, to):
            causes.add(Cause.CONTACT_UNVERIFIED)
        if row["released_contact"] != controller.keys.pseudonym("address", to):
            released -= {Cause.CONTACT_UNVERIFIED}
    return frozenset(causes) - released


def _hold_back(
    unit: Unit, controller: Controller, propagation_id: int, state: State, causes: frozenset[Cause], now: datetime
) -> None:
    if state is State.PENDING:
        record(unit, controller, propagation_id, Decision(DecisionKind.HOLD, causes), now)
        return
    # A reminder that may not go is no reason to wait for ever: a person is told.
    record(unit, controller, propagation_id, Timer.ESCALATE, now)
    _clear_timer(unit, propagation_id)


def _new_id(made: CursorResult[Any]) -> int:
    key = made.inserted_primary_key
    if key is None:
        raise IllegalTransition("an insert without a key")
    new: int = key[0]
    return new


def _letter(
    unit: Unit, controller: Controller, processor: Processor, row: Mapping[str, Any], kind: str, now: datetime
) -> Letter:
    """The next letter of this correspondence, or the one that was begun and never confirmed as sent."""
    number, (to, letter_kind) = row["notices"] + 1, _recipient(controller, processor, row, kind)
    names = row["request_id"], row["processor"], number
    recipient = controller.keys.pseudonym("address", to)
    here = (t.notice.c.propagation_id == row["id"]) & (t.notice.c.number == number)
    # Stored before it is sent: a retry after a crash repeats the same Message-ID, so people see one letter.
    insert_or_ignore(
        unit.connection,
        t.notice,
        {
            "propagation_id": row["id"],
            "number": number,
            "kind": letter_kind,
            "message_id": controller.message_id(*names),
            "reference": controller.reference(*names),
            "token_hash": token_hash(controller.answer_token(*names)),
            "recipient": recipient,
            "created_at": now,
            "expires_at": now + NOTICE_LINK_LIVES,
        },
    )
    # From the day it was first written: a retry on another day must not change the letter under the same id.
    written = unit.connection.execute(select(t.notice.c.created_at).where(here)).scalar_one()
    # The contact may be another one than when it was first written.
    unit.connection.execute(update(t.notice).where(here).values(recipient=recipient))
    references: tuple[str, ...] = ()
    if row["handed"]:
        context = f"{row['request_id']}/{row['processor']}".encode()
        opened = controller.keys.open("handed", row["handed"], context).decode()
        references = tuple(line for line in opened.split("\n") if line)
    return Letter(
        number=number,
        kind=letter_kind,
        to=to,
        processor_title=processor.title,
        answer_by=(written + processor.answer_within).astimezone(controller.zone).date(),
        in_reply_to=controller.message_id(row["request_id"], row["processor"], 1) if row["notices"] else None,
        task=row["task"],
        references=references,
    )


def _recipient(
    controller: Controller, processor: Processor, row: Mapping[str, Any], kind: str
) -> tuple[str, NoticeKind]:
    if row["way"] == Way.OPERATOR:
        return controller.operator, NoticeKind.REMINDER if kind == "reminder" else NoticeKind.TASK
    if kind != "reminder":
        return processor.contact, NoticeKind.FIRST
    if row["state"] == State.ESCALATED and processor.backup_contact:  # held back unless it has confirmed itself
        return processor.backup_contact, NoticeKind.BACKUP
    return processor.contact, NoticeKind.REMINDER


def _instruction(
    controller: Controller,
    row: Mapping[str, Any],
    request: Request,
    addresses: tuple[str, ...],
    digest_key: bytes,
    letter: Letter | None,
    deadline: float,
) -> Instruction:
    names = row["request_id"], row["processor"], letter.number if letter else 1
    token = controller.answer_token(*names)
    return Instruction(
        reference=controller.reference(*names),
        right=request.right,
        addresses=addresses,
        subject_id=request.subject.id,
        phone=request.subject.phone,
        name=request.subject.name,
        references=request.subject.references,
        changes=request.changes,
        lifted=request.lifted,
        message_id=controller.message_id(*names),
        answer_url=f"{controller.public_url}/answers/{token}" if controller.public_url else "",
        digest_key=digest_key,
        deadline=deadline,
        letter=letter,
    )


def _known_addresses(
    connection: Connection,
    controller: Controller,
    row: Mapping[str, Any],
    request: Request,
    head: Waiting,
    lane: Sequence[Waiting],
) -> tuple[str, ...]:
    """Every address this processor may hold the person under, the request's own first.

    Besides those of the request: old and new of each rectification of the same person, unless it was *seen* that the
    processor carried it out; then the new one only, for the old one may be somebody else's by now. An open
    rectification A -> B, then the erasure of B: the processor still holds A.
    """
    own = {normalised(address): address for address in request.addresses}
    rectified = [
        other.id
        for other in lane
        if other.right is Right.RECTIFICATION
        and other.person == head.person
        and other.id != head.id
        # What is held or newer, and was never tried, is known to nobody there: the brake may have stopped it because
        # its address is a stranger's.
        and (other.tried or (other.state is not State.HELD and other.ordinal < head.ordinal))
    ]
    if not rectified:
        return tuple(own.values())
    others = connection.execute(
        select(_P.request_id, _P.state, _P.attempts, _R.sealed, _R.wrapped_key, _R.key_month)
        .join(t.request, _R.id == _P.request_id)
        .where(_P.id.in_(rectified), _P.processor == row["processor"], _R.sealed.is_not(None))
        .order_by(_P.ordinal)
    )
    earlier: dict[str, str] = {}
    for other in others.mappings():
        if other["state"] == State.WITHDRAWN and other["attempts"] == 0:
            continue  # never told to anybody, and withdrawn perhaps because the address was somebody else's
        key = request_key(controller, dict(other))
        if key is None:
            continue
        told = at_rest.from_bytes(key.open(other["sealed"], other["request_id"].encode()))
        new = told.changes.email if told.changes else None
        for address in told.addresses:
            if other["state"] == State.VERIFIED and new and normalised(address) != normalised(new):
                earlier.pop(normalised(address), None)
            else:
                earlier[normalised(address)] = address
    return tuple((own | {name: address for name, address in earlier.items() if name not in own}).values())
