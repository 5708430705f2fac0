"""The processors that are told nothing, whatever comes in, before somebody resumes them."""

from dataclasses import dataclass

from sqlalchemy import select

from dpsync.installation import Installation
from dpsync.reports.words import STOPS
from dpsync.store import tables as t


@dataclass(frozen=True, slots=True)
class Stopped:
    """A processor that is told nothing, whatever comes in, until `command` is given. `why`: credential or person."""

    processor: str
    account: str
    why: str

    @property
    def command(self) -> str:
        """What ends it."""
        return f"dpsync resume {self.processor}"

    @property
    def sentence(self) -> str:
        """What a person reads of it."""
        return f"{self.processor} is {STOPS.get(self.why, 'stopped')}: nothing is sent there before `{self.command}`"


def stopped_processors(there: Installation) -> list[Stopped]:
    """The configured processors whose account is stopped, by name."""
    a = t.account.c
    stops = there.read(lambda connection: connection.execute(select(a.id, a.stopped).where(a.stopped != "")).all())
    why = {row.id: row.stopped for row in stops}
    sections = sorted(there.settings.processors.items())
    return [Stopped(name, one.account, why[one.account]) for name, one in sections if one.account in why]
