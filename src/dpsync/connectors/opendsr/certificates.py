"""Whether the processor itself signed: by its certificate, from its own domain, signed by somebody whom we trust.

Whether it was revoked is read from a list that the settings name; without one it is not known. So a certificate counts
for a day, and is then taken from the processor again, which puts another one there when it loses its key.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import DNSName, load_pem_x509_certificates
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from dpsync.connector import Kit
from dpsync.connectors.opendsr import revocation
from dpsync.connectors.opendsr.calls import Calls
from dpsync.connectors.opendsr.settings import OpenDsrSettings
from dpsync.errors import ConfigurationError, Fault
from dpsync.opendsr_protocol import Signed, is_signed_by, who_signed
from dpsync.urls import may_be_called
from dpsync.vendor.calls import part_of

UNSIGNED: Final = "the answer is not signed"
OTHER_DOMAIN: Final = "the answer is signed by another domain"
UNCHECKED: Final = "the signature could not be checked yet"
ELSEWHERE: Final = "the processor names no certificate on its own domain"
UNTRUSTED: Final = "the processor's certificate is not valid for its domain"
WRONG: Final = "the signature is not that of the processor's certificate"

_KEY: Final = "certificate"
_COUNTS_FOR: Final = timedelta(days=1)
_NEW_FOR: Final = timedelta(minutes=1)  # so that whoever sends us nonsense makes no call of each


class Certificates:
    """The certificate of one processor, kept on its shelf."""

    def __init__(self, settings: OpenDsrSettings, kit: Kit) -> None:
        self._settings = settings
        self._kit = kit
        if settings.authorities is not None:
            _ = self._trusted  # told with the other faults of the section

    def doubt(self, calls: Calls | None, headers: Mapping[str, str], body: bytes, *, unsigned: bool = False) -> str:
        """Why these bytes do not count as the processor's own word, "" where they do.

        `unsigned`: no signature is none the worse. A certificate that does not fit is fetched again, once, by `calls`;
        where there are none, only one that is known already helps. Raises `Ended`, `CredentialsRejected`.
        """
        signed = who_signed(headers)
        if signed is None:
            return "" if unsigned else UNSIGNED
        if signed.domain != self._settings.signer:
            return OTHER_DOMAIN
        now = self._kit.clock.now()
        kept, at = self._kept()
        why = self._fault(kept, signed, body) if now < at + _COUNTS_FOR else UNCHECKED
        if not why or calls is None or now < at + _NEW_FOR:
            return why
        return self._fault(self._fetched(calls), signed, body)

    @cached_property
    def _trusted(self) -> Store:
        own = self._settings.authorities
        pem = own.get_secret_value().encode() if own else Path(DEFAULT_CA_BUNDLE_PATH).read_bytes()
        try:
            return Store(load_pem_x509_certificates(pem))
        except ValueError:
            raise ConfigurationError([Fault("authorities", "must be certificates as PEM")]) from None

    def _kept(self) -> tuple[bytes, datetime]:
        """The certificate and when it was fetched; an old moment where there is none."""
        text = self._kit.shelf.get(_KEY)
        found = json.loads(text) if text else {"pem": "", "at": "1970-01-01T00:00:00+00:00"}
        return found["pem"].encode(), datetime.fromisoformat(found["at"])

    def _fetched(self, calls: Calls) -> bytes:
        """The certificate that discovery names, with those that signed it; nothing where that lies elsewhere."""
        url = str(part_of(calls.discovery(), "processor_certificate"))
        ours = may_be_called(url, rehearsal=self._kit.rehearsal)
        if not ours or urlsplit(url).hostname not in self._settings.certificate_hosts:
            return b""
        pem = calls.certificate(url)
        self._kit.shelf.put(_KEY, json.dumps({"pem": pem.decode("ascii", "replace"), "at": f"{self._kit.clock.now()}"}))
        return pem

    def _fault(self, pem: bytes, signed: Signed, body: bytes) -> str:
        if not pem:
            return ELSEWHERE
        try:
            leaf, *others = load_pem_x509_certificates(pem)
            now = self._kit.clock.now()
            policy = PolicyBuilder().store(self._trusted).time(now)
            chain = policy.build_server_verifier(DNSName(self._settings.signer)).verify(leaf, others)
            key = leaf.public_key()
        except (ValueError, VerificationError):
            return UNTRUSTED
        if self._settings.revocations and (why := revocation.doubt(self._settings.revocations, chain, now)):
            return why
        return "" if isinstance(key, RSAPublicKey) and is_signed_by(key, body, signed.signature) else WRONG
