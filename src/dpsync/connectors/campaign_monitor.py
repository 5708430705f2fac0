"""Campaign Monitor (createsend) API v3.3: an address in a list of a client, and a suppression list for each client.

Every right is carried out in every list of every client. There is no machine-readable specification: where the
reference says nothing, the safe side is taken and the comment says so.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, SecretStr, model_validator

from dpsync.address import normalised, spellings
from dpsync.connector import (
    Account,
    Applied,
    Capability,
    HandOver,
    Instruction,
    Kit,
    Means,
    NothingHeld,
    Outcome,
    Refused,
    Reply,
    Retryable,
)
from dpsync.http import api_root, retry_after
from dpsync.model import Changes, Right
from dpsync.vendor.calls import Secret
from dpsync.vendor.connector import VendorSettings, ids
from dpsync.vendor.corrections import EMAIL, NAME, Compared, Left, compared, put_right, two_records
from dpsync.vendor.errors import OUR_FAULT, Ended, Error, Meaning, refused, unreadable
from dpsync.vendor.field_values import UNTYPED, FieldType, Kind, Likeness, options_in, plain, written
from dpsync.vendor.outcomes import each, task, together
from dpsync.vendor.pace import Pace
from dpsync.vendor.places import Found, PeopleInPlaces, once
from dpsync.vendor.rectification import Correction, Gone, move, to_send
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

_EXPIRED: Final = 121
_TOKEN_DEAD = frozenset({120, _EXPIRED, 122})

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

NOT_IN_LIST: Final = Error((400,), (203,), Meaning.ABSENT)
TAKEN: Final = Error((400,), (201,), Meaning.REFUSED)
BAD_VALUE: Final = Error((400,), (1, 211), Meaning.REFUSED, VALUE_REJECTED)
NO_MOBILE: Final = Error((400,), (220, 221), Meaning.REFUSED, VALUE_REJECTED)
NOT_SUPPRESSED: Final = Error((400,), (176,), Meaning.SETTLED)
SUPPRESSED: Final = Error((400,), (204,), Meaning.SETTLED)
ERRORS: Final[tuple[Error, ...]] = (
    # a wrong id, or somebody else's: the key itself is good, and the other lists can be told
    Error((401,), (101, 102), Meaning.NO, NOT_OURS),
    Error((403,), (403,), Meaning.NO, NOT_AGENCY),
    Error((401, 403), (60,), Meaning.REJECTED, NO_PERMISSION),
    Error((401, 403), _TOKEN_DEAD, Meaning.REJECTED, ANEW),
    Error((401, 403), (), Meaning.REJECTED),
    Error((400, 404), (214, 215, 404, 800, 801, 802, 803), Meaning.NO, OUR_FAULT),
    *(NOT_IN_LIST, TAKEN, BAD_VALUE, NO_MOBILE, NOT_SUPPRESSED, SUPPRESSED),
)
"""By the vendor's own number; the HTTP status alone is coarse."""


