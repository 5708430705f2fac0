"""How a period went: by week, by processor and by how far the proof reaches; drawn where there are enough requests."""

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from dpsync.model import Rung, State
from dpsync.reports import render
from dpsync.reports.charts import Bar, charts_of
from dpsync.reports.trends import ENOUGH, SLOWEST, ProcessorSpeed, Reached, Trends, Week
from tests.unit.test_reports import RECEIVED, Rows, Tables, november


def test_a_week_begins_on_monday_in_the_controllers_zone_and_not_before_the_period(rows: Rows) -> None:
    sunday_night = datetime(2026, 7, 5, 23, 30, tzinfo=UTC)  # Monday in London, in summer
    rows.ask(received=sunday_night, closed_at=sunday_night + timedelta(days=7), alpha=State.VERIFIED)
    rows.ask(received=datetime(2026, 7, 1, 9, 0, tzinfo=UTC), closed_at=RECEIVED, alpha=State.VERIFIED)
    before = datetime(2026, 6, 20, 9, 0, tzinfo=UTC)
    rows.ask(received=before, closed_at=datetime(2026, 7, 2, 9, 0, tzinfo=UTC), alpha=State.VERIFIED)
    report = november(rows, first=date(2026, 7, 1), last=date(2026, 7, 14))
    assert report.trends.weeks == (
        Week(date(2026, 7, 1), 1, 1),
        Week(date(2026, 7, 6), 1, 0),
        Week(date(2026, 7, 13), 0, 1),
    )
    assert sum(one.received for one in report.trends.weeks) == report.total.received


def test_the_slowest_processor_comes_first_with_its_median_and_its_slowest(rows: Rows) -> None:
    for hours in (1, 2, 30):
        late = {"state": State.VERIFIED, "told_at": RECEIVED + timedelta(hours=hours)}
        rows.ask(alpha=State.VERIFIED, beta=late)
    rows.ask(alpha=State.HELD, beta=State.HELD)
    assert november(rows).trends.speeds == (
        ProcessorSpeed("beta", "Beta, forms", 3, 2.0, 30.0),
        ProcessorSpeed("alpha", "Alpha", 3, 0.15, 0.15),
    )


def test_what_was_taken_back_is_not_proof_of_anything(rows: Rows) -> None:
    rows.ask(alpha=State.VERIFIED, beta={"state": State.CONTRADICTED, "rung": Rung.VERIFIED})
    rows.ask(alpha=State.HELD, beta=State.DECLARED_DONE)
    assert november(rows).trends.rungs == (
        Reached(Rung.NONE, False, 1),
        Reached(Rung.CONFIRMED, False, 1),
        Reached(Rung.VERIFIED, False, 1),
        Reached(Rung.VERIFIED, True, 1),
    )


def test_below_thirty_requests_there_is_a_sentence_and_from_thirty_on_charts_with_their_numbers(rows: Rows) -> None:
    rows.many(ENOUGH - 1)
    few = render.html(november(rows))
    assert "<svg" not in few
    assert "29 requests came in during this period, and 29 were closed in it." in few
    rows.many(1, after=ENOUGH)
    page = render.html(november(rows))
    assert re.findall(r'<svg class="(\w+)" role="img"', page) == ["weeks", "speeds", "rungs"]
    for name in ("weeks", "speeds", "rungs"):
        svg = re.search(rf'<svg class="{name}".*?</svg>', page, re.DOTALL)
        assert svg is not None
        assert f'aria-labelledby="{name}-title {name}-said"' in svg[0]
        assert re.search(rf'<title id="{name}-title">[^<]+</title>\s*<desc id="{name}-said">[^<]+</desc>', svg[0])
        assert "style=" not in svg[0]
        assert svg[0].count("<rect") > 1
    tables = Tables(page).tables
    assert [row for row in tables["numbers chart-weeks"] if row[1] == "30"] == [["16 Nov", "30", "30"]]
    assert tables["numbers chart-rungs"][1:] == [["confirmed by them", "60", "67 %"], ["verified by us", "30", "33 %"]]
    assert [row[0] for row in tables["numbers chart-speeds"][1:]] == ["Alpha", "Beta, forms", "gamma"]
    assert len(json.loads(render.json(november(rows)))["trends"]["weeks"]) == 6


def test_a_bar_is_as_long_as_its_number_is_great() -> None:
    weeks = (Week(date(2026, 11, 2), 40, 10), Week(date(2026, 11, 9), 20, 0))
    rungs = (Reached(Rung.SENT, False, 30), Reached(Rung.VERIFIED, False, 60), Reached(Rung.VERIFIED, True, 10))
    speeds = tuple(ProcessorSpeed(f"p{one:02}", f"P {one}", 1, 50.0 / (one + 1), 60.0) for one in range(SLOWEST + 1))
    by_week, by_processor, by_rung = charts_of(Trends(60, weeks, speeds, rungs))
    assert [(bar.at, bar.length, bar.label) for bar in by_week.shapes] == [
        (0, 1.0, "2 Nov"),
        (1, 0.25, ""),
        (2, 0.5, "9 Nov"),
        (3, 0.0, ""),
    ]
    assert (len(by_processor.shapes), by_processor.shapes[1]) == (SLOWEST, Bar(1, 0.5, "P 1", 0))
    assert "Of 13 processors these are the slowest." in by_processor.said
    assert [(bar.at, bar.length, bar.colour) for bar in by_rung.shapes] == [(0.0, 0.3, 1), (0.3, 0.6, 5), (0.9, 0.1, 7)]
    assert "At 60 of 100 places we looked again ourselves." in by_rung.said


def test_a_period_without_anything_told_draws_nothing_that_divides_by_nought(rows: Rows) -> None:
    for _ in range(ENOUGH):
        rows.ask(alpha=State.HELD)
    report = november(rows)
    assert "Nobody was told." in render.html(report)
    empty = replace(report, trends=replace(report.trends, rungs=(), speeds=()))
    assert render.html(empty)
