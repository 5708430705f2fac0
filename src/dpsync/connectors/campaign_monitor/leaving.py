"""How an address leaves a list of Campaign Monitor's, and how far that reached."""

from collections.abc import Iterable, Mapping
from typing import Final

from dpsync.connector import Applied, NothingHeld, Outcome
from dpsync.connectors.campaign_monitor.calls import NOT_IN_LIST, Calls, Client, named
from dpsync.connectors.campaign_monitor.records import IN_USE, STATES, Member
from dpsync.vendor.errors import unreadable
from dpsync.vendor.outcomes import task

PARTS: Final[Mapping[str, str]] = {"list": "[A-Za-z0-9]{1,40}"}
"""What an opt-out can be narrowed down to."""

_REACHES = ("AllClientLists", "OnlyThisList")  # no set: an answer may be a list, which is in none

REACH_ALL: Final = "reach: no list of this client that knows the address uses it"
REACH_PART: Final = "reach: other lists of this client still use the address"
REACH_UNKNOWN: Final = "reach: the lists of the address do not name the list that was left"


def leave(calls: Calls, client: Client, place: str, address: str, known: set[str]) -> Outcome:
    """Unsubscribe in one list; `known` takes the list where it holds the address, however that ends."""
    member = calls.held(place, address)
    if member is None:
        return NothingHeld(evidence=())
    known.add(place)
    return _unsubscribe(calls, client, place, member) if member.state in IN_USE else Applied(evidence=())


def _unsubscribe(calls: Calls, client: Client, place: str, member: Member) -> Outcome:
    """Unsubscribe and read again: how far it reached depends on a list setting that is never changed from here."""
    body = {"EmailAddress": member.address}
    # what a repetition answers is not documented: 203 is read back like a yes
    no = calls.write("POST", "/subscribers/{id}/unsubscribe", place, body, knows=(NOT_IN_LIST,))
    states = _reach(calls, client, member.address)
    if place not in states:
        calls.note(REACH_UNKNOWN)
    else:
        calls.note(REACH_PART if IN_USE & set(states.values()) else REACH_ALL)
    now = calls.held(place, member.address)
    return calls.unchanged(said_yes=no is None) if now and now.state in IN_USE else Applied(evidence=())


def _reach(calls: Calls, client: Client, address: str) -> dict[str, str]:
    """The state in each list of the client that names the address; what an unknown one gets is not documented."""
    rows = calls.content(calls.about("GET", "/clients/{id}/listsforemail", client.id, {"email": address}), list)
    states = named(rows, "ListID", "SubscriberState")
    if any(state not in STATES for state in states.values()):
        raise unreadable()
    return states


def list_of(client: Client, part: str) -> str:
    """The list that a part is, as the client spells its id; "" where it is none of the client's."""
    wanted = part.partition("=")[2].lower()
    return next((one for one in client.lists if one.lower() == wanted), "")


def leave_alone(calls: Calls, client: Client, place: str, address: str) -> Outcome:
    """Unsubscribe in one list, and nowhere else: where the list's own setting makes that impossible, a person must."""
    member = calls.held(place, address)
    if member is None:
        return NothingHeld(evidence=())
    if member.state not in IN_USE:
        return Applied(evidence=())
    if is_alone(calls, place):
        return leave(calls, client, place, address, set())
    return task(
        f"The person opted out of list {place} only. An unsubscribe from it counts for all lists of the client, so "
        "dpsync did nothing. In the web app, see that this list sends them nothing more, and that the other lists "
        "stay as they are.",
        place,
    )


def in_list(records: Iterable[Mapping[str, Member]], place: str) -> str:
    """Why a list is not left, "" where it is."""
    used = any(one[place].state in IN_USE for one in records if place in one)
    return "a record is not unsubscribed in the list" if used else ""


def is_alone(calls: Calls, place: str) -> bool:
    """Whether an unsubscribe of this list reaches no other."""
    found = calls.content(calls.about("GET", "/lists/{id}", place), dict)
    reach = found.get("UnsubscribeSetting")
    if str(found.get("ListID")).lower() != place.lower() or reach not in _REACHES:
        raise unreadable()
    return reach == "OnlyThisList"
