"""A report of a long record compares what it prints, and says when all else was compared: a week ago at most."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import false

from dpsync.ledger import entry
from dpsync.model import Right
from dpsync.reports import render
from dpsync.reports.make import month_report
from dpsync.reports.proof import LedgerLine
from dpsync.scope import Scope, WholeComparison, concerned
from dpsync.soundness import HASHED_AT_ONCE, judge, judge_and_tell
from dpsync.store import tables as t
from tests.filling import asked_of_databases, fill
from tests.journeys.installation import Asked, Installation, installed, sqlite_url

DAY = timedelta(days=1)


def lengthen(there: Installation) -> None:
    """As many entries as a report takes on trust."""
    filling = entry.encode(entry.EntryKind.ALERT, there.clock.now(), name="filling")
    there.service.write(lambda unit: there.service.log.append(unit.connection, [(None, filling)] * HASHED_AT_ONCE))


def change(there: Installation, one: Asked, **columns: Any) -> None:
    row = t.request.update().where(t.request.c.id == one.id).values(columns)
    there.service.write(lambda unit: unit.connection.execute(row))


def found(there: Installation) -> LedgerLine:
    return month_report(there.service, there.clock.now()).ledger


def by_the_clock(there: Installation, *, full: bool) -> list[str]:
    """What a timed comparison tells the data protection officer."""
    before = len(there.told())
    judge_and_tell(there.service, there.clock.now(), full=full)
    return [one.body for one in there.told()[before:]]


def row_of(there: Installation, one: Asked) -> Any:
    return next(row for row in there.rows(t.request) if row.id == one.id)


def test_a_change_in_an_old_row_is_found_by_verify_each_week_and_by_the_next_report(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        old = there.ask(Right.OPT_OUT, "ada@example.org")
        there.drive()
        was = row_of(there, old).closed_at
        lengthen(there)
        there.drive(after=40 * DAY)
        there.ask(Right.OPT_OUT, "ben@example.org", id="crm-2")
        there.drive()
        assert by_the_clock(there, full=False) == []
        change(there, old, closed_at=was + timedelta(hours=1))
        report = month_report(there.service, there.clock.now())
        assert (report.ledger.sound, report.ledger.compared_at) == (True, there.clock.now())
        told = (
            "The requests outside this period, the names by which people are known, the journal and the receipts were "
        )
        told += f"compared with the record on {there.clock.now().astimezone(there.service.zone):%-d %b %Y, %H:%M}"
        assert told in " ".join(render.text(report).split())
        assert told in render.html(report)

        assert "closed_at" in judge(there.service, there.clock.now(), full=True).differences[0], "dpsync verify"
        after = found(there)
        assert (after.sound, after.compared_at) == (False, None), "nothing is relied on while anything is wrong"

        for full in (False, True):
            change(there, old, closed_at=was)
            assert found(there).compared_at is None
            assert found(there).compared_at == there.clock.now()
            change(there, old, closed_at=was + timedelta(hours=1))
            assert found(there).sound
            there.clock.advance(DAY)
            (told,) = by_the_clock(there, full=full)
            assert "closed_at" in told, "each hour and each week"

        change(there, old, closed_at=was)
        assert found(there).sound
        change(there, old, closed_at=was + timedelta(hours=1))
        there.clock.advance(7 * DAY)
        late = found(there)
        assert (late.sound, late.compared_at) == (False, None), "it rests on no comparison that is a week old"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A long record, with a request that came before this month and was done in it."""
    folder = tmp_path_factory.mktemp("long")
    with installed(folder, sqlite_url(folder)) as made:
        lengthen(made)
        made.ask(Right.OPT_OUT, "ada@example.org")
        made.clock.advance(40 * DAY)
        made.drive()
        yield made


def test_a_row_that_was_changed_so_that_no_report_prints_it_is_compared(there: Installation) -> None:
    before = there.clock.now() - 35 * DAY
    there.ask(Right.OPT_OUT, "ben@example.org", id="crm-2")
    there.drive()
    for one in there.asked:
        was = row_of(there, one)
        change(there, one, received_at=min(was.received_at, before), closed_at=before)
        report = month_report(there.service, there.clock.now())
        assert one.id not in {each.id for each in (*report.received, *report.carried)}
        assert one.id in report.ledger.problems[0]
        assert report.ledger.compared_at is not None
        change(there, one, received_at=was.received_at, closed_at=was.closed_at)
        assert found(there).sound


def test_a_report_asks_the_same_whatever_there_was_before_its_period(there: Installation) -> None:
    asked, before = [], there.clock.now() - 60 * DAY
    for many in (0, 1200):
        if many:
            fill(there.service.engine, many, before, closed_at=before + DAY, state="withdrawn")
        with asked_of_databases() as statements:
            assert found(there).sound
        asked.append(len(statements))
    assert asked[0] == asked[1], "each page of 500 requests that are compared is ten statements"


def test_requests_are_compared_of_which_the_ledger_tells_since_the_beginning_or_the_last_comparison(
    tmp_path: Path,
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        service = there.service
        begin = there.clock.now() + DAY
        for number in range(4):
            there.ask(Right.OPT_OUT, f"p{number}@example.org", id=f"crm-{number}")
            there.clock.advance(DAY)
        ids = [one.id for one in there.asked]

        def chosen(entries: int, since: timedelta = timedelta(0)) -> list[str]:
            scope, whole = Scope(begin + since, false()), WholeComparison(begin, entries)
            return list(service.read(lambda connection: concerned(connection, scope, whole)))

        first = service.read(lambda connection: service.log.entries_of(connection, ids[3]))[0][0]
        size = service.read(service.log.size)
        assert chosen(size) == ids[1:], "of what came at the very beginning, too"
        assert chosen(size, timedelta(seconds=1)) == ids[2:]
        assert chosen(size, 100 * DAY) == []
        assert chosen(first, 100 * DAY) == ids[3:]
        assert chosen(0) == ids
