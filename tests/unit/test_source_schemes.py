"""Who sent it: each scheme by a public vector or its vendor's rule. Whatever is not signed hears the same no."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dpsync.errors import ConfigurationError, SignatureInvalid, WebhookStale
from dpsync.intake.sources.reading import load
from dpsync.intake.sources.schemes import Scheme, SourceMessage, is_weak, scheme
from dpsync.intake.sources.source import Source
from dpsync.signature import signed_headers

SECRET = "a secret of some length"
OTHER = "another secret, as long"
WHSEC = "whsec_" + base64.b64encode(bytes(range(32))).decode()
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
STAMP = int(NOW.timestamp())
URL = "https://dpsync.example.org/requests/crm"
BODY = '{"id": 1, "name": "Zoë"}'.encode()


def mac(signed: bytes, secret: str = SECRET) -> bytes:
    return hmac.new(secret.encode(), signed, hashlib.sha256).digest()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def svix(body: bytes) -> dict[str, str]:
    return {name.replace("webhook-", "svix-"): value for name, value in signed_headers(WHSEC, "e1", NOW, body).items()}


SIGNED: dict[str, Mapping[str, str]] = {
    "standard-webhooks": signed_headers(WHSEC, "e1", NOW, BODY),
    "svix": svix(BODY),
    "github": {"x-hub-signature-256": "sha256=" + mac(BODY).hex()},
    "shopify": {"x-shopify-hmac-sha256": b64(mac(BODY))},
    "mautic": {"webhook-signature": b64(mac(BODY))},
    "stripe": {"stripe-signature": f"t={STAMP},v0=ab,v1={mac(f'{STAMP}.'.encode() + BODY).hex()}"},
    "timestamp-colon-body": {
        "x-webhook-timestamp": str(STAMP),
        "x-webhook-signature": "v1=" + b64(mac(f"{STAMP}:".encode() + BODY)),
    },
    "hubspot-v3": {
        "x-hubspot-request-timestamp": f"{STAMP}000",
        "x-hubspot-signature-v3": b64(mac(f"POST{URL}".encode() + BODY + f"{STAMP}000".encode())),
    },
    "static-header": {"x-key": SECRET},
}
DATED = sorted(set(SIGNED) - {"github", "shopify", "mautic", "static-header"})


def of(name: str, *secrets: str) -> Scheme:
    usual = [WHSEC] if name in {"standard-webhooks", "svix"} else [SECRET]
    return scheme(name, list(secrets) or usual, "X-Key")


def sent(headers: Mapping[str, str], body: bytes = BODY, url: str = URL, now: datetime = NOW) -> SourceMessage:
    return SourceMessage([(name.encode(), value.encode("latin-1")) for name, value in headers.items()], body, url, now)


def refused(name: str, message: SourceMessage) -> SignatureInvalid:
    with pytest.raises(SignatureInvalid) as caught:
        of(name).verify(message)
    assert str(caught.value) == "the webhook is not signed"
    return caught.value


def test_the_vector_of_githubs_documentation_verifies() -> None:
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    found = scheme("github", ["It's a Secret to Everybody"])
    found.verify(sent({"x-hub-signature-256": signature}, b"Hello, World!"))
    with pytest.raises(SignatureInvalid):
        found.verify(sent({"x-hub-signature-256": signature}, b"Hello, World?"))


def test_between_time_and_body_stands_a_colon_where_others_have_a_full_stop() -> None:
    body, at = b'{"event":"drop.deletion"}', datetime.fromtimestamp(1790000000, UTC)
    signature = "v1=mL5qd+fGYD8TvUOMkxnNHHA9N8b4d21W55+la/cGe5w="
    headers = {"x-webhook-timestamp": "1790000000", "x-webhook-signature": signature}
    found = scheme("timestamp-colon-body", ["test-secret-0001"])
    found.verify(sent(headers, body, now=at))
    with pytest.raises(SignatureInvalid):
        found.verify(sent(headers, b'{"event":"drop.deletions"}', now=at))


@pytest.mark.parametrize("name", sorted(SIGNED))
def test_what_is_signed_is_heard(name: str) -> None:
    of(name).verify(sent(SIGNED[name]))
    of(name).verify(sent({"host": "example.org", **SIGNED[name]}))


@pytest.mark.parametrize("name", sorted(set(SIGNED) - {"static-header"}))
def test_another_body_is_not(name: str) -> None:
    for body in (BODY[:-1], BODY + b" ", b""):
        refused(name, sent(SIGNED[name], body))


@pytest.mark.parametrize("name", sorted(SIGNED))
def test_no_changed_cut_missing_doubled_or_foreign_header_is_heard(name: str) -> None:
    for header, value in SIGNED[name].items():
        rest = {key: text for key, text in SIGNED[name].items() if key != header}
        refused(name, sent(rest))
        refused(name, sent({**rest, header: ""}))
        refused(name, sent({**rest, header: value[:-1]}))
        refused(name, sent({**rest, header: "é" + value}))
        refused(name, sent({**rest, header: value + "A" * 4000}))
        twice = sent(SIGNED[name])
        refused(name, SourceMessage([*twice.headers, (header.encode(), value.encode())], BODY, URL, NOW))
    foreign = "whsec_" + base64.b64encode(bytes(range(100, 132))).decode()
    stranger = of(name, foreign if name in {"standard-webhooks", "svix"} else OTHER)
    with pytest.raises(SignatureInvalid):
        stranger.verify(sent(SIGNED[name]))


@pytest.mark.parametrize("name", DATED)
@pytest.mark.parametrize("by", [timedelta(minutes=5, seconds=1), -timedelta(minutes=5, seconds=1)])
def test_what_is_of_another_time_is_not_heard_although_it_is_signed(name: str, by: timedelta) -> None:
    assert isinstance(refused(name, sent(SIGNED[name], now=NOW + by)), WebhookStale)
    of(name).verify(sent(SIGNED[name], now=NOW + by * 299 / 301))


@pytest.mark.parametrize("name", sorted(set(SIGNED) - {"standard-webhooks", "svix"}))
def test_during_a_rotation_both_secrets_are_valid(name: str) -> None:
    of(name, OTHER, SECRET).verify(sent(SIGNED[name]))
    of(name, SECRET, OTHER).verify(sent(SIGNED[name]))


@pytest.mark.parametrize(("event", "at"), [("e1", NOW), ("not@an.id", NOW), ("e1", NOW - timedelta(days=9))])
def test_what_is_refused_for_its_time_or_its_id_alone_is_of_its_source_all_the_same(event: str, at: datetime) -> None:
    source = Source("crm", of("standard-webhooks"), load("supabase", Path()), None)  # type: ignore[arg-type]  # because it signs nothing
    headers = sent(signed_headers(WHSEC, event, at, BODY)).headers
    assert source.is_from(headers, BODY, NOW)
    assert not source.is_from(headers, BODY + b" ", NOW)
    assert not source.is_from([], BODY, NOW)


def test_hubspot_signs_the_address_that_it_writes_to() -> None:
    refused("hubspot-v3", sent(SIGNED["hubspot-v3"], url=URL + "/other"))


@pytest.mark.parametrize("value", ["", "v1=ab", f"t={STAMP}", f"t=x,v1={'0' * 64}", f"t={STAMP},t={STAMP},v1=ab"])
def test_a_signature_header_of_several_parts_that_is_not_whole_is_refused(value: str) -> None:
    refused("stripe", sent({"stripe-signature": value}))
    assert "v1=" in SIGNED["stripe"]["stripe-signature"]


def test_one_of_several_signatures_is_enough_and_more_than_any_rotation_needs_are_not_compared() -> None:
    good = SIGNED["stripe"]["stripe-signature"].partition("v1=")[2].partition(",")[0]
    few, many = [",v1=" + "0" * 64] * 15, [",v1=" + "0" * 64] * 16
    of("stripe").verify(sent({"stripe-signature": f"t={STAMP}{''.join(few)},v1={good}"}))
    refused("stripe", sent({"stripe-signature": f"t={STAMP}{''.join(many)},v1={good}"}))


def test_a_time_beyond_any_calendar_is_refused_not_a_fault() -> None:
    far = "9" * 13
    signature = "v1=" + b64(mac(f"{far}:".encode() + BODY))
    refused("timestamp-colon-body", sent({"x-webhook-timestamp": far, "x-webhook-signature": signature}))


def test_a_secret_that_is_short_or_none_is_a_fault_that_does_not_repeat_it() -> None:
    with pytest.raises(ConfigurationError) as caught:
        scheme("github", ["short", SECRET])
    assert [(fault.key, "short" in fault.problem) for fault in caught.value.faults] == [("secrets[0]", False)]
    with pytest.raises(ConfigurationError):
        scheme("github", [])


def test_only_the_secret_in_a_header_is_weak() -> None:
    assert [name for name in sorted(SIGNED) if is_weak(name)] == ["static-header"]