class CampaignMonitorSettings(VendorSettings):
    """Either `api_key`, or `access_token` with `refresh_token`. `clients`: the client ids; none means all of them."""

    api_key: Secret | None = None
    access_token: Secret | None = None
    refresh_token: Secret | None = None
    base_url: Annotated[str, AfterValidator(partial(api_root, path="/api/v3.3"))] = _VENDOR
    clients: Annotated[
        tuple[str, ...], AfterValidator(partial(ids, form=_ID, such="client ids of 32 hexadecimal digits"))
    ] = Field(default=(), max_length=1000)

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        pair = self.access_token is not None and self.refresh_token is not None
        half = (self.access_token is None) != (self.refresh_token is None)
        if half or pair == (self.api_key is not None):
            raise ValueError("needs api_key, or access_token and refresh_token, and not both")
        return self


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

    errors = ERRORS
    code_in = "Code"

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
        self.fields: dict[str, Mapping[str, _Field]] = {}
        """The custom fields of each list that was asked for them."""
        self.suppressions: dict[str, _Suppression] = {}

    def about(
        self,
        method: str,
        template: str,
        place: str = "",
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """Make one call about one list or client; a read is tried again where the connection broke.

        Raises `Ended` and `CredentialsRejected`; a yes, or a no, is left to the caller.
        """
        self._pace.take()
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
        reset = _reset(reply) if reply.status in (429, 503) else None
        wait = retry_after(reply, self._kit.clock.now()) or reset
        self.demand_sense(reply, writing=method != "GET", wait=wait)
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
        knows: Sequence[Error] = (),
    ) -> Error | None:
        """Change something: None where the vendor said so in its documented shape, else which no in `knows` it is."""
        content = json.dumps(body).encode() if isinstance(body, Mapping) else body
        query = None if email is None else {"email": email}
        return self.done(self.about(method, template, place, query, content), *knows)

    def done(self, reply: Reply, *knows: Error) -> Error | None:
        """None for the documented yes to a change, which is an empty 200; else which no it is. Raises `Ended`."""
        no = self.no(reply, *knows)
        if no is None and (reply.status != 200 or reply.body.strip()):
            raise unreadable()
        return no

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
        if reply.status != 401 or self.code(reply) not in _TOKEN_DEAD:
            return reply
        other = self._credential.access(self, used, over=self.code(reply) == _EXPIRED)
        return reply if other == used else make(f"Bearer {other}")

    def _count(self, reply: Reply) -> None:
        """Only /transactional documents these headers; they are believed wherever they appear."""
        reset = _reset(reply)
        if reset is not None and str(reply.headers.get("x-ratelimit-remaining")).strip() == "0":
            self._pace.hold(reset)


def _reset(reply: Reply) -> timedelta | None:
    """`X-RateLimit-Reset`: seconds left, not a time of day."""
    said = str(reply.headers.get("x-ratelimit-reset")).strip()
    return min(timedelta(seconds=int(said)), _LONGEST_WAIT) if re.fullmatch(r"[0-9]{1,9}", said) else None


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
        found = self._calls.content(
            self._calls.about("GET", "/clients/{id}/suppressionlist", self._client, params), dict
        )
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


