"""The receiver over real sockets: what each sender hears, and that nothing but a commit is answered 202."""

import base64
import hashlib
import io
import json
import logging
import math
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from statistics import median
from typing import Any, TypeVar

import pytest
import requests
import uvicorn

from dpsync import telemetry
from dpsync.connector import Conversation, Inbound
from dpsync.errors import DecisionRefused, EventConflict, NotFound, PayloadInvalid, SignatureInvalid
from dpsync.intake import limits
from dpsync.intake.answers import Received, ReceptionBusy
from dpsync.intake.counting import Counting
from dpsync.intake.inbound import Listener, Listeners
from dpsync.intake.later_outcomes import LaterOutcomes
from dpsync.intake.letter_links import ContactPage, LetterLinks
from dpsync.intake.limits import serve_config
from dpsync.intake.observed import Observed
from dpsync.intake.payload import Withdrawal
from dpsync.intake.receiver import Receiver
from dpsync.intake.reception import Reception
from dpsync.intake.refusals import Refusal, Refusals
from dpsync.intake.sources.reception import SourceReception
from dpsync.intake.web import create_app
from dpsync.model import Request, Right
from dpsync.propagation.correspondence.acknowledgement import AnswerForm, EarlierAnswer, Question
from dpsync.propagation.engine.worker import Worker
from dpsync.propagation.rules.lifecycle import AnswerKind
from dpsync.retention.service import Conversations
from dpsync.retention.worklist import WorkListPage
from dpsync.signature import Verifier, signed_headers
from tests.faults.counting import Counted

T = TypeVar("T")
SECRET = bytes(range(32))
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
BODY = b'{"type": "data_subject.request", "data": {"right": "erasure", "subject": {"email": "canary@example.org"}}}'
TOKEN = "t" * 43
WORK_LIST = "w" * 43
LIFTING = "l" * 43
PART = "p" * 43
LINK_OF_NOBODY = "u" * 43
INBOUND = "Inbound_secret-of_128-bits"


class Impatient(limits.LimitedProtocol):
    header_seconds = 0.3
    body_seconds = 0.3


class Crowded(limits.LimitedProtocol):
    most_connections = 20


@dataclass
class House:
    """What stands behind the receiver here: it remembers what reached it, and answers as it is told."""

    received: list[Request | Withdrawal] = field(default_factory=list)
    answers: list[tuple[str, AnswerKind, AnswerForm, datetime]] = field(default_factory=list)
    too_often: bool = False
    confirmed: list[str] = field(default_factory=list)
    attested: list[tuple[str, frozenset[str] | None, str, str]] = field(default_factory=list)
    delivered: list[tuple[str, bytes]] = field(default_factory=list)
    answer: Callable[[], Received] = lambda: Received("r-1", held=False, repeated=False)
    unresolved: list[Future[Received]] | None = None
    status: str = "ready"
    woken: int = 0
    refusals: list[tuple[Refusal, str]] = field(default_factory=list)

    def receive(self, asked: Request | Withdrawal) -> Future[Received]:
        self.received.append(asked)
        future: Future[Received] = Future()
        if self.unresolved is not None:
            self.unresolved.append(future)
            return future
        try:
            future.set_result(self.answer())
        except Exception as error:  # noqa: BLE001 - because a future carries whatever was raised
            future.set_exception(error)
        return future

    def readiness(self) -> dict[str, object]:
        if self.status == "broken":
            raise RuntimeError("canary@example.org")
        return {"status": self.status, "queue": 0}


class Still:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class Receives(Reception):
    def __init__(self, house: House) -> None:
        self.house = house

    def submit(self, request: Request, body: bytes, now: datetime) -> Future[Received]:
        return self.house.receive(request)

    def submit_withdrawal(self, withdrawal: Withdrawal, body: bytes, now: datetime) -> Future[Received]:
        return self.house.receive(withdrawal)


class Wakes(Worker):
    def __init__(self, house: House) -> None:
        self.house = house

    def wake(self) -> None:
        self.house.woken += 1


