"""What is no vendor's own is called blocked, whatever its status; what a vendor documents never is."""

import json
from datetime import UTC, datetime

import pytest

from dpsync.connector import Evidence, Reply
from dpsync.connectors.brevo.calls import Calls as BrevoCalls
from dpsync.connectors.campaign_monitor.calls import Calls as CampaignMonitorCalls
from dpsync.connectors.eventbrite.calls import EventbriteCalls
from dpsync.connectors.google_analytics.calls import Calls as GoogleAnalyticsCalls
from dpsync.connectors.hootsuite.calls import HootsuiteCalls
from dpsync.connectors.mailchimp.calls import Calls as MailchimpCalls
from dpsync.vendor.calls import Calls

EVERY: tuple[type[Calls], ...] = (
    BrevoCalls,
    CampaignMonitorCalls,
    EventbriteCalls,
    GoogleAnalyticsCalls,
    HootsuiteCalls,
    MailchimpCalls,
)
FOREIGN = ({"status": "ok"}, ["up"], [{"status": "ok"}], "ok", 0, True, None, {"error": "Forbidden"}, {"id": "7f3a"})


def reply(status: int, body: bytes, endpoint: str = "GET /") -> Reply:
    evidence = Evidence(endpoint=endpoint, status=status, at=datetime(2026, 11, 30, tzinfo=UTC))
    return Reply(status, {"content-type": "application/json"}, body, evidence)


def is_own(
    vendor: type[Calls], status: int, content: object, endpoint: str = "GET /", *, writing: bool = False
) -> bool:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return object.__new__(vendor).is_own(reply(status, body, endpoint), writing=writing)


@pytest.mark.parametrize("vendor", EVERY)
def test_a_yes_without_anything_of_the_vendors_is_foreign_to_a_read_and_a_change(vendor: type[Calls]) -> None:
    for content in FOREIGN:
        for writing in (False, True):
            assert not is_own(vendor, 200, content, writing=writing), content


@pytest.mark.parametrize("vendor", EVERY)
def test_nothing_is_an_answer_to_a_change_alone_and_a_cut_one_may_be_the_vendors(vendor: type[Calls]) -> None:
    for status in (200, 204):
        assert not is_own(vendor, status, b" ")
        assert is_own(vendor, status, b" ", writing=True)
        assert not is_own(vendor, status, {})
        assert is_own(vendor, status, {}, writing=True)
    assert is_own(vendor, 200, b'{"id": ')


@pytest.mark.parametrize(
    ("vendor", "members"),
    [
        (BrevoCalls, "email attributes companyName"),
        (CampaignMonitorCalls, "EmailAddress ListID ClientID FieldName Results SystemDate access_token"),
        (EventbriteCalls, "resource_uri event_id pagination"),
        (GoogleAnalyticsCalls, "deletionRequestTime propertyId access_token"),
        (HootsuiteCalls, "data access_token"),
        (MailchimpCalls, "list_id lists merge_fields total_items health_status account_name"),
    ],
)
def test_each_member_that_only_the_vendor_says_shows_that_it_did(vendor: type[Calls], members: str) -> None:
    for name in members.split():
        assert is_own(vendor, 200, {"status": "ok", name: "x"}), name
        assert is_own(vendor, 200, [1, {name: "x"}]) is (vendor is CampaignMonitorCalls)


@pytest.mark.parametrize(
    ("vendor", "error"),
    [
        (BrevoCalls, {"code": "x", "message": "y"}),
        (CampaignMonitorCalls, {"Code": 1, "Message": "y"}),
        (EventbriteCalls, {"error": "X", "status_code": 500}),
        (GoogleAnalyticsCalls, {"error": {"code": 500}}),
        (HootsuiteCalls, {"errors": [{"code": 1}]}),
        (MailchimpCalls, {"title": "X", "status": 500, "detail": "y"}),
    ],
)
def test_a_yes_that_holds_the_vendors_own_error_is_the_vendors(vendor: type[Calls], error: object) -> None:
    assert is_own(vendor, 200, error)


def test_an_empty_list_is_an_answer_of_campaign_monitor_alone() -> None:
    assert [vendor for vendor in EVERY if is_own(vendor, 200, [])] == [CampaignMonitorCalls]


@pytest.mark.parametrize(
    ("vendor", "call"), [(GoogleAnalyticsCalls, "POST /token"), (CampaignMonitorCalls, "POST /oauth/token")]
)
def test_an_error_of_the_token_call_is_one_of_its_words_under_one_of_its_statuses(
    vendor: type[Calls], call: str
) -> None:
    own = {status for status in range(200, 600) if is_own(vendor, status, {"error": "invalid_grant"}, call)}
    assert own == {200, 400, 401, 403, 429, *range(500, 600)} - {511}
    for word in ("Forbidden", "Bad Gateway", "not found", "", "invalid_grant\n", 7, None):
        assert not is_own(vendor, 400, {"error": word}, call), word
    assert not is_own(vendor, 400, {"error": "invalid_grant"}, "POST /elsewhere")


def test_a_connector_that_names_no_members_takes_any_json_for_its_vendors() -> None:
    assert is_own(Calls, 200, {"status": "ok"})
    assert is_own(Calls, 200, ["up"])
    assert not is_own(Calls, 200, b"null")
