"""The sandboxed Hootsuite keeps the rules that the notes tell: tokens, attributes, write-backs, posts, the web app."""

import csv
import hashlib
import hmac
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from dpsync.sandbox.server import RunningSandbox, running_sandbox
from tests.sandbox_caller import Listener, listening
from tests.specification import Specification, held_against_its_files

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
ADA = "ada@example.org"
SECRET = "5e" * 32
PERSON = {"attributes": {"email": ADA, "first_name": "Ada"}, "typed": {"company": "Example Ltd"}}
OWNER = "15240789"
BACK = "https://dpsync.example.org/back"


class Caller:
    """An app of the organisation, and the clock of its vendor."""

    def __init__(self, sandbox: RunningSandbox, clock: list[datetime]) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self.vendor = sandbox.hootsuite
        self.url = sandbox.hootsuite.url
        at = sandbox.addresses
        self.auth, self.org = (at.hootsuite_client, at.hootsuite_secret), at.hootsuite_organization
        self.session = requests.Session()
        self.session.trust_env = False
        held_against_its_files(self.session, "hootsuite-rest-swagger.yaml", "hootsuite-inbox-openapi.yaml")
        self.token = self.granted(grant_type="organization_app", organization_id=self.org)["access_token"]

    def grant(self, *, auth: tuple[str, str] | None = None, **form: Any) -> requests.Response:
        return self.session.post(f"{self.url}/oauth2/token", data=form, auth=auth or self.auth, timeout=60)

    def granted(self, **form: Any) -> Any:
        reply = self.grant(**form)
        assert reply.status_code == 200
        return reply.json()

    def refused(self, **form: Any) -> tuple[int, str]:
        reply = self.grant(**form)
        assert reply.json()["status_code"] == reply.status_code
        return reply.status_code, reply.json()["error"]

    def call(self, method: str, path: str, body: object = None, *, token: str | None = None, **params: Any) -> Any:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return self.session.request(
            method, self.url + path, json=body, params=params, headers=headers, timeout=60, allow_redirects=False
        )

    def code(self, *given: Any, **more: Any) -> tuple[int, int]:
        reply = self.call(*given, **more)
        return reply.status_code, reply.json()["errors"][0]["code"]

    def put(self, contact: str, *, confirm: bool = True, **attributes: Any) -> Any:
        rows = [{"attribute": name, "value": value} for name, value in attributes.items()]
        body = {"autoConfirm": confirm, "contactAttributes": rows}
        return self.call("PUT", f"/inbox/v2/contact/{contact}/contact-attributes", body)


@pytest.fixture
def api() -> Iterator[Caller]:
    clock = [START]
    with running_sandbox(now=lambda: clock[0]) as sandbox:
        made = Caller(sandbox, clock)
        made.vendor.switch(per_second=10_000)
        yield made
        made.session.close()


# --- tokens


def test_client_and_secret_come_as_basic_and_in_no_other_way(api: Caller) -> None:
    form = {"grant_type": "organization_app", "organization_id": api.org}
    body = {"client_id": api.auth[0], "client_secret": api.auth[1]}
    reply = requests.post(f"{api.url}/oauth2/token", data=form | body, timeout=60)
    assert (reply.status_code, reply.json()["error"]) == (401, "invalid_client")
    assert api.grant(auth=(api.auth[0], "wrong"), **form).status_code == 401
    assert "refresh_token" not in api.granted(**form)
    assert api.refused(grant_type="organization_app", organization_id="1") == (403, "request_forbidden")
    assert api.refused(grant_type="password") == (400, "unsupported_grant_type")
    assert api.refused(grant_type="member_app") == (400, "invalid_request")


def test_an_access_token_lives_an_hour_less_a_second(api: Caller) -> None:
    assert api.granted(grant_type="organization_app", organization_id=api.org)["expires_in"] == 3599
    api.clock[0] += timedelta(seconds=3598)
    assert api.call("GET", "/v1/me").status_code == 200
    api.clock[0] += timedelta(seconds=1)
    assert api.code("GET", "/v1/me") == (401, 1001)
    assert api.code("GET", "/v1/me", token="nobody") == (401, 1000)


