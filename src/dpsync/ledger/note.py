"""Checkpoints in the public C2SP formats `tlog-checkpoint` and `signed-note`, signed with Ed25519.

Parsed by round trip: a note that this module would not print in the same bytes is refused. A signature by an unknown
key is ignored, so that keys rotate and witnesses can be added; at least one known key must have signed, and a known
key's signature that does not fit spoils the note.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dpsync.errors import NoteInvalid

ED25519 = b"\x01"
LARGEST = 64 * 1024
"""Bytes of a note: room for many witnesses, none for a flood."""

_DASH = "— "


@lru_cache(maxsize=64)
def _public(raw: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(raw)


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key and the name it signs under. `line` is how it is handed over: `name+hexid+base64(01||key)`."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA256(name || 0A || 01 || public key)."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    @property
    def line(self) -> str:
        """The one line that the DPO is handed."""
        return f"{self.name}+{self.key_id.hex()}+{_b64(ED25519 + self.public)}"

    @classmethod
    def parse(cls, line: str) -> "VerifierKey":
        """Read such a line. Raises `NoteInvalid` unless it would be printed the same."""
        name, _, rest = line.partition("+")
        raw = unb64(rest.partition("+")[2])
        if len(raw) != 33 or raw[:1] != ED25519:
            raise NoteInvalid("the verifier key is not an Ed25519 key of the signed-note format")
        _demand_name(name)
        key = cls(name, raw[1:])
        if key.line != line:
            raise NoteInvalid("the verifier key's id does not belong to its name and key")
        return key

    def fits(self, text: str, signature: bytes) -> bool:
        """Whether `signature` is this key's over `text`."""
        try:
            _public(self.public).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key and the name it signs under."""

    name: str
    key: Ed25519PrivateKey = field(repr=False)

    def __post_init__(self) -> None:
        _demand_name(self.name)

    @classmethod
    def from_seed(cls, name: str, seed: bytes) -> "Signer":
        """The signer of a 32-byte seed (RFC 8032)."""
        return cls(name, Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        return VerifierKey(self.name, self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def line(self, text: str) -> str:
        """The signature line under `text`."""
        return f"{_DASH}{self.name} {_b64(self.verifier.key_id + self.key.sign(text.encode()))}\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is signed: which ledger, how many entries, which root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note's text, its last line feed included."""
        return f"{self.origin}\n{self.size}\n{_b64(self.root)}\n"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """As it stands under a note."""
        return f"{_DASH}{self.name} {_b64(self.key_id + self.signature)}\n"


def sign_text(text: str, signers: Iterable[Signer]) -> str:
    """A signed note over `text`, which ends with a line feed. Raises `ValueError` without a signer."""
    lines = [signer.line(text) for signer in signers]
    if not lines or not text.endswith("\n"):
        raise ValueError("a note needs a text that ends its line, and a signer")
    return f"{text}\n{''.join(lines)}"


def sign(checkpoint: Checkpoint, *signers: Signer) -> str:
    """The checkpoint as a signed note, one line a signer."""
    return sign_text(checkpoint.text, signers)


def parse(note: str) -> tuple[Checkpoint, tuple[Signature, ...]]:
    """Take a note apart, trusting nothing yet. Raises `NoteInvalid` unless it would be printed the same."""
    text, signatures = _split(note)
    lines = text.split("\n")
    if len(lines) != 4 or not lines[0] or not (lines[1].isascii() and lines[1].isdigit()) or len(lines[1]) > 18:
        raise NoteInvalid("the note is not a checkpoint: origin, size and root, a line each")
    root = unb64(lines[2])
    checkpoint = Checkpoint(lines[0], int(lines[1]), root)
    if len(root) != 32 or checkpoint.text != text:
        raise NoteInvalid("the checkpoint is not in the one spelling that the format allows")
    return checkpoint, signatures


def verify(note: str, keys: Sequence[VerifierKey]) -> Checkpoint:
    """The checkpoint, now that at least one of `keys` is known to have signed it. Raises `NoteInvalid`."""
    checkpoint, _ = parse(note)
    signed_text(note, keys)
    return checkpoint


def signed_text(note: str, keys: Sequence[VerifierKey]) -> str:
    """The text of a signed note, now that one of `keys` is known to have signed it. Raises `NoteInvalid`."""
    text, signatures = _split(note)
    known = {(key.name, key.key_id): key for key in keys}
    seen = set()
    for signature in signatures:
        place = (signature.name, signature.key_id)
        key = known.get(place)
        if key is None:
            continue
        if place in seen or not key.fits(text, signature.signature):
            raise NoteInvalid("a signature by a known key does not fit the checkpoint")
        seen.add(place)
    if not seen:
        raise NoteInvalid("no known key has signed the checkpoint")
    return text


def _split(note: str) -> tuple[str, tuple[Signature, ...]]:
    # Line feed is the only control character of the format; U+0085 and U+2028 would end a line for other readers.
    if not note.replace("\n", "").isprintable() or len(note.encode()) > LARGEST:
        raise NoteInvalid("the note is too long, or holds a control character")
    text, blank, block = note.rpartition("\n\n")
    if not blank or not block.endswith("\n"):
        raise NoteInvalid("the note has no signature lines after an empty line")
    return text + "\n", tuple(_signature(line) for line in block.split("\n")[:-1])


def _signature(line: str) -> Signature:
    parts = line.removeprefix(_DASH).split(" ")
    if not line.startswith(_DASH) or len(parts) != 2:
        raise NoteInvalid("a signature line is not in the form of the format")
    _demand_name(parts[0])
    raw = unb64(parts[1])
    if len(raw) < 5:
        raise NoteInvalid("a signature line holds no signature")
    return Signature(parts[0], raw[:4], raw[4:])


def _demand_name(name: str) -> None:
    if not name or "+" in name or not name.isprintable() or any(mark.isspace() for mark in name):
        raise NoteInvalid("a key's name is empty, or holds a space or a plus sign")


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def unb64(text: str) -> bytes:
    """What base64 in its one spelling says. Raises `NoteInvalid`."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raise NoteInvalid("a field of the note is not base64") from None
    if _b64(raw) != text:
        raise NoteInvalid("a field of the note is base64 in a spelling of its own")
    return raw
