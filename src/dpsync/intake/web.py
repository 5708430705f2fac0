"""The receiver: what the main database, the processors' people and the monitoring see of dpsync.

Nothing is answered 2xx before it is committed; no answer repeats what was sent; no failure shows its reason.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from datetime import datetime
from functools import partial

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from dpsync import telemetry
from dpsync.errors import (
    DecisionRefused,
    EventConflict,
    IntakeError,
    NotFound,
    PayloadInvalid,
    SignatureInvalid,
    WebhookStale,
)
from dpsync.intake import body as bodies
from dpsync.intake.answers import Received, ReceptionBusy
from dpsync.intake.astray import Astray, broken_off
from dpsync.intake.commits import COMMIT_SECONDS, MOST_WAITING, Commits
from dpsync.intake.deliveries import Deliveries
from dpsync.intake.opendsr.door import OpenDsrDoor
from dpsync.intake.pages import Pages
from dpsync.intake.payload import TestMessage, Withdrawal, parse
from dpsync.intake.receiver import Receiver
from dpsync.intake.refusals import UNSEEN, Refusal
from dpsync.intake.sources.door import SourceDoor, gone_astray
from dpsync.model import Request as Asked
from dpsync.settings.sources import SIGNED_DOOR as SOURCE

RETRY_AFTER = {"retry-after": "5"}
CLOSE = {"connection": "close"}

_ANY = ["DELETE", "GET", "PATCH", "POST", "PUT"]

Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(
    receiver: Receiver, *, most_waiting: int = MOST_WAITING, commit_seconds: float = COMMIT_SECONDS
) -> Starlette:
    """The web application over what stands behind its doors."""
    commits, pages = Commits(receiver, most_waiting, commit_seconds), Pages(receiver)
    signed = _SignedDoor(receiver, commits)
    both = ["GET", "POST"]
    app = Starlette(
        routes=[
            Route("/requests", _guarded(signed.requests), methods=["POST"]),
            Route("/requests/{source:path}", _guarded(SourceDoor(receiver, commits).requests), methods=_ANY),
            Route("/in/{processor}/{secret}", _guarded(Deliveries(receiver).endpoint), methods=both),
            Route("/answers/{token}", _guarded(pages.answers, pages), methods=both),
            Route("/contacts/{token}", _guarded(pages.contacts, pages), methods=both),
            Route("/decisions/{token}", _guarded(pages.decisions, pages), methods=both),
            Route("/pages/{token}", _guarded(pages.linked.endpoint, pages), methods=["GET"]),
            Route("/pages/{token}/code", _guarded(pages.linked.code, pages), methods=both),
            Route("/pages/{token}/decide", _guarded(pages.linked.decide, pages), methods=both),
            Route("/pages/{token}/letter", _guarded(pages.linked.letter, pages), methods=both),
            Route("/pages/{token}/{request}/letter", _guarded(pages.linked.letter, pages), methods=both),
            Route("/pages/{token}/{request}/decide", _guarded(pages.linked.decide, pages), methods=both),
            Route("/pages/{token}/{request}", _guarded(pages.linked.endpoint, pages), methods=["GET"]),
            Route("/healthz", _healthz, methods=["GET"]),
            Route("/readyz", _guarded(signed.readyz), methods=["GET"]),
            *(OpenDsrDoor(receiver, commits, receiver.opendsr).routes() if receiver.opendsr else ()),
        ],
        middleware=[Middleware(Astray, receiver=receiver, note=commits.of_refusal)],
    )
    # What the server refuses by itself never comes to an application.
    app.state.broken_off = broken_off(receiver)
    # A redirect would repeat the path, secret part included, in a header.
    app.router.redirect_slashes = False
    return app


def _later() -> Response:
    return _json(503, {"error": "not now; try again"}, RETRY_AFTER)


def _guarded(endpoint: Endpoint, pages: Pages | None = None) -> Endpoint:
    """Whatever goes wrong is 503: the sender repeats, and no trace of it (SQL has parameters) reaches a log."""

    async def guard(request: Request) -> Response:
        try:
            return await endpoint(request)
        except bodies.TooLarge:
            return pages.too_large() if pages else _json(413, {"error": "the body is too large"}, CLOSE)
        except ClientDisconnect:
            return Response(status_code=400, headers=CLOSE)
        except Exception as error:  # noqa: BLE001 - because no exception may become a 2xx or show its text
            door = f"{request.method} /{request.scope['path'].split('/')[1]}"
            telemetry.log("receiver").error("not served", error=error, endpoint=door)
            return pages.later() if pages else _later()

    return guard


async def _healthz(_: Request) -> Response:
    return PlainTextResponse("ok\n")


class _SignedDoor:
    def __init__(self, receiver: Receiver, commits: Commits) -> None:
        self._receiver = receiver
        self._commits = commits

    async def requests(self, request: Request) -> Response:
        """Verify, read, hand over, wait for the commit; then, and only then, say 202."""
        now, event_id, body = self._receiver.clock.now(), "", b""
        claimed = "webhook-signature" in request.headers
        try:
            body = await bodies.read(request, bodies.cap_of(request, claimed=claimed))
            event_id = self._verified(request, body, now)
            asked = parse(body, source=SOURCE, event_id=event_id, now=now)
            if isinstance(asked, TestMessage):
                return _json(200, {"status": "test received"})
            received = await self._commits.of(partial(self._submit, asked, body, now))
        except ReceptionBusy:
            return _json(503, {"error": "busy; try again"}, RETRY_AFTER)
        except bodies.TooLarge as large:
            problem = "too large" if large.signed else UNSEEN
            await self._commits.of_refusal(
                Refusal(SOURCE, 413, told=large.signed, claimed=claimed, problem=problem), now, ""
            )
            raise
        except (SignatureInvalid, PayloadInvalid, EventConflict, DecisionRefused, NotFound) as error:
            refusal, answer = _refused(error, claimed=claimed)
            if refusal.status == 401 and not refusal.told:
                refusal = gone_astray(self._receiver, request, body, now, 401) or refusal
            await self._commits.of_refusal(refusal, now, event_id)
            return answer
        return _json(202, {"request": received.request_id, "status": "held" if received.held else "accepted"})

    def _verified(self, request: Request, body: bytes, now: datetime) -> str:
        """The event's id. Raises as the verifier does; `TooLarge`, where that is so, in place of anything else."""
        fault: IntakeError | None = None
        try:
            event_id = self._receiver.verifier.verify(request.scope["headers"], body, now).id
        except (SignatureInvalid, PayloadInvalid) as error:
            fault = error
        if len(body) > bodies.LONGEST_BODY:
            raise bodies.TooLarge(signed=not isinstance(fault, SignatureInvalid) or isinstance(fault, WebhookStale))
        if fault:
            raise fault
        return event_id

    def _submit(self, asked: Asked | Withdrawal, body: bytes, now: datetime) -> "Future[Received]":
        reception = self._receiver.reception
        if isinstance(asked, Withdrawal):
            return reception.submit_withdrawal(asked, body, now)
        return reception.submit(asked, body, now)

    async def readyz(self, _: Request) -> Response:
        """Whether requests can be committed just now, for whoever places traffic."""
        state = await asyncio.to_thread(self._receiver.health.readiness)
        return _json(200 if state.get("status") == "ready" else 503, state)


def _refused(error: IntakeError | DecisionRefused | NotFound, *, claimed: bool) -> tuple[Refusal, Response]:
    """What is kept of a refusal at the signed door, and what its sender hears."""
    match error:
        case WebhookStale():
            return Refusal(SOURCE, 401, "webhook-timestamp", problem="not of this time"), Response(status_code=401)
        case SignatureInvalid():
            refusal = Refusal(SOURCE, 401, told=False, claimed=claimed, problem="its signature is not good")
            return refusal, Response(status_code=401)
        case PayloadInvalid(field=field, problem=problem):
            return Refusal(SOURCE, 422, field, problem=problem), _json(422, {"error": problem, "field": field})
        case NotFound():
            answer = _json(404, {"error": "no such request"})
            return Refusal(SOURCE, 404, "data.request", problem="no such request"), answer
        case _:
            # A conflict of event ids has an alert of its own, which names what stands.
            again = isinstance(error, EventConflict)
            problem = "an event id used again with another body" if again else "conflict"
            refusal = Refusal(SOURCE, 409, told=not again, told_elsewhere=again, problem=problem)
            return refusal, _json(409, {"error": error.message})


def _json(status: int, content: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(content), status, headers, "application/json")
