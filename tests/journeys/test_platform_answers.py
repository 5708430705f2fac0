"""Transcend hears how the request ended that it handed over: by its own secret, once, and of nobody else's."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dpsync.errors import ConfigurationError
from dpsync.model import Right
from dpsync.propagation import forgetting
from dpsync.propagation.callbacks import note_closed, note_contradicted, note_observed
from dpsync.running import callbacks
from dpsync.running.callback_targets import resume, targets_of
from dpsync.sandbox.main_database import MainDatabase, running_main_database
from dpsync.settings import load
from dpsync.store.callback_tables import callback
from dpsync.store.platform_tables import platform_job
from tests.journeys.installation import NEWSLETTER, Installation, installed, sqlite_url
from tests.journeys.test_privacy_platforms import post
from tests.unit.test_privacy_platforms import ADA, transcend
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
        ('form = "transcend"', 'form = "ketch"', "form"),
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
