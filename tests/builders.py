"""A small controller with processors that do what a test tells them; real store, real writer, real ledger."""

import itertools
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel
from sqlalchemy import Connection, Engine, select

from dpsync.address import normalised
from dpsync.connector import (
    Accepted,
    Account,
    Applied,
    AsAsked,
    CannotTell,
    Capability,
    Connector,
    Contradicts,
    Evidence,
    Finding,
    Instruction,
    Kit,
    Means,
    NothingHeld,
    Outcome,
    Processor,
    Retryable,
)
from dpsync.intake.answers import Received
from dpsync.intake.side_by_side import SideBySide
from dpsync.ledger.comparison import differences
from dpsync.ledger.log import Log
from dpsync.ledger.note import Signer
from dpsync.model import Changes, Lifted, Request, Right, State, Subject
from dpsync.propagation import contacts
from dpsync.propagation.controller import Controller
from dpsync.propagation.correspondence import acknowledgement, escalation
from dpsync.propagation.engine.worker import Worker
from dpsync.propagation.rules.legal_clock import LegalClock
from dpsync.propagation.rules.lifecycle import AnswerKind
from dpsync.propagation.rules.plan import Safety
from dpsync.sealing import Keys
from dpsync.store import tables as t
from dpsync.store.database import reading
from dpsync.store.writer import Unit, Writer
from tests.told import Told, told_by

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def as_written(table: Any) -> Any:
    """All rows in the order in which they were written, as far as they are counted: PostgreSQL gives them in any."""
    counted = table.autoincrement_column
    if table is t.entry:
        counted = table.c.idx
    return select(table) if counted is None else select(table).order_by(counted)


class TurnableClock:
    """A clock that stands still until a test turns it on."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now
        self._since = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._since

    def advance(self, span: timedelta) -> None:
        self._now += span
        self._since += span.total_seconds()


Answering = Callable[[Instruction], Outcome | Finding]


@dataclass
class Vendor:
    """A processor's own truth: who is held there, and what it was asked. Its answers can be replaced, in order."""

    people: dict[str, dict[str, str]] = field(default_factory=dict)
    answers: list[Answering | Outcome | BaseException] = field(default_factory=list)
    findings: list[Answering | Finding] = field(default_factory=list)
    calls: list[tuple[str, Right, tuple[str, ...]]] = field(default_factory=list)
    lies: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    running: int = 0
    peak: int = 0

    def hold(self, *addresses: str) -> None:
        for address in addresses:
            self.people[normalised(address)] = {"status": "subscribed"}

    def do(self, instruction: Instruction) -> bool:
        """Carry it out truthfully. Whether anybody was there."""
        here = [a for a in map(normalised, instruction.addresses) if a in self.people]
        if self.lies:
            return bool(here)
        for address in here:
            match instruction.right:
                case Right.ERASURE:
                    del self.people[address]
                case Right.OPT_OUT:
                    self.people[address]["status"] = "unsubscribed"
                case Right.RESTRICTION:
                    self.people[address]["status"] = "lifted" if instruction.lifted else "archived"
                case Right.RECTIFICATION:
                    new = instruction.changes.email if instruction.changes else None
                    there = address
                    if new and normalised(new) not in self.people:
                        there = normalised(new)
                        self.people[there] = self.people.pop(address)
                    self.people[there] |= flat(instruction.changes)
        return bool(here)

    def is_as_asked(self, instruction: Instruction) -> bool:
        here = [a for a in map(normalised, instruction.addresses) if a in self.people]
        match instruction.right:
            case Right.ERASURE:
                return not here
            case Right.OPT_OUT:
                return all(self.people[a]["status"] in {"unsubscribed", "archived"} for a in here)
            case Right.RESTRICTION:
                wanted = "lifted" if instruction.lifted else "archived"
                return all(self.people[a]["status"] == wanted for a in here)
            case Right.RECTIFICATION:
                new = instruction.changes.email if instruction.changes else None
                put_right = all(self.people[a].items() >= flat(instruction.changes).items() for a in here)
                return bool(here) and put_right and (new is None or here == [normalised(new)])


def flat(changes: Changes | None) -> dict[str, str]:
    """The fields that are changed, the parts of an address each for itself."""
    found: dict[str, str] = {}
    for name, value in changes.fields.items() if changes else ():
        found |= {name: value} if isinstance(value, str) else {f"{name}.{part}": text for part, text in value.items()}
    return found


def proof(status: int | None = 200) -> tuple[Evidence, ...]:
    return (Evidence("POST /people/{id}", status, START, request_id="req-1", digest="00" * 32),)


