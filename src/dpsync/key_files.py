"""The key directory: its files, who may read them, and the printed card that restores it."""

import os
import re
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from dpsync import durable, paths
from dpsync.ciphers import KEY_BYTES
from dpsync.errors import KeyProblem, StoreAway
from dpsync.paths import TroubleKind, Unusable

SIGNING = "signing.key"
NEXT = "signing.next"
"""The next signing key, before it takes the place of the one that signs."""
PEPPER = "pepper-1.key"
FORMER = "signing-until-"
"""How a signing key is called that was replaced; the day follows."""
BOTH_SIGN: Final = timedelta(days=30)
"""For so long a signing key that was replaced signs beside the new one."""
CARD = "card.txt"
MONTHS = "months"
DESTROYED = ".destroyed"
"""How the note ends that a month's key was destroyed on purpose."""

RESTORE = "restore it from its back-up or from the card. dpsync makes no other"
PUT_BACK = "restore it from the copy of the key directory. dpsync makes no other"


_NOTE = re.compile(r"([0-9a-f]{32}) ([0-9T:.+-]{25,32})\n")
_FORMER = re.compile(rf"{FORMER}([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})\.(key|pub)")
_PEPPERS = re.compile(r"pepper-([1-9][0-9]{0,3})\.key")


@dataclass(frozen=True, slots=True)
class Former:
    """A signing key that was replaced on `day`: its 32 secret bytes, or once it signs no more the public ones."""

    day: date
    path: Path
    raw: bytes = field(repr=False)

    @property
    def signs(self) -> bool:
        """Whether its secret half is still there."""
        return self.path.suffix == ".key"

    @property
    def has_secret_half(self) -> bool:
        """Whether its secret half still lies there, although it may sign no more."""
        return not vacant_name(self.path.with_suffix(".key"))

    @property
    def name(self) -> str:
        """What it is called, whichever half is there."""
        return self.path.stem

    @property
    def last_day(self) -> date:
        """The last day on which it signs."""
        return self.day + BOTH_SIGN


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """What the key directory holds besides the keys of months. `peppers`: the oldest first; `former`: the same."""

    signing: bytes = field(repr=False)
    peppers: tuple[bytes, ...] = field(repr=False)
    former: tuple[Former, ...] = ()


def read_all(directory: Path) -> KeyFiles:
    """Every key that is not a month's. Raises `KeyProblem` where one is missing, is none, or is open to others."""
    demand_folder(directory, RESTORE)
    signing = read(directory / SIGNING, RESTORE)
    names = sorted(path.name for path in directory.iterdir())
    versions = sorted({1, *(int(found[1]) for name in names if (found := _PEPPERS.fullmatch(name)))})
    peppers = tuple(read(pepper_path(directory, one), RESTORE) for one in range(1, versions[-1] + 1))
    # Between two steps of a change the same key stands there twice.
    return KeyFiles(signing, peppers, tuple(one for one in _all_former(directory) if one.raw != signing))


def _all_former(directory: Path) -> list[Former]:
    """A key whose secret half is being destroyed has both: then it signs no more."""
    found: dict[date, Former] = {}
    for name in sorted(path.name for path in directory.iterdir()):  # .key before .pub
        if _FORMER.fullmatch(name):
            one = _former(directory / name)
            found[one.day] = one
    return [found[day] for day in sorted(found)]


def _is_kept(directory: Path, signing: bytes) -> bool:
    return any(one.raw == signing for one in _all_former(directory))


def pepper_path(directory: Path, version: int) -> Path:
    """Where the pepper of that version lies."""
    return directory / f"pepper-{version}.key"


