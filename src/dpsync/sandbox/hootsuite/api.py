"""Hootsuite on loopback: its token endpoint, REST and SCIM, the Inbox API, the staff's web app, and what it sends.

Source: the vendor notes on REST v1 and Inbox 2.0. One call is one coroutine and its rules run without waiting in
between. Nothing here waits for minutes or hours: the vendor's clock is given, and `tick` does what is due by it.
"""

import copy
import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from dpsync.sandbox.fault_replies import Reply, Wire
from dpsync.sandbox.faults import Target
from dpsync.sandbox.hootsuite.endpoints import ROUTES, Answer, Asked, Handler, ScimRefusal
from dpsync.sandbox.hootsuite.events import Events
from dpsync.sandbox.hootsuite.filling import HootsuiteSection, HootsuiteSwitches, PersonActs, SeedContact, SeedPost
from dpsync.sandbox.hootsuite.inbox import Contact, Inbox, Refusal, Status, apply, folded, write_back
from dpsync.sandbox.hootsuite.limits import Limits
from dpsync.sandbox.hootsuite.oauth import OAuthRefusal, Token, Tokens
from dpsync.sandbox.hootsuite.portal import PREFIX as PORTAL
from dpsync.sandbox.hootsuite.portal import application, csv_of
from dpsync.sandbox.hootsuite.staff import Member, Organization, Post
from dpsync.sandbox.journal import Call, Effect
from dpsync.sandbox.routes import Route, compiled, found
from dpsync.sandbox.vendor import Vendor

