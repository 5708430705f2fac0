"""One comparison of a main database's list with what was asked of us: read to its end first, and only then acted on.

Nothing is written while the list is read: what is stopped, or breaks off, has changed nothing. Memory holds who is
known to us (some 200 bytes each) and the new differences, of which the brake allows so many, however long the list is.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from dpsync.installation import Installation
from dpsync.intake.reconciliation import findings, ours, taking, telling
from dpsync.intake.reconciliation.compare import Difference, DifferenceKind, ErasureStage, Ours, differences
from dpsync.intake.reconciliation.findings import SourceFinding
from dpsync.intake.reconciliation.judging import Brake, Counted, unlike_last, verdict
from dpsync.intake.reconciliation.listed import Listed
from dpsync.intake.reconciliation.people_list import ListUnknown, SourcePeople
from dpsync.model import Right
from dpsync.reports.reconciled import ListState, SourceStanding, standings, write_standing
from dpsync.store.reconciling_tables import listed_person
from dpsync.store.upsert import insert_missing
from dpsync.store.writer import Unit

T = TypeVar("T")
AT_ONCE = 50
"""Findings that are taken in together: what else is to be written waits for no more than that."""


@dataclass(frozen=True, slots=True)
class ListComparison:
    """What came of one. `new`: how many differences of each kind were found for the first time; `why`: of its state."""

    standing: SourceStanding
    new: Mapping[str, int]
    why: str = ""
    closed: int = 0


@dataclass(slots=True)
class _Look:
    """What was seen of a list so far."""

    known: set[str]
    open_before: frozenset[str]
    left: Mapping[str, str]
    new: dict[str, SourceFinding] = field(default_factory=dict)
    still: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    counted: Counted = field(default_factory=Counted)


class Reconciliation:
    """The comparison of one source. `at_most`: a person's word in place of the brake, once."""

    def __init__(self, there: Installation, source: str, people: SourcePeople, wait: timedelta, brake: Brake) -> None:
        self._there, self._source, self._people, self._wait, self._brake = there, source, people, wait, brake

    def run(self, now: datetime, *, dry: bool = False, heard: Callable[[int], None] = lambda _: None) -> ListComparison:
        """Compare, and act on it unless `dry`. Raises what our store raises; trouble with theirs is an answer."""
        before = self._there.read(standings).get(self._source)
        look = self._there.read(self._begin)
        try:
            self._read_list(look, now, heard)
            last = before.listed if before and not self._brake.is_beyond(len(look.new)) else 0
            why = unlike_last(look.counted, last, self._brake)
        except ListUnknown as error:
            why = error.message
        if why:
            return self._not_compared(look, before, ListState.UNKNOWN, why, now, dry=dry)
        self._look_for_gone(look)
        look.counted.new = len(look.new)
        if why := verdict(look.counted, self._brake):
            return self._not_compared(look, before, ListState.STOPPED, why, now, dry=dry)
        counted = look.counted
        numbers = (counted.agree, counted.differ, counted.not_known, counted.listed)
        standing = SourceStanding(self._source, ListState.COMPARED, now, now, *numbers)
        new = Counter(one.kind.value for one in look.new.values())
        closed = 0 if dry else self._act(look, standing, now)
        return ListComparison(standing, new, closed=closed)

    # --- reading

    def _begin(self, connection: Connection) -> _Look:
        known = ours.persons_of(connection, self._source)
        left = findings.left(connection, self._there.keys, self._source)
        return _Look(known, frozenset(findings.open_keys(connection, self._source)), left)

    def _read_list(self, look: _Look, now: datetime, heard: Callable[[int], None]) -> None:
        for page in self._people.pages():
            rows = [row for row in page if row is not None]
            look.counted.listed += len(page)
            look.counted.nameless += len(page) - len(rows)
            read = partial(ours.ours_of, keys=self._there.keys, source=self._source, page=rows)
            for row, known in zip(rows, self._there.read(read), strict=True):
                self._compare(look, row, known, now)
            heard(look.counted.listed)
            if self._brake.is_beyond(len(look.new)):
                return

    def _compare(self, look: _Look, row: Listed, known: Ours, now: datetime) -> None:
        if known.person:
            look.seen.add(known.person)
        if not known.known and not row.flagged:
            if row.unread:
                look.counted.not_known += 1
            return
        named = partial(findings.finding, self._there.keys, self._source, row=row, person=known.person)
        every = [named(difference) for difference in differences(row, known, now)]
        found = [one for one in every if look.left.get(one.key) != one.digest]
        for one in found:
            self._add(look, one)
        look.counted.differ += bool(found)
        look.counted.not_known += row.unread and not found
        look.counted.agree += not found and not row.unread
        look.counted.half_read |= row.unread

    def _add(self, look: _Look, one: SourceFinding) -> None:
        if one.key in look.open_before:
            look.still.add(one.key)
        elif one.key in look.new:
            look.new[one.key] = look.new[one.key].with_addresses_of(one)  # a list with a row for each address
        else:
            look.new[one.key] = one

    def _look_for_gone(self, look: _Look) -> None:
        """Whom we know and the list does not name; not so where a row does not say of whom it is."""
        missing = sorted(look.known - look.seen)
        look.counted.known, look.counted.missing = len(look.known), len(missing)
        if look.counted.nameless:
            look.counted.not_known += len(missing) + look.counted.nameless
            return
        for at in range(0, len(missing), AT_ONCE):
            some = missing[at : at + AT_ONCE]
            gone = self._there.read(partial(self._gone_among, persons=some))
            look.counted.agree += len(some) - len(gone)
            look.counted.differ += len(gone)
            for one in gone:
                self._add(look, one)
            if self._brake.is_beyond(len(look.new)):
                return

    def _gone_among(self, connection: Connection, persons: Sequence[str]) -> list[SourceFinding]:
        asked = ours.asked_for(connection, persons)
        gone = [one for one in persons if one not in asked or asked[one].erasure is ErasureStage.NONE]
        difference = Difference(DifferenceKind.GONE, Right.ERASURE, delete_shaped=True)
        controller, keys = self._there.controller, self._there.keys
        found = []
        for one in gone:
            row = taking.as_last_named(connection, controller, self._source, one) or Listed("")
            found.append(findings.finding(keys, self._source, difference, row, one))
        return found

    # --- acting

    def _act(self, look: _Look, standing: SourceStanding, now: datetime) -> int:
        new = sorted(look.new.values(), key=lambda one: one.kind is not DifferenceKind.MERGED)  # before what they carry
        for some in _parts(new):
            self._there.write(partial(self._take, some=some, now=now))
        fresh = sorted(look.seen - look.known)
        for persons in _parts(fresh):
            self._there.write(partial(self._remember, persons=persons, now=now))
        # What nobody could read may be what a finding is about.
        over = set[str]() if look.counted.half_read or look.counted.nameless else look.open_before - look.still

        def finish(unit: Unit) -> int:
            write_standing(unit.connection, standing, self._there.settings.sources)
            return findings.close(unit.connection, self._source, over, now)

        return self._there.write(finish)

    def _take(self, unit: Unit, some: Sequence[SourceFinding], now: datetime) -> None:
        controller = self._there.controller
        made = [(one, taking.take(unit, controller, one, self._wait, now)) for one in some]
        findings.keep(unit.connection, controller.keys, made, now)
        telling.tell(unit.connection, controller, made, now)

    def _remember(self, unit: Unit, persons: Iterable[str], now: datetime) -> None:
        rows = [{"source": self._source, "person": one, "first_at": now} for one in persons]
        insert_missing(unit.connection, listed_person, rows)

    def _not_compared(
        self, look: _Look, before: SourceStanding | None, state: ListState, why: str, now: datetime, *, dry: bool
    ) -> ListComparison:
        """Nothing agrees, as far as anybody knows."""
        differ = len(look.new) + len(look.open_before)
        good_at, listed = (before.good_at, before.listed) if before else (None, 0)
        unknown = max(len(look.known), 1)
        standing = SourceStanding(self._source, state, now, good_at, 0, differ, unknown, listed)
        new = Counter(one.kind.value for one in look.new.values())

        def work(unit: Unit) -> None:
            write_standing(unit.connection, standing, self._there.settings.sources)
            telling.tell_not_compared(unit.connection, self._there.controller, standing, why, now)

        if not dry:
            self._there.write(work)
        return ListComparison(standing, new, why)


def _parts(many: Sequence[T]) -> list[Sequence[T]]:
    return [many[at : at + AT_ONCE] for at in range(0, len(many), AT_ONCE)]
