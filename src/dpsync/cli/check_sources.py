"""What `dpsync check` sees of main databases with a shape of their own: mappings, signatures, outboxes."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from dpsync.cli.check_lines import CheckLine, CheckResult
from dpsync.errors import ConfigurationError
from dpsync.extras import ExtraMissing
from dpsync.installation import Installation
from dpsync.intake.observed import source_of as observed_at
from dpsync.intake.polling.inspection import problems_of
from dpsync.intake.polling.table import NEW, REFUSED, OutboxAway, SourceOutbox
from dpsync.intake.reconciliation.daily import people_of
from dpsync.intake.reconciliation.people_list import ListUnknown
from dpsync.intake.sources.messages import SourceMessages, messages_of
from dpsync.intake.sources.schemes import doubtful
from dpsync.intake.sources.source import Source, source_of
from dpsync.intake.sweeping import after_recovery
from dpsync.intake.sweeping.nightly import swept_by_night
from dpsync.intake.sweeping.sweep import CODE, with_a_roster
from dpsync.reports.reconciled import SWEPT, ListState, SourceStanding, open_findings, standings
from dpsync.reports.words import moment, several
from dpsync.settings.sources import SourceSection
from dpsync.settings.values import UNSET_CODE
from dpsync.signature import UNFIT

SELDOM = timedelta(days=2)
"""After so long without a sweep that came to its end somebody must look: each night there should be one."""

RECONCILE, SWEEP = "dpsync source reconcile", "dpsync sweep"


def source_lines(there: Installation, *, offline: bool) -> Iterator[CheckLine]:
    """Each of them: whether it can be understood, how much its signature proves, how its outbox is."""
    for name, section in there.settings.sources.items():
        what = f"source {name}"
        try:
            source = source_of(there, name, section)
        except ConfigurationError as error:
            yield _fault(what, error)
            continue
        if section.scheme:
            yield from _of_scheme(what, source, section)
        if section.outbox is not None:
            yield from _of_outbox(f"{what}, outbox", source, section, offline=offline)


def _fault(what: str, error: ConfigurationError) -> CheckLine:
    unset = all(fault.code == UNSET_CODE for fault in error.faults)
    verdict = CheckResult.NOT_SET if unset else CheckResult.PROBLEM
    text = "; ".join(f"{fault.key}: {fault.problem}" for fault in error.faults)
    return CheckLine(what, verdict, text, error.faults[0].code, fatal=not unset)


def _of_scheme(what: str, source: Source, section: SourceSection) -> Iterator[CheckLine]:
    text = f"mapping {section.mapping}, signed by {section.scheme}"
    if source.weak:
        text += ". Its secret proves little, so erasures cool off"
    if section.reconciled_by:
        text += f". Compared by: {section.reconciled_by}"
    found = doubtful(section.scheme or "", [secret.get_secret_value() for secret in section.secrets])
    for fault in found:
        yield CheckLine(what, CheckResult.PROBLEM, f"{fault.key}: {fault.problem}", UNFIT)
    if not found:
        yield CheckLine(what, CheckResult.OK, text)


def list_lines(there: Installation) -> Iterator[CheckLine]:
    """What each main database has sent, and how its list, and that of each processor, compared with what was asked when
    it was last read.
    """
    yield from message_lines(there)
    yield from people_lines(there)
    yield from roster_lines(there)


def message_lines(there: Installation) -> Iterator[CheckLine]:
    """Of the main databases: how many messages came, how many mean nothing, and when the last one came."""
    sent = there.read(messages_of) if there.settings.sources else {}
    for name in there.settings.sources:
        one = sent.get(name, SourceMessages())
        ignored = f", {sum(one.ignored.values()):,} of them ignored by its mapping" if one.ignored else ""
        last = f", the last at {moment(one.last_at, there.zone)}" if one.last_at else ""
        text = f"{several(one.understood, 'message')}{ignored}{last}"
        yield CheckLine(f"source {name}, messages", CheckResult.OK, text)


def people_lines(there: Installation) -> Iterator[CheckLine]:
    """Of the main databases: the numbers, and what waits."""
    named = {name: one.people_list for name, one in there.settings.sources.items() if one.people_list is not None}
    if not named:
        return
    found, waiting = there.read(lambda connection: (standings(connection), open_findings(connection)))
    for name, section in named.items():
        what = f"source {name}, people"
        try:
            people_of(there, name, section)
        except ConfigurationError as error:
            yield _fault(what, error)
        except ExtraMissing as error:
            yield CheckLine(what, CheckResult.PROBLEM, error.message, error.code)
        else:
            yield _of_list(there, what, found.get(name), waiting.get(name, 0))


def roster_lines(there: Installation) -> Iterator[CheckLine]:
    """Of each processor that can list whom it holds: the same."""
    found, waiting = there.read(lambda connection: (standings(connection, SWEPT), open_findings(connection)))
    nightly, rosters = swept_by_night(there.settings), with_a_roster(there.settings)
    since = there.read(after_recovery.recovered_at)
    owed = there.read(lambda connection: after_recovery.owed(connection, rosters))
    for name in rosters:
        what, one = f"processor {name}, people", found.get(name)
        if since and name in owed:
            yield CheckLine(what, CheckResult.PROBLEM, _owed(there, name, since), CODE)
        elif name in nightly and one is not None and there.clock.now() - one.at > SELDOM:
            told = f"no sweep came to its end since {moment(one.at, there.zone)}: a restart makes it begin anew"
            yield CheckLine(what, CheckResult.PROBLEM, f"{told}. `{SWEEP} {name}` reads the list at once", CODE)
        elif name in nightly or one is not None:
            yield _of_list(there, what, one, waiting.get(observed_at(name), 0), SWEEP)
        else:
            text = "it lists whom it holds, and nobody looks who is back: set `sweep = {}` in its section"
            yield CheckLine(what, CheckResult.NOT_SET, text)


def _owed(there: Installation, name: str, since: datetime) -> str:
    at = moment(since, there.zone)
    return (
        f"its list was not read since the database was recovered on {at}: who was erased may be back. dpsync reads it "
        f"at once when it runs and the account goes on (`dpsync resume`), or by `{SWEEP} {name}`"
    )


def _of_list(
    there: Installation, what: str, one: SourceStanding | None, waiting: int, command: str = RECONCILE
) -> CheckLine:
    if one is None:
        return CheckLine(what, CheckResult.WAITING, f"not compared yet: once a day, or by `{command}`")
    trouble = "" if one.state is ListState.COMPARED else f" The list is {one.state}, see `{command}`."
    if waiting:
        trouble += f" For a person to look at: {several(waiting, 'difference')}, see `dpsync source findings`."
    verdict = CheckResult.PROBLEM if trouble else CheckResult.OK
    text = f"{moment(one.at, there.zone)}: {one.numbers}.{trouble}"
    return CheckLine(what, verdict, text, (CODE if command == SWEEP else ListUnknown.code) if trouble else "")


def _of_outbox(what: str, source: Source, section: SourceSection, *, offline: bool) -> Iterator[CheckLine]:
    if section.outbox is None:
        return
    try:
        outbox = SourceOutbox(source.name, section.outbox)
        if offline:
            yield CheckLine(what, CheckResult.OK, f"mapping {section.mapping}. Not asked (--offline)")
            return
        counts, problems = outbox.counts(), problems_of(outbox, source.mapping.triggers)
    except ConfigurationError as error:
        yield _fault(what, error)
        return
    except (OutboxAway, ExtraMissing) as error:
        yield CheckLine(what, CheckResult.PROBLEM, error.message, error.code)
        return
    if counts[REFUSED]:
        problems.append(f"{counts[REFUSED]:,} of its rows are refused; each says why")
    for problem in problems:
        yield CheckLine(what, CheckResult.PROBLEM, problem, OutboxAway.code)
    if not problems:
        triggers = f"{len(source.mapping.triggers)} triggers" if source.mapping.triggers else "its triggers not counted"
        yield CheckLine(what, CheckResult.OK, f"mapping {section.mapping}, {counts[NEW]:,} rows wait, {triggers}")
