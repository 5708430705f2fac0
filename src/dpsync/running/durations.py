"""How long things take, for the histograms of /metrics: read from the store, from where the last look ended."""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, func, select

from dpsync.running.measures import Histograms
from dpsync.store import tables as t

_A, _P, _R = t.attempt.c, t.propagation.c, t.request.c
_SECOND = timedelta(seconds=1)

MOST_UNDER_WAY: Final = 500
"""So many attempts that have not ended are looked at again. SQLite takes a bounded number of parameters."""


class Durations:
    """What ended since the last look. Nothing before the first counts: that was another process's to tell.

    Of two workers on PostgreSQL, an attempt that is committed after one with a higher number may be missed: this is
    for a graph, and is no proof.
    """

    def __init__(self, now: datetime) -> None:
        self.histograms = Histograms()
        self._done_after = now
        self._seen: int | None = None
        self._under_way: set[int] = set()

    def look(self, connection: Connection) -> None:
        """Take in what ended, read from the store."""
        if self._seen is None:
            self._seen = connection.execute(select(func.coalesce(func.max(_A.id), 0))).scalar_one()
        self._look_at_attempts(connection, self._seen)
        done = select(_P.right, _P.processor, _P.done_at, _R.received_at).join(t.request, _R.id == _P.request_id)
        for row in connection.execute(done.where(_P.done_at > self._done_after)).all():
            self.histograms.completed(row.right, row.processor, (row.done_at - row.received_at) / _SECOND)
            self._done_after = max(self._done_after, row.done_at)

    def _look_at_attempts(self, connection: Connection, seen: int) -> None:
        each = select(_A.id, _A.number, _A.kind, _A.begun_at, _A.ended_at, _P.processor, _P.opened_at)
        each = each.join(t.propagation, _P.id == _A.propagation_id)
        new = connection.execute(each.where(_A.id > seen).order_by(_A.id)).all()
        for row in new:
            if row.number == 1 and row.kind != "verify":
                self.histograms.queued(row.processor, (row.begun_at - row.opened_at) / _SECOND)
        again = connection.execute(each.where(_A.id.in_(sorted(self._under_way)))).all() if self._under_way else []
        self._under_way = set()
        for row in (*again, *new):
            self._take(row)
        self._seen = max([seen, *(row.id for row in new)])

    def _take(self, row: Any) -> None:
        if row.ended_at is not None:
            self.histograms.attempted(row.kind, row.processor, (row.ended_at - row.begun_at) / _SECOND)
        elif len(self._under_way) < MOST_UNDER_WAY:
            self._under_way.add(row.id)
