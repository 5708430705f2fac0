"""A processor that speaks OpenDSR 2.0, and answers as AppsFlyer and mParticle do below their own paths.

It begins an hour after a request came, and is done after two days of its clock; who is erased then is gone. Callbacks
go once for each change, and are not repeated. Source: opengdpr/OpenDSR, specification.md.
"""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from dpsync.sandbox import asked
from dpsync.sandbox.api import Api
from dpsync.sandbox.asked import Answer, Change, Header, Json, Table, folded
from dpsync.sandbox.fault_replies import Reply
from dpsync.sandbox.opendsr import authority
from dpsync.sandbox.opendsr.filling import OpenDsrActs, OpenDsrSection, OpenDsrSwitches
from dpsync.sandbox.opendsr.requests import APPSFLYER, MPARTICLE, STANDARD, TYPES, Person, Wanted, moment, no, read
from dpsync.sandbox.posting import Sent, post
from dpsync.sandbox.routes import compiled
from dpsync.sandbox.vendor import Refusal

DOMAIN = "opendsr.sandbox.example"
_BEGINS, _TAKES, _PROMISES = timedelta(hours=1), timedelta(days=2), 240.0
_OPEN = ("/discovery", ".pem")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One callback; `status` 0 where nobody answered."""

    id: str
    outcome: str
    status: int


@dataclass(slots=True)
class House:
    """Whom it holds, and what was asked of it, by the request's id."""

    people: list[Person] = field(default_factory=list)
    wanted: dict[str, Wanted] = field(default_factory=dict)


class Message(asked.Asked[House, OpenDsrSwitches]):
    """One call."""

    __slots__ = ()

    @property
    def dialect(self) -> str:
        """Whose words are spoken below this path."""
        return APPSFLYER if "/gdpr/" in self.path else MPARTICLE if self.path.startswith("/v3/") else STANDARD

    def known(self) -> Wanted:
        """The request of the path. Raises `Refusal` 400: there is no other status for what is not there."""
        found = self.held.wanted.get(self.names["id"])
        if found is None or found.dialect != self.dialect:
            raise no("the request is not known", code="e214")
        return found


def take(message: Message) -> Answer:
    """A new request; the same again is answered alike."""
    name, kind, known, urls = read(message.body, message.dialect)
    before, held = message.held.wanted.get(name), message.held
    if before and (message.dialect != STANDARD or before.body != message.raw):
        raise no("the request exists already", code="e213")
    if before:
        return Answer(201, before.taken())
    others = {one for wanted in held.wanted.values() if wanted.is_open for one in wanted.identities}
    if message.dialect == APPSFLYER and others & {*known}:
        raise no("an identity is in an open request", code="e215")
    until = message.now + timedelta(hours=_PROMISES if message.switches.promises is None else message.switches.promises)
    wanted = Wanted(name, kind, message.dialect, known, urls, message.raw, message.now, until)
    held.wanted[name] = wanted
    return Answer(201, wanted.taken(), [Change("asked", "requests", next((one for _, one in known), ""))])


def show(message: Message) -> Answer:
    """How far a request is."""
    return Answer(200, message.known().shown(nulls=bool(message.switches.nulls)))


def cancel(message: Message) -> Answer:
    """Called off, while nothing was done."""
    wanted = message.known()
    if wanted.status != "pending":
        raise no("the request cannot be cancelled any more", code="e211")
    wanted.status = "cancelled"
    said = {"controller_id": "4308", "subject_request_id": wanted.id, "received_time": moment(message.now)}
    return Answer(202, said, [Change("cancelled", "requests", wanted.identities[0][1])])


def discover(message: Message) -> Answer:
    """What it offers."""
    host = "cdn.example" if message.switches.certificate == "elsewhere" else message.request.headers["host"]
    known = [{"identity_type": one, "identity_format": "raw"} for one in TYPES[message.dialect]]
    said = {"api_version": "3.0" if message.dialect == MPARTICLE else "2.0", "supported_identities": known}
    types = ["erasure", "access", "portability"]
    return Answer(
        200, {**said, "supported_subject_request_types": types, "processor_certificate": f"http://{host}/cert.pem"}
    )


_REQUEST = {"GET": show, "DELETE": cancel}
_BASES = {
    "/v2": ("/requests", "/opengdpr_requests"),
    "/v3": ("/requests",),
    "/api/gdpr/v1": ("/opendsr_requests", "/stub"),
}
ROUTES: Table = {
    **{f"{base}/discovery": {"GET": discover} for base in (*_BASES, "/api/gdpr/v1/stub")},
    **{f"{base}{path}": {"POST": take} for base, paths in _BASES.items() for path in paths},
    **{f"{base}{path}/{{id}}": _REQUEST for base, paths in _BASES.items() for path in paths},
}


