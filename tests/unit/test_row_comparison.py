"""Each column of a request's rows against what its entries commit to, one wrong value at a time."""

import hmac
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync.ledger import rows
from dpsync.ledger.mac import Mac
from dpsync.ledger.row_comparison import Belongings, Problem, of_added, problems
from dpsync.ledger.rows import BORN, COMMITTED
from dpsync.ledger.told import Kept, PlaceTold, RequestTold
from dpsync.sealing import Keys

KEY = b"k" * 32
IDX = 9


def row_of(table: str, **more: Any) -> dict[str, Any]:
    return {**{column: f"{table} {column}" for column in COMMITTED[table]}, **more}


def kept(table: str, row: dict[str, Any], number: int | None = None) -> Kept:
    (one,) = rows.read(rows.item(KEY, table, row, number))
    return Kept(IDX, one)


class Case:
    """One request at one processor, with a row of each kind, all of it as committed."""

    def __init__(self) -> None:
        self.row = row_of("request", accepted_at="then")
        self.part = part = {**row_of("propagation"), "way": "api", "covers": "", "processor": "a"}
        attempt = {**row_of("attempt"), **row_of("ended"), "number": 1}
        notice = {**row_of("notice"), **row_of("sent"), "number": 1}
        self.rows = {"attempt": attempt, "notice": notice, "answer": row_of("answer"), "decision": row_of("decision")}
        self.has = Belongings(parts={"a": part})
        for table, row in self.rows.items():
            self.has.rows[table, "" if table == "decision" else "a"] = [row]
        self.said = RequestTold(places={"a": PlaceTold(way="api")})
        self.said.rows = {
            ("request", "", 0): kept("request", self.row),
            ("births", "", 0): kept("births", rows.births([part])),
            ("propagation", "a", 0): kept("propagation", part),
            ("attempt", "a", 1): kept("attempt", attempt, 1),
            ("ended", "a", 1): kept("ended", attempt, 1),
            ("notice", "a", 1): kept("notice", notice, 1),
            ("sent", "a", 1): kept("sent", notice, 1),
        }
        self.said.added = {
            ("answer", "a"): [kept("answer", row_of("answer"), 1)],
            ("decision", ""): [kept("decision", row_of("decision"), 1)],
        }

    def found(self) -> list[tuple[str, list[str], str]]:
        all_: list[Problem] = list(problems(KEY, self.row, self.has, self.said))
        return [(place, list(columns), what) for place, columns, what in all_ if columns]


NOT_AS = f"not as entry {IDX} recorded it"


def test_what_is_as_committed_is_no_problem() -> None:
    assert Case().found() == []


@pytest.mark.parametrize("column", ["source", "subject_id", "person"])
def test_a_changed_request_is_named(column: str) -> None:
    case = Case()
    case.row[column] = "other"
    assert case.found() == [("", [column], NOT_AS)]


@pytest.mark.parametrize("column", ["subject_id", "person"])
def test_whose_joining_was_not_seen_is_not_compared_in_what_a_joining_changes(column: str) -> None:
    case = Case()
    case.said.joined_unseen = True
    case.row[column] = "other"
    assert case.found() == []
    case.row["source"] = "other"
    assert case.found() == [("", ["source"], NOT_AS)]


@pytest.mark.parametrize(("column", "value"), [("covers", "x"), ("way", "notice")])
def test_a_changed_birth_is_named(column: str, value: str) -> None:
    case = Case()
    del case.said.rows["propagation", "a", 0]
    del case.said.places["a"]  # no entry says by which way, so the row alone does
    born = {**BORN, "opened_at": "then", "state_since": "then"}
    case.part |= {**born, column: value}
    assert case.found() == [("", [column], NOT_AS)]


def test_the_way_of_a_birth_is_the_one_that_the_first_entry_told_of() -> None:
    case = Case()
    del case.said.rows["propagation", "a", 0]
    case.part |= {**BORN, "opened_at": "then", "state_since": "then", "way": "notice"}
    assert case.found() == []


