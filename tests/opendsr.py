"""A caller of OpenDSR for tests, and certificates that an authority of a test's own signed."""

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DOMAIN = "privacy.example.org"
TOKEN, OTHER = "a-token-of-the-shop-0123456789abcdef", "a-token-of-the-club-0123456789abcdef"
ADA = "ada@example.org"
ID = "a7551968-d5d6-44b2-9831-815ac9017798"
SINCE = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def key(number: int = 0) -> RSAPrivateKey:
    """Made once for each number: it takes a while."""
    del number
    return generate_private_key(65537, 2048)


def certificate(
    own: Any, *, name: str | None = DOMAIN, begins: datetime = SINCE, ends: datetime | None = None, issuer: str = "Ours"
) -> bytes:
    """One in PEM for a key, valid for ten years unless said otherwise; `name`: None names no host."""
    named = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name or "none", issuer)]
    made = (
        x509.CertificateBuilder()
        .subject_name(named[0])
        .issuer_name(named[1])
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends or begins + timedelta(days=3650))
    )
    if name is not None:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return made.sign(key(), SHA256()).public_bytes(Encoding.PEM)


def put(folder: Path, own: Any = None, pem: bytes | None = None) -> None:
    """Lay the two files that the settings of a test name."""
    own = own or key()
    secret = folder / "opendsr.key"
    secret.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    secret.chmod(0o600)
    (folder / "opendsr.pem").write_bytes(pem or certificate(own))


def public_key(pem: bytes) -> RSAPublicKey:
    """That of the first certificate in a file."""
    found = x509.load_pem_x509_certificates(pem)[0].public_key()
    assert isinstance(found, RSAPublicKey)
    return found


def asked(**more: Any) -> dict[str, Any]:
    """The body of a request; None leaves a field out."""
    body = {
        "regulation": "gdpr",
        "subject_request_id": ID,
        "subject_request_type": "erasure",
        "submitted_time": "2026-11-20T08:55:00Z",
        "subject_identities": [identity()],
        **more,
    }
    return {name: value for name, value in body.items() if value is not None}


def identity(value: str = ADA, kind: str = "email", form: str = "raw") -> dict[str, str]:
    """One name of a person."""
    return {"identity_type": kind, "identity_value": value, "identity_format": form}


def written(body: dict[str, Any]) -> bytes:
    """As it is sent."""
    return json.dumps(body).encode()
