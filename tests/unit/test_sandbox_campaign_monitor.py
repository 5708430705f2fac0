"""The sandboxed Campaign Monitor keeps the rules that the notes tell, counts, breaks, and meets the connector."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, Literal, TypeVar

import pytest
import requests

from dpsync.connector import (
    Applied,
    AsAsked,
    Contradicts,
    HandOver,
    Instruction,
    Kit,
    NothingHeld,
    Retryable,
)
from dpsync.connectors.campaign_monitor import CampaignMonitor as Connector
from dpsync.connectors.campaign_monitor.calls import CampaignMonitorSettings
from dpsync.errors import CredentialsRejected
from dpsync.http import HttpClient
from dpsync.model import Changes, Lifted, Right
from dpsync.sandbox.campaign_monitor.account import Account, Change, Subscriber, SubscriberList
from dpsync.sandbox.campaign_monitor.api import CampaignMonitor
from dpsync.sandbox.campaign_monitor.handle import CampaignMonitorHandle
from dpsync.sandbox.faults import Fault
from dpsync.sandbox.server import running_sandbox
from tests.connectors.contract import Hands, OpenShelf, pseudonym
from tests.sandbox_caller import Listener, listening

T = TypeVar("T")
ADA, BEN = "ada+news@example.org", "ben@example.org"
KEY, CLIENT_KEY = "account-key", "client-key"
CONSENT = {"ConsentToTrack": "Unchanged"}
START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


class Box:
    """The vendor with one account of two clients, and a caller with its key."""

    def __init__(self, handle: CampaignMonitorHandle) -> None:
        self.handle = handle
        self.vendor = vendor = handle.vendor
        self.url = handle.url.removesuffix("/api/v3.3")
        self.clock = [START]
        vendor.now = lambda: self.clock[0]
        self.account: Account = vendor.open_account("main", (KEY,))
        self.news = vendor.open_list(
            self.account, "One", "News", City="Text", Visit_date="Date", Tastes="MultiSelectMany"
        )
        self.events = vendor.open_list(self.account, "One", "Events", reach="OnlyThisList")
        self.shop = vendor.open_list(self.account, "Two", "Shop")
        self.one, self.two = self.account.clients
        self.account.client_keys[CLIENT_KEY] = self.two
        self.session = requests.Session()
        self.session.trust_env = False

    def call(
        self, method: str, path: str, body: object = None, *, key: str = KEY, suffix: str = ".json", **params: str
    ) -> requests.Response:
        return self.session.request(
            method,
            f"{self.url}/api/v3.3{path}{suffix}",
            json=body,
            params=params,
            auth=(key, "x"),
            timeout=60,
            allow_redirects=False,
        )

    def code(self, *given: Any, **more: Any) -> tuple[int, int]:
        reply = self.call(*given, **more)
        return reply.status_code, reply.json()["Code"]

    def add(self, held: SubscriberList, address: str = ADA, state: str = "Active", *fields: tuple[str, str]) -> None:
        self.vendor.plant(held, Subscriber(address, "Ada L", state, list(fields)))

    def member(self, method: str, body: object = None, *, held: SubscriberList | None = None, email: str = ADA) -> Any:
        return self.call(method, f"/subscribers/{(held or self.news).id}", body, email=email)

    def there(self, deed: Callable[[CampaignMonitor], T]) -> T:
        """Does it in the sandbox's own loop, and waits for the webhooks."""
        return self.handle.there(deed)

    def fault(self, kind: str, **details: object) -> None:
        self.vendor.faults.add(Fault.model_validate({"kind": kind, **details}))

    def kinds(self) -> list[str]:
        return [effect.kind for effect in self.vendor.journal.effects]


@pytest.fixture
def box() -> Iterator[Box]:
    with serving() as made:
        yield made


@contextmanager
def serving() -> Iterator[Box]:
    with running_sandbox(now=lambda: START) as sandbox:
        made = Box(sandbox.campaign_monitor)
        try:
            yield made
        finally:
            made.session.close()


# --- who may see what


def test_without_a_known_key_it_is_401_code_100(box: Box) -> None:
    assert box.code("GET", "/clients", key="nobody") == (401, 100)
    assert requests.get(f"{box.url}/api/v3.3/clients.json", timeout=60).json()["Code"] == 100


def test_a_client_key_sees_its_own_client_and_says_101_and_102_of_the_others(box: Box) -> None:
    assert [row["ClientID"] for row in box.call("GET", "/clients", key=CLIENT_KEY).json()] == [box.two]
    assert box.code("GET", f"/clients/{box.one}/lists", key=CLIENT_KEY) == (401, 102)
    assert box.code("GET", f"/subscribers/{box.news.id}", key=CLIENT_KEY, email=ADA) == (401, 101)
    assert box.code("GET", "/lists/" + "0" * 32) == (401, 101)


