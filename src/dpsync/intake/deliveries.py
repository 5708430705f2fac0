"""Where the processors' own webhooks come in: /in/{processor}/{secret}.

Most vendors do not sign, so the secret in the path is the whole authority, and what comes in is a hint at most. A
vendor that gets an error sends the same again; what a repetition cannot change is therefore answered 2xx or 4xx.
"""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dpsync.errors import NotFound, PayloadInvalid, SignatureInvalid
from dpsync.intake import body as bodies
from dpsync.intake.ports import Ports
from dpsync.intake.refusals import Refusal

LONGEST_DELIVERY = 1024 * 1024
"""A transcript of a long conversation is far longer than a request; it is read, and its text dropped."""

MOST_AT_ONCE = 8
"""Each takes a thread of the few that also serve the pages, and up to `LONGEST_DELIVERY` of memory."""


class Deliveries:
    """The endpoint under /in."""

    def __init__(self, ports: Ports, most_at_once: int = MOST_AT_ONCE) -> None:
        self._ports = ports
        self._most_at_once = most_at_once
        self._under_way = 0

    async def endpoint(self, request: Request) -> Response:
        """POST takes a delivery in and answers after the commit. GET says only whether anybody listens: Mailchimp asks
        that before it accepts an address.
        """
        processor, secret = request.path_params["processor"], request.path_params["secret"]
        if not self._ports.listens(processor, secret):  # before a byte of the body is read
            self._ports.refused(Refusal("in", 404, told=False), self._ports.now(), "")
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
        now = self._ports.now()
        try:
            body = await bodies.read(request, LONGEST_DELIVERY)
        except bodies.TooLarge:
            self._ports.refused(Refusal(processor, 413), now, "")
            raise
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            await asyncio.to_thread(self._ports.deliver, processor, secret, headers, body, now)
        except NotFound:
            return Response(status_code=404)
        except SignatureInvalid:
            self._ports.refused(Refusal(processor, 401), now, "")
            return Response(status_code=401)
        except PayloadInvalid as refusal:
            self._ports.refused(Refusal(processor, 422, refusal.field, problem=refusal.problem), now, "")
            return JSONResponse({"error": refusal.problem, "field": refusal.field}, 422)
        return Response(status_code=200)