class CampaignMonitor(PeopleInPlaces[CampaignMonitorSettings, _Calls, _Client, Mapping[str, _Member]]):
    """Tells Campaign Monitor, in every list of every client, under every address. No state but the credential.

    A place is a client: one person has a record in each of its lists, and may be on its suppression list.
    """

    name: ClassVar[str] = "campaign_monitor"
    vendor = "Campaign Monitor"
    address = _VENDOR
    errors = ERRORS
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

    def __init__(self, settings: CampaignMonitorSettings, kit: Kit, **more: Any) -> None:
        super().__init__(settings, kit, **more)
        self._credential = _credential(settings, kit)
        self._pace = Pace(kit)

    def calls(self, order: Instruction | None) -> _Calls:
        """Those of one instruction."""
        return _Calls(self._kit, self.base, self._credential, self._pace, order, self._sleep)

    def account(self, calls: _Calls) -> Account:
        """Which clients, which lists (`name (id)`); the API tells no name of the account and no total."""
        if not isinstance(calls.content(calls.about("GET", "/systemdate"), dict).get("SystemDate"), str):
            raise unreadable()
        clients = list(self.places(calls))
        lists = tuple(f"{name} ({place})" for client in clients for place, name in client.lists.items())
        return Account(title=", ".join(client.name or client.id for client in clients), contacts=None, lists=lists)

    def places(self, calls: _Calls) -> Iterator[_Client]:
        """Every client with all its lists, read anew each time: a list made since must be told too.

        One that cannot be read, or is not ours, keeps no other from being told.
        """
        named = dict.fromkeys(self._settings.clients, "")
        named = named or _named(calls.content(calls.about("GET", "/clients"), list), "ClientID", "Name")
        trouble = None if named else refused(NO_CLIENTS)
        shown = False
        for client, name in named.items():
            try:
                rows = calls.content(calls.about("GET", "/clients/{id}/lists", client), list)
                one = _Client(client, name, _named(rows, "ListID", "Name"))
            except Ended as end:
                if end.stop:
                    raise
                trouble = trouble or end
            else:
                shown = shown or bool(one.lists)
                yield one
        # a credential without the permission may look the same
        trouble = trouble or (None if shown else refused(NO_LISTS))
        if trouble:
            raise trouble

    def member(self, calls: _Calls, place: _Client, address: str) -> Mapping[str, _Member] | None:
        """The record in each list of a client that holds the address."""
        return {one: who for one in place.lists if (who := self.held(calls, one, address)) is not None} or None

    def wrong(self, order: Instruction, found: Found[_Calls, _Client, Mapping[str, _Member]]) -> str:
        """Why what one client holds is not as asked."""
        calls, client = found.calls, found.place
        held = [member for lists in found.members.values() for member in lists.values()]
        match order.right:
            case Right.ERASURE:
                if held:
                    only = all(member.state == "Deleted" for member in held)
                    return "a record is kept as 'Deleted'" if only else "a record is still in use"
                return "the address is still suppressed" if _suppressed(calls, client, self._addresses(order)) else ""
            case Right.RESTRICTION if order.lifted is not None:
                return _SHOWS_NO_CAUSE if _suppressed(calls, client, self._addresses(order)) else ""
            case Right.OPT_OUT:
                if any(member.state in _IN_USE for member in held):
                    return "a record is not unsubscribed"
            case _:
                used = {
                    place for lists in found.members.values() for place, one in lists.items() if one.state in _IN_USE
                }
                if any(self._alone(calls, place) for place in client.lists if place in used):
                    return "a list that suppression does not silence still uses the address"
        known = list(found.members)
        return "" if _suppressed(calls, client, known) == known else "an address is not on the suppression list"

    def compared(
        self, found: Found[_Calls, _Client, Mapping[str, _Member]], member: Mapping[str, _Member], changes: Changes
    ) -> Compared:
        """The record in each list, the name as a whole or at the end that was asked about."""
        other: list[str] = []
        unclear: list[str] = []
        for one, record in member.items():
            fields = _fields_of(found.calls, one) if changes.fields else {}
            shown = compared(changes.fields, _shown(record, fields, changes.fields), _typed(fields, changes.fields))
            name = _name_likeness(changes, plain(record.name))
            other += [*shown.other, *([NAME] if name is Likeness.OTHER else [])]
            unclear += [*shown.unclear, *([NAME] if name is Likeness.UNCLEAR else [])]
        return Compared(other=tuple(other), unclear=tuple(unclear))

    # --- one address in one list

    def held(self, calls: _Calls, place: str, address: str) -> _Member | None:
        """The record, or None for the documented "not in list". Another list's id would be 401 code 101. Raises."""
        # whether capitals matter to the vendor is not documented: both spellings are asked before "no" is believed
        for spelling in dict.fromkeys((address, address.lower())):
            reply = calls.about("GET", "/subscribers/{id}", place, {"email": spelling})
            if calls.no(reply, NOT_IN_LIST) is None:
                return _member(calls.content(reply, dict), spelling)
        return None

    # --- erasure

    def erase(self, calls: _Calls, place: _Client, address: str) -> Outcome:
        """In each list; what the suppression list keeps is left to the operator."""
        in_lists = [partial(self._erase, calls, one, address) for one in place.lists]
        return together(each([*in_lists, partial(self._still_suppressed, calls, place, address)]))

    def _erase(self, calls: _Calls, place: str, address: str) -> Outcome:
        """Blank, delete, leave the rest to a person: DELETE only sets a state and keeps everything.

        It is not unsubscribed first: in a list that reaches all lists that would put the address on the suppression
        list, where an erasure must not leave it. A blanking that fails does not keep the record in use.
        """
        key = self._shelf_key(_ERASED, place, address)
        member = self.held(calls, place, address)
        if member is None:
            return self._erased(key)
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
        return self._deactivated(calls, self.held(calls, place, address), place, said_yes=said_yes)

    @staticmethod
    def _delete(calls: _Calls, place: str, member: _Member) -> Outcome:
        no = calls.write("DELETE", "/subscribers/{id}", place, email=member.address, knows=(NOT_IN_LIST,))
        return NothingHeld(evidence=()) if no else Applied(evidence=())

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
            knows = (NOT_IN_LIST, NO_MOBILE)
            no = calls.write("PUT", "/subscribers/{id}", place, body, email=member.address, knows=knows)
            if no is None:
                self._kit.shelf.put(key, _BLANKED)
            if no is not NO_MOBILE:
                break
        return Applied(evidence=())

    @staticmethod
    def _still_suppressed(calls: _Calls, client: _Client, address: str) -> Outcome:
        """What keeps an objection is not ours to take away unasked: without it a new import would be mailed again."""
        # an erasure puts nobody on it, so it is read once for all addresses
        if not calls.suppressions.setdefault(client.id, _Suppression(calls, client.id)).holds(address):
            return NothingHeld(evidence=())
        return task(
            "The address is on the suppression list of a client that is named here. After the erasure take it off, or "
            "record on which legal ground it stays there.",
            client.id,
        )

    # --- opt-out and restriction

    def opt_out(self, calls: _Calls, place: _Client, address: str) -> Outcome:
        """Leave every list, and suppress: that also where a list could not be left, so that nothing is sent to it."""
        known: set[str] = set()
        outcomes = each(partial(self._leave, calls, place, one, address, known) for one in place.lists)
        if not known and all(isinstance(outcome, NothingHeld) for outcome in outcomes):
            return self._only_suppressed(calls, place, address)
        if known:
            self._kit.shelf.put(self._shelf_key(_OPTED_OUT, place.id, address), _ASKED)
            outcomes += each([partial(self._suppress, calls, place, address)])
        return together(outcomes)

    @staticmethod
    def _only_suppressed(calls: _Calls, client: _Client, address: str) -> Outcome:
        """In no list: nobody is added to a suppression list whom the vendor does not know."""
        suppressed = _Suppression(calls, client.id).holds(address)
        return Applied(evidence=()) if suppressed else NothingHeld(evidence=())

    def _leave(self, calls: _Calls, client: _Client, place: str, address: str, known: set[str]) -> Outcome:
        """Unsubscribe in one list; `known` takes the list where it holds the address, however that ends."""
        member = self.held(calls, place, address)
        if member is None:
            return NothingHeld(evidence=())
        known.add(place)
        return self._unsubscribe(calls, client, place, member) if member.state in _IN_USE else Applied(evidence=())

    def _unsubscribe(self, calls: _Calls, client: _Client, place: str, member: _Member) -> Outcome:
        """Unsubscribe and read again: how far it reached depends on a list setting that is never changed from here."""
        body = {"EmailAddress": member.address}
        # what a repetition answers is not documented: 203 is read back like a yes
        no = calls.write("POST", "/subscribers/{id}/unsubscribe", place, body, knows=(NOT_IN_LIST,))
        states = self._reach(calls, client, member.address)
        if place not in states:
            calls.note(REACH_UNKNOWN)
        else:
            calls.note(REACH_PART if _IN_USE & set(states.values()) else REACH_ALL)
        now = self.held(calls, place, member.address)
        return calls.unchanged(said_yes=no is None) if now and now.state in _IN_USE else Applied(evidence=())

    @staticmethod
    def _reach(calls: _Calls, client: _Client, address: str) -> dict[str, str]:
        """The state in each list of the client that names the address; what an unknown one gets is not documented."""
        rows = calls.content(calls.about("GET", "/clients/{id}/listsforemail", client.id, {"email": address}), list)
        states = _named(rows, "ListID", "SubscriberState")
        if any(state not in _STATES for state in states.values()):
            raise unreadable()
        return states

    @staticmethod
    def _suppress(calls: _Calls, client: _Client, address: str) -> Outcome:
        body = {"EmailAddresses": [address]}
        no = calls.write("POST", "/clients/{id}/suppress", client.id, body, knows=(NOT_IN_LIST, SUPPRESSED))
        # what a repetition answers is not documented: either no is settled by reading the list
        if no and not _Suppression(calls, client.id).holds(address):
            raise refused()
        return Applied(evidence=())

    def restrict(self, calls: _Calls, place: _Client, address: str) -> Outcome:
        """Suppress; and unsubscribe where suppression is not known to silence a list, because its reach is its own."""
        held = self.member(calls, place, address) or {}
        if not held:
            return self._only_suppressed(calls, place, address)
        alone = [one for one, who in held.items() if who.state in _IN_USE and self._alone(calls, one)]
        key = self._shelf_key(_RESTRICTED, place.id, address)
        memory = _Memory.of(self._kit.shelf.get(key))
        if memory is None or memory.lifted:
            suppressed = _Suppression(calls, place.id).holds(address)
            memory = _Memory(suppressed, {one: who.state for one, who in held.items()})
        # the oldest state counts: since then it may be ours
        memory.before = {one: held[one].state for one in alone} | memory.before
        memory.left = list(dict.fromkeys([*memory.left, *alone]))
        self._kit.shelf.put(key, memory.text())
        leave = [partial(self._leave, calls, place, one, address, set()) for one in alone]
        return together(each([*leave, partial(self._suppress, calls, place, address)]))

    @staticmethod
    def _alone(calls: _Calls, place: str) -> bool:
        """Whether an unsubscribe of this list reaches no other."""
        found = calls.content(calls.about("GET", "/lists/{id}", place), dict)
        reach = found.get("UnsubscribeSetting")
        if str(found.get("ListID")).lower() != place.lower() or reach not in _REACHES:
            raise unreadable()
        return reach == "OnlyThisList"

    def lift(self, calls: _Calls, place: _Client, address: str) -> Outcome:
        """Take back our own suppression, unless the person objected meanwhile; nobody is ever subscribed again."""
        held = self.member(calls, place, address) or {}
        key = self._shelf_key(_RESTRICTED, place.id, address)
        memory = _Memory.of(self._kit.shelf.get(key))
        if memory is None:
            return Applied(evidence=()) if held else self._only_suppressed(calls, place, address)
        ours = not memory.suppressed_before and not self._kit.shelf.get(self._shelf_key(_OPTED_OUT, place.id, address))
        objected = [
            one
            for one, who in held.items()
            if who.state in _OBJECTED and one not in memory.left and memory.before.get(one) not in _OBJECTED
        ]
        if ours and not objected and not memory.lifted:
            calls.write("PUT", "/clients/{id}/unsuppress", place.id, b" ", email=address, knows=(NOT_SUPPRESSED,))
        memory.lifted = True
        self._kit.shelf.put(key, memory.text())
        return together([Applied(evidence=()), *_left_to_the_operator(memory, place, objected if ours else [])])

    # --- rectification

    def put_right(self, calls: _Calls, place: _Client, addresses: tuple[str, ...], changes: Changes) -> Outcome:
        """Put right whoever is held under any address, one step a list."""
        return together(
            each(partial(move, addresses, changes, partial(self._correct, calls, one)) for one in place.lists)
        )

    def _correct(self, calls: _Calls, place: str, address: str, changes: Changes) -> Outcome:
        """Change what differs."""
        member = self.held(calls, place, address)
        if member is None:
            return NothingHeld(evidence=())
        new = changes.email.strip() if changes.email else None
        forms = once(spellings(new)) if new else ()
        target = next(filter(None, (self.held(calls, place, form) for form in forms)), None)
        fields = _fields_of(calls, place) if changes.fields else {}
        types = _typed(fields, changes.fields)
        left = Left("Campaign Monitor", f"list {place}", place, "field", f"{_LONGEST_VALUE} characters", types)
        left.missing = [key for key, value in changes.fields.items() if value and key not in types]
        asked = {key: value for key, value in changes.fields.items() if key in types}
        sent = to_send(asked, _shown(member, fields, asked), left, lambda value: len(value) > _LONGEST_VALUE)
        values: dict[str, Any] = {EMAIL: new} if new and target is None else {}
        values |= {key: _entry(fields[_key(key)], str(value)) for key, value in sent.items()}
        if (whole := _name(changes)) and whole != member.name:
            values[NAME] = whole
        one = _Correction(
            *(calls, left, asked, values),
            connector=self,
            at=member.address,
            changes=changes,
            member=member,
            target=target,
            fields=fields,
        )
        if target is not None:
            one.noes[EMAIL] = TAKEN
        return one.make()