def test_a_token_that_expired_or_was_revoked_has_its_own_code_and_is_renewed_once(box: Box) -> None:
    box.vendor.give_token(box.account, "access", "refresh")
    bearer = {"Authorization": "Bearer access"}
    url = f"{box.url}/api/v3.3/clients.json"
    assert requests.get(url, headers=bearer, timeout=60).status_code == 200
    box.account.tokens["access"].state = "expired"
    assert requests.get(url, headers=bearer, timeout=60).json()["Code"] == 121
    form = {"grant_type": "refresh_token", "refresh_token": "refresh"}
    pair = requests.post(f"{box.url}/oauth/token", data=form, timeout=60).json()
    assert pair["expires_in"] == 1_209_600
    fresh = {"Authorization": f"Bearer {pair['access_token']}"}
    assert requests.get(url, headers=fresh, timeout=60).status_code == 200
    again = requests.post(f"{box.url}/oauth/token", data=form, timeout=60)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    box.account.tokens[pair["access_token"]].state = "revoked"
    assert requests.get(url, headers=fresh, timeout=60).json()["Code"] == 122
    assert requests.get(url, headers=bearer, timeout=60).json()["Code"] == 120


@pytest.mark.parametrize("stays", [True, False])
def test_a_renewal_that_never_arrived_renews_nothing_and_the_refresh_token_may_stay(box: Box, stays: bool) -> None:
    box.vendor.give_token(box.account, "access", "refresh")
    box.account.switches.refresh_stays = stays
    form = {"grant_type": "refresh_token", "refresh_token": "refresh"}
    box.fault("status", status=503, template="/oauth/token")
    assert requests.post(f"{box.url}/oauth/token", data=form, timeout=60).status_code == 503
    assert list(box.account.tokens) == ["access"]
    pair = requests.post(f"{box.url}/oauth/token", data=form, timeout=60).json()
    assert (pair["refresh_token"] == "refresh") is stays
    assert list(box.account.tokens) == [pair["access_token"]]


def test_a_missing_permission_is_401_code_60(box: Box) -> None:
    box.account.switches.no_permission = True
    assert box.code("GET", "/clients") == (401, 60)


def test_without_the_suffix_it_answers_in_xml(box: Box) -> None:
    reply = box.call("GET", "/clients", suffix="")
    assert (reply.headers["content-type"], reply.text[:5]) == ("application/xml", "<?xml")
    assert "<Code>203</Code>" in box.call("GET", f"/subscribers/{box.news.id}", suffix=".xml", email=ADA).text
    accepting = requests.get(
        f"{box.url}/api/v3.3/clients", headers={"Accept": "application/json"}, auth=(KEY, ""), timeout=60
    )
    assert len(accepting.json()) == 2


def test_an_unknown_path_or_method_is_404_code_404(box: Box) -> None:
    assert box.code("GET", "/nowhere") == (404, 404)
    assert box.code("PATCH", "/clients") == (404, 404)
    assert box.call("GET", "/nowhere").headers["Sandbox"] == "this path is not imitated"
    assert "Sandbox" not in box.call("GET", "/clients").headers


def test_the_time_has_no_zone(box: Box) -> None:
    box.account.zone = timezone(timedelta(hours=10))
    assert box.call("GET", "/systemdate").json() == {"SystemDate": "2026-11-20 19:00:00"}


# --- finding


def test_an_unknown_address_is_400_code_203_and_never_404(box: Box) -> None:
    assert box.code("GET", f"/subscribers/{box.news.id}", email=ADA) == (400, 203)
    assert box.code("DELETE", f"/subscribers/{box.news.id}", email=ADA) == (400, 203)
    assert box.code("PUT", f"/subscribers/{box.news.id}", CONSENT, email=ADA) == (400, 203)
    assert box.code("GET", f"/subscribers/{box.news.id}", email="nonsense") == (400, 1)


def test_every_state_is_found_and_the_lists_of_an_address_name_the_inactive_too(box: Box) -> None:
    box.add(box.news, ADA, "Deleted")
    box.add(box.events, ADA, "Unsubscribed")
    rows = box.call("GET", f"/clients/{box.one}/listsforemail", email=ADA.upper()).json()
    assert [(row["ListID"], row["SubscriberState"]) for row in rows] == [
        (box.news.id, "Deleted"),
        (box.events.id, "Unsubscribed"),
    ]
    assert box.member("GET").json()["State"] == "Deleted"
    assert box.call("GET", f"/clients/{box.two}/listsforemail", email=ADA).json() == []
    assert "ConsentToTrack" not in box.member("GET").json()


