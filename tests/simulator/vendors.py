"""Processors that exist only here: what they hold, what they do when they are told, and what goes wrong with it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar, Self, assert_never

from pydantic import BaseModel

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
    Finding,
    HandOver,
    Instruction,
    Kit,
    Means,
    NothingHeld,
    Outcome,
    Recipient,
    Refused,
    Retryable,
)
from dpsync.errors import CredentialsRejected
from dpsync.model import Right
from tests.builders import NoKeys, proof
from tests.simulator.scenario import MailTrouble, Mishap, Trouble

ENDPOINT = "POST /people/{id}"


class Died(BaseException):
    """The process is gone: whatever it goes on with has no effect, and nobody hears of it."""


@dataclass
class Record:
    """What a processor has of one person."""

    address: str
    city: str = ""
    mailed: bool = True
    archived: bool = False


@dataclass
class Delayed:
    """What the processor will do, and when."""

    due: timedelta
    instruction: Instruction


@dataclass
class Told:
    """One call as the processor saw it. `answer`: what it said, or the mishap by which nobody heard it."""

    at: timedelta
    reference: str
    right: Right
    reads: bool
    effect: bool
    answer: str = ""


@dataclass
class SimulatedVendor:
    """A processor's own truth."""

    name: str
    records: dict[str, Record] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)
    delayed: list[Delayed] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    counts: dict[int, tuple[int, int]] = field(default_factory=dict)

    def hold(self, address: str) -> None:
        self.records[normalised(address)] = Record(normalised(address))

    def here(self, instruction: Instruction) -> list[Record]:
        names = dict.fromkeys(map(normalised, instruction.addresses))
        return [self.records[name] for name in names if name in self.records]

    def tick(self, now: timedelta) -> None:
        """Do what was to be done by now, in the order in which it was told."""
        while self.delayed and self.delayed[0].due <= now:
            self._do(self.delayed.pop(0).instruction)

    def do(self, instruction: Instruction) -> bool:
        """Do it now, or behind what waits already. Whether anybody is there."""
        there = bool(self.here(instruction))
        if self.delayed:
            self.later(instruction, self.delayed[-1].due)
        else:
            self._do(instruction)
        return there

    def later(self, instruction: Instruction, due: timedelta) -> None:
        """Do it at a time, and not before what it was told earlier."""
        last = self.delayed[-1].due if self.delayed else due
        self.delayed.append(Delayed(max(due, last), instruction))

    def _do(self, instruction: Instruction) -> None:
        for record in self.here(instruction):
            match instruction.right:
                case Right.ERASURE:
                    del self.records[record.address]
                case Right.OPT_OUT:
                    record.mailed = False
                case Right.RESTRICTION:
                    record.archived = instruction.lifted is None
                case Right.RECTIFICATION:
                    self._put_right(record, instruction)
                case never:
                    assert_never(never)

    def _put_right(self, record: Record, instruction: Instruction) -> None:
        changes = instruction.changes
        if changes is None:
            return
        if city := changes.fields.get("CITY"):
            record.city = str(city)
        new = normalised(changes.email) if changes.email else record.address
        if new not in self.records:  # two contacts are never merged
            self.records[new] = self.records.pop(record.address)
            record.address = new

    def is_as_asked(self, instruction: Instruction) -> bool:
        here = self.here(instruction)
        match instruction.right:
            case Right.ERASURE:
                return not here
            case Right.OPT_OUT:
                return not any(one.mailed for one in here)
            case Right.RESTRICTION:
                return all(one.archived is (instruction.lifted is None) for one in here)
            case Right.RECTIFICATION:
                return bool(here) and self._is_put_right(here, instruction)
            case never:
                assert_never(never)

    def _is_put_right(self, here: list[Record], instruction: Instruction) -> bool:
        changes = instruction.changes
        if changes is None:
            return True
        new = normalised(changes.email) if changes.email else ""
        if new and [one.address for one in here] != [new]:
            return False
        city = changes.fields.get("CITY")
        return not city or all(one.city == city for one in here)

    def mishap(self, now: timedelta, *, reads: bool) -> Trouble | None:
        """What goes wrong with the call that comes now."""
        found = None
        for place, one in enumerate(self.troubles):
            begin = timedelta(minutes=one.at)
            if one.reads is not reads or not begin <= now < begin + timedelta(minutes=one.minutes):
                continue
            calls, met = self.counts.get(place, (0, 0))
            hit = found is None and calls % one.each == 0 and met < one.most
            self.counts[place] = calls + 1, met + hit
            found = one if hit else found
        return found


