"""Requests and lines counted: the numbers of a report. Pure; each request is in exactly one column."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from statistics import median

from dpsync.connector import Means
from dpsync.model import Right
from dpsync.reports.lines import LineKind, PropagationLine, RequestStanding
from dpsync.reports.meaning import Count, Late
from dpsync.reports.processors import ProcessorLine

Alike = Mapping[tuple[LineKind, bool], int]
"""How many lines are of a kind, and told or not: what is said of many lines is said by few values."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Requests counted. `received` is the sum of `seen` to `superseded`, each in one of them. `right` None: all rights.

    `overdue` are open past their legal date, `finished_late` were closed after it.
    """

    right: Right | None
    received: int
    told_everyone: int
    overdue: int
    finished_late: int
    seen: int
    said: int
    not_yet: int
    settled: int
    exempt: int
    withdrawn: int
    superseded: int


@dataclass(frozen=True, slots=True)
class ProcessorTally:
    """Lines counted at one processor; `asked` is the sum of the last seven."""

    processor: str
    title: str
    asked: int
    told: int
    seen: int
    said: int
    not_yet: int
    settled: int
    exempt: int
    withdrawn: int
    superseded: int


@dataclass(frozen=True, slots=True)
class SourceLine:
    """How many requests of the period came from one source, and how many it says that it sent (None: not known)."""

    source: str
    requests: int
    received_assumed: int
    sent: int | None = None

    @property
    def differs(self) -> bool:
        """Whether the two numbers are known, and are not the same."""
        return self.sent is not None and self.sent != self.requests


@dataclass(frozen=True, slots=True)
class Speed:
    """Hours from receipt until a processor had the instruction, over the lines of the period that must be told.

    `told` of `to_tell` are told; the median and the slowest are of those. `after_target` were told too late or are not
    told yet, the target having passed.
    """

    to_tell: int
    told: int
    after_target: int
    median_hours: float | None
    slowest_hours: float | None
    slowest_title: str
    slowest_request: str


@dataclass(frozen=True, slots=True)
class Limit:
    """What cannot be seen or done at one processor for one right that was asked. `lines` were asked, `on_word` of them
    are done on its word only. All of one processor stand under one `number`.
    """

    number: int
    processor: str
    title: str
    right: Right
    means: Means | None
    limits: str
    verified_by: str
    lines: int
    on_word: int


def tally(right: Right | None, asked: Sequence[RequestStanding]) -> Tally:
    """The requests of one right counted; of all where `right` is None."""
    return Tally(
        right=right,
        received=len(asked),
        told_everyone=sum(1 for one in asked if one.told_everyone),
        overdue=sum(1 for one in asked if one.late is Late.OVERDUE),
        finished_late=sum(1 for one in asked if one.late is Late.FINISHED),
        **_by_name(Counter([one.counts_as for one in asked])),
    )


def _by_name(counts: Mapping[Count, int]) -> dict[str, int]:
    return {count.name.lower(): counts.get(count, 0) for count in Count}


def alike(lines: Iterable[PropagationLine]) -> Alike:
    """The lines counted by all that is counted of them."""
    return Counter([(line.kind, line.told_at is not None) for line in lines])


def by_processor(counted: Alike) -> tuple[ProcessorTally, ...]:
    """The lines counted, one tally a processor."""
    there: dict[str, list[tuple[LineKind, bool, int]]] = {}
    for (kind, told), number in counted.items():
        there.setdefault(kind.processor, []).append((kind, told, number))
    return tuple(_processor_tally(name, there[name]) for name in sorted(there))


def _processor_tally(name: str, found: Sequence[tuple[LineKind, bool, int]]) -> ProcessorTally:
    counts: Counter[Count] = Counter()
    for kind, _, number in found:
        counts[kind.counts_as] += number
    return ProcessorTally(
        processor=name,
        title=found[0][0].title,
        asked=counts.total(),
        told=sum(number for _, told, number in found if told),
        **_by_name(counts),
    )


def by_source(asked: Sequence[RequestStanding], sent: Mapping[str, int]) -> tuple[SourceLine, ...]:
    """The requests counted, one line a source; also one from which nothing came although it says that it sent some."""
    counts = Counter(one.source for one in asked)
    assumed = Counter(one.source for one in asked if one.received_assumed)
    names = sorted({*counts, *sent})
    return tuple(SourceLine(source, counts[source], assumed[source], sent.get(source)) for source in names)


def waited(asked: Iterable[RequestStanding]) -> list[tuple[PropagationLine, float]]:
    """Each line that was told, with the hours from receipt until then."""
    return [
        (line, max((line.told_at - one.received_at).total_seconds(), 0.0) / 3600)
        for one in asked
        for line in one.lines
        if line.told_at is not None
    ]


def speed(asked: Iterable[RequestStanding], spans: Sequence[tuple[PropagationLine, float]], now: datetime) -> Speed:
    """How long it took until the processors were told. `spans`: what `waited` gives of the same requests."""
    excused = {Count.EXEMPT, Count.WITHDRAWN, Count.SUPERSEDED, Count.SETTLED}
    concerned = [(one, line) for one in asked for line in one.lines if line.told_at or line.counts_as not in excused]
    slowest = max(spans, key=itemgetter(1), default=None)
    return Speed(
        to_tell=len(concerned),
        told=len(spans),
        after_target=sum(1 for one, line in concerned if (line.told_at or now) >= one.target_at),
        median_hours=round(median(span for _, span in spans), 3) if spans else None,
        slowest_hours=round(slowest[1], 3) if slowest else None,
        slowest_title=slowest[0].title if slowest else "",
        slowest_request=slowest[0].request_id if slowest else "",
    )


def limits_of(counted: Alike, known: Mapping[str, ProcessorLine]) -> tuple[Limit, ...]:
    """What cannot be seen or done for the rights that were asked, at each processor."""
    asked: Counter[tuple[str, Right]] = Counter()
    words: Counter[tuple[str, Right]] = Counter()
    for (kind, _), number in counted.items():
        asked[kind.processor, kind.right] += number
        words[kind.processor, kind.right] += number if kind.counts_as is Count.SAID else 0
    numbers: dict[str, int] = {}
    found: list[Limit] = []
    for name, right in sorted(asked):
        processor = known.get(name)
        can = processor.of(right) if processor else None
        if can is not None and can.verified_by and not can.limits:
            continue
        found.append(
            Limit(
                number=numbers.setdefault(name, len(numbers) + 1),
                processor=name,
                title=processor.title if processor else name,
                right=right,
                means=can.means if can else None,
                limits=can.limits if can else "Not configured any more: what it can do is not known.",
                verified_by=can.verified_by if can else "",
                lines=asked[name, right],
                on_word=words[name, right],
            )
        )
    return tuple(found)


def numbered(limits: Iterable[Limit]) -> dict[tuple[str, Right], int]:
    """Under which number a line's limits stand, by processor and right."""
    return {(limit.processor, limit.right): limit.number for limit in limits}
