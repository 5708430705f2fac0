"""The vendors' own Python clients, over real HTTP on loopback, find in the imitation what they expect of the vendor."""

import http.client
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import createsend
import mailchimp_marketing
import pytest
import requests
from mailchimp_marketing.api_client import ApiClientError

from dpsync.sandbox.box import CAMPAIGN_MONITOR_KEY
from dpsync.sandbox.server import RunningSandbox, running_sandbox
from tests.sandbox_caller import ADA, BEN, md5

NEW = "ada.new@example.org"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
CHOICES = {"choices": ["Red", "Blue"]}
SCENARIO: dict[str, Any] = {
    "mailchimp": {
        "accounts": [
            {
                "name": "sandbox-key-us1",
                "audiences": [
                    {
                        "id": "a1b2c3d4e5",
                        "merge_fields": {
                            "FNAME": "text",
                            "LNAME": "text",
                            "BORN": "date",
                            "BDAY": "birthday",
                            "BTAG": {"type": "birthday", "options": {"date_format": "DD/MM"}},
                            "ADDRESS": "address",
                            "SEATS": "number",
                            "PHONE": {"type": "phone", "options": {"phone_format": "US"}},
                            "COLOUR": {"type": "dropdown", "options": CHOICES},
                            "ZIP": "zip",
                            "SITE": "url",
                        },
                        "required": ["FNAME"],
                        "members": [{"email": ADA, "merge_fields": {"FNAME": "Ada", "LNAME": "L"}}],
                    }
                ],
            }
        ]
    },
    "campaign_monitor": {
        "accounts": [
            {
                "name": "main",
                "zone": "Australia/Sydney",
                "clients": [
                    {
                        "name": "One",
                        "lists": [
                            {
                                "title": "News",
                                "fields": {
                                    "City": "Text",
                                    "Born": "Date",
                                    "Topics": {"type": "MultiSelectMany", "options": ["News", "Events"]},
                                },
                                "subscribers": [
                                    {
                                        "email": ADA,
                                        "name": "Ada L",
                                        "fields": {"City": "Kent", "Topics": ["News", "Events"]},
                                        "history": [{"name": "May", "actions": [{"date": "2026-05-01 10:00:00"}]}],
                                    }
                                ],
                            }
                        ],
                    }
                ],
            }
        ]
    },
}


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(now=lambda: NOON) as running:
        running.seed(SCENARIO)
        yield running


# --- Mailchimp


@pytest.fixture
def mailchimp(sandbox: RunningSandbox) -> Any:
    made: Any = mailchimp_marketing.Client
    client = made({"api_key": sandbox.api_keys[0], "server": "", "timeout": 20})
    client.api_client.host = sandbox.mailchimp_url
    return client


LIST = "a1b2c3d4e5"


def no(call: Callable[[], object]) -> tuple[int | None, str]:
    with pytest.raises(ApiClientError) as caught:
        call()
    return caught.value.status_code, str(caught.value.text)


def test_mailchimp_reads_account_audiences_and_contacts(mailchimp: Any) -> None:
    assert mailchimp.ping.get() == {"health_status": "Everything's Chimpy!"}
    assert mailchimp.root.get_root(fields=["total_subscribers"]) == {"total_subscribers": 1}
    assert LIST in [one["id"] for one in mailchimp.lists.get_all_lists(count=1000)["lists"]]
    assert mailchimp.lists.get_list(LIST, fields=["id"]) == {"id": LIST}
    assert mailchimp.lists.get_list_members_info(LIST)["total_items"] == 1
    assert mailchimp.lists.get_list_member(LIST, md5(ADA))["merge_fields"]["FNAME"] == "Ada"
    assert mailchimp.lists.get_list_member(LIST, ADA)["id"] == md5(ADA)
    assert mailchimp.searchMembers.search(ADA)["exact_matches"]["total_items"] == 1
    assert no(lambda: mailchimp.lists.get_list_member(LIST, md5(BEN)))[0] == 404


