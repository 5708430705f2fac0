"""The legal clock against the vectors of the ICO's method, and against what must hold on every day of the calendar."""

from datetime import UTC, date, datetime, time, timedelta
from importlib.metadata import version
from zoneinfo import ZoneInfo

import holidays
import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given
from hypothesis import strategies as st

from dpsync.errors import ConfigurationError
from dpsync.model import Regime, Right
from dpsync.propagation.rules.legal_clock import LegalClock

LONDON = ZoneInfo("Europe/London")
ENGLAND = LegalClock("Europe/London", "GB-ENG")
SCOTLAND = LegalClock("Europe/London", "GB-SCT")
MONTHLY = [Right.ERASURE, Right.RECTIFICATION, Right.RESTRICTION]

VECTORS = [  # received, one month on, due, extended
    ("2026-09-03", "2026-10-03", "2026-10-05", "2026-12-03"),
    ("2026-01-31", "2026-02-28", "2026-03-02", "2026-04-30"),
    ("2024-01-31", "2024-02-29", "2024-02-29", "2024-04-30"),
    ("2026-03-31", "2026-04-30", "2026-04-30", "2026-06-30"),
    ("2026-03-03", "2026-04-03", "2026-04-07", "2026-06-03"),
    ("2026-07-31", "2026-08-31", "2026-09-01", "2026-11-02"),
    ("2026-11-25", "2026-12-25", "2026-12-29", "2027-02-25"),
    ("2026-12-01", "2027-01-01", "2027-01-04", "2027-03-01"),
]


def noon(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day), time(12), LONDON)


@pytest.mark.parametrize(("received", "month_on", "due", "extended"), VECTORS)
def test_each_published_vector_gives_its_dates(received: str, month_on: str, due: str, extended: str) -> None:
    dates = ENGLAND.dates(Right.ERASURE, noon(received))
    assert dates.starts_on == date.fromisoformat(received)
    assert dates.due_on == date.fromisoformat(due)
    assert dates.strict_on == date.fromisoformat(month_on) - timedelta(days=1)
    assert dates.letter_by == min(dates.starts_on + timedelta(days=27), dates.strict_on)
    assert ENGLAND.extended(dates.starts_on).due_on == date.fromisoformat(extended)


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ("2026-03-03", "2026-04-06"),  # no Easter Monday
        ("2026-07-31", "2026-08-31"),  # its summer holiday is the third of August ...
        ("2026-07-03", "2026-08-04"),  # ... and England's is not
        ("2026-12-01", "2027-01-05"),  # the second of January, in lieu
    ],
)
def test_scotland_has_its_own_holidays(received: str, due: str) -> None:
    assert SCOTLAND.dates(Right.ERASURE, noon(received)).due_on == date.fromisoformat(due)
    assert ENGLAND.dates(Right.ERASURE, noon(received)).due_on != date.fromisoformat(due)


def test_northern_ireland_keeps_the_twelfth_of_july() -> None:
    northern = LegalClock("Europe/London", "GB-NIR")
    assert northern.dates(Right.ERASURE, noon("2027-06-12")).due_on == date(2027, 7, 13)
    assert ENGLAND.dates(Right.ERASURE, noon("2027-06-12")).due_on == date(2027, 7, 12)


def test_half_past_eleven_utc_in_july_is_the_next_day_in_london() -> None:
    dates = ENGLAND.dates(Right.ERASURE, datetime(2026, 7, 5, 23, 30, tzinfo=UTC))
    assert dates.starts_on == date(2026, 7, 6)
    assert dates.due_on == date(2026, 8, 6)


def test_half_past_eleven_utc_in_january_is_the_same_day_in_london() -> None:
    assert ENGLAND.dates(Right.ERASURE, datetime(2026, 1, 5, 23, 30, tzinfo=UTC)).starts_on == date(2026, 1, 5)


def test_overdue_begins_at_midnight_by_the_clock_that_is_in_force_that_day() -> None:
    in_summer = ENGLAND.dates(Right.ERASURE, noon("2026-03-16"))
    assert in_summer.due_on == date(2026, 4, 16)
    assert in_summer.due_at == datetime(2026, 4, 16, 23, tzinfo=UTC)
    assert in_summer.due_at.tzinfo is UTC, "wherever the machine is"
    in_winter = ENGLAND.dates(Right.ERASURE, noon("2026-10-12"))
    assert in_winter.due_on == date(2026, 11, 12)
    assert in_winter.due_at == datetime(2026, 11, 13, tzinfo=UTC)


def test_overdue_begins_with_the_day_where_a_zone_skips_its_midnight() -> None:
    beirut = LegalClock("Asia/Beirut", "GB-ENG")  # clocks went from 00:00 to 01:00 on 2024-03-31
    dates = beirut.dates(Right.ERASURE, datetime(2024, 2, 29, 12, tzinfo=UTC))
    assert dates.due_on == date(2024, 4, 2)
    strict_midnight = LegalClock("America/Santiago", "GB-ENG").dates(
        Right.ERASURE, datetime(2024, 8, 6, 15, tzinfo=UTC)
    )
    assert strict_midnight.due_on == date(2024, 9, 6)
    saturday_end = LegalClock("America/Santiago", "GB-ENG")._beginning_of(date(2024, 9, 8))  # 00:00 to 01:00 that day
    assert saturday_end == datetime(2024, 9, 8, 4, tzinfo=UTC)


