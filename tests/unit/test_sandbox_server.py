"""The sandbox as a whole: its control plane, its webhooks, and the process that a rehearsal starts."""

import contextlib
import hashlib
import hmac
import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from dpsync.sandbox.server import running_sandbox
from tests.sandbox_caller import ADA, BEN, Caller, Listener, calling, listening, md5

SCENARIO = {
    "mailchimp": {
        "accounts": [
            {
                "name": "main",
                "keys": ["main-us1", "spare-us1"],
                "audiences": [
                    {
                        "id": "news",
                        "name": "News",
                        "members": [{"email": ADA, "tags": ["gold"]}, {"email": BEN, "status": "cleaned"}],
                    },
                    {"id": "events", "forgotten": [BEN]},
                ],
            }
        ],
        "faults": [{"kind": "empty_500", "method": "DELETE"}],
        "switches": {"latency_ms": 1},
    },
    "campaign_monitor": {
        "accounts": [
            {
                "name": "agency",
                "keys": ["agency-key"],
                "clients": [{"name": "One", "lists": [{"title": "News", "subscribers": [{"email": ADA}]}]}],
            }
        ],
        "switches": {"repeat_is_203": True},
    },
    "eventbrite": {
        "organizations": [
            {
                "name": "Gardens",
                "tokens": ["gardens-token"],
                "events": [{"name": "Open day", "orders": [{"email": ADA, "guests": [{"email": BEN}]}]}],
            }
        ],
        "switches": {"page_size": 10},
    },
    "hootsuite": {
        "clients": {"another-app": "its-secret"},
        "contacts": [{"handle": "fb-1", "name": "Ada Byron", "attributes": {"email": ADA}, "resolved": True}],
        "posts": [{"text": "Meet us", "at": "2026-12-01T09:00:00Z"}],
        "faults": [{"kind": "html_502", "method": "DELETE"}],
    },
    "google_analytics": {"visitors": [{"property_id": "1", "user_id": "1148903321.1767225600"}]},
    "mail": {"default": {"behaviours": ["silent"]}, "rules": {"desk@example.org": {"behaviours": ["bounce_5.1.1"]}}},
}
EVENTS = dict.fromkeys(("subscribe", "unsubscribe", "profile", "cleaned", "upemail"), True)


@pytest.fixture
def api() -> Iterator[Caller]:
    with calling() as caller:
        yield caller


def control(api: Caller, method: str, path: str, body: object = None) -> Any:
    reply = requests.request(method, api.sandbox.control_url + path, json=body, timeout=60)
    return reply.json() if reply.status_code == 200 else reply.status_code


def test_a_scenario_fills_everything_over_http(api: Caller) -> None:
    assert control(api, "POST", "/seed", SCENARIO) == {"seeded": True}
    held = control(api, "GET", f"/holds?address={BEN}")
    assert [(one["account"], one["list_id"], one["status"]) for one in held] == [
        ("main", "news", "cleaned"),
        ("main", "events", "forgotten"),
    ]
    spare = Caller(api.sandbox, "spare-us1")
    tags = spare.call("GET", f"/lists/news/members/{md5(ADA)}").json()["tags"]
    assert [tag["name"] for tag in tags] == ["gold"]
    assert [fault["kind"] for fault in control(api, "GET", "/faults")] == ["empty_500"]
    assert spare.call("DELETE", f"/lists/news/members/{md5(ADA)}").status_code == 500
    spare.session.close()


