"""What the database holds of the tree, read and nothing concluded."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Select, and_, bindparam, func, or_, select

from dpsync.errors import LedgerTampered
from dpsync.ledger import merkle
from dpsync.store import tables

T = TypeVar("T")
_IN_ONE = 100  # a statement of more takes longer to plan than two of them
_NODE = tables.node.c
# Made once, for both are asked in every transaction: making them anew took as long as asking.
_LAST = select(func.max(tables.entry.c.idx))


@cache
def _nodes(count: int) -> Select[Any]:
    """Any `count` nodes. Not by a list of pairs: for that SQLite reads the whole table."""
    places = [and_(_NODE.level == bindparam(f"level{n}"), _NODE.idx == bindparam(f"idx{n}")) for n in range(count)]
    return select(_NODE.level, _NODE.idx, _NODE.hash).where(or_(*places))


def size(connection: Connection) -> int:
    """How many entries there are, by the number of the last."""
    last = connection.execute(_LAST).scalar_one()
    return 0 if last is None else int(last) + 1


def proved(connection: Connection, make: Callable[[merkle.Reader], T]) -> T:
    """What `make` makes of stored nodes; they are read together. Raises `LedgerTampered` for one that is not there.

    `make` is called twice, with hashes that say nothing the first time: which nodes it asks for depends on no hash.
    """
    wanted: dict[tuple[int, int], None] = {}

    def note_down(level: int, idx: int) -> bytes:
        wanted[level, idx] = None
        return b""

    make(note_down)
    found = _read(connection, list(wanted))
    return make(lambda level, idx: found[level, idx])


def frontier(connection: Connection, leaves: int) -> dict[int, bytes]:
    """The peaks of the tree of so many leaves by level, in one read. Raises `LedgerTampered` for a missing one."""
    return {level: value for (level, _), value in _read(connection, merkle.peaks(0, leaves)).items()}


def row(connection: Connection, level: int, first: int, count: int) -> list[bytes]:
    """`count` neighbouring nodes of a level, from the left. Raises `LedgerTampered` for a missing one."""
    here = and_(_NODE.level == level, _NODE.idx >= first, _NODE.idx < first + count)
    found = connection.execute(select(_NODE.hash).where(here).order_by(_NODE.idx)).scalars().all()
    if len(found) != count:
        raise LedgerTampered(f"of the nodes {level}/{first} to {level}/{first + count - 1} one is missing")
    return [raw(value) for value in found]


def _read(connection: Connection, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    found: dict[tuple[int, int], bytes] = {}
    for at in range(0, len(wanted), _IN_ONE):
        some = wanted[at : at + _IN_ONE]
        places = {f"level{n}": level for n, (level, _) in enumerate(some)}
        places |= {f"idx{n}": idx for n, (_, idx) in enumerate(some)}
        rows = connection.execute(_nodes(len(some)), places)
        found |= {(row.level, row.idx): raw(row.hash) for row in rows}
    for level, idx in wanted:
        if (level, idx) not in found:
            raise LedgerTampered(f"node {level}/{idx} is missing")
    return found


def newest_checkpoint(connection: Connection) -> tuple[int, str] | None:
    """The largest size that a checkpoint is kept under, and its note."""
    checkpoint = tables.checkpoint.c
    row = connection.execute(
        select(checkpoint.size, checkpoint.note).order_by(checkpoint.size.desc()).limit(1)
    ).one_or_none()
    return None if row is None else (row.size, row.note)


def plain(found: CursorResult[Any]) -> Sequence[tuple[Any, ...]]:
    """The rows as the driver gives them: made into SQLAlchemy's own first, reading took half as long again."""
    rows: Sequence[tuple[Any, ...]] = found.cursor.fetchall()
    found.close()
    return rows


def raw(stored: object) -> bytes:
    """What a column holds, as bytes: whoever edits by hand may leave text, and that must be found, not raise."""
    return stored if isinstance(stored, bytes) else str(stored).encode("utf-8", "surrogateescape")
