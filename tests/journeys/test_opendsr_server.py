"""A controller hands over an erasure by OpenDSR: one more source in front of the door that every request comes by."""

import base64
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import insert

from dpsync import telemetry
from dpsync.__main__ import main
from dpsync.cli.check_lines import CheckResult
from dpsync.cli.check_opendsr import opendsr_lines
from dpsync.cli.shapes import SHAPES
from dpsync.intake.opendsr.service import token_hash
from dpsync.model import Cause, Right, State
from dpsync.opendsr_protocol import is_signed_by, who_signed
from dpsync.propagation.commitments import Author
from dpsync.propagation.correspondence.acknowledgement import answer_by_hand
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.rules.event import AnswerKind
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.running import callbacks
from dpsync.running.opendsr_certificate import watch
from dpsync.sandbox.main_database import MainDatabase, running_main_database
from dpsync.sandbox.opendsr import authority as sandbox
from dpsync.signature import signed_headers
from dpsync.store import tables as t
from dpsync.store.callback_tables import callback
from dpsync.store.platform_tables import platform_job
from tests.builders import START
from tests.journeys.installation import FORMS, NEWSLETTER, SECRET, Installation, installed, sqlite_url
from tests.opendsr import ADA, DOMAIN, ID, OTHER, TOKEN, asked, certificate, identity, key, public_key, put, written
from tests.shapes import undocumented

DAY = timedelta(days=1)
HELD_FOR = frozenset({Cause.COOLING_OFF, Cause.CONTACT_UNVERIFIED})
SETTINGS = f"""
{NEWSLETTER}
{FORMS}
[opendsr]
domain = "{DOMAIN}"
certificate = "opendsr.pem"
key = "opendsr.key"
main_database = "forms"
[opendsr.controllers.shop]
token_hashes = ["{token_hash(TOKEN)}"]
callbacks = ["HOST"]
private_host = "127.0.0.1"
[opendsr.controllers.club]
token_hashes = ["{token_hash(OTHER)}"]
"""


@pytest.fixture
def hub() -> Iterator[MainDatabase]:
    with running_main_database() as made:
        yield made


@pytest.fixture
def there(tmp_path: Path, hub: MainDatabase) -> Iterator[Installation]:
    put(tmp_path)
    settings = SETTINGS.replace("HOST", hub.url.removesuffix("/dpsync"))
    with installed(tmp_path, sqlite_url(tmp_path), processors=settings, web=True) as made:
        made.sandbox.add(ADA)
        yield made


def call(there: Installation, method: str, path: str, body: bytes = b"", token: str = TOKEN) -> requests.Response:
    answer = requests.request(
        method, f"{there.url}{path}", data=body, headers={"Authorization": f"Bearer {token}"}, timeout=60
    )
    signed = who_signed(answer.headers)
    assert signed is not None, answer.status_code
    assert signed.domain == DOMAIN
    pem = requests.get(f"{there.url}/v2/certificate", timeout=60).content
    assert is_signed_by(public_key(pem), answer.content, signed.signature)
    assert answer.headers["cache-control"] == "no-store"
    return answer


def hand_over(there: Installation, **more: Any) -> requests.Response:
    return call(there, "POST", "/v2/requests", written(asked(**more)))


def status(there: Installation, token: str = TOKEN) -> Any:
    return call(there, "GET", f"/v2/requests/{ID}", token=token).json()


def release(there: Installation) -> str:
    """A person lets it go at once."""
    (request,) = there.rows(t.request)
    dana, now = Person("Dana Officer", "dana", "asked"), there.clock.now()
    there.service.write(
        lambda unit: decide(
            unit, there.service.controller, request.id, DecisionKind.RELEASE, dana, now, causes=HELD_FOR
        )
    )
    return str(request.id)


def by_hand(there: Installation, request_id: str, kind: AnswerKind = AnswerKind.DONE) -> None:
    """Whoever keeps the main database says what came of it."""
    author, now = Author("Dana Officer", "she rang", "dana"), there.clock.now()
    there.service.write(
        lambda unit: answer_by_hand(unit, there.service.controller, request_id, "forms", kind, author, "dana", now)
    )


def states(there: Installation) -> dict[str, str]:
    return {row.processor: row.state for row in there.rows(t.propagation)}


def heard(there: Installation, hub: MainDatabase) -> list[Any]:
    callbacks.send_due(there.service, there.clock.now())
    return [json.loads(one.body) for one in hub.heard]


