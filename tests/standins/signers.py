"""A certificate authority and whose certificates it signs, as a processor of OpenDSR has one."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BEGINS = datetime(2026, 11, 1, tzinfo=UTC)
ENDS = BEGINS + timedelta(days=90)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


@cache
def rsa_key(name: str) -> RSAPrivateKey:
    """One key for each name, made once: it takes a tenth of a second."""
    assert name
    return generate_private_key(65537, 2048)


@dataclass(frozen=True)
class Authority:
    """Who trusts `pem` trusts what it signs."""

    name: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def pem(self) -> str:
        """Its own certificate."""
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        made = self._begun(self.name, self.key.public_key(), BEGINS, ENDS)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        made = made.add_extension(usage, critical=True)
        return made.sign(self.key, SHA256()).public_bytes(Encoding.PEM).decode()

    def certificate(
        self,
        domain: str,
        key: RSAPrivateKey | ec.EllipticCurvePrivateKey,
        *,
        begins: datetime = BEGINS,
        ends: datetime = ENDS,
    ) -> str:
        """That of a domain."""
        made = self._begun(domain, key.public_key(), begins, ends)
        made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        return made.sign(self.key, SHA256()).public_bytes(Encoding.PEM).decode()

    def _begun(self, name: str, key: object, begins: datetime, ends: datetime) -> x509.CertificateBuilder:
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(self.name))
            .public_key(key)  # type: ignore[arg-type]  # because it is one of the two kinds that sign here
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(own, critical=False)
        )
