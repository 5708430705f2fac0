"""What stands under a path, and whether it can be used: one place looks, and every door says it in the same words.

Whatever stands where a file should be (a folder, a pipe, a socket, a link that leads nowhere) is named as what it is,
and is never waited for. Each way out that is named here is a command that can be typed as it stands.
"""

import errno
import os
import pwd
import shlex
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dpsync.durable import ASIDE, FULL

LARGEST = 64 * 1024
"""Bytes of a key or a secret; a file that has more is something else."""

ANYBODY_ELSE = 0o077
STRANGERS = 0o007

_FOLDER = "a folder"
_FILE = "a file"
_KINDS = {
    stat.S_IFDIR: _FOLDER,
    stat.S_IFREG: _FILE,
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class TroubleKind(StrEnum):
    """What is wrong with a path, in kinds that a door may answer differently."""

    VACANT = "nothing stands there"
    EMPTY = "it is empty"
    OTHER = "something else stands there"
    OPEN = "others may have it"
    SHUT = "this user may not have it"
    FULL = "there is no room; it passes"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a path. `mend`: the step that helps, a command in it; "" where none is needed or known."""

    kind: TroubleKind
    what: str
    mend: str = ""

    def told(self, restore: str) -> str:
        """The sentence, with the way out; `restore`: how what should stand there comes back."""
        lost = self.kind in {TroubleKind.VACANT, TroubleKind.EMPTY, TroubleKind.OTHER}
        steps = "; then ".join(filter(None, (self.mend, restore if lost else "")))
        return f"{self.what}: {steps}" if steps else self.what


class Unusable(Exception):
    """Raised and caught within a room, which makes an error of its own of it."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.what)
        self.trouble = trouble


def read(path: Path, *, most: int = LARGEST, shut_to: int = 0) -> bytes:
    """What a file holds. `shut_to`: the bits of its mode that must not be set. Raises `Unusable`."""
    status = demand_file(path, shut_to=shut_to)
    if not status.st_size:
        raise Unusable(Trouble(TroubleKind.EMPTY, f"{path} is empty"))
    if status.st_size > most:
        raise Unusable(Trouble(TroubleKind.OTHER, f"{path} is larger than {most:,} bytes", away(path)))
    try:
        # Should a pipe have come there since, it is not waited for.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(file, "rb") as stream:
            return stream.read(most + 1)
    except OSError as refused:
        raise Unusable(told_of(path, refused, "read")) from None


def demand_file(path: Path, *, shut_to: int = 0, writes: bool = False) -> os.stat_result:
    """A file stands there that this user may read, and, if asked, write. Raises `Unusable`."""
    status = _seen(path, _FILE)
    _demand_shut(path, status, shut_to)
    _demand_rights(path, os.R_OK | os.W_OK if writes else os.R_OK)
    return status


def demand_folder(path: Path, *, shut_to: int = 0, writes: bool = False) -> None:
    """A folder stands there that this user may enter, and, if asked, make files in. Raises `Unusable`."""
    status = _seen(path, _FOLDER)
    _demand_shut(path, status, shut_to)
    _demand_rights(path, os.R_OK | os.X_OK)
    if writes:
        _try_to_write(path)


def demand_replaceable(path: Path) -> None:
    """A file stands there, or nothing does: no device, pipe or folder, nor a name by which the system hands out one.

    A name of /dev or /proc (`/dev/stdout`) may lead to a file and is none: what is moved over it is lost, and the name
    with it. Raises `Unusable`.
    """
    if vacant(path):
        return
    _seen(path, _FILE)
    if {Path("/dev"), Path("/proc")} & {folder := path.parent.resolve(), *folder.parents} and path.is_symlink():
        raise Unusable(Trouble(TroubleKind.OTHER, f"{path} is a name of the system, where {_FILE} should be"))


def vacant(path: Path) -> bool:
    """Whether nothing stands there, not even a link. Raises `Unusable` where that cannot be seen."""
    try:
        _seen(path, "")
    except Unusable as unusable:
        if unusable.trouble.kind is TroubleKind.VACANT:
            return True
        raise
    return False


def trouble_of(demand: Callable[[], object]) -> Trouble | None:
    """What a demand of this page finds wrong; None where it is met."""
    try:
        demand()
    except Unusable as unusable:
        return unusable.trouble
    return None


def holds_files(path: Path) -> bool:
    """Whether it is a folder, and not an empty one."""
    with suppress(OSError):
        return path.is_dir() and any(path.iterdir())
    return False


def _seen(path: Path, wanted: str) -> os.stat_result:
    try:
        status = path.stat()
    except (OSError, ValueError):
        raise Unusable(_unseen(path)) from None
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
    if wanted and kind != wanted:
        raise Unusable(Trouble(TroubleKind.OTHER, f"{path} is {kind}, where {wanted} should be", away(path)))
    return status


def _unseen(path: Path) -> Trouble:
    """Which part of the way is not there, or leads no further: the first from the root on."""
    for part in (*reversed(path.parents), path):
        try:
            is_folder = stat.S_ISDIR(part.stat().st_mode)
        except OSError as refused:
            return _broken_off(path, part, refused)
        if part != path and not is_folder:
            return Trouble(TroubleKind.OTHER, f"{part} is a file, where a folder should be", away(part))
    return Trouble(TroubleKind.SHUT, f"{path} cannot be looked at just now")


def _broken_off(path: Path, part: Path, refused: OSError) -> Trouble:
    if os.path.islink(part) and refused.errno in {errno.ENOENT, errno.ELOOP, errno.ENOTDIR}:  # noqa: PTH114 - because that of pathlib raises where the system refuses
        leads = "in a circle" if refused.errno == errno.ELOOP else "nowhere"
        return Trouble(TroubleKind.OTHER, f"{part} is a link that leads {leads}", away(part))
    if refused.errno == errno.ENOENT:
        with_its = "" if part == path else f", and so is its folder {part}"
        return Trouble(TroubleKind.VACANT, f"{path} is missing{with_its}")
    if refused.errno == errno.EACCES and not os.access(part.parent, os.X_OK, effective_ids=True):
        return _not_ours(part.parent, "entered")
    return Trouble(TroubleKind.SHUT, f"{part} cannot be reached by this user ({_user()}): {refused.strerror}")


def _demand_shut(path: Path, status: os.stat_result, shut_to: int) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & shut_to:
        folder = stat.S_ISDIR(status.st_mode)
        others = "group or others" if shut_to & 0o070 else "everybody on this machine"
        bits = ("0700" if folder else "0600") if shut_to & 0o070 else "o-rwx"
        raise Unusable(
            Trouble(TroubleKind.OPEN, f"{path} is open to {others}", f"`chmod {bits} {shlex.quote(str(path))}`")
        )


def _demand_rights(path: Path, wanted: int) -> None:
    if os.access(path, wanted, effective_ids=True):
        return
    if wanted & os.W_OK and os.access(path, wanted & ~os.W_OK, effective_ids=True):
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as refused:
            raise Unusable(told_of(path, refused)) from None
    raise Unusable(_not_ours(path, "read and entered" if wanted & os.X_OK else "read"))


def _try_to_write(folder: Path) -> None:
    """Write into a file without a name, which nobody ever sees: neither a read-only disk nor a full one shows before.

    Some file systems (NFS, CIFS) have none: there the mode is believed.
    """
    try:
        file = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
    except OSError as refused:
        if refused.errno in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}:
            if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
                raise Unusable(_not_ours(folder, "written")) from None
            return
        raise Unusable(told_of(folder, refused)) from None
    try:
        os.write(file, b"\n")
        os.fsync(file)
    except OSError as refused:
        raise Unusable(told_of(folder, refused)) from None
    finally:
        os.close(file)


