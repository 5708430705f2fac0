"""How a period went: by week, by processor, and how far the proof reaches. Pure; drawn from `ENOUGH` requests on."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from statistics import median
from zoneinfo import ZoneInfo

from dpsync.model import Rung
from dpsync.reports.lines import PropagationLine, RequestStanding
from dpsync.reports.tallies import Alike
from dpsync.reports.words import is_taken_back

ENOUGH = 30
"""Below so many requests a chart shows single people, and a sentence says more."""

SLOWEST = 12
"""So many processors have a bar; the slowest."""

WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Week:
    """A week of the period, from `begins` (a Monday, or the period's first day): how many came in and were closed."""

    begins: date
    received: int
    finished: int


@dataclass(frozen=True, slots=True)
class ProcessorSpeed:
    """Hours from receipt until this processor had the instruction: the median, and the slowest of `told`."""

    processor: str
    title: str
    told: int
    median_hours: float
    slowest_hours: float


@dataclass(frozen=True, slots=True)
class Reached:
    """At how many places the proof reaches so far. `taken_back`: it did, and is not true any more."""

    rung: Rung
    taken_back: bool
    lines: int


@dataclass(frozen=True, slots=True)
class Trends:
    """The three of them. `requests` are those of the period and those open from before."""

    requests: int
    weeks: tuple[Week, ...]
    speeds: tuple[ProcessorSpeed, ...]
    rungs: tuple[Reached, ...]

    @property
    def enough(self) -> bool:
        """Whether there is something to draw."""
        return self.requests >= ENOUGH


def trends_of(
    received: Sequence[RequestStanding],
    carried: Sequence[RequestStanding],
    counted: Alike,
    spans: Iterable[tuple[PropagationLine, float]],
    days: tuple[date, date],
    zone: ZoneInfo,
) -> Trends:
    """How the controller's `days` went, the first to the last. `counted`: the lines of all these requests; `spans`:
    those that were told, with the hours that it took.
    """
    everything = (*received, *carried)
    return Trends(len(everything), _weeks(received, everything, days, zone), _speeds(spans), _rungs(counted))


def _weeks(
    received: Iterable[RequestStanding],
    everything: Iterable[RequestStanding],
    days: tuple[date, date],
    zone: ZoneInfo,
) -> tuple[Week, ...]:
    first, last = days
    monday = first - timedelta(days=first.weekday())
    begins = [max(monday + week * WEEK, first) for week in range((last - monday) // WEEK + 1)]
    # Each moment is looked up among these few: the day of each in the controller's zone took three times as long.
    moments = [datetime.combine(day, time(), zone).astimezone(UTC) for day in (*begins, last + timedelta(days=1))]
    came = Counter(bisect_right(moments, one.received_at) for one in received)
    went = Counter(bisect_right(moments, one.closed_at) for one in everything if one.closed_at)
    return tuple(Week(day, came[number], went[number]) for number, day in enumerate(begins, 1))


def _speeds(spans: Iterable[tuple[PropagationLine, float]]) -> tuple[ProcessorSpeed, ...]:
    took: dict[str, list[float]] = {}
    titles: dict[str, str] = {}
    for line, hours in spans:
        took.setdefault(line.kind.processor, []).append(hours)
        titles[line.kind.processor] = line.kind.title
    found = [
        ProcessorSpeed(name, titles[name], len(hours), round(median(hours), 3), round(max(hours), 3))
        for name, hours in took.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.median_hours, one.title)))


def _rungs(counted: Alike) -> tuple[Reached, ...]:
    counts: Counter[tuple[Rung, bool]] = Counter()
    for (kind, told), number in counted.items():
        counts[kind.rung, is_taken_back(kind.rung, told=told, undone=not kind.closed)] += number
    return tuple(Reached(rung, taken, counts[rung, taken]) for rung, taken in sorted(counts))