def test_letters_may_be_made_to_count(box: Box) -> None:
    box.add(box.news, "Ada@Example.org")
    assert box.member("GET", email="ada@example.org").status_code == 200
    box.account.switches.exact_case = True
    assert box.member("GET", email="ada@example.org").json()["Code"] == 203
    assert box.member("GET", email="Ada@Example.org").status_code == 200


# --- changing


def test_an_update_keeps_what_is_absent_or_empty_and_clears_only_when_told(box: Box) -> None:
    box.add(box.news, ADA, "Active", ("City", "Kent"), ("Tastes", "Tea"), ("Tastes", "Art"))
    rows = [{"Key": "[city]", "Value": ""}, {"Key": "visitdate", "Value": "2026/11/20"}]
    assert box.member("PUT", {"Name": "", "CustomFields": rows, **CONSENT}).content == b""
    body = box.member("GET").json()
    assert body["Name"] == "Ada L"
    assert {"Key": "Visit date", "Value": "2026-11-20"} in body["CustomFields"]
    assert {"Key": "City", "Value": "Kent"} in body["CustomFields"]
    box.member("PUT", {"CustomFields": [{"Key": "[City]", "Clear": True}], **CONSENT})
    assert "City" not in {row["Key"] for row in box.member("GET").json()["CustomFields"]}


def test_a_field_of_several_options_is_replaced_as_a_whole_and_long_values_are_cut(box: Box) -> None:
    box.add(box.news, ADA, "Active", ("Tastes", "Tea"), ("Tastes", "Art"))
    box.member("PUT", {"CustomFields": [{"Key": "tastes", "Value": "Art", "Clear": True}], **CONSENT})
    assert box.news.members[ADA].fields == [("Tastes", "Tea")]
    box.member("PUT", {"CustomFields": [{"Key": "tastes", "Value": "Jazz"}], **CONSENT})
    assert box.news.members[ADA].fields == [("Tastes", "Jazz")]
    box.member("PUT", {"CustomFields": [{"Key": "[City]", "Value": "x" * 300}], **CONSENT})
    assert len(dict(box.news.members[ADA].fields)["City"]) == 250


def test_an_address_moves_with_its_record_unless_the_new_one_is_taken(box: Box) -> None:
    box.add(box.news)
    assert box.member("PUT", {"EmailAddress": BEN, **CONSENT}).status_code == 200
    assert box.member("GET").json()["Code"] == 203
    assert box.member("GET", email=BEN).json()["EmailAddress"] == BEN
    box.add(box.news)
    before = json.dumps(box.member("GET").json())
    assert box.member("PUT", {"EmailAddress": BEN, "Name": "X", **CONSENT}).json()["Code"] == 201
    assert json.dumps(box.member("GET").json()) == before
    assert box.member("PUT", {"EmailAddress": "nonsense", **CONSENT}).json()["Code"] == 211
    assert box.kinds() == ["moved"]


def test_consent_is_mandatory_and_resubscribe_brings_back_whoever_left(box: Box) -> None:
    box.add(box.news, ADA, "Unsubscribed")
    assert box.member("PUT", {"Name": "X"}).json()["Code"] == 214
    assert box.member("PUT", {"Name": "X", "ConsentToTrack": "Maybe"}).json()["Code"] == 215
    box.member("PUT", {"Name": "X", "Resubscribe": False, **CONSENT})
    assert box.news.members[ADA].state == "Unsubscribed"
    box.member("PUT", {"Resubscribe": True, **CONSENT})
    assert box.news.members[ADA].state == "Active"


def test_a_mobile_number_is_in_its_international_form_or_empty(box: Box) -> None:
    box.add(box.news)
    assert box.member("PUT", {"MobileNumber": "07700 900123", **CONSENT}).json()["Code"] == 220
    assert box.member("PUT", {"MobileNumber": "+447700900123", **CONSENT}).status_code == 200
    assert box.member("PUT", {"MobileNumber": "", **CONSENT}).status_code == 200
    assert box.news.members[ADA].mobile == ""


def test_deleting_sets_a_state_keeps_everything_and_suppresses_nobody(box: Box) -> None:
    box.add(box.news, ADA, "Active", ("City", "Kent"))
    assert box.member("DELETE").content == b""
    assert box.member("GET").json()["State"] == "Deleted"
    kept = box.call("GET", f"/lists/{box.news.id}/deleted", date="", page="1", pagesize="1000").json()
    assert kept["Results"][0]["CustomFields"] == [{"Key": "City", "Value": "Kent"}]
    assert box.vendor.holds(ADA) == [(box.news.id, "Deleted")]
    assert box.kinds() == ["deleted"]


