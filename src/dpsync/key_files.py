"""The key directory: its files, who may read them, and the printed card that restores it."""

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from dpsync import durable, paths
from dpsync.errors import KeyProblem, StoreAway
from dpsync.paths import TroubleKind, Unusable

KEY_BYTES = 32

SIGNING = "signing.key"
PEPPER = "pepper-1.key"
CARD = "card.txt"
MONTHS = "months"

RESTORE = "restore it from its back-up or from the card. dpsync makes no other"
PUT_BACK = "restore it from the copy of the key directory. dpsync makes no other"


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


def create(directory: Path, signing: bytes, pepper: bytes, fingerprint: str) -> None:
    """A whole directory at once; of two processes that make it one wins. Raises `KeyProblem`."""
    draft = directory.with_name(f".{directory.name}.{secrets.token_hex(8)}")
    guarded(lambda: directory.parent.mkdir(parents=True, exist_ok=True), directory)
    guarded(lambda: draft.mkdir(mode=0o700), directory)
    try:
        (draft / MONTHS).mkdir(mode=0o700)
        durable.create(draft / SIGNING, f"{signing.hex()}\n".encode())
        durable.create(draft / PEPPER, f"{pepper.hex()}\n".encode())
        durable.create(draft / CARD, _card(fingerprint, signing, pepper).encode())
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


def _card(fingerprint: str, signing: bytes, pepper: bytes) -> str:
    def rows(key: bytes) -> str:
        digits = key.hex()
        groups = [digits[at : at + 4] for at in range(0, len(digits), 4)]
        return "\n".join("    " + " ".join(groups[at : at + 8]) for at in range(0, len(groups), 8))

    return (
        "dpsync: the keys that cannot be made again\n\n"
        "Print this card, keep it away from the machine, then delete the file.\n"
        "To restore: type the digits of a key into the file of its name (mode 0600), in a folder of mode 0700 beside\n"
        f"an empty folder {MONTHS} of mode 0700. Spaces and new lines are ignored. The fingerprint must be the same\n"
        "again.\n\n"
        f"fingerprint {fingerprint}\n\n"
        f"{SIGNING}  (signs the proof)\n{rows(signing)}\n\n"
        f"{PEPPER}  (remembers whom never to bring back)\n{rows(pepper)}\n\n"
        "The month keys are not on this card on purpose: they are made to be forgotten.\n"
    )
