"""How a contact of Brevo's is put right, and how it stays on the blocklist while its address changes."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dpsync.address import normalised, spellings
from dpsync.connector import Outcome, Reply, Retryable, Shelf
from dpsync.connectors.brevo.calls import INVALID, NOBODY, TAKEN, Calls, Contact
from dpsync.model import FieldValue
from dpsync.vendor import rectification
from dpsync.vendor.calls import part_of
from dpsync.vendor.corrections import EMAIL, Left, put_right
from dpsync.vendor.errors import NOT_DONE, Ended, Error
from dpsync.vendor.field_values import FieldType, Kind, written
from dpsync.vendor.outcomes import nobody, task
from dpsync.vendor.places import once
from dpsync.vendor.rectification import GONE, Gone, to_send

_NOES: Final = (NOBODY, TAKEN, INVALID)


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks that a contact had before its address changed, while they may be lost. `key`: its own, on the shelf.

    Brevo takes them away with the address, and shows nowhere afterwards that there were any.
    """

    shelf: Shelf
    key: str

    def owed(self) -> frozenset[str]:
        """Those that it must have."""
        return frozenset((self.shelf.get(self.key) or "").split())

    def remember(self, blocks: frozenset[str]) -> None:
        """Before the call that may lose them."""
        self.shelf.put(self.key, " ".join(sorted(blocks)))

    def kept(self) -> None:
        """They are there again: forgotten once the outcome stands, so that the read-back of this attempt sees them."""
        if self.owed():
            self.shelf.note(self.key, "")


def correct(
    calls: Calls, address: str, held: Contact, blocks: Blocks, asked: Mapping[str, FieldValue], new: str | None
) -> Outcome:
    """Put one contact right. `asked`: attributes by name; `new`: its new address. Raises `Ended`."""
    left = Left("Brevo", "the account", "", "attribute", "any length", calls.types)
    known = {name: value for name, value in asked.items() if name in calls.types}
    sent = to_send(known, held.attributes, left, lambda _: False)
    values: dict[str, object] = {name: _typed(calls.types[name], str(value)) for name, value in sent.items()}
    # asked for before: a force-merge is off unless somebody asks for it, and nobody documents what else is a duplicate
    taken = new is not None and any(calls.held(one) for one in once(spellings(new)))
    owed = blocks.owed()
    if new and not taken:
        values[EMAIL] = new
    if EMAIL in values or values.get("SMS"):  # of a new number nobody documents it, and nobody the opposite
        owed |= held.blocked & {*held.needed}
    if owed:
        blocks.remember(owed)
    by_hand = [name for name, value in asked.items() if name not in known and value]
    one = _Correction(calls, left, known, values, at=address, record=held, owed=owed, by_hand=by_hand)
    if taken:
        one.noes[EMAIL] = TAKEN
    outcome = one.make()
    if owed <= one.record.blocked:
        blocks.kept()
    return outcome


@dataclass(slots=True, kw_only=True)
class _Correction(rectification.Correction[Calls]):
    """One contact's. `at`: its address; `record`: as last read; `owed`: blocks that it must have in the end."""

    at: str
    record: Contact
    owed: frozenset[str]
    by_hand: Sequence[str]

    def make(self) -> Outcome:
        """As any, once a block that an earlier attempt may have lost is there. Raises `Ended`."""
        try:
            self.keep_blocked()
        except Gone:
            return self.gone()
        return rectification.Correction.make(self)

    def gone(self) -> Outcome:
        """Nobody is believed only where the account does not show the contact."""
        nobody(self.calls.held(self.at))
        return rectification.Correction.gone(self)

    def keep_blocked(self) -> None:
        """Put it back on the blocklist where a new address took it off. Raises `Ended`, `Gone`."""
        if self.owed <= self.record.blocked:
            return
        if self.calls.change(self.at, dict.fromkeys(sorted(self.owed), True), NOBODY):
            raise Gone
        self._read(self.at)
        if not self.owed <= self.record.blocked:
            self.calls.note(NOT_DONE)

    def send(self, parts: Sequence[str]) -> Reply | None:
        """Make some of the changes in one PUT, the block among them, and read what came of it."""
        attributes = {part or "EMAIL": self.values[part] for part in parts}
        no = self.calls.change(self.at, {"attributes": attributes, **dict.fromkeys(sorted(self.owed), True)}, *_NOES)
        if no is not None and self.calls.row(no) is NOBODY:
            raise Gone
        if no is not None:
            return no
        moves = self.values[EMAIL] if EMAIL in parts else self.at
        self._read(moves, self.at)
        if normalised(self.record.email) != normalised(moves):
            self.unmoved.append(EMAIL)  # it said yes all the same
        self.calls.note(put_right(parts, self.left.types))
        self.keep_blocked()
        return None

    def _read(self, *addresses: str) -> None:
        for at in addresses:
            if (now := self.calls.held(at)) is not None:
                self.at, self.record = at, now
                return
        raise Ended(Retryable(reason=GONE))  # it was there for the change, so this is no "nobody"

    def names(self, no: Reply, parts: Sequence[str]) -> Collection[str]:
        """Of a duplicate, which identifiers are another contact's; any other no names nothing."""
        metadata = part_of(no, "metadata")
        named = metadata.get("duplicate_identifiers") if isinstance(metadata, dict) else None
        taken = {str(one).upper() for one in named} if isinstance(named, list) else set()
        return [part for part in parts if (part or "EMAIL") in taken]

    def is_for_a_person(self, part: str, no: Error | None) -> bool:
        """Every no to a value."""
        del part
        return no in (TAKEN, INVALID)

    def shown(self) -> Mapping[str, object]:
        """The attributes as last read; one that is not there is empty."""
        return {**dict.fromkeys(self.asked), **self.record.attributes}

    def others(self, refused_parts: Collection[str]) -> list[Outcome]:
        """What is no attribute to write a text to; and an address, of which nothing is merged."""
        left: list[Outcome] = []
        if self.by_hand:
            which = self.left.called(self.by_hand)
            left.append(task(f"The account lacks {which}, or keeps it in another form: put it right in the web app."))
        if EMAIL in refused_parts:
            two = "The new address is a contact already. They may be two people: compare them and decide."
            bad = "Brevo refused the new address: see in the web app how it is spelt, and whether a contact has it."
            left.append(task(two if self.noes[EMAIL] is TAKEN else bad))
        return left


def _typed(kind: FieldType, value: str) -> object:
    """As JSON of the attribute's type; what cannot be is sent as it is, and passed over there."""
    text = written(kind, value)
    if kind.kind is Kind.NUMBER and re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?", text.strip()):
        return float(text)
    return text == "true" if kind.kind is Kind.CHOICE and text in kind.choices else text
