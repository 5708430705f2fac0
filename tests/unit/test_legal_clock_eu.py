"""The legal clock in the European Union: published vectors, and a second count of the same law, made in another way."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from importlib.metadata import version
from typing import Any
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync.errors import ConfigurationError
from dpsync.model import Regime, Request, Right, Subject
from dpsync.propagation.rules.legal_clock import LegalClock
from dpsync.working_days import MEMBER_STATES

CLOCKS = {
    "GB-ENG": LegalClock("Europe/London", "GB-ENG"),
    "GB-SCT": LegalClock("Europe/London", "GB-SCT"),
    "IE": LegalClock("Europe/Dublin", "IE", Regime.EU),
    "FR": LegalClock("Europe/Paris", "FR", Regime.EU),
    "FR-57": LegalClock("Europe/Paris", "FR-57", Regime.EU),
    **{f"DE-{land}": LegalClock("Europe/Berlin", f"DE-{land}", Regime.EU) for land in ("BE", "BY", "SN", "MV")},
}
PLACES = ("GB-ENG", "IE", "FR", "DE-BE")

VECTORS: list[tuple[str, str, tuple[str, str, str, str], dict[str, str]]] = [
    # received, one month on, due in England, Ireland, France and Berlin, due elsewhere; the reason beside it
    ("2026-01-31", "2026-02-28", ("03-02", "03-02", "03-02", "03-02"), {}),  # clamped, then a weekend
    ("2026-02-17", "2026-03-17", ("03-17", "03-18", "03-17", "03-17"), {}),  # St Patrick
    ("2026-03-03", "2026-04-03", ("04-07", "04-03", "04-03", "04-07"), {"GB-SCT": "04-06", "FR-57": "04-07"}),
    ("2026-03-05", "2026-04-05", ("04-07", "04-07", "04-07", "04-07"), {"GB-SCT": "04-06"}),  # Easter Sunday
    ("2026-04-01", "2026-05-01", ("05-01", "05-01", "05-04", "05-04"), {}),  # Labour Day
    ("2026-04-04", "2026-05-04", ("05-05", "05-05", "05-04", "05-04"), {}),  # early May holiday
    ("2026-04-08", "2026-05-08", ("05-08", "05-08", "05-11", "05-08"), {}),  # Victory 1945
    ("2026-04-14", "2026-05-14", ("05-14", "05-14", "05-15", "05-15"), {}),  # Ascension
    ("2026-04-25", "2026-05-25", ("05-26", "05-25", "05-26", "05-26"), {}),  # Whit Monday
    ("2026-06-14", "2026-07-14", ("07-14", "07-14", "07-15", "07-14"), {}),  # Fete nationale
    ("2026-07-31", "2026-08-31", ("09-01", "08-31", "08-31", "08-31"), {}),  # late summer holiday
    ("2026-08-31", "2026-09-30", ("09-30", "09-30", "09-30", "09-30"), {}),  # clamped
    ("2026-09-26", "2026-10-26", ("10-26", "10-27", "10-26", "10-26"), {}),  # October holiday
    ("2026-10-18", "2026-11-18", ("11-18", "11-18", "11-18", "11-18"), {"DE-SN": "11-19"}),  # Buss- und Bettag
    ("2026-11-25", "2026-12-25", ("12-29", "12-28", "12-28", "12-28"), {}),  # in lieu, in the UK only
    ("2026-12-06", "2027-01-06", ("01-06", "01-06", "01-06", "01-06"), {"DE-BY": "01-07"}),  # Epiphany
    ("2027-02-08", "2027-03-08", ("03-08", "03-08", "03-08", "03-09"), {"DE-MV": "03-09"}),  # Women's Day
]


def noon(day: str, zone: str = "Europe/Paris") -> datetime:
    return datetime.combine(date.fromisoformat(day), time(12), ZoneInfo(zone))


@pytest.mark.parametrize(
    ("place", "received", "month_on", "due"),
    [
        (place, received, month_on, due)
        for received, month_on, usual, elsewhere in VECTORS
        for place, due in [*zip(PLACES, usual, strict=True), *elsewhere.items()]
    ],
)
def test_each_published_vector_gives_its_dates_in_each_country(
    place: str, received: str, month_on: str, due: str
) -> None:
    dates = CLOCKS[place].dates(Right.ERASURE, noon(received))
    corresponding = date.fromisoformat(month_on)
    less = timedelta(days=1) if place.startswith("GB") else timedelta(0)
    assert dates.starts_on == date.fromisoformat(received)
    assert dates.due_on == date.fromisoformat(f"{month_on[:4]}-{due}")
    assert dates.strict_on == corresponding - less
    assert dates.letter_by == min(dates.starts_on + timedelta(days=27), dates.strict_on)


@pytest.mark.parametrize(
    ("place", "received", "due", "strict"),
    [
        ("DE-BE", "2026-01-31", "2026-04-30", "2026-04-28"),  # two readings of "two further months": the earlier alerts
        ("GB-ENG", "2026-01-31", "2026-04-30", "2026-04-29"),
        ("GB-ENG", "2026-08-31", "2026-11-30", "2026-11-29"),
        ("GB-SCT", "2026-08-31", "2026-12-01", "2026-11-29"),  # St Andrew
        ("IE", "2026-08-31", "2026-11-30", "2026-11-30"),
    ],
)
def test_an_extension_is_three_months_from_the_first_day(place: str, received: str, due: str, strict: str) -> None:
    extended = CLOCKS[place].extended(date.fromisoformat(received))
    assert (extended.due_on.isoformat(), extended.strict_on.isoformat()) == (due, strict)
    assert extended.due_at.astimezone(ZoneInfo("Europe/Berlin")).date() == extended.due_on + timedelta(days=1)
    assert "and two more" in extended.rule


def test_the_day_of_receipt_is_that_of_the_controllers_zone() -> None:
    late = datetime(2026, 8, 31, 22, 30, tzinfo=UTC)
    assert CLOCKS["DE-BE"].dates(Right.ERASURE, late).starts_on == date(2026, 9, 1)
    assert CLOCKS["IE"].dates(Right.ERASURE, late).starts_on == date(2026, 8, 31)


def test_an_objection_has_24_hours_in_the_european_union_too() -> None:
    at = datetime(2026, 4, 3, 20, tzinfo=UTC)
    assert CLOCKS["DE-BE"].dates(Right.OPT_OUT, at).due_at == at + timedelta(hours=24)


def test_the_catholic_holidays_count_where_the_settings_say_so() -> None:
    assert CLOCKS["DE-BY"].dates(Right.ERASURE, noon("2025-07-15")).due_on == date(2025, 8, 15)
    catholic = LegalClock("Europe/Berlin", "DE-BY", Regime.EU, ("public", "catholic"))
    dates = catholic.dates(Right.ERASURE, noon("2025-07-15"))
    assert dates.due_on == date(2025, 8, 18)
    assert dates.rule == f"Regulation 1182/71 month, DE-BY catholic, holidays {version('holidays')}"


def test_a_named_day_that_is_worked_moves_nothing() -> None:
    slovakia = LegalClock("Europe/Bratislava", "SK", Regime.EU)  # 17 November is a workday there from 2025 on
    assert slovakia.dates(Right.ERASURE, noon("2026-10-17")).due_on == date(2026, 11, 17)


@pytest.mark.parametrize(
    ("place", "categories", "key", "says"),
    [
        ("GB", ("public",), "controller.country", "AT, BE"),
        ("US", ("public",), "controller.country", "AT, BE"),
        ("DE-XX", ("public",), "controller.subdivision", "BB, BE, BW"),
        ("FR-75", ("public",), "controller.subdivision", "57, 6AE"),
        ("IE-D", ("public",), "controller.subdivision", "left out"),
        ("NL", ("public", "optional"), "controller.categories", "no other"),
        ("DE-BY", ("catholic",), "controller.categories", "must name public"),
    ],
)
def test_an_unknown_place_is_refused_by_name_with_what_there_is(
    place: str, categories: tuple[str, ...], key: str, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says) as raised:
        LegalClock("Europe/Paris", place, Regime.EU, categories)
    assert [fault.key for fault in raised.value.faults] == [key]


@pytest.mark.parametrize("country", MEMBER_STATES)
def test_the_holidays_of_every_country_and_part_are_known(country: str) -> None:
    for place in (country, *(f"{country}-{part}" for part in holidays.country_holidays(country).subdivisions)):
        clock = LegalClock("Europe/Paris", place, Regime.EU)
        assert clock.dates(Right.ERASURE, noon("2026-12-01")).due_on > date(2027, 1, 1)  # a holiday everywhere


@pytest.mark.parametrize(("place", "key"), [("GB-ENG", "controller.holidays"), ("IE", "controller.country")])
def test_a_date_beyond_the_known_holidays_is_refused_in_a_sentence(place: str, key: str) -> None:
    with pytest.raises(ConfigurationError, match="and not of 2101: is the clock") as raised:
        CLOCKS[place].dates(Right.ERASURE, datetime(2100, 12, 20, tzinfo=UTC))
    assert [fault.key for fault in raised.value.faults] == [key]


# --- when the period starts

RECEIVED = datetime(2026, 9, 3, 9, tzinfo=UTC)


def test_the_month_starts_when_identity_is_confirmed_and_the_fee_is_paid() -> None:
    confirmed, paid = RECEIVED + timedelta(days=4), RECEIVED + timedelta(days=6)
    clock = CLOCKS["GB-ENG"]
    by_identity = clock.dates(Right.ERASURE, RECEIVED, identity_confirmed_at=confirmed)
    assert by_identity.starts_on == date(2026, 9, 7)
    assert by_identity.target_at == confirmed + timedelta(hours=72)
    assert by_identity.rule.endswith(", from identity confirmed")
    both = clock.dates(Right.ERASURE, RECEIVED, identity_confirmed_at=confirmed, fee_paid_at=paid)
    assert (both.starts_on, both.rule[-15:]) == (date(2026, 9, 9), ", from fee paid")


def test_what_was_confirmed_before_the_request_came_starts_nothing() -> None:
    usual = CLOCKS["IE"].dates(Right.ERASURE, RECEIVED)
    assert CLOCKS["IE"].dates(Right.ERASURE, RECEIVED, identity_confirmed_at=RECEIVED - timedelta(days=9)) == usual


def test_an_objection_never_waits_for_identity_or_fee() -> None:
    later = RECEIVED + timedelta(days=9)
    dates = CLOCKS["GB-ENG"].dates(Right.OPT_OUT, RECEIVED, identity_confirmed_at=later, fee_paid_at=later)
    assert dates == CLOCKS["GB-ENG"].dates(Right.OPT_OUT, RECEIVED)


@pytest.mark.parametrize("right", [Right.ERASURE, Right.OPT_OUT])
def test_the_dates_of_a_request_follow_from_all_that_it_says(right: Right) -> None:
    confirmed, paid = RECEIVED + timedelta(days=4), RECEIVED + timedelta(days=6)
    clock, request = CLOCKS["GB-ENG"], Request("crm", "evt-1", right, Subject(id="1"), RECEIVED)
    cases: list[dict[str, Any]] = [{}, {"identity_confirmed_at": confirmed}, {"fee_paid_at": paid}]
    for told in cases:
        assert clock.dates_of(replace(request, **told)) == clock.dates(right, RECEIVED, **told)


def test_a_confirmation_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        CLOCKS["IE"].dates(Right.ERASURE, RECEIVED, fee_paid_at=datetime(2026, 9, 4))  # noqa: DTZ001 - because the naive time is the fault


# --- complaints

COMPLAINTS = [  # received, strict, due in England, due in Scotland
    ("2026-06-19", "2026-07-18", "2026-07-20", "2026-07-20"),  # the first day of the law
    ("2026-07-01", "2026-07-30", "2026-07-31", "2026-07-31"),
    ("2026-07-02", "2026-07-31", "2026-08-03", "2026-08-04"),
    ("2026-08-01", "2026-08-30", "2026-09-01", "2026-08-31"),
    ("2026-11-25", "2026-12-24", "2026-12-29", "2026-12-29"),
    ("2026-12-02", "2026-12-31", "2027-01-04", "2027-01-05"),
    ("2027-02-24", "2027-03-25", "2027-03-30", "2027-03-29"),
]


@pytest.mark.parametrize(("received", "strict", "england", "scotland"), COMPLAINTS)
def test_a_complaint_has_its_two_dates(received: str, strict: str, england: str, scotland: str) -> None:
    for nation, due in (("GB-ENG", england), ("GB-SCT", scotland)):
        dates = CLOCKS[nation].complaint(noon(received, "Europe/London"))
        assert dates is not None
        assert (dates.received_on.isoformat(), dates.strict_on.isoformat()) == (received, strict)
        assert dates.due_on.isoformat() == due
        assert dates.due_at.astimezone(ZoneInfo("Europe/London")).date() == dates.due_on + timedelta(days=1)
        assert dates.rule == f"DPA 2018 s. 164A, 30 days, {nation}, holidays {version('holidays')}"


def test_a_complaint_before_the_law_or_outside_the_uk_has_no_statutory_date() -> None:
    assert CLOCKS["GB-ENG"].complaint(noon("2026-06-12")) is None
    assert CLOCKS["GB-ENG"].complaint(datetime(2026, 6, 18, 22, 59, tzinfo=UTC)) is None
    assert CLOCKS["GB-ENG"].complaint(datetime(2026, 6, 18, 23, 0, tzinfo=UTC)) is not None  # 19 June in London
    assert CLOCKS["IE"].complaint(noon("2026-11-25")) is None


# --- the same law, counted day by day

Counter = Callable[[date, int], date]


def counted(first: date, months: int) -> date:
    """One day after the other, until as many months have gone by and the day has the first one's number, or ends."""
    day, left = first, months
    while left:
        before, day = day, day + timedelta(days=1)
        left -= before.month != day.month
    while day.day < first.day and (day + timedelta(days=1)).month == day.month:
        day += timedelta(days=1)
    return day


