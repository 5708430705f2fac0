"""What main databases send: signatures, and the canonical body."""

import base64

from dpsync.errors import PayloadInvalid, SignatureInvalid
from dpsync.intake.payload import parse
from dpsync.intake.sources.schemes import _STYLES, STANDARD, STATIC, SVIX, SourceMessage, scheme
from dpsync.model import Request
from dpsync.propagation import serialization
from dpsync.signature import Verifier, sign
from tests.builders import START
from tests.fuzz.target import Target, as_json, pick
from tests.unit.test_payload import CANONICAL

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SCHEMES = (*_STYLES, STANDARD, SVIX, STATIC)
NOW = int(START.timestamp())
TOGETHER = b"(signed)"
"""In place of a signature: the right one, so that what lies behind it is reached."""


def verify_signature(raw: bytes) -> None:
    """The id, the time and the signatures, a line each, then the body. Nobody signed but who knows the secret."""
    event_id, at, given, body = (*raw.split(b"\n", 3), b"", b"", b"")[:4]
    right = b""
    if at.isdigit() and at.isascii() and len(at) < 12:
        right = sign(SECRET, event_id.decode("latin-1"), int(at), body).encode() if event_id.isascii() else b""
    pairs = [(b"webhook-id", event_id), (b"webhook-timestamp", at)]
    pairs.append((b"webhook-signature", given.replace(TOGETHER, right)))
    found = Verifier([SECRET]).verify(pairs, body, START)
    assert TOGETHER in given
    assert found.id.encode() == event_id
    assert abs(found.timestamp - START).total_seconds() <= 300


def verify_scheme(raw: bytes) -> None:
    """One scheme, then headers up to an empty line, then the body: nobody can sign, so nobody is let in."""
    name = pick(SCHEMES, raw[0] if raw else 0)
    head, _, body = raw[1:].partition(b"\n\n")
    parts = [line.partition(b": ") for line in head.split(b"\n")]
    pairs = [(key.lower(), value) for key, _, value in parts]
    secret = SECRET if name in {STANDARD, SVIX} else "a-secret-of-two-dozen-signs"
    scheme(name, [secret], "x-key").verify(SourceMessage(pairs, body, "https://dpsync.example.org/requests/a", START))
    raise AssertionError(name)


def read_body(raw: bytes) -> None:
    """What is a request rests in the store, and comes back the same."""
    found = parse(raw, source="crm", event_id="evt-1", now=START)
    if isinstance(found, Request):
        assert serialization.from_bytes(serialization.to_bytes(found)) == found


def _signatures() -> list[bytes]:
    body = b'{"type": "test"}'
    return [
        b"evt-1\n%d\n%s\n%s" % (NOW, given, body) for given in (TOGETHER, b"v1,%s" % (b"A" * 43 + b"="), b"v1a,x v1,y")
    ]


def _schemes() -> list[bytes]:
    lines = [
        b"X-Hub-Signature-256: sha256=" + b"0" * 64,
        b"Stripe-Signature: t=%d,v1=%s,v1=%s" % (NOW, b"0" * 64, b"1" * 64),
        b"X-Webhook-Signature: v1=AAAA\nX-Webhook-Timestamp: %d" % NOW,
        b"X-HubSpot-Signature-v3: AAAA\nX-HubSpot-Request-Timestamp: %d000" % NOW,
        b"Svix-Id: msg_1\nSvix-Timestamp: %d\nSvix-Signature: v1,AAAA" % NOW,
        b"Webhook-Signature: AAAA\nX-Shopify-Hmac-SHA256: AAAA\nX-Key: another secret of ours",
    ]
    return [bytes([place]) + line + b'\n\n{"id": 1}' for place in range(len(SCHEMES)) for line in lines]


def _bodies() -> list[bytes]:
    lifted = {"right": "restriction", "subject": {"id": "crm-1"}, "lifted": {"told_on": "2026-11-19", "how": "letter"}}
    withdrawn = {"type": "data_subject.request.withdrawn", "data": {"request": "r-1"}}
    return as_json([CANONICAL, {"type": "data_subject.request", "data": lifted}, withdrawn])


TARGETS = (
    Target("signatures", verify_signature, _signatures, (SignatureInvalid, PayloadInvalid)),
    Target("signatures of sources", verify_scheme, _schemes, (SignatureInvalid, PayloadInvalid), chosen=1),
    Target("requests", read_body, _bodies, (PayloadInvalid,)),
)
