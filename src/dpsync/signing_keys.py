"""The Ed25519 keys of Standard Webhooks, as they are spelled: `whsk_` for the private one, `whpk_` for the public one.

Sources: standard-webhooks/standard-webhooks, spec/standard-webhooks.md and libraries/go, read in November 2026. Some
senders write the public key behind the private one (svix/svix-webhooks): that spelling is taken, too.
"""

import base64

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PRIVATE, PUBLIC = "whsk_", "whpk_"
VERSION = b"v1a,"
KEY_BYTES = 32


def seed_of(key: str) -> bytes:
    """The 32 bytes of a private key. Raises `ValueError` with a sentence that does not repeat it."""
    raw = _decoded(key, PRIVATE)
    seed, public = raw[:KEY_BYTES], raw[KEY_BYTES:]
    if len(seed) != KEY_BYTES or public not in {b"", _public(seed)}:
        raise ValueError("must hold 32 bytes, or these and the public key that belongs to them")
    return seed


def public_of(key: str) -> bytes:
    """The 32 bytes of a public key. Raises `ValueError` with a sentence that does not repeat it."""
    raw = _decoded(key, PUBLIC)
    if len(raw) != KEY_BYTES:
        raise ValueError("must hold 32 bytes")
    return raw


def published(seed: bytes) -> str:
    """The public key that belongs to a private one, as it is handed out."""
    return PUBLIC + base64.b64encode(_public(seed)).decode()


def signature(seed: bytes, signed: bytes) -> bytes:
    """One entry for the header `webhook-signature`."""
    return VERSION + base64.b64encode(Ed25519PrivateKey.from_private_bytes(seed).sign(signed))


def is_signed(public: bytes, entry: bytes, signed: bytes) -> bool:
    """Whether an entry of that header is the signature of whoever holds the private key, in its one spelling."""
    text = entry.removeprefix(VERSION)
    try:
        raw = base64.b64decode(text, validate=True)
        if text == entry or base64.b64encode(raw) != text:
            return False
        Ed25519PublicKey.from_public_bytes(public).verify(raw, signed)
    except (ValueError, InvalidSignature):
        return False
    return True


def _public(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def _decoded(key: str, prefix: str) -> bytes:
    try:
        return base64.b64decode(key.removeprefix(prefix), validate=True)
    except ValueError:
        raise ValueError(f"is not base64 after {prefix}") from None
