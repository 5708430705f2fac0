"""Every 4xx that the receiver can give to what is signed, or says so: a count, a line, and of ours an alert a day."""

import base64
import hashlib
import hmac
import io
import json
import socket
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from dpsync import telemetry
from dpsync.running import metrics
from dpsync.store import tables as t
from tests.journeys.installation import EVENTS, SECRET, Installation, installed

BODY = json.dumps({"type": "data_subject.request", "data": {"right": "erasure", "subject": {"id": "w1"}}}).encode()
WRONG = BODY.replace(b"erasure", b"forget")
LARGE = b"x" * 70_000
KEY = base64.b64decode(SECRET.removeprefix("whsec_"))


@dataclass(frozen=True)
class Sent:
    """One request as bytes: `late` seconds old, `more` header lines, `length` as it is said ("" says none)."""

    line: bytes = b"POST /requests"
    body: bytes = BODY
    id: bytes = b"evt-1"
    late: int = 0
    more: bytes = b""
    length: bytes | None = None
    version: bytes = b"1.1"
    host: bytes = b"Host: x\r\n"
    cut: int = 0
    key: bytes = KEY

    def raw(self, at: int) -> bytes:
        stamp = str(at - self.late).encode()
        signature = base64.b64encode(hmac.digest(self.key, self.id + b"." + stamp + b"." + self.body, hashlib.sha256))
        length = str(len(self.body)).encode() if self.length is None else self.length
        said = b"Content-Length: %b\r\n" % length if length else b""
        head = b"%b HTTP/%b\r\n%bwebhook-id: %b\r\nwebhook-timestamp: %b\r\n" % (
            self.line, self.version, self.host, self.id, stamp,
        )  # fmt: skip
        whole = head + b"webhook-signature: v1,%b\r\n%b%b\r\n" % (signature, said, self.more) + self.body
        return whole[: len(whole) - self.cut]


OURS: list[tuple[Sent, int]] = [
    *((Sent(b"POST " + path), 404) for path in (
        b"/", b"/in", b"/in/", b"/in/a", b"/in/a/b", b"/in/a/b/c", b"/answers/" + b"a" * 40, b"/answers/x",
        b"/contacts/" + b"a" * 40, b"/requests/", b"/requests;x", b"/../requests", b"http://x/", b"/metrics",
    )),
    *((Sent(method + b" /requests"), 405) for method in (b"GET", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"HEAD")),
    *((Sent(b"POST " + path), 405) for path in (b"/healthz", b"/readyz")),
    (Sent(b"PUT /in/a/b"), 405),
    (Sent(body=WRONG), 422),
    (Sent(body=b"{"), 422),
    (Sent(body=b""), 422),
    *((Sent(id=one), 422) for one in (
        b"a@b.example", b"a,b", "wé".encode(), b"w\xe9", "😀".encode(), b"a" * 129, b'a"b',
    )),
    (Sent(late=400), 401),
    (Sent(late=-400), 401),
    (Sent(body=LARGE), 413),
    (Sent(body=LARGE, late=400), 413),
    (Sent(body=LARGE, id=b"a@b.example"), 413),
    (Sent(b"POST /x", body=LARGE), 404),
    (Sent(b"POST /x", late=400), 404),
]  # fmt: skip
"""Signed well: the signature can be looked at, wherever it came to."""

CLAIMED: list[tuple[Sent, int]] = [
    (Sent(key=b"k" * 32), 401),
    (Sent(body=LARGE, key=b"k" * 32), 413),
    (Sent(b"POST /x", key=b"k" * 32), 404),
    (Sent(id=b""), 401),
    (Sent(length=b""), 401),
    (Sent(length=b"99999999999"), 413),
    (Sent(length=b"abc"), 400),
    (Sent(length=b"-1"), 400),
    (Sent(more=b"Content-Length: 7\r\n"), 400),
    (Sent(more=b"Transfer-Encoding: chunked\r\n"), 400),
    (Sent(length=b"", more=b"Transfer-Encoding: chunked\r\n", body=b"zz\r\n"), 400),
    (Sent(length=b"", more=b"Transfer-Encoding: chunked\r\n", version=b"1.0"), 400),
    (Sent(host=b""), 400),
    (Sent(more=b"nonsense\r\n"), 400),
    (Sent(more=b"X-A: a\0b\r\n"), 400),
    (Sent(more=b"X-A: " + b"b" * 20_000 + b"\r\n"), 431),
    (Sent(more=b"".join(b"X-%d: b\r\n" % number for number in range(80))), 431),
    (Sent(b"POST /x", cut=5), 408),
]
"""Whose signature is bad, or cannot be looked at."""


def answered(there: Installation, raw: bytes) -> int:
    url = urlsplit(there.url)
    with socket.create_connection((str(url.hostname), int(url.port or 0)), 60) as connection:
        connection.sendall(raw)
        return int(connection.makefile("rb").readline().split()[1])


def counts(there: Installation) -> Counter[tuple[int, bool]]:
    there.service.write(lambda _: None)
    there.service.write(lambda _: None)
    found: Counter[tuple[int, bool]] = Counter()
    for row in there.rows(t.refusal):
        found[row.status, bool(row.told)] += row.times * (row.source == "webhook")
    return found


def test_each_refusal_is_counted_logged_without_content_and_told_where_it_is_ours(
    tmp_path: Path, database_url: str
) -> None:
    written = io.StringIO()
    telemetry.configure("info", written)
    wanted: Counter[tuple[int, bool]] = Counter()
    with installed(tmp_path, database_url, processors=EVENTS, web=True) as there:
        for ours, table in ((True, OURS), (False, CLAIMED)):
            for sent, status in table:
                there.clock.advance(timedelta(minutes=2))
                raw = sent.raw(int(there.clock.now().timestamp()))
                assert answered(there, raw) == status, raw[:200]
                wanted[status, ours] += 1
                assert counts(there) == wanted, raw[:200]
                (line, *more) = [one for one in written.getvalue().splitlines() if "request refused" in one][-1:]
                assert (json.loads(line)["status"], json.loads(line)["code"], more) == (status, "DP-322", [])
        logged = [one for one in written.getvalue().splitlines() if "request refused" in one]
        assert len(logged) == len(OURS) + len(CLAIMED)
        exposed = metrics.exposition(there.service)[0].decode()
        for status in {status for status, _ in wanted}:
            assert f'source="webhook",status="{status}"' in exposed
        (alert,) = [one.text for one in there.told() if one.cause == "requests-refused"]
        for status in {status for status, ours in wanted if ours}:
            assert f" {status}" in alert
        assert there.rows(t.request) == []
    telemetry.configure("info", io.StringIO())
    assert not [one for one in ("w1", "a@b", "forget", "xxxx") if one in written.getvalue()]


def test_an_id_may_hold_what_the_standard_allows(tmp_path: Path, database_url: str) -> None:
    with installed(tmp_path, database_url, web=True) as there:
        for one in (b"evt.1.2", b"a b", b"a:b/c", b"a=b+c_d-e", b"a" * 128, b"1"):
            raw = Sent(id=one).raw(int(there.clock.now().timestamp()))
            assert [answered(there, raw), answered(there, raw)] == [202, 202]
        assert len(there.rows(t.request)) == 6
