"""What the vendors say: an answer to each call that a connector makes, the webhooks, and bytes that are no HTTP."""

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import cache, partial
from itertools import count
from typing import Any
from urllib.parse import urlencode

import requests

from dpsync.connector import Finding, Outcome
from dpsync.connector_services import NoAnswer
from dpsync.connectors.brevo.observed import hints_in as hints_of_brevo
from dpsync.connectors.eventbrite import Eventbrite
from dpsync.connectors.hootsuite import Hootsuite
from dpsync.connectors.mailchimp.observed import hints_in
from dpsync.errors import CredentialsRejected, PayloadInvalid, ProcessorUnreachable, SignatureInvalid
from dpsync.http import HttpClient, json_of, retry_after
from dpsync.model import Right
from tests.builders import START
from tests.connectors import (
    test_brevo,
    test_campaign_monitor,
    test_eventbrite,
    test_google_analytics,
    test_hootsuite,
    test_mailchimp,
    test_opendsr,
    test_webhook,
)
from tests.connectors.contract import NOW, Answers, Hands, HttpContract, Said, instruction
from tests.fuzz.target import Target

CONTRACTS: dict[str, type[HttpContract]] = {
    "brevo": test_brevo.OnStage,
    "campaign_monitor": test_campaign_monitor.Keeps,
    "eventbrite": test_eventbrite.Finds,
    "google_analytics": test_google_analytics.Asks,
    "hootsuite": test_hootsuite.TestRectification,
    "mailchimp": test_mailchimp.TestMailchimp,
    "opendsr": test_opendsr.Asked,
    "webhook": test_webhook.Told,
}
STATUSES = (200, 201, 204, 400, 401, 403, 404, 409, 422, 429, 500, 503)


class Instead:
    """A vendor whose answers pass through somebody's hands."""

    def __init__(self, vendor: Answers, hands: Callable[[Said], Said]) -> None:
        self._vendor, self._hands = vendor, hands

    def answer(self, request: requests.PreparedRequest) -> Said:
        """What it says in the end."""
        return self._hands(self._vendor.answer(request))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vendor, name)


def rights(name: str) -> list[Right]:
    kind = CONTRACTS[name]
    return sorted(kind.rights or kind.connector.capabilities)


def read_answer(name: str, raw: bytes) -> None:
    """Which right, which call of it, and which status: a byte each, then the body. There is an outcome."""
    right, place, status = (*raw[:3], 0, 0, 0)[:3]
    wanted = rights(name)[right % len(rights(name))]
    contract, calls = CONTRACTS[name](), count()

    def other(own: Said) -> Said:
        if next(calls) != place % 8:
            return own
        said = own if status >= len(STATUSES) else own._replace(status=STATUSES[status])
        return said._replace(body=raw[3:])

    with contract.before(Instead(contract.vendor(wanted, held=True), other)) as stage:
        assert isinstance(stage.tell(instruction(wanted)), Outcome)
        assert isinstance(stage.read_back(instruction(wanted)), Finding)
        stage.connector.probe()


def _answers(name: str) -> list[bytes]:
    found = []
    for number, right in enumerate(rights(name)):
        contract = CONTRACTS[name]()
        heard: list[Said] = []

        def hearing(own: Said, heard: list[Said] = heard) -> Said:
            heard.append(own)
            return own

        with contract.before(Instead(contract.vendor(right, held=True), hearing)) as stage:
            stage.tell(instruction(right))
            stage.read_back(instruction(right))
        found += [bytes([number, place, 255]) + said.body for place, said in enumerate(heard[:8])]
    return found


def read_webhook(raw: bytes) -> None:
    """A processor's own webhook, signed where one signs."""
    body = raw[1:]
    match raw[:1]:
        case b"h":
            contract = test_hootsuite.TestRectification()
            signature = hmac.new(bytes.fromhex(test_hootsuite.HEX), body, hashlib.sha256).hexdigest()
            with contract.before(contract.vendor(Right.RECTIFICATION, held=True)) as stage:
                assert isinstance(stage.connector, Hootsuite)
                stage.connector.receive({"x-hootsuite-signature": signature}, body)
                stage.tell(instruction(Right.RECTIFICATION))
        case b"e":
            finds = test_eventbrite.Finds()
            with finds.before(finds.vendor(Right.ERASURE, held=True)) as stage:
                assert isinstance(stage.connector, Eventbrite)
                stage.connector.receive({"x-eventbrite-event": "attendee.updated"}, body)
                stage.tell(instruction(Right.ERASURE))
        case b"b":
            hints_of_brevo(body)
        case _:
            hints_in(body)


def _webhooks() -> list[bytes]:
    form = {"type": "unsubscribe", "fired_at": "2026-11-20 08:55:00", "data[action]": "unsub", "data[list_id]": "list1"}
    return [
        b"h" + json.dumps(test_hootsuite.conversation()).encode(),
        b"h" + json.dumps(test_hootsuite.import_error(START)).encode(),
        b"e" + test_eventbrite.hint("events/900100/attendees/700042/"),
        b"b"
        + json.dumps({"event": "unsubscribe", "email": "ada@example.org", "list_id": [1], "ts": 1604933654}).encode(),
        b"b" + json.dumps([{"event": "spam", "email": "ada@example.org"}]).encode(),
        b"m" + urlencode(form | {"data[email]": "ada@example.org"}).encode(),
    ]


class _Host:
    """A host of this machine that says the same bytes to whoever comes."""

    def __init__(self) -> None:
        self.says = b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"
        threading.Thread(target=self._run, daemon=True).start()
        self.http = HttpClient(Hands(), rehearsal=True, longest=2)

    def _run(self) -> None:
        while True:
            peer, _ = self._listening.accept()
            with closing(peer), suppress(OSError):  # whoever asked may have gone
                peer.recv(65_536)
                peer.sendall(self.says)


@cache
def _host() -> _Host:
    return _Host()


def read_http(raw: bytes) -> None:
    """Whatever a host says, there is an answer or there is none, and what is read out of it is of our kinds."""
    host = _host()
    host.says = raw
    reply = host.http.call("GET", host.url, template="/", digest_key=b"x")
    json_of(reply)
    wait = retry_after(reply, NOW)
    assert wait is None or 0 <= wait.total_seconds() <= 86_400
    assert len(reply.body) <= 5_000_000


def _https() -> list[bytes]:
    head = b"HTTP/1.1 429 Too Many\r\nRetry-After: Fri, 20 Nov 2026 09:00:30 GMT\r\nContent-Type: application/json"
    return [
        head + b'; charset="utf-8"\r\nContent-Length: 8\r\nX-Request-Id: a-1\r\nConnection: close\r\n\r\n{"a": 1}',
        head + b'\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n8\r\n{"a": 1}\r\n0\r\n\r\n',
        head + b"\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00",
    ]


def _of(name: str) -> Target:
    read: Callable[[bytes], None] = partial(read_answer, name)
    seeds: Callable[[], Sequence[bytes]] = cache(lambda: _answers(name))
    refusals: Any = (CredentialsRejected, ProcessorUnreachable)
    return Target(f"answers of {name}", read, seeds, refusals, chosen=3, examples=6)


TARGETS = (
    *map(_of, CONTRACTS),
    Target("webhooks", read_webhook, _webhooks, (PayloadInvalid, SignatureInvalid), chosen=1, examples=15),
    Target("answers over HTTP", read_http, _https, (NoAnswer,), examples=15),
)
