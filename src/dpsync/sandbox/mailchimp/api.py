"""The Marketing API 3.0 on loopback: authentication, the limit of ten, counting and faults around the endpoints.

Source: the vendor's pages on errors, rate limits and authentication, and specification 3.0.55, as read in August 2026.
One call is one coroutine and its rules run without waiting in between, so two calls never see a contact half changed.
"""

import base64
import copy
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from dpsync.sandbox.fault_replies import Reply, Wire, send_reply
from dpsync.sandbox.faults import Fault, Target
from dpsync.sandbox.journal import Call, Effect
from dpsync.sandbox.mailchimp.audience import Account, Problem, digest, not_found
from dpsync.sandbox.mailchimp.beside import ROUTES as BESIDE
from dpsync.sandbox.mailchimp.beside import add_members
from dpsync.sandbox.mailchimp.endpoints import ROUTES, Answer, Asked, Handler
from dpsync.sandbox.mailchimp.filling import (
    MailchimpSection,
    MailchimpSwitches,
    PersonActs,
    audience_of,
    by_hand,
    fill,
    holdings,
    set_switches,
)
from dpsync.sandbox.mailchimp.rendering import Json
from dpsync.sandbox.mailchimp.webhooks import Webhooks
from dpsync.sandbox.routes import Route, compiled, found
from dpsync.sandbox.vendor import Vendor

PREFIX = "/3.0"
PARALLEL = 10
LARGEST_REQUEST = 1_000_000
ERRORS = "https://mailchimp.com/developer/marketing/docs/errors/"
LIST = "/lists/{list_id}"
HOOKS = LIST + "/webhooks"
HOOK = HOOKS + "/{webhook_id}"
KINDS = ("created", "patched", "moved", "unsubscribed", "resubscribed", "archived", "deleted", "tagged")


