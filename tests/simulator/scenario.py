"""What happens in one virtual month: a value, drawn from a seed alone, that can be printed and made smaller.

Times are minutes since the month began, by the true clock.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby

from dpsync.model import Right
from dpsync.propagation.rules.lifecycle import AnswerKind, DecisionKind

DAY = 24 * 60
MONTH = 30 * DAY
APIS = ("alpha", "beta", "gamma")
"""Processors with an interface; beta and gamma are used with one credential."""
AGENCY = "agency"
"""A processor that is told by letter alone."""
PROCESSORS = (*APIS, AGENCY)


class Mishap(StrEnum):
    """What goes wrong with a call, an answer or a reading."""

    RESET_AFTER = "it is done, and the answer is lost"
    TIME_OUT = "nothing is done, and no answer comes"
    TIME_OUT_LATE = "no answer comes, and it is done hours later"
    BUSY = "429 with a Retry-After"
    STORM = "503"
    LATER = "no answer to a call that did nothing"
    REJECTED = "401"
    LIES = "yes, and nothing is done"
    LATE = "yes, and it is done hours later"
    QUEUED = "queued, and it is done hours later"
    REFUSED = "no"
    HANDED_OVER = "a person there must do it"
    DEFECT = "the connector raises what it may not"
    DIES_BEFORE = "the process dies before the call arrives"
    DIES_AFTER = "the process dies after the call"
    STALE = "the reading shows what was so before"


@dataclass(frozen=True, slots=True)
class Person:
    """One record of the main database. `at`: which processors hold the person when the month begins."""

    number: int
    address: str
    at: tuple[str, ...]

    @property
    def id(self) -> str:
        """What the main database calls the person."""
        return f"crm-{self.number}"


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens at a time. `meanwhile`: not by itself, but while the next call is under way."""

    at: int
    meanwhile: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Step):
    """A webhook. `email`: what the main database has; a rectification changes `city`, and `to` if it is not ""."""

    event: str
    person: int
    right: Right
    email: str
    version: int | None = None
    city: str = ""
    to: str = ""
    lifting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AskAgain(Step):
    """The same event once more, with the same body or another one."""

    event: str
    other_body: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeBack(Step):
    """The main database withdraws a request."""

    event: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decide(Step):
    """A named person decides; at one processor, or at all ("")."""

    event: str
    kind: DecisionKind
    processor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLetter(Step):
    """Somebody at a processor answers the oldest letter that nobody has answered."""

    kind: AnswerKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(Step):
    """The operator lets every stopped account go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmContact(Step):
    """Somebody at a processor confirms that its contact is reached."""

    processor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble(Step):
    """For some minutes every `each`-th call at a processor meets a mishap, `most` of them at most.

    `reads`: the readings, and not the calls that tell. `number`: hours of delay, or seconds of a Retry-After.
    """

    processor: str
    mishap: Mishap
    minutes: int
    each: int = 1
    most: int = 1_000
    reads: bool = False
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MailTrouble(Step):
    """For some minutes the mail host takes nothing; `mishap` says how."""

    mishap: Mishap
    minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash(Step):
    """The process dies around the commit that comes after so many others: before it, or after it."""

    commits: int
    after: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FullDisk(Step):
    """For some minutes the database file cannot grow."""

    minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leap(Step):
    """For some minutes the machine's clock is wrong by so many hours."""

    hours: int
    minutes: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """One month. `brake`: how many irreversible calls an account may have in a day."""

    seed: int
    brake: int
    people: tuple[Person, ...]
    steps: tuple[Step, ...]
    cooling_off: int = 0

    def without(self, left_out: Sequence[Step]) -> "Scenario":
        """The same month without some of its steps."""
        gone = {id(one) for one in left_out}
        return replace(self, steps=tuple(one for one in self.steps if id(one) not in gone))

    @property
    def asked(self) -> tuple[Ask, ...]:
        """The webhooks of new requests."""
        return tuple(one for one in self.steps if isinstance(one, Ask))

    def __str__(self) -> str:
        lines = [f"seed {self.seed}, brake {self.brake}, cooling-off {self.cooling_off} h", *map(repr, self.people)]
        return "\n".join([*lines, *map(repr, self.steps)])


