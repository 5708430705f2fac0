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

from dpsync import telemetry
from dpsync.connector import Connector, ObservesOptOuts, OptOutHint, Roster, RosterLine
from dpsync.errors import CredentialsRejected, NotFound
from dpsync.installation import Installation
from dpsync.intake.observed import Observed, source_of
from dpsync.intake.reconciliation import findings
from dpsync.intake.reconciliation.compare import Difference, DifferenceKind
from dpsync.intake.reconciliation.comparison import ComparedList, ListComparison, Look
from dpsync.intake.reconciliation.findings import SourceFinding
from dpsync.intake.reconciliation.judging import Brake, Counted
from dpsync.intake.reconciliation.people_list import ListUnknown
from dpsync.intake.sweeping import asking, resumption, telling
from dpsync.intake.sweeping.carried import carried_of
from dpsync.intake.sweeping.compare import EVERY, LEFT, Carried, as_listed, differences, is_unusable
from dpsync.intake.sweeping.resumption import SweepProgress
from dpsync.intake.sweeping.strangers import Strangers
from dpsync.known_connectors import connector_class
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.propagation.rules import scoped
from dpsync.reports.reconciled import SWEPT, ListState, SourceStanding
from dpsync.settings import Settings
from dpsync.settings.sweeping import SweepSection
from dpsync.store import tables as t
from dpsync.store.writer import Unit
from dpsync.vendor.errors import Ended
from dpsync.vendor.rosters import MOVED

PAGE: Final = 500
"""Records that are compared together."""

CODE: Final = "DP-326"
"""What `check` calls it that a sweep needs a person."""

REJECTED: Final = "the processor does not accept our credential"
_STOPPED: Final = "its account is stopped, or asked to wait: nothing is sent to it, and nothing read"


KEPT_EACH: Final = 20.0
"""Seconds after which the place is kept again."""


class _MovedOn(Exception):
    """The place from which it was to go on is not found any more."""


