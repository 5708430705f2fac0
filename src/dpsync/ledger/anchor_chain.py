"""Whether each file among the anchors is there that another one of them, or an entry, tells of.

Nothing of it is needed to go on, and each of it is what somebody outside checks a receipt by: that the ledger was only
continued, and that a witness or an authority has seen it.
"""

import re
import shlex
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Connection

from dpsync import paths
from dpsync.errors import NoteInvalid
from dpsync.ledger import note, told
from dpsync.ledger.anchors import COSIGNED, GAP, LARGEST, NEWEST, NUMBERED, RECORDED, STEP
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.log import Log
from dpsync.paths import Unusable

LARGEST_REPLY = 1024 * 1024
_STEP = re.compile(r"([0-9]{1,18})-([0-9]{1,18})(?:-[0-9a-f]{8})?")


def absent(folder: Path, anchored: int) -> list[str]:
    """A sentence for each checkpoint or consistency file that is gone from the folder although others lead to it.

    `anchored`: how many entries the newest checkpoint signs that was written there. What a person has accepted as lost
    (a name that ends in `.gap`) is not missed. The first consistency file is not, either: before it there were none.
    """
    names = _names(folder)
    steps = _steps(names, STEP)
    problems = [
        _gone(folder, f"{size:012d}{NUMBERED}", f"{old}-{new}{STEP}")
        for old, new in steps
        for size in (old, new)
        if not _stands(names, size)
    ]
    reached = {new for _, new in (*steps, *_steps(names, GAP), *_steps(names, RECORDED))}
    first = min((old for old, _ in steps), default=anchored)
    for size in sorted({old for old, _ in steps} | {anchored}):
        if size > first and size not in reached:
            before = max(known for known in (first, *reached) if known < size)
            problems.append(_gone(folder, f"{before}-{size}{STEP}", f"{size:012d}{NUMBERED}"))
    accepted = NEWEST not in names and {f"{NEWEST}{GAP}", f"{NEWEST}{RECORDED}"} & names
    if f"{anchored:012d}{NUMBERED}" in names and not accepted and _size_in(folder / NEWEST, anchored) < anchored:
        numbered = folder / f"{anchored:012d}{NUMBERED}"
        problems.append(
            f"{folder / NEWEST} is gone, or is an older copy: the newest checkpoint is that of {anchored:,} entries. "
            f"`cp {shlex.quote(str(numbered))} {shlex.quote(str(folder / NEWEST))}`"
        )
    return problems


def missed(folder: Path, anchored: int) -> list[str]:
    """The same while another process may write there: a listing shows a file and not the one that came before it."""
    return absent(folder, anchored) and absent(folder, anchored)


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return frozenset()


def _steps(names: frozenset[str], end: str) -> list[tuple[int, int]]:
    found = [_STEP.fullmatch(name.removesuffix(end)) for name in sorted(names) if name.endswith(end)]
    return [(int(match[1]), int(match[2])) for match in found if match]


def _stands(names: frozenset[str], size: int) -> bool:
    return any(f"{size:012d}{end}" in names for end in (NUMBERED, GAP, RECORDED))


def _gone(folder: Path, name: str, other: str) -> str:
    gap = folder / f"{name.rpartition('.')[0]}{GAP}"
    return (
        f"{folder / name} is not there any more, and {other} tells of it: put it back from a copy, or, where it is "
        f"lost for good, make an empty file {gap.name}: `touch {shlex.quote(str(gap))}`"
    )


def _size_in(path: Path, otherwise: int) -> int:
    """0 where there is none; `otherwise` for what is damaged, which is told of by itself."""
    try:
        return note.parse(paths.read(path, most=LARGEST).decode())[0].size
    except (Unusable, UnicodeDecodeError, NoteInvalid):
        return otherwise if path.exists() else 0


def unlike(connection: Connection, log: Log, folder: Path) -> Iterator[str]:
    """A sentence for each cosigned checkpoint and time stamp that is gone, or is not what its entry has the digest of,
    and for each cosigned one that this ledger does not continue.

    A line that came after the entry (ended in between, or of another witness) is no difference. Of a checkpoint that is
    gone itself nothing is said here.
    """
    names = _names(folder)
    told_of: dict[str, str] = {}
    for _, said in told.of_no_request(connection):
        if said["event"] == EntryKind.ANCHOR and "digest" in said:
            size = int(said["n"])
            end = f".{said['name']}.tsr" if said.get("kind") == "stamp" else COSIGNED
            if f"{size:012d}{NUMBERED}" in names:
                told_of[f"{size:012d}{end}"] = str(said["digest"])
    for name in sorted(one for one in names if one.endswith(COSIGNED)):
        number = name.removesuffix(COSIGNED)
        if f"{number}{NUMBERED}" not in names and {f"{number}{GAP}", f"{number}{RECORDED}"} & names:
            continue  # of a history whose loss a person has accepted
        text = _content(folder / name).decode(errors="replace")
        yield from (f"anchor {name}: {problem}" for problem in log.consistent_with(connection, text))
    for name, digest in told_of.items():
        content = _content(folder / name)
        if digest not in _digests(content):
            what = "is not there any more" if name not in names else "is not as it was written"
            gap = folder / f"{name}{GAP}"
            if gap.name not in names and f"{name}{RECORDED}" not in names:
                yield (
                    f"{folder / name} {what}: put it back from a copy, or, where it is lost for good, make an empty "
                    f"file {gap.name}: `touch {shlex.quote(str(gap))}`"
                )


def _content(path: Path) -> bytes:
    try:
        return paths.read(path, most=LARGEST_REPLY)
    except Unusable:
        return b""


def _digests(content: bytes) -> set[str]:
    """Of all of it, and of it as it was before each of its last lines came."""
    lines = content.splitlines(keepends=True)
    ends = [content, *(b"".join(lines[:at]) for at in range(len(lines)))] if content.endswith(b"\n") else [content]
    return {sha256(one).hexdigest() for one in ends}
