"""Google Analytics' user deletion on loopback: one call, which takes every identifier and only queues it.

Source: the vendor notes. An unknown identifier is answered like a known one; a repetition moves the time forward.
Deletion follows the vendor's clock: hidden after 72 hours, gone after some two months. The limit of 1.5 calls a second
is not imitated, because it is about traffic and would make every test wait.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import ClassVar

from dpsync.sandbox.api import Api
from dpsync.sandbox.asked import Answer, Asked, Change, Json, Table, made_id
from dpsync.sandbox.google_analytics.filling import GoogleAnalyticsSection, GoogleAnalyticsSwitches, PersonActs
from dpsync.sandbox.routes import compiled
from dpsync.sandbox.vendor import Refusal

UPSERT = "/analytics/v3/userDeletion/userDeletionRequests:upsert"
SCOPE = "https://www.googleapis.com/auth/analytics.user.deletion"
KIND = "analytics#userDeletionRequest"
KINDS = ("CLIENT_ID", "USER_ID", "APP_INSTANCE_ID")
LIVES = 3_599
QUOTA = 500
HIDDEN_AFTER = timedelta(hours=72)
GONE_AFTER = timedelta(days=61)


class No(Refusal):
    """A no of the API, with its status and reason in words."""

    def __init__(self, code: int, status: str, reason: str, message: str) -> None:
        super().__init__(code, message)
        self.word, self.reason = status, reason


@dataclass(slots=True)
class Token:
    """One access token."""

    client: str
    scope: str
    until: datetime


@dataclass(slots=True)
class Visitor:
    """What a property has of one identifier. `seen`: the last measurement; `asked`: the last deletion request."""

    property_id: str
    user_id: str
    seen: datetime
    asked: datetime | None = None

    def state(self, now: datetime) -> str | None:
        """ "collected", "queued", "hidden"; None where nothing is left."""
        if self.asked is None or self.seen > self.asked:
            return "collected"
        if now < self.asked + HIDDEN_AFTER:
            return "queued"
        return "hidden" if now < self.asked + GONE_AFTER else None


@dataclass(slots=True)
class Held:
    """Refresh tokens, which are good for ever, with their secret, by client; access tokens; visitors."""

    apps: dict[str, tuple[str, str]] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    visitors: dict[tuple[str, str], Visitor] = field(default_factory=dict)


class GoogleAnalyticsAsked(Asked[Held, GoogleAnalyticsSwitches]):
    """One call."""

    __slots__ = ()

    def token(self, name: str) -> Token | None:
        """The access token of that name while it lives."""
        found = self.held.tokens.get(name)
        return found if found is not None and self.now < found.until else None


def exchange(asked: GoogleAnalyticsAsked) -> Answer:
    """A refresh token for an access token."""
    form = asked.form
    client = form.get("client_id", "")
    if asked.held.apps.get(client) != (form.get("client_secret"), form.get("refresh_token")):
        return Answer(400, {"error": "invalid_grant", "error_description": "Bad Request"})
    if form.get("grant_type") != "refresh_token":
        return Answer(400, {"error": "unsupported_grant_type", "error_description": "Invalid grant_type"})
    name = made_id(client, len(asked.held.tokens))
    scope = "openid" if asked.switches.without_scope else SCOPE
    asked.held.tokens[name] = Token(client, scope, asked.now + timedelta(seconds=LIVES))
    return Answer(200, {"access_token": name, "expires_in": LIVES, "scope": scope, "token_type": "Bearer"})


def info(asked: GoogleAnalyticsAsked) -> Answer:
    """What an access token opens, and for how long."""
    token = asked.token(asked.query.get("access_token", ""))
    if token is None:
        return Answer(400, {"error": "invalid_token", "error_description": "Invalid Value"})
    left = int((token.until - asked.now).total_seconds())
    return Answer(200, {"aud": token.client, "azp": token.client, "scope": token.scope, "expires_in": str(left)})


def upsert(asked: GoogleAnalyticsAsked) -> Answer:
    """Queues the deletion of whatever identifier it is given."""
    who, place = checked(asked)
    visitor = asked.held.visitors.setdefault((place, who["userId"]), Visitor(place, who["userId"], asked.now))
    visitor.asked = asked.now
    at = asked.now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = {"kind": KIND, "id": dict(who), "propertyId": place, "deletionRequestTime": at}
    return Answer(200, body, (Change("queued", place, who["userId"]),))


def checked(asked: GoogleAnalyticsAsked) -> tuple[dict[str, str], str]:
    """(identifier, property) of a deletion request. Raises `No`."""
    if not isinstance(asked.said, dict):
        raise No(400, "INVALID_ARGUMENT", "parseError", "Parse Error")
    token = asked.token(asked.bearer)
    if token is None:
        raise No(401, "UNAUTHENTICATED", "authError", "Request had invalid authentication credentials.")
    if SCOPE not in token.scope.split():
        raise No(403, "PERMISSION_DENIED", "insufficientPermissions", "Insufficient authentication scopes.")
    who, place = asked.body.get("id"), asked.body.get("propertyId")
    if not isinstance(who, dict) or who.get("type") not in KINDS or not isinstance(who.get("userId"), str):
        raise No(400, "INVALID_ARGUMENT", "badRequest", "Invalid value for id")
    # Universal Analytics has ended: a UA- property is as wrong as none.
    if not isinstance(place, str) or not place.isdigit():
        raise No(400, "INVALID_ARGUMENT", "badRequest", "Invalid value for propertyId")
    if place in (asked.switches.refused_properties or ()):
        raise No(403, "PERMISSION_DENIED", "forbidden", "User does not have sufficient permissions for this property.")
    return who, place


ROUTES: Table = {"/token": {"POST": exchange}, "/tokeninfo": {"GET": info}, UPSERT: {"POST": upsert}}


@dataclass(slots=True)
class GoogleAnalytics(Api[GoogleAnalyticsAsked]):
    """The vendor: its tokens, its visitors and the day's counts, which no fault takes back."""

    routes = compiled(ROUTES)
    asks = GoogleAnalyticsAsked
    json_type: ClassVar[str] = "application/json; charset=UTF-8"

    held: Held = field(default_factory=Held)
    switches: GoogleAnalyticsSwitches = field(default_factory=GoogleAnalyticsSwitches)
    used: Counter[tuple[date, str]] = field(default_factory=Counter)

    def open_app(self, client: str, secret: str, refresh: str) -> None:
        """Lets a client's refresh token, which is good for ever, open the account."""
        self.held.apps[client] = (secret, refresh)

    def fill(self, section: GoogleAnalyticsSection) -> None:
        """Adds what a scenario says."""
        for one in section.visitors:
            self.held.visitors[one.property_id, one.user_id] = Visitor(one.property_id, one.user_id, self.now())
        self.set_up(section)

    def act(self, **asked: object) -> int:
        """A visitor comes back; see PersonActs."""
        wanted = PersonActs.model_validate(asked)
        key = (wanted.property_id, wanted.address)
        self.held.visitors.setdefault(key, Visitor(*key, self.now())).seen = self.now()
        return 1

    def holds(self, address: str) -> list[tuple[str, str]]:
        """(property, state) wherever the identifier is; a person's email address is nowhere."""
        found = [one for one in self.held.visitors.values() if one.user_id == address]
        return [(one.property_id, state) for one in found if (state := one.state(self.now())) is not None]

    def reset(self) -> None:
        """Empties visitors, counts, faults and switches; apps stay."""
        self.held.visitors.clear()
        self.used.clear()
        self.forget_counts()

    def whose(self, asked: GoogleAnalyticsAsked) -> str:
        """The app's, where a deletion is asked for; nobody is turned away at the door."""
        token = asked.token(asked.bearer) if asked.template == UPSERT else None
        return token.client if token else ""

    def admit(self, asked: GoogleAnalyticsAsked) -> None:
        """Counts a deletion request that is right. Raises `No` above the day's quota."""
        if asked.template != UPSERT or asked.method != "POST":
            return
        _, place = checked(asked)
        limit = QUOTA if self.switches.daily_quota is None else self.switches.daily_quota
        for name in (f"project {asked.account}", f"property {place}"):
            self.used[asked.now.date(), name] += 1
            if self.used[asked.now.date(), name] > limit:
                code = self.switches.quota_status or 403
                status = {403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED"}[code]
                raise No(code, status, "dailyLimitExceeded", "Quota exceeded.")

    def check(self, _: GoogleAnalyticsAsked) -> None:
        """A body may be a form; what else is wrong with it is said after the quota was counted."""

    def nothing_there(self, _: GoogleAnalyticsAsked) -> No:
        """A 404, of a method as of a path."""
        return No(404, "NOT_FOUND", "notFound", "Not Found")

    def trouble(self, _: GoogleAnalyticsAsked, status: int) -> No:
        """As any error of its backend."""
        words = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
        return No(status, words.get(status, "UNAVAILABLE"), "backendError", "Backend Error")

    def envelope(self, _: GoogleAnalyticsAsked, no: No) -> Json:
        """As all of Google's interfaces."""
        one = {"message": no.message, "domain": "global", "reason": no.reason}
        return {"error": {"code": no.status, "message": no.message, "status": no.word, "errors": [one]}}
