"""Mailchimp Marketing API 3.0: one contact per audience and address, every right carried out once for each.

The official package's endpoint methods are used over our own transport: as shipped it takes a 500 without a body for a
success, drops the headers and waits 120 s.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, Final

from mailchimp_marketing.api import ping_api, root_api
from pydantic import BaseModel

from dpsync.connector import (
    Account,
    Applied,
    Capability,
    Instruction,
    Kit,
    Means,
    NothingHeld,
    ObservesOptOuts,
    OptOutHint,
    Outcome,
    Refused,
    Reply,
    Retryable,
    Roster,
    RosterLine,
)
from dpsync.connectors.mailchimp.calls import (
    BY_HAND,
    ERRORS,
    NOBODY,
    SILENT,
    VENDOR,
    Audiences,
    Calls,
    MailchimpSettings,
    Member,
    hashed,
)
from dpsync.connectors.mailchimp.correction import correct, merge_fields, types_of
from dpsync.connectors.mailchimp.hooks import AudienceHooks
from dpsync.connectors.mailchimp.leaving import PARTS, audience_of, group_of, leave_part, still_in, unsubscribe
from dpsync.connectors.mailchimp.observed import hints_in, opted_out_at
from dpsync.connectors.mailchimp.roster import lines_of
from dpsync.model import Changes, Right
from dpsync.vendor.corrections import Compared, compared
from dpsync.vendor.errors import Ended, unreadable
from dpsync.vendor.outcomes import each, nobody, task, together
from dpsync.vendor.places import Found, PeopleInPlaces
from dpsync.vendor.rectification import move

_LIFTED: Final = "lifted:"

# the generated classes carry no types
_PingApi: Any = ping_api.PingApi
_RootApi: Any = root_api.RootApi

_SOURCE = "Mailchimp Marketing API specification 3.0.55 and its documentation, as read in August 2026"


class Mailchimp(PeopleInPlaces[MailchimpSettings, Calls, str, Member], ObservesOptOuts, Roster, AudienceHooks):
    """Tells Mailchimp, in every audience, under every address. Serves ten threads: no state but a cache."""

    name: ClassVar[str] = "mailchimp"
    vendor = "Mailchimp"
    address = "https://api.mailchimp.com/3.0"
    errors = ERRORS
    Settings: ClassVar[type[BaseModel]] = MailchimpSettings
    max_inflight: ClassVar[int] = 10
    """The vendor's own limit: 10 simultaneous connections per user, over all its keys."""
    parts = PARTS

    capabilities: ClassVar[Mapping[Right, Capability]] = MappingProxyType(
        {
            Right.RECTIFICATION: Capability(
                means=Means.API_AND_OPERATOR,
                effect="Name, merge fields and, for subscribed contacts, the address are changed in every audience.",
                limits="The operator must change the address of a contact that is not subscribed, or whose new address "
                "is a contact already: dpsync never merges or deletes records. The operator also gets a value that "
                "Mailchimp refuses or would cut, and a field that the audience lacks. Sent campaigns, notes, tags and "
                "e-commerce records keep what they had.",
                verified_by="the contact is read under its new address and is gone under the old ones; each value is "
                "compared as its merge field's type",
                source=_SOURCE,
                address_change=True,
            ),
            Right.ERASURE: Capability(
                means=Means.API,
                effect="The contact is permanently deleted in every audience and cannot be imported again.",
                limits="Mailchimp keeps a suppression record of its own and anonymised campaign figures. E-commerce "
                "customers and orders are separate records: their removal is not documented. Contacts that have only a "
                "telephone number are not reached. If the API does not delete a contact, the operator must.",
                verified_by="the contact is not found in any audience, and each audience itself is found",
                source=f"{_SOURCE}; help page 'Delete Contacts'",
            ),
            Right.RESTRICTION: Capability(
                means=Means.API_AND_OPERATOR,
                effect="The contact is unsubscribed and archived in every audience: its data are kept and not used.",
                limits="Mailchimp has no state 'restricted'. Anybody who may edit the account can take a contact out "
                "of the archive, and so can another system that adds it again. The API cannot archive a bounced "
                "('cleaned') contact: the operator gets a task. Lifting never subscribes anybody again.",
                verified_by="the contact's status reads 'archived' in every audience that holds it",
                source=_SOURCE,
            ),
            Right.OPT_OUT: Capability(
                means=Means.API,
                effect="The contact is unsubscribed in every audience.",
                limits="This does not stop transactional mail, nor advertising audiences that were made earlier. An "
                "archived or bounced contact gets no mail and is left as it is: the API does not show whether it would "
                "be subscribed when somebody takes it out of the archive.",
                verified_by="the contact's status reads 'unsubscribed', 'archived' or 'cleaned' in every audience",
                source=f"{_SOURCE}; guide 'Set consent correctly'",
            ),
        }
    )

    def __init__(self, settings: MailchimpSettings, kit: Kit, **more: Any) -> None:
        super().__init__(settings, kit, **more)
        self._audiences = Audiences(settings.audiences, kit)

    @classmethod
    def is_own(cls, base_url: str) -> bool:
        """With and without a data centre."""
        return VENDOR.fullmatch(base_url) is not None

    def calls(self, order: Instruction | None) -> Calls:
        """Those of one instruction."""
        return Calls(self._kit, self._settings, self._audiences, order, self._sleep)

    def account(self, calls: Calls) -> Account:
        """Whose account, how many contacts, which audiences (`name (id)`)."""
        if not isinstance(calls.object_in(_PingApi(calls).get()).get("health_status"), str):
            raise unreadable()
        root = calls.object_in(_RootApi(calls).get_root(fields="account_name,total_subscribers"))
        title, contacts = root.get("account_name"), root.get("total_subscribers")
        if not isinstance(title, str):
            raise unreadable()
        for audience in self._settings.audiences:
            self._audiences.confirm(calls, audience)
        named = self._audiences.named(calls)
        lists = tuple(f"{named.get(one, '?')} ({one})" for one in self._settings.audiences or named)
        return Account(title=title, contacts=contacts if isinstance(contacts, int) else None, lists=lists)

    def places(self, calls: Calls) -> Iterator[str]:
        """Every audience, by its id."""
        return self._audiences.every(calls)

    def member(self, calls: Calls, place: str, address: str) -> Member | None:
        """The contact, or None where the audience exists and does not hold it."""
        return calls.at(place, hashed(address))

    def wrong(self, order: Instruction, found: Found[Calls, str, Member]) -> str:
        """What the contacts found say about what was asked."""
        statuses = {member.status for member in found.members.values()}
        match order.right:
            case Right.ERASURE:
                return "a contact is still held" if statuses else ""
            case Right.OPT_OUT:
                return "" if statuses <= SILENT else "a contact is not unsubscribed"
            case _ if order.lifted is not None:
                return "an archived contact does not show why it is archived" if "archived" in statuses else ""
            case _:
                return "" if statuses <= {"archived"} else "a contact is not archived"

    def compared(self, found: Found[Calls, str, Member], member: Member, changes: Changes) -> Compared:
        """Each value as its merge field's type; an audience without a name field holds no name that could be wrong."""
        types = types_of(found.calls, found.place) if changes.fields else {}
        there = {*member.merge_fields, *changes.fields}
        asked = {tag: value for tag, value in merge_fields(changes).items() if tag in there}
        return compared(asked, member.merge_fields, types)

    # --- what it tells us

    def opt_out_hints(self, body: bytes) -> tuple[OptOutHint, ...]:
        """Who unsubscribed, by an audience's webhook: of the audiences that this section names, where it names any."""
        named = self._settings.audiences
        return tuple(hint for hint in hints_in(body) if not named or hint.place in named)

    def opted_out_at(self, hint: OptOutHint) -> datetime | None:
        """What the audience says of it now."""
        return opted_out_at(self.calls(None), hint)

    def roster(self, after: str = "", parts: Collection[str] = ()) -> Iterator[RosterLine]:
        """Everybody in every audience."""
        calls = self.calls(None)
        return lines_of(calls, self._every_place(calls), after, parts)

    # --- one contact in one audience

    def erase(self, calls: Calls, place: str, address: str) -> Outcome:
        """Delete permanently. DELETE would only archive, which the vendor itself does not call deletion."""
        key = self._shelf_key("erased", place, address)
        try:
            reply: Reply = calls.lists.delete_list_member_permanent(place, hashed(address))
            if 200 <= reply.status < 300 and reply.status != 204:
                raise unreadable(doubtful=True)
        except Ended as end:
            if isinstance(end.outcome, Retryable) and end.outcome.doubtful:
                self._kit.shelf.put(key, "asked")  # the 404 of the next attempt may be the effect of this one
            raise
        no = calls.not_there(reply, place, BY_HAND)
        if no is NOBODY:
            return self._erased(key)
        if no is BY_HAND:
            # one report says so of bounced contacts; the documentation says nothing of it
            return task(f"In audience {place} the API does not delete this contact. Delete it in the web app.", place)
        self._kit.shelf.note(key, "erased")
        return Applied(evidence=())

    def opt_out(self, calls: Calls, place: str, address: str) -> Outcome:
        """Unsubscribe whoever may be mailed.

        Archived and cleaned contacts are left alone: neither is mailed, and what a change of status does to an archived
        one is documented nowhere; it might bring it back.
        """
        return self.leave(calls, place, address, f"audience={place}")

    def lies_in(self, place: str, part: str) -> bool:
        """An audience, or a group of one."""
        return audience_of(part) == place

    def leave(self, calls: Calls, place: str, address: str, part: str) -> Outcome:
        """Unsubscribe in the audience, or take out of the group; the status is left as it is there."""
        member = self.member(calls, place, address)
        return NothingHeld(evidence=()) if member is None else leave_part(calls, place, member, group_of(part))

    def still_in(self, found: Found[Calls, str, Member], part: str) -> str:
        """By the status, or by the group."""
        return still_in(found.members.values(), group_of(part))

    def restrict(self, calls: Calls, place: str, address: str) -> Outcome:
        """Unsubscribe, then archive: unsubscribed first, so that whoever takes it out of the archive mails nobody."""
        member = self.member(calls, place, address)
        if member is None:
            return NothingHeld(evidence=())
        if member.status == "archived":
            return Applied(evidence=())
        key = self._shelf_key("restricted", place, address)
        kept = self._kit.shelf.get(key) or _LIFTED
        # unsubscribed with a status on the shelf: we did that, in an attempt that went no further
        if member.status != "unsubscribed" or kept.startswith(_LIFTED):
            self._kit.shelf.put(key, member.status)
        usable = member.status not in ("unsubscribed", "cleaned")
        left = each([partial(unsubscribe, calls, place, member)] if usable else [])
        if left and isinstance(left[0], NothingHeld | Retryable):
            return left[0]  # not archived yet: what is archived looks restricted, and the rest would be forgotten
        noes = [outcome for outcome in left if isinstance(outcome, Refused)]
        return together([*noes, *each([partial(self._archive, calls, place, member)])])

    def _archive(self, calls: Calls, list_id: str, member: Member) -> Outcome:
        reply: Reply = calls.lists.delete_list_member(list_id, member.id)
        no = calls.not_there(reply, list_id, BY_HAND)
        if no is None and reply.status != 204:
            raise unreadable()
        now = calls.at(list_id, member.id) if no else None
        if no is None or (now and now.status == "archived"):
            return Applied(evidence=())
        if now is None or no is NOBODY:
            return nobody(now)
        return task(
            f"In audience {list_id} the API of Mailchimp cannot archive a contact of status '{now.status}'. Archive it "
            "in the web app, or make sure that nobody uses it until the restriction is lifted.",
            list_id,
        )

    def lift(self, calls: Calls, place: str, address: str) -> Outcome:
        """Lifting never subscribes anybody again: that only the person can do."""
        member = self.member(calls, place, address)
        if member is None:
            return NothingHeld(evidence=())
        key = self._shelf_key("restricted", place, address)
        kept = self._kit.shelf.get(key)
        if kept is None or member.status != "archived":
            return Applied(evidence=())
        before = kept.removeprefix(_LIFTED)
        self._kit.shelf.put(key, f"{_LIFTED}{before}")
        return task(
            f"In audience {place} the contact was unsubscribed and archived for a restriction that is now lifted. "
            f"Before that, its status was '{before}'. If you want to use it again, take it out of the archive in the "
            "web app. Leave it unsubscribed: only the person may subscribe again.",
            place,
        )

    # --- rectification

    def put_right(self, calls: Calls, place: str, addresses: tuple[str, ...], changes: Changes) -> Outcome:
        """Put right whoever is held under any address."""
        return move(addresses, changes, partial(correct, calls, place))
