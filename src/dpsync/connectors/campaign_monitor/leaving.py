"""How an address leaves a list of Campaign Monitor's, and how far that reached."""

from typing import Final

from dpsync.connector import Applied, NothingHeld, Outcome
from dpsync.connectors.campaign_monitor.calls import NOT_IN_LIST, Calls, Client, named
from dpsync.connectors.campaign_monitor.records import IN_USE, STATES, Member
from dpsync.vendor.errors import unreadable

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


def is_alone(calls: Calls, place: str) -> bool:
    """Whether an unsubscribe of this list reaches no other."""
    found = calls.content(calls.about("GET", "/lists/{id}", place), dict)
    reach = found.get("UnsubscribeSetting")
    if str(found.get("ListID")).lower() != place.lower() or reach not in _REACHES:
        raise unreadable()
    return reach == "OnlyThisList"
