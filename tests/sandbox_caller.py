"""A plain caller of the sandboxed Marketing API, and a web site that listens to what the sandbox sends."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

from dpsync.sandbox.server import RunningSandbox, running_sandbox
from tests.specification import held_against_its_files

ADA = "ada@example.org"
BEN = "ben@example.org"


def md5(address: str) -> str:
    """The subscriber hash, computed apart from the sandbox's own."""
    return hashlib.md5(address.lower().encode(), usedforsecurity=False).hexdigest()


class Caller:
    """One key's calls to one sandbox. `checked`: each answer must keep the vendor's own file, where it is at hand."""

    def __init__(self, sandbox: RunningSandbox, key: str | None = None, *, checked: bool = True) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.auth = ("anybody", key or sandbox.api_keys[0])
        if checked:
            held_against_its_files(self.session, "mailchimp-openapi.json")
        self.first, self.second = sandbox.audiences()

    def call(self, method: str, path: str, body: object = None, **params: str) -> requests.Response:
        """One call below /3.0, as it was answered."""
        url = self.sandbox.mailchimp_url + path
        return self.session.request(method, url, json=body, params=params, timeout=60, allow_redirects=False)

    def member(self, method: str, address: str, body: object = None, *, below: str = "") -> requests.Response:
        """One call about one contact of the first audience, by hash."""
        return self.call(method, f"/lists/{self.first}/members/{md5(address)}{below}", body)


@contextmanager
def calling(*, checked: bool = True) -> Iterator[Caller]:
    """A sandbox that holds Ada in its first audience, and a caller."""
    with running_sandbox() as sandbox:
        caller = Caller(sandbox, checked=checked)
        sandbox.add(ADA, merge_fields={"FNAME": "Ada", "LNAME": "L"})
        try:
            yield caller
        finally:
            caller.session.close()


@dataclass(frozen=True, slots=True)
class Heard:
    """One request that a listener heard."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Listener:
    """A web site that shows one page to every GET and notes everything. `status`: what a POST is answered with."""

    def __init__(self, page: str = "", status: int = 200, get_status: int = 200) -> None:
        self.page = page
        self.status = status
        self.get_status = get_status
        self.heard: list[Heard] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._note()
                self._answer(listener.get_status, listener.page.encode())

            def do_HEAD(self) -> None:
                self._note()
                self._answer(listener.get_status, b"")

            def do_POST(self) -> None:
                self._note()
                self._answer(listener.status, b"")

            def _note(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                listener.heard.append(Heard(self.command, self.path, headers, body))

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def posts(self) -> list[Heard]:
        """What was POSTed."""
        return [heard for heard in self.heard if heard.method == "POST"]

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def listening(page: str = "", status: int = 200, get_status: int = 200) -> Iterator[Listener]:
    """A listener for the length of the block."""
    listener = Listener(page, status, get_status)
    try:
        yield listener
    finally:
        listener.close()
