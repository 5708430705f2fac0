"""Forgetting: what a finished request says of a person is destroyed, and the proof stays.

The request's key goes with it, so that nothing of it opens any more: neither here nor in the ledger's commitments. Once
no request of a month has a key left, the month's own key goes too, which closes every copy of the database.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, select, update

from dpsync import key_register
from dpsync.errors import KeyProblem
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.sealing import Keys
from dpsync.store import tables as t
from dpsync.store.writer import Unit

LET_GO: Final = "let_go:"
"""Begins the row of `meta` of a month whose key is about to be destroyed."""

_R, _P = t.request.c, t.propagation.c
_UNDER_WAY: Final = select(_P.id).where(_P.request_id == _R.id, _P.timer != "").exists()
"""Something will still be done: a processor is looked at again, or a person is reminded."""
_FINISHED = (
    select(_R.id, _R.closed_at)
    .where(_R.closed_at.is_not(None), _R.shredded_at.is_(None), ~_UNDER_WAY)
    .order_by(_R.closed_at, _R.id)
)


def finished(connection: Connection, until: datetime) -> list[tuple[str, datetime]]:
    """(id, when it closed) of each request that closed at `until` at the latest and still is known, oldest first."""
    return [(row.id, row.closed_at) for row in connection.execute(_FINISHED.where(_R.closed_at <= until))]


def forgotten(connection: Connection) -> list[tuple[str, str, datetime, datetime]]:
    """(id, right, when it closed, when it was forgotten) of each request that is, newest first."""
    query = select(_R.id, _R.right, _R.closed_at, _R.shredded_at).where(_R.shredded_at.is_not(None))
    rows = connection.execute(query.order_by(_R.shredded_at.desc(), _R.id))
    return [(row.id, row.right, row.closed_at, row.shredded_at) for row in rows]


def forget(unit: Unit, request_ids: Sequence[str], until: datetime, now: datetime) -> int:
    """Destroy what these requests say of a person and how to open it; tells how many were still finished.

    Asked again within the transaction, because one of them may have gone on since: that one is left as it is.
    """
    due = unit.connection.execute(_FINISHED.where(_R.id.in_(request_ids), _R.closed_at <= until)).all()
    for row in due:
        here = {"sealed": None, "wrapped_key": None, "shredded_at": now}
        unit.connection.execute(update(t.request).where(_R.id == row.id).values(here))
        unit.connection.execute(update(t.propagation).where(_P.request_id == row.id).values(handed=None))
        unit.append(row.id, entry.encode(EntryKind.SHREDDED, now, req=row.id))
    return len(due)


def wrap_anew(unit: Unit, keys: Keys, before: str, month: str) -> int:
    """Wrap the keys of what is left of the months before `before` under that of `month`, so that the old ones can go.

    One open request would keep a whole month from being forgotten. Tells how many were wrapped; what does not open is
    left as it is, for whoever puts its key back.
    """
    query = select(_R.id, _R.wrapped_key, _R.key_month).where(_R.wrapped_key.is_not(None), _R.key_month < before)
    found = unit.connection.execute(query.order_by(_R.ordinal)).all()
    if not found:
        return 0
    key_register.demand(unit.connection, keys, [month])
    done = 0
    for row in found:
        with suppress(KeyProblem):
            key = keys.unwrap(row.wrapped_key, row.id, row.key_month)
            here = {"wrapped_key": keys.wrap(key, row.id, month), "key_month": month}
            unit.connection.execute(update(t.request).where(_R.id == row.id).values(here))
            done += 1
    return done


def let_go_of_months(connection: Connection, before: str) -> None:
    """Take the months before `before` (YYYY-MM) that no request names any more off the register of keys.

    They stand under `LET_GO` until their keys are destroyed, which is after the commit: a key that is gone while the
    register names it would be a loss, and one that is left behind would open every back-up.
    """
    for month in key_register.unused(connection, before):
        here = t.meta.c.key == key_register.row_of(month)
        connection.execute(update(t.meta).where(here).values(key=f"{LET_GO}{month}"))


def let_go(connection: Connection) -> list[str]:
    """The months whose keys are to be destroyed, oldest first."""
    found = connection.execute(select(t.meta.c.key).where(t.meta.c.key.startswith(LET_GO))).scalars()
    return sorted(key.removeprefix(LET_GO) for key in found)


def strike(connection: Connection, months: Sequence[str]) -> None:
    """Strike months whose keys are destroyed."""
    connection.execute(delete(t.meta).where(t.meta.c.key.in_([f"{LET_GO}{month}" for month in months])))
