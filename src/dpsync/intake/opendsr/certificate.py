"""The certificate that answers and callbacks are signed under, and what is wrong with it.

Public certificates live for 47 to 200 days, so both files are replaced by a program while the service runs. They are
read again as soon as one of them is another file; while the two do not belong together, the former pair signs on.
Source: opengdpr/OpenDSR, specification.md 4.1 and 6.3, security_guidelines.md.
"""

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from dpsync import paths
from dpsync.errors import ConfigurationError, Fault
from dpsync.opendsr_protocol import (
    DOMAIN_HEADER,
    OLD_DOMAIN_HEADER,
    OLD_SIGNATURE_HEADER,
    SIGNATURE_HEADER,
    signed_headers,
)
from dpsync.paths import Unusable
from dpsync.reports.words import several
from dpsync.settings.opendsr import OpenDsrSection

SMALLEST: Final = 2048
SOON: Final = timedelta(days=14)
"""Before the end of a certificate a program should have renewed it by then: it does so at a third of its life."""


@dataclass(frozen=True, slots=True)
class SigningPair:
    """A certificate, with its chain as others get it, and the private key that belongs to it."""

    pem: bytes
    certificate: x509.Certificate
    key: RSAPrivateKey = field(repr=False)

    def headers(self, domain: str, body: bytes) -> dict[str, str]:
        """What says who signed these bytes, under the names of today and under the old ones (10.1)."""
        made = signed_headers(domain, self.key, body)
        return {**made, OLD_DOMAIN_HEADER: made[DOMAIN_HEADER], OLD_SIGNATURE_HEADER: made[SIGNATURE_HEADER]}


def load(section: OpenDsrSection) -> SigningPair:
    """What the files hold now. Raises `ConfigurationError` that names the setting."""
    try:
        chain = x509.load_pem_x509_certificates(_read(section.certificate, "certificate"))
    except ValueError:
        raise _wrong("certificate", "holds no certificate in PEM") from None
    try:
        key = load_pem_private_key(_read(section.key, "key", shut_to=paths.STRANGERS), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _wrong("key", "holds no private key in PEM without a password") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < SMALLEST:
        raise _wrong("key", f"must be an RSA key of {SMALLEST} bits or more: callers verify no other signature")
    if chain[0].public_key() != key.public_key():
        raise _wrong("key", "is not the key of the certificate")
    # Written anew: some programs put the private key into the same file, and this is for everybody.
    return SigningPair(b"".join(one.public_bytes(Encoding.PEM) for one in chain), chain[0], key)


def _read(path: Path, key: str, *, shut_to: int = 0) -> bytes:
    try:
        return paths.read(path, shut_to=shut_to)
    except Unusable as unusable:
        raise _wrong(key, unusable.trouble.told("put it back from its copy")) from None


def _wrong(key: str, problem: str) -> ConfigurationError:
    return ConfigurationError([Fault(f"opendsr.{key}", problem)])


class SigningFiles:
    """The pair of the moment. May be asked by several threads."""

    def __init__(self, section: OpenDsrSection) -> None:
        self._section = section
        self._lock = threading.Lock()
        self._seen: tuple[object, ...] = ()
        self._pair: SigningPair | None = None

    def pair(self) -> SigningPair:
        """The newest that fits together. Raises `ConfigurationError` where there has been none yet."""
        with self._lock:
            seen = tuple(map(_mark, (self._section.certificate, self._section.key)))
            if self._pair is None or seen != self._seen:
                try:
                    self._pair = load(self._section)
                except ConfigurationError:
                    if self._pair is None:
                        raise
                    return self._pair  # one file is renewed and the other is not, or somebody is writing
                self._seen = seen
            return self._pair


def _mark(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def doubts(section: OpenDsrSection, pair: SigningPair, now: datetime) -> list[str]:
    """What a caller would find wrong with the certificate, now or soon, in clauses."""
    found, one = list[str](), pair.certificate
    if not _is_for(one, section.domain):
        found.append(f"is not for {section.domain}: its subjectAltName must name that host")
    if one.issuer == one.subject:
        found.append("is self-signed: callers accept only one of a public authority")
    if now < one.not_valid_before_utc:
        found.append("is not valid yet")
    if now >= one.not_valid_after_utc:
        found.append("has expired: callers take our answers for nobody's. Renew it")
    elif one.not_valid_after_utc - now < SOON:
        found.append(f"expires in {several(days_left(pair, now), 'day')}: see why it was not renewed")
    return found


def days_left(pair: SigningPair, now: datetime) -> int:
    """Whole days until the certificate ends."""
    return (pair.certificate.not_valid_after_utc - now) // timedelta(days=1)


def _is_for(certificate: x509.Certificate, domain: str) -> bool:
    """Whether it names that host, itself or by * for its first label (RFC 6125)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    known = {name.lower() for name in names.get_values_for_type(x509.DNSName)}
    return bool(known & {domain, f"*.{domain.partition('.')[2]}"})
