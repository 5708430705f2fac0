"""What Eventbrite holds: organisations, events, orders, attendees, tokens, webhooks. Plain data.

Source: the vendor notes on API v3, sections 1 to 5 and 8.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from dpsync.sandbox.asked import Json, folded
from dpsync.sandbox.buckets import Bucket

HOURLY = 2_000
Shape = Literal["placeholder", "blank", "gone"]


@dataclass(slots=True)
class Token:
    """What stands behind one credential. A public token sees no private thing; an API key is no bearer token."""

    value: str
    kind: Literal["private", "public", "api_key"] = "private"
    organizations: tuple[str, ...] = ()
    key: str = "APPKEY"
    bucket: Bucket = field(default_factory=Bucket)


@dataclass(slots=True)
class Attendee:
    """One ticket. `opted_in`: the marketing opt-in of its address."""

    id: str
    event_id: str
    order_id: str
    created: datetime
    changed: datetime
    profile: Json
    answers: list[Json] = field(default_factory=list)
    status: str = "Attending"
    cancelled: bool = False
    refunded: bool = False
    opted_in: bool = True

    def body(self, url: str) -> Json:
        """In the vendor's shape, without expansions."""
        return {
            "id": self.id,
            "created": stamp(self.created),
            "changed": stamp(self.changed),
            "event_id": self.event_id,
            "order_id": self.order_id,
            "ticket_class_id": "61",
            "ticket_class_name": "Free entry",
            "variant_id": None,
            "quantity": 1,
            "status": self.status,
            "checked_in": self.status == "Checked In",
            "cancelled": self.cancelled,
            "refunded": self.refunded,
            "delivery_method": "electronic",
            "guestlist_id": None,
            "invited_by": None,
            "team": None,
            "affiliate": None,
            "costs": {"gross": NOTHING},
            "profile": dict(self.profile),
            "barcodes": [{"barcode": f"{self.order_id}{self.id}001", "status": "unused", "is_printed": False}],
            "resource_uri": f"{url}/v3/events/{self.event_id}/attendees/{self.id}/",
        }


@dataclass(slots=True)
class Order:
    """What one buyer bought. `status`: "placed", "refunded", "cancelled" or "deleted"; `expired`: never completed."""

    id: str
    event_id: str
    created: datetime
    changed: datetime
    first_name: str
    last_name: str
    email: str
    answers: list[Json] = field(default_factory=list)
    refund_requests: list[Json] = field(default_factory=list)
    status: str = "placed"
    expired: bool = False
    opted_in: bool = True

    def body(self, url: str) -> Json:
        """In the vendor's shape, without expansions."""
        return {
            "id": self.id,
            "created": stamp(self.created),
            "changed": stamp(self.changed),
            "name": name_of(self),
            "first_name": self.first_name,
            "last_name": self.last_name,
            "email": self.email,
            "status": self.status,
            "time_remaining": None,
            "event_id": self.event_id,
            "costs": {"gross": NOTHING},
            "resource_uri": f"{url}/v3/orders/{self.id}/",
        }


@dataclass(slots=True)
class Hook:
    """One webhook of an organisation; `event_id` None: of all its events."""

    id: str
    organization_id: str
    endpoint_url: str
    actions: tuple[str, ...]
    event_id: str | None = None

    def body(self) -> Json:
        """As the API shows it."""
        return {
            "id": self.id,
            "endpoint_url": self.endpoint_url,
            "actions": ",".join(self.actions),
            "event_id": self.event_id,
        }


@dataclass(slots=True)
class Event:
    """One event of an organisation."""

    id: str
    organization_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a continuation token leads: into the same query, from one position on."""

    query: str
    offset: int
    until: datetime


@dataclass(slots=True)
class Records:
    """Everything at the vendor but the tokens. Ids are counted, so that runs repeat."""

    organizations: dict[str, str] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    attendees: dict[str, Attendee] = field(default_factory=dict)
    hooks: dict[str, Hook] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    counted: int = 0

    def next_id(self, first: int) -> str:
        """A new id, of the range that starts with `first`."""
        self.counted += 1
        return str(first + self.counted)

    def all(self) -> list[Order | Attendee]:
        """Every order and every ticket."""
        return [*self.orders.values(), *self.attendees.values()]

    def organization_of(self, event_id: str) -> str:
        """Whose event it is."""
        return self.events[event_id].organization_id


@dataclass(frozen=True, slots=True)
class Change:
    """One effect, on the order or attendee `record` of an event; `before` and `after`: its address."""

    kind: str
    action: str
    event_id: str
    record: Order | Attendee | None = None
    before: str = ""
    after: str = ""

    @property
    def place(self) -> str:
        """The record, or the event."""
        return self.record.id if self.record else self.event_id

    @property
    def address(self) -> str:
        """The address afterwards; where none is left, that before."""
        return self.after or self.before

    @property
    def was(self) -> str:
        """The address before, where it changed."""
        return self.before if folded(self.after) != folded(self.before) else ""


NOTHING: Json = {"display": "£0.00", "currency": "GBP", "value": 0, "major_value": "0.00"}


def stamp(at: datetime) -> str:
    """Seconds, in UTC."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def address_of(record: Order | Attendee) -> str:
    """The address a record is of."""
    return record.email if isinstance(record, Order) else str(record.profile.get("email", ""))


def name_of(record: Order | Attendee) -> str:
    """The name on a record."""
    if isinstance(record, Order):
        return f"{record.first_name} {record.last_name}".strip()
    return str(record.profile.get("name", ""))


def names(record: Order | Attendee, address: str) -> bool:
    """Whether the address stands anywhere in a record, free text included."""
    wanted = folded(address)
    return any(wanted in text for text in _texts(_personal(record)))


def _personal(record: Order | Attendee) -> object:
    if isinstance(record, Order):
        return [record.email, record.first_name, record.last_name, record.answers, record.refund_requests]
    return [record.profile, record.answers]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _texts(one)
    else:
        yield str(value).lower()
