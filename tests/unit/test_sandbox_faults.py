"""Each fault looks on the wire as it is named, meets only the calls it was set for, and tells what took effect."""

import gzip
import http.client
import json
import socket
import zlib
from base64 import b64encode
from collections.abc import Generator, Iterator
from urllib.parse import urlsplit

import pytest
import requests

from tests.sandbox_caller import ADA, BEN, Caller, calling, md5
from tests.waiting import until

MEMBER = "/lists/{list_id}/members/{subscriber_hash}"


@pytest.fixture
def api() -> Iterator[Caller]:
    with calling(checked=False) as caller:  # what a fault makes of an answer keeps no file
        yield caller


def opt_out(api: Caller) -> requests.Response:
    return api.member("PATCH", ADA, {"status": "unsubscribed"})


def raw_answer(api: Caller, path: str = "/ping") -> bytes:
    """Every byte the sandbox sent for one GET, up to the end of the connection."""
    return b"".join(raw_parts(api, path))


def raw_parts(api: Caller, path: str = "/ping") -> Generator[bytes, None, None]:
    url = urlsplit(api.sandbox.mailchimp_url)
    token = b64encode(f"x:{api.sandbox.api_keys[0]}".encode()).decode()
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=60) as peer:
        head = f"GET {url.path}{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {token}\r\nConnection: close\r\n\r\n"
        peer.sendall(head.encode())
        while part := peer.recv(65536):
            yield part


@pytest.mark.parametrize(
    ("status", "later"), [(503, None), (503, "30"), (429, "Fri, 20 Nov 2026 09:00:00 GMT"), (429, None)]
)
def test_a_status_comes_as_a_problem_with_or_without_retry_after(api: Caller, status: int, later: str | None) -> None:
    api.sandbox.fault("status", status=status, retry_after=later)
    reply = opt_out(api)
    assert (reply.status_code, reply.headers.get("retry-after"), reply.json()["status"]) == (status, later, status)
    assert reply.json()["instance"] == reply.headers["x-request-id"]
    assert api.sandbox.holds(ADA) == [(api.first, "subscribed")]


@pytest.mark.parametrize("status", [403, 429])
def test_a_throttle_may_come_without_any_body(api: Caller, status: int) -> None:
    api.sandbox.fault("status_without_body", status=status)
    reply = opt_out(api)
    assert (reply.status_code, reply.content, reply.headers.get("content-type")) == (status, b"", None)


def test_a_status_may_carry_another_body(api: Caller) -> None:
    api.sandbox.fault("status", status=400, body='{"title": "Bad Request"}')
    assert opt_out(api).json() == {"title": "Bad Request"}


def test_an_empty_500_has_no_body(api: Caller) -> None:
    api.sandbox.fault("empty_500")
    reply = opt_out(api)
    assert (reply.status_code, reply.content, api.sandbox.effects()) == (500, b"", 0)


def test_a_200_of_html_is_a_page_of_somebody_else_and_nothing_happened(api: Caller) -> None:
    api.sandbox.fault("html_200")
    reply = opt_out(api)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (reply.text.startswith("<!DOCTYPE html>"), api.sandbox.effects()) == (True, 0)


def test_a_502_of_html_may_hide_that_the_call_took_effect(api: Caller) -> None:
    api.sandbox.fault("html_502")
    reply = opt_out(api)
    assert (reply.status_code, reply.text.startswith("<!DOCTYPE")) == (502, True)
    assert api.sandbox.holds(ADA) == [(api.first, "unsubscribed")]


def test_a_reset_after_the_effect_loses_the_answer_and_keeps_the_effect(api: Caller) -> None:
    api.sandbox.fault("reset_after_effect", method="PATCH")
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        opt_out(api)
    assert (api.sandbox.holds(ADA), api.sandbox.effects()) == ([(api.first, "unsubscribed")], 1)
    assert opt_out(api).status_code == 200
    assert api.sandbox.effects() == 1


def test_a_reset_before_the_effect_changes_nothing(api: Caller) -> None:
    api.sandbox.fault("reset_before", method="PATCH")
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        opt_out(api)
    assert (api.sandbox.holds(ADA), api.sandbox.effects()) == ([(api.first, "subscribed")], 0)


