"""What must hold in a message for a rule to be about it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from dpsync.intake.sources.paths import NOTHING, Path
from dpsync.intake.sources.values import is_blank, plain

Scalar = str | int | bool


class Relation(StrEnum):
    """How what stands at a path is looked at."""

    IS = "is"
    IS_NOT = "is_not"
    DIFFERS_FROM = "differs_from"
    ABSENT = "absent"
    NO_FLAG = "no_flag"
    BEGINS = "begins"


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that holds for a message or does not.

    `values`: what may stand at `path`; None for nothing at all, null or a blank text. `other`: the path of what it
    differs from; what is not there differs from nothing. `ABSENT`: not there, not even as null. `NO_FLAG`: that, or
    something that is neither true, false nor null. `BEGINS`: a text that begins so.
    """

    path: Path
    relation: Relation
    values: tuple[Scalar | None, ...] = ()
    other: Path | None = None

    def holds(self, message: object) -> bool:
        """Whether it does. A boolean is no number here: true is not 1."""
        found = self.path.find(message)
        here = plain(found)
        match self.relation:
            case Relation.ABSENT:
                return found is NOTHING
            case Relation.NO_FLAG:
                return found is not None and not isinstance(found, bool)
            case Relation.BEGINS:
                return isinstance(here, str) and here.startswith(tuple(f"{one}" for one in self.values))
            case Relation.DIFFERS_FROM:
                there = plain(self.other.find(message)) if self.other else None
                return here is not None and there is not None and here != there
            case Relation.IS | Relation.IS_NOT:
                return self._is_among(here) is (self.relation is Relation.IS)

    def _is_among(self, here: object) -> bool:
        if None in self.values and is_blank(here):
            return True
        return any(type(value) is type(here) and value == here for value in self.values)


def hold(conditions: Sequence[Condition], message: object) -> bool:
    """Whether all of them do."""
    return all(condition.holds(message) for condition in conditions)
