"""After a database was put back, whom each processor holds is read again at once: what was lost may have said who must
not be there, and an import may have brought them back meanwhile.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, select

from dpsync.reports.reconciled import SWEPT, ListState, SourceStanding, standings
from dpsync.store import meta
from dpsync.store import tables as t

ROW: Final = "recovered_at"
"""The row of `meta` that says since when every list is owed."""

_AGAIN: Final = timedelta(hours=1)
"""How long after a list could not be read it is tried again."""


def owe(connection: Connection, now: datetime) -> None:
    """From now on every list is owed."""
    meta.put(connection, ROW, now.isoformat())


def recovered_at(connection: Connection) -> datetime | None:
    """When the database was last recovered; None for never."""
    value = meta.value_of(connection, ROW)
    return None if value is None else datetime.fromisoformat(value)


def owed(connection: Connection, processors: Iterable[str]) -> list[str]:
    """Those of which no list was read since the database was recovered: none, where it never was."""
    since = recovered_at(connection)
    if since is None:
        return []
    last = standings(connection, SWEPT)
    return [name for name in processors if not _is_read(last.get(name), since)]


def due(connection: Connection, accounts: Mapping[str, str], now: datetime) -> list[str]:
    """Those of them that can be read now. `accounts`: of each processor. A stopped account is not read either."""
    a, since = t.account.c, recovered_at(connection)
    stopped = set(connection.execute(select(a.id).where(a.stopped != "")).scalars())
    last = standings(connection, SWEPT)
    tried = {name for name, one in last.items() if since and since <= one.at <= now < one.at + _AGAIN}
    return [name for name in owed(connection, accounts) if accounts[name] not in stopped and name not in tried]


def _is_read(one: SourceStanding | None, since: datetime) -> bool:
    """Also where so much differs that a person is asked: they know then."""
    return one is not None and one.at >= since and one.state is not ListState.UNKNOWN
