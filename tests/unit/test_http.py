"""The one HTTP client: every call ends in time, honestly told, and leaves no trace of whom it was about."""

import gzip
import hashlib
import hmac
import logging
import math
import socket
import ssl
import threading
import time
import traceback
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dpsync.connector import Evidence, Reply
from dpsync.connector_services import NoAnswer
from dpsync.errors import ProcessorError
from dpsync.http import (
    BAD_ENCODING,
    CUT,
    STOPPED,
    TLS_FAILED,
    TOO_BIG,
    TOO_LATE,
    TOO_SLOW,
    UNREACHABLE,
    HttpClient,
    json_of,
    retry_after,
)
from tests.certificates import Certificate, certificate_for
from tests.faults.counting import Counted
from tests.faults.table import FAULTS

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
WHO = "62eeb292"
TEMPLATE = "GET /lists/{list_id}/members/{subscriber_hash}"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: 9d741ebc\r\nContent-Length: 11\r\n\r\n"
BODY = b'{"a": "b"} '
Script = Callable[[socket.socket, threading.Event], None]


class StillClock:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 1000.0


class Peer:
    """A server that says, byte for byte, what a test lets it say."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.context = context
        self.over = threading.Event()
        self.connections = 0
        self.heard: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.listener.getsockname()[1]}"
        self.threads = [threading.Thread(target=self._listen)]
        self.threads[0].start()

    def _listen(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            if self.over.is_set():
                sock.close()
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock,))
            self.threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            if self.context:
                sock = self.context.wrap_socket(sock, server_side=True)
            self.script(sock, self.over)
        except OSError:
            return
        finally:
            sock.close()

    def close(self) -> None:
        self.over.set()
        with socket.create_connection(self.listener.getsockname()):
            pass
        for thread in self.threads:
            thread.join(60)
        self.listener.close()


@contextmanager
def peer(script: Script, context: ssl.SSLContext | None = None) -> Iterator[Peer]:
    server = Peer(script, context)
    try:
        yield server
    finally:
        server.close()


def request_of(sock: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            raise ConnectionError
        data += more
    return data


def says(*parts: bytes) -> Script:
    def script(sock: socket.socket, over: threading.Event) -> None:
        request_of(sock)
        for part in parts:
            sock.sendall(part)

    return script


def drips(head: bytes, drop: bytes) -> Script:
    def script(sock: socket.socket, over: threading.Event) -> None:
        request_of(sock)
        sock.sendall(head)
        while not over.wait(0.1):
            sock.sendall(drop)

    return script


def silent(sock: socket.socket, over: threading.Event) -> None:
    over.wait(60)


def resets(sock: socket.socket, over: threading.Event) -> None:
    request_of(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


@pytest.fixture
def client() -> Iterator[HttpClient]:
    with HttpClient(StillClock(), rehearsal=True, longest=60.0, cap=100_000) as client:
        yield client


def failure(client: HttpClient, url: str, deadline: float = float("inf")) -> NoAnswer:
    with pytest.raises(NoAnswer) as caught:
        client.call("GET", f"{url}/lists/a/members/{WHO}", template=TEMPLATE, deadline=deadline)
    shown = "".join(traceback.format_exception(caught.value))
    assert WHO not in f"{shown}{caught.value.evidence}"
    return caught.value


# --- time


@pytest.mark.fault(3)
@pytest.mark.fault(4)
@pytest.mark.parametrize(
    "script",
    [
        silent,
        drips(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"),
        drips(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        drips(OK.replace(b"11", b"900"), b"b"),
        drips(OK.replace(b"11", b"900\r\nConnection: close"), b"b"),
        drips(b"HTTP/1.0 200 OK\r\n\r\n", b"b"),
        drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nb\r\n"),
        drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n", b"1\r\nb\r\n"),
    ],
    ids=[
        "silence",
        "dripped headers",
        "endless 100 Continue",
        "dripped body",
        "dripped last body",
        "dripped body without a length",
        "dripped chunks",
        "dripped last chunks",
    ],
)
def test_a_peer_that_dawdles_is_cut_at_the_deadline_and_leaves_no_thread(script: Script, counted: Counted) -> None:
    with peer(script) as server, HttpClient(StillClock(), rehearsal=True, longest=2.0) as client:
        late = math.inf
        for _ in range(3):  # a busy machine may be late with one of them
            began = time.monotonic()
            cut = failure(client, server.url)  # this peer goes on for as long as it is listened to
            late = min(late, time.monotonic() - began - 2.0)
            assert (cut.reason, cut.sent, cut.evidence.status) == (TOO_SLOW, True, None)
            if late <= FAULTS[3].limits["seconds_over_the_deadline"]:
                break
    assert not watchdogs()
    counted(3, seconds_over_the_deadline=late)
    counted(4, seconds_over_the_deadline=late, threads_left=len(watchdogs()))


def watchdogs() -> list[threading.Thread]:
    """Those still there after a moment's grace to end."""
    for thread in threading.enumerate():
        if thread.name == "dpsync-http-watchdog":
            thread.join(60)
    return [thread for thread in threading.enumerate() if thread.name == "dpsync-http-watchdog"]