@pytest.mark.parametrize(("strict", "expected"), [(False, 200), (True, 400)])
def test_a_repetition_answers_either_way(box: Box, strict: bool, expected: int) -> None:
    box.add(box.news, ADA, "Deleted")
    box.account.switches.repeat_is_203 = strict
    assert box.member("DELETE").status_code == expected
    out = box.call("POST", f"/subscribers/{box.news.id}/unsubscribe", {"EmailAddress": ADA})
    assert out.status_code == expected
    for status in (200, expected):
        path = f"/clients/{box.one}/suppress"
        assert box.call("POST", path, {"EmailAddresses": [ADA]}).status_code == status


def test_the_web_app_really_erases_and_suppresses_nobody(box: Box) -> None:
    for held in (box.news, box.shop):
        box.add(held)
    assert box.handle.act(ADA, "erase") == 2
    assert box.vendor.holds(ADA) == []
    assert box.member("GET").json()["Code"] == 203


def test_the_web_app_sets_a_name_where_the_api_would_need_the_whole_of_it(box: Box) -> None:
    box.add(box.news)
    assert box.handle.act(ADA, "rename", name="Ada Lovelace") == 1
    assert (box.handle.names(ADA), box.kinds()) == (["Ada Lovelace"], ["patched"])


# --- silence


def test_the_reach_of_an_unsubscribe_is_the_lists_setting(box: Box) -> None:
    for held in (box.news, box.events, box.shop):
        box.add(held)
    box.call("POST", f"/subscribers/{box.events.id}/unsubscribe", {"EmailAddress": ADA})
    assert [held.members[ADA].state for held in (box.news, box.events, box.shop)] == [
        "Active",
        "Unsubscribed",
        "Active",
    ]
    assert box.account.clients[box.one].suppressed == {}
    box.call("POST", f"/subscribers/{box.news.id}/unsubscribe", {"EmailAddress": ADA})
    assert (box.one, "Suppressed") in box.vendor.holds(ADA)
    assert box.shop.members[ADA].state == "Active"
    assert box.call("GET", f"/lists/{box.events.id}").json()["UnsubscribeSetting"] == "OnlyThisList"


def test_suppression_is_the_clients_and_takes_back_only_what_is_there(box: Box) -> None:
    path = f"/clients/{box.one}"
    assert box.call("POST", f"{path}/suppress", {"EmailAddresses": [ADA, BEN]}).content == b""
    assert box.call("PUT", f"{path}/unsuppress", email=ADA.upper()).status_code == 200
    assert box.code("PUT", f"{path}/unsuppress", email=ADA) == (400, 176)
    assert box.vendor.holds(BEN) == [(box.one, "Suppressed")]
    assert box.code("POST", f"{path}/suppress", {"EmailAddresses": ["nonsense"]}) == (400, 1)


def test_the_suppression_list_is_ordered_and_paged_and_its_limits_have_codes(box: Box) -> None:
    path = f"/clients/{box.one}/suppressionlist"
    names = [f"r{number:02}@example.org" for number in range(25)]
    box.call("POST", f"/clients/{box.one}/suppress", {"EmailAddresses": names[::-1]})
    page = box.call("GET", path, page="3", pagesize="10", orderfield="email", orderdirection="asc").json()
    assert [row["EmailAddress"] for row in page["Results"]] == names[20:]
    assert (page["NumberOfPages"], page["RecordsOnThisPage"], page["TotalNumberOfRecords"]) == (3, 5, 25)
    wrong = ({"page": "0"}, {"pagesize": "9"}, {"pagesize": "1001"}, {"orderfield": "name"}, {"orderdirection": "up"})
    assert [box.code("GET", path, **one)[1] for one in wrong] == [800, 801, 801, 802, 803]


@pytest.mark.parametrize(
    ("state", "code"), [("Deleted", 205), ("Unsubscribed", 206), ("Bounced", 207), ("Unconfirmed", 208)]
)
def test_whoever_left_comes_back_with_resubscribe_only(box: Box, state: str, code: int) -> None:
    box.add(box.news, ADA, state)
    body = {"EmailAddress": ADA, "Resubscribe": False, **CONSENT}
    assert box.code("POST", f"/subscribers/{box.news.id}", body) == (400, code)
    reply = box.call("POST", f"/subscribers/{box.news.id}", {**body, "Resubscribe": True})
    assert (reply.status_code, reply.json(), box.news.members[ADA].state) == (201, ADA, "Active")


def test_resubscribe_brings_back_even_from_the_suppression_list(box: Box) -> None:
    box.handle.act(ADA, "suppress")
    body = {"EmailAddress": ADA, "Resubscribe": False, **CONSENT}
    assert box.code("POST", f"/subscribers/{box.news.id}", body) == (400, 204)
    box.call("POST", f"/subscribers/{box.news.id}/import", {"Subscribers": [body], "Resubscribe": True})
    assert (box.one, "Suppressed") not in box.vendor.holds(ADA)
    assert box.news.members[ADA].state == "Active"


