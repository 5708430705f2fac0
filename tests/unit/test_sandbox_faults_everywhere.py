"""Every kind of fault works at every vendor, and what it does to the answer it does to the effect as its kind says."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
import requests

from dpsync.sandbox.faults import AFTER_EFFECT, Kind
from dpsync.sandbox.handle import Handle
from dpsync.sandbox.server import RunningSandbox, running_sandbox
from dpsync.signature import signed_headers
from tests.sandbox_caller import ADA, md5

VENDORS = (
    "mailchimp",
    "campaign_monitor",
    "eventbrite",
    "hootsuite",
    "google_analytics",
    "brevo",
    "webhook",
    "opendsr",
)
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Call:
    """One call about Ada that has an effect, and the handle that counts it."""

    vendor: Handle[Any]
    method: str
    url: str
    body: object
    headers: dict[str, str] = field(default_factory=dict)
    auth: tuple[str, str] | None = None

    def send(self, timeout: float = 10) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                self.method,
                self.url,
                json=self.body,
                headers=self.headers,
                auth=self.auth,
                timeout=timeout,
                allow_redirects=False,
            )


def bearer(reply: requests.Response) -> dict[str, str]:
    return {"Authorization": f"Bearer {reply.json()['access_token']}"}


def mailchimp(box: RunningSandbox) -> Call:
    box.add(ADA)
    url = f"{box.mailchimp_url}/lists/{box.audiences()[0]}/members/{md5(ADA)}"
    return Call(box, "PATCH", url, {"status": "unsubscribed"}, auth=("x", box.api_keys[0]))


def campaign_monitor(box: RunningSandbox) -> Call:
    held = box.campaign_monitor.add(ADA, client="One", title="News")
    url = f"{box.campaign_monitor.url}/subscribers/{held}.json?email={ADA}"
    body = {"Name": "New", "ConsentToTrack": "Unchanged"}
    return Call(box.campaign_monitor, "PUT", url, body, auth=(box.addresses.campaign_monitor_key, "x"))


def eventbrite(box: RunningSandbox) -> Call:
    # The vendor lets nobody change a person: the one effect that a call has is a webhook.
    url = f"{box.eventbrite.url}/organizations/{box.eventbrite.organizations()[0]}/webhooks/"
    headers = {"Authorization": f"Bearer {box.addresses.eventbrite_token}"}
    return Call(
        box.eventbrite, "POST", url, {"endpoint_url": "http://127.0.0.1:1/", "actions": "order.updated"}, headers
    )


def hootsuite(box: RunningSandbox) -> Call:
    at = box.addresses
    form = {"grant_type": "organization_app", "organization_id": at.hootsuite_organization}
    auth = (at.hootsuite_client, at.hootsuite_secret)
    token = requests.post(f"{at.hootsuite_url}/oauth2/token", data=form, auth=auth, timeout=60)
    contact = box.hootsuite.add("fb-1", "Ada Byron", attributes={"email": ADA})
    body = {"autoConfirm": True, "contactAttributes": [{"attribute": "email", "value": "new@example.org"}]}
    url = f"{at.hootsuite_url}/inbox/v2/contact/{contact}/contact-attributes"
    return Call(box.hootsuite, "PUT", url, body, bearer(token))


def google_analytics(box: RunningSandbox) -> Call:
    at = box.addresses
    form = {"client_id": at.google_client, "client_secret": at.google_secret, "refresh_token": at.google_refresh}
    token = requests.post(f"{at.google_analytics_url}/token", data={"grant_type": "refresh_token", **form}, timeout=60)
    url = f"{at.google_analytics_url}/analytics/v3/userDeletion/userDeletionRequests:upsert"
    body = {"id": {"type": "CLIENT_ID", "userId": "1.2"}, "propertyId": "312345678"}
    return Call(box.google_analytics, "POST", url, body, bearer(token))


def brevo(box: RunningSandbox) -> Call:
    box.brevo.add(ADA)
    headers = {"api-key": box.addresses.brevo_key}
    return Call(box.brevo, "PUT", f"{box.brevo.url}/contacts/{ADA}", {"emailBlacklisted": True}, headers)


def webhook(box: RunningSandbox) -> Call:
    box.webhook.add(ADA)
    data = {"reference": "DPS-A.1.0", "right": "erasure", "subject": {"emails": [ADA]}}
    body = {"type": "dpsync.request.created", "data": data}
    raw, now = json.dumps(body).encode(), datetime.now(UTC)
    headers = signed_headers(box.addresses.webhook_secret, "DPS-A.1.0", now, raw)
    return Call(box.webhook, "POST", box.webhook.url, body, headers)


def opendsr(box: RunningSandbox) -> Call:
    box.opendsr.add(ADA)
    identity = {"identity_type": "email", "identity_value": ADA, "identity_format": "raw"}
    body = {"regulation": "gdpr", "subject_request_id": "a7551968-d5d6-44b2-9831-815ac9017798"}
    body |= {"subject_request_type": "erasure", "submitted_time": "2026-11-20T09:00:00Z"}
    headers = {"Authorization": f"Bearer {box.addresses.opendsr_token}"}
    url = f"{box.opendsr.url}/v2/requests"
    return Call(box.opendsr, "POST", url, {**body, "subject_identities": [identity]}, headers)


MADE: dict[str, Callable[[RunningSandbox], Call]] = {
    "mailchimp": mailchimp,
    "campaign_monitor": campaign_monitor,
    "eventbrite": eventbrite,
    "hootsuite": hootsuite,
    "google_analytics": google_analytics,
    "brevo": brevo,
    "webhook": webhook,
    "opendsr": opendsr,
}


@pytest.fixture(scope="module")
def box() -> Iterator[RunningSandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def call(box: RunningSandbox, request: pytest.FixtureRequest) -> Call:
    box.reset()
    for account in box.there(lambda vendor: list(vendor.accounts.values())):
        box.seed({"mailchimp": {"accounts": [{"name": account.name, "audiences": [{"id": "news"}]}]}})
    return MADE[request.param](box)


def wrong(kind: Kind, call: Call) -> str:
    """What a caller sees of this fault, in one word."""
    try:
        reply = call.send(timeout=0.3 if kind == "hang" else 60)
        text = reply.content.decode()
    except requests.ReadTimeout:
        return "late"
    except (requests.exceptions.ContentDecodingError, requests.exceptions.ChunkedEncodingError):
        return "damaged"
    except requests.ConnectionError as error:
        return "damaged" if "IncompleteRead" in str(error) else "cut"
    except UnicodeDecodeError:
        return "charset"
    return look_of(reply, text)


def look_of(reply: requests.Response, text: str) -> str:
    """What an answer that arrived looks like."""
    kind, start = reply.headers.get("content-type", ""), text[:3]
    if reply.is_redirect:
        return f"redirect {reply.headers['location']}"
    if not text:
        return f"empty {reply.status_code}"
    for word, found in (
        ("huge", len(text) > 900_000),
        ("deep", start == "[[["),
        ("type", kind.startswith("text/plain")),
    ):
        if found:
            return word
    if "html" in kind:
        return f"html {reply.status_code}"
    try:
        json.loads(text)
    except ValueError:
        return "truncated"
    return f"json {reply.status_code}"


SEEN: dict[Kind, set[str]] = {
    "status": {"json 503"},
    "status_without_body": {"empty 503"},
    "empty_500": {"empty 500"},
    "html_200": {"html 200"},
    "html_502": {"html 502"},
    "hang": {"late"},
    "reset_before": {"cut"},
    "reset_after_effect": {"cut"},
    "says_yes_does_nothing": {"json 200", "json 201", "empty 200", "empty 204"},
    "redirect": {"redirect http://127.0.0.1:1/"},
    "drip_headers": {"json 200", "json 201"},
    "drip_body": {"json 200", "json 201"},
    "truncated_json": {"truncated"},
    "wrong_length": {"damaged"},
    "wrong_content_type": {"type"},
    "bad_charset": {"charset"},
    "bad_gzip": {"damaged", "truncated"},  # where the damage falls decides whether the unpacking notices
    "gzip_bomb": {"huge"},
    "huge_body": {"huge"},
    "deep_json": {"deep"},
    "error_inside_200": {"json 200"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", VENDORS, indirect=True)
def test_a_fault_looks_and_works_as_its_kind_says(box: RunningSandbox, call: Call, kind: Kind) -> None:
    size = 2_000 if kind == "deep_json" else 1_000_000
    seconds = 60.0 if kind == "hang" else 0.0
    before = call.vendor.holds(ADA)
    call.vendor.fault(kind, seconds=seconds, size=size, location="http://127.0.0.1:1/", method=call.method)
    assert wrong(kind, call) in SEEN[kind]
    box.release()
    assert (call.vendor.effects() > 0) is (kind in AFTER_EFFECT)
    assert kind in AFTER_EFFECT or call.vendor.holds(ADA) == before
    assert call.vendor.counters()["faults"] == {kind: 1}
    assert call.send().status_code in {200, 201, 204}, "the fault was for one call"


@pytest.mark.parametrize("call", VENDORS, indirect=True)
def test_an_error_inside_a_200_is_the_vendors_own(call: Call) -> None:
    call.vendor.fault("status", status=500, method=call.method)
    call.vendor.fault("error_inside_200", method=call.method)
    real, inside = call.send(), call.send()
    assert (real.status_code, inside.status_code) == (500, 200)
    assert real.json().keys() == inside.json().keys()


@pytest.mark.parametrize("call", VENDORS, indirect=True)
def test_a_wait_is_asked_for_as_the_test_says(call: Call) -> None:
    call.vendor.fault("status", status=429, retry_after="30", method=call.method)
    reply = call.send()
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "30")
