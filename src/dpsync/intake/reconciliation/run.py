"""The comparison of a main database's list of its people with what was asked of us."""

from collections.abc import Collection, Generator, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import ClassVar

from sqlalchemy import Connection

from dpsync.installation import Installation
from dpsync.intake.reconciliation import findings, ours, taking, telling
from dpsync.intake.reconciliation.compare import Difference, DifferenceKind, ErasureStage, Ours, differences
from dpsync.intake.reconciliation.comparison import AT_ONCE, ComparedList, Look, parts
from dpsync.intake.reconciliation.findings import SourceFinding
from dpsync.intake.reconciliation.judging import Brake
from dpsync.intake.reconciliation.listed import Listed
from dpsync.intake.reconciliation.people_list import ListsPeople
from dpsync.model import Right
from dpsync.reports.reconciled import RECONCILED, SourceStanding
from dpsync.store.reconciling_tables import listed_person
from dpsync.store.upsert import insert_missing
from dpsync.store.writer import Unit


class Reconciliation(ComparedList):
    """The comparison of one source."""

    kept: ClassVar[str] = RECONCILED

    def __init__(self, there: Installation, source: str, people: ListsPeople, wait: timedelta, brake: Brake) -> None:
        super().__init__(there, source, source, brake)
        self._people, self._wait = people, wait

    def _names(self) -> Collection[str]:
        return self._there.settings.sources.keys()

    # --- reading

    def _begin(self, connection: Connection) -> Look:
        look = super()._begin(connection)
        look.known = ours.persons_of(connection, self._source)
        return look

    def _read_list(self, look: Look, now: datetime) -> Generator[int, None, None]:
        for page in self._people.pages():
            rows = [row for row in page if row is not None]
            look.counted.listed += len(page)
            look.counted.nameless += len(page) - len(rows)
            read = partial(ours.ours_of, keys=self._there.keys, source=self._source, page=rows)
            for row, known in zip(rows, self._there.read(read), strict=True):
                self._compare(look, row, known, now)
            yield look.counted.listed
            if self._brake.is_beyond(len(look.new)):
                return

    def _compare(self, look: Look, row: Listed, known: Ours, now: datetime) -> None:
        if known.person:
            look.seen.add(known.person)
        if not known.known and not row.flagged:
            if row.unread:
                look.counted.not_known += 1
            return
        named = partial(findings.finding, self._there.keys, self._source, row=row, person=known.person)
        look.take([named(difference) for difference in differences(row, known, now)], unread=row.unread)

    def _look_for_gone(self, look: Look) -> None:
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
                look.add(one)
            if self._brake.is_beyond(len(look.new)):
                return

    def _gone_among(self, connection: Connection, persons: Sequence[str]) -> list[SourceFinding]:
        asked = ours.asked_for(connection, self._there.keys, persons)
        gone = [one for one in persons if one not in asked or asked[one].erasure is ErasureStage.NONE]
        difference = Difference(DifferenceKind.GONE, Right.ERASURE, delete_shaped=True)
        controller, keys = self._there.controller, self._there.keys
        found = []
        for one in gone:
            row = taking.as_last_named(connection, controller, self._source, one) or Listed("")
            found.append(findings.finding(keys, self._source, difference, row, one))
        return found

    # --- acting

    def _remember_seen(self, look: Look, now: datetime) -> None:
        for persons in parts(sorted(look.seen - look.known)):
            self._there.write(partial(self._remember, persons=persons, now=now))

    def _in_order(self, new: Collection[SourceFinding]) -> Sequence[SourceFinding]:
        return sorted(new, key=lambda one: one.kind is not DifferenceKind.MERGED)  # before what they carry

    def _take(self, some: Sequence[SourceFinding], now: datetime) -> None:
        self._there.write(partial(self._take_in, some=some, now=now))

    def _take_in(self, unit: Unit, some: Sequence[SourceFinding], now: datetime) -> None:
        controller = self._there.controller
        made = [(one, taking.take(unit, controller, one, self._wait, now)) for one in some]
        findings.keep(unit.connection, controller.keys, made, now)
        telling.tell(unit.connection, controller, made, now)

    def _remember(self, unit: Unit, persons: Iterable[str], now: datetime) -> None:
        rows = [{"source": self._source, "person": one, "first_at": now} for one in persons]
        insert_missing(unit.connection, listed_person, rows)

    def _tell_not_compared(self, connection: Connection, standing: SourceStanding, why: str, now: datetime) -> None:
        telling.tell_not_compared(connection, self._there.controller, standing, why, now)
