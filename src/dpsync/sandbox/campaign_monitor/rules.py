"""The rules by which Campaign Monitor changes what it holds, whoever asks: its API, the person, its web app.

Source: as of what it holds. Plain functions: no HTTP, no faults, no counting.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from dpsync.sandbox.asked import folded
from dpsync.sandbox.campaign_monitor.account import Account, Change, Client, Refusal, Subscriber, SubscriberList
from dpsync.sandbox.campaign_monitor.custom_fields import changed

MAILED = frozenset({"Active", "Unconfirmed"})
READD = {"Deleted": 205, "Unsubscribed": 206, "Bounced": 207, "Unconfirmed": 208}
Acts = Literal["unsubscribe", "bounce", "erase", "suppress", "subscribe", "rename"]


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
