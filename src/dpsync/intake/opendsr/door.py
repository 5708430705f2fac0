"""The door of OpenDSR: /v2/discovery, /v2/requests, and the same under its old name. Every answer is signed.

An answer is made into bytes once, and these bytes are signed and sent. That of a new request repeats the whole of it,
as the specification wants (7.3): it is built, signed, sent and kept nowhere.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from dpsync import telemetry
from dpsync.errors import DecisionRefused, NotFound, PayloadInvalid
from dpsync.intake import body as bodies
from dpsync.intake.answers import ReceptionBusy
from dpsync.intake.commits import Commits
from dpsync.intake.events import Conflict
from dpsync.intake.opendsr.certificate import SigningPair
from dpsync.intake.opendsr.service import CERTIFICATE, Caller, OpenDsr
from dpsync.intake.receiver import Receiver
from dpsync.intake.refusals import Refusal, mapped_door
from dpsync.opendsr_protocol import DISCOVERY, OLD_REQUESTS, REQUESTS, VERSION, error_body

BASE: Final = "/v2"
"""Where it begins: the first thing in an address is the version (3.4)."""

_NO_STORE: Final = {"cache-control": "no-store", "pragma": "no-cache"}
_JSON: Final = "application/json"
_NOBODY: Final = "opendsr"
_LATER: Final = {"retry-after": "5"}

_Answer = tuple[int, Mapping[str, object]]
_Endpoint = Callable[[Request], Awaitable[Response]]


class OpenDsrDoor:
    """Knows the caller, reads, hands over, waits for the commit; then, and only then, says 201."""

    def __init__(self, receiver: Receiver, commits: Commits, opendsr: OpenDsr) -> None:
        self._receiver = receiver
        self._commits = commits
        self._opendsr = opendsr
        self._of_strangers: tuple[SigningPair, dict[bytes, Mapping[str, str]]] | None = None

    def routes(self) -> list[Route]:
        """All of its addresses. Under the old name a request may come with or without the version before it."""
        found = [
            Route(BASE + DISCOVERY, self._signed(self._discovery), methods=["GET"]),
            Route(BASE + CERTIFICATE, self._certificate, methods=["GET"]),
        ]
        for name in (BASE + REQUESTS, BASE + OLD_REQUESTS, OLD_REQUESTS):
            found.append(Route(name, self._signed(self._new), methods=["POST"]))
            found.append(Route(f"{name}/{{id}}", self._signed(self._one), methods=["GET", "DELETE"]))
        return found

    def _signed(self, endpoint: Callable[[Request], Awaitable[_Answer]]) -> _Endpoint:
        async def answer(request: Request) -> Response:
            status, said = await self._answered(endpoint, request)
            content = json.dumps(said).encode()
            strange = status == 401 or request.url.path == BASE + DISCOVERY
            headers = {**_NO_STORE, **(self._known(content) if strange else self._signature(content))}
            headers |= _LATER if status == 503 else {}
            headers |= {"www-authenticate": "Bearer"} if status == 401 else {}
            headers |= {"connection": "close"} if status == 413 else {}
            return Response(content, status, headers, _JSON)

        return answer

    def _signature(self, content: bytes) -> Mapping[str, str]:
        return self._opendsr.pair().headers(self._opendsr.domain, content)

    def _known(self, content: bytes) -> Mapping[str, str]:
        """Signed once for each certificate: a signature takes a while, and anybody may ask for these as often as
        they like.
        """
        pair = self._opendsr.pair()
        if self._of_strangers is None or self._of_strangers[0] is not pair:
            self._of_strangers = pair, {}
        found = self._of_strangers[1]
        if content not in found:
            found[content] = self._signature(content)
        return found[content]

    async def _answered(self, endpoint: Callable[[Request], Awaitable[_Answer]], request: Request) -> _Answer:
        """What it comes to, whatever goes wrong: no failure shows its reason, for SQL has parameters."""
        try:
            return await endpoint(request)
        except bodies.TooLarge:
            return 413, error_body(413, "the body is too large")
        except ReceptionBusy:
            return 503, error_body(503, "busy; try again")
        except ClientDisconnect:
            return 400, error_body(400, "the body has no end")
        except Exception as error:  # noqa: BLE001 - because no exception may become a 2xx or show its text
            door = f"{request.method} {BASE}"
            telemetry.log("receiver").error("not served", error=error, endpoint=door)
            return 503, error_body(503, "not now; try again")

    async def _discovery(self, _: Request) -> _Answer:
        return 200, self._opendsr.discovery(BASE)

    async def _certificate(self, _: Request) -> Response:
        return Response(self._opendsr.pair().pem, 200, {"cache-control": "no-cache"}, "application/x-pem-file")

    async def _new(self, request: Request) -> _Answer:
        now, caller = self._receiver.clock.now(), self._caller(request)
        if caller is None:
            return await self._strange(now)
        try:
            body = await bodies.read(request)
            handed = self._opendsr.read(caller, body, now)
        except bodies.TooLarge:
            await self._commits.of_refusal(Refusal(mapped_door(caller.source), 413, problem="too large"), now, "")
            raise
        except PayloadInvalid as refusal:
            return await self._refused(caller, refusal.field, refusal.problem, now)
        became = await self._commits.of(partial(self._opendsr.submit, handed, body, now))
        if isinstance(became, Conflict):
            return await self._refused(caller, "subject_request_id", "came before with another body", now, again=True)
        said = {
            "controller_id": caller.id,
            "subject_request_id": handed.request.event_id,
            **became,
            "encoded_request": base64.b64encode(body).decode(),
            "api_version": VERSION,
        }
        return 201, said

    async def _one(self, request: Request) -> _Answer:
        """How a request stands, or its end: of one that another caller made nothing is said but that it is unknown."""
        now, caller, request_id = self._receiver.clock.now(), self._caller(request), request.path_params["id"]
        if caller is None:
            return await self._strange(now)
        try:
            said: Mapping[str, Any]
            if request.method != "DELETE":
                said = await asyncio.to_thread(self._opendsr.status, caller, request_id)
                return 200, {"controller_id": caller.id, **said}
            said = await self._commits.of(partial(self._opendsr.cancel_all, caller, request_id, now))
        except NotFound:
            return 400, error_body(400, "there is no such request", ("Request", "unknown", "subject_request_id"))
        except DecisionRefused as refusal:
            return 400, error_body(400, refusal.message, ("Request", "not_pending", refusal.message))
        named = {"controller_id": caller.id, "subject_request_id": request_id}
        return 202, {**named, **said, "api_version": VERSION}

    def _caller(self, request: Request) -> Caller | None:
        given = request.headers.getlist("authorization")
        return self._opendsr.caller(given[0]) if len(given) == 1 else None

    async def _strange(self, now: datetime) -> _Answer:
        refusal = Refusal(mapped_door(_NOBODY), 401, told=False, claimed=True, problem="its token is nobody's")
        await self._commits.of_refusal(refusal, now, "")
        return 401, error_body(401, "a token is needed: Authorization: Bearer")

    async def _refused(
        self, caller: Caller, field: str, problem: str, now: datetime, *, again: bool = False
    ) -> _Answer:
        """Kept as what one of ours was refused: somebody's request is lost, unless a person hears of it."""
        # A conflict of ids has an alert of its own, which names what stands.
        door, status = mapped_door(caller.source), 409 if again else 400
        refusal = Refusal(door, status, field, problem=problem, told=not again, told_elsewhere=again)
        await self._commits.of_refusal(refusal, now, "")
        message = f"{field}: {problem}" if field else problem
        return 400, error_body(400, message, ("Validation", "repeated" if again else "invalid", message))
