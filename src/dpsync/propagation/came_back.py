"""Whoever is back at a processor: of which request the DPO is asked, and until when it is asked."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, select

from dpsync.model import DONE_STATES, Right, State
from dpsync.propagation.points import Point
from dpsync.sealing import Keys
from dpsync.store import tables as t
from dpsync.store.reconciling_tables import source_finding

_A, _R, _P, _F = t.alias.c, t.request.c, t.propagation.c, source_finding.c
_DONE = [one.value for one in DONE_STATES | {State.SETTLED}]


def still_open(connection: Connection, points: Collection[Point]) -> set[Point]:
    """Those of these points of which the record is still there, as far as it was looked at."""
    keys = sorted({point.finding for point in points} - {""})
    if not keys:
        return set()
    found = set(connection.execute(select(_F.key).where(_F.key.in_(keys), _F.closed_at.is_(None))).scalars())
    return {point for point in points if point.finding in found}


def requests_of(connection: Connection, keys: Keys, processor: str, right: Right, address: str) -> Sequence[Any]:
    """The requests for this right that were carried out there for whoever has the address, the newest first.

    One from all marketing goes before any from a part: what is asked once more must not be less than what stands.
    """
    bear = select(_A.person).where(_A.pseudonym.in_(keys.pseudonyms("address", address)))
    done = (_P.processor == processor, _P.right == right.value, _P.state.in_(_DONE), _P.person.in_(bear))
    chosen = select(_R.id, _R.person, _R.received_at, _R.scope, _P.released)
    chosen = chosen.join(t.propagation, _R.id == _P.request_id).where(*done)
    return connection.execute(chosen.order_by(_R.scope != "", _P.ordinal.desc())).all()
