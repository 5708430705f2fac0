"""Mailchimp Marketing API 3.0: one contact per audience and address, every right carried out once for each.

The official package's endpoint methods are used over our own transport: as shipped it takes a 500 without a body for a
success, drops the headers and waits 120 s.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Self

from mailchimp_marketing.api import lists_api, ping_api, root_api
from pydantic import AfterValidator, BaseModel, Field, model_validator

from dpsync.address import spellings
from dpsync.connector import (
    Account,
    Applied,
    Capability,
    Instruction,
    Kit,
    Means,
    NothingHeld,
    Outcome,
    Refused,
    Reply,
    Retryable,
)
from dpsync.http import api_root
from dpsync.model import Changes, FieldValue, Right
from dpsync.vendor.calls import Calls, Secret, part_of
from dpsync.vendor.connector import VendorSettings, ids
from dpsync.vendor.corrections import EMAIL, Compared, Left, compared, put_right, two_records
from dpsync.vendor.errors import NOT_DONE, OUR_FAULT, Ended, Error, Meaning, refused, unreadable
from dpsync.vendor.field_values import UNTYPED, FieldType, Kind, written
from dpsync.vendor.outcomes import each, task, together
from dpsync.vendor.places import Found, PeopleInPlaces
from dpsync.vendor.rectification import Correction, Gone, move, to_send
from dpsync.vendor.token import basic

_VENDOR = re.compile(r"https://([a-z]{2}[0-9]{1,3}\.)?api\.mailchimp\.com/3\.0")  # newer pages show no data centre
_LIST_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_STATUSES = frozenset({"subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived"})
_SILENT = frozenset({"unsubscribed", "cleaned", "archived"})
_MEMBER_FIELDS = "id,list_id,status,merge_fields"
_SET_KEPT: Final = 300.0  # seconds that the set of audiences is believed before it is read again
_PAGE: Final = 1000  # the vendor's maximum; its default of 10 hides the eleventh audience
_LIFTED: Final = "lifted:"

NO_AUDIENCE: Final = "a configured audience does not exist: `dpsync check` names it"
NO_AUDIENCES: Final = "the account shows no audience"
SET_CHANGED: Final = "the set of audiences changed meanwhile"
NO_ROLE: Final = "the key is good; its user is disabled, or has a role that may not do this"

_TAG = re.compile(r"[A-Z][A-Z0-9_]{0,9}")
_LONGEST_VALUE: Final = 255  # bytes: a text is cut there without a word (vendor page "Merge Fields", November 2026)
_KINDS: Final[Mapping[str, Kind]] = {
    "text": Kind.TEXT,
    "number": Kind.NUMBER,
    "address": Kind.ADDRESS,
    "phone": Kind.PHONE,
    "date": Kind.DATE,
    "birthday": Kind.BIRTHDAY,
    "url": Kind.URL,
    "imageurl": Kind.URL,
    "radio": Kind.CHOICE,
    "dropdown": Kind.CHOICE,
    "zip": Kind.POSTCODE,
}

NOBODY: Final = Error((404,), (), Meaning.ABSENT)  # a wrong list id is the same 404: see `_Audiences`
BY_HAND: Final = Error((405,), (), Meaning.LEFT)
INVALID: Final = Error((400,), ("Invalid Resource",), Meaning.REFUSED)
EXISTS: Final = Error((400,), ("Member Exists",), Meaning.REFUSED)
FORGOTTEN: Final = Error((400,), ("Forgotten Email Not Subscribed",), Meaning.REFUSED)
ERRORS: Final[tuple[Error, ...]] = (
    Error((401,), (), Meaning.REJECTED),
    Error((403,), (), Meaning.REJECTED, NO_ROLE),
    Error((400,), ("Bad Request", "JSON Parse Exception"), Meaning.NO, OUR_FAULT),
    Error((414, 422, 426), (), Meaning.NO, OUR_FAULT),
    *(NOBODY, BY_HAND, INVALID, EXISTS, FORGOTTEN),
)
"""By status and title; of a 400 the status alone tells nothing apart."""
_ADDRESS_REFUSED: Final = {
    INVALID: "Mailchimp refused the new address; it may take it for fake or invalid: see how it is spelt.",
    EXISTS: "Mailchimp calls the new address a member and shows no such contact: look for it in the web app.",
    FORGOTTEN: "the new address was permanently deleted before, and Mailchimp takes it back through its own sign-up "
    "form only: agree with the person what becomes of the contact under the old address.",
}

# the generated classes carry no types
_ListsApi: Any = lists_api.ListsApi
_PingApi: Any = ping_api.PingApi
_RootApi: Any = root_api.RootApi


class MailchimpSettings(VendorSettings):
    """`api_key` ends in the data centre (`...-us19`). `audiences`: the list ids to reach; none means every audience."""

    api_key: Secret
    base_url: Annotated[str, AfterValidator(partial(api_root, path="/3.0"))] | None = None
    audiences: Annotated[
        tuple[str, ...], AfterValidator(partial(ids, form=_LIST_ID, such="audience ids such as a6b5da1054"))
    ] = Field(default=(), max_length=1000)

    @model_validator(mode="after")
    def _centre(self) -> Self:
        if self.base_url is None and not _VENDOR.fullmatch(self.base):
            raise ValueError("api_key does not end in a data centre such as -us19")
        return self

    @property
    def base(self) -> str:
        """Where the API is, without a slash at the end."""
        centre = self.api_key.get_secret_value().rpartition("-")[2]
        return self.base_url or f"https://{centre}.api.mailchimp.com/3.0"


@dataclass(frozen=True, slots=True)
class _Member:
    """What matters of a contact. It holds personal data and lives for one instruction."""

    id: str
    status: str
    merge_fields: Mapping[str, object]


class _Calls(Calls):
    """The transport that the generated classes call: any object with `call_api` and the two `select_…` serves them."""

    errors = ERRORS
    code_in = "title"

    def __init__(
        self, kit: Kit, settings: MailchimpSettings, order: Instruction | None, sleep: Callable[[float], None]
    ) -> None:
        super().__init__(kit, order, sleep)
        self._base = settings.base
        self._authorization = basic("dpsync", settings.api_key.get_secret_value())
        self.known: set[str] = set()
        """Audiences that an authenticated read within this instruction has shown to exist."""
        self.types: dict[str, Mapping[str, FieldType]] = {}
        """The merge fields of each audience that was asked for them, by tag."""
        self.lists = _ListsApi(self)

    def select_header_accept(self, accepts: Sequence[str]) -> str:
        return ", ".join(accepts)

    def select_header_content_type(self, kinds: Sequence[str]) -> str:
        return kinds[0]

    def call_api(
        self,
        resource_path: str,
        method: str,
        path_params: Mapping[str, str] | None = None,
        query_params: Sequence[tuple[str, object]] = (),
        header_params: Mapping[str, str] | None = None,
        body: object = None,
        **_: object,
    ) -> Reply:
        """Make one call; a read is tried again where the connection broke. Raises `Ended`, `CredentialsRejected`."""
        # every id in a path is one by its form (`_LIST_ID`, a hash), so nothing there needs quoting
        url = self._base + resource_path.format_map(path_params or {})
        reply = self.ask(
            method,
            url,
            template=resource_path,
            headers={**(header_params or {}), "Authorization": self._authorization},
            params={name: str(value).lower() if value is True else str(value) for name, value in query_params},
            body=None if body is None else json.dumps(body).encode(),
            scope=str((path_params or {}).get("list_id", "")),
            patient=True,
        )
        self.demand_sense(reply, writing=method != "GET")
        return reply

    def speaks(self, reply: Reply) -> bool:
        """As its `ProblemDetailDocument` says; above its limits it answers 429, or 403 without JSON."""
        # what calls itself another status than it has is somebody's page
        return self.shaped(reply, title=str, status=int, detail=str) and part_of(reply, "status") == reply.status

    def object_in(self, reply: Reply) -> Mapping[str, object]:
        """The JSON object of a 200, which alone is documented. Raises `Ended`."""
        if 200 < reply.status < 300:
            raise refused()
        return self.content(reply, dict)

    def member_in(self, reply: Reply, list_id: str, member: str, was: str = "") -> _Member:
        """The contact in a 200: the one asked for, or the same as it `was`. Raises `Ended`."""
        found = self.object_in(reply)
        status, fields = found.get("status"), found.get("merge_fields")
        same = found.get("id") in {member, was or member} and found.get("list_id", list_id) == list_id
        if not same or not isinstance(status, str) or status not in _STATUSES or not isinstance(fields, dict):
            raise unreadable()
        return _Member(str(found["id"]), status, fields)


class _Audiences:
    """Which audiences there are. A wrong list id and an unknown contact are the same 404, so 404 alone says nothing."""

    def __init__(self, configured: tuple[str, ...], kit: Kit) -> None:
        self._configured = configured
        self._clock = kit.clock
        self._read: tuple[float, tuple[str, ...]] | None = None

    def every(self, calls: _Calls) -> Iterator[str]:
        """Each audience once, by a read not older than some minutes, and what a later read shows. Raises `Ended`."""
        told: set[str] = set()
        while pending := [list_id for list_id in self._ids(calls) if list_id not in told]:
            for list_id in pending:
                told.add(list_id)
                yield list_id

    def confirm(self, calls: _Calls, list_id: str) -> None:
        """Return only where a read within this instruction shows that the audience exists. Raises `Ended`."""
        if list_id in calls.known:
            return
        if not self._configured:
            if list_id not in self._afresh(calls):
                raise Ended(Retryable(reason=SET_CHANGED))
            return
        reply: Reply = calls.lists.get_list(list_id, fields="id")
        if calls.no(reply, NOBODY):
            raise refused(NO_AUDIENCE)
        if calls.object_in(reply).get("id") != list_id:
            raise unreadable()
        calls.known.add(list_id)

    def named(self, calls: _Calls) -> dict[str, str]:
        """Every audience's id and name, all pages; the vendor's own total decides whether they are all."""
        found: dict[str, str] = {}
        total = 1
        while len(found) < total:
            reply: Reply = calls.lists.get_all_lists(
                fields="lists.id,lists.name,total_items", count=_PAGE, offset=len(found)
            )
            page = calls.object_in(reply)
            lists, counted = page.get("lists"), page.get("total_items")
            if not isinstance(lists, list) or not isinstance(counted, int) or counted < 0:
                raise unreadable()
            total, before = counted, len(found)
            for entry in lists:
                if not isinstance(entry, dict) or not _LIST_ID.fullmatch(str(entry.get("id", ""))):
                    raise unreadable()
                found[str(entry["id"])] = str(entry.get("name", ""))
            if len(found) == before and len(found) < total:
                raise unreadable()
        return found

    def _ids(self, calls: _Calls) -> tuple[str, ...]:
        if self._configured:
            return self._configured
        read = self._read
        return read[1] if read and self._clock.monotonic() - read[0] < _SET_KEPT else self._afresh(calls)

    def _afresh(self, calls: _Calls) -> tuple[str, ...]:
        begun = self._clock.monotonic()
        ids = tuple(self.named(calls))
        if not ids:
            # a key whose role hides the audiences looks the same
            raise refused(NO_AUDIENCES)
        self._read = (begun, ids)
        calls.known.update(ids)
        return ids


_SOURCE = "Mailchimp Marketing API specification 3.0.55 and its documentation, as read in August 2026"


class Mailchimp(PeopleInPlaces[MailchimpSettings, _Calls, str, _Member]):
    """Tells Mailchimp, in every audience, under every address. Serves ten threads: no state but a cache."""

    name: ClassVar[str] = "mailchimp"
    vendor = "Mailchimp"
    address = "https://api.mailchimp.com/3.0"
    errors = ERRORS
    Settings: ClassVar[type[BaseModel]] = MailchimpSettings
    max_inflight: ClassVar[int] = 10
    """The vendor's own limit: 10 simultaneous connections per user, over all its keys."""

    capabilities: ClassVar[Mapping[Right, Capability]] = MappingProxyType(
        {
            Right.RECTIFICATION: Capability(
                means=Means.API_AND_OPERATOR,
                effect="Name, merge fields and, for subscribed contacts, the address are changed in every audience.",
                limits="The address of a contact that is not subscribed, or whose new address is a contact already, is "
                "left to the operator: records are never merged or deleted. So is a value that Mailchimp refuses or "
                "would cut, and a field that the audience lacks. Sent campaigns, notes, tags and e-commerce records "
                "keep what they had.",
                verified_by="the contact is read under its new address and is gone under the old ones; each value is "
                "compared as its merge field's type",
                source=_SOURCE,
                address_change=True,
            ),
            Right.ERASURE: Capability(
                means=Means.API,
                effect="The contact is permanently deleted in every audience and cannot be imported again.",
                limits="Mailchimp keeps a suppression trace of its own and anonymised campaign figures. E-commerce "
                "customers and orders are another resource: their removal is not documented. Contacts that have only a "
                "telephone number are not reached. A contact that the API will not delete is left to the operator.",
                verified_by="the contact is not found in any audience, each audience itself being found",
                source=f"{_SOURCE}; help page 'Delete Contacts'",
            ),
            Right.RESTRICTION: Capability(
                means=Means.API_AND_OPERATOR,
                effect="The contact is unsubscribed and archived in every audience: its data are kept and not used.",
                limits="Mailchimp has no state 'restricted': whoever may edit the account can take a contact out of "
                "the archive, and so can another system that adds it again. A bounced ('cleaned') contact cannot be "
                "archived and goes to the operator. Lifting never subscribes anybody again.",
                verified_by="the contact's status reads 'archived' in every audience that holds it",
                source=_SOURCE,
            ),
            Right.OPT_OUT: Capability(
                means=Means.API,
                effect="The contact is unsubscribed in every audience.",
                limits="Transactional mail and advertising audiences made earlier are not stopped by it. An archived "
                "or bounced contact is not mailed and is left as it is: the API does not show whether it would be "
                "subscribed when somebody takes it out of the archive.",
                verified_by="the contact's status reads 'unsubscribed', 'archived' or 'cleaned' in every audience",
                source=f"{_SOURCE}; guide 'Set consent correctly'",
            ),
        }
    )

    def __init__(self, settings: MailchimpSettings, kit: Kit, **more: Any) -> None:
        super().__init__(settings, kit, **more)
        self._audiences = _Audiences(settings.audiences, kit)

    @classmethod
    def is_own(cls, base_url: str) -> bool:
        """With and without a data centre."""
        return _VENDOR.fullmatch(base_url) is not None

    def calls(self, order: Instruction | None) -> _Calls:
        """Those of one instruction."""
        return _Calls(self._kit, self._settings, order, self._sleep)

    def account(self, calls: _Calls) -> Account:
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

    def places(self, calls: _Calls) -> Iterator[str]:
        """Every audience, by its id."""
        return self._audiences.every(calls)

    def member(self, calls: _Calls, place: str, address: str) -> _Member | None:
        """The contact, or None where the audience exists and does not hold it."""
        return self.at(calls, place, _hash(address))

    def wrong(self, order: Instruction, found: Found[_Calls, str, _Member]) -> str:
        """What the contacts found say about what was asked."""
        statuses = {member.status for member in found.members.values()}
        match order.right:
            case Right.ERASURE:
                return "a contact is still held" if statuses else ""
            case Right.OPT_OUT:
                return "" if statuses <= _SILENT else "a contact is not unsubscribed"
            case _ if order.lifted is not None:
                return "an archived contact does not show why it is archived" if "archived" in statuses else ""
            case _:
                return "" if statuses <= {"archived"} else "a contact is not archived"

    def compared(self, found: Found[_Calls, str, _Member], member: _Member, changes: Changes) -> Compared:
        """Each value as its merge field's type; an audience without a name field holds no name that could be wrong."""
        types = self._types(found.calls, found.place) if changes.fields else {}
        there = {*member.merge_fields, *changes.fields}
        asked = {tag: value for tag, value in _merge_fields(changes).items() if tag in there}
        return compared(asked, member.merge_fields, types)

    # --- one contact in one audience

    def at(self, calls: _Calls, list_id: str, member: str) -> _Member | None:
        """The contact by its hash."""
        reply: Reply = calls.lists.get_list_member(list_id, member, fields=_MEMBER_FIELDS)
        return None if self._no(calls, reply, list_id) else calls.member_in(reply, list_id, member)

    def spelt(self, calls: _Calls, list_id: str, address: str, *, other: bool = False) -> _Member | None:
        """The contact under whichever spelling; `other`: than the given one."""
        hashes = list(dict.fromkeys(map(_hash, spellings(address))))[other:]
        return next(filter(None, (self.at(calls, list_id, one) for one in hashes)), None)

    def confirm(self, calls: _Calls, list_id: str) -> None:
        """Return only where the audience exists. Raises `Ended`."""
        self._audiences.confirm(calls, list_id)

    def _no(self, calls: _Calls, reply: Reply, list_id: str, *rows: Error) -> Error | None:
        """None for a yes; else which no it is, `NOBODY` only where the audience is known to exist. Raises `Ended`."""
        row = calls.no(reply, NOBODY, *rows)
        if row is NOBODY:
            self._audiences.confirm(calls, list_id)
        return row

    def erase(self, calls: _Calls, place: str, address: str) -> Outcome:
        """Delete permanently. DELETE would only archive, which the vendor itself does not call deletion."""
        key = self._shelf_key("erased", place, address)
        try:
            reply: Reply = calls.lists.delete_list_member_permanent(place, _hash(address))
            if 200 <= reply.status < 300 and reply.status != 204:
                raise unreadable(doubtful=True)
        except Ended as end:
            if isinstance(end.outcome, Retryable) and end.outcome.doubtful:
                self._kit.shelf.put(key, "asked")  # the 404 of the next attempt may be the effect of this one
            raise
        no = self._no(calls, reply, place, BY_HAND)
        if no is NOBODY:
            return self._erased(key)
        if no is BY_HAND:
            # one report says so of bounced contacts; the documentation says nothing of it
            return task(f"In audience {place} the API does not delete this contact: do it in the web app.", place)
        self._kit.shelf.note(key, "erased")
        return Applied(evidence=())

    def opt_out(self, calls: _Calls, place: str, address: str) -> Outcome:
        """Unsubscribe whoever may be mailed.

        Archived and cleaned contacts are left alone: neither is mailed, and what a change of status does to an archived
        one is documented nowhere; it might bring it back.
        """
        member = self.member(calls, place, address)
        if member is None:
            return NothingHeld(evidence=())
        return Applied(evidence=()) if member.status in _SILENT else self._unsubscribe(calls, place, member)

    def _unsubscribe(self, calls: _Calls, list_id: str, member: _Member) -> Outcome:
        """PATCH, never PUT: a PUT would create a contact."""
        body = {"status": "unsubscribed"}
        reply: Reply = calls.lists.update_list_member(list_id, member.id, body, skip_merge_validation=True)
        if self._no(calls, reply, list_id):
            return NothingHeld(evidence=())
        now = calls.member_in(reply, list_id, member.id)
        return Applied(evidence=()) if now.status == "unsubscribed" else calls.unchanged()

    def restrict(self, calls: _Calls, place: str, address: str) -> Outcome:
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
        left = each([partial(self._unsubscribe, calls, place, member)] if usable else [])
        if left and isinstance(left[0], NothingHeld | Retryable):
            return left[0]  # not archived yet: what is archived looks restricted, and the rest would be forgotten
        noes = [outcome for outcome in left if isinstance(outcome, Refused)]
        return together([*noes, *each([partial(self._archive, calls, place, member)])])

    def _archive(self, calls: _Calls, list_id: str, member: _Member) -> Outcome:
        reply: Reply = calls.lists.delete_list_member(list_id, member.id)
        no = self._no(calls, reply, list_id, BY_HAND)
        if no is None and reply.status != 204:
            raise unreadable()
        now = self.at(calls, list_id, member.id) if no is BY_HAND else None
        if no is None or (now and now.status == "archived"):
            return Applied(evidence=())
        if now is None:
            return NothingHeld(evidence=())
        return task(
            f"In audience {list_id} Mailchimp does not let a contact of status '{now.status}' be archived through the "
            "API. Archive it in the web app, or keep it from every use until the restriction is lifted.",
            list_id,
        )

    def lift(self, calls: _Calls, place: str, address: str) -> Outcome:
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
            f"In audience {place} the contact was unsubscribed and archived for a restriction that is now lifted; "
            f"before, its status was '{before}'. Take it out of the archive in the web app if it is to be used again, "
            "and leave it unsubscribed: only the person may subscribe anew.",
            place,
        )

    # --- rectification

    def put_right(self, calls: _Calls, place: str, addresses: tuple[str, ...], changes: Changes) -> Outcome:
        """Put right whoever is held under any address."""
        return move(addresses, changes, partial(self._correct, calls, place))

    def _correct(self, calls: _Calls, list_id: str, address: str, changes: Changes) -> Outcome:
        asked, held = _merge_fields(changes), None
        taken = bool(changes.email and self.spelt(calls, list_id, changes.email, other=True))
        moves = bool(changes.email) and not taken
        # a postal address is sent whole, so its other parts must be known; and nothing sent shows nobody
        if changes.fields or (not moves and all(map(_cut, asked.values()))):
            held = self.member(calls, list_id, address)
            if held is None:
                return NothingHeld(evidence=())
        types = self._types(calls, list_id) if changes.fields else {}
        left = Left("Mailchimp", f"audience {list_id}", list_id, "merge field", f"{_LONGEST_VALUE} bytes", types)
        values: dict[str, Any] = {EMAIL: changes.email} if moves else {}
        sent = to_send(asked, held.merge_fields if held else {}, left, _cut, (Kind.ADDRESS, Kind.UNKNOWN))
        for tag, value in sent.items():
            values[tag] = written(types.get(tag, UNTYPED), value) if isinstance(value, str) else value
        at = _hash(address)
        one = _Correction(calls, left, asked, values, connector=self, at=at, changes=changes, record=held)
        if taken:
            one.noes[EMAIL] = EXISTS
        return one.make()

    @staticmethod
    def _types(calls: _Calls, list_id: str) -> Mapping[str, FieldType]:
        """The merge fields of an audience by tag; none where Mailchimp does not show them."""
        if list_id not in calls.types:
            wanted = "merge_fields.tag,merge_fields.type,merge_fields.options"
            reply: Reply = calls.lists.get_list_merge_fields(list_id, fields=wanted, count=_PAGE)
            calls.types[list_id] = _types_in(reply)
        return calls.types[list_id]


