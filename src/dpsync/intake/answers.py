"""What the receiver is told by the rooms behind it: values only, so that neither side imports the other."""

from dataclasses import dataclass

from dpsync.errors import Exit, IntakeError
from dpsync.model import Right
from dpsync.propagation.correspondence.acknowledgement import Earlier


@dataclass(frozen=True, slots=True)
class Received:
    """That a request (or a withdrawal) is committed. `repeated`: the same event came before, and this is its answer."""

    request_id: str
    held: bool
    repeated: bool


class ReceptionBusy(IntakeError):
    """Read by the sender (503 and `Retry-After`): too many wait for the store already; nothing was written."""

    exit = Exit.LATER


@dataclass(frozen=True, slots=True)
class AnswerPage:
    """What whoever holds an answer link may see: no identifier, because links are forwarded and read by scanners."""

    reference: str
    right: Right
    processor: str
    lifting: bool = False
    earlier: tuple[Earlier, ...] = ()


@dataclass(frozen=True, slots=True)
class ContactPage:
    """What whoever holds a confirmation link may see: which processor's contact this address is meant to be."""

    processor: str
    confirmed: bool = False
