"""A report of many requests: what is read, what is shown, and where the rest is."""

import cProfile
import csv
import hashlib
import io
import tracemalloc
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import product

import pytest
from sqlalchemy import Connection, event, update

from dpsync.ledger.stored_rows import printed_of, stretches
from dpsync.model import State
from dpsync.reports import render
from dpsync.reports.period import begin_and_end, is_printed
from dpsync.reports.processors import ProcessorLine
from dpsync.reports.shown import EXCEPTION_ROWS, ORDINARY_ROWS, first_lines, first_requests
from dpsync.reports.standing import Standings, read_standing
from dpsync.reports.visible import visible
from dpsync.store import tables as t
from dpsync.store.database import reading, writing
from tests.unit.test_reports import LONDON, NOW, PROCESSORS, RECEIVED, Rows, november

PLACES = 3
MANY = ORDINARY_ROWS // PLACES + 34
"""Requests of three processors each, so that 34 have no room."""


def one_by_name() -> dict[str, ProcessorLine]:
    return {one.name: one for one in PROCESSORS}


@pytest.fixture
def pending(rows: Rows) -> Rows:
    """Many that are in time, a late one and one that waits for a person, both received last."""
    rows.many(MANY)
    with writing(rows.engine) as connection:
        connection.execute(update(t.propagation).values(state=State.PENDING, rung=0, told_at=None, done_at=None))
        connection.execute(update(t.request).values(closed_at=None, target_at=NOW + timedelta(days=1)))
        connection.execute(update(t.request).values(due_at=NOW + timedelta(days=9)))
    rows.ask(alpha=State.REFUSED)
    rows.ask(received=NOW - timedelta(days=5), due=(NOW - timedelta(days=2)).date(), alpha=State.PENDING)
    return rows


def test_a_text_shows_2000_ordinary_rows_everything_else_and_where_the_rest_is(pending: Rows) -> None:
    report = november(pending)
    text = render.text(report)
    last = text.partition("Each request of the period at each processor")[2]
    assert last.count("r-M") == MANY * PLACES - 34 * PLACES
    assert {"r-000001", "r-000002"} <= {line.split()[0] for line in last.splitlines() if line.startswith("  r-")}
    digest = render.csv_digest(report)
    told = "34 more requests, of which none is late or waits for a person, can be read in the CSV with the SHA-256"
    assert f"{told} {digest}:" in text
    assert "dpsync report --from 2026-11-01 --to 2026-11-30 --format csv -o FILE" in text


def test_a_page_shows_2000_rows_of_what_is_open_and_in_time(pending: Rows) -> None:
    page = render.html(november(pending))
    assert "34 more requests that are not done, of which none is late or waits for a person, are in the CSV" in page
    assert f"Not yet ({MANY + 2})" in page
    still_open = page.partition("Where each is open")[2]
    assert still_open.count('<code><span class="id">r-M') == MANY - 34
    assert {'<span class="id">r-000001</span>', '<span class="id">r-000002</span>'} == {
        code for code in ('<span class="id">r-000001</span>', '<span class="id">r-000002</span>') if code in still_open
    }
    assert len(page) < 2_000_000


def test_a_page_of_thousands_that_are_late_shows_some_and_says_where_all_are(pending: Rows) -> None:
    many = EXCEPTION_ROWS // PLACES + 40
    pending.many(many - MANY, after=MANY)
    ago = NOW - timedelta(days=2)
    with writing(pending.engine) as connection:
        connection.execute(update(t.request).values(target_at=ago, due_at=ago, closed_at=None))
        connection.execute(update(t.propagation).values(state=State.PENDING, rung=0, told_at=None, done_at=None))
    report = november(pending)
    assert len(report.overdue) == many * PLACES + 2
    page, written = render.html(report), render.csv(report)
    left = many + 2 - 1001  # two of them go to one processor each, so 999 others have room
    told = f"{left} more requests of this list are not shown: the page would be too long to open."
    assert page.count(f"<p>{told} The CSV with the SHA-256 below has them all. Its columns late and needs say") == 2
    assert f"Overdue: past the legal date and not closed ({many * PLACES + 2})" in page
    assert page.count('<code><span class="id">r-M') == 2 * 999
    read = csv.DictReader(io.StringIO(written.removeprefix("\ufeff"), newline=""))
    assert sum(row["late"] == "overdue" for row in read) == many * PLACES + 2
    assert hashlib.sha256(written.encode()).hexdigest() in page
    text = render.text(report)
    assert text.partition("Overdue (")[2].partition("\n\n")[0].count("r-M") == many * PLACES, "a text has each"


