"""Rows that were found to be as the ledger tells, and are the same since, need no second look at what it tells.

Comparing takes ten times as long as reading. The digests are keyed, and lie in the database: whoever changes a row
there cannot make the digest that would go with it.
"""

import marshal
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from dpsync.ledger.entry import commitment
from dpsync.ledger.stored_rows import Stretched
from dpsync.sealing import Keys

_SPELLING = 0
"""Of `marshal`: by later ones, equal values are spelled by where they lie in memory. A fifth of `repr`'s time; should
another Python spell otherwise, everything is compared once more."""


@dataclass(frozen=True, slots=True)
class PageDigests:
    """Of a page of requests: the digest of what reports print of them, and of what lies beneath."""

    printed: str
    beneath: str


@dataclass(frozen=True, slots=True)
class ComparedPage:
    """A page of requests that was in order: the digests of its rows, and how many entries there were then."""

    digests: PageDigests
    entries: int


@dataclass(frozen=True, slots=True)
class ComparedBefore:
    """What earlier comparisons found to be in order, and which pages of requests are looked at now.

    `pages` by number. `told_until`: of each page that is looked at, the last entry about any of its requests that came
    since everything was compared; -1 where none did. `beneath`: whether what no report prints is looked at, too.
    """

    pages: Mapping[int, ComparedPage]
    told_until: Mapping[int, int]
    beneath: bool

    def was(self, number: int) -> PageDigests | None:
        """The digests that a page has if it is as it was; None where an entry came to any of its requests since."""
        was = self.pages.get(number)
        return was.digests if was is not None and self.told_until[number] < was.entries else None


def digest_of(keys: Keys, shut: Collection[str], found: Stretched) -> str:
    """One value of all that is compared of a page of requests: what the database has, and which keys are lost."""
    return commitment(seal(keys), marshal.dumps([sorted(shut), *found.items()], _SPELLING))


def seal(keys: Keys) -> bytes:
    """The key of these digests, and of what is remembered with them."""
    return keys.mac("ledger", b"unchanged pages")
