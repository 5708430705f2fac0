"""Cosignatures of witnesses, in the public C2SP format `tlog-cosignature` (version 1, Ed25519).

A witness signs a checkpoint only if it continues the one that it signed before. So whoever finds its line under a
checkpoint knows that there is no second history which that witness has seen.
"""

import hashlib
from base64 import b64encode
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dpsync.errors import NoteInvalid
from dpsync.ledger import note

KIND = b"\x04"
"""The type of such a key: it is another one than a ledger's, so that neither signature passes for the other."""

_TIME, _LENGTH = 8, 72


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """A witness's public key and its name. `line` is how it is handed over: `name+hexid+base64(04||key)`."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA256(name || 0A || 04 || public key)."""
        return hashlib.sha256(self.name.encode() + b"\n" + KIND + self.public).digest()[:4]

    @property
    def line(self) -> str:
        """The one line that a policy names."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(KIND + self.public).decode()}"

    @classmethod
    def parse(cls, line: str) -> "WitnessKey":
        """Read such a line. Raises `NoteInvalid` unless it would be printed the same."""
        name, _, rest = line.partition("+")
        raw = note.unb64(rest.partition("+")[2])
        key = cls(name, raw[1:])
        if len(raw) != 33 or raw[:1] != KIND or not name or not name.isprintable() or key.line != line:
            raise NoteInvalid("it is no witness's key line: name, id and Ed25519 key of type 4")
        return key

    def cosigned_at(self, signed: str) -> int | None:
        """When this witness cosigned the note, in seconds since 1970; None where it did not. Raises `NoteInvalid`."""
        head, signatures = note.parse(signed)
        own = [one for one in signatures if (one.name, one.key_id) == (self.name, self.key_id)]
        at = None
        for one in own:
            at = int.from_bytes(one.signature[:_TIME], "big")
            fits = len(one.signature) == _LENGTH and at > 0
            if not fits or not self._fits(_message(head.text, at), one.signature[_TIME:]):
                raise NoteInvalid(f"the cosignature of {self.name} does not fit the checkpoint")
        return at

    def _fits(self, message: bytes, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A witness's private key and its name."""

    name: str
    key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def from_seed(cls, name: str, seed: bytes) -> "Cosigner":
        """The cosigner of a 32-byte seed (RFC 8032)."""
        return cls(name, Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def witness(self) -> WitnessKey:
        """The public half."""
        return WitnessKey(self.name, self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def line(self, checkpoint: note.Checkpoint, at: int) -> str:
        """The signature line for under the checkpoint; `at`: seconds since 1970, never 0."""
        raw = at.to_bytes(_TIME, "big") + self.key.sign(_message(checkpoint.text, at))
        return f"— {self.name} {b64encode(self.witness.key_id + raw).decode()}\n"


def _message(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()
