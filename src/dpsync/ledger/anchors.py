"""The checkpoints that are kept outside the database: all of them are read, and none is ever written over.

A person who has accepted that something is missing says so by a name that ends in `.gap`: a file that is renamed so is
kept and no longer compared, and an empty one of that name stands for a file that is gone (docs/operating.md, Restore).
"""

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from dpsync import durable, paths
from dpsync.errors import LedgerTampered, NoteInvalid, ProofDamaged, ProofDiskFull
from dpsync.ledger import note
from dpsync.ledger.continuation import LARGEST as LARGEST_STEP
from dpsync.ledger.continuation import parse as parse_continuation
from dpsync.ledger.log import Log
from dpsync.paths import TroubleKind, Unusable
from dpsync.store import tables

NEWEST = "checkpoint"
NUMBERED = ".checkpoint"
STEP = ".consistency"
COSIGNED = ".cosigned"
OF_OTHERS = frozenset({COSIGNED, ".tsq", ".tsr"})
"""What witnesses and authorities said of a checkpoint: files with its number that end so."""
GAP = ".gap"
RECORDED = ".gap-recorded"
"""What becomes of that ending once the ledger says so too (an entry `gap`)."""

LARGEST = note.LARGEST
_NONE = "empty, cut off or no checkpoint"


@dataclass(frozen=True, slots=True)
class Outside:
    """What lies outside: each distinct checkpoint with the file it was read from, and what is wrong with the files.

    `damaged`: sentences, each about one file that is empty, cut off, of another size than its name says, or not as a
    key of this ledger signed it: it says nothing about the ledger, and nobody need have meant harm.
    """

    notes: Mapping[str, str]
    damaged: tuple[str, ...]

    @property
    def largest(self) -> int:
        """How many entries the newest of them signs."""
        return max((note.parse(one)[0].size for one in self.notes), default=0)