Elapsed = Callable[[], timedelta]


class SimulatedConnector(Connector):
    """Tells a `SimulatedVendor`. `meanwhile` is what happens elsewhere while a call is under way."""

    name: ClassVar[str] = "simulated"
    Settings: ClassVar[type[BaseModel]] = NoKeys
    capabilities: ClassVar[dict[Right, Capability]] = {
        right: Capability(Means.API, "done", "", "read", "a test") for right in Right
    }
    max_inflight: ClassVar[int] = 3

    def __init__(
        self,
        vendor: SimulatedVendor,
        elapsed: Elapsed,
        meanwhile: Callable[[], None],
        die: Callable[[], None],
        wait: Callable[[timedelta], None],
    ) -> None:
        self.vendor = vendor
        self._elapsed = elapsed
        self._meanwhile = meanwhile
        self._die = die
        self._wait = wait

    @classmethod
    def from_settings(cls, section: BaseModel, kit: Kit) -> Self:
        raise AssertionError(section, kit)

    def probe(self) -> Account:
        return Account(self.vendor.name, len(self.vendor.records))

    def carry_out(self, instruction: Instruction) -> Outcome:
        vendor = self.vendor
        self._meanwhile()
        vendor.tick(self._elapsed())
        trouble = vendor.mishap(self._elapsed(), reads=False)
        seen = Told(self._elapsed(), instruction.reference, instruction.right, reads=False, effect=False)
        vendor.told.append(seen)
        if trouble is None:
            seen.effect = True
            outcome: Outcome = Applied(evidence=proof()) if vendor.do(instruction) else NothingHeld(evidence=proof(404))
            self._meanwhile()
            seen.answer = type(outcome).__name__
            return outcome
        seen.answer = trouble.mishap.name
        return self._gone_wrong(trouble, instruction, seen)

    def _gone_wrong(self, trouble: Trouble, instruction: Instruction, seen: Told) -> Outcome:
        self._effect(trouble, instruction, seen)
        match trouble.mishap:
            case Mishap.RESET_AFTER | Mishap.TIME_OUT | Mishap.TIME_OUT_LATE:
                self._wait(timedelta(seconds=45))
                return Retryable(reason="no answer", evidence=proof(None), doubtful=True)
            case Mishap.BUSY:
                wish = timedelta(seconds=trouble.number)
                return Retryable(reason="busy", evidence=proof(429), busy=True, retry_after=wish)
            case Mishap.STORM:
                return Retryable(reason="busy", evidence=proof(503), busy=True)
            case Mishap.LATER:
                return Retryable(reason="later", evidence=proof(None))
            case Mishap.REJECTED:
                raise CredentialsRejected(ENDPOINT, 401, evidence=proof(401))
            case Mishap.LIES | Mishap.LATE:
                there = self.vendor.here(instruction)
                return Applied(evidence=proof()) if there else NothingHeld(evidence=proof(404))
            case Mishap.QUEUED:
                return Accepted(evidence=proof(202))
            case Mishap.REFUSED:
                return Refused(reason="no such list", evidence=proof(400))
            case Mishap.HANDED_OVER:
                return HandOver(to=Recipient.PROCESSOR, task="Do it by hand.", evidence=proof())
            case _:
                raise ValueError("what no connector may raise")

    def _effect(self, trouble: Trouble, instruction: Instruction, seen: Told) -> None:
        match trouble.mishap:
            case Mishap.DIES_BEFORE:
                self._die()
            case Mishap.DIES_AFTER | Mishap.RESET_AFTER:
                seen.effect = True
                self.vendor.do(instruction)
                if trouble.mishap is Mishap.DIES_AFTER:
                    self._die()
            case Mishap.TIME_OUT_LATE | Mishap.LATE | Mishap.QUEUED:
                seen.effect = True
                self.vendor.later(instruction, self._elapsed() + timedelta(hours=max(trouble.number, 1)))
            case _:
                pass

    def verify(self, instruction: Instruction) -> Finding:
        vendor = self.vendor
        before = vendor.is_as_asked(instruction)
        self._meanwhile()
        vendor.tick(self._elapsed())
        trouble = vendor.mishap(self._elapsed(), reads=True)
        seen = Told(self._elapsed(), instruction.reference, instruction.right, reads=True, effect=False)
        vendor.told.append(seen)
        if trouble is not None:
            seen.answer = trouble.mishap.name
            return self._unread(trouble, instruction, before=before)
        finding = self._read(instruction)
        seen.answer = type(finding).__name__
        return finding

    def _read(self, instruction: Instruction) -> Finding:
        if self.vendor.is_as_asked(instruction):
            return AsAsked(evidence=proof())
        if instruction.right is Right.RECTIFICATION and not self.vendor.here(instruction):
            return CannotTell(reason="nobody is held, so there is nothing to compare", evidence=proof())
        return Contradicts(reason="still there", evidence=proof())

    def _unread(self, trouble: Trouble, instruction: Instruction, *, before: bool) -> Finding:
        match trouble.mishap:
            case Mishap.STALE if not before:
                return Contradicts(reason="not yet", evidence=proof())
            case Mishap.REJECTED:
                raise CredentialsRejected(ENDPOINT, 401, evidence=proof(401))
            case Mishap.DIES_AFTER:
                self._die()
                raise AssertionError
            case Mishap.DEFECT:
                raise ValueError("what no connector may raise")
            case _:
                return CannotTell(reason="no answer", evidence=proof(None), later=True)


