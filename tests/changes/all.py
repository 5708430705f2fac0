"""As many changes as wanted, of every kind in turn, and what was made of each."""

from collections.abc import Iterator, Mapping
from itertools import cycle, islice
from pathlib import Path
from random import Random

from tests.changes import ledger, outside, receipts, rows
from tests.changes.change import Change, Maker
from tests.changes.grounds import Grounds


def makers() -> Mapping[str, Maker]:
    """Every kind of change to every kind of thing, by name."""
    return {**rows.makers(), **ledger.makers(), **outside.makers(), **receipts.makers()}


def changes(there: Grounds, number: int, seed: int) -> Iterator[Change]:
    """So many of them, the kinds in turn; `seed` chooses where each is made."""
    random, every = Random(seed), makers()
    names = list(every)
    random.shuffle(names)
    made = (every[name](there, random) for name in cycle(names))
    return islice((one for one in made if one is not None), number)


LEFT = {
    "delete checkpoint": "its note lies among the anchors, and the entries show its root again",
    "delete the first consistency file": "before it there were none, so an older installation looks the same",
    "insert cosigned": "a line that came without its entry happens where dpsync ends in between; a reader checks it",
    "delete a receipt": "of a request that is not forgotten, dpsync writes another one within a minute",
    "resign how_to_check": "by whoever has the key: the sentences for people prove nothing",
    "the end of the journal since the last start": "looks as if dpsync had ended between commit and line; it is added",
    "a contact that nobody confirmed": "dpsync asks it again at the next start",
    "meta: how far something was looked at": "made anew, or odd and refused; the digest of the settings is an entry",
    "a month's fingerprint": "of a month of which nothing is left that its key would open",
}
"""What is not made here although somebody could make it, and why nothing is lost by it.

Tables and columns that prove nothing stand in `ledger/rows.py`, with reasons. What only somebody else can notice is in
`only_outside`.
"""


def missed(there: Grounds, scratch: Path, number: int, seed: int) -> Iterator[str]:
    """For each change in turn, what is wrong with how it is noticed; "" where nothing is."""
    for one in changes(there, number, seed):
        yield one.missed(there.copied(scratch))
