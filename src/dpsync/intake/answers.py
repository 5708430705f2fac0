"""What whoever hands in a request hears."""

from dataclasses import dataclass

from dpsync.errors import Exit, IntakeError


@dataclass(frozen=True, slots=True)
class Received:
    """That a request (or a withdrawal) is committed. `repeated`: the same event came before, and this is its answer."""

    request_id: str
    held: bool
    repeated: bool


class ReceptionBusy(IntakeError):
    """Read by the sender (503 and `Retry-After`): too many wait for the store already; nothing was written."""

    exit = Exit.LATER
