"""The legal clock: which dates the law gives a request. Pure; the only place that knows the controller's time zone.

An engineering reading of UK GDPR Art. 12(3) and 21(2)-(3) and of the ICO's published method, not legal advice.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from importlib.metadata import version
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import holidays as bank_holidays
from dateutil.relativedelta import relativedelta

from dpsync.errors import ConfigurationError, Fault
from dpsync.model import Right

NATIONS = ("GB-ENG", "GB-WLS", "GB-SCT", "GB-NIR")
"""Plain "GB" is refused: it knows only what all four share, and so lacks Easter Monday."""

TARGET = timedelta(hours=72)
OPT_OUT_LIMIT = timedelta(hours=24)
LETTER = timedelta(days=27)
DAY = timedelta(days=1)
SATURDAY = 5


@dataclass(frozen=True, slots=True)
class LegalDates:
    """The dates of one request. Dates are days in the controller's zone, moments are UTC.

    `starts_on`: the day of receipt, day one. `target_at`: doing it is late from here. `strict_on`: the last day by the
    statute's letter ("one month beginning with"). `due_on`: the last day by the ICO's method. `letter_by`: when the
    letter to the person should be written. `due_at`: the first moment that is overdue. `rule`: what made these dates.
    """

    starts_on: date
    target_at: datetime
    strict_on: date
    due_on: date
    letter_by: date
    due_at: datetime
    rule: str


class LegalClock:
    """Gives the dates of a request. `time_zone` is an IANA name, `holidays` one of `NATIONS`.

    Raises `ConfigurationError` naming each of the two that it does not know.
    """

    def __init__(self, time_zone: str, holidays: str) -> None:
        faults = []
        try:
            self._zone = ZoneInfo(time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            faults.append(Fault("controller.time_zone", "is not the name of a time zone, such as Europe/London"))
        if holidays not in NATIONS:
            faults.append(Fault("controller.holidays", f"is not one of {', '.join(NATIONS)}: each nation has its own"))
        if faults:
            raise ConfigurationError(faults)
        self._nation = holidays.partition("-")[2]
        self._month_rule = f"ICO calendar month, {holidays}, holidays {version('holidays')}"

    def dates(self, right: Right, received_at: datetime) -> LegalDates:
        """The dates of a request that was received at `received_at` (aware).

        An objection has its own clock (Art. 21(3), PECR): 24 hours, weekends count, nothing rolls. All else has one
        month from the day of receipt (Art. 12(3)), a working day or not. Raises ValueError for a time without a zone.
        """
        if received_at.tzinfo is None:
            raise ValueError("a time without a zone")
        received = received_at.astimezone(UTC)
        if right is Right.OPT_OUT:
            return self._day_of_grace(received)
        starts_on = self._day_of(received)
        corresponding = starts_on + relativedelta(months=1)
        # "Beginning with" the day, read literally, ends the day before, and knows no rolling. A date that was clamped
        # to a month's last day is treated alike: the statute's month cannot be longer there than elsewhere.
        strict_on = corresponding - DAY
        due_on = self._working_day_from(corresponding)
        return LegalDates(
            starts_on=starts_on,
            target_at=received + TARGET,
            strict_on=strict_on,
            due_on=due_on,
            letter_by=min(starts_on + LETTER, strict_on),
            due_at=self._beginning_of(due_on + DAY),
            rule=self._month_rule,
        )

    def extended(self, starts_on: date) -> date:
        """The last day after an extension (Art. 12(3)): three months from the *original* start, then a working day.

        Counted at once, never month by month: 31 January plus one and plus two months is not 31 January plus three.
        """
        return self._working_day_from(starts_on + relativedelta(months=3))

    def _day_of_grace(self, received: datetime) -> LegalDates:
        limit = received + OPT_OUT_LIMIT
        last_day = self._day_of(limit)
        return LegalDates(
            starts_on=self._day_of(received),
            target_at=limit,
            strict_on=last_day,
            due_on=last_day,
            letter_by=last_day,
            due_at=limit,
            rule="objection, 24 hours, no day rolls",
        )

    def _day_of(self, moment: datetime) -> date:
        return moment.astimezone(self._zone).date()

    def _beginning_of(self, day: date) -> datetime:
        # Where a zone skips its midnight, zoneinfo's fold 0 gives the moment of the change: still the day's first.
        return datetime.combine(day, time(), self._zone).astimezone(UTC)

    def _working_day_from(self, day: date) -> date:
        while day.weekday() >= SATURDAY or day in _holidays_of(self._nation, day.year):
            day += DAY
        return day


@lru_cache(maxsize=64)
def _holidays_of(nation: str, year: int) -> frozenset[date]:
    # Built a year at a time and never shared: the library's own object fills itself while it is asked, and a second
    # thread would find the year there and its days missing.
    return frozenset(bank_holidays.country_holidays("GB", subdiv=nation, years=year))
