"""What Campaign Monitor holds: accounts, clients, lists, subscribers, suppression lists, webhooks. Plain data.

Source: the reference of API v3.3, the vendor's official clients with their fixtures, and staff answers in its forum,
as read in August 2026.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Literal

from dpsync.sandbox import vendor
from dpsync.sandbox.asked import Header, Json, folded

STATES = ("Active", "Unconfirmed", "Unsubscribed", "Bounced", "Deleted")

MESSAGES: Mapping[int, str] = {
    1: "Invalid Email Address",
    60: "You do not have permission to do this",
    100: "Invalid API Key",
    101: "Invalid ListID",
    102: "Invalid ClientID",
    120: "Invalid OAuth Token",
    121: "Expired OAuth Token",
    122: "Revoked OAuth Token",
    176: "Email address not in suppression list",
    201: "Already subscribed",
    203: "Subscriber not in list or has already been removed.",
    204: "In Suppression List",
    205: "Is Deleted",
    206: "Is Unsubscribed",
    207: "Is Bounced",
    208: "Is Unconfirmed",
    209: "Import of more than 1000 subscribers",
    210: "Subscriber Import had some failures",
    211: "Invalid New Email Address",
    214: "ConsentToTrack is required",
    215: "Invalid ConsentToTrack",
    220: "Invalid Mobile Number",
    404: "Resource not found",
    601: "Invalid webhook URL",
    602: "Invalid webhook format",
    603: "Invalid webhook event",
    610: "The webhook test failed",
    800: "Invalid page number",
    801: "Invalid page size",
    802: "Invalid order field",
    803: "Invalid order direction",
}


class Refusal(vendor.Refusal):
    """What the vendor refuses, by its code; `message`: where it is none of the vendor's list."""

    def __init__(self, code: int, *headers: Header, status: int = 400, message: str = "") -> None:
        super().__init__(status, message or MESSAGES[code], *headers)
        self.code = code


class CampaignMonitorSwitches(vendor.Switches):
    """What the vendor does now and then, or leaves undocumented, to be tried both ways."""

    repeat_is_203: bool | None = None
    exact_case: bool | None = None
    suppression_sets_state: bool | None = None
    deleted_is_fixed: bool | None = None
    adds_wait: bool | None = None
    delete_fires: bool | None = None
    no_permission: bool | None = None
    refresh_stays: bool | None = None
    collation: Literal["plain", "letters"] | None = None
    webhooks_duplicated: bool | None = None


def made_id(*parts: str) -> str:
    """32 hexadecimal digits that follow from the names, so that runs repeat."""
    return hashlib.md5("/".join(parts).encode(), usedforsecurity=False).hexdigest()


@dataclass(slots=True)
class Subscriber:
    """An address inside one list. `fields` repeat a name where several options are chosen; `history`: as shown."""

    address: str
    name: str = ""
    state: str = "Active"
    fields: list[tuple[str, str]] = field(default_factory=list)
    mobile: str = ""
    consent: str = "Unchanged"
    date: str = ""
    joined: str = ""
    history: list[Json] = field(default_factory=list)

    def body(self, *, with_consent: bool = False) -> Json:
        """In the vendor's shape; a mobile number is not shown."""
        shown: Json = {
            "EmailAddress": self.address,
            "Name": self.name,
            "Date": self.date,
            "ListJoinedDate": self.joined,
            "State": self.state,
            "CustomFields": [{"Key": key, "Value": value} for key, value in self.fields],
            "ReadsEmailWith": "",
        }
        return shown | ({"ConsentToTrack": self.consent} if with_consent else {})


@dataclass(slots=True)
class SubscriberList:
    """One list. `fields`: type by name; `options`: of those that have some, by name; `suppresses`: whether its
    unsubscribes go to the suppression list."""

    id: str
    title: str
    reach: str = "AllClientLists"
    suppresses: bool = True
    fields: dict[str, str] = field(default_factory=dict)
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    members: dict[str, Subscriber] = field(default_factory=dict)

    def find(self, address: str, *, exact: bool = False) -> Subscriber:
        """The subscriber. Raises `Refusal` 203; `exact` where the case of letters counts."""
        found = self.members.get(folded(address))
        if found is None or (exact and found.address != address.strip()):
            raise Refusal(203)
        return found

    def body(self) -> Json:
        """In the vendor's shape; what it does with unsubscribes beyond their reach is not shown."""
        return {
            "ConfirmedOptIn": False,
            "Title": self.title,
            "UnsubscribePage": "",
            "ListID": self.id,
            "ConfirmationSuccessPage": "",
            "UnsubscribeSetting": self.reach,
        }


@dataclass(slots=True)
class Suppressed:
    """One entry of a suppression list."""

    address: str
    reason: str
    date: str


@dataclass(slots=True)
class Client:
    """One client: its lists and its suppression list."""

    id: str
    name: str
    lists: dict[str, SubscriberList] = field(default_factory=dict)
    suppressed: dict[str, Suppressed] = field(default_factory=dict)

    def suppress(self, address: str, reason: str, date: str) -> bool:
        """Puts it on the list; whether it is new there."""
        new = folded(address) not in self.suppressed
        if new:
            self.suppressed[folded(address)] = Suppressed(address.strip(), reason, date)
        return new


@dataclass(slots=True)
class Token:
    """An access token and the state it is in: "good", "expired" or "revoked"."""

    state: str = "good"
    refresh: str = ""


@dataclass(slots=True)
class Account:
    """An account key sees all clients, a client key (`client_keys`) its own. `switches`: those of the vendor."""

    name: str
    keys: tuple[str, ...] = ()
    client_keys: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)
    waiting: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    zone: tzinfo = UTC
    switches: CampaignMonitorSwitches = field(default_factory=CampaignMonitorSwitches)

    @property
    def lists(self) -> list[SubscriberList]:
        """Every list of every client."""
        return [one for client in self.clients.values() for one in client.lists.values()]

    def stamp(self, now: datetime) -> str:
        """The account's own time, without a zone."""
        return now.astimezone(self.zone).strftime("%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True, slots=True)
class Change:
    """One effect. `member` is the subscriber after it (None: the list or client itself), `was` the address before."""

    kind: str
    client_id: str
    list_id: str
    address: str
    member: Subscriber | None = None
    was: str = ""

    @property
    def place(self) -> str:
        """The list, or the client."""
        return self.list_id or self.client_id


@dataclass(slots=True)
class Hook:
    """One registered webhook. `failing_since`: the first of the deliveries that have failed without a break."""

    id: str
    list_id: str
    url: str
    events: tuple[str, ...]
    status: str = "Active"
    failing_since: datetime | None = None

    def body(self) -> Json:
        """As the API shows it."""
        return {
            "WebhookID": self.id,
            "Events": list(self.events),
            "Url": self.url,
            "Status": self.status,
            "PayloadFormat": "Json",
        }


@dataclass(slots=True)
class Held:
    """All accounts, by name, and all webhooks, by id."""

    accounts: dict[str, Account] = field(default_factory=dict)
    hooks: dict[str, Hook] = field(default_factory=dict)
