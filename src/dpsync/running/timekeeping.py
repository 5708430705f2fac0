"""Whether an installation's clock fits what is stored: asked before anything is written under it, said in one place."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from dpsync import own_store, telemetry
from dpsync.installation import Installation, SystemClock
from dpsync.propagation.queue import waits
from dpsync.propagation.queue.waits import WrongClock
from dpsync.store import meta
from dpsync.store.database import database_now

CALM: Final = timedelta(days=8)
"""A longer silence of a job, or a first run, is followed by as long a wait: a clock that leapt is set back in it."""


def shared_clock(there: Installation) -> Callable[[Connection], datetime] | None:
    """The clock of the database server; a clock that was given in place of the machine's is the only one."""
    alone = there.engine.dialect.name == "sqlite" or not isinstance(there.clock, SystemClock)
    return None if alone else database_now


def trouble(there: Installation) -> WrongClock | None:
    """What is wrong with the clock, if anything."""
    return _asked(there, waits.clock_trouble)


def _asked(there: Installation, of: Callable[..., WrongClock | None]) -> WrongClock | None:
    shared = shared_clock(there)

    def look(connection: Connection) -> WrongClock | None:
        servers = shared(connection) if shared else None
        return of(connection, there.clock.now(), there.zone, servers)

    return there.read(look)


def tell(there: Installation, found: WrongClock | None) -> None:
    """Log it, and tell the operator once."""
    if found is not None:
        telemetry.log("service").warning("the clock does not fit what is stored", code="DP-331")
        there.write(lambda unit: waits.tell_of_clock(unit.connection, found, there.clock.now(), there.zone))


def look(there: Installation) -> None:
    """Tell of a clock that does not fit, if that is so."""
    tell(there, trouble(there))


def is_calm(there: Installation, now: datetime, row: str) -> bool:
    """Whether a job that destroys may: time has gone on step by step since `CALM`, and the clock is not ahead.

    `row`: that of `meta` which keeps when the job ran last, and since when time goes on so. Raises `StoreProblem` where
    it does not say so any more.
    """
    kept = (there.read(lambda connection: meta.value_of(connection, row)) or "").split()
    last, since = (meta.moment(kept[0]), meta.moment(kept[-1])) if kept else (None, None)
    if kept and None in {last, since}:
        own_store.demand_rows(there.read(own_store.meta))
    if last is None or since is None or not timedelta(0) <= now - last <= CALM:
        since = now
    there.write(lambda unit: meta.put(unit.connection, row, f"{now.isoformat()} {since.isoformat()}"))
    return now - since >= CALM and _asked(there, waits.clock_ahead) is None
