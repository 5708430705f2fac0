"""The certificate that answers of OpenDSR are signed under: read anew, never half, and looked at as a caller does."""

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from dpsync.cli.check_lines import CheckResult
from dpsync.cli.check_opendsr import judged
from dpsync.connector import Reply
from dpsync.errors import ConfigurationError
from dpsync.intake.opendsr.certificate import SigningFiles, days_left, doubts, load
from dpsync.opendsr_protocol import is_signed_by
from dpsync.settings.opendsr import OpenDsrSection
from tests.builders import proof
from tests.opendsr import DOMAIN, SINCE, certificate, key, put

NOW = SINCE + timedelta(days=100)
DAY = timedelta(days=1)


def section(folder: Path) -> OpenDsrSection:
    made: Any = OpenDsrSection.model_construct
    return made(domain=DOMAIN, certificate=folder / "opendsr.pem", key=folder / "opendsr.key")  # type: ignore[no-any-return]  # because pydantic makes one of anything


def refused(folder: Path) -> tuple[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        load(section(folder))
    (fault,) = caught.value.faults
    return fault.key, fault.problem


def test_a_pair_signs_under_both_names(tmp_path: Path) -> None:
    put(tmp_path)
    headers = load(section(tmp_path)).headers(DOMAIN, b"body")
    assert headers["X-OpenDSR-Processor-Domain"] == headers["X-OpenGDPR-Processor-Domain"] == DOMAIN
    assert headers["X-OpenDSR-Signature"] == headers["X-OpenGDPR-Signature"]
    assert is_signed_by(key().public_key(), b"body", headers["X-OpenDSR-Signature"])
    assert "key" not in repr(load(section(tmp_path)))


def test_a_private_key_in_the_file_of_the_certificate_is_shown_to_nobody(tmp_path: Path) -> None:
    chain = certificate(key()) + certificate(key(1))
    put(tmp_path, pem=chain)
    assert load(section(tmp_path)).pem == chain
    put(tmp_path, pem=(tmp_path / "opendsr.key").read_bytes() + chain)
    assert load(section(tmp_path)).pem == chain


def test_what_cannot_sign_is_named(tmp_path: Path) -> None:
    put(tmp_path)
    (tmp_path / "opendsr.key").chmod(0o644)
    assert refused(tmp_path)[0] == "opendsr.key"
    put(tmp_path, generate_private_key(65537, 1024))  # noqa: S505 - because it is refused
    assert refused(tmp_path) == (
        "opendsr.key",
        "must be an RSA key of 2048 bits or more: callers verify no other signature",
    )
    put(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    assert refused(tmp_path)[1].startswith("must be an RSA key")
    put(tmp_path, pem=certificate(key(1)))
    assert refused(tmp_path) == ("opendsr.key", "is not the key of the certificate")
    (tmp_path / "opendsr.key").write_text("no key")
    assert refused(tmp_path) == ("opendsr.key", "holds no private key in PEM without a password")
    (tmp_path / "opendsr.pem").write_text("no certificate")
    assert refused(tmp_path) == ("opendsr.certificate", "holds no certificate in PEM")
    (tmp_path / "opendsr.pem").unlink()
    assert refused(tmp_path)[0] == "opendsr.certificate"


def test_the_former_pair_signs_until_both_files_are_renewed(tmp_path: Path) -> None:
    put(tmp_path)
    files = SigningFiles(section(tmp_path))
    first = files.pair()
    assert files.pair() is first
    (tmp_path / "opendsr.pem").write_bytes(certificate(key(1)))
    assert files.pair() is first
    (tmp_path / "opendsr.key").unlink()
    assert files.pair() is first
    put(tmp_path, key(1))
    assert files.pair().key is not first.key
    assert files.pair().certificate.public_key() == key(1).public_key()
    stamp = (tmp_path / "opendsr.pem").stat()
    renewed = files.pair()
    os.utime(tmp_path / "opendsr.pem", ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert files.pair() is not renewed


def test_without_any_pair_nothing_begins(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        SigningFiles(section(tmp_path)).pair()


@pytest.mark.parametrize(
    ("more", "now", "said"),
    [
        ({}, NOW, []),
        ({"name": f"*.{DOMAIN.partition('.')[2]}"}, NOW, []),
        ({"ends": NOW + 14 * DAY}, NOW, []),
        ({"ends": NOW + 14 * DAY}, NOW + timedelta(seconds=1), ["expires in 13 days: see why it was not renewed"]),
        ({"ends": NOW}, NOW, ["has expired: callers take our answers for nobody's. Renew it"]),
        ({}, SINCE - timedelta(seconds=1), ["is not valid yet"]),
        ({"name": "example.org"}, NOW, [f"is not for {DOMAIN}: its subjectAltName must name that host"]),
        ({"name": None}, NOW, [f"is not for {DOMAIN}: its subjectAltName must name that host"]),
        ({"issuer": DOMAIN}, NOW, ["is self-signed: callers accept only one of a public authority"]),
    ],
)
def test_a_caller_would_find_this_wrong(tmp_path: Path, more: dict[str, Any], now: datetime, said: list[str]) -> None:
    put(tmp_path, pem=certificate(key(), **more))
    pair = load(section(tmp_path))
    assert doubts(section(tmp_path), pair, now) == said
    assert days_left(pair, pair.certificate.not_valid_after_utc - DAY) == 1


def test_an_answer_at_our_host_is_ours_only_under_our_certificate(tmp_path: Path) -> None:
    put(tmp_path)
    pair = load(section(tmp_path))

    def verdict(headers: dict[str, str], body: bytes = b"{}") -> CheckResult:
        return judged(
            "https://x",
            section(tmp_path),
            pair,
            Reply(200, {name.lower(): one for name, one in headers.items()}, body, proof()[0]),
        ).verdict

    good = pair.headers(DOMAIN, b"{}")
    assert verdict(good) is CheckResult.OK
    assert verdict(good, b"{} ") is CheckResult.PROBLEM
    assert verdict(pair.headers("other.example.org", b"{}")) is CheckResult.PROBLEM
    assert verdict({}) is CheckResult.PROBLEM
