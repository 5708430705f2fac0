"""Eventbrite API v3: finds a person's orders and tickets and reads them back. It documents no call that changes one.

So every right is found by API, asked for by a notice to the privacy contact, and read back by API after its answer.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import ClassVar, Final

from pydantic import BaseModel

from dpsync import strict_json
from dpsync.connector import (
    Account,
    AsAsked,
    CannotTell,
    Capability,
    Contradicts,
    Finding,
    HandOver,
    Inbound,
    Instruction,
    Kit,
    Means,
    NotIdentifiable,
    Outcome,
    Recipient,
    Retryable,
)
from dpsync.connectors.eventbrite.calls import (
    ATTENDEES,
    ERRORS,
    EVENT,
    MINE,
    ORDERS,
    STATUSES,
    VENDOR,
    EventbriteCalls,
    EventbriteSettings,
    id_of,
)
from dpsync.connectors.eventbrite.index import HeldRecord, Index
from dpsync.connectors.eventbrite.records import CONTRADICTING, RecordVerdict, old_addresses, verdict_on
from dpsync.model import Right
from dpsync.vendor.connector import HttpConnector
from dpsync.vendor.errors import Ended, Error
from dpsync.vendor.pace import Pace

_UNSUBSCRIBE: Final = timedelta(hours=48)  # how long the vendor says that an unsubscribe may take

NO_ORGANISATION: Final = "the token shows no organisation, or not the configured one"
NO_FLAG: Final = "nothing in the interface shows whether data is restricted"
NOT_LOCATED: Final = "no record was found by the interface before, so there is none to compare"
NO_LONGER_HELD: Final = "the records that were found are there no longer, so there is none to compare"
NO_CONTROL: Final = "no other record could be read, so nothing shows that the token can still read"
UNSUBSCRIBING: Final = "still subscribed; the processor takes up to 48 hours"

_SOURCE = "Eventbrite API v3 blueprint, copy of March 2025, and Privacy Policy of 26 June 2024, read in November 2026"
_ASKED = "In each organisation that is searched, every order and ticket with the person's address is found by API, "
_LIMITS = (
    "The API changes nothing: a person at Eventbrite must do it. Eventbrite may hold the person even if the API finds "
    "nothing (the person's own account, back-ups, guests of unpaid orders, tickets without an address). So dpsync "
    "always sends the notice, and the notice says whether records were found. Copies that the organiser exported are "
    "not reached."
)


_BY_RIGHT: Final = {
    Right.RECTIFICATION: (
        "and the privacy contact is asked to put the new values there.",
        "each record that was found is read: old values are gone, also from free answers, and new ones are there",
        "",
    ),
    Right.ERASURE: (
        "and the privacy contact is asked to erase them.",
        "each record that was found shows neither address, name nor number, or is gone while others can be read",
        " A cancelled or refunded ticket still holds the person's data.",
    ),
    Right.RESTRICTION: (
        "and the privacy contact is asked to keep them unused.",
        "",
        " No record shows whether it is restricted, so there is only their word.",
    ),
    Right.OPT_OUT: (
        "and the privacy contact is asked to stop all marketing.",
        "each record that was found says that its address is on no contact list and has not opted in",
        " An unsubscribe may take them 48 hours. A person who is in no order and no ticket cannot be read back.",
    ),
}


class Eventbrite(HttpConnector[EventbriteSettings, EventbriteCalls], Inbound):
    """Finds by API, asks by notice, reads back by API."""

    name: ClassVar[str] = "eventbrite"
    vendor: ClassVar[str] = "Eventbrite"
    address: ClassVar[str] = VENDOR
    errors: ClassVar[tuple[Error, ...]] = ERRORS
    Settings: ClassVar[type[BaseModel]] = EventbriteSettings
    max_inflight: ClassVar[int] = 1
    """One index, and one budget of 2,000 calls an hour, for all."""

    capabilities: ClassVar[Mapping[Right, Capability]] = MappingProxyType(
        {
            right: Capability(
                means=Means.API_AND_NOTICE,
                effect=_ASKED + effect,
                limits=_LIMITS + limits,
                verified_by=verified_by,
                source=_SOURCE,
                address_change=right is Right.RECTIFICATION,
            )
            for right, (effect, verified_by, limits) in _BY_RIGHT.items()
        }
    )

    def __init__(self, settings: EventbriteSettings, kit: Kit) -> None:
        super().__init__(settings, kit)
        self._pace = Pace(kit)
        self._index = Index(kit)

    def calls(self, order: Instruction | None) -> EventbriteCalls:
        """Within what the limits of token and key leave."""
        return EventbriteCalls(self._kit, self._settings, self._pace, order)

    def account(self, calls: EventbriteCalls) -> Account:
        """The organisations (`name (id)`), and how many tickets they hold, None where it is not counted."""
        named = self._organisations(calls)
        totals: list[int | None] = []
        for organisation in named:
            names = {"organization": organisation}
            calls.page("orders", ORDERS, names, status="both")  # a role may see tickets and no orders
            for status in STATUSES:
                page = calls.page("attendees", ATTENDEES, names, status=status)
                totals.append(page.total if page else None)
        return Account(
            title=", ".join(named.values()),
            contacts=None if None in totals else sum(total or 0 for total in totals),
            lists=tuple(f"{title} ({organisation})" for organisation, title in named.items()),
        )

    def carry_out(self, instruction: Instruction) -> Outcome:
        """Find every record and hand over to the processor's contact, who alone can act.

        Raises `CredentialsRejected`, and `UnsupportedRight` before any call.
        """
        self.demand_declared(instruction.right)
        addresses = instruction.spellings
        if not addresses:
            return NotIdentifiable(reason="Eventbrite's records are found by address, and none is known")
        calls = self.calls(instruction)
        try:
            organisations = self._organisations(calls)
            for organisation in organisations:
                self._index.read(calls, organisation)
            self._index.look(calls)
            found = self._located(
                instruction, [*self._orders(calls, organisations, addresses), *self._tickets(addresses)]
            )
        except Ended as end:
            return replace(end.outcome, evidence=calls.kept)
        return HandOver(
            to=Recipient.PROCESSOR,
            task=self._task(found, len(organisations)),
            references=tuple(str(one) for one in found),
            evidence=calls.kept,
        )

    def verify(self, instruction: Instruction) -> Finding:
        """Read every record that was found before. Raises `CredentialsRejected`."""
        self.demand_declared(instruction.right)
        calls = self.calls(instruction)
        try:
            finding = self._read_back(calls, instruction)
        except Ended as end:
            return calls.cannot_tell(end)
        return replace(finding, evidence=calls.kept)

    def receive(self, headers: Mapping[str, str], body: bytes) -> tuple[()]:
        """Remember the order or attendee that a webhook names, to be read in the next search. Raises `PayloadInvalid`.

        Nothing is signed, so the body is a hint: its address is never called, only an id in a documented path under
        our own API's is taken from it (else our token would go wherever somebody wishes).
        """
        del headers
        match strict_json.load(body, quoting=True):
            case {"api_url": str(url), "config": {"action": str(action)}} if action.startswith(("order.", "attendee.")):
                if url.startswith(f"{self.base}/"):
                    self._index.hint(url.removeprefix(f"{self.base}/"))
        return ()

    # --- finding

    def _organisations(self, calls: EventbriteCalls) -> dict[str, str]:
        """Id and name of each organisation to search: what the token shows must have all that are configured."""
        shown = {id_of(row): str(row.get("name") or id_of(row)) for row in calls.rows("organizations", MINE)}
        wanted = self._settings.organizations or tuple(shown)
        if not wanted or not set(wanted) <= set(shown):
            raise calls.opens_nothing(NO_ORGANISATION)
        return {organisation: shown[organisation] for organisation in wanted}

    def _orders(
        self, calls: EventbriteCalls, organisations: Iterable[str], addresses: Iterable[str]
    ) -> list[HeldRecord]:
        """The orders that these addresses placed, whatever became of them; asked for one at a time."""
        found: dict[str, HeldRecord] = {}
        for organisation in organisations:
            for address in addresses:
                rows = calls.rows("orders", ORDERS, {"organization": organisation}, only_emails=address, status="both")
                for row in rows:
                    found[id_of(row)] = HeldRecord("order", id_of(row), id_of(row, "event_id"))
        return list(found.values())

    def _tickets(self, addresses: Iterable[str]) -> list[HeldRecord]:
        found = [ticket for address in addresses for ticket in self._index.tickets(address)]
        return list({ticket.id: ticket for ticket in sorted(found, key=lambda one: one.own)}.values())

    def _located(self, order: Instruction, found: Iterable[HeldRecord]) -> list[HeldRecord]:
        """Keep what was found for the read-back: what an earlier attempt found stays."""
        located = {(one.kind, one.id): one for one in [*self._kept(order), *found]}
        # Noted, so that it stands if the hand-over does: without one nobody was told, and nothing may wait for them.
        self._kit.shelf.note(f"located/{order.reference}", json.dumps([asdict(one) for one in located.values()]))
        return list(located.values())

    def _kept(self, order: Instruction) -> list[HeldRecord]:
        return [HeldRecord(**one) for one in json.loads(self._kit.shelf.get(f"located/{order.reference}") or "[]")]

    def _task(self, found: list[HeldRecord], organisations: int) -> str:
        if found:
            return (
                "Through your API we can find the records that the attached file lists, but not change them. Please do "
                "it for each record, and for every copy. Several people may share an address: if names differ, please "
                "ask us first."
            )
        return (
            f"Through your API we found nothing under these addresses on {self._kit.clock.now():%d %B %Y}, in "
            f"{organisations} of our organisations. You may still hold something: "
            "please search for the person yourselves."
        )

    # --- reading back

    def _read_back(self, calls: EventbriteCalls, order: Instruction) -> Finding:
        organisations = self._organisations(calls)
        if order.right is Right.RESTRICTION:
            return CannotTell(reason=NO_FLAG)
        located = self._kept(order)
        listed = self._orders(calls, organisations, old_addresses(order))
        if listed and order.right is not Right.OPT_OUT:
            return Contradicts(reason=RecordVerdict.OLD_VALUE, evidence=())
        if not located:  # never searched to the end, or nothing found: what is not shown now proves nothing
            return CannotTell(reason=NOT_LOCATED)
        records = {one.id: one for one in [*listed, *located]}.values()
        verdicts = {one: verdict_on(calls, order, one) for one in records}
        said = set(verdicts.values())
        for event in {one.event for one, verdict in verdicts.items() if verdict is RecordVerdict.GONE}:
            if not said & CONTRADICTING:
                self._control(calls, organisations, event)
        return self._finding(order, said)

    def _finding(self, order: Instruction, said: set[RecordVerdict]) -> Finding:
        if RecordVerdict.SUBSCRIBED in said and self._still_unsubscribing(order):
            return CannotTell(reason=UNSUBSCRIBING, later=True)
        if against := sorted(said & CONTRADICTING):
            return Contradicts(reason=against[0], evidence=())
        for verdict in (RecordVerdict.UNREAD, RecordVerdict.NO_FIELD, RecordVerdict.UNCLEAR):
            if verdict in said:
                return CannotTell(reason=verdict, later=verdict is RecordVerdict.UNREAD)
        if said == {RecordVerdict.GONE} and order.right is not Right.ERASURE:
            return CannotTell(reason=NO_LONGER_HELD)
        return AsAsked(evidence=())

    def _still_unsubscribing(self, order: Instruction) -> bool:
        """Whether the vendor's 48 hours since we first read after the hand-over are not over yet."""
        place, now = f"subscribed/{order.reference}", self._kit.clock.now()
        first = self._kit.shelf.get(place)
        if first is None:
            self._kit.shelf.put(place, now.isoformat())
        return first is None or now - datetime.fromisoformat(first) < _UNSUBSCRIBE

    def _control(self, calls: EventbriteCalls, organisations: Iterable[str], event: str) -> None:
        """Return only where something else is still read: a 404 may also be a record that we lost access to."""
        if calls.rows("attendees", EVENT, {"event": event}, status="attending"):
            return
        for organisation in organisations:
            page = calls.page("orders", ORDERS, {"organization": organisation}, status="both")
            if page and page.rows:
                return
        raise Ended(Retryable(reason=NO_CONTROL))
