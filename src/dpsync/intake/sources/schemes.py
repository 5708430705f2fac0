"""How a sender shows who it is: the ways of signing that main databases come with, each under its name.

Every refusal is the same, as at our own door. A scheme without a time cannot tell a message from its repetition years
later: there the event's id tells, which the store never forgets. A secret in a header proves least of all, because it
stands in every message and covers none of it (`is_weak`).
"""

import base64
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from dpsync.errors import ConfigurationError, Fault, SignatureInvalid, WebhookStale
from dpsync.intake.sources import tokens
from dpsync.signature import TOLERANCE, Verifier, doubts, is_placeholder

Pairs = Sequence[tuple[bytes, bytes]]
"""The raw headers, names in lower case."""

SHORTEST_SECRET = 16
MOST_SIGNATURES = 16
LONGEST_HEADER = 2048

_TIME = re.compile(r"[1-9][0-9]{0,12}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SourceMessage:
    """A message at the door. `url`: the address that its sender wrote to, as it spells it. `now`: aware."""

    headers: Pairs = field(repr=False)
    body: bytes = field(repr=False)
    url: str
    now: datetime


class Scheme(Protocol):
    """Whether a message comes from whoever knows the secret."""

    def verify(self, sent: SourceMessage) -> None:
        """Return, or raise `SignatureInvalid`; `WebhookStale` where the signature alone would be good."""


@dataclass(frozen=True, slots=True)
class _Offer:
    """What a message's headers offer: signatures in their own spelling, and the time that they cover."""

    signatures: tuple[str, ...]
    time: str = ""


@dataclass(frozen=True, slots=True)
class _Style:
    """How one family of senders signs.

    `offered`: what the headers offer. `signed`: the bytes that are signed, of time, address and body. `spelled`: how a
    digest is written. `per_second`: what the time counts in, 0 where there is none.
    """

    headers: tuple[str, ...]
    offered: Callable[[Sequence[str]], _Offer]
    signed: Callable[[str, str, bytes], bytes]
    spelled: Callable[[bytes], str]
    per_second: int = 0


def _hex(digest: bytes) -> str:
    return digest.hex()


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _body_alone(_time: str, _url: str, body: bytes) -> bytes:
    return body


def _first(values: Sequence[str]) -> _Offer:
    return _Offer((values[0],))


def _dated(values: Sequence[str]) -> _Offer:
    return _Offer((values[0],), values[1])


def _stripe(values: Sequence[str]) -> _Offer:
    pairs = [part.strip().partition("=") for part in values[0].split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    return _Offer(tuple(value for name, _, value in pairs if name == "v1"), times[0] if len(times) == 1 else "")


_STYLES = {
    # docs.github.com, "Validating webhook deliveries"
    "github": _Style(("x-hub-signature-256",), _first, _body_alone, lambda digest: f"sha256={_hex(digest)}"),
    # shopify.dev, "Verify a webhook"
    "shopify": _Style(("x-shopify-hmac-sha256",), _first, _body_alone, _base64),
    # devdocs.mautic.org, "Webhooks": sent only where a secret is set
    "mautic": _Style(("webhook-signature",), _first, _body_alone, _base64),
    # docs.stripe.com, "Verify webhook signatures manually"
    "stripe": _Style(
        ("stripe-signature",), _stripe, lambda time, _url, body: f"{time}.".encode() + body, _hex, per_second=1
    ),
    # docs.datagrail.io, webhooks
    "timestamp-colon-body": _Style(
        ("x-webhook-signature", "x-webhook-timestamp"),
        _dated,
        lambda time, _url, body: f"{time}:".encode() + body,
        lambda digest: f"v1={_base64(digest)}",
        per_second=1,
    ),
    # developers.hubspot.com, "Validating requests", version 3
    "hubspot-v3": _Style(
        ("x-hubspot-signature-v3", "x-hubspot-request-timestamp"),
        _dated,
        lambda time, url, body: f"POST{url}".encode() + body + time.encode(),
        _base64,
        per_second=1000,
    ),
}

STANDARD, SVIX, STATIC, TOKEN = "standard-webhooks", "svix", "static-header", "es384-jwt"


def is_weak(name: str) -> bool:
    """Whether whoever saw one message can write others: any, or those that name the same person."""
    return name in {STATIC, TOKEN}


def scheme(name: str, secrets: Sequence[str], header: str = "") -> Scheme:
    """The scheme of that name with its secrets, all of them valid. `header`: where a static secret stands, or a token.

    Raises `ConfigurationError`, which repeats no secret.
    """
    if name in {STANDARD, SVIX}:
        try:
            return _Standard(Verifier(secrets), "webhook-" if name == STANDARD else "svix-")
        except ConfigurationError as error:
            raise ConfigurationError(_here(error.faults)) from None
    if name == TOKEN:
        return _Token((header or tokens.HEADER).lower(), tokens.Es384(_public_keys(secrets)))
    faults = [
        Fault(f"secrets[{number}]", problem)
        for number, secret in enumerate(secrets)
        if (problem := _unfit(secret, in_header=name == STATIC))
    ]
    if faults or not secrets:
        raise ConfigurationError(faults or [Fault("secrets", "at least one secret is needed")])
    keys = tuple(secret.encode() for secret in secrets)
    return _Static(header.lower(), keys) if name == STATIC else _Signed(_STYLES[name], keys)


def _public_keys(secrets: Sequence[str]) -> tuple[EllipticCurvePublicKey, ...]:
    found = [tokens.public_key(secret) for secret in secrets]
    wrong = "must be a public key on the curve P-384, as PEM"
    faults = [Fault(f"secrets[{number}]", wrong) for number, key in enumerate(found) if key is None]
    if faults or not secrets:
        raise ConfigurationError(faults or [Fault("secrets", "at least one secret is needed")])
    return tuple(key for key in found if key is not None)


def _unfit(secret: str, *, in_header: bool) -> str:
    if len(secret) < SHORTEST_SECRET:
        return f"must hold at least {SHORTEST_SECRET} characters"
    fits = secret.isascii() and secret.isprintable() and secret == secret.strip() and len(secret) <= LONGEST_HEADER
    return "" if fits or not in_header else "cannot stand in a header as it is, so no message would ever have it"


def _here(faults: Sequence[Fault]) -> list[Fault]:
    """By their place in a source, not in our own door's section."""
    return [Fault(fault.key.removeprefix("intake."), fault.problem, fault.code) for fault in faults]


def doubtful(name: str, secrets: Sequence[str]) -> list[Fault]:
    """What is wrong with secrets that a scheme takes all the same: anybody can guess them, or one is there twice."""
    if name in {STANDARD, SVIX}:
        return _here(doubts(dict(enumerate(secrets))))
    guessed = [
        Fault(f"secrets[{number}]", "a placeholder still stands there, which anybody can guess")
        for number, secret in enumerate(secrets)
        if is_placeholder(secret)
    ]
    twice = [Fault("secrets", "holds one secret twice")] if len(set(secrets)) < len(secrets) else []
    return guessed + twice


@dataclass(frozen=True, slots=True)
class _Standard:
    """Standard Webhooks, under its own headers or those that Svix named first."""

    verifier: Verifier
    prefix: str

    def verify(self, sent: SourceMessage) -> None:
        ours = self.prefix.encode()
        pairs = [(b"webhook-" + name[len(ours) :], value) for name, value in sent.headers if name.startswith(ours)]
        self.verifier.verify(pairs, sent.body, sent.now)


@dataclass(frozen=True, slots=True)
class Closed:
    """Of a source that is polled and never posts: nobody can sign for it."""

    def verify(self, sent: SourceMessage) -> None:  # noqa: ARG002 - because no message is good enough
        """Raise `SignatureInvalid`."""
        raise SignatureInvalid("the webhook is not signed")


@dataclass(frozen=True, slots=True)
class _Signed:
    style: _Style
    keys: tuple[bytes, ...]

    def verify(self, sent: SourceMessage) -> None:
        style = self.style
        offer = style.offered([_once(sent.headers, name) for name in style.headers])
        if len(offer.signatures) > MOST_SIGNATURES or (style.per_second and not _TIME.fullmatch(offer.time)):
            raise SignatureInvalid("the webhook is not signed")
        signed = style.signed(offer.time, sent.url, sent.body)
        matched = False
        for key in self.keys:
            expected = style.spelled(hmac.digest(key, signed, "sha256")).encode()
            for candidate in offer.signatures:
                # Never ended early: the time taken must not tell which secret or which entry matched.
                matched |= hmac.compare_digest(expected, candidate.encode())
        if not matched:
            raise SignatureInvalid("the webhook is not signed")
        if (
            style.per_second
            and abs(sent.now - _EPOCH - timedelta(seconds=int(offer.time) / style.per_second)) > TOLERANCE
        ):
            raise WebhookStale("the webhook is not signed")


@dataclass(frozen=True, slots=True)
class _Token:
    header: str
    verifier: tokens.Es384

    def verify(self, sent: SourceMessage) -> None:
        self.verifier.demand(_once(sent.headers, self.header), sent.body, sent.now)


@dataclass(frozen=True, slots=True)
class _Static:
    header: str
    keys: tuple[bytes, ...]

    def verify(self, sent: SourceMessage) -> None:
        shown = _once(sent.headers, self.header).encode()
        matched = False
        for key in self.keys:
            matched |= hmac.compare_digest(key, shown)
        if not matched:
            raise SignatureInvalid("the webhook is not signed")


def _once(headers: Pairs, name: str) -> str:
    """The value of a header that must stand exactly once: of two, a proxy may have looked at the other."""
    values = [value for key, value in headers if key == name.encode()]
    if len(values) != 1 or not 0 < len(values[0]) <= LONGEST_HEADER or not values[0].isascii():
        raise SignatureInvalid("the webhook is not signed")
    return values[0].decode("ascii")
