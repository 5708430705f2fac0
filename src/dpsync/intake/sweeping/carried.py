"""What was asked for the people of one page of a roster: found by keyed pseudonyms, a few statements a page.

What dpsync keeps of somebody who was erased and forgotten is that pseudonym, and which right was carried out where: it
stays, so a forgotten person is found like any other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, select

from dpsync.connector import Processor, RosterLine
from dpsync.intake import welcome
from dpsync.intake.observed import is_ours
from dpsync.intake.sweeping.compare import Carried
from dpsync.model import DONE_STATES, Cause, Right, State
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.rules import scoped
from dpsync.sealing import Keys
from dpsync.store import tables as t

SHOWS_LATER: Final = timedelta(hours=1)
"""What was done so lately the list may not show yet."""

_IN_ONE = 500  # SQLite takes a bounded number of parameters in one statement
_A, _R, _P = t.alias.c, t.request.c, t.propagation.c
_NOT_TOLD = frozenset({State.HELD.value, State.EXEMPT.value, State.SETTLED.value})
_GONE = frozenset({State.WITHDRAWN.value, State.SUPERSEDED.value})
_DONE = frozenset(one.value for one in DONE_STATES | {State.SETTLED})
_ASKED = (
    select(_R.id, _R.person, _R.right, _R.lifting, _R.received_at, _R.closed_at, _R.scope)
    .add_columns(_P.processor, _P.state, _P.state_since, _P.released)
    .join(t.propagation, _P.request_id == _R.id)
    .order_by(_R.ordinal)
)


def carried_of(
    connection: Connection, keys: Keys, processor: Processor, page: Sequence[RosterLine], begun: datetime
) -> list[Carried]:
    """What holds for each record, in order. `begun`: when the sweep began."""
    names = [keys.pseudonyms("address", line.address) if line.address else () for line in page]
    borne: dict[str, set[str]] = {}
    for some in _parts({one for each in names for one in each}):
        for row in connection.execute(select(_A.pseudonym, _A.person).where(_A.pseudonym.in_(some))):
            borne.setdefault(row.pseudonym, set()).add(row.person)
    persons = {person for some in borne.values() for person in some}
    asked = _asked(connection, persons, welcome.since(connection, keys, persons), processor, begun - SHOWS_LATER)
    found = []
    for line, each in zip(page, names, strict=True):
        persons = {person for name in each for person in borne.get(name, ())}
        one = Carried()
        for person in persons:
            one |= asked.get(person, Carried())
        if persons and line.opted_out and not one.mail_stopped:
            one |= Carried(ours=is_ours(connection, sorted(persons), processor.name, line.changed_at or begun))
        found.append(one)
    return found


def _asked(
    connection: Connection,
    persons: Iterable[str],
    welcome_since: Mapping[str, datetime],
    processor: Processor,
    before: datetime,
) -> dict[str, Carried]:
    """What was asked for some persons and stands, put together from their requests in order."""
    found: dict[str, Carried] = {}
    for some in _parts(persons):
        requests: dict[str, list[Any]] = {}
        for row in connection.execute(_ASKED.where(_R.person.in_(some))):
            if row.scope or not welcome.is_ended(row.right, row.received_at, welcome_since.get(row.person)):
                requests.setdefault(row.id, []).append(row)
        for every in requests.values():
            person = every[0].person
            found[person] = _after(found.get(person, Carried()), every, processor, before)
    return found


def _after(one: Carried, every: Sequence[Any], processor: Processor, before: datetime) -> Carried:
    """What holds for a person after one more of their requests. `every`: its propagations."""
    standing = [part for part in every if part.state not in _GONE]
    if not standing:
        return one
    first, done = standing[0], _is_done(every, processor.name, before)
    match Right(first.right):
        case Right.ERASURE:
            # Until somebody released it, it may be refused, and stops no mailing.
            goes = any(part.state != State.HELD.value for part in standing)
            return one | Carried(erased=done, mail_stopped=goes)
        case Right.OPT_OUT if first.scope:
            leaves = _leaves(standing, processor)
            return one | Carried(leaves=leaves, left=leaves if done else frozenset())
        case Right.OPT_OUT:
            return one | Carried(opted_out=done, mail_stopped=True)
        case Right.RESTRICTION:
            return replace(one, restricted=done and not first.lifting, may_be_ours=True)
        case Right.RECTIFICATION:
            return one


def _leaves(standing: Sequence[Any], processor: Processor) -> frozenset[str]:
    """What an opt-out from a part takes its person out of here: they may be mailed otherwise."""
    here = (part for part in standing if part.processor == processor.name and part.state not in _NOT_TOLD)
    return frozenset(
        each
        for part in here
        for each in scoped.parts_of(part.scope, processor, everywhere=Cause.SCOPE_UNMAPPED in causes_of(part.released))
    )


def _is_done(every: Sequence[Any], processor: str, before: datetime) -> bool:
    """Whether it was done here; at a processor that was not told of it, because it came later, whether it is over."""
    here = next((part for part in every if part.processor == processor), None)
    if here is not None:
        return here.state in _DONE and here.state_since <= before
    return every[0].closed_at is not None and every[0].closed_at <= before


def _parts(many: Iterable[str]) -> list[list[str]]:
    wanted: list[str] = sorted(many)
    return [wanted[at : at + _IN_ONE] for at in range(0, len(wanted), _IN_ONE)]
