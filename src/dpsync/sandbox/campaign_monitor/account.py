"""What Campaign Monitor holds, and the rules it keeps: accounts, clients, lists, subscribers, suppression lists.

Source: the reference of API v3.3, the vendor's official clients with their fixtures, and staff answers in its forum,
as read in August 2026. Plain data and plain functions: no HTTP, no faults, no counting.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Literal

from dpsync.sandbox.campaign_monitor.custom_fields import changed

STATES = ("Active", "Unconfirmed", "Unsubscribed", "Bounced", "Deleted")
MAILED = frozenset({"Active", "Unconfirmed"})
Json = dict[str, object]
Acts = Literal["unsubscribe", "bounce", "erase", "suppress", "subscribe", "rename"]

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
    800: "Invalid page number",
    801: "Invalid page size",
    802: "Invalid order field",
    803: "Invalid order direction",
}
READD = {"Deleted": 205, "Unsubscribed": 206, "Bounced": 207, "Unconfirmed": 208}


class Refusal(Exception):
    """What the vendor refuses, by its code."""

    def __init__(self, code: int, *, status: int = 400) -> None:
        self.code = code
        self.status = status
        super().__init__(MESSAGES[code])


def folded(address: str) -> str:
    """The form in which two spellings are one address."""
    return address.strip().lower()


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
class Switches:
    """What the vendor leaves undocumented, to be tried both ways."""

    repeat_is_203: bool = False
    exact_case: bool = False
    suppression_sets_state: bool = False
    deleted_is_fixed: bool = False
    adds_wait: bool = False
    delete_fires: bool = True
    no_permission: bool = False
    refresh_stays: bool = False
    collation: str = "plain"


@dataclass(slots=True)
class Account:
    """An account key sees all clients, a client key (`client_keys`) its own."""

    name: str
    keys: tuple[str, ...] = ()
    client_keys: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)
    waiting: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    zone: tzinfo = UTC
    switches: Switches = field(default_factory=Switches)

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


# --- the rules


def check_address(address: object, code: int = 1) -> str:
    """The address, where it looks like one. Raises `Refusal`."""
    if not isinstance(address, str) or not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", address.strip()):
        raise Refusal(code)
    return address.strip()


def unsubscribe(account: Account, client: Client, held: SubscriberList, member: Subscriber, date: str) -> list[Change]:
    """Takes the person out, as far as the list's setting reaches."""
    reached = list(client.lists.values()) if held.reach == "AllClientLists" else [held]
    changes = []
    for one in reached:
        found = one.members.get(folded(member.address))
        if found is not None and found.state in MAILED:
            found.state, found.date = "Unsubscribed", date
            changes.append(Change("unsubscribed", client.id, one.id, found.address, found))
    if held.reach == "AllClientLists" and held.suppresses:
        changes += suppress(account, client, [member.address], "Unsubscribed", date)
    return changes


def suppress(account: Account, client: Client, addresses: Iterable[str], reason: str, date: str) -> list[Change]:
    """Puts addresses on the client's suppression list."""
    changes = []
    for address in addresses:
        if client.suppress(address, reason, date):
            changes.append(Change("suppressed", client.id, "", address))
        if account.switches.suppression_sets_state:
            for one in client.lists.values():
                found = one.members.get(folded(address))
                if found is not None and found.state in MAILED:
                    found.state, found.date = "Unsubscribed", date
    return changes


def update(held: SubscriberList, member: Subscriber, body: Mapping[str, object], date: str) -> list[tuple[str, str]]:
    """Changes what the body names; absent and empty values stay. (kind, address before) of each effect.

    Raises `Refusal`.
    """
    check_consent(body)
    if body.get("MobileNumber") and not re.fullmatch(r"\+[1-9][0-9]{6,14}", str(body["MobileNumber"])):
        raise Refusal(220)
    new = body.get("EmailAddress")
    if new:
        new = check_address(new, 211)
        if folded(new) != folded(member.address) and folded(new) in held.members:
            raise Refusal(201)
    was, left = member.address, member.state
    if isinstance(new, str) and new:
        del held.members[folded(member.address)]
        member.address = new
        held.members[folded(new)] = member
    if body.get("Name"):
        member.name = str(body["Name"])
    if "MobileNumber" in body:
        member.mobile = str(body["MobileNumber"])
    if body["ConsentToTrack"] != "Unchanged":
        member.consent = str(body["ConsentToTrack"])
    member.fields = changed(member.fields, body, held.fields, held.options)
    if body.get("Resubscribe") is True:
        member.state = "Active"
    # the vendor tells its webhooks of every update, also of one that brings somebody back
    effects = [("moved", was) if folded(was) != folded(member.address) else ("patched", "")]
    if member.state != left:
        member.date = date
        effects.append(("resubscribed", ""))
    return effects


def add(client: Client, held: SubscriberList, body: Mapping[str, object], date: str) -> Change:
    """Adds or updates. Raises `Refusal` 204 to 208 for whoever may come back with Resubscribe only."""
    check_consent(body)
    address = check_address(body.get("EmailAddress"))
    again = body.get("Resubscribe") is True
    present = held.members.get(folded(address))
    if not again and folded(address) in client.suppressed:
        raise Refusal(204)
    if not again and present is not None and present.state in READD:
        raise Refusal(READD[present.state])
    # with Resubscribe the vendor takes the person back even from the suppression list
    client.suppressed.pop(folded(address), None)
    if present is None:
        present = Subscriber(address, date=date, joined=date)
        held.members[folded(address)] = present
        kind = "created"
    else:
        kind = "resubscribed" if present.state != "Active" else "patched"
        present.state = "Active"
    present.name = str(body.get("Name") or present.name)
    present.fields = changed(present.fields, body, held.fields, held.options)
    return Change(kind, client.id, held.id, present.address, present)


def by_hand(
    account: Account, client: Client, address: str, deed: Acts, list_id: str | None, stamp: str, name: str = ""
) -> list[Change]:
    """What the person does through a link, or somebody in the web app, at one client. `name`: of a `rename`."""
    changes: list[Change] = []
    if deed == "suppress":
        return suppress(account, client, [address], "Reason Unavailable", stamp)
    for one in client.lists.values():
        member = one.members.get(address)
        if member is None or list_id not in {None, one.id}:
            continue
        match deed:
            case "unsubscribe":
                changes += unsubscribe(account, client, one, member, stamp)
            case "bounce":
                member.state, member.date = "Bounced", stamp
                changes.append(Change("bounced", client.id, one.id, address, member))
                changes += suppress(account, client, [address], "Bounced", stamp)
            case "subscribe":
                member.state, member.date = "Active", stamp
                changes.append(Change("resubscribed", client.id, one.id, address, member))
            case "rename":
                member.name = name
                changes.append(Change("patched", client.id, one.id, address, member))
            case "erase":
                del one.members[address]
                changes.append(Change("erased", client.id, one.id, address))
    return changes


def holdings(account: Account, address: str) -> list[tuple[str, str]]:
    """(list or client id, state) wherever a folded address is; `Suppressed` for a suppression list."""
    found = []
    for client in account.clients.values():
        members = [(one.id, one.members.get(address)) for one in client.lists.values()]
        found += [(place, member.state) for place, member in members if member is not None]
        if address in client.suppressed:
            found.append((client.id, "Suppressed"))
    return found


def check_consent(body: Mapping[str, object]) -> None:
    """Mandatory since v3.2. Raises `Refusal` 214 or 215."""
    if "ConsentToTrack" not in body:
        raise Refusal(214)
    if body["ConsentToTrack"] not in ("Yes", "No", "Unchanged"):
        raise Refusal(215)