@pytest.mark.parametrize("below", ["/actions/delete-permanent", ""])
def test_yes_may_be_said_and_nothing_done(api: Caller, below: str) -> None:
    api.sandbox.fault("says_yes_does_nothing")
    method, body, expected = ("POST", None, 204) if below else ("PATCH", {"status": "unsubscribed"}, 200)
    reply = api.member(method, ADA, body, below=below)
    assert reply.status_code == expected
    if not below:
        assert reply.json()["status"] == "unsubscribed"
    assert (api.sandbox.holds(ADA), api.sandbox.effects()) == ([(api.first, "subscribed")], 0)


def test_a_hang_keeps_the_slot_after_the_caller_has_gone(api: Caller) -> None:
    api.sandbox.fault("hang", seconds=121)
    with pytest.raises(requests.ReadTimeout):
        api.session.get(api.sandbox.mailchimp_url + "/lists", timeout=0.2)
    slots = {api.sandbox.api_keys[0]: 1}
    until(lambda: api.sandbox.counters()["running"] == slots)  # a busy machine may come to it after the caller has gone


def test_a_hang_answers_in_the_end(api: Caller) -> None:
    api.sandbox.fault("hang", seconds=0.01)
    assert (opt_out(api).status_code, api.sandbox.effects()) == (200, 1)


def test_a_redirect_names_another_host(api: Caller) -> None:
    api.sandbox.fault("redirect", status=302, location="http://127.0.0.2:9/elsewhere")
    reply = opt_out(api)
    assert (reply.status_code, reply.headers["location"]) == (302, "http://127.0.0.2:9/elsewhere")
    assert api.sandbox.effects() == 0


@pytest.mark.parametrize(("kind", "head_at_once"), [("drip_headers", False), ("drip_body", True)])
def test_a_drip_comes_byte_by_byte_and_adds_up_to_the_answer(api: Caller, kind: str, *, head_at_once: bool) -> None:
    api.sandbox.fault(kind, seconds=0.001)
    parts = list(raw_parts(api))
    whole = b"".join(parts)
    head, body = whole.split(b"\r\n\r\n")
    assert json.loads(body) == {"health_status": "Everything's Chimpy!"}
    assert (head in parts[0]) == head_at_once
    assert len(parts) > 5


def test_a_drip_ends_where_the_caller_hangs_up(api: Caller) -> None:
    api.sandbox.fault("drip_body", seconds=60)
    parts = raw_parts(api)
    assert next(parts).startswith(b"HTTP/1.1 200 OK\r\n")
    parts.close()
    api.sandbox.release()
    api.call("GET", "/ping")
    assert api.sandbox.calls("GET /ping") == 2


def test_truncated_json_says_its_own_length_and_has_taken_effect(api: Caller) -> None:
    api.sandbox.fault("truncated_json")
    reply = opt_out(api)
    assert reply.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        reply.json()
    assert api.sandbox.effects("unsubscribed") == 1


def test_a_wrong_length_ends_before_it_was_said_to(api: Caller) -> None:
    api.sandbox.fault("wrong_length")
    head, body = raw_answer(api).split(b"\r\n\r\n")
    assert f"content-length: {len(body) + 100}".encode() in head


def test_a_wrong_content_type_stands_over_right_json(api: Caller) -> None:
    api.sandbox.fault("wrong_content_type")
    reply = opt_out(api)
    assert (reply.headers["content-type"], reply.json()["status"]) == ("text/plain; charset=utf-8", "unsubscribed")


def test_a_bad_charset_is_no_utf8(api: Caller) -> None:
    api.sandbox.fault("bad_charset")
    with pytest.raises(UnicodeDecodeError):
        opt_out(api).content.decode("utf-8")


def packed(api: Caller) -> bytes:
    _, body = raw_answer(api).split(b"\r\n\r\n", 1)
    return body


def test_a_bad_gzip_cannot_be_unpacked(api: Caller) -> None:
    api.sandbox.fault("bad_gzip")
    with pytest.raises((gzip.BadGzipFile, zlib.error, EOFError)):
        gzip.decompress(packed(api))


def test_a_gzip_bomb_is_small_on_the_wire_and_large_after_it(api: Caller) -> None:
    api.sandbox.fault("gzip_bomb", size=5_000_000)
    body = packed(api)
    assert len(body) < 10_000
    assert len(json.loads(gzip.decompress(body))["id"]) >= 5_000_000


def test_a_huge_body_is_as_long_as_it_was_asked_to_be(api: Caller) -> None:
    api.sandbox.fault("huge_body", size=2_000_000)
    assert 2_000_000 <= len(api.call("GET", "/ping").json()["id"]) < 2_100_000


