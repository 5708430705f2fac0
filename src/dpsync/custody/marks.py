"""How far the ledger lies outside the database, as the database remembers it."""

from datetime import datetime

from sqlalchemy import Connection

from dpsync.store import meta

ANCHORED = "anchored"
"""The row of `meta` that says how many entries the newest checkpoint signs that was written to the anchor folder."""

ANCHORED_AT = "anchored_at"
"""The row that says when that was, or was found to be so still."""


def anchored(connection: Connection) -> int | None:
    """How many entries the newest checkpoint signs that was kept outside; None before the first."""
    value = meta.value_of(connection, ANCHORED)
    return None if value is None else int(value)


def anchored_at(connection: Connection) -> datetime | None:
    """When all that the ledger had was last found under a checkpoint outside; None before the first."""
    value = meta.value_of(connection, ANCHORED_AT)
    return None if value is None else datetime.fromisoformat(value)


def note_anchored(connection: Connection, size: int, now: datetime) -> None:
    """Remember that a checkpoint of so many entries lies outside at `now`."""
    meta.put(connection, ANCHORED, str(max(size, anchored(connection) or 0)))
    meta.put(connection, ANCHORED_AT, now.isoformat())