class Letters(LetterLinks):
    def __init__(self, house: House) -> None:
        self.house = house

    def question(self, token: str, now: datetime) -> Question | None:
        earlier = tuple(EarlierAnswer(kind, at) for _, kind, _, at in self.house.answers)
        lifting = token == LIFTING
        right = Right.RESTRICTION if lifting else Right.ERASURE
        page = Question("DPS-7F3K2", right, lifting, "Sign-up <forms>", earlier)
        if token == PART:
            return replace(page, right=Right.OPT_OUT, scope="topic=events, channel=email")
        return page if token in {TOKEN, LIFTING} else None

    def answer(self, token: str, kind: AnswerKind, given: AnswerForm, now: datetime) -> Future[Any]:
        if self.house.status == "broken":
            raise RuntimeError("canary@example.org")
        if self.house.too_often:
            refused: Future[Any] = Future()
            refused.set_exception(DecisionRefused("this notice has been answered too often"))
            return refused
        self.house.answers.append((token, kind, given, now))
        return done(None)

    def contact(self, token: str) -> ContactPage | None:
        return ContactPage("Sign-up <forms>", bool(self.house.confirmed)) if token == TOKEN else None

    def confirm(self, token: str, now: datetime) -> Future[str]:
        self.house.confirmed.append(token)
        return done("Sign-up <forms>")


class Hears(Inbound):
    def __init__(self, house: House) -> None:
        self.house = house

    def receive(self, headers: Mapping[str, str], body: bytes) -> tuple[Conversation, ...]:
        if self.house.status == "broken":
            raise RuntimeError("canary@example.org")
        if headers.get("x-signed") == "wrong":
            raise SignatureInvalid("wrong")
        if body == b"no json":
            raise PayloadInvalid("body", "is not JSON")
        self.house.delivered.append((headers["x-event"], body))
        return ()


class Lists(Conversations):
    def __init__(self, house: House) -> None:
        self.house = house

    def page(self, token: str, now: datetime) -> WorkListPage | None:
        rows = (("DPS-AAAA", date(2026, 11, 30), True), ("DPS-BBBB", date(2026, 12, 1), not self.house.attested))
        return WorkListPage("DPS-LIST", "Inbox <app>", rows) if token == WORK_LIST else None

    def attest(
        self, token: str, references: frozenset[str] | None, name: str, remark: str, peer: str, now: datetime
    ) -> Future[int]:
        self.house.attested.append((token, references, name, remark))
        return done(1)


class Counts(Refusals):
    def __init__(self, house: House) -> None:
        self.house = house

    def note(self, refusal: Refusal, now: datetime, event_id: str = "") -> "Future[None]":
        self.house.refusals.append((refusal, event_id))
        return done(None)


class TakesNothing(LaterOutcomes):
    def __init__(self) -> None:
        pass


class Sees(Observed):
    def __init__(self, house: House) -> None:
        self.house = house


class NeverAsked(SourceReception):
    def __init__(self) -> None:
        pass


class CountsNothing(Counting[tuple[str, str]]):
    def __init__(self) -> None:
        pass


def done(value: T) -> "Future[T]":
    future: Future[T] = Future()
    future.set_result(value)
    return future


def receiver(house: House) -> Receiver:
    return Receiver(
        clock=Still(),
        verifier=Verifier([SECRET]),
        reception=Receives(house),
        worker=Wakes(house),
        listeners=Listeners({"newsletter": Listener(INBOUND, Hears(house))}),
        letters=Letters(house),
        conversations=Lists(house),
        refusals=Counts(house),
        observed=Sees(house),
        outcomes=TakesNothing(),
        health=house,
        controller="Example Society",
        source_reception=NeverAsked(),
        source_messages=CountsNothing(),
    )


