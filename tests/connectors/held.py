"""What a vendor holds of people, in the few words that all stand-ins share, and what must be true after each right.

What a stand-in holds is compared with what the *instruction* asked, never with another run of the connector: whoever
does less each time, and looks for no more than that, does it smoothly.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, ClassVar, NamedTuple, Protocol, cast

from dpsync.connector import AsAsked, CannotTell, Connector, Contradicts, Finding, HandOver, Instruction, Means, Outcome
from dpsync.model import Changes, Right

NEIGHBOUR = "nell@example.org"
WITH_A_PERSON = (Means.API_AND_OPERATOR, Means.API_AND_NOTICE)


@dataclass(frozen=True, slots=True)
class Held:
    """One record of one person. What a vendor has no word for keeps its default.

    `place`: the list, property or record where it stands. `address`: by what the vendor knows the person. `mailed`:
    whether it may be written to. `used`: whether it is at work as any other record is, which a restriction ends.
    """

    place: str
    address: str = field(repr=False)
    first_name: str | None = field(default=None, repr=False)
    last_name: str | None = field(default=None, repr=False)
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    mailed: bool = True
    used: bool = True


class Holds(Protocol):
    """A stand-in for a vendor that says what it holds, and can be put otherwise."""

    def holds(self) -> Iterable[Held]:
        """Every record of everybody."""

    def hold(self, records: Iterable[Held]) -> None:
        """These from now on, and no others. A record that `holds` gave is the same one again."""


class Order(NamedTuple):
    """An instruction, the records that the vendor holds when it comes, and the name of the case."""

    case: str
    told: Instruction
    records: list[Held]


def theirs(one: Held) -> bool:
    """Whether a record is of somebody else."""
    return one.address.lower() == NEIGHBOUR


def alike(records: Iterable[Held], right: Right) -> list[str]:
    """In one order, and without what this right leaves open: who is not written to any more may be at work or not."""
    rows = [replace(one, used=True) if right is Right.OPT_OUT and not theirs(one) else one for one in records]
    return sorted(
        f"{(one.place, one.address.lower(), one.first_name, one.last_name, one.mailed, one.used, {**one.fields})}"
        for one in rows
    )


def as_asked(before: Iterable[Held], told: Instruction) -> list[Held]:
    """The records when everything that the instruction asks is done, and nothing else."""
    changes, right = told.changes or Changes(), told.right
    silent = {Right.OPT_OUT: {"mailed": False}, Right.RESTRICTION: {"mailed": False, "used": False}}
    names = {"address": changes.email, "first_name": changes.first_name, "last_name": changes.last_name}
    wanted: dict[str, Any] = silent.get(right) or {name: value for name, value in names.items() if value is not None}
    return [
        one if theirs(one) else replace(one, **wanted, fields={**one.fields, **cast("dict[str, str]", changes.fields)})
        for one in before
        if right is not Right.ERASURE or theirs(one)
    ]


def otherwise(before: Iterable[Held], done: Iterable[Held], right: Right) -> Iterator[tuple[str, list[Held]]]:
    """Everything as it is when done, but for one thing in one record; what that is."""
    mine, now, others = in_order(before), in_order(done), [one for one in done if theirs(one)]
    for number, was in enumerate(mine):
        rest = [*now[:number], *now[number + 1 :], *others]
        match right:
            case Right.ERASURE:
                yield "still held", [was, *others]
                yield "held, and no longer written to", [replace(was, mailed=False), *others]
                yield "held, and restricted", [replace(was, mailed=False, used=False), *others]
            case Right.OPT_OUT:
                yield "still written to", [was, *rest]
            case Right.RESTRICTION:
                yield "still written to", [was, *rest]
                yield "still at work", [replace(was, mailed=False), *rest]
            case _:
                one = now[number]
                for name in ("address", "first_name", "last_name", "fields"):
                    if getattr(one, name) != getattr(was, name):
                        yield f"{name} as before", [replace(one, **{name: getattr(was, name)}), *rest]
                if one.address != was.address:
                    yield "held under both addresses", [was, one, *rest]


def in_order(records: Iterable[Held]) -> list[Held]:
    """The person's own, so that each stands where it stood before."""
    return sorted((one for one in records if not theirs(one)), key=lambda one: (one.place, one.address.lower()))


