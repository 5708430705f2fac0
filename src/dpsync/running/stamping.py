"""The daily checkpoint, stamped with the time by an authority (RFC 3161): what it signs was there before that moment.

The raw reply is kept, whatever the library makes of it: real authorities send encodings that it refuses, and that
others accept (`openssl ts -verify`). What is stamped are the three lines that our key signs, so that lines of witnesses
change nothing.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sqlalchemy import Connection

from dpsync import paths
from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern
from dpsync.connector_services import NoAnswer
from dpsync.extras import loaded
from dpsync.installation import Installation
from dpsync.ledger import entry, note
from dpsync.ledger.entry import EntryKind
from dpsync.settings.sections import StampSection
from dpsync.store import meta
from dpsync.store.writer import Unit

if TYPE_CHECKING:
    from rfc3161_client import TimeStampRequest

LARGEST = 64 * 1024
SKEW = timedelta(minutes=1)
"""More than that between the authority's clock and ours is told of."""
PATIENCE = timedelta(days=3)
_KEY = "stamped:"
_GIVEN = "application/timestamp-reply"
_SEQUENCE = b"\x30"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What was found in a reply. `kept`: whether it is a stamp of ours, or may be; `why`: what is wrong, "" if nothing.

    `at`: the time that it states; None where the library cannot read it.
    """

    kept: bool
    why: str = ""
    at: datetime | None = None


def ask(there: Installation, now: datetime) -> None:
    """Have each authority stamp today's checkpoint that has not done it yet. What fails is tried again."""
    today, signed = now.astimezone(there.zone).date(), ""
    for one in there.settings.ledger.stamps:
        name = name_of(one)
        last = there.read(lambda connection, name=name: newest(connection, name))  # type: ignore[misc]  # because mypy does not infer a lambda's default
        if (last is None or last < today) and not there.custody.unrecovered:
            signed = signed or there.anchor(now)
            _ask(there, one, last, signed, now)


def newest(connection: Connection, name: str) -> date | None:
    """On which day this authority stamped last; None before the first."""
    value = meta.value_of(connection, f"{_KEY}{name}")
    return None if value is None else date.fromisoformat(value)


def name_of(one: StampSection) -> str:
    """What an authority is called in the names of files, and in entries."""
    return entry.safe(urlsplit(one.url).netloc).replace(":", "-").replace("/", "-")


def _ask(there: Installation, one: StampSection, last: date | None, signed: str, now: datetime) -> None:
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    head = note.parse(signed)[0]
    body = head.text.encode()
    query = TimestampRequestBuilder().data(body).hash_algorithm(HashAlgorithm.SHA256).build()
    raw, why = _reply(there, one, query.as_bytes())
    if why:
        if last is None or now.astimezone(there.zone).date() - last > PATIENCE:
            _tell(there, name_of(one), why, now)
        return
    try:
        found = read(raw, query, body, one)
    except paths.Unusable as wrong:
        found = Stamp(kept=False, why=wrong.trouble.told("put the file in [ledger] stamps back"))
    if found.kept:
        there.custody.anchors.write_stamp(head.size, name_of(one), query.as_bytes(), raw)
        there.write(lambda unit: _note(unit, one, head.size, raw, found, now, there))
    if found.at and abs(found.at - now) > SKEW:
        _tell(there, name_of(one), "its clock and ours differ by more than a minute", now)
    if found.why:
        _tell(there, name_of(one), found.why, now)


def _reply(there: Installation, one: StampSection, query: bytes) -> tuple[bytes, str]:
    """What came back, or why there is none."""
    headers = {"Content-Type": "application/timestamp-query"}
    try:
        reply = there.http.call("POST", one.url, template="/", headers=headers, body=query)
    except NoAnswer as failure:
        return b"", failure.reason
    kind = reply.headers.get("content-type", "").partition(";")[0].strip()
    if reply.status != 200 or kind != _GIVEN or len(reply.body) > LARGEST:
        return b"", f"no time stamp came (status {reply.status})"
    return reply.body, ""


def read(raw: bytes, query: "TimeStampRequest", body: bytes, one: StampSection) -> Stamp:
    """What a reply to `query` is, over `body`. Raises `paths.Unusable` where the root certificate cannot be read."""
    from cryptography.x509 import ObjectIdentifier, load_pem_x509_certificates
    from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

    try:
        roots = load_pem_x509_certificates(paths.read(one.root))
    except ValueError:
        return Stamp(kept=False, why=f"{one.root} holds no certificate")
    try:
        reply = decode_timestamp_response(raw)
    except ValueError:
        strict = "the library cannot read the reply. It is kept: check it with `openssl ts -verify`"
        return Stamp(kept=raw.startswith(_SEQUENCE), why=strict)
    try:
        # anew each time: a builder that is used again keeps the roots of before
        policy = ObjectIdentifier(one.policy) if one.policy else None
        VerifierBuilder(policy_id=policy, nonce=query.nonce, roots=roots).build().verify_message(reply, body)
        at = reply.tst_info.gen_time
    except VerificationError as wrong:
        return Stamp(kept=False, why=_SAID.get(str(wrong), "its signature or certificate does not hold"))
    except ValueError:
        return Stamp(kept=False, why="it refused to stamp, or its reply holds no time stamp")
    return Stamp(kept=True, at=at)


_SAID = {
    "Nonce mismatch": "it answered another question than ours: an old reply, or somebody in between",
    "Policy ID mismatch": "it stamped under another policy than [ledger] stamps names",
    "Mismatch between messages": "it stamped something else than our checkpoint",
    "PKIStatus is not GRANTED": "it refused to stamp, or changed what we asked for",
}


def _note(
    unit: Unit, one: StampSection, size: int, raw: bytes, found: Stamp, now: datetime, there: Installation
) -> None:
    meta.put(unit.connection, f"{_KEY}{name_of(one)}", now.astimezone(there.zone).date().isoformat())
    cause = "verified" if found.at else "unread"
    said = entry.encode(
        EntryKind.ANCHOR, now, n=size, name=name_of(one), digest=sha256(raw).hexdigest(), kind="stamp", cause=cause
    )
    unit.append(None, said)


def _tell(there: Installation, name: str, why: str, now: datetime) -> None:
    there.tell(
        cause=AlertCause.STAMP,
        role="operator",
        subject="Something is wrong with the time stamp of the ledger's checkpoint",
        body="dpsync tries again every hour where it has none for today. Look at [ledger] stamps.",
        now=now,
        concerns=[Concern(f"{name}/{why}", f"{name}: {why}")],
    )


def demand_library() -> None:
    """Refuse to begin where time stamps are asked for and cannot be read. Raises `ExtraMissing`."""
    loaded("stamps", "[ledger] stamps")
