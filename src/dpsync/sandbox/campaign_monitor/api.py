"""The Campaign Monitor API v3.3 on loopback: keys and tokens, XML and JSON, the web app.

Source: the reference of API v3.3 as read in August 2026.
"""

import copy
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

from dpsync.sandbox.api import Api
from dpsync.sandbox.asked import Header, Json, folded
from dpsync.sandbox.campaign_monitor.account import (
    Account,
    CampaignMonitorSwitches,
    Change,
    Client,
    Held,
    Refusal,
    Subscriber,
    SubscriberList,
    Token,
    made_id,
)
from dpsync.sandbox.campaign_monitor.asked import VERSION, Asked
from dpsync.sandbox.campaign_monitor.endpoints import ROUTES, TOKEN
from dpsync.sandbox.campaign_monitor.filling import CampaignMonitorSection, PersonActs, subscriber
from dpsync.sandbox.campaign_monitor.rules import add, by_hand, holdings
from dpsync.sandbox.campaign_monitor.webhooks import Webhooks
from dpsync.sandbox.fault_replies import Reply
from dpsync.sandbox.routes import compiled

PREFIX = "/api/v3.3"
LIMITS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


@dataclass(slots=True)
class CampaignMonitor(Api[Asked]):
    """The vendor, below `/api/v3.3`, the older versions that its clients speak, and at `/oauth/token`.

    `limited`: (remaining, seconds to reset) as every answer shows them, None: no such headers.
    """

    routes = compiled(ROUTES)
    asks = Asked

    held: Held = field(default_factory=Held)
    switches: CampaignMonitorSwitches = field(default_factory=CampaignMonitorSwitches)
    webhooks: Webhooks = field(default_factory=Webhooks)
    limited: tuple[int, int] | None = None

    @property
    def accounts(self) -> dict[str, Account]:
        """The accounts by name."""
        return self.held.accounts

    # --- filling and acting: what tests, scenarios and the web app do

    def open_account(self, name: str, keys: Iterable[str] = ()) -> Account:
        """The account of that name, made where it is new; the keys, which see every client, are added to it."""
        account = self.accounts.setdefault(name, Account(name, switches=self.switches))
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
        self.set_up(section)

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
                self.note(account.name, changes)
                done += len(changes)
        return done

    def holds(self, address: str) -> list[tuple[str, str]]:
        """(list or client id, state) wherever the address is, `Suppressed` for a suppression list."""
        return [one for account in self.accounts.values() for one in holdings(account, folded(address))]

    def tick(self) -> int:
        """Carries out what was added and only queued; how many."""
        done = 0
        for account in self.accounts.values():
            waiting, account.waiting = account.waiting, []
            for place, body in waiting:
                client = next(one for one in account.clients.values() if place in one.lists)
                self.note(account.name, [add(client, client.lists[place], body, account.stamp(self.now()))])
                done += 1
        return done

    def reset(self) -> None:
        """Empties clients, hooks, counts, faults and switches; accounts keep their keys."""
        for account in self.accounts.values():
            account.clients.clear()
            account.waiting.clear()
        self.held.hooks.clear()
        self.limited = None
        self.forget_counts()

    def tell(self, account: str, changes: Sequence[Change]) -> None:
        """Tells the webhooks; whether of a deletion by API is a switch."""
        fires = self.switches.delete_fires is not False
        told = [replace(one, member=copy.copy(one.member)) for one in changes if fires or one.kind != "deleted"]
        if self.held.hooks:
            at, hooks, twice = self.now(), list(self.held.hooks.values()), bool(self.switches.webhooks_duplicated)
            self.begin(self.webhooks.tell(hooks, told, self.accounts[account].stamp(at), at, twice=twice))

    # --- one call

    def below(self, path: str) -> str:
        """Without the suffix that chooses JSON or XML."""
        if path == TOKEN:
            return path
        version = VERSION.match(path)
        return re.sub(r"\.(json|xml)$", "", path[version.end() :]) if version else ""

    def whose(self, asked: Asked) -> str:
        """The account of a key or a token. Raises `Refusal` 401, by what is wrong with it."""
        if asked.template == TOKEN:
            return ""
        if self.limited is not None:
            remaining, reset = self.limited
            asked.shown = list(zip(LIMITS, ("60", str(remaining), str(reset)), strict=True))
        for account in self.accounts.values():
            asked.visible = frozenset(account.clients)
            if token := account.tokens.get(asked.bearer):
                if token.state != "good":
                    raise Refusal({"expired": 121, "revoked": 122}[token.state], status=401)
                return account.name
            # The user name is the key; whatever stands for a password is passed over.
            key, _ = asked.basic
            if key in account.keys:
                return account.name
            if key in account.client_keys:
                asked.visible = frozenset({account.client_keys[key]})
                return account.name
        raise Refusal(120 if asked.bearer else 100, status=401)

    def check(self, asked: Asked) -> None:
        """Raises `Refusal` 60 where a permission is missing; a body that is no JSON is passed over."""
        if self.switches.no_permission and asked.template != TOKEN:
            raise Refusal(60, status=401)

    def reply(self, asked: Asked, status: int, body: object, headers: Iterable[Header] = ()) -> Reply:
        """JSON where it was asked for by suffix or header, else XML; below a bare 200 nothing."""
        reply = Api.reply(self, asked, status, body, headers)
        json = asked.path.endswith(".json") or "application/json" in asked.request.headers.get("accept", "")
        if body is None or asked.template == TOKEN:
            return reply
        if json and not asked.path.endswith(".xml"):
            return reply.changed(content_type="application/json; charset=utf-8")
        xml = f'<?xml version="1.0"?>{_xml("Result", body)}'
        return reply.changed(content_type="application/xml").with_body(xml.encode())

    def nothing_there(self, _: Asked) -> Refusal:
        """A 404, of a method as of a path."""
        return Refusal(404, status=404)

    def trouble(self, asked: Asked, status: int) -> Refusal:
        """In the vendor's own shape; above its limit with its own headers instead of Retry-After."""
        said = {429: "Rate limit exceeded", 500: "Sorry, we've run into a problem"}.get(status, "Not available")
        if status != 429:
            return Refusal(status, status=status, message=said)
        asked.shown = []
        return Refusal(status, *zip(LIMITS, ("60", "0", "348"), strict=True), status=status, message=said)

    def envelope(self, asked: Asked, no: Refusal) -> Json:
        """Two shapes: of the token endpoint, and of the rest."""
        if asked.template == TOKEN:
            return {"error": "server_error", "error_description": no.message}
        return {"Code": no.code, "Message": no.message}

    def about(self, asked: Asked, address: str) -> bool:
        """By its query or its body."""
        several = asked.body.get("EmailAddresses")
        said = [
            asked.query.get("email"),
            asked.body.get("EmailAddress"),
            *(several if isinstance(several, list) else []),
        ]
        return folded(address) in {folded(str(one)) for one in said}


def _xml(name: str, value: object) -> str:
    if isinstance(value, dict):
        inner = "".join(_xml(key, one) for key, one in value.items())
    elif isinstance(value, list):
        inner = "".join(_xml("Item", one) for one in value)
    else:
        inner = escape(str(value))
    return f"<{name}>{inner}</{name}>"
