"""What is refused at our doors leaves a trace: counted, logged without content, told once a day; a flood is one row."""

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from dpsync import telemetry
from dpsync.cli.check_doors import refused_of
from dpsync.cli.check_lines import CheckLine, CheckResult
from dpsync.intake.refusals import Refusal, Refusals, tell_of_rest
from dpsync.running import metrics
from dpsync.running.jobs import send_alerts
from dpsync.signature import signed_headers
from dpsync.store import tables as t
from tests.journeys.installation import EVENTS, INBOUND, OPERATOR, SECRET, Installation, installed
from tests.waiting import until

ADA = "ada@example.org"
GOOD = {"right": "erasure", "subject": {"id": "w1", "email": ADA}}
LATER = timedelta(minutes=1)


def post(there: Installation, data: Any, event: str = "evt-0001", *, late: timedelta = timedelta(0)) -> int:
    body = json.dumps({"type": "data_subject.request", "data": data}).encode()
    signed = signed_headers(SECRET, event, there.clock.now() - late, body)
    return requests.post(f"{there.url}/requests", data=body, headers=signed, timeout=60).status_code


def rows(there: Installation) -> dict[tuple[str, int, str], int]:
    return {(row.source, row.status, row.field): row.times for row in there.rows(t.refusal)}


def told(there: Installation) -> list[str]:
    return [one.text for one in there.told() if one.cause == "requests-refused"]


def checked(there: Installation) -> CheckLine:
    (line,) = refused_of(there.service, there.clock.now())
    return line


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    written = io.StringIO()
    telemetry.configure("info", written)
    yield written
    telemetry.configure("info", io.StringIO())


@contextmanager
def served(tmp_path: Path, database_url: str, processors: str = "") -> Iterator[Installation]:
    with installed(tmp_path, database_url, processors=processors, web=True) as there:
        yield there


@pytest.mark.no_database
def test_a_signed_request_that_is_refused_is_counted_logged_told_once_and_shown(
    tmp_path: Path, database_url: str, lines: io.StringIO
) -> None:
    with served(tmp_path, database_url) as there:
        assert checked(there).verdict is CheckResult.OK
        for number in range(3):
            assert post(there, {**GOOD, "received_at": "2026-11-20T08:55:00+0000"}, f"evt-{number:04}") == 422
        assert post(there, {**GOOD, "ground": "whim of ada@example.org"}, "evt-0009") == 422
        assert post(there, GOOD, "evt-0010", late=timedelta(minutes=6)) == 401
        assert requests.post(f"{there.url}/requests", data=b"{}", timeout=60).status_code == 401
        kinds = {("webhook", 422, "data.received_at"): 3, ("webhook", 422, "data.ground"): 1}
        send_alerts(there.service, there.clock.now() + LATER)
        assert rows(there) == kinds | {("webhook", 401, "webhook-timestamp"): 1, ("webhook", 401, ""): 1}
        (mail,) = there.sandbox.messages(OPERATOR, settled=True)
        text = mail.raw.decode().replace("=\n", "").replace("\n", " ")
        for said in ("3 times 422", "data.received_at", "1 times 422", "data.ground", "webhook-timestamp"):
            assert said in text
        exposed = metrics.exposition(there.service)[0].decode()
        assert 'dpsync_requests_refused_total{field="data.received_at",source="webhook",status="422"} 3.0' in exposed
        assert 'dpsync_requests_refused_total{field="",source="webhook",status="401"} 1.0' in exposed
        line = checked(there)
        assert (line.verdict, line.code) == (CheckResult.PROBLEM, "DP-322")
        assert "3 times 422, field data.received_at" in line.text
    logged = [json.loads(one) for one in lines.getvalue().splitlines() if "request refused" in one]
    assert len(logged) == 5, "a stranger's is no line: a flood of them would bury the others"
    first = logged[0]
    assert {first[name] for name in ("code", "field", "source", "status", "event_id")} == {
        "DP-322", "data.received_at", "webhook", 422, "evt-0000",
    }  # fmt: skip
    assert "ada" not in lines.getvalue()
    assert "ada" not in text


@pytest.mark.no_database
def test_a_conflict_and_a_withdrawal_of_nothing_are_counted_too(
    tmp_path: Path, database_url: str, lines: io.StringIO
) -> None:
    with served(tmp_path, database_url) as there:
        assert [post(there, GOOD), post(there, {**GOOD, "ground": "other"})] == [202, 409]
        body = json.dumps({"type": "data_subject.request.withdrawn", "data": {"request": "r-0000"}}).encode()
        signed = signed_headers(SECRET, "evt-0002", there.clock.now(), body)
        assert requests.post(f"{there.url}/requests", data=body, headers=signed, timeout=60).status_code == 404
        big = b"x" * 70_000
        signed = signed_headers(SECRET, "evt-0003", there.clock.now(), big)
        assert requests.post(f"{there.url}/requests", data=big, headers=signed, timeout=60).status_code == 413
        wanted = {("webhook", 409, ""): 1, ("webhook", 404, "data.request"): 1, ("webhook", 413, ""): 1}
        assert rows(there) == wanted
        assert "409" not in "".join(told(there)), "the conflict has an alert of its own"
        assert [one.cause for one in there.told()].count("event-conflict") == 1
        line = checked(there)
        assert line.verdict is CheckResult.PROBLEM
        assert "1 times 409, an event id used again with another body" in line.text
    logged = [json.loads(one) for one in lines.getvalue().splitlines() if "request refused" in one]
    assert [one["status"] for one in logged] == [409, 404, 413]
    assert logged[0]["event_id"] == "evt-0001"


