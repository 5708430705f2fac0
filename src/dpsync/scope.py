"""What a report compares with the ledger: what it prints, where all else was compared less than a week ago."""

import sys
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, or_, select

from dpsync.ledger import stored, told
from dpsync.store import meta
from dpsync.store import tables as t

WEEK = timedelta(days=7)
"""For so long a comparison of everything is relied on: there is one each hour where a service runs."""

KEY = "compared"
"""Under which key table `meta` keeps when everything was compared, and how many entries there were."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a report prints: the requests for which `rows` holds over table `request`. All that came since `begin` are
    among them.
    """

    begin: datetime
    rows: ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class WholeComparison:
    """When everything was compared and nothing was wrong, and how many entries there were."""

    at: datetime
    entries: int


def remember(connection: Connection, whole: WholeComparison | None) -> None:
    """Remember it; None once anything is wrong: from then on all is compared until nothing is."""
    if whole is None:
        connection.execute(delete(t.meta).where(t.meta.c.key == KEY))
    else:
        meta.put(connection, KEY, f"{whole.at.isoformat()} {whole.entries}")


def relied_on(connection: Connection, short: int, now: datetime) -> WholeComparison | None:
    """The last comparison of everything; None where a report compares all: it is a week old, or wrong, or there was
    none, or the record has only `short` entries.
    """
    value = meta.value_of(connection, KEY)
    if value is None or stored.size(connection) <= short:
        return None
    at, _, entries = value.partition(" ")
    found = WholeComparison(datetime.fromisoformat(at), int(entries))
    return found if now - WEEK < found.at <= now else None


def concerned(connection: Connection, scope: Scope, whole: WholeComparison) -> Sequence[str]:
    """The requests of the scope, oldest first, by their rows or by what the ledger tells: a row that was changed would
    leave itself out otherwise. And those of which the ledger tells anything since everything was compared.
    """

    def when(idx: int) -> int:
        body = connection.execute(select(t.entry.c.body).where(t.entry.c.idx == idx)).scalar()
        said = told.readable(body or b"")
        return int(said["ts"]) if said else sys.maxsize

    first = bisect_left(range(whole.entries), int(scope.begin.timestamp()), key=when)
    since = select(t.entry.c.request_id).where(t.entry.c.idx >= first, t.entry.c.request_id.is_not(None))
    chosen = select(t.request.c.id).where(or_(scope.rows, t.request.c.id.in_(since))).order_by(t.request.c.ordinal)
    return connection.execute(chosen).scalars().all()