def test_mailchimp_adds_changes_unsubscribes_archives_and_erases(mailchimp: Any, sandbox: RunningSandbox) -> None:
    lists, member = mailchimp.lists, md5(ADA)
    body = {"email_address": BEN, "status": "subscribed", "merge_fields": {"FNAME": "Ben"}}
    assert lists.add_list_member(LIST, body)["id"] == md5(BEN)
    assert lists.set_list_member(LIST, md5(BEN), {**body, "status_if_new": "subscribed"})["status"] == "subscribed"
    moved = lists.update_list_member(LIST, member, {"email_address": NEW}, skip_merge_validation=True)
    assert moved["id"] == md5(NEW)
    assert lists.update_list_member(LIST, md5(NEW), {"status": "unsubscribed"})["status"] == "unsubscribed"
    lists.delete_list_member(LIST, md5(NEW))
    assert sandbox.holds(NEW) == [(LIST, "archived")]
    assert no(lambda: lists.delete_list_member(LIST, md5(NEW)))[0] == 405
    for address in (BEN, NEW):
        # the client sends the body "null" for a call that has none
        assert lists.delete_list_member_permanent(LIST, md5(address)).status_code == 204
        assert sandbox.holds(address) == []
        assert no(partial(lists.delete_list_member_permanent, LIST, md5(address)))[0] == 404
    status, said = no(lambda: lists.add_list_member(LIST, body))
    assert status == 400
    assert "Forgotten Email Not Subscribed" in said


def test_mailchimp_keeps_tags_notes_and_events_of_a_contact(mailchimp: Any) -> None:
    lists, member = mailchimp.lists, md5(ADA)
    lists.update_list_member_tags(LIST, member, {"tags": [{"name": "gold", "status": "active"}]})
    assert [one["name"] for one in lists.get_list_member_tags(LIST, member)["tags"]] == ["gold"]
    note = lists.create_list_member_note(LIST, member, {"note": "rang"})["id"]
    assert lists.update_list_member_note(LIST, member, note, {"note": "wrote"})["note"] == "wrote"
    assert lists.get_list_member_note(LIST, member, note)["note"] == "wrote"
    assert lists.get_list_member_notes(LIST, member)["total_items"] == 1
    lists.delete_list_member_note(LIST, member, note)
    assert no(lambda: lists.get_list_member_note(LIST, member, note))[0] == 404
    lists.create_list_member_event(LIST, member, {"name": "visited"})
    assert lists.get_list_member_events(LIST, member)["events"][0]["name"] == "visited"
    assert lists.get_list_member_activity(LIST, member)["activity"] == []
    assert lists.get_list_member_activity_feed(LIST, member)["activity"] == []


def test_mailchimp_takes_many_contacts_and_names_those_it_refuses(mailchimp: Any, sandbox: RunningSandbox) -> None:
    rows = [
        {"email_address": address, "status": "subscribed", "merge_fields": {"FNAME": "B"}} for address in (BEN, ADA)
    ]
    said = mailchimp.lists.batch_list_members(LIST, {"members": [*rows, {"email_address": "x", "status": "pending"}]})
    assert (said["total_created"], said["total_updated"], said["error_count"]) == (1, 0, 2)
    said = mailchimp.lists.batch_list_members(LIST, {"members": rows, "update_existing": True})
    assert (said["total_created"], said["total_updated"]) == (0, 2)
    assert sandbox.holds(BEN) == [(LIST, "subscribed")]


def test_mailchimp_shows_and_changes_the_merge_fields_of_an_audience(mailchimp: Any) -> None:
    lists = mailchimp.lists
    shown = {one["tag"]: one for one in lists.get_list_merge_fields(LIST, count=1000)["merge_fields"]}
    assert shown["BORN"]["options"] == {"date_format": "MM/DD/YYYY"}
    assert shown["COLOUR"]["options"]["choices"] == CHOICES["choices"]
    assert shown["FNAME"]["required"]
    added = lists.add_list_merge_field(LIST, {"name": "Shoe", "type": "number", "tag": "SHOE"})
    assert lists.get_list_merge_field(LIST, added["merge_id"])["type"] == "number"
    assert lists.update_list_merge_field(LIST, added["merge_id"], {"name": "Size"})["name"] == "Size"
    assert lists.get_list_member(LIST, md5(ADA))["merge_fields"]["SHOE"] == ""
    lists.delete_list_merge_field(LIST, added["merge_id"])
    assert no(lambda: lists.get_list_merge_field(LIST, added["merge_id"]))[0] == 404
    assert (
        "already exists"
        in no(lambda: lists.add_list_merge_field(LIST, {"name": "x", "type": "text", "tag": "BORN"}))[1]
    )


