"""Transcend and Ketch hear how the requests ended that they handed over: by their own secrets, and of no others."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dpsync.errors import ConfigurationError
from dpsync.intake.answers import Received
from dpsync.intake.sources.reception import SourceReception
from dpsync.intake.sources.source import sources_of
from dpsync.model import Cause, Right
from dpsync.propagation import forgetting
from dpsync.propagation.callbacks import note_closed, note_contradicted, note_observed
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.running import callbacks
from dpsync.running.callback_targets import resume, targets_of
from dpsync.sandbox.main_database import MainDatabase, running_main_database
from dpsync.settings import load
from dpsync.store import tables as t
from dpsync.store.callback_tables import callback
from dpsync.store.platform_tables import platform_job
from tests.journeys.installation import INBOUND, NEWSLETTER, Installation, installed, sqlite_url
from tests.journeys.test_privacy_platforms import post
from tests.unit.test_privacy_platforms import ADA, ketch, transcend
from tests.unit.test_source_tokens import CLAIMS, KEY, pem, token

NONCE = "a-nonce." + "x" * 900
SOURCE = """
[sources.transcend]
mapping = "transcend"
scheme = "es384-jwt"
header = "X-Sombra-Token"
secrets = [{{ file = "sombra.pem" }}]
[sources.transcend.callback]
url = "URL"
form = "transcend"
private_host = "127.0.0.1"
secrets = [{{ env = "DPSYNC_TEST_INBOUND" }}]
gateway_key = {{ env = "DPSYNC_TEST_ACCESS" }}
"""
DAY = timedelta(days=1)


@pytest.fixture
def platform() -> Iterator[MainDatabase]:
    with running_main_database() as made:
        yield made


@pytest.fixture
def there(tmp_path: Path, platform: MainDatabase) -> Iterator[Installation]:
    (tmp_path / "sombra.pem").write_text(pem(KEY), encoding="ascii")
    (tmp_path / "sombra.pem").chmod(0o600)
    settings = NEWSLETTER + SOURCE.replace("URL", platform.url)
    with installed(tmp_path, sqlite_url(tmp_path), processors=settings, web=True) as made:
        made.sandbox.add(ADA)
        yield made


def hand_over(there: Installation, kind: str = "CONTACT_OPT_OUT", nonce: str = NONCE) -> str:
    claims = {**CLAIMS, "value": "4711", "iat": int(there.clock.now().timestamp())}
    shown = {"X-Sombra-Token": token(claims), "X-Transcend-Nonce": nonce}
    (request_id,) = post(there, "transcend", transcend(kind), **shown).json()["requests"]
    return str(request_id)


def test_each_identifier_of_one_request_has_a_job_of_its_own_that_is_answered(
    there: Installation, platform: MainDatabase
) -> None:
    claims = {**CLAIMS, "value": "4711", "iat": int(there.clock.now().timestamp())}
    for name, nonce in ((ADA, "n1"), ("ada.old@example.org", "n2"), (ADA, "n1")):
        shown = {"X-Sombra-Token": token(claims), "X-Transcend-Nonce": nonce}
        assert post(there, "transcend", transcend("CONTACT_OPT_OUT", name), **shown).status_code == 202
    assert len(there.rows(t.request)) == 1
    there.drive()
    assert sorted(one.headers["x-transcend-nonce"] for one in platform.heard) == ["n1", "n2"]
    assert {one.body for one in platform.heard} == {b'{"status": "RESOLVED"}'}
    assert there.rows(platform_job) == []


def sent(there: Installation, platform: MainDatabase, after: timedelta = timedelta(0)) -> list[dict[str, Any]]:
    there.clock.advance(after)
    before = len(platform.heard)
    callbacks.send_due(there.service, there.clock.now())
    return [json.loads(one.body) for one in platform.heard[before:]]


def test_the_end_is_told_by_the_jobs_own_secret_which_is_destroyed_then(
    there: Installation, platform: MainDatabase
) -> None:
    request_id = hand_over(there)
    assert hand_over(there) == request_id  # sent again, it is the same job
    (job,) = there.rows(platform_job)
    assert job.request_id == request_id
    assert NONCE.encode() not in job.sealed
    there.drive()
    (heard,) = platform.heard
    assert json.loads(heard.body) == {"status": "RESOLVED"}
    assert {name: heard.headers[name] for name in ("authorization", "x-transcend-nonce", "x-sombra-authorization")} == {
        "authorization": f"Bearer {there.environ['DPSYNC_TEST_INBOUND']}",
        "x-transcend-nonce": NONCE,
        "x-sombra-authorization": "Bearer access-0",
    }
    assert (heard.headers["content-type"], heard.headers["x-method"]) == ("application/json", "PUT")
    assert there.rows(platform_job) == []
    assert [row.told_at is not None for row in there.rows(callback)] == [True]
    there.sound()


def test_of_what_is_open_late_or_seen_elsewhere_it_hears_nothing(there: Installation, platform: MainDatabase) -> None:
    hand_over(there, "ERASURE")  # cools off
    callbacks.tell_of_what_nobody_does(there.service, there.clock.now() + 60 * DAY)
    there.ask(Right.OPT_OUT, "ben@example.org", id="crm-2")  # another source's
    there.drive()
    assert (sent(there, platform), there.rows(callback)) == ([], [])
    assert len(there.rows(platform_job)) == 1


@pytest.mark.parametrize("status", [503, 0])
def test_a_job_that_did_not_take_it_is_told_again(there: Installation, platform: MainDatabase, status: int) -> None:
    hand_over(there)
    platform.answers.append((status or 500, {}))
    there.drive()
    assert len(there.rows(platform_job)) == 1
    assert sent(there, platform, DAY) == [{"status": "RESOLVED"}]
    assert there.rows(platform_job) == []


def test_a_job_that_is_closed_there_is_told_no_more(there: Installation, platform: MainDatabase) -> None:
    hand_over(there)
    platform.answers.append((409, {}))
    there.drive()
    (row,) = there.rows(callback)
    assert (row.told_at is not None, row.said, there.rows(platform_job)) == (True, "answered 409", [])
    assert sent(there, platform, 20 * DAY) == []


def test_what_opens_a_job_goes_with_the_person(there: Installation, platform: MainDatabase) -> None:
    request_id = hand_over(there)
    platform.answers += [(401, {})] * 500
    for _ in range(4):
        there.drive(10 * DAY)  # until nothing is looked at any more
    assert len(there.rows(platform_job)) == 1
    now = there.clock.now() + DAY
    there.service.write(lambda unit: forgetting.forget(unit, there.service.controller, [request_id], now, now))
    there.service.write(lambda unit: resume(unit.connection, there.clock.now()))
    assert (there.rows(platform_job), sent(there, platform)) == ([], [])
    (row,) = there.rows(callback)
    assert (row.dropped_at is not None, row.said) == (True, "what opens its job is not kept")


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ('"DPSYNC_TEST_INBOUND" }', '"DPSYNC_TEST_INBOUND" }, { env = "DPSYNC_TEST_KEY" }', "callback"),
        ('form = "transcend"', "", "callback"),
        ('form = "transcend"', 'form = "ketch"', "callback"),
        ('form = "transcend"', 'form = "fides"', "form"),
    ],
)
def test_a_callback_that_does_not_fit_its_form_is_refused(
    there: Installation, before: str, after: str, key: str
) -> None:
    config = there.folder / "dpsync.toml"
    text = config.read_text(encoding="utf-8")
    assert before in text
    config.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(config, there.environ)
    assert any(key in fault.key for fault in caught.value.faults)


def test_a_key_that_no_header_holds_is_named(there: Installation) -> None:
    config = there.folder / "dpsync.toml"
    for name in ("DPSYNC_TEST_INBOUND", "DPSYNC_TEST_ACCESS"):
        there.service.settings = load(config, {**there.environ, name: "two words"})
        with pytest.raises(ConfigurationError) as caught:
            targets_of(there.service)
        assert [fault.key.startswith("sources.transcend.callback.") for fault in caught.value.faults] == [True]


def test_what_closes_a_second_time_is_told_once(there: Installation, platform: MainDatabase) -> None:
    """It was seen not to be done, and was done then: the job is closed since the first time."""
    request_id = hand_over(there)
    there.drive()
    now, controller = there.clock.now(), there.service.controller
    there.service.write(lambda unit: note_contradicted(unit.connection, controller, [request_id], now))
    there.service.write(lambda unit: note_closed(unit.connection, controller, [request_id], now))
    there.service.write(
        lambda unit: note_observed(unit.connection, controller, request_id, ["p"], "newsletter", now, now)
    )
    assert (len(there.rows(callback)), sent(there, platform, DAY)) == (1, [])


# --- Ketch


KETCH = """
[sources.ketch]
mapping = "ketch"
scheme = "static-header"
header = "Authorization"
reconciled_by = "a list, each week"
secrets = [{{ env = "DPSYNC_TEST_INBOUND" }}]
callback = {{ form = "ketch", url = "URL", private_host = "127.0.0.1" }}
"""


@pytest.fixture
def ketched(tmp_path: Path, platform: MainDatabase) -> Iterator[Installation]:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + KETCH.replace("URL", platform.url)) as made:
        yield made


def of_ketch(there: Installation, named: list[object], kind: str = "DeleteRequest") -> str:
    """What it hands over, taken in as its door does, and released at once: it cools off otherwise."""
    service, now = there.service, there.clock.now()
    body = json.dumps(ketch(kind, callbacks=named)).encode()
    taken = sources_of(service)["ketch"].take([(b"authorization", INBOUND.encode())], body, now)
    (received,) = SourceReception(service.controller, service.writer).submit(taken, now).result(60).requests
    assert isinstance(received, Received)
    decided(there, received.request_id, DecisionKind.RELEASE)
    return received.request_id


def decided(there: Installation, request_id: str, kind: DecisionKind) -> None:
    controller, now, dana = there.service.controller, there.clock.now(), Person("Dana Officer", "dana", "asked")
    causes = frozenset(Cause)
    there.service.write(lambda unit: decide(unit, controller, request_id, kind, dana, now, causes=causes))


def test_ketch_hears_that_it_is_done_at_its_own_address_with_its_own_headers(
    ketched: Installation, platform: MainDatabase
) -> None:
    ketched.sandbox.add(ADA)
    own = {"Authorization": "Bearer of-ketch", "Host": "elsewhere.example", "X-Bad": "a\r\nb: c", "X-Own": "1"}
    request_id = of_ketch(ketched, [{"url": f"{platform.url}/r/1", "headers": own}])
    (job,) = ketched.rows(platform_job)
    assert b"of-ketch" not in job.sealed
    ketched.drive()
    (heard,) = platform.heard
    assert json.loads(heard.body) == {
        "apiVersion": "dsr/v1",
        "kind": "DeleteStatusEvent",
        "metadata": {"uid": "u1", "tenant": "example"},
        "event": {"status": "completed", "reason": "executed", "requestID": request_id},
    }
    assert (heard.headers["authorization"], heard.headers["x-own"]) == ("Bearer of-ketch", "1")
    assert heard.headers["host"].startswith("127.0.0.1")
    assert "x-bad" not in heard.headers
    assert ketched.rows(platform_job) == []


def test_ketch_hears_of_nobody_there_and_all_its_addresses_hear_it(
    ketched: Installation, platform: MainDatabase
) -> None:
    platform.answers += [(204, {}), (503, {})]
    of_ketch(ketched, [{"url": platform.url}, {"url": f"{platform.url}/2"}])
    ketched.drive()
    assert len(ketched.rows(platform_job)) == 1
    platform.answers += [(409, {})]
    sent(ketched, platform, DAY)
    assert [one.status for one in platform.heard] == [204, 503, 409, 204]
    assert {json.loads(one.body)["event"]["reason"] for one in platform.heard} == {"no_match"}
    assert ketched.rows(platform_job) == []


@pytest.mark.parametrize(
    "address",
    [
        "https://elsewhere.example/callback",
        "http://169.254.169.254/latest",
        "http://127.0.0.1:1/callback",
        "http://[::1]/callback",
        "https://ada@127.0.0.1/callback",
        "http://localhost/callback",
        "ftp://127.0.0.1/callback",
        "URL\n",
        "URL/a b",
        "URL\\@elsewhere.example/",
        "URL@elsewhere.example/",
        "",
    ],
)
def test_an_address_of_a_message_that_the_settings_do_not_name_is_never_called(
    ketched: Installation, platform: MainDatabase, address: str
) -> None:
    address = address.replace("URL", platform.url.removesuffix("/dpsync"))
    of_ketch(ketched, [{"url": address, "headers": {"Authorization": "x"}}, {"url": 7}, "nothing"])
    ketched.drive()
    assert platform.heard == []
    (row,) = ketched.rows(callback)
    assert row.said == "what opens its job is not kept"
    assert ("operator", "callback-given-up") in ketched.alerts()


def test_what_is_not_done_stays_in_progress_with_ketch(ketched: Installation, platform: MainDatabase) -> None:
    ketched.sandbox.add(ADA)
    request_id = of_ketch(ketched, [{"url": platform.url}])
    decided(ketched, request_id, DecisionKind.WITHDRAW)
    (said,) = sent(ketched, platform)
    assert (said["event"]["status"], said["event"]["reason"]) == ("in_progress", "unknown")
