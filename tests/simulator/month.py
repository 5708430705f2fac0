"""Plays one month: steps by the clock, the service in between, and at the end people who see to what is left."""

import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, event, func, select
from sqlalchemy.exc import SQLAlchemyError

from dpsync.connector import Connector, Processor
from dpsync.errors import DecisionRefused, EventConflict, Locked, NotFound
from dpsync.intake.payload import Withdrawal
from dpsync.ledger.log import Log
from dpsync.ledger.note import Signer
from dpsync.model import Changes, Lifted, Request, State, Subject
from dpsync.propagation import resuming
from dpsync.propagation.controller import Controller
from dpsync.propagation.correspondence import acknowledgement, escalation
from dpsync.propagation.decisions import Person as Decider
from dpsync.propagation.decisions import decide
from dpsync.propagation.queue import allowance
from dpsync.propagation.rules.legal_clock import LegalClock
from dpsync.propagation.rules.lifecycle import AnswerKind, DecisionKind
from dpsync.propagation.rules.plan import Safety
from dpsync.sealing import Keys
from dpsync.store import tables as t
from dpsync.store.database import open_database, reading
from dpsync.store.writer import Unit
from tests.builders import TurnableClock, confirm
from tests.simulator.process import Process
from tests.simulator.scenario import (
    AGENCY,
    APIS,
    MONTH,
    PROCESSORS,
    AnswerLetter,
    Ask,
    AskAgain,
    ConfirmContact,
    Crash,
    Decide,
    FullDisk,
    Leap,
    MailTrouble,
    Resume,
    Scenario,
    Step,
    TakeBack,
    Trouble,
)
from tests.simulator.vendors import Died, Letters, SentLetter, SimulatedConnector, SimulatedVendor

QUANTUM = timedelta(minutes=15)
"""Nothing is looked at more often than that: it bounds what a month costs."""
LADDER_EVERY = timedelta(days=5)
Mishappens = Trouble | MailTrouble | Crash | FullDisk | Leap
RESEND = timedelta(minutes=20)
ACCOUNTS = {"alpha": "alpha", "beta": "shared", "gamma": "shared", "agency": "agency"}
DANA = Decider("Dana Officer", "dana", "looked into it")
FORM = acknowledgement.AnswerForm("Pat", "", "203.0.113.9")


class LeapingClock(TurnableClock):
    """The machine's own clock, which may be wrong; `elapsed` is never."""

    def leap(self, hours: int) -> None:
        self._now += timedelta(hours=hours)

    def elapsed(self) -> timedelta:
        return timedelta(seconds=self.monotonic())


@dataclass
class Sent:
    """A webhook on its way: it is sent until somebody says that it was taken."""

    ask: Ask
    due: timedelta
    request_id: str = ""


