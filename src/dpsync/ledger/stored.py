"""What the database holds of the tree, read and nothing concluded."""

from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, func, or_, select

from dpsync.errors import LedgerTampered
from dpsync.ledger import merkle
from dpsync.store import tables

_NODE = tables.node.c
# Made once, for both are asked in every transaction: making them anew took as long as asking.
_LAST = select(func.max(tables.entry.c.idx))


@cache
def _nodes(count: int) -> Select[Any]:
    """Any `count` nodes. Not by a list of pairs: for that SQLite reads the whole table."""
    places = [and_(_NODE.level == bindparam(f"level{n}"), _NODE.idx == bindparam(f"idx{n}")) for n in range(count)]
    return select(_NODE.level, _NODE.hash).where(or_(*places))


def size(connection: Connection) -> int:
    """How many entries there are, by the number of the last."""
    last = connection.execute(_LAST).scalar_one()
    return 0 if last is None else int(last) + 1


def reader(connection: Connection) -> merkle.Reader:
    """Stored nodes, one read each. Raises `LedgerTampered` for one that is not there."""

    def get(level: int, idx: int) -> bytes:
        node = tables.node.c
        found = connection.execute(select(node.hash).where(node.level == level, node.idx == idx)).scalar_one_or_none()
        if found is None:
            raise LedgerTampered(f"node {level}/{idx} is missing")
        return raw(found)

    return get


def frontier(connection: Connection, leaves: int) -> dict[int, bytes]:
    """The peaks of the tree of so many leaves by level, in one read. Raises `LedgerTampered` for a missing one."""
    wanted = merkle.peaks(0, leaves)
    if not wanted:
        return {}
    places = {f"level{n}": level for n, (level, _) in enumerate(wanted)}
    places |= {f"idx{n}": idx for n, (_, idx) in enumerate(wanted)}
    rows = connection.execute(_nodes(len(wanted)), places)
    found = {row.level: raw(row.hash) for row in rows}
    for level, idx in wanted:
        if level not in found:
            raise LedgerTampered(f"node {level}/{idx} is missing")
    return found


def newest_checkpoint(connection: Connection) -> tuple[int, str] | None:
    """The largest size that a checkpoint is kept under, and its note."""
    checkpoint = tables.checkpoint.c
    row = connection.execute(
        select(checkpoint.size, checkpoint.note).order_by(checkpoint.size.desc()).limit(1)
    ).one_or_none()
    return None if row is None else (row.size, row.note)


def raw(stored: object) -> bytes:
    """What a column holds, as bytes: whoever edits by hand may leave text, and that must be found, not raise."""
    return stored if isinstance(stored, bytes) else str(stored).encode("utf-8", "surrogateescape")
