"""Forgetting: what a finished request says of a person is destroyed, and the proof stays.

The request's key goes with it, so that nothing of it opens any more: neither here nor in the ledger's commitments.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, or_, select, update

from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.model import Right, State
from dpsync.store import tables as t
from dpsync.store.writer import Unit

GONE: Final = "its name and addresses are destroyed, so nobody can be told of it again: ask anew, as another request"

_R, _P, _OPEN, _POST = t.request.c, t.propagation.c, t.request.alias("open").c, t.post.c
_PARTS: Final = select(_P.id).where(_P.request_id == _R.id)
_UNDER_WAY: Final = _PARTS.where(_P.timer != "").exists()
"""Something will still be done: a processor is looked at again, or a person is reminded."""
_UNREAD: Final = (
    select(_POST.digest)
    .join(t.propagation, _P.id == _POST.propagation_id)
    .where(_P.request_id == _R.id, _POST.waits_for != "", _POST.read_at.is_(None))
    .exists()
)
"""A message about it waits for a person."""
_LEANT_ON: Final = select(_OPEN.id).where(_OPEN.subject_id == _R.subject_id, _OPEN.closed_at.is_(None)).exists()
"""A request that is still open may have to ask for an address that only an older one knows."""
_UNSEEN: Final = _PARTS.where(_P.state.not_in([State.VERIFIED.value, State.NOTHING_HELD.value])).exists()
_FINISHED = (
    select(_R.id, _R.closed_at)
    .where(_R.closed_at.is_not(None), _R.shredded_at.is_(None), ~_UNDER_WAY, ~_UNREAD, ~_LEANT_ON)
    # Where nobody saw that an address was changed, a later erasure must ask for the old one too.
    .where(or_(_R.right != Right.RECTIFICATION.value, ~_UNSEEN))
    .order_by(_R.closed_at, _R.id)
)


def finished(connection: Connection, until: datetime) -> list[str]:
    """The ids of the requests that closed at `until` at the latest, are still known and nothing rests on."""
    return [row.id for row in connection.execute(_FINISHED.where(_R.closed_at <= until))]


def is_forgotten(connection: Connection, request_id: str) -> bool:
    """Whether nobody can be told of that request any more."""
    return connection.execute(select(_R.sealed).where(_R.id == request_id)).scalar_one_or_none() is None


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
