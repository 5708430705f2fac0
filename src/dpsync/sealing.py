"""The key directory and what is sealed with it: pseudonyms, request keys, month keys, the proof a person can open.

Signing key, pepper and month keys lie outside the database, so that a copy of the database opens nothing. A month key
is made to be forgotten: once it is destroyed, back-ups of the database that still hold what it wrapped are closed too.
"""

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dpsync import durable, key_files
from dpsync.address import normalised
from dpsync.errors import KeyProblem
from dpsync.key_files import CARD, KEY_BYTES, MONTHS, PEPPER, PUT_BACK, RESTORE, SIGNING
from dpsync.model import phone_digits

NONCE_BYTES = 12
TAG_BYTES = 16
FORMAT = b"\x01"
"""First byte of everything sealed, bound to it as associated data: a later format cannot be taken for this one."""

_MONTH = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])")


def _derived(secret: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"dpsync/1/{purpose}".encode()).derive(secret)


def _sealed(key: bytes, plain: bytes, context: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return FORMAT + nonce + AESGCM(key).encrypt(nonce, plain, FORMAT + context)


def _opened(key: bytes, sealed: bytes, context: bytes, otherwise: str) -> bytes:
    if sealed[:1] != FORMAT or len(sealed) < len(FORMAT) + NONCE_BYTES + TAG_BYTES:
        raise KeyProblem(otherwise)
    nonce, body = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, body, FORMAT + context)
    except InvalidTag:
        raise KeyProblem(otherwise) from None