def test_an_import_with_failures_is_400_although_the_rest_was_written(box: Box) -> None:
    rows = [{"EmailAddress": one, **CONSENT} for one in (ADA, "nonsense")]
    reply = box.call("POST", f"/subscribers/{box.news.id}/import", {"Subscribers": rows, "Resubscribe": False})
    assert (reply.status_code, reply.json()["Code"]) == (400, 210)
    assert reply.json()["ResultData"]["FailureDetails"][0]["Code"] == 1
    assert ADA in box.news.members
    many = [{"EmailAddress": f"r{number}@example.org", **CONSENT} for number in range(1001)]
    assert box.code("POST", f"/subscribers/{box.news.id}/import", {"Subscribers": many}) == (400, 209)


def test_an_added_subscriber_may_come_later(box: Box) -> None:
    box.account.switches.adds_wait = True
    body = {"EmailAddress": ADA, **CONSENT}
    assert box.call("POST", f"/subscribers/{box.news.id}", body).status_code == 201
    assert box.member("GET").json()["Code"] == 203
    assert box.handle.tick() == 1
    assert box.member("GET").status_code == 200


def test_whole_lists_and_clients_can_be_destroyed_and_that_is_counted(box: Box) -> None:
    assert box.call("DELETE", f"/lists/{box.news.id}").status_code == 200
    assert box.call("DELETE", f"/clients/{box.two}").status_code == 200
    assert box.kinds() == ["destroyed", "destroyed"]
    assert box.code("GET", f"/lists/{box.news.id}") == (401, 101)


def test_a_reset_empties_everything_but_the_keys(box: Box) -> None:
    box.add(box.news)
    box.call("GET", "/clients")
    box.there(lambda vendor: vendor.reset())
    assert box.vendor.holds(ADA) == []
    assert box.call("GET", "/clients").json() == []
    assert box.vendor.journal.counters()["calls_total"] == 1


# --- what goes wrong


def test_above_a_limit_it_answers_429_with_its_three_headers_and_no_retry_after(box: Box) -> None:
    box.fault("status", status=429, template="/clients")
    reply = box.call("GET", "/clients")
    assert (reply.status_code, reply.json()["Code"], reply.headers["x-ratelimit-reset"]) == (429, 429, "348")
    assert "retry-after" not in reply.headers
    box.vendor.limited = (7, 12)
    assert box.call("GET", "/clients").headers["x-ratelimit-remaining"] == "7"


def test_a_500_is_its_own_envelope_or_a_page_of_html(box: Box) -> None:
    box.fault("status", status=500)
    box.fault("html_502")
    assert box.code("GET", "/clients") == (500, 500)
    assert box.call("GET", "/clients").headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(("kind", "happens"), [("reset_before", False), ("reset_after_effect", True)])
def test_a_cut_connection_leaves_the_effect_as_the_fault_says(box: Box, kind: str, happens: bool) -> None:
    box.add(box.news)
    box.fault(kind, method="DELETE", address=ADA)
    with pytest.raises(requests.ConnectionError):
        box.member("DELETE")
    assert (box.news.members[ADA].state == "Deleted") is happens
    assert box.vendor.journal.counters()["faults"] == {kind: 1}


def test_a_yes_without_any_effect_changes_nothing_and_counts_nothing(box: Box) -> None:
    box.add(box.news)
    box.fault("says_yes_does_nothing", method="DELETE")
    assert box.member("DELETE").status_code == 200
    assert box.news.members[ADA].state == "Active"
    assert box.kinds() == []
    hook = {"Events": ["Update"], "Url": "http://127.0.0.1:1/", "PayloadFormat": "json"}
    box.fault("says_yes_does_nothing", method="POST")
    assert box.call("POST", f"/lists/{box.news.id}/webhooks", hook).status_code == 201
    assert box.call("GET", f"/lists/{box.news.id}/webhooks").json() == []


def test_a_fault_narrowed_to_an_address_passes_over_the_others(box: Box) -> None:
    for one in (ADA, BEN):
        box.add(box.news, one)
    box.fault("status", address=BEN, times=None)
    assert [box.member("GET", email=one).status_code for one in (ADA, BEN)] == [200, 503]
    box.fault("status", address=BEN, method="POST")
    assert box.call("POST", f"/clients/{box.one}/suppress", {"EmailAddresses": [BEN]}).status_code == 503


