"""Signed requests that came to no door for them: a slip in a path or method loses a request like any other refusal."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dpsync.errors import PayloadInvalid, SignatureInvalid, WebhookStale
from dpsync.intake import body as bodies
from dpsync.intake.receiver import Receiver
from dpsync.intake.refusals import UNSEEN, Refusal
from dpsync.settings.sources import SIGNED_DOOR

Note = Callable[[Refusal, datetime, str], Awaitable[None]]


class Astray:
    """Notes what carries a `webhook-signature` and ends 4xx, wherever no door has noted it."""

    def __init__(self, app: ASGIApp, receiver: Receiver, note: Note) -> None:
        self._app = app
        self._receiver = receiver
        self._note = note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is asked; where the answer is 4xx, note it before the sender hears of it."""
        if scope["type"] != "http" or not _claims(scope) or self._is_signed_door(scope):
            await self._app(scope, receive, send)
            return
        heard = _Heard(receive)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and 400 <= message["status"] < 500:
                # Who hung up, or was too slow, hears no answer: the server notes what it answered itself.
                with suppress(ClientDisconnect):
                    refusal, now, event_id = self._judged(
                        scope, message["status"], await heard.body(), self._receiver.clock.now()
                    )
                    # A processor's door has noted what is not ours.
                    if refusal.told or not _is_processors_door(scope):
                        await self._note(refusal, now, event_id)
            await send(message)

        await self._app(scope, heard, sending)

    def _is_signed_door(self, scope: Scope) -> bool:
        """Whether a door stands there that notes itself what it refuses."""
        doors = {"/requests", *(f"/requests/{name}" for name in self._receiver.sources)}
        return scope["method"] == "POST" and scope["path"] in doors

    def _judged(self, scope: Scope, status: int, body: bytes | None, now: datetime) -> tuple[Refusal, datetime, str]:
        if body is None:
            return Refusal(SIGNED_DOOR, status, told=False, claimed=True, problem=UNSEEN), now, ""
        problem, event_id = "no door for signed requests: POST /requests is", ""
        try:
            event_id = self._receiver.verifier.verify(scope["headers"], body, now).id
        except (WebhookStale, PayloadInvalid):
            pass  # signed well all the same
        except SignatureInvalid:
            return Refusal(SIGNED_DOOR, status, told=False, claimed=True, problem=problem), now, ""
        return Refusal(SIGNED_DOOR, status, problem=problem), now, event_id


def broken_off(receiver: Receiver) -> Callable[[int], None]:
    """What the server calls where it refuses by itself what claims to be signed, with the status it answers."""

    def noted(status: int) -> None:
        problem = UNSEEN if status == 431 else "not a whole request, so its signature was not looked at"
        refusal = Refusal(SIGNED_DOOR, status, told=False, claimed=True, problem=problem)
        receiver.refusals.note(refusal, receiver.clock.now())

    return noted


class _Heard:
    """What a door heard of a body, and the rest of it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._parts: list[bytes] = []
        self._ended = self._gone = False

    async def __call__(self) -> Message:
        """The next of it, for the door."""
        message = await self._receive()
        self._gone = message["type"] == "http.disconnect"
        self._ended = not message.get("more_body", False)
        if self._length() <= bodies.LONGEST_JUDGED:
            self._parts.append(message.get("body", b""))
        return message

    async def body(self) -> bytes | None:
        """All of it; None where it is too large. Raises `ClientDisconnect`."""
        while not self._ended and self._length() <= bodies.LONGEST_JUDGED:
            await self()
        if self._gone:
            raise ClientDisconnect
        return b"".join(self._parts) if self._length() <= bodies.LONGEST_JUDGED else None

    def _length(self) -> int:
        return sum(map(len, self._parts))


def _claims(scope: Scope) -> bool:
    return any(name == b"webhook-signature" for name, _ in scope["headers"])


def _is_processors_door(scope: Scope) -> bool:
    path = str(scope["path"])
    return path.startswith("/in/") and path.count("/") == 3 and scope["method"] in {"GET", "HEAD", "POST"}