def test_what_is_destroyed_when_a_request_is_forgotten_is_no_difference_then_and_one_before() -> None:
    case = Case()
    case.row["sealed"] = case.part["handed"] = None
    assert case.found() == [("", ["sealed"], NOT_AS), (" at a", ["handed"], NOT_AS)]
    case.said.shredded = 500
    assert case.found() == []
    case.row["source"] = case.part["reason"] = "other"
    assert case.found() == [("", ["source"], NOT_AS), (" at a", ["reason"], NOT_AS)]


def test_what_people_wrote_of_a_forgotten_request_may_be_gone_and_nothing_else_of_it() -> None:
    case = Case()
    case.rows["answer"]["sealed"] = case.rows["decision"]["sealed"] = "without the words"
    assert len(case.found()) == 2
    case.said.shredded = 500
    assert case.found() == []
    case.rows["decision"]["kind"] = "other"
    assert case.found() == [(", decision", ["kind"], NOT_AS)]


@pytest.mark.parametrize(("table", "column"), [("propagation", "state"), ("propagation", "reason")])
def test_a_changed_part_is_named_by_its_processor(table: str, column: str) -> None:
    case = Case()
    case.part[column] = "other"
    assert case.found() == [(" at a", [column], NOT_AS)]


def test_of_two_attempts_the_one_that_is_not_there_is_named() -> None:
    case = Case()
    second = {**case.rows["attempt"], "number": 2}
    case.has.rows["attempt", "a"].append(second)
    case.said.rows |= {(table, "a", 2): kept(table, second, 2) for table in ("attempt", "ended")}
    assert case.found() == []
    for number, left in ((1, second), (2, case.rows["attempt"])):
        case.has.rows["attempt", "a"] = [left]
        gone = "the database has no such row"
        assert case.found() == [(f" at a, attempt {number}", ["number", "propagation_id"], gone)]


def test_a_part_of_which_no_entry_tells_is_as_it_was_born() -> None:
    case = Case()
    del case.said.rows["propagation", "a", 0]
    case.part |= {**BORN, "opened_at": "then", "state_since": "now"}
    assert case.found() == [(" at a", ["state_since"], "though no entry tells of it")]
    case.part |= {"opened_at": "now", "state_since": "then", "rung": 1}
    assert sorted(case.found()[0][1]) == ["opened_at", "rung"]


@pytest.mark.parametrize(
    ("table", "early", "late"), [("attempt", "kind", "outcome"), ("notice", "recipient", "digest")]
)
def test_both_halves_of_a_numbered_row_are_compared(table: str, early: str, late: str) -> None:
    for column in (early, late):
        case = Case()
        case.rows[table][column] = "other"
        assert case.found() == [(f" at a, {table} 1", [column], NOT_AS)]


@pytest.mark.parametrize(
    ("table", "half", "none"),
    [("attempt", "ended", {"ended_at": None, "outcome": ""}), ("notice", "sent", {"sent_at": None, "digest": ""})],
)
def test_a_later_half_of_which_no_entry_tells_is_empty(table: str, half: str, none: dict[str, Any]) -> None:
    case = Case()
    del case.said.rows[half, "a", 1]
    assert case.found() == [(f" at a, {table} 1", list(none), "though no entry tells of it")]
    case.rows[table] |= none
    assert case.found() == []


@pytest.mark.parametrize("table", ["attempt", "notice"])
def test_a_numbered_row_too_many_or_too_few_is_named(table: str) -> None:
    case = Case()
    (row,) = case.has.rows[table, "a"]
    case.has.rows[table, "a"] = [{**row, "number": 2}, row]
    whose = ["number", "propagation_id"]
    assert case.found() == [(f" at a, {table} 2", whose, "no entry tells of such a row")]
    case.has.rows[table, "a"] = []
    assert case.found() == [(f" at a, {table} 1", whose, "the database has no such row")]


def test_a_row_that_is_only_added_is_named_by_its_place() -> None:
    case = Case()
    case.rows["answer"]["kind"] = "other"
    case.rows["decision"]["kind"] = "other"
    assert case.found() == [(" at a, answer", ["kind"], NOT_AS), (", decision", ["kind"], NOT_AS)]


