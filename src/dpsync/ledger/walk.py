"""Goes through the ledger's entries from the left, a page at a time, and compares them with the stored nodes."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection, and_, or_, select

from dpsync.ledger import entry, merkle, stored
from dpsync.store import tables

PAGE = 4096
"""Entries read at a time: a few MB."""

MOST_PROBLEMS = 50
"""Named one by one. One deleted row at the front of a long ledger must not fill a report."""

Progress = Callable[[int, int], None]
_Levels = dict[int, tuple[int, list[bytes]]]
_NODE, _ENTRY = tables.node.c, tables.entry.c


@dataclass(slots=True)
class Problems:
    """What was found, the first of it named."""

    named: list[str] = field(default_factory=list)
    more: int = 0

    def add(self, problem: str) -> None:
        """Name it, or count it where enough are named."""
        if len(self.named) < MOST_PROBLEMS:
            self.named.append(problem)
        else:
            self.more += 1

    def all(self) -> tuple[str, ...]:
        """Everything, and how many more there are."""
        return (*self.named, f"and {self.more} more") if self.more else tuple(self.named)


class Walk:
    """One walk, from `start` on. A page that is as it should be is found so at once: each level is hashed and compared
    as one list. Only a page in which something is not is gone through node by node, to name the place.
    """

    def __init__(
        self,
        connection: Connection,
        problems: Problems,
        start: int,
        size: int,
        peaks: dict[int, bytes],
        progress: Progress | None,
    ) -> None:
        self.at = start
        self.peaks = peaks  # of the tree up to `at`, as stored
        self._connection = connection
        self._problems = problems
        self._size = size
        self._progress = progress
        self._page_end = start
        self._before = peaks  # those that the page began with
        self._levels: _Levels | None = None  # of the page, where all of it is as it should be
        self._nodes: dict[tuple[int, int], bytes] = {}
        self._entries: dict[int, tuple[str | None, bytes]] = {}

    def to(self, end: int) -> None:
        """Go on until the tree has `end` leaves."""
        while self.at < end:
            if self.at == self._page_end:
                self._read_page()
            stop = min(end, self._page_end)
            if self._levels is not None:
                self.at, self.peaks = stop, self._peaks_of(self._levels, stop)
                continue
            leaves = (self._leaf(idx) for idx in range(self.at, stop))
            self.at = merkle.grow(self.at, self.peaks, leaves, self._settle)

    def _read_page(self) -> None:
        start, end = self.at, min(self._size, (self.at // PAGE + 1) * PAGE)
        self._page_end, self._before = end, self.peaks
        self._levels = self._as_they_should_be(start, end)
        if self._levels is None:
            self._read_rows(start, end)
        if self._progress is not None:
            self._progress(end, self._size)

    def _as_they_should_be(self, start: int, end: int) -> _Levels | None:
        """The page's nodes by level, each with the number of its first; None where anything is not as it should be."""
        wanted, found = self._leaves(start, end), _Levels()
        for level in range(end.bit_length()):
            first, last = start >> level, end >> level
            of_it = (_NODE.level == level) & (_NODE.idx >= first) & (_NODE.idx < last)
            hashes = stored.plain(self._connection.execute(select(_NODE.hash).where(of_it).order_by(_NODE.idx)))
            kept: list[bytes] = [one for (one,) in hashes]
            if kept != wanted:
                return None
            found[level] = first, kept
            if start >> (level + 1) == end >> (level + 1):
                break
            # The first right child may have its left one before this page.
            children = [self._before[level], *kept] if first & 1 else kept
            wanted = [merkle.node_hash(left, right) for left, right in zip(children[::2], children[1::2], strict=False)]
        return found

    def _leaves(self, start: int, end: int) -> list[bytes | None]:
        """The hashes of the page's entries; None, which fits nothing, of one that is no entry or is filed elsewhere."""
        of_it = (_ENTRY.idx >= start) & (_ENTRY.idx < end)
        asked = select(_ENTRY.request_id, _ENTRY.body).where(of_it).order_by(_ENTRY.idx)
        found = [_hash_of(filed, body) for filed, body in stored.plain(self._connection.execute(asked))]
        return found if len(found) == end - start else []

    def _peaks_of(self, levels: _Levels, size: int) -> dict[int, bytes]:
        found = {}
        for level, idx in merkle.peaks(0, size):
            if level in levels and idx >= levels[level][0]:
                first, kept = levels[level]
                found[level] = kept[idx - first]
            else:
                found[level] = self._before[level]
        return found

    def _read_rows(self, start: int, end: int) -> None:
        full = [
            and_(_NODE.level == level, _NODE.idx >= start >> level, _NODE.idx < end >> level)
            for level in range(end.bit_length())
            if start >> level < end >> level
        ]
        nodes = self._connection.execute(select(_NODE.level, _NODE.idx, _NODE.hash).where(or_(*full)))
        self._nodes = {(level, idx): stored.raw(kept) for level, idx, kept in nodes}
        entries = self._connection.execute(
            select(_ENTRY.idx, _ENTRY.request_id, _ENTRY.body).where(_ENTRY.idx >= start, _ENTRY.idx < end)
        )
        self._entries = {idx: (filed, stored.raw(body)) for idx, filed, body in entries}

    def _leaf(self, idx: int) -> bytes:
        row = self._entries.get(idx)
        if row is None:
            self._problems.add(f"entry {idx} is missing")
            return self._nodes.get((0, idx), b"")
        filed, body = row
        try:
            if entry.decode(body).get("req") != filed:
                self._problems.add(f"entry {idx} is filed under another request than it names")
        except ValueError as error:
            self._problems.add(f"entry {idx}: {error}")
        return merkle.leaf_hash(body)

    def _settle(self, level: int, idx: int, value: bytes) -> bytes:
        kept = self._nodes.get((level, idx))
        if kept is None:
            self._problems.add(f"node {level}/{idx} is missing")
            return value
        if kept != value:
            place = f"entry {idx}" if level == 0 else f"node {level}/{idx}"
            self._problems.add(f"{place} is not what was hashed")
        return kept


def _hash_of(filed: str | None, body: object) -> bytes | None:
    if not isinstance(body, bytes):
        return None
    try:
        fits = entry.request_of(body) == filed
    except ValueError:
        fits = False
    return merkle.leaf_hash(body) if fits else None
