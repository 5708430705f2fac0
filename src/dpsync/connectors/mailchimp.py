"""Mailchimp Marketing API 3.0: one contact per audience and address, every right carried out once for each.

The official package's endpoint methods are used over our own transport: as shipped it takes a 500 without a body for a
success, drops the headers and waits 120 s.
"""

import base64
import hashlib
import json
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Self, assert_never, cast

from mailchimp_marketing.api import lists_api, ping_api, root_api
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from dpsync.address import normalised, spellings
from dpsync.connector import (
    Account,
    Applied,
    AsAsked,
    CannotTell,
    Capability,
    Connector,
    Contradicts,
    Evidence,
    Finding,
    Instruction,
    Kit,
    Means,
    NothingHeld,
    NotIdentifiable,
    Outcome,
    Refused,
    Reply,
    Retryable,
)
from dpsync.errors import UnsupportedRight
from dpsync.http import api_root, demand_own_address, json_of
from dpsync.model import Changes, FieldValue, Right
from dpsync.vendor.calls import Calls, Secret
from dpsync.vendor.corrections import NOT_COMPARABLE, Left, compared, put_right, refused_of
from dpsync.vendor.errors import NOT_DONE, OUR_FAULT, UNDOCUMENTED, Ended, refused, unreadable
from dpsync.vendor.field_values import UNTYPED, FieldType, Kind, Likeness, likeness, written
from dpsync.vendor.outcomes import each, task, together

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

GONE: Final = "the contact went away while it was put right"

_EMAIL: Final = ""  # among the tags of what is changed: no merge field is called so
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

_INVALID: Final = "Invalid Resource"
_MALFORMED = frozenset({"Bad Request", "JSON Parse Exception"})
_ADDRESS_REFUSED: Mapping[str, str] = {
    _INVALID: "Mailchimp refused the new address; it may take it for fake or invalid: see how it is spelt.",
    "Member Exists": "Mailchimp calls the new address a member and shows no such contact: look for it in the web app.",
    "Forgotten Email Not Subscribed": "the new address was permanently deleted before, and Mailchimp takes it back "
    "through its own sign-up form only: agree with the person what becomes of the contact under the old address.",
}
_ABOUT_THE_ADDRESS: Final = frozenset({*_ADDRESS_REFUSED} - {_INVALID})

# the generated classes carry no types
_ListsApi: Any = lists_api.ListsApi
_PingApi: Any = ping_api.PingApi
_RootApi: Any = root_api.RootApi


