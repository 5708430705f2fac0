"""The control plane below `/_sandbox`: fill the sandbox, break it, and ask what it saw. No vendor has this part."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dpsync.sandbox.audience import Account, Problem, digest
from dpsync.sandbox.endpoints import Answer, Change
from dpsync.sandbox.faults import Fault
from dpsync.sandbox.mailbox import Mailbox
from dpsync.sandbox.mailchimp import Mailchimp
from dpsync.sandbox.scenario import MailRules, Scenario, Switches, apply, rules, switch

PREFIX = "/_sandbox"


class PersonActs(BaseModel):
    """Something done at the vendor by hand: by the person (`user`, through the link) or in the web app (`admin`)."""

    model_config = ConfigDict(extra="forbid")

    address: str
    act: Literal["subscribe", "unsubscribe", "move", "bounce"]
    source: Literal["user", "admin"] = "user"
    list_id: str | None = None
    to: str = ""


@dataclass(frozen=True, slots=True)
class Holding:
    """One contact of an address in one audience; status `forgotten` where it was erased for good."""

    account: str
    list_id: str
    status: str
    contact_id: str = ""
    merge_fields: tuple[tuple[str, object], ...] = ()

    def body(self) -> dict[str, object]:
        """As JSON."""
        return {
            "account": self.account,
            "list_id": self.list_id,
            "status": self.status,
            "contact_id": self.contact_id,
            "merge_fields": dict(self.merge_fields),
        }


def holdings(vendor: Mailchimp, address: str) -> list[Holding]:
    """Where this address is held, or refused for ever, over all accounts."""
    key = digest(address)
    found = []
    for account in vendor.accounts.values():
        for audience in account.audiences.values():
            if member := audience.members.get(key):
                fields = tuple(member.merge_fields.items())
                found.append(Holding(account.name, audience.id, member.status, member.contact_id, fields))
            elif key in audience.forgotten:
                found.append(Holding(account.name, audience.id, "forgotten"))
    return found


def reset(vendor: Mailchimp, mailbox: Mailbox) -> None:
    """Empties everything: contacts, audiences, hooks, counts, faults, mail, rules. Accounts keep their keys."""
    for account in vendor.accounts.values():
        account.audiences.clear()
        account.search = None
    vendor.journal.clear()
    vendor.faults.clear()
    vendor.webhooks.hooks.clear()
    vendor.webhooks.deliveries.clear()
    mailbox.reset()
    mailbox.rules.clear()


def act(vendor: Mailchimp, asked: PersonActs) -> int:
    """Does it in every audience that holds the address, or in the one that is named; how many were concerned.

    Raises:
        Problem: as the vendor would refuse it.
    """
    done = 0
    for account in vendor.accounts.values():
        for change in _acts(account, asked):
            vendor.note(account, Answer(200, None, (change,)), asked.source)
            done += 1
    return done


def _acts(account: Account, asked: PersonActs) -> list[Change]:
    changes = []
    for audience in account.audiences.values():
        member = audience.members.get(digest(asked.address))
        if member is None or asked.list_id not in {None, audience.id}:
            continue
        was = member.email_address
        match asked.act:
            case "subscribe":
                member.status, member.left_by_link = "subscribed", False
                changes.append(Change("resubscribed", audience, member))
            case "unsubscribe":
                member.status, member.left_by_link = "unsubscribed", asked.source == "user"
                changes.append(Change("unsubscribed", audience, member))
            case "bounce":
                member.status = "cleaned"
                changes.append(Change("patched", audience, member))
            case "move":
                audience.check_new_address(asked.to)
                audience.move(member, asked.to)
                changes.append(Change("moved", audience, member, was))
    return changes


class ControlPlane:
    """The HTTP side of it."""

    def __init__(self, vendor: Mailchimp, mailbox: Mailbox) -> None:
        self._vendor = vendor
        self._mailbox = mailbox

    def application(self) -> Starlette:
        """The ASGI application."""
        table: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
            ("GET", "/health", self._health),
            ("POST", "/seed", self._seed),
            ("POST", "/reset", self._reset),
            ("POST", "/switches", self._switches),
            ("POST", "/release", self._release),
            ("POST", "/act", self._act),
            ("GET", "/counters", self._counters),
            ("GET", "/holds", self._holds),
            ("GET", "/faults", self._faults),
            ("POST", "/faults", self._add_fault),
            ("DELETE", "/faults", self._clear_faults),
            ("GET", "/webhooks", self._deliveries),
            ("GET", "/mail/messages", self._messages),
            ("GET", "/mail/rules", self._rules),
            ("POST", "/mail/rules", self._set_rules),
        ]
        routes = [Route(PREFIX + path, endpoint, methods=[method]) for method, path, endpoint in table]
        return Starlette(routes=routes, exception_handlers={ValidationError: _unfit, Problem: _refused})

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"ready": True})

    async def _seed(self, request: Request) -> Response:
        apply(Scenario.model_validate_json(await request.body()), self._vendor, self._mailbox)
        return JSONResponse({"seeded": True})

    async def _reset(self, _: Request) -> Response:
        reset(self._vendor, self._mailbox)
        return JSONResponse({"reset": True})

    async def _switches(self, request: Request) -> Response:
        switch(Switches.model_validate_json(await request.body()), self._vendor)
        return JSONResponse({"set": True})

    async def _release(self, _: Request) -> Response:
        self._vendor.release()
        return JSONResponse({"released": True})

    async def _act(self, request: Request) -> Response:
        done = act(self._vendor, PersonActs.model_validate_json(await request.body()))
        await self._vendor.delivered()
        return JSONResponse({"done": done})

    async def _counters(self, request: Request) -> Response:
        query = request.query_params
        counters = self._vendor.journal.counters(float(query.get("after", "0")), float(query.get("before", "inf")))
        if address := query.get("address"):
            counters["effects_on"] = self._vendor.journal.effects_on(address)
        return JSONResponse(counters)

    async def _holds(self, request: Request) -> Response:
        return JSONResponse([held.body() for held in holdings(self._vendor, request.query_params.get("address", ""))])

    async def _faults(self, _: Request) -> Response:
        return JSONResponse([fault.model_dump() for fault in self._vendor.faults.waiting()])

    async def _add_fault(self, request: Request) -> Response:
        self._vendor.faults.add(Fault.model_validate_json(await request.body()))
        return JSONResponse({"set": True})

    async def _clear_faults(self, _: Request) -> Response:
        self._vendor.faults.clear()
        return JSONResponse({"cleared": True})

    async def _deliveries(self, _: Request) -> Response:
        await self._vendor.delivered()
        told = self._vendor.webhooks.deliveries
        return JSONResponse([{"hook": item.hook, "type": item.type, "status": item.status} for item in told])

    async def _messages(self, request: Request) -> Response:
        if request.query_params.get("settled") == "yes":
            await self._mailbox.settled()
        # A recipient's answer may be on its way in another thread: what is listed is of this moment.
        messages = await asyncio.to_thread(lambda: [message.body() for message in list(self._mailbox.messages)])
        return JSONResponse({"messages": messages, "counters": dict(self._mailbox.counts)})

    async def _rules(self, _: Request) -> Response:
        by_address: dict[str, Any] = {name: rule.model_dump() for name, rule in self._mailbox.rules.items()}
        return JSONResponse({"default": self._mailbox.default.model_dump(), "rules": by_address})

    async def _set_rules(self, request: Request) -> Response:
        rules(MailRules.model_validate_json(await request.body()), self._mailbox)
        return JSONResponse({"set": True})


async def _unfit(_: Request, error: Exception) -> Response:
    faults = error.errors(include_input=False, include_url=False) if isinstance(error, ValidationError) else []
    return JSONResponse({"error": [{"at": list(item["loc"]), "why": item["msg"]} for item in faults]}, 422)


async def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 409)
