"""Certificates that a test signs itself."""

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_YESTERDAY, _SOON = timedelta(days=-2), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Certificate:
    """That of a host, and a server that shows it. Whoever trusts the file of a self-signed one trusts the host."""

    file: Path
    server: ssl.SSLContext


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs the certificates of others: whoever trusts its file trusts them all."""

    name: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def trusted(self, directory: Path) -> Path:
        """Its own certificate, in a file."""
        return _written(
            directory, self.name, self.key, self._signed(self.name, self.key.public_key(), _YESTERDAY, _SOON)
        )

    def certificate(
        self, directory: Path, name: str = "localhost", *, begins: timedelta = _YESTERDAY, ends: timedelta = _SOON
    ) -> Certificate:
        """For a host of that name, from and until so long from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        return _served(_written(directory, name, key, self._signed(name, key.public_key(), begins, ends)))

    def _signed(
        self, name: str, key: ec.EllipticCurvePublicKey, begins: timedelta, ends: timedelta
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(self.name))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=name == self.name, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )


def certificate_for(directory: Path, name: str = "localhost", *, expired: bool = False) -> Certificate:
    """One that has signed itself. Expired ones ended an hour ago."""
    own = Authority(name)
    made = own._signed(name, own.key.public_key(), _YESTERDAY, -_SOON if expired else _SOON)
    return _served(_written(directory, name, own.key, made))


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _written(directory: Path, name: str, key: ec.EllipticCurvePrivateKey, made: x509.Certificate) -> Path:
    file, secret = directory / f"{name}.pem", directory / f"{name}.key"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


def _served(file: Path) -> Certificate:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file, file.with_suffix(".key"))
    return Certificate(file, server)