def replace_signing(directory: Path, today: date, step: Callable[[str], object] = lambda _: None) -> None:
    """A new signing key in the place of the one that signs, which is kept under the name of `today`.

    Killed between two steps it can be done again, and nothing is lost: `step` hears the name of each that is done.
    """
    guarded(lambda: durable.place(directory / NEXT, _fresh()), directory)
    # On a file system without links a change that was cut off may have left a half.
    read(directory / NEXT, "delete it, and give the command again")
    step("made")
    old, signing = (directory / SIGNING).read_bytes(), read(directory / SIGNING, RESTORE)
    if not _is_kept(directory, signing):  # a change that was cut off may have kept it
        guarded(lambda: durable.place(directory / f"{FORMER}{today.isoformat()}.key", old), directory)
    if not _is_kept(directory, signing):  # another change took that name: the key of that one would be lost
        raise KeyProblem(f"{directory / SIGNING} was changed today already: look at `dpsync keys show`")
    step("kept")
    guarded(lambda: (directory / NEXT).replace(directory / SIGNING), directory)
    durable.sync_folder(directory)
    step("replaced")


def add_pepper(directory: Path, version: int) -> None:
    """A new pepper of that version, beside the older ones."""
    guarded(lambda: durable.place(pepper_path(directory, version), _fresh()), directory)


def write_card(directory: Path, fingerprint: str) -> None:
    """The printed card anew: of a key that is on no card there is no copy."""
    files = read_all(directory)
    guarded(lambda: durable.replace(directory / CARD, _card(fingerprint, files).encode()), directory)


def retire(former: Former, public: bytes) -> None:
    """Keep the public half of a former signing key, and destroy the secret one. Twice is harmless."""
    folder = former.path.parent
    guarded(lambda: durable.place(former.path.with_suffix(".pub"), f"{public.hex()}\n".encode()), folder)
    destroy(former.path.with_suffix(".key"))


def destroy(path: Path) -> None:
    """The file is gone, and its bytes are overwritten as far as the file system lets it. Twice is harmless."""
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        size = os.fstat(file).st_size
        # The name goes first: a crash must not leave a file of zeros that passes for a key.
        path.unlink(missing_ok=True)
        durable.sync_folder(path.parent)
        os.pwrite(file, bytes(size), 0)
        os.fsync(file)
    finally:
        os.close(file)


def destroyed_in(folder: Path) -> dict[str, tuple[str, str]]:
    """Fingerprint and moment of each key that a note calls destroyed. One that says neither counts for nothing."""
    found = dict[str, tuple[str, str]]()
    for path in sorted(folder.glob(f"*{DESTROYED}")):
        with suppress(Unusable, UnicodeDecodeError):
            said = _NOTE.fullmatch(paths.read(path, shut_to=paths.ANYBODY_ELSE).decode("ascii"))
            if said:
                found[path.stem] = (said[1], said[2])
    return found


def _fresh() -> bytes:
    return f"{secrets.token_bytes(KEY_BYTES).hex()}\n".encode()


def _former(path: Path) -> Former:
    found = _FORMER.fullmatch(path.name)
    try:
        day = date.fromisoformat(found[1] if found else "")
    except ValueError:
        raise KeyProblem(f"{path} has a day in its name that is none: {RESTORE}") from None
    return Former(day, path, read(path, RESTORE))


def demand_folder(path: Path, restore: str, *, shut_to: int = paths.ANYBODY_ELSE, writes: bool = False) -> None:
    """Refuse a folder that is not there, or is open to others; `restore` says what to do about it.

    Raises `KeyProblem`; `StoreAway` where only room is lacking.
    """
    try:
        paths.demand_folder(path, shut_to=shut_to, writes=writes)
    except Unusable as unusable:
        trouble = unusable.trouble
        if trouble.kind is TroubleKind.FULL:
            raise StoreAway(trouble.told(""), code=KeyProblem.code) from None
        raise KeyProblem(trouble.told(restore)) from None


def demand_card(path: Path) -> None:
    """It is deleted once it is printed; as long as it is there, it is nobody else's."""
    if not vacant_name(path):
        try:
            paths.demand_file(path, shut_to=paths.ANYBODY_ELSE)
        except Unusable as unusable:
            raise KeyProblem(unusable.trouble.told("print it from its back-up, or do without")) from None


