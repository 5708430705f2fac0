"""What was asked for the person of a request before it: which older request goes first, whether they are restricted.

A person is who has the same id, or the same address where neither has an id: what only shares an address is no older
request of theirs.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from dpsync.model import Right, State
from dpsync.propagation.controller import Controller
from dpsync.store import tables as t

_R, _P = t.request.c, t.propagation.c


@dataclass(frozen=True, slots=True)
class Earlier:
    """An older request of the same person that is not sent everywhere. `held`: it waits for a person, too."""

    request_id: str
    right: Right
    lifting: bool
    received_at: datetime
    held: bool


def earlier(connection: Connection, request_id: str) -> tuple[Earlier, ...]:
    """The older requests of the person of this one that are still being told or held somewhere, the oldest first."""
    own = connection.execute(select(_R.person, _R.ordinal).where(_R.id == request_id)).one()
    of_them = (_R.person == own.person) & (_R.ordinal < own.ordinal) & _P.state.in_([State.PENDING, State.HELD])
    columns = select(_R.id, _R.right, _R.lifting, _R.received_at, _P.state).join(t.propagation, _P.request_id == _R.id)
    found: dict[str, Earlier] = {}
    for row in connection.execute(columns.where(of_them).order_by(_R.ordinal)):
        held = row.state == State.HELD and (row.id not in found or found[row.id].held)
        found[row.id] = Earlier(row.id, Right(row.right), row.lifting, row.received_at, held)
    return tuple(found.values())


def goes_first(connection: Connection, controller: Controller, request_id: str) -> tuple[str, ...]:
    """A sentence for each of them: it goes first, or it is held itself, and then nothing waits for it."""
    return tuple(_sentence(one, controller) for one in earlier(connection, request_id))


def _sentence(one: Earlier, controller: Controller) -> str:
    what = "lifting of a restriction" if one.lifting else one.right.value.replace("_", "-")
    on = controller.legal_clock.day_of(one.received_at)
    named = f"{what} {one.request_id[:8]}, received {on.day} {on:%b %Y}"
    if one.held:
        return f"An older request of the same person is held, too: {named}. This one does not wait for it."
    return f"An older request of the same person goes first: {named}."


def was_restricted(connection: Connection, request_id: str) -> bool:
    """Whether there was a restriction of this person before this request, which a lifting could end."""
    own = connection.execute(select(_R.person, _R.ordinal).where(_R.id == request_id)).one()
    of_them = (_R.person == own.person) & (_R.ordinal < own.ordinal)
    before = select(_R.id).where(of_them, _R.right == Right.RESTRICTION.value, ~_R.lifting).limit(1)
    return connection.execute(before).first() is not None
