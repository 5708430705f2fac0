"""Witnesses that fail, lie or contradict: whom it stops, for how long, and who hears of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from dpsync.ledger.continuation import parse
from dpsync.ledger.cosignature import Cosigner
from dpsync.running import cosigning
from tests.journeys.installation import Installation, installed, sqlite_url
from tests.journeys.test_cosigning import Answers


class Witness:
    """One at a real address. `said`: what it answers instead of cosigning; None: it cosigns whatever comes."""

    def __init__(self, name: str) -> None:
        self.cosigner = Cosigner.from_seed(name, name.encode().ljust(32))
        self.url = ""
        self.said: tuple[int, str] | None = None

    def answer(self, raw: bytes) -> tuple[int, str]:
        return self.said or (200, self.cosigner.line(parse(raw.decode()).head, 1_700_000_000))


@contextmanager
def witnesses(there: Installation, *names: str) -> Iterator[list[Witness]]:
    """Served, and named in the settings."""
    found = [Witness(name) for name in names]
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _page_of(one)) for one in found]
    for one, server in zip(found, servers, strict=True):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        one.url = f"http://127.0.0.1:{server.server_port}"
    lines = ", ".join(f'{{ url = "{one.url}", key = "{one.cosigner.witness.line}" }}' for one in found)
    origin = 'origin = "example.org/journeys"'
    there.restart((origin, f"{origin}\nwitnesses = [{lines}]"))
    try:
        yield found
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def _page_of(witness: Witness) -> type[Answers]:
    class Page(Answers):
        def do_POST(self) -> None:  # noqa: N802 - because the library names it so
            status, body = witness.answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

    return Page


def ask(there: Installation, *, days: int = 0) -> None:
    there.clock.advance(timedelta(days=days))
    cosigning.ask(there.service, there.clock.now())


@pytest.mark.parametrize("said", [(503, ""), (500, ""), (429, ""), (409, ""), (409, "2"), (409, "1\n")])
def test_a_witness_that_cosigns_no_more_is_told_of_after_three_days(tmp_path: Path, said: tuple[int, str]) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there, witnesses(there, "example.net/a") as (one,):
        ask(there)
        one.said = said
        for _ in range(3):
            ask(there, days=1)
        assert there.alerts() == []
        ask(there, days=1)
        assert there.alerts() == [("operator", "witness")]
        assert not there.service.custody.unrecovered
