"""What whoever makes a report found when it verified the ledger: a report begins with it, or may not be believed."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from dpsync.reports.words import moment


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """Whether the record is unaltered. `checkpoint`: the newest signed one, short; `problems`: what does not fit.

    `only_missing`: each of them is a key or a file that must be put back, and nothing speaks of a change.
    `checked_from`: so many entries were found in order by an earlier check, and are not in this one.
    `compared_at`: when what the report does not print was compared with the ledger; None where all was just now.
    """

    verified: bool
    entries: int
    checked_at: datetime
    checkpoint: str
    problems: tuple[str, ...] = ()
    only_missing: bool = False
    checked_from: int = 0
    compared_at: datetime | None = None

    @property
    def sound(self) -> bool:
        """Verified without any problem: anything less is no proof."""
        return self.verified and not self.problems

    def earlier(self, zone: ZoneInfo) -> str:
        """What rests on an earlier check, in sentences; nothing where this one was of everything."""
        found = []
        if self.checked_from:
            found.append(
                f"The first {self.checked_from:,} entries were checked against their checkpoint earlier, and not again "
                "just now; every entry is checked again each week, and by dpsync verify."
            )
        if self.compared_at is not None:
            found.append(
                "The requests outside this period, the calls and letters of all requests, the names by which "
                "people are known, the journal and the receipts were compared with the record on "
                f"{moment(self.compared_at, zone)} or later, and not again just now; all of it is compared again each "
                "week, and by dpsync verify."
            )
        return " ".join(found)
