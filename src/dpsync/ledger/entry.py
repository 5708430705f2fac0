"""One entry of the ledger: exact bytes that are written once, hashed as they are, and never printed again for checking.

The format is for ever: a new key or event may be added, none may change its meaning or its spelling.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum

VERSION = 1
LARGEST = 2048
"""Bytes. A receipt of a thousand entries must still fit into a mail."""

LONGEST_TEXT = 120
LONGEST_SAFE = 80
LARGEST_NUMBER = 2**53 - 1
"""Above it a reader whose numbers are floats would see another number."""

EVIDENCE_KEYS = frozenset({"endpoint", "scope", "status", "request_id", "at", "digest", "note"})


class EntryKind(StrEnum):
    """What an entry says happened."""

    RECEIVED = "received"
    HELD = "held"
    APPROVED = "approved"
    RELEASED = "released"
    WITHDRAWN = "withdrawn"
    NOT_IDENTIFIABLE = "not_identifiable"
    DUPLICATE = "duplicate"
    REPEAT = "repeat"
    SUPERSEDED = "superseded"
    ATTEMPT = "attempt"
    APPLIED = "applied"
    NOTHING_HELD = "nothing_held"
    ACCEPTED = "accepted"
    HANDED_OVER = "handed_over"
    NOTICE_SENT = "notice_sent"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    ACKNOWLEDGED = "acknowledged"
    DECLARED = "declared"
    VERIFIED = "verified"
    CANNOT_TELL = "cannot_tell"
    CONTRADICTED = "contradicted"
    REFUSED = "refused"
    DEFERRED = "deferred"
    RETRIED = "retried"
    REMINDED = "reminded"
    ESCALATED = "escalated"
    EXEMPTED = "exempted"
    EXTENDED = "extended"
    SETTLED = "settled"
    DECIDED = "decided"
    SHOWN = "shown"
    JOINED = "joined"
    SIGHTED = "sighted"
    CONFIRMED = "confirmed"
    LIFTED = "lifted"
    SHREDDED = "shredded"
    COMPLAINT_RECEIVED = "complaint_received"
    COMPLAINT_ACKNOWLEDGED = "complaint_acknowledged"
    COMPLAINT_PROGRESS = "complaint_progress"
    COMPLAINT_OUTCOME = "complaint_outcome"
    COMPLAINT_ESCALATED = "complaint_escalated"
    INCIDENT_PROPOSED = "incident_proposed"
    INCIDENT_OPENED = "incident_opened"
    INCIDENT_CLOSED = "incident_closed"
    PERSON_TOLD = "person_told"
    ALERT = "alert"
    CONFIGURATION = "configuration"
    KEY = "key"
    ANCHOR = "anchor"
    GAP = "gap"


_HEX_256 = re.compile(r"[0-9a-f]{64}\Z")
_UNSAFE = re.compile(r"[^A-Za-z0-9._:/-]")

_NUMBERS = frozenset({"v", "ts", "attempt", "http", "n", "rung", "told", "received", "assumed", "target", "overdue"})
_COMMITMENTS = frozenset({"resp", "subj", "by", "why", "list", "digest", "how"})
_TEXTS = frozenset({"event", "req", "dest", "right", "ref", "cause", "way", "kind", "name", "state", "ground", "rule"})
_DATES = frozenset({"due", "starts", "strict", "letter", "told_on"})
_STRINGS = _COMMITMENTS | _TEXTS | _DATES | {"rows"}
_ROWS = re.compile(r"[a-z0-9_/:]+(?: [a-z0-9_/:]+)*\Z")
_DEMANDED = frozenset({"v", "ts", "event"})


_DAYS = "|".join(
    ("(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])", "(?:0[13-9]|1[0-2])-(?:29|30)", "(?:0[13578]|1[02])-31")
)


def _ordinary_shape() -> re.Pattern[bytes]:
    spelled = dict.fromkeys(_NUMBERS, r"(?:0|[1-9][0-9]{0,14})")
    spelled |= dict.fromkeys(_TEXTS, rf'"[ !#-?A-\[\]-~]{{0,{LONGEST_TEXT}}}"')
    spelled |= dict.fromkeys(_COMMITMENTS, '"[0-9a-f]{64}"')
    spelled |= dict.fromkeys(_DATES, f'"[1-9][0-9]{{3}}-(?:{_DAYS})"')
    spelled |= {"rows": '"[a-z0-9_/:]+(?: [a-z0-9_/:]+)*"', "v": str(VERSION), "event": f'"(?:{"|".join(EntryKind)})"'}
    spelled["req"] = spelled["req"].replace('"', '"(?P<req>', 1).removesuffix('"') + ')"'
    keys = (f'"{key}":{spelled[key]}(?:,(?!}})|(?=}}))' for key in sorted(spelled))
    return re.compile("".join(["{", *(one if _is_demanded(one) else f"(?:{one})?" for one in keys), "}"]).encode())


def _is_demanded(spelled: str) -> bool:
    return spelled.split('"')[1] in _DEMANDED


_ORDINARY = _ordinary_shape()
"""What nearly every entry is: only keys, values and order that `encode` prints, without a character that JSON escapes,
a number beyond 15 digits, or a 29th of February. It is found to be so at once, in a sixth of the time.
"""


def is_ordinary(body: bytes) -> bool:
    """Whether these are bytes that `encode` prints, as far as that is seen at a glance; False says nothing."""
    return _glance(body) is not None


def _glance(body: bytes) -> re.Match[bytes] | None:
    return _ORDINARY.fullmatch(body) if len(body) <= LARGEST else None


def encode(event: EntryKind, ts: datetime, **fields: str | int) -> bytes:
    """The bytes of one entry. `ts` is aware and kept to the second.

    Numbers: attempt, http, n (of processors), rung, told and assumed (0 or 1); received, target, overdue (seconds).
    64 hex digits: resp, subj, by, why, how (commitments), list, digest. Printable ASCII without "@", up to 120
    characters: req, dest, right, ref, cause, way, kind, name, state, ground, rule. ISO dates: due, starts, strict,
    letter, told_on. `rows`: items of `ledger.rows`, a space between. A vendor's id goes through `safe` first.

    Raises `ValueError`, which names the key and never the value, for anything else.
    """
    if ts.tzinfo is None:
        raise ValueError("ts: a time without a zone")
    value: dict[str, str | int] = {"v": VERSION, "ts": int(ts.timestamp()), "event": event}
    for key, given in fields.items():
        if key in value:
            raise ValueError(f"{key}: is set by the entry itself")
        value[key] = given
    return _printed({key: _plain(key, given) for key, given in value.items()})


def decode(body: bytes) -> dict[str, str | int]:
    """What an entry says. Raises `ValueError` for bytes that `encode` would not have printed just so."""
    if is_ordinary(body):
        plain: dict[str, str | int] = json.loads(body)
        return plain
    return decoded_slowly(body)


def request_of(body: bytes) -> object:
    """The request that an entry names, None for none, at a glance. Raises as `decode`."""
    found = _glance(body)
    if found is None:
        return decoded_slowly(body).get("req")
    named: bytes | None = found["req"]
    return None if named is None else named.decode()


def decoded_slowly(body: bytes) -> dict[str, str | int]:
    """The same for any bytes, key by key: says what is wrong with those that are no entry."""
    try:
        value = json.loads(body.decode("ascii"))
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise ValueError("the entry is not JSON in ASCII") from None
    if not isinstance(value, dict):
        raise ValueError("the entry is not an object")  # noqa: TRY004 - because one error means "not an entry"
    if not value.keys() >= _DEMANDED:
        raise ValueError("the entry lacks its version, time or event")
    plain = {key: _plain(key, given) for key, given in value.items()}
    if plain["v"] != VERSION:
        raise ValueError("v: a version that this program does not know")
    try:
        EntryKind(str(plain["event"]))
    except ValueError:
        raise ValueError("event: not one of the list") from None
    if _printed(plain) != body:
        raise ValueError("the entry is not in the one spelling that the format allows")
    return plain


def _plain(key: str, given: object) -> str | int:
    if key in _NUMBERS:
        if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= LARGEST_NUMBER:
            raise ValueError(f"{key}: not a whole number from 0 to 2^53 - 1")
        return int(given)
    if key not in _STRINGS:
        raise ValueError("a key that is not in the format's table")
    if not isinstance(given, str):
        raise ValueError(f"{key}: not a string")  # noqa: TRY004 - because one error means "not an entry"
    text = str(given)
    if key in _COMMITMENTS:
        if not _HEX_256.match(text):
            raise ValueError(f"{key}: not 64 hex digits")
    elif key in _DATES:
        _demand_date(key, text)
    elif key == "rows":
        if not _ROWS.match(text):
            raise ValueError(f"{key}: not a list of digests of rows")
    # The one character every email address has; an entry outlives every erasure.
    elif len(text) > LONGEST_TEXT or not text.isascii() or not text.isprintable() or "@" in text:
        raise ValueError(f"{key}: not printable ASCII without @ of at most {LONGEST_TEXT} characters")
    return text


def _demand_date(key: str, text: str) -> None:
    try:
        is_spelled_so = date.fromisoformat(text).isoformat() == text
    except ValueError:
        is_spelled_so = False
    if not is_spelled_so:
        raise ValueError(f"{key}: not a date like 2026-11-20")


def _printed(value: Mapping[str, str | int]) -> bytes:
    body = canonical(value)
    if len(body) > LARGEST:
        raise ValueError(f"the entry has more than {LARGEST} bytes")
    return body


_SPELLING = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
"""Made once: a report prints every entry anew to compare it."""


def canonical(value: object) -> bytes:
    """JSON in its one spelling: keys sorted, no spaces, ASCII."""
    return _SPELLING.encode(value).encode("ascii")


def commitment(key: bytes, value: str | bytes) -> str:
    """HMAC-SHA256 in hex: says nothing without `key` and the value, and fits no other value.

    A string is committed to as UTF-8; an address is `address.normalised` first.
    """
    raw = value.encode() if isinstance(value, str) else value
    return hmac.new(key, raw, hashlib.sha256).hexdigest()


def authorship(key: bytes, name: str, account: str = "") -> str:
    """The `by` of an entry: who decided, and on which account of the operating system ("" where by a link or event)."""
    return commitment(key, canonical([name, account]))


def list_digest(processors: Iterable[str]) -> str:
    """SHA-256 in hex over the sorted names of the processors, each ended by a line feed: the `list` of `received`."""
    return hashlib.sha256("".join(f"{name}\n" for name in sorted(processors)).encode()).hexdigest()


def resp_digest(key: bytes, evidence_rows: Sequence[Mapping[str, str | int | None]]) -> str:
    """The keyed digest over one attempt's evidence rows, in their order: the `resp` of an entry.

    A row has exactly the keys endpoint, scope, status (None: no answer came), request_id, at (microseconds since the
    epoch), digest and note. Raises `ValueError` for any other shape.
    """
    for row in evidence_rows:
        if row.keys() != EVIDENCE_KEYS:
            raise ValueError("an evidence row with other keys than the format's")
        for name, value in row.items():
            wanted = int if name in {"at", "status"} else str
            if not (isinstance(value, wanted) or (name == "status" and value is None)) or isinstance(value, bool):
                raise ValueError(f"evidence: {name} is of the wrong type")
    return commitment(key, canonical([dict(row) for row in evidence_rows]))


def safe(text: str) -> str:
    """A vendor's id for a call, as an entry may hold it: letters, digits and ._:/- only, at most 80 of them."""
    return _UNSAFE.sub("", text)[:LONGEST_SAFE]
