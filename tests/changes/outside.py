"""Changes to the files outside the database: checkpoints, consistency files, cosignatures, journal, back-ups."""

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from random import Random

from dpsync.journal import NAME, AcceptedRequest, Journal
from dpsync.ledger import note
from tests.changes.change import Change, Maker, by_drill, by_verify_and_start
from tests.changes.grounds import Grounds
from tests.changes.rows import by_hand, drop, rows

NEWEST = "checkpoint"
FOLDERS = {"checkpoint": "*.checkpoint", "consistency": "*.consistency", "cosigned": "*.cosigned"}


def _files(there: Grounds, kind: str) -> list[Path]:
    found = sorted(there.anchors.glob(FOLDERS[kind]))
    return [*found, there.anchors / NEWEST] if kind == "checkpoint" else found


def _one(there: Grounds, kind: str, random: Random) -> Path:
    return random.choice(_files(there, kind))


def _written(what: str, path: Path, content: bytes | None, also: Sequence[str] = ()) -> Change:
    """One file with other content, or gone."""

    def make(copy: Grounds) -> None:
        there = copy.anchors / path.name
        if content is None:
            there.unlink()
        else:
            there.write_bytes(content)

    return Change(what, [path.name, *also], make, by_verify_and_start)


def flipped(raw: bytes, random: Random) -> bytes:
    """One bit is another one."""
    at = random.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << random.randrange(8)]) + raw[at + 1 :]


def edit(kind: str, there: Grounds, random: Random) -> Change:
    path = _one(there, kind, random)
    return _written(f"edit {kind}", path, flipped(path.read_bytes(), random))


def delete(kind: str, there: Grounds, random: Random) -> Change | None:
    path = _one(there, kind, random)
    if (kind, path) == ("consistency", _first(there)):
        return None
    named = [f"{int(path.stem)}"] if kind == "checkpoint" and path.name != NEWEST else []
    return _written(f"delete {kind}", path, None, named)


def _first(there: Grounds) -> Path:
    """Before it there was none: an installation of an older version has checkpoints that no file leads from."""
    return min(_files(there, "consistency"), key=lambda path: int(path.stem.partition("-")[0]))


def insert(kind: str, there: Grounds, random: Random) -> Change | None:
    if kind == "cosigned":
        return None  # whoever reads one checks its signatures; that one was written and its entry was not, happens
    path = _one(there, kind, random)
    size = random.randrange(1_000, 2_000)
    name = f"{size - 1}-{size}.consistency" if kind == "consistency" else f"{size:012d}.{kind}"
    return _written(f"insert {kind}", there.anchors / name, path.read_bytes())


def truncate(kind: str, there: Grounds, random: Random) -> Change:
    path = _one(there, kind, random)
    return _written(f"truncate {kind}", path, path.read_bytes()[: random.randrange(path.stat().st_size)])


def swap(kind: str, there: Grounds, random: Random) -> Change:
    one, other = random.sample(_files(there, kind), 2)
    while one.read_bytes() == other.read_bytes():
        one, other = random.sample(_files(there, kind), 2)

    def make(copy: Grounds) -> None:
        for here, from_there in ((one, other), (other, one)):
            (copy.anchors / here.name).write_bytes(from_there.read_bytes())

    return Change(f"swap {kind}", [one.name, other.name], make, by_verify_and_start)


def resign(kind: str, there: Grounds, random: Random) -> Change | None:
    """Another root or size, signed with the real key."""
    path = _one(there, kind, random)
    before, _, _ = path.read_text().rpartition(f"{there.signer.verifier.name}\n")
    signed = path.read_text().removeprefix(before)
    head = note.parse(signed)[0]
    sizes = [head.size, 100_000] if kind == "checkpoint" and path.name == NEWEST else [head.size]
    other = note.Checkpoint(head.origin, random.choice(sizes), bytes([random.randrange(256)]) * 32)
    return _written(f"re-sign {kind}", path, f"{before}{note.sign(other, there.signer)}".encode())


def older(kind: str, there: Grounds, random: Random) -> Change | None:
    """The whole of a folder, or the file that changes, as it was some weeks before."""
    if kind == "checkpoint":
        return _written("old checkpoint", there.anchors / NEWEST, (there.older / "anchors" / NEWEST).read_bytes())
    new = [path for path in _files(there, kind) if not (there.older / "anchors" / path.name).exists()]

    def make(copy: Grounds) -> None:
        for path in new:
            (copy.anchors / path.name).unlink()

    named = [*(path.name for path in new), f"-{_size(max(new, key=_size))}.consistency"]
    return Change(f"old copy of {kind}", named, make, by_verify_and_start)


def _size(path: Path) -> int:
    """How many entries a file's own checkpoint signs, by its name."""
    return int(path.stem.rpartition("-")[2])


# --- the journal


def _lines(there: Grounds) -> list[bytes]:
    return (there.anchors / NAME).read_bytes().splitlines(keepends=True)


def _journal(what: str, lines: Sequence[bytes], named: Sequence[str]) -> Change:
    return Change(
        f"{what} journal", named, lambda copy: (copy.anchors / NAME).write_bytes(b"".join(lines)), by_verify_and_start
    )


def edit_journal(there: Grounds, random: Random) -> Change:
    lines = _lines(there)
    at = random.randrange(len(lines))
    lines[at] = flipped(lines[at][:-1], random) + b"\n"
    return _journal("edit", lines, [f"line {at + 1}"])


