"""Reminders of the register of processors: a review that is overdue, a processor that has left and still stands."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, told_of
from dpsync.cases.departures import case_of
from dpsync.installation import Installation
from dpsync.reports.make import register_now
from dpsync.reports.register import remains
from dpsync.reports.words import day

AGAIN: Final = timedelta(days=7)
"""How long after an alert the same thing is told again: whoever is reminded each day soon reads none of it."""

REVIEW: Final = AlertCause.REVIEW_OVERDUE
LEFT: Final = AlertCause.PROCESSOR_LEFT


def remind(there: Installation, now: datetime) -> None:
    """Tell the data protection officer of what the register says is overdue, each thing once in seven days."""
    lines = register_now(there, now).lines
    reviews = [
        Concern(
            f"{line.processor}/{line.review_by}",
            f"{line.title} ([{line.key}]): it was due by {day(line.review_by)}",
            line.title,
        )
        for line in lines
        if line.review_overdue and line.review_by
    ]
    left = [
        Concern(f"{case_of(line.processor)}/{line.leaving}", f"{line.title}: {' '.join(remains(line))}", line.title)
        for line in lines
        if line.left
    ]
    _tell(
        there,
        REVIEW,
        "The review of a processor is overdue",
        "Look at the contract, at the data, at the country and at how long they are kept. Then set the next date as "
        "`review_by` in the settings. `dpsync register` shows what stands there now.",
        reviews,
        now,
    )
    _tell(
        there,
        LEFT,
        "A processor has left, and its section is still in the settings",
        "The last day in `leaving` is over. This is still to be done:",
        left,
        now,
    )


def _tell(
    there: Installation, cause: AlertCause, subject: str, body: str, found: Sequence[Concern], now: datetime
) -> None:
    abouts = [one.about for one in found]
    known = there.read(lambda connection: told_of(connection, cause, abouts, now, there.zone, back=AGAIN))
    fresh = [one for one in found if one.about not in known]
    if fresh:
        there.tell(
            cause=cause,
            role="dpo",
            subject=subject,
            body=body,
            now=now,
            concerns=fresh,
        )
