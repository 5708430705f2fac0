"""What ends a step: the reasons, in fixed phrases of ours."""

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


class Ended(Exception):
    """An answer that ends one step; `stop` where asking on would only meet the same."""

    def __init__(self, outcome: Retryable | Refused, *, stop: bool = False) -> None:
        self.outcome = outcome
        self.stop = stop
        super().__init__(outcome.reason)


def refused(reason: str = UNDOCUMENTED) -> Ended:
    """A no, or an answer that nobody documents: a person must look."""
    return Ended(Refused(reason=reason, evidence=()))


def unreadable(*, doubtful: bool = False) -> Ended:
    """An answer that should say yes and cannot be read; `doubtful` after a write."""
    return Ended(Retryable(reason=UNREADABLE, doubtful=doubtful))
