"""A list of people that is paged by a number of records to skip, in the order in which they came.

Who leaves it meanwhile moves all behind them forward: so each page begins with the end of the one before.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from dpsync.connector import Retryable, RosterLine
from dpsync.vendor.errors import Ended, unreadable

AGAIN: Final = 20
"""Records of the page before that are asked for once more: so many may go meanwhile, and nobody is passed over."""
MOVED: Final = "the list changed while it was read"


@dataclass(frozen=True, slots=True)
class Page:
    """One page, and how many records there are in all."""

    lines: Sequence[RosterLine]
    total: int


def overlapping(page_at: Callable[[int], Page], after: str = "") -> Iterator[RosterLine]:
    """Everybody on it, or behind the mark `after`. `page_at`: the page behind so many records.

    Raises `Ended` where somebody may be passed over.
    """
    skipped, end = _place(after)
    while True:
        page = page_at(skipped)
        new = _behind(page.lines, end)
        reached = skipped + len(page.lines)
        if reached >= page.total:
            yield from new
            return
        if not new:
            raise unreadable()  # it promises more, and shows nothing
        end = [line.record for line in page.lines[-AGAIN:]]
        skipped = reached - len(end)
        yield from new[:-1]
        yield replace(new[-1], mark=json.dumps([skipped, end]))


def _place(mark: str) -> tuple[int, Sequence[str]]:
    skipped, end = json.loads(mark or "[0, []]")
    return skipped, end


def _behind(page: Sequence[RosterLine], end: Sequence[str]) -> Sequence[RosterLine]:
    """What of a page stands behind the end of the one before. Raises `Ended` where that is not in it."""
    if not end:
        return page
    seen = [at for at, line in enumerate(page) if line.record in end]
    if not seen:
        raise Ended(Retryable(reason=MOVED))
    return page[seen[-1] + 1 :]
