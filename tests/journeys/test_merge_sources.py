"""Merge two supporters in each main database that comes with a mapping, in the shapes that it sends."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn

from dpsync.intake.limits import serve_config
from dpsync.intake.merging import merge_by_hand
from dpsync.intake.sources.rules import MergeTold
from dpsync.intake.sources.source import merging_of
from dpsync.intake.web import create_app
from dpsync.model import Right
from dpsync.propagation.decisions import Person
from dpsync.running.health import Health
from dpsync.service import receiver_of, worker_of
from dpsync.store import tables as t
from tests.journeys.installation import ERASE, INBOUND, NEWSLETTER, Installation, installed, sqlite_url
from tests.unit.test_source_forms import notification, soap

SECRET = 'secrets = [{{ env = "DPSYNC_TEST_INBOUND" }}]\n'
WEAK = 'scheme = "static-header"\nheader = "X-Key"\nreconciled_by = "a list"\n'
SOURCES = (
    NEWSLETTER
    + f'[sources.mautic]\nmapping = "mautic"\nscheme = "mautic"\n{SECRET}'
    + f'[sources.hubspot]\nmapping = "hubspot"\nscheme = "hubspot-v3"\n{SECRET}'
    + f'[sources.salesforce]\nmapping = "salesforce"\n{WEAK}{SECRET}'
    + f'[sources.dynamics]\nmapping = "dynamics"\n{WEAK}{SECRET}'
)
DELETED, CHANGED = "mautic.lead_post_delete", "mautic.lead_channel_subscription_changed"


def b64(signed: bytes) -> str:
    return base64.b64encode(hmac.digest(INBOUND.encode(), signed, hashlib.sha256)).decode()


def post(there: Installation, source: str, said: object, url: str = "") -> requests.Response:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    to, time = f"{there.url}/requests/{source}", f"{int(there.clock.now().timestamp())}000"
    headers: Mapping[str, str] = {
        "mautic": {"Webhook-Signature": b64(body)},
        "hubspot": {
            "X-HubSpot-Signature-v3": b64(f"POST{to}".encode() + body + time.encode()),
            "X-HubSpot-Request-Timestamp": time,
        },
    }.get(source, {"X-Key": INBOUND})
    return requests.post(url or to, data=body, headers=headers, timeout=60)


def contact(number: int, email: str) -> dict[str, Any]:
    return {"id": number, "fields": {"core": {"email": {"value": email}}}}


def unsubscribed(number: int, email: str) -> dict[str, Any]:
    event = {"contact": contact(number, email), "channel": "email", "old_status": "contactable"}
    return {CHANGED: [{**event, "new_status": "unsubscribed", "timestamp": "2026-11-20T08:00:00+00:00"}]}


def dynamics(message: str, target: Any, number: str, **more: Any) -> dict[str, Any]:
    inside = [{"key": "Target", "value": target}, *({"key": name, "value": value} for name, value in more.items())]
    return {
        "MessageName": message,
        "PrimaryEntityName": "contact",
        "PrimaryEntityId": number,
        "CorrelationId": f"{message}-{number}",
        "OperationId": "00000000-0000-0000-0000-000000000000",
        "Depth": 1,
        "InputParameters": inside,
    }


def images(**emails: str) -> list[dict[str, Any]]:
    return [
        {"key": name, "value": {"Attributes": [{"key": "emailaddress1", "value": email}]}}
        for name, email in emails.items()
    ]


def opt_out(there: Installation, source: str) -> None:
    """Record 1 opts out, as the main database says it."""
    loser = f"loser@{source}.example.org"
    match source:
        case "mautic":
            assert post(there, source, unsubscribed(1, loser)).status_code == 202
        case "hubspot":  # names nobody by an address: both were opted out by hand
            there.ask(Right.OPT_OUT, loser, id="hubspot:1")
            there.ask(Right.OPT_OUT, f"winner@{source}.example.org", id="hubspot:2")
        case "salesforce":
            told = notification("04l1", Id="1", Email=loser, HasOptedOutOfEmail="true")
            answer = post(there, source, soap(told))
            assert (answer.status_code, "<Ack>true</Ack>" in answer.text) == (200, True)
        case _:
            change = {"Attributes": [{"key": "donotbulkemail", "value": True}]}
            body = {**dynamics("Update", change, "1"), "PostEntityImages": images(contact=loser)}
            assert post(there, source, body).status_code == 202


def merge(there: Installation, source: str) -> None:
    """Record 1 goes into record 2, as the main database says it."""
    loser, winner = (f"{one}@{source}.example.org" for one in ("loser", "winner"))
    match source:
        case "mautic":
            update = {"mautic.lead_post_save_update": [{"contact": contact(2, winner)}]}
            gone = {DELETED: [{"id": 1, "contact": {**contact(1, loser), "id": None}}]}
            assert post(there, source, update | gone).json()["status"] == "held", (
                "Mautic never says that it was a merge"
            )
            subject = {"id": "mautic:2", "email": winner}
            one = merging_of(MergeTold("by-hand", "e", ({"id": "mautic:1"},), subject), source, there.clock.now())
            dana, now = Person("Dana", "", "looked there"), there.clock.now()
            there.service.write(lambda unit: merge_by_hand(unit, there.service.controller, one, dana, now))
        case "hubspot":
            event = {"eventId": 5, "occurredAt": 1795164000000, "objectId": 1, "subscriptionType": "contact.deletion"}
            ids = {"primaryObjectId": 2, "mergedObjectIds": [1], "newObjectId": 9}
            both = [event, {**event, "eventId": 6, "subscriptionType": "contact.merge", **ids}]
            assert post(there, source, both).json()["merges"] == {"joined": 1, "held": 0, "explained": 1}
        case "salesforce":
            ids = {"Contact_Id__c": "1", "Email__c": loser, "Master_Record_Id__c": "2", "Master_Email__c": winner}
            assert post(there, source, soap(notification("04l2", "Dpsync_Gone__c", **ids))).status_code == 200
        case _:
            told = {**dynamics("Merge", {"Id": "2"}, "2", SubordinateId="1")}
            assert (
                post(there, source, {**told, "PreEntityImages": images(winner=winner, loser=loser)}).status_code == 202
            )
            off = {"Attributes": [{"key": "statecode", "value": {"Value": 1}}]}
            body = {**dynamics("Update", off, "1"), "Depth": 2, "PostEntityImages": images(contact=loser)}
            assert post(there, source, body).json()["status"] == "means nothing"


def test_merging_two_supporters_erases_nobody_and_leaves_the_winner_opted_out(tmp_path: Path) -> None:
    sources = ("mautic", "hubspot", "salesforce", "dynamics")
    addresses = [f"{one}@{source}.example.org" for source in sources for one in ("loser", "winner")]
    with installed(tmp_path, sqlite_url(tmp_path), processors=SOURCES, web=True) as there:
        for address in addresses:
            there.sandbox.add(address)
        for source in sources:
            opt_out(there, source)
        for source in sources:
            merge(there, source)
        there.drive()
        assert there.sandbox.calls("{method} {template}".format(**ERASE)) == 0
        assert {address: [one.status for one in there.sandbox.holdings(address)] for address in addresses} == {
            address: ["unsubscribed"] for address in addresses
        }
        asked = {row.id: row for row in there.rows(t.request)}
        assert len({row.person for row in asked.values()}) == len(sources), "one person in each main database"
        left = {row.state for row in there.rows(t.propagation) if asked[row.request_id].right == "opt_out"}
        assert left == {"verified"}, "what the loser asked was done"
        there.sound()


def test_mautic_hears_only_of_what_is_kept_because_it_forgets_whatever_gets_an_answer(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=SOURCES, web=True) as there:
        good, bad = unsubscribed(1, "ada@example.org"), unsubscribed(2, "ada at home")
        with pytest.raises(requests.ConnectionError):
            post(there, "mautic", {"other": good[CHANGED]})
        with pytest.raises(requests.ConnectionError):
            post(there, "mautic", {CHANGED: good[CHANGED] + bad[CHANGED]})
        assert there.rows(t.request) == [], "one that is wrong keeps back all"
        assert {one.field for one in there.rows(t.refusal)} == {"*", "*.subject.email"}
        worker = worker_of(there.service)
        app = create_app(receiver_of(there.service, worker, Health(there.service, worker)), most_waiting=0)
        config = serve_config(app, "127.0.0.1", 0)
        server, busy = uvicorn.Server(config), config.bind_socket()
        thread = threading.Thread(target=server.run, args=([busy],))
        thread.start()
        with pytest.raises(requests.ConnectionError):
            post(there, "mautic", good, f"http://127.0.0.1:{busy.getsockname()[1]}/requests/mautic")
        server.should_exit = True
        thread.join(60)
        assert post(there, "mautic", good).status_code == 202
        assert post(there, "mautic", good).json()["status"] == "accepted"
        assert len(there.rows(t.request)) == 1


def test_a_soap_message_of_which_one_notification_is_wrong_is_not_acknowledged_and_makes_nothing_twice(
    tmp_path: Path,
) -> None:
    first = notification("04l1", Id="1", Email="ada@example.org", HasOptedOutOfEmail="true")
    second = notification("04l2", Id="2", Email="bob at home", HasOptedOutOfEmail="true")
    with installed(tmp_path, sqlite_url(tmp_path), processors=SOURCES, web=True) as there:
        answer = post(there, "salesforce", soap(first, second))
        assert (answer.status_code, answer.json()["field"], "Ack" in answer.text) == (422, "1.subject.email", False)
        assert there.rows(t.request) == []
        for _ in range(2):
            assert (
                "<Ack>true</Ack>"
                in post(there, "salesforce", soap(first, second.replace(" at home", "@example.org"))).text
            )
        assert len(there.rows(t.request)) == 2
