"""What is sealed under one key, and the keys that come of another; the key of one request."""

import secrets
from functools import cached_property

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dpsync.errors import KeyProblem

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
FORMAT = b"\x01"
"""First byte of everything sealed, bound to it as associated data: a later format cannot be taken for this one."""


def derived(secret: bytes, purpose: str) -> bytes:
    """32 bytes that say nothing of `secret`, nor of those of another purpose."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"dpsync/1/{purpose}".encode()).derive(secret)


def sealed_under(key: bytes, plain: bytes, context: bytes) -> bytes:
    """AES-256-GCM under a fresh random nonce; `context` must be given again to open it."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return FORMAT + nonce + AESGCM(key).encrypt(nonce, plain, FORMAT + context)


def opened_with(key: bytes, sealed: bytes, context: bytes, otherwise: str) -> bytes:
    """What `sealed_under` closed. Raises `KeyProblem` (`otherwise`) where key, context or bytes are others."""
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
        return derived(self._secret, "request/commit")

    @cached_property
    def _seal_key(self) -> bytes:
        return derived(self._secret, "request/seal")

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """AES-256-GCM under a fresh random nonce; `context` (the request id) must be given again to open it."""
        return sealed_under(self._seal_key, plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """What `seal` closed. Raises `KeyProblem` where key, context or bytes are others."""
        return opened_with(self._seal_key, sealed, context, "what was sealed for a request does not open with its key")

    def wrapped_under(self, key: bytes, context: bytes) -> bytes:
        """This key, sealed under another."""
        return sealed_under(key, self._secret, context)
