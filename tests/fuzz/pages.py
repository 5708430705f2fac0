"""What comes to the receiver: any method, path, and form, past the web server and straight to the application."""

import asyncio
import io
import json
from contextlib import closing
from functools import cache
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote_to_bytes, urlencode

from dpsync import telemetry
from dpsync.intake.web import create_app
from dpsync.running.health import Health
from dpsync.service import receiver_of, worker_of
from tests.fuzz.house import house
from tests.fuzz.target import Target
from tests.journeys.installation import INBOUND
from tests.journeys.test_sources import signed

DOORS = ("/requests", "/requests/own", f"/in/events/{INBOUND}", "/healthz")
ANSWERS = {200, 202, 303, 400, 401, 403, 404, 405, 409, 413, 422, 429, 503}


class _Fields(HTMLParser):
    """The fields of a page's forms, filled in as somebody could."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what has a name."""
        said = dict(attrs)
        if tag in {"input", "textarea", "select", "button"} and said.get("name"):
            self.found.setdefault(str(said["name"]), said.get("value") or "2026-11-20")


@cache
def _app() -> Any:
    service = house().service
    worker = worker_of(service)
    return create_app(receiver_of(service, worker, Health(service, worker)))


async def _asked(method: str, path: bytes, body: bytes) -> tuple[int, bytes]:
    target, _, query = path.partition(b"?")
    kind = b"application/x-www-form-urlencoded" if b"=" in body[:20] else b"application/json"
    scope: dict[str, Any] = {"type": "http", "http_version": "1.1", "method": method, "scheme": "http", "root_path": ""}
    scope |= {"path": unquote_to_bytes(target).decode(errors="replace"), "raw_path": target, "query_string": query}
    scope |= {"headers": [(b"content-type", kind), (b"x-hub-signature-256", signed(body).encode())]}
    scope |= {"client": ("127.0.0.1", 5), "server": ("127.0.0.1", 80)}
    said: list[Any] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        said.append(message)

    await _app()(scope, receive, send)
    return said[0]["status"], b"".join(one.get("body", b"") for one in said[1:])


def ask(raw: bytes) -> tuple[int, bytes]:
    """A line with method and path, then the body. There is an answer, and no trouble is logged."""
    line, _, body = raw.partition(b"\n")
    method, _, path = line.partition(b" ")
    log = io.StringIO()
    telemetry.configure("error", log)
    with closing(asyncio.new_event_loop()) as loop:
        asked = _asked(method.decode("latin-1") or "GET", path or b"/", body)
        status, page = loop.run_until_complete(asyncio.wait_for(asked, 60))
    assert not log.getvalue(), log.getvalue()
    assert status in ANSWERS, status
    return status, page


def _seeds() -> list[bytes]:
    paths = [*house().links, *DOORS]
    found = [f"GET {path}\n".encode() for path in paths]
    for path in paths:
        fields = _Fields(ask(f"GET {path}\n".encode())[1].decode()).found
        found.append(f"POST {path}\n{urlencode(fields)}".encode())
    stop = {"events": [{"id": "e1", "kind": "other", "person": 1, "email": "ada@example.org"}]}
    hint = {"api_url": "https://www.eventbriteapi.com/v3/orders/440042/", "config": {"action": "order.updated"}}
    for path, body in ((DOORS[1], stop), (DOORS[2], hint)):
        found.append(f"POST {path}\n{json.dumps(body)}".encode())
    return found


TARGETS = (Target("links and forms", lambda raw: ask(raw) and None, cache(_seeds), examples=30, housed=True),)
