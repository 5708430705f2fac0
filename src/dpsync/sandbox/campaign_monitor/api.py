"""The Campaign Monitor API v3.3 on loopback: authentication, OAuth, XML and JSON, counting and faults.

Source: the reference of API v3.3 as read in August 2026. One call is one coroutine and its rules run without waiting in
between, so two calls never see a subscriber half changed.
"""

import base64
import copy
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from urllib.parse import parse_qs
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from dpsync.sandbox.campaign_monitor.account import (
    MESSAGES,
    Account,
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
from dpsync.sandbox.campaign_monitor.endpoints import BY_STATE, LIST, ROUTES, Answer, Asked, Handler, in_state
from dpsync.sandbox.campaign_monitor.filling import (
    CampaignMonitorSection,
    CampaignMonitorSwitches,
    PersonActs,
    subscriber,
)
from dpsync.sandbox.campaign_monitor.webhooks import Webhooks
from dpsync.sandbox.fault_replies import Reply, Wire, send_reply
from dpsync.sandbox.faults import Target
from dpsync.sandbox.journal import Call, Effect
from dpsync.sandbox.routes import Route, compiled, found
from dpsync.sandbox.vendor import Vendor

PREFIX = "/api/v3.3"
TOKEN = "/oauth/token"
HOOKS = f"{LIST}/webhooks"
HOOK = f"{HOOKS}/{{part}}"
LIVES = 1_209_600


@dataclass(slots=True)
class CampaignMonitor(Vendor):
    """The vendor: an ASGI application below `/api/v3.3` and at `/oauth/token`.

    `limited`: (remaining, seconds to reset) as every answer shows them, None: no such headers.
    """

    accounts: dict[str, Account] = field(default_factory=dict)
    webhooks: Webhooks = field(default_factory=Webhooks)
    limited: tuple[int, int] | None = None
    routes: list[Route[Handler]] = field(init=False)

    def __post_init__(self) -> None:
        """Compiles the paths; the webhook endpoints need this vendor's own hooks."""
        hooks: dict[str, Mapping[str, Handler]] = {
            HOOKS: {"GET": self.webhooks.listed, "POST": self.webhooks.register},
            HOOK: {"DELETE": self.webhooks.remove},
            f"{HOOK}/activate": {"PUT": self.webhooks.activate},
            f"{HOOK}/deactivate": {"PUT": self.webhooks.deactivate},
        }
        self.routes = compiled({**ROUTES, **hooks, BY_STATE: {"GET": in_state}})

    # --- filling and acting: what tests, scenarios and the web app do

    def open_account(self, name: str, keys: Iterable[str] = ()) -> Account:
        """The account of that name, made where it is new; the keys, which see every client, are added to it."""
        account = self.accounts.setdefault(name, Account(name))
        account.keys = tuple(dict.fromkeys([*account.keys, *keys]))
        return account

    def open_client(self, account: Account, name: str) -> Client:
        """The client of that name, made where it is new."""
        client_id = made_id(account.name, name)
        return account.clients.setdefault(client_id, Client(client_id, name))

    def open_list(
        self, account: Account, client: str, title: str, *, reach: str = "AllClientLists", **fields: str
    ) -> SubscriberList:
        """The list of that title at that client, both made where they are new; `fields`: type by name."""
        home = self.open_client(account, client)
        list_id = made_id(account.name, client, title)
        held = home.lists.setdefault(list_id, SubscriberList(list_id, title, reach))
        held.fields |= {name.replace("_", " "): kind for name, kind in fields.items()}
        return held

    def give_token(self, account: Account, access: str, refresh: str) -> None:
        """Lets a token pair open the account."""
        account.tokens[access] = Token(refresh=refresh)

    def plant(self, held: SubscriberList, subscriber: Subscriber) -> None:
        """Adds one subscriber as it is described, in whatever state."""
        home = next(account for account in self.accounts.values() if held in account.lists)
        stamp = home.stamp(self.now())
        subscriber.date, subscriber.joined = subscriber.date or stamp, subscriber.joined or stamp
        held.members[folded(subscriber.address)] = subscriber

    def fill(self, section: CampaignMonitorSection) -> None:
        """Adds what a scenario says."""
        for seeded in section.accounts:
            account = self.open_account(seeded.name, seeded.keys)
            account.zone = ZoneInfo(seeded.zone)
            for client in seeded.clients:
                for part in client.lists:
                    types = {name: one if isinstance(one, str) else one.type for name, one in part.fields.items()}
                    held = self.open_list(account, client.name, part.title, reach=part.reach, **types)
                    given = {name: one.options for name, one in part.fields.items() if not isinstance(one, str)}
                    held.options |= given
                    for one in part.subscribers:
                        self.plant(held, subscriber(one))
                for address in client.suppressed:
                    home = self.open_client(account, client.name)
                    home.suppress(address, "Reason Unavailable", account.stamp(self.now()))
        for fault in section.faults:
            self.faults.add(fault)
        self._set(section.switches)

    def switch(self, **switches: object) -> None:
        """Sets the switches that are given, at every account; see CampaignMonitorSwitches."""
        self._set(CampaignMonitorSwitches.model_validate(switches))

    def _set(self, switches: CampaignMonitorSwitches) -> None:
        given = switches.model_dump(exclude_none=True)
        self.latency = given.pop("latency_ms", self.latency * 1000) / 1000
        self.webhooks.duplicates = given.pop("webhooks_duplicated", self.webhooks.duplicates)
        for account in self.accounts.values():
            for name, value in given.items():
                setattr(account.switches, name, value)

    def act(self, **asked: object) -> int:
        """Something done by hand, by the person or in the web app; see PersonActs. How many changes it made.

        `erase` is the one erasure there is: it removes for good, from every list, and suppresses nothing.
        """
        wanted, done = PersonActs.model_validate(asked), 0
        for account in self.accounts.values():
            stamp = account.stamp(self.now())
            for client in account.clients.values():
                about = (folded(wanted.address), wanted.act, wanted.list_id, stamp, wanted.name)
                changes = by_hand(account, client, *about)
                self.note(account, changes)
                done += len(changes)
        return done

    def holds(self, address: str) -> list[tuple[str, str]]:
        """(list or client id, state) wherever the address is, `Suppressed` for a suppression list."""
        return [one for account in self.accounts.values() for one in holdings(account, folded(address))]

    def deliveries(self) -> list[dict[str, object]]:
        """Every attempt to call a webhook."""
        return [asdict(one) for one in self.webhooks.deliveries]

    def tick(self) -> int:
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
        self.forget_counts()
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
            self.begin(self.webhooks.tell(told, account.stamp(at), at))

    # --- one call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        request = Request(scope, receive)
        wire = Wire(scope, receive, send, self.waits.pause)
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
        path = str(request.scope["path"])
        route, names = found(self.routes, re.sub(r"\.(json|xml)$", "", path.removeprefix(PREFIX)))
        if not path.startswith(PREFIX):
            route = None
        template = route.template if route else "?"
        call = Call(self.now().timestamp(), account.name, f"{request.method} {template}", 0)
        self.journal.calls.append(call)
        await self.waits.pause(self.latency)
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
        await self.answer(
            wire, call, fault, self._reply(answer, request), lambda status: self._trouble(status, request)
        )

    def _carry_out(self, route: Route[Handler] | None, method: str, asked: Asked, *, effect: bool) -> Answer:
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

    def _trouble(self, status: int, request: Request) -> Reply:
        """The vendor's own envelope, and above its limit its own headers instead of Retry-After."""
        messages = {429: "Rate limit exceeded", 500: "Sorry, we've run into a problem"}
        reply = self._reply(Answer(status, {"Code": status, "Message": messages.get(status, "Not available")}), request)
        if status != 429:
            return reply
        return reply.changed(x_ratelimit_limit="60", x_ratelimit_remaining="0", x_ratelimit_reset="348")

    async def _exchange(self, method: str, raw: bytes, wire: Wire) -> None:
        """A refresh token for a new pair; the old pair is used up, unless the switch says that the token stays."""
        form = {name: values[0] for name, values in parse_qs(raw.decode("latin-1")).items()}
        fault = self.faults.take(Target(method, TOKEN, "", lambda _: False))
        before = {name: dict(account.tokens) for name, account in self.accounts.items()}
        answer = self._renewed(form)
        if fault is not None and not fault.takes_effect:
            for name, tokens in before.items():
                self.accounts[name].tokens = tokens
        reply = Reply(answer.status, [("content-type", "application/json")], json.dumps(answer.body).encode())
        call = Call(self.now().timestamp(), "", f"{method} {TOKEN}", reply.status)
        self.journal.calls.append(call)
        await self.answer(wire, call, fault, reply, _oauth_trouble)

    def _renewed(self, form: Mapping[str, str]) -> Answer:
        for account in self.accounts.values():
            for access, token in list(account.tokens.items()):
                known = token.refresh == form.get("refresh_token") and token.state != "revoked"
                if known and form.get("grant_type") == "refresh_token":
                    del account.tokens[access]
                    stays = account.switches.refresh_stays
                    fresh = (made_id(access, "access"), token.refresh if stays else made_id(access, "refresh"))
                    account.tokens[fresh[0]] = Token(refresh=fresh[1])
                    body = {"access_token": fresh[0], "expires_in": LIVES, "refresh_token": fresh[1]}
                    return Answer(200, body)
        return Answer(400, {"error": "invalid_grant", "error_description": "The token is not known or was used up"})


def _oauth_trouble(status: int) -> Reply:
    body = {"error": "server_error", "error_description": "Not available"}
    return Reply(status, [("content-type", "application/json")], json.dumps(body).encode())


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
