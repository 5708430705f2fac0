"""A listener of its own, beside the receiver: a few short answers to other programs, never to people."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread, Timer
from typing import ClassVar

from dpsync.errors import Locked


class Answering(BaseHTTPRequestHandler):
    """What answers one call. Who asks is nobody's business: nothing is logged.

    `most_seconds`: how long all of it may take. Whoever sends a byte now and then would else hold a thread for ever.
    """

    most_seconds: ClassVar[float] = 30

    def setup(self) -> None:
        """Begin, and end it from outside where it takes too long."""
        super().setup()
        self._watch = Timer(self.most_seconds, self._abort)
        self._watch.daemon = True
        self._watch.start()

    def finish(self) -> None:
        """End it."""
        self._watch.cancel()
        super().finish()

    def _abort(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def answer(self, status: int, body: bytes, kind: str) -> None:
        """Send all of an answer, and end the connection."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - because the library names it so
        """Nothing."""


@contextmanager
def listening(where: str, page: type[Answering], name: str, setting: str) -> Iterator[str]:
    """Have `page` answer on `where` (host:port) while the block runs. Gives the address. Raises `Locked`."""
    host, _, port = where.rpartition(":")

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def handle_error(self, request: object, client_address: object) -> None:
            """Nothing: who broke off is nobody's business, either."""

    try:
        opened = Server((host.strip("[]"), int(port)), page)
    except OSError as error:
        raise Locked(f"cannot listen on {where} ({setting}): {error.strerror}", code="DP-104") from error
    with opened as server:
        thread = Thread(target=server.serve_forever, name=name, daemon=True)
        thread.start()
        try:
            yield f"{host}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
