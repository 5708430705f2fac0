"""What the privacy desk, a person or the organiser may do to orders and attendees by hand; no call does any of it.

Source: the vendor notes on API v3, sections 4, 5 and 8. What they leave open is decided against the caller, or is a
switch.
"""

from datetime import datetime

from dpsync.sandbox.asked import folded
from dpsync.sandbox.eventbrite.records import Change, Order, Records, Shape, address_of


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
