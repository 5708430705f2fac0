"""What both sides of OpenDSR agree on, to the letter."""

import base64
import subprocess
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dpsync import opendsr_protocol as protocol
from dpsync.opendsr_protocol import IdentityFormat, IdentityType, Regulation, RequestStatus, RequestType, Signed

BODY = b'{"request_status": "completed",\n "controller_id": "7"}'
ID = "a7551968-d5d6-44b2-9831-815ac9017798"


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def test_the_words_are_those_of_the_specification() -> None:
    assert [*Regulation] == ["gdpr", "ccpa"]
    assert [*RequestType] == ["access", "portability", "erasure"]
    assert [*RequestStatus] == ["pending", "in_progress", "completed", "cancelled"]
    assert [*IdentityFormat] == ["raw", "sha1", "md5", "sha256"]
    assert [*IdentityType] == [
        "controller_customer_id",
        "email",
        "android_advertising_id",
        "android_id",
        "fire_advertising_id",
        "ios_advertising_id",
        "ios_vendor_id",
        "microsoft_advertising_id",
        "microsoft_publisher_id",
        "roku_publisher_id",
        "roku_advertising_id",
    ]
    assert (protocol.VERSION, protocol.DISCOVERY) == ("2.0", "/discovery")
    assert (protocol.REQUESTS, protocol.OLD_REQUESTS) == ("/requests", "/opengdpr_requests")


def test_what_is_signed_is_verified_to_the_byte(key: RSAPrivateKey) -> None:
    headers = protocol.signed_headers("opendsr.example.org", key, BODY)
    assert headers.keys() == {"X-OpenDSR-Processor-Domain", "X-OpenDSR-Signature"}
    assert headers["X-OpenDSR-Processor-Domain"] == "opendsr.example.org"
    signature = headers["X-OpenDSR-Signature"]
    assert protocol.is_signed_by(key.public_key(), BODY, signature)
    for other in (BODY + b" ", BODY.replace(b"7", b"8"), b""):
        assert not protocol.is_signed_by(key.public_key(), other, signature)
    assert not protocol.is_signed_by(generate_private_key(65537, 2048).public_key(), BODY, signature)


def test_openssl_verifies_what_is_signed(key: RSAPrivateKey, tmp_path: Path) -> None:
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for name, content in (("key", pem), ("body", BODY), ("sig", base64.b64decode(protocol.sign(key, BODY)))):
        (tmp_path / name).write_bytes(content)
    asked = ["openssl", "dgst", "-sha256", "-verify", "key", "-signature", "sig", "body"]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, check=False)
    assert done.stdout.strip() == b"Verified OK"


def test_no_other_padding_digest_or_text_counts(key: RSAPrivateKey) -> None:
    pss = key.sign(BODY, PSS(MGF1(SHA256()), 32), SHA256())
    sha1 = key.sign(BODY, PKCS1v15(), SHA1())  # noqa: S303 - because it must be refused
    right = protocol.sign(key, BODY)
    texts = [base64.b64encode(pss).decode(), base64.b64encode(sha1).decode()]
    for text in [*texts, "", "?", "ä", right[:-4], right + "AAAA", f"{right[:20]}\n{right[20:]}", "A" * 4096]:
        assert not protocol.is_signed_by(key.public_key(), BODY, text)


def test_a_signature_has_a_longest_length() -> None:
    """2,048 characters are decoded, and no more: a key whose signature is longer is nobody's."""

    class Key:
        asked = 0

        def verify(self, *_: object) -> None:
            self.asked += 1

    key = Key()
    assert protocol.is_signed_by(key, b"", "A" * 2048)  # type: ignore[arg-type]  # because only its call counts
    assert not protocol.is_signed_by(key, b"", "A" * 2052)  # type: ignore[arg-type]  # because it is not asked
    assert key.asked == 1


def test_headers_are_read_under_both_names_whatever_their_case() -> None:
    new = {"x-opendsr-processor-domain": " OpenDSR.Example.org ", "X-OPENDSR-SIGNATURE": " sig= "}
    old = {"X-OpenGDPR-Processor-Domain": "old.example.org", "X-OpenGDPR-Signature": "old="}
    assert protocol.who_signed(new) == Signed("opendsr.example.org", "sig=")
    assert protocol.who_signed(old) == Signed("old.example.org", "old=")
    assert protocol.who_signed(old | new) == Signed("opendsr.example.org", "sig=")


def test_who_gives_half_of_it_signed_nothing() -> None:
    mixed = {"X-OpenDSR-Processor-Domain": "a.example.org", "X-OpenGDPR-Signature": "sig="}
    for headers in ({}, mixed, mixed | {"X-OpenDSR-Signature": " "}, {"X-OpenDSR-Signature": "sig="}):
        assert protocol.who_signed(headers) is None


def test_an_id_is_a_uuid_of_version_4_in_small_letters() -> None:
    assert protocol.is_request_id(ID)
    others = [ID.upper(), ID.replace("44b2", "34b2"), ID.replace("9831", "7831"), ID.replace("9831", "c831")]
    for other in [*others, ID + "\n", "", ID.replace("-", ""), "{" + ID + "}"]:
        assert not protocol.is_request_id(other)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2018-10-02T15:00:01Z", datetime(2018, 10, 2, 15, 0, 1, tzinfo=UTC)),
        ("2018-10-02T15:00:01+02:00", datetime(2018, 10, 2, 13, 0, 1, tzinfo=UTC)),
        ("2018-05-31T16:27:28.679094", datetime(2018, 5, 31, 16, 27, 28, 679094, tzinfo=UTC)),
        ("2018-05-16T17:35:58.3631375Z", datetime(2018, 5, 16, 17, 35, 58, 363137, tzinfo=UTC)),
        ("2018-10-02", None),
        ("2018 10 02T15:00:01Z", None),
        ("0001-01-01T00:00:00+02:00", None),
        ("soon", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_a_moment_is_read_as_it_is_written_out_there(text: object, found: datetime | None) -> None:
    read = protocol.moment(text)
    assert read == found
    assert read is None or read.tzinfo is UTC


def test_a_moment_is_written_in_utc() -> None:
    at = datetime(2026, 11, 20, 10, 0, 5, 999, tzinfo=timezone(timedelta(hours=1)))
    assert protocol.written(at) == "2026-11-20T09:00:05Z"


def test_a_refusal_has_the_common_shape() -> None:
    assert protocol.error_body(400, "regulation is required", ("Validation", "missing", "regulation is required")) == {
        "error": {
            "code": 400,
            "message": "regulation is required",
            "errors": [{"domain": "Validation", "reason": "missing", "message": "regulation is required"}],
        }
    }
    assert protocol.error_body(400, "no") == {"error": {"code": 400, "message": "no", "errors": []}}
