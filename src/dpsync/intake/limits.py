"""What the web server itself leaves open: how long a client may take, how much it may send, and one framing only.

Measured on uvicorn as it comes: a request with both Content-Length and Transfer-Encoding is answered 200, and a client
that sends half a header is waited for without end.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final, cast

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

HEADER_BYTES = 16 * 1024
HEADER_COUNT = 64
HEADER_SECONDS = 10.0
BODY_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 30

_THEIR_TURN: Final = (h11.IDLE, h11.SEND_BODY)
"""The states of a peer that we wait for: nothing of a request is here, or not all of it."""

HANG_UP: Final = "dpsync.hang_up"
"""Under which name an application finds what closes the connection without an answer."""

MOST_CONNECTIONS = 512
"""Half of the usual 1,024 file descriptors: a flood of connections must not keep the database from its own. Beyond it,
the connection whose request we wait for longest gives way: 3,000 that say nothing would otherwise keep everybody out.
"""

AT_ONCE = 64
"""How many connections asyncio takes in one turn: with uvicorn's 2,048 a flood of them used up all file descriptors
before the cap could end one, and asyncio then takes none for a second.
"""

PHRASES = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
}


class OneFraming(h11.Connection):
    """Refuses what two servers in a row could read as two different requests (RFC 9112 6.1, request smuggling)."""

    refusal = 400
    """The status of the last refusal: h11 knows it, but uvicorn answers 400 to everything."""

    claims = False
    """Whether the last request that was read says that it is signed."""

    def claims_signature(self) -> bool:
        """Whether what lies here says that it is signed, read to its end or not."""
        return self.claims or b"webhook-signature" in self.trailing_data[0].lower()

    def next_event(self) -> Any:
        # What cannot be read is gone once the library has said so.
        head = self.trailing_data[0] if self.their_state is h11.IDLE else b""
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            self.refusal = error.error_status_hint
            self.claims = b"webhook-signature" in head.lower() if head else self.claims
            raise
        if isinstance(event, h11.Request):
            self._check(event)
        return event

    def _check(self, request: h11.Request) -> None:
        names = [name for name, _ in request.headers]
        self.claims = b"webhook-signature" in names
        # h11 measures only what is still incomplete: a long header that comes in one piece would slip through.
        size = len(request.target) + sum(len(name) + len(value) for name, value in request.headers)
        if b"transfer-encoding" in names and (b"content-length" in names or request.http_version < b"1.1"):
            self.refusal = 400
            raise h11.RemoteProtocolError("two framings")
        if len(names) > HEADER_COUNT or size > HEADER_BYTES:
            self.refusal = 431
            raise h11.RemoteProtocolError("too much header")


class LimitedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with a time limit on headers and on the body, and a cap on connections."""

    most_connections = MOST_CONNECTIONS
    header_seconds = HEADER_SECONDS
    body_seconds = BODY_SECONDS

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn: OneFraming = OneFraming(h11.SERVER, HEADER_BYTES)
        # uvicorn's own switch is overruled by any handler on the root logger; the lines hold the paths of answer links.
        self.access_log = False
        self._app, self.app = self.app, self._with_a_way_to_hang_up
        state = getattr(config.app, "state", None)
        self._broken_off: Callable[[int], None] = getattr(state, "broken_off", lambda _: None)
        self._limit: asyncio.TimerHandle | None = None
        self._awaited: object = None
        self.awaited_since = 0.0

    async def _with_a_way_to_hang_up(self, scope: Any, receive: Any, send: Any) -> None:
        scope[HANG_UP] = self._hang_up
        await self._app(scope, receive, send)

    def _hang_up(self) -> None:
        """Close the connection without an answer: whatever the application gives is thrown away."""
        if self.cycle is not None:
            self.cycle.disconnected = True
        self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # because uvicorn narrows it too
        super().connection_made(transport)
        self.awaited_since = self.loop.time()
        if not self._has_room():
            transport.abort()
            return
        # asyncio forgets it on sockets that were handed in ready made; head and body are two writes, and the second
        # then waits for the client's delayed acknowledgement: measured 340 answers a second instead of thousands.
        connection = transport.get_extra_info("socket")
        if connection.family in {socket.AF_INET, socket.AF_INET6}:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.awaited_since = self.loop.time()
        # The beginning of a next request may lie here already, and no further byte need ever come.
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._await(None, 0)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        del msg
        self._refuse(self.conn.refusal)

    def _watch(self) -> None:
        """Arm the limit only where something is awaited: a request that comes whole costs no timer."""
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            self._await(self.cycle, self.body_seconds)
        elif state is h11.IDLE and (self.cycle is None or self.conn.trailing_data[0]):
            self._await("header", self.header_seconds)
        else:
            self._await(None, 0)

    def _await(self, what: object, seconds: float) -> None:
        if what is self._awaited:
            return
        if self._limit is not None:
            self._limit.cancel()
        self._awaited = what
        self._limit = None if what is None else self.loop.call_later(seconds, self.give_up)

    def _has_room(self) -> bool:
        """Whether this connection can stay: of too many, the one goes whose request we wait for longest."""
        if len(self.connections) <= self.most_connections:
            return True
        open_ones = [one for one in cast("set[LimitedProtocol]", self.connections) if not one.transport.is_closing()]
        silent = [one for one in open_ones if one is not self and one.conn.their_state in _THEIR_TURN]
        if len(open_ones) > self.most_connections and silent:
            min(silent, key=lambda one: one.awaited_since).give_up()
        return len(open_ones) <= self.most_connections or bool(silent)

    def give_up(self) -> None:
        """End a connection that sent too little for too long: 408, where it said anything at all."""
        # Who never sent a byte is no client to answer; browsers open such connections ahead of need.
        silent = self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        if silent:
            self.transport.close()
        else:
            self._refuse(408)

    def _refuse(self, status: int) -> None:
        """Answer and hang up; where an answer has begun already, only hang up."""
        if not self.transport.is_closing() and self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            headers = [(b"content-length", b"0"), (b"connection", b"close"), (b"cache-control", b"no-store")]
            reason = PHRASES.get(status, b"Bad Request")
            if self.conn.claims_signature():
                self._broken_off(status)
            self.transport.write(
                self.conn.send(h11.Response(status_code=status, headers=headers, reason=reason))
                + self.conn.send(h11.EndOfMessage())
            )
        if self.cycle is not None:
            # The application waits for a body that will not come: it must not answer into this connection.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()


def serve_config(app: ASGIApp, host: str, port: int) -> uvicorn.Config:
    """How the receiver is served: `uvicorn.Server(serve_config(app, host, port)).run()`.

    No access log (its lines hold the secret paths of answer links), no server header, no WebSockets. `X-Forwarded-For`
    counts only from a proxy on this machine.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=LimitedProtocol,
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips="127.0.0.1,::1",
        backlog=AT_ONCE,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=10,
    )
