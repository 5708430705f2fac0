"""What reports say of cases in a period: how many complaints, how fast, what is open; incidents the same way. Counts.

DPA 2018 s. 164B allows regulations that ask for the number of complaints in a period: so it is kept by month.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from statistics import median
from zoneinfo import ZoneInfo

from dpsync.cases.incidents import Finding, Incident, Stage
from dpsync.cases.values import Complaint


@dataclass(frozen=True, slots=True)
class ComplaintTally:
    """Complaints of a period. `received`: by month (2026-11). `open`, `unacknowledged`: now, whenever they came.

    `acknowledged_late`: of those received in the period. `median_days`: from receipt to outcome, of those that had
    their outcome in the period; None where none had.
    """

    received: tuple[tuple[str, int], ...]
    closed: int
    open: int
    unacknowledged: int
    acknowledged_late: int
    median_days: float | None

    @property
    def total(self) -> int:
        """How many came in the period."""
        return sum(number for _, number in self.received)

    @property
    def anything(self) -> bool:
        """Whether there is something to say."""
        return bool(self.total or self.closed or self.open)


@dataclass(frozen=True, slots=True)
class IncidentTally:
    """Incidents of a period. `proposed`, `open`, `over`: now; `over` of them are past their 72 hours."""

    recorded: int
    proposed: int
    open: int
    over: int
    breaches: int
    notified: int

    @property
    def anything(self) -> bool:
        """Whether there is something to say."""
        return bool(self.recorded or self.proposed or self.open)


def complaint_tally(found: Sequence[Complaint], first: date, last: date, today: date) -> ComplaintTally:
    """The complaints of the days `first` to `last`. Pure."""
    came = [one for one in found if first <= one.received_on <= last]
    ended = [one for one in found if one.told is not None and first <= one.told.on <= last]
    days = [(one.told.on - one.received_on).days for one in ended if one.told]
    waiting = [one for one in found if one.open]
    return ComplaintTally(
        received=tuple(sorted(Counter(f"{one.received_on:%Y-%m}" for one in came).items())),
        closed=len(ended),
        open=len(waiting),
        unacknowledged=sum(one.acknowledged_on is None for one in waiting),
        acknowledged_late=sum(one.late(today) for one in came),
        median_days=median(days) if days else None,
    )


def incident_tally(found: Sequence[Incident], first: date, last: date, now: datetime, zone: ZoneInfo) -> IncidentTally:
    """The incidents of which the controller became aware on the days `first` to `last`. Pure."""
    came = [one for one in found if first <= one.aware_at.astimezone(zone).date() <= last]
    breaches = [one for one in came if one.finding in {Finding.BREACH_NO_RISK, Finding.BREACH_NOTIFIED}]
    return IncidentTally(
        recorded=len(came),
        proposed=sum(one.stage is Stage.PROPOSED for one in found),
        open=sum(one.stage is Stage.OPEN for one in found),
        over=sum(one.open and now >= one.limit_at for one in found),
        breaches=len(breaches),
        notified=sum(one.finding is Finding.BREACH_NOTIFIED for one in breaches),
    )