# --- the draw


def drawn(seed: int) -> Scenario:
    """The month of a seed."""
    lot = random.Random(seed)
    people = _people(lot)
    asked = _asked(lot, people)
    steps = [*asked, *_disturbed(lot, asked), *_decided(lot, asked), *_troubles(lot)]
    return Scenario(
        seed,
        brake=lot.choice([2, 4, 50, 50]),
        cooling_off=lot.choice([0, 0, 24]),
        people=people,
        steps=_in_order(steps),
    )


def retold(month: Scenario, seed: int) -> Scenario:
    """The same requests in another order, with other trouble, and without anybody's decisions.

    What has no version keeps its order among the requests of its person, for that order is what was asked.
    """
    lot = random.Random(seed)
    times = sorted(lot.randrange(MONTH - 5 * DAY) for _ in month.asked)
    shuffled = list(month.asked)
    lot.shuffle(shuffled)
    for _, found in groupby(sorted(shuffled, key=lambda one: one.person), key=lambda one: one.person):
        own = list(found)
        if not _may_overtake(own):
            places = sorted(shuffled.index(one) for one in own)
            for place, one in zip(places, sorted(own, key=lambda one: one.at), strict=True):
                shuffled[place] = one
    asked = [replace(one, at=at, meanwhile=False) for at, one in zip(times, shuffled, strict=True)]
    return replace(month, seed=seed, steps=_in_order([*asked, *_disturbed(lot, asked), *_troubles(lot)]))


def _may_overtake(own: Sequence[Ask]) -> bool:
    """Whether one person's requests may come in in any order, because their versions tell which is newer."""
    return all(one.version is not None for one in own)


def _in_order(steps: Sequence[Step]) -> tuple[Step, ...]:
    return tuple(sorted(steps, key=lambda one: one.at))


def _people(lot: random.Random) -> tuple[Person, ...]:
    people: list[Person] = []
    for number in range(lot.randint(2, 6)):
        held = tuple(name for name in PROCESSORS if lot.random() < 0.8)
        shares = people and lot.random() < 0.12
        address = lot.choice(people).address if shares else f"p{number}@example.org"
        people.append(Person(number, address, held))
    return tuple(people)


_RIGHTS = (Right.ERASURE, Right.OPT_OUT, Right.RECTIFICATION, Right.RECTIFICATION, Right.RESTRICTION)


def _asked(lot: random.Random, people: Sequence[Person]) -> list[Ask]:
    asked: list[Ask] = []
    addresses = [one.address for one in people]
    for person in people:
        alone = addresses.count(person.address) == 1
        versioned, email = lot.random() < 0.5, person.address
        times = sorted(lot.randrange(MONTH - 5 * DAY) for _ in range(lot.randint(1, 4)))
        if lot.random() < 0.4:  # all within the hour
            times = [times[0] + lot.randrange(60) for _ in times]
            times.sort()
        own = []
        for place, at in enumerate(times):
            right = lot.choice(_RIGHTS if alone else (Right.ERASURE, Right.OPT_OUT, Right.RESTRICTION))
            moves = right is Right.RECTIFICATION and lot.random() < 0.4
            to = f"p{person.number}.{place}@example.org" if moves else ""
            one = Ask(
                at=at,
                meanwhile=lot.random() < 0.25,
                event=f"evt-{person.number}-{place}",
                person=person.number,
                right=right,
                email=email,
                version=place + 1 if versioned else None,
                city=f"City {place}" if right is Right.RECTIFICATION and (not moves or lot.random() < 0.5) else "",
                to=to,
                lifting=right is Right.RESTRICTION and alone and lot.random() < 0.4,
            )
            own.append(one)
            email = to or email
        if _may_overtake(own) and lot.random() < 0.5:  # they overtake each other on their way
            lot.shuffle(times)
            own = [replace(one, at=at) for one, at in zip(own, times, strict=True)]
        asked += own
    return asked


def _disturbed(lot: random.Random, asked: Sequence[Ask]) -> list[Step]:
    """Webhooks that come again."""
    again = [one for one in asked if lot.random() < 0.25]
    return [
        AskAgain(
            at=one.at + lot.choice([0, 1, 30, 3 * DAY]),
            meanwhile=lot.random() < 0.3,
            event=one.event,
            other_body=lot.random() < 0.3,
        )
        for one in again
    ]