@dataclass
class SentLetter:
    """A letter that arrived. `answered`: somebody gave a final answer to it."""

    processor: str
    token: str
    instruction: Instruction
    answered: bool = False


class Letters(SimulatedConnector):
    """The mail host: takes letters, and brings them to the processors."""

    name: ClassVar[str] = "notice"
    capabilities: ClassVar[dict[Right, Capability]] = {
        right: Capability(Means.NOTICE, "a letter goes out", "", "", "a test") for right in Right
    }

    def __init__(self, elapsed: Elapsed, meanwhile: Callable[[], None]) -> None:
        super().__init__(SimulatedVendor("mail"), elapsed, meanwhile, lambda: None, lambda _: None)
        self.sent: list[SentLetter] = []
        self.mail_troubles: list[MailTrouble] = []

    def carry_out(self, instruction: Instruction) -> Outcome:
        self._meanwhile()
        how = next((one.mishap for one in self.mail_troubles if self._is_now(one)), None)
        match how:
            case None:
                self._deliver(instruction)
                return Accepted(evidence=proof(250))
            case Mishap.RESET_AFTER:
                self._deliver(instruction)
                return Retryable(reason="no answer", evidence=proof(None), doubtful=True)
            case Mishap.REJECTED:
                raise CredentialsRejected("SMTP AUTH", 535, evidence=proof(535))
            case Mishap.REFUSED:
                return Refused(reason="no such mailbox", evidence=proof(550), status="5.1.1")
            case _:
                return Retryable(reason="later", evidence=proof(None))

    def _is_now(self, one: MailTrouble) -> bool:
        begin = timedelta(minutes=one.at)
        return begin <= self._elapsed() < begin + timedelta(minutes=one.minutes)

    def _deliver(self, instruction: Instruction) -> None:
        letter = instruction.letter
        assert letter is not None
        token = instruction.answer_url.rpartition("/")[2]
        if all(one.token != token for one in self.sent):
            self.sent.append(SentLetter(letter.processor_title.lower(), token, instruction))

    def verify(self, instruction: Instruction) -> Finding:
        return CannotTell(reason="only a person can say")
