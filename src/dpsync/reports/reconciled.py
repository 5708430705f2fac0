"""How the list of each main database, and of each processor, compared with what was asked of us when it was last read:
two rows of `meta`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from dpsync.reports.duties import Duty
from dpsync.reports.words import moment, several
from dpsync.store import meta
from dpsync.store.reconciling_tables import source_finding

RECONCILED, SWEPT = "reconciled", "swept"
"""The rows: of the main databases, and of the processors."""
_NEVER = "never"


class ListState(StrEnum):
    """`UNKNOWN`: it could not be read whole. `STOPPED`: so much differs that a person is asked before anything."""

    COMPARED = "compared"
    UNKNOWN = "unknown"
    STOPPED = "stopped"


_NOT_COMPARED = {
    ListState.UNKNOWN: ": THE LIST COULD NOT BE READ",
    ListState.STOPPED: ": STOPPED, TOO MUCH DIFFERS",
}


@dataclass(frozen=True, slots=True)
class SourceStanding:
    """How one compares. `at`: the last attempt; `good_at`: the last that was whole; `listed`: rows of that one.

    `agree`, `differ`, `not_known`: people that something was asked for, or that the main database says something of.
    """

    source: str
    state: ListState
    at: datetime
    good_at: datetime | None
    agree: int
    differ: int
    not_known: int
    listed: int

    @property
    def numbers(self) -> str:
        """The three numbers in words."""
        return f"{self.agree:,} agree, {self.differ:,} differ, {self.not_known:,} not known"

    def said(self, zone: ZoneInfo) -> str:
        """The same with when that was, and whether the list could be compared at all."""
        return f"{self.source}: {self.numbers} ({moment(self.at, zone)}{_NOT_COMPARED.get(self.state, '')})"


def standings(connection: Connection, kept: str = RECONCILED) -> Mapping[str, SourceStanding]:
    """Of each main database, or processor, that was ever compared, by its name."""
    lines = (meta.value_of(connection, kept) or "").splitlines()
    return {one.source: one for one in map(_read, lines)}


def _read(line: str) -> SourceStanding:
    source, state, at, good_at, *numbers = line.split(" ")
    good = None if good_at == _NEVER else datetime.fromisoformat(good_at)
    agree, differ, not_known, listed = map(int, numbers)
    return SourceStanding(source, ListState(state), datetime.fromisoformat(at), good, agree, differ, not_known, listed)


def write_standing(connection: Connection, one: SourceStanding, names: Iterable[str], kept: str = RECONCILED) -> None:
    """Keep how one compares, in place of what stood there. `names`: those of the settings; others are forgotten."""
    wanted = set(names)
    found = {name: each for name, each in standings(connection, kept).items() if name in wanted} | {one.source: one}
    lines = [
        f"{each.source} {each.state} {each.at.isoformat()} {each.good_at.isoformat() if each.good_at else _NEVER} "
        f"{each.agree} {each.differ} {each.not_known} {each.listed}"
        for _, each in sorted(found.items())
    ]
    meta.put(connection, kept, "\n".join(lines))


def open_findings(connection: Connection) -> Mapping[str, int]:
    """How many differences wait for a person, by source."""
    f = source_finding.c
    waiting = select(f.source, func.count()).where(f.closed_at.is_(None), f.request_id == "").group_by(f.source)
    return {row[0]: row[1] for row in connection.execute(waiting)}


def reconciliation_duties(connection: Connection) -> list[Duty]:
    """What a person has to see to of the comparison with each main database and each processor."""
    waiting = open_findings(connection)
    asked = [(one, one.source, "dpsync source reconcile") for one in standings(connection).values()]
    # Findings at a processor come from where its opt-outs do, see intake/observed.py.
    asked += [(one, f"observed:{one.source}", "dpsync sweep") for one in standings(connection, SWEPT).values()]
    return [duty for one, source, command in asked for duty in _duties(one, waiting.get(source, 0), command)]


def _duties(one: SourceStanding, waiting: int, compare: str) -> Sequence[Duty]:
    found = []
    if one.state is not ListState.COMPARED:
        told = "could not be read" if one.state is ListState.UNKNOWN else "differs so much that dpsync did nothing"
        sentence = f"See why the list of people of {one.source} {told}: {one.numbers}."
        found.append(Duty(overdue=False, by=None, sentence=sentence, command=f"{compare} {one.source}"))
    if waiting:
        sentence = f"Look at {several(waiting, 'difference')} between {one.source} and what was asked: {one.numbers}."
        found.append(Duty(overdue=False, by=None, sentence=sentence, command=f"dpsync source findings {one.source}"))
    return found
