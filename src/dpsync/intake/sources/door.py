"""The door of main databases with a shape of their own: /requests/{source}."""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from dpsync import telemetry
from dpsync.errors import EventConflict, PayloadInvalid, SignatureInvalid, WebhookStale
from dpsync.intake import body as bodies
from dpsync.intake.answers import Received, ReceptionBusy
from dpsync.intake.commits import Commits
from dpsync.intake.limits import HANG_UP
from dpsync.intake.merge_news import TakenIn
from dpsync.intake.receiver import Receiver
from dpsync.intake.refusals import UNSEEN, Refusal, mapped_door
from dpsync.intake.sources import forms
from dpsync.intake.sources.messages import counted
from dpsync.intake.sources.source import Source

LONGEST_DELIVERY = 256 * 1024
"""A whole row before and after, or a list of a hundred messages."""
LONGEST_JUDGED = 2 * LONGEST_DELIVERY
"""What is longer is refused, but up to here it can still be said whose it is."""


class SourceDoor:
    """Verifies, understands, hands over, waits for the commit; then, and only then, says 202."""

    def __init__(self, receiver: Receiver, commits: Commits) -> None:
        self._receiver = receiver
        self._commits = commits

    async def requests(self, request: Request) -> Response:
        """Take in one delivery, all of it or nothing."""
        source, now = self._receiver.sources.get(request.path_params["source"]), self._receiver.clock.now()
        if source is None or request.method != "POST":
            return await self._lead_nowhere(request, now)
        if not source.mapping.drops_answered:
            return await self._answer(source, request, now)
        try:
            answer = await self._answer(source, request, now)
        except Exception as error:  # noqa: BLE001 - because whatever it is, an answer would lose what was sent
            telemetry.log("receiver").error("not served", error=error, endpoint="POST /requests")
            answer = Response(status_code=503)
        if answer.status_code not in {200, 202, 204}:
            request.scope.get(HANG_UP, lambda: None)()
        return answer

    async def _answer(self, source: Source, request: Request, now: datetime) -> Response:
        try:
            return await self._take_in(source, request)
        except ReceptionBusy:
            return _json(503, {"error": "busy; try again"}, {"retry-after": "5"})
        except bodies.TooLarge as large:
            # The secret in a header is seen without the body.
            told = large.signed or (source.weak and source.is_from(request.scope["headers"], b"", now))
            problem = "too large" if told else UNSEEN
            refusal = Refusal(mapped_door(source.name), 413, told=told, claimed=True, problem=problem)
            await self._commits.of_refusal(refusal, now, "")
            raise
        except (SignatureInvalid, PayloadInvalid, EventConflict) as error:
            refusal, answer = _refused(source, error)
            await self._commits.of_refusal(refusal, now, "")
            return answer

    async def _take_in(self, source: Source, request: Request) -> Response:
        now = self._receiver.clock.now()
        headers = request.scope["headers"]
        body = await bodies.read(request, LONGEST_JUDGED if "content-length" in request.headers else LONGEST_DELIVERY)
        if len(body) > LONGEST_DELIVERY:
            raise bodies.TooLarge(signed=source.is_from(headers, body, now))
        taken = source.take(headers, body, now)
        became = TakenIn(())
        if taken.asked or taken.merges:
            became = await self._commits.of(partial(self._receiver.source_reception.submit, taken, now))
        answer = _accepted(became, len(taken.ignored), forms.answer(source.mapping.form, body))
        self._receiver.source_messages.note(counted(source.name, taken), now)
        return answer

    async def _lead_nowhere(self, request: Request, now: datetime) -> Response:
        """No such name, or not POST. Where one of the sources signed it, a slip has lost somebody's request."""
        status = 404 if request.method == "POST" else 405
        body = await bodies.read(request, LONGEST_DELIVERY) if self._receiver.sources else b""
        if refusal := gone_astray(self._receiver, request, body, now, status):
            await self._commits.of_refusal(refusal, now, "")
        return Response(status_code=status, headers={} if status == 404 else {"allow": "POST"})


def gone_astray(receiver: Receiver, request: Request, body: bytes, now: datetime, status: int) -> Refusal | None:
    """The refusal of what one of the sources signed, and sent to another address than its own; None for all else."""
    for source in receiver.sources.values():
        if source.is_from(request.scope["headers"], body, now):
            problem = "not sent by POST to the address of its source"
            return Refusal(mapped_door(source.name), status, problem=problem)
    return None


def _refused(source: Source, error: SignatureInvalid | PayloadInvalid | EventConflict) -> tuple[Refusal, Response]:
    """What is kept of a refusal, and what its sender hears."""
    door = mapped_door(source.name)
    match error:
        case WebhookStale():
            return Refusal(door, 401, problem="not of this time"), Response(status_code=401)
        case SignatureInvalid():
            refusal = Refusal(door, 401, told=False, claimed=True, problem="its signature is not good")
            return refusal, Response(status_code=401)
        case PayloadInvalid(field=field, problem=problem):
            return Refusal(door, 422, field, problem=problem), _json(422, {"error": problem, "field": field})
        case _:
            problem = "an event id used again with another body"
            refusal = Refusal(door, 409, told=False, told_elsewhere=True, problem=problem)
            return refusal, _json(409, {"error": error.message})


def _accepted(became: TakenIn, ignored: int, wanted: tuple[str, str] | None) -> Response:
    """What a sender hears of what was committed. `wanted`: see `forms.answer`. Raises `EventConflict` where a part of
    it is one.
    """
    received = [one for one in became.requests if isinstance(one, Received)]
    if len(received) < len(became.requests):
        raise EventConflict("this event id came before with another body")
    if wanted is not None:
        content, media_type = wanted
        return Response(content, 200, media_type=media_type) if content else Response(status_code=204)
    merged = {"joined": became.joined, "held": became.held, "explained": became.explained}
    said = {"merges": merged} if any(merged.values()) else {}
    if not received and not became.joined and not became.held:
        return _json(200, {"status": "means nothing", "ignored": ignored + became.explained, **said})
    held = became.held or any(one.held for one in received)
    requests = [one.request_id for one in received]
    return _json(202, {"requests": requests, "status": "held" if held else "accepted", "ignored": ignored, **said})


def _json(status: int, content: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(content), status, headers, "application/json")
