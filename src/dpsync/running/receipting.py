"""Receipts of what closed: looked for in what the ledger tells since the last look, and all the others in turn.

So a look costs as much as happened since, and not as much as ever closed. A file that somebody took away or spoilt is
missed when its turn comes.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from dpsync.custody import LookedFor
from dpsync.installation import Installation
from dpsync.propagation import receipts
from dpsync.store import meta

AT_ONCE: Final = 200
"""Receipts under one checkpoint: others that write need not wait, and a kill loses no more work than that."""

ENTRIES: Final = 20_000
"""Of so many entries at a time it is looked which requests have closed."""

IN_TURN: Final = 500
"""So many older requests are looked at again with each look."""

REMEMBERED: Final = 1_000
"""So many entries are looked at once more after a restart, at the most: each minute's place is not worth a write."""

_ROW: Final = "receipts"


def write(there: Installation, now: datetime, in_turn: int = IN_TURN) -> None:
    """Write the receipt of each request that closed, or closed anew, since its receipt was written."""
    looked = there.custody.looked
    refused: dict[str, str] = {}
    for some in _to_look_at(there, looked, in_turn):
        missing = there.custody.receipts.missing(some)
        for at in range(0, len(missing), AT_ONCE):
            refused |= _written(there, missing[at : at + AT_ONCE], now)
    looked.refused = set(refused)
    if refused:
        there.write(lambda unit: receipts.tell_of(unit.connection, refused, now, there.zone))
    if there.custody.behind(there.read):  # of this time, or of one that ended between the two
        there.anchor(now)


def _written(there: Installation, ids: Sequence[str], now: datetime) -> dict[str, str]:
    there.custody.demand_recovered()
    signed = there.write(lambda unit: there.log.checkpoint(unit.connection, now))
    return there.custody.write_receipts(ids, partial(there.receipt_under, signed))


def _to_look_at(there: Installation, looked: LookedFor, in_turn: int) -> Iterator[list[tuple[str, datetime]]]:
    """What closed since the last look, what was refused by it, and whose turn it is."""
    size = there.read(there.log.size)
    kept = int(there.read(lambda connection: meta.value_of(connection, _ROW)) or 0)
    first = min(max(kept, looked.entries), size)
    for at in range(first, size, ENTRIES):
        told = receipts.told_of_by(at, min(at + ENTRIES, size))
        yield there.read(partial(receipts.closed, only=told))
    if looked.refused:
        yield there.read(partial(receipts.closed, only=receipts.among(looked.refused)))
    turn = there.read(partial(receipts.next_closed, after=looked.ordinal, most=in_turn))
    looked.ordinal = turn[-1][0] if len(turn) == in_turn else 0
    yield [(request_id, at) for _, request_id, at in turn]
    looked.entries = size
    if size - kept >= REMEMBERED:
        there.write(lambda unit: meta.put(unit.connection, _ROW, str(size)))