@dataclass(slots=True)
class Mailchimp(Vendor):
    """The vendor: an ASGI application below `/3.0`, with its accounts and webhooks."""

    accounts: dict[str, Account] = field(default_factory=dict)
    by_key: dict[str, Account] = field(default_factory=dict)
    webhooks: Webhooks = field(default_factory=Webhooks)
    routes: list[Route[Handler]] = field(init=False)

    def __post_init__(self) -> None:
        """Compiles the paths; the webhook endpoints need this vendor's own hooks."""
        self.journal.kinds = KINDS
        hooks: dict[str, Mapping[str, Handler]] = {
            HOOKS: {"GET": self.webhooks.listed},
            HOOK: {"DELETE": self.webhooks.remove},
        }
        many: dict[str, Mapping[str, Handler]] = {LIST: {**ROUTES[LIST], "POST": add_members}}
        self.routes = compiled({**ROUTES, **many, **BESIDE, **hooks})

    def open_account(self, name: str, keys: tuple[str, ...]) -> Account:
        """The account of that name, made where it is new; the keys are added to it."""
        account = self.accounts.setdefault(name, Account(name, ()))
        account.keys = tuple(dict.fromkeys([*account.keys, *keys]))
        self.by_key |= dict.fromkeys(keys, account)
        return account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        request = Request(scope, receive)
        request_id = str(uuid.uuid4())
        wire = Wire(scope, receive, send, self.waits.pause)
        account = self._account(request)
        if account is None:
            problem = Problem(
                401,
                "API Key Invalid",
                "Your API key may be invalid, or you've attempted to access the wrong datacenter.",
            )
            self.journal.calls.append(Call(self.now().timestamp(), "", "unauthenticated", 401))
            await send_reply(wire, reply_of(_refusal(problem), request_id))
            return
        running = self.journal.enter(account.name)
        try:
            await self._admitted(account, running, request, wire, request_id)
        except ClientDisconnect:
            return
        finally:
            self.journal.leave(account.name)

    def _account(self, request: Request) -> Account | None:
        if request.headers.get("x-trigger-error") == "APIKeyMissing":
            return None
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.by_key.get(value.strip())
        if scheme.lower() != "basic":
            return None
        try:
            _, colon, key = base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")
        except ValueError:
            return None
        return self.by_key.get(key) if colon else None

    async def _admitted(self, account: Account, running: int, request: Request, wire: Wire, request_id: str) -> None:
        path = str(request.scope["path"])
        route, names = self._route(path)
        call = Call(self.now().timestamp(), account.name, f"{request.method} {route.template if route else '?'}", 0)
        self.journal.calls.append(call)
        raw = await request.body()
        if running > PARALLEL:
            problem = Problem(
                429, "TooManyRequests", f"You have exceeded the limit of {PARALLEL} simultaneous connections."
            )
            call.status = 429
            await send_reply(wire, reply_of(_refusal(problem), request_id))
            return
        await self.waits.pause(self.latency)
        try:
            asked = self._asked(account, names, request, raw)
        except Problem as problem:
            call.status = problem.status
            await send_reply(wire, reply_of(_refusal(problem), request_id))
            return
        template = route.template if route else path
        fault = self.faults.take(Target(request.method, template, account.name, lambda address: _about(asked, address)))
        if fault is None:
            answer = await self._carry_out(route, request.method, asked)
        else:
            answer = await self._under(fault, route, request.method, asked)
        await self.answer(wire, call, fault, reply_of(answer, request_id), lambda status: _trouble(status, request_id))

    def _route(self, path: str) -> tuple[Route[Handler] | None, Mapping[str, str]]:
        return found(self.routes, path.removeprefix(PREFIX) or "/") if path.startswith(PREFIX) else (None, {})

    def _asked(self, account: Account, names: Mapping[str, str], request: Request, raw: bytes) -> Asked:
        return Asked(
            account=account,
            list_id=names.get("list_id", ""),
            reference=names.get("subscriber_hash", names.get("webhook_id", "")),
            query=request.query_params,
            body=_json(raw),
            now=self.now().astimezone(UTC).isoformat(timespec="seconds"),
            part=names.get("merge_id", names.get("note_id", "")),
        )

    async def _under(self, fault: Fault, route: Route[Handler] | None, method: str, asked: Asked) -> Answer:
        if fault.takes_effect:
            return await self._carry_out(route, method, asked)
        audience = asked.account.audiences.get(asked.list_id)
        if audience is None or route is None or route.template == HOOKS:
            return await self._carry_out(route, method, asked) if method == "GET" else Answer(200, {})
        # Carried out on a copy: the answer is the right one, and nothing has happened.
        asked.account.audiences[audience.id] = copy.deepcopy(audience)
        try:
            return _answer(route, method, asked)
        finally:
            asked.account.audiences[audience.id] = audience

    async def _carry_out(self, route: Route[Handler] | None, method: str, asked: Asked) -> Answer:
        if route is not None and route.template == HOOKS and method == "POST":
            try:
                return await self.webhooks.register(asked)
            except Problem as problem:
                return _refusal(problem)
        answer = _answer(route, method, asked)
        self.note(asked.account, answer, "api")
        return answer

    def note(self, account: Account, answer: Answer, source: str) -> None:
        """Counts what an answer changed, and tells the webhooks that listen to this source."""
        at = self.now()
        for change in answer.changes:
            address = change.member.email_address
            self.journal.effects.append(
                Effect(at.timestamp(), account.name, change.audience.id, change.kind, address, change.was)
            )
            if self.webhooks.hooks:
                fired_at = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
                frozen = copy.copy(change.member)
                told = self.webhooks.tell(replace(change, member=frozen), source, fired_at, int(at.timestamp()))
                self.begin(told)

    def fill(self, section: MailchimpSection) -> None:
        """Adds what a scenario says. Raises `Problem` for what the vendor itself would refuse."""
        for seeded in section.accounts:
            account = self.open_account(seeded.name, seeded.keys)
            for part in seeded.audiences:
                fill(audience_of(account, part.id, part.name, self.now()), part, self.now())
        for fault in section.faults:
            self.faults.add(fault)
        self._set(section.switches)

    def switch(self, **switches: object) -> None:
        """Sets the switches that are given; see MailchimpSwitches."""
        self._set(MailchimpSwitches.model_validate(switches))

    def _set(self, switches: MailchimpSwitches) -> None:
        if switches.latency_ms is not None:
            self.latency = switches.latency_ms / 1000
        set_switches(switches, self.accounts.values(), self.webhooks)

    def act(self, **asked: object) -> int:
        """Something done by hand; see PersonActs. How many audiences were concerned."""
        wanted, done = PersonActs.model_validate(asked), 0
        for account in self.accounts.values():
            for change in by_hand(account, wanted):
                self.note(account, Answer(200, None, (change,)), wanted.source)
                done += 1
        return done

    def holds(self, address: str) -> list[tuple[str, str]]:
        """(audience, status) wherever the address is held; an erased address is held nowhere."""
        held = holdings(self.accounts.values(), address)
        return [(one.list_id, one.status) for one in held if one.status != "forgotten"]

    def shown(self, address: str) -> list[dict[str, object]]:
        """Every contact of the address, and where it is refused for ever."""
        held = holdings(self.accounts.values(), address)
        return [asdict(one) | {"merge_fields": dict(one.merge_fields)} for one in held]

    def deliveries(self) -> list[dict[str, object]]:
        """Every attempt to call a webhook."""
        return [asdict(one) for one in self.webhooks.deliveries]

    def reset(self) -> None:
        """Empties everything; accounts keep their keys."""
        for account in self.accounts.values():
            account.audiences.clear()
            account.search = None
        self.webhooks.hooks.clear()
        self.webhooks.deliveries.clear()
        self.forget_counts()


