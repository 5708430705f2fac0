"""What the brake counts, and when it holds."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync.model import Changes, Request, Right, Subject
from dpsync.propagation.rules.brake import counts, must_hold

ERASURE = Request(
    source="crm",
    event_id="1",
    right=Right.ERASURE,
    subject=Subject(email="ada@example.org"),
    received_at=datetime(2026, 11, 20, 9, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("right", "changes", "counted"),
    [
        (Right.ERASURE, None, True),
        (Right.OPT_OUT, None, True),
        (Right.RESTRICTION, None, False),
        (Right.RECTIFICATION, Changes(first_name="Ada"), False),
        (Right.RECTIFICATION, Changes(email="ada.new@example.org"), True),
        (Right.RECTIFICATION, None, False),
    ],
)
def test_what_cannot_be_taken_back_is_counted(right: Right, changes: Changes | None, counted: bool) -> None:
    assert counts(replace(ERASURE, right=right, changes=changes)) is counted


@given(st.integers(0, 200), st.integers(0, 200))
def test_of_any_number_exactly_the_limit_is_let_through(asked: int, limit: int) -> None:
    let_through = 0
    for _ in range(asked):
        let_through += not must_hold(let_through, limit)
    assert let_through == min(asked, limit)


def test_a_limit_of_zero_holds_everything() -> None:
    assert must_hold(0, 0)
