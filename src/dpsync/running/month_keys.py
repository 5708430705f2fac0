"""When the key of a month is destroyed: once nothing that is kept needs it, and older back-ups are past their days.

What a month's key wraps is the keys of that month's requests, and nothing else. Destroyed, it closes what was forgotten
in every copy of the database: back-ups, write-ahead logs, disk blocks. Whoever is not finished for long is wrapped
under the present month's key meanwhile, so that one straggler keeps no whole month open.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection, delete, func, select, update

from dpsync import key_register, own_store
from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.errors import KeyProblem
from dpsync.installation import Installation
from dpsync.intake.acceptance import month_of
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.store import meta
from dpsync.store import tables as t
from dpsync.store.writer import Unit

STRAGGLER: Final = timedelta(days=60)
"""So long after its month was over a request is wrapped anew; later where requests are kept for longer than a month."""

KIND: Final = "key"
"""What the entry is called, among those that something was shredded."""

_R: Final = t.request.c

Held = Callable[[Connection], Collection[str]]
"""The requests whose evidence must stay as it is."""


def care_for(there: Installation, now: datetime, held: Held, at_once: int) -> None:
    """Wrap stragglers anew, at most `at_once`, and destroy the keys whose time is over. Killed anywhere, it goes on.

    Raises `KeyProblem` where a key cannot be destroyed; what is left is done the next time. `StoreProblem` where a row
    that says since when does not say it: the others are done before.
    """
    section = there.settings.forgetting
    if section is None:
        return
    there.write(partial(_wrap_anew, there, now, held, at_once))
    there.write(partial(_watch, there, now))
    over = now - timedelta(days=section.keys_after_days)
    there.write(partial(_decide, there, now, over, held))
    decided = there.read(key_register.decided)
    since = {month: moment for month in sorted(decided) if (moment := meta.moment(decided[month]))}
    there.write(partial(_tell, there, now, since))
    for month, moment in since.items():
        there.write(partial(_destroy, there, month, moment))
    own_store.demand_rows(there.read(own_store.meta))


def _wrap_anew(there: Installation, now: datetime, held: Held, at_once: int, unit: Unit) -> None:
    """What is committed to stays as it is: it is the same request key, in another wrapping."""
    section = there.settings.forgetting
    after = max(STRAGGLER, timedelta(days=(section.after_days if section else 0) + 30))
    months = key_register.months(unit.connection, there.keys)
    old = [one.month for one in months if one.requests and not one.problem and _end_of(one.month) + after <= now]
    if not old:
        return
    needed = held(unit.connection)
    query = select(_R.id, _R.wrapped_key, _R.key_month).where(_R.key_month.in_(old), _R.wrapped_key.is_not(None))
    rows = [row for row in unit.connection.execute(query.order_by(_R.ordinal)) if row.id not in needed][:at_once]
    if not rows:
        return
    present = month_of(now)
    month = key_register.demand(unit.connection, there.keys, [present])[present]
    for row in rows:
        with suppress(KeyProblem):  # a damaged row is named by `dpsync verify`, and keeps no other one waiting
            key = there.keys.unwrap(row.wrapped_key, row.id, row.key_month)
            wrapped = there.keys.wrap(key, row.id, month)
            unit.connection.execute(
                update(t.request).where(_R.id == row.id).values(wrapped_key=wrapped, key_month=month)
            )


def _watch(there: Installation, now: datetime, unit: Unit) -> None:
    """Remember of each month that is over since when nothing rests on its key; something may again, in a back-up."""
    rows = unit.connection.execute(select(t.meta.c.key).where(t.meta.c.key.startswith(key_register.IDLE))).scalars()
    known = {key.removeprefix(key_register.IDLE) for key in rows}
    months = key_register.months(unit.connection, there.keys)
    done = key_register.decided(unit.connection)
    idle = {one.month for one in months if not one.requests and not one.problem and _end_of(one.month) <= now}
    for month in idle - known - done.keys():
        meta.put(unit.connection, f"{key_register.IDLE}{month}", now.isoformat())
    gone = [f"{key_register.IDLE}{month}" for month in known - idle]
    unit.connection.execute(delete(t.meta).where(t.meta.c.key.in_(gone)))


def _decide(there: Installation, now: datetime, over: datetime, held: Held, unit: Unit) -> None:
    """Put on the record which keys are destroyed: before they are, so that none is ever missed as lost."""
    rows = unit.connection.execute(
        select(t.meta.c.key, t.meta.c.value).where(t.meta.c.key.startswith(key_register.IDLE))
    ).all()
    since = {row.key.removeprefix(key_register.IDLE): meta.moment(row.value) for row in rows}
    due = sorted(month for month, at in since.items() if at and at <= over)
    if not due:
        return
    of = select(_R.key_month)
    needed = {unit.connection.execute(of.where(_R.id == one)).scalar() for one in held(unit.connection)}
    for month in due:
        if month in needed:
            continue
        digest = there.keys.month_digest(month)
        n = unit.connection.execute(select(func.count()).where(_R.key_month == month)).scalar_one()
        key_register.destroy(unit.connection, month, now)
        unit.connection.execute(delete(t.meta).where(t.meta.c.key == f"{key_register.IDLE}{month}"))
        unit.append(None, entry.encode(EntryKind.SHREDDED, now, kind=KIND, name=month, digest=digest, n=n))


def _destroy(there: Installation, month: str, at: datetime, unit: Unit) -> None:
    """Also a key that came back from a copy; never where a request rests on it, and never another one of its name."""
    if month in _idle(unit.connection, there):
        there.keys.destroy_month(month, at)


def _idle(connection: Connection, there: Installation) -> set[str]:
    """The months whose key is there, and opens nothing any more."""
    return {one.month for one in key_register.months(connection, there.keys) if not one.requests and not one.problem}


def _tell(there: Installation, now: datetime, decided: Collection[str], unit: Unit) -> None:
    """Before they are destroyed: cut off between the two, the operator hears of it twice, and not never."""
    months = sorted(_idle(unit.connection, there) & set(decided))
    if months:
        raise_alert(
            unit.connection,
            cause=AlertCause.MONTH_KEY,
            role="operator",
            subject="The key of a month is destroyed: delete it in your copies, too",
            body="Nothing needs it any more, and it must open nothing any more. dpsync cannot reach the copies of the "
            f"key directory: delete it there ({there.settings.keys.directory.name}/months). Keep the notes that end in "
            ".destroyed. Back-ups of the database can stay: they do not open without it.",
            now=now,
            zone=there.zone,
            concerns=[Concern(one, f"{one}.key", why="Destroyed:") for one in months],
        )


def _end_of(month: str) -> datetime:
    """When a month was over; one whose second key it is ends as its first."""
    year, number = int(month[:4]), int(month[5:7])
    return datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
