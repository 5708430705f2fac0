"""The rows of a stretch of requests: all that belongs to them, in one order, as they are stored, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, Connection, Integer, LargeBinary, Table, insert, select

from dpsync.ledger.evidence import AnswerCalls
from dpsync.ledger.row_comparison import belongings
from dpsync.ledger.stored import plain
from dpsync.ledger.stored_rows import _OF_STRETCH, PAGE, Stretched, beneath_of, named, printed_of, stretches
from dpsync.store import tables as t
from dpsync.store.columns import EPOCH, Instant
from tests.unit.test_ledger_receipt import NOW, ledger

TABLES = (
    t.request,
    t.propagation,
    t.attempt,
    t.notice,
    t.answer,
    t.post,
    t.decision,
    t.withdrawal,
    t.evidence,
)


PRINTED = (t.request, t.propagation, t.post, t.decision, t.withdrawal)


def of_stretch(connection: Connection, stretch: tuple[int, int]) -> Stretched:
    """All of it, each table in one of two parts."""
    printed, beneath = printed_of(connection, stretch), beneath_of(connection, stretch)
    assert {*printed} == {table.name for table in PRINTED}
    assert not {*printed} & {*beneath}
    return {**printed, **beneath}


def filled(table: Table, **more: Any) -> dict[str, Any]:
    """A row with something in each column."""
    values = {Integer: 1, BigInteger: 1, Boolean: True, LargeBinary: b"x", Instant: NOW}
    return {column.name: values.get(type(column.type), f"{table.name} {column.name}") for column in table.c} | more


def request(number: int) -> dict[str, Any]:
    return filled(t.request, ordinal=number, id=f"r-{number}", event_id=f"{number}")


def rows_below(number: int, processor: str, at: int) -> Iterator[tuple[Table, dict[str, Any]]]:
    """What stands below the propagation `at` of a request: in all tables two rows, the second in order first."""
    yield t.propagation, filled(t.propagation, id=at, request_id=f"r-{number}", processor=processor)
    for one in (2, 1):
        again = {"id": 10 * at + one, "number": one, "propagation_id": at}
        unique = {name: f"{name} {at} {one}" for name in ("message_id", "reference", "token_hash")}
        yield t.attempt, filled(t.attempt, **again)
        yield t.notice, filled(t.notice, **again, **unique)
        yield t.answer, filled(t.answer, **again)
        yield t.post, filled(t.post, digest=f"{at} {one}", propagation_id=at)
        for part, seq in (("outcome", 1), ("outcome", 0), ("finding", 0)):
            yield t.evidence, filled(t.evidence, attempt_id=10 * at + one, part=part, seq=seq, note=f"{at} {one}")


@contextmanager
def three_requests() -> Iterator[Connection]:
    """Under 2, 4 and 6, each at two processors and with two of all that belongs to it, the last written first."""
    with ledger([]) as (_, connection):
        for number in (6, 4, 2):
            connection.execute(insert(t.request), request(number))
            for processor, at in (("beta", number * 10 + 1), ("alpha", number * 10 + 2)):
                for table, row in rows_below(number, processor, at):
                    given = {name: value for name, value in row.items() if name in table.c}
                    connection.execute(insert(table), given)
            for one in (2, 1):
                of_it = {"request_id": f"r-{number}"}
                connection.execute(insert(t.decision), filled(t.decision, id=10 * number + one, **of_it))
                connection.execute(insert(t.withdrawal), filled(t.withdrawal, event_id=f"{number} {one}", **of_it))
        connection.exec_driver_sql("PRAGMA reverse_unordered_selects = ON")
        yield connection


def test_every_row_of_the_requests_of_a_stretch_is_read_once_and_in_order() -> None:
    with three_requests() as connection:
        found = of_stretch(connection, (2, 4))
        assert {*found} == {table.name for table in TABLES}
        every = {table: named(table, found) for table in found}
    assert [row["ordinal"] for row in every["request"]] == [2, 4]
    assert [row["id"] for row in every["propagation"]] == [22, 21, 42, 41]
    below = [(at, one) for at in (22, 21, 42, 41) for one in (1, 2)]
    assert [(row["propagation_id"], row["id"] % 10) for row in every["attempt"]] == below
    assert [(row["propagation_id"], row["number"]) for row in every["notice"]] == below
    assert [(row["propagation_id"], row["id"] % 10) for row in every["answer"]] == below
    assert [row["digest"] for row in every["post"]] == [f"{at} {one}" for at, one in below]
    assert [row["id"] for row in every["decision"]] == [21, 22, 41, 42]
    assert [row["event_id"] for row in every["withdrawal"]] == ["2 1", "2 2", "4 1", "4 2"]
    calls = [(row["attempt_id"], row["part"], row["seq"]) for row in every["evidence"]]
    parts = [("finding", 0), ("outcome", 0), ("outcome", 1)]
    assert calls == [(10 * at + one, *part) for at in (21, 22, 41, 42) for one in (1, 2) for part in parts]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.name))
def test_each_column_is_read_as_it_is_stored_under_its_own_name(table: Table) -> None:
    with three_requests() as connection:
        (first, *_) = named(table.name, of_stretch(connection, (4, 4)))
    assert [*first] == [column.name for column in table.c]
    for column in table.c:
        if isinstance(column.type, Instant):
            assert first[column.name] == (NOW - EPOCH).total_seconds() * 1_000_000


def test_what_belongs_to_each_request_stands_at_its_place() -> None:
    with three_requests() as connection:
        there = belongings(of_stretch(connection, (2, 4)))
    assert [*there] == ["r-2", "r-4"]
    has = there["r-4"]
    assert {name: part["id"] for name, part in has.parts.items()} == {"alpha": 42, "beta": 41}
    for table in ("attempt", "notice", "answer", "post"):
        assert [row["propagation_id"] for row in has.rows[table, "alpha"]] == [42, 42], table
        assert [row["propagation_id"] for row in has.rows[table, "beta"]] == [41, 41], table
    for table in ("decision", "withdrawal"):
        assert [row["request_id"] for row in has.rows[table, ""]] == ["r-4", "r-4"], table
    assert len(has.rows) == 10
    answers = [(name, one, part) for name in ("alpha", "beta") for one in (1, 2) for part in ("finding", "outcome")]
    assert sorted(has.calls) == answers
    assert has.calls["beta", 2, "outcome"].seqs == [0, 1]
    assert [call["note"] for call in has.calls["beta", 2, "outcome"].calls] == ["41 2", "41 2"]
    assert has.calls["nowhere", 1, "outcome"] == AnswerCalls()
    assert there["r-none"].parts == {}


@pytest.mark.parametrize("count", [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE])
def test_each_request_is_in_one_stretch_in_order_of_receipt(count: int) -> None:
    numbers = [-(2**62), *range(3, 2 * count, 2)][:count]
    with ledger([]) as (_, connection):
        if count:
            connection.execute(insert(t.request), [request(one) for one in reversed(numbers)])
        connection.exec_driver_sql("PRAGMA reverse_unordered_selects = ON")
        pages = stretches(connection)
        read = [[row["ordinal"] for row in named("request", of_stretch(connection, page))] for page in pages]
    assert [one for page in read for one in page] == numbers
    assert [len(page) for page in read] == [min(PAGE, count - at) for at in range(0, count, PAGE)]
    assert pages == [(page[0], page[-1]) for page in read]


def test_what_belongs_to_requests_is_found_by_indexes_and_never_by_going_through_all_calls() -> None:
    with three_requests() as connection:
        of_stretch(connection, (2, 4))
        asked: list[str] = []
        driver: Any = connection.connection.dbapi_connection
        driver.set_trace_callback(asked.append)
        of_stretch(connection, (2, 4))
        driver.set_trace_callback(None)
        plans = [step for one in asked for *_, step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}")]
    assert len(asked) == len(TABLES)
    # Withdrawals are few; of all else there are thousands.
    assert {step.split()[1] for step in plans if step.startswith("SCAN")} <= {"withdrawal"}


def test_what_was_read_is_closed_and_every_question_has_its_order() -> None:
    with three_requests() as connection:
        found = connection.execute(select(t.request.c.id).order_by(t.request.c.ordinal))
        assert plain(found) == [("r-2",), ("r-4",), ("r-6",)]
        assert found.closed
    (_, order) = str(_OF_STRETCH["propagation"]).split("ORDER BY ")
    assert order == "request.ordinal, propagation.processor", "SQLite's index would give it anyhow"
