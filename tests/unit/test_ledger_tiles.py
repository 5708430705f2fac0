"""The ledger's hashes as files: C2SP's own figures, a stranger who reads them on the web, and no tile written twice."""

import errno
import os
import shutil
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, delete, func, insert

from dpsync.errors import LedgerTampered, ProofDamaged, ProofDiskFull
from dpsync.ledger import merkle, note, stored
from dpsync.ledger.tiles import LARGEST, Tile, Tiles, tiles_of
from dpsync.store import tables as t
from tests.tlogclient import LogLies, TlogClient, served

ORIGIN = "example.org/dpsync"
SIGNER = note.Signer.from_seed(ORIGIN, bytes(range(32)))
SIZE = 70_000


def leaf(number: int) -> bytes:
    return merkle.leaf_hash(b"entry %d" % number)


@cache
def nodes(size: int) -> dict[tuple[int, int], bytes]:
    found: dict[tuple[int, int], bytes] = {}
    merkle.grow(
        0, {}, (leaf(number) for number in range(size)), lambda level, idx, value: _put(found, level, idx, value)
    )
    return found


def _put(found: dict[tuple[int, int], bytes], level: int, idx: int, value: bytes) -> bytes:
    found[level, idx] = value
    return value


def ledger(size: int) -> Engine:
    engine = create_engine("sqlite://")
    t.metadata.create_all(engine)
    rows = [(level, idx, value) for (level, idx), value in nodes(size).items()]
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO node VALUES (?, ?, ?)", rows)
        connection.execute(insert(t.entry), [{"idx": size - 1, "request_id": None, "body": b"the last"}])
    return engine


@pytest.fixture
def connection() -> Iterator[Connection]:
    """A ledger of 600 entries: two full tiles and one of 88."""
    engine = ledger(600)
    with engine.begin() as made:
        yield made
    engine.dispose()


@pytest.fixture
def tiles(tmp_path: Path) -> Tiles:
    return Tiles(tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def root(size: int) -> bytes:
    found = nodes(max(size, 600))
    return merkle.root(lambda level, idx: found[level, idx], size)


def signed(folder: Path, size: int) -> None:
    (folder / "checkpoint").write_text(note.sign(note.Checkpoint(ORIGIN, size, root(size)), SIGNER))


# --- which tiles there are


def test_the_tiles_of_70_000_entries_are_those_of_the_specification() -> None:
    widths: dict[int, list[int]] = {}
    for tile in tiles_of(SIZE):
        widths.setdefault(tile.level, []).append(tile.width)
        assert tile.index == len(widths[tile.level]) - 1
    assert widths == {0: [256] * 273 + [112], 1: [256, 17], 2: [1]}


def test_the_tiles_of_256_entries_are_a_full_one_and_one_of_width_1_above_it() -> None:
    assert list(tiles_of(256)) == [Tile(0, 0, 256), Tile(1, 0, 1)]
    assert list(tiles_of(255)) == [Tile(0, 0, 255)]
    assert list(tiles_of(257)) == [Tile(0, 0, 256), Tile(0, 1, 1), Tile(1, 0, 1)]
    assert list(tiles_of(0)) == []


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0, 256), "tile/0/000"),
        (Tile(0, 999, 256), "tile/0/999"),
        (Tile(0, 1000, 256), "tile/0/x001/000"),
        (Tile(0, 1_234_067, 256), "tile/0/x001/x234/067"),
        (Tile(1, 1, 17), "tile/1/001.p/17"),
        (Tile(63, 12_345, 255), "tile/63/x012/345.p/255"),
    ],
)
def test_a_tile_has_one_path_and_a_path_one_tile(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert Tile.parse(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/00/000",
        "tile/0/x000/001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/017",
        "tile/entries/000",
        "tile/0/.000.0123",
        "tile.gap/0/000",
        "tile/0/000/more",
    ],
)
def test_what_is_no_tile_in_its_one_spelling_is_none(path: str) -> None:
    assert Tile.parse(path) is None


def test_a_tile_tells_how_many_entries_there_are_at_the_least() -> None:
    assert Tile(0, 1, 88).entries == 344
    assert Tile(1, 1, 17).entries == 273 * 256
    assert Tile(2, 0, 1).entries == 65_536
    assert LARGEST == 8_192