@dataclass(slots=True, kw_only=True)
class _Correction(Correction[_Calls]):
    """One contact's. `at`: its hash, which a new address changes; `record`: as Mailchimp last showed it."""

    connector: Mailchimp
    changes: Changes
    at: str
    record: _Member | None

    def send(self, parts: Sequence[str]) -> Reply | None:
        """`status` is never sent: it would overwrite the person's choice. PATCH, never PUT: a PUT would create one."""
        body = {"email_address": self.values[EMAIL]} if EMAIL in parts else {}
        if merge_fields := {part: self.values[part] for part in parts if part != EMAIL}:
            body["merge_fields"] = merge_fields
        list_id = self.left.reference
        reply: Reply = self.calls.lists.update_list_member(list_id, self.at, body, skip_merge_validation=True)
        if reply.status == 400:
            return reply
        if self.calls.no(reply, NOBODY):
            raise Gone
        at = _hash(self.values[EMAIL]) if EMAIL in parts else self.at
        self.record = self.calls.member_in(reply, list_id, at, self.at)
        self.at = self.record.id
        if self.at != at:
            self.unmoved.append(EMAIL)
        put = put_right(parts, self.record.merge_fields)
        self.calls.note(put if self.at == at else NOT_DONE)
        return None

    def gone(self) -> Outcome:
        """Nobody is believed of an audience that exists."""
        self.connector.confirm(self.calls, self.left.reference)
        return Correction.gone(self)

    def names(self, no: Reply, parts: Sequence[str]) -> Collection[str]:
        """By tag; what else it names is in the way of every change: a required field that is empty, for one."""
        named = _named_in(no, self.calls.row(no))
        own = [part for part in parts if part.upper() in {word.upper() for word in named}]
        if own or not (foreign := sorted(word for word in named if _TAG.fullmatch(word))):
            return own
        self.left.first = foreign
        return parts

    def is_for_a_person(self, part: str, no: Error | None) -> bool:
        """An invalid value, and whatever is said of an address."""
        return no in _ADDRESS_REFUSED if part == EMAIL else no is INVALID

    def shown(self) -> Mapping[str, object]:
        """The merge fields as the last answer has them; what it lacks of those asked for is left."""
        if self.record is None:
            return {}
        shown = self.record.merge_fields
        self.left.missing = [tag for tag, value in self.changes.fields.items() if tag not in shown and value]
        return shown

    def others(self, refused_parts: Collection[str]) -> list[Outcome]:
        """The address that cannot be changed is left to a person, and so is any merging."""
        if EMAIL not in refused_parts:
            return []
        list_id, no = self.left.reference, self.noes[EMAIL]
        if self.left.first:
            return [task(f"In audience {list_id} the address was not changed.", list_id)]
        old = self.connector.at(self.calls, list_id, self.at)
        new = self.connector.spelt(self.calls, list_id, self.changes.email or "")
        if old is None:
            return [NothingHeld(evidence=())]
        if new is not None:
            return [two_records(self.left, old.status, new.status)]
        why = _ADDRESS_REFUSED.get(no or INVALID, _ADDRESS_REFUSED[INVALID])
        if no is INVALID and old.status != "subscribed":
            why = (
                f"Mailchimp refused the new address of a contact of status '{old.status}'. It changes addresses of "
                "subscribed contacts only: correct it in the web app, or agree with the person."
            )
        return [task(f"In audience {list_id} {why}", list_id)]


