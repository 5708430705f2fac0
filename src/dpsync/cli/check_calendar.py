"""What `dpsync check` sees of the legal dates: whether today's holidays would give open requests other ones."""

from collections.abc import Iterator
from datetime import date, datetime

from sqlalchemy import Connection, func, select

from dpsync.cli.check_lines import CheckLine, CheckResult
from dpsync.errors import ConfigurationError
from dpsync.installation import Installation
from dpsync.model import Right
from dpsync.propagation.rules.legal_clock import LegalClock
from dpsync.reports.words import several
from dpsync.store import tables as t


def calendar_lines(there: Installation, now: datetime) -> Iterator[CheckLine]:
    """One line. A date that is stored stays as it is, whatever a newer version of the holidays or a setting says."""
    try:
        clock = there.controller.legal_clock
    except ConfigurationError:
        return  # said already, in the processor's own line
    differing, later = there.read(lambda connection: _differing(connection, clock, now))
    if not differing:
        yield CheckLine("legal dates", CheckResult.OK, f"by {clock.calendar}; the dates of all open requests agree")
        return
    changed = several(differing, "open request has", "open requests have")
    text = (
        f"{changed} another legal date than {clock.calendar} would give now, {later} of them a later one. "
        "The dates stay as they were stored: act by the earlier of the two"
    )
    yield CheckLine("legal dates", CheckResult.WAITING, text)


def _differing(connection: Connection, clock: LegalClock, now: datetime) -> tuple[int, int]:
    """How many open requests have another date than would be computed now, and of how many the stored is the later."""
    r = t.request.c
    chosen = r.closed_at.is_(None) & (r.right != Right.OPT_OUT.value)
    rows = connection.execute(select(r.starts_on, r.due_on, func.count()).where(chosen).group_by(r.starts_on, r.due_on))
    differing = later = 0
    for starts_on, due_on, count in rows:
        due = clock.month_from(date.fromisoformat(starts_on), now).due_on.isoformat()
        differing += count if due != due_on else 0
        later += count if due < due_on else 0
    return differing, later