_DECISIONS = (
    DecisionKind.RELEASE,
    DecisionKind.RELEASE,
    DecisionKind.RETRY,
    DecisionKind.RETRY,
    DecisionKind.SETTLE,
    DecisionKind.WITHDRAW,
)
_ANSWERS = (
    AnswerKind.DONE,
    AnswerKind.DONE,
    AnswerKind.RECEIVED,
    AnswerKind.PARTLY,
    AnswerKind.REFUSED,
    AnswerKind.WRONG_RECIPIENT,
    AnswerKind.DELIVERED,
)


def _decided(lot: random.Random, asked: Sequence[Ask]) -> list[Step]:
    """What people do meanwhile."""
    steps: list[Step] = []
    for one in asked:
        at, meanwhile = one.at + lot.choice([0, 5, 300, 4 * DAY]), lot.random() < 0.3
        if lot.random() < 0.12:
            steps.append(TakeBack(at=at, meanwhile=meanwhile, event=one.event))
        if lot.random() < 0.25:
            where = lot.choice(["", *PROCESSORS])
            kind = lot.choice(_DECISIONS)
            steps.append(Decide(at=at, meanwhile=meanwhile, event=one.event, kind=kind, processor=where))
    steps += [
        AnswerLetter(at=lot.randrange(MONTH), meanwhile=lot.random() < 0.2, kind=lot.choice(_ANSWERS))
        for _ in range(lot.randint(0, 8))
    ]
    steps += [Resume(at=lot.randrange(MONTH)) for _ in range(lot.randint(0, 4))]
    steps += [ConfirmContact(at=lot.randrange(MONTH), processor=name) for name in PROCESSORS if lot.random() < 0.7]
    return steps


_OF_READS = (Mishap.TIME_OUT, Mishap.STORM, Mishap.REJECTED, Mishap.DEFECT, Mishap.DIES_AFTER, Mishap.STALE)
_DEADLY = {Mishap.DIES_BEFORE, Mishap.DIES_AFTER}
_WISHES = (-60, 0, 1, 7, 600, 90_000, 400 * 86_400)


def _troubles(lot: random.Random) -> list[Step]:
    steps: list[Step] = [_trouble(lot) for _ in range(lot.randint(0, 8))]
    for _ in range(lot.choice([0, 0, 1, 3])):
        how = lot.choice([Mishap.LATER, Mishap.RESET_AFTER, Mishap.REJECTED, Mishap.REFUSED])
        steps.append(MailTrouble(at=lot.randrange(MONTH), mishap=how, minutes=lot.choice([60, 600, 2 * DAY])))
    steps += [
        Crash(at=lot.randrange(MONTH), commits=lot.randint(0, 12), after=lot.random() < 0.5)
        for _ in range(lot.choice([0, 1, 4, 8]))
    ]
    steps += [
        FullDisk(at=lot.randrange(MONTH), minutes=lot.choice([30, 240, DAY])) for _ in range(lot.choice([0, 0, 1, 2]))
    ]
    if lot.random() < 0.2:
        hours = lot.choice([-30, -1, 1, 30, 40 * 24, 10 * 365 * 24])
        steps.append(Leap(at=lot.randrange(MONTH - 2 * DAY), hours=hours, minutes=lot.choice([30, 600, 2 * DAY])))
    return steps


def _trouble(lot: random.Random) -> Trouble:
    reads = lot.random() < 0.3
    mishap = lot.choice(_OF_READS if reads else [one for one in Mishap if one is not Mishap.STALE])
    wish = lot.choice(_WISHES) if mishap is Mishap.BUSY else lot.randint(1, 40)
    return Trouble(
        at=lot.randrange(MONTH),
        processor=lot.choice(APIS),
        mishap=mishap,
        minutes=lot.choice([60, 600, DAY, 6 * DAY, MONTH]),
        each=lot.choice([1, 1, 2, 3]),
        most=lot.randint(1, 3) if mishap in _DEADLY else lot.choice([1, 2, 5, 1_000]),
        reads=reads,
        number=wish,
    )
