"""Signed requests that came to no door for them: a slip in a path or method loses a request like any other refusal."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dpsync.errors import PayloadInvalid, SignatureInvalid, WebhookStale
from dpsync.intake import body as bodies
from dpsync.intake.ports import Ports
from dpsync.intake.refusals import SIGNED_DOOR, UNSEEN, Refusal

Note = Callable[[Refusal, datetime, str], Awaitable[None]]


class Astray:
    """Notes what carries a `webhook-signature` and ends 4xx, wherever no door has noted it."""

    def __init__(self, app: ASGIApp, ports: Ports, note: Note) -> None:
        self._app = app
        self._ports = ports
        self._note = note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is asked; where the answer is 4xx, note it before the sender hears of it."""
        if scope["type"] != "http" or not _claims(scope) or _has_a_door_that_notes(scope):
            await self._app(scope, receive, send)
            return
        unread = True

        async def receiving() -> Message:
            nonlocal unread
            unread = False
            return await receive()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and 400 <= message["status"] < 500:
                # Who hung up, or was too slow, hears no answer: the server notes what it answered itself.
                with suppress(ClientDisconnect):
                    # A body that was read once does not come again.
                    body = await _body(Request(scope, receive)) if unread else b""
                    await self._note(*self._judged(scope, message["status"], body, self._ports.now()))
            await send(message)

        await self._app(scope, receiving, sending)

    def _judged(self, scope: Scope, status: int, body: bytes | None, now: datetime) -> tuple[Refusal, datetime, str]:
        if body is None:
            return Refusal(SIGNED_DOOR, status, told=False, claimed=True, problem=UNSEEN), now, ""
        problem, event_id = "no door for signed requests: POST /requests is", ""
        try:
            event_id = self._ports.verify(scope["headers"], body, now).id
        except (WebhookStale, PayloadInvalid):
            pass  # signed well all the same
        except SignatureInvalid:
            return Refusal(SIGNED_DOOR, status, told=False, claimed=True, problem=problem), now, ""
        return Refusal(SIGNED_DOOR, status, problem=problem), now, event_id


def broken_off(ports: Ports) -> Callable[[int], None]:
    """What the server calls where it refuses by itself what claims to be signed, with the status it answers."""

    def noted(status: int) -> None:
        problem = UNSEEN if status == 431 else "not a whole request, so its signature was not looked at"
        ports.refused(Refusal(SIGNED_DOOR, status, told=False, claimed=True, problem=problem), ports.now(), "")

    return noted


async def _body(request: Request) -> bytes | None:
    """The body; None where it is too large. Raises `ClientDisconnect`."""
    try:
        return await bodies.read(request)
    except bodies.TooLarge:
        return None


def _claims(scope: Scope) -> bool:
    return any(name == b"webhook-signature" for name, _ in scope["headers"])


def _has_a_door_that_notes(scope: Scope) -> bool:
    path, method = str(scope["path"]), scope["method"]
    if path == "/requests":
        return bool(method == "POST")
    return path.startswith("/in/") and path.count("/") == 3 and method in {"GET", "HEAD", "POST"}
