"""What an audience's webhook tells of somebody who unsubscribed, and what the audience itself says of it.

Source: the vendor's page on webhooks, as read in August 2026. The webhook's form is not signed, and a mere edit or an
archiving looks much like it, so it is never more than a reason to look.
"""

from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl

from dpsync.connector import OptOutHint, Reply
from dpsync.connectors.mailchimp.calls import LIST_ID, Calls, hashed
from dpsync.errors import PayloadInvalid
from dpsync.vendor.deliveries import identifier, moment
from dpsync.vendor.errors import unreadable

FIELDS: Final = "id,list_id,status,last_changed"
MOST_FIELDS = 500
"""Merge fields of an audience are sent along, each a field of the form."""


def hints_in(body: bytes) -> tuple[OptOutHint, ...]:
    """Who unsubscribed, as a delivery has it; nobody for every other event. Raises `PayloadInvalid`."""
    try:
        form = dict(parse_qsl(body.decode(), max_num_fields=MOST_FIELDS))
    except ValueError:
        raise PayloadInvalid("", "is not a form") from None
    # Archived by somebody at the controller, or by us, is no wish of the person. An older webhook names no action.
    if form.get("type") != "unsubscribe" or form.get("data[action]") == "delete":
        return ()
    place = identifier(form.get("data[list_id]"), "data[list_id]", LIST_ID, needed=True)
    address = form.get("data[email]", "").strip()
    if "@" not in address:
        raise PayloadInvalid("data[email]", "is not an e-mail address")
    return (OptOutHint(address, place),)


def opted_out_at(calls: Calls, hint: OptOutHint) -> datetime | None:
    """Since when the audience calls the contact unsubscribed; None where it does not. Raises `Ended`."""
    member = hashed(hint.address)
    reply: Reply = calls.lists.get_list_member(hint.place, member, fields=FIELDS)
    if calls.not_there(reply, hint.place):
        return None
    found = calls.object_in(reply)
    if found.get("id") != member or found.get("list_id") != hint.place:
        raise unreadable()
    if found.get("status") != "unsubscribed":
        return None
    try:
        return moment(found.get("last_changed"), "last_changed")
    except PayloadInvalid:
        raise unreadable() from None
