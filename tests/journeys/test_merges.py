"""Two records of one supporter become one: nobody who lives is erased, and nobody who opted out is written to."""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from dpsync.__main__ import main
from dpsync.model import Right, State
from dpsync.store import tables as t
from tests.journeys.installation import ERASE, INBOUND, NEWSLETTER, Installation, installed, sqlite_url

MAPPING = """
each = "events"
event = "id"
merge_wait_minutes = 10
[[rules]]
name = "merged"
when = { kind = "merge" }
on_merge = { loser = { id = ["gone", "also_gone"], email = "old_email" }, winner = { id = "person", email = "email" } }
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
[[rules]]
name = "moved"
right = "rectification"
when = { kind = "move" }
subject = { id = "person", email = "email" }
changes = { email = "to" }
version = "version"
[[rules]]
name = "gone"
right = "erasure"
delete_shaped = true
when = { kind = "gone" }
subject = { id = "person", email = "email" }
"""
SOURCE = """
[sources.crm]
mapping = "crm.toml"
scheme = "github"
secrets = [{{ env = "DPSYNC_TEST_INBOUND" }}]
"""
ADA, OLD = "ada@example.org", "ada.old@example.org"


WHY = ("--by", "Dana Officer", "--reason", "one birthday")


@dataclass(frozen=True)
class ByHand:
    there: Installation
    capsys: pytest.CaptureFixture[str]

    def run(self, *words: str) -> tuple[int, str]:
        self.capsys.readouterr()
        code = main(["--config", str(self.there.folder / "dpsync.toml"), "source", *words])
        seen = self.capsys.readouterr()
        return code, seen.out + seen.err if code or "--json" not in words else seen.out


@contextmanager
def served(folder: Path, database_url: str, more: str = "") -> Iterator[Installation]:
    (folder / "crm.toml").write_text(MAPPING)
    with installed(folder, database_url, processors=NEWSLETTER + SOURCE + more, web=True) as there:
        for address in (ADA, OLD):
            there.sandbox.add(address)
        yield there


