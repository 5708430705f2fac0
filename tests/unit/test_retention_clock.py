"""How long a conversation may stay: calendar months of the controller's zone, on every day there is."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync.model import ConversationState
from dpsync.retention import clock

LONDON = ZoneInfo("Europe/London")
ZONES = st.sampled_from([ZoneInfo(name) for name in ("Europe/London", "Pacific/Auckland", "America/St_Johns", "UTC")])
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - because the zone is the strategy's other argument
DAYS = st.dates(date(2020, 1, 1), date(2040, 12, 31))
MONTHS = st.integers(1, 24)
DAY = timedelta(days=1)

VECTORS = [  # began (London), months, last day
    ("2026-08-31T12:00", 3, "2026-11-30"),
    ("2026-11-30T12:00", 3, "2027-02-28"),
    ("2027-11-30T12:00", 3, "2028-02-29"),
    ("2026-01-31T12:00", 1, "2026-02-28"),
    ("2026-08-25T12:00", 3, "2026-11-25"),
    ("2026-12-31T23:59", 12, "2027-12-31"),
]


@pytest.mark.parametrize(("began", "months", "last"), VECTORS)
def test_months_are_those_of_the_calendar_and_never_so_many_days(began: str, months: int, last: str) -> None:
    started = datetime.fromisoformat(began).replace(tzinfo=LONDON)
    assert clock.due_on(started, months, LONDON) == date.fromisoformat(last)


def test_the_day_is_that_of_the_controllers_zone() -> None:
    late = datetime(2026, 7, 31, 23, 30, tzinfo=UTC)  # 1 August in London
    assert clock.due_on(late, 1, LONDON) == date(2026, 9, 1)
    assert clock.due_on(late, 1, ZoneInfo("UTC")) == date(2026, 8, 31)


@given(MOMENTS, MONTHS, ZONES)
def test_the_last_day_has_the_same_number_or_is_the_last_of_a_shorter_month(
    started: datetime, months: int, zone: ZoneInfo
) -> None:
    first, last = clock.day_of(started, zone), clock.due_on(started, months, zone)
    assert (last.year * 12 + last.month) - (first.year * 12 + first.month) == months
    assert last.day == first.day or (last.day < first.day and (last + DAY).day == 1)


@given(MOMENTS, MOMENTS, MONTHS, ZONES)
def test_what_began_earlier_is_never_due_later(one: datetime, other: datetime, months: int, zone: ZoneInfo) -> None:
    earlier, later = sorted([one, other])
    assert clock.due_on(earlier, months, zone) <= clock.due_on(later, months, zone)


@given(DAYS, ZONES)
def test_overdue_begins_when_the_last_day_is_over_and_no_moment_before(last: date, zone: ZoneInfo) -> None:
    begins = clock.overdue_at(last, zone)
    assert clock.day_of(begins, zone) == last + DAY
    assert clock.day_of(begins - timedelta(microseconds=1), zone) == last


@given(DAYS, MONTHS)
def test_the_cutoff_is_the_youngest_day_of_which_nothing_may_be_left(today: date, months: int) -> None:
    def last_day(began: date) -> date:
        return clock.due_on(datetime(began.year, began.month, began.day, 12, tzinfo=UTC), months, ZoneInfo("UTC"))

    cutoff = clock.cutoff_on(today, months)
    assert last_day(cutoff) < today <= last_day(cutoff + DAY)


@given(st.sampled_from(ConversationState), MOMENTS, MOMENTS)
def test_only_what_was_said_to_be_gone_before_it_was_seen_is_contradicted(
    state: ConversationState, claimed: datetime, seen: datetime
) -> None:
    after = clock.seen_again(state, claimed if state in clock.CLAIMED else None, seen)
    contradicted = state in clock.CLAIMED and seen > claimed
    assert after is (ConversationState.CONTRADICTED if contradicted else state)
