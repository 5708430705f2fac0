"""What a request of OpenDSR asks for, as our own shape has it. Pure.

What cannot be taken to the letter is refused, and the field is named, never what stands there: a person whom we looked
for under half of what names them would be called erased. Source: opengdpr/OpenDSR, specification.md, section 7.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from dpsync import strict_json
from dpsync.address import normalised
from dpsync.errors import PayloadInvalid
from dpsync.intake.payload import parse_request
from dpsync.intake.receipt_time import believed
from dpsync.model import Request, Right
from dpsync.opendsr_protocol import (
    IdentityFormat,
    IdentityType,
    Regulation,
    RequestType,
    is_request_id,
    moment,
)
from dpsync.urls import is_at

IDENTITIES: Final = (IdentityType.EMAIL, IdentityType.CONTROLLER_CUSTOMER_ID)
"""By what a person can be named here; each of them as it is, for nobody finds a person by a hash in every system."""

_MOST: Final = 20
_MOST_IDENTITIES: Final = 100
"""Some callers name an address in each of its spellings."""

_FIELDS: Final = frozenset(
    {
        "regulation",
        "subject_request_id",
        "subject_request_type",
        "submitted_time",
        "subject_identities",
        "api_version",
        "status_callback_urls",
        "extensions",
    }
)
_IDENTITY: Final = frozenset({"identity_type", "identity_value", "identity_format"})
_VERSION: Final = re.compile(r"[12](\.[0-9]{1,3}){0,2}")


@dataclass(frozen=True, slots=True)
class Handed:
    """A request that was handed over, and where news of its status is wanted. `misdated`: as of `acceptance.Asked`."""

    request: Request
    callbacks: tuple[str, ...] = field(repr=False)
    misdated: bool = False


def read(
    body: bytes, *, source: str, domain: str, allowed: Collection[str], now: datetime, rehearsal: bool = False
) -> Handed:
    """What a body asks for. `allowed`: the hosts that callbacks may go to, as https://host. Raises `PayloadInvalid`."""
    asked = strict_json.load(body, quoting=True)  # an extension for somebody else may hold anything
    if not isinstance(asked, dict):
        raise PayloadInvalid("", "must be an object")
    if asked.keys() - _FIELDS:
        raise PayloadInvalid("*", "unknown field")
    # null says as little as nothing: some senders write each field out.
    asked = {name: value for name, value in asked.items() if value is not None}
    _one_of(asked, "regulation", Regulation)
    request_id = asked.get("subject_request_id")
    if request_id is None:
        raise PayloadInvalid("subject_request_id", "missing")
    if not isinstance(request_id, str) or not is_request_id(request_id):
        raise PayloadInvalid("subject_request_id", "must be a UUID of version 4 in small letters")
    if _one_of(asked, "subject_request_type", RequestType) != RequestType.ERASURE:
        raise PayloadInvalid("subject_request_type", "must be erasure: nothing else is done here")
    _demand_version(asked.get("api_version"))
    _demand_no_extension(asked.get("extensions"), domain)
    callbacks = _callbacks(asked.get("status_callback_urls", []), allowed, rehearsal=rehearsal)
    data = {"right": Right.ERASURE.value, "subject": _subject(asked.get("subject_identities"), source)}
    submitted = moment(asked.get("submitted_time"))
    if submitted is None:
        problem = "is not a time, as in 2026-11-20T09:00:00Z" if "submitted_time" in asked else "missing"
        raise PayloadInvalid("submitted_time", problem)
    received = believed(submitted, now)
    if received is not None:
        data["received_at"] = received.isoformat()
    return Handed(_request(data, source, request_id, now), callbacks, misdated=received is None)


def _request(data: Mapping[str, object], source: str, request_id: str, now: datetime) -> Request:
    try:
        strict_json.load(json.dumps(data).encode())  # what is taken must be clean, whatever the rest holds
        return parse_request(data, source=source, event_id=request_id, now=now)
    except PayloadInvalid as refusal:
        problem = refusal.problem
    raise PayloadInvalid("subject_identities", f"holds an identity_value that cannot be used: {problem}")


def _one_of(asked: Mapping[str, object], name: str, words: type[Regulation] | type[RequestType]) -> object:
    value = asked.get(name)
    if value is None:
        raise PayloadInvalid(name, "missing")
    if not isinstance(value, str) or value not in {*words}:
        raise PayloadInvalid(name, f"must be {' or '.join(words)}")
    return value


def _demand_version(version: object) -> None:
    if version is not None and not (isinstance(version, str) and _VERSION.fullmatch(version)):
        raise PayloadInvalid("api_version", "must be 2.0 or 1.0")


def _demand_no_extension(extensions: object, domain: str) -> None:
    if extensions is not None and not isinstance(extensions, dict):
        raise PayloadInvalid("extensions", "must be an object")
    if any(f"{name}".lower() == domain for name in extensions or ()):
        raise PayloadInvalid("extensions", f"{domain} has no extension")


def _callbacks(urls: object, allowed: Collection[str], *, rehearsal: bool) -> tuple[str, ...]:
    if not isinstance(urls, list) or len(urls) > _MOST:
        raise PayloadInvalid("status_callback_urls", f"must be a list of {_MOST} addresses or fewer")
    for url in urls:
        if not isinstance(url, str) or not any(is_at(url, host, rehearsal=rehearsal) for host in allowed):
            raise PayloadInvalid("status_callback_urls", "holds an address at a host that was not agreed on")
    return tuple(dict.fromkeys(urls))


def _subject(identities: object, source: str) -> dict[str, object]:
    """Whom it is about, in the form of a request."""
    if identities is None:
        raise PayloadInvalid("subject_identities", "missing")
    if not isinstance(identities, list) or not 0 < len(identities) <= _MOST_IDENTITIES:
        raise PayloadInvalid("subject_identities", f"must be a list of 1 to {_MOST_IDENTITIES} identities")
    named = [_identity(one) for one in identities]
    first: dict[str, str] = {}
    for kind, value in named:
        if kind is IdentityType.EMAIL:
            first.setdefault(normalised(value), value)
    emails = [*first.values()]
    ids = dict.fromkeys(value for kind, value in named if kind is IdentityType.CONTROLLER_CUSTOMER_ID)
    if len(ids) > 1:
        raise PayloadInvalid("subject_identities", "holds two values of controller_customer_id: send a request of each")
    found: dict[str, object] = {}
    if ids:
        # Two controllers number their people each for itself: 4711 here is not 4711 there.
        found["id"] = f"{source}:{next(iter(ids))}"
    if emails:
        found |= {"email": emails[0], "other_emails": emails[1:]}
    return found


def _identity(one: object) -> tuple[IdentityType, str]:
    if not isinstance(one, dict) or one.keys() - _IDENTITY:
        raise PayloadInvalid("subject_identities", f"must hold objects of {', '.join(sorted(_IDENTITY))} alone")
    kind, value, form = (one.get(name) for name in ("identity_type", "identity_value", "identity_format"))
    if not isinstance(kind, str) or kind not in IDENTITIES:
        known = " and ".join(IDENTITIES)
        raise PayloadInvalid("subject_identities", f"holds an identity_type that finds nobody here: {known} do")
    if form != IdentityFormat.RAW:
        raise PayloadInvalid(
            "subject_identities", "holds an identity_format other than raw: nobody is found by a hash everywhere"
        )
    if not isinstance(value, str) or not value.strip():
        raise PayloadInvalid("subject_identities", "holds an identity_value that is empty or no text")
    return IdentityType(kind), value.strip()
