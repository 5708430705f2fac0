"""What a rectification finds and leaves: whether a record is as asked, and what goes to the operator.

A field is told of by its name and never by its value.
"""

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from dpsync.connector import HandOver
from dpsync.model import FieldValue
from dpsync.vendor.field_values import UNTYPED, FieldType, Kind, Likeness, likeness
from dpsync.vendor.outcomes import task

NOT_COMPARABLE: Final = "a field is kept in a form that cannot be compared with what was asked"

EMAIL, NAME = "", " "  # among the names of what is changed: no field is called so

_FIRST: Final = (
    "In {place} {vendor} changes nothing of this record before {names} is filled as it demands. Fill it in the web "
    "app, then put the record right there."
)
_REFUSED: Final = "In {place} {vendor} did not accept the new value of {names}: put it right in the web app."
_TOO_LONG: Final = (
    "In {place} the new value of {names} has over {limit}, which {vendor} would cut, so it was not sent: agree on a "
    "shorter one and put it right in the web app."
)
_MISSING: Final = (
    "In {place} the request would put right {names}, which it lacks: see whether the value is kept elsewhere there."
)
_UNCLEAR: Final = (
    "In {place} {vendor} took the new value of {names} and shows it in a form that cannot be compared with what was "
    "asked: see in the web app whether it is right."
)
_SEVERAL: Final = (
    "In {place} several options are chosen in {names}, and {vendor} would replace them all by the new one: put it "
    "right in the web app."
)
_TWO: Final = (
    "In {place} both the old and the new address have a record (state '{state}' and '{other}'). They may be two "
    "people: compare them in the web app and decide. Nothing was merged."
)
_UNFIT: Final = (
    "In {place} {names} cannot take the parts of an address, which the request gives: put it right in the web app."
)


def compared(asked: Mapping[str, FieldValue], held: Mapping[str, object], types: Mapping[str, FieldType]) -> "Compared":
    """Which fields of a record are not as asked, and which cannot be compared; one that is not there is empty."""
    found = {name: likeness(types.get(name, UNTYPED), value, held.get(name)) for name, value in asked.items()}
    return Compared(
        other=tuple(name for name, one in found.items() if one is Likeness.OTHER),
        unclear=tuple(name for name, one in found.items() if one is Likeness.UNCLEAR),
    )


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison of several fields showed."""

    other: tuple[str, ...]
    unclear: tuple[str, ...]


@dataclass(slots=True)
class Left:
    """What of a rectification is left to the operator in one list, by the names of the fields.

    `place`: which list, as in "audience a6b5da1054", `reference` its id; `noun`: what the vendor calls a field;
    `types`: those of the fields that the list is known to have; `limit`: the longest value, in words.
    """

    vendor: str
    place: str
    reference: str
    noun: str
    limit: str
    types: Mapping[str, FieldType] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    too_long: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    several: list[str] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    """Fields that were not asked about, and without which the vendor takes nothing else."""

    def tasks(self, *, some_done: bool) -> list[HandOver]:
        """One task a kind of trouble. `some_done`: other changes were made there."""
        done = " The other changes are in place there." if some_done else ""
        told = [
            (self.first, _FIRST),
            (self.refused, _REFUSED + done),
            (self.too_long, _TOO_LONG),
            (self.missing, _MISSING),
            (self.unclear, _UNCLEAR),
            (self.several, _SEVERAL),
            (self.unfit, _UNFIT),
        ]
        return [
            task(
                sentence.format(place=self.place, vendor=self.vendor, limit=self.limit, names=self.called(names)),
                self.reference,
            )
            for names, sentence in told
            if names
        ]

    def called(self, names: Iterable[str]) -> str:
        """The fields by name and type."""
        shown = [self._shown(name) for name in dict.fromkeys(names)]
        noun = self.noun if len(shown) == 1 else f"{self.noun}s"
        return f"the {noun} {' and '.join(filter(None, [', '.join(shown[:-1]), shown[-1]]))}"

    def _shown(self, name: str) -> str:
        kind = self.types.get(name, UNTYPED).kind
        known = "" if kind in (Kind.UNKNOWN, Kind.TEXT) else f" ({kind})"
        return f"{named(name, known=name in self.types)}{known}"


def two_records(left: "Left", state: str, other: str) -> HandOver:
    """Both addresses have a record there: nothing is merged, for they may be two people."""
    return task(_TWO.format(place=left.place, state=state, other=other), left.reference)


def put_right(names: Iterable[str], known: Container[str]) -> str:
    """What is noted beside a call about these fields: what was asked, for a yes may pass one of them over.

    `known`: those that the vendor itself has.
    """
    said = {EMAIL: "address", NAME: "name"}
    shown = (said.get(name) or named(name, known=name in known, otherwise="a field") for name in names)
    return f"asked to put right: {', '.join(shown)}"


def named(name: str, *, known: bool, otherwise: str = "that the request names") -> str:
    """The name of a field as it may stand in a task: the vendor's own, or one that cannot be an address or a number."""
    if known or re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,24}", name):
        return name
    return otherwise
