"""Which keys the database was made with: a fingerprint of each, so that a lost or another one is known by its name.

A month's key is made when the first request of that month is accepted, in the transaction that registers it. Where it
is registered, or a request names it, none is ever made in its place: it would open nothing of what the first closed.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select

from dpsync.errors import KeyProblem
from dpsync.key_files import FORMER, PEPPER, RESTORE, SIGNING
from dpsync.sealing import Keys
from dpsync.store import tables as t
from dpsync.store.beside import alone
from dpsync.store.upsert import insert_or_ignore, insert_or_replace_all

PREFIX = "key:"
GIVEN_UP = "lost-key:"
"""What the row of `meta` begins with that says of a month that its key is lost for good."""
DESTROYED = "destroyed-key:"
"""The same of a month whose key was destroyed on purpose: nothing that is kept needed it."""
IDLE = "idle-key:"
"""The same of a month on whose key nothing rests since that moment."""
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
    return {f"{PREFIX}{name}" for name in (SIGNING, PEPPER)} | {
        f"{_MONTH}{month}" for month in months if _opens(connection, keys, month)
    }


def problems(connection: Connection, keys: Keys) -> tuple[str, ...]:
    """Each key that is lost, and neither given up nor destroyed, or another than the database was made with."""
    known, gone = _registered(connection), given_up(connection).keys() | destroyed(connection, keys).keys()
    named = sorted(connection.execute(_NAMED).scalars())
    months = {*named, *(key.removeprefix(_MONTH) for key in known if key.startswith(_MONTH))}
    wrong = _of_months(known, keys, sorted(months))
    return (*foreign(known, keys), *(problem for month, problem in wrong.items() if month not in gone))


def foreign_to(connection: Connection, keys: Keys) -> tuple[str, ...]:
    """The same of the keys that all of the database rests on, and not of any month's."""
    return tuple(foreign(_registered(connection), keys))


def shut(connection: Connection, keys: Keys) -> dict[str, int]:
    """How many requests cannot be opened, by each month whose key is lost or another one."""
    known, requests = _registered(connection), _counted(connection)
    return {month: requests[month] for month in _of_months(known, keys, sorted(requests))}


@dataclass(frozen=True, slots=True)
class Month:
    """The key of a month. `requests`: how many it opens; `fingerprint`: as it is registered; `problem`: "" for none."""

    month: str
    fingerprint: str
    requests: int
    problem: str


def months(connection: Connection, keys: Keys) -> list[Month]:
    """Every month that has, or should have, a key."""
    known = _registered(connection)
    requests = _counted(connection)
    named = sorted({*requests, *(key.removeprefix(_MONTH) for key in known if key.startswith(_MONTH))})
    wrong = _of_months(known, keys, named)
    return [Month(one, known.get(f"{_MONTH}{one}", ""), requests.get(one, 0), wrong.get(one, "")) for one in named]


def demand(connection: Connection, keys: Keys, months: Iterable[str]) -> dict[str, str]:
    """Have each of `months` its key, within the transaction that uses it; made only where no row has named it yet.

    Gives what the key is called, by month: that of a month whose first key is gone for good ends in -2. Raises
    `KeyProblem` where that key, or any other month's that is registered and neither given up nor destroyed, is lost or
    another one.
    """
    known, past = _registered(connection), destroyed(connection, keys)
    registered = [key.removeprefix(_MONTH) for key in known if key.startswith(_MONTH)]
    wrong = _of_months(known, keys, registered)
    for problem in (wrong[month] for month in wrong.keys() - given_up(connection).keys() - past.keys()):
        raise KeyProblem(f"{problem}. dpsync accepts nothing until it is back")
    used = {month: _in_use(month, wrong.keys() | past.keys()) for month in months}
    for month in sorted(set(used.values()) - set(registered)):
        alone(connection)  # a key is made once, and registered with the first row that names it
        named = connection.execute(select(_R.id).where(_R.key_month == month, _R.wrapped_key.is_not(None)).limit(1))
        if named.first() is None:
            keys.begin_month(month)  # a file that is there is never replaced
        elif not _opens(connection, keys, month):
            raise KeyProblem(f"the key of {month} is not the key of the requests of {month}")
        connection.execute(insert(t.meta).values(key=f"{_MONTH}{month}", value=keys.month_fingerprint(month)))
    return used


def _in_use(month: str, wrong: Collection[str]) -> str:
    names = (month, *(f"{month}-{number}" for number in range(2, 10)))
    found = next((one for one in names if one not in wrong), None)
    if found is None:
        raise KeyProblem(f"nine keys of {month} are lost or destroyed: find out why before anything else")
    return found


