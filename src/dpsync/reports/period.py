"""All about a period: one set of values, computed by a few queries, from which every format is printed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, and_, or_

from dpsync.model import Right
from dpsync.reports.basis import Basis
from dpsync.reports.callbacks import CallbacksLine, callback_lines
from dpsync.reports.cases import CasesLine, cases_of
from dpsync.reports.conversations import retention_duties, retention_overdue
from dpsync.reports.duties import Duty, duties_of, mail_duties, source_duties
from dpsync.reports.housekeeping import (
    AlertLine,
    Drilled,
    JobLine,
    alerts_raised,
    drilled,
    jobs,
    mail_waiting,
    undelivered,
)
from dpsync.reports.kept import KeptLine
from dpsync.reports.letters import late_letters, letters_ahead
from dpsync.reports.lines import PropagationLine, RequestStanding
from dpsync.reports.meaning import Late, Need
from dpsync.reports.processors import ProcessorLine
from dpsync.reports.proof import LedgerLine
from dpsync.reports.reconciled import SWEPT, SourceStanding, reconciliation_duties, standings
from dpsync.reports.set_aside import SetAside, set_aside
from dpsync.reports.standing import Standings, Wanted
from dpsync.reports.tallies import (
    Limit,
    ProcessorTally,
    SourceLine,
    Speed,
    Tally,
    alike,
    by_processor,
    by_source,
    limits_of,
    speed,
    tally,
    waited,
)
from dpsync.reports.trends import Trends, trends_of
from dpsync.reports.verdict import SHOWN, Verdict, notes_of, sentence, verdict
from dpsync.reports.words import several
from dpsync.retention.standing import Opener as ActOpener
from dpsync.retention.standing import RetentionLine, RetentionRule, retention_lines
from dpsync.store import tables as t
from dpsync.store.columns import EPOCH

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PeriodReport:
    """What the data protection officer reads. Numbers are of `received` unless they say `carried`.

    `received`: received within the period; `carried`: received earlier and not closed when the period began. Where they
    stand is as of `made_at`. `next_from`: the first day that the next report tells of. `later`: letters to people that
    are not due yet, in a sentence.
    """

    controller: str
    rehearsal: bool
    zone: str
    made_at: datetime
    label: str
    first: date
    last: date
    next_from: date
    ledger: LedgerLine
    verdict: Verdict
    sentence: str
    duties: tuple[Duty, ...]
    more_duties: int
    later: str
    notes: tuple[str, ...]
    by_right: tuple[Tally, ...]
    total: Tally
    carried_total: Tally
    by_processor: tuple[ProcessorTally, ...]
    sources: tuple[SourceLine, ...]
    speed: Speed
    speed_opt_out: Speed
    limits: tuple[Limit, ...]
    trends: Trends
    overdue: tuple[PropagationLine, ...]
    finished_late: tuple[PropagationLine, ...]
    attention: tuple[PropagationLine, ...]
    set_aside: tuple[SetAside, ...]
    conversations: tuple[RetentionLine, ...]
    alerts_raised: int
    alerts: tuple[AlertLine, ...]
    jobs: tuple[JobLine, ...]
    drill: Drilled | None
    processors: tuple[ProcessorLine, ...]
    received: tuple[RequestStanding, ...]
    carried: tuple[RequestStanding, ...]
    cases: CasesLine
    kept: tuple[KeptLine, ...]
    reconciled: tuple[SourceStanding, ...]
    swept: tuple[SourceStanding, ...]
    callbacks: tuple[CallbacksLine, ...]


def period_report(
    connection: Connection,
    basis: Basis,
    first: date,
    last: date,
    *,
    rules: Sequence[RetentionRule] = (),
    acted: ActOpener | None = None,
    standings: Standings | None = None,
) -> PeriodReport:
    """The report over the controller's days `first` to `last`, both included, as things stand at `basis.now`.

    `connection` sees one moment (`store.database.reading`), so that the numbers agree with each other. `acted` opens
    who did something about private conversations, for which `rules` hold. `standings`: what was made already of rows
    that were read in the same view (`printed`). Raises ValueError where `last` is before `first`.
    """
    begin, end = begin_and_end(first, last, basis.zone)
    made = standings or Standings(basis.now, basis.known)
    received, carried = _apart(made.with_the_rest(connection, printed(begin, end)), begin)
    everything = (*received, *carried)
    conversations = retention_lines(connection, rules, basis.now, basis.today, acted) if acted else ()
    alerts = undelivered(connection, basis.now)
    cases = cases_of(connection, first, last, basis.now, basis.zone)
    letters, later = letters_ahead(connection, basis.today, basis.zone) if basis.letters else ([], "")
    found = [*cases.duties, *letters, *_of_requests(received, carried, basis), *_beside(connection, conversations)]
    duties = _duties(basis.ledger, alerts, _by_date([*mail_duties(mail_waiting(connection)), *found]))
    elsewhere = _elsewhere(retention_overdue(conversations), late_letters(letters))
    return PeriodReport(
        **basis.head,
        **_period(first, last),
        **_numbers(received, carried, first, last, basis),
        **_judged(basis.ledger, duties, everything, elsewhere),
        **_shown(duties, later),
        set_aside=set_aside(connection, everything, basis.known, basis.decided),
        conversations=conversations,
        alerts=alerts,
        cases=cases,
        **_service(connection, basis, begin, end),
    )


def _judged(
    ledger: LedgerLine, duties: Sequence[Duty], everything: Sequence[RequestStanding], elsewhere: str
) -> dict[str, Any]:
    said, notes = sentence(everything, elsewhere), notes_of(everything)
    return {"verdict": verdict(ledger, duties, everything), "sentence": said, "notes": notes}


def _beside(connection: Connection, conversations: Sequence[RetentionLine]) -> list[Duty]:
    return [*retention_duties(conversations), *reconciliation_duties(connection)]


def _shown(duties: Sequence[Duty], later: str) -> dict[str, Any]:
    return {"later": later, "duties": tuple(duties[:SHOWN]), "more_duties": max(0, len(duties) - SHOWN)}


def _by_date(duties: Sequence[Duty]) -> list[Duty]:
    """What has no date first, then by the day: 72 hours do not wait behind a month. Of one day, in the order given."""
    return sorted(duties, key=lambda duty: duty.by or date.min)


def _elsewhere(*parts: str) -> str:
    """What is overdue and no request, ending in "is" or "are"."""
    return " overdue; ".join(part for part in parts if part)


def _of_requests(received: Sequence[RequestStanding], carried: Sequence[RequestStanding], basis: Basis) -> list[Duty]:
    unmatched = source_duties(by_source(received, basis.sent))
    return [
        *unmatched,
        *duties_of((*received, *carried), basis.today, basis.zone, asks=basis.asks, unasked=basis.unasked),
    ]


def _service(connection: Connection, basis: Basis, begin: datetime, end: datetime) -> dict[str, Any]:
    raised = alerts_raised(connection, begin, end)
    found = {"jobs": jobs(connection), "drill": drilled(connection), "processors": tuple(basis.processors)}
    lists = {"reconciled": tuple(standings(connection).values()), "swept": tuple(standings(connection, SWEPT).values())}
    told = {"alerts_raised": raised, "callbacks": callback_lines(connection, begin, end)}
    return {"kept": basis.kept, **told, **found, **lists}


def _period(first: date, last: date) -> dict[str, Any]:
    return {"label": _label(first, last), "first": first, "last": last, "next_from": last + DAY}


def _numbers(
    received: tuple[RequestStanding, ...], carried: tuple[RequestStanding, ...], first: date, last: date, basis: Basis
) -> dict[str, Any]:
    lines = [line for one in (*received, *carried) for line in one.lines]
    counted = alike(lines)
    opt_outs = [one for one in received if one.right is Right.OPT_OUT]
    others = [one for one in received if one.right is not Right.OPT_OUT]
    spans, spans_of_opt_outs = waited(others), waited(opt_outs)
    return {
        "by_right": tuple(tally(right, [one for one in received if one.right is right]) for right in Right),
        "total": tally(None, received),
        "carried_total": tally(None, carried),
        "by_processor": by_processor(counted),
        "sources": by_source(received, basis.sent),
        "speed": speed(others, spans, basis.now),
        "speed_opt_out": speed(opt_outs, spans_of_opt_outs, basis.now),
        "limits": limits_of(counted, basis.known),
        "trends": trends_of(
            received, carried, counted, chain(spans, spans_of_opt_outs, waited(carried)), (first, last), basis.zone
        ),
        "overdue": tuple(line for line in lines if line.late is Late.OVERDUE),
        "finished_late": tuple(line for line in lines if line.late is Late.FINISHED),
        "attention": tuple(line for line in lines if line.need is not Need.NOTHING and line.late is not Late.OVERDUE),
        "received": received,
        "carried": carried,
    }


def begin_and_end(first: date, last: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When the controller's day `first` begins, and the day after `last`. Raises ValueError where that is before."""
    if last < first:
        raise ValueError("the period ends before it begins")
    begin, end = (datetime.combine(day, time(), zone).astimezone(UTC) for day in (first, last + DAY))
    return begin, end


