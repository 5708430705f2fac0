"""A service that receives nothing: in the place of a server it waits until it is told to stop."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

from dpsync.liveness import Pulse

LOOK_EVERY = 0.1
SILENT_FOR = 60.0


class NoServer:
    """What `intake.server.Server` is where something is received, to whoever starts and ends it."""

    def __init__(self, up: Callable[[], None], stop: threading.Event) -> None:
        self._up = up
        self._stop = stop
        self.pulse = Pulse("service", SILENT_FOR)
        self.ended_by: signal.Signals | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in order, and remember why."""
        del frame
        self.ended_by = signal.Signals(sig)
        self._stop.set()

    def end(self) -> None:
        """Stop in order, although nobody sent a signal."""
        self._stop.set()

    def run(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Say once that it is up, then wait."""
        del sockets
        self._up()
        # Never within the event's own lock: a signal's handler, which sets it, runs in this very thread.
        while not self._stop.is_set():
            self.pulse.beat()
            time.sleep(LOOK_EVERY)