class MailchimpSettings(BaseModel):
    """`api_key` ends in the data centre (`...-us19`). `audiences`: the list ids to reach; none means every audience."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    api_key: Secret
    base_url: Annotated[str, AfterValidator(partial(api_root, path="/3.0"))] | None = None
    audiences: tuple[str, ...] = Field(default=(), max_length=1000)

    @field_validator("audiences")
    @classmethod
    def _ids(cls, audiences: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_LIST_ID.fullmatch(audience) for audience in audiences):
            raise ValueError("must be audience ids such as a6b5da1054")
        if len(set(audiences)) != len(audiences):
            raise ValueError("names an audience twice")
        return audiences

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
    list_id: str
    status: str
    merge_fields: Mapping[str, object]


class _Calls(Calls):
    """The transport that the generated classes call: any object with these three methods serves them."""

    def __init__(
        self, kit: Kit, settings: MailchimpSettings, order: Instruction | None, sleep: Callable[[float], None]
    ) -> None:
        super().__init__(kit, order, sleep)
        self._base = settings.base
        user = base64.b64encode(b"dpsync:" + settings.api_key.get_secret_value().encode()).decode()
        self._authorization = f"Basic {user}"
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
        writing = method != "GET"
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
        if reply.status in (401, 403):
            raise self.rejected(reply, "" if reply.status == 401 else NO_ROLE)
        self.demand_sense(reply, writing=writing)
        return reply

    def speaks(self, reply: Reply) -> bool:
        """As its `ProblemDetailDocument` says; above its limits it answers 429, or 403 without JSON."""
        return self.shaped(reply, title=str, status=int, detail=str)

    def object_in(self, reply: Reply) -> Mapping[str, object]:
        """The JSON object of an answer that must have one. Raises `Ended`."""
        found = json_of(reply)
        if not isinstance(found, dict):
            raise unreadable()
        return cast("dict[str, object]", found)

    def member_in(self, reply: Reply, list_id: str, member: str, was: str = "") -> _Member:
        """The contact in a 200: the one asked for, or the same as it `was`. Raises `Ended`."""
        found = self.object_in(reply)
        status, fields = found.get("status"), found.get("merge_fields")
        same = found.get("id") in {member, was or member} and found.get("list_id", list_id) == list_id
        if not same or not isinstance(status, str) or status not in _STATUSES or not isinstance(fields, dict):
            raise unreadable()
        return _Member(str(found["id"]), list_id, status, fields)

    def absent(self, reply: Reply) -> bool:
        """True for the documented "no such resource"; a proxy's own 404 page is no answer of the vendor's."""
        if reply.status == 404 and self.object_in(reply).get("status") != 404:
            raise refused()
        return reply.status == 404


class _Audiences:
    """Which audiences there are. A wrong list id and an unknown contact are the same 404, so 404 alone says nothing."""

    def __init__(self, configured: tuple[str, ...], kit: Kit) -> None:
        self._configured = configured
        self._clock = kit.clock
        self._read: tuple[float, tuple[str, ...]] | None = None

    def ids(self, calls: _Calls) -> tuple[str, ...]:
        """Every audience, by a read not older than some minutes. Raises `Ended`."""
        if self._configured:
            return self._configured
        read = self._read
        return read[1] if read and self._clock.monotonic() - read[0] < _SET_KEPT else self._afresh(calls)

    def confirm(self, calls: _Calls, list_id: str) -> None:
        """Return only where a read within this instruction shows that the audience exists. Raises `Ended`."""
        if list_id in calls.known:
            return
        if not self._configured:
            if list_id not in self._afresh(calls):
                raise Ended(Retryable(reason=SET_CHANGED))
            return
        reply: Reply = calls.lists.get_list(list_id, fields="id")
        if calls.absent(reply):
            raise refused(NO_AUDIENCE)
        if calls.object_in(_ok(reply)).get("id") != list_id:
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
            page = calls.object_in(_ok(reply))
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


class Mailchimp(Connector):
    """Tells Mailchimp, in every audience, under every address. Serves ten threads: no state but a cache."""

    name: ClassVar[str] = "mailchimp"
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

    def __init__(self, settings: MailchimpSettings, kit: Kit, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._settings = settings
        self._kit = kit
        self._sleep = sleep
        self._audiences = _Audiences(settings.audiences, kit)

    @classmethod
    def from_settings(cls, section: BaseModel, kit: Kit) -> Self:
        """Build it; opens no connection. Raises `ConfigurationError` for a foreign `base_url` outside a rehearsal."""
        settings = MailchimpSettings.model_validate(section.model_dump())
        demand_own_address(kit, "Mailchimp", own=bool(_VENDOR.fullmatch(settings.base)))
        return cls(settings, kit)

    def probe(self) -> Account:
        """Read-only: whose account, how many contacts, which audiences (`name (id)`).

        Raises `CredentialsRejected` and `ProcessorUnreachable`.
        """
        calls = self._calls(None)
        try:
            if not isinstance(calls.object_in(_ok(_PingApi(calls).get())).get("health_status"), str):
                raise unreadable()
            root = calls.object_in(_ok(_RootApi(calls).get_root(fields="account_name,total_subscribers")))
            title, contacts = root.get("account_name"), root.get("total_subscribers")
            if not isinstance(title, str):
                raise unreadable()
            for audience in self._settings.audiences:
                self._audiences.confirm(calls, audience)
            named = self._audiences.named(calls)
        except Ended as end:
            raise calls.unreachable("Mailchimp", end) from None
        wanted = self._settings.audiences or tuple(named)
        return Account(
            title=title,
            contacts=contacts if isinstance(contacts, int) else None,
            lists=tuple(f"{named.get(audience, '?')} ({audience})" for audience in wanted),
        )

    def carry_out(self, instruction: Instruction) -> Outcome:
        """Tell every audience. The outcome is the worst of all; what is done stays done and a retry completes it.

        Raises `CredentialsRejected`, and `UnsupportedRight` before any call.
        """
        addresses = self._addresses(instruction)
        if not addresses:
            return NotIdentifiable(reason="Mailchimp knows people by their e-mail address, and none is known")
        calls = self._calls(instruction)
        outcomes: list[Outcome] = []
        done: set[str] = set()
        try:
            # a re-read of the set may show an audience that is new: it is told too
            while pending := [audience for audience in self._audiences.ids(calls) if audience not in done]:
                for list_id in pending:
                    done.add(list_id)
                    outcomes += each(self._steps(calls, list_id, instruction, addresses))
        except Ended as end:
            outcomes.append(end.outcome)
        return together(outcomes, calls.kept, touched=calls.touched)

    def verify(self, instruction: Instruction) -> Finding:
        """Read back every audience under every address. Raises `CredentialsRejected`.

        Found nowhere: as asked for erasure, restriction and opt-out (who is not held is neither used nor mailed); for a
        rectification it shows neither that a value is right nor that it is wrong, so that is `CannotTell` for good.
        """
        addresses = self._addresses(instruction)
        calls = self._calls(instruction)
        seen: list[tuple[str, _Member]] = []
        try:
            for list_id in self._audiences.ids(calls):
                for address in addresses:
                    member = self._held(calls, list_id, _hash(address))
                    if member is not None:
                        seen.append((address, member))
                        if instruction.changes and instruction.changes.fields:
                            self._types(calls, list_id)
        except Ended as end:
            return calls.cannot_tell(end)
        return _judged(instruction, seen, calls)

    def _calls(self, instruction: Instruction | None) -> _Calls:
        return _Calls(self._kit, self._settings, instruction, self._sleep)

    def _addresses(self, instruction: Instruction) -> tuple[str, ...]:
        if instruction.right not in self.capabilities:
            raise UnsupportedRight(f"Mailchimp was asked for a right that it does not declare: {instruction.right}")
        return tuple(dict.fromkeys(map(_folded, instruction.spellings)))

    def _steps(
        self, calls: _Calls, list_id: str, order: Instruction, addresses: tuple[str, ...]
    ) -> list[Callable[[], Outcome]]:
        """One step an address, so that one that fails does not keep the others from being done."""
        match order.right:
            case Right.RECTIFICATION:
                return [partial(self._put_right, calls, list_id, order.changes or Changes(), addresses)]
            case Right.ERASURE:
                return [partial(self._erase, calls, list_id, address) for address in addresses]
            case Right.RESTRICTION if order.lifted is not None:
                return [partial(self._lift, calls, list_id, address) for address in addresses]
            case Right.RESTRICTION:
                return [partial(self._restrict, calls, list_id, address) for address in addresses]
            case Right.OPT_OUT:
                return [partial(self._opt_out, calls, list_id, address) for address in addresses]
            case never:
                assert_never(never)

    # --- one contact in one audience

    def _held(self, calls: _Calls, list_id: str, member: str) -> _Member | None:
        """The contact, or None where the audience exists and does not hold it."""
        reply: Reply = calls.lists.get_list_member(list_id, member, fields=_MEMBER_FIELDS)
        if self._nobody(calls, reply, list_id):
            return None
        return calls.member_in(_ok(reply), list_id, member)

    def _held_as(self, calls: _Calls, list_id: str, address: str, *, other: bool = False) -> _Member | None:
        """The contact under whichever spelling; `other`: than the given one."""
        forms = list(dict.fromkeys(map(_folded, spellings(address))))[other:]
        return next(filter(None, (self._held(calls, list_id, _hash(form)) for form in forms)), None)

    def _nobody(self, calls: _Calls, reply: Reply, list_id: str) -> bool:
        if not calls.absent(reply):
            return False
        self._audiences.confirm(calls, list_id)
        return True

    def _shelf_key(self, kind: str, list_id: str, address: str) -> str:
        return f"{kind}/{list_id}/{self._kit.pseudonym(address)}"

    def _erase(self, calls: _Calls, list_id: str, address: str) -> Outcome:
        """Delete permanently. DELETE would only archive, which the vendor itself does not call deletion."""
        key = self._shelf_key("erased", list_id, address)
        try:
            reply: Reply = calls.lists.delete_list_member_permanent(list_id, _hash(address))
            if 200 <= reply.status < 300 and reply.status != 204:
                raise unreadable(doubtful=True)
        except Ended as end:
            if isinstance(end.outcome, Retryable) and end.outcome.doubtful:
                self._kit.shelf.put(key, "asked")  # the 404 of the next attempt may be the effect of this one
            raise
        if reply.status == 204:
            self._kit.shelf.note(key, "erased")
            return Applied(evidence=())
        if reply.status == 405:
            # one report says so of bounced contacts; the documentation says nothing of it
            return task(f"In audience {list_id} the API does not delete this contact: do it in the web app.", list_id)
        if not self._nobody(calls, reply, list_id):
            raise refused()
        return Applied(evidence=()) if self._kit.shelf.get(key) else NothingHeld(evidence=())

    def _opt_out(self, calls: _Calls, list_id: str, address: str) -> Outcome:
        """Unsubscribe whoever may be mailed.

        Archived and cleaned contacts are left alone: neither is mailed, and what a change of status does to an archived
        one is documented nowhere; it might bring it back.
        """
        member = self._held(calls, list_id, _hash(address))
        if member is None:
            return NothingHeld(evidence=())
        return Applied(evidence=()) if member.status in _SILENT else self._unsubscribe(calls, list_id, _hash(address))

    def _unsubscribe(self, calls: _Calls, list_id: str, member: str) -> Outcome:
        """PATCH, never PUT: a PUT would create a contact."""
        body = {"status": "unsubscribed"}
        reply: Reply = calls.lists.update_list_member(list_id, member, body, skip_merge_validation=True)
        if self._nobody(calls, reply, list_id):
            return NothingHeld(evidence=())
        now = calls.member_in(_ok(reply), list_id, member)
        return Applied(evidence=()) if now.status == "unsubscribed" else calls.unchanged()

    def _restrict(self, calls: _Calls, list_id: str, address: str) -> Outcome:
        """Unsubscribe, then archive: unsubscribed first, so that whoever takes it out of the archive mails nobody."""
        member = self._held(calls, list_id, _hash(address))
        if member is None:
            return NothingHeld(evidence=())
        if member.status == "archived":
            return Applied(evidence=())
        key = self._shelf_key("restricted", list_id, address)
        kept = self._kit.shelf.get(key) or _LIFTED
        # unsubscribed with a status on the shelf: we did that, in an attempt that went no further
        if member.status != "unsubscribed" or kept.startswith(_LIFTED):
            self._kit.shelf.put(key, member.status)
        usable = member.status not in ("unsubscribed", "cleaned")
        left = each([partial(self._unsubscribe, calls, list_id, _hash(address))] if usable else [])
        if left and isinstance(left[0], NothingHeld | Retryable):
            return left[0]  # not archived yet: what is archived looks restricted, and the rest would be forgotten
        noes = [outcome for outcome in left if isinstance(outcome, Refused)]
        return together([*noes, *each([partial(self._archive, calls, list_id, _hash(address))])])

    def _archive(self, calls: _Calls, list_id: str, member: str) -> Outcome:
        reply: Reply = calls.lists.delete_list_member(list_id, member)
        if reply.status == 204:
            return Applied(evidence=())
        if self._nobody(calls, reply, list_id):
            return NothingHeld(evidence=())
        if reply.status != 405:
            raise unreadable() if 200 <= reply.status < 300 else refused()
        now = self._held(calls, list_id, member)
        if now is None:
            return NothingHeld(evidence=())
        if now.status == "archived":
            return Applied(evidence=())
        return task(
            f"In audience {list_id} Mailchimp does not let a contact of status '{now.status}' be archived through the "
            "API. Archive it in the web app, or keep it from every use until the restriction is lifted.",
            list_id,
        )

    def _lift(self, calls: _Calls, list_id: str, address: str) -> Outcome:
        """Lifting never subscribes anybody again: that only the person can do."""
        member = self._held(calls, list_id, _hash(address))
        if member is None:
            return NothingHeld(evidence=())
        key = self._shelf_key("restricted", list_id, address)
        kept = self._kit.shelf.get(key)
        if kept is None or member.status != "archived":
            return Applied(evidence=())
        before = kept.removeprefix(_LIFTED)
        self._kit.shelf.put(key, f"{_LIFTED}{before}")
        return task(
            f"In audience {list_id} the contact was unsubscribed and archived for a restriction that is now lifted; "
            f"before, its status was '{before}'. Take it out of the archive in the web app if it is to be used again, "
            "and leave it unsubscribed: only the person may subscribe anew.",
            list_id,
        )

    # --- rectification

    def _put_right(self, calls: _Calls, list_id: str, changes: Changes, addresses: tuple[str, ...]) -> Outcome:
        new = normalised(changes.email) if changes.email else None
        outcomes = [self._correct(calls, list_id, one, changes) for one in addresses if normalised(one) != new]
        if not all(isinstance(outcome, NothingHeld) for outcome in outcomes):
            return together(outcomes)
        # told before: the contact has its new address already, or it never had another
        kept = replace(changes, email=None)
        return together([self._correct(calls, list_id, one, kept) for one in addresses if normalised(one) == new])

    def _correct(self, calls: _Calls, list_id: str, address: str, changes: Changes) -> Outcome:
        """Put one contact right, each change for itself where Mailchimp does not take them all at once."""
        asked, held = _merge_fields(changes), None
        taken = bool(changes.email and self._held_as(calls, list_id, changes.email, other=True))
        email = [_EMAIL] if changes.email and not taken else []
        # a postal address is sent whole, so its other parts must be known; and nothing sent shows nobody
        if changes.fields or (not email and all(map(_cut, asked.values()))):
            held = self._held(calls, list_id, _hash(address))
            if held is None:
                return NothingHeld(evidence=())
        types = self._types(calls, list_id) if changes.fields else {}
        left = Left("Mailchimp", f"audience {list_id}", list_id, "merge field", f"{_LONGEST_VALUE} bytes", types)
        sent = _sent(asked, types, held, left)
        one = _Correction(calls, list_id, _hash(address), changes.email, sent, shown=held)
        parts = [*email, *sent]
        try:
            refused_parts = refused_of(parts, one.write)
        except _Gone:
            self._audiences.confirm(calls, list_id)
            if one.done:
                raise Ended(Retryable(reason=GONE)) from None
            return NothingHeld(evidence=())
        if taken:
            one.titles[_EMAIL] = "Member Exists"
            refused_parts.append(_EMAIL)
        outcomes = self._left(one, changes, left, refused_parts)
        return together([*([Applied(evidence=())] if one.done or not parts else []), *outcomes])

    def _left(self, one: "_Correction", changes: Changes, left: Left, refused_parts: Sequence[str]) -> list[Outcome]:
        """What a person must do of it. Raises `Ended` for a no that nobody documents."""
        for part in refused_parts:
            # where the others were changed, it is about this one, however Mailchimp calls it
            if not one.done and one.titles[part] not in (_ADDRESS_REFUSED if part == _EMAIL else (_INVALID,)):
                raise refused(OUR_FAULT if one.titles[part] in _MALFORMED else UNDOCUMENTED)
        asked, shown = _merge_fields(changes), one.shown.merge_fields if one.shown else {}
        lacking = [tag for tag, value in changes.fields.items() if one.shown and tag not in shown and value]
        left.first, left.missing = one.foreign, lacking
        written_tags = [tag for tag in one.done if tag in shown]
        found = compared({tag: asked[tag] for tag in written_tags}, shown, left.types)
        left.refused = [part for part in refused_parts if part and part not in lacking]
        # a yes that changed nothing at all is for the read-back; beside others that were taken it is a no to this one
        left.refused += found.other if len(found.other) < len(written_tags) else ()
        left.unclear = [*found.unclear]
        tasks: list[Outcome] = [*left.tasks(some_done=bool(one.done))]
        return [*tasks, *([self._address_refused(one)] if _EMAIL in refused_parts else [])]

    def _address_refused(self, one: "_Correction") -> Outcome:
        """The address cannot be changed: leave it, and any merging, to a person."""
        calls, list_id, title = one.calls, one.list_id, one.titles[_EMAIL]
        if one.foreign:
            return task(f"In audience {list_id} the address was not changed.", list_id)
        old = self._held(calls, list_id, one.at)
        new = self._held_as(calls, list_id, one.email or "")
        if old is None:
            return NothingHeld(evidence=())
        why = _ADDRESS_REFUSED.get(title, _ADDRESS_REFUSED[_INVALID])
        if new is not None:
            why = (
                f"both the old and the new address are contacts (status '{old.status}' and '{new.status}'). They may "
                "be two people: compare them in the web app and decide. Nothing was merged."
            )
        elif title == _INVALID and old.status != "subscribed":
            why = (
                f"Mailchimp refused the new address of a contact of status '{old.status}'. It changes addresses of "
                "subscribed contacts only: correct it in the web app, or agree with the person."
            )
        return task(f"In audience {list_id} {why}", list_id)

    @staticmethod
    def _types(calls: _Calls, list_id: str) -> Mapping[str, FieldType]:
        """The merge fields of an audience by tag; none where Mailchimp does not show them."""
        if list_id not in calls.types:
            wanted = "merge_fields.tag,merge_fields.type,merge_fields.options"
            reply: Reply = calls.lists.get_list_merge_fields(list_id, fields=wanted, count=_PAGE)
            calls.types[list_id] = _types_in(reply)
        return calls.types[list_id]


class _Gone(Exception):
    """The contact is not there, or not any more."""


@dataclass(slots=True)
class _Correction:
    """The changes of one contact on their way. Personal data, for one instruction.

    `at`: its hash, which a new address changes; `shown`: the contact as Mailchimp last showed it; `done`: what was
    changed; `titles`: what a refused change was refused as; `foreign`: merge fields that are in the way of all.
    """

    calls: _Calls
    list_id: str
    at: str
    email: str | None
    fields: Mapping[str, FieldValue]
    shown: _Member | None = None
    done: list[str] = field(default_factory=list)
    titles: dict[str, str] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)

    def write(self, parts: Sequence[str]) -> Collection[str] | None:
        """Make some of the changes in one PATCH; None, or which of them it names in its refusal. Raises `Ended`.

        `status` is never sent: it would overwrite the person's choice. PATCH, never PUT: a PUT would create a contact.
        """
        body: dict[str, object] = {"email_address": self.email} if _EMAIL in parts else {}
        if merge_fields := {tag: value for tag, value in self.fields.items() if tag in parts}:
            body["merge_fields"] = merge_fields
        reply: Reply = self.calls.lists.update_list_member(self.list_id, self.at, body, skip_merge_validation=True)
        if self.calls.absent(reply):
            raise _Gone
        if reply.status == 400:
            title = _title(reply)
            self.titles |= dict.fromkeys(parts, title)
            return self._named(parts, _named_in(reply, title))
        at = _hash(_folded(self.email)) if self.email and _EMAIL in parts else self.at
        self.shown = self.calls.member_in(_ok(reply), self.list_id, at, self.at)
        self.done += parts
        self.at = self.shown.id
        put = put_right([part or "address" for part in parts], self.shown.merge_fields)
        self.calls.note(put if self.at == at else NOT_DONE)
        return None

    def _named(self, parts: Sequence[str], named: Collection[str]) -> list[str]:
        own = [part for part in parts if part.upper() in {word.upper() for word in named}]
        if own or not (foreign := sorted(word for word in named if _TAG.fullmatch(word))):
            return own
        # a required field that is empty, or an address that is not complete, is in the way of every change
        self.foreign = foreign
        return list(parts)


def _folded(address: str) -> str:
    """Trimmed and lower case, as the vendor hashes it; no further rule is documented, plus-tags and spellings stay."""
    return address.strip().lower()


def _hash(folded: str) -> str:
    return hashlib.md5(folded.encode(), usedforsecurity=False).hexdigest()


def _title(reply: Reply) -> str:
    """What the vendor calls a refusal, as `speaks` demands it; the status alone does not tell them apart."""
    return str(cast("dict[str, object]", json_of(reply))["title"])


def _ok(reply: Reply) -> Reply:
    if reply.status != 200:
        ours = reply.status in (414, 422, 426) or (reply.status == 400 and _title(reply) in _MALFORMED)
        raise refused(OUR_FAULT) if ours else refused()
    return reply


def _named_in(reply: Reply, title: str) -> frozenset[str]:
    """What a refusal is about: tags as it writes them, `_EMAIL` for the address; none where it does not say."""
    if title in _ABOUT_THE_ADDRESS:
        return frozenset({_EMAIL})
    words: set[str] = set()
    for error in _rows(reply, "errors"):
        match error:
            case {"field": str(name)} if re.sub(r"[\W_]", "", name).lower() in ("email", "emailaddress"):
                words.add(_EMAIL)
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
    found = json_of(reply)
    rows = found.get(name) if isinstance(found, dict) else None
    return rows if isinstance(rows, list) else []


def _merge_fields(changes: Changes) -> dict[str, FieldValue]:
    names = {"FNAME": changes.first_name, "LNAME": changes.last_name}
    return {**{tag: value for tag, value in names.items() if value is not None}, **changes.fields}


def _cut(value: FieldValue) -> bool:
    """Whether the vendor would cut it."""
    return isinstance(value, str) and len(value.encode()) > _LONGEST_VALUE


def _sent(
    asked: Mapping[str, FieldValue], types: Mapping[str, FieldType], held: _Member | None, left: Left
) -> dict[str, FieldValue]:
    """What is sent of each field, in the form of its type; `left` takes what is not."""
    found: dict[str, FieldValue] = {}
    for tag, value in asked.items():
        kind = types.get(tag, UNTYPED)
        before = held.merge_fields.get(tag) if held else None
        typed = kind.kind not in (Kind.TEXT, Kind.UNKNOWN)
        if typed and held and likeness(kind, value, before) is Likeness.SAME:
            continue  # put right by a person, perhaps from a value that the vendor would refuse again
        if _cut(value):
            left.too_long.append(tag)
        elif isinstance(value, str):
            found[tag] = written(kind, value)
        elif kind.kind in (Kind.ADDRESS, Kind.UNKNOWN):
            kept = {part: str(text) for part, text in before.items()} if isinstance(before, dict) else {}
            whole = {**kept, **value}
            # "" empties a field of any type
            found[tag] = whole if any(text for part, text in whole.items() if part != "country") else ""
        else:
            left.unfit.append(tag)
    return found


def _judged(order: Instruction, seen: Sequence[tuple[str, _Member]], calls: _Calls) -> Finding:
    """What the contacts found say about what was asked."""
    evidence = calls.kept
    statuses = {member.status for _, member in seen}
    match order.right:
        case Right.ERASURE:
            reason = "a contact is still held" if seen else ""
        case Right.OPT_OUT:
            reason = "" if statuses <= _SILENT else "a contact is not unsubscribed"
        case Right.RESTRICTION if order.lifted is not None:
            if "archived" in statuses:
                # the archive may be our restriction or the controller's own tidying
                return CannotTell(reason="an archived contact does not show why it is archived", evidence=evidence)
            reason = ""
        case Right.RESTRICTION:
            reason = "" if statuses <= {"archived"} else "a contact is not archived"
        case Right.RECTIFICATION:
            return _rectified(order.changes or Changes(), seen, calls.types, evidence)
        case never:
            assert_never(never)
    return Contradicts(reason=reason, evidence=evidence) if reason else AsAsked(evidence=evidence)


def _rectified(
    changes: Changes,
    seen: Sequence[tuple[str, _Member]],
    types: Mapping[str, Mapping[str, FieldType]],
    evidence: tuple[Evidence, ...],
) -> Finding:
    if not seen:
        return CannotTell(reason="nobody is held under any address, so there is nothing to compare", evidence=evidence)
    if changes.email and any(normalised(address) != normalised(changes.email) for address, _ in seen):
        return Contradicts(reason="a contact still has an old address", evidence=evidence)
    unclear = False
    for _, member in seen:
        # an audience without a name field holds no name that could be wrong
        asked = {
            tag: value
            for tag, value in _merge_fields(changes).items()
            if tag in {*member.merge_fields, *changes.fields}
        }
        shown = compared(asked, member.merge_fields, types.get(member.list_id, {}))
        if shown.other:
            return Contradicts(reason="a field is not as asked", evidence=evidence)
        unclear = unclear or bool(shown.unclear)
    return CannotTell(reason=NOT_COMPARABLE, evidence=evidence) if unclear else AsAsked(evidence=evidence)
