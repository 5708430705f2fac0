"""The door of other main databases under hostile and careless senders: nothing is lost unseen, nobody is accused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from dpsync.model import State
from dpsync.store import tables as t
from tests.journeys.installation import Installation
from tests.journeys.test_sources import ADA, BOB, PERSON, SECRET, STOPPED, crm, own, row, served


def refusals(there: Installation) -> dict[tuple[str, int, str, bool], int]:
    return {(one.source, one.status, one.field, one.told): one.times for one in there.rows(t.refusal)}


def post(there: Installation, name: str, body: bytes, headers: Mapping[str, str]) -> int:
    return requests.post(f"{there.url}/requests/{name}", data=body, headers=headers, timeout=60).status_code


def told(there: Installation) -> str:
    return "".join(one.text + one.body for one in there.told() if one.cause == "requests-refused")


@pytest.mark.no_database
def test_what_is_too_large_is_told_only_where_it_is_one_of_ours(tmp_path: Path, database_url: str) -> None:
    large = b'{"type": "' + b"x" * 300 * 1024 + b'"}'
    with served(tmp_path, database_url) as there:
        assert post(there, "crm", large, {"X-Key": "a stranger, who guesses"}) == 413
        assert post(there, "own", large, {"X-Hub-Signature-256": "sha256=" + "0" * 64}) == 413
        assert refusals(there) == {("source crm", 413, "", False): 1, ("source own", 413, "", False): 1}
        assert told(there) == "", "a stranger must not be taken for our own main database"
        assert crm(there, {"type": "x" * 300 * 1024}).status_code == 413
        assert crm(there, {"type": "x" * 600 * 1024}).status_code == 413, "its secret is seen without the body"
        assert own(there, {"kind": "x" * 300 * 1024}).status_code == 413
        assert refusals(there) == {
            ("source crm", 413, "", False): 1,
            ("source crm", 413, "", True): 2,
            ("source own", 413, "", False): 1,
            ("source own", 413, "", True): 1,
        }
        assert "source own" in told(there)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/requests/crm-old", 404),
        ("POST", "/requests/crm/", 404),
        ("POST", "/requests", 401),
        ("GET", "/requests/crm", 405),
        ("PUT", "/requests/crm", 405),
    ],
)
def test_a_message_to_another_address_than_its_sources_is_told(
    tmp_path: Path, method: str, path: str, status: int
) -> None:
    def slip(there: Installation, key: str) -> int:
        headers, url = {"X-Key": key}, f"{there.url}{path}"
        return requests.request(method, url, json=STOPPED, headers=headers, timeout=60).status_code

    with served(tmp_path, f"sqlite:///{tmp_path / 'dpsync.sqlite'}") as there:
        assert slip(there, "a stranger, who guesses") == status
        assert not any(one.told for one in there.rows(t.refusal))
        assert slip(there, SECRET) == status
        assert [(one.source, one.status) for one in there.rows(t.refusal) if one.told] == [("source crm", status)]
        assert "source crm" in told(there)
        assert there.rows(t.request) == []


@pytest.mark.parametrize("event", ["\ud800", {"a": "\udfff"}, 10**18, [None], 0.1])
def test_no_name_of_an_event_keeps_a_request_out_for_ever(tmp_path: Path, event: object) -> None:
    with served(tmp_path, f"sqlite:///{tmp_path / 'dpsync.sqlite'}") as there:
        stop = {"id": event, "kind": "stop", "person": 1, "email": ADA}
        first, again = own(there, stop), own(there, stop)
        assert (first.status_code, again.json()) == (202, first.json())
        assert len(there.rows(t.request)) == 1


@pytest.mark.no_database
def test_a_refusal_names_the_message_and_the_field_and_never_the_value(tmp_path: Path, database_url: str) -> None:
    good = {"id": "e1", "kind": "stop", "person": 1, "email": ADA}
    with served(tmp_path, database_url) as there:
        for bad, field in (({"email": "bob at home"}, "1.subject.email"), ({"person": {"x": BOB}}, "1.subject.id")):
            answer = own(there, good, {**good, "id": "e2", **bad})
            assert (answer.status_code, answer.json()["field"]) == (422, field)
            assert "bob" not in answer.text
        assert crm(there, row("UPDATE", PERSON, {**PERSON, "email": None})).status_code == 422
        # The row lacks columns that the mapping looks at.
        assert crm(there, row("UPDATE", PERSON, {**PERSON, "name": "Ada K"})).status_code == 422
        fields = {field for _, _, field, _ in refusals(there)}
        assert fields == {"*.subject.email", "*.subject.id", "refuse.no-column-restricted"}
        assert "refuse.no-column-restricted" in told(there)
        assert "enter it by `dpsync submit`" in told(there)
        assert there.rows(t.request) == []


def test_one_delivery_of_a_hundred_messages_is_committed_and_one_more_is_refused(
    tmp_path: Path, database_url: str
) -> None:
    many = [{"id": n, "kind": "stop", "person": n, "email": f"a{n}@example.org"} for n in range(101)]
    with served(tmp_path, database_url) as there:
        assert own(there, *many).status_code == 422
        answer = own(there, *many[:100])
        assert (answer.status_code, len(set(answer.json()["requests"]))) == (202, 100)
        assert own(there, *many[:100]).json() == answer.json()
        there.sound()


@pytest.mark.no_database
def test_two_sources_people_of_one_number_are_not_one_person(tmp_path: Path, database_url: str) -> None:
    with served(tmp_path, database_url) as there:
        there.sandbox.add(ADA)
        stopped: dict[str, Any] = {"id": "e1", "kind": "stop", "person": 4711, "email": ADA}
        assert own(there, stopped).json()["status"] == "accepted"
        gone = {**PERSON, "erased_at": "2026-11-20T08:58:00+00:00", "email": None}
        (erasure,) = crm(there, row("UPDATE", PERSON, gone)).json()["requests"]
        (part,) = [one for one in there.rows(t.propagation) if one.request_id == erasure]
        assert (part.state, part.causes) == (State.HELD.value, "cooling_off,shared_address")
        there.sound()