def test_a_refresh_token_is_good_once(api: Caller) -> None:
    code = api.vendor.code(api.auth[0], OWNER, BACK)
    pair = api.granted(grant_type="authorization_code", code=code, redirect_uri=BACK)
    form = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    fresh = api.granted(**form)
    assert fresh["refresh_token"] != pair["refresh_token"]
    assert api.refused(**form) == (400, "invalid_grant")
    assert api.call("GET", "/v1/me", token=fresh["access_token"]).status_code == 200


def test_a_code_that_is_used_again_revokes_all_that_came_of_it(api: Caller) -> None:
    code = api.vendor.code(api.auth[0], OWNER, BACK)
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK}
    pair = api.granted(**form)
    second = api.granted(grant_type="refresh_token", refresh_token=pair["refresh_token"])
    assert api.refused(**form) == (400, "invalid_grant")
    for token in (pair["access_token"], second["access_token"]):
        assert api.code("GET", "/v1/me", token=token) == (401, 1000)
    assert api.refused(grant_type="refresh_token", refresh_token=second["refresh_token"]) == (400, "invalid_grant")
    assert api.call("GET", "/v1/me").status_code == 200, "another grant's token lives on"


def test_a_code_lives_ten_minutes_and_knows_its_redirect(api: Caller) -> None:
    code = api.vendor.code(api.auth[0], OWNER, BACK)
    assert api.refused(grant_type="authorization_code", code=code, redirect_uri="https://x.example.org/") == (
        400,
        "invalid_grant",
    )
    api.clock[0] += timedelta(minutes=10)
    assert api.refused(grant_type="authorization_code", code=code, redirect_uri=BACK) == (400, "invalid_grant")


def test_a_refresh_whose_answer_was_lost_has_used_the_token_up(api: Caller) -> None:
    code = api.vendor.code(api.auth[0], OWNER, BACK)
    pair = api.granted(grant_type="authorization_code", code=code, redirect_uri=BACK)
    form = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    api.vendor.fault("reset_after_effect", template="/oauth2/token")
    with pytest.raises(requests.ConnectionError):
        api.grant(**form)
    assert api.refused(**form) == (400, "invalid_grant")


def test_a_revoked_app_gets_no_token_and_its_old_ones_end(api: Caller) -> None:
    api.vendor.switch(revoked=True)
    assert api.refused(grant_type="organization_app", organization_id=api.org) == (403, "request_forbidden")
    assert api.code("GET", "/v1/me") == (401, 1001)


# --- attributes


def test_a_set_is_complete_what_is_left_out_or_null_is_deleted(api: Caller) -> None:
    contact = api.vendor.add("fb-1", "Ada Byron", **PERSON)
    reply = api.put(contact, email="new@example.org", last_name="Lovelace")
    assert (reply.status_code, reply.json()) == (200, {})
    assert api.vendor.attributes(contact) == {
        "fb-profile-name": ("Ada Byron", "MEDIUM"),
        "company": ("Example Ltd", "AGENT"),
        "email": ("new@example.org", "CRM_CONFIRMED"),
        "last_name": ("Lovelace", "CRM_CONFIRMED"),
    }
    assert (api.vendor.effects("attribute_set"), api.vendor.effects("attribute_removed")) == (2, 1)
    api.put(contact, email=None, first_name=None, last_name=None)
    assert set(api.vendor.attributes(contact)) == {"fb-profile-name", "company"}


def test_without_autoconfirm_a_person_must_confirm(api: Caller) -> None:
    contact = api.vendor.add("fb-1", "Ada Byron", **PERSON)
    assert api.put(contact, confirm=False, email="new@example.org").status_code == 200
    assert api.vendor.attributes(contact)["email"] == (ADA, "CRM_CONFIRMED")
    api.vendor.act(contact, "confirm")
    assert api.vendor.attributes(contact)["email"] == ("new@example.org", "CRM_CONFIRMED")


