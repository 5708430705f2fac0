"""A month's report as an email says it: what a person must know, in an order that a telephone shows well.

No table: each right is a line. Nothing is counted here; the attached files say the same in full. And a year's page for
trustees, in which no line is about a single request.
"""

import textwrap
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from dpsync.reports import phrases
from dpsync.reports.duties import Duty
from dpsync.reports.period import PeriodReport
from dpsync.reports.tallies import Speed, Tally
from dpsync.reports.verdict import Verdict
from dpsync.reports.visible import visible
from dpsync.reports.words import hours, long_day, moment, several

TOLD_AND_DONE = "Told: they have our instruction. Done: we looked and saw it, or they say so."
ALWAYS_SHOWN = 5
"""So many of the columns are told even where nobody is counted in them: told and done are the point of it."""

FEW = 5
"""Trustees may know whose request it was: a right of which there were fewer in a year has no line of its own."""


def is_quiet(report: PeriodReport) -> bool:
    """Whether nothing came in, nothing was open, and nobody has anything to do or to doubt."""
    return not (report.received or report.carried) and report.verdict is Verdict.IN_ORDER and report.ledger.sound


def subject(report: PeriodReport) -> str:
    """How it stands, how many, which month: read in the list of a mailbox, perhaps nowhere else."""
    if not report.ledger.sound:
        return f"Do not rely on it: the record could not be verified, {report.label}"
    if is_quiet(report):
        return f"A quiet month: no requests in {report.label}"
    left = report.total.not_yet + report.carried_total.not_yet
    late = report.total.overdue + report.carried_total.overdue
    told = several(report.total.received + report.carried_total.received, "request")
    if report.verdict is Verdict.OVERDUE and late:
        told = f"{late:,} of {told}"
    elif left:
        told = f"{left:,} of {told} not done yet"
    return f"{report.verdict.value}: {told}, {report.label}"


def paragraphs(report: PeriodReport) -> list[str]:
    """The text, a paragraph each; every line is printable, whatever a title or a reason holds."""
    zone = ZoneInfo(report.zone)
    if is_quiet(report):
        return [
            visible(
                f"A quiet month at {report.controller}: in {report.label} no request came in, no earlier one was open, "
                f"and the record is unaltered ({several(report.ledger.entries, 'entry', 'entries')}). There is nothing "
                f"for you to do. The next report starts on {long_day(report.next_from)}."
            )
        ]
    title = visible(f"{report.controller}: data-protection requests, {report.label}")
    speeds = [phrases.quick(report.speed, "Requests"), phrases.quick(report.speed_opt_out, "Opt-outs")]
    limits = [one.line for one in phrases.limit_entries(report.limits)]
    parts = [
        f"{title}\nmade {moment(report.made_at, zone)}",
        _listed(phrases.proof(report.ledger, zone), report.ledger.problems) or phrases.proof(report.ledger, zone),
        f"[ {report.verdict.value.upper()} ]\n{_filled(report.sentence)}",
        _to_do(report),
        _listed("To note", report.notes),
        _by_right(report),
        _listed("Compare with what the sources say they sent", [phrases.source(one) for one in report.sources]),
        _listed("How quickly?", speeds),
        _listed("What we cannot see (the attached page says why)", limits),
    ]
    return [part for part in parts if part]


def trustees(report: PeriodReport) -> str:
    """A year on one page for trustees: no request, no note and no reason is in it, nor a right that only few used."""
    zone = ZoneInfo(report.zone)
    rows = [one for one in report.by_right if one.received >= FEW]
    told = [f"{phrases.tally_label(one)}: {_counts(one)}" for one in (*rows, report.total)]
    told += [f"Open from before: {_counts(report.carried_total)}"] if len(report.carried) >= FEW else []
    unseen = list(dict.fromkeys(one.title for one in report.limits if not one.verified_by))
    title = visible(f"{report.controller}: data-protection requests, {report.first.year}")
    parts = [
        phrases.REHEARSAL if report.rehearsal else "",
        f"{title}\nfor the trustees, made {moment(report.made_at, zone)}",
        _filled(phrases.proof(report.ledger, zone)),
        f"[ {report.verdict.value.upper()} ]",
        _listed(f"Requests by right\n{TOLD_AND_DONE}\nA right with fewer than {FEW} requests is in All only.", told),
        _listed("How quickly?", [_usual("Requests", report.speed), _usual("Opt-outs", report.speed_opt_out)]),
        _listed("Where we cannot look ourselves and have only their word", unseen),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _usual(of: str, speed: Speed) -> str:
    """As `phrases.quick`, without the slowest, which was one request."""
    if not speed.told:
        return f"{of}: nobody was told of any."
    usual = hours(speed.median_hours).removeprefix("less than ")
    return f"{of}: told usually within {usual}. Told after the target, or still not told: {speed.after_target:,}."


def _to_do(report: PeriodReport) -> str:
    lines = [line for number, duty in enumerate(report.duties, 1) for line in _duty(number, duty)]
    if report.more_duties:
        lines.append(f"  and {several(report.more_duties, 'more thing')}: dpsync status")
    return "\n".join(["What you need to do", *(lines or [_filled(phrases.nothing_to_do(report), "  ")])])


def _duty(number: int, duty: Duty) -> tuple[str, str]:
    told = _filled(f"{number}. {phrases.due(duty)}: {duty.sentence}", "  ")
    return told, f"     {visible(duty.command)}"  # whole, so that it can be copied


def _by_right(report: PeriodReport) -> str:
    rows = [(phrases.tally_label(one), one) for one in (*report.by_right, report.total) if one.received]
    rows += [("Open from before", report.carried_total)] if report.carried else []
    return _listed(f"Requests by right\n{TOLD_AND_DONE}", [f"{label}: {_counts(one)}" for label, one in rows])


def _counts(tally: Tally) -> str:
    cells = enumerate(zip(phrases.TALLY_HEADS, phrases.tally_cells(tally), strict=True))
    return "; ".join(f"{head.lower()} {count:,}" for at, (head, count) in cells if count or at < ALWAYS_SHOWN)


def _listed(head: str, items: Sequence[str]) -> str:
    return "\n".join([head, *(_filled(item, "  ") for item in items)]) if items else ""


def _filled(text: str, indent: str = "") -> str:
    hanging = f"{indent}   " if indent else ""
    return textwrap.fill(
        visible(text), 76, initial_indent=indent, subsequent_indent=hanging, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
