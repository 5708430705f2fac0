"""What whoever makes a report found when it verified the ledger: a report begins with it, or may not be believed."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """Whether the record is unaltered. `checkpoint`: the newest signed one, short; `problems`: what does not fit.

    `only_missing`: each of them is a key or a file that must be put back, and nothing speaks of a change.
    `checked_from`: so many entries were found in order by an earlier check, and are not in this one.
    """

    verified: bool
    entries: int
    checked_at: datetime
    checkpoint: str
    problems: tuple[str, ...] = ()
    only_missing: bool = False
    checked_from: int = 0

    @property
    def sound(self) -> bool:
        """Verified without any problem: anything less is no proof."""
        return self.verified and not self.problems

    @property
    def earlier(self) -> str:
        """What rests on an earlier check, as a sentence; nothing where this one was of every entry."""
        if not self.checked_from:
            return ""
        return (
            f"The first {self.checked_from:,} entries were checked against their checkpoint earlier, and not again "
            "just now; every entry is checked again each week, and by dpsync verify."
        )
