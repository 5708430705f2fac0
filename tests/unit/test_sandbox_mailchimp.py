"""The sandboxed Marketing API keeps the rules that the vendor notes tell, and counts what really happened."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import pytest
import requests

from dpsync.sandbox.server import running_sandbox
from tests.sandbox_caller import ADA, BEN, Caller, calling, md5
from tests.specification import Specification

ERASE = "/actions/delete-permanent"


@pytest.fixture
def api() -> Iterator[Caller]:
    with calling() as caller:
        yield caller


def title(reply: requests.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["title"]


@pytest.mark.parametrize("auth", [None, ("anybody", "another-key-us1"), ("sandbox-key-us1", "")])
def test_without_a_known_key_everything_is_401(api: Caller, auth: tuple[str, str] | None) -> None:
    reply = requests.get(api.sandbox.mailchimp_url + "/ping", auth=auth, timeout=60)
    assert title(reply) == (401, "API Key Invalid")
    assert reply.headers["content-type"].startswith("application/problem+json")


def test_a_bearer_token_opens_the_account_and_the_trigger_header_shuts_it(api: Caller) -> None:
    bearer = {"Authorization": f"Bearer {api.sandbox.api_keys[0]}"}
    url = api.sandbox.mailchimp_url + "/ping"
    assert requests.get(url, headers=bearer, timeout=60).json() == {"health_status": "Everything's Chimpy!"}
    shut = requests.get(url, headers=bearer | {"X-Trigger-Error": "APIKeyMissing"}, timeout=60)
    assert shut.status_code == 401


def test_the_root_names_the_account_and_the_role_of_the_key(api: Caller) -> None:
    body = api.call("GET", "/").json()
    assert (body["account_id"], body["role"], body["total_subscribers"]) == (api.sandbox.api_keys[0], "owner", 1)


def test_every_answer_names_its_request_and_a_problem_repeats_the_name(api: Caller) -> None:
    good, bad = api.member("GET", ADA), api.member("GET", BEN)
    assert good.headers["x-request-id"] != bad.headers["x-request-id"]
    assert bad.json()["instance"] == bad.headers["x-request-id"]


def test_a_wrong_list_and_a_wrong_hash_look_the_same(api: Caller) -> None:
    member, audience = api.member("GET", BEN), api.call("GET", f"/lists/nowhere/members/{md5(ADA)}")
    assert title(member) == title(audience) == (404, "Resource Not Found")
    assert api.call("GET", "/lists/nowhere").status_code == 404


def test_a_method_that_a_path_does_not_know_is_405_with_what_it_knows(api: Caller) -> None:
    reply = api.call("DELETE", "/ping")
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET")


def test_a_person_is_found_by_hash_address_and_contact_id_in_any_spelling(api: Caller) -> None:
    found = api.member("GET", "ADA@Example.org").json()
    assert found["id"] == md5(ADA)
    for reference in ("Ada%40EXAMPLE.org", found["contact_id"]):
        assert api.call("GET", f"/lists/{api.first}/members/{reference}").json()["id"] == md5(ADA)


def test_each_audience_knows_its_own_contacts_only(api: Caller) -> None:
    assert api.call("GET", f"/lists/{api.second}/members/{md5(ADA)}").status_code == 404
    assert api.sandbox.holds(ADA) == [(api.first, "subscribed")]


def test_one_account_does_not_see_the_other() -> None:
    with running_sandbox({"one-us1": "one", "two-us1": "two", "three-us1": "two"}) as sandbox:
        sandbox.add(ADA, account="two")
        seen = []
        for key in sandbox.api_keys:
            reply = requests.get(f"{sandbox.mailchimp_url}/lists", params={"email": ADA}, auth=("x", key), timeout=60)
            seen.append(reply.json()["total_items"])
        assert seen == [0, 1, 1]


def test_lists_are_paged_and_filtered_by_address_without_the_archived(api: Caller) -> None:
    page = api.call("GET", "/lists", count="1", offset="1", fields="lists.id,total_items").json()
    assert page == {"lists": [{"id": api.second}], "total_items": 2}
    by_address = {"email": "ADA@example.org", "fields": "lists.id"}
    assert api.call("GET", "/lists", **by_address).json() == {"lists": [{"id": api.first}]}
    api.member("DELETE", ADA)
    assert api.call("GET", "/lists", **by_address).json() == {"lists": []}
    api.sandbox.switch(lists_hide_archived=False)
    assert api.call("GET", "/lists", **by_address).json() == {"lists": [{"id": api.first}]}


@pytest.mark.parametrize(("name", "value"), [("count", "1001"), ("count", "many"), ("offset", "-1")])
def test_a_page_beyond_the_limits_is_refused(api: Caller, name: str, value: str) -> None:
    assert title(api.call("GET", "/lists", **{name: value})) == (400, "Invalid Resource")


def test_members_come_ten_at_a_time_and_the_archived_only_when_asked(api: Caller) -> None:
    for number in range(12):
        api.sandbox.add(f"reader{number}@example.org")
    api.sandbox.add(BEN, "archived")
    path = f"/lists/{api.first}/members"
    usual = api.call("GET", path).json()
    assert (len(usual["members"]), usual["total_items"]) == (10, 13)
    assert len(api.call("GET", path, count="1000").json()["members"]) == 13
    archived = api.call("GET", path, status="archived", exclude_fields="members.merge_fields,_links").json()
    assert [member["email_address"] for member in archived["members"]] == [BEN]
    assert "merge_fields" not in archived["members"][0]


def test_put_creates_where_patch_answers_404(api: Caller) -> None:
    assert api.member("PATCH", BEN, {"merge_fields": {"FNAME": "Ben"}}).status_code == 404
    assert api.sandbox.holds(BEN) == []
    made = api.member("PUT", BEN, {"email_address": BEN, "status_if_new": "subscribed"})
    assert (made.status_code, api.sandbox.holds(BEN)) == (200, [(api.first, "subscribed")])
    assert api.sandbox.effects("created") == 1


def test_put_needs_an_address_and_overwrites_the_status(api: Caller) -> None:
    assert api.member("PUT", ADA, {"status": "unsubscribed"}).status_code == 400
    api.member("PUT", ADA, {"email_address": ADA, "status_if_new": "pending"})
    assert api.sandbox.holds(ADA) == [(api.first, "subscribed")]
    api.member("PUT", ADA, {"email_address": ADA, "status": "unsubscribed"})
    assert api.sandbox.holds(ADA) == [(api.first, "unsubscribed")]


def test_merge_fields_are_partial_an_empty_text_clears_and_unknown_tags_are_ignored(api: Caller) -> None:
    body = api.member("PATCH", ADA, {"merge_fields": {"LNAME": "", "CITY": "Kent", "NOSUCH": "x"}}).json()
    fields = body["merge_fields"]
    assert (fields["FNAME"], fields["LNAME"], fields["CITY"]) == ("Ada", "", "Kent")
    assert "NOSUCH" not in fields
    assert api.sandbox.effects("patched") == 1


def test_a_misfitting_merge_field_refuses_the_whole_call(api: Caller) -> None:
    shop = {
        "id": "shop",
        "merge_fields": {"LTV": "number", "FNAME": "text"},
        "required": ["FNAME"],
        "members": [{"email": ADA}],
    }
    api.sandbox.seed({"mailchimp": {"accounts": [{"name": api.sandbox.api_keys[0], "audiences": [shop]}]}})
    path = f"/lists/shop/members/{md5(ADA)}"
    wrong = api.call("PATCH", path, {"status": "unsubscribed", "merge_fields": {"LTV": "much"}})
    assert wrong.json()["errors"] == [{"field": "LTV", "message": "Please enter a number"}]
    assert api.call("PATCH", path, {"merge_fields": {"FNAME": True}}).status_code == 400
    assert ("shop", "subscribed") in api.sandbox.holds(ADA)
    assert api.call("PATCH", path, {"merge_fields": {"LTV": 3}}).status_code == 400
    assert api.call("PATCH", path, {"merge_fields": {"LTV": 3}}, skip_merge_validation="true").status_code == 200


@pytest.mark.parametrize("raw", ["{", "[1]", '"text"'])
def test_a_body_that_is_no_object_is_400(api: Caller, raw: str) -> None:
    url = f"{api.sandbox.mailchimp_url}/lists/{api.first}/members/{md5(ADA)}"
    assert api.session.patch(url, data=raw, timeout=60).status_code == 400


def test_an_address_change_keeps_the_contact_id_and_leaves_nothing_under_the_old_hash(api: Caller) -> None:
    before = api.member("GET", ADA).json()
    after = api.member("PATCH", ADA, {"email_address": "ada.new@example.org"}).json()
    assert after["id"] == md5("ada.new@example.org")
    assert (after["contact_id"], after["web_id"]) == (before["contact_id"], before["web_id"])
    assert (api.member("GET", ADA).status_code, api.member("GET", "ada.new@example.org").status_code) == (404, 200)
    assert api.sandbox.effects_on(ADA) == [(api.first, "moved")]


@pytest.mark.parametrize("status", ["unsubscribed", "cleaned", "pending", "archived", "transactional"])
def test_only_a_subscribed_contact_may_change_its_address(api: Caller, status: str) -> None:
    api.sandbox.add(BEN, status)
    reply = api.member("PATCH", BEN, {"email_address": "ben.new@example.org", "merge_fields": {"CITY": "Kent"}})
    assert reply.json()["errors"][0]["message"].startswith(f'This member\'s status is "{status}."')
    held = api.sandbox.holdings(BEN)[0]
    assert (held.status, dict(held.merge_fields)["CITY"]) == (status, "")


@pytest.mark.parametrize("status", ["subscribed", "archived"])
def test_a_target_address_that_is_there_refuses_the_move_even_if_archived(api: Caller, status: str) -> None:
    api.sandbox.add(BEN, status)
    assert title(api.member("PATCH", ADA, {"email_address": BEN})) == (400, "Member Exists")
    assert api.sandbox.holds(ADA) == [(api.first, "subscribed")]


def test_an_address_looks_fake_only_on_demand(api: Caller) -> None:
    account = {"name": api.sandbox.api_keys[0], "audiences": [{"id": api.first, "fake": ["foo@example.org"]}]}
    api.sandbox.seed({"mailchimp": {"accounts": [account]}})
    reply = api.member("PATCH", ADA, {"email_address": "foo@example.org"})
    assert "looks fake or invalid" in reply.json()["errors"][0]["message"]
    assert api.member("PATCH", ADA, {"email_address": "no address"}).status_code == 400


def test_archiving_keeps_everything_readable_and_a_post_brings_the_person_back(api: Caller) -> None:
    assert api.member("DELETE", ADA).status_code == 204
    kept = api.member("GET", ADA).json()
    assert (kept["status"], kept["merge_fields"]["FNAME"]) == ("archived", "Ada")
    back = api.call("POST", f"/lists/{api.first}/members", {"email_address": ADA, "status": "subscribed"})
    assert (back.status_code, back.json()["status"]) == (200, "subscribed")
    assert api.sandbox.effects_on(ADA) == [(api.first, "archived"), (api.first, "resubscribed")]


@pytest.mark.parametrize("status", ["cleaned", "pending", "archived"])
def test_bounced_pending_and_archived_contacts_cannot_be_archived_but_erased(api: Caller, status: str) -> None:
    api.sandbox.add(BEN, status)
    reply = api.member("DELETE", BEN)
    assert title(reply) == (405, "Method Not Allowed")
    assert "bounced, pending or archived" in reply.json()["detail"]
    assert "DELETE" not in reply.headers["allow"]
    assert api.member("POST", BEN, below=ERASE).status_code == 204


def test_a_put_without_a_status_leaves_an_archived_contact_archived(api: Caller) -> None:
    api.sandbox.add(BEN, "archived")
    api.member("PUT", BEN, {"email_address": BEN, "status_if_new": "subscribed", "merge_fields": {"CITY": "Kent"}})
    assert api.sandbox.holds(BEN) == [(api.first, "archived")]


def test_an_erased_person_is_gone_and_can_neither_be_added_nor_moved_back(api: Caller) -> None:
    api.sandbox.add(BEN)
    reply = api.member("POST", ADA, below=ERASE)
    assert (reply.status_code, reply.content) == (204, b"")
    assert (api.member("GET", ADA).status_code, api.member("POST", ADA, below=ERASE).status_code) == (404, 404)
    refused = [
        api.call("POST", f"/lists/{api.first}/members", {"email_address": ADA, "status": "subscribed"}),
        api.member("PUT", ADA, {"email_address": ADA.upper(), "status_if_new": "subscribed"}),
        api.member("PATCH", BEN, {"email_address": ADA}),
    ]
    assert [title(one) for one in refused] == [(400, "Forgotten Email Not Subscribed")] * 3
    assert (api.sandbox.holds(ADA), api.sandbox.effects("deleted")) == ([], 1)
    assert [held.status for held in api.sandbox.holdings(ADA)] == ["forgotten"]


@pytest.mark.parametrize("below", [ERASE, "/tags"])
def test_erasure_and_tags_understand_the_hash_only(api: Caller, below: str) -> None:
    contact = api.member("GET", ADA).json()["contact_id"]
    body = {"tags": [{"name": "x", "status": "active"}]}
    assert api.call("POST", f"/lists/{api.first}/members/{contact}{below}", body).status_code == 404
    assert api.sandbox.holds(ADA) == [(api.first, "subscribed")]


def test_adding_somebody_who_is_there_is_refused(api: Caller) -> None:
    reply = api.call("POST", f"/lists/{api.first}/members", {"email_address": ADA, "status": "subscribed"})
    assert title(reply) == (400, "Member Exists")


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_who_left_by_the_link_or_bounced_cannot_be_subscribed_by_others(api: Caller, method: str) -> None:
    api.sandbox.add(BEN, "cleaned")
    api.sandbox.act(ADA, "unsubscribe", source="user")
    for address in (ADA, BEN):
        reply = api.member(method, address, {"email_address": address, "status": "subscribed"})
        assert title(reply) == (400, "Member In Compliance State")


def test_an_unsubscribe_by_an_operator_can_be_reversed(api: Caller) -> None:
    assert api.member("PATCH", ADA, {"status": "unsubscribed"}).json()["status"] == "unsubscribed"
    assert api.member("PATCH", ADA, {"status": "subscribed"}).status_code == 200


def test_opting_out_twice_is_one_effect(api: Caller) -> None:
    for _ in range(2):
        assert api.member("PATCH", ADA, {"status": "unsubscribed"}).status_code == 200
    assert api.sandbox.effects("unsubscribed") == api.sandbox.effects() == 1


def test_an_unknown_status_is_refused(api: Caller) -> None:
    assert api.member("PATCH", ADA, {"status": "archived"}).json()["errors"][0]["field"] == "status"


def test_tags_are_set_and_taken_away(api: Caller) -> None:
    body = {"tags": [{"name": "processing-restricted", "status": "active"}], "is_syncing": True}
    assert api.member("POST", ADA, body, below="/tags").status_code == 204
    assert [tag["name"] for tag in api.member("GET", ADA).json()["tags"]] == ["processing-restricted"]
    assert api.member("GET", ADA, below="/tags").json()["total_items"] == 1
    body["tags"] = [{"name": "processing-restricted", "status": "inactive"}]
    api.member("POST", ADA, body, below="/tags")
    assert api.member("GET", ADA).json()["tags_count"] == 0
    assert api.member("POST", BEN, body, below="/tags").status_code == 404
    assert api.member("POST", ADA, {"tags": [{"name": "x"}]}, below="/tags").status_code == 400


def search(api: Caller, query: str) -> tuple[int, int]:
    found = api.call("GET", "/search-members", query=query)
    assert found.status_code == 200
    return found.json()["exact_matches"]["total_items"], found.json()["full_search"]["total_items"]


def test_search_matches_addresses_exactly_and_the_rest_in_part(api: Caller) -> None:
    api.sandbox.add("a+b@example.org")
    assert [search(api, query) for query in (ADA.upper(), "ada", BEN, "a+b@example.org")] == [
        (1, 0),
        (0, 1),
        (0, 0),
        (1, 0),
    ]
    raw = api.session.get(f"{api.sandbox.mailchimp_url}/search-members?query=a+b@example.org", timeout=60).json()
    assert raw["exact_matches"]["total_items"] == 0
    assert api.call("GET", "/search-members").status_code == 400


def test_a_lagging_search_still_shows_the_past(api: Caller) -> None:
    api.sandbox.switch(search_lag=True)
    api.sandbox.add(BEN)
    api.member("POST", ADA, below=ERASE)
    assert (search(api, ADA), search(api, BEN)) == ((1, 0), (0, 0))
    api.sandbox.switch(search_lag=False)
    assert (search(api, ADA), search(api, BEN)) == ((0, 0), (1, 0))


def test_the_eleventh_call_at_once_is_429_and_the_peak_is_counted() -> None:
    # Ten calls stay inside while the eleventh comes; the limit is of the user, whatever key is used.
    with running_sandbox({"one-us1": "main", "two-us1": "main"}) as sandbox, ThreadPoolExecutor(11) as pool:
        sandbox.fault("hang", template="/lists", times=None, seconds=60)

        def call(number: int) -> requests.Response:
            key = sandbox.api_keys[number % 2]
            return requests.get(f"{sandbox.mailchimp_url}/lists", auth=("x", key), timeout=60)

        calls = [pool.submit(call, number) for number in range(11)]
        refused = next(as_completed(calls)).result()
        while not all(one.done() for one in calls):
            sandbox.release()
        assert refused.json()["detail"] == "You have exceeded the limit of 10 simultaneous connections."
        assert sorted(one.result().status_code for one in calls) == [200] * 10 + [429]
        assert sandbox.counters()["peak_parallel"] == {"main": 11}
        assert sandbox.counters()["running"] == {}


def test_counters_tell_templates_effects_and_times_and_never_an_address(api: Caller) -> None:
    api.member("GET", ADA)
    api.member("POST", ADA, below=ERASE)
    counted: Any = api.sandbox.counters()
    member = "/lists/{list_id}/members/{subscriber_hash}"
    assert counted["calls"] == {f"GET {member}": 1, f"POST {member}{ERASE}": 1}
    assert counted["statuses"] == {"200": 1, "204": 1}
    assert {kind: count for kind, count in counted["effects"].items() if count} == {"deleted": 1}
    after: Any = api.sandbox.counters(after=counted["last_call_at"])
    before: Any = api.sandbox.counters(before=counted["last_call_at"])
    assert (after["calls_total"], before["calls_total"]) == (1, 1)
    assert ADA not in json.dumps(counted)
    assert md5(ADA) not in json.dumps(counted)


def test_every_path_that_the_vendors_file_has_is_answered_as_it_says(api: Caller) -> None:
    # Every answer of every test here is held against the file by the caller; these are those that no other test asks.
    spec = Specification("mailchimp-openapi.json")
    member = f"/lists/{api.first}/members/{md5(ADA)}"
    for path in ("/ping", "/lists", f"/lists/{api.first}", f"/lists/{api.first}/members", member, f"{member}/tags"):
        reply = api.call("GET", path)
        assert reply.status_code == 200
        spec.assert_answer(reply.request, 200, reply.json())
    assert api.call("GET", "/search-members", query=ADA).status_code == 200
    problem = api.call("GET", "/lists/nowhere").json()
    spec.assert_fits(problem, spec.spec["definitions"]["ProblemDetailDocument"])


def test_what_stands_beside_a_contact_has_the_shapes_of_the_vendors_file(api: Caller) -> None:
    fields = f"/lists/{api.first}/merge-fields"
    assert api.call("GET", fields, count="3").json()["total_items"] == 6
    assert [one["tag"] for one in api.call("GET", fields, type="birthday").json()["merge_fields"]] == ["BIRTHDAY"]
    added = api.call("POST", fields, {"name": "Colour", "type": "dropdown", "options": {"choices": ["Red"]}}).json()
    assert (added["tag"], added["options"]) == ("MMERGE7", {"choices": ["Red"]})
    note = api.member("POST", ADA, {"note": "rang"}, below="/notes").json()["id"]
    assert api.member("PATCH", ADA, {"note": "wrote"}, below=f"/notes/{note}").status_code == 200
    assert api.member("GET", ADA, below="/notes").json()["total_items"] == 1
    assert api.member("POST", ADA, {"name": "visited"}, below="/events").status_code == 204
    for below in ("/events", "/activity", "/activity-feed", f"/notes/{note}"):
        assert api.member("GET", ADA, below=below).status_code == 200
    assert api.member("DELETE", ADA, below=f"/notes/{note}").status_code == 204
    members = {"members": [{"email_address": BEN, "status": "subscribed"}], "update_existing": True}
    assert api.call("POST", f"/lists/{api.first}", members).json()["total_created"] == 1


def test_a_body_that_is_null_is_none(api: Caller) -> None:
    url = f"{api.sandbox.mailchimp_url}/lists/{api.first}/members/{md5(ADA)}{ERASE}"
    assert api.session.post(url, data=b"null", timeout=60).status_code == 204


def test_a_key_opens_the_account_that_a_scenario_gives_it_to() -> None:
    audience = {"id": "given", "members": [{"email": ADA}]}
    with running_sandbox() as sandbox:
        (key,) = sandbox.api_keys
        sandbox.seed({"mailchimp": {"accounts": [{"name": "main", "keys": [key], "audiences": [audience]}]}})
        url = f"{sandbox.mailchimp_url}/lists"
        shown = requests.get(url, auth=("x", key), timeout=60).json()["lists"]
        assert [one["id"] for one in shown] == ["given"]


def test_interest_groups_are_made_joined_and_left_and_a_wrong_one_changes_nothing(api: Caller) -> None:
    categories = f"/lists/{api.first}/interest-categories"
    made = api.call("POST", categories, {"title": "What for?", "type": "checkboxes"}).json()
    assert title(api.call("POST", categories, {"title": "What for?", "type": "list"})) == (400, "Invalid Resource")
    groups = f"{categories}/{made['id']}/interests"
    events, news = (api.call("POST", groups, {"name": name}).json()["id"] for name in ("Events", "News"))
    assert api.member("GET", ADA).json()["interests"] == {events: False, news: False}
    assert api.member("PATCH", ADA, {"interests": {events: True}}).json()["interests"] == {events: True, news: False}
    rows = api.call("GET", groups).json()["interests"]
    assert [(one["name"], one["subscriber_count"], one["display_order"]) for one in rows] == [
        ("Events", "1", 1),
        ("News", "0", 2),
    ]
    for wrong, why in (({"0": True, news: True}, "Invalid interest ID: '0'."), ([events], "could not be validated")):
        refused = api.member("PATCH", ADA, {"status": "unsubscribed", "interests": wrong})
        assert title(refused) == (400, "Invalid Resource")
        assert why in refused.json()["detail"]
    assert (api.member("GET", ADA).json()["status"], api.sandbox.holds(ADA)) == (
        "subscribed",
        [(api.first, "subscribed")],
    )
    ben = {"email_address": BEN, "status": "subscribed", "interests": {news: True}}
    assert api.call("POST", f"/lists/{api.first}/members", ben).json()["interests"][news] is True
    listed = api.call("GET", f"/lists/{api.first}/members", fields="members.interests").json()["members"]
    assert listed == [{"interests": {events: True, news: False}}, {"interests": {events: False, news: True}}]
    assert api.call("DELETE", f"{groups}/{events}").status_code == 204
    assert api.member("GET", ADA).json()["interests"] == {news: False}
    assert api.call("GET", f"{groups}/{events}").status_code == 404
    assert api.call("DELETE", f"{categories}/{made['id']}").status_code == 204
    assert api.call("GET", categories).json()["total_items"] == 0
    assert api.member("GET", BEN).json()["interests"] == {}
