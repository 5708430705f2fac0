"""Hootsuite: private conversations in Inbox 2.0, whose API can set CRM-managed attributes of a contact and no more.

No published call lists, reads or deletes a contact or a conversation. So the vendor's write-back webhook is all that
dpsync sees, what it cannot do goes to people, and what was not seen is never called "nothing held".
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ClassVar, Final, Literal

from pydantic import BaseModel

from dpsync import strict_json
from dpsync.connector import (
    Accepted,
    Account,
    AsAsked,
    CannotTell,
    Capability,
    Contradicts,
    Conversation,
    Evidence,
    Exported,
    Finding,
    HandOver,
    Instruction,
    KeepsConversations,
    Kit,
    NotIdentifiable,
    Outcome,
    Recipient,
)
from dpsync.connectors.hootsuite import texts
from dpsync.connectors.hootsuite.calls import ERRORS, TRACE, VENDOR, HootsuiteCalls, HootsuiteSettings, token_of
from dpsync.connectors.hootsuite.write_back import COLUMNS, WATCH, Attributes, Memory, Profile, exported, read
from dpsync.errors import PayloadInvalid
from dpsync.model import Changes, Right
from dpsync.vendor.connector import HttpConnector
from dpsync.vendor.deliveries import demand_signed, moment
from dpsync.vendor.errors import Ended, Error, refused
from dpsync.vendor.outcomes import together, worst
from dpsync.vendor.token import instant

_SAID_AGAIN: Final = timedelta(hours=2)

NOT_IN_IT: Final = "the token opens no organisation of that organization_id"
NEVER_SENT: Final = "nothing was sent yet"
IMPORT_FAILED: Final = "the processor reported that attributes which came in at that time were not taken over"
NOT_SHOWN: Final = "no later conversation has shown the attributes"
STILL_OTHER: Final = "a later conversation shows another value"
SEEN_AGAIN: Final = "the contact was seen again after the deletion: it was not deleted, or the person has written anew"
NOT_SEEN: Final = "no conversation of the person came in since; that is no proof of the deletion"
NOT_BLOCKED: Final = "our own block-list does not name every address of the person"
NOTHING_SHOWS: Final = "Hootsuite has no flag that could be read back; our own block-list names the person"


class Hootsuite(HttpConnector[HootsuiteSettings, HootsuiteCalls], KeepsConversations):
    """Puts CRM-managed attributes right, keeps a block-list, and says to people what only they can do."""

    name: ClassVar[str] = "hootsuite"
    vendor: ClassVar[str] = "Hootsuite"
    address: ClassVar[str] = VENDOR
    errors: ClassVar[tuple[Error, ...]] = ERRORS
    Settings: ClassVar[type[BaseModel]] = HootsuiteSettings
    max_inflight: ClassVar[int] = 4
    forgets: ClassVar[frozenset[str]] = frozenset({"profile/", "person/", "since", "import_error/"})
    """Well below the documented 20 requests a second."""

    capabilities: ClassVar[Mapping[Right, Capability]] = texts.CAPABILITIES
    unseen: ClassVar[tuple[str, ...]] = texts.UNSEEN
    whole_contacts: ClassVar[bool] = True  # who writes after the deletion is another profile
    export_columns: ClassVar[frozenset[str]] = frozenset(COLUMNS)

    def __init__(self, settings: HootsuiteSettings, kit: Kit) -> None:
        super().__init__(settings, kit)
        self._token = token_of(settings, self.base, kit)
        self._memory = Memory(kit)

    def calls(self, order: Instruction | None) -> HootsuiteCalls:
        """Each under a token that is believed good."""
        return HootsuiteCalls(self._kit, self.base, self._token, order)

    def account(self, calls: HootsuiteCalls) -> Account:
        """The organisation by its name, and its channels; its contacts cannot be counted."""
        ours = self._settings.organization_id
        names = [one.get("name") for one in calls.data("/v1/me/organizations") if str(one.get("id")) == ours]
        channels = calls.data("/v1/socialProfiles")
        if not names:
            raise refused(NOT_IN_IT)
        # the name is null for X
        lists = tuple(f"{one.get('socialNetworkUsername') or one.get('type')} ({one.get('id')})" for one in channels)
        return Account(title=f"{names[0]} ({ours})", contacts=None, lists=lists)

    def carry_out(self, instruction: Instruction) -> Outcome:
        """Tell it, or say who must do what. Raises `CredentialsRejected`; `UnsupportedRight` before any call."""
        self.demand_declared(instruction.right)
        known = (*self._memory.people(instruction), instruction.name, *instruction.references.get("hootsuite", ()))
        if not any(known):
            return NotIdentifiable(reason="no address, telephone number, name or profile of the person is known")
        acts = {Right.RECTIFICATION: self._put_right, Right.ERASURE: self._hand_erasure_over}
        return acts.get(instruction.right, self._block)(instruction)

    def verify(self, instruction: Instruction) -> Finding:
        """Look up what write-back has shown since; the vendor answers no question. Makes no call."""
        self.demand_declared(instruction.right)
        looks = {Right.RECTIFICATION: self._shown, Right.ERASURE: self._seen_again}
        return looks.get(instruction.right, self._blocked)(instruction)

    # --- rectification

    def _put_right(self, order: Instruction) -> Outcome:
        calls = self.calls(order)
        located = self._memory.located(order)
        left: dict[str, str] = {} if located else {"": texts.SEARCH}
        try:
            for contact, sure in located.items():
                if reason := self._put_contact_right(calls, order, contact, sure=sure):
                    left[contact] = reason
        except Ended as end:
            return together([end.outcome], calls.kept, touched=calls.touched)
        if not left:
            # by when the person writes again nobody knows: after the contract's own time somebody must look
            return Accepted(evidence=calls.kept)
        task = " ".join([*dict.fromkeys(left.values()), self._memory.since()])
        return HandOver(to=Recipient.OPERATOR, task=task, evidence=calls.kept, references=tuple(filter(None, left)))

    def _put_contact_right(self, calls: HootsuiteCalls, order: Instruction, contact: str, *, sure: bool) -> str:
        """Write the set, and say what is left for a person, "" for nothing. Raises `Ended`."""
        memory, changes = self._memory, order.changes or Changes()
        profile = memory.profile(contact)
        known = memory.known(profile)
        # a telephone may be shared: where the CRM names an address, it must be this person's
        held = (known or {}).get(self._called("email"))
        if not sure or (held and memory.pseudonym(held) not in memory.people(order)):
            return texts.LOOK
        if known is None:
            return texts.UNKNOWN
        wanted = self._wanted(changes)
        asked = {name: value for name, value in wanted.items() if name in known}
        if asked and not self._put(calls, order, contact, known | asked, asked):
            return texts.GONE
        named = changes.first_name is not None or changes.last_name is not None
        old = [*(order.addresses if changes.email else ()), order.name if named else None]
        mistaken = {memory.pseudonym(value) for value in old if value} - {memory.pseudonym(changes.email or "")}
        lacking = {name for name, value in changes.fields.items() if value and name not in asked}
        if lacking or set(wanted) & set(profile.by_hand) or mistaken & set(profile.copies) or not asked:
            return texts.BY_HAND
        return ""

    def _called(self, name: Literal["email", "first_name", "last_name"]) -> str:
        return self._settings.attributes.get(name, name)

    def _wanted(self, changes: Changes) -> Attributes:
        """The attributes that change; None empties one."""
        named = {
            self._called("email"): changes.email,
            self._called("first_name"): changes.first_name,
            self._called("last_name"): changes.last_name,
        }
        # an attribute is a text: the parts of an address are left to a person
        told = named | {name: value for name, value in changes.fields.items() if isinstance(value, str)}
        return {name: value or None for name, value in told.items() if value is not None}

    def _put(
        self, calls: HootsuiteCalls, order: Instruction, contact: str, whole: Attributes, asked: Attributes
    ) -> bool:
        """Write the complete set; whether the contact is there. Raises `Ended`."""
        place, begun = f"put/{order.reference}/{self._memory.key_of(contact)}", instant(self._kit.clock.now())
        told = {name: self._memory.pseudonym(value) if value else "" for name, value in asked.items()}
        # Before the call: if we crash after it, the next attempt knows that it may have been done.
        self._kit.shelf.put(place, json.dumps([contact, begun, told, False]))
        if not calls.put_attributes(contact, whole):
            return False
        now = instant(self._kit.clock.now())
        self._memory.change(contact, lambda one: replace(one, put_at=now, crm=None if one.erased else whole))
        self._kit.shelf.put(place, json.dumps([contact, now, told, True]))
        return True

    def _shown(self, order: Instruction) -> Finding:
        puts = map(json.loads, self._kit.shelf.find(f"put/{order.reference}/").values())
        found = [self._judged(self._memory.profile(contact), *put) for contact, *put in puts]
        return worst(found) if found else CannotTell(reason=NEVER_SENT)

    def _judged(self, profile: Profile, at: str, asked: Mapping[str, str], accepted: bool) -> Finding:
        """What became of one change. What write-back shows weighs more than an error that names nobody."""
        if profile.at > at and not profile.put_at and profile.crm is not None:
            shown = {name: self._memory.pseudonym(profile.crm.get(name) or "") for name in profile.crm if name in asked}
            empty = self._memory.pseudonym("")
            evidence = (_evidence(profile),)
            if all(shown.get(name, empty) == (value or empty) for name, value in asked.items()):
                return AsAsked(evidence=evidence)
            if any(shown.get(name, empty) not in (value, empty) for name, value in asked.items()):
                late = profile.at > instant(datetime.fromisoformat(at) + WATCH)
                return Contradicts(reason=STILL_OTHER, evidence=evidence, final=late)
        if self._memory.failed(at):
            return Contradicts(reason=IMPORT_FAILED, evidence=(), final=True)
        # without an answer to it, it is written again: the same set twice is the same set
        return CannotTell(reason=NOT_SHOWN, later=accepted)

    # --- erasure

    def _hand_erasure_over(self, order: Instruction) -> Outcome:
        located = self._memory.located(order)
        mine = sorted(contact for contact, sure in located.items() if sure)
        self._kit.shelf.put(f"erased/{order.reference}", json.dumps([mine, "", ""]))
        for contact in mine:
            # what was kept for a later change is not needed any more, and is a copy too
            self._memory.change(contact, lambda one: replace(one, crm=None, erased=True))
        parts = [texts.DELETE if mine else texts.SEARCH, texts.LOOK if len(mine) < len(located) else ""]
        task = " ".join(filter(None, [*parts, self._memory.since(), texts.HINT.format(reference=order.reference)]))
        unsure = (f"{contact} (look first)" for contact in sorted(set(located) - set(mine)))
        return HandOver(to=Recipient.OPERATOR, task=task, references=(*mine, *unsure))

    def _seen_again(self, order: Instruction) -> Finding:
        """The first look comes right after the operator's answer; from then on nobody may be seen any more.

        What was reported is said again for a while, in case that we crashed, or are to look once more; after that it
        is known, and a second deletion is not held against what was seen before it.
        """
        place = f"erased/{order.reference}"
        kept = self._kit.shelf.get(place)
        if kept is None:
            return CannotTell(reason=NEVER_SENT)
        mine, since, reported = json.loads(kept)
        now = self._kit.clock.now()
        if not since or (reported and reported < instant(now - _SAID_AGAIN)):
            since, reported = reported or instant(now), ""
        now_held = {contact for contact, sure in self._memory.located(order).items() if sure}
        profiles = map(self._memory.profile, sorted(now_held | set(mine)))
        seen = next((profile for profile in profiles if profile.at > since), None)
        reported = reported or (max(instant(now), seen.at) if seen else "")
        self._kit.shelf.put(place, json.dumps([mine, since, reported]))
        if seen:
            return Contradicts(reason=SEEN_AGAIN, evidence=(_evidence(seen),))
        return CannotTell(reason=NOT_SEEN, later=True)

    # --- restriction and opt-out

    def _block(self, order: Instruction) -> Outcome:
        """Our own block-list before anybody is told, so that a crash never leaves somebody told and not blocked."""
        self._memory.block(order)
        references = tuple(sorted(contact for contact, sure in self._memory.located(order).items() if sure))
        if order.right is Right.OPT_OUT:
            return HandOver(to=Recipient.OPERATOR, task=texts.OPTED_OUT, references=references)
        task = texts.RESTRICTED if order.lifted is None else texts.LIFTED
        return HandOver(to=Recipient.PROCESSOR, task=task, references=references)

    def _blocked(self, order: Instruction) -> Finding:
        if order.lifted is None and not self._memory.blocked(order.right, self._memory.people(order)):
            return Contradicts(reason=NOT_BLOCKED, evidence=())
        return CannotTell(reason=NOTHING_SHOWS)

    # --- what the vendor sends

    def receive(self, headers: Mapping[str, str], body: bytes) -> tuple[Conversation, ...]:
        """Take in a write-back or an import error.

        The same delivery again changes nothing and gives the same conversation: the first answer may have been lost
        before anybody kept it. Raises `SignatureInvalid`, `PayloadInvalid`.
        """
        demand_signed(self._settings.webhook_secret, headers.get("x-hootsuite-signature", ""), body)
        now = self._kit.clock.now()
        match strict_json.load(body, quoting=True):
            case {"type": "CONVERSATION_RESOLVED" | "CONVERSATION_SET_TO_PENDING", "data": dict(data), **said}:
                event = {str(name): value for name, value in said.items()}
                seen, shown = read(event, data, now, self._memory.pseudonym)
                self._memory.see(seen.contact, shown, seen.people)
                return (seen,)
            case {"eventType": "DATA_IMPORT_ERROR", **said}:
                moments = [now]
                with suppress(PayloadInvalid):  # without a time of its own the error still counts from its arrival
                    moments.append(moment(said.get("timestamp"), "timestamp"))
                self._memory.note_import_error(moments)
        return ()

    def read_export(self, rows: Iterable[Mapping[str, str]]) -> Iterator[Exported]:
        """The rows of the export "Resolved conversations". Raises `PayloadInvalid`: the row, never its value."""
        return exported(rows)


def _evidence(profile: Profile) -> Evidence:
    """That their webhook to us has shown it."""
    at, trace = datetime.fromisoformat(profile.at), profile.event if TRACE.fullmatch(profile.event) else ""
    return Evidence("POST crm-write-back", 200, at, request_id=trace, note="their webhook to us")
