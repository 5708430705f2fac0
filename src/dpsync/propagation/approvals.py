"""How many different people have said yes, by the names they gave and the ways they came. Pure."""

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

BY_LINK = " by link"
"""How a name ends that was given by link: with the role whose link it was, before it."""

Said = tuple[str, str]
"""A name, and the account of the operating system that gave it; "" where it was given by link."""


@dataclass(frozen=True, slots=True)
class Approvals:
    """How many people have said yes, of how many who must. `adds`: whether the last one is somebody else."""

    yes: int
    needed: int
    adds: bool

    @property
    def enough(self) -> bool:
        """Whether nobody else must say it."""
        return self.yes >= self.needed

    @property
    def lacking(self) -> str:
        """What is said where it is not enough yet."""
        same = "" if self.adds else ": this name, or this role, said it before. Somebody else must say it, too"
        return f"{self.yes} of {self.needed} people have said yes{same}"


def approvals(now: Said, before: Collection[Said], needed: int) -> Approvals:
    """What stands with the yes of `now` beside those `before`."""
    yes = _people([now, *before])
    return Approvals(yes, needed, adds=yes > _people(before))


def _people(said: Collection[Said]) -> int:
    """How many people these names and accounts are, at the least: whoever shares a name or a role is one."""
    people: list[frozenset[str]] = []
    for by, os_user in said:
        known = _known_as(by, os_user)
        same = [one for one in people if one & known]
        people = [*(one for one in people if not one & known), known.union(*same)]
    return len(people)


def _known_as(by: str, os_user: str) -> frozenset[str]:
    """What tells a person from others: spellings of one name are one, and a role is one person whatever they type."""
    name = " ".join(unicodedata.normalize("NFKC", by).casefold().split())
    if os_user or not name.endswith(BY_LINK):
        return frozenset({name})
    typed, _, role = name.rpartition(", ")
    return frozenset(filter(None, [typed, role]))
