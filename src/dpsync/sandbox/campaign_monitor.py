"""The Campaign Monitor API v3.3 on loopback: authentication, OAuth, XML and JSON, counting and faults.

Source: the vendor notes on API v3.3. One call is one coroutine and its rules run without waiting in between, so two
calls never see a subscriber half changed.
"""

import asyncio
import base64
import copy
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from dpsync.sandbox.campaign_monitor_account import (
    MESSAGES,
    Account,
    Acts,
    Change,
    Client,
    Refusal,
    Subscriber,
    SubscriberList,
    Token,
    add,
    by_hand,
    folded,
    holdings,
    made_id,
)
from dpsync.sandbox.campaign_monitor_endpoints import BY_STATE, LIST, ROUTES, Answer, Asked, Handler, in_state
from dpsync.sandbox.campaign_monitor_webhooks import Webhooks
from dpsync.sandbox.endpoints import pattern_of
from dpsync.sandbox.fault_replies import Reply, Wire, perform, send_reply
from dpsync.sandbox.faults import Fault, Queue, Target
from dpsync.sandbox.journal import Call, Effect, Journal

PREFIX = "/api/v3.3"
TOKEN = "/oauth/token"
HOOKS = f"{LIST}/webhooks"
HOOK = f"{HOOKS}/{{part}}"
LIVES = 1_209_600


@dataclass(frozen=True, slots=True)
class Route:
    """One path template with its methods."""

    template: str
    pattern: re.Pattern[str]
    handlers: Mapping[str, Handler]


def concerns(path: str) -> bool:
    """Whether a path belongs to this vendor."""
    return path.startswith(PREFIX + "/") or path == TOKEN