def read(path: Path, restore: str) -> bytes:
    """The 32 bytes of a key file. Raises `KeyProblem`, which says `restore`."""
    try:
        text = paths.read(path, shut_to=paths.ANYBODY_ELSE)
        key = bytes.fromhex(text.decode("ascii"))
    except Unusable as unusable:
        raise KeyProblem(unusable.trouble.told(restore)) from None
    except ValueError:
        raise KeyProblem(f"{path} is not a key (64 hex digits, spaces between them allowed): {restore}") from None
    if len(key) != KEY_BYTES:
        raise KeyProblem(
            f"{path} has another length than a key (64 hex digits, spaces between them allowed): {restore}"
        )
    return key


def vacant_name(path: Path) -> bool:
    """Whether nothing at all stands under that path."""
    try:
        return paths.vacant(path)
    except Unusable:
        return False


def vacant(directory: Path) -> bool:
    """Whether there is no key directory yet, or an empty one. Raises `KeyProblem` where something else is there."""
    if vacant_name(directory):
        return True
    demand_folder(directory, RESTORE, shut_to=0)
    return not any(directory.iterdir())


def create(directory: Path, files: KeyFiles, fingerprint: str) -> None:
    """A whole directory at once; of two processes that make it one wins. Raises `KeyProblem`."""
    draft = directory.with_name(f".{directory.name}.{secrets.token_hex(8)}")
    guarded(lambda: directory.parent.mkdir(parents=True, exist_ok=True), directory)
    guarded(lambda: draft.mkdir(mode=0o700), directory)
    try:
        (draft / MONTHS).mkdir(mode=0o700)
        durable.create(draft / SIGNING, f"{files.signing.hex()}\n".encode())
        durable.create(draft / PEPPER, f"{files.peppers[0].hex()}\n".encode())
        durable.create(draft / CARD, _card(fingerprint, files).encode())
        durable.sync_folder(draft)
        # A rename replaces nothing but an empty directory: of two processes one wins, and the other opens its keys.
        draft.rename(directory)
    except OSError as refused:
        shutil.rmtree(draft)
        if durable.is_full(refused):
            raise
        if vacant(directory):
            raise KeyProblem(f"{directory} cannot be made: name a folder that is no mount point itself") from None
    durable.sync_folder(directory.parent)


def guarded(act: Callable[[], object], path: Path) -> None:
    """Write, and say a refusal as a `KeyProblem` about `path`. A full disk is passed on as it is."""
    try:
        act()
    except OSError as refused:
        if durable.is_full(refused):
            raise  # it passes, and no key is wrong
        raise KeyProblem(paths.told_of(path, refused).told("")) from None


def _card(fingerprint: str, files: KeyFiles) -> str:
    def rows(key: bytes) -> str:
        digits = key.hex()
        groups = [digits[at : at + 4] for at in range(0, len(digits), 4)]
        return "\n".join("    " + " ".join(groups[at : at + 8]) for at in range(0, len(groups), 8))

    peppers = (
        f"pepper-{n}.key  (remembers whom never to bring back)\n{rows(key)}" for n, key in enumerate(files.peppers, 1)
    )
    return (
        "dpsync: the keys that cannot be made again\n\n"
        "Print this card, keep it away from the machine, then delete the file.\n"
        "To restore: type the digits of a key into the file of its name (mode 0600), in a folder of mode 0700 beside\n"
        f"an empty folder {MONTHS} of mode 0700. Spaces and new lines are ignored. The fingerprint must be the same\n"
        "again.\n\n"
        f"fingerprint {fingerprint}\n\n"
        f"{SIGNING}  (signs the proof)\n{rows(files.signing)}\n\n"
        + "\n\n".join(peppers)
        + "\n\nThe month keys are not on this card on purpose: they are made to be forgotten.\n"
    )
