"""Google Analytics User Deletion API: queues the deletion of one identifier in one property, and shows nothing.

An identifier that it never saw is accepted like any other, so an acceptance is all that can ever be said.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import product
from types import MappingProxyType
from typing import Annotated, ClassVar, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, Field

from dpsync.connector import (
    Accepted,
    Account,
    CannotTell,
    Capability,
    Finding,
    Instruction,
    Kit,
    Means,
    NotIdentifiable,
    Outcome,
    Reply,
    Retryable,
)
from dpsync.http import api_root, json_of, retry_after
from dpsync.model import Right
from dpsync.vendor.calls import Secret
from dpsync.vendor.connector import HttpConnector, VendorSettings
from dpsync.vendor.errors import BUSY, UNDOCUMENTED, Ended, refused, unreadable
from dpsync.vendor.outcomes import together
from dpsync.vendor.pace import Pace, until_tomorrow
from dpsync.vendor.token import RenewableToken, Token, TokenCall, TokenCalls, token_in

_API: Final = "https://www.googleapis.com"
_TOKENS: Final = "https://oauth2.googleapis.com"
_TOKEN: Final = "/token"
_SCOPE: Final = "https://www.googleapis.com/auth/analytics.user.deletion"
_UPSERT: Final = "/analytics/v3/userDeletion/userDeletionRequests:upsert"
_ID = re.compile(r"[!-~]{1,256}")
# What the site's own code and its tag write (Google's page "Cookies and user identification" and gtag.js, read in
# November 2026): `_ga` is GA1.<parts of the domain>[-<parts of the path>].<client id>, `_ga_<stream>` a session.
_COOKIE = re.compile(r"(?:_ga ?[=:] ?)?GA[0-9]+\.[0-9]+(?:-[0-9]+)?\.(.*?);?")
_CLIENT = re.compile(r"[0-9]{1,10}\.[0-9]{1,10}|amp-[\w-]{16,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_A_DAY: Final = 500  # queries, of the calling project and of each property
_GAP: Final = 0.7  # seconds between two calls to one property, of which 1.5 a second are allowed
_PACIFIC: Final = ZoneInfo("America/Los_Angeles")
# It leaves the report on one user within 72 hours, and the servers with the next run, about every two months. Before
# that the person's right is not carried out, so that is the date from which somebody is asked to look and attest it:
# whoever looks earlier sees the report alone.
_CARRIED_OUT: Final = timedelta(days=62)

WRONG: Final = "the processor does not know the property, or the kind of id"
NO_RIGHT: Final = "who gave the refresh token may not delete users in this property, or it is there no longer"
NO_ID: Final = "Google Analytics knows people by the ids of its own cookies and apps, and none is known"
BAD_ID: Final = "an id that was given is none of Google Analytics, or names a kind that it does not have"
UNSET: Final = "an id that was given says that there was none (such as undefined, denied or only noughts)"
TEMPLATE: Final = "an id that was given is a place that nobody filled in (such as {{user_id}})"
ENCODED: Final = "an id that was given is percent-encoded (%2E is a full stop): send it as it was before"
ADDRESS: Final = "an id that was given is an e-mail address, which Google Analytics does not know people by"
SESSION: Final = "an id that was given is a session cookie (_ga_...): the client id stands in the cookie _ga"
OTHER_COOKIE: Final = "an id that was given is another cookie than _ga, in which the client id stands"
OWN: Final = "an id that was given is that of the site's own property or tag, not of a visitor"
SEVERAL: Final = "an id that was given is several in one: send each for itself"
SHORTENED: Final = "an id that was given lacks its last digits, as a spreadsheet leaves it: send it as text"
UNKNOWN_FORM: Final = "an id that was given is none that Google makes: before one of the site's own write CLIENT_ID:"
NO_APP: Final = "an id that was given after APP_INSTANCE_ID: is not of hexadecimal digits"

_NO_WORD: Final = (
    r"undefined|null|none|nil|nan|true|false|0|-1|unset|unknown|empty|not.?set|not.?provided|n/a|object(?: \w+)?|"
    r"denied|redacted|"
    "deleted|removed|hidden|consent|no.?consent|opt.?out|opted.?out|infinity|guest|anon|anonymous|anonymi[sz]ed|not.?logged.?in|logged.?out"
)
# Figures between braces are an id (a GUID is often written so); words alone are the name of a place to fill in.
_PLACE: Final = (
    r".*(?:\{\{|\$\{|<%|\{%|\*\||\}\}).*|[\[<({]+[a-z_. -]+[\])>}]+|"
    r"([%@#]+|__+)[a-z_]+(?:[%@#]+|__+)|%[sd]|[$:][a-z_]+|"
    r"(?:your.?|ga)?(?:user|client|visitor|member|customer).?id(?:.here)?|cid|"
    # of an example: one figure over and over, or all in their order
    r"(?:([0-9])\2{4,}|123456789?0?)\.(?:([0-9])\3{4,}|123456789?0?)"
)
_NOT_THEIRS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (UNSET, re.compile(rf"(?:amp-)?[\W_0]*|[\W_]*(?:{_NO_WORD})(?:[\W_]+(?:{_NO_WORD}))*[\W_]*", re.IGNORECASE)),
    (TEMPLATE, re.compile(_PLACE, re.IGNORECASE | re.DOTALL)),
    (BAD_ID, re.compile(r"(?:CLIENT|USER|APP_INSTANCE)_ID:.*", re.IGNORECASE | re.DOTALL)),
    (SEVERAL, re.compile(r".*[0-9]{6,10}\.[0-9]{10}.*[0-9]{6,10}\.[0-9]{10}.*", re.DOTALL)),
    (ADDRESS, re.compile(r".*(?:@|%40).*", re.DOTALL)),
    (ENCODED, re.compile(r".*%[0-9A-F]{2}.*", re.IGNORECASE | re.DOTALL)),
    (SESSION, re.compile(r"_ga_.*|GS[0-9]+\..*", re.DOTALL)),
    (OTHER_COOKIE, re.compile(r"GA[0-9]+\..*|_(?:g[a-z]+|fb[pc])[\w.-]*=.*|fb\.[0-9]\..*|FPID[0-9].*", re.DOTALL)),
)
_NO_CLIENTS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (UNSET, re.compile(rf"[0-9]+\.(?=[a-z])(?:{_NO_WORD})|(?=[a-z])(?:{_NO_WORD})\.[0-9]+", re.IGNORECASE)),
    (OTHER_COOKIE, re.compile(r"_.*|FPLC.*|[0-9]+(?:\.[0-9]+){2,}|.*[=;$,].*", re.DOTALL)),
    (UNKNOWN_FORM, re.compile(r"\.[0-9.]*|[0-9]+\.|[0-9.]*\.\.[0-9.]*|[0-9]{11,}\.[0-9]+|[0-9]+\.[0-9]{11,}")),
    (OWN, re.compile(r"(?:G|GT|GTM|AW|DC|UA)-[0-9A-Z]{4,}(?:-[0-9]+)?", re.IGNORECASE)),
    (SHORTENED, re.compile(r"[0-9]{8,10}\.[0-9]{1,9}|[0-9.]+e\+?[0-9]+", re.IGNORECASE)),
)
"""What would be accepted there like any id, and would delete nobody; the second only where a client id is meant."""


def _property(written: str) -> str:
    if written.upper().startswith("UA-"):
        raise ValueError("is a Universal Analytics property: its interface ended in July 2024")
    if not re.fullmatch(r"[0-9]{1,20}", written):
        raise ValueError("must be the number of a Google Analytics 4 property")
    return written


class GoogleAnalyticsSettings(VendorSettings):
    """An OAuth client, and the refresh token by which somebody who may edit the properties let it delete users.

    `properties`: the numbers of the Analytics 4 properties. `user_id`: the site sends the subject's id as its USER_ID.
    """

    client_id: str = Field(pattern=r"^[!-~]{1,256}$")
    client_secret: Secret
    refresh_token: Secret
    properties: tuple[Annotated[str, AfterValidator(_property)], ...] = Field(min_length=1, max_length=100)
    user_id: bool = False
    base_url: Annotated[str, AfterValidator(api_root)] | None = None


def _reason(reply: Reply) -> str:
    """Why it said no; which words it has for a used-up quota is not documented for this interface."""
    match json_of(reply):
        case {"error": {"errors": [{"reason": str(reason)}, *_]}}:
            return reason
    return ""


class _Calls(TokenCalls):
    """The calls of one instruction: deletions asked for, and the tokens for them."""

    def speaks(self, reply: Reply) -> bool:
        """As Google's interfaces say it; at the token call as OAuth does."""
        match json_of(reply):
            case {"error": {"code": int()}}:
                return True
        return reply.evidence.endpoint == f"POST {_TOKEN}" and self.shaped(reply, error=str)

    def ask_for(self, url: str, token: str, body: bytes, scope: str) -> Reply:
        """Ask for a deletion; a 200, 400 or 401 is left to the caller. Raises `Ended`, `CredentialsRejected`."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        reply = self.ask("POST", url, template=_UPSERT, headers=headers, body=body, scope=scope)
        self._passable(reply, asking=True)
        return reply

    def granted(self, reply: Reply) -> Token:
        """A token whose scope is the one that deletes. Raises `Ended`, `CredentialsRejected`."""
        self.demand_own(reply, writing=False, counts=False)  # of another host than the deletions
        self._passable(reply, asking=False)
        match json_of(reply):
            case {"error": str()} if reply.status == 400:
                raise self.rejected(reply)
            case {"scope": str(scope)} if reply.status == 200:
                if _SCOPE not in scope.split():
                    raise self.rejected(reply)
                return token_in(reply, self._kit.clock.now())
        if reply.status == 401:
            raise self.rejected(reply)
        raise refused() if reply.status == 400 else unreadable()

    def _passable(self, reply: Reply, *, asking: bool) -> None:
        now, reason = self._kit.clock.now(), _reason(reply).lower()
        wait = retry_after(reply, now)
        limited = "limit" in reason or "quota" in reason
        if limited and wait is None and not reason.endswith("ratelimitexceeded"):
            wait = until_tomorrow(now, _PACIFIC)
        if reply.status == 403 and limited:
            raise Ended(Retryable(reason=BUSY, busy=True, retry_after=wait))
        if reply.status == 403:
            raise self.rejected(reply, NO_RIGHT if asking else "")
        self.demand_sense(reply, writing=asking, wait=wait)
        if 200 < reply.status < 300:
            raise unreadable(doubtful=asking)
        if reply.status not in (200, 400, 401):
            raise refused()


def _fault(kind: str, value: str) -> str:
    """Why this cannot be what Google stores, "" where it can."""
    for reason, form in (*_NOT_THEIRS, *(_NO_CLIENTS if kind in ("CLIENT_ID", "") else ())):
        if form.fullmatch(value):
            return reason
    if not _ID.fullmatch(value):
        return BAD_ID
    match kind:
        case "CLIENT_ID" | "USER_ID":
            return ""
        case "APP_INSTANCE_ID":
            return "" if re.fullmatch(r"[0-9A-Fa-f]{4,64}", value) else NO_APP
        case "":
            return UNKNOWN_FORM
    return BAD_ID


class GoogleAnalytics(HttpConnector[GoogleAnalyticsSettings, _Calls]):
    """Asks for deletions, keeps the first answer to each as proof, and claims no more."""

    name: ClassVar[str] = "google_analytics"
    vendor: ClassVar[str] = "Google Analytics"
    address: ClassVar[str] = ""  # of two hosts, which one `base_url` replaces
    Settings: ClassVar[type[BaseModel]] = GoogleAnalyticsSettings
    max_inflight: ClassVar[int] = 1
    """One at a time keeps the pace of each property."""

    capabilities: ClassVar[Mapping[Right, Capability]] = MappingProxyType(
        {
            Right.ERASURE: Capability(
                means=Means.API,
                effect="For each of the person's client, user and app ids that we are told, and in each property, the "
                "deletion of what was collected until that moment is queued: out of the report on one user within 72 "
                "hours, off the servers about two months later.",
                limits="An id that Google never saw is accepted as well, and nothing can be looked up. What was "
                "aggregated in reports already, BigQuery and other exports are not reached. Whoever visits again is "
                "collected anew: this is no opt-out, which only the site's own consent settings can bring about.",
                verified_by="",
                source="Google Analytics guide, reference and quotas of user deletion, and discovery document "
                "analytics.v3 of 7 August 2019, as read in November 2026",
            )
        }
    )

    def __init__(
        self, settings: GoogleAnalyticsSettings, kit: Kit, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__(settings, kit)
        # the days are Google's; which it counts, this interface's page does not say
        self._pace = Pace(kit, gap=_GAP, a_day=_A_DAY, zone=_PACIFIC, sleep=sleep)
        refresh = settings.refresh_token.get_secret_value()
        secret = settings.client_secret.get_secret_value()
        form = {"grant_type": "refresh_token", "client_id": settings.client_id, "client_secret": secret}
        # the refresh token stays good, so it is a part of the form like any other
        call = TokenCall((self.base or _TOKENS) + _TOKEN, _TOKEN, {**form, "refresh_token": refresh})
        self._token = RenewableToken(kit, f"token/{kit.pseudonym(refresh)}", call)

    def calls(self, order: Instruction | None) -> _Calls:
        """Deletions, and the tokens for them."""
        return _Calls(self._kit, order)

    def account(self, calls: _Calls) -> Account:
        """Whether the token may delete users, by its scope: a deletion to try it out would be one."""
        self._token.renewed(calls)
        held = self._settings.properties
        properties = "property" if len(held) == 1 else "properties"
        return Account(title=f"Google Analytics, {len(held)} {properties}", contacts=None, lists=held)

    def carry_out(self, instruction: Instruction) -> Outcome:
        """Ask once for each id and property; what was answered in an earlier attempt is not asked again.

        Raises `CredentialsRejected`, and `UnsupportedRight` before any call.
        """
        self.demand_declared(instruction.right)
        ids = list(dict.fromkeys(self._ids(instruction)))
        if not ids:
            return NotIdentifiable(reason=NO_ID)
        if faults := [fault for one in ids if (fault := _fault(*one))]:
            # All or none: where a part of what is known was deleted, nobody would look for the rest.
            kept = f"{len(ids) - len(faults)} of {len(ids)} ids can be used, and nothing is sent before all can be"
            usable = [kept] if len(faults) < len(ids) else []
            return NotIdentifiable(reason="; ".join([*dict.fromkeys(faults), *usable]))
        calls = self.calls(instruction)
        latest, ended = self._kit.clock.now(), []
        for place, (kind, value) in product(self._settings.properties, ids):
            try:
                latest = max(latest, self._ask(calls, instruction.reference, place, kind, value))
            except Ended as end:
                ended.append(end.outcome)
                if isinstance(end.outcome, Retryable):
                    break
        if ended:
            return together(ended, calls.kept, touched=calls.touched)
        return Accepted(evidence=calls.kept, answer_by=latest + _CARRIED_OUT)

    def verify(self, instruction: Instruction) -> Finding:
        """Always `CannotTell`, without a call: there is none that reads. A person may look, and attest it."""
        self.demand_declared(instruction.right)
        return CannotTell(reason="Google Analytics lets nobody read back what was deleted")

    def _ids(self, order: Instruction) -> Iterator[tuple[str, str]]:
        """Kind and value: `references` hold `CLIENT_ID:…`, `USER_ID:…`, `APP_INSTANCE_ID:…`, or a bare client id.

        A whole `_ga` cookie is its client id. The kind of a bare one is "": only what Google makes is taken for one.
        """
        for reference in order.references.get(self.name, ()):
            kind, colon, value = reference.strip().partition(":")
            kind, value = (kind, value.strip()) if colon and kind.strip() != "_ga" else ("", reference.strip())
            cookie = _COOKIE.fullmatch(value) if kind in ("", "CLIENT_ID") else None
            value = cookie[1] if cookie else value
            # in a cookie too a site may name its visitors itself, though hardly by figures alone
            theirs = _CLIENT.fullmatch(value) or (cookie and re.search(r"[^0-9.]", value))
            yield ("CLIENT_ID" if theirs else "") if kind == "" or cookie else kind, value
        if self._settings.user_id and order.subject_id:
            yield "USER_ID", order.subject_id

    def _ask(self, calls: _Calls, reference: str, place: str, kind: str, value: str) -> datetime:
        """Until when Google deletes what it collected. Raises `Ended`, `CredentialsRejected`."""
        key = f"asked/{reference}/{place}/{self._kit.pseudonym(f'{kind}:{value}')}"
        first = self._kit.shelf.get(key)
        if first is not None:
            return datetime.fromisoformat(first)  # asked again, the moment would move on and the first proof be lost
        reply = self._upsert(calls, place, kind, value)
        if reply.status == 401:
            raise calls.rejected(reply)
        if reply.status != 200:
            raise refused(WRONG if _reason(reply) else UNDOCUMENTED)
        until = _queued(reply, place, kind, value)
        if until is None:
            raise unreadable(doubtful=True)
        self._kit.shelf.put(key, until.isoformat())
        return until

    def _upsert(self, calls: _Calls, place: str, kind: str, value: str) -> Reply:
        """One request, and again with a new token where one that was good is over or was ended early."""
        sent = {"kind": "analytics#userDeletionRequest", "id": {"type": kind, "userId": value}, "propertyId": place}
        url, body, good = (self.base or _API) + _UPSERT, json.dumps(sent).encode(), self._token.lasts()
        token = self._token.access(calls)
        self._pace.take(place, "project")
        reply = calls.ask_for(url, token, body, place)
        if not good or reply.status != 401:
            return reply
        token = self._token.access(calls, refused=token)
        self._pace.take(place, "project")
        return calls.ask_for(url, token, body, place)


def _queued(reply: Reply, place: str, kind: str, value: str) -> datetime | None:
    """The moment up to which data is deleted, None where the answer is not the one to this request."""
    found = json_of(reply)
    if not isinstance(found, dict) or found.get("id") != {"type": kind, "userId": value}:
        return None
    if found.get("propertyId") != place:
        return None
    try:
        until = datetime.fromisoformat(str(found.get("deletionRequestTime")))
    except ValueError:
        return None
    return until if until.tzinfo is not None else None
