"""The imitated Brevo keeps the rules that its reference tells, and its own Python client finds what it expects."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import requests
from brevo import Brevo
from brevo.core.api_error import ApiError
from pydantic import ValidationError

from dpsync.sandbox.server import RunningSandbox, running_sandbox
from tests.sandbox_caller import ADA, BEN

NEW = "ada.new@example.org"
START = datetime(2026, 11, 20, 9, tzinfo=UTC)
SCENARIO: dict[str, Any] = {
    "brevo": {
        "lists": ["News", "Events"],
        "attributes": {"FNAME": "text", "BORN": "date", "SEATS": "float", "VIP": "boolean", "SMS": "text"},
        "contacts": [
            {"email": ADA, "lists": ["News", "Events"], "attributes": {"FNAME": "Ada", "SMS": "447700900123"}},
            {"email": BEN, "lists": ["News"], "blocked": "hardBounce"},
        ],
    }
}


class Caller:
    """One key's calls, and the clock of its vendor."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self.sandbox = sandbox
        self.vendor = sandbox.brevo
        self.key = sandbox.addresses.brevo_key
        self.clock = [START]
        self.vendor.there(lambda vendor: setattr(vendor, "now", lambda: self.clock[0]))

    def call(self, method: str, path: str, body: object = None, *, key: str | None = "", **params: str) -> Any:
        headers = {} if key is None else {"api-key": key or self.key}
        url = self.vendor.url + path
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, url, json=body, params=params, headers=headers, timeout=60)

    def contact(self, address: str = ADA) -> Any:
        reply = self.call("GET", f"/contacts/{address}")
        assert reply.status_code == 200
        return reply.json()

    def no(self, *asked: Any, **params: Any) -> tuple[int, str]:
        reply = self.call(*asked, **params)
        assert reply.json().keys() >= {"code", "message"}
        return reply.status_code, reply.json()["code"]