def test_a_request_is_shown_with_all_its_lines_or_not_at_all(rows: Rows) -> None:
    rows.many(4)
    report = november(rows)
    lines = [line for one in report.received for line in one.lines]
    assert [(len(first_lines(lines, most)[0]), first_lines(lines, most)[1]) for most in (5, 6, 11, 12, 13)] == [
        (3, 3),
        (6, 2),
        (9, 1),
        (12, 0),
        (12, 0),
    ]
    found = [first_requests(report.received, most) for most in (5, 6, 12)]
    assert [(len(shown), left) for shown, left in found] == [(1, 3), (2, 2), (4, 0)]


def test_a_text_of_few_requests_shows_all_and_asks_for_no_digest(rows: Rows) -> None:
    rows.many(5)
    assert "SHA-256" not in render.text(november(rows))


def test_where_many_requests_stand_is_read_in_few_questions_and_few_columns(rows: Rows) -> None:
    def asked(work: Callable[[Connection], object]) -> list[str]:
        statements: list[str] = []
        event.listen(rows.engine, "before_cursor_execute", hear := lambda *given: statements.append(given[2]))
        with reading(rows.engine) as connection:
            work(connection)
        event.remove(rows.engine, "before_cursor_execute", hear)
        return [one for one in statements if "FROM " in one and "sqlite_master" not in one]

    known = one_by_name()

    def steps() -> int:
        with reading(rows.engine) as connection, cProfile.Profile() as profile:
            read_standing(connection, t.request.c.id != "", NOW, known)
        return sum(one.callcount for one in profile.getstats())

    rows.many(50)
    few, before = asked(lambda connection: read_standing(connection, t.request.c.id != "", NOW, known)), steps()
    rows.many(200, after=50)
    many = asked(lambda connection: read_standing(connection, t.request.c.id != "", NOW, known))
    assert len(many) == len(few) == 4
    assert not any(unread in one for one in many for unread in ("sealed", "brake_at", "wrapped_key", "handed"))
    assert (steps() - before) / 200 < 60, "of each request with its three places; a million of them are read"


def test_rows_that_were_read_already_make_the_same_report_as_those_that_it_reads_itself(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    october, december = datetime(2026, 10, 3, tzinfo=UTC), datetime(2026, 12, 3, tzinfo=UTC)
    for received, closed in product((october, RECEIVED, december), (None, october, RECEIVED, december)):
        rows.ask(received=received, closed_at=closed, alpha=State.VERIFIED, beta=State.HELD)
    rows.ask()
    wanted, known = is_printed(*begin_and_end(date(2026, 11, 1), date(2026, 11, 30), LONDON)), one_by_name()
    monkeypatch.setattr("dpsync.ledger.stored_rows.PAGE", 5)
    by_itself = render.csv(november(rows))
    with reading(rows.engine) as connection:
        pages = [printed_of(connection, stretch) for stretch in stretches(connection)]
        for taken in (0, 1, len(pages)):  # where too much is wrong, a comparison ends before the last
            standings = Standings(NOW, known, wanted)
            for page in pages[:taken]:
                standings.take(connection, page)
            assert render.csv(november(rows, standings=standings)) == by_itself
    assert len({line.split(",")[0] for line in by_itself.splitlines()[1:]}) == 8


@pytest.mark.parametrize(("received", "closed"), [("soon", None), (1.5, None), (None, "soon")])
def test_what_is_no_time_in_a_row_that_was_read_is_no_request_of_the_period(received: object, closed: object) -> None:
    assert not is_printed(*begin_and_end(date(2026, 11, 1), date(2026, 11, 30), LONDON))(received, closed)


def test_json_is_written_value_by_value_and_not_made_of_a_second_set_of_them(rows: Rows) -> None:
    rows.many(300)
    report = november(rows)
    size = len(render.json(report))
    tracemalloc.start()
    render.json(report)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    own = 3_000_000  # what writing takes however short the report is
    assert most - own < 3 * size


def test_lines_that_say_the_same_say_it_by_one_value(rows: Rows) -> None:
    rows.many(50)
    few = {line.kind for one in november(rows).received for line in one.lines}
    rows.many(200, after=50)
    many = [line for one in november(rows).received for line in one.lines]
    assert len(many) == 250 * PLACES
    assert len({line.kind for line in many}) == len(few)


def test_every_cell_of_the_csv_is_read_as_it_was_written(rows: Rows) -> None:
    said = 'no "such" contact, they wrote\nand more'
    rows.ask(alpha=State.REFUSED)
    with writing(rows.engine) as connection:
        connection.execute(update(t.propagation).values(reason=said, task='"'))
    report = november(rows)
    written = render.csv(report).removeprefix("\ufeff")
    heads, *read = csv.reader(io.StringIO(written, newline=""), strict=True)
    assert {len(row) for row in read} == {len(heads)}
    assert {(row[heads.index("reason")], row[heads.index("task")]) for row in read} == {(visible(said), '"')}
    again = io.StringIO(newline="")
    csv.writer(again, quoting=csv.QUOTE_ALL).writerows([heads, *read])
    assert written == again.getvalue()
