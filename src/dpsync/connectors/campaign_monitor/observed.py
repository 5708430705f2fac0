"""What a list's webhook tells of people who left it, and what the list itself says of them.

Source: the reference of API v3.3 and staff answers in its forum, as read in November 2026. A webhook is not signed, has
no id, and tells of what the API did, too: it is never more than a reason to look.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from dpsync import strict_json
from dpsync.connector import Instruction, Kit, ObservesOptOuts, OptOutHint
from dpsync.connectors.campaign_monitor.calls import ID, NOT_IN_LIST, Calls, CampaignMonitorSettings, Client
from dpsync.connectors.campaign_monitor.records import OBJECTED, member_in
from dpsync.errors import PayloadInvalid
from dpsync.vendor.deliveries import identifier, moment
from dpsync.vendor.errors import unreadable

LEFT: Final = OBJECTED | {"Suppressed"}
"""What a record may say of somebody of whom the webhook said that they unsubscribed: that may suppress them, too."""

_QUARTER: Final = timedelta(minutes=15)
_FURTHEST: Final = timedelta(hours=16)


class ListOptOuts(ObservesOptOuts):
    """What Campaign Monitor tells of people who opt out there."""

    _settings: CampaignMonitorSettings
    _kit: Kit

    @abstractmethod
    def calls(self, order: Instruction | None) -> Calls:
        """Those of one instruction."""

    @abstractmethod
    def places(self, calls: Calls) -> Iterable[Client]:
        """Every client with all its lists."""

    def opt_out_hints(self, body: bytes) -> tuple[OptOutHint, ...]:
        """Who left a list by their own wish, by one delivery of up to 1,000 events."""
        return hints_in(body)

    def opted_out_at(self, hint: OptOutHint) -> datetime | None:
        """What the list says of it now: of the clients that this section names, where it names any."""
        calls = self.calls(None)
        named = not self._settings.clients or any(hint.place in client.lists for client in self.places(calls))
        return opted_out_at(calls, hint, self._kit.clock.now()) if named else None


def hints_in(body: bytes) -> tuple[OptOutHint, ...]:
    """Each once who unsubscribed, or complained; nobody for every other event. Raises `PayloadInvalid`."""
    # names and custom fields hold what strangers wrote
    told = strict_json.load(body, quoting=True)
    events = told.get("Events") if isinstance(told, dict) else None
    if not isinstance(told, dict) or not isinstance(events, list):
        raise PayloadInvalid("Events", "is not a list")
    addresses = dict.fromkeys(_leaving(events))
    if not addresses:
        return ()
    place = identifier(told.get("ListID"), "ListID", ID, needed=True)
    return tuple(OptOutHint(address, place) for address in addresses)


def _leaving(events: Iterable[object]) -> Iterator[str]:
    for event in events:
        if not isinstance(event, dict):
            raise PayloadInvalid("Events", "is not a list of objects")
        # Bounced, or deleted by somebody at the controller or by us, is no wish of the person.
        if event.get("Type") != "Deactivate" or event.get("State") not in tuple(OBJECTED):
            continue
        address = event.get("EmailAddress")
        if not isinstance(address, str) or "@" not in address:
            raise PayloadInvalid("Events[].EmailAddress", "is not an e-mail address")
        yield address.strip()


def opted_out_at(calls: Calls, hint: OptOutHint, now: datetime) -> datetime | None:
    """Since when the list says that the person left it; None where it does not. Raises `Ended`."""
    for spelling in dict.fromkeys((hint.address, hint.address.lower())):
        reply = calls.about("GET", "/subscribers/{id}", hint.place, {"email": spelling})
        if calls.no(reply, NOT_IN_LIST) is None:
            found = calls.content(reply, dict)
            if member_in(found, spelling).state not in LEFT:
                return None
            at = in_utc(found.get("Date"), ahead(calls, now)[1])
            if at is None:
                raise unreadable()
            return at
    return None


def ahead(calls: Calls, now: datetime) -> tuple[str, timedelta]:
    """What the account's clock says, which has its own zone and names none, and how far that is ahead of UTC.

    To a quarter of an hour, as zones are. Of a day on the other side of summer time it is an hour wrong. Raises
    `Ended`.
    """
    told = calls.content(calls.about("GET", "/systemdate"), dict).get("SystemDate")
    there = _naive(told)
    if there is None:
        raise unreadable()
    apart = round((there - now) / _QUARTER) * _QUARTER
    if abs(apart) > _FURTHEST:
        raise unreadable()
    return str(told), apart


def in_utc(told: object, apart: timedelta) -> datetime | None:
    """A time of the account's as one of ours, None where it is none."""
    there = _naive(told)
    return there - apart if there else None


def _naive(told: object) -> datetime | None:
    try:
        return moment(told, "Date")
    except PayloadInvalid:
        return None