def _suppressed(calls: _Calls, client: _Client, addresses: Sequence[str]) -> list[str]:
    suppression = _Suppression(calls, client.id)
    return [address for address in addresses if suppression.holds(address)]


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


def _fields_of(calls: _Calls, place: str) -> Mapping[str, _Field]:
    """Each custom field of a list, by name and by tag; asked for once. Raises `Ended`."""
    if place in calls.fields:
        return calls.fields[place]
    found: dict[str, _Field] = {}
    for row in calls.content(calls.about("GET", "/lists/{id}/customfields", place), list):
        match row:
            case {"FieldName": str(name), "Key": str(tag), **more} if name and _key(tag):
                options = more.get("FieldOptions")
                choices = tuple(map(str, options)) if isinstance(options, list) else ()
                kind = FieldType(_KINDS.get(str(more.get("DataType")), Kind.UNKNOWN), choices=choices)
                one = _Field(name, tag.strip("[]"), kind)
                found[_key(tag)] = found[_key(name)] = one
            case _:
                raise unreadable()
    calls.fields[place] = found
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


def _typed(fields: Mapping[str, _Field], keys: Iterable[str]) -> dict[str, FieldType]:
    return {key: fields[_key(key)].type for key in keys if _key(key) in fields}


def _shown(member: _Member, fields: Mapping[str, _Field], keys: Iterable[str]) -> dict[str, object]:
    """What a record holds of the fields that were asked about, by the name that asked."""
    return {key: member.values(fields[_key(key)].name if _key(key) in fields else key) for key in keys}


