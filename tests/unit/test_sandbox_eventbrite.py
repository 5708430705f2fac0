"""The sandboxed Eventbrite keeps the rules that the notes tell, counts, breaks, and has a privacy desk."""

import json
import smtplib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest
import requests

from dpsync.sandbox.server import RunningSandbox, running_sandbox
from tests.sandbox_caller import Listener, listening

ADA, BEN, GUEST = "ada@example.org", "ben+gala@example.org", "guest@example.org"
START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
DESK = "privacy@eventbrite.example"


class Caller:
    """One private token's calls, and the clock of its vendor."""

    def __init__(self, sandbox: RunningSandbox, clock: list[datetime]) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self.vendor = sandbox.eventbrite
        self.url = sandbox.eventbrite.url
        self.token = sandbox.addresses.eventbrite_token
        (self.org,) = sandbox.eventbrite.organizations()
        self.session = requests.Session()
        self.session.trust_env = False

    def call(
        self, method: str, path: str, body: object = None, *, token: str | None = None, **params: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return self.session.request(
            method, self.url + path, json=body, params=params, headers=headers, timeout=60, allow_redirects=False
        )

    def get(self, path: str, **params: Any) -> Any:
        return self.call("GET", path, **params).json()

    def orders(self, **params: Any) -> list[str]:
        return [one["email"] for one in self.get(f"/organizations/{self.org}/orders/", **params)["orders"]]

    def attendees(self, **params: Any) -> list[str]:
        rows = self.get(f"/organizations/{self.org}/attendees/", **params)["attendees"]
        return [one["profile"]["email"] for one in rows]

    def refusal(self, *given: Any, **more: Any) -> tuple[int, str]:
        reply = self.call(*given, **more)
        body = reply.json()
        assert (body["status_code"], bool(body["error_description"])) == (reply.status_code, True)
        return reply.status_code, body["error"]


@pytest.fixture
def api() -> Iterator[Caller]:
    clock = [START]
    with running_sandbox(now=lambda: clock[0]) as sandbox:
        made = Caller(sandbox, clock)
        yield made
        made.session.close()


# --- who may see what


def test_a_path_without_its_last_slash_is_moved_and_not_counted(api: Caller) -> None:
    reply = api.call("GET", "/users/me/organizations", expand="none")
    assert (reply.status_code, reply.json()["error"]) == (301, "PERMANENTLY_MOVED")
    assert reply.headers["location"] == "/v3/users/me/organizations/?expand=none"
    assert "x-rate-limit" not in reply.headers


def test_each_kind_of_token_opens_what_it_may(api: Caller) -> None:
    api.sandbox.seed({"eventbrite": {"public_tokens": ["public"], "api_keys": ["key"]}})
    assert api.call("GET", "/categories/", token="public").status_code == 200
    assert api.refusal("GET", "/users/me/organizations/", token="public") == (403, "NOT_AUTHORIZED")
    assert api.refusal("GET", "/users/me/organizations/", token="key") == (401, "INVALID_AUTH")
    assert api.refusal("GET", "/users/me/organizations/", token="nobody") == (401, "INVALID_AUTH")
    assert requests.get(f"{api.url}/users/me/", timeout=60).json()["error"] == "NO_AUTH"
    assert requests.get(f"{api.url}/users/me/?token={api.token}", timeout=60).status_code == 200
    api.vendor.switch(auth_400=True)
    assert api.refusal("GET", "/users/me/", token="nobody") == (400, "INVALID_AUTH")


def test_another_organisation_is_403_and_an_unknown_one_404(api: Caller) -> None:
    api.sandbox.seed({"eventbrite": {"organizations": [{"name": "other", "tokens": ["other"]}]}})
    assert [one["name"] for one in api.get("/users/me/organizations/")["organizations"]] == ["main"]
    other = api.vendor.organizations()[1]
    assert api.refusal("GET", f"/organizations/{other}/orders/") == (403, "NOT_AUTHORIZED")
    assert api.refusal("GET", "/organizations/1/orders/") == (404, "NOT_FOUND")
    api.vendor.add(ADA, organization=other)
    ((event, ticket),) = api.vendor.attendees(ADA)
    assert api.refusal("GET", f"/events/{event}/attendees/") == (403, "NOT_AUTHORIZED")
    assert api.refusal("GET", f"/events/{event}/attendees/{ticket}/") == (404, "NOT_FOUND")
    assert api.call("GET", f"/events/{event}/attendees/{ticket}/", token="other").status_code == 200


def test_a_dropped_access_hides_records_while_the_token_lives(api: Caller) -> None:
    order = api.vendor.add(ADA)
    api.vendor.switch(drop_access=True)
    assert api.refusal("GET", f"/orders/{order}/") == (404, "NOT_FOUND")
    assert api.refusal("GET", f"/organizations/{api.org}/orders/") == (403, "NOT_AUTHORIZED")
    assert api.call("GET", "/users/me/").status_code == 200
    api.vendor.switch(drop_access=False)
    assert api.get(f"/orders/{order}/")["email"] == ADA


def test_calls_are_counted_by_token_and_by_key_and_refused_beyond_the_hour(api: Caller) -> None:
    api.sandbox.seed({"eventbrite": {"organizations": [{"name": "main", "tokens": ["second"]}]}})
    api.vendor.switch(hourly_limit=3)
    first = api.call("GET", "/users/me/").headers["x-rate-limit"]
    assert first == f"token:{api.token[:8]} 1/3 reset=3600s, key:APPKEY 1/3 reset=3600s"
    api.clock[0] += timedelta(minutes=10)
    assert api.call("GET", "/users/me/", token="second").headers["x-rate-limit"] == (
        "token:second 1/3 reset=3600s, key:APPKEY 2/3 reset=3000s"
    )
    assert api.call("GET", "/users/me/").status_code == 200
    assert api.refusal("GET", "/users/me/") == (429, "HIT_RATE_LIMIT")
    refused = api.call("GET", "/users/me/", token="second")
    assert (refused.status_code, "retry-after" in refused.headers) == (429, False)
    api.clock[0] += timedelta(minutes=50)
    assert api.call("GET", "/users/me/").status_code == 200


# --- finding


def test_a_buyer_is_found_by_address_however_the_list_is_written(api: Caller) -> None:
    for one in (ADA, BEN, "carl@example.org"):
        api.vendor.add(one)
    assert api.orders(status="both", only_emails=ADA.upper()) == [ADA]
    assert api.orders(status="both", only_emails=f"{ADA},{BEN}") == [ADA, BEN]
    assert api.orders(status="both", only_emails=[ADA, BEN]) == [ADA, BEN]
    assert api.orders(status="both", exclude_emails=[ADA, BEN]) == ["carl@example.org"]
    none = api.get(f"/organizations/{api.org}/orders/", status="both", only_emails="nobody@example.org")
    assert (none["orders"], none["pagination"]["object_count"]) == ([], 0)
    assert api.orders(status="both", only_emails="") == [], "an empty filter is not no filter"


def test_a_status_that_is_not_given_shows_only_a_part(api: Caller) -> None:
    api.vendor.add(ADA)
    for status in ("refunded", "cancelled", "deleted"):
        api.vendor.add(f"{status}@example.org", status=status)
    assert api.orders() == [ADA]
    assert len(api.orders(status="both")) == 4
    assert len(api.orders(status="inactive")) == 3
    assert "deleted@example.org" not in api.orders(status="all_not_deleted")
    assert api.attendees() == api.attendees(status="attending") == [ADA]
    assert len(api.attendees(status="not_attending")) == 3
    assert api.refusal("GET", f"/organizations/{api.org}/orders/", status="all") == (400, "ARGUMENTS_ERROR")
    assert api.refusal("GET", f"/organizations/{api.org}/attendees/", status="unpaid") == (400, "ARGUMENTS_ERROR")


def test_a_guest_with_another_address_is_found_by_no_filter_only_by_reading_all(api: Caller) -> None:
    order = api.vendor.add(ADA, guests=[GUEST])
    assert api.orders(status="both", only_emails=GUEST) == []
    assert api.attendees(status="attending", only_emails=GUEST) == [ADA, GUEST], "attendees know no such filter"
    expanded = api.get(f"/orders/{order}/", expand="attendees")["attendees"]
    assert [one["profile"]["email"] for one in expanded] == [ADA, GUEST]


def test_a_cancelled_ticket_keeps_the_person(api: Caller) -> None:
    order = api.vendor.add(ADA, "Ada", "Byron")
    assert api.vendor.act(ADA, "refund") == 1
    ((event, ticket),) = api.vendor.attendees(ADA)
    body = api.get(f"/events/{event}/attendees/{ticket}/")
    assert (body["cancelled"], body["refunded"], body["profile"]["name"]) == (True, True, "Ada Byron")
    assert api.get(f"/orders/{order}/")["status"] == "refunded"


def test_what_changed_since_a_time_includes_that_second(api: Caller) -> None:
    api.vendor.add(ADA)
    api.clock[0] += timedelta(hours=1)
    api.vendor.add(BEN)
    assert api.attendees(status="attending", changed_since="2026-11-20T10:00:00Z") == [BEN]
    assert api.orders(status="both", changed_since="2026-11-20T09:00:00Z") == [ADA, BEN]
    assert api.refusal("GET", f"/organizations/{api.org}/attendees/", changed_since="soon") == (400, "ARGUMENTS_ERROR")


def test_one_event_has_its_own_orders_and_attendees(api: Caller) -> None:
    api.vendor.add(ADA, event="Gala")
    api.vendor.add(BEN, event="Talk")
    events = api.get(f"/organizations/{api.org}/events/")["events"]
    gala = next(one["id"] for one in events if one["name"]["text"] == "Gala")
    assert [one["email"] for one in api.get(f"/events/{gala}/orders/")["orders"]] == [ADA]
    assert [one["profile"]["email"] for one in api.get(f"/events/{gala}/attendees/")["attendees"]] == [ADA]
    assert api.get(f"/events/{gala}/attendees/", attendee_ids="1")["attendees"] == []
    assert api.get(f"/events/{gala}/")["name"]["text"] == "Gala"
    assert api.get("/users/me/orders/")["orders"] == [], "the owner's own purchases, and nobody else's"


def test_pages_hold_fifty_and_a_token_is_good_for_its_query_and_its_time(api: Caller) -> None:
    for number in range(120):
        api.vendor.add(f"p{number:03}@example.org")
    path = f"/organizations/{api.org}/attendees/"
    seen, token = [], None
    while True:
        page = api.get(path, status="attending", **({"continuation": token} if token else {}))
        seen += [one["profile"]["email"] for one in page["attendees"]]
        if not page["pagination"]["has_more_items"]:
            break
        token = page["pagination"]["continuation"]
    assert (len(seen), len(set(seen)), page["pagination"]["page_number"]) == (120, 120, 3)
    assert page["pagination"]["object_count"] == 120
    stale = {"continuation": token}
    assert api.refusal("GET", path, status="not_attending", **stale) == (400, "BAD_CONTINUATION_TOKEN")
    assert api.call("GET", path, status="attending", **stale).status_code == 200
    api.clock[0] += timedelta(minutes=5)
    assert api.refusal("GET", path, status="attending", **stale) == (400, "BAD_CONTINUATION_TOKEN")
    api.vendor.switch(without_counts=True, page_size=7)
    pagination = api.get(path, status="attending")["pagination"]
    assert (pagination["page_size"], "object_count" in pagination, "page_count" in pagination) == (7, False, False)


def test_whoever_is_erased_between_two_pages_moves_the_rest_up(api: Caller) -> None:
    api.vendor.switch(page_size=2, anonymised_shape="gone")
    for number in range(4):
        api.vendor.add(f"p{number}@example.org")
    path = f"/organizations/{api.org}/attendees/"
    first = api.get(path, status="attending")
    api.vendor.act("p0@example.org", "anonymise")
    second = api.get(path, status="attending", continuation=first["pagination"]["continuation"])
    assert [one["profile"]["email"] for one in second["attendees"]] == ["p3@example.org"]


def test_expansions_are_shown_when_asked_for_or_fail_as_a_whole(api: Caller) -> None:
    order = api.vendor.add(ADA, answers={"Access needs?": "Step-free"}, opted_in=True)
    ((event, ticket),) = api.vendor.attendees(ADA)
    path = f"/events/{event}/attendees/{ticket}/"
    assert {"answers", "contact_list_preferences"} & set(api.get(path)) == set()
    body = api.get(path, expand="answers,contact_list_preferences,survey_responses")
    assert body["answers"][0]["answer"] == "Step-free"
    assert body["contact_list_preferences"]["has_opted_in"] is True
    assert api.get(f"/orders/{order}/", expand="contact_list_preferences,refund_requests")["refund_requests"] == []
    api.vendor.switch(expansion_failed=True)
    assert api.refusal("GET", path, expand="answers") == (500, "EXPANSION_FAILED")
    assert api.call("GET", path).status_code == 200


def test_an_order_that_was_never_completed_says_so(api: Caller) -> None:
    order = api.vendor.add(ADA, expired=True)
    assert api.refusal("GET", f"/orders/{order}/") == (400, "ORDER_EXPIRED")


# --- changing: there is nothing


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST", "DELETE"])
def test_no_call_changes_an_order_or_an_attendee(api: Caller, method: str) -> None:
    order = api.vendor.add(ADA)
    ((event, ticket),) = api.vendor.attendees(ADA)
    for path in (
        f"/orders/{order}/",
        f"/organizations/{api.org}/orders/",
        f"/organizations/{api.org}/attendees/",
        f"/events/{event}/attendees/",
        f"/events/{event}/attendees/{ticket}/",
    ):
        assert api.refusal(method, path, {}) == (405, "METHOD_NOT_ALLOWED")
    assert len(api.vendor.holds(ADA)) == 2


def test_an_event_with_orders_cannot_be_deleted_and_one_without_can(api: Caller) -> None:
    api.vendor.add(ADA, event="Gala")
    ((event, _),) = api.vendor.attendees(ADA)
    assert api.refusal("DELETE", f"/events/{event}/") == (400, "CANNOT_DELETE")
    empty = api.vendor.there(lambda vendor: vendor.open_event(api.org, "Empty"))
    assert api.call("DELETE", f"/events/{empty}/").status_code == 200
    assert api.vendor.effects("destroyed") == 1


def test_what_was_switched_off_years_ago_is_403(api: Caller) -> None:
    assert api.refusal("GET", "/users/me/contact_lists/") == (403, "NOT_AUTHORIZED")
    assert api.refusal("POST", "/webhooks/", {}) == (403, "NOT_AUTHORIZED")
    assert api.refusal("GET", "/nowhere/") == (404, "NOT_FOUND")
    assert api.call("GET", "/nowhere/").headers["Sandbox"] == "this path is not imitated"


# --- the privacy desk


@pytest.mark.parametrize(("shape", "status"), [("placeholder", 200), ("blank", 200), ("gone", 404)])
def test_an_erased_record_shows_nothing_of_the_person_in_whatever_shape(api: Caller, shape: str, status: int) -> None:
    order = api.vendor.add(ADA, "Ada", "Byron", answers={"Phone?": "+44 7700 900123"})
    api.vendor.add(BEN, "Ben", "Miller")
    ((event, ticket),) = api.vendor.attendees(ADA)
    api.vendor.switch(anonymised_shape=shape)
    api.clock[0] += timedelta(days=1)
    assert api.vendor.act(ADA, "anonymise") == 2
    replies = [
        api.call("GET", f"/orders/{order}/", expand="answers,attendees"),
        api.call("GET", f"/events/{event}/attendees/{ticket}/", expand="answers"),
    ]
    assert [reply.status_code for reply in replies] == [status, status]
    for reply in replies:
        assert not [word for word in (ADA, "Ada", "Byron", "900123") if word in reply.text]
    assert api.orders(status="both", only_emails=ADA) == []
    assert (api.vendor.holds(ADA), len(api.vendor.holds(BEN))) == ([], 2)
    assert api.vendor.effects("anonymised") == 2
    if status == 200:
        assert replies[0].json()["changed"] == "2026-11-21T09:00:00Z"


def test_what_somebody_else_wrote_of_a_person_stays_and_is_held(api: Caller) -> None:
    api.vendor.add(BEN, answers={"Who comes with you?": f"my friend {ADA}"})
    api.vendor.add(ADA)
    api.vendor.act(ADA, "anonymise")
    assert [place.split()[0] for place, _ in api.vendor.holds(ADA)] == ["attendee"]


def test_a_correction_moves_the_address_and_keeps_the_ids(api: Caller) -> None:
    order = api.vendor.add(ADA, "Ada", "Byron")
    api.vendor.act(ADA, "rectify", to="new@example.org", last_name="Lovelace")
    body = api.get(f"/orders/{order}/", expand="attendees")
    assert (body["email"], body["name"]) == ("new@example.org", "Ada Lovelace")
    assert body["attendees"][0]["profile"]["name"] == "Ada Lovelace"
    assert [kind for _, kind in api.vendor.effects_on(ADA)] == ["rectified"] * 2
    assert api.vendor.effects_on(ADA) == api.vendor.effects_on("new@example.org")
    assert api.vendor.names("new@example.org") == ["Ada Lovelace"] * 2


def test_an_unsubscribe_by_the_person_shows_in_the_preferences(api: Caller) -> None:
    order = api.vendor.add(ADA)
    assert api.vendor.act(ADA, "unsubscribe") == 2
    preferences = api.get(f"/orders/{order}/", expand="contact_list_preferences")["contact_list_preferences"]
    assert (preferences["has_contact_list"], preferences["has_opted_in"]) == (False, False)


def letter(api: Caller, link: str, right: str) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "privacy@example.org", DESK, "A request"
    mail.set_content(f"Please answer at {link}")
    mail.add_attachment(
        json.dumps({"right": right, "subject": [{"type": "email", "value": ADA}]}).encode(),
        maintype="application",
        subtype="json",
    )
    with smtplib.SMTP(api.sandbox.smtp_host, api.sandbox.smtp_port, timeout=60) as smtp:
        smtp.send_message(mail)
    api.sandbox.messages(settled=True)


FORM = '<form method="post"><input name="answer"><input name="name"></form>'


@pytest.mark.parametrize(
    ("switches", "rule", "right", "left"),
    [
        ({"anonymise_after_ack": True}, {}, "erasure", 0),
        ({"anonymise_after_ack": True}, {}, "opt_out", 2),
        ({"anonymise_after_ack": True, "ack_but_do_nothing": True}, {}, "erasure", 2),
        ({}, {}, "erasure", 2),
        ({"anonymise_after_ack": True}, {"answer": "refused"}, "erasure", 2),
    ],
)
def test_the_desk_erases_whom_a_letter_names_only_if_it_does_what_it_says(
    api: Caller, switches: dict[str, bool], rule: dict[str, str], right: str, left: int
) -> None:
    api.vendor.add(ADA)
    api.vendor.add(BEN)
    api.vendor.switch(**switches)
    api.sandbox.rule(DESK, "answer_by_link", **rule)
    with listening(page=FORM) as site:
        letter(api, site.url + "/answers/abc", right)
        assert len(site.posts()) == 1
    assert (len(api.vendor.holds(ADA)), len(api.vendor.holds(BEN))) == (left, 2)


# --- webhooks


def hooked(api: Caller, site: Listener, **more: object) -> str:
    body = {"endpoint_url": f"{site.url}/hooks/s", "actions": "order.placed,order.updated,attendee.updated", **more}
    made = api.call("POST", f"/organizations/{api.org}/webhooks/", body)
    assert made.status_code == 200
    return str(made.json()["id"])


def test_a_webhook_says_where_to_look_unsigned_and_sometimes_twice(api: Caller) -> None:
    with listening() as site:
        hook = hooked(api, site)
        api.vendor.switch(webhooks_duplicated=True)
        order = api.vendor.add(ADA)
        api.vendor.there(lambda _: None)
        first, second = site.posts()
        assert first.body == second.body
        body = json.loads(first.body)
        assert body["api_url"] == f"{api.url}/orders/{order}/"
        assert (body["config"]["action"], body["config"]["webhook_id"]) == ("order.placed", hook)
        assert first.headers["x-eventbrite-event"] == "order.placed"
        assert ADA not in first.body.decode()
        assert not [name for name in first.headers if "signature" in name]
        assert api.get("/orders/" + body["api_url"].split("/")[-2] + "/")["email"] == ADA
        assert api.call("DELETE", f"/webhooks/{hook}/").status_code == 200
        assert api.get(f"/organizations/{api.org}/webhooks/")["webhooks"] == []
        assert api.refusal("DELETE", f"/webhooks/{hook}/") == (404, "NOT_FOUND")


def test_an_erasure_by_the_desk_is_told_as_an_update(api: Caller) -> None:
    api.vendor.add(ADA)
    with listening() as site:
        hooked(api, site)
        api.vendor.act(ADA, "anonymise")
        assert [heard.headers["x-eventbrite-event"] for heard in site.posts()] == ["order.updated", "attendee.updated"]


def test_a_410_ends_a_webhook_and_an_action_it_does_not_know_is_refused(api: Caller) -> None:
    with listening(status=410) as site:
        hooked(api, site)
        api.vendor.add(ADA)
        api.vendor.there(lambda _: None)
        api.vendor.add(BEN)
        assert len(site.posts()) == 1
    bad = {"endpoint_url": "http://127.0.0.1/x", "actions": "attendee.deleted"}
    assert api.refusal("POST", f"/organizations/{api.org}/webhooks/", bad) == (400, "ARGUMENTS_ERROR")


# --- counting


def test_calls_are_counted_by_their_template_and_never_by_a_person(api: Caller) -> None:
    api.orders(status="both", only_emails=ADA)
    counted = api.vendor.counters()
    assert counted["calls"] == {"GET /organizations/{organization_id}/orders/": 1}
    assert ADA not in json.dumps(counted)


def test_a_reset_leaves_the_token_and_nobody(api: Caller) -> None:
    api.vendor.add(ADA)
    api.sandbox.reset()
    assert (api.vendor.holds(ADA), api.orders(status="both")) == ([], [])
