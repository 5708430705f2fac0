"""The Marketing API 3.0 on loopback: authentication, the limit of ten, counting and faults around the endpoints.

Source: the vendor notes on the Marketing API 3.0. One call is one coroutine and its rules run without waiting in
between, so two calls never see a contact half changed.
"""

import asyncio
import base64
import copy
import json
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from dpsync.sandbox.audience import Account, Problem, digest, not_found
from dpsync.sandbox.endpoints import ROUTES, Answer, Asked, Handler, pattern_of
from dpsync.sandbox.fault_replies import Reply, Wire, perform, send_reply
from dpsync.sandbox.faults import Fault, Queue, Target
from dpsync.sandbox.journal import Call, Effect, Journal
from dpsync.sandbox.rendering import Json
from dpsync.sandbox.webhooks import Webhooks

PREFIX = "/3.0"
PARALLEL = 10
LARGEST_REQUEST = 1_000_000
ERRORS = "https://mailchimp.com/developer/marketing/docs/errors/"
HOOKS = "/lists/{list_id}/webhooks"
HOOK = HOOKS + "/{webhook_id}"
AsyncHandler = Callable[[Asked], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """One path template with its methods."""

    template: str
    pattern: re.Pattern[str]
    handlers: Mapping[str, Handler]


@dataclass(slots=True)
class Mailchimp:
    """The vendor: an ASGI application below `/3.0`, with its accounts, its journal and its switches.

    `now` gives the time as an aware datetime; `latency`: seconds each call takes; `wake` ends the waits of now.
    """

    now: Callable[[], datetime]
    latency: float = 0.0
    accounts: dict[str, Account] = field(default_factory=dict)
    by_key: dict[str, Account] = field(default_factory=dict)
    journal: Journal = field(default_factory=Journal)
    faults: Queue = field(default_factory=Queue)
    webhooks: Webhooks = field(default_factory=Webhooks)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: bool = False
    routes: list[Route] = field(init=False)
    background: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Compiles the paths; the webhook endpoints need this vendor's own hooks."""
        hooks: dict[str, Mapping[str, Handler]] = {
            HOOKS: {"GET": self.webhooks.listed},
            HOOK: {"DELETE": self.webhooks.remove},
        }
        self.routes = [Route(path, pattern_of(path), handlers) for path, handlers in {**ROUTES, **hooks}.items()]

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
        wire = Wire(scope, receive, send, self.pause)
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
        path = str(request.scope["path"]).removeprefix(PREFIX) or "/"
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
        await self.pause(self.latency)
        try:
            asked = self._asked(account, names, request, raw)
        except Problem as problem:
            call.status = problem.status
            await send_reply(wire, reply_of(_refusal(problem), request_id))
            return
        template = route.template if route else path
        fault = self.faults.take(Target(request.method, template, account.name, lambda address: _about(asked, address)))
        if fault is None:
            reply = reply_of(await self._carry_out(route, request.method, asked), request_id)
            call.status = reply.status
            await send_reply(wire, reply)
            return
        self.journal.faults[fault.kind] += 1
        answer = await self._under(fault, route, request.method, asked)
        call.status = await perform(fault, wire, reply_of(answer, request_id), request_id)

    def _route(self, path: str) -> tuple[Route | None, Mapping[str, str]]:
        for route in self.routes:
            if match := route.pattern.fullmatch(path):
                return route, match.groupdict()
        return None, {}

    def _asked(self, account: Account, names: Mapping[str, str], request: Request, raw: bytes) -> Asked:
        return Asked(
            account=account,
            list_id=names.get("list_id", ""),
            reference=names.get("subscriber_hash", names.get("webhook_id", "")),
            query=request.query_params,
            body=_json(raw),
            now=self.now().astimezone(UTC).isoformat(timespec="seconds"),
        )

    async def _under(self, fault: Fault, route: Route | None, method: str, asked: Asked) -> Answer:
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

    async def _carry_out(self, route: Route | None, method: str, asked: Asked) -> Answer:
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
                task = asyncio.get_running_loop().create_task(told)
                self.background.add(task)
                task.add_done_callback(self.background.discard)

    async def delivered(self) -> None:
        """Returns once every webhook sent so far has been answered or given up."""
        if self.background:
            await asyncio.gather(*self.background)

    def release(self) -> None:
        """Ends every hang, drip and latency of this moment; later ones wait again."""
        self.wake.set()
        self.wake = asyncio.Event()

    def stop(self) -> None:
        """Ends every wait, and lets nothing wait again."""
        self.stopping = True
        self.release()

    async def pause(self, seconds: float) -> None:
        """Waits that long, or until released or stopped."""
        if seconds <= 0 or self.stopping:
            return
        try:
            await asyncio.wait_for(self.wake.wait(), seconds)
        except TimeoutError:
            return


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


def _refusal(problem: Problem) -> Answer:
    body: Json = {"type": ERRORS, "title": problem.title, "status": problem.status, "detail": problem.detail}
    if problem.errors:
        body["errors"] = problem.errors
    return Answer(problem.status, body, allow=problem.allow)


def _answer(route: Route | None, method: str, asked: Asked) -> Answer:
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
