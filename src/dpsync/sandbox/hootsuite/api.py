"""Hootsuite on loopback: its token endpoint, REST and SCIM, the Inbox API, the staff's web app, and what it sends.

Source: the vendor notes on REST v1 and Inbox 2.0. Nothing here waits for minutes or hours: the vendor's clock is given,
and `tick` does what is due by it.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from starlette.types import Receive, Scope, Send

from dpsync.sandbox.api import Api
from dpsync.sandbox.asked import MALFORMED, Answer, Change, Header, Json, folded, made_id
from dpsync.sandbox.fault_replies import Reply
from dpsync.sandbox.hootsuite.asked import NOBODY, TOKEN, Asked, Held, ScimRefusal
from dpsync.sandbox.hootsuite.endpoints import ROUTES, Late
from dpsync.sandbox.hootsuite.events import Events
from dpsync.sandbox.hootsuite.filling import HootsuiteSection, HootsuiteSwitches, PersonActs, SeedContact, SeedPost
from dpsync.sandbox.hootsuite.inbox import Contact, Inbox, Refusal, Status, apply, write_back
from dpsync.sandbox.hootsuite.limits import Limits
from dpsync.sandbox.hootsuite.oauth import OAuthRefusal
from dpsync.sandbox.hootsuite.portal import PREFIX as PORTAL
from dpsync.sandbox.hootsuite.portal import application, csv_of
from dpsync.sandbox.hootsuite.staff import Member, Organization, Post
from dpsync.sandbox.routes import compiled


@dataclass(slots=True)
class Hootsuite(Api[Asked]):
    """The vendor: organisations, tokens, limits, and what it still has to send."""

    routes = compiled(ROUTES)
    asks = Asked
    json_type: ClassVar[str] = "application/json;charset=utf-8"

    held: Held = field(default_factory=Held)
    switches: HootsuiteSwitches = field(default_factory=HootsuiteSwitches)
    webhooks: Events = field(default_factory=Events)
    limits: Limits = field(default_factory=Limits)

    # --- filling and acting

    def open_organization(self, organization_id: str, name: str, clients: Mapping[str, str]) -> Organization:
        """The organisation of that id, made where it is new; the apps (secret by id) are linked to it."""
        home = self.held.organizations.setdefault(organization_id, Organization(organization_id, name))
        self.held.tokens.clients |= clients
        home.linked = tuple(dict.fromkeys([*home.linked, *clients]))
        return home

    @property
    def home(self) -> Organization:
        """The first organisation, which tests and scenarios fill."""
        return next(iter(self.held.organizations.values()))

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
            setattr(self.webhooks, name, getattr(section, name) or getattr(self.webhooks, name))
        self.set_up(section)

    def schedule(self, seeded: SeedPost) -> str:
        """Adds one outgoing post; its id."""
        home = self.home
        made = str(4_138_476_001 + len(home.posts))
        profile, author = next(iter(home.profiles)), next(iter(home.members))
        home.posts[made] = Post(made, seeded.text, seeded.at, seeded.state, profile, author)
        return made

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
                self.note(self.home.id, apply(self.inbox, contact, contact.proposed))
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
        key = made_id(talk.id, status, len(self.webhooks.deliveries), now)[:36]
        self.webhooks.write_back(write_back(contact, talk, previous, now, key), now)
        self.tick()

    def delete_contact(self, contact: Contact, hint: str, admin: str = "admin@example.org") -> None:
        """Delete in the web app, with the identity hint: the only erasure there is."""
        self.inbox.delete(contact, hint, admin, self.now())
        self.note(self.home.id, [Change("contact_deleted", contact.id, contact.name)])

    def export(self, start: datetime, end: datetime) -> str:
        """The CSV of "Resolved conversations"."""
        return csv_of(self.inbox, start, end, with_deleted=bool(self.switches.export_keeps_deleted))

    def tick(self) -> int:
        """Sends what is due by now."""
        due = self.webhooks.due(self.now())
        for one in due:
            self.begin(self.webhooks.send(one, self.now))
        return len(due)

    def holds(self, address: str) -> list[tuple[str, str]]:
        """(profile id, medium) of every contact with this anywhere in it, and (post id, state) of every post."""
        wanted = folded(address)
        contacts = self.inbox.contacts.values()
        held = [(one.id, one.medium) for one in contacts if any(wanted in folded(text) for text in one.texts())]
        return held + [(one.id, one.state) for one in self.home.posts.values() if wanted in folded(one.text)]

    def reset(self) -> None:
        """Empties Inbox, posts, what waits, counts, faults and switches; people and apps stay."""
        for home in self.held.organizations.values():
            home.inbox = Inbox(home.inbox.managed)
            home.posts.clear()
        self.webhooks, self.limits = Events(), Limits()
        self.forget_counts()

    # --- one call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call: of the web app, or of the API."""
        if str(scope["path"]).startswith(PORTAL + "/"):
            await application(self)(scope, receive, send)
        else:
            await Api.__call__(self, scope, receive, send)

    def whose(self, asked: Asked) -> str:
        """The organisation's or the member's, once its call is counted; nobody is turned away at the door."""
        token = self.held.tokens.access.get(asked.bearer, NOBODY)
        if asked.template == TOKEN:
            return ""
        if token is NOBODY or token.revoked:
            return "unauthenticated"
        asked.token, account = token, token.organization or token.member
        limits = self.switches.per_second, self.switches.daily_quota
        asked.shown, asked.within = self.limits.take(account, asked.now, *limits)
        return account

    def admit(self, asked: Asked) -> None:
        """Raises `Refusal`: above a limit, no token that lives, no permission."""
        if asked.template == TOKEN:
            return
        if not asked.within:
            raise Refusal(429, 1003, "Rate limit exceeded", inbox=asked.of_inbox)
        if asked.token is NOBODY or asked.now >= asked.token.until or self.switches.revoked:
            code = 1000 if asked.token is NOBODY else 1001
            raise Refusal(401, code, "The access token is invalid or expired", inbox=asked.of_inbox)
        if self.switches.no_permission:
            raise Refusal(401, 4003, "The member lacks the permission", inbox=asked.of_inbox)

    def check(self, asked: Asked) -> None:
        """Raises `Refusal` 400 for a body that is no JSON."""
        if asked.said is MALFORMED and asked.template != TOKEN:
            raise Refusal(400, 4000, "The request is malformed", inbox=asked.of_inbox)

    def done(self, asked: Asked, answer: Answer) -> None:
        """Counts what happened, and queues what is said minutes later."""
        self.note(self.home.id, answer.changes)
        if isinstance(answer, Late):
            self.webhooks.import_error(list(answer.faults), asked.now)

    def reply(self, asked: Asked, status: int, body: object, headers: Iterable[Header] = ()) -> Reply:
        """REST may answer in part: data and errors at once."""
        if self.switches.partial and status < 400 and asked.path.startswith("/v1/") and isinstance(body, dict):
            body = {**body, "errors": [_error(5000, "One of the networks did not answer")]}
        return Api.reply(self, asked, status, body, headers)

    def nothing_there(self, asked: Asked) -> Refusal:
        """A 404, of a method as of a path."""
        return Refusal(404, 4001, "Not found", inbox=asked.of_inbox)

    def trouble(self, asked: Asked, status: int) -> Refusal:
        """In the shape of the interface that was called."""
        if asked.template == TOKEN:
            return OAuthRefusal(status, "server_error", "Not available")
        if asked.path.startswith("/scim/"):
            return ScimRefusal("Not available", status=status)
        code = {429: 1003, 401: 1001, 404: 4001}.get(status, 5000)
        return Refusal(status, code, "Not available", inbox=asked.of_inbox)

    def envelope(self, _: Asked, no: Refusal) -> Json:
        """Four shapes: of the token endpoint, of SCIM, of the Inbox, of REST."""
        match no:
            case OAuthRefusal():
                hint = "Make sure that the various parameters are correct"
                said = {"error": no.error, "error_description": no.message, "error_hint": hint}
                return {**said, "status_code": no.status}
            case ScimRefusal():
                schema = "urn:ietf:params:scim:api:messages:2.0:Error"
                body: Json = {"schemas": [schema], "status": str(no.status), "detail": no.message}
                return body | ({"scimType": no.scim_type} if no.scim_type else {})
            case _ if no.inbox:
                return {"errors": [no.message]}
            case _:
                return {"errors": [_error(no.code, no.message)]}

    def about(self, asked: Asked, address: str) -> bool:
        """By a contact of this person in its path, or by its query or body."""
        wanted = folded(address)
        contact = self.inbox.contacts.get(asked.names.get("contact_id", ""))
        if contact is not None and contact.is_of(address):
            return True
        post = self.home.posts.get(asked.names.get("message_id", ""))
        said = [asked.raw.decode("utf-8", "replace"), str(asked.query), post.text if post else ""]
        return any(wanted in folded(one) for one in said)


def _error(code: int, message: str) -> Json:
    return {"code": code, "message": message, "id": str(uuid.uuid4()), "resource": None}