def test_what_is_malformed_or_of_nobody_is_refused(api: Caller) -> None:
    contact = api.vendor.add("fb-1", "Ada Byron", **PERSON)
    path = f"/inbox/v2/contact/{contact}/contact-attributes"
    bodies: list[Any] = [[], {"contactAttributes": {"email": ADA}}, {"contactAttributes": [{"attribute": "email"}]}]
    for body in bodies:
        reply = api.call("PUT", path, body)
        assert (reply.status_code, reply.json()) == (400, {"errors": ["The request is malformed"]})
    assert api.put("0" * 8, email=ADA).status_code == 404
    code = api.vendor.code(api.auth[0], OWNER, BACK)
    pair = api.granted(grant_type="authorization_code", code=code, redirect_uri=BACK)
    assert api.call("PUT", path, {}, token=pair["access_token"]).status_code == 401, "a member's token is no app's"
    assert api.call("GET", path).status_code == 404, "what was set cannot be read"


@pytest.mark.parametrize("wrong", [{"email": "nonsense"}, {"shoe_size": "7"}, {"first_name": "x" * 251}])
def test_an_invalid_set_is_a_200_and_an_error_five_minutes_later(api: Caller, wrong: dict[str, Any]) -> None:
    contact = api.vendor.add("fb-1", "Ada Byron", **PERSON)
    with listening(status=204) as site:
        api.vendor.hear(site.url + "/in", SECRET)
        assert api.put(contact, **wrong).status_code == 200
        api.clock[0] += timedelta(minutes=5) - timedelta(seconds=1)
        assert (api.vendor.tick(), site.posts()) == (0, [])
        api.clock[0] += timedelta(seconds=1)
        assert api.vendor.tick() == 1
        body = json.loads(site.posts()[0].body)
    assert body["eventType"] == "DATA_IMPORT_ERROR"
    assert next(iter(wrong)) in body["messages"][0]
    assert next(iter(wrong.values())) not in body["messages"][0]
    assert api.vendor.attributes(contact)["email"] == (ADA, "CRM_CONFIRMED")


def test_the_next_import_may_fail_for_no_reason_of_ours(api: Caller) -> None:
    contact = api.vendor.add("fb-1", "Ada Byron", **PERSON)
    api.vendor.switch(import_errors=True)
    for _ in range(2):
        api.put(contact, email="new@example.org")
    assert api.vendor.attributes(contact)["email"] == ("new@example.org", "CRM_CONFIRMED")
    assert api.vendor.effects("attribute_set") == 1


# --- write-backs


def resolved(api: Caller, site: Listener, **person: Any) -> Any:
    api.vendor.hear(site.url + "/in", SECRET)
    contact = api.vendor.add("+447700900123", "Ada Byron", **{"medium": "whatsapp", **PERSON, **person})
    api.vendor.act(contact, "resolve")
    return contact


def test_a_resolved_conversation_is_told_in_full_and_signed_over_the_raw_body(api: Caller) -> None:
    with listening() as site:
        contact = resolved(api, site, texts=["Please delete my data"])
        (heard,) = site.posts()
    expected = hmac.new(bytes.fromhex(SECRET), heard.body, hashlib.sha256).hexdigest()
    assert heard.headers["x-hootsuite-signature"] == expected
    body = json.loads(heard.body)
    data = body["data"]
    assert (body["type"], data["conversation"]["previousStatus"]) == ("CONVERSATION_RESOLVED", "new")
    assert data["contactProfile"]["id"] == contact
    assert data["contactProfile"]["secondaryIdentifier"] == "+447700900123"
    assert data["messages"][0]["text"] == "Please delete my data"
    assert {"attribute": "email", "value": ADA, "source": "CRM_CONFIRMED"} in data["contactAttributes"]


def test_of_x_neither_identifier_nor_text_is_told(api: Caller) -> None:
    with listening() as site:
        contact = resolved(api, site, medium="twit", texts=["my secret"])
        data = json.loads(site.posts()[0].body)["data"]
    assert data["contactProfile"] == {"id": contact}
    assert data["messages"] == []
    assert "MEDIUM" not in {one["source"] for one in data["contactAttributes"]}


