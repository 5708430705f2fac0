"""Where the processors' own webhooks come in: /in/{processor}/{secret}.

Most vendors do not sign, so the secret in the path is the whole authority, and what comes in is a hint at most. A
vendor that gets an error sends the same again; what a repetition cannot change is therefore answered 2xx or 4xx.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dpsync.connector import Inbound, ObservesOptOuts, ReportsOutcomes
from dpsync.errors import CredentialsRejected, NotFound, PayloadInvalid, SignatureInvalid
from dpsync.intake import body as bodies
from dpsync.intake.answers import ReceptionBusy
from dpsync.intake.receiver import Receiver
from dpsync.intake.refusals import Refusal
from dpsync.vendor.errors import Ended

LONGEST_DELIVERY = 1024 * 1024
"""A transcript of a long conversation is far longer than a request; it is read, and its text dropped."""

MOST_AT_ONCE = 8
"""Each takes a thread of the few that also serve the pages, and up to `LONGEST_DELIVERY` of memory."""


class Deliveries:
    """The endpoint under /in."""

    def __init__(self, receiver: Receiver, most_at_once: int = MOST_AT_ONCE) -> None:
        self._receiver = receiver
        self._most_at_once = most_at_once
        self._under_way = 0

    async def endpoint(self, request: Request) -> Response:
        """POST takes a delivery in and answers after the commit. GET says only whether anybody listens: Mailchimp asks
        that before it accepts an address.
        """
        processor, secret = request.path_params["processor"], request.path_params["secret"]
        if not self._receiver.listeners.listens(processor, secret):  # before a byte of the body is read
            self._receiver.refusals.note(Refusal("in", 404, told=False), self._receiver.clock.now())
            return Response(status_code=404)
        if request.method != "POST":
            return Response(status_code=200)
        if self._under_way >= self._most_at_once:
            return Response(status_code=503, headers={"retry-after": "5"})
        self._under_way += 1
        try:
            return await self._take_in(request, processor, secret)
        finally:
            self._under_way -= 1

    async def _take_in(self, request: Request, processor: str, secret: str) -> Response:
        now, refusals = self._receiver.clock.now(), self._receiver.refusals
        connector = self._receiver.listeners.connector(processor, secret)
        try:
            body = await bodies.read(request, LONGEST_DELIVERY)
        except bodies.TooLarge:
            refusals.note(Refusal(processor, 413), now)
            raise
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            await asyncio.to_thread(self._deliver, processor, connector, headers, body, now)
        except NotFound:
            return Response(status_code=404)
        except (Ended, CredentialsRejected, ReceptionBusy):
            # It is not known whether it is so, or comes too early: the vendor sends it again, for an hour or so.
            return Response(status_code=503, headers={"retry-after": "60"})
        except SignatureInvalid:
            refusals.note(Refusal(processor, connector.unsigned), now)
            return Response(status_code=connector.unsigned)
        except PayloadInvalid as refusal:
            refusals.note(Refusal(processor, 422, refusal.field, problem=refusal.problem), now)
            return JSONResponse({"error": refusal.problem, "field": refusal.field}, 422)
        return Response(status_code=connector.taken)

    def _deliver(
        self, processor: str, connector: Inbound, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> None:
        if isinstance(connector, ReportsOutcomes):
            self._receiver.outcomes.take(processor, connector.reported(headers, body), now)
            self._receiver.worker.wake()  # of some connectors it is read at once what it means
        seen = connector.receive(headers, body)
        if seen:
            self._receiver.conversations.note(processor, seen, now)
        if isinstance(connector, ObservesOptOuts) and (hints := connector.opt_out_hints(body)):
            made = self._receiver.observed.note(processor, connector, hints, now)
            if made:
                self._receiver.worker.wake()
