"""What waits because nobody said what a part is at a processor, and need ask nobody any more.

The settings may name the part since, or say that it is nothing there; or the same person has left everything there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from dpsync.address import normalised
from dpsync.errors import KeyProblem
from dpsync.intake import welcome
from dpsync.model import DONE_STATES, Cause, Right, State, Way
from dpsync.propagation.commitments import asked_by
from dpsync.propagation.controller import Controller
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.record import Update, record
from dpsync.propagation.rules import scoped
from dpsync.propagation.rules.lifecycle import Decision, DecisionKind
from dpsync.store import tables as t
from dpsync.store.writer import Unit

_P, _R = t.propagation.c, t.request.c
_HELD = (
    select(_P.id, _P.request_id, _P.processor, _P.person, _P.causes, _P.way, _R.scope)
    .join(t.request, _R.id == _P.request_id)
    .where(_P.state == State.HELD.value, _R.scope != "", _P.causes.contains(Cause.SCOPE_UNMAPPED.value))
    .order_by(_P.id)
)
_FULL = (
    select(_P.request_id, _R.received_at)
    .join(t.request, _R.id == _P.request_id)
    .where(_P.right == Right.OPT_OUT.value, _R.scope == "", _P.state.in_([one.value for one in DONE_STATES]))
)


@dataclass(frozen=True, slots=True)
class AnsweredPart:
    """A propagation whose question is answered, and by what; `cause`: what its entry says in place of causes."""

    propagation_id: int
    decision: Decision
    cause: str = ""


def look(connection: Connection, controller: Controller) -> list[AnsweredPart]:
    """Those that need ask nobody any more. Reads only."""
    rows = connection.execute(_HELD).all()
    return [found for row in rows if (found := _answered(connection, controller, row))]


def go_on(unit: Unit, controller: Controller, found: Sequence[AnsweredPart], now: datetime) -> None:
    """Let each of them go the way that is known now; one that somebody decided about meanwhile stays as it is."""
    still = {one.propagation_id: one for one in look(unit.connection, controller)}
    for one in found:
        if still.get(one.propagation_id) == one:
            record(unit, controller, Update(one.propagation_id, [one.decision], now, cause=one.cause))


def _answered(connection: Connection, controller: Controller, row: Any) -> AnsweredPart | None:
    processor = controller.processors.get(row.processor)
    if processor is None:
        return None
    if scoped.is_no_concern(row.scope, processor):
        return AnsweredPart(row.id, Decision(DecisionKind.NO_CONCERN), scoped.OUT_OF_SCOPE)
    if Cause.SCOPE_UNMAPPED not in scoped.causes(row.scope, processor, Way(row.way)):
        return AnsweredPart(row.id, Decision(DecisionKind.CONFIRM, frozenset({Cause.SCOPE_UNMAPPED})))
    # What may have been done before the database was put back is for a person to look at.
    if Cause.RESTORED not in causes_of(row.causes) and _has_left_everything(connection, controller, row):
        return AnsweredPart(row.id, Decision(DecisionKind.SUPERSEDE))
    return None


def _has_left_everything(connection: Connection, controller: Controller, row: Any) -> bool:
    """Whether an opt-out from everything, which stands, was done there under every name by which the part goes."""
    full = connection.execute(_FULL.where(_P.person == row.person, _P.processor == row.processor)).all()
    since = welcome.since(connection, controller.keys, {row.person}).get(row.person) if full else None
    stands = [one.request_id for one in full if not welcome.is_ended(Right.OPT_OUT, one.received_at, since)]
    if not stands:
        return False
    part = _addresses(connection, controller, row.request_id)
    return bool(part) and any(part <= _addresses(connection, controller, one) for one in stands)


def _addresses(connection: Connection, controller: Controller, request_id: str) -> set[str]:
    try:
        asked = asked_by(connection, controller, request_id)
    except KeyProblem:
        return set()
    return {normalised(one) for one in asked.addresses} if asked else set()
