"""What the database holds of the tree, read and nothing concluded."""

from sqlalchemy import Connection, and_, func, or_, select

from dpsync.errors import LedgerTampered
from dpsync.ledger import merkle
from dpsync.store import tables


def size(connection: Connection) -> int:
    """How many entries there are, by the number of the last."""
    last = connection.execute(select(func.max(tables.entry.c.idx))).scalar_one()
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
    node = tables.node.c
    rows = connection.execute(
        select(node.level, node.hash).where(or_(*(and_(node.level == level, node.idx == idx) for level, idx in wanted)))
    )
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