def test_a_write_back_comes_again_with_the_same_body_and_is_lost_in_the_end(api: Caller) -> None:
    with listening(status=503) as site:
        resolved(api, site)
        for hours in (1, 2, 4, 8, 16, 32):
            api.clock[0] += timedelta(hours=hours) - timedelta(seconds=1)
            assert api.vendor.tick() == 0
            api.clock[0] += timedelta(seconds=1)
            assert api.vendor.tick() == 1
        posts = site.posts()
        api.clock[0] += timedelta(days=30)
        assert api.vendor.tick() == 0
    assert (len(posts), len({post.body for post in posts}), api.vendor.lost()) == (7, 1, 1)


def test_a_write_back_that_is_taken_at_last_is_not_sent_again(api: Caller) -> None:
    with listening(status=500) as site:
        resolved(api, site)
        site.status = 200
        api.clock[0] += timedelta(hours=1)
        assert (api.vendor.tick(), len(site.posts())) == (1, 2)
        api.clock[0] += timedelta(days=9)
        assert (api.vendor.tick(), api.vendor.lost()) == (0, 0)


@pytest.mark.parametrize("medium", ["fb", "twit"])
def test_what_is_sent_keeps_the_vendors_own_file(api: Caller, medium: str) -> None:
    inbox = Specification("hootsuite-inbox-openapi.yaml")
    with listening() as site:
        contact = resolved(api, site, medium=medium, texts=["hello"])
        api.vendor.switch(import_errors=True)
        api.put(contact, email=ADA)
        api.clock[0] += timedelta(minutes=5)
        api.vendor.tick()
        told, error = (json.loads(post.body) for post in site.posts())
    for body, name in ((told, "CrmWriteBackRequest"), (error, "CrmErrorNotificationsRequest")):
        schema = inbox.spec["components"]["schemas"][name]
        assert set(body) <= set(schema["properties"])
        inbox.assert_fits(body, schema)
    assert set(told["data"]) <= set(
        inbox.spec["components"]["schemas"]["CrmWriteBackRequest"]["properties"]["data"]["properties"]
    )


def test_each_event_has_a_key_of_its_own_and_pending_is_told_too(api: Caller) -> None:
    with listening() as site:
        contact = resolved(api, site)
        api.vendor.act(contact, "pending")
        first, second = (json.loads(post.body) for post in site.posts())
    assert second["type"] == "CONVERSATION_SET_TO_PENDING"
    assert first["idempotencyKey"] != second["idempotencyKey"]


# --- posts, people, accounts


def test_posts_are_listed_by_time_in_a_window_of_four_weeks_with_a_cursor(api: Caller) -> None:
    ids = [api.vendor.schedule(f"post {number}", START + timedelta(hours=number)) for number in range(5)]
    window: dict[str, Any] = {"startTime": "2026-11-20T00:00:00Z", "endTime": "2026-12-01T00:00:00Z", "limit": 2}
    seen, cursor = [], None
    while True:
        page = api.call("GET", "/v1/messages", **window, **({"cursor": cursor} if cursor else {})).json()
        seen += [one["id"] for one in page["data"]]
        if (cursor := page["metadata"]["cursor"]["next"]) is None:
            break
    assert seen == ids
    assert api.code("GET", "/v1/messages") == (400, 4000)
    far: dict[str, Any] = {"startTime": "2026-11-20T00:00:00Z", "endTime": "2026-12-18T00:00:01Z"}
    assert api.code("GET", "/v1/messages", **far) == (400, 40020)
    assert api.code("GET", "/v1/messages", **window, cursor="x") == (400, 3020)
    assert api.code("GET", "/v1/messages", **(window | {"limit": 101})) == (400, 4000)
    sent = api.vendor.schedule("gone out", START, "SENT")
    only = api.call("GET", "/v1/messages", **(window | {"limit": 50}), state="SENT").json()["data"]
    assert [one["id"] for one in only] == [sent]
    assert api.call("GET", "/v1/messages", **window, socialProfileIds=["1", "2"]).json()["data"] == []


