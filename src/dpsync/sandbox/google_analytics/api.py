"""Google Analytics' user deletion on loopback: one call, which takes every identifier and only queues it.

Source: the vendor notes. An unknown identifier is answered like a known one; a repetition moves the time forward.
Deletion follows the vendor's clock: hidden after 72 hours, gone after some two months. The limit of 1.5 calls a second
is not imitated, because it is about traffic and would make every test wait.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from dpsync.sandbox.fault_replies import Reply, Wire
from dpsync.sandbox.faults import Target
from dpsync.sandbox.google_analytics.filling import GoogleAnalyticsSection, GoogleAnalyticsSwitches, PersonActs
from dpsync.sandbox.journal import Call, Effect
from dpsync.sandbox.vendor import Unwilling, Vendor

UPSERT = "/analytics/v3/userDeletion/userDeletionRequests:upsert"
TOKEN = "/token"
TOKENINFO = "/tokeninfo"
SCOPE = "https://www.googleapis.com/auth/analytics.user.deletion"
KIND = "analytics#userDeletionRequest"
KINDS = ("CLIENT_ID", "USER_ID", "APP_INSTANCE_ID")
LIVES = 3_599
QUOTA = 500
HIDDEN_AFTER = timedelta(hours=72)
GONE_AFTER = timedelta(days=61)


class Refusal(Unwilling):
    """A no: HTTP code, status and reason."""

    def __init__(self, code: int, status: str, reason: str, message: str) -> None:
        self.code, self.status, self.reason, self.message = code, status, reason, message
        super().__init__(message)


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
class GoogleAnalytics(Vendor):
    """The vendor: an ASGI application with its tokens, its visitors and the day's counts."""

    apps: dict[str, tuple[str, str]] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    visitors: dict[tuple[str, str], Visitor] = field(default_factory=dict)
    used: Counter[tuple[date, str]] = field(default_factory=Counter)
    switches: GoogleAnalyticsSwitches = field(default_factory=GoogleAnalyticsSwitches)

    def open_app(self, client: str, secret: str, refresh: str) -> None:
        """Lets a client's refresh token, which is good for ever, open the account."""
        self.apps[client] = (secret, refresh)

    def fill(self, section: GoogleAnalyticsSection) -> None:
        """Adds what a scenario says."""
        for one in section.visitors:
            self.visitors[one.property_id, one.user_id] = Visitor(one.property_id, one.user_id, self.now())
        for fault in section.faults:
            self.faults.add(fault)
        self._set(section.switches)

    def switch(self, **switches: object) -> None:
        """Sets the switches that are given; see GoogleAnalyticsSwitches."""
        self._set(GoogleAnalyticsSwitches.model_validate(switches))

    def _set(self, switches: GoogleAnalyticsSwitches) -> None:
        self.switches = self.switches.model_copy(update=switches.model_dump(exclude_none=True))
        if switches.latency_ms is not None:
            self.latency = switches.latency_ms / 1000

    def act(self, **asked: object) -> int:
        """A visitor comes back; see PersonActs."""
        wanted = PersonActs.model_validate(asked)
        key = (wanted.property_id, wanted.address)
        self.visitors.setdefault(key, Visitor(*key, self.now())).seen = self.now()
        return 1

    def holds(self, address: str) -> list[tuple[str, str]]:
        """(property, state) wherever the identifier is; a person's e-mail address is nowhere."""
        held = [(one.property_id, one.state(self.now())) for one in self.visitors.values() if one.user_id == address]
        return [(place, state) for place, state in held if state is not None]

    def deliveries(self) -> list[dict[str, object]]:
        """This vendor sends nothing."""
        return []

    def reset(self) -> None:
        """Empties visitors, counts, faults and switches; apps stay."""
        self.visitors.clear()
        self.used.clear()
        self.switches = GoogleAnalyticsSwitches()
        self.forget_counts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        request = Request(scope, receive)
        wire = Wire(scope, receive, send, self.waits.pause)
        try:
            raw = await request.body()
        except ClientDisconnect:
            return
        path = str(scope["path"])
        template = path if path in {UPSERT, TOKEN, TOKENINFO} else "?"
        token = self._token(request)
        account = token.client if token and template == UPSERT else ""
        call = Call(self.now().timestamp(), account, f"{request.method} {template}", 0)
        target = Target(request.method, template, account, lambda wanted: wanted in raw.decode("utf-8", "replace"))

        def work(effect: bool) -> Reply:
            try:
                match request.method, template:
                    case "POST", "/token":
                        return self._exchange(raw)
                    case "GET", "/tokeninfo":
                        return self._info(request.query_params.get("access_token", ""))
                    case "POST", _ if template == UPSERT:
                        return self._upsert(token, _json(raw), effect=effect)
            except Refusal as refusal:
                return _refused(refusal)
            return _refused(Refusal(404, "NOT_FOUND", "notFound", "Not Found"))

        await self.carry(wire, call, target, work, _trouble)

    def _token(self, request: Request) -> Token | None:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        found = self.tokens.get(value.strip()) if scheme.lower() == "bearer" else None
        return found if found is not None and self.now() < found.until else None

    def _exchange(self, raw: bytes) -> Reply:
        form = {name: values[0] for name, values in parse_qs(raw.decode("latin-1")).items()}
        client = form.get("client_id", "")
        if self.apps.get(client) != (form.get("client_secret"), form.get("refresh_token")):
            return _reply(400, {"error": "invalid_grant", "error_description": "Bad Request"})
        if form.get("grant_type") != "refresh_token":
            return _reply(400, {"error": "unsupported_grant_type", "error_description": "Invalid grant_type"})
        name = hashlib.sha256(f"{client}/{len(self.tokens)}".encode()).hexdigest()
        scope = "openid" if self.switches.without_scope else SCOPE
        self.tokens[name] = Token(client, scope, self.now() + timedelta(seconds=LIVES))
        return _reply(200, {"access_token": name, "expires_in": LIVES, "scope": scope, "token_type": "Bearer"})

    def _info(self, access: str) -> Reply:
        token = self.tokens.get(access)
        if token is None or self.now() >= token.until:
            return _reply(400, {"error": "invalid_token", "error_description": "Invalid Value"})
        left = int((token.until - self.now()).total_seconds())
        return _reply(200, {"aud": token.client, "azp": token.client, "scope": token.scope, "expires_in": str(left)})

    def _upsert(self, token: Token | None, body: Mapping[str, object], *, effect: bool) -> Reply:
        if token is None:
            raise Refusal(401, "UNAUTHENTICATED", "authError", "Request had invalid authentication credentials.")
        if SCOPE not in token.scope.split():
            raise Refusal(403, "PERMISSION_DENIED", "insufficientPermissions", "Insufficient authentication scopes.")
        who, place = body.get("id"), body.get("propertyId")
        if not isinstance(who, dict) or who.get("type") not in KINDS or not isinstance(who.get("userId"), str):
            raise Refusal(400, "INVALID_ARGUMENT", "badRequest", "Invalid value for id")
        # Universal Analytics has ended: a UA- property is as wrong as none.
        if not isinstance(place, str) or not place.isdigit():
            raise Refusal(400, "INVALID_ARGUMENT", "badRequest", "Invalid value for propertyId")
        if place in (self.switches.refused_properties or ()):
            said = "User does not have sufficient permissions for this property."
            raise Refusal(403, "PERMISSION_DENIED", "forbidden", said)
        now = self.now()
        self._count(token.client, place, now.date())
        if effect:
            visitor = self.visitors.setdefault((place, who["userId"]), Visitor(place, who["userId"], now))
            visitor.asked = now
            self.journal.effects.append(Effect(now.timestamp(), token.client, place, "queued", who["userId"]))
        at = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return _reply(200, {"kind": KIND, "id": dict(who), "propertyId": place, "deletionRequestTime": at})

    def _count(self, client: str, place: str, day: date) -> None:
        limit = QUOTA if self.switches.daily_quota is None else self.switches.daily_quota
        for name in (f"project {client}", f"property {place}"):
            self.used[day, name] += 1
            if self.used[day, name] > limit:
                code = self.switches.quota_status or 403
                status = {403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED"}[code]
                raise Refusal(code, status, "dailyLimitExceeded", "Quota exceeded.")


def _json(raw: bytes) -> Mapping[str, object]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Refusal(400, "INVALID_ARGUMENT", "parseError", "Parse Error")
    return body


def _reply(status: int, body: Mapping[str, object]) -> Reply:
    return Reply(status, [("content-type", "application/json; charset=UTF-8")], json.dumps(body).encode())


def _refused(refusal: Refusal) -> Reply:
    one = {"message": refusal.message, "domain": "global", "reason": refusal.reason}
    error = {"code": refusal.code, "message": refusal.message, "status": refusal.status, "errors": [one]}
    return _reply(refusal.code, {"error": error})


def _trouble(status: int) -> Reply:
    words = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
    return _refused(Refusal(status, words.get(status, "UNAVAILABLE"), "backendError", "Backend Error"))