def crm(there: Installation, *events: Mapping[str, Any]) -> dict[str, Any]:
    numbered = [{"id": f"{one}", **one} for one in events]
    body = json.dumps({"events": numbered}).encode()
    signature = "sha256=" + hmac.new(INBOUND.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": signature}
    answer = requests.post(f"{there.url}/requests/crm", data=body, headers=headers, timeout=60)
    assert answer.status_code in {200, 202}, answer.text
    return {"code": answer.status_code, **answer.json()}


def stop(person: int, email: str) -> dict[str, Any]:
    return {"kind": "stop", "person": person, "email": email}


def gone(person: int, email: str | None = OLD) -> dict[str, Any]:
    return {"kind": "gone", "person": person, "email": email}


def merge(loser: int, winner: int, **more: Any) -> dict[str, Any]:
    return {"kind": "merge", "gone": loser, "person": winner, **more}


def asked(there: Installation) -> list[tuple[str, str]]:
    """(right, state) of each request, in order of receipt."""
    states = {row.request_id: row.state for row in there.rows(t.propagation)}
    return [(row.right, states[row.id]) for row in sorted(there.rows(t.request), key=lambda row: row.ordinal)]


def persons(there: Installation) -> int:
    return len({row.person for row in there.rows(t.request)})


def left_alone(there: Installation, *addresses: str) -> bool:
    """Nothing was erased, and whoever is still held there gets no mail."""
    assert there.sandbox.calls("{method} {template}".format(**ERASE)) == 0, "a call that nobody can take back"
    return all(one.status == "unsubscribed" for address in addresses for one in there.sandbox.holdings(address))


def causes(there: Installation) -> set[str]:
    return {one.cause for one in there.told()}


ORDERS = pytest.mark.parametrize("order", ["merge first", "gone first"])


def tell(there: Installation, order: str, news: Mapping[str, Any], end: Mapping[str, Any]) -> dict[str, Any]:
    if order == "merge first":
        crm(there, news)
        return crm(there, end)
    assert crm(there, end)["status"] == "held"
    there.clock.advance(timedelta(minutes=9))
    return crm(there, news)


@ORDERS
def test_a_merge_erases_nobody_and_tells_the_losers_opt_out_again_for_the_winner(tmp_path: Path, order: str) -> None:
    with served(tmp_path, sqlite_url(tmp_path)) as there:
        crm(there, stop(1, OLD))
        there.drive()
        news = merge(1, 2, email=ADA)
        assert tell(there, order, news, gone(1))["merges"] == {
            "joined": int(order != "merge first"),
            "held": 0,
            "explained": int(order != "gone first"),
        }
        there.drive(timedelta(days=2))
        assert left_alone(there, ADA, OLD)
        wanted = [("opt_out", "verified"), ("erasure", "withdrawn"), ("opt_out", "verified")]
        assert asked(there) == [one for one in wanted if one[0] == "opt_out" or order == "gone first"]
        assert persons(there) == 1
        assert "merged-opt-out" in causes(there)
        before = asked(there)
        assert crm(there, news)["code"] == 200
        assert crm(there, gone(1))["requests" if order == "gone first" else "code"], "a repetition changes nothing"
        assert asked(there) == before
        there.sound()


def test_what_the_loser_asked_goes_on_under_the_winner_in_order_of_receipt(tmp_path: Path, database_url: str) -> None:
    def moved(person: int, email: str, to: str, version: int) -> dict[str, Any]:
        return {"kind": "move", "person": person, "email": email, "to": to, "version": version}

    with served(tmp_path, database_url) as there:
        there.sandbox.add("eve@example.org")
        crm(there, moved(1, OLD, "ada.new@example.org", 900))
        crm(there, stop(1, OLD))
        crm(there, merge(1, 2, email="eve@example.org"))
        assert {row.version for row in there.rows(t.request)} == {None}, "a version of 1 says nothing of those of 2"
        there.drive()
        # The last word of what was still told of record 1, delivered late.
        crm(there, moved(1, "ada.new@example.org", "ada@example.net", 3))
        there.drive(timedelta(hours=1))
        assert persons(there) == 1
        # What is held there twice is for a person, as with anybody else; the newest correction was told.
        assert {state for _, state in asked(there)} == {State.VERIFIED.value, State.HANDED_OVER.value}
        assert [right for right, _ in asked(there)] == ["rectification", "opt_out", "opt_out", "rectification"]
        there.sound()


def test_a_chain_of_merges_ends_with_the_last_winner_also_when_nobody_was_known(
    tmp_path: Path, database_url: str
) -> None:
    with served(tmp_path, database_url) as there:
        assert crm(there, merge(1, 2))["merges"]["joined"] == 1
        crm(there, merge(2, 3), merge(4, 1))
        assert there.rows(t.alias) == [], "of people for whom nobody asked, no more than that is kept"
        for number in (1, 2, 3, 4):
            crm(there, stop(number, f"ada{number}@example.org"))
        assert persons(there) == 1
        assert [crm(there, gone(number))["code"] for number in (1, 2, 4)] == [200, 200, 200]
        assert crm(there, gone(3))["status"] == "held", "the one that stays is not gone by a merge"
        there.sound()


@pytest.mark.parametrize(("erased", "done"), [(1, False), (2, True)])
def test_a_merge_with_a_record_that_is_to_be_erased_or_was_is_asked_and_joins_nothing(
    tmp_path: Path, erased: int, done: bool
) -> None:
    with served(tmp_path, sqlite_url(tmp_path)) as there:
        crm(there, stop(3 - erased, ADA))
        crm(there, {"kind": "erase", "person": erased, "email": OLD})
        if done:
            there.drive()
        answer = crm(there, merge(1, 2, old_email=OLD, email=ADA), gone(1, "x@example.org"))
        assert (answer["status"], answer["merges"]["held"], answer["merges"]["joined"]) == ("held", 1, 0)
        assert persons(there) == 2
        assert crm(there, merge(1, 2, old_email=OLD, email=ADA))["status"] == "held"
        assert [one.cause for one in there.told()].count("merge-held") == 1
        if not done:
            return
        there.drive(timedelta(days=1))
        assert [one.cause for one in there.told()].count("merge-held") == 2, "each day"
        assert [one.status for one in there.sandbox.holdings(ADA)] == ["unsubscribed"], "who lives is not erased"
        there.sound()


def test_a_later_erasure_of_a_merged_person_waits_for_a_yes(tmp_path: Path) -> None:
    with served(tmp_path, sqlite_url(tmp_path)) as there:
        crm(there, stop(1, OLD))
        crm(there, merge(1, 2, email=ADA))
        (answer,) = [crm(there, {"kind": "erase", "person": 2, "email": ADA})]
        assert answer["status"] == "held"
        (part,) = [row for row in there.rows(t.propagation) if row.right == Right.ERASURE.value]
        assert part.causes == "shared_address"


@pytest.mark.parametrize(
    ("first", "second"),
    [(merge(1, 2), merge(2, 1)), (merge(1, 2), merge(1, 3))],
    ids=["the other way round", "into another one"],
)
def test_news_that_do_not_fit_together_are_for_a_person_and_explain_nothing_any_more(
    tmp_path: Path, first: Mapping[str, Any], second: Mapping[str, Any]
) -> None:
    with served(tmp_path, sqlite_url(tmp_path)) as there:
        crm(there, first)
        assert crm(there, second)["status"] == "held"
        assert crm(there, gone(1))["status"] == "held"


def test_a_merge_that_comes_too_late_or_long_ago_explains_nothing(tmp_path: Path) -> None:
    with served(tmp_path, sqlite_url(tmp_path)) as there:
        crm(there, gone(1))
        there.clock.advance(timedelta(minutes=11))
        assert crm(there, merge(1, 2))["status"] == "held"
        crm(there, merge(3, 4))
        there.clock.advance(timedelta(days=3, minutes=1))
        assert crm(there, gone(3, ADA))["status"] == "held"
        assert all("maybe_merge" in part.causes for part in there.rows(t.propagation))


@pytest.mark.parametrize("first", ["erase", "gone"])
def test_an_erasure_by_wish_swallows_its_twin_that_only_says_that_the_record_is_gone(
    tmp_path: Path, first: str
) -> None:
    twins: dict[str, dict[str, Any]] = {"erase": {"kind": "erase", "person": 1, "email": OLD}, "gone": gone(1)}
    other = twins.pop(first)
    with served(tmp_path, sqlite_url(tmp_path)) as there:
        crm(there, other)
        crm(there, *twins.values())
        assert sorted(asked(there)) == [("erasure", "pending")] + [("erasure", "withdrawn")] * (first == "gone")
        assert crm(there, gone(1, ADA))["status"] == "held", "another address is not swallowed"
        there.sound()


def test_more_merges_in_a_day_than_the_brake_allows_wait_where_somebody_is_known(tmp_path: Path) -> None:
    def merged(number: int) -> dict[str, Any]:
        return crm(there, merge(number, 1000))["merges"]  # type: ignore[no-any-return]  # because it is JSON

    with served(tmp_path, sqlite_url(tmp_path), "[safety]\nirreversible_per_day = 2\n") as there:
        crm(there, *(merge(number, number + 1000) for number in range(1, 5)))
        crm(there, *(stop(number, f"a{number}@example.org") for number in (101, 102, 103)))
        assert crm(there, merge(60, 2000))["merges"]["joined"] == 1, "of nobody who is known, any number"
        assert [merged(number)["joined"] for number in (101, 102, 103)] == [1, 1, 0]
        assert persons(there) == 2
        there.clock.advance(timedelta(hours=25))
        assert merged(103)["joined"] == 1


def test_a_merge_that_somebody_wrote_into_the_database_by_hand_is_not_believed(tmp_path: Path) -> None:
    with served(tmp_path, sqlite_url(tmp_path)) as there:
        crm(there, merge(1, 2))
        shelf = t.shelf.c

        def forge(unit: Any) -> None:
            key = there.service.keys.pseudonyms("id", "crm:5")[0]
            unit.connection.execute(t.shelf.update().where(shelf.processor == "merged record").values(key=key))

        there.service.write(forge)
        assert crm(there, gone(5))["status"] == "held"
        assert crm(there, gone(1))["status"] == "held"


def test_one_wrong_message_of_several_joins_nothing_and_the_names_in_it_are_not_kept(tmp_path: Path) -> None:
    with served(tmp_path, sqlite_url(tmp_path)) as there:
        body = json.dumps({"events": [{"id": "a", **merge(1, 2)}, {"id": "b", **merge(3, 4, email="x y")}]}).encode()
        signature = "sha256=" + hmac.new(INBOUND.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": signature}
        answer = requests.post(f"{there.url}/requests/crm", data=body, headers=headers, timeout=60)
        assert (answer.status_code, answer.json()["field"]) == (422, "1.subject.email")
        assert there.rows(t.shelf) == []
        same = {"kind": "merge", "gone": 2, "person": 2}
        body = json.dumps({"events": [{"id": "a", **same}]}).encode()
        headers = {"X-Hub-Signature-256": "sha256=" + hmac.new(INBOUND.encode(), body, hashlib.sha256).hexdigest()}
        answer = requests.post(f"{there.url}/requests/crm", data=body, headers=headers, timeout=60)
        assert (answer.status_code, answer.json()["field"]) == (422, "0.on_merge.loser")


@pytest.fixture
def by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[ByHand]:
    with served(tmp_path, sqlite_url(tmp_path)) as there:
        for name, value in there.environ.items():
            monkeypatch.setenv(name, value)
        yield ByHand(there, capsys)


def test_a_person_says_that_a_record_is_gone_by_a_merge_and_its_erasure_is_taken_back(by_hand: ByHand) -> None:
    there = by_hand.there
    crm(there, stop(2, ADA), gone(1))
    there.clock.advance(timedelta(days=5))
    assert by_hand.run("merge", "crm", "1", "2", "--by", "Dana")[0] == 64, "without a reason"
    assert by_hand.run("merge", "other", "1", "2", *WHY)[0] == 64
    assert by_hand.run("merge", "crm", "1", "crm:1", *WHY)[0] == 64
    assert by_hand.run("merge", "crm", "1", "2", *WHY)[0] == 0
    there.drive()
    assert asked(there) == [("opt_out", "verified"), ("erasure", "withdrawn"), ("opt_out", "verified")]
    assert left_alone(there, ADA, OLD)
    assert "one person already" in by_hand.run("merge", "crm", "crm:1", "2", *WHY)[1]
    there.sound()


def test_a_merge_that_waits_is_listed_until_a_person_has_decided(by_hand: ByHand) -> None:
    there = by_hand.there
    crm(there, {"kind": "erase", "person": 1, "email": OLD}, stop(2, ADA))
    crm(there, merge(1, 2), merge(1, 3))
    code, said = by_hand.run("merges", "--json")
    assert (code, sorted(one["winner"] for one in json.loads(said)["merges"])) == (0, ["2", "3"])
    assert [len(one.concerns) for one in there.told() if one.cause == "merge-held"] == [2], "each of them is told"
    assert by_hand.run("merge", "crm", "1", "3", "--apart", *WHY)[0] == 0
    assert "No such merge waits" in by_hand.run("merge", "crm", "1", "3", "--apart", *WHY)[1]
    code, said = by_hand.run("merge", "crm", "1", "2", *WHY)
    assert (code != 0, "is to be erased" in said) == (True, True), "an open erasure goes to nobody else"
    there.drive()
    assert by_hand.run("merge", "crm", "1", "2", *WHY)[0] == 0, "done: whoever lives is opted out, and no more"
    assert "no merge waits" in by_hand.run("merges")[1]
    there.drive()
    assert asked(there) == [("erasure", "verified"), ("opt_out", "verified"), ("opt_out", "verified")]
    assert [one.status for one in there.sandbox.holdings(ADA)] == ["unsubscribed"]
    there.sound()
