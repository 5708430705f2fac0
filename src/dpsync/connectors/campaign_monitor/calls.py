"""Campaign Monitor's calls: its settings, its errors by number, and a credential that may be renewed between two."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from dpsync.connector import Instruction, Kit, Reply
from dpsync.connectors.campaign_monitor import records
from dpsync.connectors.campaign_monitor.records import Member, fields_in, member_in
from dpsync.http import api_root, json_of, retry_after
from dpsync.vendor.calls import Secret
from dpsync.vendor.connector import VendorSettings, ids
from dpsync.vendor.errors import OUR_FAULT, Error, Meaning, unreadable
from dpsync.vendor.pace import Pace
from dpsync.vendor.token import RenewableToken, Token, TokenCall, TokenCalls, basic, token_in

VENDOR: Final = "https://api.createsend.com/api/v3.3"
ID = re.compile(r"[0-9A-Fa-f]{32}")
_LONGEST_WAIT: Final = timedelta(hours=24)
_EXPIRED: Final = 121
_TOKEN_DEAD = frozenset({120, _EXPIRED, 122})
_TOKEN: Final = "/oauth/token"
_TEST: Final = "/test.json"
_JSON: Final = "application/json"

VALUE_REJECTED: Final = "the processor rejected a value"
NOT_OURS: Final = "a list or client that does not exist or is not ours: `dpsync check` names a configured one"
NOT_AGENCY: Final = "the account is not of the type that this call needs"
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
    Error((401,), (101, 102), Meaning.MISPLACED, NOT_OURS),
    Error((403,), (403,), Meaning.MISPLACED, NOT_AGENCY),
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
    base_url: Annotated[str, AfterValidator(partial(api_root, path="/api/v3.3"))] = VENDOR
    clients: Annotated[
        tuple[str, ...], AfterValidator(partial(ids, form=ID, such="client ids of 32 hexadecimal digits"))
    ] = Field(default=(), max_length=1000)

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        pair = self.access_token is not None and self.refresh_token is not None
        half = (self.access_token is None) != (self.refresh_token is None)
        if half or pair == (self.api_key is not None):
            raise ValueError("needs api_key, or access_token and refresh_token, and not both")
        return self


class Client(NamedTuple):
    """A client and its lists."""

    id: str
    name: str
    lists: Mapping[str, str]


def credential(settings: CampaignMonitorSettings, kit: Kit) -> RenewableToken | SecretStr:
    """What opens the account: a key, or a token. Whether a refresh token is good a second time is not documented."""
    if settings.api_key is not None:
        return settings.api_key
    access, refresh = (one.get_secret_value() if one else "" for one in (settings.access_token, settings.refresh_token))
    url = urlsplit(settings.base_url)._replace(path=_TOKEN).geturl()
    call = TokenCall(url, _TOKEN, {"grant_type": "refresh_token"}, {"Accept": _JSON})
    return RenewableToken(kit, f"oauth/{kit.pseudonym(refresh)}", call, Token(access, refresh=refresh), once=False)


class Calls(TokenCalls):
    """The calls about lists and clients, with a credential that may be renewed between two of them."""

    errors = ERRORS
    code_in = "Code"
    marks = frozenset(
        {"EmailAddress", "ListID", "ClientID", "FieldName", "Results", "SystemDate", "WebhookID", "access_token"}
    )

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
        self.fields: dict[str, Mapping[str, records.Field]] = {}
        """The custom fields of each list that was asked for them."""
        self.suppressions: dict[str, Any] = {}
        """The suppression list of each client, as an erasure has read it."""

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
        return self.shaped(reply, Code=int) or (reply.evidence.endpoint.endswith(_TOKEN) and self.speaks_oauth(reply))

    def is_own(self, reply: Reply, *, writing: bool) -> bool:
        """As ever; the test of a webhook is a GET that does something, and is answered by nothing."""
        return super().is_own(reply, writing=writing or reply.evidence.endpoint.endswith(_TEST))

    def affirms(self, reply: Reply) -> bool:
        """Its lists are arrays, and an empty one is a yes; what it made it names by an id alone."""
        rows = json_of(reply)
        if isinstance(rows, str):
            return ID.fullmatch(rows) is not None
        if not isinstance(rows, list):
            return super().affirms(reply)
        return not rows or any(isinstance(row, dict) and not self.marks.isdisjoint(row) for row in rows)

    def held(self, place: str, address: str) -> Member | None:
        """The record, or None for the documented "not in list". Another list's id would be 401 code 101. Raises."""
        # whether capitals matter to the vendor is not documented: both spellings are asked before "no" is believed
        for spelling in dict.fromkeys((address, address.lower())):
            reply = self.about("GET", "/subscribers/{id}", place, {"email": spelling})
            if self.no(reply, NOT_IN_LIST) is None:
                return member_in(self.content(reply, dict), spelling)
        return None

    def fields_of(self, place: str) -> Mapping[str, records.Field]:
        """Each custom field of a list, by name and by tag; asked for once. Raises `Ended`."""
        if place not in self.fields:
            self.fields[place] = fields_in(self.content(self.about("GET", "/lists/{id}/customfields", place), list))
        return self.fields[place]

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


def named(rows: list[object], id_name: str, title: str) -> dict[str, str]:
    """What each row calls itself, by its id. Raises `Ended`."""
    found: dict[str, str] = {}
    for row in rows:
        if not isinstance(row, dict) or not ID.fullmatch(str(row.get(id_name))):
            raise unreadable()
        found[str(row[id_name])] = str(row.get(title, ""))
    return found