def test_a_request_is_held_and_gets_the_same_answer_however_often_it_comes(there: Installation) -> None:
    log = io.StringIO()
    telemetry.configure("info", log)
    body = written(asked(subject_identities=[identity(), identity("4711", "controller_customer_id")]))
    answer = call(there, "POST", "/v2/requests", body)
    assert answer.status_code == 201
    said = answer.json()
    assert base64.b64decode(said.pop("encoded_request")) == body
    (request,) = there.rows(t.request)
    assert said == {
        "controller_id": "shop",
        "subject_request_id": ID,
        "received_time": f"{request.accepted_at:%Y-%m-%dT%H:%M:%SZ}",
        "expected_completion_time": f"{request.due_at:%Y-%m-%dT%H:%M:%SZ}",
        "api_version": "2.0",
    }
    assert (request.source, request.event_id, request.received_assumed) == ("opendsr:shop", ID, False)
    assert {row.processor: "cooling_off" in row.causes for row in there.rows(t.propagation)} == {
        "newsletter": True,
        "forms": True,
    }
    there.clock.advance(timedelta(hours=1))
    for path in ("/v2/requests", "/v2/opengdpr_requests", "/opengdpr_requests"):
        again = call(there, "POST", path, body)
        assert (again.status_code, again.content) == (201, answer.content)
        assert again.headers["X-OpenGDPR-Processor-Domain"] == DOMAIN
        assert again.headers["X-OpenGDPR-Signature"] == again.headers["X-OpenDSR-Signature"]
        assert call(there, "GET", f"{path}/{ID}").json()["request_status"] == "pending"
    other = call(there, "POST", "/v2/requests", body + b" ")
    assert (other.status_code, other.json()["error"]["errors"][0]["reason"]) == (400, "repeated")
    assert ("operator", "event-conflict") in there.alerts()
    wrong = hand_over(there, regulation=None)
    message = "regulation: missing"
    assert (wrong.status_code, wrong.json()["error"]) == (
        400,
        {
            "code": 400,
            "message": message,
            "errors": [{"domain": "Validation", "reason": "invalid", "message": message}],
        },
    )
    assert hand_over(there, extensions={"x.example": "x" * 70_000}).status_code == 413
    assert {(row.source, row.status, row.field, row.told) for row in there.rows(t.refusal)} == {
        ("source opendsr:shop", 409, "subject_request_id", False),
        ("source opendsr:shop", 400, "regulation", True),
        ("source opendsr:shop", 413, "", True),
    }
    (alert,) = (one for one in there.told() if one.cause == "requests-refused")
    assert "Handed over by a controller" in alert.text
    telemetry.configure("info", io.StringIO())
    assert '"source": "source:opendsr:shop"' in log.getvalue()
    assert len(there.rows(t.request)) == 1
    there.sound()


def test_a_main_database_that_never_signs_needs_no_secret(there: Installation) -> None:
    there.restart(('secrets = [{ env = "DPSYNC_TEST_SECRET" }]', ""))
    assert hand_over(there).status_code == 201
    signed = signed_headers(SECRET, "evt_1", there.clock.now(), b"{}")
    answer = requests.post(f"{there.url}/requests", data=b"{}", headers=signed, timeout=60)
    assert answer.status_code == 401, "a door that nobody has the key of"


def test_whoever_has_no_token_learns_only_what_can_be_asked(there: Installation) -> None:
    assert call(there, "GET", "/v2/discovery", token="").json() == {
        "api_version": "2.0",
        "supported_identities": [
            {"identity_type": "email", "identity_format": "raw"},
            {"identity_type": "controller_customer_id", "identity_format": "raw"},
        ],
        "supported_subject_request_types": ["erasure"],
        "processor_certificate": f"{there.url}/v2/certificate",  # of a rehearsal
    }
    hand_over(there)
    assert call(there, "POST", "/v2/requests", written(asked()), token="x").status_code == 401
    assert call(there, "DELETE", f"/v2/requests/{ID}", token="").status_code == 401
    unknown = call(there, "GET", f"/v2/requests/{ID.replace('a7', 'b7')}", token=OTHER)
    for method, request_id in (("GET", ID), ("DELETE", ID), ("GET", "%00"), ("GET", ID.upper())):
        answer = call(there, method, f"/v2/requests/{request_id}", token=OTHER)
        assert (answer.status_code, answer.content) == (400, unknown.content)


