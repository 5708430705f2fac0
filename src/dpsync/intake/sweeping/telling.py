"""What people hear of a sweep: by the vendor's ids and our own marks, never by names."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.connector import RosterLine
from dpsync.intake.reconciliation.compare import Difference, DifferenceKind
from dpsync.intake.reconciliation.findings import SourceFinding
from dpsync.intake.sweeping.compare import IN_USE, LEFT, MAILED, RETURNED
from dpsync.model import Right
from dpsync.propagation.controller import Controller
from dpsync.reports.reconciled import SourceStanding
from dpsync.reports.words import day, moment

_FOUND: Final = {
    RETURNED: "the person was erased there, and a record with the address is there",
    MAILED: "the person opted out, of all of it or of a part, and may be written to from there",
    IN_USE: "the person is restricted, and nothing keeps the record from use",
    LEFT: "the person is unsubscribed there, and it is not known whether by their wish, or by dpsync for a restriction",
}


def found_text(kind: DifferenceKind, right: str) -> str:
    """What was found, in a clause."""
    return _FOUND[Difference(kind, Right(right))]


def tell(
    connection: Connection,
    controller: Controller,
    processor: str,
    found: Sequence[tuple[SourceFinding, RosterLine]],
    now: datetime,
) -> None:
    """Tell of what is new and waits for a person, each with who was the last to write there, as far as that is told."""
    if not found:
        return
    title = controller.title_of(processor)
    raise_alert(
        connection,
        cause=AlertCause.BACK_AT_PROCESSOR,
        role="dpo",
        subject="A processor holds people otherwise than was asked and done",
        body="dpsync changed nothing because of it. `dpsync source findings` shows which records. Look there who "
        "brought it about: most often a sync or an import, which goes on doing so until it is stopped. Then ask once "
        "more: `dpsync submit`. If the person came back by their own wish: `dpsync welcome`. If it is somebody "
        "else: `dpsync source leave`.",
        now=now,
        zone=controller.zone,
        concerns=[_concern(controller, title, one, line) for one, line in found],
    )


def _concern(controller: Controller, title: str, one: SourceFinding, line: RosterLine) -> Concern:
    what = found_text(one.kind, one.difference.right.value if one.difference.right else "")
    when = f"; the record was changed last on {moment(line.changed_at, controller.zone)}" if line.changed_at else ""
    how = f"; it came there by: {line.by}" if line.by else ""
    return Concern(one.key, f"{title}, finding {one.key[:12]}: {what}{when}{how}", title)


def likely_cause(lines: Sequence[RosterLine], zone: ZoneInfo) -> str:
    """How, and on which day, most of the records that differ came there, as far as the vendor tells; "" for nothing."""
    days = (day(line.changed_at.astimezone(zone)) if line.changed_at else "" for line in lines)
    said = []
    for what, told in (("came there by", (line.by for line in lines)), ("were changed last on", days)):
        ((most, number),) = Counter(told).most_common(1) or [("", 0)]
        if most and number * 2 > len(lines):
            said.append(f"{number:,} {what} {most}")
    return f"; of {len(lines):,} of them {', '.join(said)}" if said else ""


def tell_not_swept(
    connection: Connection, controller: Controller, standing: SourceStanding, why: str, now: datetime
) -> None:
    """A sweep that did not come about, or that a person must release."""
    processor, title = standing.source, controller.title_of(standing.source)
    raise_alert(
        connection,
        cause=AlertCause.NOT_SWEPT,
        role="operator",
        subject="A processor's list of people could not be compared with what was asked",
        body="Nothing was done because of it. Who is back there since the last good sweep is not known. `dpsync sweep "
        "PROCESSOR --dry-run` looks again and changes nothing.",
        now=now,
        zone=controller.zone,
        concerns=[Concern(processor, f"{title} ({processor}): {why}", title)],
    )
