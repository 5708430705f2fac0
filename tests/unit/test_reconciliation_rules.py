"""What differs between a row of a list and what was asked, what of a row can be read, and what may be acted on."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from dpsync.intake.reconciliation.compare import Difference, DifferenceKind, ErasureStage, Ours, differences
from dpsync.intake.reconciliation.judging import Brake, Counted, unlike_last, verdict
from dpsync.intake.reconciliation.listed import Listed, faults_of, listed
from dpsync.model import Right

NOW = datetime(2026, 11, 30, 7, tzinfo=UTC)
LONG_AGO, JUST_NOW = NOW - timedelta(days=30), NOW - timedelta(hours=20)
KNOWN = Ours(person="a", persons=frozenset("a"))
BRAKE = Brake(50, 10)


def ours(**more: object) -> Ours:
    return Ours(person="a", persons=frozenset("a"), **more)  # type: ignore[arg-type]  # because the fields have many types


def found(row: Listed, known: Ours) -> list[str]:
    return [f"{one.kind} {one.right or ''}".strip() for one in differences(row, known, NOW)]


@pytest.mark.parametrize(
    ("row", "known", "expected"),
    [
        (Listed("1", opted_out=True), Ours(), ["missed opt_out"]),
        (Listed("1", opted_out=True), ours(opt_out=LONG_AGO), []),
        (Listed("1", opted_out=True), ours(opt_out=LONG_AGO, new_addresses=("n@example.org",)), ["missed opt_out"]),
        (Listed("1", opted_out=True), ours(erasure=ErasureStage.OPEN), ["missed opt_out"]),
        (Listed("1", opted_out=True), ours(erasure=ErasureStage.OPEN, stops_mail=True), []),
        (Listed("1", opted_out=False), ours(opt_out=LONG_AGO), ["contactable opt_out"]),
        (Listed("1", opted_out=False), ours(opt_out=JUST_NOW), []),
        (Listed("1", opted_out=None), ours(opt_out=LONG_AGO), []),
        (Listed("1", restricted=True), Ours(), ["missed restriction"]),
        (Listed("1", restricted=False), ours(restriction=LONG_AGO), ["contactable restriction"]),
        (Listed("1", restricted=True), ours(restriction=LONG_AGO), []),
        (Listed("1", erased=True), Ours(), ["missed erasure"]),
        (Listed("1", erased=True), ours(erasure=ErasureStage.GONE_ONLY), ["missed erasure"]),
        (Listed("1", erased=True), ours(erasure=ErasureStage.OPEN), []),
        (Listed("1", deleted=True), ours(erasure=ErasureStage.GONE_ONLY), []),
        (Listed("1", deleted=True), ours(merged=True), []),
        (Listed("1", erased=True, opted_out=True), KNOWN, ["missed erasure", "missed opt_out"]),
        (Listed("1"), ours(erasure=ErasureStage.DONE), ["returned erasure"]),
        (Listed("1", opted_out=False), ours(erasure=ErasureStage.DONE, opt_out=LONG_AGO), ["returned erasure"]),
        (Listed("1"), Ours(erased_address=True), ["returned erasure"]),
        (Listed("1", opted_out=True), Ours(erased_address=True), ["returned erasure", "missed opt_out"]),
        (Listed("1"), ours(erasure=ErasureStage.GONE_ONLY), ["contactable erasure"]),
        (Listed("1"), ours(new_addresses=("n@example.org",)), ["address rectification"]),
        (Listed("1"), ours(new_addresses=("n@example.org",), opt_out=JUST_NOW), []),
        (Listed("1"), Ours(new_addresses=("n@example.org",)), []),
        (Listed("1", merged_into="2"), KNOWN, ["merged"]),
        (Listed("1", merged_into="2"), Ours(winner_known=True), ["merged"]),
        (Listed("1", merged_into="2"), Ours(), []),
        (Listed("1", merged_into="2", opted_out=True), Ours(), ["merged", "missed opt_out"]),
        (Listed("1", merged_into="2", opted_out=True), ours(merged=True), []),
    ],
)
def test_each_flag_is_held_against_what_was_asked(row: Listed, known: Ours, expected: list[str]) -> None:
    assert found(row, known) == expected


def test_only_a_record_that_is_merely_gone_may_be_a_merge() -> None:
    gone, wished = Listed("1", deleted=True), Listed("1", deleted=True, erased=True)
    assert differences(gone, Ours(), NOW) == [Difference(DifferenceKind.MISSED, Right.ERASURE, delete_shaped=True)]
    assert differences(wished, Ours(), NOW) == [Difference(DifferenceKind.MISSED, Right.ERASURE)]


@pytest.mark.parametrize(
    "text", ["b@example.org a@example.org", '["a@example.org", "b@example.org"]', ["A@example.org", "b@example.org"]]
)
def test_addresses_stand_in_a_list_or_with_something_between(text: object) -> None:
    row = listed({"id": Decimal(7), "emails": text})
    assert row is not None
    assert [one.lower() for one in row.addresses] == ["a@example.org", "b@example.org"]
    assert (row.id, row.unread) == ("7", False)


@pytest.mark.parametrize(
    ("value", "flag", "unread"),
    [
        (1, True, False),
        (False, False, False),
        (b"\x01", True, False),
        ("t", True, False),
        (None, False, False),
        ("", False, False),
        ("perhaps", None, True),
        (2, None, True),
    ],
)
def test_a_flag_that_says_neither_yes_nor_no_is_unknown(value: object, flag: bool | None, unread: bool) -> None:
    row = listed({"id": 1, "emails": None, "opted_out": value})
    assert row is not None
    assert (row.opted_out, row.erased, row.unread) == (flag, None, unread)


def test_what_cannot_be_read_is_said_and_not_left_out() -> None:
    for broken in (
        {"id": 1, "emails": "n/a"},
        {"id": 1, "emails": "[" * 2000},
        {"id": 1, "emails": "[" * 900 + "]" * 900},
        {"id": 1, "emails": None, "changed_at": "yesterday"},
        {"id": 1, "emails": None, "changed_at": "0001-01-01T00:00:00+14:00"},
    ):
        row = listed(broken)
        assert row is not None
        assert row.unread
    assert listed({"id": None, "emails": "a@example.org"}) is None
    assert listed({"id": " ", "emails": "a@example.org"}) is None


def test_a_row_says_the_same_until_any_part_of_it_changes() -> None:
    same = Listed("1", ("a@example.org",), opted_out=False, version="3")
    others = [
        Listed("2", ("a@example.org",), opted_out=False, version="3"),
        Listed("1", ("b@example.org",), opted_out=False, version="3"),
        Listed("1", ("a@example.org",), opted_out=True, version="3"),
        Listed("1", ("a@example.org",), opted_out=False, version="4"),
        Listed("1", ("a@example.org",), opted_out=False, merged_into="2", version="3"),
    ]
    assert len({one.digested() for one in [same, *others]}) == 6
    assert same.digested() == Listed("1", ("A@example.org",), opted_out=False, version="3").digested()


def test_a_list_must_say_of_whom_it_is_and_something_of_them() -> None:
    assert faults_of(["id", "emails", "opted_out"]) == ""
    assert "emails" in faults_of(["id", "opted_out"])
    assert "is_opt_out" in faults_of(["id", "emails", "opted_out", "is_opt_out"])
    assert "opted_out" in faults_of(["id", "emails"])


def test_a_list_that_names_nobody_or_is_much_shorter_than_the_last_is_not_believed() -> None:
    assert unlike_last(Counted(listed=0), 0, BRAKE)
    assert unlike_last(Counted(listed=0), 0, Brake(50, 10, released=900)), "nobody can allow that"
    assert unlike_last(Counted(listed=89), 100, BRAKE)
    assert not unlike_last(Counted(listed=89), 100, Brake(50, 10, released=900))
    assert not unlike_last(Counted(listed=90), 100, BRAKE)
    assert not unlike_last(Counted(listed=11), 20, BRAKE), "of so few nobody can say a share"


@pytest.mark.parametrize(
    ("counted", "why"),
    [
        (Counted(agree=10_000, differ=50, new=50), ""),
        (Counted(agree=10_000, differ=51, new=51), "more than 50"),
        (Counted(agree=89, differ=11, new=11), "more than 10 %"),
        (Counted(agree=0, differ=10, new=10), ""),
        (Counted(agree=3, known=8, missing=4), ""),
        (Counted(agree=3, known=7, missing=4), "lacks 4 of the 7"),
        (Counted(agree=0, known=3, missing=3), ""),
    ],
)
def test_a_brake_stops_what_is_too_much(counted: Counted, why: str) -> None:
    said = verdict(counted, BRAKE)
    assert bool(said) == bool(why)
    assert why in said


def test_what_a_person_allows_is_a_number_and_no_more() -> None:
    released = Brake(50, 10, released=900)
    assert verdict(Counted(agree=0, differ=900, new=900, known=9, missing=9), released) == ""
    assert "900" in verdict(Counted(agree=0, differ=901, new=901), released)
