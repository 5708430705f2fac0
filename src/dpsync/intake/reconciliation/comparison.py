"""A list of people that is compared with what was asked of us: read to its end first, and only then acted on.

Nothing is written while the list is read: what is stopped, or breaks off, has changed nothing. Memory holds who is
known to us (some 200 bytes each) and the new differences, of which the brake allows so many, however long the list is.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import ClassVar, TypeVar

from sqlalchemy import Connection

from dpsync.installation import Installation
from dpsync.intake.reconciliation import findings
from dpsync.intake.reconciliation.findings import SourceFinding
from dpsync.intake.reconciliation.judging import Brake, Counted, unlike_last, verdict
from dpsync.intake.reconciliation.people_list import ListUnknown
from dpsync.reports.reconciled import ListState, SourceStanding, standings, write_standing
from dpsync.store.writer import Unit

T = TypeVar("T")
AT_ONCE = 50
"""Findings that are taken in together: what else is to be written waits for no more than that."""


@dataclass(frozen=True, slots=True)
class ListComparison:
    """What came of one. `new`: how many differences of each kind were found for the first time; `why`: of its state.

    `found`: the differences that are new. `strangers`: how many are listed whom no main database knows, None where
    nobody counted.
    """

    standing: SourceStanding
    new: Mapping[str, int]
    why: str = ""
    closed: int = 0
    found: Sequence[SourceFinding] = field(default=(), repr=False)
    strangers: int | None = None


@dataclass(slots=True)
class Look:
    """What was seen of a list so far. `known`: whom it should name, of whom it named `seen`."""

    open_before: frozenset[str]
    left: Mapping[str, str]
    known: set[str] = field(default_factory=set)
    new: dict[str, SourceFinding] = field(default_factory=dict)
    still: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    counted: Counted = field(default_factory=Counted)

    def take(self, found: Sequence[SourceFinding], *, unread: bool) -> None:
        """What one row differs in; `unread`: some of it cannot be understood."""
        asked = [one for one in found if self.left.get(one.key) != one.digest]
        for one in asked:
            self.add(one)
        self.counted.differ += bool(asked)
        self.counted.not_known += unread and not asked
        self.counted.agree += not asked and not unread
        self.counted.half_read |= unread

    def add(self, one: SourceFinding) -> None:
        """One difference, new or not."""
        if one.key in self.open_before:
            self.still.add(one.key)
        elif one.key in self.new:
            self.new[one.key] = self.new[one.key].with_addresses_of(one)  # a list with a row for each address
        else:
            self.new[one.key] = one

    @property
    def over(self) -> frozenset[str]:
        """The findings that are not so any more; none where nobody could read what one of them may be about."""
        blurred = self.counted.half_read or self.counted.nameless
        return frozenset() if blurred else self.open_before - self.still


class ComparedList(ABC):
    """The comparison of one list. `kept`: the row of `meta` with how each such list compares."""

    kept: ClassVar[str]

    def __init__(self, there: Installation, name: str, source: str, brake: Brake) -> None:
        """`name`: as people call it; `source`: where its findings are said to come from."""
        self._there, self._name, self._source, self._brake = there, name, source, brake

    def run(self, now: datetime, *, dry: bool = False, heard: Callable[[int], None] = lambda _: None) -> ListComparison:
        """Compare, and act on it unless `dry`. Raises what our store raises; trouble with theirs is an answer."""
        steps = self.steps(now, dry=dry)
        while True:
            try:
                heard(next(steps))
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # because StopIteration does not say of what type

    def steps(self, now: datetime, *, dry: bool = False) -> Generator[int, None, ListComparison]:
        """The same page by page: how many rows were read so far, and at the end what came of it."""
        before = self._there.read(partial(standings, kept=self.kept)).get(self._name)
        look = self._there.read(self._begin)
        try:
            yield from self._read_list(look, now)
            last = before.listed if before and not self._brake.is_beyond(len(look.new)) else 0
            why = unlike_last(look.counted, last, self._brake)
        except ListUnknown as error:
            why = error.message
        if why:
            return self._not_compared(look, before, ListState.UNKNOWN, why, now, dry=dry)
        self._look_for_gone(look)
        look.counted.new = len(look.new)
        if why := verdict(look.counted, self._brake):
            return self._not_compared(look, before, ListState.STOPPED, why + self._likely_cause(), now, dry=dry)
        counted, found = look.counted, tuple(look.new.values())
        numbers = (counted.agree, counted.differ, counted.not_known, counted.listed)
        standing = SourceStanding(self._name, ListState.COMPARED, now, now, *numbers)
        new = Counter(one.kind.value for one in found)
        try:
            closed = 0 if dry else self._act(look, standing, now)
        except ListUnknown as error:
            return self._not_compared(look, before, ListState.UNKNOWN, error.message, now, dry=dry)
        return ListComparison(standing, new, closed=closed, found=found)

    # --- what each kind of list says

    @abstractmethod
    def _names(self) -> Collection[str]:
        """All such lists of the settings."""

    @abstractmethod
    def _read_list(self, look: Look, now: datetime) -> Generator[int, None, None]:
        """Go through it, until its end or the brake. Raises `ListUnknown`."""

    @abstractmethod
    def _take(self, some: Sequence[SourceFinding], now: datetime) -> None:
        """Do what may be done because of some new differences, keep them and tell of them. Raises `ListUnknown`."""

    @abstractmethod
    def _tell_not_compared(self, connection: Connection, standing: SourceStanding, why: str, now: datetime) -> None:
        """Say that it did not come about, or that a person must release it."""

    def _begin(self, connection: Connection) -> Look:
        left = findings.left(connection, self._there.keys, self._source)
        return Look(frozenset(findings.open_keys(connection, self._source)), left)

    def _likely_cause(self) -> str:
        """What of so much that is new points to who brought it about, in words; most lists say nothing."""
        return ""

    def _look_for_gone(self, look: Look) -> None:
        """Whom it should name and does not: of most lists nobody can say."""
        look.counted.missing = 0

    def _remember_seen(self, look: Look, now: datetime) -> None:
        """Whom it named that must be in it tomorrow: of most lists nobody."""
        del look, now

    # --- acting

    def _act(self, look: Look, standing: SourceStanding, now: datetime) -> int:
        for some in parts(self._in_order(look.new.values())):
            self._take(some, now)
        self._remember_seen(look, now)

        def finish(unit: Unit) -> int:
            write_standing(unit.connection, standing, self._names(), kept=self.kept)
            return findings.close(unit.connection, self._source, look.over, now)

        return self._there.write(finish)

    def _in_order(self, new: Collection[SourceFinding]) -> Sequence[SourceFinding]:
        return list(new)

    def _not_compared(
        self, look: Look, before: SourceStanding | None, state: ListState, why: str, now: datetime, *, dry: bool
    ) -> ListComparison:
        """Nothing agrees, as far as anybody knows."""
        differ = len(look.new) + len(look.open_before)
        good_at, listed = (before.good_at, before.listed) if before else (None, 0)
        unknown = max(len(look.known), 1)
        standing = SourceStanding(self._name, state, now, good_at, 0, differ, unknown, listed)
        new = Counter(one.kind.value for one in look.new.values())

        def work(unit: Unit) -> None:
            write_standing(unit.connection, standing, self._names(), kept=self.kept)
            self._tell_not_compared(unit.connection, standing, why, now)

        if not dry:
            self._there.write(work)
        return ListComparison(standing, new, why, found=tuple(look.new.values()))


def parts(many: Sequence[T]) -> list[Sequence[T]]:
    """So many at once."""
    return [many[at : at + AT_ONCE] for at in range(0, len(many), AT_ONCE)]