class NoKeys(BaseModel):
    pass


class TestConnector(Connector):
    """Tells a `Vendor`."""

    __test__ = False
    name: ClassVar[str] = "test"
    Settings: ClassVar[type[BaseModel]] = NoKeys
    capabilities: ClassVar[dict[Right, Capability]] = {
        right: Capability(Means.API, "done", "", "read", "a test") for right in Right
    }
    max_inflight: ClassVar[int] = 4

    def __init__(self, vendor: Vendor) -> None:
        self.vendor = vendor

    @classmethod
    def from_settings(cls, section: BaseModel, kit: Kit) -> Self:
        raise AssertionError(section, kit)

    def probe(self) -> Account:
        return Account("test", len(self.vendor.people))

    def carry_out(self, instruction: Instruction) -> Outcome:
        vendor = self.vendor
        with vendor.lock:
            vendor.running += 1
            vendor.peak = max(vendor.peak, vendor.running)
            vendor.calls.append(("carry_out", instruction.right, instruction.addresses))
            answer = vendor.answers.pop(0) if vendor.answers else None
        try:
            if isinstance(answer, BaseException):
                raise answer
            if callable(answer):
                return answer(instruction)  # type: ignore[return-value]  # because a test gives what fits
            if answer is not None:
                return answer
            return Applied(evidence=proof()) if vendor.do(instruction) else NothingHeld(evidence=proof(404))
        finally:
            with vendor.lock:
                vendor.running -= 1

    def verify(self, instruction: Instruction) -> Finding:
        vendor = self.vendor
        with vendor.lock:
            vendor.calls.append(("verify", instruction.right, instruction.addresses))
            finding = vendor.findings.pop(0) if vendor.findings else None
        if callable(finding):
            return finding(instruction)  # type: ignore[return-value]  # because a test gives what fits
        if finding is not None:
            return finding
        if vendor.is_as_asked(instruction):
            return AsAsked(evidence=proof())
        return Contradicts(reason="still there", evidence=proof())


class TestLetters(TestConnector):
    """Takes letters and keeps them."""

    __test__ = False
    name: ClassVar[str] = "notice"
    capabilities: ClassVar[dict[Right, Capability]] = {
        right: Capability(Means.NOTICE, "a letter goes out", "", "", "a test") for right in Right
    }

    def __init__(self) -> None:
        super().__init__(Vendor())
        self.letters: list[Instruction] = []

    def carry_out(self, instruction: Instruction) -> Outcome:
        if self.vendor.answers:
            return super().carry_out(instruction)
        self.letters.append(instruction)
        return Accepted(evidence=proof(250))

    def verify(self, instruction: Instruction) -> Finding:
        return CannotTell(reason="only a person can say")


