"""Holding much at once: what is on its way waits for a person, and many of a kind are told as a number."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Row

from dpsync.alerts import few
from dpsync.installation import Installation
from dpsync.model import Cause
from dpsync.propagation.controller import Controller
from dpsync.propagation.decisions import Person
from dpsync.propagation.held import Held, tell_of_held
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.record import Update, record
from dpsync.propagation.rules.lifecycle import Decision, DecisionKind
from dpsync.store.writer import Unit

AT_ONCE = 200
"""Propagations that are recorded in one transaction."""


def hold(there: Installation, found: Sequence[Row[Any]], cause: Cause, person: Person, now: datetime) -> int:
    """Hold those of `found` (rows of propagations) for `cause` that are not held for it yet; tells how many were."""
    numbers = Counter((row.processor, cause) for row in found)
    crowds = {one: numbers[one] for one in numbers.keys() - few(numbers)}
    held = 0
    for at in range(0, len(found), AT_ONCE):
        some = found[at : at + AT_ONCE]
        held += there.write(partial(_hold, there.controller, some, cause, crowds, person, now))
    return held


def _hold(
    controller: Controller,
    some: Sequence[Row[Any]],
    cause: Cause,
    crowds: Mapping[tuple[str, Cause], int],
    person: Person,
    now: datetime,
    unit: Unit,
) -> int:
    decision = Decision(DecisionKind.HOLD, frozenset({cause}))
    fresh = [row for row in some if cause not in causes_of(row.causes)]
    if fresh:
        record(unit, controller, *(Update(row.id, [decision], now, author=person.author) for row in fresh))
    held = [Held(row.request_id, row.processor, frozenset({cause})) for row in fresh]
    tell_of_held(unit.connection, controller, held, now, crowds)
    return len(fresh)
