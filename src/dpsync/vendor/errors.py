"""A vendor's errors as a table, and what ends a step.

A connector writes down which answers mean what, one `Error` a row: people read the table, the connector goes by it, and
the contract suite plants each row. What no row knows is a no for a person to look at.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dpsync.connector import Refused, Retryable

UNDOCUMENTED: Final = "an answer that the processor's documentation does not know"
UNREADABLE: Final = "an answer that is not of the documented shape"
OUR_FAULT: Final = "the processor calls the request malformed: a fault of dpsync, please report it"
BUSY: Final = "the processor asks us to wait"
FAULT_THERE: Final = "a fault at the processor"
BLOCKED: Final = "blocked before the processor: the answer is not its own"
NOT_DONE: Final = "the processor said yes, and its record did not change"
DENIED: Final = "the processor does not find a record that it shows"


class Meaning(StrEnum):
    """What an error says, and of whom."""

    REJECTED = "our credential is not accepted; the reason is the advice"
    NO = "a no: of how we ask, or of how the account is set up"
    MISPLACED = "our settings name what the account does not have: its operator's to correct, and nobody's no"
    ABSENT = "nobody is held there"
    REFUSED = "a change is refused, which keeps no other from being made"
    LEFT = "not through the API: left to the operator"
    SETTLED = "it may be so already: what is held decides"
    BUSY = "later: the whole account is asked to wait"
    LATER = "later"
    FAULT = "a fault there"


@dataclass(frozen=True, slots=True)
class Error:
    """One row: an error of one of these statuses and, where any are named, these codes.

    `codes`: the vendor's own numbers or words, as `Calls.code` finds them. `reason`: a fixed phrase of ours, with which
    a call ends that does not know this error; of a rejected credential, what to do.
    """

    statuses: Collection[int]
    codes: Collection[int | str]
    means: Meaning
    reason: str = ""

    def fits(self, status: int, code: int | str | None) -> bool:
        """Whether an answer is one of this row."""
        return status in self.statuses and (not self.codes or code in self.codes)


ANY_VENDORS: Final = (
    Error((429, 503), (), Meaning.BUSY, BUSY),
    Error((408, 425), (), Meaning.LATER, BUSY),
    Error(range(500, 1000), (), Meaning.FAULT, FAULT_THERE),
)
"""What any vendor's status means where its own table does not say otherwise (RFC 9110, 6585, 8470)."""


class Ended(Exception):
    """An answer that ends one step; `stop` where asking on would only meet the same."""

    def __init__(self, outcome: Retryable | Refused, *, stop: bool = False) -> None:
        self.outcome = outcome
        self.stop = stop
        super().__init__(outcome.reason)


def refused(reason: str = UNDOCUMENTED) -> Ended:
    """A no, or an answer that nobody documents: a person must look."""
    return Ended(Refused(reason=reason, evidence=()))


def misplaced(reason: str) -> Ended:
    """Our settings name what the account does not have: what else is there is told, and the operator hears of it."""
    return Ended(Retryable(reason=reason, misplaced=True))


def unreadable(*, doubtful: bool = False) -> Ended:
    """An answer that should say yes and cannot be read; `doubtful` after a write."""
    return Ended(Retryable(reason=UNREADABLE, doubtful=doubtful))
