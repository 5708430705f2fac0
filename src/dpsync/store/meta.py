"""Table `meta`: what a database says of itself, one value a name."""

from datetime import datetime

from sqlalchemy import Connection, select

from dpsync.store import tables as t
from dpsync.store.upsert import insert_or_replace_all


def value_of(connection: Connection, key: str) -> str | None:
    """What is written under a name; None where nothing is."""
    value: str | None = connection.execute(select(t.meta.c.value).where(t.meta.c.key == key)).scalar_one_or_none()
    return value


def put(connection: Connection, key: str, value: str) -> None:
    """Write it, in place of what stood under that name."""
    insert_or_replace_all(connection, t.meta, [{"key": key, "value": value}])


def moment(value: str) -> datetime | None:
    """The moment that is written there; None where it is none."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else None