class Anchors:
    """The folder of checkpoints.

    `keys` may have signed them: what none of them signed is a damaged file. Without keys the form alone is looked at.
    """

    def __init__(self, folder: Path, keys: Sequence[note.VerifierKey] = ()) -> None:
        self._folder = folder
        self._keys = keys

    def begin(self) -> None:
        """Make the folder, for a ledger that is new: where one is missed later, none is made."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def read(self, receipts: Mapping[Path, str]) -> Outside:
        """Every checkpoint that lies here, and those under the receipts (by their files).

        Those under receipts were found sealed by us: other content is the receipt's own trouble (`kept_receipts`).
        """
        found: dict[str, str] = {}
        damaged: list[str] = []
        for path in self._files():
            try:
                found.setdefault(self._relied_on(path), path.name)
            except NoteInvalid as problem:
                damaged.append(_damaged(path, problem))
        roots = {head.size: head.root for head in (note.parse(one)[0] for one in found)}
        for path in self._steps():
            try:
                found.setdefault(self._led_to(path, roots), path.name)
            except NoteInvalid as problem:
                damaged.append(_damaged(path, problem))
        for path, text in receipts.items():
            found.setdefault(text, path.name)
        return Outside(found, tuple(damaged))

    @property
    def trouble(self) -> str:
        """What stands in the place of the folder, or who may not enter it; "" where nothing is wrong, or it is gone."""
        found = paths.trouble_of(lambda: paths.demand_folder(self._folder))
        if found is None or found.kind is TroubleKind.VACANT:
            return ""  # what is gone is told by what was in it: `missing`
        return found.told("put the folder of the checkpoints back from its copy (is its disk mounted?)")

    def missing(self, size: int) -> str:
        """What is wrong where the anchor of that many entries, which was written, is not here; "" where it is."""
        name = f"{size:012d}"
        if any((self._folder / f"{name}{end}").exists() for end in (NUMBERED, GAP, RECORDED)):
            return ""
        return (
            f"the checkpoint of {size:,} entries was written to {self._folder} and is not there any more: put the "
            f"folder back from its copy (is its disk mounted?). Where it is lost for good, let the data protection "
            f"officer compare hers, then make an empty file {self._folder / name}{GAP}: "
            f"`mkdir -p {shlex.quote(str(self._folder))} && touch {shlex.quote(f'{self._folder / name}{GAP}')}`"
        )

    def ahead(self, size: int) -> list[Path]:
        """The files here that tell of more than `size` entries. What is damaged is not looked at."""
        found = [path for path in self._files() if (text := _text(path)) and note.parse(text)[0].size > size]
        for path in self._steps():
            with suppress(NoteInvalid):
                if parse_continuation(_content(path, LARGEST_STEP)).head.size > size:
                    found.append(path)
        lines = (path for path in self._names() if path.suffix in OF_OTHERS and path.name[:12].isdigit())
        return [*found, *(path for path in lines if int(path.name[:12]) > size)]

    @property
    def set_aside(self) -> int:
        """How many entries the largest checkpoint signs whose loss was accepted and is no entry yet; 0 without one."""
        sizes = [0]
        for path in self._names():
            if path.suffix == GAP:
                with suppress(NoteInvalid):
                    sizes.append(note.verify(_content(path, LARGEST), self._keys).size)
        return max(sizes)

    def write(self, text: str) -> int:
        """Keep a checkpoint under its number, and as the newest; how many entries it signs.

        Raises `LedgerTampered` where another checkpoint of that number lies here, `ProofDamaged` where no checkpoint
        does or the folder cannot be written.
        """
        head = note.parse(text)[0]
        path = self._folder / _numbered(head.size)
        try:
            if not durable.place(path, text.encode()):
                self._demand_same(path, head)
            if self._size_of_newest() <= head.size:
                durable.replace(self._folder / NEWEST, text.encode())
        except OSError as refused:
            raise unwritten("checkpoint", self._folder, refused) from None
        return head.size

    def write_step(self, continuation: str) -> None:
        """Keep the consistency file between two checkpoints beside them. Raises `ProofDamaged`."""
        try:
            path = self._folder / f"{parse_continuation(continuation).name}{STEP}"
            durable.place(path, continuation.encode())
        except OSError as refused:
            raise unwritten("consistency file", self._folder, refused) from None

    def write_cosigned(self, signed: str, line: str) -> str:
        """Keep that checkpoint with a witness's line under it, beside those of others. Gives all of it.

        For people who check a receipt; dpsync itself goes by the checkpoint alone. Raises `ProofDamaged`.
        """
        path = self._folder / f"{note.parse(signed)[0].size:012d}{COSIGNED}"
        before = _text(path) or ""
        others = before.removeprefix(signed) if before.startswith(signed) else ""
        content = f"{signed}{others}{'' if line in others else line}"
        try:
            durable.replace(path, content.encode())
        except OSError as refused:
            raise unwritten("cosigned checkpoint", self._folder, refused) from None
        return content

    def write_stamp(self, size: int, name: str, query: bytes, reply: bytes) -> None:
        """Keep the reply of a time-stamping authority over the checkpoint of that size, and what was asked.

        Both to the byte, in place of what it said before. Raises `ProofDamaged`.
        """
        try:
            durable.replace(self._folder / f"{size:012d}.{name}.tsq", query)
            durable.replace(self._folder / f"{size:012d}.{name}.tsr", reply)
        except OSError as refused:
            raise unwritten("time stamp", self._folder, refused) from None

    def _relied_on(self, path: Path) -> str:
        """The note in a file. Raises `NoteInvalid` for one that says nothing about this ledger."""
        text = _content(path, LARGEST)
        try:
            size = note.parse(text)[0].size
        except NoteInvalid:
            raise NoteInvalid(_NONE) from None
        if self._keys:
            note.verify(text, self._keys)
        if path.name != NEWEST and path.name != _numbered(size):
            raise NoteInvalid(f"it holds the checkpoint of {size:,} entries")
        return text

    def _led_to(self, path: Path, roots: Mapping[int, bytes]) -> str:
        """The checkpoint in a consistency file, which is one more. Raises `NoteInvalid` where the file shows nothing.

        `roots`: those of the checkpoints beside it; one that it begins with and that is set aside is not compared.
        """
        step = parse_continuation(_content(path, LARGEST_STEP))
        if path.name != f"{step.name}{STEP}":
            raise NoteInvalid(f"it leads from {step.old:,} entries to {step.head.size:,}")
        if self._keys:
            note.verify(step.checkpoint, self._keys)
        if step.old in roots and not step.leads_from(roots[step.old]):
            raise NoteInvalid(f"its proof does not lead from the checkpoint of {step.old:,} entries to its own")
        return step.checkpoint

    def _size_of_newest(self) -> int:
        try:
            return note.parse(self._relied_on(self._folder / NEWEST))[0].size
        except NoteInvalid:
            return 0

    def _demand_same(self, path: Path, head: note.Checkpoint) -> None:
        try:
            text = self._relied_on(path)
        except NoteInvalid as problem:
            raise ProofDamaged(
                f"{path} is a damaged file ({problem.message}), and is not written over: rename it to "
                f"{path.with_suffix(GAP).name}"
            ) from None
        if note.parse(text)[0] != head:
            raise LedgerTampered(f"nothing is written over {path}: it signs another ledger of {head.size:,} entries")

    def _files(self) -> list[Path]:
        return [path for path in self._names() if path.name == NEWEST or path.name.endswith(NUMBERED)]

    def _steps(self) -> list[Path]:
        return [path for path in self._names() if path.name.endswith(STEP)]

    def _names(self) -> list[Path]:
        try:
            return sorted(path for path in self._folder.iterdir() if not path.name.startswith("."))
        except OSError:
            return []


def against(connection: Connection, log: Log, outside: Outside) -> tuple[str, ...]:
    """What speaks against this ledger being the continuation of each of them.

    A note that the database holds too, in the same bytes, is compared there (`Log.verify`); all others are compared
    with the tree, and so is the largest, which speaks for all that came before.
    """
    kept = set(connection.execute(select(tables.checkpoint.c.note)).scalars())
    largest = outside.largest
    found = []
    for text, place in outside.notes.items():
        if text in kept and note.parse(text)[0].size < largest:
            continue
        found += [f"anchor {place}: {problem}" for problem in log.consistent_with(connection, text)]
    return tuple(found)


def unwritten(what: str, folder: Path, refused: OSError) -> ProofDamaged:
    """What the system's no to a file among the anchors means; a full disk passes."""
    kind = ProofDiskFull if durable.is_full(refused) else ProofDamaged
    return kind(f"no {what} can be written: {paths.told_of(folder, refused).told('')}")


