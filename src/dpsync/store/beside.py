"""What runs beside other processes' writing on PostgreSQL, and what is alone: docs/decisions/0023.

All writing takes the writer's lock. Most takes it alone. What is marked `beside` shares it with others of its kind, and
only its end is one at a time: it takes its turn, looks again at what others may have changed meanwhile, appends its
entries and commits. Where that look finds anything, all of it is undone, and done again alone. On SQLite there is one
writer at a time anyway, and nothing of this happens.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

TURN_LOCK: Final = 0x6470_7475
"""Any fixed number but the writer's; held from the turn to the commit."""

_BESIDE: Final = "dpsync_beside"
_UNDONE: Final = frozenset({"40001", "40P01"})

F = TypeVar("F", bound=Callable[..., Any])


class NotAloneError(Exception):
    """Raised within a transaction that runs beside others: what it came upon has to be done alone."""


LEFT: Final[Any] = object()
"""The answer for an item that was not done beside others: it is done alone next."""


def beside(many: F) -> F:
    """Mark what the writer may do beside other processes' writing of the same mark.

    It must keep three rules. What it reads, only it or what is alone changes; or it looks again in its turn
    (`Unit.in_turn`). It writes rows of its own: of accounts that it has locked, or that are new. Whatever else it comes
    upon calls `alone` first.
    """
    setattr(many, _BESIDE, True)
    return many


def runs_beside(many: Callable[..., Any]) -> bool:
    """Whether it is marked so."""
    return getattr(many, _BESIDE, False) is True


def options(*, beside: bool) -> dict[str, bool]:
    """The execution options of a transaction that writes."""
    return {"dpsync_writes": True, _BESIDE: beside}


def is_beside(connection: Connection) -> bool:
    """Whether this transaction runs beside others."""
    return bool(connection.get_execution_options().get(_BESIDE, False))


def alone(connection: Connection) -> None:
    """Say that what follows reads first, writes afterwards, and is right only where nobody else writes meanwhile.

    Raises `NotAloneError` in a transaction that runs beside others; the writer then does all of it again, alone.
    """
    if is_beside(connection):
        raise NotAloneError


def take_turn(connection: Connection) -> None:
    """From here to the commit one at a time. The triggers that count (`brake_slot`) do so now, and hold nobody up."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({TURN_LOCK}); SET CONSTRAINTS ALL IMMEDIATE")


def was_undone(error: BaseException) -> bool:
    """Whether the server undid the transaction because another stood in its way: it can be done again."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _UNDONE