def test_a_post_is_deleted_before_it_goes_and_never_after(api: Caller) -> None:
    waiting = api.vendor.schedule("Meet Ada on Friday", START + timedelta(days=1))
    sent = api.vendor.schedule("Ada was here", START, "SENT")
    assert api.vendor.holds("ada") == [(waiting, "SCHEDULED"), (sent, "SENT")]
    assert api.call("DELETE", f"/v1/messages/{waiting}").json() == {"data": []}
    assert api.code("GET", f"/v1/messages/{waiting}") == (404, 4001)
    assert api.code("DELETE", f"/v1/messages/{waiting}") == (404, 4001)
    assert api.code("DELETE", f"/v1/messages/{sent}") == (400, 40003)
    assert (api.vendor.effects("post_deleted"), api.vendor.holds("ada")) == (1, [(sent, "SENT")])


def test_organisation_people_and_accounts_are_shown(api: Caller) -> None:
    member = {"id": "7", "name": "Sam Staff", "email": "sam@example.org"}
    api.sandbox.seed({"hootsuite": {"members": [member]}})
    assert [one["id"] for one in api.call("GET", "/v1/me/organizations").json()["data"]] == [api.org]
    people = f"/v1/organizations/{api.org}/members"
    assert [one["id"] for one in api.call("GET", people).json()["data"]] == [OWNER, "7"]
    assert api.call("GET", "/v1/members/7").json()["data"]["email"] == "sam@example.org"
    assert api.code("GET", "/v1/organizations/1/members") == (403, 1202)
    assert api.code("DELETE", f"{people}/{OWNER}") == (400, 3301)
    assert api.code("DELETE", f"{people}/8") == (403, 1202)
    assert api.call("DELETE", f"{people}/7").status_code == 200
    accounts = {one["type"]: one for one in api.call("GET", "/v1/socialProfiles").json()["data"]}
    assert accounts["TWITTER"]["socialNetworkUsername"] is None
    assert accounts["FACEBOOKPAGE"]["socialNetworkUsername"] == "main"


def test_scim_finds_staff_by_name_changes_them_and_errs_in_its_own_shape(api: Caller) -> None:
    def users(name: str) -> Any:
        return api.call("GET", "/scim/v2/Users", filter=f'userName eq "{name}"').json()

    assert users("OWNER@example.org")["totalResults"] == 1
    assert users("nobody@example.org")["totalResults"] == 0
    change = {"Operations": [{"op": "replace", "value": {"active": False}}]}
    assert api.call("PATCH", f"/scim/v2/Users/{OWNER}", change).json()["active"] is False
    wrong = api.call("GET", "/scim/v2/Users", filter="active eq true")
    assert (wrong.status_code, wrong.json()["status"], wrong.json()["scimType"]) == (400, "400", "invalidValue")
    assert api.call("GET", "/scim/v2/Users/1").status_code == 404


def test_a_message_of_ours_to_a_number_is_counted_by_number(api: Caller) -> None:
    body = {"medium": "WHATSAPP", "channel": "Main", "contact": "+447700900123", "text": "Hello"}
    assert api.call("POST", "/inbox/v1/proactive-messaging", body).json()["correlationId"]
    assert api.vendor.effects_on("+447700900123") == [("", "proactive_sent")]
    assert api.call("POST", "/inbox/v1/proactive-messaging", {}).status_code == 400


# --- limits and half answers


def test_above_its_limits_it_says_429_with_1003_and_not_how_long_to_wait(api: Caller) -> None:
    first = api.call("GET", "/v1/me").headers
    assert (first["x-account-quota"], first["x-account-quota-used"]) == ("100000", "1")
    api.vendor.switch(daily_quota=2)
    assert api.call("GET", "/v1/me").status_code == 200
    assert api.code("GET", "/v1/me") == (429, 1003)
    refused = api.call("GET", "/v1/me")
    assert ("retry-after" in refused.headers, refused.headers["x-account-quota-used"]) == (False, "2")
    api.clock[0] += timedelta(days=1)
    fresh = api.granted(grant_type="organization_app", organization_id=api.org)["access_token"]
    assert api.call("GET", "/v1/me", token=fresh).status_code == 200
    api.vendor.switch(per_second=0)
    assert api.code("GET", "/v1/me", token=fresh) == (429, 1003)


def test_a_200_may_hold_data_and_errors_at_once(api: Caller) -> None:
    api.vendor.switch(partial=True)
    body = api.call("GET", "/v1/socialProfiles").json()
    assert (len(body["data"]), len(body["errors"])) == (2, 1)


