"""Whether an installation's clock fits what is stored: asked before anything is written under it, said in one place."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from dpsync import telemetry
from dpsync.installation import Installation, SystemClock
from dpsync.propagation.queue import waits
from dpsync.propagation.queue.waits import WrongClock
from dpsync.store.database import database_now


def shared_clock(there: Installation) -> Callable[[Connection], datetime] | None:
    """The clock of the database server; a clock that was given in place of the machine's is the only one."""
    alone = there.engine.dialect.name == "sqlite" or not isinstance(there.clock, SystemClock)
    return None if alone else database_now


def trouble(there: Installation) -> WrongClock | None:
    """What is wrong with the clock, if anything."""
    shared = shared_clock(there)

    def look(connection: Connection) -> WrongClock | None:
        servers = shared(connection) if shared else None
        return waits.clock_trouble(connection, there.clock.now(), there.zone, servers)

    return there.read(look)


def tell(there: Installation, found: WrongClock | None) -> None:
    """Log it, and tell the operator once."""
    if found is not None:
        telemetry.log("service").warning("the clock does not fit what is stored", code="DP-331")
        there.write(lambda unit: waits.tell_of_clock(unit.connection, found, there.clock.now(), there.zone))


def look(there: Installation) -> None:
    """Tell of a clock that does not fit, if that is so."""
    tell(there, trouble(there))
