"""Campaign Monitor (createsend) API v3.3: an address in a list of a client, and a suppression list for each client.

Every right is carried out in every list of every client. There is no machine-readable specification: where the
reference says nothing, the safe side is taken and the comment says so.
"""

import json
import re
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, NamedTuple, Self, TypeVar, assert_never
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from dpsync.address import normalised
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
    HandOver,
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
from dpsync.http import api_root, demand_own_address, json_of, retry_after
from dpsync.model import Changes, FieldValue, Right
from dpsync.vendor.calls import Secret
from dpsync.vendor.corrections import NOT_COMPARABLE, Left, compared, put_right, refused_of
from dpsync.vendor.errors import OUR_FAULT, Ended, refused, unreadable
from dpsync.vendor.field_values import UNTYPED, FieldType, Kind, Likeness, likeness, options_in, plain, written
from dpsync.vendor.outcomes import each, task, together
from dpsync.vendor.pace import Pace
from dpsync.vendor.token import RenewableToken, Token, TokenCall, TokenCalls, basic, token_in

_VENDOR: Final = "https://api.createsend.com/api/v3.3"
_ID = re.compile(r"[0-9A-Fa-f]{32}")
_IN_USE = frozenset({"Active", "Unconfirmed"})
_OBJECTED = frozenset({"Unsubscribed", "Spam"})
_STATES = _IN_USE | _OBJECTED | {"Bounced", "Deleted", "Suppressed"}
_REACHES = frozenset({"AllClientLists", "OnlyThisList"})
_PAGE: Final = 1000  # the vendor's maximum
_LONGEST_VALUE: Final = 250
_LONGEST_WAIT: Final = timedelta(hours=24)
_NEUTRAL: Final = "Erased"  # an empty Name leaves the old one in place

_NOT_SUPPRESSED, _TAKEN, _NOT_IN_LIST, _IN_SUPPRESSION_LIST = 176, 201, 203, 204
_NO_MOBILE = frozenset({220, 221})
_VALUES = frozenset({1, 211, 220, 221})
_TAKEN_OR_BAD = frozenset({1, _TAKEN, 211})
_ANY_CODE: Final = range(1, 1_000_000)  # of a refused change it counts which one it was, whatever the code
_OUR_FAULT = frozenset({214, 215, 404, 800, 801, 802, 803})
_EXPIRED: Final = 121
_TOKEN_DEAD = frozenset({120, _EXPIRED, 122})

_EMAIL, _NAME = "EmailAddress", "Name"
_SAID: Mapping[str, str] = {_EMAIL: "address", _NAME: "name"}
_KINDS: Mapping[str, Kind] = {
    "Text": Kind.TEXT,
    "Number": Kind.NUMBER,
    "Date": Kind.DATE,
    "MultiSelectOne": Kind.CHOICE,
    "MultiSelectMany": Kind.CHOICES,
    "Country": Kind.REGION,
    "USState": Kind.REGION,
}

_TOKEN: Final = "/oauth/token"
_JSON: Final = "application/json"
_Shape = TypeVar("_Shape", list[object], dict[str, object])
_ERASED, _RESTRICTED, _OPTED_OUT = "erased", "restricted", "opted_out"
_ASKED, _BLANKED = "asked", "blanked"

VALUE_REJECTED: Final = "the processor rejected a value"
NOT_OURS: Final = "a list or client that does not exist or is not ours: `dpsync check` names a configured one"
NOT_AGENCY: Final = "the account is not of the type that this call needs"
NO_CLIENTS: Final = "the account shows no client"
NO_LISTS: Final = "the account shows no list"
SET_MOVED: Final = "the suppression list changed while it was read"
REACH_ALL: Final = "reach: no list of this client that knows the address uses it"
REACH_PART: Final = "reach: other lists of this client still use the address"
REACH_UNKNOWN: Final = "reach: the lists of the address do not name the list that was left"
ANEW: Final = "authorise the app anew and put the new access_token and refresh_token in the settings"
NO_PERMISSION: Final = "the credential is good and lacks a permission: give the app or the key's user all that it needs"
_ADVICE: Mapping[int | None, str] = {60: NO_PERMISSION, **dict.fromkeys(_TOKEN_DEAD, ANEW)}


class CampaignMonitorSettings(BaseModel):
    """Either `api_key`, or `access_token` with `refresh_token`. `clients`: the client ids; none means all of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    api_key: Secret | None = None
    access_token: Secret | None = None
    refresh_token: Secret | None = None
    base_url: Annotated[str, AfterValidator(partial(api_root, path="/api/v3.3"))] = _VENDOR
    clients: tuple[str, ...] = Field(default=(), max_length=1000)

    @field_validator("clients")
    @classmethod
    def _ids(cls, clients: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_ID.fullmatch(client) for client in clients):
            raise ValueError("must be client ids of 32 hexadecimal digits")
        if len({client.lower() for client in clients}) != len(clients):
            raise ValueError("names a client twice")
        return clients

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        pair = self.access_token is not None and self.refresh_token is not None
        half = (self.access_token is None) != (self.refresh_token is None)
        if half or pair == (self.api_key is not None):
            raise ValueError("needs api_key, or access_token and refresh_token, and not both")
        return self


def _code(reply: Reply) -> int | None:
    """The vendor's own number for an error; the HTTP status alone is coarse."""
    match json_of(reply):
        case {"Code": int(code)} if not isinstance(code, bool):
            return code
    return None


@dataclass(frozen=True, slots=True)
class _Member:
    """A record of one address in one list, `address` as the vendor spells it. Personal data, for one instruction."""

    address: str
    state: str
    name: str
    fields: tuple[tuple[str, str], ...]

    def values(self, key: str) -> tuple[str, ...]:
        """What a custom field holds; one value an option where it takes several."""
        return tuple(value for name, value in self.fields if _key(name) == _key(key) and value)

    @property
    def blank(self) -> bool:
        return self.name.strip() in ("", _NEUTRAL) and not any(value for _, value in self.fields)


class _Client(NamedTuple):
    """A client and its lists."""

    id: str
    name: str
    lists: Mapping[str, str]