def test_each_vendor_has_its_own_port_faults_counts_and_control(api: Caller) -> None:
    other = api.sandbox.campaign_monitor
    api.sandbox.seed(SCENARIO | {"mailchimp": {}})
    base = other.url.removesuffix("/api/v3.3")
    key = ("agency-key", "x")
    assert requests.post(f"{base}/_sandbox/faults", json={"kind": "empty_500"}, timeout=60).json() == {"set": True}
    assert api.call("GET", "/ping").status_code == 200
    assert requests.get(f"{other.url}/clients.json", auth=key, timeout=60).status_code == 500
    assert requests.get(f"{other.url}/clients.json", auth=key, timeout=60).status_code == 200
    assert (api.sandbox.calls(), other.calls()) == (1, 2)
    assert requests.get(f"{base}/_sandbox/counters", timeout=60).json()["faults"] == {"empty_500": 1}
    (held,) = requests.get(f"{base}/_sandbox/holds?address={ADA}", timeout=60).json()
    assert held["state"] == "Active"
    deed = {"address": ADA, "act": "erase"}
    assert requests.post(f"{base}/_sandbox/act", json=deed, timeout=60).json() == {"done": 1}
    assert (other.holds(ADA), other.effects("erased"), api.sandbox.holds(ADA)) == ([], 1, [(api.first, "subscribed")])
    assert requests.post(f"{base}/_sandbox/switches", json={"search_lag": True}, timeout=60).status_code == 422


def test_one_scenario_fills_every_vendor(api: Caller) -> None:
    box = api.sandbox
    assert control(api, "POST", "/seed", SCENARIO) == {"seeded": True}
    assert [state for _, state in box.holds(BEN)] == ["cleaned"]
    assert [state for _, state in box.campaign_monitor.holds(ADA)] == ["Active"]
    assert [place.split()[0] for place, _ in box.eventbrite.holds(BEN)] == ["attendee"]
    assert [state for _, state in box.hootsuite.holds(ADA)] == ["fb"]
    assert [state for _, state in box.hootsuite.holds("meet us")] == ["SCHEDULED"]
    assert box.google_analytics.holds("1148903321.1767225600") == [("1", "collected")]
    form = {"grant_type": "organization_app", "organization_id": box.addresses.hootsuite_organization}
    url = f"{box.hootsuite.url}/oauth2/token"
    assert requests.post(url, data=form, auth=("another-app", "its-secret"), timeout=60).status_code == 200
    orders = f"{box.eventbrite.url}/organizations/{box.eventbrite.organizations()[1]}/orders/"
    page = requests.get(orders, headers={"Authorization": "Bearer gardens-token"}, timeout=60).json()["pagination"]
    assert (page["object_count"], page["page_size"]) == (1, 10)
    waiting = requests.get(f"{box.hootsuite.url}/_sandbox/faults", timeout=60).json()
    assert [one["kind"] for one in waiting] == ["html_502"]


def test_the_control_plane_of_a_vendor_lets_it_do_what_it_owes(api: Caller) -> None:
    box = api.sandbox
    contact = box.hootsuite.add("fb-1", "Ada Byron")
    with listening() as site:
        box.hootsuite.hear(site.url, "00" * 32)
        base = f"{box.hootsuite.url}/_sandbox"
        acted = requests.post(f"{base}/act", json={"address": contact, "act": "resolve"}, timeout=60)
        assert acted.json() == {"done": 1}
        assert requests.get(f"{base}/webhooks", timeout=60).json() == [
            {"kind": "write_back", "tries": 1, "status": 200}
        ]
        assert requests.post(f"{base}/tick", timeout=60).json() == {"done": 0}
    assert requests.post(f"{base}/act", json={"address": contact, "act": "vanish"}, timeout=60).status_code == 422


def test_a_reset_at_any_port_empties_every_vendor(api: Caller) -> None:
    api.sandbox.seed(SCENARIO)
    base = api.sandbox.campaign_monitor.url.removesuffix("/api/v3.3")
    requests.post(f"{base}/_sandbox/reset", timeout=60)
    assert (api.sandbox.holds(ADA), api.sandbox.campaign_monitor.holds(ADA)) == ([], [])


def test_a_scenario_with_a_stranger_key_or_a_contact_twice_is_refused(api: Caller) -> None:
    assert control(api, "POST", "/seed", {"acounts": []}) == 422
    account = {"name": api.sandbox.api_keys[0], "audiences": [{"id": api.first, "members": [{"email": ADA}]}]}
    assert control(api, "POST", "/seed", {"mailchimp": {"accounts": [account]}}) == 409


def test_counters_can_be_asked_for_one_person_and_a_time(api: Caller) -> None:
    api.member("PATCH", ADA, {"status": "unsubscribed"})
    assert control(api, "GET", f"/counters?address={ADA}")["effects_on"] == [[api.first, "unsubscribed"]]
    assert control(api, "GET", "/counters?after=99999999999")["calls_total"] == 0


