"""A main database with a shape and a signature of its own, from its webhook to the processors."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from dpsync.intake.sources import forms, reading
from dpsync.intake.sources.rules import SourceDelivery
from dpsync.model import State
from dpsync.store import tables as t
from tests.journeys.installation import NEWSLETTER, OPERATOR, Installation, installed

# The secret of the static header is a setting that the test's installation has anyway.
SOURCES = f"""
{NEWSLETTER}
[sources.crm]
mapping = "supabase"
scheme = "static-header"
header = "X-Key"
reconciled_by = "a list compared each week"
secrets = [{{{{ env = "DPSYNC_TEST_INBOUND" }}}}]

[sources.shop]
mapping = "shopify"
scheme = "shopify"
secrets = [{{{{ env = "DPSYNC_TEST_INBOUND" }}}}]

[sources.own]
mapping = "own.toml"
scheme = "github"
secrets = [{{{{ env = "DPSYNC_TEST_INBOUND" }}}}]
"""
SECRET = "Zm9yLXRoZS1qb3VybmV5cy1vbmx5"
OWN = """
each = "events"
event = "id"
[[rules]]
name = "stop"
right = "opt_out"
when = { kind = "stop" }
subject = { id = "person", email = "email" }
[[rules]]
name = "erase"
right = "erasure"
when = { kind = "erase" }
subject = { id = "person", email = "email" }
[[ignore]]
name = "other"
when = { kind = "other" }
"""
ADA, BOB = "ada@example.org", "bob@example.org"


@contextmanager
def served(folder: Path, database_url: str, sources: str = SOURCES) -> Iterator[Installation]:
    (folder / "own.toml").write_text(OWN)
    with installed(folder, database_url, processors=sources, web=True) as there:
        yield there


def row(kind: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"type": kind, "schema": "public", "table": "person", "record": new, "old_record": old}


def crm(there: Installation, body: Any, secret: str = SECRET) -> requests.Response:
    return requests.post(f"{there.url}/requests/crm", json=body, headers={"X-Key": secret}, timeout=60)


def own(there: Installation, *events: Mapping[str, Any]) -> requests.Response:
    body = json.dumps({"events": events}).encode()
    headers = {"X-Hub-Signature-256": signed(body)}
    return requests.post(f"{there.url}/requests/own", data=body, headers=headers, timeout=60)


def signed(body: bytes) -> str:
    """As GitHub signs."""
    return "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def states(there: Installation) -> dict[str, str]:
    return {row.request_id: row.state for row in there.rows(t.propagation)}


def holds(there: Installation) -> bool:
    return any(one.status != "forgotten" for one in there.sandbox.holdings(ADA))


PERSON = {"id": 4711, "email": ADA, "name": "Ada L", "do_not_email": False, "updated_at": "2026-11-20T08:55:00+00:00"}
STOPPED = row("UPDATE", PERSON, {**PERSON, "do_not_email": True, "updated_at": "2026-11-20T08:56:00+00:00"})


@pytest.mark.no_database
def test_a_changed_row_becomes_an_opt_out_and_reaches_the_processor(tmp_path: Path, database_url: str) -> None:
    with served(tmp_path, database_url) as there:
        there.sandbox.add(ADA)
        answer = crm(there, STOPPED)
        assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
        (request_id,) = answer.json()["requests"]
        assert crm(there, STOPPED).json()["requests"] == [request_id], "the same row sent again is the same request"
        (asked,) = there.rows(t.request)
        assert (asked.source, asked.right, asked.id) == ("crm", "opt_out", request_id)
        assert asked.received_at.isoformat() == "2026-11-20T08:56:00+00:00"
        there.drive()
        there.sound()
        assert states(there) == {request_id: State.VERIFIED.value}


@pytest.mark.no_database
def test_what_means_nothing_is_200_and_what_no_rule_names_is_422_and_told(tmp_path: Path, database_url: str) -> None:
    with served(tmp_path, database_url) as there:
        answer = crm(there, row("INSERT", None, PERSON))
        assert (answer.status_code, answer.json()) == (200, {"status": "means nothing", "ignored": 1})
        answer = crm(there, row("TRUNCATE", None, None))
        assert (answer.status_code, answer.json()["error"]) == (422, "matches no rule of this source")
        assert crm(there, STOPPED, "another secret entirely").status_code == 401
        assert requests.post(f"{there.url}/requests/nobody", json=STOPPED, timeout=60).status_code == 404
        counted = {(one.source, one.status, one.told): one.times for one in there.rows(t.refusal)}
        assert counted == {("source crm", 422, True): 1, ("source crm", 401, False): 1}
        assert "source crm" in "".join(one.text for one in there.told() if one.cause == "requests-refused")
        assert there.rows(t.request) == []


@pytest.mark.no_database
def test_a_row_that_is_gone_is_held_because_it_may_have_been_merged(tmp_path: Path, database_url: str) -> None:
    with served(tmp_path, database_url) as there:
        there.sandbox.add(ADA)
        answer = crm(there, row("DELETE", PERSON, None))
        assert (answer.status_code, answer.json()["status"]) == (202, "held")
        (part,) = there.rows(t.propagation)
        assert (part.state, part.causes) == (State.HELD.value, "cooling_off,maybe_merge")
        there.drive(timedelta(days=2))
        (part,) = there.rows(t.propagation)
        assert (part.state, part.causes) == (State.HELD.value, "maybe_merge"), "time alone releases no merge"
        assert holds(there)
        assert any("Merging two records" in one.text + one.body for one in there.told())
        there.sound()


@pytest.mark.no_database
def test_an_erasure_by_a_secret_in_a_header_cools_off_for_a_day_although_the_settings_name_no_time(
    tmp_path: Path, database_url: str
) -> None:
    with served(tmp_path, database_url) as there:
        there.sandbox.add(ADA)
        gone = {**PERSON, "email": None, "name": "-", "erased_at": "2026-11-20T08:58:00+00:00"}
        assert crm(there, row("UPDATE", PERSON, gone)).json()["status"] == "held"
        there.drive(timedelta(hours=23))
        assert holds(there)
        there.drive(timedelta(hours=2))
        assert not holds(there)
        there.sound()


@pytest.mark.no_database
def test_a_list_of_messages_is_taken_whole_or_not_at_all(tmp_path: Path, database_url: str) -> None:
    first = {"id": "e1", "kind": "stop", "person": 1, "email": ADA}
    second = {"id": "e2", "kind": "erase", "person": 2, "email": BOB}
    with served(tmp_path, database_url) as there:
        answer = own(there, first, {"id": "e3", "kind": "what"}, second)
        assert (answer.status_code, answer.json()["field"]) == (422, "1")
        assert own(there, first, {**second, "email": "nobody"}).status_code == 422
        assert there.rows(t.request) == []
        answer = own(there, first, {"kind": "other"}, second)
        assert (answer.status_code, answer.json()["ignored"], len(answer.json()["requests"])) == (202, 1, 2)
        assert own(there, second).json()["requests"] == answer.json()["requests"][1:]
        assert {one.source for one in there.rows(t.request)} == {"own"}
        assert own(there, {**second, "email": ADA}).status_code == 409, "one event id, another wish"
        there.drive()
        there.sound()


def test_shopifys_redaction_comes_with_an_id_in_a_header(tmp_path: Path, database_url: str) -> None:
    body = json.dumps(
        {"shop_id": 1, "customer": {"id": 5, "email": ADA, "phone": None}, "orders_to_redact": []}
    ).encode()
    mac = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()

    def redact(there: Installation, **more: str) -> requests.Response:
        headers = {"X-Shopify-Hmac-Sha256": mac, **{name.replace("_", "-"): value for name, value in more.items()}}
        return requests.post(f"{there.url}/requests/shop", data=body, headers=headers, timeout=60)

    with served(tmp_path, database_url) as there:
        assert redact(there).status_code == 422, "without its id it cannot be told from its repetition"
        one = redact(there, X_Shopify_Webhook_Id="b54557e4").json()["requests"]
        assert redact(there, X_Shopify_Webhook_Id="b54557e4").json()["requests"] == one
        assert redact(there, X_Shopify_Webhook_Id="c0000000").json()["requests"] != one
        headers = {"X-Shopify-Hmac-Sha256": mac}
        assert (
            requests.post(f"{there.url}/requests/shop", data=body + b" ", headers=headers, timeout=60).status_code
            == 401
        )


@pytest.mark.parametrize("name", reading.ready())
def test_the_sample_of_each_ready_mapping_is_one_wish(name: str) -> None:
    mapping, sample = reading.load(name, Path()), reading.sample_of(name)
    called = "id-1" if mapping.event_header else ""
    body = forms.read(mapping.form, sample.encode())
    found = mapping.understand(SourceDelivery("crm", body, called), lambda raw: raw.hex())
    assert [(len(found.wishes), found.ignored)] == [(1, ())]
    (wish,) = found.wishes
    # HubSpot names people by their number alone.
    assert wish.data["subject"].get("email") == (None if name == "hubspot" else ADA)  # type: ignore[attr-defined]  # because it is JSON


@pytest.mark.no_database
def test_nobody_is_mailed_what_a_source_sent(tmp_path: Path, database_url: str) -> None:
    with served(tmp_path, database_url) as there:
        crm(there, row("TRUNCATE", PERSON, PERSON))
        there.drive()
        assert all(b"ada@" not in mail.raw for mail in there.sandbox.messages(OPERATOR))
