"""What a report stands on besides the rows that it tells of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from dpsync.reports.decided import Opener
from dpsync.reports.kept import KeptLine
from dpsync.reports.processors import ProcessorLine
from dpsync.reports.proof import LedgerLine


@dataclass(frozen=True, slots=True)
class Basis:
    """Whose report it is, as of when, and what was found of ledger and processors before it.

    `decided` opens who decided and why. `asks`: contacts are asked by mail to confirm themselves. `unasked`: which
    request waits for which processor because our own mail host did not take that question. `sent`: how many
    requests a source says that it sent in the period; of one that is not in it, nobody knows. `letters`: letters to
    people are watched. `forgets_after`: so many days after a request was finished its identifiers are destroyed, None
    where they stay. `kept`: what is kept of people, and for how long.
    """

    controller: str
    rehearsal: bool
    zone: ZoneInfo
    now: datetime
    ledger: LedgerLine
    processors: Sequence[ProcessorLine]
    decided: Opener
    asks: bool = True
    unasked: frozenset[tuple[str, str]] = frozenset()
    letters: bool = False
    sent: Mapping[str, int] = field(default_factory=dict)
    forgets_after: int | None = None
    kept: tuple[KeptLine, ...] = ()

    @property
    def today(self) -> date:
        """The controller's day."""
        return self.now.astimezone(self.zone).date()

    @property
    def known(self) -> dict[str, ProcessorLine]:
        """The processors by name."""
        return {line.name: line for line in self.processors}

    @property
    def head(self) -> dict[str, Any]:
        """The fields that every report begins with."""
        return {
            "controller": self.controller,
            "rehearsal": self.rehearsal,
            "zone": self.zone.key,
            "made_at": self.now,
            "ledger": self.ledger,
        }
