"""The key directory and what is sealed with it: pseudonyms, request keys, month keys, the proof a person can open.

Signing key, pepper and month keys lie outside the database, so that a copy of the database opens nothing. A month key
is made to be forgotten: once it is destroyed, back-ups of the database that still hold what it wrapped are closed too.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dpsync import durable, key_files
from dpsync.address import normalised
from dpsync.ciphers import KEY_BYTES, RequestKey, derived, opened_with, sealed_under
from dpsync.errors import KeyProblem
from dpsync.key_files import CARD, MONTHS, PUT_BACK, SIGNING, Former, KeyFiles
from dpsync.model import NameKind
from dpsync.telephone import phone_digits

_BOX = b"proof box"
_MONTH = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])(?:-[2-9])?")
"""The second key of a month whose first is lost for good ends in -2, and so on."""


UNREADABLE: Final = "(cannot be opened)"
"""What a report says of one thing that does not open; it stops nothing else."""


@dataclass(frozen=True, slots=True)
class _MonthKey:
    path: Path
    state: tuple[int, ...]
    key: bytes = field(repr=False)


class Keys:
    """An opened key directory. Safe for several threads, and for several processes on one directory."""

    def __init__(self, directory: Path, files: KeyFiles) -> None:
        self._directory = directory
        self._peppers, self._former = files.peppers, files.former
        self._months: dict[str, _MonthKey] = {}
        self._purposes: dict[tuple[bytes, str], bytes] = {}
        self.signing_key = Ed25519PrivateKey.from_private_bytes(files.signing)
        self.key_version = len(files.peppers)
        """The newest pepper: what is written anew of a person is written under it."""
        self._fingerprint = self._together(self.signing_key.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"Keys(fingerprint={self._fingerprint})"

    @staticmethod
    def absent(directory: Path) -> bool:
        """Whether there is no key directory yet, or an empty one. Raises `KeyProblem` where something else is there."""
        return key_files.vacant(directory)

    @classmethod
    def create(cls, directory: Path) -> Self:
        """A new key directory, complete or not there at all; one that exists is opened and nothing in it changed.

        Raises `KeyProblem` where it exists and cannot be opened: a half of the old keys is never mended with new ones.
        """
        if key_files.vacant(directory):
            files = KeyFiles(secrets.token_bytes(KEY_BYTES), (secrets.token_bytes(KEY_BYTES),))
            key_files.create(directory, files, cls(directory, files).fingerprint())
        return cls.load(directory)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Opens a key directory and changes nothing.

        Raises `KeyProblem` where something is missing, is something else, or is open to group or others.
        """
        keys = cls(directory, key_files.read_all(directory))
        key_files.demand_folder(directory / MONTHS, PUT_BACK)
        key_files.demand_card(directory / CARD)
        return keys

    def demand_room(self) -> None:
        """The key of the next month could be made. Raises `KeyProblem`; `StoreAway` where only room is lacking."""
        key_files.demand_folder(self._directory / MONTHS, PUT_BACK, writes=True)

    def fingerprint(self) -> str:
        """32 hex digits of signing key and first pepper together, kept in the store so that other keys are refused."""
        return self._fingerprint

    def has_been(self, fingerprint: str) -> bool:
        """Whether that is the fingerprint of these keys, or was before the signing key was changed."""
        return fingerprint in {self._fingerprint, *map(self._together, map(_public_half, self._former))}

    def _together(self, public: bytes) -> str:
        return hashlib.sha256(public + derived(self._peppers[0], "fingerprint")).hexdigest()[:32]

    def beside(self, today: date) -> tuple[Ed25519PrivateKey, ...]:
        """The former signing keys that still sign, beside the one that took their place."""
        return tuple(Ed25519PrivateKey.from_private_bytes(one.raw) for one in self._former if _signs(one, today))

    def retired(self, today: date) -> tuple[bytes, ...]:
        """The public halves of those that do not: what they signed is known by them."""
        return tuple(_public_half(one) for one in self._former if not _signs(one, today))

    def over(self, today: date) -> tuple[Former, ...]:
        """The former signing keys that sign no more, and whose secret half is still there."""
        # Cut off before, or refused: then both halves are there.
        return tuple(one for one in self._former if not _signs(one, today) and one.has_secret_half)

    def retire(self, today: date) -> None:
        """Destroy the secret half of each former signing key whose time is over."""
        for one in self.over(today):
            key_files.retire(one, _public_half(one))

    @property
    def former(self) -> tuple[Former, ...]:
        """The signing keys that were replaced, the oldest first."""
        return self._former

    @property
    def newest_former(self) -> Former | None:
        """The signing key that was replaced last."""
        return self._former[-1] if self._former else None

    def pseudonym(self, kind: NameKind, value: str) -> str:
        """HMAC-SHA256 under the first pepper, 64 hex digits: the same name again, to nobody without the pepper.

        Addresses are `address.normalised` first, telephone numbers `model.phone_digits`. A pseudonym is still personal
        data (GDPR recital 26). For contacts, and what connectors remember: of data subjects, see `pseudonyms`.
        """
        return hmac.new(self._peppers[0], _form(kind, value), hashlib.sha256).hexdigest()

    def pseudonyms(self, kind: NameKind, value: str) -> tuple[str, ...]:
        """The same under each pepper, the newest first: by that one a person is written, by all of them found."""
        form = _form(kind, value)
        return tuple(hmac.new(one, form, hashlib.sha256).hexdigest() for one in reversed(self._peppers))

    def mac(self, purpose: str, data: bytes) -> bytes:
        """HMAC-SHA256, 32 bytes, under a key of its own for each purpose."""
        # Always the first pepper: what was given out under it (links, commitments) must be the same again.
        return hmac.new(self._for(self._peppers[0], f"mac/{purpose}"), data, hashlib.sha256).digest()

    def seal(self, purpose: str, plain: bytes, context: bytes) -> bytes:
        """AES-256-GCM under a key of its own for each purpose; `context` binds it to its place."""
        return sealed_under(self._for(self._peppers[-1], f"seal/{purpose}"), plain, context)

    def open(self, purpose: str, sealed: bytes, context: bytes) -> bytes:
        """What `seal` closed. Raises `KeyProblem` where purpose, context, bytes or the keys are others."""
        otherwise = f"what was sealed for {purpose} does not open with these keys"
        keys = (self._for(pepper, f"seal/{purpose}") for pepper in reversed(self._peppers))
        return _opened_by_one(keys, sealed, context, otherwise)

    def new_request_key(self) -> RequestKey:
        """A fresh key for one request."""
        return RequestKey(secrets.token_bytes(KEY_BYTES))

    def fingerprints(self) -> dict[str, str]:
        """32 hex digits of each key that is not a month's, by what it is called."""
        return {name: digest[:32] for name, digest in self.digests().items()}

    def digests(self) -> dict[str, str]:
        """The whole SHA-256 that those are the first half of, in hex."""
        parts = {SIGNING: self.signing_key.public_key().public_bytes_raw()}
        parts |= {f"pepper-{n}.key": derived(one, "fingerprint") for n, one in enumerate(self._peppers, 1)}
        parts |= {one.name: _public_half(one) for one in self._former}
        return {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()}

    def month_fingerprint(self, month: str) -> str:
        """32 hex digits of a month's key. Raises `KeyProblem` where it is not there, or no key."""
        return self.month_digest(month)[:32]

    def month_digest(self, month: str) -> str:
        """The whole SHA-256 that it is the first half of, in hex. Raises the same."""
        return hashlib.sha256(derived(self._month_key(month), "fingerprint")).hexdigest()

    def month_is_vacant(self, month: str) -> bool:
        """Whether nothing at all stands where the key of that month should."""
        return key_files.vacant_name(self._month_path(month))

    def begin_month(self, month: str) -> None:
        """Make the key of `month` (YYYY-MM), on the disk when this returns; one that is there already stays.

        Whoever calls this has asked whether it should be there: see `key_register`.
        """
        path = self._month_path(month)
        content = f"{secrets.token_bytes(KEY_BYTES).hex()}\n".encode()
        key_files.guarded(lambda: durable.place(path, content), path.parent)

    def wrap(self, request_key: RequestKey, request_id: str, month: str) -> bytes:
        """The request's key under the key of `month` (YYYY-MM). Raises `KeyProblem` where that is not there."""
        return request_key.wrapped_under(self._month_key(month), _place_of(request_id, month))

    def unwrap(self, wrapped: bytes, request_id: str, month: str) -> RequestKey:
        """The request's key again. Raises `KeyProblem` where the month's key is destroyed, or another."""
        otherwise = f"a request of {month} does not open with the key of that month"
        return RequestKey(opened_with(self._month_key(month), wrapped, _place_of(request_id, month), otherwise))

    def destroy_month(self, month: str, now: datetime) -> None:
        """Forgets a month: all that its key wrapped is closed for ever, in every copy of the database.

        A note of it is left beside, for a back-up of the database that knows nothing of it. Twice is harmless. File
        systems and disks that write elsewhere than told may keep the old blocks, and back-ups of the key directory do.
        """
        path = self._month_path(month)
        if not key_files.vacant_name(path):
            # The note goes first: cut off between the two, a key that is there still opens, and the next run goes on.
            said = f"{self.month_fingerprint(month)} {now.isoformat()}\n".encode()
            key_files.guarded(lambda: durable.place(path.with_suffix(key_files.DESTROYED), said), path.parent)
            key_files.guarded(lambda: key_files.destroy(path), path.parent)
        self._months.pop(month, None)

    def destroyed_months(self) -> dict[str, tuple[str, str]]:
        """Of each month whose key is gone on purpose, as a note says: the key's fingerprint, and when that was."""
        return {
            month: said
            for month, said in key_files.destroyed_in(self._directory / MONTHS).items()
            if _MONTH.fullmatch(month) and self.month_is_vacant(month)
        }

    def proof_places(self, kind: NameKind, value: str) -> tuple[str, ...]:
        """Under which pseudonym the boxes of a name stand, the newest first; no other table has one of these."""
        form = b"proof\n" + _form(kind, value)
        return tuple(hmac.new(one, form, hashlib.sha256).hexdigest() for one in reversed(self._peppers))

    def proof_box(self, kind: NameKind, value: str, request_id: str, commit_key: bytes) -> bytes:
        """Request id and commit key, for whoever has that name in hand: nobody else can walk the table of boxes."""
        if len(commit_key) != KEY_BYTES:
            raise KeyProblem("a commit key has another length")
        return sealed_under(self._box_key(self._peppers[-1], kind, value), commit_key + request_id.encode(), _BOX)

    def open_proof_box(self, kind: NameKind, value: str, box: bytes) -> tuple[str, bytes]:
        """(request id, commit key) of a box. Raises `KeyProblem` where it was made for another name."""
        keys = (self._box_key(pepper, kind, value) for pepper in reversed(self._peppers))
        plain = _opened_by_one(keys, box, _BOX, "this proof is not of that person")
        return plain[KEY_BYTES:].decode(), plain[:KEY_BYTES]

    @staticmethod
    def _box_key(pepper: bytes, kind: NameKind, value: str) -> bytes:
        # Not kept like the other purposes: this one names a person. Its form is hashed, for it may be any text.
        return derived(pepper, f"proof box/{hashlib.sha256(_form(kind, value)).hexdigest()}")

    def _for(self, pepper: bytes, purpose: str) -> bytes:
        place = (pepper, purpose)
        if place not in self._purposes:
            self._purposes[place] = derived(pepper, purpose)
        return self._purposes[place]

    def _month_path(self, month: str) -> Path:
        if not _MONTH.fullmatch(month):
            raise KeyProblem("a month is written YYYY-MM")
        return self._directory / MONTHS / f"{month}.key"

    def _month_key(self, month: str) -> bytes:
        known = self._months.get(month)
        path = known.path if known else self._month_path(month)
        try:
            # Asked each time (2 µs): another process may have destroyed the month since.
            status = path.stat()
        except OSError:
            self._months.pop(month, None)
            if not key_files.vacant_name(path):
                key_files.read(path, PUT_BACK)
            raise KeyProblem(f"the key of {month} is not there: destroyed, or not restored: {PUT_BACK}") from None
        state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if known is None or known.state != state:
            key = key_files.read(path, PUT_BACK)
            # Another process may have made the file a moment ago: what is wrapped must not outlive its key's name.
            durable.sync_folder(path.parent)
            known = self._months[month] = _MonthKey(path, state, key)
        return known.key


def _form(kind: NameKind, value: str) -> bytes:
    forms = {"address": normalised, "phone": phone_digits}
    return f"{kind}\n{forms[kind](value) if kind in forms else value}".encode()


def _opened_by_one(keys: Iterable[bytes], sealed: bytes, context: bytes, otherwise: str) -> bytes:
    for key in keys:
        with suppress(KeyProblem):
            return opened_with(key, sealed, context, otherwise)
    raise KeyProblem(otherwise)


def _signs(one: Former, today: date) -> bool:
    return one.signs and today <= one.last_day


def _public_half(one: Former) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(one.raw).public_key().public_bytes_raw() if one.signs else one.raw


def _place_of(request_id: str, month: str) -> bytes:
    return f"request key\n{month}\n{request_id}".encode()