def moved(day: date, days_off: Mapping[date, str]) -> date:
    """To the next day that is neither Saturday, Sunday nor off; the calendar of the library as a whole, not by year."""
    return next(
        one for one in (day + timedelta(days=n) for n in range(30)) if one.isoweekday() < 6 and one not in days_off
    )


WHOLE = {
    place: holidays.country_holidays(
        place[:2], subdiv=place[3:] or None, years=range(2018, 2041), language=None, expand=False
    )
    for place in CLOCKS
}
DAYS = st.dates(date(2018, 5, 25), date(2039, 12, 31))


@given(DAYS, st.sampled_from(sorted(CLOCKS)))
def test_a_count_day_by_day_gives_the_same_dates(received: date, place: str) -> None:
    dates = CLOCKS[place].dates(Right.ERASURE, noon(received.isoformat()))
    corresponding = counted(received, 1)
    assert dates.due_on == moved(corresponding, WHOLE[place])
    uk = place.startswith("GB")
    assert dates.strict_on == (corresponding - timedelta(days=1) if uk else corresponding)
    extended = CLOCKS[place].extended(received)
    assert extended.due_on == moved(counted(received, 3), WHOLE[place])
    by_steps = counted(corresponding, 2)
    strict = counted(received, 3) - timedelta(days=1) if uk else min(counted(received, 3), by_steps)
    assert extended.strict_on == strict


@given(DAYS, st.sampled_from(sorted(CLOCKS)))
def test_the_first_working_day_of_a_month_has_only_days_off_before_it(day: date, place: str) -> None:
    first = CLOCKS[place].first_working_day(day)
    assert (first.year, first.month) == (day.year, day.month)
    before = [first.replace(day=number) for number in range(1, first.day)]
    assert all(one.isoweekday() > 5 or one in WHOLE[place] for one in before)
    assert first == moved(first, WHOLE[place])


@given(DAYS, st.sampled_from(["GB-ENG", "GB-SCT"]))
def test_a_complaint_counted_day_by_day_has_thirty_days_after_the_first(received: date, place: str) -> None:
    dates = CLOCKS[place].complaint(noon(received.isoformat(), "Europe/London"))
    if received < date(2026, 6, 19):
        assert dates is None
    else:
        assert dates is not None
        days = [received + timedelta(days=number) for number in range(31)]
        assert (dates.strict_on, dates.due_on) == (days[29], moved(days[30], WHOLE[place]))