def test_reset_empties_everything_but_the_keys(api: Caller) -> None:
    api.call("GET", "/ping")
    api.sandbox.fault("empty_500")
    assert control(api, "POST", "/reset") == {"reset": True}
    assert (api.sandbox.holds(ADA), api.sandbox.calls()) == ([], 0)
    assert api.call("GET", "/lists").json()["total_items"] == 0


def test_latency_is_a_switch(api: Caller) -> None:
    control(api, "POST", "/switches", {"latency_ms": 60_000})
    with pytest.raises(requests.ReadTimeout):
        api.session.get(api.sandbox.mailchimp_url + "/ping", timeout=0.2)
    control(api, "POST", "/switches", {"latency_ms": 0})
    assert api.call("GET", "/ping").status_code == 200


def test_the_time_stamps_are_those_of_the_given_clock() -> None:
    with running_sandbox(now=lambda: datetime(2026, 11, 20, 9, 0, tzinfo=UTC)) as sandbox:
        sandbox.add(ADA)
        url = f"{sandbox.mailchimp_url}/lists/{sandbox.audiences()[0]}/members/{md5(ADA)}"
        body = requests.get(url, auth=("x", sandbox.api_keys[0]), timeout=60).json()
    assert body["last_changed"] == "2026-11-20T09:00:00+00:00"


def hook(api: Caller, site: Listener, *, own: bool = False) -> requests.Response:
    body = {"url": site.url + "/in/mailchimp/s", "events": EVENTS, "sources": {"user": True, "admin": True, "api": own}}
    return api.call("POST", f"/lists/{api.first}/webhooks", body)


def told(site: Listener) -> list[dict[str, str]]:
    return [dict(parse_qsl(heard.body.decode(), keep_blank_values=True)) for heard in site.posts()]


def test_a_webhook_is_probed_with_get_before_it_is_kept(api: Caller) -> None:
    with listening(get_status=404) as site:
        assert hook(api, site).status_code == 400
    with listening() as site:
        made = hook(api, site)
        assert (made.status_code, [heard.method for heard in site.heard]) == (200, ["GET"])
        assert "signing_secret" not in made.json()
        listed = api.call("GET", f"/lists/{api.first}/webhooks").json()
        assert [one["id"] for one in listed["webhooks"]] == [made.json()["id"]]
        assert api.call("DELETE", f"/lists/{api.first}/webhooks/{made.json()['id']}").status_code == 204
        assert api.call("DELETE", f"/lists/{api.first}/webhooks/{made.json()['id']}").status_code == 404


