"""Whether a processor's certificate was revoked, by the list of its authority that somebody keeps on this machine.

dpsync asks nobody on the network: what it would be told there comes from whoever can answer in the authority's place.
Source: RFC 5280, 5 and 6.3; opengdpr/OpenDSR, specification.md 4.1.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import (
    Certificate,
    CertificateRevocationList,
    load_der_x509_crl,
    load_pem_x509_crl,
)

from dpsync import paths
from dpsync.paths import Unusable

REVOKED: Final = "the processor's certificate was revoked"
NO_LIST: Final = "the list of revoked certificates cannot be read, is of another authority, or is only a part"
OLD_LIST: Final = "the list of revoked certificates is out of date"
LARGEST: Final = 50_000_000
"""Bytes; those of the large public authorities have some millions."""

_PEM: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


def doubt(file: Path, chain: Sequence[Certificate], now: datetime) -> str:
    """Why a certificate does not count, "" where it does: unknown is no yes. `chain`: it, and then who signed it."""
    leaf, issuer, why, fresh = chain[0], chain[min(1, len(chain) - 1)], NO_LIST, False
    for one in _lists(file):
        if one.issuer != leaf.issuer or not _is_signed_by(one, issuer):
            continue
        # On any of them it is revoked: a file may hold an older list that is not out of date yet.
        if one.get_revoked_certificate_by_serial_number(leaf.serial_number) is not None:
            return REVOKED
        if not _is_whole(one):
            continue
        if one.last_update_utc > now or one.next_update_utc is None or one.next_update_utc <= now:
            why = OLD_LIST
        else:
            fresh = True
    return "" if fresh else why


def _is_whole(one: CertificateRevocationList) -> bool:
    """Not only of what changed, or of some certificates: such a list says so critically (RFC 5280, 5.2)."""
    try:
        return not any(extension.critical for extension in one.extensions)
    except ValueError:
        return False


def _lists(file: Path) -> Iterator[CertificateRevocationList]:
    try:
        content = paths.read(file, most=LARGEST)
        parts = _PEM.findall(content)
        yield from map(load_pem_x509_crl, parts) if parts else [load_der_x509_crl(content)]
    except (Unusable, ValueError):
        return


def _is_signed_by(one: CertificateRevocationList, issuer: Certificate) -> bool:
    try:
        return one.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # because another kind of key is a TypeError
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False