class Sweep(ComparedList):
    """`share`: in how many percent of the time it may make calls; `resume`: go on where another was interrupted."""

    kept: ClassVar[str] = SWEPT

    def __init__(
        self,
        there: Installation,
        processor: str,
        brake: Brake,
        share: int = 100,
        sleep: Callable[[float], None] = time.sleep,
        *,
        resume: bool = False,
    ) -> None:
        super().__init__(there, processor, source_of(processor), brake)
        self._processor = there.controller.processors[processor]
        self._connector: Connector = self._processor.connector
        self._share, self._sleep, self._resume, self._keeps = share, sleep, resume, True
        self._lines: dict[str, RosterLine] = {}  # of the new findings alone, of which the brake allows so many
        self._hints: dict[str, OptOutHint] = {}
        self._back: dict[str, tuple[SourceFinding, RosterLine]] = {}  # new or not, as many as are asked about
        self._strangers = Strangers(there)

    def _names(self) -> Collection[str]:
        return self._there.settings.processors.keys()

    def steps(self, now: datetime, *, dry: bool = False) -> Generator[int, None, ListComparison]:
        """As any list; how far it came is kept, unless `dry`."""
        self._keeps = not dry
        found = yield from super().steps(now, dry=dry)
        known = self._strangers.count if found.standing.state is ListState.COMPARED else None
        if known:
            telemetry.log("sweep").info("people whom no main database lists", processor=self._name, number=known)
        return replace(found, strangers=known)

    # --- reading

    def _read_list(self, look: Look, now: datetime) -> Generator[int, None, None]:
        if not isinstance(self._connector, Roster):
            raise ListUnknown("its connector cannot list whom it holds")
        parts = scoped.named_parts(self._processor)
        before = self._taken_up(look, now) if self._resume and self._keeps else None
        if before is None:
            yield from self._strangers.read()
            yield from self._read_on(look, self._connector.roster(parts=parts), now, now)
            return
        try:
            yield from self._read_on(look, self._connector.roster(before.mark, parts), before.begun, now)
        except _MovedOn:
            self._begin_anew(look)
            yield from self._read_on(look, self._connector.roster(parts=parts), now, now)

    def _taken_up(self, look: Look, now: datetime) -> SweepProgress | None:
        """How far another came who did not come to the end."""
        before = self._there.read(partial(resumption.kept, keys=self._there.keys, processor=self._name, now=now))
        if before is None:
            return None
        telemetry.log("sweep").warning("goes on where it was interrupted", processor=self._name)
        look.counted = before.counted
        look.still |= look.open_before.intersection(before.still)
        for line, difference, hint in before.found:
            one = self._named(line, difference)
            look.add(one)
            self._remember(look, one, line, hint=hint)
        return before

    def _begin_anew(self, look: Look) -> None:
        telemetry.log("sweep").warning("the list moved meanwhile: begins anew", processor=self._name)
        for part in (look.new, look.still, self._lines, self._hints, self._back):
            part.clear()
        look.counted = Counted()

    def _read_on(
        self, look: Look, lines: Iterator[RosterLine], begun: datetime, now: datetime
    ) -> Generator[int, None, None]:
        """`begun`: when the whole of it did, which is earlier than `now` where another had begun."""
        kept_at, first, goes_on = self._there.clock.monotonic(), True, begun != now
        while True:
            self._demand_going_on(now)
            began = self._there.clock.monotonic()
            page = self._page(lines, may_move=first and goes_on)
            took, first = self._there.clock.monotonic() - began, False
            if not page:
                break
            yield from self._compare_all(look, page, now)
            if page[-1].mark and self._there.clock.monotonic() - kept_at >= KEPT_EACH:
                self._keep_place(look, page[-1].mark, begun, now)
                kept_at = self._there.clock.monotonic()
            yield look.counted.listed
            if self._brake.is_beyond(len(look.new)):
                break
            if took > 0:
                self._sleep(took * (100 - self._share) / self._share)
        if self._keeps:
            self._there.write(lambda unit: resumption.forget(unit.connection, self._name))

    def _page(self, lines: Iterator[RosterLine], *, may_move: bool) -> list[RosterLine]:
        """Some of them, at most to the next place from which somebody could go on."""
        page: list[RosterLine] = []
        try:
            for line in islice(lines, PAGE):
                page.append(line)
                if line.mark:
                    break
        except Ended as end:
            if may_move and end.outcome.reason == MOVED:
                raise _MovedOn from None
            raise ListUnknown(f"the list could not be read to its end: {end.outcome.reason}") from None
        except CredentialsRejected:
            raise ListUnknown(REJECTED) from None
        return page

    def _keep_place(self, look: Look, mark: str, begun: datetime, now: datetime) -> None:
        if not self._keeps or len(look.new) > resumption.MOST:
            return
        found = [(self._lines[key], one.difference, key in self._hints) for key, one in look.new.items()]
        progress = SweepProgress(begun, mark, look.counted, found, sorted(look.still))
        keys = self._there.keys
        self._there.write(lambda unit: resumption.keep(unit.connection, keys, self._name, progress, now))

    def _demand_going_on(self, now: datetime) -> None:
        a = t.account.c
        chosen = select(a.stopped, a.paused_until).where(a.id == self._processor.account)
        row = self._there.read(lambda connection: connection.execute(chosen).one_or_none())
        if row and (row.stopped or (row.paused_until is not None and row.paused_until > max(now, self._now()))):
            raise ListUnknown(_STOPPED)

    def _now(self) -> datetime:
        return self._there.clock.now()

    def _compare_all(self, look: Look, page: Sequence[RosterLine], now: datetime) -> Generator[int, None, None]:
        there = self._there
        read = partial(carried_of, keys=there.keys, processor=self._processor, page=page, begun=now)
        look.counted.listed += len(page)
        self._strangers.see(page)
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
            self._remember(look, one, line, hint=one.kind is DifferenceKind.MISSED and not carried.may_be_ours)

    def _remember(self, look: Look, one: SourceFinding, line: RosterLine, *, hint: bool) -> None:
        if asking.is_asked(one) and len(self._back) < asking.MOST:
            self._back[one.key] = one, line
        if one.key in look.new:
            self._lines[one.key] = line
            if hint:
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
        return made or ("" if is_unusable(hint.address) else None)

    def _keep(self, unit: Unit, kept: Sequence[tuple[SourceFinding, str]], now: datetime) -> None:
        controller = self._there.controller
        findings.keep(unit.connection, controller.keys, kept, now)
        for one, _ in kept:
            right = one.difference.right.value if one.difference.right else ""
            said = {"kind": "swept", "name": self._name, "right": right, "cause": one.kind.value, "ref": one.key}
            unit.append(None, entry.encode(EntryKind.DECIDED, now, **said))
        asked = [(one, self._lines[one.key]) for one, request_id in kept if not request_id]
        telling.tell(unit.connection, controller, self._name, asked, now)

    def _remember_seen(self, look: Look, now: datetime) -> None:
        back = [one for key, one in self._back.items() if key in look.new or key in look.still]
        self._there.write(lambda unit: asking.ask(unit.connection, self._there.controller, self._name, back, now))

    def _likely_cause(self) -> str:
        return telling.likely_cause(list(self._lines.values()), self._there.zone)

    def _tell_not_compared(self, connection: Connection, standing: SourceStanding, why: str, now: datetime) -> None:
        telling.tell_not_swept(connection, self._there.controller, standing, why, now)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (Ended, CredentialsRejected):
        raise ListUnknown("it did not answer when an opt-out was read again") from None


def sweep_of(
    there: Installation, processor: str, released: int | None = None, *, paced: bool = True, resume: bool = False
) -> Sweep:
    """The sweep of one. `released`: a person's word in place of the brake; `paced`: it rests after each page, so that
    it takes its share of the account alone; `resume`: it goes on where another was interrupted. Raises `NotFound`.
    """
    section = there.settings.processors.get(processor)
    if section is None or processor not in with_a_roster(there.settings):
        raise NotFound(f"there is no processor {processor} that lists whom it holds")
    how = section.sweep or SweepSection()
    return Sweep(there, processor, Brake(how.most, how.percent, released), how.share if paced else 100, resume=resume)


def with_a_roster(settings: Settings) -> list[str]:
    """The processors whose connector can list whom it holds; none is built."""
    kinds = {name: connector_class(one.connector) for name, one in settings.processors.items()}
    return [name for name, kind in kinds.items() if kind is not None and issubclass(kind, Roster)]
