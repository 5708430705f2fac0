"""Who may ask: Standard Webhooks signatures, checked over the raw bytes.

Every refusal is the same error, so that the sender of a forgery learns nothing. The public Python verifier lets
`ValueError`, `binascii.Error` and `UnicodeDecodeError` escape, which is a 500 where a 401 is due.
Source: standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dpsync.errors import ConfigurationError, Fault, PayloadInvalid, SignatureInvalid, WebhookStale
from dpsync.signing_keys import PRIVATE, PUBLIC, is_signed, public_of, published, seed_of, signature

TOLERANCE = timedelta(minutes=5)
"""How far the sender's clock may be from ours, either way (the specification's value)."""

MOST_SIGNATURES = 16
"""More than any rotation needs; each one costs a comparison."""

UNFIT = "DP-321"
SHORTEST_SECRET, LONGEST_SECRET = 24, 64
PREFIX = "whsec_"

PUBLISHED = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""The secret in the specification's and many libraries' examples: anybody can sign with it."""
PUBLISHED_KEYS = frozenset(
    {
        "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
        "whpk_4rQZjjkCnn4m/ciYBaRPSZTA+Y/UwqgD6hgxOllF28g=",
        "whpk_ZlN4eg7dSSqi0moX9hQUk3orrOouK3QVQSlJa248c/g=",
    }
)
"""The public keys whose private ones stand in the tests and pages of libraries: anybody can sign with these."""
_PLACEHOLDER = re.compile(
    r"replace|change.?me|fill.?in|example|your|todo|secret|placeholder|xxx|\.\.\.|…|<|>", re.IGNORECASE
)