def test_who_says_only_that_it_is_signed_is_never_told_of_as_ours(
    tmp_path: Path, database_url: str, lines: io.StringIO
) -> None:
    with served(tmp_path, database_url) as there:
        claim = {"webhook-id": "w-1", "webhook-timestamp": "1", "webhook-signature": "v1,bogus"}
        for body, status in ((b"x" * 70_000, 413), (b"{}", 401)):
            for _ in range(2):
                answer = requests.post(f"{there.url}/requests", data=body, headers=claim, timeout=60)
                assert answer.status_code == status
        assert requests.get(f"{there.url}/healthz", headers=claim | {"a": "b" * 20_000}, timeout=60).status_code == 431
        assert requests.post(f"{there.url}/request", data=b"{}", headers=claim, timeout=60).status_code == 404
        there.service.write(lambda _: None)
        assert told(there) == []
        assert rows(there) == {
            ("webhook", 413, ""): 2, ("webhook", 401, ""): 2, ("webhook", 431, ""): 1, ("webhook", 404, ""): 1,
        }  # fmt: skip
        line = checked(there)
        assert line.verdict is CheckResult.OK
        assert "3 too large, so dpsync did not check the signature; 3 of strangers" in line.text
    logged = [json.loads(one) for one in lines.getvalue().splitlines() if "request refused" in one]
    assert [one["status"] for one in logged] == [413, 401, 431, 404], "one line a minute of each kind"
    assert {one["reason"] for one in logged if one["status"] in {413, 431}} == {
        "too large, so dpsync did not check the signature"
    }


@pytest.mark.no_database
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/requests/", 404),
        ("POST", "/request", 404),
        ("POST", "//requests", 404),
        ("POST", "/Requests", 404),
        ("PUT", "/requests", 405),
    ],
)
def test_a_signed_request_that_comes_to_no_door_is_told_like_any_other(
    tmp_path: Path, database_url: str, lines: io.StringIO, method: str, path: str, status: int
) -> None:
    with served(tmp_path, database_url) as there:
        body = json.dumps({"type": "data_subject.request", "data": GOOD}).encode()
        signed = signed_headers(SECRET, "w-astray-1", there.clock.now(), body)
        answer = requests.request(method, there.url + path, data=body, headers=signed, timeout=60)
        assert answer.status_code == status
        assert rows(there) == {("webhook", status, ""): 1}
        assert len(told(there)) == 1
        assert checked(there).verdict is CheckResult.PROBLEM
    (line,) = [json.loads(one) for one in lines.getvalue().splitlines() if "request refused" in one]
    assert (line["code"], line["status"], line["event_id"]) == ("DP-322", status, "w-astray-1")
    assert telemetry.WITHHELD not in line.values()


@pytest.mark.no_database
def test_every_line_names_the_field_and_the_reason_and_never_a_key_of_the_caller(
    tmp_path: Path, database_url: str, lines: io.StringIO
) -> None:
    faults: list[tuple[bytes, str]] = [
        (b"not json", ""),
        (b'{"type": "x", "type": "y"}', ""),
        (b'{"type": "\\u0000"}', ""),
        (b"[" * 20, ""),
    ]
    for data, name in (
        ({**GOOD, "lovelace": 1}, "data.*"),
        ({**GOOD, "right": "forget"}, "data.right"),
        ({**GOOD, "ground": "whim"}, "data.ground"),
        ({**GOOD, "version": -1}, "data.version"),
        ({**GOOD, "subject": {"lovelace": "x"}}, "data.subject.*"),
        ({**GOOD, "subject": {"references": {"love lace": ["1"]}}}, "data.subject.references.*"),
    ):
        faults.append((json.dumps({"type": "data_subject.request", "data": data}).encode(), name))
    with served(tmp_path, database_url) as there:
        for number, (body, _) in enumerate(faults):
            signed = signed_headers(SECRET, f"w-field-{number}", there.clock.now(), body)
            assert requests.post(f"{there.url}/requests", data=body, headers=signed, timeout=60).status_code == 422
        body = json.dumps({"type": "data_subject.request", "data": {**GOOD, "right": "x"}}).encode()
        for event in ("07700900123", "44-7700.900123", "ada lovelace"):
            signed = signed_headers(SECRET, event, there.clock.now(), body)
            assert requests.post(f"{there.url}/requests", data=body, headers=signed, timeout=60).status_code == 422
    logged = [json.loads(one) for one in lines.getvalue().splitlines() if "request refused" in one]
    assert [one["field"] for one in logged[: len(faults)]] == [name for _, name in faults]
    assert all(one["reason"] not in {telemetry.WITHHELD, ""} for one in logged)
    assert [one["event_id"] for one in logged] == [f"w-field-{number}" for number in range(len(faults))] + [
        telemetry.WITHHELD
    ] * 3
    assert "love" not in lines.getvalue()


