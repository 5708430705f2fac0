"""A small main database that takes in what dpsync tells it: verifies each message, and keeps what it says.

Written from the specification (standard-webhooks/standard-webhooks, spec/standard-webhooks.md), and from nothing of
ours.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from dpsync.sandbox.signing import verifies


@dataclass(frozen=True, slots=True)
class MessageIn:
    """One message as it came. `status`: what it was answered."""

    headers: Mapping[str, str]
    body: bytes
    status: int

    @property
    def id(self) -> str:
        """The same for each attempt at one message."""
        return self.headers["webhook-id"]

    @property
    def kind(self) -> str:
        """What it tells."""
        return str(json.loads(self.body)["type"])

    @property
    def data(self) -> dict[str, Any]:
        """What it tells of."""
        found: dict[str, Any] = json.loads(self.body)["data"]
        return found


@dataclass(slots=True)
class MainDatabase:
    """What it knows. `secret` verifies, where it is set; `answers` come first, in order: a status, with headers.

    `now`: its clock, in seconds. `drips`: it sends its answer byte for byte and never ends.
    """

    secret: str = field(default="", repr=False)
    now: Callable[[], float] = time.time
    answers: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)
    drips: bool = False
    heard: list[MessageIn] = field(default_factory=list)
    url: str = ""
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def taken(self) -> list[MessageIn]:
        """What it said yes to, each message once, as a receiver does that looks at the id."""
        return list({one.id: one for one in reversed(self.heard) if one.status == 204}.values())[::-1]

    def take(self, headers: Mapping[str, str], body: bytes) -> tuple[int, Mapping[str, str]]:
        """Answer one message."""
        status, more = self.answers.pop(0) if self.answers else (200 if self.drips else 204, {})
        if self.secret and not verifies([self.secret], headers, body, self.now()):
            status, more = 401, {}
        self.heard.append(MessageIn(headers, body, status))
        return status, more


@contextmanager
def running_main_database(secret: str = "", now: Callable[[], float] = time.time) -> Iterator[MainDatabase]:
    """One on loopback, at its `url`."""
    database = MainDatabase(secret, now)

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()} | {"x-method": self.command}
            status, more = database.take(headers, body)
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.end_headers()
            while database.drips and not database.stopped.wait(0.05):
                self.wfile.write(b".")
                self.wfile.flush()

        do_PUT = do_POST  # noqa: N815 - because the library looks for this name; a platform's job is answered by PUT

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # because whoever hangs up is no fault of ours
        database.url = f"http://127.0.0.1:{server.server_address[1]}/dpsync"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield database
        finally:
            database.stopped.set()
            server.shutdown()
            thread.join()
