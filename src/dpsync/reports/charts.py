"""What the charts of a report draw: lengths and labels. The numbers themselves stand in a table beside each."""

from dataclasses import dataclass

from dpsync.reports.trends import SLOWEST, Trends
from dpsync.reports.words import RUNGS, hours, several

WIDE = 360
"""The width of every chart, in its own units: what a telephone shows at its own size."""

LABELS = 6
"""So many weeks have room for their day under their bars."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: what it is called, what it shows in a sentence, and its table. `shapes` are what the template draws."""

    name: str
    title: str
    said: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    shapes: tuple["Bar", ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: where it begins, how long it is, its label, and which of the colours it has."""

    at: float
    length: float
    label: str
    colour: int


def charts_of(trends: Trends) -> tuple[Chart, ...]:
    """The three charts; none where there is not enough to draw."""
    return (_by_week(trends), _by_processor(trends), _by_rung(trends)) if trends.enough else ()


def sentence(trends: Trends) -> str:
    """What stands in the place of the charts."""
    came, went = sum(one.received for one in trends.weeks), sum(one.finished for one in trends.weeks)
    return f"{several(came, 'request')} came in during this period, and {went:,} were closed in it."


def _by_week(trends: Trends) -> Chart:
    most = max((max(one.received, one.finished) for one in trends.weeks), default=0) or 1
    every = -(-len(trends.weeks) // LABELS)
    bars = []
    for number, one in enumerate(trends.weeks):
        label = f"{one.begins.day} {one.begins:%b}" if number % every == 0 else ""
        bars += [Bar(2 * number, one.received / most, label, 0), Bar(2 * number + 1, one.finished / most, "", 1)]
    busiest = max(trends.weeks, key=lambda one: one.received)
    return Chart(
        "weeks",
        "Received and closed by week",
        f"{sentence(trends)} Most came in the week from {busiest.begins.day} {busiest.begins:%B}: "
        f"{busiest.received:,}.",
        ("Week from", "Received", "Closed"),
        tuple((f"{one.begins.day} {one.begins:%b}", f"{one.received:,}", f"{one.finished:,}") for one in trends.weeks),
        tuple(bars),
    )


def _by_processor(trends: Trends) -> Chart:
    shown = trends.speeds[:SLOWEST]
    most = max((one.median_hours for one in shown), default=0.0) or 1.0
    few = f" Of {len(trends.speeds):,} processors these are the slowest." if len(trends.speeds) > SLOWEST else ""
    slowest = (
        f"{shown[0].title} was told last, usually after {hours(shown[0].median_hours)}."
        if shown
        else "Nobody was told."
    )
    return Chart(
        "speeds",
        "Time until a processor was told",
        f"{slowest}{few}",
        ("Processor", "Told", "Usually after", "At the latest after"),
        tuple((one.title, f"{one.told:,}", hours(one.median_hours), hours(one.slowest_hours)) for one in shown),
        tuple(Bar(number, one.median_hours / most, one.title, 0) for number, one in enumerate(shown)),
    )


def _by_rung(trends: Trends) -> Chart:
    whole = sum(one.lines for one in trends.rungs) or 1
    begun, bars, rows = 0, [], []
    for one in trends.rungs:
        words = f"{RUNGS[one.rung]}, and taken back" if one.taken_back else RUNGS[one.rung]
        bars.append(Bar(begun / whole, one.lines / whole, words, 7 if one.taken_back else int(one.rung)))
        rows.append((words, f"{one.lines:,}", f"{round(100 * one.lines / whole)} %"))
        begun += one.lines
    seen = sum(one.lines for one in trends.rungs if one.rung.value >= 5 and not one.taken_back)
    return Chart(
        "rungs",
        "How far the proof reaches",
        f"At {seen:,} of {several(sum(one.lines for one in trends.rungs), 'place')} we looked again ourselves.",
        ("Proof reaches", "Places", "Share"),
        tuple(rows),
        tuple(bars),
    )
