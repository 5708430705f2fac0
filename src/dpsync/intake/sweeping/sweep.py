"""One sweep of one processor: its list is read to its end, a page at a time, and only then acted on.

Of people for whom nothing was asked nothing is kept. It acts alone only for an opt-out that nobody told us of, by the
same way as one that a webhook tells of: read again at the vendor, and never what dpsync itself brought about.
"""

import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import ClassVar, Final

from sqlalchemy import Connection, select

from dpsync.address import NotAnAddress, mailbox
from dpsync.connector import Connector, ObservesOptOuts, OptOutHint, Roster, RosterLine
from dpsync.errors import CredentialsRejected, NotFound
from dpsync.installation import Installation
from dpsync.intake.observed import Observed, source_of
from dpsync.intake.reconciliation import findings
from dpsync.intake.reconciliation.compare import Difference, DifferenceKind
from dpsync.intake.reconciliation.comparison import ComparedList, Look
from dpsync.intake.reconciliation.findings import SourceFinding
from dpsync.intake.reconciliation.judging import Brake
from dpsync.intake.reconciliation.people_list import ListUnknown
from dpsync.intake.sweeping import telling
from dpsync.intake.sweeping.carried import carried_of
from dpsync.intake.sweeping.compare import EVERY, LEFT, Carried, as_listed, differences
from dpsync.known_connectors import connector_class
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.reports.reconciled import SWEPT, SourceStanding
from dpsync.settings import Settings
from dpsync.settings.sweeping import SweepSection
from dpsync.store import tables as t
from dpsync.store.writer import Unit
from dpsync.vendor.errors import Ended

PAGE: Final = 500
"""Records that are compared together."""

CODE: Final = "DP-326"
"""What `check` calls it that a sweep needs a person."""

REJECTED: Final = "the processor does not accept our credential"
_STOPPED: Final = "its account is stopped, or asked to wait: nothing is sent to it, and nothing read"


