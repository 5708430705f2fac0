"""Going on without a month's key that is lost for good: what it sealed is named, and a person takes it from there.

Nothing is destroyed: if a copy of the key is found later and put back, everything opens again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy import Connection, select

from dpsync import key_register
from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.errors import KeyProblem, UsageError
from dpsync.installation import Installation
from dpsync.ledger import entry, rows
from dpsync.ledger.entry import EntryKind
from dpsync.model import CLOSED_STATES, Cause, State
from dpsync.propagation.decisions import Person
from dpsync.reports.words import several
from dpsync.running.holding import hold
from dpsync.store import tables as t
from dpsync.store.database import worker_lock
from dpsync.store.writer import Unit

MOST_NAMED: Final = 50

KIND: Final = "without_key"
"""What it is called among the decisions."""

_R, _P = t.request.c, t.propagation.c
_HOLDABLE: Final = [State.PENDING.value, State.HELD.value]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A request that nobody can open any more. `open`: the processors where it is not closed."""

    request_id: str
    source: str
    event_id: str
    right: str
    open: tuple[str, ...]


def go_on_without(there: Installation, month: str, person: Person, now: datetime) -> tuple[Unreadable, ...]:
    """Accept on the record that the key of `month` is lost, and hold what it sealed for a person. Gives all of that.

    Killed, it can be run again. Raises `UsageError` without a name or a reason, where nothing was sealed in that month,
    where its key is there, or where all of it is done already; `KeyProblem` where something stands in the key's place,
    or another key than a month's is wrong; `Locked`.
    """
    person.demand(reason=True)
    with worker_lock(there.settings.store.url):
        there.demand_own_store()
        there.read(partial(_demand_lost, there, month))
        found = there.read(partial(unreadable, month=month))
        fresh = there.write(partial(_begin, there, month, found, person, now))
        held = _hold_all(there, month, person, now)
        if not (fresh or held):
            raise UsageError(f"the loss of the key of {month} is on the record already, and nothing else is left to do")
    return found


def unreadable(connection: Connection, month: str) -> tuple[Unreadable, ...]:
    """What was sealed under the key of that month and is not forgotten, in order of receipt."""
    named = (_R.key_month == month) & _R.wrapped_key.is_not(None)
    closed = [state.value for state in CLOSED_STATES]
    places: dict[str, list[str]] = {}
    query = select(_P.request_id, _P.processor).join(t.request, _R.id == _P.request_id)
    for row in connection.execute(query.where(named, _P.state.not_in(closed)).order_by(_P.processor)):
        places.setdefault(row.request_id, []).append(row.processor)
    asked = connection.execute(select(_R.id, _R.source, _R.event_id, _R.right).where(named).order_by(_R.ordinal))
    return tuple(
        Unreadable(row.id, row.source, row.event_id, row.right, tuple(places.get(row.id, ()))) for row in asked
    )


def _demand_lost(there: Installation, month: str, connection: Connection) -> None:
    known = {one.month: one for one in key_register.months(connection, there.keys)}
    if foreign := key_register.foreign_to(connection, there.keys):
        raise KeyProblem("; ".join(foreign))
    if month not in known:
        others = ", ".join(one.month for one in known.values() if one.problem) or "none"
        raise UsageError(f"nothing was sealed under a key of {month}. Months whose key is missing or wrong: {others}")
    if not known[month].requests and (at := key_register.destroyed(connection, there.keys).get(month)):
        raise UsageError(f"the key of {month} was destroyed on purpose on {at[:10]}: nothing that is kept needed it")
    if not known[month].problem:
        raise UsageError(f"the key of {month} is there and is the right one: nothing is lost")
    if not there.keys.month_is_vacant(month):
        raise KeyProblem(
            f"{known[month].problem}. If the right one is lost for good, move away what stands in its place, and give "
            "the command again"
        )


def _begin(
    there: Installation, month: str, found: Sequence[Unreadable], person: Person, now: datetime, unit: Unit
) -> bool:
    """Put on the record that it is lost, who says so, and of how much; whether that was not there yet."""
    if not key_register.give_up(unit.connection, month, now):
        return False
    said = person.author.said(rows.own_key(there.keys))
    unit.append(None, entry.encode(EntryKind.DECIDED, now, kind=KIND, name=month, n=len(found), **said))
    decided = Concern(said["by"], person.by.strip(), why="Decided by:")
    raise_alert(
        unit.connection,
        cause=AlertCause.WITHOUT_KEY,
        role="dpo",
        subject="The key of a month is lost for good: dpsync goes on without it",
        body=f"It is the key of {month}. {several(len(found), 'request')} cannot be opened any more: nobody can tell "
        "from dpsync who they are about. Have the main database send those that are not closed again, under new ids. "
        "Then withdraw the old ones, and settle what may have been done. `dpsync status` lists them all.",
        now=now,
        zone=there.zone,
        concerns=[decided, *[_concern(one) for one in found if one.open][:MOST_NAMED]],
    )
    return True


def _concern(one: Unreadable) -> Concern:
    where = ", ".join(one.open)
    return Concern(one.request_id, f"{one.request_id} ({one.source}, event {one.event_id}): {where}", why="Not closed:")


def _hold_all(there: Installation, month: str, person: Person, now: datetime) -> int:
    waiting = select(t.propagation).join(t.request, _R.id == _P.request_id).order_by(_P.id)
    waiting = waiting.where(_R.key_month == month, _R.wrapped_key.is_not(None), _P.state.in_(_HOLDABLE))
    return hold(there, there.read(lambda connection: connection.execute(waiting).all()), Cause.KEY_LOST, person, now)
