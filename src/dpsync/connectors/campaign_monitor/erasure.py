"""What the API does of an erasure: the record is blanked and set to 'Deleted', and the rest is left to a person."""

from collections.abc import Callable
from functools import partial

from dpsync.connector import Applied, NothingHeld, Outcome, Refused, Retryable, Shelf
from dpsync.connectors.campaign_monitor.calls import NO_MOBILE, NOT_IN_LIST, Calls
from dpsync.connectors.campaign_monitor.records import NEUTRAL, Field, Member, body_of, entries_of, key_of
from dpsync.vendor.field_values import UNTYPED
from dpsync.vendor.outcomes import each, task, together
from dpsync.vendor.places import ASKED, remembered

_BLANKED = "blanked"


def erase(calls: Calls, place: str, member: Member, address: str, shelf: Shelf, key: str) -> Outcome:
    """Blank, delete, leave the rest to a person: DELETE only sets a state and keeps everything. Raises `Ended`.

    It is not unsubscribed first: in a list that reaches all lists that would put the address on the suppression
    list, where an erasure must not leave it. A blanking that fails does not keep the record in use. `key`: where the
    shelf remembers of this record that it was asked for.
    """
    steps: list[Callable[[], Outcome]] = []
    # a record does not show a mobile number, so one that looks blank is blanked once all the same
    if not member.blank or shelf.get(key) != _BLANKED:
        known = calls.fields_of(place) if member.fields else {}
        names = dict.fromkeys(name for name, _ in member.fields)
        fields = [known.get(key_of(name), Field(name, name, UNTYPED)) for name in names]
        cleared = [entry for one in fields for entry in entries_of(one, "")]
        steps.append(partial(remembered, shelf, key, partial(_blank, calls, place, member, cleared, shelf, key)))
    if member.state != "Deleted":
        steps.append(partial(_delete, calls, place, member, shelf, key))
    outcomes = each(steps)
    worst = together(outcomes)
    if isinstance(worst, Retryable | Refused):
        return worst
    said_yes = not any(isinstance(outcome, NothingHeld) for outcome in outcomes)
    return _deactivated(calls, calls.held(place, address), place, said_yes=said_yes)


def _delete(calls: Calls, place: str, member: Member, shelf: Shelf, key: str) -> Outcome:
    no = calls.write("DELETE", "/subscribers/{id}", place, email=member.address, knows=(NOT_IN_LIST,))
    if no is None and not shelf.get(key):
        shelf.put(key, ASKED)  # the blanking was refused
    return NothingHeld(evidence=()) if no else Applied(evidence=())


def _deactivated(calls: Calls, now: Member | None, place: str, *, said_yes: bool) -> Outcome:
    if now is None:
        return Applied(evidence=())
    if now.state != "Deleted":
        return calls.unchanged(said_yes=said_yes)
    if now.blank:
        kept = "The record is set to 'Deleted', and its name and fields are blanked. Address and history are kept."
        kept += " Data that the API does not show may be kept too."
    else:
        kept = "The record is set to 'Deleted', but could not be blanked: all of it is kept."
    return task(
        f"{kept} The API of Campaign Monitor has no erasure. Erase the person permanently in the web app, in every "
        "list that is named here.",
        place,
    )


def _blank(
    calls: Calls, place: str, member: Member, cleared: list[dict[str, object]], shelf: Shelf, key: str
) -> Outcome:
    for mobile in ({"MobileNumber": ""}, {}):
        body = body_of({"Name": NEUTRAL, "CustomFields": cleared, **mobile})
        # 203: the record may be beyond changing already; the read that follows shows what it holds
        knows = (NOT_IN_LIST, NO_MOBILE)
        no = calls.write("PUT", "/subscribers/{id}", place, body, email=member.address, knows=knows)
        if no is None:
            shelf.put(key, _BLANKED)
            return Applied(evidence=())
        if no is not NO_MOBILE:
            break
    return NothingHeld(evidence=())
