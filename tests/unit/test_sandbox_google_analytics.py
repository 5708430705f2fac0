"""The sandboxed Google Analytics takes every identifier, counts the day, and deletes by its own clock."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from dpsync.sandbox.server import RunningSandbox, running_sandbox

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
CLIENT, PROPERTY = "1148903321.1767225600", "312345678"


class Caller:
    """One app's calls, and the clock of its vendor."""

    def __init__(self, sandbox: RunningSandbox, clock: list[datetime]) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self.vendor = sandbox.google_analytics
        self.url = sandbox.google_analytics.url
        self.token = self.exchange().json()["access_token"]

    def exchange(self, **changed: str) -> requests.Response:
        at = self.sandbox.addresses
        form = {
            "grant_type": "refresh_token",
            "client_id": at.google_client,
            "client_secret": at.google_secret,
            "refresh_token": at.google_refresh,
        }
        return requests.post(f"{self.url}/token", data=form | changed, timeout=60)

    def upsert(self, user: str = CLIENT, *, token: str | None = None, **changed: Any) -> requests.Response:
        body = {
            "kind": "analytics#userDeletionRequest",
            "id": {"type": "CLIENT_ID", "userId": user},
            "propertyId": PROPERTY,
        }
        return requests.post(
            f"{self.url}/analytics/v3/userDeletion/userDeletionRequests:upsert",
            json=body | changed,
            headers={"Authorization": f"Bearer {token or self.token}"},
            timeout=60,
        )

    def refusal(self, **changed: Any) -> tuple[int, str]:
        reply = self.upsert(**changed)
        error = reply.json()["error"]
        assert error["code"] == reply.status_code
        return reply.status_code, error["status"]


@pytest.fixture
def api() -> Iterator[Caller]:
    clock = [START]
    with running_sandbox(now=lambda: clock[0]) as sandbox:
        yield Caller(sandbox, clock)


def test_a_made_up_identifier_is_answered_like_a_known_one(api: Caller) -> None:
    api.vendor.add(CLIENT, PROPERTY)
    known, unknown = api.upsert(), api.upsert("nobody.1")
    assert (known.status_code, unknown.status_code) == (200, 200)
    assert known.json().keys() == unknown.json().keys()
    assert known.json()["deletionRequestTime"] == "2026-11-20T09:00:00.000Z"
    assert "webPropertyId" not in known.json()
    assert api.vendor.effects("queued") == 2


def test_a_repetition_moves_the_time_forward(api: Caller) -> None:
    api.upsert()
    api.clock[0] += timedelta(minutes=30)
    assert api.upsert().json()["deletionRequestTime"] == "2026-11-20T09:30:00.000Z"


def test_deletion_follows_the_vendors_clock_and_a_returning_visitor_is_back(api: Caller) -> None:
    api.vendor.add(CLIENT, PROPERTY)
    assert api.vendor.holds(CLIENT) == [(PROPERTY, "collected")]
    api.clock[0] += timedelta(minutes=1)
    api.upsert()
    states = []
    for later in (timedelta(0), timedelta(hours=72), timedelta(days=61)):
        api.clock[0] = START + timedelta(minutes=1) + later
        states.append([state for _, state in api.vendor.holds(CLIENT)])
    assert states == [["queued"], ["hidden"], []]
    api.vendor.act(CLIENT, "visit", property_id=PROPERTY)
    assert api.vendor.holds(CLIENT) == [(PROPERTY, "collected")]


def test_a_token_lives_an_hour_and_its_refresh_token_for_ever(api: Caller) -> None:
    info = requests.get(f"{api.url}/tokeninfo", params={"access_token": api.token}, timeout=60).json()
    assert info["scope"].endswith("analytics.user.deletion")
    api.clock[0] += timedelta(seconds=3599)
    assert api.refusal() == (401, "UNAUTHENTICATED")
    assert requests.get(f"{api.url}/tokeninfo", params={"access_token": api.token}, timeout=60).status_code == 400
    for _ in range(2):
        assert api.upsert(token=api.exchange().json()["access_token"]).status_code == 200
    assert api.exchange(refresh_token="wrong").json()["error"] == "invalid_grant"
    assert api.exchange(grant_type="password").status_code == 400


def test_without_the_scope_or_the_rights_it_is_403(api: Caller) -> None:
    api.vendor.switch(refused_properties=[PROPERTY])
    assert api.refusal() == (403, "PERMISSION_DENIED")
    api.vendor.switch(without_scope=True)
    token = api.exchange().json()["access_token"]
    assert api.refusal(token=token, propertyId="1") == (403, "PERMISSION_DENIED")
    assert api.vendor.effects() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"propertyId": "UA-1-1"},
        {"propertyId": None},
        {"id": {"type": "EMAIL", "userId": "ada@example.org"}},
        {"id": {"type": "CLIENT_ID"}},
    ],
)
def test_a_wrong_kind_or_property_is_400(api: Caller, wrong: dict[str, Any]) -> None:
    assert api.refusal(**wrong) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(("status", "word"), [(403, "PERMISSION_DENIED"), (429, "RESOURCE_EXHAUSTED")])
def test_five_hundred_a_day_are_counted_and_the_next_day_is_new(api: Caller, status: int, word: str) -> None:
    api.vendor.switch(quota_status=status)
    api.vendor.there(lambda vendor: vendor.used.update({(START.date(), f"property {PROPERTY}"): 499}))
    assert api.upsert().status_code == 200
    assert api.refusal() == (status, word)
    assert api.upsert(propertyId="2").status_code == 200, "another property has its own count"
    api.clock[0] += timedelta(days=1)
    assert api.upsert(token=api.exchange().json()["access_token"]).status_code == 200


def test_the_projects_own_count_is_over_all_properties(api: Caller) -> None:
    api.vendor.switch(daily_quota=2)
    assert [api.upsert(propertyId=str(number)).status_code for number in range(1, 4)] == [200, 200, 403]


def test_yes_may_be_said_and_nothing_queued(api: Caller) -> None:
    api.vendor.fault("says_yes_does_nothing", address=CLIENT)
    assert api.upsert().json()["deletionRequestTime"]
    assert (api.vendor.effects(), api.vendor.holds(CLIENT)) == (0, [])
    assert CLIENT not in json.dumps(api.vendor.counters())