def _credential(settings: CampaignMonitorSettings, kit: Kit) -> RenewableToken | SecretStr:
    """What opens the account: a key, or a token. Whether a refresh token is good a second time is not documented."""
    if settings.api_key is not None:
        return settings.api_key
    access, refresh = (one.get_secret_value() if one else "" for one in (settings.access_token, settings.refresh_token))
    url = urlsplit(settings.base_url)._replace(path=_TOKEN).geturl()
    call = TokenCall(url, _TOKEN, {"grant_type": "refresh_token"}, {"Accept": _JSON})
    return RenewableToken(kit, f"oauth/{kit.pseudonym(refresh)}", call, Token(access, refresh=refresh), once=False)


class _Calls(TokenCalls):
    """The calls about lists and clients, with a credential that may be renewed between two of them."""

    def __init__(
        self,
        kit: Kit,
        base: str,
        credential: RenewableToken | SecretStr,
        pace: Pace,
        order: Instruction | None,
        sleep: Callable[[float], None],
    ) -> None:
        super().__init__(kit, order, sleep)
        self._base = base
        self._credential = credential
        self._pace = pace

    def about(
        self,
        method: str,
        template: str,
        place: str = "",
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """Make one call about one list or client; a read is tried again where the connection broke.

        Raises `Ended` and `CredentialsRejected`; a 200 or a 400 is left to the caller.
        """
        self._pace.take()
        writing = method != "GET"
        # without the suffix the vendor answers in XML; an id is one by its form, so nothing in it needs quoting
        url = f"{self._base}{template.replace('{id}', place)}.json"

        def make(authorization: str) -> Reply:
            kind = {} if body is None else {"Content-Type": "application/json; charset=utf-8"}
            headers = {"Accept": _JSON, "Authorization": authorization, **kind}
            named = f"{template}.json"
            return self.ask(
                method, url, template=named, headers=headers, params=params, body=body, scope=place, patient=True
            )

        reply = self._authorised(make)
        self._count(reply)
        self._passable(reply, writing=writing)
        return reply

    def speaks(self, reply: Reply) -> bool:
        """By its number, and at the token call as OAuth says."""
        return self.shaped(reply, Code=int) or (
            reply.evidence.endpoint.endswith(_TOKEN) and self.shaped(reply, error=str)
        )

    def write(
        self,
        method: str,
        template: str,
        place: str,
        body: Mapping[str, object] | bytes | None = None,
        *,
        email: str | None = None,
        knows: Collection[int] = (),
    ) -> int | None:
        """Change something: None where the vendor said so in its documented shape, else the code of a no in `knows`."""
        content = json.dumps(body).encode() if isinstance(body, Mapping) else body
        reply = self.about(method, template, place, None if email is None else {"email": email}, content)
        if 200 <= reply.status < 300:
            if reply.status != 200 or reply.body.strip():
                raise unreadable()
            return None
        code = _code(reply)
        if reply.status != 400 or code not in knows:
            raise _refusal(reply)
        return code

    def granted(self, reply: Reply) -> Token:
        """The pair that a refresh token is exchanged for. Raises `Ended`, `CredentialsRejected`."""
        self.demand_own(reply, writing=False)
        if reply.status in (400, 401, 403):
            raise self.rejected(reply, ANEW)
        self.demand_sense(reply, writing=False)
        if reply.status != 200:
            raise unreadable()
        return token_in(reply, self._kit.clock.now())

    def _authorised(self, make: Callable[[str], Reply]) -> Reply:
        """Make a call, and once more where it calls the token dead and there is another by then."""
        if isinstance(self._credential, SecretStr):
            return make(basic(self._credential.get_secret_value(), "x"))
        used = self._credential.access(self)
        reply = make(f"Bearer {used}")
        if reply.status != 401 or _code(reply) not in _TOKEN_DEAD:
            return reply
        other = self._credential.access(self, used, over=_code(reply) == _EXPIRED)
        return reply if other == used else make(f"Bearer {other}")

    def _count(self, reply: Reply) -> None:
        """Only /transactional documents these headers; they are believed wherever they appear."""
        reset = _reset(reply)
        if reset is not None and str(reply.headers.get("x-ratelimit-remaining")).strip() == "0":
            self._pace.hold(reset)

    def _passable(self, reply: Reply, *, writing: bool) -> None:
        """Let through what the caller must understand; end what speaks of us, of the account or of a fault there."""
        match reply.status:
            case 401 if _code(reply) in (101, 102):
                # a wrong id, or somebody else's: the key itself is good, and the other lists can be told
                raise refused(NOT_OURS)
            case 403 if _code(reply) == 403:
                raise refused(NOT_AGENCY)
            case 401 | 403:
                raise self.rejected(reply, _ADVICE.get(_code(reply), ""))
        reset = _reset(reply) if reply.status in (429, 503) else None
        self.demand_sense(reply, writing=writing, wait=retry_after(reply, self._kit.clock.now()) or reset)


def _reset(reply: Reply) -> timedelta | None:
    """`X-RateLimit-Reset`: seconds left, not a time of day."""
    said = str(reply.headers.get("x-ratelimit-reset")).strip()
    return min(timedelta(seconds=int(said)), _LONGEST_WAIT) if re.fullmatch(r"[0-9]{1,9}", said) else None


def _refusal(reply: Reply) -> Ended:
    """A no, by its code: about a value, about how we asked, or one that nobody documents for this call."""
    code = _code(reply)
    if code in _VALUES:
        return refused(VALUE_REJECTED)
    return refused(OUR_FAULT) if code in _OUR_FAULT else refused()


def _said(reply: Reply, shape: type[_Shape]) -> _Shape:
    """The array or the object of a 200. Raises `Ended`."""
    if reply.status != 200:
        raise unreadable() if 200 <= reply.status < 300 else _refusal(reply)
    found = json_of(reply)
    if not isinstance(found, shape):
        raise unreadable()
    return found


def _named(rows: list[object], id_name: str, title: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows:
        if not isinstance(row, dict) or not _ID.fullmatch(str(row.get(id_name))):
            raise unreadable()
        found[str(row[id_name])] = str(row.get(title, ""))
    return found


class _Suppression:
    """The suppression list of one client. There is no look-up by address: pages in order of the address, halved."""

    def __init__(self, calls: _Calls, client: str) -> None:
        self._calls = calls
        self._client = client
        self._pages: dict[int, list[str]] = {}
        self._total: int

    def holds(self, address: str) -> bool:
        """Whether the address is on it, in capitals or not. Raises `Ended`."""
        wanted = address.lower()
        self._page(1)
        last = max(1, -(-self._total // _PAGE))
        at = 1 + bisect_left(range(1, last), wanted, key=lambda number: self._page(number)[-1])
        # how the vendor sorts "+", "_" and capitals is not documented: the page after it is read as well, as the one
        # before it has been
        self._page(min(last, at + 1))
        seen = [address for number in sorted(self._pages) for address in self._pages[number]]
        if wanted in seen or seen == sorted(seen):
            return wanted in seen
        # what was read shows another order than ours, so halving proves nothing
        return any(wanted in self._page(number) for number in range(2, last + 1))

    def _page(self, number: int) -> list[str]:
        if number not in self._pages:
            self._pages[number] = self._read(number)
        return self._pages[number]

    def _read(self, number: int) -> list[str]:
        params = {"page": str(number), "pagesize": str(_PAGE), "orderfield": "email", "orderdirection": "asc"}
        found = _said(self._calls.about("GET", "/clients/{id}/suppressionlist", self._client, params), dict)
        rows, total, shown = found.get("Results"), found.get("TotalNumberOfRecords"), found.get("PageNumber")
        if not isinstance(rows, list) or not isinstance(total, int) or total < 0 or shown != number:
            raise unreadable()
        if number > 1 and total != self._total:
            raise Ended(Retryable(reason=SET_MOVED))
        self._total = total
        # a page that is short of what the total promises may lack the very address
        if len(rows) != min(_PAGE, total - _PAGE * (number - 1)):
            raise unreadable()
        addresses = [row["EmailAddress"] for row in rows if isinstance(row, dict) and "EmailAddress" in row]
        if len(addresses) != len(rows) or not all(isinstance(address, str) for address in addresses):
            raise unreadable()
        return [address.strip().lower() for address in addresses]


@dataclass(slots=True)
class _Memory:
    """What a restriction changed of one address at one client; written before the change is made."""

    suppressed_before: bool
    before: dict[str, str]
    left: list[str] = field(default_factory=list)
    lifted: bool = False

    def text(self) -> str:
        return json.dumps([self.suppressed_before, self.before, self.left, self.lifted])

    @classmethod
    def of(cls, text: str | None) -> "_Memory | None":
        return cls(*json.loads(text)) if text else None


_SOURCE = (
    "Campaign Monitor API v3.3 reference, official clients and staff answers in its forum, as read in August 2026; no "
    "machine-readable specification is published"
)


class CampaignMonitor(Connector):
    """Tells Campaign Monitor, in every list of every client, under every address. No state but the credential."""

    name: ClassVar[str] = "campaign_monitor"
    Settings: ClassVar[type[BaseModel]] = CampaignMonitorSettings
    max_inflight: ClassVar[int] = 4
    """A polite guess: no limit is documented outside /transactional."""

    capabilities: ClassVar[Mapping[Right, Capability]] = MappingProxyType(
        {
            Right.RECTIFICATION: Capability(
                means=Means.API_AND_OPERATOR,
                effect="Name, custom fields and the address are changed in every list, whatever the person's state in "
                "it; nobody is subscribed anew.",
                limits="Where the new address is in the list already, nothing is merged: the operator decides. So does "
                "the operator about a first or last name alone (there is one name field), a field that the list lacks, "
                "one of several chosen options, values over 250 characters and values that it does not take. Sent "
                "campaigns and reports keep what they had.",
                verified_by="the record is read under its new address and the old ones are unknown, in every list",
                source=_SOURCE,
                address_change=True,
            ),
            Right.ERASURE: Capability(
                means=Means.API_AND_OPERATOR,
                effect="In every list the name and the custom fields are blanked and the record is set to 'Deleted', "
                "so it is no longer used. The operator then erases the person for good in the web app.",
                limits="The API has no erasure: 'Deleted' keeps the address, history and reports, and they stay "
                "readable, until the operator's task is done. Being on a suppression list is left to the operator too. "
                "That the web app erases everything is known from a reseller's copy of the help page only. After it, "
                "nothing stops a new import of the address.",
                verified_by="the address is unknown in every list and is on no client's suppression list",
                source=_SOURCE,
            ),
            Right.RESTRICTION: Capability(
                means=Means.API_AND_OPERATOR,
                effect="The address is put on each client's suppression list, and is unsubscribed in lists whose "
                "unsubscribes reach only themselves: the data are kept and nothing is sent.",
                limits="Campaign Monitor has no state 'restricted': whoever may edit the account sees and can use the "
                "data, and another system that adds the address with Resubscribe brings it back even from the "
                "suppression list. Transactional mail is not known to be stopped. Lifting takes back only our own "
                "suppression and never subscribes anybody; the rest goes to the operator.",
                verified_by="the address is on the suppression list of each client that holds it, and is silent in "
                "lists whose unsubscribes reach only themselves",
                source=_SOURCE,
            ),
            Right.OPT_OUT: Capability(
                means=Means.API,
                effect="The address is unsubscribed in every list and put on the suppression list of each client that "
                "holds it. How far each unsubscribe reached is read again and kept.",
                limits="Transactional mail is not known to be stopped. Another system that adds the address with "
                "Resubscribe brings it back even from the suppression list. Bounced and deleted records are left as "
                "they are. Consent to tracking is not changed.",
                verified_by="the address is silent in every list and on the suppression list of each client that "
                "holds it",
                source=_SOURCE,
            ),
        }
    )

    def __init__(
        self, settings: CampaignMonitorSettings, kit: Kit, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._settings = settings
        self._kit = kit
        self._sleep = sleep
        self._credential = _credential(settings, kit)
        self._pace = Pace(kit)

    @classmethod
    def from_settings(cls, section: BaseModel, kit: Kit) -> Self:
        """Build it; opens no connection. Raises `ConfigurationError` for a foreign `base_url` outside a rehearsal."""
        settings = CampaignMonitorSettings.model_validate(section.model_dump())
        demand_own_address(kit, "Campaign Monitor", own=settings.base_url == _VENDOR)
        return cls(settings, kit)

    def probe(self) -> Account:
        """Read-only: which clients, which lists (`name (id)`); the API tells no name of the account and no total.

        Raises `CredentialsRejected` and `ProcessorUnreachable`.
        """
        calls = self._calls(None)
        try:
            if not isinstance(_said(calls.about("GET", "/systemdate"), dict).get("SystemDate"), str):
                raise unreadable()
            clients = self._clients(calls)
        except Ended as end:
            raise calls.unreachable("Campaign Monitor", end) from None
        lists = tuple(f"{name} ({place})" for client in clients for place, name in client.lists.items())
        return Account(title=", ".join(client.name or client.id for client in clients), contacts=None, lists=lists)

    def carry_out(self, instruction: Instruction) -> Outcome:
        """Tell every list of every client. The outcome is the worst of all; a retry completes what is left.

        Raises `CredentialsRejected`, and `UnsupportedRight` before any call.
        """
        addresses = self._addresses(instruction)
        if not addresses:
            return NotIdentifiable(reason="Campaign Monitor knows people by their e-mail address, and none is known")
        calls = self._calls(instruction)
        outcomes: list[Outcome] = []
        try:
            for client in self._clients(calls, foreign=outcomes):
                outcomes += each(self._steps(calls, client, instruction, addresses))
        except Ended as end:
            outcomes.append(end.outcome)
        return together(outcomes, calls.kept, touched=calls.touched)

    def verify(self, instruction: Instruction) -> Finding:
        """Read back every list and suppression list under every address. Raises `CredentialsRejected`.

        Found nowhere: as asked for erasure, restriction and opt-out; for a rectification it shows neither that a value
        is right nor that it is wrong, so that is `CannotTell` for good.
        """
        addresses = self._addresses(instruction)
        calls = self._calls(instruction)
        seen: list[tuple[str, str, _Member]] = []
        reasons: list[str] = []
        fields: dict[str, Mapping[str, _Field]] = {}
        try:
            for client in self._clients(calls):
                held = [
                    (place, address, member)
                    for place in client.lists
                    for address in addresses
                    if (member := self._held(calls, place, address)) is not None
                ]
                seen += held
                if instruction.changes and instruction.changes.fields:
                    fields |= {place: _fields_of(calls, place) for place, _, _ in held}
                reasons.append(self._contradiction(calls, client, instruction, addresses, held))
        except Ended as end:
            return calls.cannot_tell(end)
        evidence = calls.kept
        if instruction.right is Right.RECTIFICATION:
            return _rectified(instruction.changes or Changes(), seen, fields, evidence)
        reason = next((reason for reason in reasons if reason), "")
        if reason == _SHOWS_NO_CAUSE:
            return CannotTell(reason=reason, evidence=evidence)
        return Contradicts(reason=reason, evidence=evidence) if reason else AsAsked(evidence=evidence)

    # --- what there is to tell

    def _calls(self, order: Instruction | None) -> _Calls:
        return _Calls(self._kit, self._settings.base_url, self._credential, self._pace, order, self._sleep)

    def _addresses(self, order: Instruction) -> tuple[str, ...]:
        if order.right not in self.capabilities:
            raise UnsupportedRight(f"Campaign Monitor was asked for a right that it does not declare: {order.right}")
        # `_held` asks in capitals as given and in lower case
        return tuple({form.lower(): form for form in reversed(order.spellings)}.values())[::-1]

    def _clients(self, calls: _Calls, foreign: list[Outcome] | None = None) -> list[_Client]:
        """Every client with all its lists, read anew each time: a list made since must be told too. Raises `Ended`.

        `foreign` takes what is said of a configured client that is not ours, so that the others can be told.
        """
        named = dict.fromkeys(self._settings.clients, "")
        named = named or _named(_said(calls.about("GET", "/clients"), list), "ClientID", "Name")
        if not named:
            raise refused(NO_CLIENTS)
        clients = []
        for client, name in named.items():
            try:
                rows = _said(calls.about("GET", "/clients/{id}/lists", client), list)
            except Ended as end:
                if foreign is None or end.outcome.reason != NOT_OURS:
                    raise
                foreign.append(end.outcome)
            else:
                clients.append(_Client(client, name, _named(rows, "ListID", "Name")))
        if not any(client.lists for client in clients):
            # a credential without the permission may look the same
            raise refused(NO_LISTS)
        return clients

    def _steps(
        self, calls: _Calls, client: _Client, order: Instruction, addresses: tuple[str, ...]
    ) -> list[Callable[[], Outcome]]:
        """One step a list or an address, so that one that fails does not keep the others from being done."""
        match order.right:
            case Right.RECTIFICATION:
                changes = order.changes or Changes()
                return [partial(self._put_right, calls, place, changes, addresses) for place in client.lists]
            case Right.ERASURE:
                suppression = _Suppression(calls, client.id)
                in_lists = [partial(self._erase, calls, place, a) for place in client.lists for a in addresses]
                return [*in_lists, *(partial(self._still_suppressed, suppression, client, a) for a in addresses)]
            case Right.RESTRICTION if order.lifted is not None:
                return [partial(self._lift, calls, client, address) for address in addresses]
            case Right.RESTRICTION:
                return [partial(self._restrict, calls, client, address) for address in addresses]
            case Right.OPT_OUT:
                return [partial(self._opt_out, calls, client, address) for address in addresses]
            case never:
                assert_never(never)

    # --- one address in one list

    def _held(self, calls: _Calls, place: str, address: str) -> _Member | None:
        """The record, or None for the documented "not in list". Another list's id would be 401 code 101. Raises."""
        # whether capitals matter to the vendor is not documented: both spellings are asked before "no" is believed
        for spelling in dict.fromkeys((address, address.lower())):
            reply = calls.about("GET", "/subscribers/{id}", place, {"email": spelling})
            if reply.status != 400:
                return _member(_said(reply, dict), spelling)
            if _code(reply) != _NOT_IN_LIST:
                raise _refusal(reply)
        return None

    def _shelf_key(self, kind: str, place: str, address: str) -> str:
        return f"{kind}/{place}/{self._kit.pseudonym(address.lower())}"

    # --- erasure

    def _erase(self, calls: _Calls, place: str, address: str) -> Outcome:
        """Blank, delete, leave the rest to a person: DELETE only sets a state and keeps everything.

        It is not unsubscribed first: in a list that reaches all lists that would put the address on the suppression
        list, where an erasure must not leave it. A blanking that fails does not keep the record in use.
        """
        key = self._shelf_key(_ERASED, place, address)
        member = self._held(calls, place, address)
        if member is None:
            return Applied(evidence=()) if self._kit.shelf.get(key) else NothingHeld(evidence=())
        steps: list[Callable[[], Outcome]] = []
        # a record does not show a mobile number, so one that looks blank is blanked once all the same
        if not member.blank or self._kit.shelf.get(key) != _BLANKED:
            known = _fields_of(calls, place) if member.fields else {}
            names = dict.fromkeys(name for name, _ in member.fields)
            fields = [known.get(_key(name), _Field(name, name, UNTYPED)) for name in names]
            cleared = [entry for one in fields for entry in _entry(one, "")]
            self._kit.shelf.put(key, _ASKED)
            steps.append(partial(self._blank, calls, place, member, cleared, key))
        if member.state != "Deleted":
            steps.append(partial(self._delete, calls, place, member))
        outcomes = each(steps)
        worst = together(outcomes)
        if isinstance(worst, Retryable | Refused):
            return worst
        said_yes = not any(isinstance(outcome, NothingHeld) for outcome in outcomes)
        return self._deactivated(calls, self._held(calls, place, address), place, said_yes=said_yes)

    @staticmethod
    def _delete(calls: _Calls, place: str, member: _Member) -> Outcome:
        code = calls.write("DELETE", "/subscribers/{id}", place, email=member.address, knows=(_NOT_IN_LIST,))
        return NothingHeld(evidence=()) if code else Applied(evidence=())

    @staticmethod
    def _deactivated(calls: _Calls, now: _Member | None, place: str, *, said_yes: bool) -> Outcome:
        if now is None:
            return Applied(evidence=())
        if now.state != "Deleted":
            return calls.unchanged(said_yes=said_yes)
        if now.blank:
            kept = "The record is set to 'Deleted', its name and fields are blanked; address and history are kept."
            kept += " So may be what the API does not show."
        else:
            kept = "The record is set to 'Deleted' and could not be blanked: all of it is kept."
        return task(
            f"{kept} The API of Campaign Monitor has no erasure: erase the person permanently in the web app, in every "
            "list that is named here.",
            place,
        )

    def _blank(self, calls: _Calls, place: str, member: _Member, cleared: list[dict[str, object]], key: str) -> Outcome:
        for mobile in ({"MobileNumber": ""}, {}):
            body = _change({"Name": _NEUTRAL, "CustomFields": cleared, **mobile})
            # 203: the record may be beyond changing already; the read that follows shows what it holds
            knows = (_NOT_IN_LIST, *_NO_MOBILE)
            code = calls.write("PUT", "/subscribers/{id}", place, body, email=member.address, knows=knows)
            if code is None:
                self._kit.shelf.put(key, _BLANKED)
            if code not in _NO_MOBILE:
                break
        return Applied(evidence=())

    @staticmethod
    def _still_suppressed(suppression: _Suppression, client: _Client, address: str) -> Outcome:
        """What keeps an objection is not ours to take away unasked: without it a new import would be mailed again."""
        if not suppression.holds(address):
            return NothingHeld(evidence=())
        return task(
            "The address is on the suppression list of a client that is named here. After the erasure take it off, or "
            "record on which legal ground it stays there.",
            client.id,
        )

    # --- opt-out and restriction

    def _opt_out(self, calls: _Calls, client: _Client, address: str) -> Outcome:
        """Leave every list, and suppress: that also where a list could not be left, so that nothing is sent to it."""
        known: set[str] = set()
        outcomes = each(partial(self._leave, calls, client, place, address, known) for place in client.lists)
        if not known and all(isinstance(outcome, NothingHeld) for outcome in outcomes):
            return self._only_suppressed(calls, client, address)
        if known:
            self._kit.shelf.put(self._shelf_key(_OPTED_OUT, client.id, address), _ASKED)
            outcomes += each([partial(self._suppress, calls, client, address)])
        return together(outcomes)

    @staticmethod
    def _only_suppressed(calls: _Calls, client: _Client, address: str) -> Outcome:
        """In no list: nobody is added to a suppression list whom the vendor does not know."""
        suppressed = _Suppression(calls, client.id).holds(address)
        return Applied(evidence=()) if suppressed else NothingHeld(evidence=())

    def _leave(self, calls: _Calls, client: _Client, place: str, address: str, known: set[str]) -> Outcome:
        """Unsubscribe in one list; `known` takes the list where it holds the address, however that ends."""
        member = self._held(calls, place, address)
        if member is None:
            return NothingHeld(evidence=())
        known.add(place)
        return self._unsubscribe(calls, client, place, member) if member.state in _IN_USE else Applied(evidence=())

    def _unsubscribe(self, calls: _Calls, client: _Client, place: str, member: _Member) -> Outcome:
        """Unsubscribe and read again: how far it reached depends on a list setting that is never changed from here."""
        body = {"EmailAddress": member.address}
        # what a repetition answers is not documented: 203 is read back like a yes
        code = calls.write("POST", "/subscribers/{id}/unsubscribe", place, body, knows=(_NOT_IN_LIST,))
        states = self._reach(calls, client, member.address)
        if place not in states:
            calls.note(REACH_UNKNOWN)
        else:
            calls.note(REACH_PART if _IN_USE & set(states.values()) else REACH_ALL)
        now = self._held(calls, place, member.address)
        return calls.unchanged(said_yes=code is None) if now and now.state in _IN_USE else Applied(evidence=())

    @staticmethod
    def _reach(calls: _Calls, client: _Client, address: str) -> dict[str, str]:
        """The state in each list of the client that names the address; what an unknown one gets is not documented."""
        rows = _said(calls.about("GET", "/clients/{id}/listsforemail", client.id, {"email": address}), list)
        states = _named(rows, "ListID", "SubscriberState")
        if any(state not in _STATES for state in states.values()):
            raise unreadable()
        return states

    @staticmethod
    def _suppress(calls: _Calls, client: _Client, address: str) -> Outcome:
        body = {"EmailAddresses": [address]}
        knows = (_NOT_IN_LIST, _IN_SUPPRESSION_LIST)
        code = calls.write("POST", "/clients/{id}/suppress", client.id, body, knows=knows)
        # what a repetition answers is not documented: either no is settled by reading the list
        if code is not None and not _Suppression(calls, client.id).holds(address):
            raise refused()
        return Applied(evidence=())

    def _restrict(self, calls: _Calls, client: _Client, address: str) -> Outcome:
        """Suppress; and unsubscribe where suppression is not known to silence a list, because its reach is its own."""
        held = {place: member for place in client.lists if (member := self._held(calls, place, address)) is not None}
        if not held:
            return self._only_suppressed(calls, client, address)
        alone = [place for place, member in held.items() if member.state in _IN_USE and self._alone(calls, place)]
        key = self._shelf_key(_RESTRICTED, client.id, address)
        memory = _Memory.of(self._kit.shelf.get(key))
        if memory is None or memory.lifted:
            suppressed = _Suppression(calls, client.id).holds(address)
            memory = _Memory(suppressed, {place: member.state for place, member in held.items()})
        # the oldest state counts: since then it may be ours
        memory.before = {place: held[place].state for place in alone} | memory.before
        memory.left = list(dict.fromkeys([*memory.left, *alone]))
        self._kit.shelf.put(key, memory.text())
        leave = [partial(self._leave, calls, client, place, address, set()) for place in alone]
        return together(each([*leave, partial(self._suppress, calls, client, address)]))

    @staticmethod
    def _alone(calls: _Calls, place: str) -> bool:
        """Whether an unsubscribe of this list reaches no other."""
        found = _said(calls.about("GET", "/lists/{id}", place), dict)
        reach = found.get("UnsubscribeSetting")
        if str(found.get("ListID")).lower() != place.lower() or reach not in _REACHES:
            raise unreadable()
        return reach == "OnlyThisList"

    def _lift(self, calls: _Calls, client: _Client, address: str) -> Outcome:
        """Take back our own suppression, unless the person objected meanwhile; nobody is ever subscribed again."""
        held = {place: member for place in client.lists if (member := self._held(calls, place, address)) is not None}
        key = self._shelf_key(_RESTRICTED, client.id, address)
        memory = _Memory.of(self._kit.shelf.get(key))
        if memory is None:
            return Applied(evidence=()) if held else self._only_suppressed(calls, client, address)
        ours = not memory.suppressed_before and not self._kit.shelf.get(self._shelf_key(_OPTED_OUT, client.id, address))
        objected = [
            place
            for place, member in held.items()
            if member.state in _OBJECTED and place not in memory.left and memory.before.get(place) not in _OBJECTED
        ]
        if ours and not objected and not memory.lifted:
            calls.write("PUT", "/clients/{id}/unsuppress", client.id, b" ", email=address, knows=(_NOT_SUPPRESSED,))
        memory.lifted = True
        self._kit.shelf.put(key, memory.text())
        return together([Applied(evidence=()), *_left_to_the_operator(memory, client, objected if ours else [])])

    # --- rectification

    def _put_right(self, calls: _Calls, place: str, changes: Changes, addresses: tuple[str, ...]) -> Outcome:
        new = changes.email.strip() if changes.email else None
        same = [address for address in addresses if new and normalised(address) == normalised(new)]
        target = next(filter(None, (self._held(calls, place, address) for address in same)), None)
        outcomes: list[Outcome] = []
        for address in addresses:
            if address in same:
                continue
            member = self._held(calls, place, address)
            if member is None:
                outcomes.append(NothingHeld(evidence=()))
            elif new is None:
                outcomes.append(self._set(calls, place, member, changes))
            elif target is None:
                outcomes.append(self._set(calls, place, member, changes, new))
                target = self._held(calls, place, new)
            else:
                rest = self._set(calls, place, member, changes)
                outcomes.append(together([rest, _two_records(place, member.state, target.state)]))
        if target is not None and all(isinstance(outcome, NothingHeld) for outcome in outcomes):
            # told before: the record has its new address already, or it never had another
            outcomes.append(self._set(calls, place, target, changes))
        return together(outcomes)

    def _set(self, calls: _Calls, place: str, member: _Member, changes: Changes, new: str | None = None) -> Outcome:
        """Change what differs, each for itself where the vendor does not take them all at once."""
        fields = _fields_of(calls, place) if changes.fields else {}
        left = Left("Campaign Monitor", f"list {place}", place, "field", f"{_LONGEST_VALUE} characters")
        left.types = _typed(fields, changes.fields)
        entries = _entries(fields, member, changes.fields, left)
        whole = _name(changes)
        one = _Update(calls, place, member.address, {**entries})
        if whole and whole != member.name:
            one.values[_NAME] = whole
        if new is not None:
            one.values = {_EMAIL: new, **one.values}
        no = refused_of(list(one.values), one.write)
        now = self._held(calls, place, one.at) if one.beyond or entries else member
        if one.beyond:
            beyond = "In list {} the API does not change a record of state '{}'. Put it right in the web app."
            return task(beyond.format(place, now.state), place) if now else NothingHeld(evidence=())
        _demand_known(one, no)
        left.refused = [key for key in no if key in entries]
        taken = len(one.values) - len(no)
        if now is not None:
            asked = {key: changes.fields[key] for key in entries if key not in no}
            found = compared(asked, _shown(now, fields, asked), left.types)
            # what is no value of a field it passes over with a yes; where nothing was taken the read-back will say so
            taken -= len(found.other)
            left.refused += found.other if taken else ()
            left.unclear = [*found.unclear]
        outcomes = [*left.tasks(some_done=taken > 0), *_names_left(place, changes, no)]
        if _EMAIL in no:
            outcomes.append(self._address_left(calls, place, member, one))
        return together([Applied(evidence=()), *outcomes])

    def _address_left(self, calls: _Calls, place: str, member: _Member, one: "_Update") -> HandOver:
        """The address is left to a person, and so is any merging."""
        if one.codes[_EMAIL] != _TAKEN:
            return task(
                f"In list {place} Campaign Monitor did not accept the new address: see how it is spelt, and correct it "
                "in the web app.",
                place,
            )
        target = self._held(calls, place, str(one.values[_EMAIL]))
        return _two_records(place, member.state, target.state if target is not None else "not shown by the API")

    # --- reading back

    def _contradiction(
        self,
        calls: _Calls,
        client: _Client,
        order: Instruction,
        addresses: tuple[str, ...],
        held: Sequence[tuple[str, str, _Member]],
    ) -> str:
        """Why what one client holds is not as asked, "" where it is. Raises `Ended`."""
        match order.right:
            case Right.RECTIFICATION:
                return ""
            case Right.ERASURE:
                if held:
                    only = all(member.state == "Deleted" for _, _, member in held)
                    return "a record is kept as 'Deleted'" if only else "a record is still in use"
                return "" if not self._on_list(calls, client, addresses) else "the address is still suppressed"
            case Right.OPT_OUT:
                if any(member.state in _IN_USE for _, _, member in held):
                    return "a record is not unsubscribed"
                return self._unsuppressed(calls, client, held)
            case Right.RESTRICTION if order.lifted is not None:
                return _SHOWS_NO_CAUSE if self._on_list(calls, client, addresses) else ""
            case Right.RESTRICTION:
                used = [place for place, _, member in held if member.state in _IN_USE]
                if any(self._alone(calls, place) for place in dict.fromkeys(used)):
                    return "a list that suppression does not silence still uses the address"
                return self._unsuppressed(calls, client, held)
            case never:
                assert_never(never)

    @staticmethod
    def _on_list(calls: _Calls, client: _Client, addresses: Sequence[str]) -> list[str]:
        suppression = _Suppression(calls, client.id)
        return [address for address in addresses if suppression.holds(address)]

    def _unsuppressed(self, calls: _Calls, client: _Client, held: Sequence[tuple[str, str, _Member]]) -> str:
        known = list(dict.fromkeys(address for _, address, _ in held))
        return "" if self._on_list(calls, client, known) == known else "an address is not on the suppression list"


_SHOWS_NO_CAUSE: Final = "a suppressed address does not show why it is suppressed"


def _member(found: Mapping[str, object], spelling: str) -> _Member:
    """The record in a 200, which must be the one that was asked for. Raises `Ended`."""
    address, state, name = found.get("EmailAddress"), found.get("State"), found.get("Name")
    rows = found.get("CustomFields", [])
    if not isinstance(address, str) or normalised(address) != normalised(spelling) or state not in _STATES:
        raise unreadable()
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "Key" in row for row in rows):
        raise unreadable()
    fields = tuple((str(row["Key"]), "" if row.get("Value") is None else str(row.get("Value"))) for row in rows)
    return _Member(address, str(state), "" if name is None else str(name), fields)


def _change(values: Mapping[str, object]) -> dict[str, object]:
    """The body of an update. `Resubscribe` true would bring back whoever unsubscribed; the consents are mandatory."""
    return {
        **values,
        "Resubscribe": False,
        "RestartSubscriptionBasedAutoresponders": False,
        "ConsentToTrack": "Unchanged",
        "ConsentToSendSms": "Unchanged",
    }


def _name(changes: Changes) -> str:
    """The whole name, "" where the request gives only a part of it."""
    if changes.first_name is None or changes.last_name is None:
        return ""
    return f"{changes.first_name.strip()} {changes.last_name.strip()}".strip()


def _name_likeness(changes: Changes, held: str) -> Likeness:
    """Whether the whole name that is held has the parts that were asked for, each at its own end."""
    parts = [plain(part) for part in (changes.first_name, changes.last_name) if part is not None]
    if len(parts) == 2:
        return Likeness.SAME if held == plain(_name(changes)) else Likeness.OTHER
    if not held.startswith(plain(changes.first_name or "")) or not held.endswith(plain(changes.last_name or "")):
        return Likeness.OTHER
    # of a part that is to be empty the whole shows nothing
    return Likeness.UNCLEAR if "" in parts else Likeness.SAME


def _key(name: str) -> str:
    """One form for `Subscription date`, `[subscriptiondate]` and what a record shows."""
    return re.sub(r"[\W_]", "", name).casefold()


class _Field(NamedTuple):
    """A custom field of a list: `name` in what is read, `tag` in what is written, and its type.

    That an update knows a field by its personalisation tag is said on the vendor's page "Accessing required keys &
    IDs" and in createsend-php issue 3; the samples of API v3 write it without its brackets. Read in November 2026.
    """

    name: str
    tag: str
    type: FieldType


def _fields_of(calls: _Calls, place: str) -> dict[str, _Field]:
    """Each custom field of a list, by name and by tag. Raises `Ended`."""
    found: dict[str, _Field] = {}
    for row in _said(calls.about("GET", "/lists/{id}/customfields", place), list):
        match row:
            case {"FieldName": str(name), "Key": str(tag), **more} if name and _key(tag):
                options = more.get("FieldOptions")
                choices = tuple(map(str, options)) if isinstance(options, list) else ()
                kind = FieldType(_KINDS.get(str(more.get("DataType")), Kind.UNKNOWN), choices=choices)
                one = _Field(name, tag.strip("[]"), kind)
                found[_key(tag)] = found[_key(name)] = one
            case _:
                raise unreadable()
    return found


def _entry(one: _Field, value: str) -> list[dict[str, object]]:
    if not value:
        return [{"Key": one.tag, "Clear": True}]
    if one.type.kind is Kind.CHOICES:
        # such a field is replaced as a whole by whatever is sent
        return [{"Key": one.tag, "Value": option} for option in options_in(one.type, value) or (value,)]
    text = written(one.type, value)
    # dates are written with slashes and read with dashes
    date = one.type.kind is Kind.DATE and re.fullmatch(r"\d{4}-\d{2}-\d{2}", text)
    return [{"Key": one.tag, "Value": text.replace("-", "/") if date else text}]


def _as_it_is(kind: FieldType, value: str, held: tuple[str, ...]) -> bool:
    if kind.kind is Kind.TEXT:
        return held == ((value.strip(),) if value else ())
    return likeness(kind, value, held) is Likeness.SAME


def _typed(fields: Mapping[str, _Field], keys: Iterable[str]) -> dict[str, FieldType]:
    return {key: fields[_key(key)].type for key in keys if _key(key) in fields}


def _shown(member: _Member, fields: Mapping[str, _Field], keys: Iterable[str]) -> dict[str, object]:
    """What a record holds of the fields that were asked about, by the name that asked."""
    return {key: member.values(fields[_key(key)].name if _key(key) in fields else key) for key in keys}


def _entries(
    types: Mapping[str, _Field], member: _Member, asked: Mapping[str, FieldValue], left: Left
) -> dict[str, list[dict[str, object]]]:
    """What is to be sent of each field that differs; `left` takes what only a person can decide."""
    found: dict[str, list[dict[str, object]]] = {}
    for key, value in asked.items():
        one = types.get(_key(key))
        if one is None:
            if value:
                left.missing.append(key)
            continue
        held = member.values(one.name)
        if not isinstance(value, str):
            left.unfit.append(key)
        elif _as_it_is(one.type, value, held):
            continue
        elif len(value) > _LONGEST_VALUE:
            left.too_long.append(key)
        elif value and len(held) > 1 and len(options_in(one.type, value) or ()) < 2:
            # whether one option is to be added, or to stay alone, is not said
            left.several.append(key)
        else:
            found[key] = _entry(one, value)
    return found


@dataclass(slots=True)
class _Update:
    """The changes of one record on their way. `at`: its address; `codes`: what a refused change was refused with.

    It is named by the old address in the query: with the new one there it would edit somebody else.
    """

    calls: _Calls
    place: str
    at: str
    values: dict[str, str | list[dict[str, object]]]
    codes: dict[str, int] = field(default_factory=dict)
    beyond: bool = False

    def write(self, parts: Sequence[str]) -> Collection[str] | None:
        """Make some of the changes in one PUT; None, or which of them are refused for sure. Raises `Ended`."""
        body: dict[str, object] = {part: self.values[part] for part in parts if part in (_EMAIL, _NAME)}
        entries = [entry for part in parts if part not in body for entry in self.values[part]]
        if entries:
            body["CustomFields"] = entries
        code = self.calls.write("PUT", "/subscribers/{id}", self.place, _change(body), email=self.at, knows=_ANY_CODE)
        if code is None:
            self.at = str(self.values[_EMAIL]) if _EMAIL in parts else self.at
            # each of the keys is one that the list knows
            self.calls.note(put_right([_SAID.get(part, part) for part in parts], {*_SAID.values(), *parts}))
            return None
        if code in _OUR_FAULT:
            raise refused(OUR_FAULT)
        self.codes |= dict.fromkeys(parts, code)
        if code == _NOT_IN_LIST:
            self.beyond = True
            return list(parts)
        return [_EMAIL] if code in _TAKEN_OR_BAD and _EMAIL in parts else []


def _demand_known(one: _Update, no: Sequence[str]) -> None:
    """Raise `Ended` where nothing at all was changed, and the code does not say that it is about a value."""
    known = {_EMAIL: _TAKEN_OR_BAD}
    odd = [one.codes[part] for part in no if one.codes[part] not in known.get(part, ())]
    if odd and len(no) == len(one.values):
        raise refused(VALUE_REJECTED) if odd[0] in _VALUES else refused()


def _names_left(place: str, changes: Changes, no: Sequence[str]) -> list[HandOver]:
    if _NAME in no:
        return [task(f"In list {place} Campaign Monitor did not accept the new name: put it right there.", place)]
    if _name(changes) or (changes.first_name is None and changes.last_name is None):
        return []
    return [
        task(
            f"List {place} has one field for the whole name, which the API cannot empty, and the request gives only a "
            "part of a name. Put the name right in the web app.",
            place,
        )
    ]


def _two_records(place: str, state: str, other: str) -> HandOver:
    """Both addresses are in the list: nothing is merged, for they may be two people."""
    return task(
        f"In list {place} both the old and the new address have a record (state '{state}' and '{other}'). They may be "
        "two people: compare them in the web app and decide. Nothing was merged.",
        place,
    )


def _left_to_the_operator(memory: _Memory, client: _Client, objected: Sequence[str]) -> list[HandOver]:
    tasks = [
        task(
            f"In list {place} the address was unsubscribed for a restriction that is now lifted; before, its state was "
            f"'{memory.before[place]}'. Leave it unsubscribed: only the person may subscribe anew.",
            place,
        )
        for place in memory.left
    ]
    if objected:
        tasks.append(
            task(
                f"At client {client.id} the address left a list while it was restricted, so it was kept on the "
                "suppression list. See whether the person objected before you take it off.",
                client.id,
            )
        )
    return tasks


def _rectified(
    changes: Changes,
    seen: Sequence[tuple[str, str, _Member]],
    fields: Mapping[str, Mapping[str, _Field]],
    evidence: tuple[Evidence, ...],
) -> Finding:
    if not seen:
        return CannotTell(reason="nobody is held under any address, so there is nothing to compare", evidence=evidence)
    if changes.email and any(normalised(address) != normalised(changes.email) for _, address, _ in seen):
        return Contradicts(reason="a record still has an old address", evidence=evidence)
    unclear = False
    for place, _, member in seen:
        name = _name_likeness(changes, plain(member.name))
        if name is Likeness.OTHER:
            return Contradicts(reason="a name is not as asked", evidence=evidence)
        known = fields.get(place, {})
        shown = compared(changes.fields, _shown(member, known, changes.fields), _typed(known, changes.fields))
        if shown.other:
            return Contradicts(reason="a field is not as asked", evidence=evidence)
        unclear = unclear or bool(shown.unclear) or name is Likeness.UNCLEAR
    return CannotTell(reason=NOT_COMPARABLE, evidence=evidence) if unclear else AsAsked(evidence=evidence)
