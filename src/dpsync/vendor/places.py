"""The base for vendors that keep people by their address in places: an audience, the lists of a client, one account.

A right is carried out in every place under every address. What one step cannot do keeps no other from being done; the
outcome is the worst of all, and what is done stays done, so that a retry completes it.
"""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final, Generic, TypeVar

from dpsync.address import normalised
from dpsync.connector import (
    Applied,
    AsAsked,
    CannotTell,
    Contradicts,
    Finding,
    HandOver,
    Instruction,
    Kit,
    NothingHeld,
    NotIdentifiable,
    Outcome,
    Refused,
    Retryable,
    Shelf,
)
from dpsync.errors import CredentialsRejected
from dpsync.model import Changes, Right
from dpsync.vendor.calls import Calls
from dpsync.vendor.connector import CallsT, HttpConnector, SettingsT
from dpsync.vendor.corrections import NOT_COMPARABLE, Compared
from dpsync.vendor.errors import NOT_DONE, Ended, Error, misplaced, refused
from dpsync.vendor.outcomes import each, together

NOBODY: Final = "nobody is held under any address, so there is nothing to compare"
OLD_ADDRESS: Final = "a record still has an old address"
OTHER_FIELD: Final = "a name or a field is not as asked"
NO_PLACE: Final = "the account shows no place where it could keep people"
NO_PART: Final = "the account shows nothing of what the settings say a scope is there"
ASKED: Final = "asked"
"""Under the key of an erasure: it was asked for, and may have been done. A stored format."""

PlaceT = TypeVar("PlaceT")
MemberT = TypeVar("MemberT")


@dataclass(frozen=True, slots=True)
class Found(Generic[CallsT, PlaceT, MemberT]):
    """Who is held in one place, by address. Personal data, for one instruction."""

    calls: CallsT
    place: PlaceT
    members: Mapping[str, MemberT]


