"""What the trustees' page leaves out, so that nobody can be told from it by reckoning."""

import pytest

from dpsync.model import Right, State
from dpsync.reports import render
from dpsync.reports.formats import Format
from dpsync.reports.trustees import FEW, NONE_SHOWN, trustees_of
from tests.unit.test_reports import Rows, november

E, R, S, O = Right.ERASURE, Right.RECTIFICATION, Right.RESTRICTION, Right.OPT_OUT  # noqa: E741  # because each stands for its right


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({}, [None]),
        ({E: 1}, []),
        ({E: 2, O: 2}, []),
        ({E: 5}, [E, None]),
        ({E: 5, O: 5}, [E, O, None]),
        ({E: 6, O: 5, S: 1}, [E, None]),  # all less 11 would be the one restriction
        ({E: 5, S: 1}, [None]),
        ({E: 7, R: 4, S: 1}, [E, None]),  # five together are nobody's
    ],
)
def test_no_row_tells_of_few_nor_can_be_reckoned_from_the_others(
    asked: dict[Right, int], shown: list[Right | None], rows: Rows
) -> None:
    for right, number in asked.items():
        for _ in range(number):
            rows.ask(right, alpha=State.VERIFIED)
    page = trustees_of(november(rows))
    assert [one.right for one in page.rows] == shown
    left_out = page.rows[-1].received - sum(one.received for one in page.rows[:-1]) if page.rows else 0
    assert not 0 < left_out < FEW
    for of, number in (("Opt-outs: ", asked.get(O, 0)), ("Requests: ", sum(asked.values()) - asked.get(O, 0))):
        assert any(one.startswith(of) for one in page.quickly) is not (0 < number < FEW)
    for kind in (Format.TEXT, Format.HTML):
        said = " ".join(str(render.rendered(page, kind)).split())
        assert (NONE_SHOWN in said) is (not shown)
        assert ("How quickly?" in said) is bool(page.quickly)
