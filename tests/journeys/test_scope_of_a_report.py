"""A report of a long record compares what it prints, and says when all else was compared: a week ago at most."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import false

from dpsync.ledger import comparison, entry
from dpsync.ledger.stored_rows import PAGE
from dpsync.ledger.unchanged import ComparedBefore
from dpsync.model import Right
from dpsync.own_store import demand_rows
from dpsync.reports import render
from dpsync.reports.make import month_report
from dpsync.reports.proof import LedgerLine
from dpsync.scope import KEY, Scope, WholeComparison, concerned, remember
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


def execute(there: Installation, statement: str) -> None:
    there.service.write(lambda unit: unit.connection.exec_driver_sql(statement))


def as_if_compared(there: Installation) -> None:
    """What a comparison of everything leaves that found nothing wrong."""
    entries = there.service.read(there.service.log.size)
    whole = WholeComparison(there.clock.now(), entries, {})
    there.service.write(lambda unit: remember(unit.connection, there.service.keys, whole))


def test_what_differs_in_old_rows_is_found_by_verify_and_the_report_says_when_they_were_compared(
    tmp_path: Path,
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        before = there.clock.now() - 60 * DAY
        fill(there.service.engine, PAGE, before, closed_at=before + DAY, state="withdrawn")
        there.ask(Right.OPT_OUT, "ada@example.org")
        there.drive()
        lengthen(there)
        as_if_compared(there)
        report = month_report(there.service, there.clock.now())
        assert (report.ledger.sound, report.ledger.compared_at) == (True, there.clock.now())
        told = (
            "The requests outside this period, the calls and letters of all requests, the names by which people are "
            "known, the journal and the receipts were compared with the record on "
        )
        told += f"{there.clock.now().astimezone(there.service.zone):%-d %b %Y, %H:%M}"
        assert told in " ".join(render.text(report).split())
        assert told in render.html(report)
        (first, *_) = judge(there.service, there.clock.now(), full=True).differences
        assert first == f"request r-{1:026d}: the ledger does not tell of its receipt"
        after = found(there)
        assert (after.sound, after.compared_at) == (False, None), "nothing is relied on while anything is wrong"


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


def test_a_row_that_is_printed_and_was_changed_since_everything_was_compared_is_found(there: Installation) -> None:
    assert by_the_clock(there, full=False) == []
    for table, column in (("request", "target_at"), ("propagation", "attempts")):
        execute(there, f"UPDATE {table} SET {column} = {column} + 1")  # noqa: S608 - because all of it stands above
        report = found(there)
        assert (report.sound, report.compared_at) == (False, there.clock.now()), table
        assert column in report.problems[0]
        execute(there, f"UPDATE {table} SET {column} = {column} - 1")  # noqa: S608 - because all of it stands above
        assert found(there).sound


def test_what_no_report_prints_of_a_request_is_compared_by_the_clock_within_an_hour(there: Installation) -> None:
    assert by_the_clock(there, full=False) == []
    for table, column in (("attempt", "number"), ("evidence", "status")):
        execute(there, f"UPDATE {table} SET {column} = {column} + 1")  # noqa: S608 - because all of it stands above
        assert found(there).sound
        there.clock.advance(DAY)
        (told,) = by_the_clock(there, full=False)
        assert column in told
        execute(there, f"UPDATE {table} SET {column} = {column} - 1")  # noqa: S608 - because all of it stands above
        assert by_the_clock(there, full=False) == []
        assert found(there).sound


def test_what_the_ledger_tells_is_read_only_of_pages_that_changed(there: Installation) -> None:
    def pages() -> int:
        with asked_of_databases() as statements:
            assert found(there).sound
        return sum("entry.body" in one.statement and "entry.request_id IN" in one.statement for one in statements)

    assert by_the_clock(there, full=False) == []
    assert pages() == 0
    there.ask(Right.OPT_OUT, "eve@example.org", id="crm-3")
    assert pages() == 1
    assert pages() == 0, "what a report found in order is remembered, too"
    there.drive()
    assert pages() == 1
    assert pages() == 0
    assert by_the_clock(there, full=False) == []
    assert pages() == 0


def test_a_report_reads_what_it_prints_once_in_the_view_in_which_it_is_compared(there: Installation) -> None:
    assert by_the_clock(there, full=False) == []
    with asked_of_databases() as statements:
        report = month_report(there.service, there.clock.now())
    assert len(report.received) + len(report.carried) > 0
    read = [one.statement for one in statements if "propagation.done_at" in one.statement]
    assert len(read) == 1, read


def test_each_hour_every_row_is_looked_at_and_the_ledger_read_only_of_pages_that_changed(there: Installation) -> None:
    def hour() -> tuple[int, list[str]]:
        with asked_of_databases() as statements:
            told = by_the_clock(there, full=False)
        return sum("entry.body" in one.statement and "entry.request_id IN" in one.statement for one in statements), told

    assert by_the_clock(there, full=True) == []
    assert hour() == (0, [])
    there.ask(Right.OPT_OUT, "gus@example.org", id="crm-6")
    assert hour() == (1, [])
    assert hour() == (0, [])
    execute(there, "UPDATE evidence SET status = status + 1")
    there.clock.advance(DAY)
    _, (told,) = hour()
    assert "evidence" in told or "status" in told
    execute(there, "UPDATE evidence SET status = status - 1")
    assert hour() == (2, []), "after something was wrong everything is compared, the receipts too"
    assert hour() == (0, [])


def test_a_report_says_when_everything_was_compared_and_not_when_it_looked_at_a_page_again(there: Installation) -> None:
    assert by_the_clock(there, full=True) == []
    at = there.clock.now()
    there.clock.advance(DAY)
    there.ask(Right.OPT_OUT, "dan@example.org", id="crm-4")
    assert [found(there).compared_at for _ in range(2)] == [at, at]
    there.clock.advance(6 * DAY)
    assert [found(there).compared_at for _ in range(2)] == [None, there.clock.now()], "a week after everything was"


def test_a_page_that_was_compared_is_not_remembered_where_everything_was_found_wrong_meanwhile(
    there: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert by_the_clock(there, full=False) == []
    there.ask(Right.OPT_OUT, "fay@example.org", id="crm-5")
    differences = comparison.differences

    def meanwhile(*args: Any) -> tuple[str, ...]:
        forget = t.meta.delete().where(t.meta.c.key == KEY)
        there.service.write(lambda unit: unit.connection.execute(forget))
        return differences(*args)

    monkeypatch.setattr(comparison, "differences", meanwhile)
    assert found(there).sound
    assert [row for row in there.rows(t.meta) if row.key == KEY] == []
    monkeypatch.undo()
    assert found(there).compared_at is None


def test_a_comparison_is_relied_on_only_as_it_was_remembered(there: Installation) -> None:
    assert by_the_clock(there, full=False) == []
    (said,) = [row.value for row in there.rows(t.meta) if row.key == KEY]
    at, entries, *digests, seal = said.split(" ")
    assert digests
    demand_rows({KEY: said}, [])  # by which each command refuses what it never wrote
    for forged in (
        [at, entries, seal],
        [at, f"{int(entries) + 1}", *digests, seal],
        [at, entries, *digests, digests[0]],
    ):
        row = t.meta.update().where(t.meta.c.key == KEY).values(value=" ".join(forged))
        there.service.write(lambda unit, row=row: unit.connection.execute(row))  # type: ignore[misc]  # because mypy does not infer a lambda's default
        assert found(there).compared_at is None
        assert found(there).compared_at is not None


def test_what_no_report_compares_is_compared_each_week_and_by_the_first_report_after_a_week(
    there: Installation,
) -> None:
    for by_itself in (True, False):
        assert by_the_clock(there, full=True) == []
        execute(there, "UPDATE alias SET subject_id = subject_id || 'x'")
        assert found(there).sound
        there.clock.advance(DAY)
        assert by_the_clock(there, full=False) == []
        if by_itself:
            (told,) = by_the_clock(there, full=True)
            assert "alias" in told
        else:
            there.clock.advance(6 * DAY)
            late = found(there)
            assert (late.sound, late.compared_at) == (False, None)
        execute(there, "UPDATE alias SET subject_id = substr(subject_id, 1, length(subject_id) - 1)")
        assert found(there).compared_at is None
        assert found(there).compared_at == there.clock.now()


def test_requests_are_compared_of_which_the_ledger_tells_since_the_beginning_or_the_last_comparison(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installed(tmp_path, database_url) as there:
        service = there.service
        begin = there.clock.now() + DAY
        for number in range(4):
            there.ask(Right.OPT_OUT, f"p{number}@example.org", id=f"crm-{number}")
            there.clock.advance(DAY)
        ids = [one.id for one in there.asked]

        def chosen(entries: int, since: timedelta = timedelta(0)) -> ComparedBefore:
            scope, whole = Scope(begin + since, false()), WholeComparison(begin, entries, {})
            return service.read(lambda connection: concerned(connection, scope, whole))

        first = service.read(lambda connection: service.log.entries_of(connection, ids[3]))[0][0]
        size = service.read(service.log.size)
        last = service.read(lambda connection: service.log.entries_of(connection, ids[3]))[-1][0]
        assert chosen(size) == ComparedBefore({}, {0: -1}, beneath=False)
        assert chosen(size, 100 * DAY) == ComparedBefore({}, {}, beneath=False)
        assert chosen(first, 100 * DAY) == ComparedBefore({}, {0: last}, beneath=False)
        assert chosen(last, 100 * DAY) == ComparedBefore({}, {0: last}, beneath=False)
        assert chosen(last + 1, 100 * DAY) == ComparedBefore({}, {}, beneath=False)
        assert chosen(size, 2 * DAY).told_until, "of what came at the very beginning, too"
        assert not chosen(size, 2 * DAY + timedelta(seconds=1)).told_until
        monkeypatch.setattr("dpsync.ledger.stored_rows.PAGE", 1)
        each = [service.read(lambda connection, one=one: service.log.entries_of(connection, one))[-1][0] for one in ids]  # type: ignore[misc]  # because mypy does not infer a lambda's default
        assert chosen(0).told_until == dict(enumerate(each))
        assert chosen(first, 100 * DAY).told_until == {3: last}
        assert chosen(size, DAY).told_until == {2: -1, 3: -1}