class HoldsAsAsked:
    """The rules that go by what the vendor holds. A connector may do less only where its capability says so."""

    connector: ClassVar[type[Connector]]
    done: ClassVar[type[Outcome]]
    found: ClassVar[type[Finding]]
    known_as: ClassVar[tuple[str, ...]]
    """Under which the person may be known, three of them."""
    places: ClassVar[tuple[str, ...]] = ("",)
    """Where the vendor may hold a person, all of which are told."""
    text_field: ClassVar[str] = ""
    """A field of the vendor's own, if it has such, as a rectification names it."""
    settles: ClassVar[timedelta] = timedelta()
    """How long the vendor may take after it said yes, as its documentation has it."""
    by_hand: ClassVar[Mapping[str, str]] = {}
    """Cases of `changes` that go to a person, each with the words of the capability's `limits` that say so."""

    @abstractmethod
    def vendor(self, right: Right, *, held: bool) -> Holds:
        """The stand-in, which holds the person or does not."""

    @abstractmethod
    def before(self, vendor: Any) -> AbstractContextManager[Any]:
        """The connector before that stand-in."""

    @abstractmethod
    def telling(self, right: Right, known_as: tuple[str, ...], **more: Any) -> Instruction:
        """The instruction about who is known so."""

    def changes(self) -> Iterator[tuple[str, Changes]]:
        """One thing at a time, and everything at once."""
        one: dict[str, Any] = {"first_name": "Augusta", "last_name": "Kingcanary"}
        own: dict[str, Any] = {"fields": {self.text_field: "Deal"}} if self.text_field else {}
        for name, value in {**one, **own, "email": "ada.new@example.org"}.items():
            yield name, Changes(**{name: value})
        yield "names", Changes(**one)
        yield "everything", Changes(**one, **own, email="ada.new@example.org")

    def orders(self, right: Right) -> Iterator[Order]:
        """The person under each of three addresses alone, in every place, and under all three, where that can be."""
        for case, changes in self.changes() if right is Right.RECTIFICATION else [(right.value, None)]:
            told = self.telling(right, self.known_as, changes=changes)
            several = [] if changes and changes.email else [self.known_as]
            alone = [] if changes and not changes.email else [(one,) for one in self.known_as]
            for under in [*several, *alone]:
                yield Order(case, told, [*self.people(under), *self.people((NEIGHBOUR,))])

    def people(self, under: tuple[str, ...]) -> Iterator[Held]:
        fields = {self.text_field: "Kent"} if self.text_field else {}
        for place in self.places:
            yield from (Held(place, one, "Ada", "Canary", fields) for one in under)

    def left_to_a_person(self, case: str, right: Right) -> bool:
        """Whether the capability declares that the API does not do it to the end."""
        capability = self.connector.capabilities[right]
        left = case in self.by_hand or self.done is HandOver
        assert not left or (capability.means in WITH_A_PERSON and self.by_hand.get(case, "") in capability.limits)
        return left

    def in_the_end(self, stage: Any, told: Instruction) -> Finding:
        """What is read, and where that is "not yet", what is read when the vendor's own time is over."""
        finding: Finding = stage.read_back(told)
        if isinstance(finding, CannotTell) and finding.later and self.settles:
            stage.clock.seconds += self.settles.total_seconds()
            finding = stage.read_back(told)
        return finding

    def test_the_vendor_holds_what_was_asked_and_of_others_what_it_held(self, right: Right) -> None:
        for case, told, records in self.orders(right):
            vendor = self.vendor(right, held=False)
            vendor.hold(records)
            before = list(vendor.holds())
            vendor.hold([])
            vendor.hold(before)
            assert alike(vendor.holds(), right) == alike(before, right), "a stand-in holds again what it held"
            with self.before(vendor) as stage:
                outcome, after = stage.tell(told), list(vendor.holds())
            if not self.left_to_a_person(case, right):
                assert isinstance(outcome, self.done), case
                assert alike(after, right) == alike(as_asked(before, told), right), case
                continue
            assert isinstance(outcome, HandOver), case
            assert alike(filter(theirs, after), right) == alike(filter(theirs, before), right), case
            api_does_its_part = self.connector.capabilities[right].means is Means.API_AND_OPERATOR
            if api_does_its_part and right is not Right.RECTIFICATION:
                assert not any(one.mailed for one in after if not theirs(one)), case

    def test_what_is_otherwise_there_is_contradicted(self, right: Right) -> None:
        """In each thing that was asked, one by one, in each record; what is all as asked is not."""
        for case, told, records in self.orders(right):
            vendor = self.vendor(right, held=False)
            vendor.hold(records)
            before = list(vendor.holds())
            with self.before(vendor) as stage:
                stage.tell(told)
                by_hand = self.left_to_a_person(case, right)
                done = as_asked(before, told) if by_hand else list(vendor.holds())
                asked, tried = set(), set()
                for what, put in otherwise(before, done, right):
                    asked.add(what)
                    vendor.hold(put)
                    if alike(vendor.holds(), right) == alike(put, right):  # where the vendor has such a state
                        tried.add(what)
                        finding = self.in_the_end(stage, told)
                        assert not isinstance(finding, AsAsked), (case, what)
                        assert isinstance(finding, Contradicts) or self.found is not AsAsked, (case, what)
                assert self.found is not AsAsked or tried >= {one for one in asked if "held, and" not in one}, case
                vendor.hold(done)
                assert isinstance(stage.read_back(told), self.found), case
                vendor.hold(before)  # somebody brings it back after it was read
                assert not isinstance(self.in_the_end(stage, told), AsAsked), case
