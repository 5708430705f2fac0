"""An account is stopped by a person, and goes on: after a pause, a rejected credential, or a wait that it asked for."""

from collections.abc import Collection

from sqlalchemy import Connection, update

from dpsync.store import tables as t
from dpsync.store.upsert import insert_missing


def pause(connection: Connection, accounts: Collection[str]) -> None:
    """Send nothing more to these accounts, nor begin to. A rejected credential stays the reason: somebody must put it
    right."""
    insert_missing(connection, t.account, [{"id": one} for one in sorted(accounts)])
    going_on = t.account.c.id.in_(accounts) & (t.account.c.stopped == "")
    connection.execute(update(t.account).where(going_on).values(stopped="person"))


def resume(connection: Connection, accounts: Collection[str]) -> None:
    """Send to these accounts again. If a credential is still wrong, its account stops again."""
    going_on = {"stopped": "", "paused_until": None, "failures": 0}
    connection.execute(update(t.account).where(t.account.c.id.in_(accounts)).values(going_on))