def test_our_own_main_database_is_one_more_that_completed_waits_for(there: Installation, hub: MainDatabase) -> None:
    assert hand_over(there, status_callback_urls=[f"{hub.url}/1", f"{hub.url}/2"]).status_code == 201
    request_id = release(there)
    there.drive()
    assert states(there) == {"newsletter": "verified", "forms": "accepted"}
    assert status(there)["request_status"] == "in_progress"
    late = call(there, "DELETE", f"/v2/requests/{ID}")
    assert (late.status_code, late.json()["error"]["errors"][0]["reason"]) == (400, "not_pending")
    by_hand(there, request_id)
    expected = status(there)
    assert (expected["request_status"], "results_count" in expected) == ("completed", False)
    there.restart()  # as after a kill between the commit and the news of it
    hub.answers.append((503, {}))
    assert [one["request_status"] for one in heard(there, hub)] == ["in_progress", "in_progress", "completed"]
    hub.heard.pop()
    there.clock.advance(DAY)
    said = heard(there, hub)
    assert [(one["request_status"], one["status_callback_url"][-1]) for one in said] == [
        ("in_progress", "1"),
        ("in_progress", "2"),
        ("completed", "1"),
        ("completed", "2"),
    ]
    assert said[-1] == {**expected, "status_callback_url": f"{hub.url}/2"}
    for one in hub.heard:
        signed = who_signed(one.headers)
        assert signed is not None
        assert is_signed_by(key().public_key(), one.body, signed.signature)
    assert there.rows(platform_job) == []
    # What was completed stays so outside, whatever is seen later.
    by_hand(there, request_id, AnswerKind.REFUSED)
    assert State.DECLARED_DONE.value not in states(there).values()
    assert (status(there), len(heard(there, hub))) == (expected, len(said))
    # A main database that asks for itself is not told of its own requests.
    there.ask(Right.OPT_OUT, "ben@example.org", id="crm-2")
    assert [row.processor for row in there.rows(t.propagation) if row.request_id != request_id] == ["newsletter"]


def test_where_nobody_is_held_no_results_are_counted(there: Installation) -> None:
    hand_over(there, subject_identities=[identity("nobody@example.org")])
    request_id = release(there)
    there.drive()
    by_hand(there, request_id, AnswerKind.NOTHING_HELD)
    assert (status(there)["request_status"], status(there)["results_count"]) == ("completed", 0)
    assert {row.said for row in there.rows(callback)} == {"nobody asked to hear of it"}
    assert "callback-given-up" not in {cause for _, cause in there.alerts()}


def test_it_can_be_cancelled_until_somebody_was_told(there: Installation, hub: MainDatabase) -> None:
    hand_over(there, status_callback_urls=[hub.url])
    answer = call(there, "DELETE", f"/v2/requests/{ID}")
    assert (answer.status_code, answer.json()["controller_id"]) == (202, "shop")
    there.clock.advance(DAY)
    again = call(there, "DELETE", f"/v2/requests/{ID}")
    assert (again.status_code, again.content) == (202, answer.content)
    assert set(states(there).values()) == {"withdrawn"}
    assert status(there)["request_status"] == "cancelled"
    assert [one["request_status"] for one in heard(there, hub)] == ["cancelled"]
    there.drive(2 * DAY)
    assert there.sandbox.holds(ADA)
    there.sound()


def test_nothing_of_the_echo_is_on_disk(there: Installation, hub: MainDatabase, tmp_path: Path) -> None:
    canary = "canary-of-the-body"
    body = written(asked(extensions={"other.example.org": {"note": canary}}, status_callback_urls=[hub.url]))
    answer = call(there, "POST", "/v2/requests", body)
    echo = answer.json()["encoded_request"].encode()
    release(there)
    there.drive()
    heard(there, hub)
    call(there, "POST", "/v2/requests", body + b" ")
    there.running.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 3
    for path in files:
        content = path.read_bytes()
        assert not any(mark in content for mark in (canary.encode(), echo, echo[:40], ADA.encode())), path.name


def test_a_certificate_is_renewed_while_requests_are_open(there: Installation, hub: MainDatabase) -> None:
    hand_over(there, status_callback_urls=[hub.url])
    request_id, folder = release(there), there.folder
    there.drive()
    call(there, "GET", "/v2/discovery")
    (folder / "opendsr.pem").write_bytes(certificate(key(1)))  # and not the key yet
    assert status(there)["request_status"] == "in_progress"
    by_hand(there, request_id)
    put(folder, key(1))
    call(there, "GET", "/v2/discovery")
    assert status(there)["request_status"] == "completed"
    heard(there, hub)
    last = who_signed(hub.heard[-1].headers)
    assert last is not None
    assert is_signed_by(key(1).public_key(), hub.heard[-1].body, last.signature)


