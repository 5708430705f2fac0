"""How a Standard Webhook is signed, and what somebody at the other end makes of a signature: by a secret or by a key.

Source: standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

TOLERANCE = 300
"""Seconds that a message may be old, or ahead."""


def signature(key: str, signed: bytes) -> str:
    """`v1,` with a secret (`whsec_`), `v1a,` with a private key (`whsk_`)."""
    kind, _, text = key.partition("_")
    raw = base64.b64decode(text)
    if kind == "whsk":
        return "v1a," + base64.b64encode(Ed25519PrivateKey.from_private_bytes(raw[:32]).sign(signed)).decode()
    return "v1," + base64.b64encode(hmac.new(raw, signed, hashlib.sha256).digest()).decode()


def verifies(keys: Sequence[str], headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether one of the signatures fits one of the secrets, or a public key (`whpk_`), and is of this time."""
    stamp = headers.get("webhook-timestamp", "")
    if not stamp.isdecimal() or abs(now - int(stamp)) > TOLERANCE:
        return False
    signed = f"{headers.get('webhook-id', '')}.{stamp}.".encode() + body
    offered = headers.get("webhook-signature", "").split(" ")
    return any(_fits(key, one, signed) for key in keys for one in offered)


def _fits(key: str, offered: str, signed: bytes) -> bool:
    if not key.startswith("whpk_"):
        return hmac.compare_digest(signature(key, signed), offered)
    version, _, text = offered.partition(",")
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix("whpk_")))
        public.verify(base64.b64decode(text), signed)
    except (ValueError, InvalidSignature):
        return False
    return version == "v1a"