def test_a_lost_permission_is_a_401_that_is_no_dead_token(api: Caller) -> None:
    api.vendor.switch(no_permission=True)
    assert api.code("GET", "/v1/socialProfiles") == (401, 4003)
    api.vendor.switch(no_permission=False)
    assert api.call("GET", "/v1/socialProfiles").status_code == 200


# --- the web app


def test_an_admin_deletes_a_contact_for_good_and_the_log_keeps_the_hint(api: Caller) -> None:
    contact = api.vendor.add("fb-1", "Ada <b>Byron</b>", **PERSON, texts=["hello"])
    other = api.vendor.add("fb-2", "Ben Miller")
    page = api.session.get(f"{api.url}/portal/contacts", params={"search": "byron"}, timeout=60).text
    assert "<b>" not in page
    assert contact in page
    assert other not in page
    path = f"{api.url}/portal/contacts/{contact}/delete"
    gone = api.session.post(path, data={"hint": "DPS-1"}, timeout=60, allow_redirects=False)
    assert gone.headers["location"] == "/portal/deleted"
    assert "DPS-1" in api.session.get(f"{api.url}/portal/deleted", timeout=60).text
    assert [(one.hint, one.platform, one.admin) for one in api.vendor.deleted()] == [
        ("DPS-1", "fb", "admin@example.org")
    ]
    assert (api.vendor.holds(ADA), api.vendor.effects("contact_deleted")) == ([], 1)
    assert api.put(contact, email=ADA).status_code == 404
    assert api.session.post(path, data={}, timeout=60).status_code == 404
    assert len(api.vendor.holds("Ben Miller")) == 1


def test_whoever_writes_again_is_a_new_contact(api: Caller) -> None:
    first = api.vendor.add("fb-1", "Ada Byron")
    assert api.vendor.erase("Ada Byron", "DPS-1") == 1
    api.vendor.act("fb-1", "write", text="me again")
    ((second, _),) = api.vendor.holds("fb-1")
    assert second != first


def test_the_export_shows_resolved_conversations_and_no_open_one(api: Caller) -> None:
    old = START - timedelta(days=100)
    kept = api.vendor.add("fb-1", "Ada Byron", created=old, resolved=True)
    api.vendor.add("fb-2", "Ben Miller", created=old)
    api.vendor.add("fb-3", "Cleo Hart", created=START, resolved=True)
    until = START - timedelta(days=90)

    def rows() -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(api.vendor.export(datetime(2020, 1, 1, tzinfo=UTC), until))))

    assert [(row["Contact Profile ID"], row["Primary Identifier"]) for row in rows()] == [(kept, "Ada Byron")]
    assert rows()[0]["Created at"] == "2026-08-12T09:00:00Z"
    span = {"from": "2020-01-01T00:00:00Z", "to": until.isoformat()}
    file = api.session.get(f"{api.url}/portal/exports/resolved-conversations.csv", params=span, timeout=60)
    assert (file.headers["content-type"].split(";")[0], kept in file.text) == ("text/csv", True)
    api.vendor.erase("Ada Byron", "DPS-1")
    assert rows() == []
    api.vendor.switch(export_keeps_deleted=True)
    assert len(rows()) == 1


def test_calls_are_counted_by_their_template_and_a_fault_finds_its_person(api: Caller) -> None:
    contact = api.vendor.add("fb-1", "Ada Byron", **PERSON)
    api.vendor.fault("status", status=503, address=ADA, times=None)
    assert api.put(contact, email="x@example.org").status_code == 503
    assert api.call("GET", "/v1/me").status_code == 200
    counted = json.dumps(api.vendor.counters())
    assert "PUT /inbox/v2/contact/{contact_id}/contact-attributes" in counted
    assert not [word for word in (ADA, contact) if word in counted]


def test_a_reset_leaves_the_apps_and_nobody(api: Caller) -> None:
    api.vendor.add("fb-1", "Ada Byron", **PERSON)
    api.sandbox.reset()
    assert api.vendor.holds(ADA) == []
    assert api.call("GET", "/v1/me").status_code == 200
