"""What the account's webhook tells of somebody who unsubscribed or complained, and what the contact itself says of it.

Source: developers.brevo.com, pages on marketing webhooks and batched webhooks, and get-contact-info, as read in
November 2026. Nothing is signed. The blocklist holds whom nothing reaches (a bounce) as well as who left, so a contact
on it is asked for its statistics; how far back these go by themselves is not documented.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from dpsync import strict_json
from dpsync.connector import Instruction, ObservesOptOuts, OptOutHint
from dpsync.connectors.brevo.calls import BLOCKS, PLACE, Calls
from dpsync.errors import PayloadInvalid
from dpsync.vendor.deliveries import moment, part
from dpsync.vendor.errors import unreadable

LEAVING: Final = ("unsubscribe", "unsubscribed", "spam")
"""What an event is called that says so: by the page on webhooks, and as it is called where one is registered. It is
compared with whatever a stranger wrote there, also with what has no hash.
"""
_LEFT: Final = ("userUnsubscription", "adminUnsubscription")


class AccountOptOuts(ObservesOptOuts):
    """What Brevo tells of people who opt out there."""

    @abstractmethod
    def calls(self, order: Instruction | None) -> Calls:
        """Those of one instruction."""

    def opt_out_hints(self, body: bytes) -> tuple[OptOutHint, ...]:
        """Who unsubscribed or complained, by one delivery: an event, or a batch of them."""
        return hints_in(body)

    def opted_out_at(self, hint: OptOutHint) -> datetime | None:
        """What the contact says of it now."""
        return opted_out_at(self.calls(None), hint)


def hints_in(body: bytes) -> tuple[OptOutHint, ...]:
    """Each once who left; nobody for every other event. Raises `PayloadInvalid`."""
    # names of campaigns and reasons hold what strangers wrote
    told = strict_json.load(body, quoting=True)
    events = told if isinstance(told, list) else [told]
    return tuple(OptOutHint(address, PLACE) for address in dict.fromkeys(_leaving(events)))


def _leaving(events: Iterable[object]) -> Iterator[str]:
    for event in events:
        if not isinstance(event, dict):
            raise PayloadInvalid("", "is not an event")
        if event.get("event") not in LEAVING:
            continue
        address = event.get("email")
        if not isinstance(address, str) or "@" not in address:
            raise PayloadInvalid("email", "is not an e-mail address")
        yield address.strip()


def opted_out_at(calls: Calls, hint: OptOutHint) -> datetime | None:
    """Since when the contact is on the blocklist because somebody left; None where it is not. Raises `Ended`.

    A bounce after that shows that they were written to again: then they are on it because of the bounce. Where nothing
    says why, they are taken for somebody who left, as of the last change.
    """
    for spelling in dict.fromkeys((hint.address, hint.address.lower())):
        found = calls.record(spelling)
        if found is not None:
            return _since(found) if found[BLOCKS[0]] else None
    return None


def _since(found: Mapping[str, object]) -> datetime | None:
    shown = part(found, "statistics")
    reasons = part(shown, "unsubscriptions")
    left = [*(one for name in _LEFT for one in _times(reasons, name)), *_times(shown, "complaints")]
    bounced = _times(shown, "hardBounces")
    if bounced and (not left or max(bounced) > max(left)):
        return None
    return max(left) if left else _moment(found.get("modifiedAt"))


def _times(shown: Mapping[str, object], name: str) -> list[datetime]:
    rows = shown.get(name) or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise unreadable()
    return [_moment(row.get("eventTime")) for row in rows]


def _moment(value: object) -> datetime:
    try:
        return moment(value, "eventTime")
    except PayloadInvalid:
        raise unreadable() from None