def test_a_hang_ends_when_it_is_released(box: Box) -> None:
    box.fault("hang", seconds=3600)
    answers: list[int] = []
    waiting = threading.Thread(target=lambda: answers.append(box.call("GET", "/clients").status_code))
    waiting.start()
    while not box.vendor.journal.counters()["faults"]:
        waiting.join(0.01)
    while not answers:
        box.there(lambda vendor: vendor.waits.release())
        waiting.join(0.01)
    assert answers == [200]


def test_calls_are_counted_by_their_template_and_never_by_a_person(box: Box) -> None:
    box.member("GET")
    box.call("GET", "/clients", key="nobody")
    counters = box.vendor.journal.counters()
    assert counters["calls"] == {"GET /subscribers/{list_id}": 1, "unauthenticated": 1}
    assert counters["statuses"] == {"400": 1, "401": 1}


# --- webhooks


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as made:
        yield made


def hooked(box: Box, url: str) -> str:
    body = {"Events": ["Subscribe", "Deactivate", "Update"], "Url": url, "PayloadFormat": "json"}
    reply = box.call("POST", f"/lists/{box.news.id}/webhooks", body)
    assert reply.status_code == 201
    return str(reply.json())


def test_a_webhook_is_told_of_deeds_by_hand_and_by_api_alike_and_unsigned(box: Box, listener: Listener) -> None:
    hook = hooked(box, listener.url)
    for one in (ADA, BEN):
        box.add(box.news, one)
    box.handle.act(ADA, "unsubscribe")
    box.call("POST", f"/subscribers/{box.news.id}/unsubscribe", {"EmailAddress": BEN})
    box.there(lambda _: None)  # each answer's webhooks go on their own: the order between two calls is not kept
    box.member("PUT", {"EmailAddress": "new@example.org", **CONSENT})
    box.there(lambda _: None)
    bodies = [json.loads(post.body) for post in listener.posts()]
    events = [event for body in bodies for event in body["Events"]]
    assert {body["ListID"] for body in bodies} == {box.news.id}
    assert [(event["Type"], event["State"]) for event in events] == [
        ("Deactivate", "Unsubscribed"),
        ("Deactivate", "Unsubscribed"),
        ("Update", "Unsubscribed"),
    ]
    assert set(events[0]) == set(events[1])
    assert (events[2]["OldEmailAddress"], events[2]["EmailAddress"]) == (ADA, "new@example.org")
    assert not [name for name in listener.posts()[0].headers if "signature" in name]
    shown = box.call("GET", f"/lists/{box.news.id}/webhooks").json()
    assert [(one["WebhookID"], one["Status"]) for one in shown] == [(hook, "Active")]


def test_a_webhook_is_told_of_every_update_also_of_one_that_brings_somebody_back(box: Box, listener: Listener) -> None:
    hooked(box, listener.url)
    box.add(box.news, ADA, "Unsubscribed")
    box.member("PUT", {"EmailAddress": BEN, "Resubscribe": True, **CONSENT})
    box.there(lambda _: None)
    events = [event for post in listener.posts() for event in json.loads(post.body)["Events"]]
    assert [event["Type"] for event in events] == ["Update", "Subscribe"]
    assert events[0]["OldEmailAddress"] == ADA
    assert box.kinds() == ["moved", "resubscribed"]


def test_events_come_in_batches_of_a_thousand_and_perhaps_twice(box: Box, listener: Listener) -> None:
    hooked(box, listener.url)
    box.vendor.switch(webhooks_duplicated=True)
    rows = [{"EmailAddress": f"r{number}@example.org", **CONSENT} for number in range(900)]
    for first in (0, 900):
        some = [{**row, "EmailAddress": f"{first}{row['EmailAddress']}"} for row in rows]
        box.call("POST", f"/subscribers/{box.news.id}/import", {"Subscribers": some})
    box.there(lambda _: None)
    assert sorted(one.events for one in box.vendor.webhooks.deliveries) == [900] * 4
    many = [Change("created", box.one, box.news.id, ADA, Subscriber(ADA))] * 2500
    box.vendor.webhooks.deliveries.clear()
    box.vendor.switch(webhooks_duplicated=False)
    box.there(lambda vendor: vendor.note("main", many))
    assert [one.events for one in box.vendor.webhooks.deliveries] == [1000, 1000, 500]


