"""Campaign Monitor (createsend) API v3.3: an address in a list of a client, and a suppression list for each client.

Every right is carried out in every list of every client. There is no machine-readable specification: where the
reference says nothing, the safe side is taken and the comment says so.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, Final

from pydantic import BaseModel

from dpsync.connector import Account, Applied, Capability, Instruction, Kit, Means, NothingHeld, Outcome
from dpsync.connectors.campaign_monitor.calls import (
    ERRORS,
    NOT_OURS,
    NOT_SUPPRESSED,
    VENDOR,
    Calls,
    CampaignMonitorSettings,
    Client,
    credential,
    named,
)
from dpsync.connectors.campaign_monitor.correction import correct
from dpsync.connectors.campaign_monitor.erasure import erase
from dpsync.connectors.campaign_monitor.hooks import ListHooks
from dpsync.connectors.campaign_monitor.leaving import PARTS, in_list, is_alone, leave, leave_alone, list_of
from dpsync.connectors.campaign_monitor.observed import ListOptOuts
from dpsync.connectors.campaign_monitor.records import IN_USE, OBJECTED, Member, name_likeness, shown_of, typed
from dpsync.connectors.campaign_monitor.roster import ListRoster
from dpsync.connectors.campaign_monitor.suppression import (
    Memory,
    left_to_the_operator,
    only_suppressed,
    still_suppressed,
    suppress,
    suppressed,
)
from dpsync.model import Changes, Right
from dpsync.vendor.corrections import NAME, Compared, compared
from dpsync.vendor.errors import Ended, unreadable
from dpsync.vendor.field_values import Likeness, plain
from dpsync.vendor.outcomes import each, together
from dpsync.vendor.pace import Pace
from dpsync.vendor.places import Found, PeopleInPlaces
from dpsync.vendor.rectification import move

_ERASED, _RESTRICTED, _OPTED_OUT, _ASKED = "erased", "restricted", "opted_out", "asked"

NO_CLIENTS: Final = "it shows no client: see whether the key or token is that of the account with the clients"
NO_LISTS: Final = "it shows no list: see whether the key or token is that of the account with the lists"
_SHOWS_NO_CAUSE: Final = "a suppressed address does not show why it is suppressed"

_SOURCE = (
    "Campaign Monitor API v3.3 reference, official clients and staff answers in its forum, as read in August 2026; no "
    "machine-readable specification is published"
)


class CampaignMonitor(
    PeopleInPlaces[CampaignMonitorSettings, Calls, Client, Mapping[str, Member]], ListOptOuts, ListRoster, ListHooks
):
    """Tells Campaign Monitor, in every list of every client, under every address. No state but the credential.

    A place is a client: one person has a record in each of its lists, and may be on its suppression list.
    """

    name: ClassVar[str] = "campaign_monitor"
    vendor = "Campaign Monitor"
    address = VENDOR
    errors = ERRORS
    Settings: ClassVar[type[BaseModel]] = CampaignMonitorSettings
    max_inflight: ClassVar[int] = 4
    """A polite guess: no limit is documented outside /transactional."""
    parts = PARTS

    capabilities: ClassVar[Mapping[Right, Capability]] = MappingProxyType(
        {
            Right.RECTIFICATION: Capability(
                means=Means.API_AND_OPERATOR,
                effect="Name, custom fields and the address are changed in every list, whatever the person's state in "
                "it. Nobody is subscribed again.",
                limits="If the new address is in the list already, nothing is merged: the operator decides. The "
                "operator also gets a first or last name alone (there is one name field), a field that the list lacks, "
                "one of several chosen options, values over 250 characters, and values that Campaign Monitor does not "
                "accept. Sent campaigns and reports keep what they had.",
                verified_by="the record is read under its new address and the old ones are unknown, in every list",
                source=_SOURCE,
                address_change=True,
            ),
            Right.ERASURE: Capability(
                means=Means.API_AND_OPERATOR,
                effect="In every list the name and the custom fields are blanked and the record is set to 'Deleted', "
                "so it is no longer used. The operator then erases the person for good in the web app.",
                limits="The API has no erasure: 'Deleted' keeps the address, history and reports, and they stay "
                "readable, until the operator's task is done. If the address is on a suppression list, the operator "
                "decides. Only a reseller's copy of the help page says that the web app erases everything. After the "
                "erasure, nothing stops a new import of the address.",
                verified_by="the address is unknown in every list and is on no client's suppression list",
                source=_SOURCE,
            ),
            Right.RESTRICTION: Capability(
                means=Means.API_AND_OPERATOR,
                effect="The address is put on each client's suppression list. Where an unsubscribe counts for one list "
                "only, it is also unsubscribed in that list. The data are kept and nothing is sent.",
                limits="Campaign Monitor has no state 'restricted'. Anybody who may edit the account sees and can use "
                "the data. Another system that adds the address with Resubscribe brings it back even from the "
                "suppression list. Whether transactional mail stops is not known. Lifting takes back only our own "
                "suppression and never subscribes anybody. The rest goes to the operator.",
                verified_by="the address is on the suppression list of each client that holds it, and gets no mail "
                "from lists where an unsubscribe counts for one list only",
                source=_SOURCE,
            ),
            Right.OPT_OUT: Capability(
                means=Means.API,
                effect="The address is unsubscribed in every list and put on the suppression list of each client that "
                "holds it. dpsync reads again how far each unsubscribe reached, and keeps that.",
                limits="Whether transactional mail stops is not known. Another system that adds the address with "
                "Resubscribe brings it back even from the suppression list. Bounced and deleted records are left as "
                "they are. Consent to tracking is not changed.",
                verified_by="the address gets no mail from any list and is on the suppression list of each client that "
                "holds it",
                source=_SOURCE,
            ),
        }
    )

    def __init__(self, settings: CampaignMonitorSettings, kit: Kit, **more: Any) -> None:
        super().__init__(settings, kit, **more)
        self._credential = credential(settings, kit)
        self._pace = Pace(kit)

    def calls(self, order: Instruction | None) -> Calls:
        """Those of one instruction."""
        return Calls(self._kit, self.base, self._credential, self._pace, order, self._sleep)

    def account(self, calls: Calls) -> Account:
        """Which clients, which lists (`name (id)`); the API tells no name of the account and no total."""
        if not isinstance(calls.content(calls.about("GET", "/systemdate"), dict).get("SystemDate"), str):
            raise unreadable()
        clients = list(self.places(calls))
        lists = tuple(f"{name} ({place})" for client in clients for place, name in client.lists.items())
        return Account(title=", ".join(client.name or client.id for client in clients), contacts=None, lists=lists)

    def places(self, calls: Calls) -> Iterator[Client]:
        """Every client with all its lists, read anew each time: a list made since must be told too.

        One that cannot be read, or is not ours, keeps no other from being told.
        """
        trouble: Ended | None = None
        read = shown = False
        for client, name in self._clients(calls).items():
            try:
                rows = calls.content(calls.about("GET", "/clients/{id}/lists", client), list)
                one = Client(client, name, named(rows, "ListID", "Name"))
            except Ended as end:
                if end.stop:
                    raise
                trouble = trouble or end
            else:
                read, shown = True, shown or bool(one.lists)
                yield one
        if trouble and not read and trouble.outcome.reason == NOT_OURS:
            raise calls.opens_nothing(NOT_OURS)
        if trouble:
            raise trouble
        if not shown:
            raise calls.opens_nothing(NO_LISTS)

    def _clients(self, calls: Calls) -> dict[str, str]:
        """What each client is called, by its id: the configured ones, else all that the account shows, at least one."""
        if self._settings.clients:
            return dict.fromkeys(self._settings.clients, "")
        shown = named(calls.content(calls.about("GET", "/clients"), list), "ClientID", "Name")
        if not shown:
            raise calls.opens_nothing(NO_CLIENTS)
        return shown

    def member(self, calls: Calls, place: Client, address: str) -> Mapping[str, Member] | None:
        """The record in each list of a client that holds the address."""
        return {one: who for one in place.lists if (who := calls.held(one, address)) is not None} or None

    def wrong(self, order: Instruction, found: Found[Calls, Client, Mapping[str, Member]]) -> str:
        """Why what one client holds is not as asked."""
        calls, client = found.calls, found.place
        held = [member for lists in found.members.values() for member in lists.values()]
        match order.right:
            case Right.ERASURE:
                if held:
                    only = all(member.state == "Deleted" for member in held)
                    return "a record is kept as 'Deleted'" if only else "a record is still in use"
                return "the address is still suppressed" if suppressed(calls, client, self._addresses(order)) else ""
            case Right.RESTRICTION if order.lifted is not None:
                return _SHOWS_NO_CAUSE if suppressed(calls, client, self._addresses(order)) else ""
            case Right.OPT_OUT:
                if any(member.state in IN_USE for member in held):
                    return "a record is not unsubscribed"
            case _:
                used = {
                    place for lists in found.members.values() for place, one in lists.items() if one.state in IN_USE
                }
                if any(is_alone(calls, place) for place in client.lists if place in used):
                    return "a list that suppression does not silence still uses the address"
        known = list(found.members)
        return "" if suppressed(calls, client, known) == known else "an address is not on the suppression list"

    def compared(
        self, found: Found[Calls, Client, Mapping[str, Member]], member: Mapping[str, Member], changes: Changes
    ) -> Compared:
        """The record in each list, the name as a whole or at the end that was asked about."""
        other: list[str] = []
        unclear: list[str] = []
        for one, record in member.items():
            fields = found.calls.fields_of(one) if changes.fields else {}
            shown = compared(changes.fields, shown_of(record, fields, changes.fields), typed(fields, changes.fields))
            name = name_likeness(changes, plain(record.name))
            other += [*shown.other, *([NAME] if name is Likeness.OTHER else [])]
            unclear += [*shown.unclear, *([NAME] if name is Likeness.UNCLEAR else [])]
        return Compared(other=tuple(other), unclear=tuple(unclear))

    # --- erasure

    def erase(self, calls: Calls, place: Client, address: str) -> Outcome:
        """In each list; what the suppression list keeps is left to the operator."""
        in_lists = [partial(self._erase, calls, one, address) for one in place.lists]
        return together(each([*in_lists, partial(still_suppressed, calls, place, address)]))

    def _erase(self, calls: Calls, place: str, address: str) -> Outcome:
        key = self._shelf_key(_ERASED, place, address)
        member = calls.held(place, address)
        return self._erased(key) if member is None else erase(calls, place, member, address, self._kit.shelf, key)

    # --- opt-out and restriction

    def opt_out(self, calls: Calls, place: Client, address: str) -> Outcome:
        """Leave every list, and suppress: that also where a list could not be left, so that nothing is sent to it."""
        known: set[str] = set()
        outcomes = each(partial(leave, calls, place, one, address, known) for one in place.lists)
        if not known and all(isinstance(outcome, NothingHeld) for outcome in outcomes):
            return only_suppressed(calls, place, address)
        if known:
            self._kit.shelf.put(self._shelf_key(_OPTED_OUT, place.id, address), _ASKED)
            outcomes += each([partial(suppress, calls, place, address)])
        return together(outcomes)

    def lies_in(self, place: Client, part: str) -> bool:
        """A list of the client."""
        return list_of(place, part) != ""

    def leave(self, calls: Calls, place: Client, address: str, part: str) -> Outcome:
        """Leave one list, where that reaches no other; nothing is suppressed."""
        return leave_alone(calls, place, list_of(place, part), address)

    def still_in(self, found: Found[Calls, Client, Mapping[str, Member]], part: str) -> str:
        """By the state of the records in that list."""
        return in_list(found.members.values(), list_of(found.place, part))

    def restrict(self, calls: Calls, place: Client, address: str) -> Outcome:
        """Suppress; and unsubscribe where suppression is not known to silence a list, because its reach is its own."""
        held = self.member(calls, place, address) or {}
        if not held:
            return only_suppressed(calls, place, address)
        alone = [one for one, who in held.items() if who.state in IN_USE and is_alone(calls, one)]
        key = self._shelf_key(_RESTRICTED, place.id, address)
        memory = Memory.of(self._kit.shelf.get(key))
        if memory is None or memory.lifted:
            memory = Memory(bool(suppressed(calls, place, [address])), {one: who.state for one, who in held.items()})
        # the oldest state counts: since then it may be ours
        memory.before = {one: held[one].state for one in alone} | memory.before
        memory.left = list(dict.fromkeys([*memory.left, *alone]))
        self._kit.shelf.put(key, memory.text())
        steps = [partial(leave, calls, place, one, address, set()) for one in alone]
        return together(each([*steps, partial(suppress, calls, place, address)]))

    def lift(self, calls: Calls, place: Client, address: str) -> Outcome:
        """Take back our own suppression, unless the person objected meanwhile; nobody is ever subscribed again."""
        held = self.member(calls, place, address) or {}
        key = self._shelf_key(_RESTRICTED, place.id, address)
        memory = Memory.of(self._kit.shelf.get(key))
        if memory is None:
            return Applied(evidence=()) if held else only_suppressed(calls, place, address)
        ours = not memory.suppressed_before and not self._kit.shelf.get(self._shelf_key(_OPTED_OUT, place.id, address))
        objected = [
            one
            for one, who in held.items()
            if who.state in OBJECTED and one not in memory.left and memory.before.get(one) not in OBJECTED
        ]
        if ours and not objected and not memory.lifted:
            calls.write("PUT", "/clients/{id}/unsuppress", place.id, b" ", email=address, knows=(NOT_SUPPRESSED,))
        memory.lifted = True
        self._kit.shelf.put(key, memory.text())
        return together([Applied(evidence=()), *left_to_the_operator(memory, place, objected if ours else [])])

    # --- rectification

    def put_right(self, calls: Calls, place: Client, addresses: tuple[str, ...], changes: Changes) -> Outcome:
        """Put right whoever is held under any address, one step a list."""
        return together(each(partial(move, addresses, changes, partial(correct, calls, one)) for one in place.lists))