def test_an_attempt_that_nobody_knows_the_end_of_is_not_taken_back(there: Installation) -> None:
    hand_over(there)
    release(there)
    row = {"number": 1, "kind": "carry_out", "worker": "w", "begun_at": there.clock.now()}
    first = there.rows(t.propagation)[0].id
    there.service.write(lambda unit: unit.connection.execute(insert(t.attempt).values(propagation_id=first, **row)))
    assert call(there, "DELETE", f"/v2/requests/{ID}").status_code == 400
    assert (set(states(there).values()), status(there)["request_status"]) == ({"pending"}, "in_progress")


def test_a_certificate_that_ends_is_told_and_checked(there: Installation) -> None:
    def lines() -> list[tuple[CheckResult, str]]:
        return [(one.verdict, one.text) for one in opendsr_lines(there.service, offline=False)]

    asked_by = (
        "asked by shop, club. Stratosoft, sign-up forms hears of nothing else: what main databases ask does not go "
        "there"
    )
    left = f"the certificate is for {DOMAIN}, and valid for "
    good, second = lines()
    assert (good[0], good[1].startswith(left), second) == (CheckResult.OK, True, (CheckResult.OK, asked_by))
    watch(there.service, there.clock.now())
    assert there.alerts() == []
    ends = there.clock.now() + 5 * DAY
    put(there.folder, pem=certificate(key(), ends=ends))
    for after in (timedelta(0), 2 * DAY, 2 * DAY):
        there.clock.advance(after)
        watch(there.service, there.clock.now())
    assert there.alerts() == [("operator", "opendsr-certificate")] * 2
    assert lines()[0] == (CheckResult.PROBLEM, "the certificate expires in 1 day: see why it was not renewed")
    (there.folder / "opendsr.pem").unlink()
    ((verdict, text),) = lines()
    assert (verdict, text.startswith("opendsr.certificate: ")) == (CheckResult.PROBLEM, True)


def test_a_token_is_made_with_its_hash_and_kept_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "dpsync.toml"), "opendsr", "token", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert undocumented(said, SHAPES["opendsr token"]) == set()
    assert token_hash(said["token"]) == said["token_hash"]
    assert (len(said["token"]), [*tmp_path.iterdir()]) == (47, [])


@contextmanager
def two(folder: Path) -> Iterator[tuple[Installation, Installation]]:
    """One installation that has another one erase, by OpenDSR."""
    for name in ("asking", "asked"):
        (folder / name).mkdir()
    tracker = """
[processors.tracker]
connector = "opendsr"
contact = "privacy@tracker.example"
url = "http://127.0.0.1:9/v2"
credential = {{ env = "DPSYNC_TEST_ACCESS" }}
domain = "privacy.example.org"
authorities = {{ file = "authority.pem" }}
inbound_secret = {{ env = "DPSYNC_TEST_INBOUND" }}
"""
    authority = folder / "asking" / "authority.pem"
    authority.write_bytes(sandbox.authority(START))
    authority.chmod(0o600)
    own = sandbox.signing_key(0)
    put(folder / "asked", own, sandbox.certificate(START, DOMAIN, own))
    with installed(folder / "asking", sqlite_url(folder / "asking"), processors=tracker, web=True) as asking:
        settings = SETTINGS.replace("HOST", asking.url).replace(token_hash(TOKEN), token_hash("access-0"))
        with installed(folder / "asked", sqlite_url(folder / "asked"), processors=settings, web=True) as asked_for:
            asking.restart(("http://127.0.0.1:9", asked_for.url))
            yield asking, asked_for


def test_what_our_own_connector_asks_our_own_server_does(tmp_path: Path) -> None:
    with two(tmp_path) as (asking, done):
        done.sandbox.add(ADA)
        request = asking.ask(Right.ERASURE, ADA)
        asking.drive()
        (taken,) = done.rows(t.request)
        assert (taken.source, asking.state(request, "tracker")) == ("opendsr:shop", State.ACCEPTED)
        request_id = release(done)
        done.drive()
        by_hand(done, request_id)
        callbacks.send_due(done.service, done.clock.now())
        assert {row.told_at is not None for row in done.rows(callback)} == {True}
        asking.drive(timedelta(minutes=1))
        assert (asking.state(request, "tracker"), done.sandbox.holds(ADA)) == (State.DECLARED_DONE, [])
        asking.sound()
        done.sound()
