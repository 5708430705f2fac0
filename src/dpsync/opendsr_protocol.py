"""What both sides of OpenDSR 2.0 agree on: names of headers and fields, the closed sets, and who signed an answer.

Source: opengdpr/OpenDSR, specification.md and security_guidelines.md, last changed in June 2020. The padding of a
signature stands in neither; mParticle's pages say RSA over SHA-256, and that is PKCS#1 v1.5 everywhere it is checked.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

VERSION: Final = "2.0"
DISCOVERY: Final = "/discovery"
REQUESTS: Final = "/requests"
OLD_REQUESTS: Final = "/opengdpr_requests"
"""The route under its old name, which must still work (10.1 of the specification)."""

DOMAIN_HEADER: Final = "X-OpenDSR-Processor-Domain"
SIGNATURE_HEADER: Final = "X-OpenDSR-Signature"
OLD_DOMAIN_HEADER: Final = "X-OpenGDPR-Processor-Domain"
OLD_SIGNATURE_HEADER: Final = "X-OpenGDPR-Signature"

_HEADERS: Final = ((DOMAIN_HEADER, SIGNATURE_HEADER), (OLD_DOMAIN_HEADER, OLD_SIGNATURE_HEADER))
_REQUEST_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_LONGEST_SIGNATURE: Final = 2048  # base64 of a key of 12,000 bits; no more of what a stranger sent is decoded


class Regulation(StrEnum):
    """Under which law a request comes. Required, although the specification's own example lacks it."""

    GDPR = "gdpr"
    CCPA = "ccpa"


class RequestType(StrEnum):
    """What is asked for. Rectification, restriction and opt-out are not among them."""

    ACCESS = "access"
    PORTABILITY = "portability"
    ERASURE = "erasure"


class RequestStatus(StrEnum):
    """How far a request is, forward only. None of them says whether anything was held."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class IdentityType(StrEnum):
    """By what a person is known."""

    CONTROLLER_CUSTOMER_ID = "controller_customer_id"
    EMAIL = "email"
    ANDROID_ADVERTISING_ID = "android_advertising_id"
    ANDROID_ID = "android_id"
    FIRE_ADVERTISING_ID = "fire_advertising_id"
    IOS_ADVERTISING_ID = "ios_advertising_id"
    IOS_VENDOR_ID = "ios_vendor_id"
    MICROSOFT_ADVERTISING_ID = "microsoft_advertising_id"
    MICROSOFT_PUBLISHER_ID = "microsoft_publisher_id"
    ROKU_PUBLISHER_ID = "roku_publisher_id"
    ROKU_ADVERTISING_ID = "roku_advertising_id"


class IdentityFormat(StrEnum):
    """How an identity is written."""

    RAW = "raw"
    SHA1 = "sha1"
    MD5 = "md5"
    SHA256 = "sha256"


@dataclass(frozen=True, slots=True)
class Signed:
    """What an answer or a callback says of who signed it. Nothing of it is true before `is_signed_by` says so."""

    domain: str
    signature: str


def is_request_id(text: str) -> bool:
    """Whether it is a UUID of version 4 in small letters, as 1.1 demands of each id."""
    return _REQUEST_ID.fullmatch(text) is not None


def moment(text: object) -> datetime | None:
    """The moment that a field names, in UTC; None where it names none. mParticle writes no offset, and means UTC."""
    if not isinstance(text, str) or "T" not in text:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def written(at: datetime) -> str:
    """A moment as RFC 3339 has it, in UTC and whole seconds. `at`: aware."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def signed_headers(domain: str, key: RSAPrivateKey, body: bytes) -> dict[str, str]:
    """The two headers that go with these bytes, which must be sent as they are. `domain`: whose certificate it is."""
    return {DOMAIN_HEADER: domain, SIGNATURE_HEADER: sign(key, body)}


def sign(key: RSAPrivateKey, body: bytes) -> str:
    """The signature over raw bytes, in base64 on one line."""
    return base64.b64encode(key.sign(body, PKCS1v15(), SHA256())).decode()


def who_signed(headers: Mapping[str, str]) -> Signed | None:
    """Who claims to have signed, by the headers under their new names or their old ones; None where nobody does.

    Both must be of the same time: one under each name is a mixture that no side sends.
    """
    given = {name.lower(): value.strip() for name, value in headers.items()}
    for domain, signature in _HEADERS:
        if given.get(domain.lower()) and given.get(signature.lower()):
            return Signed(given[domain.lower()].lower(), given[signature.lower()])
    return None


def is_signed_by(key: RSAPublicKey, body: bytes, signature: str) -> bool:
    """Whether the owner of the key signed these raw bytes."""
    if len(signature) > _LONGEST_SIGNATURE:
        return False
    try:
        key.verify(base64.b64decode(signature, validate=True), body, PKCS1v15(), SHA256())
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True


def error_body(code: int, message: str, *details: Sequence[str]) -> dict[str, object]:
    """The body of a refusal. Each of `details`: domain, reason, message. Nothing in it may tell of a person (7.6)."""
    listed = [dict(zip(("domain", "reason", "message"), one, strict=True)) for one in details]
    return {"error": {"code": code, "message": message, "errors": listed}}
