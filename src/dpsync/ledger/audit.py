"""Whether the ledger in the database is what was signed, and if not, at which place it is not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, or_, select

from dpsync.errors import AcceptedLost, LedgerTampered, NoteInvalid, ProofDamaged
from dpsync.ledger import merkle, note, stored
from dpsync.ledger.walk import MOST_PROBLEMS, Problems, Progress, Walk
from dpsync.store import tables

FORKED = " (another history: keep every copy as it is, tell the data protection officer, and run `dpsync verify`)"
OLDER = " (an older copy? Look for the newest database, with its -wal. If it is gone: `dpsync recover`)"


@dataclass(frozen=True, slots=True)
class Verification:
    """What a check of the ledger found; `problems` empty means that everything fits.

    `entries` is how many there are, `checked_from` the first that was hashed again, `root` that of the stored tree,
    `newest` the newest checkpoint's note (None: none yet). Each problem names its place: entry, node or checkpoint.
    `damaged` and `lost` are no sign of tampering: files outside that are missing or spoilt, and accepted requests that
    the database does not have.
    """

    entries: int
    checked_from: int
    root: bytes
    newest: str | None
    problems: tuple[str, ...]
    damaged: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def everything(self) -> tuple[str, ...]:
        """All that is wrong, the gravest first."""
        return (*self.problems, *self.lost, *self.damaged)

    def demand(self) -> None:
        """Refuse to go on where anything is wrong. Raises `LedgerTampered`, `AcceptedLost` or `ProofDamaged`."""
        if self.problems:
            raise LedgerTampered("; ".join([self.problems[0], *self.lost]))
        if self.lost:
            raise AcceptedLost("; ".join([self.lost[0], *self.damaged]))
        if self.damaged:
            raise ProofDamaged("; ".join(self.damaged))


def against_note(
    connection: Connection, origin: str, keys: Sequence[note.VerifierKey], note_text: str
) -> tuple[str, ...]:
    """What speaks against the stored tree continuing that checkpoint; see `Log.consistent_with`."""
    try:
        head = note.verify(note_text, keys)
    except NoteInvalid as error:
        return (f"the checkpoint cannot be relied on: {error.message}",)
    place = f"checkpoint {head.size}"
    if head.origin != origin:
        return (f"{place} is of another ledger",)
    size = stored.size(connection)
    if size < head.size:
        return (f"{place} signs {head.size} entries, but the ledger ends after {size}{OLDER}",)
    try:
        root = merkle.frontier_root(stored.frontier(connection, head.size))
    except LedgerTampered as error:
        return (f"{place}: {error.message}",)
    return () if root == head.root else (f"{place}: the ledger's first {head.size} entries have another root{FORKED}",)


def verify(
    connection: Connection,
    origin: str,
    keys: Sequence[note.VerifierKey],
    *,
    full: bool,
    progress: Progress | None = None,
) -> Verification:
    """See `Log.verify`."""
    problems = Problems()
    column = tables.entry.c
    count, low = connection.execute(select(func.count(), func.min(column.idx)).select_from(tables.entry)).one()
    size = stored.size(connection)
    if low is not None and low < 0:
        problems.add(f"entry {low} does not belong: the first is 0")
    if size > count + MOST_PROBLEMS:
        # One row with an absurd number would otherwise keep the check walking for years.
        problems.add(f"entry {size - 1} stands beyond a gap: there are only {count} entries")
        size = count
    start, peaks = (0, dict[int, bytes]()) if full else _start(connection, origin, keys, size)
    walk = Walk(connection, problems, start, size, peaks, progress)
    _compare(walk, _heads(connection, origin, keys, start, problems), size, problems)
    walk.to(size)
    if full:
        _foreign_nodes(connection, size, problems)
    newest = stored.newest_checkpoint(connection)
    return Verification(
        size, start, merkle.frontier_root(walk.peaks), None if newest is None else newest[1], problems.all()
    )


def _compare(walk: Walk, heads: Iterator[note.Checkpoint], size: int, problems: Problems) -> None:
    """Walk from checkpoint to checkpoint; the first that does not fit says between which entries the change lies."""
    reached, spoilt = walk.at, 0
    for head in heads:
        if head.size > size:
            problems.add(f"checkpoint {head.size} signs {head.size} entries, but the ledger ends after {size}")
            continue
        walk.to(head.size)
        if merkle.frontier_root(walk.peaks) == head.root:
            reached = head.size
        elif not spoilt:
            problems.add(
                f"checkpoint {head.size}: entries {reached} to {head.size - 1} are not all as they were signed"
            )
            spoilt = head.size
        else:
            problems.add(f"checkpoint {head.size}: does not fit either, after checkpoint {spoilt}")


def _start(
    connection: Connection, origin: str, keys: Sequence[note.VerifierKey], size: int
) -> tuple[int, dict[int, bytes]]:
    """Where a short check may begin: the last verified checkpoint, if the stored nodes still are what it signs."""
    checkpoint = tables.checkpoint.c
    row = connection.execute(
        select(checkpoint.size, checkpoint.note)
        .where(checkpoint.verified_at.is_not(None), checkpoint.size <= size)
        .order_by(checkpoint.size.desc())
        .limit(1)
    ).one_or_none()
    if row is None or against_note(connection, origin, keys, row.note) or note.parse(row.note)[0].size != row.size:
        return 0, {}
    return row.size, stored.frontier(connection, row.size)


def _heads(
    connection: Connection, origin: str, keys: Sequence[note.VerifierKey], start: int, problems: Problems
) -> Iterator[note.Checkpoint]:
    """The stored checkpoints from `start` on, those that can be relied on; the others are problems."""
    checkpoint = tables.checkpoint.c
    rows = connection.execute(
        select(checkpoint.size, checkpoint.note).where(checkpoint.size >= start).order_by(checkpoint.size)
    ).all()
    for row in rows:
        try:
            head = note.verify(row.note, keys)
        except NoteInvalid as error:
            problems.add(f"checkpoint {row.size}: its note: {error.message}")
            continue
        if head.size != row.size or head.origin != origin:
            problems.add(f"checkpoint {row.size}: the note is of another size or another ledger")
        else:
            yield head


def _foreign_nodes(connection: Connection, size: int, problems: Problems) -> None:
    """Name stored nodes that no full sub-tree of `size` entries has."""
    node = tables.node.c
    levels = connection.execute(select(node.level).distinct().order_by(node.level)).scalars().all()
    for level in levels:
        beyond = size >> level if 0 <= level < 63 else 0
        rows = connection.execute(
            select(node.idx).where(node.level == level, or_(node.idx >= beyond, node.idx < 0)).order_by(node.idx)
        )
        for idx in rows.scalars():
            problems.add(f"node {level}/{idx} belongs to no entry")
