"""The legal clock: which dates the law gives a request. Pure; the only place that knows the controller's time zone.

An engineering reading, not legal advice: of UK GDPR Art. 12(3), 12A and 21(2)-(3), of the Data Protection Act 2018
s. 164A and of the ICO's published method; in the European Union, of GDPR Art. 12(3) and Regulation 1182/71 Art. 2-3.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.relativedelta import relativedelta

from dpsync.errors import ConfigurationError, Fault
from dpsync.model import Regime, Request, Right
from dpsync.working_days import NATIONS, PUBLIC, WorkingDays, faults_of

TARGET = timedelta(hours=72)
OPT_OUT_LIMIT = timedelta(hours=24)
LETTER = timedelta(days=27)
DAY = timedelta(days=1)
COMPLAINTS_SINCE = date(2026, 6, 19)
"""When s. 164A came into force (SI 2026/82 reg. 3)."""

_METHOD = {Regime.UK: "ICO calendar month", Regime.EU: "Regulation 1182/71 month"}


@dataclass(frozen=True, slots=True)
class LegalDates:
    """The dates of one request. Dates are days in the controller's zone, moments are UTC.

    `starts_on`: the day on which the period starts, which is day one. `target_at`: doing it is late from here.
    `strict_on`: the last day by the strictest reading, and never moved by a weekend. `due_on`: the last day by the
    regulator's method (in the European Union: by the Regulation). `letter_by`: when the letter to the person should be
    written. `due_at`: the first moment that is overdue. `rule`: what made these dates.
    """

    starts_on: date
    target_at: datetime
    strict_on: date
    due_on: date
    letter_by: date
    due_at: datetime
    rule: str


@dataclass(frozen=True, slots=True)
class Extended:
    """The dates after an extension. As in `LegalDates`."""

    strict_on: date
    due_on: date
    due_at: datetime
    rule: str


@dataclass(frozen=True, slots=True)
class ComplaintDates:
    """By when a complaint is acknowledged (DPA 2018 s. 164A). As in `LegalDates`; `received_on`: the day of receipt."""

    received_on: date
    strict_on: date
    due_on: date
    due_at: datetime
    rule: str


class LegalClock:
    """Gives the dates of a request. `time_zone` is an IANA name, `holidays` says whose public holidays count.

    In the United Kingdom one of `NATIONS`; in the European Union a country, or "DE-BE" for a part of one, with
    `categories` of holidays. Raises `ConfigurationError` naming everything that it does not know.
    """

    def __init__(
        self,
        time_zone: str,
        holidays: str,
        regime: Regime = Regime.UK,
        categories: tuple[str, ...] = (PUBLIC,),
    ) -> None:
        faults = []
        try:
            self._zone = ZoneInfo(time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            faults.append(Fault("controller.time_zone", "is not the name of a time zone, such as Europe/London"))
        if regime is Regime.UK and holidays not in NATIONS:
            faults.append(Fault("controller.holidays", f"is not one of {', '.join(NATIONS)}: each nation has its own"))
        if regime is Regime.EU:
            country, _, subdivision = holidays.partition("-")
            found = faults_of(country, subdivision, categories)
            faults += [Fault(f"controller.{key}", problem) for key, problem in found]
        if faults:
            raise ConfigurationError(faults)
        self.regime = regime
        self._days = WorkingDays(holidays, categories)

    def dates(
        self,
        right: Right,
        received_at: datetime,
        *,
        identity_confirmed_at: datetime | None = None,
        fee_paid_at: datetime | None = None,
    ) -> LegalDates:
        """The dates of a request that was received at `received_at`. All moments are aware.

        An objection has its own clock (Art. 21(3), PECR): 24 hours, weekends count, nothing rolls, and it waits for
        neither identity nor fee. All else has one month (Art. 12(3)) from the latest of receipt, identity confirmed
        and fee paid (Art. 12(6), 12A), a working day or not. Raises ValueError for a time without a zone.
        """
        later = {"identity confirmed": identity_confirmed_at, "fee paid": fee_paid_at}
        moments = {why: at for why, at in {"": received_at, **later}.items() if at is not None}
        if any(at.tzinfo is None for at in moments.values()):
            raise ValueError("a time without a zone")
        if right is Right.OPT_OUT:
            return self._day_of_grace(received_at.astimezone(UTC))
        why = max(moments, key=lambda name: moments[name])
        starts_at = moments[why].astimezone(UTC)
        dates = self.month_from(self.day_of(starts_at), starts_at + TARGET)
        return replace(dates, rule=f"{dates.rule}, from {why}") if why else dates

    def dates_of(self, request: Request) -> LegalDates:
        """The dates of a request, from all that it says of when its period starts."""
        confirmed, paid = request.identity_confirmed_at, request.fee_paid_at
        return self.dates(request.right, request.received_at, identity_confirmed_at=confirmed, fee_paid_at=paid)

    def month_from(self, starts_on: date, target_at: datetime) -> LegalDates:
        """The dates of a request with one month, of which the first day is known."""
        corresponding = starts_on + relativedelta(months=1)
        strict_on = self._strict(corresponding)
        due_on = self._days.first_from(corresponding)
        return LegalDates(
            starts_on=starts_on,
            target_at=target_at,
            strict_on=strict_on,
            due_on=due_on,
            letter_by=min(starts_on + LETTER, strict_on),
            due_at=self._beginning_of(due_on + DAY),
            rule=self._rule(_METHOD[self.regime]),
        )

    def extended(self, starts_on: date) -> Extended:
        """The last days after an extension (Art. 12(3)): three months from the *original* start.

        Counted at once, never month by month: 31 January plus one and plus two months is not 31 January plus three.
        "Two further months" can be read so, though: in the European Union the strict date is the earlier of the two.
        """
        corresponding = starts_on + relativedelta(months=3)
        by_steps = starts_on + relativedelta(months=1) + relativedelta(months=2)
        strict_on = self._strict(corresponding if self.regime is Regime.UK else min(corresponding, by_steps))
        due_on = self._days.first_from(corresponding)
        rule = self._rule(f"{_METHOD[self.regime]} and two more")
        return Extended(strict_on, due_on, self._beginning_of(due_on + DAY), rule)

    def complaint(self, received_at: datetime) -> ComplaintDates | None:
        """By when a complaint is acknowledged, None where no law sets a date: outside the UK, or before s. 164A.

        Thirty days. The statute's words count the day of receipt ("beginning when"), the ICO counts from the day after
        and moves a last day that is no working day.
        """
        received_on = self.day_of(received_at)
        if self.regime is not Regime.UK or received_on < COMPLAINTS_SINCE:
            return None
        due_on = self._days.first_from(received_on + timedelta(days=30))
        return ComplaintDates(
            received_on=received_on,
            strict_on=received_on + timedelta(days=29),
            due_on=due_on,
            due_at=self._beginning_of(due_on + DAY),
            rule=self._rule("DPA 2018 s. 164A, 30 days"),
        )

    @property
    def calendar(self) -> str:
        """Whose holidays count, and by which version of the data."""
        return self._days.name

    def first_working_day(self, month: date) -> date:
        """The first working day of the month in which `month` lies."""
        return self._days.first_from(month.replace(day=1))

    def _strict(self, corresponding: date) -> date:
        # "Beginning with" the day (Art. 12A UK GDPR), read literally, ends the day before, and knows no rolling. A date
        # that was clamped to a month's last day is treated alike: the statute's month cannot be longer there than
        # elsewhere. The law of the European Union has no such words: its month ends with the corresponding day itself.
        return corresponding - DAY if self.regime is Regime.UK else corresponding

    def _rule(self, method: str) -> str:
        return f"{method}, {self._days.name}"

    def _day_of_grace(self, received: datetime) -> LegalDates:
        limit = received + OPT_OUT_LIMIT
        last_day = self.day_of(limit)
        return LegalDates(
            starts_on=self.day_of(received),
            target_at=limit,
            strict_on=last_day,
            due_on=last_day,
            letter_by=last_day,
            due_at=limit,
            rule="objection, 24 hours, no day rolls",
        )

    def day_of(self, moment: datetime) -> date:
        """The controller's day at a moment (aware)."""
        return moment.astimezone(self._zone).date()

    def _beginning_of(self, day: date) -> datetime:
        # Where a zone skips its midnight, zoneinfo's fold 0 gives the moment of the change: still the day's first.
        return datetime.combine(day, time(), self._zone).astimezone(UTC)