# A full stop separates the three signed parts. An id may hold some all the same: a body that means anything begins with
# a brace, which no id and no timestamp holds, so what was signed can be cut in one way only. And no @: an id outlives
# what it asked for, so it must not be an address.
_ID = re.compile(r"[A-Za-z0-9_:+/=.-](?:[A-Za-z0-9_:+/=. -]{0,126}[A-Za-z0-9_:+/=.-])?")
_ANY_ID = re.compile(rb"[^\x00-\x1f\x7f]{1,2048}")
_TIMESTAMP = re.compile(rb"[1-9][0-9]{0,10}")
_PRINTABLE = re.compile(rb"[\x20-\x7e]{1,2048}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES = {b"webhook-id": 0, b"webhook-timestamp": 1, b"webhook-signature": 2}

_OTHER_KEY = {
    PRIVATE: "is a public key, with which nobody can sign: here belongs the private one (whsk_)",
    PUBLIC: "is a private key, which nobody but its owner may know: here belongs the public one (whpk_)",
}

Secret = bytes | str
Headers = Mapping[str, str] | Iterable[tuple[bytes, bytes]] | Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class VerifiedEvent:
    """That whoever sent these bytes knows the secret. `id` is the idempotency key, `timestamp` that of the attempt."""

    id: str
    timestamp: datetime


class Verifier:
    """Checks a webhook against every secret that is valid just now: two during a rotation, none of them preferred.

    `secrets`: `whsec_` text (base64 of 24 to 64 bytes), or the raw bytes themselves; with `keys`, also public keys
    (`whpk_`), for those who sign with a private one. Raises `ConfigurationError`.
    """

    def __init__(self, secrets: Sequence[Secret], *, keys: bool = False) -> None:
        also = PUBLIC if keys else ""
        faults = [fault for number, secret in enumerate(secrets) for fault in _faults(number, secret, also)]
        if not secrets:
            faults.append(Fault("intake.secrets", "at least one secret is needed"))
        if faults:
            raise ConfigurationError(faults)
        self._keys = tuple(_key(secret) for secret in secrets if not _begins(secret, PUBLIC))
        self._public = tuple(_key(secret, PUBLIC) for secret in secrets if _begins(secret, PUBLIC))

    def verify(self, headers: Headers, body: bytes, now: datetime) -> VerifiedEvent:
        """Say who is speaking, or raise `SignatureInvalid`, for whatever reason: the caller may not tell them apart.

        `headers`: a mapping, or the raw pairs, in which each of the three must stand exactly once. `now`: aware.
        Raises `WebhookStale` where the signature is right and the time is not, `PayloadInvalid` for its id alone.
        """
        event_id, timestamp, signatures = _three(headers)
        if not (_ANY_ID.fullmatch(event_id) and _TIMESTAMP.fullmatch(timestamp) and _PRINTABLE.fullmatch(signatures)):
            raise SignatureInvalid("the webhook is not signed")
        at = _EPOCH + timedelta(seconds=int(timestamp))
        offered = signatures.split(b" ")
        if len(offered) > MOST_SIGNATURES:
            raise SignatureInvalid("the webhook is not signed")
        signed = b"%b.%b.%b" % (event_id, timestamp, body)
        matched = False
        for key in self._keys:
            expected = _signature(key, signed)
            for candidate in offered:
                # As text, not decoded: base64 has several spellings of one digest. And never ended early: the time
                # taken must not tell which secret or which entry matched.
                matched |= hmac.compare_digest(expected, candidate)
        for public in self._public:
            for candidate in offered:
                matched |= is_signed(public, candidate, signed)
        if not matched:
            raise SignatureInvalid("the webhook is not signed")
        if abs(now - at) > TOLERANCE:
            raise WebhookStale("the webhook is not signed")
        named = event_id.decode(errors="replace")
        demand_id(named, "webhook-id")
        return VerifiedEvent(named, at)


def demand_id(event_id: str, field: str) -> None:
    """Raises `PayloadInvalid` about `field` for what may not be the id of an event, by whichever door it comes."""
    if not _ID.fullmatch(event_id):
        raise PayloadInvalid(field, "must be 1 to 128 letters, digits, spaces (not at its ends) or _:+/=.-")


def doubts(secrets: Mapping[int, str], also: str = "") -> list[Fault]:
    """What is wrong with webhook secrets, by their place in the settings: more than makes a `Verifier` refuse them.

    A placeholder may be well formed, and one secret given twice is no rotation. No fault repeats a secret. `also`:
    which keys may stand there, too: `whsk_` where we sign, `whpk_` where somebody else does.
    """
    found: list[Fault] = []
    first: dict[bytes, int] = {}
    for number, secret in secrets.items():
        malformed = _faults(number, secret, also)
        if malformed:
            found += malformed
            continue
        place, key = f"intake.secrets[{number}]", _key(secret, also)
        # Only what is text throughout: among the bytes of a random secret a word, or a "<", may stand by chance.
        known = _key(PREFIX + PUBLISHED) == key or checked_by(secret) in PUBLISHED_KEYS
        if known or (key.isascii() and _PLACEHOLDER.search(key.decode())):
            found.append(Fault(place, "a placeholder still stands there, which anybody can guess", UNFIT))
        if key in first:
            found.append(Fault(place, f"is the same secret as intake.secrets[{first[key]}]", UNFIT))
        first.setdefault(key, number)
    return found


def is_placeholder(secret: str) -> bool:
    """Whether a word stands in it that an example has in the place of a secret."""
    return bool(_PLACEHOLDER.search(secret))


def checked_by(secret: str) -> str:
    """What whoever checks a signature of ours is given: the secret itself, or the public key of a private one."""
    return published(seed_of(secret)) if secret.startswith(PRIVATE) else secret


def _begins(secret: Secret, prefix: str) -> bool:
    return isinstance(secret, str) and secret.startswith(prefix)


def _faults(number: int, secret: Secret, also: str = "") -> list[Fault]:
    try:
        _key(secret, also)
    except ValueError as problem:
        left_in = isinstance(secret, str) and _PLACEHOLDER.search(secret)
        told = "a placeholder still stands there" if left_in else str(problem)
        return [Fault(f"intake.secrets[{number}]", told, UNFIT)]
    return []


def sign(secret: Secret, event_id: str, timestamp: int, body: bytes) -> str:
    """One entry for the header `webhook-signature`: `v1,`, or `v1a,` with a private key (`whsk_`).

    `timestamp`: whole seconds since the epoch.
    """
    signed = b"%b.%d.%b" % (event_id.encode(), timestamp, body)
    key = _sole_key(secret)
    return (signature(key, signed) if _begins(secret, PRIVATE) else _signature(key, signed)).decode()


def signed_headers(secret: Secret, event_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """The three headers with which a sender signs `body` at `now`."""
    timestamp = (now - _EPOCH) // timedelta(seconds=1)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, event_id, timestamp, body),
    }


def _signature(key: bytes, signed: bytes) -> bytes:
    return b"v1," + binascii.b2a_base64(hmac.digest(key, signed, "sha256"), newline=False)


def _three(headers: Headers) -> tuple[bytes, bytes, bytes]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found: list[bytes | None] = [None, None, None]
    for name, value in pairs:
        place = _NAMES.get(_raw(name).lower())
        if place is None:
            continue
        if found[place] is not None:
            raise SignatureInvalid("the webhook is not signed")
        found[place] = _raw(value)
    event_id, timestamp, signatures = found
    if event_id is None or timestamp is None or signatures is None:
        raise SignatureInvalid("the webhook is not signed")
    return event_id, timestamp, signatures


def _raw(text: bytes | str) -> bytes:
    # What is not ASCII becomes bytes that stand in no id that is kept, in no time and no signature.
    return text if isinstance(text, bytes) else text.encode(errors="surrogatepass")


def _sole_key(secret: Secret) -> bytes:
    try:
        return _key(secret, PRIVATE)
    except ValueError as problem:
        raise ConfigurationError([Fault("intake.secrets", str(problem))]) from None


def _key(secret: Secret, also: str = "") -> bytes:
    """What signs or checks. `also`: the prefix of the keys that are taken besides secrets. Raises `ValueError`."""
    if isinstance(secret, str) and secret.startswith((PRIVATE, PUBLIC)):
        if not also or not secret.startswith(also):
            raise ValueError(_OTHER_KEY.get(also, "does not begin with whsec_"))
        return seed_of(secret) if also == PRIVATE else public_of(secret)
    if isinstance(secret, bytes):
        if secret.startswith(PREFIX.encode()):
            raise ValueError("bytes are the secret itself; its whsec_ spelling is text")
        key = secret
    else:
        if not secret.startswith(PREFIX):
            raise ValueError("does not begin with whsec_")
        text = secret.removeprefix(PREFIX)
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except ValueError:
            raise ValueError("is not base64 after whsec_") from None
    if not SHORTEST_SECRET <= len(key) <= LONGEST_SECRET:
        raise ValueError(f"must hold {SHORTEST_SECRET} to {LONGEST_SECRET} bytes")
    return key