@pytest.fixture(scope="module")
def box() -> Iterator[RunningSandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def api(box: RunningSandbox) -> Caller:
    box.reset()
    box.seed(SCENARIO)
    return Caller(box)


def test_a_key_is_asked_for_in_its_own_header(api: Caller) -> None:
    assert api.call("GET", "/account").json()["companyName"] == "Example"
    assert api.no("GET", "/account", key=None) == (401, "unauthorized")
    assert api.no("GET", "/account", key="another") == (401, "unauthorized")
    said = [api.call("GET", "/account", key=key).json()["message"] for key in (None, "another")]
    assert said == ["authentication not found in headers", "Key not found"]
    api.vendor.switch(no_permission=True)
    assert api.no("GET", f"/contacts/{ADA}") == (403, "permission_denied")


def test_a_contact_is_known_by_its_address_its_id_and_what_else_is_named(api: Caller) -> None:
    ada = api.contact("ADA@example.org")
    assert (ada["email"], ada["listIds"], ada["emailBlacklisted"]) == (ADA, [1, 2], False)
    assert api.call("PUT", f"/contacts/{ada['id']}", {"ext_id": "crm-7"}).status_code == 204
    assert api.contact(str(ada["id"]))["attributes"]["EXT_ID"] == "crm-7"
    assert api.call("GET", "/contacts/crm-7", identifierType="ext_id").json()["id"] == ada["id"]
    assert api.call("GET", "/contacts/447700900123", identifierType="phone_id").json()["id"] == ada["id"]
    assert api.no("GET", "/contacts/crm-7") == (400, "invalid_parameter")
    assert api.no("GET", f"/contacts/{ADA}", identifierType="name") == (400, "invalid_parameter")
    assert api.no("GET", f"/contacts/{NEW}") == (404, "document_not_found")
    assert api.no("PUT", f"/contacts/{NEW}", {}) == (404, "document_not_found")


def test_a_value_that_does_not_fit_its_attribute_is_passed_over_without_a_word(api: Caller) -> None:
    given = {"FNAME": 7, "BORN": "soon", "SEATS": "two", "VIP": "yes", "CITY": "Kent"}
    assert api.call("PUT", f"/contacts/{ADA}", {"attributes": given}).status_code == 204
    assert api.contact()["attributes"] == {"FNAME": "Ada", "SMS": "447700900123"}
    fits = {"FNAME": "", "BORN": "1990-12-31", "SEATS": 2.5, "VIP": True}
    assert api.call("PUT", f"/contacts/{ADA}", {"attributes": fits}).status_code == 204
    assert api.contact()["attributes"] == {"SMS": "447700900123", **fits}


def test_another_address_takes_a_contact_off_the_blocklist(api: Caller) -> None:
    assert api.call("PUT", f"/contacts/{ADA}", {"emailBlacklisted": True}).status_code == 204
    assert api.vendor.holds(ADA) == [(place, "blocklisted") for place in ("contacts", "1", "2")]
    assert api.call("PUT", f"/contacts/{ADA}", {"attributes": {"FNAME": "A"}}).status_code == 204
    assert api.contact()["emailBlacklisted"]
    assert api.call("PUT", f"/contacts/{ADA}", {"attributes": {"EMAIL": NEW}}).status_code == 204
    assert (api.vendor.holds(ADA), api.contact(NEW)["emailBlacklisted"]) == ([], False)
    assert [kind for _, kind in api.vendor.effects_on(NEW)] == ["moved", "allowed"]
    kept = {"attributes": {"EMAIL": ADA}, "emailBlacklisted": True}
    assert api.call("PUT", f"/contacts/{NEW}", kept).status_code == 204
    assert api.contact()["emailBlacklisted"]


@pytest.mark.parametrize(("odd", "code"), [(False, "duplicate_parameter"), (True, "invalid_parameter")])
def test_an_address_of_another_contact_is_refused_and_nothing_is_changed(api: Caller, odd: bool, code: str) -> None:
    api.vendor.switch(duplicate_is_invalid=odd)
    before = api.contact()
    reply = api.call("PUT", f"/contacts/{ADA}", {"attributes": {"EMAIL": BEN, "FNAME": "B"}, "unlinkListIds": [1]})
    assert (reply.status_code, reply.json()["code"]) == (400, code)
    assert reply.json()["metadata"] == {"duplicate_identifiers": ["email"]}
    assert api.contact() == before
    assert api.no("PUT", f"/contacts/{ADA}", {"attributes": {"EMAIL": "x"}, "unlinkListIds": [1]})[0] == 400
    assert api.no("PUT", f"/contacts/{ADA}", {"attributes": {"FNAME": "B"}, "listIds": [9]})[0] == 400
    assert api.contact() == before
    assert api.vendor.effects() == 0


def test_a_contact_is_added_once_and_changed_where_that_is_asked_for(api: Caller) -> None:
    made = api.call("POST", "/contacts", {"email": NEW, "listIds": [2]})
    assert (made.status_code, api.contact(NEW)["id"]) == (201, made.json()["id"])
    assert api.no("POST", "/contacts", {"email": NEW}) == (400, "duplicate_parameter")
    again = {"email": NEW, "listIds": [1], "unlinkListIds": [2], "updateEnabled": True}
    assert api.call("POST", "/contacts", again).status_code == 204
    assert api.contact(NEW)["listIds"] == [1]
    assert api.no("POST", "/contacts", {"email": "x"}) == (400, "invalid_parameter")


def test_a_deletion_is_a_204_once_and_leaves_a_transactional_block(api: Caller) -> None:
    assert api.vendor.holds(BEN) == [("blocked", ""), ("contacts", "subscribed"), ("1", "subscribed")]
    assert api.call("DELETE", f"/contacts/{BEN}").status_code == 204
    assert api.no("DELETE", f"/contacts/{BEN}") == (404, "document_not_found")
    assert api.vendor.holds(BEN) == [("blocked", "")]
    (row,) = api.call("GET", "/smtp/blockedContacts").json()["contacts"]
    assert (row["email"], row["reason"]["code"]) == (BEN, "hardBounce")


def test_lists_and_their_contacts_come_in_pages_the_newest_first(api: Caller) -> None:
    for number in range(60):
        api.vendor.add(f"p{number}@example.org", lists=["News"])
    assert [one["name"] for one in api.call("GET", "/contacts/lists").json()["lists"]] == ["Events", "News"]
    assert [one["name"] for one in api.call("GET", "/contacts/lists", sort="asc", limit="1").json()["lists"]] == [
        "News"
    ]
    first = api.call("GET", "/contacts/lists/1/contacts").json()
    assert (first["count"], len(first["contacts"]), first["contacts"][0]["email"]) == (62, 50, "p59@example.org")
    last = api.call("GET", "/contacts/lists/1/contacts", limit="500", offset="50").json()["contacts"]
    assert [one["email"] for one in last][-2:] == [BEN, ADA]
    assert api.call("GET", "/contacts", limit="1000").json()["count"] == 62
    assert api.no("GET", "/contacts/lists/1/contacts", limit="501") == (400, "out_of_range")
    assert api.no("GET", "/contacts/lists", limit="51") == (400, "out_of_range")
    assert api.no("GET", "/contacts/lists/9/contacts") == (404, "document_not_found")


def test_taking_off_a_list_names_whom_it_did_not_find(api: Caller) -> None:
    remove = "/contacts/lists/2/contacts/remove"
    reply = api.call("POST", remove, {"emails": [ADA, BEN]})
    assert (reply.status_code, reply.json()) == (201, {"contacts": {"success": [ADA], "failure": [BEN]}})
    assert api.contact()["listIds"] == [1]
    assert api.no("POST", remove, {"emails": [ADA]}) == (400, "invalid_parameter")
    assert api.no("POST", remove, {}) == (400, "missing_parameter")
    number = api.contact()["id"]
    assert api.call("POST", "/contacts/lists/1/contacts/remove", {"ids": [number]}).status_code == 201
    assert api.vendor.holds(ADA) == [("contacts", "subscribed")]


def test_calls_are_counted_by_the_hour_and_every_answer_tells_how_many_are_left(api: Caller) -> None:
    shown = api.call("GET", f"/contacts/{ADA}").headers
    assert [shown[f"x-sib-ratelimit-{name}"] for name in ("limit", "remaining", "reset")] == ["36000", "35999", "3600"]
    assert api.call("GET", "/account").headers["x-sib-ratelimit-limit"] == "100"
    api.vendor.switch(hourly_limit=1)
    api.clock[0] += timedelta(minutes=10)
    late = api.call("GET", f"/contacts/{ADA}")
    assert (late.status_code, late.headers["x-sib-ratelimit-remaining"]) == (429, "0")
    assert late.headers["x-sib-ratelimit-reset"] == "3000"
    assert late.json().keys() == {"code", "message"}
    api.clock[0] += timedelta(minutes=50)
    assert api.call("GET", f"/contacts/{ADA}").status_code == 200


def test_what_is_no_call_of_the_vendor_is_said_in_its_own_shape(api: Caller) -> None:
    assert api.no("PATCH", f"/contacts/{ADA}") == (405, "method_not_allowed")
    lost = api.call("GET", "/nowhere")
    assert (lost.status_code, lost.headers["sandbox"]) == (404, "this path is not imitated")
    assert api.no("PUT", f"/contacts/{ADA}", []) == (400, "bad_request")
    api.vendor.fault("status", status=503, address=ADA)
    assert api.call("GET", f"/contacts/{BEN}").status_code == 200
    assert api.call("GET", f"/contacts/{ADA}").status_code == 503


def test_the_person_and_the_web_app_act_too(api: Caller) -> None:
    assert api.vendor.act(ADA, "unsubscribe") == 1
    assert api.contact()["emailBlacklisted"]
    assert api.vendor.act(ADA, "subscribe") == 1
    assert not api.contact()["emailBlacklisted"]
    assert (api.vendor.act(ADA, "erase"), api.vendor.act(ADA, "erase")) == (1, 0)
    assert api.vendor.holds(ADA) == []
    with pytest.raises(ValidationError):
        api.vendor.act(ADA, "dance")


# --- the vendor's own client


Client = Callable[[str], Brevo]


@pytest.fixture
def client_of(api: Caller) -> Iterator[Client]:
    with httpx.Client(trust_env=False) as session:  # the client never closes its own
        yield lambda key: Brevo(api_key=key, base_url=api.vendor.url, max_retries=0, httpx_client=session)


@pytest.fixture
def client(api: Caller, client_of: Client) -> Brevo:
    return client_of(api.key)


def refused(call: Callable[[], object]) -> tuple[int | None, str]:
    with pytest.raises(ApiError) as caught:
        call()
    body: Any = caught.value.body
    return caught.value.status_code, body["code"] if isinstance(body, dict) else body.code


def test_the_official_client_reads_account_contacts_lists_and_attributes(client: Brevo) -> None:
    assert client.account.get_account().company_name == "Example"
    ada: Any = client.contacts.get_contact_info(ADA)
    assert (ada.email, ada.list_ids, ada.email_blacklisted) == (ADA, [1, 2], False)
    lists: Any = client.contacts.get_lists(limit=50)
    assert ([one.name for one in lists.lists], lists.count) == (["Events", "News"], 2)
    held: Any = client.contacts.get_contacts_from_list(1, limit=500)
    assert [one["email"] if isinstance(one, dict) else one.email for one in held.contacts] == [BEN, ADA]
    shown: Any = client.contacts.get_attributes()
    assert {one.name: one.type for one in shown.attributes}["BORN"] == "date"
    blocked: Any = client.transactional_emails.get_transac_blocked_contacts()
    assert [(one.email, one.reason.code) for one in blocked.contacts] == [(BEN, "hardBounce")]


def test_the_official_client_adds_changes_unlinks_and_deletes(client: Brevo, client_of: Client, api: Caller) -> None:
    made: Any = client.contacts.create_contact(email=NEW, list_ids=[1])
    assert made.id == api.contact(NEW)["id"]
    client.contacts.update_contact(ADA, attributes={"FNAME": "Augusta"}, email_blacklisted=True, unlink_list_ids=[2])
    ada = api.contact()
    assert (ada["attributes"]["FNAME"], ada["emailBlacklisted"], ada["listIds"]) == ("Augusta", True, [1])
    assert refused(lambda: client.contacts.update_contact(ADA, attributes={"EMAIL": BEN})) == (
        400,
        "duplicate_parameter",
    )
    gone: Any = client.contacts.remove_contact_from_list(1, request={"emails": [ADA, "x@example.org"]})
    assert (gone.contacts.success, gone.contacts.failure) == ([ADA], ["x@example.org"])
    client.contacts.delete_contact(ADA)
    assert refused(lambda: client.contacts.get_contact_info(ADA)) == (404, "document_not_found")
    assert refused(client_of("another").account.get_account) == (401, "unauthorized")


def test_the_official_client_makes_changes_and_removes_a_webhook(client: Brevo, api: Caller) -> None:
    url = "https://example.org/hook"
    made = client.webhooks.create_webhook(url=url, events=["unsubscribed"], type="marketing").id
    client.webhooks.update_webhook(made, events=["unsubscribed", "spam"])
    (one,) = client.webhooks.get_webhooks(type="marketing").webhooks
    assert (one.id, one.url, one.events) == (made, url, ["unsubscribed", "spam"])
    client.webhooks.delete_webhook(made)
    assert api.no("GET", "/webhooks", type="marketing") == (404, "document_not_found")
    assert api.no("PUT", "/webhooks/7", {"url": "x"}) == (404, "document_not_found")
    assert api.no("POST", "/webhooks", {"url": "x", "events": ["spam"]}) == (400, "invalid_parameter")
    assert api.no("POST", "/webhooks", {"url": url, "events": ["x"]}) == (400, "invalid_parameter")
    for _ in range(40):
        assert api.call("POST", "/webhooks", {"url": url, "events": ["spam"]}).status_code == 201
    assert api.no("POST", "/webhooks", {"url": url, "events": ["spam"]}) == (400, "invalid_parameter")


def test_statistics_say_why_a_contact_is_on_the_blocklist(api: Caller) -> None:
    api.call("PUT", f"/contacts/{ADA}", {"emailBlacklisted": True})
    for act in ("bounce", "complain", "unsubscribe"):
        api.vendor.act(BEN, act)
    at = [{"campaignId": 1, "eventTime": START.isoformat()}]
    by_us, by_all = (api.contact(one)["statistics"] for one in (ADA, BEN))
    assert by_us["unsubscriptions"] == {"userUnsubscription": [], "adminUnsubscription": at}
    assert by_all["unsubscriptions"] == {"userUnsubscription": at, "adminUnsubscription": []}
    assert (by_all["complaints"], by_all["hardBounces"], by_us["hardBounces"]) == (at, at, [])