def told_of(path: Path, refused: OSError, use: str = "written") -> Trouble:
    """What the system's no to a use of that path means, and what helps. `use`: what it was not let be."""
    quoted = shlex.quote(str(path))
    match refused.errno:
        case errno.EROFS:
            point = _mount_point(path)
            # Where only this mounting is read-only, and not the disk, the system asks for `bind`.
            how = "remount,rw" if _disk_is_read_only(point) else "remount,rw,bind"
            return Trouble(
                TroubleKind.SHUT,
                f"{path} can only be read: its disk is mounted so, or the service's unit does not name it in "
                "ReadWritePaths",
                f"as root: `mount -o {how} {shlex.quote(str(point))}`",
            )
        case errno.EPERM:
            return Trouble(
                TroubleKind.SHUT, f"{path} may not be changed by anybody (immutable)", f"as root: `chattr -i {quoted}`"
            )
        case errno.EACCES:
            return _shut(path, use)
        case number if number in FULL:
            return Trouble(TroubleKind.FULL, f"the disk of {path} is full: make room, and it goes on by itself")
        case _:
            return Trouble(TroubleKind.SHUT, f"{path} cannot be used: {refused.strerror}")


def _shut(path: Path, use: str) -> Trouble:
    """Which part of the way this user may not have: what is there, or the folder that it would come into."""
    there = next(one for one in (path, *path.parents) if os.path.lexists(one))
    entered = there == path or os.access(there, os.X_OK, effective_ids=True)
    return _not_ours(there, use if entered else "entered")


def _not_ours(path: Path, what: str) -> Trouble:
    user, quoted = _user(), shlex.quote(str(path))
    status = path.stat()
    bits = "u+rwx" if stat.S_ISDIR(status.st_mode) else "u+rw"
    own = status.st_uid == os.geteuid()
    mend = f"`chmod {bits} {quoted}`" if own else f"as root: `chown {shlex.quote(user)} {quoted}`"
    return Trouble(TroubleKind.SHUT, f"{path} cannot be {what} by this user ({user})", mend)


def away(path: Path) -> str:
    """The command that has a path stand free again."""
    here, aside = shlex.quote(str(path)), shlex.quote(f"{path}{ASIDE}")
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            return f"`rmdir {here}` takes it away"
    return f"`mv {here} {aside}` moves it away"


def _mount_point(path: Path) -> Path:
    """Also where a folder of the same disk was mounted, which `Path.is_mount` cannot tell from any other folder."""
    points, here = _mounted(), path.resolve()
    return next((one for one in (here, *here.parents) if str(one) in points or one.is_mount()), path)


def _disk_is_read_only(point: Path) -> bool:
    """By the options of the file system itself."""
    return "ro" in _mounted().get(str(point), ["ro"])


def _mounted() -> dict[str, list[str]]:
    """The options of each file system by its mount point: proc_pid_mountinfo(5), those behind the dash."""
    found = {}
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
            own, _, disk = line.partition(" - ")
            found[own.split()[4].encode().decode("unicode_escape")] = disk.split()[-1].split(",")
    return found


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
