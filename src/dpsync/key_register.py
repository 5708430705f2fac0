"""Which keys the database was made with: a fingerprint of each, so that a lost or another one is known by its name.

A month's key is made when the first request of that month is accepted, in the transaction that registers it. Where it
is registered, or a request names it, none is ever made in its place: it would open nothing of what the first closed.
"""

from collections.abc import Iterable, Iterator, Mapping

from sqlalchemy import Connection, func, insert, select

from dpsync.errors import KeyProblem
from dpsync.sealing import Keys
from dpsync.store import tables as t

PREFIX = "key:"
_MONTH = f"{PREFIX}month:"
_R = t.request.c
_REGISTERED = select(t.meta.c.key, t.meta.c.value).where(t.meta.c.key.startswith(PREFIX))
_NAMED = select(_R.key_month).where(_R.wrapped_key.is_not(None)).distinct()


def register(connection: Connection, keys: Keys) -> None:
    """Remember the keys that all of the database rests on, and each month's that its requests name already."""
    known = _registered(connection)
    found = {f"{PREFIX}{name}": value for name, value in keys.fingerprints().items()}
    for month in connection.execute(_NAMED.order_by(_R.key_month)).scalars():
        if f"{_MONTH}{month}" not in known and _opens(connection, keys, month):
            found[f"{_MONTH}{month}"] = keys.month_fingerprint(month)
    rows = [{"key": key, "value": value} for key, value in found.items() if key not in known]
    if rows:
        connection.execute(insert(t.meta), rows)


def rows_of(connection: Connection, keys: Keys) -> set[str]:
    """The rows of `meta` that tell of the keys: those of months whose key is lost are told of by `problems`."""
    months = connection.execute(_NAMED).scalars().all()
    return {f"{PREFIX}{name}" for name in keys.fingerprints()} | {
        f"{_MONTH}{month}" for month in months if _opens(connection, keys, month)
    }


def problems(connection: Connection, keys: Keys) -> tuple[str, ...]:
    """Each key that is lost, or another than the one that the database was made with."""
    known = _registered(connection)
    named = sorted(connection.execute(_NAMED).scalars())
    months = {*named, *(key.removeprefix(_MONTH) for key in known if key.startswith(_MONTH))}
    return (*foreign(known, keys), *_of_months(known, keys, sorted(months)).values())


def shut(connection: Connection, keys: Keys) -> dict[str, int]:
    """How many requests cannot be opened, by each month whose key is lost or another one."""
    known = _registered(connection)
    count = (
        select(_R.key_month, func.count().label("requests")).where(_R.wrapped_key.is_not(None)).group_by(_R.key_month)
    )
    requests = {row.key_month: row.requests for row in connection.execute(count)}
    return {month: requests[month] for month in _of_months(known, keys, sorted(requests))}


def demand(connection: Connection, keys: Keys, months: Iterable[str]) -> None:
    """Have each of `months` its key, within the transaction that uses it; made only where no row has named it yet.

    Raises `KeyProblem` where that key, or any other month's that is registered, is lost or another one.
    """
    known = _registered(connection)
    registered = [key.removeprefix(_MONTH) for key in known if key.startswith(_MONTH)]
    for problem in _of_months(known, keys, registered).values():
        raise KeyProblem(f"{problem}. dpsync accepts nothing until it is back")
    for month in sorted(set(months) - set(registered)):
        named = connection.execute(select(_R.id).where(_R.key_month == month, _R.wrapped_key.is_not(None)).limit(1))
        if named.first() is None:
            keys.begin_month(
                month
            )  # two processes: whoever writes is alone, and a file that is there is never replaced
        elif not _opens(connection, keys, month):
            raise KeyProblem(f"the key of {month} is not the key of the requests of {month}")
        connection.execute(insert(t.meta).values(key=f"{_MONTH}{month}", value=keys.month_fingerprint(month)))


def _registered(connection: Connection) -> Mapping[str, str]:
    return {row.key: row.value for row in connection.execute(_REGISTERED)}


def foreign(known: Mapping[str, str], keys: Keys) -> Iterator[str]:
    """Each of the keys that all of the database rests on that is another than what `meta` says (`known`)."""
    for name, fingerprint in keys.fingerprints().items():
        if known.get(f"{PREFIX}{name}", fingerprint) != fingerprint:
            yield f"{name} is another key than the one that this database was made with: put the right one back"


def _of_months(known: Mapping[str, str], keys: Keys, months: Iterable[str]) -> dict[str, str]:
    """What is wrong with a month's key, by month."""
    wrong: dict[str, str] = {}
    for month in months:
        expected = known.get(f"{_MONTH}{month}")
        try:
            found = keys.month_fingerprint(month)
        except KeyProblem as problem:
            wrong[month] = problem.message
            continue
        if expected is not None and found != expected:
            wrong[month] = (
                f"the key of {month} is another one than that which its requests were sealed with: put the right one "
                "back from the copy of the key directory"
            )
    return wrong


def _opens(connection: Connection, keys: Keys, month: str) -> bool:
    """Whether the month's key opens what a request of that month was sealed with; of several, one may be damaged."""
    rows = connection.execute(
        select(_R.id, _R.wrapped_key).where(_R.key_month == month, _R.wrapped_key.is_not(None)).limit(3)
    )
    for row in rows:
        try:
            keys.unwrap(row.wrapped_key, row.id, month)
        except KeyProblem:
            continue
        return True
    return False