def test_an_unsubscribe_by_the_person_is_sent_as_a_form(api: Caller) -> None:
    with listening() as site:
        hook(api, site)
        assert api.sandbox.act(ADA, "unsubscribe") == 1
        (form,) = told(site)
        assert site.posts()[0].headers["content-type"] == "application/x-www-form-urlencoded"
    unique = api.member("GET", ADA).json()["unique_email_id"]
    assert (form["type"], form["data[action]"], form["data[email]"]) == ("unsubscribe", "unsub", ADA)
    assert (form["data[id]"], form["data[list_id]"], form["data[merges][FNAME]"]) == (unique, api.first, "Ada")
    assert datetime.strptime(form["fired_at"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)


def test_an_address_change_comes_with_a_profile_event_and_a_bounce_as_cleaned(api: Caller) -> None:
    with listening() as site:
        hook(api, site)
        api.sandbox.act(ADA, "move", to="ada.new@example.org", source="admin")
        api.sandbox.act("ada.new@example.org", "bounce", source="admin")
        forms = told(site)
    assert [form["type"] for form in forms] == ["upemail", "profile", "cleaned"]
    assert (forms[0]["data[old_email]"], forms[0]["data[new_email]"]) == (ADA, "ada.new@example.org")


@pytest.mark.parametrize("api_too", [False, True])
def test_our_own_writes_are_heard_only_where_the_source_api_is_on(api: Caller, *, api_too: bool) -> None:
    with listening() as site:
        hook(api, site, own=api_too)
        api.member("PATCH", ADA, {"status": "unsubscribed"})
        api.member("POST", ADA, below="/actions/delete-permanent")
        control(api, "GET", "/webhooks")
        forms = told(site)
    assert sorted(form["data[action]"] for form in forms) == (["delete", "unsub"] if api_too else [])


def test_a_webhook_may_come_twice_and_without_its_action(api: Caller) -> None:
    with listening() as site:
        hook(api, site)
        api.sandbox.switch(webhooks_duplicated=True, webhooks_without_action=True)
        api.sandbox.act(ADA, "unsubscribe")
        first, second = told(site)
    assert first == second
    assert "data[action]" not in first


def test_a_signed_webhook_can_be_checked_with_the_secret_of_its_creation(api: Caller) -> None:
    api.sandbox.switch(webhooks_signed=True)
    with listening() as site:
        made = hook(api, site).json()
        api.sandbox.act(ADA, "unsubscribe")
        (heard,) = site.posts()
    stamp, signature = (part.split("=", 1)[1] for part in heard.headers["x-mailchimp-signature"].split(","))
    expected = hmac.new(made["signing_secret"].encode(), f"{stamp}.".encode() + heard.body, hashlib.sha256)
    assert signature == expected.hexdigest()


def test_a_410_ends_a_webhook(api: Caller) -> None:
    with listening(status=410) as site:
        hook(api, site)
        api.sandbox.act(ADA, "unsubscribe")
        api.sandbox.act(ADA, "subscribe")
        assert len(site.posts()) == 1
    assert [item["status"] for item in control(api, "GET", "/webhooks")] == [410]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_says_where_it_answers_and_stops_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    scenario = tmp_path / "scenario.json"
    scenario.write_text(json.dumps(SCENARIO), "utf-8")
    command = [sys.executable, "-m", "dpsync.sandbox", "--latency-ms", "2", "--scenario", str(scenario)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        addresses = json.loads(process.stdout.readline())
        reply = requests.get(addresses["mailchimp_url"] + "/lists", auth=("x", "main-us1"), timeout=60)
        other = requests.get(addresses["campaign_monitor_url"] + "/clients.json", auth=("agency-key", "x"), timeout=60)
        for name in ("eventbrite", "hootsuite", "google_analytics"):
            where = urlsplit(addresses[f"{name}_url"])
            assert requests.get(f"http://{where.netloc}/_sandbox/health", timeout=60).json() == {"ready": True}
        with smtplib.SMTP(addresses["smtp_host"], addresses["smtp_port"], timeout=60) as smtp:
            assert smtp.noop()[0] == 250
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=60)
    assert [one["id"] for one in reply.json()["lists"]] == ["news", "events"]
    assert [one["Name"] for one in other.json()] == ["One"]
    assert (process.returncode, out, err) == (0, "", "")


def test_a_taken_port_is_said_and_nothing_is_left_running() -> None:
    with running_sandbox() as sandbox:
        port = sandbox.smtp_port
        with pytest.raises(OSError, match="in use"), running_sandbox(smtp_port=port):
            pytest.fail("a second mailbox on the same port")


@pytest.mark.parametrize("kind", ["mail", "calls"])
def test_a_connection_that_comes_while_the_sandbox_ends_is_closed(kind: str) -> None:
    for _ in range(8):
        held: list[socket.socket] = []
        with contextlib.ExitStack() as stack:
            with running_sandbox() as sandbox:
                port = sandbox.addresses.smtp_port if kind == "mail" else urlsplit(sandbox.addresses.mailchimp_url).port
                caller = threading.Thread(target=_connect_until_refused, args=(port, held, stack))
                caller.start()
                time.sleep(0.01)
            caller.join()
            assert all(_is_closed(one) for one in held)


def _connect_until_refused(port: int, held: list[socket.socket], stack: contextlib.ExitStack) -> None:
    with contextlib.suppress(OSError):
        while len(held) < 400:
            held += [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))]


def _is_closed(connection: socket.socket) -> bool:
    """Whether the other side closed it, after whatever it said."""
    try:
        while connection.recv(1024):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True