HOME = {"addr1": "1 High Street", "city": "Kent", "state": "", "zip": "CT1 1AA"}
TAKEN: list[tuple[str, Any, Any]] = [
    ("BORN", "12/31/1990", "1990-12-31"),
    ("BORN", "31-12-1990", "1990-12-31"),
    ("BORN", "1990/12/31", "1990-12-31"),
    ("BORN", "", ""),
    ("BDAY", "12/31", "12/31"),
    ("BTAG", "31/12", "31/12"),
    ("ADDRESS", HOME, HOME | {"addr2": "", "country": "US"}),
    ("SEATS", "12.0", 12),
    ("SEATS", 12.5, 12.5),
    ("PHONE", "(404) 555-0123", "404-555-0123"),
    ("COLOUR", "Red", "Red"),
    ("ZIP", "01234", "01234"),
    ("SITE", "https://example.org/a", "https://example.org/a"),
    ("LNAME", "\u00e9" * 128, "\u00e9" * 127),
]
REFUSED: list[tuple[str, Any, str]] = [
    ("BORN", "31/12/1990", "Please enter the date"),
    ("BORN", "1990-02-30", "Please enter the date"),
    ("BDAY", "1/2", "Please enter a month (01-12) and a day (01-31)"),
    ("BDAY", "31/12", "Please enter a month (01-12) and a day (01-31)"),
    ("BDAY", "1980-01-02", "Please enter a month (01-12) and a day (01-31)"),
    ("BTAG", "12/31", "Please enter a month (01-12) and a day (01-31)"),
    ("ADDRESS", "1 High Street", "Please enter a complete address"),
    ("ADDRESS", {"addr1": "1 High Street"}, "Please enter a complete address"),
    ("SEATS", "twelve", "Please enter a number"),
    ("PHONE", "555-0123", "Please enter a phone number (ex 555-555-5555)"),
    ("COLOUR", "red", "Please select one of the choices"),
    ("ZIP", "CT1 1AA", "Please enter a zip code (5 digits)"),
    ("SITE", "example", "Please enter a valid URL"),
    ("LNAME", HOME, "Schema describes string, object found instead"),
    ("LNAME", True, "Schema describes string, boolean found instead"),
]


def test_mailchimp_keeps_each_value_in_the_form_of_its_type(mailchimp: Any) -> None:
    for tag, value, kept in TAKEN:
        shown = mailchimp.lists.update_list_member(LIST, md5(ADA), {"merge_fields": {tag: value}})
        assert shown["merge_fields"][tag] == kept


def test_mailchimp_refuses_a_value_of_another_type_by_its_tag_and_changes_nothing(mailchimp: Any) -> None:
    before = mailchimp.lists.get_list_member(LIST, md5(ADA))["merge_fields"]
    for tag, value, words in REFUSED:
        body = {"email_address": NEW, "merge_fields": {tag: value, "FNAME": "Augusta"}}
        status, said = no(partial(mailchimp.lists.update_list_member, LIST, md5(ADA), body))
        assert status == 400
        assert f'"field": "{tag}", "message": "{words}"' in said
    assert mailchimp.lists.get_list_member(LIST, md5(ADA))["merge_fields"] == before


