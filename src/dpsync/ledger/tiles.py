"""The tree as static files that any web server can hand out: C2SP `tlog-tiles`, hashes only.

Whoever knows the ledger's key line computes from them and from `checkpoint` whether an entry is in it, and whether one
size of it continues another, without asking us. The entries themselves are not published: their times and commitments
are personal data until somebody shows that they are not.
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Connection

from dpsync import durable, paths
from dpsync.errors import ProofDamaged
from dpsync.ledger import stored
from dpsync.ledger.anchors import GAP, unwritten
from dpsync.paths import Unusable

FOLDER = "tile"
"""Beside `checkpoint`, and under that name on the web."""

WIDTH = 256
"""Hashes in a full tile. Each of them is the root of a full tile one level below, so a level is eight of the tree's."""

LARGEST = WIDTH * 32
_HEIGHT = 8
_PATH = re.compile(FOLDER + r"/([0-9]{1,2})/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([0-9]{1,3}))?")

Read = Callable[[Callable[[Connection], bytes]], bytes]
"""Reads in one moment's view of the store."""


@dataclass(frozen=True, slots=True)
class Tile:
    """The first `width` hashes of tile number `index` of a level; 256 of them are all."""

    level: int
    index: int
    width: int

    @property
    def path(self) -> str:
        """Where it lies below the folder of the anchors, with slashes: `tile/0/x001/x234/067`, `tile/1/000.p/17`."""
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        number = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"{FOLDER}/{self.level}/{number}{partial}"

    @classmethod
    def parse(cls, path: str) -> "Tile | None":
        """The tile that lies there; None for what is no tile in its one spelling."""
        match = _PATH.fullmatch(path)
        if match is None:
            return None
        index = int(match[2].replace("x", "").replace("/", ""))
        one = cls(int(match[1]), index, int(match[3] or WIDTH))
        return one if one.path == path and one.width else None

    @property
    def entries(self) -> int:
        """How many entries a ledger has at the least in which this tile is."""
        return (self.index * WIDTH + self.width) << (_HEIGHT * self.level)

    def content(self, connection: Connection) -> bytes:
        """Its hashes, one after the other. Raises `LedgerTampered` where a node is missing."""
        return b"".join(stored.row(connection, _HEIGHT * self.level, self.index * WIDTH, self.width))


def tiles_of(size: int) -> Iterator[Tile]:
    """The tiles of a ledger of so many entries, each level from its first one; no empty ones."""
    for level, full, width in _levels(size):
        yield from (Tile(level, index, WIDTH) for index in range(full))
        if width:
            yield Tile(level, full, width)


def _levels(size: int) -> Iterator[tuple[int, int, int]]:
    """(level, how many full tiles, width of the partial one or 0)."""
    level = 0
    while size:
        yield level, size // WIDTH, size % WIDTH
        level, size = level + 1, size // WIDTH


class Tiles:
    """The folder of tiles, within that of the anchors. A tile is written once, and none is ever written over."""

    def __init__(self, anchors: Path) -> None:
        self._anchors = anchors
        self.folder = anchors / FOLDER

    def write(self, read: Read, size: int) -> None:
        """Write what a ledger of so many entries has and the folder has not, as far as it came in since the last time.

        Costs as much as came in since. The newest tiles that are there are compared. Raises `ProofDamaged` where one
        of them has other bytes or nothing can be written, and `LedgerTampered` where a node is missing.
        """
        for level, full, width in _levels(size):
            for index in range(self._newest(level, full), full):
                self._keep(read, Tile(level, index, WIDTH))
            if width:
                self._keep(read, Tile(level, full, width))

    def complete(self, read: Read, size: int) -> None:
        """The same for every tile that is gone, whenever it was written: what is there is not looked at."""
        for tile in self.missing(size):
            self._keep(read, tile)

    def missing(self, size: int) -> Iterator[Tile]:
        """The tiles of a ledger of so many entries that are not in the folder."""
        return (tile for tile in tiles_of(size) if not (self._anchors / tile.path).exists())

    def lost(self, size: int) -> Iterator[str]:
        """A sentence for each of them; none where the folder is not begun, or somebody has set it aside."""
        if self.folder.exists():
            for tile in self.missing(size):
                yield f"{self._anchors / tile.path} is not there any more: dpsync writes it again when it starts"

    def digests(self) -> dict[str, bytes]:
        """The SHA-256 of every tile in the folder, by its path; of what cannot be read as a tile that of nothing."""
        found = (path.relative_to(self._anchors).as_posix() for path in sorted(self.folder.rglob("*")))
        return {name: sha256(_read(self._anchors / name) or b"").digest() for name in found if Tile.parse(name)}

    def ahead(self, size: int) -> list[Path]:
        """The folder, where a tile in it tells of more than so many entries."""
        tiles = (Tile.parse(path.relative_to(self._anchors).as_posix()) for path in self.folder.rglob("*"))
        return [self.folder] if any(tile and tile.entries > size for tile in tiles) else []

    def against(self, connection: Connection, found: Mapping[str, bytes]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What speaks against this ledger being the one whose tiles were found, and the tiles that are not as written.

        `found`: what `digests` gave before this view of the database began.
        """
        size = stored.size(connection)
        tiles = {tile: digest for name, digest in found.items() if (tile := Tile.parse(name))}
        ahead = max((tile.entries for tile in tiles), default=0)
        odd = [
            self._odd(tile)
            for tile, digest in tiles.items()
            if tile.entries <= size and sha256(tile.content(connection)).digest() != digest
        ]
        more = f"anchor {FOLDER}: it was published with {ahead:,} entries, but the ledger ends after {size:,}"
        return ((more,) if ahead > size else ()), tuple(odd)

    def _newest(self, level: int, full: int) -> int:
        """The number of the last full tile of a level that is there, of so many; 0 where there is none."""
        there = (index for index in range(full - 1, 0, -1) if (self._anchors / Tile(level, index, WIDTH).path).exists())
        return next(there, 0)

    def _keep(self, read: Read, tile: Tile) -> None:
        path, content = self._anchors / tile.path, read(tile.content)
        try:
            if not path.exists():
                self._make_way(tile)
                durable.place(path, content)
            if _read(path) != content:
                raise ProofDamaged(self._odd(tile))
            if tile.width == WIDTH:
                _drop(path.with_name(f"{path.name}.p"))
        except OSError as refused:
            raise unwritten("tile", self._anchors, refused) from None

    def _make_way(self, tile: Tile) -> None:
        """Its folders, and never that of the anchors: where that is missed, its disk may not be mounted."""
        for part in reversed(Path(tile.path).parents[:-1]):
            with suppress(FileExistsError):
                (self._anchors / part).mkdir()
                durable.sync_folder((self._anchors / part).parent)

    def _odd(self, tile: Tile) -> str:
        here, gap = shlex.quote(str(self.folder)), shlex.quote(str(self.folder.with_suffix(GAP)))
        return (
            f"{self._anchors / tile.path} is not as it was published, and dpsync never writes over a tile: put it back "
            f"from a copy, or, where it is lost for good, set all of them aside: `mv {here} {gap}`. Then dpsync writes "
            "them anew"
        )


def _read(path: Path) -> bytes | None:
    """What a tile holds; None for what cannot be one."""
    try:
        return paths.read(path, most=LARGEST)
    except Unusable:
        return None


def _drop(partial: Path) -> None:
    """What a tile held before it was full: whoever asks for that takes the full one."""
    if partial.is_dir():
        for path in partial.iterdir():
            path.unlink()
        partial.rmdir()
