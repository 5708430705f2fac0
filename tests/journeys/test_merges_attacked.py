"""Merges that are mistaken, late, repeated or of several records: nobody is reached by mistake, nothing is lost."""

import json
from datetime import timedelta
from pathlib import Path

from dpsync.__main__ import main
from dpsync.model import Right
from dpsync.store import tables as t
from tests.journeys.installation import Installation, sqlite_url
from tests.journeys.test_merges import (
    ADA,
    OLD,
    WHY,
    ByHand,
    asked,
    by_hand,
    causes,
    crm,
    gone,
    left_alone,
    merge,
    persons,
    served,
    stop,
)

__all__ = ["by_hand"]


def withdraw(there: Installation) -> None:
    (erasure,) = [row.id for row in there.rows(t.request) if row.right == Right.ERASURE.value]
    words = ["withdraw", erasure, "--by", "Dana Officer", "--reason", "a mistake"]
    assert main(["--config", str(there.folder / "dpsync.toml"), *words]) == 0


def test_an_erasure_that_was_let_through_is_held_once_it_would_reach_another_record_too(tmp_path: Path) -> None:
    with served(tmp_path, sqlite_url(tmp_path), '[safety]\ncooling_off = "1h"\n') as there:
        there.sandbox.add("eve@example.org")
        crm(there, merge(1, 2), {"kind": "erase", "person": 2, "email": ADA})
        # The merge was a mistake: record 1 is somebody who lives.
        moved = {"kind": "move", "person": 1, "email": OLD, "to": "eve@example.org", "version": 1}
        crm(there, moved)
        there.drive(timedelta(hours=2))
        (part,) = [row for row in there.rows(t.propagation) if row.right == Right.ERASURE.value]
        assert (part.state, part.causes) == ("held", "shared_address")
        assert left_alone(there)


def test_no_opt_out_is_lost_that_comes_after_the_news_of_its_merge_or_by_an_event_that_tells_of_two(
    tmp_path: Path,
) -> None:
    more = [f"ada{number}@example.org" for number in range(6)]
    with served(tmp_path, sqlite_url(tmp_path)) as there:
        for address in more:
            there.sandbox.add(address)
        crm(there, merge(1, 2, email=ADA), stop(1, OLD))
        late = [stop(10, more[0])]
        crm(there, stop(20, more[1]), merge(10, 20))
        crm(there, *late)
        crm(there, stop(31, more[2]), stop(33, more[3]))
        for loser, winner, email in ((31, 32, more[4]), (33, 34, more[5])):
            crm(there, {**merge(loser, winner, email=email), "id": "same"})
        there.drive()
        assert left_alone(there, ADA, OLD, *more)
        assert "merged-opt-out" in causes(there), "the winner may have no opt-out in the main database"
        before = asked(there)
        crm(there, *late)
        assert asked(there) == before, "a repetition changes nothing"
        told = {row.event_id.split(".")[0] for row in there.rows(t.request) if row.event_id.endswith(".opt-out")}
        wishes = {row.event_id.split(".")[0] for row in there.rows(t.request) if row.event_id.endswith(".stop")}
        assert len(told & wishes) == 2, "both that came late were told for the winner, too"


def test_what_was_taken_back_swallows_no_news_when_it_comes_again_and_one_record_explains_no_other(
    by_hand: ByHand,
) -> None:
    there = by_hand.there
    wish = {"kind": "erase", "person": 1, "email": OLD}
    crm(there, wish)
    withdraw(there)
    crm(there, gone(1))
    crm(there, wish)
    assert asked(there) == [("erasure", "withdrawn"), ("erasure", "held")]
    crm(there, merge(5, 6), stop(5, ADA))
    there.clock.advance(timedelta(days=4))
    crm(there, gone(5, ADA))
    assert crm(there, merge(6, 7))["merges"]["held"] == 1, "that 5 is gone is nothing that 6 explains"
    assert asked(there)[-1] == ("erasure", "held")


def test_a_decision_about_two_records_stands_and_decides_about_no_third(by_hand: ByHand) -> None:
    there = by_hand.there
    crm(there, gone(2, ADA), stop(1, OLD), stop(3, "eve@example.org"))
    crm(there, merge(1, 2))
    crm(there, merge(1, 2, also_gone=3))
    assert by_hand.run("merge", "crm", "1", "2", "--apart", *WHY)[0] == 0
    (left,) = json.loads(by_hand.run("merges", "--json")[1])["merges"]
    assert (left["losers"], left["winner"]) == (["3"], "2"), "nobody has decided about that one"
    withdraw(there)
    assert crm(there, merge(1, 2))["code"] == 200, "the same news again changes nothing"
    assert crm(there, {**merge(1, 2), "id": "another"})["status"] == "held"
    assert persons(there) == 3
    there.sound()


def submit(there: Installation, *words: str) -> None:
    assert main(["--config", str(there.folder / "dpsync.toml"), "submit", "restriction", *words]) == 0


def test_no_merge_ends_a_restriction(by_hand: ByHand) -> None:
    """What lifted the restriction of one record is newer than that of the other, and would count for both."""
    there = by_hand.there
    today = there.clock.now().date().isoformat()
    submit(there, "--id", "crm:1", "--email", OLD)
    submit(there, "--id", "crm:2", "--email", ADA)
    submit(there, "--id", "crm:2", "--email", ADA, "--lift-told-on", today, "--lift-how", "by letter")
    assert crm(there, merge(1, 2))["status"] == "held"
    assert persons(there) == 2
    code, said = by_hand.run("merge", "crm", "1", "2", *WHY)
    assert (code, "dpsync submit restriction" in said) == (64, True), said
    submit(there, "--id", "crm:1", "--email", OLD)
    assert by_hand.run("merge", "crm", "1", "2", *WHY)[0] == 0
    assert persons(there) == 1
    assert crm(there, {"kind": "erase", "person": 2, "email": ADA})["status"] == "held"
    (held,) = [row.causes for row in there.rows(t.propagation) if row.right == Right.ERASURE.value]
    assert "restriction_in_force" in held
    there.sound()
