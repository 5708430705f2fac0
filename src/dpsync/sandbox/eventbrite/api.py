"""The Eventbrite API v3 on loopback: slashes, tokens, the hourly count, faults, and a privacy desk that reads letters.

Source: the vendor notes on API v3. One call is one coroutine and its rules run without waiting in between.
"""

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from dpsync.sandbox.eventbrite.endpoints import PUBLIC, ROUTES, Answer, Asked, Handler
from dpsync.sandbox.eventbrite.filling import EventbriteSection, EventbriteSwitches, PersonActs, SeedOrder
from dpsync.sandbox.eventbrite.paging import Pages
from dpsync.sandbox.eventbrite.records import (
    Attendee,
    Bucket,
    Change,
    Event,
    Json,
    Order,
    Records,
    Refusal,
    Shape,
    Token,
    address_of,
    anonymise,
    cancel,
    correct,
    folded,
    names,
    unsubscribe,
)
from dpsync.sandbox.eventbrite.webhooks import Webhooks
from dpsync.sandbox.fault_replies import Reply, Wire, send_reply
from dpsync.sandbox.faults import Target
from dpsync.sandbox.journal import Call, Effect
from dpsync.sandbox.recipient import Letter
from dpsync.sandbox.routes import Route, compiled, found
from dpsync.sandbox.vendor import Vendor

PREFIX = "/v3"
ERRORS = {400: "ARGUMENTS_ERROR", 401: "INVALID_AUTH", 403: "NOT_AUTHORIZED", 404: "NOT_FOUND", 429: "HIT_RATE_LIMIT"}


