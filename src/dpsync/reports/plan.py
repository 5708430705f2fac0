"""What would happen with a request that nobody has submitted: the values of `dpsync plan`. They name no person."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from dpsync.connector import Means
from dpsync.lookup import Lookup, Presence
from dpsync.model import Cause, Mode, Right, State


class Undo(StrEnum):
    """Whether what was done at a processor can be undone, and by whom."""

    NEVER = "never"
    BY_THE_PERSON = "by_the_person"
    BY_ANOTHER_REQUEST = "by_another_request"


UNDO = {
    Right.ERASURE: Undo.NEVER,
    Right.OPT_OUT: Undo.BY_THE_PERSON,
    Right.RECTIFICATION: Undo.BY_ANOTHER_REQUEST,
    Right.RESTRICTION: Undo.BY_ANOTHER_REQUEST,
}


@dataclass(frozen=True, slots=True)
class PlanLine:
    """What would happen at one processor.

    `state`, `causes`: how it would begin there: exempt, held for these causes, or pending. `used`: how many the brake
    has counted at its account in 24 hours; `counts`: whether it would count this one. `stopped`: why nothing is sent
    there, "" where it is. `confirmed`: its contact has confirmed the address. `answer_by`: when the answer to a letter
    would be owed, None where no letter goes. `exempt_until`, `exempt_why`: where it need not be told (Art. 19).
    `calls`: what would be called to change something, by method and path template.
    """

    processor: str
    title: str
    lookup: Lookup
    means: Means
    effect: str
    limits: str
    state: State
    causes: tuple[Cause, ...]
    counts: bool
    used: int
    stopped: str
    confirmed: bool
    answer_by: date | None
    exempt_until: date | None = None
    exempt_why: str = ""
    calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What would happen with a request, and by when each processor would have to be told.

    The dates are those of `LegalDates`, had it been received at `received_at`. `approvals`: how many different people
    would have to say yes. `cools_until`: until when it would wait, None where nothing cools off. `allowed`: the brake,
    an account and 24 hours. `letters`: a mail host is configured, so that letters can go. `scope`: of an opt-out.
    """

    controller: str
    rehearsal: bool
    zone: str
    looked_at: datetime
    right: Right
    lifting: bool
    received_at: datetime
    received_assumed: bool
    target_at: datetime
    strict_on: date
    due_on: date
    letter_by: date
    mode: Mode
    approvals: int
    cools_until: datetime | None
    allowed: int
    letters: bool
    undo: Undo
    lines: tuple[PlanLine, ...]
    scope: str = ""

    @property
    def unanswered(self) -> tuple[PlanLine, ...]:
        """The processors that were asked, or stopped, and gave no answer just now."""
        return tuple(line for line in self.lines if line.lookup.again)

    def seen(self, presence: Presence) -> tuple[PlanLine, ...]:
        """The processors of which this is known."""
        return tuple(line for line in self.lines if line.lookup.presence is presence)
