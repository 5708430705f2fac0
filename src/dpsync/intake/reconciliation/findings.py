"""The differences that were found: each is kept while it is so, found once, and closed when it is gone."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select, update

from dpsync.errors import KeyProblem
from dpsync.intake.reconciliation.compare import Difference, DifferenceKind
from dpsync.intake.reconciliation.listed import Listed
from dpsync.ledger import entry
from dpsync.ledger import rows as rows_of_ledger
from dpsync.ledger.entry import EntryKind
from dpsync.propagation.decisions import Person
from dpsync.sealing import Keys
from dpsync.store import shelf
from dpsync.store import tables as t
from dpsync.store.reconciling_tables import source_finding
from dpsync.store.upsert import insert_or_replace_all
from dpsync.store.writer import Unit

_PURPOSE: Final = "source finding"
SHORTEST_MARK: Final = 6
LEFT: Final = "difference left"
"""What a row of the shelf is called that says so, where a processor's name stands, which has no spaces."""

_F = source_finding.c
_LEFT_ROWS = select(t.shelf.c.key, t.shelf.c.sealed).where(t.shelf.c.processor == LEFT)
_IN_ONE = 500  # SQLite takes a bounded number of parameters in one statement


@dataclass(frozen=True, slots=True)
class SourceFinding:
    """One difference. `row`: as the record was listed; of one that is gone only its id is set, "" if nobody knows it.

    `person`: whom it is about, "" where nothing was asked for them yet. `key` tells it from any other, and says
    nothing of anybody; `digest` is that of what the record said.
    """

    source: str
    key: str
    difference: Difference
    digest: str
    row: Listed = field(repr=False)
    person: str = ""

    @property
    def kind(self) -> DifferenceKind:
        """What was found."""
        return self.difference.kind

    def with_addresses_of(self, other: "SourceFinding") -> "SourceFinding":
        """The same of a record that is listed with a row for each of its addresses."""
        addresses = tuple(dict.fromkeys((*self.row.addresses, *other.row.addresses)))
        return replace(self, row=replace(self.row, addresses=addresses))


@dataclass(frozen=True, slots=True)
class OpenFinding:
    """One that is still so, as it is shown. `record`: the id in the main database, "" where nobody knows it."""

    source: str
    key: str
    kind: DifferenceKind
    right: str
    record: str = field(repr=False)
    request_id: str
    found_at: datetime


def finding(keys: Keys, source: str, difference: Difference, row: Listed, person: str) -> SourceFinding:
    """A difference of one row. Of somebody who is gone `row` is what they were named by last."""
    right = difference.right.value if difference.right else ""
    gone = difference.kind is DifferenceKind.GONE  # what it is called by then depends on what still opens
    named = [source, difference.kind.value, right, f"person {person}" if gone else row.id]
    said = person.encode() if gone else row.digested()
    key = keys.mac(_PURPOSE, json.dumps(named).encode()).hex()[:32]
    digest = keys.mac("listed", f"{source}\n".encode() + said).hex()[:32]
    return SourceFinding(source, key, difference, digest, row, person)


def open_keys(connection: Connection, source: str) -> set[str]:
    """The keys of all that were found and are not closed."""
    chosen = select(_F.key).where(_F.source == source, _F.closed_at.is_(None))
    return set(connection.execute(chosen).scalars())


def left(connection: Connection, keys: Keys, source: str) -> dict[str, str]:
    """What people said may stay as it is: the key of each, and the digest of what the record said then."""
    named = {row.key: row.sealed for row in connection.execute(_LEFT_ROWS)}
    of_it = select(_F.key).where(_F.source == source, _F.key.in_(named)) if named else None
    wanted = connection.execute(of_it).scalars() if of_it is not None else ()
    return {key: _digest(keys, key, named[key]) for key in wanted}


def _digest(keys: Keys, key: str, sealed: bytes) -> str:
    try:
        return keys.open(_PURPOSE, sealed, f"{LEFT}\n{key}".encode()).decode()
    except KeyProblem:
        return ""  # written there by hand: then it is asked again


def leave(unit: Unit, keys: Keys, marked: str, person: Person, now: datetime) -> bool:
    """A named person says that a difference may stay: nobody is asked again until the record says something else.

    `marked`: the first signs of its key. False where no such difference is open. Raises `UsageError` without a name or
    a reason.
    """
    person.demand(reason=True)
    chosen = select(_F.source, _F.key, _F.digest).where(
        _F.closed_at.is_(None), _F.key.startswith(marked, autoescape=True)
    )
    rows = unit.connection.execute(chosen.limit(2)).all()
    if len(rows) != 1 or len(marked) < SHORTEST_MARK:
        return False
    source, key, digest = rows[0]
    sealed = keys.seal(_PURPOSE, digest.encode(), f"{LEFT}\n{key}".encode())
    shelf.keep(unit.connection, [{"processor": LEFT, "key": key, "sealed": sealed, "at": now}])
    close(unit.connection, source, [key], now)
    said = person.author.said(rows_of_ledger.own_key(keys))
    unit.append(None, entry.encode(EntryKind.DECIDED, now, kind="difference_left", name=source, ref=key, **said))
    return True


def keep(connection: Connection, keys: Keys, found: Sequence[tuple[SourceFinding, str]], now: datetime) -> None:
    """Keep what is new, each with the request that was made of it, "" for none."""
    if found:
        insert_or_replace_all(connection, source_finding, [_row(keys, one, made, now) for one, made in found])


def _row(keys: Keys, one: SourceFinding, request_id: str, now: datetime) -> dict[str, Any]:
    return {
        "source": one.source,
        "key": one.key,
        "kind": one.kind.value,
        "right": one.difference.right.value if one.difference.right else "",
        "digest": one.digest,
        "sealed": keys.seal(_PURPOSE, one.row.id.encode(), one.key.encode()),
        "request_id": request_id,
        "found_at": now,
        "closed_at": None,
    }


def close(connection: Connection, source: str, keys: Collection[str], now: datetime) -> int:
    """They are not so any more; which record it was is forgotten. How many there were."""
    wanted = sorted(keys)
    for at in range(0, len(wanted), _IN_ONE):
        of_them = (_F.source == source) & _F.key.in_(wanted[at : at + _IN_ONE])
        connection.execute(update(source_finding).where(of_them).values(closed_at=now, sealed=b""))
    return len(wanted)


def waiting(connection: Connection, keys: Keys, sources: Iterable[str]) -> list[OpenFinding]:
    """All that are still so, the oldest first."""
    chosen = select(source_finding).where(_F.closed_at.is_(None), _F.source.in_(sorted(sources)))
    return [
        OpenFinding(
            row.source,
            row.key,
            DifferenceKind(row.kind),
            row.right,
            _opened(keys, row),
            row.request_id,
            row.found_at,
        )
        for row in connection.execute(chosen.order_by(_F.found_at, _F.source, _F.key))
    ]


def _opened(keys: Keys, row: Any) -> str:
    try:
        return keys.open(_PURPOSE, row.sealed, row.key.encode()).decode()
    except KeyProblem:
        return ""