TOKEN = "/oauth2/token"
Headers = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Hootsuite(Vendor):
    """The vendor: an ASGI application with organisations, tokens, limits, and what it still has to send."""

    organizations: dict[str, Organization] = field(default_factory=dict)
    tokens: Tokens = field(default_factory=Tokens)
    limits: Limits = field(default_factory=Limits)
    events: Events = field(default_factory=Events)
    switches: HootsuiteSwitches = field(default_factory=HootsuiteSwitches)
    routes: list[Route[Handler]] = field(default_factory=lambda: compiled(ROUTES))

    # --- filling and acting

    def open_organization(self, organization_id: str, name: str, clients: Mapping[str, str]) -> Organization:
        """The organisation of that id, made where it is new; the apps (secret by id) are linked to it."""
        home = self.organizations.setdefault(organization_id, Organization(organization_id, name))
        self.tokens.clients |= clients
        home.linked = tuple(dict.fromkeys([*home.linked, *clients]))
        return home

    @property
    def home(self) -> Organization:
        """The first organisation, which tests and scenarios fill."""
        return next(iter(self.organizations.values()))

    @property
    def inbox(self) -> Inbox:
        """Its Inbox."""
        return self.home.inbox

    def plant(self, seeded: SeedContact) -> Contact:
        """Adds one contact with one conversation."""
        now = seeded.created or self.now()
        contact = self.inbox.open_contact(seeded.medium, seeded.name or seeded.handle, seeded.handle, now)
        contact.attributes |= {name: (value, "CRM_CONFIRMED") for name, value in seeded.attributes.items()}
        contact.attributes |= {name: (value, "AGENT") for name, value in seeded.typed.items()}
        talk = contact.conversations[-1]
        talk.texts += [("INBOUND", text) for text in seeded.texts]
        if seeded.resolved:
            talk.status, talk.resolved = "resolved", now
        return contact

    def fill(self, section: HootsuiteSection) -> None:
        """Adds what a scenario says."""
        home = self.open_organization(self.home.id, self.home.name, section.clients)
        home.inbox.managed = section.managed or home.inbox.managed
        for one in section.contacts:
            self.plant(one)
        for member in section.members:
            home.members[member.id] = Member(member.id, member.name, member.email, paying=member.paying)
        for post in section.posts:
            self.schedule(post)
        for name in ("write_back_url", "notification_url", "secret"):
            setattr(self.events, name, getattr(section, name) or getattr(self.events, name))
        for fault in section.faults:
            self.faults.add(fault)
        self._set(section.switches)

    def schedule(self, seeded: SeedPost) -> str:
        """Adds one outgoing post; its id."""
        home = self.home
        made = str(4_138_476_001 + len(home.posts))
        profile, author = next(iter(home.profiles)), next(iter(home.members))
        home.posts[made] = Post(made, seeded.text, seeded.at, seeded.state, profile, author)
        return made

    def switch(self, **switches: object) -> None:
        """Sets the switches that are given; see HootsuiteSwitches."""
        self._set(HootsuiteSwitches.model_validate(switches))

    def _set(self, switches: HootsuiteSwitches) -> None:
        self.switches = self.switches.model_copy(update=switches.model_dump(exclude_none=True))
        if switches.latency_ms is not None:
            self.latency = switches.latency_ms / 1000
        if switches.per_second is not None:
            self.limits.per_second = switches.per_second
        if switches.daily_quota is not None:
            self.limits.daily = switches.daily_quota

    def act(self, **asked: object) -> int:
        """Something done by hand; see PersonActs. How many contacts were concerned."""
        wanted = PersonActs.model_validate(asked)
        held = self.inbox.of(wanted.address)
        if wanted.act == "write":
            self.inbox.open_contact(wanted.medium, wanted.address, wanted.address, self.now(), wanted.text)
            return 1
        for contact in held:
            self._by_hand(contact, wanted)
        return len(held)

    def _by_hand(self, contact: Contact, wanted: PersonActs) -> None:
        match wanted.act:
            case "resolve":
                self._set_status(contact, "resolved")
            case "pending":
                self._set_status(contact, "pending")
            case "delete":
                self.delete_contact(contact, wanted.hint)
            case "confirm" if contact.proposed is not None:
                self._apply(contact, contact.proposed)
            case "type":
                contact.attributes[wanted.attribute] = (wanted.text, "AGENT")
            case "clear":
                contact.attributes.clear()
            case _:
                return

    def _set_status(self, contact: Contact, status: Status) -> None:
        talk, now = contact.conversations[-1], self.now()
        previous, talk.status = talk.status, status
        talk.resolved = now if status == "resolved" else None
        key = hashlib.sha256(f"{talk.id}/{status}/{len(self.events.deliveries)}/{now}".encode()).hexdigest()[:36]
        self.events.write_back(write_back(contact, talk, previous, now, key), now)
        self.tick()

    def delete_contact(self, contact: Contact, hint: str, admin: str = "admin@example.org") -> None:
        """Delete in the web app, with the identity hint: the only erasure there is."""
        self.inbox.delete(contact, hint, admin, self.now())
        self._note([("contact_deleted", contact.name)], contact.id)

    def export(self, start: datetime, end: datetime) -> str:
        """The CSV of "Resolved conversations"."""
        return csv_of(self.inbox, start, end, with_deleted=bool(self.switches.export_keeps_deleted))

    def _apply(self, contact: Contact, wanted: Mapping[str, str | None]) -> None:
        set_, removed = apply(self.inbox, contact, wanted)
        self._note([("attribute_set", contact.name)] * len(set_), contact.id)
        self._note([("attribute_removed", contact.name)] * len(removed), contact.id)

    def tick(self) -> int:
        """Sends what is due by now."""
        due = self.events.due(self.now())
        for one in due:
            self.begin(self.events.send(one, self.now))
        return len(due)

    def holds(self, address: str) -> list[tuple[str, str]]:
        """(profile id, medium) of every contact with this anywhere in it, and (post id, state) of every post."""
        wanted = folded(address)
        contacts = self.inbox.contacts.values()
        held = [(one.id, one.medium) for one in contacts if any(wanted in folded(text) for text in one.texts())]
        return held + [(one.id, one.state) for one in self.home.posts.values() if wanted in folded(one.text)]

    def deliveries(self) -> list[dict[str, object]]:
        """Every attempt to call a webhook."""
        return [asdict(one) for one in self.events.deliveries]

    def reset(self) -> None:
        """Empties Inbox, posts, what waits, counts, faults and switches; people and apps stay."""
        for home in self.organizations.values():
            home.inbox = Inbox(home.inbox.managed)
            home.posts.clear()
        self.events, self.limits, self.switches = Events(), Limits(), HootsuiteSwitches()
        self.forget_counts()

    def _note(self, changes: Iterable[tuple[str, str]], place: str) -> None:
        at = self.now().timestamp()
        self.journal.effects += [Effect(at, self.home.id, place, kind, person) for kind, person in changes]

    # --- one call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        path = str(scope["path"])
        if path.startswith(PORTAL + "/"):
            await application(self)(scope, receive, send)
            return
        request = Request(scope, receive)
        wire = Wire(scope, receive, send, self.waits.pause)
        try:
            raw = await request.body()
            if path == TOKEN:
                await self._exchange(request, raw, wire)
            else:
                await self._take(request, raw, wire)
        except ClientDisconnect:
            return

    async def _exchange(self, request: Request, raw: bytes, wire: Wire) -> None:
        form = {name: values[0] for name, values in parse_qs(raw.decode("latin-1")).items()}
        linked = {one.id: () if self.switches.revoked else one.linked for one in self.organizations.values()}

        def work(effect: bool) -> Reply:
            tokens = self.tokens if effect else copy.deepcopy(self.tokens)
            try:
                client = tokens.client_of(request.headers.get("authorization", ""))
                return _reply(200, tokens.granted(client, form, linked, self.now()))
            except OAuthRefusal as refusal:
                return _refused(refusal)

        call = Call(self.now().timestamp(), "", f"{request.method} {TOKEN}", 0)
        target = Target(request.method, TOKEN, "", lambda _: False)
        await self.carry(wire, call, target, work, lambda status: _oauth_error(status, "server_error", "Not available"))

    async def _take(self, request: Request, raw: bytes, wire: Wire) -> None:
        path = str(request.scope["path"])
        route, named = found(self.routes, path)
        template = route.template if route else "?"
        inbox, scim = _of_inbox(request), path.startswith("/scim/")
        token = self._token(request)
        account = (token.organization or token.member) if token else ""
        headers, within = self.limits.take(account, self.now()) if token else ((), True)
        call = Call(self.now().timestamp(), account or "unauthenticated", f"{request.method} {template}", 0)
        target = Target(request.method, template, account, lambda address: self._about(named, raw, request, address))

        def work(effect: bool) -> Reply:
            if within:
                reply = self._carried_out(route, named, request, raw, token, effect=effect)
            else:
                reply = _refused(Refusal(429, 1003, "Rate limit exceeded", inbox=inbox))
            return Reply(reply.status, [*reply.headers, *headers], reply.body)

        await self.carry(wire, call, target, work, lambda status: _trouble(status, inbox=inbox, scim=scim))

    def _token(self, request: Request) -> Token | None:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        token = self.tokens.access.get(value.strip()) if scheme.lower() == "bearer" else None
        return None if token is None or token.revoked else token

    def _carried_out(
        self,
        route: Route[Handler] | None,
        named: Mapping[str, str],
        request: Request,
        raw: bytes,
        token: Token | None,
        *,
        effect: bool,
    ) -> Reply:
        try:
            handler, good = self._admitted(route, request, token)
            held = self.organizations if effect else copy.deepcopy(self.organizations)
            body = _json(raw, inbox=_of_inbox(request))
            answer = handler(Asked(held, good, named, request.query_params, body, self.now()))
        except Refusal as refusal:
            return _refused(refusal)
        if effect:
            self._note(answer.changes, "")
            self._set_attributes(answer)
        return _reply(answer.status, self._in_part(answer, str(request.scope["path"])))

    def _admitted(self, route: Route[Handler] | None, request: Request, token: Token | None) -> tuple[Handler, Token]:
        inbox = _of_inbox(request)
        if token is None or self.now() >= token.until or self.switches.revoked:
            raise Refusal(401, 1001 if token else 1000, "The access token is invalid or expired", inbox=inbox)
        if self.switches.no_permission:
            raise Refusal(401, 4003, "The member lacks the permission", inbox=inbox)
        handler = route.handlers.get(request.method) if route else None
        if handler is None:
            raise Refusal(404, 4001, "Not found", inbox=inbox)
        return handler, token

    def _set_attributes(self, answer: Answer) -> None:
        contact, wanted = answer.contact, answer.wanted
        if contact is None or wanted is None:
            return
        faults = self.inbox.faults_of(wanted)
        if self.switches.import_errors:
            faults, self.switches.import_errors = faults or ["The import failed"], False
        if faults:
            self.events.import_error(faults, self.now())
        elif answer.confirmed:
            self._apply(contact, wanted)
        else:
            contact.proposed = dict(wanted)

    def _in_part(self, answer: Answer, path: str) -> dict[str, object]:
        if not self.switches.partial or not path.startswith("/v1/"):
            return answer.body
        return answer.body | {"errors": [_error(5000, "One of the networks did not answer")]}

    def _about(self, named: Mapping[str, str], raw: bytes, request: Request, address: str) -> bool:
        """Whether the call names this person: by a contact of theirs in its path, or in its query or body."""
        wanted = folded(address)
        contact = self.inbox.contacts.get(named.get("contact_id", ""))
        if contact is not None and contact.is_of(address):
            return True
        post = self.home.posts.get(named.get("message_id", ""))
        said = [raw.decode("utf-8", "replace"), str(request.query_params), post.text if post else ""]
        return any(wanted in folded(one) for one in said)