class PeopleInPlaces(HttpConnector[SettingsT, CallsT], Generic[SettingsT, CallsT, PlaceT, MemberT]):
    """What such a connector inherits. It says itself: its calls, the account, the places, who is held in one of them,
    one act a right, and what of it is wrong.

    An act is told of one place and one address (a rectification of all addresses), may raise `Ended`, and is made
    again if another failed: told twice, its effect is that of once. A restriction that ends is `lift`.
    """

    errors: ClassVar[tuple[Error, ...]] = ()
    """The vendor's table of errors, which its calls go by."""
    forgets = frozenset({"erased/"})

    def __init__(self, settings: SettingsT, kit: Kit, *, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(settings, kit)
        self._sleep = sleep

    # --- what a connector says, besides its calls and its account

    @abstractmethod
    def places(self, calls: CallsT) -> Iterable[PlaceT]:
        """Every place, each known to exist or shown to before "nobody" is believed of it. Raises `Ended`.

        It is gone through while the acts are made: what raises late ends nothing that was told before.
        """

    @abstractmethod
    def member(self, calls: CallsT, place: PlaceT, address: str) -> MemberT | None:
        """Who is held there under this address, None for the documented "nobody". Raises `Ended`."""

    @abstractmethod
    def wrong(self, order: Instruction, found: Found[CallsT, PlaceT, MemberT]) -> str:
        """Why what a place holds is not as asked, "" where it is. Raises `Ended`.

        Of every right but a rectification; of a lifted restriction, what does not show why it is still there.
        """

    def compared(self, found: Found[CallsT, PlaceT, MemberT], member: MemberT, changes: Changes) -> Compared:
        """What of a record is not as a rectification asked, its address aside. Raises `Ended`."""
        raise NotImplementedError  # because `carry_out` and `verify` refuse a right that is not declared

    def put_right(self, calls: CallsT, place: PlaceT, addresses: tuple[str, ...], changes: Changes) -> Outcome:
        """Put right whoever is held under any of the addresses; see `rectification`."""
        raise NotImplementedError  # because `carry_out` and `verify` refuse a right that is not declared

    def erase(self, calls: CallsT, place: PlaceT, address: str) -> Outcome:
        """Erase, for good."""
        raise NotImplementedError  # because `carry_out` and `verify` refuse a right that is not declared

    def restrict(self, calls: CallsT, place: PlaceT, address: str) -> Outcome:
        """Keep the data, and keep them from use."""
        raise NotImplementedError  # because `carry_out` and `verify` refuse a right that is not declared

    def lift(self, calls: CallsT, place: PlaceT, address: str) -> Outcome:
        """Take back what our own restriction did. It never subscribes anybody."""
        raise NotImplementedError  # because `carry_out` and `verify` refuse a right that is not declared

    def opt_out(self, calls: CallsT, place: PlaceT, address: str) -> Outcome:
        """See that nothing is sent any more."""
        raise NotImplementedError  # because `carry_out` and `verify` refuse a right that is not declared

    def lies_in(self, place: PlaceT, part: str) -> bool:
        """Whether a part, as `parts` has it, is of this place."""
        raise NotImplementedError  # because nothing else can be configured where `parts` is empty

    def leave(self, calls: CallsT, place: PlaceT, address: str, part: str) -> Outcome:
        """See that nothing of this part is sent any more, and leave everything else as it is."""
        raise NotImplementedError  # because nothing else can be configured where `parts` is empty

    def still_in(self, found: Found[CallsT, PlaceT, MemberT], part: str) -> str:
        """Why a part is not as asked, "" where it is; of everything else nothing is said. Raises `Ended`."""
        raise NotImplementedError  # because nothing else can be configured where `parts` is empty

    # --- what it inherits

    def carry_out(self, instruction: Instruction) -> Outcome:
        """Tell every place. The outcome is the worst of all; what is done stays done and a retry completes it.

        Raises `CredentialsRejected`, and `UnsupportedRight` before any call.
        """
        addresses = self._addresses(instruction)
        if not addresses:
            return NotIdentifiable(reason=f"{self.vendor} knows people by their email address, and none is known")
        calls = self.calls(instruction)
        outcomes: list[Outcome] = []
        try:
            for place, parts in self._every_part(calls, instruction):
                outcomes += each(self._steps(calls, place, instruction, addresses, parts))
        except Ended as end:
            outcomes.append(end.outcome)
        return _undone_first(instruction, together(outcomes, calls.kept, touched=calls.touched))

    def verify(self, instruction: Instruction) -> Finding:
        """Read back every place under every address. Raises `CredentialsRejected`.

        Found nowhere: as asked for erasure, restriction and opt-out (who is not held is neither used nor mailed); for a
        rectification it shows neither that a value is right nor that it is wrong, so that is `CannotTell` for good.
        """
        addresses = self._addresses(instruction)
        calls = self.calls(instruction)
        reasons: list[str] = []
        try:
            for place, parts in self._every_part(calls, instruction):
                held = {one: who for one in addresses if (who := self.member(calls, place, one)) is not None}
                found = Found(calls, place, held)
                if parts is not None:
                    reasons += [self.still_in(found, part) for part in parts]
                elif instruction.right is Right.RECTIFICATION:
                    reasons += self._not_right(found, instruction.changes or Changes())
                else:
                    reasons.append(self.wrong(instruction, found))
        except Ended as end:
            return calls.cannot_tell(end)
        return _finding(instruction, reasons, calls)

    def _every_part(self, calls: CallsT, order: Instruction) -> Iterator[tuple[PlaceT, list[str] | None]]:
        """Every place that an instruction is about, with the parts of it that are meant, None for all of it.

        Raises `Ended`: also where a part is nowhere, or none is named: that would be called done.
        """
        if order.only is None:
            yield from ((place, None) for place in self._every_place(calls))
            return
        missing = set(order.only)
        for place in self._every_place(calls):
            if here := [part for part in order.only if self.lies_in(place, part)]:
                missing -= set(here)
                yield place, here
        if missing or not order.only:
            raise misplaced(NO_PART)

    def _every_place(self, calls: CallsT) -> Iterator[PlaceT]:
        """Every place, of which there is one at least: an account that shows none proves nothing. Raises `Ended`."""
        shown: PlaceT | None = None
        for shown in self.places(calls):
            yield shown
        if shown is None:
            raise refused(NO_PLACE)

    def _addresses(self, instruction: Instruction) -> tuple[str, ...]:
        self.demand_declared(instruction.right)
        return once(instruction.spellings)

    def _steps(
        self,
        calls: CallsT,
        place: PlaceT,
        order: Instruction,
        addresses: tuple[str, ...],
        parts: Iterable[str] | None,
    ) -> list[Callable[[], Outcome]]:
        """One step an address, so that one that fails does not keep the others from being done."""
        if parts is not None:
            return [partial(self.leave, calls, place, address, part) for part in parts for address in addresses]
        if order.right is Right.RECTIFICATION:
            return [partial(self.put_right, calls, place, addresses, order.changes or Changes())]
        acts = {Right.ERASURE: self.erase, Right.RESTRICTION: self.restrict, Right.OPT_OUT: self.opt_out}
        act = self.lift if _is_lifted(order) else acts[order.right]
        return [partial(act, calls, place, address) for address in addresses]

    def _not_right(self, found: Found[CallsT, PlaceT, MemberT], changes: Changes) -> list[str]:
        """One word for each record."""
        words: list[str] = []
        for address, member in found.members.items():
            shown = self.compared(found, member, changes)
            old = changes.email is not None and normalised(address) != normalised(changes.email)
            words.append(
                OLD_ADDRESS if old else OTHER_FIELD if shown.other else NOT_COMPARABLE if shown.unclear else ""
            )
        return words

    def _shelf_key(self, kind: str, place: str, address: str) -> str:
        """Where something is remembered of a person in one place. A stored format."""
        return f"{kind}/{place}/{self._kit.pseudonym(address.strip().lower())}"

    def _erased(self, key: str) -> Outcome:
        """What is said of whom nobody holds (any more): our own doing, where the shelf knows of it."""
        return Applied(evidence=()) if self._kit.shelf.get(key) else NothingHeld(evidence=())


def _undone_first(order: Instruction, outcome: Outcome) -> Outcome:
    """Where one place said yes and did nothing, that is read back and told, whatever another leaves to a person.

    Else the operator's task, which names that other place, would hide it until somebody answers. Of a rectification
    the task itself names what was passed over.
    """
    if order.right is Right.RECTIFICATION or not isinstance(outcome, HandOver):
        return outcome
    undone = any(one.note == NOT_DONE for one in outcome.evidence)
    return Applied(evidence=outcome.evidence) if undone else outcome


def remembered(shelf: Shelf, key: str, ask: Callable[[], Outcome]) -> Outcome:
    """Ask to erase, remembered before: if we crash after it, the next attempt finds nobody, and that is our doing.

    It is forgotten where nothing was done there: whoever erases the person then is not us. What `ask` itself keeps
    under the key stays. Raises what `ask` raises.
    """
    shelf.put(key, ASKED)
    try:
        outcome = ask()
    except CredentialsRejected:
        _forget(shelf, key)
        raise
    except Ended as end:
        if not (isinstance(end.outcome, Retryable) and end.outcome.doubtful):
            _forget(shelf, key)
        raise
    if isinstance(outcome, Refused | NothingHeld) or (isinstance(outcome, Retryable) and not outcome.doubtful):
        _forget(shelf, key)
    return outcome


def _forget(shelf: Shelf, key: str) -> None:
    if shelf.get(key) == ASKED:
        shelf.put(key, "")


def once(forms: Iterable[str]) -> tuple[str, ...]:
    """Each spelling of an address once, whether in capitals or not; of those that differ in nothing else the first."""
    found: dict[str, str] = {}
    for form in forms:
        found.setdefault(form.lower(), form)
    return tuple(found.values())


def _finding(order: Instruction, reasons: list[str], calls: Calls) -> Finding:
    evidence, found = calls.kept, [reason for reason in reasons if reason]
    if order.right is Right.RECTIFICATION:
        if not reasons:
            return CannotTell(reason=NOBODY, evidence=evidence)
        found.sort(key=(OLD_ADDRESS, OTHER_FIELD, NOT_COMPARABLE).index)
    if not found:
        return AsAsked(evidence=evidence)
    # what is still silenced does not show whether it is our restriction or the controller's own tidying
    if _is_lifted(order) or found[0] == NOT_COMPARABLE:
        return CannotTell(reason=found[0], evidence=evidence)
    return Contradicts(reason=found[0], evidence=evidence)


def _is_lifted(order: Instruction) -> bool:
    return order.right is Right.RESTRICTION and order.lifted is not None
