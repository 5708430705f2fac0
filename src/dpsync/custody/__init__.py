"""What an installation keeps outside its database, compared with it: checkpoints, receipts, the journal.

Files are always read before the view of the database begins: what is written meanwhile is then no difference.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from dpsync import durable, journal_comparison, paths
from dpsync.custody.differences import Differences, Lying, Reader
from dpsync.custody.marks import anchored, note_anchored
from dpsync.errors import (
    KeyProblem,
    LedgerTampered,
    NotFound,
    ProofDamaged,
    ProofDiskFull,
    RecoveryNeeded,
    StoreProblem,
)
from dpsync.journal import Journal
from dpsync.ledger import anchor_chain, anchors, entry, note
from dpsync.ledger.anchors import GAP, RECORDED, Anchors
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.log import Log
from dpsync.ledger.receipt_folder import ReceiptFolder
from dpsync.ledger.tiles import Tiles
from dpsync.paths import Trouble, TroubleKind
from dpsync.sealing import Keys
from dpsync.store import integrity
from dpsync.store.trouble import RESTORE
from dpsync.store.writer import Unit

RESTORED = "restored"
"""The name of `Custody.mark`."""

Writing = Callable[[Callable[[Unit], None]], None]


@dataclass(slots=True)
class LookedFor:
    """How far this process has looked which receipts are missing: up to which entry, up to which request in turn, and
    which could not be written.
    """

    entries: int = 0
    ordinal: int = 0
    refused: set[str] = field(default_factory=set)


class Custody:
    """The anchor folder with its journal, and the receipts folder. `published`: whether there are tiles, too."""

    def __init__(self, anchor: Path, receipts: Path, keys: Keys, log: Log, *, published: bool = False) -> None:
        self._folder, self._receipts = anchor, receipts
        self._log = log
        self.anchors = Anchors(anchor, log.keys)
        self.receipts = ReceiptFolder(receipts, log.keys)
        self.journal = Journal(anchor, keys)
        self.tiles = Tiles(anchor) if published else None
        self.looked = LookedFor()

    def begin(self) -> None:
        """Make folders and journal, for a ledger that is new. Raises `ProofDamaged`."""
        try:
            self.anchors.begin()
            self.receipts.begin()
            self.journal.begin()
        except OSError as refused:
            kind = ProofDiskFull if durable.is_full(refused) else ProofDamaged
            raise kind(f"the folders of [ledger] cannot be made: {refused.strerror}") from None

    def demand_recovered(self) -> None:
        """Refuse to go on with a database that was put back and not recovered. Raises `RecoveryNeeded`."""
        if self.unrecovered:
            raise RecoveryNeeded(self.unrecovered)

    def demand(self, read: Reader) -> None:
        """Refuse to write into a database that lost something, or is another: what is written then would take away
        the way back (its newest -wal fits no more). Raises `LedgerTampered`, `AcceptedLost` or `ProofDamaged`.

        Quick: the journal from its mark on, and of the receipts the one under the newest checkpoint.
        """
        self.demand_recovered()
        lying = self.lying(read, quick=True)
        read(lambda connection: self.against(connection, lying)).demand()

    @property
    def mark(self) -> Path:
        """The file that stands here from when a database is put back until it is recovered."""
        return self._folder / RESTORED

    @property
    def unrecovered(self) -> str:
        """What must come first where the database was put back from a back-up; "" where nothing must."""
        if not os.path.lexists(self.mark):
            return ""
        return (
            "the database is older than what is known of it outside (a restored back-up, or a witness has seen more). "
            "Nothing is signed and no service starts before a person decides: `dpsync recover --by NAME --reason WHY`"
        )

    def unpublished(self, connection: Connection) -> Iterator[str]:
        """A sentence for each tile of the newest checkpoint that is gone."""
        return self.tiles.lost(anchored(connection) or 0) if self.tiles else iter(())

    def begin_restore(self, page: bytes) -> bool:
        """Note that it is put back (`page`: which one), before it is; whether that is new. Raises `ProofDamaged`."""
        try:
            return durable.place(self.mark, page)
        except OSError as refused:
            raise ProofDamaged(paths.told_of(self._folder, refused).told("put the anchor folder back first")) from None

    def unwritable(self) -> list[Trouble]:
        """What is to be written into, and cannot be: found before there is anything to write."""
        folders = (self._folder, self._receipts)
        found = [paths.trouble_of(lambda path=path: paths.demand_folder(path, writes=True)) for path in folders]  # type: ignore[misc]  # because mypy does not infer a lambda's default
        kept = self.journal.unwritable if self.journal.exists else None  # that it is gone is told by `missing`
        return [one for one in (*found, kept) if one is not None]

    def demand_room(self) -> None:
        """Refuse to begin where what happens could not be kept outside. Raises `ProofDamaged`; `ProofDiskFull` where
        only room is lacking.
        """
        found = self.unwritable()
        if not found:
            return
        told = "; ".join(one.told("") for one in found)
        if all(one.kind is TroubleKind.FULL for one in found):
            raise ProofDiskFull(told)
        raise ProofDamaged(told)

    def lying(self, read: Reader, *, quick: bool = False) -> Lying:
        """Everything that lies outside now; where `quick`, of the journal only what was not compared before, and of the
        receipts only the newest, and no tile."""
        size, marked = read(lambda connection: (anchored(connection), journal_comparison.marked(connection)))
        checkpoints = self.anchors.read(self.receipts.newest() if quick else self.receipts.checkpoints())
        damaged = [*checkpoints.damaged]
        if size is not None and (missing := self.anchors.trouble or self.anchors.missing(size)):
            damaged.append(missing)
        else:
            damaged += anchor_chain.missed(self._folder, size or 0)
        if size is not None and (absent := self.receipts.absent):
            damaged.append(absent)
        told = None
        end, after = marked or (0, 0)
        if marked and (missing := self.journal.missing):
            damaged.append(missing)
        elif self.journal.exists:  # also where the database is of a version that knew of none
            try:
                told = self.journal.read(end)  # also where all of it is wanted: whether it is as long as it was
                told = told if quick or not end else self.journal.read(0)
            except ProofDamaged as problem:
                damaged.append(problem.message)
        if told:
            damaged += told.damaged
        tiles = self.tiles.digests() if self.tiles and not quick else {}
        return Lying(checkpoints, told, after if quick else 0, tuple(damaged), tiles)

    def against(self, connection: Connection, lying: Lying) -> Differences:
        """What the database says otherwise than what lay outside. Raises `StoreProblem` where its file is damaged, and
        what it says is therefore not known."""
        contradicted, outside = anchors.against(connection, self._log, lying.checkpoints), lying.damaged
        if self.tiles and lying.tiles:
            ahead, odd = self.tiles.against(connection, lying.tiles)
            contradicted, outside = (*contradicted, *ahead), (*outside, *odd)
        if lying.told is None:
            return Differences(contradicted, outside, ())
        seen = journal_comparison.compared(connection, lying.told, lying.after, self._log.size(connection))
        if seen.unlisted and not lying.told.damaged:
            outside = (*outside, journal_comparison.unlisted_sentence(seen.unlisted, self.journal.path))
        if not (seen.lost or seen.short):
            return Differences(contradicted, outside, ())
        if unsound := integrity.problem(connection, thorough=True):
            # A damaged index finds no row that stands in its table: that says nothing of what was lost.
            raise StoreProblem(f"the database file is damaged: {unsound}. {RESTORE}")
        damaged = bool(lying.told.damaged)
        lost = journal_comparison.sentence_of(seen.lost, seen.short, self.journal.path, damaged=damaged)
        return Differences(contradicted, outside, (lost,))

    def settle(self, read: Reader, write: Writing, now: datetime) -> None:
        """After nothing was found wrong: add to the journal what the database alone has, and remember that both agree.

        Each gap that a person has accepted becomes an entry; once more where we ended before its file had its new name.
        """
        gaps = sorted(self._folder.glob(f"*{GAP}"))
        end, after = read(journal_comparison.marked) or (0, 0)
        if not self.journal.exists:
            # Before it begins: one that is shorter than the mark says would be taken for a damaged one.
            write(lambda unit: journal_comparison.mark(unit.connection, 0, 0))
            self.journal.begin()
            end = after = 0
        told = self.journal.read(end)
        size = read(self._log.size)
        seen = read(lambda connection: journal_comparison.compared(connection, told, after, size))
        reached = told.end
        for at in range(0, len(seen.alone), journal_comparison.PAGE):
            reached = self.journal.append(seen.alone[at : at + journal_comparison.PAGE], size)
        if not gaps and (reached, seen.ordinal) == (end, after):
            return

        def work(unit: Unit) -> None:
            if journal_comparison.still_all(unit.connection, after, seen):  # else the next start looks again
                journal_comparison.mark(unit.connection, reached, seen.ordinal)
            for gap in gaps:
                digest = sha256(gap.read_bytes() if gap.is_file() else b"").hexdigest()
                unit.append(None, entry.encode(EntryKind.GAP, now, name=gap.name, digest=digest))

        write(work)
        for gap in gaps:
            gap.rename(_free(gap.with_suffix(RECORDED)))
        if gaps:
            durable.sync_folder(self._folder)

    def publish(self, read: Reader) -> None:
        """After nothing was found wrong: write each tile that is gone, or all of them where there were none. Raises
        `ProofDamaged`."""
        if self.tiles and (size := read(anchored)):
            self.tiles.complete(read, size)

    def write_receipts(self, missing: Sequence[str], make: Callable[[str], dict[str, Any]]) -> dict[str, str]:
        """Write each receipt that is missing; gives those that cannot be made or written, with the reason."""
        refused: dict[str, str] = {}
        for request_id in missing:
            try:
                self.receipts.write(make(request_id))
            except OSError as error:
                refused[request_id] = f"its file cannot be written ({error.strerror})"
            except (KeyProblem, LedgerTampered, NotFound) as error:
                refused[request_id] = error.message
        return refused

    def behind(self, read: Reader) -> bool:
        """Whether a receipt was written under a checkpoint that is newer than all that are kept among the anchors."""
        return self.receipts.under > (read(anchored) or 0)

    def anchor(self, text: str, read: Reader, write: Writing, now: datetime) -> None:
        """Keep a checkpoint outside, with what shows that it continues the one before, and remember that it was.

        Raises what `Anchors.write` raises.
        """
        size = note.parse(text)[0].size
        if self.tiles:  # before the checkpoint that whoever reads them goes by
            self.tiles.write(read, size)
        self.anchors.write(text)

        def step(connection: Connection) -> str:
            before = anchored(connection) or 0
            return self._log.continuation(connection, before, text) if 0 < before < size else ""

        if continuation := read(step):
            self.anchors.write_step(continuation)
        write(lambda unit: note_anchored(unit.connection, size, now))


def _free(path: Path) -> Path:
    """That name, or another one beside what has it already: what a lost journal told of is kept."""
    return path.with_name(f"{path.name}-{secrets.token_hex(4)}") if path.exists() else path
