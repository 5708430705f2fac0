"""The connection beneath a call, for the faults that HTTP itself cannot express: a reset, a drip, a wrong length."""

import asyncio
import socket
import struct
from typing import Any

from starlette.types import Receive, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

KEY = "sandbox_transport"


class OpenConnection(H11Protocol):
    """uvicorn's protocol, which also hands the application the connection it came over."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # because H11Protocol narrows it the same way
        """Notes the transport in the state that uvicorn copies into each scope."""
        self.app_state = {**self.app_state, KEY: transport}
        super().connection_made(transport)


def transport_of(scope: Scope) -> asyncio.Transport:
    """The connection of this call."""
    state: dict[str, Any] = scope["state"]
    transport: asyncio.Transport = state[KEY]
    return transport


async def reset(scope: Scope, receive: Receive) -> None:
    """Cuts the connection with a TCP RST, whatever was already sent."""
    transport = transport_of(scope)
    # Linger on with zero seconds makes the close a reset instead of a FIN.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await until_gone(receive)


async def close(scope: Scope, receive: Receive) -> None:
    """Ends the connection in order, after what was written has left."""
    transport_of(scope).close()
    await until_gone(receive)


async def until_gone(receive: Receive) -> None:
    """Returns once the server has noticed that the connection is over, so that it sends nothing after it."""
    while (await receive())["type"] != "http.disconnect":
        pass