def test_a_huge_body_ends_where_the_caller_hangs_up(api: Caller) -> None:
    api.sandbox.fault("huge_body", size=10**12)
    parts = raw_parts(api)
    next(parts)
    parts.close()
    assert api.call("GET", "/ping").status_code == 200


def test_deep_json_is_as_deep_as_it_was_asked_to_be(api: Caller) -> None:
    api.sandbox.fault("deep_json", size=100_000)
    assert api.call("GET", "/ping").content == b"[" * 100_000 + b"]" * 100_000


def test_an_error_may_hide_inside_a_200(api: Caller) -> None:
    api.sandbox.fault("error_inside_200")
    reply = opt_out(api)
    assert (reply.status_code, reply.json()["status"], api.sandbox.effects()) == (200, 500, 0)


def test_whether_a_fault_takes_effect_can_be_said(api: Caller) -> None:
    api.sandbox.fault("empty_500", applies=True)
    assert (opt_out(api).status_code, api.sandbox.holds(ADA)) == (500, [(api.first, "unsubscribed")])


@pytest.mark.parametrize("kind", ["truncated_json", "wrong_length", "wrong_content_type", "bad_gzip", "drip_body"])
def test_an_answer_without_a_body_gets_one_to_be_damaged(api: Caller, kind: str) -> None:
    api.sandbox.fault(kind, seconds=0)
    try:
        status = api.member("DELETE", ADA).status_code
    except requests.RequestException:
        status = 200
    assert (status, api.sandbox.holds(ADA)) == (200, [(api.first, "archived")])


def test_a_fault_meets_only_the_calls_it_names(api: Caller) -> None:
    api.sandbox.add(BEN)
    api.sandbox.fault("html_502", template="/lists")
    api.sandbox.fault("status", method="PATCH", template=MEMBER, address=ADA.upper(), account=api.sandbox.api_keys[0])
    assert api.member("GET", ADA).status_code == 200
    assert api.member("PATCH", BEN, {}).status_code == 200
    assert opt_out(api).status_code == 503
    assert opt_out(api).status_code == 200
    assert api.call("GET", "/lists").status_code == 502


def test_a_fault_knows_the_person_by_contact_id_query_and_body(api: Caller) -> None:
    contact = api.member("GET", ADA).json()["contact_id"]
    api.sandbox.fault("status", address=ADA, times=3)
    replies = [
        api.call("GET", f"/lists/{api.first}/members/{contact}"),
        api.call("GET", "/lists", email=ADA),
        api.call("POST", f"/lists/{api.second}/members", {"email_address": ADA, "status": "subscribed"}),
    ]
    assert [reply.status_code for reply in replies] == [503] * 3


def test_a_fault_waits_for_its_turn_and_lasts_as_often_as_it_was_set(api: Caller) -> None:
    api.sandbox.fault("status", nth=2, times=2)
    assert [api.call("GET", "/ping").status_code for _ in range(5)] == [200, 503, 503, 200, 200]
    api.sandbox.fault("empty_500", times=None)
    assert {api.call("GET", "/ping").status_code for _ in range(4)} == {500}
    api.sandbox.clear_faults()
    assert api.call("GET", "/ping").status_code == 200
    assert api.sandbox.counters()["faults"] == {"status": 2, "empty_500": 4}


def test_a_fault_of_an_unknown_kind_or_detail_is_refused(api: Caller) -> None:
    for fault in ({"kind": "explode"}, {"kind": "hang", "secs": 3}):
        reply = requests.post(api.sandbox.control_url + "/faults", json=fault, timeout=60)
        assert reply.status_code == 422
    assert requests.get(api.sandbox.control_url + "/faults", timeout=60).json() == []


def test_the_connection_lives_on_after_a_fault_that_was_only_an_answer(api: Caller) -> None:
    url = urlsplit(api.sandbox.mailchimp_url)
    token = b64encode(f"x:{api.sandbox.api_keys[0]}".encode()).decode()
    api.sandbox.fault("status")
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=60)
    seen = []
    for _ in range(2):
        connection.request(
            "GET", f"{url.path}/lists/{api.first}/members/{md5(ADA)}", headers={"Authorization": f"Basic {token}"}
        )
        reply = connection.getresponse()
        reply.read()
        seen.append(reply.status)
    connection.close()
    assert seen == [503, 200]
