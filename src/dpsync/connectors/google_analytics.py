"""Google Analytics User Deletion API: queues the deletion of one identifier in one property, and shows nothing.

An identifier that it never saw is accepted like any other, so an acceptance is all that can ever be said.
"""

import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import product
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Self
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from dpsync.connector import (
    Accepted,
    Account,
    CannotTell,
    Capability,
    Connector,
    Finding,
    Instruction,
    Kit,
    Means,
    NotIdentifiable,
    Outcome,
    Reply,
    Retryable,
)
from dpsync.connector_services import NoAnswer
from dpsync.errors import UnsupportedRight
from dpsync.http import api_root, demand_own_address, json_of, retry_after
from dpsync.model import Right
from dpsync.vendor.calls import Calls, Secret
from dpsync.vendor.errors import BUSY, UNDOCUMENTED, Ended, refused, unreadable
from dpsync.vendor.outcomes import together

_API: Final = "https://www.googleapis.com"
_TOKENS: Final = "https://oauth2.googleapis.com"
_SCOPE: Final = "https://www.googleapis.com/auth/analytics.user.deletion"
_UPSERT: Final = "/analytics/v3/userDeletion/userDeletionRequests:upsert"
_ID = re.compile(r"[!-~]{1,256}")
# What the site's own code and its tag write (Google's page "Cookies and user identification" and gtag.js, read in
# November 2026): `_ga` is GA1.<parts of the domain>[-<parts of the path>].<client id>, `_ga_<stream>` a session.
_COOKIE = re.compile(r"(?:_ga ?[=:] ?)?GA[0-9]+\.[0-9]+(?:-[0-9]+)?\.(.*?);?")
_CLIENT = re.compile(r"[0-9]{1,10}\.[0-9]{1,10}|amp-[\w-]{16,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_A_DAY: Final = 500  # queries, of the calling project and of each property
_PACE: Final = 0.7  # seconds between two calls to one property, of which 1.5 a second are allowed
_PACIFIC: Final = ZoneInfo("America/Los_Angeles")  # Google's days; this interface's page does not say which it counts
# It leaves the report on one user within 72 hours, and the servers with the next run, about every two months. Before
# that the person's right is not carried out, so that is the date from which somebody is asked to look and attest it:
# whoever looks earlier sees the report alone.
_CARRIED_OUT: Final = timedelta(days=62)

DAY_SPENT: Final = "the queries of a day are used up"
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


class GoogleAnalyticsSettings(BaseModel):
    """An OAuth client, and the refresh token by which somebody who may edit the properties let it delete users.

    `properties`: the numbers of the Analytics 4 properties. `user_id`: the site sends the subject's id as its USER_ID.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

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


class _Calls(Calls):
    """The calls of one instruction: deletions asked for, and the tokens for them."""

    def speaks(self, reply: Reply) -> bool:
        """As Google's interfaces say it; at the token call as OAuth does."""
        match json_of(reply):
            case {"error": {"code": int()}}:
                return True
        return reply.evidence.endpoint == "POST /token" and self.shaped(reply, error=str)

    def post(self, base: str, path: str, headers: Mapping[str, str], body: bytes, scope: str = "") -> Reply:
        """Make one call; a 200, 400 or 401 is left to the caller. Raises `Ended`, `CredentialsRejected`."""
        asking = path == _UPSERT  # a call for a token changes nothing there
        try:
            reply = self.call("POST", base + path, template=path, headers=headers, body=body, scope=scope)
        except NoAnswer as failure:
            raise Ended(Retryable(reason=failure.reason, doubtful=asking and failure.sent)) from None
        self.note_touch(reply, writing=asking)
        self.demand_own(reply, writing=asking, counts=asking)  # tokens come from another host
        now, reason = self._kit.clock.now(), _reason(reply).lower()
        wait = retry_after(reply, now)
        limited = "limit" in reason or "quota" in reason
        if limited and wait is None and not reason.endswith("ratelimitexceeded"):
            wait = _until_tomorrow(now)
        if reply.status == 403 and limited:
            raise Ended(Retryable(reason=BUSY, busy=True, retry_after=wait))
        if reply.status == 403:
            raise self.rejected(reply, NO_RIGHT if asking else "")
        self.demand_sense(reply, writing=asking, wait=wait)
        if 200 < reply.status < 300:
            raise unreadable(doubtful=asking)
        if reply.status not in (200, 400, 401):
            raise refused()
        return reply


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


def _until_tomorrow(now: datetime) -> timedelta:
    midnight = (now.astimezone(_PACIFIC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - now


class GoogleAnalytics(Connector):
    """Asks for deletions, keeps the first answer to each as proof, and claims no more."""

    name: ClassVar[str] = "google_analytics"
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
        self._settings = settings
        self._kit = kit
        self._sleep = sleep
        self._token = ("", -math.inf)
        self._next: dict[str, float] = {}

    @classmethod
    def from_settings(cls, section: BaseModel, kit: Kit) -> Self:
        """Build it; opens no connection. Raises `ConfigurationError` for a `base_url` outside a rehearsal."""
        settings = GoogleAnalyticsSettings.model_validate(section.model_dump())
        demand_own_address(kit, "Google", own=settings.base_url is None)
        return cls(settings, kit)

    def probe(self) -> Account:
        """Whether the token may delete users, by its scope: a deletion to try it out would be one.

        Raises `CredentialsRejected` and `ProcessorUnreachable`.
        """
        calls = _Calls(self._kit, None)
        try:
            self._renewed(calls)
        except Ended as end:
            raise calls.unreachable("Google Analytics", end) from None
        held = self._settings.properties
        return Account(
            title=f"Google Analytics, {len(held)} {'property' if len(held) == 1 else 'properties'}",
            contacts=None,
            lists=held,
        )

    def carry_out(self, instruction: Instruction) -> Outcome:
        """Ask once for each id and property; what was answered in an earlier attempt is not asked again.

        Raises `CredentialsRejected`, and `UnsupportedRight` before any call.
        """
        self._demand(instruction.right)
        ids = list(dict.fromkeys(self._ids(instruction)))
        if not ids:
            return NotIdentifiable(reason=NO_ID)
        if faults := [fault for one in ids if (fault := _fault(*one))]:
            # All or none: where a part of what is known was deleted, nobody would look for the rest.
            kept = f"{len(ids) - len(faults)} of {len(ids)} ids can be used, and nothing is sent before all can be"
            usable = [kept] if len(faults) < len(ids) else []
            return NotIdentifiable(reason="; ".join([*dict.fromkeys(faults), *usable]))
        calls = _Calls(self._kit, instruction)
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
        self._demand(instruction.right)
        return CannotTell(reason="Google Analytics lets nobody read back what was deleted")

    def _demand(self, right: Right) -> None:
        if right not in self.capabilities:
            raise UnsupportedRight(f"Google Analytics was asked for a right that it does not declare: {right}")

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
        """One request, with a new token where the old one is over or was ended early."""
        sent = {"kind": "analytics#userDeletionRequest", "id": {"type": kind, "userId": value}, "propertyId": place}
        token, ends = self._token
        kept = self._kit.clock.monotonic() < ends
        reply = self._sent(calls, place, sent, token if kept else self._renewed(calls))
        return self._sent(calls, place, sent, self._renewed(calls)) if kept and reply.status == 401 else reply

    def _sent(self, calls: _Calls, place: str, sent: Mapping[str, object], token: str) -> Reply:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._pace(place)
        body = json.dumps(sent).encode()
        return calls.post(self._settings.base_url or _API, _UPSERT, headers, body, place)

    def _renewed(self, calls: _Calls) -> str:
        """A new access token, whose scope must be the one that deletes. Raises `Ended`, `CredentialsRejected`."""
        s = self._settings
        form = {
            "grant_type": "refresh_token",
            "client_id": s.client_id,
            "client_secret": s.client_secret.get_secret_value(),
            "refresh_token": s.refresh_token.get_secret_value(),
        }
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        reply = calls.post(s.base_url or _TOKENS, "/token", kind, urlencode(form).encode())
        match json_of(reply):
            case {"error": str()} if reply.status == 400:
                raise calls.rejected(reply)
            case {"access_token": str(token), "expires_in": int(seconds), "scope": str(scope)} if reply.status == 200:
                if _SCOPE not in scope.split():
                    raise calls.rejected(reply)
                # a minute early: a token must not end under way
                self._token = (token, self._kit.clock.monotonic() + seconds - 60)
                return token
        if reply.status == 401:
            raise calls.rejected(reply)
        if reply.status == 400:
            raise refused()
        raise unreadable()

    def _pace(self, place: str) -> None:
        """Keep the vendor's pace, and count the day. Raises `Ended`."""
        now = self._kit.clock.now()
        today = now.astimezone(_PACIFIC).date().isoformat()
        counts = {key: self._used(key, today) for key in ("day/project", f"day/{place}")}
        if max(counts.values()) >= _A_DAY:
            raise Ended(Retryable(reason=DAY_SPENT, busy=True, retry_after=_until_tomorrow(now)))
        self._kit.shelf.put_all({key: f"{today} {used + 1}" for key, used in counts.items()})
        wait = self._next.get(place, -math.inf) - self._kit.clock.monotonic()
        if wait > 0:
            self._sleep(wait)
        self._next[place] = self._kit.clock.monotonic() + _PACE

    def _used(self, key: str, today: str) -> int:
        day, _, used = (self._kit.shelf.get(key) or "").partition(" ")
        return int(used) if day == today else 0


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