@dataclass(slots=True)
class OpenDsr(Api[Message]):
    """It. `token` opens the calls, as a bearer token or as NAME:PASSWORD. `keys`: how often it changed its key."""

    routes = compiled(
        {**ROUTES, "/cert.pem": {"GET": lambda _: Answer(200)}, "/authority.pem": {"GET": lambda _: Answer(200)}}
    )
    asks = Message
    held: House = field(default_factory=House)
    switches: OpenDsrSwitches = field(default_factory=OpenDsrSwitches)
    webhooks: Sent = field(default_factory=Sent)
    token: str = field(default="", repr=False)
    keys: int = 0

    def fill(self, section: OpenDsrSection) -> None:
        """Adds what a scenario says."""
        self.held.people += [Person(one.email, {**one.ids}) for one in section.people]
        self.set_up(section)

    def act(self, **asked: object) -> int:
        """Something done by hand; see OpenDsrActs. How many requests or people were concerned."""
        wanted = OpenDsrActs.model_validate(asked)
        if wanted.act == "rotate":
            self.keys += 1
            return 1
        if wanted.act == "add":
            self.held.people.append(Person(wanted.address))
            return 1
        ends = {"begin": "in_progress", "complete": "completed", "cancel": "cancelled"}
        found = [one for one in self.held.wanted.values() if one.is_open and self._names(one, wanted.address)]
        for one in found:
            self.move(one, ends[wanted.act])
        return len(found)

    def holds(self, address: str) -> list[tuple[str, str]]:
        """("people", "held"), for each record of the address."""
        return [("people", "held") for one in self.held.people if folded(one.email) == folded(address)]

    def reset(self) -> None:
        """Empties everything but the credential and the keys."""
        self.held.people.clear()
        self.held.wanted.clear()
        self.forget_counts()

    def tick(self) -> int:
        """Goes on with what is due by its clock."""
        due = [] if self.switches.idle else [one for one in self.held.wanted.values() if one.is_open]
        moved = 0
        for one in due:
            age = self.now() - one.received
            status = "completed" if age >= _TAKES else "in_progress" if age >= _BEGINS else one.status
            moved += status != one.status
            self.move(one, status)
        return moved

    def move(self, wanted: Wanted, status: str) -> None:
        """One request goes on: who is to be erased is gone, and the controller hears of it."""
        if status == wanted.status:
            return
        wanted.status = status
        if status == "completed" and wanted.kind == "erasure" and not self.switches.lies:
            gone = [one for one in self.held.people if any(map(one.known_as, wanted.identities))]
            self.held.people = [one for one in self.held.people if one not in gone]
            self.count("main", [Change("erasure", "people", one.email) for one in gone])
        self.call_back(wanted)

    def call_back(self, wanted: Wanted, status: str = "") -> None:
        """Send what stands, or another status, to each address that the request named."""
        if self.switches.mute:
            return
        said = wanted.shown(nulls=bool(self.switches.nulls)) | ({"request_status": status} if status else {})
        for url in wanted.callbacks:
            self.begin(self.send(url, {**said, "status_callback_url": url}))

    async def send(self, url: str, said: Json) -> None:
        """One callback, once."""
        body = json.dumps(said).encode()
        headers = {**dict(self._signed(body)), "content-type": "application/json"}
        status = await asyncio.to_thread(post, url, body, headers)
        self.webhooks.deliveries.append(Outgoing(str(said["subject_request_id"]), str(said["request_status"]), status))

    def whose(self, asked: Message) -> str:
        """Raises `Refusal` 401 for whoever does not know the credential; discovery and certificates are for anybody."""
        if asked.path.endswith(_OPEN) or self.token in (asked.bearer, ":".join(asked.basic)):
            return "main"
        raise Refusal(401, "the credential is not accepted", reason="Authorization")

    def admit(self, _: Message) -> None:
        """Its clock goes on, whoever asks."""
        self.tick()

    def done(self, asked: Message, answer: Answer) -> None:
        """Counts it, and tells of a new request where it does that."""
        Api.done(self, asked, answer)
        kinds = {one.kind for one in answer.changes}
        name = asked.names.get("id") or str(asked.body.get("subject_request_id"))
        if "cancelled" in kinds or ("asked" in kinds and self.switches.announces):
            self.call_back(self.held.wanted[name])

    def reply(self, asked: Message, status: int, body: object, headers: Iterable[Header] = ()) -> Reply:
        """Signed, whatever it says; a certificate as it is."""
        if asked.path.endswith(".pem") and status == 200:
            return Reply(status, [("content-type", "application/x-pem-file")], self._pem(asked.path))
        said: Any = body
        if self.switches.in_body and isinstance(said, dict):
            said = {**said, "processor_signature": authority.signature(self._key, json.dumps(said).encode())}
        raw = json.dumps(said).encode()
        shown = [("content-type", self.json_type), ("cache-control", "no-store"), *headers]
        return Reply(status, [*shown, *self._signed(raw)], raw)

    def trouble(self, _: Message, status: int) -> Refusal:
        """In no special words."""
        return Refusal(status, "not available", reason="Service", code="e511" if status == 500 else "")

    def envelope(self, asked: Message, no: Refusal) -> Json:
        """The common error object; AppsFlyer's with its own code."""
        if asked.dialect == APPSFLYER:
            return {"error": {"code": no.status, "message": no.message, "af_gdpr_code": no.code or "e212"}}
        detail = {"domain": "Request", "reason": no.more.get("reason", ""), "message": no.message}
        return {"error": {"code": no.status, "message": no.message, "errors": [detail]}}

    @property
    def _key(self) -> Any:
        return authority.signing_key(self.keys)

    def _signed(self, body: bytes) -> Sequence[Header]:
        if self.switches.unsigned or self.switches.in_body:
            return []
        key = authority.signing_key(self.keys + 100) if self.switches.forged else self._key
        word = "OpenGDPR" if self.switches.old_names else "OpenDSR"
        return [(f"x-{word}-processor-domain", DOMAIN), (f"x-{word}-signature", authority.signature(key, body))]

    def _pem(self, path: str) -> bytes:
        if path == "/authority.pem":
            return authority.authority(self.now())
        wrong = self.switches.certificate or ""
        return b"" if wrong == "none" else authority.certificate(self.now(), DOMAIN, self._key, wrong)

    def _names(self, wanted: Wanted, address: str) -> bool:
        """Whether a request is about a person, by any of what it knows them by."""
        people = [one for one in self.held.people if folded(one.email) == folded(address)] or [Person(address)]
        return any(one.known_as(identity) for one in people for identity in wanted.identities)