def _hash(address: str) -> str:
    """Of an address trimmed and in lower case; no further rule is documented, plus-tags and spellings stay."""
    return hashlib.md5(address.strip().lower().encode(), usedforsecurity=False).hexdigest()


def _named_in(reply: Reply, no: Error | None) -> frozenset[str]:
    """What a refusal is about: tags as it writes them, `EMAIL` for the address; none where it does not say."""
    if no in (EXISTS, FORGOTTEN):
        return frozenset({EMAIL})
    words: set[str] = set()
    for error in _rows(reply, "errors"):
        match error:
            case {"field": str(name)} if re.sub(r"[\W_]", "", name).lower() in ("email", "emailaddress"):
                words.add(EMAIL)
            case {"field": str(name)}:
                words |= {word for word in name.split(".") if word}
    return frozenset(words)


def _types_in(reply: Reply) -> Mapping[str, FieldType]:
    types: dict[str, FieldType] = {}
    for row in _rows(reply, "merge_fields") if reply.status == 200 else []:
        match row:
            case {"tag": str(tag), "type": str(kind), **more}:
                options = more.get("options")
                options = options if isinstance(options, dict) else {}
                choices = options.get("choices")
                types[tag] = FieldType(
                    _KINDS.get(kind, Kind.UNKNOWN),
                    day_first={"D": True, "M": False}.get(str(options.get("date_format"))[:1].upper()),
                    choices=tuple(map(str, choices)) if isinstance(choices, list) else (),
                    american=options.get("phone_format") == "US",
                )
    return types


def _rows(reply: Reply, name: str) -> list[object]:
    """An array in an answer, empty where there is none."""
    rows = part_of(reply, name)
    return rows if isinstance(rows, list) else []


def _merge_fields(changes: Changes) -> dict[str, FieldValue]:
    names = {"FNAME": changes.first_name, "LNAME": changes.last_name}
    return {**{tag: value for tag, value in names.items() if value is not None}, **changes.fields}


def _cut(value: FieldValue) -> bool:
    """Whether the vendor would cut it."""
    return isinstance(value, str) and len(value.encode()) > _LONGEST_VALUE