@dataclass(slots=True, kw_only=True)
class _Correction(Correction[_Calls]):
    """One record's, named by the old address in the query: with the new one there it would edit somebody else.

    `at`: its address; `target`: the record that has the new one already.
    """

    connector: CampaignMonitor
    changes: Changes
    at: str
    member: _Member
    target: _Member | None
    fields: Mapping[str, _Field]

    def send(self, parts: Sequence[str]) -> Reply | None:
        """Make some of the changes in one PUT."""
        named = {EMAIL: "EmailAddress", NAME: "Name"}
        body: dict[str, object] = {named[part]: self.values[part] for part in parts if part in named}
        if entries := [entry for part in parts if part not in named for entry in self.values[part]]:
            body["CustomFields"] = entries
        content, query = json.dumps(_change(body)).encode(), {"email": self.at}
        reply = self.calls.about("PUT", "/subscribers/{id}", self.left.reference, query, content)
        if reply.status == 400 and self.calls.row(reply) is not NOT_IN_LIST:
            return reply
        if self.calls.done(reply, NOT_IN_LIST):
            raise Gone
        self.at = self.values[EMAIL] if EMAIL in parts else self.at
        self.calls.note(put_right(parts, parts))  # each of the keys is one that the list knows
        return None

    def gone(self) -> Outcome:
        """A record that is not in use may be beyond changing; whether there is one is read again."""
        now = self._now()
        if now is None:
            return Correction.gone(self)
        place = self.left.reference
        beyond = "In list {} the API does not change a record of state '{}'. Put it right in the web app."
        return task(beyond.format(place, now.state), place)

    def names(self, no: Reply, parts: Sequence[str]) -> Collection[str]:
        """The address alone is known to be meant."""
        return [EMAIL] if EMAIL in parts and self.is_for_a_person(EMAIL, self.calls.row(no)) else []

    def is_for_a_person(self, part: str, no: Error | None) -> bool:
        """What is said of an address."""
        return part == EMAIL and no in (TAKEN, BAD_VALUE)

    def shown(self) -> Mapping[str, object]:
        """The custom fields, read again where one was written."""
        now = self._now() if any(part in self.asked for part in self.done) else None
        return _shown(now, self.fields, self.asked) if now else {}

    def others(self, refused_parts: Collection[str]) -> list[Outcome]:
        """A name, and the address, which are left to a person, and so is any merging."""
        place, tasks = self.left.reference, list[Outcome]()
        if NAME in refused_parts:
            no = f"In list {place} Campaign Monitor did not accept the new name: put it right there."
            tasks.append(task(no, place))
        elif not _name(self.changes) and (self.changes.first_name, self.changes.last_name) != (None, None):
            part = (
                f"List {place} has one field for the whole name, which the API cannot empty, and the request gives "
                "only a part of a name. Put the name right in the web app."
            )
            tasks.append(task(part, place))
        if EMAIL in refused_parts and self.noes[EMAIL] is TAKEN:
            target = self.target or self.connector.held(self.calls, place, self.values[EMAIL])
            tasks.append(two_records(self.left, self.member.state, target.state if target else "not shown by the API"))
        elif EMAIL in refused_parts:
            no = (
                f"In list {place} Campaign Monitor did not accept the new address: see how it is spelt, and correct it "
            )
            tasks.append(task(f"{no}in the web app.", place))
        return tasks

    def _now(self) -> _Member | None:
        return self.connector.held(self.calls, self.left.reference, self.at)


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