class Sweep(ComparedList):
    """`share`: in how many percent of the time it may make calls."""

    kept: ClassVar[str] = SWEPT

    def __init__(
        self,
        there: Installation,
        processor: str,
        brake: Brake,
        share: int = 100,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(there, processor, source_of(processor), brake)
        self._connector: Connector = there.controller.processors[processor].connector
        self._account = there.controller.processors[processor].account
        self._share, self._sleep = share, sleep
        self._lines: dict[str, RosterLine] = {}  # of the new findings alone, of which the brake allows so many
        self._hints: dict[str, OptOutHint] = {}

    def _names(self) -> Collection[str]:
        return self._there.settings.processors.keys()

    # --- reading

    def _read_list(self, look: Look, now: datetime) -> Generator[int, None, None]:
        if not isinstance(self._connector, Roster):
            raise ListUnknown("its connector cannot list whom it holds")
        lines = self._connector.roster()
        while True:
            self._demand_going_on(now)
            begun = self._there.clock.monotonic()
            try:
                page = list(islice(lines, PAGE))
            except Ended as end:
                raise ListUnknown(f"the list could not be read to its end: {end.outcome.reason}") from None
            except CredentialsRejected:
                raise ListUnknown(REJECTED) from None
            if not page:
                return
            took = self._there.clock.monotonic() - begun
            yield from self._compare_all(look, page, now)
            yield look.counted.listed
            if self._brake.is_beyond(len(look.new)):
                return
            if took > 0:
                self._sleep(took * (100 - self._share) / self._share)

    def _demand_going_on(self, now: datetime) -> None:
        a = t.account.c
        chosen = select(a.stopped, a.paused_until).where(a.id == self._account)
        row = self._there.read(lambda connection: connection.execute(chosen).one_or_none())
        if row and (row.stopped or (row.paused_until is not None and row.paused_until > max(now, self._now()))):
            raise ListUnknown(_STOPPED)

    def _now(self) -> datetime:
        return self._there.clock.now()

    def _compare_all(self, look: Look, page: Sequence[RosterLine], now: datetime) -> Generator[int, None, None]:
        there = self._there
        read = partial(carried_of, keys=there.keys, processor=self._name, page=page, begun=now)
        look.counted.listed += len(page)
        for line, carried in zip(page, there.read(read), strict=True):
            if line.address and line.unsure and LEFT in differences(line, carried):
                self._compare(look, self._looked_at(line), carried)
                yield look.counted.listed  # of a whole page this takes long
            elif line.address:
                self._compare(look, line, carried)
            else:  # nobody can say whose it is: what was found of it may be so still
                look.counted.not_known += 1
                look.still |= look.open_before.intersection(self._named(line, one).key for one in EVERY)

    def _looked_at(self, line: RosterLine) -> RosterLine:
        """The same, once the record itself says whether its person left. Raises `ListUnknown`."""
        if not isinstance(self._connector, ObservesOptOuts):
            return line
        with _answering():
            return replace(
                line, opted_out=self._connector.opted_out_at(OptOutHint(line.address, line.place)) is not None
            )

    def _named(self, line: RosterLine, difference: Difference) -> SourceFinding:
        return findings.finding(self._there.keys, self._source, difference, as_listed(line), person="")

    def _compare(self, look: Look, line: RosterLine, carried: Carried) -> None:
        found = [self._named(line, difference) for difference in differences(line, carried)]
        look.take(found, unread=False)
        for one in found:
            if one.key in look.new:
                self._lines[one.key] = line
                if one.kind is DifferenceKind.MISSED and not carried.may_be_ours:
                    self._hints[one.key] = OptOutHint(line.address, line.place)

    # --- acting

    def _take(self, some: Sequence[SourceFinding], now: datetime) -> None:
        made = [(one, self._take_up(one, now)) for one in some]
        kept = [(one, request_id) for one, request_id in made if request_id is not None]
        self._there.write(partial(self._keep, kept=kept, now=now))

    def _take_up(self, one: SourceFinding, now: datetime) -> str | None:
        """The request that is made of it, "" where a person is asked; None for what is not so any more."""
        hint = self._hints.get(one.key)
        if hint is None or not isinstance(self._connector, ObservesOptOuts):
            return ""
        with _answering():
            made = Observed(self._there).take_up(self._name, self._connector, hint, now)
        return made or ("" if _is_unusable(hint.address) else None)

    def _keep(self, unit: Unit, kept: Sequence[tuple[SourceFinding, str]], now: datetime) -> None:
        controller = self._there.controller
        findings.keep(unit.connection, controller.keys, kept, now)
        for one, _ in kept:
            right = one.difference.right.value if one.difference.right else ""
            said = {"kind": "swept", "name": self._name, "right": right, "cause": one.kind.value, "ref": one.key}
            unit.append(None, entry.encode(EntryKind.DECIDED, now, **said))
        asked = [(one, self._lines[one.key]) for one, request_id in kept if not request_id]
        telling.tell(unit.connection, controller, self._name, asked, now)

    def _tell_not_compared(self, connection: Connection, standing: SourceStanding, why: str, now: datetime) -> None:
        telling.tell_not_swept(connection, self._there.controller, standing, why, now)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (Ended, CredentialsRejected):
        raise ListUnknown("it did not answer when an opt-out was read again") from None


def _is_unusable(address: str) -> bool:
    try:
        mailbox(address)
    except NotAnAddress:
        return True
    return False


def sweep_of(there: Installation, processor: str, released: int | None = None, *, paced: bool = True) -> Sweep:
    """The sweep of one. `released`: a person's word in place of the brake; `paced`: it rests after each page, so that
    it takes its share of the account alone. Raises `NotFound`.
    """
    section = there.settings.processors.get(processor)
    if section is None or processor not in with_a_roster(there.settings):
        raise NotFound(f"there is no processor {processor} that lists whom it holds")
    how = section.sweep or SweepSection()
    return Sweep(there, processor, Brake(how.most, how.percent, released), how.share if paced else 100)


def with_a_roster(settings: Settings) -> list[str]:
    """The processors whose connector can list whom it holds; none is built."""
    kinds = {name: connector_class(one.connector) for name, one in settings.processors.items()}
    return [name for name, kind in kinds.items() if kind is not None and issubclass(kind, Roster)]