def test_a_tile_of_the_ledger_has_the_hashes_of_its_level_one_after_the_other(connection: Connection) -> None:
    assert Tile(0, 1, 3).content(connection) == leaf(256) + leaf(257) + leaf(258)
    assert Tile(1, 0, 2).content(connection) == nodes(600)[8, 0] + nodes(600)[8, 1]
    assert stored.row(connection, 8, 1, 1) == [nodes(600)[8, 1]]
    assert stored.row(connection, 0, 5, 0) == []
    with pytest.raises(LedgerTampered, match=r"^of the nodes 8/0 to 8/3 one is missing$"):
        stored.row(connection, 8, 0, 4)


# --- a stranger reads them


def test_a_stranger_reads_70_000_entries_on_the_web(tmp_path: Path) -> None:
    engine, tiles = ledger(SIZE), Tiles(tmp_path)
    with engine.begin() as connection:
        for size in (256, 65_537, SIZE):
            tiles.write(lambda work: work(connection), size)
    engine.dispose()
    signed(tmp_path, SIZE)
    with served(tmp_path) as url:
        client = TlogClient(url, SIGNER.verifier.line)
        assert client.audit() == 273 + 1 + 1 + 1 + 1
        assert client.holds(69_999, b"entry 69999")
        assert client.holds(0, b"entry 0")
        assert not client.holds(1, b"entry 0")
        for size in (1, 256, 65_537, SIZE):
            assert client.continues(size, root(size))
        assert not client.continues(65_537, root(65_536))


def test_a_stranger_finds_each_change_of_a_tile_and_needs_no_partial_one_where_it_is_full_by_now(
    connection: Connection, tmp_path: Path
) -> None:
    tiles, key = Tiles(tmp_path), SIGNER.verifier.line
    for size in (300, 600):
        tiles.write(lambda work: work(connection), size)
    signed(tmp_path, 600)
    with served(tmp_path) as url:
        assert TlogClient(url, key).continues(300, root(300))
        for name in ("tile/0/000", "tile/0/002.p/88", "tile/1/000.p/2"):
            path = tmp_path / name
            right = path.read_bytes()
            path.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
            with pytest.raises(LogLies):
                TlogClient(url, key).audit()
            path.write_bytes(right)
        signed(tmp_path, 300)
        assert TlogClient(url, key).audit() == 3


# --- what is written


def test_of_what_came_in_since_only_the_new_tiles_are_read_and_written(connection: Connection, tiles: Tiles) -> None:
    folder, read = tiles.folder.parent, []

    def counted(work: "object") -> bytes:
        read.append(work.__self__)  # type: ignore[attr-defined]  # because what is asked for is a method of its tile
        return bytes(work(connection))  # type: ignore[operator]  # because of the same

    tiles.write(counted, 255)
    assert names(folder) == ["tile/0/000.p/255"]
    tiles.write(counted, 300)
    assert names(folder) == ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"]
    tiles.write(counted, 301)
    assert names(folder) == ["tile/0/000", "tile/0/001.p/44", "tile/0/001.p/45", "tile/1/000.p/1"]
    read.clear()
    tiles.write(counted, 600)
    assert names(folder) == ["tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/1", "tile/1/000.p/2"]
    assert read == [Tile(0, 0, 256), Tile(0, 1, 256), Tile(0, 2, 88), Tile(1, 0, 2)]
    assert all((folder / name).read_bytes() == Tile.parse(name).content(connection) for name in names(folder))  # type: ignore[union-attr]  # because all of them are tiles
    read.clear()
    tiles.write(counted, 600)
    assert read == [Tile(0, 1, 256), Tile(0, 2, 88), Tile(1, 0, 2)], "the newest are compared, and no others read"
    assert not list(folder.rglob(".*")), "no drafts are left"
    assert not (folder / "tile/0/001.p").exists()


def test_the_newest_tile_that_is_there_is_where_writing_goes_on(tiles: Tiles) -> None:
    engine, read = ledger(1_100), list[Tile]()
    with engine.begin() as connection:
        tiles.write(lambda work: work(connection), 800)
        for size, first in ((1_100, 2), (1_100, 3)):
            read.clear()
            tiles.write(lambda work: (read.append(work.__self__), work(connection))[1], size)  # type: ignore[attr-defined,func-returns-value]  # because what is asked for is a method of its tile
            assert [one.index for one in read if one.level == 0] == list(range(first, 5))
    engine.dispose()