def _of_inbox(request: Request) -> bool:
    return str(request.scope["path"]).startswith("/inbox/")


def _json(raw: bytes, *, inbox: bool) -> object:
    try:
        return json.loads(raw) if raw.strip() else None
    except (ValueError, RecursionError):
        raise Refusal(400, 4000, "The request is malformed", inbox=inbox) from None


def _reply(status: int, body: Mapping[str, object]) -> Reply:
    return Reply(status, [("content-type", "application/json;charset=utf-8")], json.dumps(body).encode())


def _error(code: int, message: str) -> dict[str, object]:
    return {"code": code, "message": message, "id": str(uuid.uuid4()), "resource": None}


def _oauth_error(status: int, error: str, description: str) -> Reply:
    hint = "Make sure that the various parameters are correct"
    return _reply(status, {"error": error, "error_description": description, "error_hint": hint, "status_code": status})


def _scim_error(status: int, detail: str, kind: str = "") -> Reply:
    body: dict[str, object] = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": str(status)}
    return _reply(status, body | {"detail": detail} | ({"scimType": kind} if kind else {}))


def _refused(refusal: Refusal) -> Reply:
    match refusal:
        case OAuthRefusal():
            return _oauth_error(refusal.status, refusal.error, refusal.message)
        case ScimRefusal():
            return _scim_error(refusal.status, refusal.message, refusal.scim_type)
        case _ if refusal.inbox:
            return _reply(refusal.status, {"errors": [refusal.message]})
        case _:
            return _reply(refusal.status, {"errors": [_error(refusal.code, refusal.message)]})


def _trouble(status: int, *, inbox: bool, scim: bool) -> Reply:
    if scim:
        return _scim_error(status, "Not available")
    return _refused(Refusal(status, {429: 1003, 401: 1001, 404: 4001}.get(status, 5000), "Not available", inbox=inbox))