@dataclass(slots=True)
class CampaignMonitor:
    """The vendor: an ASGI application below `/api/v3.3` and at `/oauth/token`, with its journal and its switches.

    `now` gives the time as an aware datetime; `latency`: seconds each call takes; `wake` ends the waits of now.
    `limited`: (remaining, seconds to reset) as every answer shows them, None: no such headers.
    """

    now: Callable[[], datetime]
    latency: float = 0.0
    accounts: dict[str, Account] = field(default_factory=dict)
    journal: Journal = field(default_factory=Journal)
    faults: Queue = field(default_factory=Queue)
    webhooks: Webhooks = field(default_factory=Webhooks)
    limited: tuple[int, int] | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: bool = False
    routes: list[Route] = field(init=False)
    background: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Compiles the paths; the webhook endpoints need this vendor's own hooks."""
        hooks: dict[str, Mapping[str, Handler]] = {
            HOOKS: {"GET": self.webhooks.listed, "POST": self.webhooks.register},
            HOOK: {"DELETE": self.webhooks.remove},
            f"{HOOK}/activate": {"PUT": self.webhooks.activate},
            f"{HOOK}/deactivate": {"PUT": self.webhooks.deactivate},
        }
        by_state = {BY_STATE: {"GET": in_state}}
        self.routes = [Route(path, pattern_of(path), table) for path, table in {**ROUTES, **hooks, **by_state}.items()]

    # --- filling and acting: what tests, scenarios and the web app do

    def open_account(self, name: str, keys: Iterable[str] = ()) -> Account:
        """The account of that name, made where it is new; the keys, which see every client, are added to it."""
        account = self.accounts.setdefault(name, Account(name))
        account.keys = tuple(dict.fromkeys([*account.keys, *keys]))
        return account

    def open_list(
        self, account: Account, client: str, title: str, *, reach: str = "AllClientLists", **fields: str
    ) -> SubscriberList:
        """The list of that title at that client, both made where they are new; `fields`: type by name."""
        client_id = made_id(account.name, client)
        home = account.clients.setdefault(client_id, Client(client_id, client))
        list_id = made_id(account.name, client, title)
        held = home.lists.setdefault(list_id, SubscriberList(list_id, title, reach))
        held.fields |= {name.replace("_", " "): kind for name, kind in fields.items()}
        return held

    def give_token(self, account: Account, access: str, refresh: str) -> None:
        """Lets a token pair open the account."""
        account.tokens[access] = Token(refresh=refresh)

    def plant(self, held: SubscriberList, subscriber: Subscriber) -> None:
        """Adds one subscriber as it is described, in whatever state."""
        stamp = self.now().strftime("%Y-%m-%d %H:%M:%S")
        subscriber.date, subscriber.joined = subscriber.date or stamp, subscriber.joined or stamp
        held.members[folded(subscriber.address)] = subscriber

    def act(self, address: str, deed: Acts, list_id: str | None = None) -> int:
        """Something done at the vendor by hand, by the person or in the web app; how many changes it made.

        `erase` is the one erasure there is: it removes for good, from every list, and suppresses nothing.
        """
        done = 0
        for account in self.accounts.values():
            stamp = account.stamp(self.now())
            for client in account.clients.values():
                changes = by_hand(account, client, folded(address), deed, list_id, stamp)
                self.note(account, changes)
                done += len(changes)
        return done

    def holds(self, address: str) -> list[tuple[str, str]]:
        """(list or client id, state) wherever the address is, `Suppressed` for a suppression list."""
        return [one for account in self.accounts.values() for one in holdings(account, folded(address))]

    def run_queue(self) -> int:
        """Carries out what was added and only queued; how many."""
        done = 0
        for account in self.accounts.values():
            waiting, account.waiting = account.waiting, []
            for place, body in waiting:
                client = next(one for one in account.clients.values() if place in one.lists)
                self.note(account, [add(client, client.lists[place], body, account.stamp(self.now()))])
                done += 1
        return done

    def reset(self) -> None:
        """Empties clients, hooks, counts and faults; accounts keep their keys."""
        for account in self.accounts.values():
            account.clients.clear()
            account.waiting.clear()
        self.journal.clear()
        self.faults.clear()
        self.webhooks.hooks.clear()
        self.webhooks.deliveries.clear()
        self.limited = None

    def note(self, account: Account, changes: Iterable[Change]) -> None:
        """Counts what happened, and tells the webhooks."""
        at = self.now()
        told = []
        for change in changes:
            place = change.list_id or change.client_id
            self.journal.effects.append(
                Effect(at.timestamp(), account.name, place, change.kind, change.address, change.was)
            )
            told.append(replace(change, member=copy.copy(change.member)))
        if self.webhooks.hooks and told:
            self.webhooks.delete_fires = account.switches.delete_fires
            task = asyncio.get_running_loop().create_task(self.webhooks.tell(told, account.stamp(at), at))
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

    # --- one call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        request = Request(scope, receive)
        wire = Wire(scope, receive, send, self.pause)
        path = str(scope["path"])
        try:
            raw = await request.body()
            if path == TOKEN:
                await self._exchange(request.method, raw, wire)
                return
            try:
                account, visible = self._opened(request)
            except Refusal as refusal:
                self.journal.calls.append(Call(self.now().timestamp(), "", "unauthenticated", refusal.status))
                await send_reply(wire, self._reply(_refused(refusal), request))
                return
            self.journal.enter(account.name)
            try:
                await self._admitted(account, visible, request, raw, wire)
            finally:
                self.journal.leave(account.name)
        except ClientDisconnect:
            return

    def _opened(self, request: Request) -> tuple[Account, frozenset[str]]:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        for account in self.accounts.values():
            everything = frozenset(account.clients)
            if scheme.lower() == "bearer" and value.strip() in account.tokens:
                state = account.tokens[value.strip()].state
                if state != "good":
                    raise Refusal({"expired": 121, "revoked": 122}[state], status=401)
                return account, everything
            key = _user(value) if scheme.lower() == "basic" else ""
            if key in account.keys:
                return account, everything
            if key in account.client_keys:
                return account, frozenset({account.client_keys[key]})
        raise Refusal(120 if scheme.lower() == "bearer" else 100, status=401)

    async def _admitted(
        self, account: Account, visible: frozenset[str], request: Request, raw: bytes, wire: Wire
    ) -> None:
        path = re.sub(r"\.(json|xml)$", "", str(request.scope["path"]).removeprefix(PREFIX))
        route, names = self._route(path)
        template = route.template if route else "?"
        call = Call(self.now().timestamp(), account.name, f"{request.method} {template}", 0)
        self.journal.calls.append(call)
        await self.pause(self.latency)
        asked = Asked(
            account=account,
            visible=visible,
            place=names.get("list_id", names.get("client_id", "")),
            part=names.get("part", ""),
            query=request.query_params,
            body=_json(raw),
            now=account.stamp(self.now()),
        )
        fault = self.faults.take(Target(request.method, template, account.name, lambda address: _about(asked, address)))
        answer = self._carry_out(route, request.method, asked, effect=fault is None or fault.takes_effect)
        reply = self._reply(answer, request)
        if fault is None:
            call.status = reply.status
            await send_reply(wire, reply)
            return
        self.journal.faults[fault.kind] += 1
        if fault.kind == "status" and fault.body is None:
            # the vendor's own envelope, and above a limit its own headers instead of Retry-After
            reply, call.status = self._trouble(fault, request), fault.status
            await send_reply(wire, reply)
            return
        call.status = await perform(fault, wire, reply, "")

    def _route(self, path: str) -> tuple[Route | None, Mapping[str, str]]:
        for route in self.routes:
            if match := route.pattern.fullmatch(path):
                return route, match.groupdict()
        return None, {}

    def _carry_out(self, route: Route | None, method: str, asked: Asked, *, effect: bool) -> Answer:
        handler = route.handlers.get(method) if route else None
        if handler is None:
            return _refused(Refusal(404, status=404))
        if asked.account.switches.no_permission:
            return _refused(Refusal(60, status=401))
        account, held, hooks = asked.account, asked.account.clients, dict(self.webhooks.hooks)
        if not effect:
            # Carried out on a copy: the answer is the right one, and nothing has happened.
            account.clients = copy.deepcopy(held)
        try:
            answer = handler(asked)
        except Refusal as refusal:
            return _refused(refusal)
        finally:
            account.clients = held
            if not effect:
                self.webhooks.hooks.clear()
                self.webhooks.hooks.update(hooks)
        if effect:
            self.note(account, answer.changes)
        return answer

    def _reply(self, answer: Answer, request: Request) -> Reply:
        """JSON where it was asked for by suffix or header, else XML; below a bare 200 nothing."""
        headers = self._limits()
        if answer.body is None:
            return Reply(answer.status, headers, b"")
        path, accepts = str(request.scope["path"]), request.headers.get("accept", "")
        if path.endswith(".json") or (not path.endswith(".xml") and "application/json" in accepts):
            body, kind = json.dumps(answer.body).encode(), "application/json; charset=utf-8"
        else:
            body, kind = f'<?xml version="1.0"?>{_xml("Result", answer.body)}'.encode(), "application/xml"
        return Reply(answer.status, [("content-type", kind), *headers], body)

    def _limits(self) -> list[tuple[str, str]]:
        if self.limited is None:
            return []
        remaining, reset = self.limited
        names = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
        return list(zip(names, ("60", str(remaining), str(reset)), strict=True))

    def _trouble(self, fault: Fault, request: Request) -> Reply:
        messages = {429: "Rate limit exceeded", 500: "Sorry, we've run into a problem"}
        body = {"Code": fault.status, "Message": messages.get(fault.status, "Not available")}
        reply = self._reply(Answer(fault.status, body), request)
        later = [("retry-after", fault.retry_after)] if fault.retry_after is not None else []
        limits = [("x-ratelimit-limit", "60"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "348")]
        return Reply(reply.status, [*reply.headers, *later, *(limits if fault.status == 429 else [])], reply.body)

    async def _exchange(self, method: str, raw: bytes, wire: Wire) -> None:
        """A refresh token for a new pair; the old pair is used up."""
        form = {name: values[0] for name, values in parse_qs(raw.decode("latin-1")).items()}
        fault = self.faults.take(Target(method, TOKEN, "", lambda _: False))
        answer = self._renewed(form)
        reply = Reply(answer.status, [("content-type", "application/json")], json.dumps(answer.body).encode())
        call = Call(self.now().timestamp(), "", f"{method} {TOKEN}", reply.status)
        self.journal.calls.append(call)
        if fault is None:
            await send_reply(wire, reply)
            return
        self.journal.faults[fault.kind] += 1
        call.status = await perform(fault, wire, reply, "")

    def _renewed(self, form: Mapping[str, str]) -> Answer:
        for account in self.accounts.values():
            for access, token in list(account.tokens.items()):
                known = token.refresh == form.get("refresh_token") and token.state != "revoked"
                if known and form.get("grant_type") == "refresh_token":
                    del account.tokens[access]
                    fresh = (made_id(access, "access"), made_id(access, "refresh"))
                    account.tokens[fresh[0]] = Token(refresh=fresh[1])
                    body = {"access_token": fresh[0], "expires_in": LIVES, "refresh_token": fresh[1]}
                    return Answer(200, body)
        return Answer(400, {"error": "invalid_grant", "error_description": "The token is not known or was used up"})


def _user(value: str) -> str:
    """The user name is the key; whatever stands for a password is passed over."""
    try:
        return base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")[0]
    except ValueError:
        return ""


def _refused(refusal: Refusal) -> Answer:
    body: dict[str, object] = {"Code": refusal.code, "Message": MESSAGES[refusal.code]}
    return Answer(refusal.status, body)


def _json(raw: bytes) -> Mapping[str, object]:
    try:
        body = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _xml(name: str, value: object) -> str:
    if isinstance(value, dict):
        inner = "".join(_xml(key, one) for key, one in value.items())
    elif isinstance(value, list):
        inner = "".join(_xml("Item", one) for one in value)
    else:
        inner = escape(str(value))
    return f"<{name}>{inner}</{name}>"


def _about(asked: Asked, address: str) -> bool:
    """Whether the call names this address, in its query or its body."""
    said = [asked.query.get("email", ""), asked.body.get("EmailAddress", "")]
    several = asked.body.get("EmailAddresses")
    said += several if isinstance(several, list) else []
    return folded(address) in {folded(str(one)) for one in said}
