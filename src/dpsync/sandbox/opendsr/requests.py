"""Requests as the three kinds of OpenDSR have them: read, checked, and shown.

Source: opengdpr/OpenDSR, specification.md; AppsFlyer's OpenAPI file 1.0; mParticle's page on its API version 3.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from dpsync.sandbox.asked import Json, folded
from dpsync.sandbox.vendor import Refusal

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
STANDARD, APPSFLYER, MPARTICLE = "standard", "appsflyer", "mparticle"
TYPES = {
    STANDARD: ("controller_customer_id", "email", "android_advertising_id", "ios_advertising_id", "ios_vendor_id"),
    APPSFLYER: ("appsflyer_id", "customer_user_id", "android_advertising_id", "ios_advertising_id", "idfv"),
    MPARTICLE: ("controller_customer_id", "email", "android_advertising_id", "ios_advertising_id", "ios_vendor_id"),
}
SPELT = {"in_progress": "in-progress", "cancelled": "canceled"}
Identity = tuple[str, str]


@dataclass(slots=True)
class Person:
    """Whom it holds."""

    email: str
    ids: dict[str, str] = field(default_factory=dict)

    def known_as(self, one: Identity) -> bool:
        """Whether an identity is theirs."""
        kind, value = one
        return folded(value) == folded(self.email) if kind == "email" else self.ids.get(kind) == value


@dataclass(slots=True)
class Wanted:
    """One request that was taken. `body`: as it came. `told`: the status that callbacks told of last."""

    id: str
    kind: str
    dialect: str
    identities: tuple[Identity, ...]
    callbacks: tuple[str, ...]
    body: bytes = field(repr=False)
    received: datetime
    expected: datetime
    status: str = "pending"
    told: str = ""

    @property
    def is_open(self) -> bool:
        """Whether anything is still to come."""
        return self.status in ("pending", "in_progress")

    def shown(self, *, nulls: bool) -> Json:
        """Its status, in the words of its dialect."""
        status = SPELT.get(self.status, self.status) if self.dialect == APPSFLYER else self.status
        said: Json = {"controller_id": "4308", "expected_completion_time": moment(self.expected)}
        said |= {"subject_request_id": self.id, "request_status": status}
        return said | {"results_url": None, "results_count": None, "extensions": None} if nulls else said

    def taken(self) -> Json:
        """The answer to who asked."""
        said = {"controller_id": "4308", "expected_completion_time": moment(self.expected)}
        copy = base64.b64encode(self.body).decode()
        return {**said, "received_time": moment(self.received), "encoded_request": copy, "subject_request_id": self.id}


def moment(at: datetime) -> str:
    """As RFC 3339 has it."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def no(message: str, reason: str = "Validation", code: str = "") -> Refusal:
    """A 400, the one status of an error. `code`: AppsFlyer's own."""
    return Refusal(400, message, code=code, reason=reason)


def read(said: Mapping[str, object], dialect: str) -> tuple[str, str, tuple[Identity, ...], tuple[str, ...]]:
    """Id, type, identities and callbacks of a request. Raises `Refusal` that names the field, and nobody."""
    if dialect != APPSFLYER and said.get("regulation") not in ("gdpr", "ccpa"):
        raise no("regulation is required")
    if dialect == APPSFLYER and not isinstance(said.get("property_id"), str):
        raise no("property_id is invalid", code="e317")
    name, kind, at = (said.get(one) for one in ("subject_request_id", "subject_request_type", "submitted_time"))
    if not isinstance(name, str) or not UUID4.fullmatch(name):
        raise no("subject_request_id must be a UUID of version 4", code="e313")
    if kind not in ("erasure", "access", "portability"):
        raise no("subject_request_type is not supported", code="e322")
    if not isinstance(at, str) or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", at):
        raise no("submitted_time must be a date", code="e314")
    known = tuple(_identities(said.get("subject_identities"), dialect))
    if not known:
        raise no("subject_identities is required", code="e324")
    urls = said.get("status_callback_urls", [])
    if not isinstance(urls, list) or not all(isinstance(one, str) for one in urls):
        raise no("status_callback_urls must be a list", code="e316")
    return name, str(kind), known, tuple(urls)


def _identities(said: object, dialect: str) -> Iterator[Identity]:
    match said:
        case dict() if dialect == MPARTICLE:
            rows = [(kind, one, "value", "encoding") for kind, one in said.items()]
        case list() if dialect != MPARTICLE:
            rows = [(one.get("identity_type"), one, "identity_value", "identity_format") for one in said]
        case _:
            raise no("subject_identities has another form", code="e323")
    for kind, one, value, form in rows:
        if kind not in TYPES[dialect]:
            raise no("identity_type is not supported", code="e318")
        if one.get(form) != "raw" or not isinstance(one.get(value), str):
            raise no("an identity must be raw", code="e325")
        yield str(kind), str(one[value])
