"""The table of faults: each row has tests, and each of its figures is counted by one of them."""

from tests.faults.page import proofs
from tests.faults.table import FAULTS

WAITING: set[int] = set()
"""Rows without a test. They are to get one; none may come to them."""


def test_there_are_46_rows_and_each_has_a_test() -> None:
    assert list(FAULTS) == list(range(1, 47))
    assert {number for number in FAULTS if not proofs()[number].tests} == WAITING


def test_no_test_is_marked_for_a_row_that_there_is_not() -> None:
    assert set(proofs()) <= set(FAULTS)


def test_each_figure_of_a_row_is_counted() -> None:
    missing = {
        number: sorted(set(fault.limits) - proofs()[number].counted)
        for number, fault in FAULTS.items()
        if number not in WAITING
    }
    assert {number: names for number, names in missing.items() if names} == {}