@pytest.mark.parametrize(("own", "of_the_call"), [(60.0, 0.2), (0.2, 60.0)])
def test_the_shorter_of_the_clients_time_and_the_calls_own_counts(own: float, of_the_call: float) -> None:
    with peer(silent) as server, HttpClient(StillClock(), rehearsal=True, longest=own) as client:
        with pytest.raises(NoAnswer) as caught:
            client.call("GET", server.url, template="GET /", longest=of_the_call)
        assert caught.value.reason == TOO_SLOW


def test_a_tls_handshake_that_never_comes_is_cut_and_nothing_was_sent() -> None:
    with peer(silent) as server, HttpClient(StillClock(), longest=2.0) as client:
        cut = failure(client, server.url.replace("http:", "https:"))
        assert (cut.reason, cut.sent) == (TOO_SLOW, False)


def test_a_call_that_has_begun_is_not_cut_by_the_deadline_that_bound_its_beginning(client: HttpClient) -> None:
    def slow(sock: socket.socket, over: threading.Event) -> None:
        request_of(sock)
        over.wait(0.5)
        sock.sendall(OK + BODY)

    with peer(slow) as server:
        assert client.call("GET", server.url, template="GET /", deadline=1000.01).body == BODY


def test_a_call_whose_time_is_up_before_it_speaks_sends_nothing() -> None:
    with HttpClient(StillClock(), rehearsal=True, longest=0.0) as client, peer(says(OK, BODY)) as server:
        for _ in range(20):
            late = failure(client, server.url)
            assert (late.reason, late.sent) == (TOO_SLOW, False)
        assert server.heard == []


def test_an_orderly_stop_ends_what_is_under_way_as_in_doubt_and_lets_nothing_begin(client: HttpClient) -> None:
    asked, ended = threading.Event(), []

    def unending(sock: socket.socket, over: threading.Event) -> None:
        request_of(sock)
        asked.set()
        over.wait(60)

    with peer(unending) as server:
        calling = threading.Thread(target=lambda: ended.append(failure(client, server.url)))
        calling.start()
        assert asked.wait(60)
        client.abort()
        calling.join(60)
        assert [(one.reason, one.sent) for one in ended] == [(STOPPED, True)]
        late = failure(client, server.url)
        assert (late.reason, late.sent, server.connections) == (TOO_LATE, False, 1)
    assert not watchdogs()


def test_no_call_begins_after_the_deadline(client: HttpClient) -> None:
    with peer(silent) as server:
        late = failure(client, server.url, deadline=1000.0)
        assert (late.reason, late.sent) == (TOO_LATE, False)
        assert server.connections == 0


def test_many_calls_at_once_share_one_watchdog(client: HttpClient) -> None:
    with peer(drips(b"", b"")) as server, HttpClient(StillClock(), rehearsal=True, longest=2.0) as hurried:
        reasons: list[str] = []
        callers = [
            threading.Thread(target=lambda: reasons.append(failure(hurried, server.url).reason)) for _ in range(8)
        ]
        for caller in callers:
            caller.start()
        seen = 0
        while any(caller.is_alive() for caller in callers):
            seen = max(seen, sum(t.name == "dpsync-http-watchdog" for t in threading.enumerate()))
            callers[0].join(0.02)
        assert reasons == [TOO_SLOW] * 8
        assert seen == 1
        assert not watchdogs()


# --- what was sent


