"""The folder that the operator's mail system fills: a Maildir, or a folder of .eml files. Each message is handled once.

What is handled lies in `handled/`, what a person must read in `waiting/`, both under the message's own digest: a file's
name may be a subject, and a subject may name somebody. Whoever takes a file out of `waiting/` has read it.
"""

import os
import shlex
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from dpsync import paths
from dpsync.intake.delivery_report import LOOKED_AT, read
from dpsync.paths import TroubleKind
from dpsync.propagation.correspondence.incoming import Incoming

HANDLED, WAITING = "handled", "waiting"
AT_ONCE = 200
"""Messages of one look, which comes every minute: a flood must not keep the other timed jobs waiting."""

LARGEST = 64 * 1024 * 1024
"""Bytes. A larger file is known by its beginning, and a person reads it."""


def trouble(folder: Path) -> str:
    """What keeps this user from reading and moving what comes in; "" for nothing."""
    for path in (folder, folder / HANDLED, folder / WAITING, folder / "new"):
        found = paths.trouble_of(lambda path=path: paths.demand_folder(path, writes=True))  # type: ignore[misc]  # because mypy does not infer a lambda's default
        if found is not None and not (path != folder and found.kind is TroubleKind.VACANT):
            return found.told(f"make the folder: `mkdir {shlex.quote(str(path))}`")
    return ""


def take_in(folder: Path, take: Callable[[Incoming], bool]) -> int:
    """Hand every new message to `take` (True: a person must read it), then move it away. How many there were.

    If we crash between the two, the message is found again, and `take` knows it by its digest. Raises OSError where
    the folder, or a file in it, cannot be read or moved; the other files are handled first.
    """
    for name in (HANDLED, WAITING):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    taken, trouble = 0, None
    for path in _new(folder):
        if taken == AT_ONCE:
            break
        try:
            found = _opened(path)
            if found is not None:
                where = WAITING if take(found) else HANDLED
                path.replace(folder / where / f"{found.digest}.eml")
                taken += 1
        except OSError as error:
            trouble = error
    if trouble is not None:
        raise trouble
    return taken


def put_right(folder: Path, unread: frozenset[str]) -> list[str]:
    """Put what was answered for out of `waiting/`; give the digests that a person took away from there."""
    here = {path.stem: path for path in (folder / WAITING).glob("*.eml")}
    for digest, path in here.items():
        if digest not in unread:
            path.replace(folder / HANDLED / path.name)
    return sorted(unread - here.keys())


def _new(folder: Path) -> Iterator[Path]:
    """New messages, the oldest first. A Maildir's `tmp` holds what is not whole yet; `cur` what somebody has read."""
    found: list[tuple[float, str, Path]] = []
    for path in (*folder.glob("*.eml"), *(folder / "new").glob("*")):
        if path.name.startswith("."):
            continue  # by custom, not whole yet
        with suppress(FileNotFoundError):
            found.append((path.lstat().st_mtime, path.name, path))
    return (path for _, _, path in sorted(found))


def _opened(path: Path) -> Incoming | None:
    """None for what is no file of its own: a link could lead to any file of the machine, and a pipe never ends."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError:
        if path.is_symlink():
            return None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        start = file.read(LOOKED_AT)
        digest, size = sha256(start), len(start)
        while size < LARGEST and (more := file.read(LOOKED_AT)):
            digest.update(more)
            size += len(more)
    return read(start, digest.hexdigest())
