"""This worker among the others: its heartbeat, the accounts that it drives, and what dead workers left there."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, select

from dpsync.connector_services import CALL_SECONDS, Clock
from dpsync.propagation.controller import Controller
from dpsync.propagation.engine import lease, moving
from dpsync.propagation.engine.lease import Unanswered, recover
from dpsync.propagation.queue import waits
from dpsync.propagation.rules.lifecycle import Interrupted
from dpsync.store import tables as t
from dpsync.store.upsert import insert_or_ignore
from dpsync.store.writer import Unit, Writer

BEAT_EVERY = 2.0
SHORTEN_EVERY = 60.0


@dataclass(frozen=True, slots=True)
class Lease:
    """How long a heartbeat holds, and how long a call may last that was begun under it."""

    holds_for: timedelta = timedelta(seconds=10)
    call_deadline: timedelta = timedelta(seconds=CALL_SECONDS + 1)


TERMS = Lease()


class Membership:
    """Which accounts are this worker's, and until when. `alone`: this process holds the file lock of a SQLite store.

    `shared_now` is the clock that heartbeats go by. Beyond one machine it must be the database's: a worker whose own
    clock ran two minutes ahead would take living workers for dead.
    """

    def __init__(
        self,
        worker_id: str,
        controller: Controller,
        writer: Writer,
        clock: Clock,
        terms: Lease,
        shared_now: Callable[[Connection], datetime],
    ) -> None:
        self._id = worker_id
        self._controller = controller
        self._writer = writer
        self._clock = clock
        self._terms = terms
        self._shared_now = shared_now
        self._accounts = {processor.account for processor in controller.processors.values()}
        self._fresh: set[str] = set()  # accounts that nobody knew before
        self._moved = False  # whether everything stands at the account that the settings name
        self._seen_until = float("inf")  # until when this worker's last heartbeat holds
        self._away_until = 0.0
        self._next_shortening = 0.0
        self.valid_until = 0.0
        self.next_beat = 0.0

    def start(self, *, alone: bool) -> None:
        """Give every configured account its row, and take over what a dead process left."""

        def work(unit: Unit) -> None:
            for account_id in sorted(self._accounts):
                if insert_or_ignore(unit.connection, t.account, {"id": account_id}):
                    self._fresh.add(account_id)
            if alone:
                lease.alone(unit, self._id)
            now = self._shared_now(unit.connection)
            self._shorten(unit, now)
            self._move(unit, now)

        self._writer.call(work)

    def renew(self) -> tuple[dict[str, int], float]:
        """Say that this worker lives, take what is free, and recover what a dead worker left there.

        Returns the accounts that are its own, each with the epoch under which it was taken, and when the store was
        asked: before `hold` makes the lease longer, no drive may go on with what is another worker's.
        """
        # From before the question: what the answer's way took is time that another worker already counts.
        asked = self._clock.monotonic()
        return self._writer.call(partial(self._renew, store_was_away=self._store_was_away(asked))), asked

    def hold(self, asked: float) -> None:
        """The lease holds from when the store was asked."""
        seconds = self._terms.holds_for.total_seconds()
        self.valid_until = self._seen_until = asked + seconds
        self.next_beat = asked + min(BEAT_EVERY, seconds / 3)

    def _renew(self, unit: Unit, *, store_was_away: bool) -> dict[str, int]:
        now, deadline = self._shared_now(unit.connection), self._terms.call_deadline
        self._shorten(unit, now)
        lease.heartbeat(unit, self._id, now + self._terms.holds_for)
        if not self._moved:
            self._move(unit, now)
        taken = lease.acquire(unit, self._id, now, deadline)
        alive = lease.living(unit, now, deadline)

        def judged(left: Unanswered, *, whole: bool) -> Interrupted | None:
            if left.worker in alive:
                return Interrupted() if whole else None
            return Interrupted(crashed=not store_was_away and not left.stopped)

        for account_id in sorted({*taken, *lease.abandoned(unit, self._id, alive)}):
            what = partial(judged, whole=account_id in taken)
            recover(unit, self._controller, account_id, what, self._clock.now())
        mine = select(t.account.c.id, t.account.c.epoch).where(t.account.c.owner == self._id)
        return {row.id: row.epoch for row in unit.connection.execute(mine)}

    def _move(self, unit: Unit, now: datetime) -> None:
        deadline = self._terms.call_deadline
        self._moved = moving.move(unit, self._controller, self._id, self._fresh, now, deadline)

    def _shorten(self, unit: Unit, shared_now: datetime) -> None:
        """See that nothing waits for a time that a clock named which was ahead: once a minute, over few rows."""
        waits.shorten_beats(unit.connection, shared_now, self._terms.holds_for)
        if self._clock.monotonic() >= self._next_shortening:
            waits.shorten(unit.connection, self._controller, self._accounts, self._clock.now())
            self._next_shortening = self._clock.monotonic() + SHORTEN_EVERY

    def _store_was_away(self, asked: float) -> bool:
        """Whether the store was out of this worker's own reach a moment ago.

        Then the other heartbeats ended because of that, and it says nothing of those workers that they are not back.
        """
        if asked >= self._seen_until:
            self._away_until = asked + (self._terms.holds_for + self._terms.call_deadline).total_seconds()
        return asked < self._away_until