@dataclass(frozen=True)
class Served:
    house: House
    port: int

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def post(self, body: bytes = BODY, changed: dict[str, str] | None = None) -> requests.Response:
        signed = signed_headers(SECRET, "evt_1", NOW, body) | (changed or {})
        return requests.post(self.url("/requests"), data=body, headers=signed, timeout=60)

    def raw(self, sent: bytes) -> bytes:
        """What comes back to these bytes until the server hangs up."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(sent)
            return hear(connection)


def hear(connection: socket.socket) -> bytes:
    heard = b""
    try:
        while part := connection.recv(65536):
            heard += part
    except ConnectionResetError:
        pass
    return heard


@contextmanager
def serving(house: House, protocol: type[limits.LimitedProtocol] = Impatient, **options: float) -> Iterator[Served]:
    config = serve_config(create_app(receiver(house), **options), "127.0.0.1", 0)  # type: ignore[arg-type]  # because the options are of two types
    config.http = protocol
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield Served(house, listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(60)
        listening.close()


@pytest.fixture(scope="module")
def _shared() -> Iterator[Served]:
    with serving(House()) as running:
        yield running


@pytest.fixture
def served(_shared: Served) -> Served:
    fresh = House()
    for name in (
        "received",
        "answers",
        "confirmed",
        "attested",
        "delivered",
        "answer",
        "unresolved",
        "status",
        "too_often",
        "woken",
    ):
        setattr(_shared.house, name, getattr(fresh, name))
    return _shared


# --- POST /requests


def test_a_signed_request_is_accepted_after_the_commit(served: Served) -> None:
    answer = served.post()
    assert (answer.status_code, answer.json()) == (202, {"request": "r-1", "status": "accepted"})
    (asked,) = served.house.received
    assert isinstance(asked, Request)
    assert (asked.right, asked.event_id, asked.subject.email) == (Right.ERASURE, "evt_1", "canary@example.org")
    assert "server" not in answer.headers


def test_a_held_request_says_so(served: Served) -> None:
    served.house.answer = lambda: Received("r-2", held=True, repeated=False)
    assert served.post().json() == {"request": "r-2", "status": "held"}


def test_no_answer_comes_before_the_commit(served: Served) -> None:
    served.house.unresolved = []
    with socket.create_connection(("127.0.0.1", served.port), timeout=0.3) as connection:
        connection.sendall(written(BODY))
        with pytest.raises(TimeoutError):
            connection.recv(1)
        assert served.house.woken == 0
        served.house.unresolved[0].set_result(Received("r-3", held=False, repeated=False))
        connection.settimeout(60)
        assert connection.recv(100).startswith(b"HTTP/1.1 202 ")
        assert served.house.woken == 1, "the worker looks at once, and not at its next turn"


def written(body: bytes, *, framing: bytes | None = None, sent: bytes | None = None, extra: bytes = b"") -> bytes:
    headers = "".join(f"{name}: {value}\r\n" for name, value in signed_headers(SECRET, "evt_1", NOW, body).items())
    framing = b"Content-Length: %d\r\n" % len(body) if framing is None else framing
    start = b"POST /requests HTTP/1.1\r\nHost: x\r\n" + extra + headers.encode() + framing + b"\r\n"
    return start + (body if sent is None else sent)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (EventConflict("this event id came before with another body"), 409),
        (DecisionRefused("it is closed already"), 409),
        (NotFound("canary@example.org"), 404),
        (ReceptionBusy("busy"), 503),
        (RuntimeError("canary@example.org"), 503),
        (TimeoutError(), 503),
        (OSError(28, "disk full"), 503),
    ],
)
def test_what_the_store_could_not_take_is_never_a_2xx(
    served: Served, error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Received:
        raise error

    served.house.answer = fail
    answer = served.post()
    assert answer.status_code == status
    assert "error" in answer.json()
    assert (status == 503) == ("retry-after" in answer.headers)
    assert "canary" not in answer.text + caplog.text


def test_whoever_waits_in_vain_for_a_commit_is_told_to_come_again() -> None:
    with serving(House(unresolved=[]), commit_seconds=0.1) as served:
        assert served.post().status_code == 503


def test_beyond_the_queue_nobody_is_let_in_and_then_again() -> None:
    house = House(unresolved=[])
    assert house.unresolved is not None
    with serving(house, most_waiting=1) as served, socket.create_connection(("127.0.0.1", served.port), 10) as first:
        first.sendall(written(BODY))
        while not house.unresolved:
            assert served.post(b"").status_code == 422  # another round on the loop
        busy = served.post()
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "5")
        house.unresolved.pop().set_result(Received("r-1", held=False, repeated=False))
        assert first.recv(100).startswith(b"HTTP/1.1 202 ")
        house.unresolved = None
        assert served.post().status_code == 202


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook-signature": "v1,AAAA"},
        {"webhook-id": "evt_2"},
        {"webhook-timestamp": "1"},
        {"webhook-signature": ""},
        {"webhook-signature": " ".join(["v1," + "A" * 43 + "="] * 100)},
    ],
)
def test_who_is_not_known_hears_401_and_no_reason(served: Served, headers: dict[str, str]) -> None:
    answer = served.post(BODY, headers)
    assert (answer.status_code, answer.content, served.house.received) == (401, b"", [])


def test_a_second_signature_header_is_401(served: Served) -> None:
    again = b"Webhook-Id: evt_1\r\nConnection: close\r\n"
    assert served.raw(written(BODY, extra=again)).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", ""),
        (
            b'{"type": "data_subject.request", "data": {"right": "erasure", "subject": {"email": "canary"}}}',
            "data.subject.email",
        ),
    ],
)
def test_what_does_not_fit_is_422_with_the_field_but_not_the_value(served: Served, body: bytes, field: str) -> None:
    answer = served.post(body)
    assert (answer.status_code, answer.json()["field"], served.house.received) == (422, field, [])
    assert "canary" not in answer.text


def test_a_withdrawal_reaches_the_house(served: Served) -> None:
    served.post(b'{"type": "data_subject.request.withdrawn", "data": {"request": "r-9"}}')
    assert served.house.received == [Withdrawal("webhook", "evt_1", "r-9")]


def test_one_hundred_at_once_are_each_answered(served: Served) -> None:
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(served.post().status_code)) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [202] * 100


# --- what uvicorn leaves open


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_an_announced_huge_body_is_refused_before_a_byte_of_it(served: Served) -> None:
    answer = served.raw(written(BODY, framing=b"Content-Length: 10000000000\r\n", sent=b""))
    assert (status(answer), served.house.received) == (413, [])


def test_one_byte_over_the_cap_is_refused_and_the_cap_itself_is_read(served: Served) -> None:
    assert served.post(b" " * 65536).status_code == 422
    assert served.post(b" " * 65537).status_code == 413


def test_endless_chunks_end_at_the_cap(served: Served) -> None:
    chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    answer = served.raw(written(BODY, framing=b"Transfer-Encoding: chunked\r\n", sent=chunk * 17))
    assert (status(answer), served.house.received) == (413, [])


def test_a_chunked_body_within_the_cap_is_read(served: Served) -> None:
    sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    answer = served.raw(written(BODY, framing=b"Transfer-Encoding: chunked\r\nConnection: close\r\n", sent=sent))
    assert status(answer) == 202


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (written(BODY, framing=b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", sent=b"0\r\n\r\n"), 400),
        (written(BODY, framing=b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", sent=b"0\r\n\r\n"), 400),
        (written(BODY, framing=b"Transfer-Encoding: chunked\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
        (written(BODY, framing=b"Content-Length: 5\r\nContent-Length: 6\r\n"), 400),
        (written(BODY, framing=b"Content-Length: -1\r\n"), 400),
        (written(BODY, framing=b"Transfer-Encoding: gzip\r\n"), 501),
        (written(BODY, framing=b"Transfer-Encoding: chunked\r\n", sent=b"zz\r\n"), 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 64 + b"\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 20000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 20000, 431),
    ],
)
def test_a_request_with_two_meanings_or_none_is_refused(served: Served, request_bytes: bytes, expected: int) -> None:
    answer = served.raw(request_bytes)
    assert (status(answer), served.house.received) == (expected, [])
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "begun",
    [
        b"POST /requests HT",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
        written(BODY, sent=BODY[:10]),
        written(BODY, framing=b"Transfer-Encoding: chunked\r\n", sent=b"5\r\nabc"),
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /hea",
    ],
)
def test_who_stops_halfway_hears_408_in_time_while_others_are_served(served: Served, begun: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as slow:
        slow.sendall(begun)
        assert served.post().status_code == 202
        answer = hear(slow)
    assert b"HTTP/1.1 408 " in answer
    assert len(served.house.received) == 1


def seconds_for(served: Served, number: int) -> float:
    """How long the slower half of so many requests wait for their answers."""
    took = []
    for _ in range(number):
        began = time.monotonic()
        assert served.post().status_code == 202
        took.append(time.monotonic() - began)
    return median(took)


@pytest.mark.fault(29)
def test_who_sends_slowly_or_too_much_makes_nobody_else_wait(served: Served, counted: Counted) -> None:
    halves = (
        b"POST /requests HT",
        written(BODY, sent=BODY[:10]),
        written(BODY, framing=b"Content-Length: 90000000\r\n"),
    )
    slower = math.inf
    for _ in range(4):  # a busy machine may be slow in between
        alone = seconds_for(served, 15)
        with ExitStack() as open_ones:
            for number in range(60):
                slow = open_ones.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=60))
                slow.sendall(halves[number % 3])
            slower = min(slower, seconds_for(served, 15) / alone)
        if slower < 1.5:
            break
    counted(29, times_slower_for_others=slower)


@pytest.mark.parametrize("begun", [b"", b"POST /requests HT", written(BODY, sent=BODY[:10])])
def test_however_many_connections_say_nothing_they_keep_nobody_out(begun: bytes) -> None:
    with serving(House(), Crowded) as served, ExitStack() as open_ones, requests.Session() as known:
        for _ in range(2):
            for _ in range(5 * Crowded.most_connections):
                idle = open_ones.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=60))
                with suppress(OSError):  # it may have given way already
                    idle.sendall(begun)
            assert served.post().status_code == 202
            assert known.get(served.url("/healthz"), timeout=60).status_code == 200


def test_dripping_bytes_wins_no_time(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=0.02) as slow:
        heard = b""
        for byte in written(BODY)[:400]:
            try:
                slow.sendall(bytes([byte]))
                heard = slow.recv(1000)
                break
            except TimeoutError:
                continue
    assert heard.startswith(b"HTTP/1.1 408 ")


def test_who_says_nothing_is_hung_up_on_in_silence(served: Served) -> None:
    assert served.raw(b"") == b""


def test_a_body_that_nobody_asked_for_does_not_hold_the_connection(served: Served) -> None:
    answer = served.raw(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 404 ")


def test_two_requests_in_one_packet_are_both_answered_in_order(served: Served) -> None:
    last = b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = served.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + last)
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"404"]


# --- health


@pytest.mark.parametrize(("state", "expected"), [("ready", 200), ("stopping", 503), ("broken", 503)])
def test_readiness_says_whether_requests_can_be_committed(served: Served, state: str, expected: int) -> None:
    served.house.status = state
    answer = requests.get(served.url("/readyz"), timeout=60)
    assert answer.status_code == expected
    assert "canary" not in answer.text
    assert requests.get(served.url("/healthz"), timeout=60).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/requests", 405),
        ("PUT", "/requests", 405),
        ("POST", "/healthz", 405),
        ("DELETE", f"/answers/{TOKEN}", 405),
        ("GET", "/", 404),
        ("POST", "/requests/", 404),
        ("GET", "/answers/a/b", 404),
        ("GET", "/docs", 404),
    ],
)
def test_there_are_no_other_doors(served: Served, method: str, path: str, expected: int) -> None:
    assert requests.request(method, served.url(path), timeout=60, allow_redirects=False).status_code == expected


# --- answers


def form(served: Served, path: str = f"/answers/{TOKEN}", **fields: str) -> requests.Response:
    return requests.post(served.url(path), data=fields, timeout=60)


def test_a_scanner_that_opens_every_link_proves_nothing(served: Served) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        for path in (f"/answers/{TOKEN}?answer=done&name=x", f"/contacts/{TOKEN}?confirm=yes"):
            requests.request(method, served.url(path), timeout=60)
    assert (served.house.answers, served.house.confirmed) == ([], [])


def test_the_answer_page_names_the_notice_and_is_neither_kept_nor_scripted(served: Served) -> None:
    page = requests.get(served.url(f"/answers/{TOKEN}"), timeout=60)
    assert page.status_code == 200
    for shown in ("DPS-7F3K2", "Erasure", "Sign-up &lt;forms&gt;", "Example Society", "viewport"):
        assert shown in page.text
    assert "<script" not in page.text
    assert TOKEN not in page.text
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    style = re.search(r"<style>(.*?)</style>", page.text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page.headers["content-security-policy"]
    assert page.headers["content-security-policy"].startswith("default-src 'none';")
    assert requests.head(served.url(f"/answers/{TOKEN}"), timeout=60).headers["content-length"] == str(
        len(page.content)
    )


@pytest.mark.parametrize("kind", ["received", "done", "nothing_held", "partly", "refused", "wrong_recipient"])
def test_an_answer_is_recorded_with_name_remark_and_peer(served: Served, kind: str) -> None:
    page = form(served, answer=kind, name=" Zoë ", remark="two\r\nlines\x00")
    assert page.status_code == 200
    assert "Thank you" in page.text
    ((token, said, given, at),) = served.house.answers
    assert (token, said, at) == (TOKEN, AnswerKind(kind), NOW)
    assert (given.name, given.remark, given.peer, given.places) == ("Zoë", "two\nlines", "127.0.0.1", {})
    assert given.agent.startswith("python-requests/")


def test_earlier_answers_are_shown_with_their_time_and_nobodys_name(served: Served) -> None:
    form(served, answer="done", name="Zoë", remark="secret remark")
    form(served, answer="refused", name="Zoë", remark="secret remark")
    page = requests.get(served.url(f"/answers/{TOKEN}"), timeout=60).text
    assert re.findall(r"<li>(.*?)</li>", page) == [
        "20 Nov 2026, 09:00 UTC: Done", "20 Nov 2026, 09:00 UTC: Refused (please say why)"
    ]  # fmt: skip
    assert not {"Zoë", "secret"} & set(re.findall(r"\w+", page))


def test_what_was_done_where_may_be_said_and_need_not(served: Served) -> None:
    page = form(
        served,
        answer="done",
        name="Zoë",
        live="erased",
        logs=" ",
        backups="overwritten\x00",
        backups_expire="2027-01-31",
    )
    assert page.status_code == 200
    assert served.house.answers[0][2].places == {
        "live data": "erased", "back-ups": "overwritten", "back-ups expire": "2027-01-31"
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrong", [{"backups_expire": "31.1.2027"}, {"backups_expire": "20270131"}, {"copies": "x" * 301}]
)
def test_a_place_that_does_not_fit_is_asked_for_again_with_all_that_was_typed(
    served: Served, wrong: dict[str, str]
) -> None:
    page = form(served, **{"answer": "done", "name": "Zoë", "live": "erased <all>", **wrong})
    assert (page.status_code, served.house.answers) == (422, [])
    assert 'name="live" maxlength="300" value="erased &lt;all&gt;"' in page.text
    assert 'value="done" required checked' in page.text


def test_whoever_answers_without_end_is_asked_to_write(served: Served) -> None:
    served.house.too_often = True
    page = form(served, answer="done", name="Zoë")
    assert (page.status_code, served.house.answers) == (409, [])
    assert "reply to the letter" in page.text


def test_the_lifting_of_a_restriction_is_not_called_a_restriction(served: Served) -> None:
    assert "The end of a restriction" in requests.get(served.url(f"/answers/{LIFTING}"), timeout=60).text
    part = requests.get(served.url(f"/answers/{PART}"), timeout=60).text
    assert "Objection, opt-out (GDPR Art. 21), only topic events, channel email" in part


def test_the_page_asks_nothing_that_a_phone_cannot_show(served: Served) -> None:
    page = requests.get(served.url(f"/answers/{TOKEN}"), timeout=60).text
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert not re.findall(r"<(?:script|img|link|iframe|table)|\bon\w+=|style=|https?://", page)
    assert ".choice{display:flex;align-items:center;gap:.75rem;min-height:2.75rem}" in page


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": "Zoë"},
        {"answer": "done"},
        {"answer": "done", "name": "  "},
        {"answer": "delivered", "name": "Zoë"},
        {"answer": "erased", "name": "Zoë"},
        {"answer": "partly", "name": "Zoë"},
        {"answer": "refused", "name": "Zoë", "remark": " "},
        {"answer": "done", "name": "Z" * 201},
        {"answer": "done", "name": "Zoë", "remark": "r" * 2001},
        {str(number): "x" for number in range(50)},
    ],
)
def test_an_incomplete_answer_is_asked_for_again_and_not_recorded(served: Served, fields: dict[str, str]) -> None:
    page = form(served, **fields)
    assert (page.status_code, served.house.answers) == (422, [])
    assert "Please" in page.text


@pytest.mark.parametrize("raw", [b"answer=done&answer=refused&name=Z", b"\xff", b"answer=done&name=%ff", b"{}"])
def test_a_form_with_two_meanings_is_not_recorded(served: Served, raw: bytes) -> None:
    assert requests.post(served.url(f"/answers/{TOKEN}"), data=raw, timeout=60).status_code == 422
    assert served.house.answers == []


def test_what_was_typed_comes_back_escaped(served: Served) -> None:
    page = form(served, name='"><script>alert(1)</script>', remark="</textarea><b>")
    assert "<script" not in page.text
    assert "</textarea><b>" not in page.text


def test_a_huge_form_is_refused(served: Served) -> None:
    assert form(served, answer="done", name="Zoë", remark="r" * 40_000).status_code == 413


def test_an_answer_that_could_not_be_kept_is_asked_for_again_later(served: Served) -> None:
    served.house.status = "broken"
    page = form(served, answer="done", name="Zoë")
    assert (page.status_code, page.headers["retry-after"], served.house.answers) == (503, "60", [])
    assert "open the same link again" in page.text
    assert "canary" not in page.text


def test_every_unknown_link_looks_the_same(served: Served) -> None:
    links = [
        f"/{kind}/{token}" for kind in ("answers", "contacts") for token in (LINK_OF_NOBODY, "x", "%00" * 50, "é" * 43)
    ]
    pages = [requests.get(served.url(link), timeout=60) for link in links]
    pages += [form(served, link, answer="done", name="Zoë", confirm="yes") for link in links]
    assert {page.status_code for page in pages} == {404}
    assert len({page.content for page in pages}) == 1
    assert (served.house.answers, served.house.confirmed) == ([], [])


# --- contacts


def test_a_contact_is_confirmed_by_its_own_post_only(served: Served) -> None:
    path = f"/contacts/{TOKEN}"
    assert "Yes, this is the right address" in requests.get(served.url(path), timeout=60).text
    assert form(served, path, confirm="no").status_code == 422
    assert served.house.confirmed == []
    assert "confirmed" in form(served, path, confirm="yes").text
    assert served.house.confirmed == [TOKEN]


def test_nothing_that_was_sent_reaches_a_log(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)  # below it uvicorn shows all that it sees, for whoever mends uvicorn
    served.post()
    served.post(b'{"canary": 1}')
    form(served, answer="done", name="canary", remark="canary")
    served.raw(written(BODY, framing=b"Transfer-Encoding: gzip\r\n"))
    # The client of this test, which lives in the same process, logs its own URLs.
    ours = " ".join(record.getMessage() for record in caplog.records if not record.name.startswith("urllib3"))
    assert "canary" not in ours
    assert TOKEN not in ours


def test_what_goes_wrong_in_the_receiver_is_logged_with_class_and_place_and_no_content(
    served: Served,
) -> None:
    def lost() -> Received:
        raise ConnectionResetError("canary")

    served.house.answer = lost
    # Not the stream that the test runner closes: the lines of what comes after go there too.
    written = io.StringIO()
    telemetry.configure("warning", written)
    assert served.post().status_code == 503
    said = [json.loads(line) for line in written.getvalue().splitlines()]
    (line,) = [one for one in said if one["logger"] == "receiver"]
    assert (line["error"], line["endpoint"]) == ("ConnectionResetError", "POST /requests")
    assert line["where"]
    assert "canary" not in json.dumps(said)


# --- /in: what processors send of their own accord


def test_a_delivery_under_the_right_secret_is_taken_in_with_its_headers_and_bytes(served: Served) -> None:
    sent = requests.post(
        served.url(f"/in/newsletter/{INBOUND}"), data=b"\x00 raw", headers={"X-Event": "order.placed"}, timeout=60
    )
    assert (sent.status_code, sent.content) == (200, b"")
    assert served.house.delivered == [("order.placed", b"\x00 raw")]


def test_a_vendor_that_asks_before_it_sends_hears_that_somebody_listens(served: Served) -> None:
    assert requests.get(served.url(f"/in/newsletter/{INBOUND}"), timeout=60).status_code == 200
    assert requests.get(served.url("/in/newsletter/another"), timeout=60).status_code == 404
    assert served.house.delivered == []


@pytest.mark.parametrize(
    "path", ["/in/newsletter/another", f"/in/nobody/{INBOUND}", "/in/newsletter/", "/in/newsletter"]
)
def test_without_the_secret_nothing_is_read_and_nothing_is_said(served: Served, path: str) -> None:
    sent = requests.post(served.url(path), data=b"x", headers={"X-Event": "e"}, timeout=60)
    assert sent.status_code == 404
    assert served.house.delivered == []


def test_what_is_wrong_with_a_delivery_is_told_in_its_status(served: Served) -> None:
    address = served.url(f"/in/newsletter/{INBOUND}")
    assert requests.post(address, data=b"x", headers={"X-Signed": "wrong"}, timeout=60).status_code == 401
    unreadable = requests.post(address, data=b"no json", timeout=60)
    assert (unreadable.status_code, unreadable.json()) == (422, {"error": "is not JSON", "field": "body"})
    served.house.status = "broken"
    broken = requests.post(address, data=b"x", headers={"X-Event": "e"}, timeout=60)
    assert broken.status_code == 503
    assert "canary" not in broken.text


def test_a_transcript_may_be_longer_than_a_request_but_not_without_end(served: Served) -> None:
    address, event = served.url(f"/in/newsletter/{INBOUND}"), {"X-Event": "e"}
    assert requests.post(address, data=b"x" * 500_000, headers=event, timeout=60).status_code == 200
    assert served.raw(
        f"POST /in/newsletter/{INBOUND} HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n".encode()
    ).startswith(b"HTTP/1.1 413")


def test_opening_a_work_list_shows_references_and_days_and_changes_nothing(served: Served) -> None:
    shown = requests.get(served.url(f"/answers/{WORK_LIST}"), timeout=60)
    assert shown.status_code == 200
    assert all(told in shown.text for told in ("DPS-AAAA", "2026-11-30", "DPS-BBBB", "Inbox &lt;app&gt;", "2 of 2"))
    assert shown.headers["cache-control"] == "no-store"
    assert served.house.attested == []
    assert requests.get(served.url("/answers/" + "x" * 43), timeout=60).status_code == 404


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"name": "Pat"}, "whether all rows"),
        ({"which": "some", "name": "Pat"}, "tick the rows"),
        ({"which": "all", "name": " "}, "type your name"),
        ({"which": "all", "name": "P" * 201}, "name below 200"),
        ({"which": "every", "name": "Pat", "row": "DPS-AAAA"}, "whether all rows"),
    ],
)
def test_a_work_list_is_not_answered_by_half_a_form(served: Served, typed: dict[str, str], says: str) -> None:
    heard = requests.post(served.url(f"/answers/{WORK_LIST}"), data=typed, timeout=60)
    assert heard.status_code == 422
    assert says in heard.text
    assert served.house.attested == []


def test_all_or_the_ticked_rows_of_a_work_list_are_recorded(served: Served) -> None:
    every = {"which": "all", "row": ["DPS-AAAA"], "name": "Pat", "remark": "done\x00"}
    ticked = {"which": "some", "row": ["DPS-AAAA", "DPS-BBBB"], "name": "Pat"}
    for typed in (every, ticked):
        heard = requests.post(served.url(f"/answers/{WORK_LIST}"), data=typed, timeout=60)
        assert heard.status_code == 200
        assert "recorded" in heard.text
    assert served.house.attested == [
        (WORK_LIST, None, "Pat", "done"),
        (WORK_LIST, frozenset({"DPS-AAAA", "DPS-BBBB"}), "Pat", ""),
    ]
    assert served.house.answers == []
