"""Hootsuite: private conversations in Inbox 2.0, whose API can set CRM-managed attributes of a contact and no more.

No published call lists, reads or deletes a contact or a conversation. So the vendor's write-back webhook is all that
dpsync sees, what it cannot do goes to people, and what was not seen is never called "nothing held".
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import ClassVar, Final, Literal, Self, Unpack, assert_never, cast
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from dpsync import strict_json
from dpsync.address import normalised
from dpsync.connector import (
    Accepted,
    Account,
    AsAsked,
    CannotTell,
    Capability,
    Connector,
    Contradicts,
    Conversation,
    Evidence,
    Exported,
    Finding,
    HandOver,
    Instruction,
    KeepsConversations,
    Kit,
    Means,
    NotIdentifiable,
    Outcome,
    Recipient,
    Reply,
    Retryable,
)
from dpsync.connector_services import NoAnswer
from dpsync.errors import (
    PayloadInvalid,
    ProcessorUnreachable,
    SignatureInvalid,
    UnsupportedRight,
)
from dpsync.http import api_root, demand_own_address, json_of, retry_after
from dpsync.model import Changes, Right
from dpsync.vendor.calls import Parts, Secret
from dpsync.vendor.errors import BUSY, UNDOCUMENTED, Ended, refused, unreadable
from dpsync.vendor.outcomes import together
from dpsync.vendor.pace import until_tomorrow
from dpsync.vendor.token import RenewableToken, Token, TokenCall, TokenCalls, basic, instant, token_in

_VENDOR: Final = "https://platform.hootsuite.com"
_TOKEN: Final = "/oauth2/token"
_ATTRIBUTES: Final = "/inbox/v2/contact/{contactProfileId}/contact-attributes"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_COLUMNS: Final = ("conversation id", "contact profile id", "created at")
_TRACE = re.compile(r"[A-Za-z0-9._:/=+-]{1,128}")
_PHONE = re.compile(r"\+?[0-9]{7,15}")

# besides the documented codes, what the token service of the same host calls it
_DEAD = frozenset({"1000", "1001", "1036", "token_expired", "token_inactive", "invalid_token", "request_unauthorized"})
_OVER_LIMIT = frozenset({"1003", "1004", "1043"})
_ANOTHERS = "1202"
_WATCH: Final = timedelta(minutes=15)  # no time is documented in which an import fails; the note's suggestion
_SLACK: Final = timedelta(minutes=2)  # between the vendor's clock and ours
_SAID_AGAIN: Final = timedelta(hours=2)

MALFORMED: Final = "the processor rejected the attributes"
PARTLY: Final = "the processor said yes, and named errors beside it"
NOT_OURS: Final = "the contact belongs to another organisation"
NOT_IN_IT: Final = "the token opens no organisation of that organization_id"
NEVER_SENT: Final = "nothing was sent yet"
IMPORT_FAILED: Final = "the processor reported that attributes which came in at that time were not taken over"
NOT_SHOWN: Final = "no later conversation has shown the attributes"
STILL_OTHER: Final = "a later conversation shows another value"
SEEN_AGAIN: Final = "the contact was seen again after the deletion: it was not deleted, or the person has written anew"
NOT_SEEN: Final = "no conversation of the person came in since; that is no proof of the deletion"
NOT_BLOCKED: Final = "our own block-list does not name every address of the person"
NOTHING_SHOWS: Final = "Hootsuite has no flag that could be read back; our own block-list names the person"
NO_RIGHT: Final = "the app or its member lacks the permission; the token itself is good"
REVOKED: Final = "the app is not linked to the organisation any more"


class HootsuiteSettings(BaseModel):
    """`webhook_secret`: as Inbox shows it, in hexadecimal. `attributes`: what the CRM-managed ones are called there."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    client_id: str = Field(pattern=r"^[!-9;-~]+$")
    client_secret: Secret
    organization_id: str = Field(pattern=r"^[0-9]{1,20}$")
    refresh_token: Secret | None = None
    webhook_secret: SecretStr | None = None
    attributes: Mapping[Literal["email", "first_name", "last_name"], str] = Field(default_factory=dict)
    base_url: str | None = None

    @field_validator("webhook_secret")
    @classmethod
    def _hexadecimal(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not re.fullmatch(r"(?:[0-9A-Fa-f]{2}){16,}", secret.get_secret_value()):
            raise ValueError("must be 32 or more hexadecimal digits")
        return secret

    @field_validator("base_url")
    @classmethod
    def _url(cls, base_url: str | None) -> str | None:
        return None if base_url is None else api_root(base_url)

    @property
    def base(self) -> str:
        """Where the API is, without a slash at the end."""
        return self.base_url or _VENDOR


# --- the answers: three shapes of an error on one host


def _errors(reply: Reply) -> list[object]:
    """The errors of an answer in whichever shape: REST and Inbox (`errors`), OAuth (`error`), SCIM (`schemas`)."""
    said = json_of(reply)
    match said:
        case {"errors": list(errors)}:
            return errors
        case {"error": str()} | {"schemas": list(), "status": str()}:
            return [said]
    return []


def _codes(reply: Reply) -> frozenset[str]:
    return frozenset(str(one.get("code", one.get("error"))) for one in _errors(reply) if isinstance(one, dict))


def _wish(reply: Reply, now: datetime) -> timedelta | None:
    """How long to wait. No Retry-After is documented: the next second, or the next day where the quota is used up."""
    if "retry-after" in reply.headers or reply.status != 429:
        return retry_after(reply, now)
    quota, used = (reply.headers.get(name, "") for name in ("x-account-quota", "x-account-quota-used"))
    if re.fullmatch(r"[0-9]{1,15}", quota) and re.fullmatch(r"[0-9]{1,15}", used) and int(used) >= int(quota):
        return until_tomorrow(now)  # in whose time zone their day ends is not documented
    return timedelta(seconds=1)


def _advice(reply: Reply) -> str:
    """What a 401 or 403 asks of the operator, where its code says more than that the token is dead."""
    codes = _codes(reply)
    if "request_forbidden" in codes:
        return REVOKED
    return NO_RIGHT if codes and not codes & _DEAD and reply.evidence.endpoint != f"POST {_TOKEN}" else ""


# --- the calls


def _token(settings: HootsuiteSettings, kit: Kit) -> RenewableToken:
    """What a member of the organisation allowed, whose refresh token is good once only; or what the app itself may."""
    refresh = settings.refresh_token.get_secret_value() if settings.refresh_token else ""
    form = {"grant_type": "organization_app", "organization_id": settings.organization_id}
    # whose app it is: the vendor refuses these two in a body
    header = basic(settings.client_id, settings.client_secret.get_secret_value())
    call = TokenCall(
        settings.base + _TOKEN,
        _TOKEN,
        {"grant_type": "refresh_token"} if refresh else form,
        {"Authorization": header},
    )
    place = kit.pseudonym(refresh or f"{settings.client_id}/{settings.organization_id}")
    return RenewableToken(kit, f"token/{place}", call, Token(refresh=refresh))


class _Calls(TokenCalls):
    """The calls of one instruction, each under a token that is believed good."""

    def __init__(self, kit: Kit, base: str, token: RenewableToken, order: Instruction | None) -> None:
        super().__init__(kit, order)
        self._base = base
        self._token = token

    def tell(self, method: str, template: str, place: str = "", body: bytes | None = None) -> Reply:
        """Make one call, and once more with a fresh token where the answer calls ours dead.

        Raises `Ended`, `CredentialsRejected`. What was answered 401 was not done, so it may be repeated.
        """
        writing = method != "GET"
        url = self._base + re.sub(r"\{\w+\}", quote(place), template)
        kind = {} if body is None else {"Content-Type": "application/json"}

        def make(token: str) -> Reply:
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json", **kind}
            try:
                return self.call(method, url, template=template, headers=headers, body=body)
            except NoAnswer as failure:
                raise Ended(Retryable(reason=failure.reason, doubtful=writing and failure.sent)) from None

        token = self._token.access(self)
        reply = make(token)
        # the Inbox documents no code for a dead token, so a 401 without any is taken for one
        if reply.status == 401 and (not _errors(reply) or _codes(reply) & _DEAD):
            reply = make(self._token.access(self, refused=token))
        self.demand_passable(reply, writing=writing)
        self.note_touch(reply, writing=writing)
        return reply

    def call(self, method: str, url: str, **parts: Unpack[Parts]) -> Reply:
        """Make one call, and keep the id that the vendor gives an error: no header is documented for it."""
        reply = super().call(method, url, **parts)
        ids = [str(one.get("id", "")) for one in _errors(reply) if isinstance(one, dict)]
        if ids and _TRACE.fullmatch(ids[0]) and not reply.evidence.request_id:
            reply = replace(reply, evidence=replace(reply.evidence, request_id=ids[0]))
            self.evidence[-1] = reply.evidence
        return reply

    def data(self, template: str) -> list[dict[str, object]]:
        """The list in a read's envelope; clean only without errors beside it. Raises `Ended`."""
        reply = self.tell("GET", template)
        match json_of(reply):
            case {"data": list(rows)} if reply.status == 200 and not _errors(reply):
                return [row for row in rows if isinstance(row, dict)]
        raise unreadable() if reply.status == 200 else refused()

    def granted(self, reply: Reply) -> Token:
        """The token in the answer to the token call. Raises `Ended`, `CredentialsRejected`."""
        self.demand_passable(reply, writing=False)
        if reply.status == 400 and _codes(reply):
            raise self.rejected(reply)
        return token_in(reply, self._kit.clock.now())

    def demand_passable(self, reply: Reply, *, writing: bool) -> None:
        """Let through what the caller must understand; end what speaks of us, of the account or of a fault there."""
        self.demand_own(reply, writing=writing)
        codes, wait = _codes(reply), _wish(reply, self._kit.clock.now())
        if reply.status == 403 and _ANOTHERS in codes:
            raise refused(NOT_OURS)
        if 400 <= reply.status < 500 and codes & _OVER_LIMIT:
            raise Ended(Retryable(reason=BUSY, busy=True, retry_after=wait))
        if reply.status in (401, 403):
            raise self.rejected(reply, _advice(reply))
        self.demand_sense(reply, writing=writing, wait=wait)

    def speaks(self, reply: Reply) -> bool:
        """In one of the three shapes that an error has on its host."""
        return bool(_errors(reply)) and (self.shaped(reply, error_description=str) or not self.shaped(reply, error=str))


# --- what write-back has shown


_Set = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class _Profile:
    """A contact as its last conversation showed it, sealed on the shelf.

    `at`, `event`: which conversation. `crm`: the CRM-managed attributes, None where they are not known; the only
    personal data here. `put_at`: when we wrote that set ourselves, where no conversation has shown it since. `sure`:
    pseudonyms of what medium and CRM call the person, `copies` of each value that the CRM does not manage; `by_hand`:
    attributes that staff typed. `erased`: an erasure was asked for, so no value is kept any more.
    """

    at: str = ""
    event: str = ""
    crm: _Set | None = None
    sure: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()
    put_at: str = ""
    erased: bool = False


def _profile(text: str | None) -> _Profile:
    return _Profile(**json.loads(text)) if text else _Profile()


def _telling(value: str) -> bool:
    """Whether it is an address or a telephone number: a name tells two people apart no more than a colour does."""
    return bool(re.search("[^@]@+[^@]", value) or _PHONE.fullmatch(_written(value)))


def _written(value: str) -> str:
    """One spelling of an address or telephone number; a national number stays what it is."""
    plain = normalised(value.encode(errors="replace").decode())
    digits = re.sub(r"[\s()./-]", "", plain)
    digits = f"+{digits[2:]}" if digits.startswith("00") else digits
    return digits if _PHONE.fullmatch(digits) else plain


class _Memory:
    """Everything on the shelf that write-back has shown, and what we ourselves did."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self.shelf = kit.shelf

    def pseudonym(self, value: str) -> str:
        return self._kit.pseudonym(_written(value))

    def profile(self, contact: str) -> _Profile:
        return _profile(self.shelf.get(f"profile/{self.named(contact)}"))

    def named(self, contact: str) -> str:
        """A contact in a key: keys are read by whoever reads the database, and its id is of a person."""
        return self._kit.pseudonym(contact)

    def change(self, contact: str, changed: Callable[[_Profile], _Profile]) -> None:
        """Replace a profile; two deliveries at once both count."""
        while True:
            kept = self.shelf.get(f"profile/{self.named(contact)}")
            old = _profile(kept)
            new = changed(old)
            if new == old or self.shelf.swap(f"profile/{self.named(contact)}", kept, json.dumps(asdict(new))):
                return

    def people(self, order: Instruction) -> tuple[str, ...]:
        """Pseudonyms of every address and telephone number of the person, the new address of a change included."""
        named = [*order.spellings, order.phone or ""]
        return tuple(dict.fromkeys(self.pseudonym(value) for value in named if value.strip()))

    def located(self, order: Instruction) -> dict[str, bool]:
        """The contacts of the person; False where a person must look first.

        So it is where only staff typed the address, or the last conversation shows it no more: a slip of the pen that
        was put right since must not have somebody else deleted or overwritten.
        """
        people = self.people(order)
        known = [contact for who in people for contact in self.shelf.find(f"person/{who}/").values()]
        found = {contact: bool(set(self.profile(contact).sure) & set(people)) for contact in known}
        return found | {name: True for name in order.references.get("hootsuite", ()) if _ID.fullmatch(name)}

    def since(self) -> str:
        seen = self.shelf.get("since")
        if seen is None:
            return "No conversation has come in by write-back yet."
        return f"Write-back has shown conversations since {seen[:10]} only."

    def failed(self, put_at: str) -> bool:
        """Whether an import error came within the watch window of a change; the error names no contact."""
        moment = datetime.fromisoformat(put_at)
        first, last = _minute(moment - _SLACK), _minute(moment + _WATCH)
        hours = {f"import_error/{one[:13]}" for one in (first, last)}
        return any(first <= key.removeprefix("import_error/") <= last for one in hours for key in self.shelf.find(one))

    def known(self, profile: _Profile) -> _Set | None:
        """The complete CRM-managed set as it stands there, None where nobody knows it."""
        in_doubt = profile.put_at and self.failed(profile.put_at)
        return None if in_doubt else profile.crm

    def blocked(self, right: Right, people: Sequence[str]) -> bool:
        """Whether our own block-list names all of these."""
        return all("yes" in self.shelf.find(f"blocked/{right}/{who}/").values() for who in people)


def _minute(moment: datetime) -> str:
    return instant(moment)[:16]


# --- write-back


def _values(data: Mapping[str, object], medium: str) -> tuple[_Set | None, dict[str, str], list[str]]:
    """The attributes in a delivery that the CRM manages (None: not all are known), staff typed, the network shows."""
    rows = data.get("contactAttributes")
    crm: _Set | None = {}
    typed: dict[str, str] = {}
    shown: list[str] = []
    for row in rows if isinstance(rows, list) else ():
        match row:
            case {"attribute": str(name), "source": "CRM_CONFIRMED", "value": str() | None as value}:
                # the same name with two values: which of them stands there nobody knows
                crm = {**crm, name: value} if crm is not None and crm.get(name, value) == value else None
            case {"attribute": str(name), "source": "AGENT", "value": str(text)}:
                typed[name] = text
            case {"source": "MEDIUM", "value": str(text)}:
                shown.append(text)
            case {"source": "AGENT" | "MEDIUM"}:
                pass
            case _:
                crm = None
    # of X (Twitter) the attributes are left out, so that none are shown does not mean that there are none
    return crm if isinstance(rows, list) and medium != "twit" else None, typed, shown


def _part(data: Mapping[str, object], name: str) -> Mapping[str, object]:
    part = data.get(name)
    return part if isinstance(part, dict) else {}


def _name(part: Mapping[str, object], field: str, *, needed: bool = False) -> str:
    value = part.get("id")
    if isinstance(value, str) and _ID.fullmatch(value):
        return value
    if needed or value not in (None, ""):
        raise PayloadInvalid(field, "is not an id")
    return ""


def _moment(value: object, field: str) -> datetime:
    try:
        moment = datetime.fromisoformat(cast("str", value))
        # what has no zone is taken for UTC: it is not documented which, and counts by the month
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise PayloadInvalid(field, "is not a moment") from None


_SOURCE: Final = (
    "Hootsuite Inbox 2.0 API reference v1 (OpenAPI) and REST API v1 (Swagger), help pages 'Delete a contact in Inbox "
    "2.0' and 'Create Inbox 2.0 data exports', as read in August 2026"
)
_UNSTOPPED: Final = (
    "Hootsuite does not know our block-list: messages that people send in the app, posts, and proactive messages of "
    "another program are not stopped by it. On social media people write first, so it speaks of proactive WhatsApp "
    "messages only. "
)
_POSTS: Final = "Posts, scheduled ones too, comments and accounts of your own staff are not searched for the person."


class Hootsuite(Connector, KeepsConversations):
    """Puts CRM-managed attributes right, keeps a block-list, and says to people what only they can do."""

    name: ClassVar[str] = "hootsuite"
    Settings: ClassVar[type[BaseModel]] = HootsuiteSettings
    max_inflight: ClassVar[int] = 4
    """Well below the documented 20 requests a second."""

    unseen: ClassVar[tuple[str, ...]] = (
        "X (Twitter): names, posts, direct messages and attributes of its contacts are left out of write-back.",
        "Inbox 1.0 has no write-back.",
        "What was resolved before write-back was switched on, and what never was resolved or set to pending.",
        "What write-back could not deliver six times in 63 hours is given up and not sent again.",
        "Deletions: no webhook tells of them.",
        "The vendor's back-ups, and the copy that each network keeps itself.",
    )
    whole_contacts: ClassVar[bool] = True  # who writes after the deletion is another profile
    export_columns: ClassVar[frozenset[str]] = frozenset(_COLUMNS)
    capabilities: ClassVar[Mapping[Right, Capability]] = MappingProxyType(
        {
            Right.RECTIFICATION: Capability(
                means=Means.API_AND_OPERATOR,
                effect="Where write-back showed the complete CRM-managed attributes of a contact, those that change "
                "are written with all the others. Everything else goes to the operator.",
                limits="Names and handles that the network shows, what staff typed, and contacts that write-back never "
                "showed are the operator's. The vendor deletes a CRM-managed attribute that is not sent: one that "
                "another program set since the last conversation would be lost. An import error names no contact, so "
                "it is held against every change of its quarter of an hour. Messages keep what was written. " + _POSTS,
                verified_by="a later conversation's write-back shows the new value as confirmed by the CRM",
                source=_SOURCE,
                address_change=True,
            ),
            Right.ERASURE: Capability(
                means=Means.OPERATOR,
                effect="The operator, as an Inbox admin, deletes the contact in the web app, with our reference as the "
                "hint: history, attachments and attributes go for good.",
                limits="No call deletes a contact. Who was never seen by write-back must be searched for in every "
                "channel; that nothing is held, only an admin can say. Whoever writes again becomes a new contact. "
                "The network's own copy and the vendor's back-ups stay. " + _POSTS,
                verified_by="only the opposite can be seen: a conversation of the person after the deletion",
                source=_SOURCE,
            ),
            Right.RESTRICTION: Capability(
                means=Means.LIST_AND_NOTICE,
                effect="Addresses and telephone number are put on our own block-list for proactive messages, and the "
                "processor's contact is told by notice.",
                limits=_UNSTOPPED + "There is no state 'restricted': staff see and can use the data. Lifting takes "
                "the entry off and subscribes nobody.",
                verified_by="",
                source=_SOURCE,
            ),
            Right.OPT_OUT: Capability(
                means=Means.OPERATOR,
                effect="Addresses and telephone number are put on our own block-list for proactive messages, and the "
                "operator tells the staff.",
                limits=_UNSTOPPED + "Nothing there shows that the list is kept to.",
                verified_by="",
                source=_SOURCE,
            ),
        }
    )

    def __init__(self, settings: HootsuiteSettings, kit: Kit) -> None:
        self._settings = settings
        self._kit = kit
        self._token = _token(settings, kit)
        self._memory = _Memory(kit)

    @classmethod
    def from_settings(cls, section: BaseModel, kit: Kit) -> Self:
        """Build it; opens no connection. Raises `ConfigurationError` for a foreign `base_url` outside a rehearsal."""
        settings = HootsuiteSettings.model_validate(section.model_dump())
        demand_own_address(kit, "Hootsuite", own=settings.base == _VENDOR)
        return cls(settings, kit)

    def probe(self) -> Account:
        """Read-only: the organisation by its name, and its channels; its contacts cannot be counted.

        Raises `CredentialsRejected` and `ProcessorUnreachable`.
        """
        calls, ours = self._calls(None), self._settings.organization_id
        try:
            names = [one.get("name") for one in calls.data("/v1/me/organizations") if str(one.get("id")) == ours]
            channels = calls.data("/v1/socialProfiles")
        except Ended as end:
            raise calls.unreachable("Hootsuite", end) from None
        if not names:
            raise ProcessorUnreachable(f"Hootsuite: {NOT_IN_IT}")
        return Account(
            title=f"{names[0]} ({ours})",
            contacts=None,
            # the name is null for X
            lists=tuple(f"{one.get('socialNetworkUsername') or one.get('type')} ({one.get('id')})" for one in channels),
        )

    def carry_out(self, instruction: Instruction) -> Outcome:
        """Tell it, or say who must do what. Raises `CredentialsRejected`; `UnsupportedRight` before any call."""
        self._demand(instruction.right)
        known = (*self._memory.people(instruction), instruction.name, *instruction.references.get("hootsuite", ()))
        if not any(known):
            return NotIdentifiable(reason="no address, telephone number, name or profile of the person is known")
        match instruction.right:
            case Right.RECTIFICATION:
                return self._put_right(instruction)
            case Right.ERASURE:
                return self._hand_erasure_over(instruction)
            case Right.RESTRICTION | Right.OPT_OUT:
                return self._block(instruction)
            case never:
                assert_never(never)

    def verify(self, instruction: Instruction) -> Finding:
        """Look up what write-back has shown since; the vendor answers no question. Makes no call."""
        self._demand(instruction.right)
        match instruction.right:
            case Right.RECTIFICATION:
                return self._shown(instruction)
            case Right.ERASURE:
                return self._seen_again(instruction)
            case Right.RESTRICTION | Right.OPT_OUT:
                standing = self._memory.blocked(instruction.right, self._memory.people(instruction))
                if standing or instruction.lifted is not None:
                    return CannotTell(reason=NOTHING_SHOWS)
                return Contradicts(reason=NOT_BLOCKED, evidence=())
            case never:
                assert_never(never)

    def _demand(self, right: Right) -> None:
        if right not in self.capabilities:
            raise UnsupportedRight(f"Hootsuite was asked for a right that it does not declare: {right}")

    def _calls(self, order: Instruction | None) -> _Calls:
        return _Calls(self._kit, self._settings.base, self._token, order)

    # --- rectification

    def _put_right(self, order: Instruction) -> Outcome:
        calls = self._calls(order)
        located = self._memory.located(order)
        left: dict[str, str] = {} if located else {"": _SEARCH}
        try:
            for contact, sure in located.items():
                if reason := self._put_contact_right(calls, order, contact, sure=sure):
                    left[contact] = reason
        except Ended as end:
            return together([end.outcome], calls.kept, touched=calls.touched)
        if not left:
            # by when the person writes again nobody knows: after the contract's own time somebody must look
            return Accepted(evidence=calls.kept)
        task = " ".join(dict.fromkeys(left.values()))
        return HandOver(
            to=Recipient.OPERATOR,
            task=f"{task} {self._memory.since()}",
            evidence=calls.kept,
            references=tuple(filter(None, left)),
        )

    def _put_contact_right(self, calls: _Calls, order: Instruction, contact: str, *, sure: bool) -> str:
        """Write the set, and say what is left for a person, "" for nothing. Raises `Ended`."""
        memory, changes = self._memory, order.changes or Changes()
        profile = memory.profile(contact)
        known = memory.known(profile)
        # a telephone may be shared: where the CRM names an address, it must be this person's
        held = (known or {}).get(self._called("email"))
        if not sure or (held and memory.pseudonym(held) not in memory.people(order)):
            return _LOOK
        if known is None:
            return _UNKNOWN
        wanted = self._wanted(changes)
        asked = {name: value for name, value in wanted.items() if name in known}
        if asked and not self._put(calls, order, contact, known | asked, asked):
            return _GONE
        named = changes.first_name is not None or changes.last_name is not None
        old = [*(order.addresses if changes.email else ()), order.name if named else None]
        mistaken = {memory.pseudonym(value) for value in old if value} - {memory.pseudonym(changes.email or "")}
        lacking = {name for name, value in changes.fields.items() if value and name not in asked}
        if lacking or set(wanted) & set(profile.by_hand) or mistaken & set(profile.copies) or not asked:
            return _BY_HAND
        return ""

    def _called(self, name: Literal["email", "first_name", "last_name"]) -> str:
        return self._settings.attributes.get(name, name)

    def _wanted(self, changes: Changes) -> _Set:
        """The attributes that change; None empties one."""
        named = {
            self._called("email"): changes.email,
            self._called("first_name"): changes.first_name,
            self._called("last_name"): changes.last_name,
        }
        told = {name: value for name, value in named.items() if value is not None}
        # an attribute is a text: the parts of an address are left to a person
        told |= {name: value for name, value in changes.fields.items() if isinstance(value, str)}
        return {name: value or None for name, value in told.items()}

    def _put(self, calls: _Calls, order: Instruction, contact: str, whole: _Set, asked: _Set) -> bool:
        """Write the complete set; whether the contact is there. Raises `Ended`."""
        place, begun = f"put/{order.reference}/{self._memory.named(contact)}", self._kit.clock.now()
        told = {name: self._memory.pseudonym(value) if value else "" for name, value in asked.items()}
        # Before the call: if we crash after it, the next attempt knows that it may have been done.
        self._kit.shelf.put(place, json.dumps([contact, instant(begun), told, False]))
        rows = [{"attribute": name, "value": value} for name, value in whole.items()]
        body = json.dumps({"autoConfirm": True, "contactAttributes": rows}).encode()
        reply = calls.tell("PUT", _ATTRIBUTES, contact, body)
        if reply.status == 404 and _errors(reply):
            return False
        if not 200 <= reply.status < 300:
            raise refused(MALFORMED if reply.status == 400 and _errors(reply) else UNDOCUMENTED)
        if _errors(reply):
            raise refused(PARTLY)
        if reply.status != 200 or not isinstance(json_of(reply), dict):
            raise unreadable(doubtful=True)
        now = instant(self._kit.clock.now())
        self._memory.change(contact, lambda one: replace(one, put_at=now, crm=None if one.erased else whole))
        self._kit.shelf.put(place, json.dumps([contact, now, told, True]))
        return True

    def _shown(self, order: Instruction) -> Finding:
        found: list[Finding] = []
        for text in self._kit.shelf.find(f"put/{order.reference}/").values():
            contact, at, asked, accepted = json.loads(text)
            found.append(self._judged(self._memory.profile(contact), at, asked, accepted=accepted))
        if not found:
            return CannotTell(reason=NEVER_SENT)
        # the worst of all, and of what is open the one that nobody answered
        worst = min(found, key=lambda one: _KINDS.index((type(one), isinstance(one, CannotTell) and one.later)))
        if not isinstance(worst, AsAsked):
            return worst
        return AsAsked(evidence=tuple(evidence for one in found for evidence in one.evidence))

    def _judged(self, profile: _Profile, at: str, asked: Mapping[str, str], *, accepted: bool) -> Finding:
        """What became of one change. What write-back shows weighs more than an error that names nobody."""
        if profile.at > at and not profile.put_at and profile.crm is not None:
            shown = {name: self._memory.pseudonym(profile.crm.get(name) or "") for name in profile.crm if name in asked}
            empty = self._memory.pseudonym("")
            evidence = (self._write_back(profile),)
            if all(shown.get(name, empty) == (value or empty) for name, value in asked.items()):
                return AsAsked(evidence=evidence)
            if any(shown.get(name, empty) not in (value, empty) for name, value in asked.items()):
                late = profile.at > instant(datetime.fromisoformat(at) + _WATCH)
                return Contradicts(reason=STILL_OTHER, evidence=evidence, final=late)
        if self._memory.failed(at):
            return Contradicts(reason=IMPORT_FAILED, evidence=(), final=True)
        # without an answer to it, it is written again: the same set twice is the same set
        return CannotTell(reason=NOT_SHOWN, later=accepted)

    @staticmethod
    def _write_back(profile: _Profile) -> Evidence:
        at = datetime.fromisoformat(profile.at)
        trace = profile.event if _TRACE.fullmatch(profile.event) else ""
        return Evidence("POST crm-write-back", 200, at, request_id=trace, note="their webhook to us")

    # --- erasure

    def _hand_erasure_over(self, order: Instruction) -> Outcome:
        located = self._memory.located(order)
        mine = sorted(contact for contact, sure in located.items() if sure)
        self._kit.shelf.put(f"erased/{order.reference}", json.dumps([mine, "", ""]))
        for contact in mine:
            # what was kept for a later change is not needed any more, and is a copy too
            self._memory.change(contact, lambda one: replace(one, crm=None, erased=True))
        task = _DELETE if mine else _SEARCH
        doubt = f"{_LOOK} " if len(mine) < len(located) else ""
        return HandOver(
            to=Recipient.OPERATOR,
            task=f"{task} {doubt}{self._memory.since()} {_HINT.format(reference=order.reference)}",
            references=(*mine, *(f"{contact} (look first)" for contact in sorted(set(located) - set(mine)))),
        )

    def _seen_again(self, order: Instruction) -> Finding:
        """The first look comes right after the operator's answer; from then on nobody may be seen any more.

        What was reported is said again for a while, in case that we crashed, or are to look once more; after that it
        is known, and a second deletion is not held against what was seen before it.
        """
        kept = self._kit.shelf.get(f"erased/{order.reference}")
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
        self._kit.shelf.put(f"erased/{order.reference}", json.dumps([mine, since, reported]))
        if seen:
            return Contradicts(reason=SEEN_AGAIN, evidence=(self._write_back(seen),))
        return CannotTell(reason=NOT_SEEN, later=True)

    # --- restriction and opt-out

    def _block(self, order: Instruction) -> Outcome:
        """Write our own block-list before anybody is told, so that a crash never leaves somebody told and not blocked.

        Each entry is one person's: who shares a telephone stays blocked when the other's restriction is lifted.
        """
        who = self._kit.pseudonym(order.subject_id) if order.subject_id else "-"
        people, lifted = self._memory.people(order), order.lifted is not None
        entry = "lifted" if lifted else "yes"
        self._kit.shelf.put_all({f"blocked/{order.right}/{one}/{who}": entry for one in people})
        references = tuple(sorted(contact for contact, sure in self._memory.located(order).items() if sure))
        if order.right is Right.OPT_OUT:
            return HandOver(to=Recipient.OPERATOR, task=_OPTED_OUT, references=references)
        return HandOver(to=Recipient.PROCESSOR, task=_LIFTED if lifted else _RESTRICTED, references=references)

    # --- what the vendor sends

    def receive(self, headers: Mapping[str, str], body: bytes) -> tuple[Conversation, ...]:
        """Take in a write-back or an import error; the text of messages is dropped unread.

        The same delivery again changes nothing and gives the same conversation: the first answer may have been lost
        before anybody kept it. Raises `SignatureInvalid`, `PayloadInvalid`.
        """
        self._signed(headers, body)
        match strict_json.load(body, quoting=True):
            case {"type": "CONVERSATION_RESOLVED" | "CONVERSATION_SET_TO_PENDING", "data": dict(data), **said}:
                return (self._written_back({str(name): value for name, value in said.items()}, data),)
            case {"eventType": "DATA_IMPORT_ERROR", **said}:
                moments = [self._kit.clock.now()]
                with suppress(PayloadInvalid):  # without a time of its own the error still counts from its arrival
                    moments.append(_moment(said.get("timestamp"), "timestamp"))
                self._kit.shelf.put_all({f"import_error/{_minute(moment)}": "" for moment in moments})
        return ()

    def _signed(self, headers: Mapping[str, str], body: bytes) -> None:
        secret = self._settings.webhook_secret
        if secret is None:
            raise SignatureInvalid("no webhook_secret is configured, so nothing can be checked")
        wanted = hmac.new(bytes.fromhex(secret.get_secret_value()), body, hashlib.sha256).hexdigest()
        given = headers.get("x-hootsuite-signature", "").strip().lower()
        if not hmac.compare_digest(wanted.encode(), given.encode()):
            raise SignatureInvalid("the signature is not that of the shared secret")

    def _written_back(self, event: Mapping[str, object], data: Mapping[str, object]) -> Conversation:
        conversation = _part(data, "conversation")
        key, at = str(event.get("idempotencyKey", "")), _moment(event.get("timestamp"), "timestamp")
        if at > self._kit.clock.now() + timedelta(days=1):
            # it would stand as the newest for ever
            raise PayloadInvalid("timestamp", "lies in the future")
        contact = _name(_part(data, "contactProfile"), "data.contactProfile.id")
        seen = Conversation(
            id=_name(conversation, "data.conversation.id", needed=True),
            contact=contact,
            medium=_name(_part(data, "medium"), "data.medium.id"),
            channel=_name(_part(data, "channel"), "data.channel.id"),
            started_at=_moment(conversation.get("createdAt"), "data.conversation.createdAt"),
            seen_at=at,
            open=conversation.get("currentStatus") != "resolved",
        )
        crm, typed, shown = _values(data, seen.medium)
        named = [value for value in map(_part(data, "contactProfile").get, _IDENTIFIERS) if isinstance(value, str)]
        sure = self._pseudonyms([*named, *(value for value in (crm or {}).values() if value)])
        copies = [*named, *typed.values(), *shown]
        people = tuple(sorted({*sure, *self._pseudonyms(copies)}))
        if self._kit.shelf.get("since") is None:
            self._kit.shelf.swap("since", None, instant(at))
        if contact:
            elsewhere = tuple(sorted({self._memory.pseudonym(value) for value in copies}))
            new = _Profile(instant(at), key, crm, sure, elsewhere, tuple(sorted(typed)))
            # the index first: if we crash between, the vendor sends it again
            self._kit.shelf.put_all({f"person/{who}/{self._memory.named(contact)}": contact for who in people})
            self._memory.change(contact, lambda old: _newer(old, new))
        return replace(seen, people=people)

    def _pseudonyms(self, values: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted({self._memory.pseudonym(value) for value in values if _telling(value)}))

    def read_export(self, rows: Iterable[Mapping[str, str]]) -> Iterator[Exported]:
        """The rows of the export "Resolved conversations". Raises `PayloadInvalid`: the row, never its value."""
        for number, row in enumerate(rows, 1):
            where = f"row {number}"
            named = {re.sub(r"[^a-z]+", " ", str(name).lower()).strip(): value for name, value in row.items()}
            if missing := [name for name in _COLUMNS if not isinstance(named.get(name), str)]:
                raise PayloadInvalid(where, f"lacks the column {missing[0]}")
            conversation, contact, created = (named[name].strip() for name in _COLUMNS)
            yield Exported(
                conversation=_name({"id": conversation}, where, needed=True),
                contact=_name({"id": contact}, where),
                started_at=_moment(created, where),
            )


_KINDS: Final = ((Contradicts, False), (CannotTell, False), (CannotTell, True), (AsAsked, False))
_IDENTIFIERS: Final = ("primaryIdentifier", "secondaryIdentifier")


def _newer(old: _Profile, new: _Profile) -> _Profile:
    """The later of two, in whichever order they came. What is older than our own writing has older values too."""
    if (new.at, new.event) <= (old.at, old.event):
        return old
    # the vendor's clock is not ours, and how soon it takes a set over is not documented
    older = bool(old.put_at) and new.at <= instant(datetime.fromisoformat(old.put_at) + _SLACK)
    crm = None if old.erased else old.crm if older else new.crm
    return replace(new, crm=crm, put_at=old.put_at if older else "", erased=old.erased)


# --- what people are told

_SEARCH: Final = (
    "No contact of the person is known by its profile id. As an Inbox admin with access to all channels, search every "
    "channel of Hootsuite Inbox for the person, X (Twitter) and Inbox 1.0 included, and do what is asked there. Answer "
    "'nothing held' only after that search."
)
_LOOK: Final = (
    "Look first whether a contact that is named here, perhaps as 'look first', is this person at all: the address in "
    "it is another one, was typed by staff, or is not shown any more."
)
_UNKNOWN: Final = (
    "The CRM-managed attributes of a contact that is named here are not known in full, and Hootsuite deletes those "
    "that are not sent. Correct it in Hootsuite Inbox by hand."
)
_BY_HAND: Final = (
    "In a contact that is named here something is kept that no call can change: a name, handle or address of the "
    "network, or an attribute that staff typed. Correct it in Hootsuite Inbox where that is possible."
)
_GONE: Final = (
    "Hootsuite does not find a contact that is named here any more. See whether the person is kept as another contact, "
    "and correct that one by hand."
)
_DELETE: Final = (
    "In Hootsuite Inbox open each contact that is named here by its profile id, as an Inbox admin with access to all "
    "channels. See that it is this person, for a telephone or an address may be shared, and delete it. Then search "
    "every channel for further contacts of the person, and delete those too."
)
_HINT: Final = (
    "As the 'Contact identity hint' of each deletion enter {reference} and nothing else: the hint is kept, so no name "
    "or address may stand in it."
)
_OPTED_OUT: Final = (
    "The person wants no messages that they did not ask for. Tell everybody who writes from Hootsuite Inbox to send "
    "the person no proactive message, WhatsApp above all, and take the person off prepared ones."
)
_RESTRICTED: Final = (
    "Hootsuite has no state 'restricted'. Please keep what you hold about the person in Inbox and use it for nothing; "
    "nobody is to send the person a proactive message."
)
_LIFTED: Final = "The restriction has ended. That is no consent: nobody is to be subscribed to anything by it."