def test_a_webhook_that_fails_for_more_than_a_week_is_deactivated_until_it_is_activated(box: Box) -> None:
    with listening(status=500) as broken:
        hook = hooked(box, broken.url)
        box.add(box.news)
        for days in (0, 7, 8):
            box.clock[0] = START + timedelta(days=days)
            box.member("PUT", {"Name": f"N{days}", **CONSENT})
            box.there(lambda _: None)
            status = box.call("GET", f"/lists/{box.news.id}/webhooks").json()[0]["Status"]
            assert status == ("Active" if days < 8 else "Deactivated")
        heard = len(broken.posts())
        box.member("PUT", {"Name": "N", **CONSENT})
        box.there(lambda _: None)
        assert len(broken.posts()) == heard
    assert box.call("PUT", f"/lists/{box.news.id}/webhooks/{hook}/activate").status_code == 200
    assert box.call("GET", f"/lists/{box.news.id}/webhooks").json()[0]["Status"] == "Active"
    assert box.call("PUT", f"/lists/{box.news.id}/webhooks/{hook}/deactivate").status_code == 200
    assert box.call("DELETE", f"/lists/{box.news.id}/webhooks/{hook}").status_code == 200
    assert box.code("DELETE", f"/lists/{box.news.id}/webhooks/{hook}") == (404, 404)


@pytest.mark.parametrize(
    ("change", "code"), [({"Url": "ftp://x"}, 601), ({"PayloadFormat": "xml"}, 602), ({"Events": ["Dance"]}, 603)]
)
def test_a_webhook_that_does_not_fit_is_refused_by_its_code(box: Box, change: Mapping[str, object], code: int) -> None:
    body = {"Events": ["Update"], "Url": "http://127.0.0.1:1/", "PayloadFormat": "json", **change}
    assert box.code("POST", f"/lists/{box.news.id}/webhooks", body) == (400, code)


def test_whether_a_deletion_is_told_can_be_chosen(box: Box, listener: Listener) -> None:
    hooked(box, listener.url)
    box.add(box.news)
    box.account.switches.delete_fires = False
    box.member("DELETE")
    box.there(lambda _: None)
    assert listener.posts() == []


# --- the connector before it


@contextmanager
def connected(box: Box, **section: object) -> Iterator[Connector]:
    clock = Hands()
    settings = CampaignMonitorSettings.model_validate({"api_key": KEY, "base_url": box.url, **section})
    with HttpClient(clock, rehearsal=True) as http:
        kit = Kit(http=http, clock=clock, pseudonym=pseudonym, shelf=OpenShelf(), rehearsal=True)
        yield Connector.from_settings(settings, kit)


def told(right: Right, **more: Any) -> Instruction:
    return Instruction(reference="ref-1", right=right, addresses=(ADA,), digest_key=b"digest", **more)


@pytest.mark.parametrize("strict", [False, True])
def test_an_erasure_is_verified_after_the_operators_task_and_not_before(box: Box, strict: bool) -> None:
    box.account.switches.repeat_is_203 = box.account.switches.deleted_is_fixed = strict
    for held in (box.news, box.events, box.shop):
        box.add(held, ADA, "Active", *([("City", "Kent")] if held is box.news else []))
    with connected(box) as connector:
        for _ in range(2):
            outcome = connector.carry_out(told(Right.ERASURE))
            assert isinstance(outcome, HandOver)
            assert set(outcome.references) == {box.news.id, box.events.id, box.shop.id}
            assert "could not be blanked" not in outcome.task
        assert {state for _, state in box.vendor.holds(ADA)} == {"Deleted"}
        assert isinstance(connector.verify(told(Right.ERASURE)), Contradicts)
        box.handle.act(ADA, "erase")
        assert isinstance(connector.verify(told(Right.ERASURE)), AsAsked)
        assert isinstance(connector.carry_out(told(Right.ERASURE)), Applied)
    assert "destroyed" not in box.kinds()


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("sets", [False, True])
def test_an_opt_out_and_a_restriction_are_read_back_whatever_is_undocumented(
    box: Box, strict: bool, sets: bool
) -> None:
    box.account.switches.repeat_is_203, box.account.switches.suppression_sets_state = strict, sets
    for right in (Right.RESTRICTION, Right.OPT_OUT):
        for held in (box.news, box.events, box.shop):
            box.add(held)
        with connected(box) as connector:
            for _ in range(2):
                assert isinstance(connector.carry_out(told(right)), Applied)
                assert isinstance(connector.verify(told(right)), AsAsked)


def test_a_restriction_is_lifted_without_subscribing_anybody(box: Box) -> None:
    for held in (box.news, box.events):
        box.add(held)
    with connected(box) as connector:
        connector.carry_out(told(Right.RESTRICTION))
        lifted = told(Right.RESTRICTION, lifted=Lifted(date(2026, 11, 19), "letter"))
        outcome = connector.carry_out(lifted)
        assert isinstance(outcome, HandOver)
        assert outcome.references == (box.events.id,)
        assert isinstance(connector.verify(lifted), AsAsked)
    assert box.vendor.holds(ADA) == [(box.news.id, "Active"), (box.events.id, "Unsubscribed")]
    assert "resubscribed" not in box.kinds()


