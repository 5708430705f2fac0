"""People whom a processor holds and no main database lists: counted, and never named.

Somebody typed them in there, or bought them. Addresses are compared by marks under a key that is made anew for each
sweep and kept nowhere: eight bytes for each address of the main databases, for as long as the sweep lasts.
"""

import secrets
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from dpsync import telemetry
from dpsync.address import normalised
from dpsync.connector import RosterLine
from dpsync.errors import DpsyncError
from dpsync.installation import Installation
from dpsync.intake.reconciliation.people_list import SourcePeople


class Strangers:
    """`count`: how many there are so far; None where not every main database lists its people, or one is not read."""

    def __init__(self, there: Installation) -> None:
        self._there, self._key = there, secrets.token_bytes(32)
        self._listed = [array("Q") for _ in range(256)]  # by the first byte, so that no sorting takes much memory
        self.count: int | None = None

    def read(self) -> Iterator[int]:
        """Read what every main database lists, a page at a time; trouble with one stops no sweep."""
        sections, folder = self._there.settings.sources, self._there.config.parent
        lists = {name: one.reconcile for name, one in sections.items()}
        if not lists or None in lists.values():
            return
        try:
            for name, section in lists.items():
                for page in SourcePeople(name, section, folder).pages() if section else ():
                    for mark in (self._mark(one) for row in page if row for one in row.addresses):
                        self._listed[mark >> 56].append(mark)
                    yield 0
        except DpsyncError as error:
            telemetry.log("sweep").warning("nobody is counted whom no main database lists", error=error)
            return
        self._listed = [array("Q", sorted(one)) for one in self._listed]
        self.count = 0

    def see(self, page: Sequence[RosterLine]) -> None:
        """Count those of one page."""
        if self.count is not None:
            self.count += sum(bool(line.address) and not self._is_listed(line.address) for line in page)

    def _mark(self, address: str) -> int:
        return int.from_bytes(blake2b(normalised(address).encode(), key=self._key, digest_size=8).digest(), "big")

    def _is_listed(self, address: str) -> bool:
        mark = self._mark(address)
        marks = self._listed[mark >> 56]
        at = bisect_left(marks, mark)
        return at < len(marks) and marks[at] == mark
