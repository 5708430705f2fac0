"""What runs by the clock: each outbox is looked into every minute, and its triggers are counted every morning."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.installation import Installation
from dpsync.intake.polling.inspection import problems_of
from dpsync.intake.polling.poll import poll
from dpsync.intake.polling.standing import OutboxStanding, standings, write_standings
from dpsync.intake.polling.table import NEW, REFUSED, OutboxAway, SourceOutbox
from dpsync.intake.sources.source import Source, source_of
from dpsync.store.writer import Unit

PATIENCE = timedelta(hours=1)
"""A database that is being backed up or updated is back before that."""


def outboxes_of(there: Installation) -> Iterator[tuple[Source, SourceOutbox]]:
    """Each source that has one. Raises `ConfigurationError`, `ExtraMissing`."""
    for name, section in there.settings.sources.items():
        if section.outbox is not None:
            yield source_of(there, name, section), SourceOutbox(name, section.outbox)


def poll_all(there: Installation, now: datetime) -> None:
    """Take in what waits in each outbox, and remember how it went. No trouble with one keeps another back."""
    there_are = list(outboxes_of(there))
    if not there_are:
        return
    before = there.read(standings)
    seen: list[OutboxStanding] = []
    failed: list[Exception] = []
    for source, outbox in there_are:
        try:
            seen.append(_polled(there, source, outbox, before, now))
        except Exception as error:  # noqa: BLE001 - because it is raised below, when the others had their turn
            failed.append(error)
            seen += [before[source.name]] if source.name in before else []

    def work(unit: Unit) -> None:
        write_standings(unit.connection, seen)
        late = [one for one in seen if one.away and now - one.since >= PATIENCE]
        if late:
            raise_alert(
                unit.connection,
                cause=AlertCause.OUTBOX_AWAY,
                role="operator",
                subject="A main database cannot be reached",
                body="dpsync looks into its outbox every minute. Whoever asked for something there waits, while the "
                "legal dates run. Nothing is lost: the rows stay where they are. `dpsync check` says what is wrong.",
                now=now,
                zone=there.zone,
                concerns=[Concern(one.source, f"source {one.source}: for {_hours(now - one.since)}") for one in late],
            )

    there.write(work)
    if failed:
        raise failed[0]


def _hours(time: timedelta) -> str:
    hours = time // timedelta(hours=1)
    return "1 hour" if hours == 1 else f"{hours:,} hours"


def _polled(
    there: Installation, source: Source, outbox: SourceOutbox, before: Mapping[str, OutboxStanding], now: datetime
) -> OutboxStanding:
    try:
        poll(there, source, outbox, now)
        counts = outbox.counts()
    except OutboxAway:
        last = before.get(source.name) or OutboxStanding(source.name, away=True, since=now)
        since = last.since if last.away else now
        return OutboxStanding(source.name, away=True, since=since, waiting=last.waiting, refused=last.refused)
    return OutboxStanding(source.name, away=False, since=now, waiting=counts[NEW], refused=counts[REFUSED])


def inspect_all(there: Installation, now: datetime) -> None:
    """Tell of triggers that are gone, and of grants that are too wide. What is away is told by `poll_all`."""
    found = []
    for source, outbox in outboxes_of(there):
        try:
            problems = problems_of(outbox, source.mapping.triggers)
        except OutboxAway:
            continue
        found += [Concern(f"{source.name} {one}", f"source {source.name}: {one}") for one in problems]
    if found:
        there.tell(
            cause=AlertCause.OUTBOX_CHANGED,
            role="operator",
            subject="The outbox of a main database is not as it should be",
            body="An update of a CRM often makes its triggers anew, without ours. `dpsync source outbox NAME` prints "
            "those that belong there. Then look for what was changed in the meantime, and enter it by `dpsync submit`. "
            "`dpsync check` looks again.",
            now=now,
            concerns=found,
        )