def test_a_closed_port_means_that_nothing_was_sent(client: HttpClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    refused = failure(client, f"http://127.0.0.1:{port}")
    assert (refused.reason, refused.sent) == (UNREACHABLE, False)


@pytest.mark.fault(13)
def test_a_name_that_does_not_exist_means_that_nothing_was_sent(client: HttpClient, counted: Counted) -> None:
    unknown = failure(client, "https://nobody.invalid")
    assert (unknown.reason, unknown.sent) == (UNREACHABLE, False)
    counted(13, lost=int(unknown.sent))


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (resets, CUT),
        (says(b""), CUT),
        (says(OK, b'{"a"'), CUT),
        (says(CHUNKED), CUT),
        (says(b"SSH-2.0-OpenSSH\r\n\r\n"), CUT),
        (says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", b"no gzip"), BAD_ENCODING),
        (says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzip.compress(BODY * 50)[:-9]), BAD_ENCODING),
        (says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzip.compress(BODY) + b"more"), BAD_ENCODING),
        (says(b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n", b"x"), BAD_ENCODING),
        (says(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 100_001), TOO_BIG),
    ],
    ids=["reset", "closed", "cut", "chunks cut", "no HTTP", "no gzip", "gzip cut", "gzip and more", "brotli", "big"],
)
def test_an_answer_that_is_not_whole_leaves_the_effect_in_doubt(
    client: HttpClient, script: Script, reason: str
) -> None:
    with peer(script) as server:
        broken = failure(client, server.url)
    assert (broken.reason, broken.sent) == (reason, True)


