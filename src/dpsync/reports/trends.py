"""How a period went: by week, by processor, and how far the proof reaches. Pure; drawn from `ENOUGH` requests on."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median
from zoneinfo import ZoneInfo

from dpsync.model import Rung
from dpsync.reports.lines import RequestStanding
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
    first: date,
    last: date,
    zone: ZoneInfo,
) -> Trends:
    """How the controller's days `first` to `last` went. `counted`: the lines of all these requests."""
    everything = (*received, *carried)
    weeks, speeds = _weeks(received, everything, first, last, zone), _speeds(everything)
    return Trends(len(everything), weeks, speeds, _rungs(counted))


def _weeks(
    received: Iterable[RequestStanding], everything: Iterable[RequestStanding], first: date, last: date, zone: ZoneInfo
) -> tuple[Week, ...]:
    came = Counter(_monday(one.received_at.astimezone(zone).date()) for one in received)
    closed = (one.closed_at.astimezone(zone).date() for one in everything if one.closed_at)
    went = Counter(_monday(day) for day in closed if first <= day <= last)
    found, monday = [], _monday(first)
    while monday <= last:
        found.append(Week(max(monday, first), came[monday], went[monday]))
        monday += WEEK
    return tuple(found)


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _speeds(asked: Iterable[RequestStanding]) -> tuple[ProcessorSpeed, ...]:
    took: dict[str, list[float]] = {}
    titles: dict[str, str] = {}
    for one in asked:
        for line in one.lines:
            if line.told_at is not None:
                hours = max((line.told_at - one.received_at).total_seconds(), 0.0) / 3600
                took.setdefault(line.kind.processor, []).append(hours)
                titles[line.kind.processor] = line.kind.title
    found = [
        ProcessorSpeed(name, titles[name], len(spans), round(median(spans), 3), round(max(spans), 3))
        for name, spans in took.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.median_hours, one.title)))


def _rungs(counted: Alike) -> tuple[Reached, ...]:
    counts: Counter[tuple[Rung, bool]] = Counter()
    for (kind, told), number in counted.items():
        counts[kind.rung, is_taken_back(kind.rung, told=told, undone=not kind.closed)] += number
    return tuple(Reached(rung, taken, counts[rung, taken]) for rung, taken in sorted(counts))
