"""What Eventbrite holds: organisations, events, orders, attendees, tokens; and what its privacy desk may do to them.

Source: the vendor notes on API v3, sections 1 to 5 and 8. Plain data and plain functions: no HTTP, no faults, no
counting. What the notes leave open is decided against the caller, or is a switch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from dpsync.sandbox.vendor import Unwilling

Json = dict[str, object]
HOUR = timedelta(hours=1)
HOURLY = 2_000
Shape = Literal["placeholder", "blank", "gone"]


class Refusal(Unwilling):
    """A no in the vendor's own words."""

    def __init__(self, status: int, error: str, description: str = "", *headers: tuple[str, str]) -> None:
        self.status = status
        self.error = error
        self.description = description or error.replace("_", " ").capitalize() + "."
        self.headers = headers
        super().__init__(error)


@dataclass(slots=True)
class Bucket:
    """Calls of one hour, from the first one on."""

    limit: int = HOURLY
    used: int = 0
    until: datetime | None = None

    def take(self, now: datetime) -> bool:
        """Counts one call; whether it is still within the limit."""
        if self.until is None or now >= self.until:
            self.used, self.until = 0, now + HOUR
        self.used += 1
        return self.used <= self.limit

    def shown(self, now: datetime) -> str:
        """As the header says it: used/limit and the seconds to the refill."""
        left = self.until - now if self.until else HOUR
        return f"{min(self.used, self.limit)}/{self.limit} reset={max(0, round(left.total_seconds()))}s"


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


@dataclass(slots=True)
class Records:
    """Everything at the vendor but the tokens. Ids are counted, so that runs repeat."""

    organizations: dict[str, str] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    attendees: dict[str, Attendee] = field(default_factory=dict)
    hooks: dict[str, Hook] = field(default_factory=dict)
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
    """One effect, on the order or attendee `record` of an event; `address` as it stood before, `now` afterwards."""

    kind: str
    action: str
    event_id: str
    record: Order | Attendee | None
    address: str
    now: str = ""


NOTHING: Json = {"display": "£0.00", "currency": "GBP", "value": 0, "major_value": "0.00"}


def stamp(at: datetime) -> str:
    """Seconds, in UTC."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def folded(address: str) -> str:
    """The form in which two spellings are one address."""
    return address.strip().lower()


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


def anonymise(records: Records, address: str, shape: Shape, now: datetime) -> list[Change]:
    """Takes the person out of every record that is of this address; what others wrote of them stays, as in life."""
    changes: list[Change] = []
    for order in [one for one in records.orders.values() if folded(one.email) == folded(address)]:
        changes.append(Change("anonymised", "order.updated", order.event_id, order, order.email))
        if shape == "gone":
            del records.orders[order.id]
        order.first_name, order.last_name, order.email = _nobody(order.id, shape)
        order.answers, order.refund_requests, order.changed, order.opted_in = [], [], now, False
    for one in [one for one in records.attendees.values() if folded(address_of(one)) == folded(address)]:
        changes.append(Change("anonymised", "attendee.updated", one.event_id, one, address_of(one)))
        if shape == "gone":
            del records.attendees[one.id]
        first, last, email = _nobody(one.id, shape)
        one.profile = {"name": f"{first} {last}".strip(), "first_name": first, "last_name": last, "email": email}
        one.answers, one.changed, one.opted_in = [], now, False
    return changes


def correct(records: Records, address: str, to: str, first: str, last: str, now: datetime) -> list[Change]:
    """Gives every record of this address another address, and another name where one is given."""
    changes: list[Change] = []
    for order in records.orders.values():
        if folded(order.email) == folded(address):
            order.email, order.changed = to or order.email, now
            order.first_name, order.last_name = first or order.first_name, last or order.last_name
            changes.append(Change("rectified", "order.updated", order.event_id, order, address, order.email))
    for one in records.attendees.values():
        if folded(address_of(one)) == folded(address):
            one.profile |= {name: value for name, value in (("first_name", first), ("last_name", last)) if value}
            one.profile |= {"name": f"{one.profile['first_name']} {one.profile['last_name']}".strip()}
            one.profile["email"], one.changed = to or address_of(one), now
            changes.append(Change("rectified", "attendee.updated", one.event_id, one, address, address_of(one)))
    return changes


def unsubscribe(records: Records, address: str, now: datetime) -> list[Change]:
    """The marketing opt-in of an address goes."""
    changes: list[Change] = []
    for record in records.all():
        if folded(address_of(record)) == folded(address) and record.opted_in:
            record.opted_in, record.changed = False, now
            action = "order.updated" if isinstance(record, Order) else "attendee.updated"
            changes.append(Change("unsubscribed", action, record.event_id, record, address, address))
    return changes


def cancel(records: Records, address: str, *, refund: bool, now: datetime) -> list[Change]:
    """Takes back the tickets of an address: a state of the ticket, which keeps every field of the person."""
    changes: list[Change] = []
    for one in records.attendees.values():
        order = records.orders.get(one.order_id)
        if folded(address) in {folded(address_of(one)), folded(order.email) if order else ""}:
            one.status, one.cancelled, one.refunded, one.changed = "Not Attending", True, refund, now
            changes.append(Change("cancelled", "attendee.updated", one.event_id, one, address, address))
            if order is not None and folded(order.email) == folded(address):
                order.status, order.changed = "refunded" if refund else "cancelled", now
    return changes


def _nobody(record_id: str, shape: Shape) -> tuple[str, str, str]:
    # What an anonymised record looks like is not documented: nobody may rely on either of these.
    return ("", "", "") if shape == "blank" else ("Removed", "Person", f"removed-{record_id}@privacy.example.org")


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