@dataclass(slots=True)
class Eventbrite(Vendor):
    """The vendor: an ASGI application below `/v3`, its records, and the buckets that count by token and by key."""

    records: Records = field(default_factory=Records)
    tokens: dict[str, Token] = field(default_factory=dict)
    keys: dict[str, Bucket] = field(default_factory=dict)
    pages: Pages = field(default_factory=Pages)
    webhooks: Webhooks = field(default_factory=Webhooks)
    switches: EventbriteSwitches = field(default_factory=EventbriteSwitches)
    routes: list[Route[Handler]] = field(default_factory=lambda: compiled(ROUTES))

    # --- filling and acting

    def open_organization(self, name: str, tokens: Iterable[str] = ()) -> str:
        """The id of the organisation of that name, made where it is new; the private tokens open it."""
        held = self.records.organizations
        found_id = next((one for one, title in held.items() if title == name), None)
        home = found_id or self.records.next_id(5_550)
        held[home] = name
        for value in tokens:
            token = self.tokens.setdefault(value, Token(value))
            token.organizations = tuple(dict.fromkeys([*token.organizations, home]))
        return home

    def open_event(self, organization_id: str, name: str) -> str:
        """The id of the event of that name, made where it is new."""
        for event in self.records.events.values():
            if (event.organization_id, event.name) == (organization_id, name):
                return event.id
        made = Event(self.records.next_id(900_100), organization_id, name)
        self.records.events[made.id] = made
        return made.id

    def place(self, event_id: str, seeded: SeedOrder) -> Order:
        """Adds one order with a ticket for the buyer and one for each guest."""
        now = self.now()
        order = Order(
            self.records.next_id(440_000), event_id, now, now, seeded.first_name, seeded.last_name, seeded.email
        )
        order.status, order.expired, order.opted_in = seeded.status, seeded.expired, seeded.opted_in
        self.records.orders[order.id] = order
        people = [(seeded.email, seeded.first_name, seeded.last_name, seeded.answers, dict(seeded.profile))]
        people += [(one.email, one.first_name, one.last_name, one.answers, {}) for one in seeded.guests]
        for email, first, last, answers, more in people:
            profile: Json = {"name": f"{first} {last}".strip(), "first_name": first, "last_name": last, "email": email}
            one = Attendee(self.records.next_id(700_000), event_id, order.id, now, now, profile | more)
            one.opted_in = seeded.opted_in
            one.status = "Attending" if seeded.status == "placed" else "Not Attending"
            one.status = "Deleted" if seeded.status == "deleted" else one.status
            one.cancelled, one.refunded = seeded.status != "placed", seeded.status == "refunded"
            one.answers = [
                {"question_id": f"q{number}", "question": question, "type": "text", "answer": answer}
                for number, (question, answer) in enumerate(answers.items(), 1)
            ]
            self.records.attendees[one.id] = one
        self._tell([Change("placed", "order.placed", event_id, order, order.email, order.email)])
        return order

    def fill(self, section: EventbriteSection) -> None:
        """Adds what a scenario says."""
        for seeded in section.organizations:
            home = self.open_organization(seeded.name, seeded.tokens)
            for event in seeded.events:
                place = self.open_event(home, event.name)
                for order in event.orders:
                    self.place(place, order)
        self.tokens |= {value: Token(value, "public") for value in section.public_tokens}
        self.tokens |= {value: Token(value, "api_key") for value in section.api_keys}
        for fault in section.faults:
            self.faults.add(fault)
        self._set(section.switches)

    def switch(self, **switches: object) -> None:
        """Sets the switches that are given; see EventbriteSwitches."""
        self._set(EventbriteSwitches.model_validate(switches))

    def _set(self, switches: EventbriteSwitches) -> None:
        self.switches = switches = self.switches.model_copy(update=switches.model_dump(exclude_none=True))
        self.latency = (switches.latency_ms or 0) / 1000 if switches.latency_ms is not None else self.latency
        self.webhooks.duplicates = bool(switches.webhooks_duplicated)
        self.pages.counts = not switches.without_counts
        self.pages.size = switches.page_size or self.pages.size
        if switches.continuation_seconds is not None:
            self.pages.lives = timedelta(seconds=switches.continuation_seconds)
        if switches.hourly_limit is not None:
            for token in self.tokens.values():
                token.bucket.limit = switches.hourly_limit

    @property
    def shape(self) -> Shape:
        """What is left of an erased record."""
        return self.switches.anonymised_shape or "placeholder"

    def act(self, **asked: object) -> int:
        """Something done by hand; see PersonActs. How many records were concerned."""
        wanted = PersonActs.model_validate(asked)
        address, now = wanted.address, self.now()
        match wanted.act:
            case "anonymise":
                changes = anonymise(self.records, address, self.shape, now)
            case "rectify":
                changes = correct(self.records, address, wanted.to, wanted.first_name, wanted.last_name, now)
            case "unsubscribe":
                changes = unsubscribe(self.records, address, now)
            case "cancel" | "refund":
                changes = cancel(self.records, address, refund=wanted.act == "refund", now=now)
        self.note(changes)
        return len(changes)

    def desk_reads(self, letter: Letter) -> int:
        """The privacy desk, about to answer "done", erases everybody whom an erasure names; how many records.

        Only with the switch `anonymise_after_ack`, and in the moment before its answer goes out, so that no read-back
        comes in between. Where weeks pass between the two, a test lets the desk act by hand. A letter that says in no
        machine's words what it asks for is taken for an erasure.
        """
        if not self.switches.anonymise_after_ack or self.switches.ack_but_do_nothing:
            return 0
        if letter.data.get("right", "erasure") != "erasure":
            return 0
        text = letter.words.lower()
        known = {folded(address_of(one)) for one in self.records.all()}
        done = 0
        for address in sorted(one for one in known if one and one in text):
            changes = anonymise(self.records, address, self.shape, self.now())
            self.note(changes)
            done += len(changes)
        return done

    def holds(self, address: str) -> list[tuple[str, str]]:
        """("order" or "attendee" and its id, status) of every record in which the address stands, answers included."""
        orders = [(f"order {one.id}", one.status) for one in self.records.orders.values() if names(one, address)]
        held = self.records.attendees.values()
        return orders + [(f"attendee {one.id}", one.status) for one in held if names(one, address)]

    def deliveries(self) -> list[dict[str, object]]:
        """Every attempt to call a webhook."""
        return [asdict(one) for one in self.webhooks.deliveries]

    def reset(self) -> None:
        """Empties orders, attendees, hooks, counts, faults and switches; organisations, events and tokens stay."""
        for part in (self.records.orders, self.records.attendees, self.records.hooks, self.pages.places, self.keys):
            part.clear()
        for token in self.tokens.values():
            token.bucket = Bucket()
        self.webhooks, self.pages, self.switches = Webhooks(), Pages(), EventbriteSwitches()
        self.forget_counts()

    def note(self, changes: list[Change]) -> None:
        """Counts what happened, and tells the webhooks."""
        at = self.now()
        for change in changes:
            event = self.records.events.get(change.event_id)
            home = event.organization_id if event else ""
            place = change.record.id if change.record else change.event_id
            was = change.address if folded(change.now) != folded(change.address) else ""
            self.journal.effects.append(Effect(at.timestamp(), home, place, change.kind, change.now or was, was))
        self._tell(changes)

    def _tell(self, changes: list[Change]) -> None:
        if self.records.hooks and changes:
            self.begin(self.webhooks.tell(self.records, changes, self.url))

    # --- one call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        request = Request(scope, receive)
        wire = Wire(scope, receive, send, self.waits.pause)
        try:
            raw = await request.body()
            await self._take(request, raw, wire)
        except ClientDisconnect:
            return

    async def _take(self, request: Request, raw: bytes, wire: Wire) -> None:
        path = str(request.scope["path"])
        if not path.endswith("/"):
            moved = f"{path}/" + (f"?{request.url.query}" if request.url.query else "")
            reply = _refused(Refusal(301, "PERMANENTLY_MOVED", "", ("location", moved)))
            self.journal.calls.append(Call(self.now().timestamp(), "", "moved", 301))
            await send_reply(wire, reply)
            return
        route, named = found(self.routes, path.removeprefix(PREFIX)) if path.startswith(PREFIX + "/") else (None, {})
        template = route.template if route else "?"
        try:
            token = self._token(request)
            headers = self._count(token, template)
        except Refusal as refusal:
            self.journal.calls.append(Call(self.now().timestamp(), "", "unauthenticated", refusal.status))
            await send_reply(wire, _refused(refusal))
            return
        call = Call(self.now().timestamp(), token.value, f"{request.method} {template}", 0)
        target = Target(request.method, template, token.value, lambda address: self._about(request, named, address))

        def work(effect: bool) -> Reply:
            return _with(self._carry_out(route, named, request, raw, token, effect=effect), headers)

        await self.carry(wire, call, target, work, lambda status: _with(_trouble(status), headers))

    def _token(self, request: Request) -> Token:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        given = value.strip() if scheme.lower() == "bearer" else request.query_params.get("token", "")
        if not given:
            raise Refusal(401, "NO_AUTH")
        token = self.tokens.get(given)
        if token is None or token.kind == "api_key":
            raise Refusal(400 if self.switches.auth_400 else 401, "INVALID_AUTH")
        return token

    def _count(self, token: Token, template: str) -> tuple[tuple[str, str], ...]:
        """Counts the call in both buckets; the header that tells of them. Raises `Refusal` 429 or 403."""
        now, key = self.now(), self.keys.setdefault(token.key, Bucket())
        key.limit = token.bucket.limit
        within = [token.bucket.take(now), key.take(now)]
        shown = f"token:{token.value[:8]} {token.bucket.shown(now)}, key:{token.key} {key.shown(now)}"
        headers = (("x-rate-limit", shown),)
        if not all(within):
            raise Refusal(429, "HIT_RATE_LIMIT", "", *headers)
        if token.kind == "public" and template not in PUBLIC:
            raise Refusal(403, "NOT_AUTHORIZED", "", *headers)
        return headers

    def _carry_out(
        self,
        route: Route[Handler] | None,
        named: Mapping[str, str],
        request: Request,
        raw: bytes,
        token: Token,
        *,
        effect: bool,
    ) -> Reply:
        try:
            handler = _handler(route, request.method)
            asked = Asked(
                records=self.records if effect else copy.deepcopy(self.records),
                token=token,
                names=named,
                query=request.query_params,
                body=_json(raw),
                pages=self.pages,
                path=str(request.scope["path"]),
                url=self.url,
                now=self.now(),
                access=not self.switches.drop_access,
                expansion_failed=bool(self.switches.expansion_failed),
            )
            answer = handler(asked)
        except Refusal as refusal:
            return _refused(refusal)
        if effect:
            self.note(list(answer.changes))
        return _reply(answer)

    def _about(self, request: Request, named: Mapping[str, str], address: str) -> bool:
        """Whether the call names this address, in its filters or by the record in its path."""
        query = request.query_params
        if folded(address) in {folded(part) for value in query.getlist("only_emails") for part in value.split(",")}:
            return True
        record = self.records.attendees.get(named.get("attendee_id", "")) or self.records.orders.get(
            named.get("order_id", "")
        )
        return record is not None and names(record, address)


def _handler(route: Route[Handler] | None, method: str) -> Handler:
    if route is None:
        raise Refusal(404, "NOT_FOUND", "The path you requested does not exist.")
    if method not in route.handlers:
        raise Refusal(405, "METHOD_NOT_ALLOWED", "Method is not allowed for this endpoint.")
    return route.handlers[method]


def _reply(answer: Answer) -> Reply:
    return Reply(answer.status, [("content-type", "application/json")], json.dumps(answer.body).encode())


def _refused(refusal: Refusal) -> Reply:
    body = {"status_code": refusal.status, "error": refusal.error, "error_description": refusal.description}
    return _with(_reply(Answer(refusal.status, dict(body))), refusal.headers)


def _trouble(status: int) -> Reply:
    return _refused(Refusal(status, ERRORS.get(status, "INTERNAL_ERROR")))


def _with(reply: Reply, headers: Iterable[tuple[str, str]]) -> Reply:
    return Reply(reply.status, [*reply.headers, *headers], reply.body)


def _json(raw: bytes) -> Mapping[str, object]:
    try:
        body = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError):
        raise Refusal(400, "INVALID_BODY") from None
    if not isinstance(body, dict):
        raise Refusal(400, "INVALID_BODY")
    return body
