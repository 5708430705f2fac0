"""How much of the brake's allowance is used: what went out, or is about to, and cannot be undone.

What is held is not counted, or a hundred requests that wait for a yes would stop the one that somebody decided on. It
is counted when it goes, whoever released it: time, a contact that confirmed itself, a person. `brake` decides.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, literal, select, union_all, update

from dpsync.model import State
from dpsync.propagation.rules import brake
from dpsync.store import tables as t
from dpsync.store.brake_tables import SLOT_SECONDS, brake_slot
from dpsync.store.columns import EPOCH

GIVEN_BACK = frozenset(
    {State.HELD, State.NOT_IDENTIFIABLE, State.SUPERSEDED, State.WITHDRAWN, State.SETTLED, State.EXEMPT}
)
"""States that nothing goes out of by itself: where nothing went out before either, the brake need not count it."""

SLOT: Final = timedelta(seconds=SLOT_SECONDS)
KEPT: Final = timedelta(days=4)
"""How long slots are kept: far longer than anybody asks for them."""

_P, _S = t.propagation.c, brake_slot.c
# The database counts whole slots when rows change (see `brake_slot`); of those at the window's edges the rows are
# counted. What a clock that was ahead stamped with a time to come would be counted until that has come.
_WHOLE = select(_S.account_id, _S.calls).where(_S.slot > bindparam("first"), _S.slot < bindparam("last"))
_EDGES = (
    select(_P.account_id, literal(1)).where(_P.brake_at > bindparam("since"), _P.brake_at < bindparam("whole_from")),
    select(_P.account_id, literal(1)).where(_P.brake_at >= bindparam("whole_to"), _P.brake_at <= bindparam("until")),
)
_PARTS = union_all(_WHOLE, *_EDGES).subquery()
_USED = select(_PARTS.c.account_id, func.sum(_PARTS.c.calls).label("calls")).group_by(_PARTS.c.account_id)
_TAKE = update(t.propagation).where(_P.id.in_(bindparam("taking", expanding=True))).values(brake_at=bindparam("at"))


def used(connection: Connection, now: datetime) -> dict[str, int]:
    """What each account has used of its allowance in the window that ends now; an account without any is not in it."""
    since, until = now - brake.WINDOW, now + brake.WINDOW
    first, last = (since - EPOCH) // SLOT, (until - EPOCH) // SLOT
    asked = {"since": since, "until": until, "first": first, "last": last}
    edges = {"whole_from": EPOCH + (first + 1) * SLOT, "whole_to": EPOCH + last * SLOT}
    return {row.account_id: int(row.calls) for row in connection.execute(_USED, asked | edges) if row.calls}


def drop_old(connection: Connection, now: datetime) -> None:
    """Drop the slots that nobody asks for any more."""
    connection.execute(delete(brake_slot).where(_S.slot < (now - KEPT - EPOCH) // SLOT))


def take(connection: Connection, propagation_ids: Collection[int], now: datetime) -> None:
    """Count these from now on."""
    if propagation_ids:
        connection.execute(_TAKE, {"taking": sorted(propagation_ids), "at": now})