def test_a_tile_with_other_bytes_is_told_of_and_never_written_over(connection: Connection, tiles: Tiles) -> None:
    tiles.write(lambda work: work(connection), 300)
    for name in ("tile/0/000", "tile/0/001.p/44"):
        path = tiles.folder.parent / name
        right = path.read_bytes()
        for content in (b"", right[:-32], right + bytes(32), bytes(len(right))):
            path.write_bytes(content)
            with pytest.raises(ProofDamaged) as refused:
                tiles.write(lambda work: work(connection), 300)
            assert refused.value.message.startswith(f"{path} is not as it was published, and dpsync never writes over")
            assert f"`mv {tiles.folder} {tiles.folder}.gap`" in refused.value.message
            assert path.read_bytes() == content
        path.write_bytes(right)
    tiles.write(lambda work: work(connection), 600)


def test_a_tile_that_another_process_wrote_meanwhile_is_compared(connection: Connection, tiles: Tiles) -> None:
    def overtaken(work: "object") -> bytes:
        content = bytes(work(connection))  # type: ignore[operator]  # because it is a method of a tile
        path = tiles.folder.parent / work.__self__.path  # type: ignore[attr-defined]  # because of the same
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return content

    tiles.write(overtaken, 600)
    assert not list(tiles.lost(600))


def test_what_is_gone_is_written_again_and_no_folder_is_made_where_the_disk_is_not_mounted(
    connection: Connection, tiles: Tiles
) -> None:
    assert list(tiles.lost(600)) == [], "it is not begun"
    tiles.complete(lambda work: work(connection), 600)
    assert list(tiles.lost(600)) == []
    (tiles.folder / "0/000").unlink()
    path = tiles.folder / "0/000"
    assert list(tiles.lost(600)) == [f"{path} is not there any more: dpsync writes it again when it starts"]
    assert list(tiles.missing(600)) == [Tile(0, 0, 256)]
    (tiles.folder / "0/001").write_bytes(b"odd")
    tiles.complete(lambda work: work(connection), 600)
    assert path.read_bytes() == Tile(0, 0, 256).content(connection)
    shutil.rmtree(tiles.folder.parent)
    with pytest.raises(ProofDamaged, match=r"^no tile can be written: "):
        tiles.write(lambda work: work(connection), 600)
    assert not tiles.folder.parent.exists()


def test_a_full_disk_passes(connection: Connection, tiles: Tiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProofDiskFull, match=f"^no tile can be written: the disk of {tiles.folder.parent} is full"):
        tiles.write(lambda work: work(connection), 600)


# --- what is found


def test_each_tile_is_compared_with_the_ledger_and_what_is_no_tile_is_not(connection: Connection, tiles: Tiles) -> None:
    tiles.write(lambda work: work(connection), 300)
    tiles.write(lambda work: work(connection), 600)
    (tiles.folder / "notes.txt").write_text("a person's own")
    found = tiles.digests()
    assert found["tile/0/000"] == sha256(Tile(0, 0, 256).content(connection)).digest()
    assert sorted(found) == ["tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/1", "tile/1/000.p/2"]
    assert tiles.against(connection, found) == ((), ())
    for name in found:
        path = tiles.folder.parent / name
        right = path.read_bytes()
        for content in (b"", right[:-1], right + b"\0", bytes(len(right))):
            path.write_bytes(content)
            ahead, odd = tiles.against(connection, tiles.digests())
            assert ahead == ()
            assert [one.partition(" is not as it was published")[0] for one in odd] == [str(path)]
        path.write_bytes(right)
    assert tiles.against(connection, {}) == ((), ())
    assert tiles.against(connection, {"notes.txt": b""}) == ((), ())


def test_a_ledger_that_ends_before_what_was_published_is_told_of(connection: Connection, tiles: Tiles) -> None:
    tiles.write(lambda work: work(connection), 600)
    assert tiles.ahead(600) == []
    assert tiles.ahead(599) == [tiles.folder]
    found = tiles.digests()
    connection.execute(delete(t.entry))
    connection.execute(delete(t.node).where((t.node.c.idx + 1) * func.pow(2, t.node.c.level) > 511))
    connection.execute(insert(t.entry), [{"idx": 510, "request_id": None, "body": b"the last"}])
    ahead, odd = tiles.against(connection, found)
    assert ahead == ("anchor tile: it was published with 600 entries, but the ledger ends after 511",)
    assert odd == ()
    assert tiles.ahead(511) == [tiles.folder]
    assert Tiles(tiles.folder / "none").ahead(0) == []
