"""What is told of the first or the last day of all years: no day can be counted from it, so it is no day."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from dpsync.cli.requesting import moment_of
from dpsync.errors import PayloadInvalid
from dpsync.intake.polling.table import moment as polled
from dpsync.intake.typed import day_of
from dpsync.vendor.deliveries import moment

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize("told", ["0001-01-01", "1969-12-31", "9999-01-01", "9999-12-31"])
def test_a_day_from_which_no_other_can_be_counted_is_none(told: str) -> None:
    assert day_of(told) is None
    with pytest.raises(PayloadInvalid):
        moment(told, "at")


@pytest.mark.parametrize("told", ["1970-01-01", "9998-12-31"])
def test_the_days_between_are_days(told: str) -> None:
    assert day_of(told) == moment(told, "at").date() == date.fromisoformat(told)


def test_what_has_no_moment_in_utc_is_left_as_it_was_typed() -> None:
    assert moment_of("0001-01-01", BERLIN) == "0001-01-01"
    assert moment_of("2026-11-20", BERLIN) == "2026-11-19T23:00:00Z"


@pytest.mark.parametrize("told", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_what_has_no_moment_in_utc_is_no_moment_of_an_outbox(told: str) -> None:
    with pytest.raises(ValueError, match="before or after all years"):
        polled(told)