class _Unread(NoteInvalid):
    """What stood in the way when a file was read. Read once: what the disk refused may be given the next time."""

    def __init__(self, trouble: paths.Trouble) -> None:
        super().__init__(_NONE)
        self.trouble = trouble


def _text(path: Path) -> str | None:
    """The note in a file, None where there is no file of that name or none that could be one."""
    with suppress(NoteInvalid):
        note.parse(text := _content(path, LARGEST))
        return text
    return None


def _content(path: Path, most: int) -> str:
    try:
        return paths.read(path, most=most).decode()
    except Unusable as found:
        raise _Unread(found.trouble) from None
    except UnicodeDecodeError:
        raise NoteInvalid(_NONE) from None


def _damaged(path: Path, problem: NoteInvalid) -> str:
    what = f"{path} is a damaged file ({problem.message})"
    if isinstance(problem, _Unread) and problem.trouble.kind is not TroubleKind.EMPTY:
        if problem.trouble.kind in {TroubleKind.SHUT, TroubleKind.FULL}:
            return problem.trouble.told("")
        what = problem.trouble.what
    gap = path.with_suffix(GAP)
    return (
        f"{what}, which says nothing about the ledger: put it back from a copy, or rename it to {gap.name}: "
        f"`mv {shlex.quote(str(path))} {shlex.quote(str(gap))}`"
    )


def _numbered(size: int) -> str:
    return f"{size:012d}{NUMBERED}"
