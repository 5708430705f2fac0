"""Many rows at once, for tests and measurements of what must not grow with them: no crypto, no ledger entries."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, event, func, insert, select

from dpsync.model import Right, State
from dpsync.store import tables as t
from dpsync.store.database import writing

IN_ONE = 2_000


def fill(
    engine: Engine,
    count: int,
    at: datetime,
    *,
    right: Right = Right.ERASURE,
    places: tuple[str, ...] = ("alpha",),
    **columns: Any,
) -> None:
    """So many requests that were received at a moment, each at these processors; `columns` are the propagations'."""
    with writing(engine) as connection:
        first = (connection.execute(select(func.max(t.request.c.ordinal))).scalar() or 0) + 1
        for begin in range(first, first + count, IN_ONE):
            some = range(begin, min(begin + IN_ONE, first + count))
            closed = columns.get("closed_at")
            connection.execute(insert(t.request), [_request(number, at, right, places, closed) for number in some])
            rows = [
                _propagation(number, at, right, place)
                | {key: value for key, value in columns.items() if key != "closed_at"}
                for number in some
                for place in places
            ]
            if rows:
                connection.execute(insert(t.propagation), rows)


def _request(
    number: int, at: datetime, right: Right, places: tuple[str, ...], closed_at: datetime | None
) -> dict[str, Any]:
    month: date = at.date() + timedelta(days=30)
    return {
        "ordinal": number,
        "id": f"r-{number:026d}",
        "source": "filled",
        "event_id": f"{number}",
        "body_mac": "",
        "subject_id": f"s{number}",
        "person": f"p{number}",
        "right": right.value,
        "lifting": False,
        "ground": "",
        "received_at": at,
        "received_assumed": False,
        "accepted_at": at,
        "starts_on": at.date().isoformat(),
        "target_at": at + timedelta(hours=72),
        "strict_on": month.isoformat(),
        "due_on": month.isoformat(),
        "letter_by": month.isoformat(),
        "due_at": at + timedelta(days=31),
        "clock_rule": "filled",
        "processors": "\n".join(places),
        "key_month": f"{at:%Y-%m}",
        "closed_at": closed_at,
    }


def _propagation(number: int, at: datetime, right: Right, place: str) -> dict[str, Any]:
    return {
        "request_id": f"r-{number:026d}",
        "processor": place,
        "account_id": place,
        "subject_id": f"s{number}",
        "person": f"p{number}",
        "ordinal": number,
        "right": right.value,
        "lifting": False,
        "state": State.PENDING.value,
        "way": "api",
        "opened_at": at,
        "state_since": at,
    }


class Asked(NamedTuple):
    """One statement. `writes`: whether it was asked while nobody else could write; `rows`: how many it was given."""

    statement: str
    writes: bool
    rows: int


@contextmanager
def asked_of_databases() -> Iterator[list[Asked]]:
    """Every statement that is asked meanwhile, beside those by which a transaction begins."""
    asked: list[Asked] = []

    def note(connection: Connection, _: object, statement: str, parameters: Any, __: object, many: bool) -> None:
        writes = bool(connection.get_execution_options().get("dpsync_writes", False))
        if not statement.startswith(("BEGIN", "SET ", "PRAGMA", "SELECT 1 FROM sqlite_master")):
            asked.append(Asked(statement, writes, len(parameters) if many else 1))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)
