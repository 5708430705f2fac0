"""What a restriction that comes in, or is lifted, means for the erasures of that person that have not gone yet."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.intake.identity import Identity
from dpsync.model import Cause, Request, Right, State
from dpsync.propagation import record
from dpsync.propagation.controller import Controller
from dpsync.propagation.queue import lanes
from dpsync.propagation.rules.lifecycle import Decision, DecisionKind
from dpsync.propagation.rules.persons import may_be_same
from dpsync.propagation.rules.plan import restriction_in_force
from dpsync.store import tables as t
from dpsync.store.writer import Unit


def meet_restriction(
    unit: Unit,
    controller: Controller,
    request: Request,
    who: Identity,
    history: Sequence[lanes.LaneRow],
    now: datetime,
) -> None:
    """A restriction that comes in holds the erasures of that person that have not gone yet; lifting releases none."""
    if request.right is not Right.RESTRICTION:
        return
    erasures = [row for row in history if row.right is Right.ERASURE]
    own = [row for row in erasures if may_be_same(row.person, who.person)]
    if request.lifted:
        _ask_about(unit, controller, [row for row in own if Cause.RESTRICTION_IN_FORCE in row.causes], now)
        return
    if not restriction_in_force(lanes.lane_of(unit.connection, who.subject_id), who.person):
        return
    for row in own:
        if row.state in {State.PENDING, State.HELD} and not row.on_its_way:
            hold = Decision(DecisionKind.HOLD, frozenset({Cause.RESTRICTION_IN_FORCE}))
            record.record(unit, controller, record.Update(row.id, [hold], now))


def _ask_about(unit: Unit, controller: Controller, held: Sequence[lanes.LaneRow], now: datetime) -> None:
    """Ask the data protection officer about erasures that are still held although the restriction is lifted."""
    if not held:
        return
    p, by = t.propagation.c, "--by NAME --reason WHY"
    rows = unit.connection.execute(select(p.request_id, p.processor).where(p.id.in_([row.id for row in held]))).all()
    places: dict[str, list[str]] = {}
    for erasure, processor in sorted((row.request_id, row.processor) for row in rows):
        places.setdefault(erasure, []).append(processor)
    raise_alert(
        unit.connection,
        cause=AlertCause.LIFTED_WITH_ERASURE_HELD,
        role="dpo",
        subject="A restriction was lifted, and an erasure is still held because of it",
        body="Lifting does not release the erasure. Decide:",
        now=now,
        zone=controller.zone,
        concerns=[
            Concern(
                erasure,
                f"`dpsync release {erasure} {' '.join(names)} {by}`, or to stop it `dpsync withdraw {erasure} {by}`",
            )
            for erasure, names in places.items()
        ],
    )