def reply_of(answer: Answer, request_id: str) -> Reply:
    """The answer as the vendor sends it: JSON, problem+json for a refusal, nothing below a 204."""
    headers = [("x-request-id", request_id)]
    if answer.allow:
        headers.append(("allow", answer.allow))
    if answer.body is None:
        return Reply(answer.status, headers, b"")
    body = answer.body
    kind = "application/json; charset=utf-8"
    if answer.status >= 400:
        kind = "application/problem+json; charset=utf-8"
        body = {**body, "instance": request_id}
    return Reply(answer.status, [("content-type", kind), *headers], json.dumps(body).encode())


def _trouble(status: int, request_id: str) -> Reply:
    title = {429: "TooManyRequests", 403: "Forbidden", 401: "API Key Invalid"}.get(status, "InternalServerError")
    return reply_of(_refusal(Problem(status, title, "Please try again later.")), request_id)


def _refusal(problem: Problem) -> Answer:
    body: Json = {"type": ERRORS, "title": problem.title, "status": problem.status, "detail": problem.detail}
    if problem.errors:
        body["errors"] = problem.errors
    return Answer(problem.status, body, allow=problem.allow)


def _answer(route: Route[Handler] | None, method: str, asked: Asked) -> Answer:
    if route is None:
        return _refusal(not_found())
    handler = route.handlers.get(method)
    if handler is None:
        detail = "The requested method and resource are not compatible."
        return _refusal(Problem(405, "Method Not Allowed", detail, allow=", ".join(route.handlers)))
    try:
        return handler(asked)
    except Problem as problem:
        return _refusal(problem)


def _json(raw: bytes) -> Mapping[str, object]:
    if not raw:
        return {}
    if len(raw) > LARGEST_REQUEST:
        raise Problem(400, "Bad Request", "The request is too large.")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as damaged:
        raise Problem(400, "JSON Parse Exception", "We encountered an unspecified JSON parsing error.") from damaged
    if body is None:
        # what the official Python client sends where a call has no body
        return {}
    if not isinstance(body, dict):
        raise Problem(400, "Invalid Resource", "The resource submitted could not be validated: an object is expected.")
    return body


def _about(asked: Asked, address: str) -> bool:
    """Whether the call names this address: in its path by hash, address or contact id, its query or its body."""
    wanted = address.strip().lower()
    if asked.reference in {digest(wanted), wanted} or asked.reference.lower() == wanted:
        return True
    if wanted in {value.lower() for value in asked.query.values()}:
        return True
    if str(asked.body.get("email_address", "")).lower() == wanted:
        return True
    audience = asked.account.audiences.get(asked.list_id)
    member = audience.contacts.get(asked.reference) if audience else None
    return member is not None and member.email_address.lower() == wanted
