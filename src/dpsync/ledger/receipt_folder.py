"""The folder of receipts: each is written whole, read again whenever it changed, and missed where it is not itself.

What stands in a receipt's place and is none (a folder, an empty file, other content) is kept aside under another name,
and stands in the way of no other.
"""

import base64
import json
import os
import re
import shlex
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from heapq import heapify, heappop
from pathlib import Path
from typing import Any

from dpsync import durable, paths
from dpsync.errors import NoteInvalid
from dpsync.ledger import note, receipt, verify_receipt
from dpsync.ledger.anchors import GAP
from dpsync.paths import Unusable

VERIFIER = Path(verify_receipt.__file__)
SUFFIX = ".json"
NEWEST = "newest.checkpoint"
"""The file with the checkpoint of the most entries under which a receipt was written here."""

_HEAD = re.compile(rb'\{\n "checkpoint": "(?:[^"\\]|\\u[0-9a-f]{4})*\\n([0-9]{1,18})\\n')
"""How a receipt begins (`receipt.dump` sorts its keys): the size that its checkpoint signs, whoever wrote it."""

_HEAD_BYTES = 2048


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a sealed receipt tells: its checkpoint, the second of its last entry, and a digest of all its entries."""

    checkpoint: str
    told_until: int
    told: bytes
    commit_key: bytes


class ReceiptFolder:
    """Receipts that one of `keys` has sealed."""

    def __init__(self, folder: Path, keys: Sequence[note.VerifierKey]) -> None:
        self._folder = folder
        self._keys = keys
        self._known: dict[Path, tuple[object, _Kept | None]] = {}
        self._under: int | None = None

    def begin(self) -> None:
        """Make the folder, for a ledger that is new: where one is missed later, none is made."""
        self._folder.mkdir(parents=True, exist_ok=True)

    @property
    def absent(self) -> str:
        """What is wrong where the folder is not there, or is something else, "" where it is."""
        found = paths.trouble_of(lambda: paths.demand_folder(self._folder))
        if found is None:
            return ""
        return "the receipts folder " + found.told(
            "put it back from its copy (is its disk mounted?); where it is lost for good, make an empty one: "
            f"`mkdir {shlex.quote(str(self._folder))}`"
        )

    def checkpoints(self) -> dict[Path, str]:
        """The checkpoint under each receipt, by its file, and the one that was noted as the newest."""
        found = {path: self._read(path) for path in self._files()}
        return {**self._noted(), **{path: kept.checkpoint for path, kept in found.items() if kept}}

    def ahead(self, size: int) -> list[Path]:
        """The receipts under a checkpoint of more than `size` entries."""
        return [path for path, text in self.checkpoints().items() if _size(text) > size]

    def newest(self) -> dict[Path, str]:
        """The checkpoint of the most entries that lies under a receipt, by its file; empty where there is none.

        It is noted beside them, for every command waits for it. Where that file is gone, the beginning of each receipt
        is read, and the newest whole: of 100,000 that took 1.5 s.
        """
        if noted := self._noted():
            return noted
        found = [(-size, place) for place in self._places() if (size := _size_said(place)) is not None]
        heapify(found)
        while found:
            path = Path(heappop(found)[1])
            if kept := self._read(path):
                return {path: kept.checkpoint}
        return {}

    def _noted(self) -> dict[Path, str]:
        path = self._folder / NEWEST
        try:
            text = paths.read(path, most=note.LARGEST).decode()
            note.verify(text, self._keys)
        except (Unusable, UnicodeDecodeError, NoteInvalid):
            return {}
        return {path: text}

    @property
    def under(self) -> int:
        """How many entries the newest checkpoint signs that lies under a receipt, 0 for none: looked for once, and
        known from then on of all that is written here.
        """
        if self._under is None:
            self._under = max(map(_size, self.newest().values()), default=0)
        return self._under

    def _files(self) -> list[Path]:
        return sorted(map(Path, self._places()))

    def _places(self) -> list[str]:
        """In no order, and as text: a path object for each of 100,000 took longer than reading their beginnings."""
        try:
            with os.scandir(self._folder) as there:
                return [one.path for one in there if one.name.startswith("r-") and one.name.endswith(SUFFIX)]
        except OSError:  # that the folder is not there is told by `absent`
            return []

    def told(self) -> dict[str, tuple[int, bytes] | None]:
        """By request, the size under which each receipt here was written and the digest of its entries; None for what
        stands in the place of one and is none."""
        return {one: self.told_of(one) for one in (path.name.removesuffix(SUFFIX) for path in self._files())}

    def told_of(self, request_id: str) -> tuple[int, bytes] | None:
        """The same of one request; None where it has no receipt here."""
        kept = self._read(self._path(request_id))
        return (_size(kept.checkpoint), kept.told) if kept else None

    def place(self, request_id: str) -> Path:
        """Where the receipt of a request lies."""
        return self._path(request_id)

    def commit_key(self, request_id: str) -> bytes | None:
        """What opens the commitments of a request, from its receipt; None where none lies here."""
        kept = self._read(self._path(request_id))
        return kept.commit_key if kept else None

    def lost(self, request_id: str) -> bool:
        """Whether a person has accepted that the receipt of a request is gone."""
        return self._path(request_id).with_suffix(GAP).exists()

    def missing(self, closed: Sequence[tuple[str, datetime]]) -> list[str]:
        """Those of (id, when it closed) without a receipt here, or with one of before they closed for the last time."""
        return [one for one, at in closed if not self._tells(one, at)]

    def write(self, value: Mapping[str, Any]) -> Path:
        """Keep a receipt, and beside it the program that checks it. Returns the receipt's path. Raises `OSError`."""
        path = self._path(value["request"])
        if self._read(path) is None and _stands(path):
            durable.set_aside(path)
        self._write_verifier()  # first: who finds the receipt finds it too, whatever happens in between
        self._note(value["checkpoint"])
        durable.replace(path, receipt.dump(value))
        return path

    def _note(self, checkpoint: str) -> None:
        """Before the receipt: a database that is put back later is held against one too new, and not too old."""
        path, size = self._folder / NEWEST, _size(checkpoint)
        if path.is_file() and size <= self.under:
            return
        newest = max([checkpoint, *self.newest().values()], key=_size)
        if path.is_dir():
            durable.set_aside(path)
        durable.replace(path, newest.encode())
        self._under = _size(newest)

    def _write_verifier(self) -> None:
        path, program = self._folder / VERIFIER.name, VERIFIER.read_bytes()
        if path.is_dir():
            durable.set_aside(path)
        if not path.is_file() or path.read_bytes() != program:
            durable.replace(path, program)

    def _tells(self, request_id: str, closed_at: datetime) -> bool:
        kept = self._read(self._path(request_id))
        return kept is not None and kept.told_until >= int(closed_at.timestamp())

    def _path(self, request_id: str) -> Path:
        return self._folder / f"{request_id}{SUFFIX}"

    def _read(self, path: Path) -> _Kept | None:
        """What it tells, None where it is no receipt of ours. Read once for as long as the file stays what it was."""
        try:
            status = path.lstat()
            state = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            known = self._known.get(path)
            if known is None or known[0] != state:
                plain = stat.S_ISREG(status.st_mode)
                known = self._known[path] = (state, self._parsed(path) if plain else None)
        except OSError:
            return None
        return known[1]

    def _parsed(self, path: Path) -> _Kept | None:
        try:
            value = receipt.read_sealed(path.read_bytes(), path.name.removesuffix(SUFFIX), self._keys)
            bodies = [(one["index"], base64.b64decode(one["body"])) for one in value["entries"]]
            # The seal shows that these are the bytes of entries that were decoded when it was made.
            told = max(int(json.loads(body)["ts"]) for _, body in bodies)
            entries, commit_key = digest_of(bodies), bytes.fromhex(value["commit_key"])
        except (NoteInvalid, ValueError, LookupError, TypeError):
            return None
        return _Kept(value["checkpoint"], told, entries, commit_key)


def digest_of(entries: Iterable[tuple[int, bytes]]) -> bytes:
    """One value of all entries of a receipt, with their places."""
    digest = sha256()
    for idx, body in entries:
        digest.update(b"%d %d " % (idx, len(body)) + body)
    return digest.digest()


def _size(checkpoint: str) -> int:
    return note.parse(checkpoint)[0].size


def _size_said(path: str) -> int | None:
    """The size that a file says at its beginning, None for none: nothing is known yet of who wrote it."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        said = _HEAD.match(os.read(file, _HEAD_BYTES))
    except OSError:
        return None
    finally:
        os.close(file)
    return int(said[1]) if said else None


def _stands(path: Path) -> bool:
    """Whether anything is there under that name, a dead link included."""
    return path.exists() or path.is_symlink()
