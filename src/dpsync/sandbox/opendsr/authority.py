"""A certificate authority of the sandbox's own, the certificate by which its processor signs, and what may be wrong.

Source: opengdpr/OpenDSR, specification.md section 4 and security_guidelines.md; RFC 5280.
"""

import base64
from datetime import datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)
_WITHIN, _LASTS = 10 * 365 * DAY, 90 * DAY


@cache
def signing_key(number: int) -> RSAPrivateKey:
    """The processor's first key, its next, and so on. Making one takes a tenth of a second, so each is made once."""
    del number
    return generate_private_key(65537, 2048)


@cache
def _authority(name: str) -> ec.EllipticCurvePrivateKey:
    del name
    return ec.generate_private_key(ec.SECP256R1())


def signature(key: RSAPrivateKey, body: bytes) -> str:
    """RSA PKCS#1 v1.5 over SHA-256 of the raw body, in base64."""
    return base64.b64encode(key.sign(body, PKCS1v15(), SHA256())).decode()


def authority(now: datetime, name: str = "Sandbox CA") -> bytes:
    """The authority's own certificate, as PEM: whoever trusts it trusts the processor's."""
    key = _authority(name)
    usage = dict.fromkeys(_USES, False) | {"key_cert_sign": True, "crl_sign": True}
    made = _begun(name, name, key.public_key(), now - _WITHIN, now + _WITHIN)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    made = made.add_extension(x509.KeyUsage(**usage), critical=True)
    return made.sign(key, SHA256()).public_bytes(Encoding.PEM)


def certificate(now: datetime, domain: str, key: RSAPrivateKey, fault: str = "") -> bytes:
    """The processor's, as PEM; `fault`: what is wrong with it, as the switch names it."""
    named = "elsewhere.example" if fault == "other_name" else domain
    begins = {"expired": now - _LASTS - DAY, "early": now + DAY}.get(fault, now - DAY)
    signer = "Stranger CA" if fault == "stranger" else "Sandbox CA"
    made = _begun(named, signer, key.public_key(), begins, begins + _LASTS)
    made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(named)]), critical=False)
    by = key if fault == "self_signed" else _authority(signer)
    return made.sign(by, SHA256()).public_bytes(Encoding.PEM)


_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _begun(name: str, signer: str, key: object, begins: datetime, ends: datetime) -> x509.CertificateBuilder:
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(_authority(signer).public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(signer))
        .public_key(key)  # type: ignore[arg-type]  # because it is one of the two kinds that sign here
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(by, critical=False)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