def test_mailchimp_names_every_refused_field_at_once_and_one_that_is_missing(mailchimp: Any) -> None:
    body = {"merge_fields": {"SEATS": "x", "BORN": "x"}}
    said = no(lambda: mailchimp.lists.update_list_member(LIST, md5(ADA), body))[1]
    assert '"field": "SEATS"' in said
    assert '"field": "BORN"' in said
    empty = {"email_address": BEN, "status": "subscribed"}
    assert (
        '"field": "FNAME", "message": "Please enter a value"'
        in no(lambda: mailchimp.lists.add_list_member(LIST, empty))[1]
    )
    assert mailchimp.lists.add_list_member(LIST, empty, skip_merge_validation=True)["id"] == md5(BEN)


# --- Campaign Monitor


@pytest.fixture
def account(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    # the client takes the vendor's TLS for granted, whatever its base address says; the imitation speaks plain HTTP
    monkeypatch.setattr(createsend.createsend, "VerifiedHTTPSConnection", http.client.HTTPConnection)
    monkeypatch.setattr(createsend.CreateSend, "base_uri", sandbox.addresses.campaign_monitor_url)
    monkeypatch.setattr(
        createsend.CreateSend, "oauth_token_uri", sandbox.campaign_monitor.url.rpartition("/api")[0] + "/oauth/token"
    )
    return createsend.CreateSend({"api_key": CAMPAIGN_MONITOR_KEY})


def client_of(account: Any) -> Any:
    return createsend.Client(account.auth_details, account.clients()[0].ClientID)


def list_of(account: Any) -> Any:
    return createsend.List(account.auth_details, client_of(account).lists()[0].ListID)


def subscriber(account: Any, address: str = ADA) -> Any:
    return createsend.Subscriber(account.auth_details, list_of(account).list_id, address)


def code(call: Callable[[], object]) -> int:
    with pytest.raises(createsend.BadRequest) as caught:
        call()
    return int(caught.value.data.Code)


def test_campaign_monitor_tells_its_time_in_the_accounts_zone(account: Any) -> None:
    assert account.systemdate() == "2026-11-20 23:00:00"
    assert any("Sydney" in zone for zone in account.timezones())
    assert "United Kingdom" in account.countries()
    found = subscriber(account).get()
    assert (found.ListJoinedDate, found.State) == ("2026-11-20 23:00:00", "Active")


def test_campaign_monitor_shows_clients_lists_and_their_fields(account: Any) -> None:
    client, held = client_of(account), list_of(account)
    assert client.details().BasicDetails.CompanyName == "One"
    assert [one.ListName for one in client.lists_for_email(ADA)] == ["News"]
    assert held.details().UnsubscribeSetting == "AllClientLists"
    assert [(one.Key, one.DataType) for one in held.custom_fields()] == [
        ("[city]", "Text"),
        ("[born]", "Date"),
        ("[topics]", "MultiSelectMany"),
    ]
    assert held.custom_fields()[2].FieldOptions == ["News", "Events"]
    for state in ("active", "unconfirmed", "bounced", "unsubscribed", "deleted"):
        assert getattr(held, state)().TotalNumberOfRecords == (state == "active")


def test_campaign_monitor_adds_updates_unsubscribes_and_deletes(account: Any, sandbox: RunningSandbox) -> None:
    ada, ben = subscriber(account), subscriber(account, BEN)
    assert ben.add(ben.list_id, BEN, "Ben", [{"Key": "City", "Value": "Hove"}], False, "Unchanged") == BEN
    ada.update(NEW, "Ada King", [{"Key": "born", "Value": "1990/12/31"}], False, "Unchanged")
    shown = subscriber(account, NEW).get(include_tracking_preference=True)
    assert (shown.Name, shown.ConsentToTrack) == ("Ada King", "Unchanged")
    assert {(one.Key, one.Value) for one in shown.CustomFields} == {
        ("City", "Kent"),
        ("Topics", "News"),
        ("Topics", "Events"),
        ("Born", "1990-12-31"),
    }
    assert code(subscriber(account, ADA).get) == 203
    assert code(lambda: ada.update(BEN, "Ada", [], False, "Unchanged")) == 201
    ben.unsubscribe()
    assert ben.get().State == "Unsubscribed"
    ada.email_address = NEW
    ada.delete()
    assert ada.get().State == "Deleted"
    assert [deed.Event for deed in ada.history()[0].Actions] == ["Open"]
    assert sandbox.campaign_monitor.holds(NEW) == [(ada.list_id, "Deleted")]


def test_campaign_monitor_passes_over_what_is_no_value_of_a_type(account: Any) -> None:
    ada = subscriber(account)
    ada.update(ADA, "Ada L", [{"Key": "born", "Value": "soon"}, {"Key": "topics", "Value": "Jobs"}], False, "Unchanged")
    shown = {one.Key: one.Value for one in ada.get().CustomFields}
    assert "Born" not in shown
    assert shown["Topics"] == "Events"


def test_campaign_monitor_imports_suppresses_and_unsuppresses(account: Any) -> None:
    client, ada = client_of(account), subscriber(account)
    said = ada.import_subscribers(
        ada.list_id, [{"EmailAddress": one, "ConsentToTrack": "Unchanged"} for one in (BEN, "no address")], False
    )
    assert [one.Code for one in said.FailureDetails] == [1]
    client.suppress(ADA)
    client.suppress([BEN])
    page = client.suppressionlist(page_size=10)
    assert [one.EmailAddress for one in page.Results] == [ADA, BEN]
    client.unsuppress(ADA)
    assert client.suppressionlist().TotalNumberOfRecords == 1
    assert code(lambda: client.unsuppress(ADA)) == 176


def test_campaign_monitor_keeps_webhooks(account: Any) -> None:
    held = list_of(account)
    hook = held.create_webhook(["Subscribe"], "http://127.0.0.1:9/hook", "json")
    assert [one.WebhookID for one in held.webhooks()] == [hook]
    held.deactivate_webhook(hook)
    assert held.webhooks()[0].Status == "Deactivated"
    held.activate_webhook(hook)
    held.delete_webhook(hook)
    assert held.webhooks() == []


def test_campaign_monitor_says_what_is_wrong_with_a_credential_and_renews_a_token(
    account: Any, sandbox: RunningSandbox
) -> None:
    with pytest.raises(createsend.Unauthorized) as caught:
        createsend.CreateSend({"api_key": "another"}).clients()
    assert caught.value.data.Code == 100
    sandbox.campaign_monitor.there(lambda vendor: vendor.give_token(vendor.accounts["main"], "access", "refresh"))
    holder = createsend.CreateSend({"access_token": "access", "refresh_token": "refresh"})
    access, _, _ = holder.refresh_token()
    assert access != "access"
    assert [one.Name for one in holder.clients()] == ["One"]


@pytest.mark.parametrize(
    ("version", "said"),
    [("v3", 201), ("v3.1", 201), ("v3.2", 214), ("v3.3", 214), ("v3.4", 404), ("v2", 404), ("v3.33", 404)],
)
def test_campaign_monitor_understands_the_older_versions_that_its_client_for_node_speaks(
    account: Any, sandbox: RunningSandbox, version: str, said: int
) -> None:
    url = sandbox.addresses.campaign_monitor_url.replace("/v3.3", f"/{version}")
    auth, place = (CAMPAIGN_MONITOR_KEY, "magic"), list_of(account).list_id
    one, two = {"EmailAddress": BEN, "Name": "Ben"}, {"EmailAddress": NEW, "Name": "Ada"}
    added = requests.post(f"{url}/subscribers/{place}.json", json=one, auth=auth, timeout=20)
    several = {"Subscribers": [two], "Resubscribe": False}
    taken = requests.post(f"{url}/subscribers/{place}/import.json", json=several, auth=auth, timeout=20)
    if said == 201:
        assert (added.status_code, added.json(), taken.json()["TotalNewSubscribers"]) == (201, BEN, 1)
        assert subscriber(account, BEN).get(None, None, True).ConsentToTrack == "Unchanged"
    else:
        assert added.json()["Code"] == said
        assert said == 404 or taken.json()["ResultData"]["FailureDetails"][0]["Code"] == said