def test_a_rectification_moves_the_address_in_every_list_and_no_other_field_changes(box: Box) -> None:
    box.add(box.news, ADA, "Unsubscribed", ("City", "Kent"), ("Tastes", "Tea"), ("Tastes", "Art"))
    box.add(box.shop)
    changes = Changes(email=BEN, first_name="Augusta", last_name="King", fields={"visitdate": "2026-11-20"})
    order = told(Right.RECTIFICATION, changes=changes)
    with connected(box) as connector:
        outcome = connector.carry_out(order)
        assert isinstance(outcome, HandOver)
        assert outcome.references == (box.shop.id,)
        moved = box.news.members[BEN]
        assert (moved.state, moved.name) == ("Unsubscribed", "Augusta King")
        assert dict(moved.fields)["Visit date"] == "2026-11-20"
        assert [value for key, value in moved.fields if key == "Tastes"] == ["Tea", "Art"]
    assert set(box.kinds()) == {"moved"}


@pytest.mark.parametrize("kind", ["reset_after_effect", "truncated_json", "html_502", "bad_gzip", "wrong_length"])
@pytest.mark.parametrize("template", ["/clients/{client_id}/suppress", "/subscribers/{list_id}/unsubscribe"])
def test_a_write_whose_answer_is_lost_is_in_doubt_and_found_done_by_reading(box: Box, kind: str, template: str) -> None:
    box.add(box.events)
    box.fault(kind, method="POST", template=template)
    with connected(box) as connector:
        outcome = connector.carry_out(told(Right.OPT_OUT))
        assert isinstance(outcome, Retryable)
        assert outcome.doubtful
        assert isinstance(connector.carry_out(told(Right.OPT_OUT)), Applied)
        assert isinstance(connector.verify(told(Right.OPT_OUT)), AsAsked)
    assert box.kinds().count("unsubscribed") == box.kinds().count("suppressed") == 1


def test_a_yes_without_effect_is_never_verified(box: Box) -> None:
    box.add(box.events)
    box.fault("says_yes_does_nothing", times=None, method="POST")
    with connected(box) as connector:
        # what it said is taken for what it is; the reading tells
        assert isinstance(connector.carry_out(told(Right.OPT_OUT)), Applied)
        assert isinstance(connector.verify(told(Right.OPT_OUT)), Contradicts)


def test_a_limit_is_waited_for_as_long_as_its_own_header_says(box: Box) -> None:
    box.fault("status", status=429)
    with connected(box) as connector:
        outcome = connector.carry_out(told(Right.OPT_OUT))
    assert isinstance(outcome, Retryable)
    assert (outcome.busy, outcome.retry_after) == (True, timedelta(seconds=348))


def test_an_expired_token_is_renewed_over_the_wire_and_a_revoked_one_stops_the_account(box: Box) -> None:
    box.vendor.give_token(box.account, "access", "refresh")
    box.account.tokens["access"].state = "expired"
    with connected(box, api_key=None, access_token="access", refresh_token="refresh") as connector:
        assert isinstance(connector.carry_out(told(Right.OPT_OUT)), NothingHeld)
        for token in box.account.tokens.values():
            token.state = "revoked"
        with pytest.raises(CredentialsRejected):
            connector.verify(told(Right.OPT_OUT))


def test_a_key_of_one_client_reaches_that_client_only(box: Box) -> None:
    for held in (box.news, box.shop):
        box.add(held)
    with connected(box, api_key=CLIENT_KEY) as connector:
        assert connector.probe().lists == (f"Shop ({box.shop.id})",)
        assert isinstance(connector.carry_out(told(Right.OPT_OUT)), Applied)
    assert box.vendor.holds(ADA)[0] == (box.news.id, "Active")
    with connected(box, api_key=CLIENT_KEY, clients=[box.one]) as connector:
        # Nobody refused anything: the settings name a client that is not this key's.
        for ask in (connector.carry_out, connector.verify):
            with pytest.raises(CredentialsRejected, match="does not exist or is not ours"):
                ask(told(Right.OPT_OUT))


@pytest.mark.parametrize("collation", ["plain", "letters"])
def test_an_address_in_a_long_suppression_list_is_found_in_any_order(
    box: Box, collation: Literal["plain", "letters"]
) -> None:
    box.account.switches.collation = collation
    home = box.account.clients[box.one]
    for number in range(3500):
        home.suppress(f"{'_-+.'[number % 4]}r{number:04}@example.org", "Bounced", "2026-01-01 00:00:00")
    with connected(box) as connector:
        assert isinstance(connector.verify(told(Right.ERASURE)), AsAsked)
        home.suppress(ADA.upper(), "Bounced", "2026-01-01 00:00:00")
        assert isinstance(connector.verify(told(Right.ERASURE)), Contradicts)