class RequestKey:
    """The key of one request: 256 random bits, from which two sub-keys come that say nothing of each other.

    A receipt discloses `commit_key`; that opens no sealed instruction.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise KeyProblem("a request key has another length")
        self._secret = secret

    def __repr__(self) -> str:
        return "RequestKey(…)"

    @cached_property
    def commit_key(self) -> bytes:
        """32 bytes that key this request's commitments in the ledger and its evidence digests."""
        return _derived(self._secret, "request/commit")

    @cached_property
    def _seal_key(self) -> bytes:
        return _derived(self._secret, "request/seal")

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """AES-256-GCM under a fresh random nonce; `context` (the request id) must be given again to open it."""
        return _sealed(self._seal_key, plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """What `seal` closed. Raises `KeyProblem` where key, context or bytes are others."""
        return _opened(self._seal_key, sealed, context, "what was sealed for a request does not open with its key")

    def wrapped_under(self, key: bytes, context: bytes) -> bytes:
        """This key, sealed under another."""
        return _sealed(key, self._secret, context)


UNREADABLE: Final = "(cannot be opened)"
"""What a report says of one thing that does not open; it stops nothing else."""


@dataclass(frozen=True, slots=True)
class _MonthKey:
    path: Path
    state: tuple[int, ...]
    key: bytes = field(repr=False)


class Keys:
    """An opened key directory. Safe for several threads, and for several processes on one directory."""

    def __init__(self, directory: Path, signing: bytes, pepper: bytes) -> None:
        self._directory = directory
        self._pepper = pepper
        self._months: dict[str, _MonthKey] = {}
        self._purposes: dict[str, bytes] = {}
        self.signing_key = Ed25519PrivateKey.from_private_bytes(signing)
        self.key_version = 1
        public = self.signing_key.public_key().public_bytes_raw()
        self._fingerprint = hashlib.sha256(public + _derived(pepper, "fingerprint")).hexdigest()[:32]

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
            signing, pepper = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES)
            key_files.create(directory, signing, pepper, cls(directory, signing, pepper).fingerprint())
        return cls.load(directory)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Opens a key directory and changes nothing.

        Raises `KeyProblem` where something is missing, is something else, or is open to group or others.
        """
        key_files.demand_folder(directory, RESTORE)
        keys = cls(directory, key_files.read(directory / SIGNING, RESTORE), key_files.read(directory / PEPPER, RESTORE))
        key_files.demand_folder(directory / MONTHS, PUT_BACK)
        key_files.demand_card(directory / CARD)
        return keys

    def demand_room(self) -> None:
        """The key of the next month could be made. Raises `KeyProblem`; `StoreAway` where only room is lacking."""
        key_files.demand_folder(self._directory / MONTHS, PUT_BACK, writes=True)

    def fingerprint(self) -> str:
        """32 hex digits of signing key and pepper together, kept in the store so that other keys are refused."""
        return self._fingerprint

    def pseudonym(self, kind: Literal["address", "id", "phone"], value: str) -> str:
        """HMAC-SHA256 under the pepper, 64 hex digits: the same person again, to nobody without the pepper.

        Addresses are `address.normalised` first, telephone numbers `model.phone_digits`. A pseudonym is still personal
        data (GDPR recital 26).
        """
        forms = {"address": normalised, "phone": phone_digits}
        text = forms[kind](value) if kind in forms else value
        return hmac.new(self._pepper, f"{kind}\n{text}".encode(), hashlib.sha256).hexdigest()

    def mac(self, purpose: str, data: bytes) -> bytes:
        """HMAC-SHA256, 32 bytes, under a key of its own for each purpose."""
        return hmac.new(self._for(f"mac/{purpose}"), data, hashlib.sha256).digest()

    def seal(self, purpose: str, plain: bytes, context: bytes) -> bytes:
        """AES-256-GCM under a key of its own for each purpose; `context` binds it to its place."""
        return _sealed(self._for(f"seal/{purpose}"), plain, context)

    def open(self, purpose: str, sealed: bytes, context: bytes) -> bytes:
        """What `seal` closed. Raises `KeyProblem` where purpose, context, bytes or the keys are others."""
        otherwise = f"what was sealed for {purpose} does not open with these keys"
        return _opened(self._for(f"seal/{purpose}"), sealed, context, otherwise)

    def new_request_key(self) -> RequestKey:
        """A fresh key for one request."""
        return RequestKey(secrets.token_bytes(KEY_BYTES))

    def fingerprints(self) -> dict[str, str]:
        """32 hex digits of each key that is not a month's, by the name of its file."""
        public = self.signing_key.public_key().public_bytes_raw()
        parts = {SIGNING: public, PEPPER: _derived(self._pepper, "fingerprint")}
        return {name: hashlib.sha256(part).hexdigest()[:32] for name, part in parts.items()}

    def month_fingerprint(self, month: str) -> str:
        """32 hex digits of a month's key. Raises `KeyProblem` where it is not there, or no key."""
        return hashlib.sha256(_derived(self._month_key(month), "fingerprint")).hexdigest()[:32]

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
        return RequestKey(_opened(self._month_key(month), wrapped, _place_of(request_id, month), otherwise))

    def destroy_month(self, month: str) -> None:
        """Forgets a month: all that its key wrapped is closed for ever, in every copy of the database.

        Twice is harmless. File systems and disks that write elsewhere than told may keep the old blocks, and back-ups
        of the key directory do.
        """
        path = self._month_path(month)
        self._months.pop(month, None)
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

    def proof_box(self, address: str, request_id: str, commit_key: bytes) -> bytes:
        """Request id and commit key, for whoever has the address in hand: nobody else can walk the table of boxes."""
        if len(commit_key) != KEY_BYTES:
            raise KeyProblem("a commit key has another length")
        return _sealed(self._box_key(address), commit_key + request_id.encode(), b"proof box")

    def open_proof_box(self, address: str, box: bytes) -> tuple[str, bytes]:
        """(request id, commit key) of a box. Raises `KeyProblem` where it was made for another address."""
        plain = _opened(self._box_key(address), box, b"proof box", "this proof is not of that address")
        return plain[KEY_BYTES:].decode(), plain[:KEY_BYTES]

    def _box_key(self, address: str) -> bytes:
        # Not kept like the other purposes: this one names an address.
        return _derived(self._pepper, f"proof box/{normalised(address)}")

    def _for(self, purpose: str) -> bytes:
        if purpose not in self._purposes:
            self._purposes[purpose] = _derived(self._pepper, purpose)
        return self._purposes[purpose]

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


def _place_of(request_id: str, month: str) -> bytes:
    return f"request key\n{month}\n{request_id}".encode()
