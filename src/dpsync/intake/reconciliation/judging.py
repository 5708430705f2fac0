"""Whether what a list says may be believed and acted on, or a person is asked first. Pure."""

from dataclasses import dataclass
from typing import Final

FEW: Final = 10
"""Of so few nobody can say a share: the number alone counts."""

_SHRINKS_TO: Final = 0.9
_MOST_MISSING: Final = 3


@dataclass(slots=True)
class Counted:
    """What was counted of a list. `listed`: its rows; `nameless`: those of them that do not say of whom they are;
    `half_read`: something of somebody who matters could not be read. `known`, `missing`: people whom it should name,
    and those of them that it does not. `new`: differences that were not found before.
    """

    listed: int = 0
    nameless: int = 0
    agree: int = 0
    differ: int = 0
    not_known: int = 0
    half_read: bool = False
    known: int = 0
    missing: int = 0
    new: int = 0


@dataclass(frozen=True, slots=True)
class Brake:
    """What may be new on one day: so many, and such a share. `released`: so many, says a person."""

    most: int
    percent: int
    released: int | None = None

    def is_beyond(self, new: int) -> bool:
        """Whether so many are too many."""
        return new > (self.most if self.released is None else self.released)


def unlike_last(counted: Counted, last: int, brake: Brake) -> str:
    """Why a list is not the whole list; "" for no reason. `last`: how many rows the last good one had."""
    if not counted.listed:
        return "the list names nobody"
    if brake.released is None and last - counted.listed >= FEW and counted.listed < last * _SHRINKS_TO:
        return f"the list has {counted.listed:,} rows, and the last good one had {last:,}: is it whole?"
    return ""


def verdict(counted: Counted, brake: Brake) -> str:
    """Why a person must decide before anything is done; "" for no reason."""
    if brake.is_beyond(counted.new):
        allowed = brake.most if brake.released is None else brake.released
        return f"there are more than {allowed:,} new differences"
    if brake.released is not None:
        return ""
    compared = counted.agree + counted.differ + counted.not_known
    if counted.new > FEW and counted.new * 100 > compared * brake.percent:
        return f"{counted.new:,} of {compared:,} are new differences, which is more than {brake.percent} %"
    if counted.missing > _MOST_MISSING and counted.missing * 2 > counted.known:
        return f"the list lacks {counted.missing:,} of the {counted.known:,} people whom dpsync knows: is it whole?"
    return ""