@pytest.mark.fault(12)
def test_a_gzip_bomb_is_stopped_at_the_cap_without_being_unpacked(client: HttpClient, counted: Counted) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([*(packer.compress(b"\0" * 1_000_000) for _ in range(200)), packer.flush()])
    with peer(says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", bomb)) as server:
        tracemalloc.start()
        try:
            assert failure(client, server.url).reason == TOO_BIG
            assert tracemalloc.get_traced_memory()[1] < 5_000_000
            counted(12, megabytes=tracemalloc.get_traced_memory()[1] / 1e6)
        finally:
            tracemalloc.stop()


def endless(sock: socket.socket, over: threading.Event) -> None:
    request_of(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    block = b"x" * 65_536
    for _ in range(1000):
        sock.sendall(block)


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.fault(12)
@pytest.mark.parametrize("script", [endless, says(OK.replace(b"11", b"200000"), DEEP)], ids=["huge", "deep"])
def test_an_answer_of_any_size_and_depth_costs_little(script: Script, counted: Counted) -> None:
    with HttpClient(StillClock(), rehearsal=True, longest=60) as client, peer(script) as server:
        tracemalloc.start()
        try:
            with suppress(NoAnswer):
                assert json_of(client.call("GET", server.url, template=TEMPLATE)) is None
            counted(12, megabytes=tracemalloc.get_traced_memory()[1] / 1e6)
        finally:
            tracemalloc.stop()


# --- names


@pytest.mark.fault(13)
def test_a_resolver_that_used_the_time_up_means_that_nothing_was_sent(
    monkeypatch: pytest.MonkeyPatch, counted: Counted
) -> None:
    heard: list[bytes] = []
    look_up = socket.getaddrinfo

    def slow(host: str, *more: object, **named: object) -> list[tuple[object, ...]]:
        if host == "vendor.example":
            threading.Event().wait(0.4)
        return look_up("127.0.0.1", *more, **named)  # type: ignore[arg-type,return-value]  # because all is handed on

    with (
        peer(lambda sock, _: heard.append(sock.recv(1000))) as server,
        HttpClient(StillClock(), longest=0.2) as client,
    ):
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        lost = failure(client, server.url.replace("http://127.0.0.1", "https://vendor.example"))
        monkeypatch.undo()
    assert (lost.reason, lost.sent) == (TOO_SLOW, False)
    counted(13, lost=sum(map(len, heard)))


# --- TLS


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate_for(tmp_path_factory.mktemp("tls"))


@pytest.mark.fault(14)
def test_a_certificate_that_nobody_vouches_for_gets_no_byte_of_the_request(
    client: HttpClient, self_signed: Certificate, counted: Counted
) -> None:
    heard: list[bytes] = []

    def script(sock: socket.socket, over: threading.Event) -> None:
        heard.append(sock.recv(100))

    with peer(script, self_signed.server) as server:
        refused = failure(client, server.url)
    assert (refused.reason, refused.sent) == (TLS_FAILED, False)
    assert b"".join(heard) == b""
    counted(14, bytes_sent=sum(map(len, heard)))


def test_a_certificate_for_another_name_gets_no_byte_of_the_request(self_signed: Certificate) -> None:
    with HttpClient(StillClock(), longest=60) as client, peer(says(OK, BODY), self_signed.server) as server:
        client._session.verify = str(self_signed.file)
        assert client.call("GET", server.url.replace("127.0.0.1", "localhost"), template=TEMPLATE).status == 200
        refused = failure(client, server.url)
    assert (refused.reason, refused.sent) == (TLS_FAILED, False)


def test_a_dripped_body_is_cut_inside_tls_too(self_signed: Certificate) -> None:
    script = drips(OK.replace(b"11", b"900"), b"b")
    with HttpClient(StillClock(), longest=2.0) as client, peer(script, self_signed.server) as server:
        client._session.verify = str(self_signed.file)
        cut = failure(client, server.url.replace("127.0.0.1", "localhost"))
    assert (cut.reason, cut.sent) == (TOO_SLOW, True)


# --- where to


@pytest.mark.fault(15)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_is_never_followed(client: HttpClient, status: int, counted: Counted) -> None:
    with peer(says(OK, BODY)) as other:
        head = f"HTTP/1.1 {status} Go\r\nLocation: {other.url}/\r\nContent-Length: 0\r\n\r\n".encode()
        with peer(says(head)) as server:
            reply = client.call("POST", server.url, template="POST /x", body=b"secret")
        assert reply.status == status
        assert other.connections == 0
        counted(15, requests_elsewhere=other.connections)


@pytest.mark.parametrize(
    ("url", "rehearsal"),
    [
        ("http://127.0.0.1:9/", False),
        ("http://example.org/", True),
        ("http://2130706433/", True),
        ("https://somebody@example.org/", True),
        ("https:///lists", True),
        ("ftp://127.0.0.1/", True),
        ("file:///etc/hostname", True),
    ],
)
def test_only_https_is_called_and_plain_http_only_on_loopback_in_a_rehearsal(url: str, rehearsal: bool) -> None:
    with HttpClient(StillClock(), rehearsal=rehearsal) as client, pytest.raises(ProcessorError) as caught:
        client.call("GET", url, template=TEMPLATE)
    assert not isinstance(caught.value, NoAnswer)


def test_proxies_and_netrc_of_the_machine_are_not_used(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    heard: list[bytes] = []

    def script(sock: socket.socket, over: threading.Event) -> None:
        heard.append(request_of(sock))
        sock.sendall(OK + BODY)

    with peer(script) as server:
        assert client.call("GET", server.url, template=TEMPLATE).status == 200
    assert b"authorization" not in heard[0].lower()


def test_a_cookie_of_one_call_is_not_sent_with_the_next(client: HttpClient) -> None:
    heard: list[bytes] = []

    def script(sock: socket.socket, over: threading.Event) -> None:
        for _ in range(2):
            heard.append(request_of(sock))
            sock.sendall(OK.replace(b"X-Request-Id", b"Set-Cookie: who=somebody\r\nX-Request-Id") + BODY)

    with peer(script) as server:
        for _ in range(2):
            client.call("GET", server.url, template=TEMPLATE)
        assert server.connections == 1
    assert b"cookie" not in heard[1].lower()


@pytest.mark.parametrize("head", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
def test_an_empty_answer_keeps_its_connection(client: HttpClient, head: bytes) -> None:
    with peer(thrice(head)) as server:
        for _ in range(3):
            assert client.call("DELETE", server.url, template="DELETE /x").body == b""
        assert server.connections == 1


@pytest.mark.parametrize(
    "script",
    [says(OK.replace(b"11", b"11\r\nConnection: close"), BODY), says(OK, BODY), says(OK, b"{"), resets],
    ids=["last answer", "answer", "cut", "reset"],
)
def test_no_descriptor_is_left_whatever_becomes_of_a_connection(script: Script) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    with peer(script) as server, HttpClient(StillClock(), rehearsal=True, longest=60) as client:
        for _ in range(20):
            with suppress(NoAnswer):
                client.call("GET", server.url, template=TEMPLATE)
        assert server.connections
    assert len(list(Path("/dev/fd").iterdir())) <= before + 1


def thrice(head: bytes) -> Script:
    def script(sock: socket.socket, over: threading.Event) -> None:
        for _ in range(3):
            request_of(sock)
            sock.sendall(head)

    return script


# --- what is kept


def test_evidence_holds_template_status_request_id_and_a_keyed_digest_and_nothing_of_the_person(
    client: HttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    packed = gzip.compress(BODY)
    head = OK.replace(b"Content-Length: 11", b"Content-Encoding: gzip\r\nContent-Length: %d" % len(packed))
    with peer(says(head, packed)) as server:
        reply = client.call(
            "GET",
            f"{server.url}/lists/a6/members/{WHO}",
            template="/lists/{list_id}/members/{subscriber_hash}",
            params={"email": "ada@example.org"},
            digest_key=b"key",
            scope="a6",
        )
    digest = hmac.new(b"key", BODY, hashlib.sha256).hexdigest()
    assert reply.body == BODY
    assert reply.evidence == Evidence(TEMPLATE, 200, NOW, "9d741ebc", digest, "a6")
    assert WHO not in caplog.text + repr(reply)
    assert "ada" not in caplog.text + repr(reply)


@pytest.mark.parametrize("hostile", [b"ada@example.org", b"x" * 129, b"a b"])
def test_a_request_id_that_could_be_something_else_is_not_kept(client: HttpClient, hostile: bytes) -> None:
    with peer(says(OK.replace(b"9d741ebc", hostile), BODY)) as server:
        assert client.call("GET", server.url, template=TEMPLATE).evidence.request_id == ""


def test_without_a_key_no_digest_is_kept(client: HttpClient) -> None:
    with peer(says(OK, BODY)) as server:
        assert client.call("GET", server.url, template=TEMPLATE).evidence.digest == ""


# --- reading a reply


def reply_of(body: bytes, kind: str = "application/json", **headers: str) -> Reply:
    named = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Reply(200, named, body, Evidence("GET /", 200, NOW))


@pytest.mark.parametrize(
    "kind", ["application/json", "application/problem+json; charset=utf-8", 'Application/JSON; Charset="UTF-8"']
)
def test_json_is_read_where_it_says_that_it_is_json(kind: str) -> None:
    assert json_of(reply_of('{"a": ["é", 1]}'.encode(), kind)) == {"a": ["é", 1]}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{}", "text/html"),
        (b"{}", ""),
        (b"{}", "application/json; charset=utf-16"),
        (b"", "application/json"),
        (b"<html>", "application/json"),
        (b'{"a": 1', "application/json"),
        (b'{"a": 1} {"a": 2}', "application/json"),
        (b'{"a": "\xff"}', "application/json"),
        (b'{"a": 1, "a": 2}', "application/json"),
        (b'{"a": NaN}', "application/json"),
        (b'{"a": "\\ud800"}', "application/json"),
        (b"[" * 100_000 + b"]" * 100_000, "application/json"),
        (b"1" * 5_000, "application/json"),
    ],
)
def test_what_is_not_json_throughout_is_not_read_at_all(body: bytes, kind: str) -> None:
    assert json_of(reply_of(body, kind)) is None


@pytest.mark.parametrize(
    ("said", "wait"),
    [
        ("30", timedelta(seconds=30)),
        ("-30", timedelta()),
        ("315360000", timedelta(hours=24)),
        ("9" * 18, timedelta(hours=24)),
        ("9" * 40, None),
        ("Fri, 20 Nov 2026 09:02:00 GMT", timedelta(minutes=2)),
        ("Fri, 20 Nov 2026 10:02:00 +0100", timedelta(minutes=2)),
        ("Fri, 20 Nov 2026 09:02:00", timedelta(minutes=2)),
        ("Thu, 01 Jan 1970 00:00:00 GMT", timedelta()),
        ("Fri, 20 Nov 2036 09:00:00 GMT", timedelta(hours=24)),
        ("Fri, 99 Nov 2026 09:00:00 GMT", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_wish_to_wait_is_honoured_within_a_day(said: str, wait: timedelta | None) -> None:
    assert retry_after(reply_of(b"", retry_after=said), NOW) == wait