class World:
    """One installation: two API processors and one by letter, on one store."""

    def __init__(self, engine: Engine, folder: Path, *, safety: Safety | None = None) -> None:
        self.engine = engine
        self.clock = TurnableClock()
        self.keys = Keys.create(folder / "keys")
        self.log = Log("example.org/dpsync", Signer("example.org/dpsync", self.keys.signing_key))
        self.writer = Writer(engine, self.log.append)
        self.vendors: dict[str, Vendor] = defaultdict(Vendor)
        self.notice = TestLetters()
        self.controller = Controller(
            name="Example Gardens",
            zone=ZoneInfo("Europe/London"),
            legal_clock=LegalClock("Europe/London", "GB-ENG"),
            processors={"alpha": self.processor("alpha")},
            notice=self.notice,
            keys=self.keys,
            operator="it@example.org",
            safety=safety or Safety(),
            public_url="https://dpsync.example.org",
            domain="example.org",
        )
        self._events = itertools.count(1)
        self._workers: list[Worker] = []
        self._made: list[Worker] = []

    def processor(self, name: str, connector: Connector | None = None, account: str = "") -> Processor:
        return Processor(
            name=name,
            title=name.title(),
            account=account or name,
            connector=connector or TestConnector(self.vendors[name]),
            contact=f"privacy@{name}.example",
            answer_within=timedelta(days=10),
        )

    def use(self, *processors: Processor, safety: Safety | None = None) -> None:
        self.controller = replace(
            self.controller,
            processors={one.name: one for one in processors} or self.controller.processors,
            safety=safety or self.controller.safety,
        )

    def confirm(self, name: str) -> None:
        """The contact of a processor has confirmed itself."""
        self.writer.call(lambda unit: confirm(unit, self.controller, name, self.clock.now()))

    def ask(
        self,
        right: Right,
        email: str | None = None,
        *,
        id: str | None = None,  # noqa: A002 - because it is the field's name in the payload
        to: str | None = None,
        version: int | None = None,
        event: str | None = None,
        body: bytes | None = None,
        lifted: bool = False,
        others: Iterable[str] = (),
        phone: str | None = None,
        changes: Changes | None = None,
    ) -> Received:
        event_id = event or f"evt-{next(self._events)}"
        request = Request(
            source="crm",
            event_id=event_id,
            right=right,
            subject=Subject(id=id, email=email, other_emails=tuple(others), phone=phone),
            received_at=self.clock.now(),
            version=version,
            changes=changes or (Changes(email=to, first_name="Ada") if right is Right.RECTIFICATION else None),
            lifted=Lifted(self.clock.now().date(), "letter") if lifted else None,
        )
        reception = SideBySide(self.controller, self.writer)
        return reception.submit(request, body or event_id.encode(), self.clock.now()).result()

    def answer(self, token: str, kind: AnswerKind) -> None:
        """Somebody at a processor uses the link of a letter."""
        given = acknowledgement.AnswerForm("Pat", "", "203.0.113.9")
        self.writer.call(
            lambda unit: acknowledgement.answer_by_link(unit, self.controller, token, kind, given, self.clock.now())
        )

    def worker(self, *, alone: bool = False, **more: Any) -> Worker:
        made = Worker(self.controller, self.engine, self.writer, self.clock, alone=alone, **more)
        made.start()
        self._workers.append(made)
        self._made.append(made)
        return made

    def drive(self) -> None:
        """Everything that is due, until nothing is."""
        if not self._workers:
            self.worker()
        self._workers[-1].run_until_idle()

    def restart(self) -> None:
        """The process died: its worker is gone without a word, another takes over at once."""
        self._workers.clear()
        with self.engine.connect().execution_options(dpsync_writes=True) as connection, connection.begin():
            connection.execute(t.account.update().values(owner=None))
            connection.execute(t.worker.delete())

    def states(self, received: Received | str) -> dict[str, State]:
        request_id = received if isinstance(received, str) else received.request_id
        with reading(self.engine) as connection:
            rows = connection.execute(
                select(t.propagation.c.processor, t.propagation.c.state).where(t.propagation.c.request_id == request_id)
            ).all()
        return {row.processor: State(row.state) for row in rows}

    def state(self, received: Received | str, processor: str = "alpha") -> State:
        return self.states(received)[processor]

    def row(self, received: Received, processor: str = "alpha") -> Any:
        with reading(self.engine) as connection:
            return connection.execute(
                select(t.propagation).where(
                    t.propagation.c.request_id == received.request_id, t.propagation.c.processor == processor
                )
            ).one()

    def rows(self, table: Any) -> list[Any]:
        with reading(self.engine) as connection:
            return list(connection.execute(as_written(table)))

    def told(self) -> list[Told]:
        """What the outbox tells, the oldest first."""

        def read(work: Callable[[Connection], Any]) -> Any:
            with reading(self.engine) as connection:
                return work(connection)

        return told_by(read)

    def ledger_problems(self) -> tuple[str, ...]:
        with reading(self.engine) as connection:
            return (*self.log.verify(connection, full=True).problems, *differences(connection, self.keys))

    def climb(self) -> int:
        """The ladder once, as the timed job does it. How many alerts are new."""
        with reading(self.engine) as connection:
            found = escalation.look(connection, self.controller, self.clock.now())
        return self.writer.call(lambda unit: escalation.climb(unit, self.controller, found, self.clock.now()))

    def close(self) -> None:
        for worker in self._made:
            worker._threads.close()  # else hundreds stay to the end of the run, with all that they know
        self.writer.close()


def confirm(unit: Unit, controller: Controller, name: str, now: datetime) -> None:
    """Every contact of a processor has confirmed itself."""
    processor = controller.processors[name]
    contacts.register(unit.connection, controller, processor, now)
    for address in contacts.desks(unit.connection, controller, processor):
        acknowledgement.confirm_contact(unit, controller, controller.contact_token(address, name), now)


def busy(status: int = 503, seconds: int | None = None) -> Retryable:
    wait = timedelta(seconds=seconds) if seconds is not None else None
    return Retryable(reason="later", evidence=proof(status), busy=True, retry_after=wait)


def later() -> Retryable:
    return Retryable(reason="no answer", evidence=proof(None))
