"""How much of the brake's allowance is used: what went out, or is about to, and cannot be undone.

What is held is not counted, or a hundred requests that wait for a yes would stop the one that somebody decided on. It
is counted when it goes, whoever released it: time, a contact that confirmed itself, a person. `brake` decides.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select, update

from dpsync.model import State
from dpsync.propagation.rules import brake
from dpsync.store import tables as t

GIVEN_BACK = frozenset(
    {State.HELD, State.NOT_IDENTIFIABLE, State.SUPERSEDED, State.WITHDRAWN, State.SETTLED, State.EXEMPT}
)
"""States that nothing goes out of by itself: where nothing went out before either, the brake need not count it."""

_P = t.propagation.c
_USED = (
    select(_P.account_id, func.count().label("calls"))
    # What a clock that was ahead stamped with a time to come would be counted until that has come.
    .where(_P.brake_at > bindparam("since"), _P.brake_at <= bindparam("until"))
    .group_by(_P.account_id)
)
_TAKE = update(t.propagation).where(_P.id.in_(bindparam("taking", expanding=True))).values(brake_at=bindparam("at"))


def used(connection: Connection, now: datetime) -> dict[str, int]:
    """What each account has used of its allowance in the window that ends now; an account without any is not in it."""
    return {
        row.account_id: row.calls
        for row in connection.execute(_USED, {"since": now - brake.WINDOW, "until": now + brake.WINDOW})
    }


def take(connection: Connection, propagation_ids: Collection[int], now: datetime) -> None:
    """Count these from now on."""
    if propagation_ids:
        connection.execute(_TAKE, {"taking": sorted(propagation_ids), "at": now})
