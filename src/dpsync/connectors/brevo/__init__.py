"""Brevo, contacts API v3: one contact for all lists of an account, known by its address.

A change is answered by an empty 204 and may have been passed over without a word, so each is read again.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import ClassVar, Final

from pydantic import BaseModel

from dpsync.connector import Account, Applied, Capability, Instruction, Kit, Means, NothingHeld, Outcome
from dpsync.connectors.brevo.calls import BLOCKS, ERRORS, NOBODY, PLACE, VENDOR, BrevoSettings, Calls, Contact
from dpsync.connectors.brevo.correction import Blocks, correct
from dpsync.connectors.brevo.hooks import AccountHooks
from dpsync.connectors.brevo.leaving import PARTS, change_of, is_in, still_in
from dpsync.connectors.brevo.observed import AccountOptOuts
from dpsync.connectors.brevo.roster import AccountRoster
from dpsync.model import Changes, FieldValue, Right
from dpsync.vendor.corrections import Compared, compared
from dpsync.vendor.errors import unreadable
from dpsync.vendor.outcomes import nobody, task
from dpsync.vendor.pace import Pace
from dpsync.vendor.places import Found, PeopleInPlaces, remembered
from dpsync.vendor.rectification import move

_SOURCE = "developers.brevo.com, reference of API v3 and its pages on limits, as read in November 2026"
_LIFTED: Final = "lifted:"


class Brevo(PeopleInPlaces[BrevoSettings, Calls, str, Contact], AccountOptOuts, AccountHooks, AccountRoster):
    """Tells Brevo, under every address. One place: the account."""

    name: ClassVar[str] = "brevo"
    vendor = "Brevo"
    address = VENDOR
    errors = ERRORS
    Settings: ClassVar[type[BaseModel]] = BrevoSettings
    parts = PARTS
    forgets: ClassVar[frozenset[str]] = PeopleInPlaces.forgets | {"moved/"}
    capabilities: ClassVar[Mapping[Right, Capability]] = MappingProxyType(
        {
            Right.RECTIFICATION: Capability(
                means=Means.API_AND_OPERATOR,
                effect="Names, attributes and the address of the contact are changed; who was on the blocklist stays "
                "on it.",
                limits="Where the new address is a contact already, nothing is merged: the operator decides. So does "
                "the operator about a value that Brevo refuses or passes over, and about an attribute that the account "
                "lacks or that is no text, date, number or yes-or-no. Brevo takes a contact off its blocklist when its "
                "address changes: it is put back at once, and a campaign that starts in between may reach it. Sent "
                "campaigns, logs and other records (deals, companies, orders) keep what they had.",
                verified_by="the contact is read under its new address and is gone under the old ones; each value is "
                "compared as its attribute's type",
                source=_SOURCE,
                address_change=True,
            ),
            Right.ERASURE: Capability(
                means=Means.API,
                effect="The contact is deleted, from all lists at once.",
                limits="The address may stay on the list of blocked transactional addresses, and in the logs of sent "
                "mail. Deals, companies, conversations and orders are other records, which are not reached. Nor is a "
                "contact that has only a telephone number. Nothing stops a new import of the address. How long "
                "back-ups are kept is not documented.",
                verified_by="the contact is not found under any address",
                source=_SOURCE,
            ),
            Right.RESTRICTION: Capability(
                means=Means.API_AND_OPERATOR,
                effect="The contact is put on the blocklist and taken off all lists: its data are kept and not used "
                "for mailings.",
                limits="Brevo has no state 'restricted': whoever may edit the account sees the data and can undo it, "
                "and so can another system. Segments and automations that go by attributes still find the contact. "
                "Transactional mail and WhatsApp are not stopped. Lifting puts nobody on a list or off the blocklist: "
                "the operator is told which lists they were.",
                verified_by="the contact is on the blocklist and on no list",
                source=_SOURCE,
            ),
            Right.OPT_OUT: Capability(
                means=Means.API,
                effect="The contact is put on the blocklist for email and, where it has a number, for SMS.",
                limits="A number that is added later is not blocked. Transactional mail and WhatsApp are not stopped. "
                "Another system that writes to the contact can take it off the blocklist. A campaign that is being "
                "sent at that moment is not recalled.",
                verified_by="the contact is on the blocklist for email and, where it has a number, for SMS",
                source=_SOURCE,
            ),
        }
    )

    def __init__(self, settings: BrevoSettings, kit: Kit, **more: Callable[[float], None]) -> None:
        super().__init__(settings, kit, **more)
        self._pace = Pace(kit)

    def calls(self, order: Instruction | None) -> Calls:
        """Those of one instruction."""
        return Calls(self._kit, self._settings, self._pace, order, self._sleep)

    def account(self, calls: Calls) -> Account:
        """Whose account it is, once its contacts can be read too."""
        calls.read_types()
        title = calls.content(calls.tell("GET", "/account"), dict).get("companyName")
        if not isinstance(title, str):
            raise unreadable()
        return Account(title=title, contacts=None)

    def places(self, calls: Calls) -> Iterator[str]:
        """One. `/account` is not asked each time: it takes a hundred calls an hour."""
        calls.read_types()
        yield PLACE

    def member(self, calls: Calls, place: str, address: str) -> Contact | None:
        """The contact."""
        del place
        return calls.held(address)

    def wrong(self, order: Instruction, found: Found[Calls, str, Contact]) -> str:
        """A contact that is there, still written to, or still on a list."""
        held = found.members.values()
        if order.right is Right.ERASURE:
            return "the contact is still there" if held else ""
        if order.lifted is not None:
            silent = any(BLOCKS[0] in one.blocked for one in held)
            return "a contact on the blocklist does not show why it is there" if silent else ""
        if any(one.unblocked for one in held):
            return "the contact is not on the blocklist"
        on_lists = order.right is Right.RESTRICTION and any(one.lists for one in held)
        return "the contact is still on a list" if on_lists else ""

    def compared(self, found: Found[Calls, str, Contact], member: Contact, changes: Changes) -> Compared:
        """Each value as its attribute's type; and whether the block that a move must not take is there."""
        asked, types = self._asked(changes), found.calls.types
        shown = compared({name: one for name, one in asked.items() if name in types}, member.attributes, types)
        lost = self._blocks(member).owed() - member.blocked
        return Compared(other=(*shown.other, *lost), unclear=tuple(name for name in asked if name not in types))

    # --- one contact

    def erase(self, calls: Calls, place: str, address: str) -> Outcome:
        """Delete for good."""
        key = self._shelf_key("erased", place, address)
        if calls.held(address) is None:
            return self._erased(key)
        return remembered(self._kit.shelf, key, partial(_delete, calls, address))

    def opt_out(self, calls: Calls, place: str, address: str) -> Outcome:
        """Put on the blocklist."""
        held = self.member(calls, place, address)
        return (
            NothingHeld(evidence=())
            if held is None
            else _changed(calls, address, held.unblocked, lambda now: bool(now.unblocked))
        )

    def lies_in(self, place: str, part: str) -> bool:
        """Every part is of the one account."""
        del place, part
        return True

    def leave(self, calls: Calls, place: str, address: str, part: str) -> Outcome:
        """Take off one list, or block one channel."""
        held = self.member(calls, place, address)
        if held is None:
            return NothingHeld(evidence=())
        return _changed(calls, address, change_of(part, held), lambda now: is_in(part, now))

    def still_in(self, found: Found[Calls, str, Contact], part: str) -> str:
        """By the lists and blocks of the contact."""
        return still_in(found.members.values(), part)

    def restrict(self, calls: Calls, place: str, address: str) -> Outcome:
        """Put on the blocklist and take off every list; which ones is remembered before."""
        held = self.member(calls, place, address)
        if held is None:
            return NothingHeld(evidence=())
        lists: dict[str, object] = {"unlinkListIds": [*held.lists]} if held.lists else {}
        if body := held.unblocked | lists:
            key = self._shelf_key("restricted", place, str(held.id))
            # what an attempt that went no further took is not on the contact any more
            kept = self._kit.shelf.get(key) or _LIFTED
            before = [] if kept.startswith(_LIFTED) else json.loads(kept)
            self._kit.shelf.put(key, json.dumps(sorted({*before, *held.lists})))
        return _changed(calls, address, body, lambda now: bool(now.unblocked or now.lists))

    def lift(self, calls: Calls, place: str, address: str) -> Outcome:
        """Lifting never subscribes anybody again: that only the person can do."""
        held = self.member(calls, place, address)
        if held is None:
            return NothingHeld(evidence=())
        key = self._shelf_key("restricted", place, str(held.id))
        kept = self._kit.shelf.get(key)
        if kept is None or BLOCKS[0] not in held.blocked:
            return Applied(evidence=())
        before = kept.removeprefix(_LIFTED)
        self._kit.shelf.put(key, f"{_LIFTED}{before}")
        lists = [str(one) for one in json.loads(before)]
        return task(
            "The contact was put on the blocklist and taken off its lists for a restriction that is now lifted; the "
            f"lists: {', '.join(lists) or 'none'}. Put it back on them in the web app if it is to be used again, and "
            "leave it on the blocklist: only the person may subscribe anew.",
            *lists,
        )

    # --- rectification

    def put_right(self, calls: Calls, place: str, addresses: tuple[str, ...], changes: Changes) -> Outcome:
        """Put right whoever is held under any address."""
        return move(addresses, changes, partial(self._correct, calls, place))

    def _correct(self, calls: Calls, place: str, address: str, changes: Changes) -> Outcome:
        held = self.member(calls, place, address)
        if held is None:
            return NothingHeld(evidence=())
        return correct(calls, address, held, self._blocks(held), self._asked(changes), changes.email)

    def _blocks(self, held: Contact) -> Blocks:
        return Blocks(self._kit.shelf, self._shelf_key("moved", PLACE, str(held.id)))

    def _asked(self, changes: Changes) -> dict[str, FieldValue]:
        names = {self._settings.first_name: changes.first_name, self._settings.last_name: changes.last_name}
        return {**{name: value for name, value in names.items() if value is not None}, **changes.fields}


def _delete(calls: Calls, address: str) -> Outcome:
    reply = calls.tell("DELETE", "/contacts/{identifier}", address)
    if calls.no(reply, NOBODY):
        return nobody(calls.held(address))
    if reply.status != 204:
        raise unreadable(doubtful=True)
    return Applied(evidence=())


def _changed(calls: Calls, address: str, body: Mapping[str, object], not_so: Callable[[Contact], bool]) -> Outcome:
    """Change a contact where there is anything to change, and read whether it did."""
    if not body:
        return Applied(evidence=())
    if calls.change(address, body, NOBODY):
        return nobody(calls.held(address))
    now = calls.held(address)
    return calls.unchanged() if now and not_so(now) else Applied(evidence=())