def delete_journal(there: Grounds, random: Random) -> Change:
    lines = _lines(there)
    at = random.randrange(len(lines) - 1)
    del lines[at]
    return _journal("delete from", lines, [f"line {at + 1}", "is shorter than it was"])


def insert_journal(there: Grounds, random: Random) -> Change:
    lines = _lines(there)
    at = random.randrange(len(lines))
    lines.insert(random.randrange(at, len(lines)) + 1, lines[at])
    return _journal("insert into", lines, ["journal is a damaged file"])


def swap_journal(there: Grounds, random: Random) -> Change:
    lines = _lines(there)
    one, other = sorted(random.sample(range(len(lines)), 2))
    lines[one], lines[other] = lines[other], lines[one]
    return _journal("swap lines of", lines, [f"line {one + 1}"])


def truncate_journal(there: Grounds, random: Random) -> Change:
    raw = (there.anchors / NAME).read_bytes()
    return _journal("truncate", [raw[: random.randrange(len(raw))]], ["journal is shorter than it was"])


def old_journal(there: Grounds, random: Random) -> Change:
    return _journal("old copy of", [(there.older / "anchors" / NAME).read_bytes()], ["journal is shorter than it was"])


def resign_journal(there: Grounds, random: Random) -> Change:
    """A line that tells of somebody more, or of nobody, sealed with the real key."""
    lines = _lines(there)
    at = random.randrange(len(lines))
    journal = Journal(there.anchors, there.keys)
    opened = journal._opened(lines[at].rstrip())
    assert opened is not None
    said, group = opened
    if random.random() < 0.5:
        lines[at] = journal._line(said["n"], [], said["size"])
        named = [*(one.request_id for one in group), "journal is shorter than it was"]
        return _journal("re-sign a line less in", lines, named)
    forged = AcceptedRequest("r-FORGED", "crm", f"evt-{random.random()}", there.now)
    lines[at] = journal._line(said["n"], [*group, forged], said["size"])
    return _journal("re-sign a line more in", lines, ["r-FORGED"])


# --- back-ups


def _newest(there: Grounds) -> Path:
    return max((there.folder / "backups").iterdir())


def _backup(what: str, make: Callable[[Path], object], named: Sequence[str]) -> Change:
    return Change(f"{what} back-up", named, lambda copy: make(_newest(copy)), by_drill)


def edit_backup(there: Grounds, random: Random) -> Change:
    name = random.choice(["database.sqlite", "backup.json"])
    raw = flipped((_newest(there) / name).read_bytes(), random)
    return _backup("edit", lambda folder: (folder / name).write_bytes(raw), [name, "the back-up "])


def truncate_backup(there: Grounds, random: Random) -> Change:
    name = random.choice(["database.sqlite", "backup.json"])
    raw = (_newest(there) / name).read_bytes()[: random.randrange(200)]
    return _backup("truncate", lambda folder: (folder / name).write_bytes(raw), [name])


def delete_backup(there: Grounds, random: Random) -> Change:
    return _backup("delete", lambda folder: (folder / "database.sqlite").unlink(), ["database.sqlite"])


def swap_backup(there: Grounds, random: Random) -> Change:
    """The content of an older one under the page of the newest; its digest may be put right."""
    raw = (min((there.folder / "backups").iterdir()) / "database.sqlite").read_bytes()
    adjusted = random.random() < 0.5

    def make(folder: Path) -> None:
        (folder / "database.sqlite").write_bytes(raw)
        if adjusted:
            _put_right(folder)

    return _backup("swap", make, ["database.sqlite"])


def _put_right(folder: Path) -> None:
    page = json.loads((folder / "backup.json").read_bytes())
    page["digest"] = sha256((folder / "database.sqlite").read_bytes()).hexdigest()
    (folder / "backup.json").write_bytes(json.dumps(page, sort_keys=True, indent=1).encode() + b"\n")


def resign_backup(there: Grounds, random: Random) -> Change:
    """A row less in it, and a page that fits."""
    row = random.choice(rows(there.database, "propagation"))

    def make(folder: Path) -> None:
        inside = Grounds(folder, there.older, {}, there.now, {}, "", "")
        (folder / "dpsync.db").write_bytes((folder / "database.sqlite").read_bytes())
        by_hand(inside, drop("propagation", row))
        (folder / "dpsync.db").rename(folder / "database.sqlite")
        _put_right(folder)

    return _backup("re-sign", make, [row["request_id"]])


def makers() -> Mapping[str, Maker]:
    """By name."""
    from functools import partial

    kinds = {"edit": edit, "delete": delete, "insert": insert, "truncate": truncate, "swap": swap}
    found: dict[str, Maker] = {
        f"{name} {kind}": partial(make, kind)
        for kind in FOLDERS
        for name, make in (*kinds.items(), ("re-sign", resign), ("old copy", older))
    }
    found.update({name.replace("_", " "): make for name, make in _NAMED.items()})
    return found


_NAMED: Mapping[str, Maker] = {
    made.__name__: made
    for made in (
        *(edit_journal, delete_journal, insert_journal, swap_journal, truncate_journal, old_journal, resign_journal),
        *(edit_backup, truncate_backup, delete_backup, swap_backup, resign_backup),
    )
}
