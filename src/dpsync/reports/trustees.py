"""A year on one page for trustees: no request, no note and no reason is in it, nor a right that only few used."""

from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from dpsync.model import Right
from dpsync.reports import phrases
from dpsync.reports.duties import Duty
from dpsync.reports.period import PeriodReport
from dpsync.reports.proof import LedgerLine
from dpsync.reports.tallies import Speed, Tally
from dpsync.reports.text import counted, joined
from dpsync.reports.verdict import Verdict
from dpsync.reports.words import hours, moment

FEW = 5
"""Trustees may know whose request it was: a right of which there were fewer in a year has no line of its own."""

NOTE = f"A right with fewer than {FEW} requests is in All only, and so is another one where All would tell of it."
NONE_SHOWN = f"Fewer than {FEW} requests came in. This page says no more of so few: the report of the data protection "
NONE_SHOWN += "officer does."
APART = "It does not say which: the report of the data protection officer does."


@dataclass(frozen=True, slots=True)
class Trustees:
    """Counts of a year. `rows`: each right that enough people used, then all, or none where all of them are few;
    `before`: what was open from before.

    `quickly`: how soon processors were told, in sentences; `unseen`: the processors that have given their word only.
    """

    controller: str
    rehearsal: bool
    zone: str
    made_at: datetime
    label: str
    ledger: LedgerLine
    verdict: Verdict
    rows: tuple[Tally, ...]
    before: Tally | None
    quickly: tuple[str, ...]
    unseen: tuple[str, ...]
    duties: tuple[Duty, ...] = ()

    @property
    def title(self) -> str:
        """What stands at its head."""
        return f"{self.controller}: data-protection requests, {self.label}"


def trustees_of(report: PeriodReport) -> Trustees:
    """The page of a report over a year."""
    # What does not fit in the record may be told with a request's number.
    ledger = replace(report.ledger, problems=(APART,) if report.ledger.problems else ())
    return Trustees(
        controller=report.controller,
        rehearsal=report.rehearsal,
        zone=report.zone,
        made_at=report.made_at,
        label=f"{report.first.year}",
        ledger=ledger,
        verdict=report.verdict,
        rows=_rows(report),
        before=report.carried_total if len(report.carried) >= FEW else None,
        quickly=_quickly(report),
        unseen=tuple(dict.fromkeys(one.title for one in report.limits if not one.verified_by)),
    )


def _rows(report: PeriodReport) -> tuple[Tally, ...]:
    """The rights that enough people used, and all.

    Where those left out are few together, what is shown would give them away: all, less each row. Then the smallest of
    the shown is left out too. And of a year with few requests no row is shown, because that of all would be theirs.
    """
    if 0 < report.total.received < FEW:
        return ()
    shown = [one for one in report.by_right if one.received >= FEW]
    left_out = report.total.received - sum(one.received for one in shown)
    if 0 < left_out < FEW:
        shown.remove(min(shown, key=lambda one: one.received))
    return (*shown, report.total)


def _quickly(report: PeriodReport) -> tuple[str, ...]:
    """How soon, of the kinds of which there were enough."""
    stops = sum(one.received for one in report.by_right if one.right is Right.OPT_OUT)
    kinds = (("Requests", report.speed, report.total.received - stops), ("Opt-outs", report.speed_opt_out, stops))
    return tuple(_usual(of, speed) for of, speed, number in kinds if not 0 < number < FEW)


def trustees_text(page: Trustees) -> str:
    """The page as plain text."""
    zone = ZoneInfo(page.zone)
    lines = [phrases.REHEARSAL, ""] if page.rehearsal else []
    lines += [page.title, f"for the trustees, made {moment(page.made_at, zone)}", "", phrases.proof(page.ledger, zone)]
    lines += ["", f"[ {page.verdict.value.upper()} ]", "", "Requests by right"]
    lines += [phrases.TOLD_AND_DONE, NOTE] if page.rows else [NONE_SHOWN]
    lines += [f"  {label}: {counted(tally)}" for label, tally in labelled(page)]
    lines += ["", "How quickly?", *(f"  {one}" for one in page.quickly)] if page.quickly else []
    if page.unseen:
        lines += ["", "Where we cannot look ourselves and have only their word", *(f"  {one}" for one in page.unseen)]
    return joined(lines)


def labelled(page: Trustees) -> list[tuple[str, Tally]]:
    """What is counted on the page, each with what it is called."""
    before = [("Open from before", page.before)] if page.before else []
    return [*((phrases.tally_label(one), one) for one in page.rows), *before]


def _usual(of: str, speed: Speed) -> str:
    """As `phrases.quick`, without the slowest, which was one request."""
    if not speed.told:
        return f"{of}: nobody was told of any."
    usual = hours(speed.median_hours).removeprefix("less than ")
    return f"{of}: told usually within {usual}. Told after the target, or still not told: {speed.after_target:,}."
