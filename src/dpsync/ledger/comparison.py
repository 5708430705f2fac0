"""Whether the states in the database are those that the ledger tells of.

The ledger may be sound while a table beside it was written by hand: then reports would print what nobody recorded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sqlalchemy import Connection, bindparam, select

from dpsync.ledger import conversation_comparison, entry, stored
from dpsync.store import tables

PAGE = 500
"""Requests compared at a time; SQLite takes a bounded number of parameters in one statement."""

MOST_NAMED = 50


@dataclass(frozen=True, slots=True)
class _Told:
    """What the last entry about one request at one processor said; `idx` None: none did since it was accepted."""

    state: str = "pending"
    rung: int = 0
    idx: int | None = None


def differences(connection: Connection) -> tuple[str, ...]:
    """Each request and processor whose state or rung is not what its last ledger entry says, in order of receipt; then
    each private conversation whose state does not follow from what the ledger tells of.

    Needs the view of one moment, for a state and its entry are written together. An entry that cannot be read says
    nothing here: `Log.verify` names it.
    """
    found: list[str] = []
    for problem in chain(_problems(connection), conversation_comparison.problems(connection)):
        if len(found) == MOST_NAMED:
            return (*found, "and more")
        found.append(problem)
    return tuple(found)


def _problems(connection: Connection) -> Iterator[str]:
    last = 0
    while rows := connection.execute(_REQUESTS, {"last": last}).all():
        last = rows[-1].ordinal
        ids = [row.id for row in rows]
        told, listed = _told(connection, ids)
        kept = _kept(connection, ids)
        for request_id in ids:
            here = kept.get(request_id, {})
            digest = listed.get(request_id)
            if digest is None:
                yield f"request {request_id}: the ledger does not tell of its receipt"
            elif digest != entry.list_digest(here):
                yield f"request {request_id}: its processors in the database are not those it was accepted for"
            for name, row in here.items():
                said = told.get((request_id, name), _Told())
                if (row.state, row.rung) != (said.state, said.rung):
                    where = "no entry tells of more than" if said.idx is None else f"entry {said.idx} says"
                    yield (
                        f"request {request_id} at {name}: the database says {row.state}, rung {row.rung}; "
                        f"{where} {said.state}, rung {said.rung}"
                    )


_REQUEST = tables.request.c
_REQUESTS = (
    select(_REQUEST.ordinal, _REQUEST.id)
    .where(_REQUEST.ordinal > bindparam("last"))
    .order_by(_REQUEST.ordinal)
    .limit(PAGE)
)


def _told(connection: Connection, ids: list[str]) -> tuple[dict[tuple[str, str], _Told], dict[str, str]]:
    column = tables.entry.c
    told: dict[tuple[str, str], _Told] = {}
    listed: dict[str, str] = {}
    rows = connection.execute(
        select(column.idx, column.request_id, column.body).where(column.request_id.in_(ids)).order_by(column.idx)
    )
    for idx, request_id, body in rows:
        try:
            said = entry.decode(stored.raw(body))
        except ValueError:
            continue
        if "list" in said:
            listed[request_id] = str(said["list"])
        if "state" in said:
            told[request_id, str(said["dest"])] = _Told(str(said["state"]), int(said["rung"]), idx)
    return told, listed


def _kept(connection: Connection, ids: list[str]) -> dict[str, dict[str, Any]]:
    column = tables.propagation.c
    kept: dict[str, dict[str, Any]] = {}
    rows = connection.execute(
        select(column.request_id, column.processor, column.state, column.rung)
        .where(column.request_id.in_(ids))
        .order_by(column.processor)
    )
    for row in rows:
        kept.setdefault(row.request_id, {})[row.processor] = row
    return kept
