"""What differs between a person as the main database lists them and what was asked of us. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from dpsync.intake.reconciliation.listed import Listed
from dpsync.model import Right

ON_ITS_WAY = timedelta(days=1)
"""What was asked of us so lately may not have reached the main database yet: nobody is asked about it."""


class DifferenceKind(StrEnum):
    """What was found. Only what was missed is made up for; all else is asked of a person."""

    MISSED = "missed"
    CONTACTABLE = "contactable"
    ADDRESS = "address"
    GONE = "gone"
    RETURNED = "returned"
    MERGED = "merged"


class ErasureStage(StrEnum):
    """How far the erasure of a person is with us. `GONE_ONLY`: it was only said that their record is gone."""

    NONE = "none"
    GONE_ONLY = "gone_only"
    OPEN = "open"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Ours:
    """What was asked of us for the person behind a row, as far as it stands.

    `persons`: whom its id and addresses stand for, "" for the id where it is nobody's. `opt_out`, `restriction`: since
    when; None where nobody asked. `new_addresses`: of the row, those that nobody named to us for this person.
    `erased_address`: an address of the row is that of somebody else, or of nobody in particular, who was erased.
    `merged`: the id is known as gone into another; `winner_known`: so is the winner it names, or somebody by its id.
    """

    person: str = ""
    persons: frozenset[str] = frozenset()
    opt_out: datetime | None = None
    restriction: datetime | None = None
    erasure: ErasureStage = ErasureStage.NONE
    stops_mail: bool = False
    new_addresses: tuple[str, ...] = field(default=(), repr=False)
    erased_address: bool = False
    merged: bool = False
    winner_known: bool = False

    @property
    def known(self) -> bool:
        """Whether anything was ever asked of us for them, or for whoever had such an address and was erased."""
        return bool(self.persons) or self.erased_address


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs. `right`: which is missed, or which the main database does not know of."""

    kind: DifferenceKind
    right: Right | None = None
    delete_shaped: bool = False


def differences(row: Listed, ours: Ours, now: datetime) -> list[Difference]:
    """All that differs; a flag that the list does not tell is compared with nothing."""
    if row.merged_into:
        carries = ours.known or ours.winner_known or row.opted_out or row.restricted
        found = [] if ours.merged or not carries else [Difference(DifferenceKind.MERGED)]
        return [*found, *_missed_opt_out(row, ours)] if row.opted_out and not ours.merged else found
    if row.erased or (row.deleted and not ours.merged):
        return [*_missed_erasure(row, ours), *_missed_opt_out(row, ours)]
    if row.deleted:
        return []
    return list(_of_who_is_there(row, ours, now))


def _missed_erasure(row: Listed, ours: Ours) -> list[Difference]:
    wanted = {ErasureStage.NONE, ErasureStage.GONE_ONLY} if row.erased else {ErasureStage.NONE}
    if ours.erasure not in wanted:
        return []
    return [Difference(DifferenceKind.MISSED, Right.ERASURE, delete_shaped=not row.erased)]


def _missed_opt_out(row: Listed, ours: Ours) -> list[Difference]:
    covered = ours.stops_mail or (ours.opt_out is not None and not ours.new_addresses)
    return [Difference(DifferenceKind.MISSED, Right.OPT_OUT)] if row.opted_out and not covered else []


def _of_who_is_there(row: Listed, ours: Ours, now: datetime) -> Iterator[Difference]:
    if ours.erasure is ErasureStage.DONE or ours.erased_address:
        yield Difference(DifferenceKind.RETURNED, Right.ERASURE)
    if ours.erasure is ErasureStage.DONE:
        return
    if ours.erasure is ErasureStage.GONE_ONLY:
        yield Difference(DifferenceKind.CONTACTABLE, Right.ERASURE)
    yield from _missed_opt_out(row, ours)
    if row.restricted and ours.restriction is None and ours.erasure is ErasureStage.NONE:
        yield Difference(DifferenceKind.MISSED, Right.RESTRICTION)
    for right, flag, since in (
        (Right.OPT_OUT, row.opted_out, ours.opt_out),
        (Right.RESTRICTION, row.restricted, ours.restriction),
    ):
        if flag is False and since is not None and now - since > ON_ITS_WAY:
            yield Difference(DifferenceKind.CONTACTABLE, right)
    if ours.person and ours.new_addresses and ours.opt_out is None and ours.erasure is ErasureStage.NONE:
        yield Difference(DifferenceKind.ADDRESS, Right.RECTIFICATION)
