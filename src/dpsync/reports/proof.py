"""What whoever makes a report found when it verified the ledger: a report begins with it, or may not be believed."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """Whether the record is unaltered. `checkpoint`: the newest signed one, short; `problems`: what does not fit."""

    verified: bool
    entries: int
    checked_at: datetime
    checkpoint: str
    problems: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Verified without any problem: anything less is no proof."""
        return self.verified and not self.problems