def given_up(connection: Connection) -> dict[str, str]:
    """When it was put on the record that a month's key is lost for good, by month. Its key may be back since."""
    rows = connection.execute(select(t.meta.c.key, t.meta.c.value).where(t.meta.c.key.startswith(GIVEN_UP)))
    return {row.key.removeprefix(GIVEN_UP): row.value for row in rows}


def found_again(connection: Connection, keys: Keys) -> None:
    """Forget of each month that its key was given up, where the right one is back."""
    known, gone = _registered(connection), given_up(connection)
    back = [f"{GIVEN_UP}{month}" for month in gone.keys() - _of_months(known, keys, sorted(gone)).keys()]
    if back:
        connection.execute(delete(t.meta).where(t.meta.c.key.in_(back)))


def give_up(connection: Connection, month: str, now: datetime) -> bool:
    """Remember that the key of `month` is lost for good; whether that was new."""
    return insert_or_ignore(connection, t.meta, {"key": f"{GIVEN_UP}{month}", "value": now.isoformat()})


def destroyed(connection: Connection, keys: Keys) -> dict[str, str]:
    """When the key of a month was destroyed on purpose, by month.

    A row of `meta` says so, and counts only where nothing rests on the key; or a note in the key directory, of the
    very key that is registered: then it counts in a database that was put back, too.
    """
    said = decided(connection)
    named = set(connection.execute(_NAMED).scalars()) if said else set()
    known = _registered(connection)
    notes = keys.destroyed_months().items()
    noted = {month: at for month, (digest, at) in notes if known.get(f"{_MONTH}{month}") == digest}
    return {month: at for month, at in said.items() if month not in named} | noted


def decided(connection: Connection) -> dict[str, str]:
    """When it was put on the record that the key of a month is destroyed, by month. Its file may still be there."""
    rows = connection.execute(select(t.meta.c.key, t.meta.c.value).where(t.meta.c.key.startswith(DESTROYED)))
    return {row.key.removeprefix(DESTROYED): row.value for row in rows}


def destroy(connection: Connection, month: str, now: datetime) -> bool:
    """Remember that the key of `month` is destroyed on purpose; whether that was new."""
    return insert_or_ignore(connection, t.meta, {"key": f"{DESTROYED}{month}", "value": now.isoformat()})


def take_over(connection: Connection, keys: Keys) -> None:
    """Remember it in a database that was put back, and knows of it only by the note in the key directory."""
    for month, at in destroyed(connection, keys).items():
        insert_or_ignore(connection, t.meta, {"key": f"{DESTROYED}{month}", "value": at})


def _counted(connection: Connection) -> dict[str, int]:
    count = func.count().label("requests")
    rows = connection.execute(select(_R.key_month, count).where(_R.wrapped_key.is_not(None)).group_by(_R.key_month))
    return {row.key_month: row.requests for row in rows}


def _registered(connection: Connection) -> Mapping[str, str]:
    return {row.key: row.value for row in connection.execute(_REGISTERED)}


def foreign(known: Mapping[str, str], keys: Keys) -> Iterator[str]:
    """Each of the keys that all of the database rests on that is lost, or another than what `meta` says (`known`)."""
    found = keys.fingerprints()
    for key in sorted(known):
        name = key.removeprefix(PREFIX)
        if name == key or key.startswith(_MONTH) or known[key] == found.get(name):
            continue
        if name not in found:
            yield f"{name} is lost: {RESTORE}"
        elif not (name == SIGNING and known[key] in _former(found)):
            yield f"{name} is another key than the one that this database was made with: put the right one back"


def unrecorded(connection: Connection, keys: Keys) -> dict[str, str]:
    """The digest of each key that came since the database was last told of its keys, by what the key is called."""
    known = _registered(connection)
    return {name: digest for name, digest in keys.digests().items() if known.get(f"{PREFIX}{name}") != digest[:32]}


def tell(connection: Connection, keys: Keys) -> None:
    """Remember the keys as they are now, in place of those before. Whoever calls this has asked `problems`."""
    rows = [{"key": f"{PREFIX}{name}", "value": value} for name, value in keys.fingerprints().items()]
    insert_or_replace_all(connection, t.meta, [*rows, {"key": "keys", "value": keys.fingerprint()}])


def _former(found: Mapping[str, str]) -> set[str]:
    return {value for name, value in found.items() if name.startswith(FORMER)}


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
