"""What differs between a record that a processor lists and what was asked of us. Pure."""

from dataclasses import dataclass
from typing import Final

from dpsync.address import NotAnAddress, mailbox
from dpsync.connector import RosterLine
from dpsync.intake.reconciliation.compare import Difference, DifferenceKind
from dpsync.intake.reconciliation.listed import Listed
from dpsync.model import Right
from dpsync.propagation.rules.scoped import shows_as_left

RETURNED: Final = Difference(DifferenceKind.RETURNED, Right.ERASURE)
IN_USE: Final = Difference(DifferenceKind.CONTACTABLE, Right.RESTRICTION)
MAILED: Final = Difference(DifferenceKind.CONTACTABLE, Right.OPT_OUT)
LEFT: Final = Difference(DifferenceKind.MISSED, Right.OPT_OUT)
EVERY: Final = (RETURNED, IN_USE, MAILED, LEFT)
"""All that may differ: erased and back, restricted and in use, opted out and mailed, opted out and not known to us."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What was asked for whoever has the address of a record, and was carried out at this processor before the sweep.

    `erased`, `opted_out`, `restricted`: that is done here, and stands. `mail_stopped`: an opt-out, or an erasure that
    is on its way, is known, here or not. `ours`: that the record says "opted out" is our own doing; `may_be_ours`: they
    were restricted, which unsubscribes them at some vendors, and nobody subscribes them again when it is lifted.
    `leaves`: the parts here, as the connector has them, that they are opted out of by an opt-out from a part, on its
    way or done; `left`: those of which it is done.
    """

    erased: bool = False
    opted_out: bool = False
    restricted: bool = False
    mail_stopped: bool = False
    ours: bool = False
    may_be_ours: bool = False
    leaves: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()

    def __or__(self, other: "Carried") -> "Carried":
        """What holds for either: of several people with one address any may be meant."""
        return Carried(
            self.erased or other.erased,
            self.opted_out or other.opted_out,
            self.restricted or other.restricted,
            self.mail_stopped or other.mail_stopped,
            self.ours or other.ours,
            self.may_be_ours or other.may_be_ours,
            self.leaves | other.leaves,
            self.left | other.left,
        )


def differences(line: RosterLine, carried: Carried) -> list[Difference]:
    """All that differs. Of somebody who was erased nothing else counts."""
    if carried.erased:
        return [RETURNED]
    found = []
    if carried.restricted and line.used:
        found.append(IN_USE)
    if (line.mailed and carried.opted_out) or any(is_mailed_in(part, line) for part in carried.left):
        found.append(MAILED)
    known = carried.mail_stopped or any(shows_as_left(part, line.place) for part in carried.leaves)
    if line.opted_out and not known and not carried.ours:
        found.append(LEFT)
    return found


def is_mailed_in(part: str, line: RosterLine) -> bool:
    """Whether somebody who left this part may be mailed in it: a blocked channel leaves the others of its place."""
    whole = not part.startswith("channel=") and shows_as_left(part, line.place)
    return part in line.within or (line.mailed and whole)


def is_unusable(address: str) -> bool:
    """Whether no request can be about it."""
    try:
        mailbox(address)
    except NotAnAddress:
        return True
    return False


def as_listed(line: RosterLine) -> Listed:
    """A record as findings have it: called by the vendor's own ids, and the same as before while its state is."""
    return Listed(
        id=f"{line.place}/{line.record}",
        addresses=(line.address,) if line.address else (),
        opted_out=not line.mailed,
        restricted=not line.used,
        unread=not line.address,
        version=" ".join(sorted(line.within)),
    )
