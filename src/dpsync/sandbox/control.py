"""The control plane below `/_sandbox`: fill the sandbox, break it, and ask what it saw. No vendor has this part.

Every vendor's port has it. Seeding, resetting and the mailbox are of the whole sandbox, the rest of that vendor.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dpsync.sandbox.faults import Fault
from dpsync.sandbox.mailbox import Mailbox
from dpsync.sandbox.scenario import MailRules, Scenario, set_rules
from dpsync.sandbox.vendor import Unwilling, Vendor

PREFIX = "/_sandbox"


class Whole(Protocol):
    """The sandbox that the vendor lives in."""

    mailbox: Mailbox

    def fill(self, scenario: Scenario) -> None:
        """Adds a scenario."""

    def reset(self) -> None:
        """Empties everything."""


class ControlPlane:
    """The HTTP side of it, for one vendor."""

    def __init__(self, vendor: Vendor, whole: Whole) -> None:
        self._vendor = vendor
        self._whole = whole

    def application(self) -> Starlette:
        """The ASGI application."""
        table: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
            ("GET", "/health", self._health),
            ("POST", "/seed", self._seed),
            ("POST", "/reset", self._reset),
            ("POST", "/switches", self._switches),
            ("POST", "/release", self._release),
            ("POST", "/tick", self._tick),
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
        handlers = {ValidationError: _unfit, json.JSONDecodeError: _unfit, Unwilling: _refused}
        return Starlette(routes=routes, exception_handlers=handlers)

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"ready": True})

    async def _seed(self, request: Request) -> Response:
        self._whole.fill(Scenario.model_validate_json(await request.body()))
        return JSONResponse({"seeded": True})

    async def _reset(self, _: Request) -> Response:
        self._whole.reset()
        return JSONResponse({"reset": True})

    async def _switches(self, request: Request) -> Response:
        self._vendor.switch(**json.loads(await request.body()))
        return JSONResponse({"set": True})

    async def _release(self, _: Request) -> Response:
        self._vendor.waits.release()
        return JSONResponse({"released": True})

    async def _tick(self, _: Request) -> Response:
        done = self._vendor.tick()
        await self._vendor.delivered()
        return JSONResponse({"done": done})

    async def _act(self, request: Request) -> Response:
        done = self._vendor.act(**json.loads(await request.body()))
        await self._vendor.delivered()
        return JSONResponse({"done": done})

    async def _counters(self, request: Request) -> Response:
        query = request.query_params
        counters = self._vendor.journal.counters(float(query.get("after", "0")), float(query.get("before", "inf")))
        if address := query.get("address"):
            counters["effects_on"] = self._vendor.journal.effects_on(address)
        return JSONResponse(counters)

    async def _holds(self, request: Request) -> Response:
        return JSONResponse(self._vendor.shown(request.query_params.get("address", "")))

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
        return JSONResponse(self._vendor.deliveries())

    async def _messages(self, request: Request) -> Response:
        mailbox = self._whole.mailbox
        if request.query_params.get("settled") == "yes":
            await mailbox.settled()
        # A recipient's answer may be on its way in another thread: what is listed is of this moment.
        messages = await asyncio.to_thread(lambda: [message.body() for message in list(mailbox.messages)])
        return JSONResponse({"messages": messages, "counters": dict(mailbox.counts)})

    async def _rules(self, _: Request) -> Response:
        mailbox = self._whole.mailbox
        by_address: dict[str, Any] = {name: rule.model_dump() for name, rule in mailbox.rules.items()}
        return JSONResponse({"default": mailbox.default.model_dump(), "rules": by_address})

    async def _set_rules(self, request: Request) -> Response:
        set_rules(MailRules.model_validate_json(await request.body()), self._whole.mailbox)
        return JSONResponse({"set": True})


async def _unfit(_: Request, error: Exception) -> Response:
    faults = error.errors(include_input=False, include_url=False) if isinstance(error, ValidationError) else []
    return JSONResponse({"error": [{"at": list(item["loc"]), "why": item["msg"]} for item in faults]}, 422)


async def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 409)
