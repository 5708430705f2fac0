"""The server that the receiver's application runs on, and its socket: uvicorn, ending with the whole service."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from dpsync.errors import Locked
from dpsync.liveness import Pulse

SILENT_FOR = 60.0
"""Real seconds within which its loop turns, ten times a second else."""

WAITING = 4096
"""Connections that may wait to be taken; beyond it Linux drops them, and a client tries again after 1, 3, 7, 15 s."""


class Server(uvicorn.Server):
    """uvicorn, telling once when it answers; a signal sets `stop`, so that all shut down side by side."""

    def __init__(self, config: uvicorn.Config, up: Callable[[], None], stop: threading.Event) -> None:
        super().__init__(config)
        self._up = up
        self._stop = stop
        self.pulse = Pulse("receiver", SILENT_FOR)
        self.ended_by: signal.Signals | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in order, and remember why."""
        self.ended_by = signal.Signals(sig)
        self._stop.set()
        super().handle_exit(sig, frame)

    def end(self) -> None:
        """Stop in order, although nobody sent a signal."""
        self._stop.set()
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """A sign of life, ten times a second."""
        self.pulse.beat()
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: uvicorn would give the signals back, and send itself the last again, before the worker has ended."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        for one in sockets or ():
            one.listen(WAITING)  # asyncio has just shortened the row to what it takes in one turn
        self._up()


@contextmanager
def listening(where: str) -> Iterator[socket.socket]:
    """A socket that listens on `where` (host:port) while the block runs. Raises `Locked` where that cannot be."""
    host, _, port = where.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP: only then does asyncio set TCP_NODELAY, without which each answer waits 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host.strip("[]"), int(port)))
            listener.listen(WAITING)
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "no such host"
            raise Locked(f"cannot listen on {where}: {why}", code="DP-104") from error
        yield listener