@dataclass
class Month:
    """All that outlives a process: the database, the clock, the processors, the mail host, the main database."""

    scenario: Scenario
    disk: "Disk"
    keys: Keys
    clock: LeapingClock = field(default_factory=LeapingClock)
    vendors: dict[str, SimulatedVendor] = field(
        default_factory=lambda: {one: SimulatedVendor(one) for one in PROCESSORS}
    )
    sent: dict[str, Sent] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    crashes: int = 0

    def __post_init__(self) -> None:
        self._lot = random.Random(f"calls {self.scenario.seed}")
        self.engine = self.disk.engine
        self.vendors |= {name: SimulatedVendor(name) for name in PROCESSORS}
        self.log = Log("example.org/dpsync", Signer("example.org/dpsync", self.keys.signing_key))
        self.letters = Letters(self.clock.elapsed, self._meanwhile)
        self.controller = self._controller()
        self._waiting: list[Step] = []  # for the next call that is under way
        self._inside = False
        self._until: list[tuple[timedelta, Callable[[], None]]] = []  # when a trouble ends
        self._next_ladder = timedelta(0)
        self._quantum = QUANTUM
        for person in self.scenario.people:
            for name in person.at:
                self.vendors[name].hold(person.address)
        self.process = self._born()

    # --- one process after the other

    def _controller(self) -> Controller:
        connectors: dict[str, Connector] = {
            name: SimulatedConnector(self.vendors[name], self.clock.elapsed, self._meanwhile, self._die, self._wait)
            for name in APIS
        }
        connectors[AGENCY] = self.letters
        return Controller(
            name="Example Gardens",
            zone=ZoneInfo("Europe/London"),
            legal_clock=LegalClock("Europe/London", "GB-ENG"),
            processors={name: self._processor(name, connectors[name]) for name in PROCESSORS},
            notice=self.letters,
            keys=self.keys,
            operator="it@example.org",
            safety=Safety(
                irreversible_per_day=self.scenario.brake, cooling_off=timedelta(hours=self.scenario.cooling_off)
            ),
            public_url="https://dpsync.example.org",
            domain="example.org",
        )

    @staticmethod
    def _processor(name: str, connector: Connector) -> Processor:
        return Processor(
            name=name,
            title=name.title(),
            account=ACCOUNTS[name],
            connector=connector,
            contact=f"privacy@{name}.example",
            answer_within=timedelta(days=10),
        )

    def _born(self) -> Process:
        return Process(self.engine, self.controller, self.clock, self.log.append, self._lot)

    def _guarded(self, work: Callable[[], object]) -> bool:
        """Do it; whether the process lived and its store answered. A dead process is thrown away."""
        try:
            work()
        except Died:
            self._bury()
            return False
        except (SQLAlchemyError, Locked) as error:
            if not self.disk.full:
                self.complaints.append(f"the store did not answer: {type(error).__name__}")
            return False
        if self.process.fate.dead:
            self._bury()
            return False
        return True

    def _die(self) -> None:
        self.process.fate.die()

    def _bury(self) -> None:
        if self._inside:
            raise Died
        self.crashes += 1
        self.process = self._born()

    # --- the clock

    def play(self) -> None:
        """The month from its first minute to the end of the calm after it."""
        for step in self.scenario.steps:
            self._pass(timedelta(minutes=step.at))
            if step.meanwhile:
                self._waiting.append(step)
            else:
                self._do(step)
            if not isinstance(step, Mishappens):
                self._drive()
        self._pass(timedelta(minutes=MONTH))
        self._calm()

    def _pass(self, until: timedelta) -> None:
        """Time goes on to a moment, with a stop wherever something is due."""
        while (left := until - self.clock.elapsed()) > timedelta(0):
            coming = min(self._next_due(), self._next_ladder, *(at for at, _ in self._until), until)
            self.clock.advance(min(max(coming - self.clock.elapsed(), self._quantum), left))
            self._ended()
            if coming < until:
                self._drive()

    def _next_due(self) -> timedelta:
        """When something is due next, by the true clock."""
        now = self.clock.now()
        lane, account, p = t.lane.c, t.account.c, t.propagation.c
        lanes = (
            select(lane.due_at, account.paused_until)
            .join(t.account, account.id == lane.account_id, isouter=True)
            .where(func.coalesce(account.stopped, "") == "")
        )
        with reading(self.engine) as connection:
            times = [max(row.due_at, row.paused_until or row.due_at) for row in connection.execute(lanes)]
            times += connection.execute(select(func.min(p.timer_at)).where(p.timer_at > now)).scalars()
        found = [at for at in times if at is not None and at > now]
        resent = [one.due for one in self.sent.values() if not one.request_id]
        later = [self.clock.elapsed() + (at - now) for at in found]
        effects = [one.due for vendor in self.vendors.values() for one in vendor.delayed[:1]]
        return min([*resent, *later, *effects], default=timedelta.max)

    def _wait(self, span: timedelta) -> None:
        self.clock.advance(span)

    def _ended(self) -> None:
        """What lasted until now is over."""
        now = self.clock.elapsed()
        over = [one for one in self._until if one[0] <= now]
        self._until = [one for one in self._until if one[0] > now]
        for _, end in over:
            end()

    def _drive(self) -> None:
        """The service does all that is due."""
        now = self.clock.elapsed()
        for vendor in self.vendors.values():
            vendor.tick(now)
        self._send_webhooks()
        if now >= self._next_ladder:
            self._next_ladder = now + LADDER_EVERY
            self._guarded(self._daily)
        self._guarded(self.process.settle)
        waiting, self._waiting = self._waiting, []  # nothing was called: then they happen by themselves
        for step in waiting:
            self._do(step)

    def _daily(self) -> None:
        now, writer = self.clock.now(), self.process.writer
        with reading(self.engine) as connection:
            found = escalation.look(connection, self.controller, now)
        if found:
            writer.call(lambda unit: escalation.climb(unit, self.controller, found, now))
        writer.call(lambda unit: allowance.drop_old(unit.connection, now))

    def _meanwhile(self) -> None:
        """A call is under way: another one may be, and something else may happen."""
        if self.process.fate.dead:
            raise Died
        if self._inside:
            return
        self._inside = True
        try:
            if self._lot.random() < 0.3:
                self.process.worker.calls.one()
            if self._waiting:
                self._do(self._waiting.pop(0))
        finally:
            self._inside = False
        if self.process.fate.dead:
            raise Died

    # --- the steps

    def _do(self, step: Step) -> None:
        match step:
            case Ask():
                self.sent[step.event] = Sent(step, self.clock.elapsed())
                self._send_webhooks()
            case AskAgain():
                self._ask_again(step)
            case TakeBack():
                self._take_back(step)
            case Decide():
                self._decide(step.event, step.kind, step.processor)
            case AnswerLetter():
                letter = next((one for one in self.letters.sent if not one.answered), None)
                if letter is not None:
                    self._answer(letter, step.kind)
            case ConfirmContact():
                self._confirm(step.processor)
            case _:
                self._do_to_the_world(step)

    def _do_to_the_world(self, step: Step) -> None:
        match step:
            case Resume():
                self._guarded(
                    partial(self._write, lambda unit: resuming.resume(unit.connection, set(ACCOUNTS.values())))
                )
            case Trouble():
                self.vendors[step.processor].troubles.append(step)
            case MailTrouble():
                self.letters.mail_troubles.append(step)
            case Crash():
                self.process.fate.will_die(step.commits, after=step.after)
            case FullDisk():
                self._fill(timedelta(minutes=step.minutes))
            case Leap():
                self.clock.leap(step.hours)
                self._until.append((self._in(step.minutes), partial(self.clock.leap, -step.hours)))
            case _:
                raise AssertionError(step)

    def _in(self, minutes: int) -> timedelta:
        return self.clock.elapsed() + timedelta(minutes=minutes)

    def _fill(self, span: timedelta) -> None:
        self.disk.fill()
        self._until.append((self.clock.elapsed() + span, self.disk.clear))

    def _write(self, work: Callable[[Unit], Any]) -> Any:
        return self.process.writer.call(work)

    # --- the main database

    def request(self, ask: Ask) -> Request:
        """What a webhook asks."""
        changes = Changes(email=ask.to or None, fields={"CITY": ask.city} if ask.city else {})
        return Request(
            source="crm",
            event_id=ask.event,
            right=ask.right,
            subject=Subject(id=self.scenario.people[ask.person].id, email=ask.email),
            received_at=self.clock.now(),
            version=ask.version,
            changes=changes if ask.city or ask.to else None,
            lifted=Lifted(self.clock.now().date(), "letter") if ask.lifting else None,
        )

    def _send_webhooks(self) -> None:
        """Send what nobody has taken yet; of one person without versions, one after the other."""
        now, blocked = self.clock.elapsed(), set[int]()
        for one in list(self.sent.values()):
            if one.request_id:
                continue
            if one.due <= now and one.ask.person not in blocked:
                one.due = now + RESEND
                self._guarded(partial(self._send, one))
            if not one.request_id and one.ask.version is None:
                blocked.add(one.ask.person)

    def _send(self, one: Sent) -> None:
        asked = self.process.reception.submit(self.request(one.ask), one.ask.event.encode(), self.clock.now())
        one.request_id = self.process.finish(asked).request_id

    def _ask_again(self, step: AskAgain) -> None:
        one = self.sent.get(step.event)
        if one is None or not one.request_id:
            return
        body = b"another" if step.other_body else step.event.encode()

        def again() -> None:
            asked = self.process.reception.submit(self.request(one.ask), body, self.clock.now())
            try:
                received = self.process.finish(asked)
            except EventConflict:
                if not step.other_body:
                    self.complaints.append(f"{step.event} with the same body was called a conflict")
                return
            if step.other_body or not received.repeated or received.request_id != one.request_id:
                self.complaints.append(f"{step.event} again was not recognised")

        self._guarded(again)

    def _take_back(self, step: TakeBack) -> None:
        one = self.sent.get(step.event)
        if one is None or not one.request_id:
            return
        self.touched.add(step.event)
        taken = Withdrawal("crm", f"back-{step.event}", one.request_id)

        def take() -> None:
            reception = self.process.reception
            self.process.finish(reception.submit_withdrawal(taken, taken.event_id.encode(), self.clock.now()))

        self._guarded(take)

    # --- people

    def _decide(self, event_id: str, kind: DecisionKind, processor: str = "") -> None:
        one = self.sent.get(event_id)
        if one is None or not one.request_id:
            return
        if kind in {DecisionKind.SETTLE, DecisionKind.WITHDRAW}:
            self.touched.add(event_id)
        where = [processor] if processor else []
        work = partial(
            decide,
            controller=self.controller,
            request_id=one.request_id,
            kind=kind,
            person=DANA,
            now=self.clock.now(),
            processors=where,
        )

        def try_it() -> None:
            with suppress(DecisionRefused):
                self._write(work)

        self._guarded(try_it)

    def _confirm(self, name: str) -> None:
        self._guarded(partial(self._write, lambda unit: confirm(unit, self.controller, name, self.clock.now())))

    def _answer(self, letter: SentLetter, kind: AnswerKind) -> None:
        """Somebody there does what is asked, where they say so, and answers by the link."""

        def answer() -> None:
            said = kind
            if kind is AnswerKind.DONE:
                there = self.vendors[letter.processor].do(letter.instruction)
                said = AnswerKind.DONE if there else AnswerKind.NOTHING_HELD
            letter.answered = kind in acknowledgement.FINAL
            with suppress(DecisionRefused, NotFound):
                self._write(
                    lambda unit: acknowledgement.answer_by_link(
                        unit, self.controller, letter.token, said, FORM, self.clock.now()
                    )
                )

        if not self._guarded(answer):
            letter.answered = False

    # --- the calm

    def _calm(self) -> None:
        """Nothing goes wrong any more, and people see to what waits for them, until nothing does."""
        for vendor in self.vendors.values():
            vendor.troubles.clear()
        self.letters.mail_troubles.clear()
        self.process.fate.will_die(-1, after=False)
        for _, end in self._until:
            end()
        self._until.clear()
        self._see_to_all()
        before = self._contradicted()
        self._quantum = timedelta(days=1)
        self._pass(self.clock.elapsed() + timedelta(days=32))  # what was done is read once more after a month
        self.complaints += [
            f"{one} is contradicted, although nothing went wrong" for one in self._contradicted() - before
        ]
        self._see_to_all()

    def _see_to_all(self) -> None:
        for name in PROCESSORS:
            self._confirm(name)
        for _ in range(40):
            self._do(Resume(0))
            for letter in [one for one in self.letters.sent if not one.answered]:
                self._answer(letter, AnswerKind.DONE)
            self._pass(self.clock.elapsed() + timedelta(hours=13))
            if not self._see_to_it() and not any(vendor.delayed for vendor in self.vendors.values()):
                break

    def _contradicted(self) -> set[str]:
        """How often each was read and found otherwise."""
        events = {one.request_id: event_id for event_id, one in self.sent.items()}
        attempts = select(t.attempt.c.id, t.propagation.c.request_id, t.propagation.c.processor).join(
            t.propagation, t.propagation.c.id == t.attempt.c.propagation_id
        )
        with reading(self.engine) as connection:
            found = connection.execute(attempts.where(t.attempt.c.outcome == "Contradicts")).all()
        return {f"{events[row.request_id]} at {row.processor} (attempt {row.id})" for row in found}

    def _see_to_it(self) -> bool:
        """Release what is held, and try again what waits for a person. Whether anything is still open."""
        open_ones = [row for row in self.rows(t.propagation) if State(row.state) in _OPEN]
        events = {one.request_id: event_id for event_id, one in self.sent.items()}
        for row in open_ones:
            kind = DecisionKind.RELEASE if row.state == State.HELD else DecisionKind.RETRY
            if row.state in {State.HELD, State.REFUSED, State.CONTRADICTED, State.ESCALATED, State.NOT_IDENTIFIABLE}:
                self._decide(events[row.request_id], kind, row.processor)
        return bool(open_ones) or any(not one.request_id for one in self.sent.values())

    def rows(self, table: Any) -> list[Any]:
        with reading(self.engine) as connection:
            return list(connection.execute(select(table)))


_OPEN = {
    State.HELD,
    State.PENDING,
    State.ACCEPTED,
    State.HANDED_OVER,
    State.CONTRADICTED,
    State.REFUSED,
    State.ESCALATED,
    State.NOT_IDENTIFIABLE,
}


class Disk:
    """A database that need not outlive a power cut, on a disk that can be full."""

    def __init__(self, template: Path, folder: Path) -> None:
        path = folder / "dpsync.db"
        shutil.copy(template, path)
        self.engine = open_database(f"sqlite:///{path}")
        self._pages = _ALL_PAGES
        event.listen(self.engine, "connect", self._hurry)
        event.listen(self.engine, "begin", self._limit)

    @staticmethod
    def _hurry(connection: Any, _: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA secure_delete=OFF")

    def _limit(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={self._pages}")

    @property
    def full(self) -> bool:
        """Whether the file cannot grow."""
        return self._pages < _ALL_PAGES

    def fill(self) -> None:
        """The file cannot grow any more."""
        with reading(self.engine) as connection:
            self._pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    def clear(self) -> None:
        """There is room again."""
        self._pages = _ALL_PAGES


_ALL_PAGES = 1_000_000_000