def test_of_rows_that_are_only_added_the_one_least_unlike_was_changed() -> None:
    case = Case()
    same, other = row_of("answer"), row_of("answer", kind="k", final="f")
    case.said.added["answer", "a"] = [kept("answer", same, 1), kept("answer", other, 2)]
    case.has.rows["answer", "a"] = [{**other, "at": "x"}, same]
    assert case.found() == [(" at a, answer", ["at"], NOT_AS)]
    case.has.rows["answer", "a"] = [{**other, "at": "x"}, {**same, "at": "x"}]
    assert [columns for _, columns, _ in case.found()] == [["at"], ["at"]]


def test_rows_that_are_only_added_and_are_missing_or_too_many_are_named_as_a_whole() -> None:
    case = Case()
    whole = [*COMMITTED["answer"], "propagation_id"]
    case.has.rows["answer", "a"] = [row_of("answer")] * 2
    assert case.found() == [(" at a, answer", whole, "of a row that no entry tells of")]
    case.has.rows["answer", "a"] = []
    gone = f"of a row that entry {IDX} recorded: it is not there"
    assert case.found() == [(" at a, answer", whole, gone)]


def test_a_row_that_no_entry_tells_of_is_told_apart_from_one_that_is_missing_or_changed() -> None:
    one, other = row_of("post"), row_of("post", digest="d")
    committed = [kept("post", one)]
    assert [untold for *_, untold in of_added(KEY, "post", committed, [one, other])] == [True]
    assert [untold for *_, untold in of_added(KEY, "post", committed, [])] == [False]
    assert [untold for *_, untold in of_added(KEY, "post", committed, [other])] == [False]


def test_columns_of_which_only_one_side_knows_are_not_compared() -> None:
    (said,) = rows.read(rows.item(KEY, "sent", row_of("sent")))
    newer = replace(said, marks=said.marks + "0000", digest="0" * 64)
    assert rows.differing(KEY, newer, row_of("sent", digest="other")) == ["digest"]
    older = replace(said, marks=said.marks[: rows.MARK], digest="0" * 64)
    assert rows.differing(KEY, older, row_of("sent", sent_at="other")) == ["sent_at"]


def test_of_two_rows_that_differ_the_one_that_differs_least_is_the_changed_one() -> None:
    first, second, *_, last = sorted(COMMITTED["decision"])
    was = row_of("decision")
    found = [{**was, first: "other", second: "other"}, {**was, last: "other"}]
    told = [
        (list(columns), untold) for columns, _, untold in of_added(KEY, "decision", [kept("decision", was, 1)], found)
    ]
    assert told[0] == ([last], False)
    assert told[1][1], "no entry tells of the other row"


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_mac_whose_key_is_hashed_once_is_the_hmac_of_every_message(key: bytes, message: bytes) -> None:
    mac = Mac(key)
    for one in (message, b"", message):
        assert mac.digest(one) == hmac.digest(key, one, "sha256")


def test_a_row_is_as_recorded_under_either_of_two_keys_and_else_the_least_is_named() -> None:
    said = kept("decision", row_of("decision"), 1).said
    other = bytes(32)
    for keys in ((KEY, other), (other, KEY)):
        assert rows.differing(keys, said, row_of("decision")) == []
        for column in COMMITTED["decision"]:
            assert rows.differing(keys, said, row_of("decision", **{column: "another"})) == [column]
    assert len(rows.differing((other,), said, row_of("decision"))) > 1


def test_a_second_key_digests_nothing_of_a_row_that_fits_under_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    row, other = row_of("decision"), bytes(32)
    said = kept("decision", row, 1).said
    real, asked = Mac.digest, list[bytes]()

    def counted(self: Mac, message: bytes) -> bytes:
        asked.append(message)
        return real(self, message)

    monkeypatch.setattr(Mac, "digest", counted)

    def digests(*keys: bytes) -> int:
        asked.clear()
        assert rows.differing(keys, said, row) == []
        return len(asked)

    one = len(COMMITTED["decision"]) + 1
    assert (digests(KEY), digests(KEY, other), digests(other, KEY)) == (one, one, 2 * one)


def test_what_stands_in_for_a_key_that_does_not_open_is_of_one_request_and_for_ever_the_same(tmp_path: Path) -> None:
    keys = Keys.create(tmp_path / "keys")
    assert rows.stand_in(keys, "r-1") == keys.mac("ledger", b"shut\nr-1")
    assert rows.stand_in(keys, "r-1") != rows.stand_in(keys, "r-2")
