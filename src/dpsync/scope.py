"""What a report compares with the ledger: what it prints, where all else was compared less than a week ago."""

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, select

from dpsync.ledger import stored, told
from dpsync.ledger.entry import commitment
from dpsync.ledger.stored_rows import ordinals, stretches
from dpsync.ledger.unchanged import ComparedBefore, ComparedPage, PageDigests, seal
from dpsync.sealing import Keys
from dpsync.store import meta
from dpsync.store import tables as t

WEEK = timedelta(days=7)
"""For so long a comparison of everything is relied on: there is one each week where a service runs."""

KEY = "compared"
"""Under which key table `meta` keeps the last comparison of everything, and a seal of it."""

_E, _R = t.entry.c, t.request.c


@dataclass(frozen=True, slots=True)
class Scope:
    """What is compared: the requests for which `rows` holds over table `request`. All that came since `begin` are among
    them. `beneath`: also what no report prints of them, as their calls.
    """

    begin: datetime
    rows: ColumnElement[bool]
    beneath: bool = False


@dataclass(frozen=True, slots=True)
class WholeComparison:
    """When everything was compared and nothing was wrong, how many entries there were, and its pages by number.

    A page may have been compared again since, by itself.
    """

    at: datetime
    entries: int
    pages: Mapping[int, ComparedPage]


def remember(connection: Connection, keys: Keys, whole: WholeComparison | None) -> None:
    """Remember it; None once anything is wrong: from then on all is compared until nothing is."""
    if whole is None:
        connection.execute(delete(t.meta).where(t.meta.c.key == KEY))
    else:
        pages = [
            f"{number}:{page.digests.printed}:{page.digests.beneath}:{page.entries}"
            for number, page in whole.pages.items()
        ]
        said = " ".join((whole.at.isoformat(), str(whole.entries), *pages))
        meta.put(connection, KEY, f"{said} {commitment(seal(keys), said)}")


def relied_on(connection: Connection, keys: Keys, short: int, now: datetime) -> WholeComparison | None:
    """The last comparison of everything; None where a report compares all: it is a week old, or wrong, or there was
    none, or somebody else wrote it there, or the record has only `short` entries.
    """
    said, _, sealed = (meta.value_of(connection, KEY) or "").rpartition(" ")
    if sealed != commitment(seal(keys), said) or stored.size(connection) <= short:
        return None
    at, entries, *pages = said.split(" ")
    found = WholeComparison(datetime.fromisoformat(at), int(entries), dict(map(_page, pages)))
    return found if now - WEEK < found.at <= now else None


def _page(said: str) -> tuple[int, ComparedPage]:
    # An earlier version remembered one digest of both, which is now neither's: such a page is compared once more.
    number, printed, *beneath, entries = said.split(":")
    return int(number), ComparedPage(PageDigests(printed, "".join(beneath)), int(entries))


def concerned(connection: Connection, scope: Scope, whole: WholeComparison) -> ComparedBefore:
    """The pages with requests of the scope, by their rows or by what the ledger tells: a row that was changed would
    leave itself out otherwise. And those of which the ledger tells anything since everything was compared.
    """

    def when(idx: int) -> int:
        body = connection.execute(select(_E.body).where(_E.idx == idx)).scalar()
        said = told.readable(body or b"")
        return int(said["ts"]) if said else sys.maxsize

    pages = stretches(connection)
    told_until: dict[int, int] = {}

    def choose(which: ColumnElement[bool], **given: int) -> None:
        found = ordinals(connection, select(_R.ordinal).where(which), **given)
        within = (bisect_left(found, begin) < bisect_right(found, end) for begin, end in pages)
        told_until.update((number, -1) for number, any_ in enumerate(within) if any_)

    choose(scope.rows)
    if len(told_until) < len(pages):
        first = bisect_left(range(whole.entries), int(scope.begin.timestamp()), key=when)
        named = select(_E.request_id).where(_E.idx >= bindparam("first"), _E.request_id.is_not(None))
        choose(_R.id.in_(named), first=first)
    since = select(_R.ordinal, func.max(_E.idx)).join(t.entry, _E.request_id == _R.id).where(_E.idx >= whole.entries)
    begins = [begin for begin, _ in pages]
    for ordinal, idx in connection.execute(since.group_by(_R.ordinal)):
        number = bisect_right(begins, ordinal) - 1
        told_until[number] = max(told_until.get(number, -1), idx)
    return ComparedBefore(whole.pages, told_until, scope.beneath)
