"""The last look before a processor is told: whether it may be told now, whatever was so when the request came in."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from dpsync.ciphers import RequestKey
from dpsync.connector import Processor
from dpsync.model import Cause, Mode, Request, State, Way
from dpsync.propagation import instructions
from dpsync.propagation.contacts import is_confirmed
from dpsync.propagation.controller import Controller
from dpsync.propagation.engine.choosing import clear_timer, lane_at
from dpsync.propagation.held import Held, tell_of_held
from dpsync.propagation.persons import may_reach_others
from dpsync.propagation.queue import allowance
from dpsync.propagation.queue.lanes import LaneRow, causes_of
from dpsync.propagation.queue.tasks import Task
from dpsync.propagation.record import Update, record
from dpsync.propagation.rules import brake, scoped
from dpsync.propagation.rules.lifecycle import Decision, DecisionKind, Timer
from dpsync.propagation.rules.plan import Waiting, restriction_in_force
from dpsync.store.beside import alone
from dpsync.store.writer import Unit


@dataclass(frozen=True, slots=True)
class Telling:
    """What is about to be told, if nothing speaks against it. `everywhere`: all of its subject, at all accounts."""

    task: Task
    own: Waiting
    everywhere: Sequence[LaneRow]
    row: Mapping[str, Any]
    processor: Processor
    asked: tuple[RequestKey, Request]
    kind: str
    by_letter: bool

    @property
    def request(self) -> Request:
        """What was asked."""
        return self.asked[1]

    @property
    def lane(self) -> list[LaneRow]:
        """All of its subject at its account."""
        return lane_at(self.task.account_id, self.everywhere)

    @property
    def destroys(self) -> bool:
        """Whether it destroys data that nobody brings back."""
        return self.request.irreversible and self.kind != "reminder"

    @property
    def tells(self) -> bool:
        """Whether it says for the first time, or once more, what is to be done."""
        return self.kind in {"carry_out", "notice"}

    @property
    def uses_allowance(self) -> bool:
        """Whether the brake counts it, and has not counted it yet: it was held until now."""
        return self.tells and self.row["brake_at"] is None and brake.counts(self.request)


def let_through(unit: Unit, controller: Controller, wanted: Sequence[Telling], now: datetime) -> list[Telling]:
    """Those that may go now; the brake counts them, and the others are held back. A reading is never held back."""
    connection = unit.connection
    shared = may_reach_others(connection, {one.row["person"] for one in wanted if one.destroys})
    counted = any(one.uses_allowance for one in wanted)
    if counted:
        alone(connection)  # of what was held until now no more go than the brake allows, whoever counts beside us
    used = Counter(allowance.used(connection, now) if counted else {})
    most, going = controller.safety.irreversible_per_day, list[Telling]()
    for one in wanted:
        causes = _must_wait(connection, controller, one, shared)
        free = Cause.BRAKE in causes_of(one.row["released"])
        # Hundreds of what was held until now may have cooled off in the same minute.
        if one.uses_allowance and not free and brake.must_hold(used[one.row["account_id"]], most):
            causes = causes or frozenset({Cause.BRAKE})
        if causes and one.kind != "verify":
            _hold_back(unit, controller, one.row, causes, now)
        else:
            going.append(one)
            used[one.row["account_id"]] += one.uses_allowance
    allowance.take(connection, [one.row["id"] for one in going if one.uses_allowance], now)
    return going


def _must_wait(
    connection: Connection, controller: Controller, one: Telling, shared: Collection[str]
) -> frozenset[Cause]:
    """Why this call may not go *now*. Asked before each call that tells.

    A restriction may have come since, another id may use the address or be known by now as a record of the same
    person, the contact may be another one. What a named
    person has released stays released.
    """
    causes: set[Cause] = set()
    row, observes = one.row, controller.safety.mode is Mode.OBSERVE
    if one.destroys and restriction_in_force(one.everywhere, row["person"]):
        causes.add(Cause.RESTRICTION_IN_FORCE)
    if one.destroys and row["person"] in shared:
        causes.add(Cause.SHARED_ADDRESS)
    if one.kind == "carry_out":
        causes |= scoped.causes(one.request.scope, one.processor, Way(row["way"]))
    released = causes_of(row["released"])
    if row["way"] == Way.NOTICE or one.kind == "reminder":
        to, _ = instructions.recipient_of(connection, controller, one.processor, row, one.kind)
        if to != controller.operator and not is_confirmed(connection, controller, one.processor.name, to):
            causes.add(Cause.CONTACT_UNVERIFIED)
        if row["released_contact"] != controller.keys.pseudonym("address", to):
            released -= {Cause.CONTACT_UNVERIFIED}
    # An older yes was given in another mode.
    return frozenset(causes) - released | ({Cause.OBSERVE} if observes else frozenset())


def _hold_back(
    unit: Unit, controller: Controller, row: Mapping[str, Any], causes: frozenset[Cause], now: datetime
) -> None:
    if State(row["state"]) is State.PENDING:
        record(unit, controller, Update(row["id"], [Decision(DecisionKind.HOLD, causes)], now))
        held = Held(row["request_id"], row["processor"], causes - {Cause.OBSERVE})
        tell_of_held(unit.connection, controller, [held], now)
        return
    # A reminder that may not go is no reason to wait for ever: a person is told.
    record(unit, controller, Update(row["id"], [Timer.ESCALATE], now))
    clear_timer(unit, row["id"])
