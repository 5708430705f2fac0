"""What of a propagation may change: its columns as one value, and what a step makes of them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from dpsync.connector import HandOver, Processor
from dpsync.model import DONE_STATES, Cause, Right, Rung, State, Way
from dpsync.propagation.queue.allowance import GIVEN_BACK
from dpsync.propagation.queue.lanes import causes_of, causes_text
from dpsync.propagation.rules.event import Decision, DecisionKind, Event, Position, Step, Timer, reason_after


@dataclass(frozen=True, slots=True)
class Changeable:
    """The columns of `propagation` that what happens may change, each under its own name; `store.tables` explains."""

    state: State
    causes: frozenset[Cause]
    released: frozenset[Cause]
    rung: Rung
    way: Way
    doubtful: bool
    touched: bool
    defects: int
    rereads: int
    reason: str
    state_since: datetime
    attempts: int
    told_at: datetime | None
    done_at: datetime | None
    task: str
    handed: bytes | None
    notices: int
    answer_by: datetime | None
    timer: Timer | None
    timer_at: datetime | None
    brake_at: datetime | None
    released_contact: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Changeable":
        """As a row has it. Raises `ValueError` for a word that no column of ours holds."""
        columns = {name: row[name] for name in COLUMNS}
        typed = {"state": State(row["state"]), "rung": Rung(row["rung"]), "way": Way(row["way"])}
        causes = {name: causes_of(row[name]) for name in ("causes", "released")}
        return cls(**columns | typed | causes | {"timer": Timer(row["timer"]) if row["timer"] else None})

    def columns(self) -> dict[str, Any]:
        """As a row has it."""
        columns = {name: getattr(self, name) for name in COLUMNS}
        typed = {"state": self.state.value, "rung": int(self.rung), "way": self.way.value}
        causes = {name: causes_text(columns[name]) for name in ("causes", "released")}
        return columns | typed | causes | {"timer": self.timer.value if self.timer else ""}

    def position(self, right: Right, processor: Processor | None, *, lifting: bool) -> Position:
        """Where the rules see it; what only the store knows besides is the caller's to add."""
        capability = processor.connector.capabilities.get(right) if processor else None
        return Position(
            right=right,
            state=self.state,
            way=self.way,
            rung=self.rung,
            causes=self.causes,
            doubtful=self.doubtful,
            touched=self.touched,
            told=self.told_at is not None,
            defects=self.defects,
            rereads=self.rereads,
            lifting=lifting,
            controller=processor is not None and processor.is_controller,
            verifiable=bool(capability and capability.verified_by),
            declares=bool(capability and capability.declared_by),
            answer_within=processor.answer_within if processor else timedelta(days=10),
            answer_by=self.answer_by,
            timer=self.timer,
        )

    def after(self, at: Position, event: Event, step: Step, now: datetime) -> "Changeable":
        """What `step` makes of it, decided at `at` about `event`."""
        decided = {name: getattr(step, name) for name in _AS_DECIDED}
        if not step.keep_timer:
            decided |= {"timer": step.timer, "timer_at": step.timer_at}
        if isinstance(event, Decision) and event.kind is DecisionKind.RELEASE:
            decided["released"] = self.released | event.causes
        if isinstance(event, HandOver):
            decided["task"] = event.task
        return replace(
            self,
            **decided,
            reason=reason_after(self.reason, at, step),
            state_since=self.state_since if step.state is self.state else now,
            told_at=(self.told_at or now) if step.told else None,
            done_at=self._done_at(step.state, now),
            answer_by=step.answer_by or self.answer_by,
            brake_at=self.brake_at if step.touched or step.state not in GIVEN_BACK else None,
        )

    def _done_at(self, state: State, now: datetime) -> datetime | None:
        # What was contradicted was not done: it counts from when it is done again, or a late end would look timely.
        stays_done = self.state in DONE_STATES and self.done_at is not None
        return now if state in DONE_STATES and not stays_done else self.done_at


COLUMNS = tuple(field.name for field in fields(Changeable))
_AS_DECIDED = ("state", "causes", "rung", "way", "doubtful", "touched", "defects", "rereads")
