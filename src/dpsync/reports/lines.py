"""Where a request stands, as values: of these few shapes every report, dossier and status is made."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from dpsync.model import Cause, Right, Rung, State, Way
from dpsync.reports.meaning import Count, Late, Need, WaitsFor


@dataclass(frozen=True, slots=True, eq=False)
class LineKind:
    """What lines say alike that are at one processor, for one right and in one state: one value for all of them.

    Each is equal to itself alone, so that lines are counted by it: a report of 100,000 requests has 300,000 lines and a
    few kinds. `limits` is what the processor's API cannot do for this right. `stopped`: the account is.
    """

    right: Right
    processor: str
    title: str
    state: State
    counts_as: Count
    rung: Rung
    way: Way
    causes: tuple[Cause, ...]
    reason: str
    task: str
    attempts: int
    notices: int
    waits_for: WaitsFor
    stopped: str
    limits: str
    done: bool
    closed: bool


# These three are not frozen, though nobody changes one: a field of a frozen one takes four times as long to set, and a
# report of 100,000 requests sets six million.
@dataclass(slots=True)
class LineHead:
    """What every line of a request says of it. Times are UTC, days the controller's."""

    id: str
    short: str
    right: Right
    lifting: bool
    received_at: datetime
    accepted_at: datetime
    strict_on: date
    due_on: date
    forgotten: bool
    scope: str = ""


@dataclass(slots=True)
class PropagationLine:
    """One request at one processor. Times are UTC.

    `waits_until`: when time alone, or the answer that is owed, ends the waiting. `finished_at`: since when it is closed
    and nobody is waited for. What it says with others it says by `head` and `kind`: of 300,000 lines, all of it in each
    was half of the time that making them took.
    It is asked for all of it by one name each, as in `LINE_FIELDS`: who shows a line need not know, in some 140 places,
    which of it is said of others, too. What counts lines asks `head` and `kind` themselves.
    """

    head: LineHead
    kind: LineKind
    told_at: datetime | None
    done_at: datetime | None
    state_since: datetime
    finished_at: datetime | None
    late: Late
    waits_until: datetime | None
    need: Need

    @property
    def request_id(self) -> str:
        """Of which request."""
        return self.head.id

    @property
    def short(self) -> str:
        """The beginning of the request's id."""
        return self.head.short

    @property
    def right(self) -> Right:
        """What was asked for."""
        return self.head.right

    @property
    def lifting(self) -> bool:
        """Whether a restriction is lifted."""
        return self.head.lifting

    @property
    def scope(self) -> str:
        """From what an opt-out is, "" for everything."""
        return self.head.scope

    @property
    def received_at(self) -> datetime:
        """When the controller received the request."""
        return self.head.received_at

    @property
    def accepted_at(self) -> datetime:
        """When dpsync accepted it."""
        return self.head.accepted_at

    @property
    def strict_on(self) -> date:
        """The last day by the strict reading."""
        return self.head.strict_on

    @property
    def due_on(self) -> date:
        """The last day."""
        return self.head.due_on

    @property
    def processor(self) -> str:
        """The processor's name in the settings."""
        return self.kind.processor

    @property
    def title(self) -> str:
        """What people call it."""
        return self.kind.title

    @property
    def state(self) -> State:
        """Where it stands."""
        return self.kind.state

    @property
    def counts_as(self) -> Count:
        """How it is counted."""
        return self.kind.counts_as

    @property
    def rung(self) -> Rung:
        """How far the proof reached at most."""
        return self.kind.rung

    @property
    def way(self) -> Way:
        """By which way it goes."""
        return self.kind.way

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Why it is held, or was."""
        return self.kind.causes

    @property
    def reason(self) -> str:
        """What the processor, or its mail host, said."""
        return self.kind.reason

    @property
    def task(self) -> str:
        """What a person must do there."""
        return self.kind.task

    @property
    def attempts(self) -> int:
        """How often it was tried."""
        return self.kind.attempts

    @property
    def notices(self) -> int:
        """How many letters went."""
        return self.kind.notices

    @property
    def waits_for(self) -> WaitsFor:
        """For whom it waits."""
        return self.kind.waits_for

    @property
    def stopped(self) -> str:
        """Why its account is stopped; "" where it is not."""
        return self.kind.stopped

    @property
    def limits(self) -> str:
        """What the processor's API cannot do for this right."""
        return self.kind.limits

    @property
    def open(self) -> bool:
        """Whether it is not closed."""
        return not self.kind.closed


LINE_FIELDS: Final = (
    *("request_id", "short", "right", "lifting", "received_at", "accepted_at", "strict_on", "due_on", "processor"),
    *("title", "state", "counts_as", "rung", "way", "causes", "reason", "task", "attempts", "notices", "told_at"),
    *("done_at", "state_since", "finished_at", "late", "waits_for", "waits_until", "need", "stopped", "limits"),
)
"""What a program is told of a line, in this order."""


@dataclass(slots=True)
class RequestStanding:
    """One request and where it stands everywhere. Dates are the controller's days, as reception stored them."""

    id: str
    short: str
    right: Right
    lifting: bool
    ground: str
    source: str
    received_at: datetime
    received_assumed: bool
    accepted_at: datetime
    target_at: datetime
    starts_on: date
    strict_on: date
    due_on: date
    letter_by: date
    due_at: datetime
    clock_rule: str
    closed_at: datetime | None
    shredded_at: datetime | None
    counts_as: Count
    told_everyone: bool
    late: Late
    lines: tuple[PropagationLine, ...]
    scope: str = ""

    @property
    def open(self) -> bool:
        """Whether it is not done, and not set aside, somewhere."""
        return self.counts_as is Count.NOT_YET

    @property
    def ordinary(self) -> bool:
        """Whether nothing of it is late, and nobody has to do anything."""
        alike = self.lines and self.late is Late.NO
        return bool(alike) and all(line.late is Late.NO and line.need is Need.NOTHING for line in self.lines)