def printed(begin: datetime, end: datetime) -> ColumnElement[bool]:
    """Which rows of table `request` a report prints: received within the period, or before and not closed then."""
    r = t.request.c
    within = and_(r.received_at >= begin, r.received_at < end)
    return or_(within, and_(r.received_at < begin, or_(r.closed_at.is_(None), r.closed_at >= begin)))


def is_printed(begin: datetime, end: datetime) -> Wanted:
    """The same of a row that was read; where somebody wrote there by hand what is no time, as a database has it."""
    first, last = ((at - EPOCH) // timedelta(microseconds=1) for at in (begin, end))

    def wanted(received: object, closed: object) -> bool:
        still_open = not isinstance(closed, int) or closed >= first
        return isinstance(received, int) and received < last and (received >= first or still_open)

    return wanted


def _label(first: date, last: date) -> str:
    if first.day == 1 and (last + DAY).day == 1 and (first.year, first.month) == (last.year, last.month):
        return f"{first:%B %Y}"
    return f"{first.day} {first:%b %Y} to {last.day} {last:%b %Y}"


def _apart(
    both: Sequence[RequestStanding], begin: datetime
) -> tuple[tuple[RequestStanding, ...], tuple[RequestStanding, ...]]:
    carried = [one for one in both if one.received_at < begin]
    return (
        tuple(one for one in both if one.received_at >= begin),
        # What was born closed (exempt everywhere) has no moment of closing.
        tuple(one for one in carried if one.open or one.closed_at is not None),
    )


def _duties(ledger: LedgerLine, alerts: Sequence[AlertLine], found: Sequence[Duty]) -> list[Duty]:
    """All that somebody must do: the record first, then what is overdue, then what keeps anybody from hearing of it."""
    duties = [] if ledger.sound else [_NOT_CHECKED if ledger.only_missing else _NOT_PROVED]
    duties += [duty for duty in found if duty.overdue]
    failing = [alert for alert in alerts if alert.attempts]
    if failing:
        told = f"{several(len(failing), 'alert')} could not be delivered: see that the channels work."
        duties.append(Duty(overdue=False, by=None, sentence=told, command="dpsync check --send-test"))
    return duties + [duty for duty in found if not duty.overdue]


_NOT_PROVED = Duty(
    overdue=False,
    by=None,
    sentence="Do not rely on this report: its record could not be verified. Keep this page and every checkpoint "
    "that you were sent, change nothing, and ask somebody to look who does not run this machine.",
    command="dpsync verify",
)

_NOT_CHECKED = Duty(
    overdue=False,
    by=None,
    sentence="Part of the record could not be checked, because a key or a file is missing or is the wrong one: ask "
    "whoever runs this machine to put the right one back. Then make this report again.",
    command="dpsync check",
)
