"""How one record is put right: each change is a duty of its own (Art. 16).

One that the vendor refuses keeps no other from being made; what is left goes to the operator (`corrections.Left`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

from dpsync.address import normalised
from dpsync.connector import Applied, NothingHeld, Outcome, Reply, Retryable
from dpsync.model import Changes, FieldValue
from dpsync.vendor.calls import Calls
from dpsync.vendor.corrections import Left, compared
from dpsync.vendor.errors import UNDOCUMENTED, Error, refused
from dpsync.vendor.field_values import UNTYPED, FieldType, Kind, Likeness, likeness, options_in
from dpsync.vendor.outcomes import together

GONE: Final = "the record went away while it was put right"

_CallsT = TypeVar("_CallsT", bound=Calls)


def refused_of(parts: Sequence[str], write: Callable[[Sequence[str]], Collection[str] | None]) -> list[str]:
    """Make all changes together, then without those that are refused; which were refused in the end.

    `write` makes several and gives None where they were made, else those that the vendor names in its refusal. Where
    it names none of them, they are halved until each that is refused is found: so a vendor that says only "no" costs
    some calls, and no change that it would have made.
    """
    if not parts:
        return []
    said = write(parts)
    if said is None:
        return []
    named = [part for part in parts if part in said]
    if named:
        return named + refused_of([part for part in parts if part not in said], write)
    if len(parts) == 1:
        return list(parts)
    half = len(parts) // 2
    return refused_of(parts[:half], write) + refused_of(parts[half:], write)


def to_send(
    asked: Mapping[str, FieldValue],
    held: Mapping[str, object],
    left: Left,
    too_long: Callable[[str], bool],
    whole: Container[Kind] = (),
) -> dict[str, FieldValue]:
    """What of the fields differs and can be sent; `left` takes what only a person can decide.

    `held`: what the record is known to hold, several options as a tuple. `whole`: kinds of fields that take the parts
    of a postal address, all of them at once, so that those which nobody asked about are sent as they are.
    """
    found: dict[str, FieldValue] = {}
    for name, value in asked.items():
        kind, now = left.types.get(name, UNTYPED), held.get(name)
        if name in held and _as_it_is(kind, value, now):
            continue  # put right by a person, perhaps from a value that the vendor would refuse again
        if not isinstance(value, str):
            if kind.kind in whole:
                parts = {**({one: str(text) for one, text in now.items()} if isinstance(now, dict) else {}), **value}
                # a country alone is what is left of an address that is emptied
                found[name] = parts if any(text for one, text in parts.items() if one != "country") else ""
            else:
                left.unfit.append(name)
        elif too_long(value):
            left.too_long.append(name)
        elif value and isinstance(now, tuple) and len(now) > 1 and len(options_in(kind, value) or ()) < 2:
            # whether one option is to be added, or to stay alone, is not said
            left.several.append(name)
        else:
            found[name] = value
    return found


def _as_it_is(kind: FieldType, value: FieldValue, held: object) -> bool:
    """By what it means where the type says what that is, else to the letter."""
    if kind.kind not in (Kind.TEXT, Kind.UNKNOWN):
        return likeness(kind, value, held) is Likeness.SAME
    texts = [text for text in (held if isinstance(held, tuple) else (held,)) if text not in (None, "")]
    return isinstance(value, str) and texts == ([value.strip()] if value else [])


class Gone(Exception):
    """The record is not there, or not any more, or not for a change."""


@dataclass(slots=True)
class Correction(ABC, Generic[_CallsT]):
    """The changes of one record on their way, each for itself where the vendor does not take them all at once.

    It holds personal data and lives for one instruction. `asked`: the fields that are put right, by name; `values`:
    what is sent of all changes, in the vendor's form, the new address under `EMAIL`; `left`: what is not sent, and
    more. Of what happened: `done`; `unmoved`, of these what the answer itself shows as it was; and under `noes` the row
    of the vendor's table as which the last no to a change came.
    """

    calls: _CallsT
    left: Left
    asked: Mapping[str, FieldValue]
    values: dict[str, Any]
    done: list[str] = field(default_factory=list)
    unmoved: list[str] = field(default_factory=list)
    noes: dict[str, Error | None] = field(default_factory=dict)

    @abstractmethod
    def send(self, parts: Sequence[str]) -> Reply | None:
        """Make some of the changes in one call; the answer where it is a 400, and None for a yes.

        Raises `Gone` where the vendor does not find the record, and `Ended`.
        """

    @abstractmethod
    def names(self, no: Reply, parts: Sequence[str]) -> Collection[str]:
        """Which of these parts a refusal is about, none where it does not say."""

    @abstractmethod
    def is_for_a_person(self, part: str, no: Error | None) -> bool:
        """Whether such a no to one change is for the operator even where nothing else was taken."""

    @abstractmethod
    def shown(self) -> Mapping[str, object]:
        """What the record holds now of the fields that can be compared. Raises `Ended`."""

    @abstractmethod
    def others(self, refused_parts: Collection[str]) -> list[Outcome]:
        """What is left to the operator besides fields: an address, a name that is none. Raises `Ended`."""

    def gone(self) -> Outcome:
        """What is said where the vendor did not find the record, or not any more. Raises `Ended`."""
        return Retryable(reason=GONE) if self.done else NothingHeld(evidence=())

    def make(self) -> Outcome:
        """Make every change that the vendor takes; the rest is a task, or a no. Raises `Ended`."""
        try:
            refused_of(list(self.values), self._write)
        except Gone:
            return self.gone()
        no = [part for part in self.noes if part not in self.done]
        odd = [self.noes[part] for part in no if not self.is_for_a_person(part, self.noes[part])]
        if odd and not self.done:
            raise refused((odd[0] and odd[0].reason) or UNDOCUMENTED)
        return self._settled(no)

    def _write(self, parts: Sequence[str]) -> Collection[str] | None:
        reply = self.send(parts)
        if reply is None:
            self.done += parts
            return None
        self.noes |= dict.fromkeys(parts, self.calls.row(reply))
        return self.names(reply, parts)

    def _settled(self, no: Collection[str]) -> Outcome:
        shown, left = self.shown(), self.left
        found = compared({name: self.asked[name] for name in self.done if name in shown}, shown, left.types)
        # what is no value of a field may be passed over with a yes: a no where other changes were taken, and where
        # none was the read-back will say so
        taken = len(self.done) - len(self.unmoved) - len(found.other)
        left.refused = [name for name in no if name in self.asked and name not in left.missing]
        left.refused += found.other if taken > 0 else ()
        left.unclear = [*found.unclear]
        done: list[Outcome] = [Applied(evidence=())] if self.done or not no else []
        return together([*done, *left.tasks(some_done=taken > 0), *self.others(no)])


def move(addresses: Iterable[str], changes: Changes, correct: Callable[[str, Changes], Outcome]) -> Outcome:
    """Put right whoever is held under one of these addresses. `correct` does it for one, a step each.

    Where nobody is held under an old one, the record has its new address already, or never had another.
    """
    new = normalised(changes.email) if changes.email else None
    old = [correct(one, changes) for one in addresses if normalised(one) != new]
    if not all(isinstance(outcome, NothingHeld) for outcome in old):
        return together(old)
    rest = replace(changes, email=None)
    return together([correct(one, rest) for one in addresses if normalised(one) == new])
