"""A token in a header: what it covers is heard, and nothing that was forged, changed, cut, or is of another time."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from dpsync.errors import ConfigurationError, SignatureInvalid, WebhookStale
from dpsync.intake.sources import tokens
from dpsync.intake.sources.schemes import SourceMessage, is_weak, scheme

# RFC 6979, appendix A.2.6: a key on P-384 that everybody knows, and what it signs by the rules of that document.
PRIVATE = 0x6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5
SAMPLE = (
    "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46"
    "99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8"
)
KEY = ec.derive_private_key(PRIVATE, ec.SECP384R1())
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
STAMP = int(NOW.timestamp())
BODY = b'{"type": "ERASURE", "coreIdentifier": {"value": "crm-4711"}}'
HEAD = {"alg": "ES384", "typ": "JWT"}
CLAIMS: dict[str, Any] = {"scope": "coreIdentifier", "value": "crm-4711", "iat": STAMP, "jti": "a1"}
TOKEN = (
    "eyJhbGciOiAiRVMzODQiLCAidHlwIjogIkpXVCJ9.eyJzY29wZSI6ICJjb3JlSWRlbnRpZmllciIsICJ2YWx1ZSI6ICJjcm0tNDcxMSIsICJpY"
    "XQiOiAxNzk1MTY1MjAwLCAianRpIjogImExIn0.KjH-QiHmSaJBOWXKugPqw50WRpUJ4RWK8oxy0P88B_QF9EJxQ47DOcCLIy__K6XAga9k0FR"
    "3A52Y4WK7c1ZiHueBj8BEei42LtnNVgUUFaIeDpqdlajm5ZQQf95Ld0E1"
)
Private = ec.EllipticCurvePrivateKey


def pem(key: Any) -> str:
    public = key.public_key() if hasattr(key, "public_key") else key
    found: bytes = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return found.decode()


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signature(signed: bytes, key: Private) -> bytes:
    signing = ec.ECDSA(hashes.SHA384(), deterministic_signing=True)
    return b"".join(number.to_bytes(48, "big") for number in decode_dss_signature(key.sign(signed, signing)))


def token(claims: dict[str, Any] | None = None, head: dict[str, Any] | None = None, key: Private = KEY) -> str:
    parts = [b64(json.dumps(one).encode()) for one in (head or HEAD, CLAIMS if claims is None else claims)]
    return ".".join([*parts, b64(signature(".".join(parts).encode(), key))])


def hear(shown: str, body: bytes = BODY, now: datetime = NOW, keys: tuple[str, ...] = ()) -> None:
    found = scheme("es384-jwt", list(keys) or [pem(KEY)])
    found.verify(SourceMessage([(b"x-sombra-token", shown.encode("latin-1"))], body, "", now))


def refused(shown: str, body: bytes = BODY, now: datetime = NOW) -> SignatureInvalid:
    with pytest.raises(SignatureInvalid) as caught:
        hear(shown, body, now)
    assert str(caught.value) == "the webhook is not signed"
    return caught.value


def test_the_vector_of_rfc_6979_verifies_and_no_other_text() -> None:
    public, signed = tokens.public_key(pem(KEY)), bytes.fromhex(SAMPLE)
    assert public is not None
    assert tokens.is_signed(public, b"sample", signed)
    assert not tokens.is_signed(public, b"samples", signed)
    assert not tokens.is_signed(public, b"sample", signed[:-1])
    assert not tokens.is_signed(public, b"sample", signed[48:] + signed[:48])
    assert not tokens.is_signed(public, b"sample", signed[:48] + b"\x00" + signed[48:]), "one signature, one spelling"
    assert not tokens.is_signed(public, b"sample", bytes(96))


def test_a_token_that_was_signed_by_that_key_is_heard() -> None:
    assert token() == TOKEN, "signed as RFC 6979 says, it is the same each time"
    hear(TOKEN)
    hear(token({key: value for key, value in CLAIMS.items() if key not in {"scope", "jti"}}))
    hear(token({**CLAIMS, "exp": STAMP + 60}), now=NOW + timedelta(seconds=59))


def test_a_token_of_another_key_or_none_is_not() -> None:
    stranger = ec.generate_private_key(ec.SECP384R1())
    refused(token(key=stranger))
    refused("")
    head, claims, _ = TOKEN.split(".")
    refused(f"{head}.{claims}.")
    refused(f"{head}.{claims}.{b64(bytes(96))}")
    hear(TOKEN, keys=(pem(stranger), pem(KEY)))


def test_the_token_does_not_choose_how_it_is_verified() -> None:
    _, claims, _ = TOKEN.split(".")
    for name in ("none", "HS384", "ES256", "ES512", "es384", None):
        refused(token(head={**HEAD, "alg": name}))
    refused(token(head={**HEAD, "crit": ["exp"]}))
    head = b64(json.dumps({"alg": "HS384"}).encode())
    by_public_key = hmac.new(pem(KEY).encode(), f"{head}.{claims}".encode(), hashlib.sha384).digest()
    refused(f"{head}.{claims}.{b64(by_public_key)}")
    refused(f"{b64(json.dumps({'alg': 'none'}).encode())}.{claims}.")


def test_a_token_that_was_cut_changed_or_spelled_otherwise_is_not() -> None:
    head, claims, signed = TOKEN.split(".")
    for cut in (TOKEN[:-1], TOKEN[:-4], TOKEN[1:], f"{head}.{claims}", f"{TOKEN}.", f"{TOKEN}=", f" {TOKEN}"):
        refused(cut)
    refused(f"{head}.{b64(json.dumps({**CLAIMS, 'value': 'crm-4712'}).encode())}.{signed}")
    for wrong in ("[]", "1", '{"value": "a", "value": "crm-4711"}', "\x00"):
        parts = f"{head}.{b64(wrong.encode())}"
        refused(f"{parts}.{b64(signature(parts.encode(), KEY))}")
    for wrong in ("[]", "nonsense"):
        parts = f"{b64(wrong.encode())}.{claims}"
        refused(f"{parts}.{b64(signature(parts.encode(), KEY))}")


@pytest.mark.parametrize("by", [timedelta(minutes=5, seconds=1), -timedelta(minutes=5, seconds=1)])
def test_a_token_that_is_replayed_or_of_the_future_is_stale(by: timedelta) -> None:
    assert isinstance(refused(TOKEN, now=NOW + by), WebhookStale)
    hear(TOKEN, now=NOW + by * 299 / 301)


def test_a_token_that_has_expired_is_stale_and_one_without_a_time_is_nothing() -> None:
    assert isinstance(refused(token({**CLAIMS, "exp": STAMP + 60}), now=NOW + timedelta(seconds=60)), WebhookStale)
    for wrong in (None, "now", True, 0, -1, 10**12):
        assert not isinstance(refused(token({**CLAIMS, "iat": wrong})), WebhookStale)
    for wrong in ("later", True, 0, 10**12):
        assert not isinstance(refused(token({**CLAIMS, "exp": wrong})), WebhookStale)


def test_another_body_is_not_what_the_token_covers() -> None:
    for body in (
        BODY.replace(b"4711", b"4712"),
        b'{"type": "ERASURE"}',
        b'{"coreIdentifier": "crm-4711"}',
        b'{"coreIdentifier": {"value": null}}',
        b"[]",
        b"",
        BODY[:-1],
    ):
        refused(TOKEN, body)
    refused(token({**CLAIMS, "value": None}), b'{"coreIdentifier": {"value": null}}')
    refused(token({**CLAIMS, "value": ""}), b'{"coreIdentifier": {"value": ""}}')
    refused(token({**CLAIMS, "scope": "somethingElse"}))


def test_it_covers_the_person_alone_so_what_it_erases_cools_off() -> None:
    hear(TOKEN, BODY.replace(b"ERASURE", b"ACCESS"))
    assert is_weak("es384-jwt")


def test_the_header_may_have_another_name() -> None:
    found = scheme("es384-jwt", [pem(KEY)], "X-Own-Token")
    found.verify(SourceMessage([(b"x-own-token", TOKEN.encode())], BODY, "", NOW))
    with pytest.raises(SignatureInvalid):
        found.verify(SourceMessage([(b"x-sombra-token", TOKEN.encode())], BODY, "", NOW))


def test_what_is_no_public_key_on_that_curve_is_a_fault_that_does_not_repeat_it() -> None:
    private = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    other_curve = pem(ec.generate_private_key(ec.SECP256R1()))
    for wrong in ("a secret of some length", "", private, other_curve):
        with pytest.raises(ConfigurationError) as caught:
            scheme("es384-jwt", [pem(KEY), wrong])
        (fault,) = caught.value.faults
        assert (fault.key, "P-384" in fault.problem, wrong in fault.problem and bool(wrong)) == (
            "secrets[1]",
            True,
            False,
        )
    with pytest.raises(ConfigurationError):
        scheme("es384-jwt", [])
