"""A token in a header, signed with its sender's private key: a JSON Web Token, ES384 (RFC 7515; RFC 7518, section 3.4).

Here lies a public key only, so whoever reads our settings can sign nothing. But the token covers no more of the message
than the one value that both name, as Transcend's gateway sends it (docs.transcend.io, "Server webhook"): whoever saw a
message can, for some minutes, ask for something else for the same person. So what it erases cools off.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from dpsync import strict_json
from dpsync.errors import PayloadInvalid, SignatureInvalid, WebhookStale
from dpsync.signature import TOLERANCE
from dpsync.store.columns import EPOCH

HEADER: Final = "x-sombra-token"
"""Where it stands, unless the settings say otherwise."""

SCOPE: Final = "coreIdentifier"
"""What of the message it covers: the member of the body, and its claim `scope`."""

_PART: Final = re.compile(r"[A-Za-z0-9_-]+")
_HALF: Final = 48
"""Bytes of each of the two numbers that a signature on P-384 is."""


def public_key(pem: str) -> ec.EllipticCurvePublicKey | None:
    """The key; None where that is no public key on the curve P-384."""
    try:
        found = load_pem_public_key(pem.strip().encode())
    except ValueError:
        return None
    fits = isinstance(found, ec.EllipticCurvePublicKey) and isinstance(found.curve, ec.SECP384R1)
    return found if fits and isinstance(found, ec.EllipticCurvePublicKey) else None


def is_signed(key: ec.EllipticCurvePublicKey, signed: bytes, signature: bytes) -> bool:
    """Whether `signature`, two numbers one behind the other, is of these bytes by that key."""
    if len(signature) != 2 * _HALF:
        return False
    numbers = (int.from_bytes(half, "big") for half in (signature[:_HALF], signature[_HALF:]))
    try:
        key.verify(encode_dss_signature(*numbers), signed, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Es384:
    """Verifies such tokens; any of `keys` may have signed."""

    keys: Sequence[ec.EllipticCurvePublicKey] = field(repr=False)

    def demand(self, token: str, body: bytes, now: datetime) -> None:
        """Return, or raise `SignatureInvalid`; `WebhookStale` where only the time is wrong."""
        try:
            claims = self._claims(token)
            covered = _covered(body)
        except PayloadInvalid:
            raise _unsigned() from None
        if claims.get("scope", SCOPE) != SCOPE or not _same(claims.get("value"), covered):
            raise _unsigned()
        issued, ends = claims.get("iat"), claims.get("exp")
        if not _is_time(issued) or not (ends is None or _is_time(ends)):
            raise _unsigned()
        if abs(now - _moment(issued)) > TOLERANCE or (ends is not None and now >= _moment(ends)):
            raise WebhookStale("the webhook is not signed")

    def _claims(self, token: str) -> Mapping[str, object]:
        parts = token.split(".")
        if len(parts) != 3 or not all(_PART.fullmatch(part) for part in parts):
            raise _unsigned()
        head, claims, signature = map(_decoded, parts)
        said = strict_json.load(head)
        # The token does not choose how it is verified; and what it calls critical, we do not know (RFC 7515, 4.1.11).
        if not isinstance(said, dict) or said.get("alg") != "ES384" or "crit" in said:
            raise _unsigned()
        signed = f"{parts[0]}.{parts[1]}".encode()
        if not any(is_signed(key, signed, signature) for key in self.keys):
            raise _unsigned()
        found = strict_json.load(claims)
        if not isinstance(found, dict):
            raise _unsigned()
        return found


def _decoded(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise _unsigned() from None


def _covered(body: bytes) -> object:
    content = strict_json.load(body, quoting=True)
    inner = content.get(SCOPE) if isinstance(content, dict) else None
    return inner.get("value") if isinstance(inner, dict) else None


def _same(claimed: object, covered: object) -> bool:
    if not (isinstance(claimed, str) and isinstance(covered, str) and claimed):
        return False
    return hmac.compare_digest(claimed.encode(), covered.encode())


def _is_time(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**11


def _moment(value: object) -> datetime:
    return EPOCH + timedelta(seconds=value if isinstance(value, int) else 0)


def _unsigned() -> SignatureInvalid:
    return SignatureInvalid("the webhook is not signed")
