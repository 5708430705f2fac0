"""Files that are whole and on the disk, or not there at all, whatever happens in between.

A draft has a random name and is never an existing file or a link that somebody laid there (`O_EXCL`, `O_NOFOLLOW`);
file and folder reach the disk (fsync) before anybody is told that the file stands.
"""

import errno
import os
import secrets
from pathlib import Path

ASIDE = ".odd"
"""Stands in the name of a file that was put aside because it was not what its name says."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says where there is no room: it passes."""

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def is_full(refused: OSError) -> bool:
    """Whether the disk was full, which passes once somebody has made room, and is nobody's wrong setting."""
    return refused.errno in {errno.ENOSPC, errno.EDQUOT}


def create(path: Path, content: bytes) -> None:
    """A new file of that content, its owner's alone. Raises `OSError`, `FileExistsError` where there is one."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def replace(path: Path, content: bytes) -> None:
    """That content under that name, in place of what stood there. Raises `OSError`: then either of them stands."""
    draft = _draft(path, content)
    try:
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def place(path: Path, content: bytes) -> bool:
    """That content under that name, unless something stands there already: then False, and that is left as it is.

    Of two processes one wins, and nobody ever reads a half. Either way the name is on the disk, also where whoever gave
    it could not bring it there. Raises `OSError`.
    """
    draft = _draft(path, content)
    new = True
    try:
        _name(draft, path, content)
    except FileExistsError:
        new = False
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)
    return new


def _name(draft: Path, path: Path, content: bytes) -> None:
    try:
        # A link appears with its content and never replaces.
        os.link(draft, path)
    except OSError as refused:
        if refused.errno not in _NO_LINKS:
            raise
        create(path, content)  # a file system without links (some shares): not atomic, and never over another


def set_aside(path: Path) -> Path:
    """Whatever stands under that name, file or folder, under another one beside it; gives the new name."""
    aside = path.with_name(f"{path.name}{ASIDE}-{secrets.token_hex(4)}")
    path.rename(aside)
    sync_folder(path.parent)
    return aside


def sync(path: Path) -> None:
    """Have what somebody else wrote into a file reach the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def sync_folder(path: Path) -> None:
    """Have the names in a folder reach the disk."""
    file = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    except OSError as refused:
        if refused.errno not in {errno.EINVAL, errno.ENOTSUP}:  # some shares know it of files only
            raise
    finally:
        os.close(file)


def _draft(path: Path, content: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    create(draft, content)
    return draft
