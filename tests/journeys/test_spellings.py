"""One mailbox in many spellings, through the signed door: who is held is found, and text around one is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from dpsync.model import Right, State
from dpsync.signature import signed_headers
from dpsync.store import tables as t
from tests.journeys.installation import (
    MAILINGS,
    NEWSLETTER,
    OPERATOR,
    SECRET,
    SOON,
    Asked,
    Installation,
    installed,
    sqlite_url,
)

pytestmark = pytest.mark.no_database

LETTERS, CODED, NFD = "ada@bücher.example", "ada@xn--bcher-kva.example", "ada@bu\u0308cher.example"
CAPITALS = "ADA@BÜCHER.EXAMPLE"
NEIGHBOUR = "ada@bucher.example"
BOTH = NEWSLETTER + MAILINGS
NO_ADDRESS = {"error": "is not an e-mail address"}


def post(there: Installation, data: dict[str, Any]) -> requests.Response:
    body = json.dumps({"type": "data_subject.request", "data": data}).encode()
    event = f"evt-{len(there.asked) + 1}"
    signed = signed_headers(SECRET, event, there.clock.now(), body)
    return requests.post(f"{there.url}/requests", data=body, headers=signed, timeout=60)


def ask(there: Installation, right: Right, subject: dict[str, Any], **more: Any) -> Asked:
    answer = post(there, {"right": right, "subject": subject, **more})
    assert answer.status_code == 202, answer.text
    return there.remember(answer.json()["request"], right, subject["email"], **more)


def fill(there: Installation, *addresses: str) -> None:
    for address in (*addresses, NEIGHBOUR):
        there.sandbox.add(address)
        there.sandbox.campaign_monitor.add(address, client="One", title="News")


def held(there: Installation, *addresses: str) -> list[tuple[str, str]]:
    """The status of each of these at both vendors."""
    found = [there.sandbox.holds(address) + there.sandbox.campaign_monitor.holds(address) for address in addresses]
    return [one for places in found for one in places]


@pytest.mark.parametrize(
    ("kept", "asked"), [(CODED, LETTERS), (LETTERS, CODED), (NFD, LETTERS), (LETTERS, NFD), (LETTERS, CAPITALS)]
)
def test_a_mailbox_that_a_vendor_spells_otherwise_is_found_and_never_called_nobody(
    kept: str, asked: str, database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=BOTH, web=True) as there:
        fill(there, kept)
        opted = ask(there, Right.OPT_OUT, {"id": "i1", "email": asked})
        there.drive()
        assert there.states(opted) == {"newsletter": State.VERIFIED, "mailings": State.VERIFIED}
        assert {status.lower() for _, status in held(there, kept)} <= {"unsubscribed", "suppressed"}
        erased = ask(there, Right.ERASURE, {"id": "i1", "email": asked})
        there.drive()
        assert there.states(erased) == {"newsletter": State.VERIFIED, "mailings": State.HANDED_OVER}
        assert there.sandbox.holds(kept) == []
        assert {status.lower() for _, status in held(there, NEIGHBOUR)} == {"subscribed", "active"}
        for spelling in (kept, asked, CODED.upper(), f"\u00a0{NFD} "):
            assert "about the address you gave" in there.verified_by_a_stranger(opted, spelling)
        assert "NOT VALID" in there.verified_by_a_stranger(opted, NEIGHBOUR)
        there.sound()


def test_spellings_of_one_mailbox_are_one_person_and_of_two_domains_two(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, web=True) as there:
        same = [ask(there, Right.OPT_OUT, {"email": one}) for one in (LETTERS, CODED, NFD, CAPITALS, f" {CODED}\u3000")]
        other = [ask(there, Right.OPT_OUT, {"email": one}) for one in ("ada@straße.example", "ada@strasse.example")]
        persons = {row.id: row.person for row in there.rows(t.request)}
        assert len({persons[one.id] for one in same}) == 1
        assert len({persons[one.id] for one in (*same, *other)}) == 3


@pytest.mark.parametrize(("old", "new"), [(LETTERS, CODED), (CODED, LETTERS)])
def test_an_erasure_finds_old_and_new_address_of_an_open_rectification_in_any_spelling(
    old: str, new: str, database_url: str, tmp_path: Path
) -> None:
    was = {LETTERS: "ada@früher.example", CODED: "ada@xn--frher-lva.example"}
    with installed(tmp_path, database_url, web=True) as there:
        fill(there, was[old], new)
        ask(there, Right.RECTIFICATION, {"id": "i1", "email": was[new]}, changes={"email": old})
        erased = ask(there, Right.ERASURE, {"id": "i1", "email": old})
        there.drive()
        assert there.state(erased) is State.VERIFIED
        assert (there.sandbox.holds(was[old]), there.sandbox.holds(new)) == ([], [])


def test_an_address_that_is_put_right_is_seen_in_the_spelling_that_the_vendor_keeps(
    database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=BOTH, web=True) as there:
        fill(there, "ada@example.org")
        changed = ask(there, Right.RECTIFICATION, {"id": "i1", "email": "ada@example.org"}, changes={"email": LETTERS})
        there.drive()
        assert set(there.states(changed).values()) == {State.VERIFIED}
        assert len(held(there, LETTERS)) == 2


@pytest.mark.parametrize(
    ("kept", "asked", "states"),
    [
        ("ada@xn--strae-oqa.example", "ada@straße.example", {State.VERIFIED}),
        ("ada@straße.example", "ada@STRAẞE.example", {State.VERIFIED}),
        ("ada@strasse.example", "ada@straße.example", {State.HANDED_OVER}),
        ("ada@strasse.example", "ada@xn--strae-oqa.example", {State.HANDED_OVER}),
        ("ada@straße.example", "ada@strasse.example", {State.NOTHING_HELD}),
        ("ada@example.org", "ada@straße.example", {State.NOTHING_HELD}),
    ],
)
def test_what_only_older_software_takes_for_the_address_is_compared_by_a_person_and_left_alone(
    kept: str, asked: str, states: set[State], database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=BOTH, web=True) as there:
        fill(there, kept)
        before = held(there, kept)
        opted = ask(there, Right.OPT_OUT, {"id": "i1", "email": asked})
        there.drive()
        there.drive(SOON)
        assert set(there.states(opted).values()) == states
        assert (held(there, kept) == before) is (states != {State.VERIFIED})
        letters = [one for one in there.sandbox.messages(OPERATOR, settled=True) if b"notice.json" in one.raw]
        assert len(letters) == (2 if states == {State.HANDED_OVER} else 0)
        there.sound()


@pytest.mark.parametrize(
    "text", ["'ada@example.org'", "mailto:ada@example.org", "ada@example.org)", "ada%20@example.org", "n/a@n/a"]
)
def test_text_around_an_address_is_refused_in_every_field_of_the_signed_door(text: str, tmp_path: Path) -> None:
    good = {"id": "i1", "email": "ada@example.org"}
    with installed(tmp_path, sqlite_url(tmp_path), web=True) as there:
        for field, data in (
            ("data.subject.email", {"right": "erasure", "subject": {"id": "i1", "email": text}}),
            ("data.subject.other_emails.1", {"right": "erasure", "subject": {**good, "other_emails": [CODED, text]}}),
            ("data.changes.email", {"right": "rectification", "subject": good, "changes": {"email": text}}),
        ):
            answer = post(there, data)
            assert (answer.status_code, answer.json()) == (422, {**NO_ADDRESS, "field": field})
        assert there.rows(t.request) == []