@pytest.mark.no_database
def test_what_a_processors_own_webhook_is_refused_for_is_counted_under_its_name(
    tmp_path: Path, database_url: str
) -> None:
    with served(tmp_path, database_url, EVENTS) as there:
        url = f"{there.url}/in/events/{INBOUND}"
        status = requests.post(url, data=b"not json", timeout=60).status_code
        assert requests.post(url[:-1] + "!", data=b"{}", timeout=60).status_code == 404
        wanted = {("in", 404)} | ({("events", status)} if status != 200 else set())
        until(lambda: {(source, code) for source, code, _ in rows(there)} == wanted)  # nobody waits for a stranger's


@pytest.mark.no_database
def test_what_is_refused_after_the_alert_went_is_told_the_next_morning_with_its_number(
    tmp_path: Path, database_url: str
) -> None:
    with served(tmp_path, database_url) as there:
        wrong = {**GOOD, "received_at": "yesterday"}
        post(there, wrong)
        send_alerts(there.service, there.clock.now())
        for number in range(4):
            post(there, wrong, f"evt-{number:04}")
        send_alerts(there.service, there.clock.now())
        assert len(there.sandbox.messages(OPERATOR, settled=True)) == 1
        there.clock.advance(timedelta(days=1))
        for _ in range(2):
            there.service.write(lambda unit: tell_of_rest(unit, there.service.controller, there.clock.now()))
            send_alerts(there.service, there.clock.now())
        _, second = there.sandbox.messages(OPERATOR, settled=True)
        assert b"5 times 422" in second.raw


def test_the_trace_is_there_before_the_sender_hears_of_it_and_outlives_a_restart(
    tmp_path: Path, database_url: str
) -> None:
    with served(tmp_path, database_url) as there:
        assert post(there, {**GOOD, "right": "forget_me"}) == 422
        with there.another_process() as other:
            assert [row.times for row in other.read(lambda c: c.execute(t.refusal.select()).all())] == [1]
            assert refused_of(other, there.clock.now()).__next__().verdict is CheckResult.PROBLEM


def test_a_flood_is_one_row_and_every_one_of_it_is_counted(tmp_path: Path, database_url: str) -> None:
    with served(tmp_path, database_url) as there:
        refusals, now = Refusals(there.service.controller, there.service.writer), there.clock.now()

        def hundred(_: int) -> None:
            for number in range(100):
                refusals.note(Refusal("webhook", 422, f"data.subject.other_emails.{number % 20}"), now)
                last = refusals.note(Refusal("webhook", 401, told=False), now)
            last.result(60)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(hundred, range(8)))
        wanted = {("webhook", 422, "data.subject.other_emails.*"): 800, ("webhook", 401, ""): 800}
        assert rows(there) == wanted
        assert len([one for one in there.told() if one.cause == "requests-refused"]) == 1


def test_an_event_id_may_hold_a_dot_or_a_space(tmp_path: Path, database_url: str) -> None:
    with served(tmp_path, database_url) as there:
        events = ["evt.1.2", "an id of 7", "a" * 128, "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"]
        for event in events:
            assert [post(there, GOOD, event), post(there, GOOD, event)] == [202, 202]
        assert [row.event_id for row in there.rows(t.request)] == events


@pytest.mark.no_database
def test_an_event_id_that_is_no_id_is_422_with_the_reason(tmp_path: Path, database_url: str) -> None:
    with served(tmp_path, database_url) as there:
        for event in (ADA, "a{b", "a" * 129, 'a"b'):
            body = json.dumps({"type": "data_subject.request", "data": GOOD}).encode()
            signed = signed_headers(SECRET, event, there.clock.now(), body)
            answer = requests.post(f"{there.url}/requests", data=body, headers=signed, timeout=60)
            assert (answer.status_code, answer.json()["field"]) == (422, "webhook-id")
            assert event not in answer.text
        assert rows(there) == {("webhook", 422, "webhook-id"): 4}
        assert there.rows(t.request) == []


@pytest.mark.no_database
def test_a_time_of_rfc_3339_may_be_in_lower_case(tmp_path: Path, database_url: str) -> None:
    with served(tmp_path, database_url) as there:
        for number, spelled in enumerate(("2026-11-19t08:55:00z", "2026-11-19T08:55:00z", "2026-11-19t09:55:00+01:00")):
            assert post(there, {**GOOD, "received_at": spelled}, f"evt-{number:04}") == 202
        received = {f"{row.received_at:%Y-%m-%dT%H:%M:%S}" for row in there.rows(t.request)}
        assert received == {"2026-11-19T08:55:00"}
