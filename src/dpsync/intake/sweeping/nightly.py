"""What runs by the clock: each processor of which the settings say so is swept once a night, and after a recovery each
one at once.

A long list takes long, and other jobs must not wait for it. So a sweep goes on for some seconds of each minute, which
also leaves the rest of the account's time to others; of several workers one does it. Whoever dies in it has changed
nothing, and another goes on where that one was, or begins anew, and says so.
"""

import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from datetime import time as time_of_day
from functools import partial
from typing import Final

from dpsync import telemetry
from dpsync.installation import Installation
from dpsync.intake.sweeping import after_recovery, resumption
from dpsync.intake.sweeping.sweep import sweep_of, with_a_roster
from dpsync.reports.reconciled import SWEPT, standings
from dpsync.scheduler import daily
from dpsync.settings import Settings
from dpsync.store import meta
from dpsync.store.writer import Unit

NIGHT: Final = time_of_day(3, 0)
LONGEST: Final = 20.0
"""Seconds of each minute that it takes at most."""

UNDER_WAY: Final = "sweeping"
_CLAIMED_FOR: Final = timedelta(minutes=10)


def swept_by_night(settings: Settings) -> list[str]:
    """The processors of which the settings say so, and that list whom they hold."""
    return [name for name in with_a_roster(settings) if settings.processors[name].sweep is not None]


class Nightly:
    """The sweeps of one worker: `go_on` is the job."""

    def __init__(self, there: Installation) -> None:
        self._there = there
        self._owner = secrets.token_hex(8)
        self._under_way: tuple[str, Iterator[int]] | None = None

    def go_on(self, now: datetime) -> None:
        """Begin what is due, or go on with it for a while. Raises what our store raises; then it begins anew."""
        goes_on = self._under_way is not None
        name, steps = self._under_way or self._next(now)
        self._under_way = None
        if not name:
            self._forget_old(now)
            return
        before = self._there.write(partial(self._claim, now=now))
        if before is None:
            return
        if before and not goes_on:
            telemetry.log("sweep").warning("interrupted before its end", processor=name)
        if self._is_over(name, steps):
            self._there.write(self._release)
        else:
            self._under_way = name, steps

    def _forget_old(self, now: datetime) -> None:
        if self._there.read(partial(resumption.is_any_old, now=now)):
            self._there.write(lambda unit: resumption.forget_old(unit.connection, now))

    def _next(self, now: datetime) -> tuple[str, Iterator[int]]:
        name = next(iter(self._due(now)), "")
        return name, sweep_of(self._there, name, paced=False, resume=True).steps(now) if name else iter(())

    def _due(self, now: datetime) -> list[str]:
        there = self._there
        named = {name: there.controller.processors[name].account for name in with_a_roster(there.settings)}
        owed = there.read(partial(after_recovery.due, accounts=named, now=now))
        last = there.read(partial(standings, kept=SWEPT))
        next_due = daily(NIGHT, there.zone)
        nightly = [one for one in swept_by_night(there.settings) if one not in last or next_due(last[one].at) <= now]
        return [*owed, *nightly]

    def _is_over(self, name: str, steps: Iterator[int]) -> bool:
        section, clock = self._there.settings.processors[name].sweep, self._there.clock
        until = clock.monotonic() + min(LONGEST, 60 * (section.share if section else 100) / 100)
        return all(clock.monotonic() < until for _ in steps)

    def _claim(self, unit: Unit, now: datetime) -> str | None:
        """Whoever had it before and did not come to its end, "" for nobody; None where another worker has it now."""
        owner, _, until = (meta.value_of(unit.connection, UNDER_WAY) or "").partition(" ")
        if owner not in ("", self._owner) and now < datetime.fromisoformat(until) <= now + _CLAIMED_FOR:
            return None
        meta.put(unit.connection, UNDER_WAY, f"{self._owner} {(now + _CLAIMED_FOR).isoformat()}")
        return owner

    def _release(self, unit: Unit) -> None:
        meta.put(unit.connection, UNDER_WAY, "")
