"""How fast a vendor's account may be called: what its own limits leave, a gap between two calls, and a day's number."""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from dpsync.connector import Kit, Retryable
from dpsync.vendor.errors import BUSY, Ended

DAY_SPENT: Final = "the queries of a day are used up"

_LONGEST_WAIT: Final = timedelta(hours=24)


class Pace:
    """The pace of one account, whatever asks it. Ask `take` before each call.

    `gap`: seconds between two calls to one place. `a_day`: how many calls of a day each place takes, None where nobody
    says; they are counted on the shelf, so a restart forgets none. A day ends at midnight in `zone`.
    """

    def __init__(
        self,
        kit: Kit,
        *,
        gap: float = 0.0,
        a_day: int | None = None,
        zone: tzinfo = UTC,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._shelf = kit.shelf
        self._clock = kit.clock
        self._gap = gap
        self._a_day = a_day
        self._zone = zone
        self._sleep = sleep
        self._held_until = -math.inf
        self._next: dict[str, float] = {}

    def hold(self, wait: timedelta) -> None:
        """Let no call be made for so long, or for a day at most: a limit that the vendor says is used up."""
        self._held_until = self._clock.monotonic() + min(wait, _LONGEST_WAIT).total_seconds()

    def left(self) -> timedelta:
        """How long no call may be made."""
        return timedelta(seconds=max(0.0, self._held_until - self._clock.monotonic()))

    def take(self, place: str = "", *wider: str) -> None:
        """Make room for one call to `place`, which counts for the day of each of `wider` too. Raises `Ended`."""
        if left := self.left():
            raise Ended(Retryable(reason=BUSY, busy=True, retry_after=left), stop=True)
        if self._a_day is not None:
            self._count([f"day/{one}" for one in (*wider, place)], self._a_day)
        wait = self._next.get(place, -math.inf) - self._clock.monotonic()
        if wait > 0:
            self._sleep(wait)
        if self._gap:
            self._next[place] = self._clock.monotonic() + self._gap

    def _count(self, keys: list[str], most: int) -> None:
        now = self._clock.now()
        today = now.astimezone(self._zone).date().isoformat()
        used = {key: int(count) for key in keys for day, _, count in [self._kept(key)] if day == today}
        if max(used.values(), default=0) >= most:
            wait = until_tomorrow(now, self._zone)
            raise Ended(Retryable(reason=DAY_SPENT, busy=True, retry_after=wait), stop=True)
        self._shelf.put_all({key: f"{today} {used.get(key, 0) + 1}" for key in keys})

    def _kept(self, key: str) -> tuple[str, str, str]:
        return (self._shelf.get(key) or "").partition(" ")


def until_tomorrow(now: datetime, zone: tzinfo = UTC) -> timedelta:
    """How long the day lasts there."""
    tomorrow = (now.astimezone(zone) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return tomorrow - now
