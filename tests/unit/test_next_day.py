"""By when somebody should act: the first of three days that is not over."""

from datetime import date

import pytest

from dpsync.propagation.next_day import next_day

TARGET, STRICT, DUE = date(2026, 11, 23), date(2026, 12, 19), date(2026, 12, 21)


@pytest.mark.parametrize(
    ("today", "by"),
    [
        (date(2026, 11, 20), TARGET),
        (TARGET, TARGET),
        (date(2026, 11, 24), STRICT),
        (STRICT, STRICT),
        (date(2026, 12, 20), DUE),
        (date(2027, 1, 4), DUE),
    ],
)
def test_the_first_day_that_is_not_over_counts(today: date, by: date) -> None:
    assert next_day(TARGET, STRICT, DUE, today) == by
