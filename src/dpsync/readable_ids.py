"""Ids that people read out and type: Crockford's base 32, which has no I, L, O and U to misread."""

import base64
import secrets

_ALPHABET = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789ABCDEFGHJKMNPQRSTVWXYZ")
_MISREAD = str.maketrans("ILO", "110")


def fresh(prefix: str, size: int) -> str:
    """A new one of `size` random bytes: never a row number, never reused."""
    return prefix + base64.b32encode(secrets.token_bytes(size)).decode().rstrip("=").translate(_ALPHABET)


def as_spelled(typed: str, prefix: str) -> str:
    """What somebody typed, as it is spelled behind `prefix`, which may be left out; letters of either case."""
    return typed.strip().upper().removeprefix(prefix.upper()).translate(_MISREAD)