def test_doing_it_is_late_after_72_hours_across_the_change_of_the_clocks() -> None:
    received = datetime(2026, 3, 28, 10, tzinfo=UTC)
    assert ENGLAND.dates(Right.ERASURE, received).target_at == received + timedelta(hours=72)


def test_an_objection_has_24_hours_and_nothing_rolls() -> None:
    good_friday_evening = datetime(2026, 4, 3, 20, tzinfo=UTC)
    dates = ENGLAND.dates(Right.OPT_OUT, good_friday_evening)
    assert dates.target_at == dates.due_at == datetime(2026, 4, 4, 20, tzinfo=UTC)
    assert dates.strict_on == dates.due_on == dates.letter_by == date(2026, 4, 4)


def test_an_objection_over_the_change_of_the_clocks_still_has_24_hours() -> None:
    dates = ENGLAND.dates(Right.OPT_OUT, datetime(2026, 3, 28, 23, 30, tzinfo=UTC))
    assert dates.starts_on == date(2026, 3, 28)
    assert dates.due_at == datetime(2026, 3, 29, 23, 30, tzinfo=UTC)
    assert dates.due_on == date(2026, 3, 30)  # 00:30 in London, already summer time


def test_the_rule_that_the_ledger_keeps_names_the_nation_and_the_version_of_the_holidays() -> None:
    rule = SCOTLAND.dates(Right.ERASURE, noon("2026-03-03")).rule
    assert rule == f"ICO calendar month, GB-SCT, holidays {version('holidays')}"
    assert ENGLAND.dates(Right.OPT_OUT, noon("2026-03-03")).rule == "objection, 24 hours, no day rolls"


@pytest.mark.parametrize("nation", ["GB", "", "US-CA", "gb-eng", "GB-XXX"])
def test_a_nation_is_demanded(nation: str) -> None:
    with pytest.raises(ConfigurationError, match=r"controller\.holidays"):
        LegalClock("Europe/London", nation)


def test_both_faults_of_the_settings_are_said_at_once() -> None:
    with pytest.raises(ConfigurationError) as raised:
        LegalClock("Europe/../London", "GB")
    assert [fault.key for fault in raised.value.faults] == ["controller.time_zone", "controller.holidays"]
    assert "the name of a time zone" in raised.value.faults[0].problem
    assert "is not one of GB-" in raised.value.faults[1].problem
    with pytest.raises(ConfigurationError) as raised:
        LegalClock("Europe/../Dublin", "XX", Regime.EU)
    assert [fault.key for fault in raised.value.faults] == ["controller.time_zone", "controller.country"]


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        ENGLAND.dates(Right.ERASURE, datetime(2026, 3, 3, 12))  # noqa: DTZ001 - because the naive time is the fault


MOMENTS = st.datetimes(datetime(2019, 1, 1), datetime(2037, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - because hypothesis wants naive bounds


@given(MOMENTS, st.sampled_from([ENGLAND, SCOTLAND]), st.sampled_from(MONTHLY))
def test_the_dates_are_in_order_and_never_shorter_than_the_month(
    received: datetime, clock: LegalClock, right: Right
) -> None:
    dates = clock.dates(right, received)
    assert dates.starts_on == received.astimezone(LONDON).date()
    assert dates.letter_by <= dates.strict_on < dates.due_on
    assert dates.due_on >= dates.starts_on + relativedelta(months=1)
    assert dates.due_on - (dates.starts_on + relativedelta(months=1)) <= timedelta(days=4)
    assert received < dates.target_at < dates.due_at
    assert dates.due_on < clock.extended(dates.starts_on).due_on


@given(MOMENTS)
def test_the_last_day_is_never_a_weekend_or_a_holiday(received: datetime) -> None:
    for clock, nation in ((ENGLAND, "ENG"), (SCOTLAND, "SCT")):
        dates = clock.dates(Right.ERASURE, received)
        for day in (dates.due_on, clock.extended(dates.starts_on).due_on):
            assert day.weekday() < 5
            assert day not in holidays.country_holidays("GB", subdiv=nation)


@given(MOMENTS)
def test_the_moment_before_overdue_is_still_the_last_day(received: datetime) -> None:
    dates = ENGLAND.dates(Right.ERASURE, received)
    assert dates.due_at.astimezone(LONDON).date() == dates.due_on + timedelta(days=1)
    assert (dates.due_at - timedelta(microseconds=1)).astimezone(LONDON).date() == dates.due_on


@given(MOMENTS, st.timedeltas(timedelta(0), timedelta(days=40)))
def test_who_asks_later_is_never_answered_earlier(received: datetime, later: timedelta) -> None:
    for right in Right:
        first, second = ENGLAND.dates(right, received), ENGLAND.dates(right, received + later)
        assert first.due_at <= second.due_at
        assert first.target_at <= second.target_at


@pytest.mark.parametrize(
    ("nation", "in_month", "first"),
    [
        ("GB-ENG", date(2026, 12, 31), date(2026, 12, 1)),
        ("GB-ENG", date(2026, 8, 15), date(2026, 8, 3)),
        ("GB-SCT", date(2026, 8, 1), date(2026, 8, 4)),
        ("GB-ENG", date(2027, 1, 4), date(2027, 1, 4)),
    ],
)
def test_the_first_working_day_is_of_the_month_that_a_day_is_in(nation: str, in_month: date, first: date) -> None:
    assert LegalClock("Europe/London", nation).first_working_day(in_month) == first
