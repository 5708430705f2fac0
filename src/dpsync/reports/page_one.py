"""A month's report as an email says it: what a person must know, in an order that a telephone shows well.

No table: each right is a line. Nothing is counted here; the attached files say the same in full.
"""

import textwrap
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from dpsync.mail import long_day
from dpsync.reports import phrases
from dpsync.reports.duties import Duty
from dpsync.reports.period import PeriodReport
from dpsync.reports.text import counted
from dpsync.reports.verdict import Verdict
from dpsync.reports.visible import visible
from dpsync.reports.words import moment, several


def is_quiet(report: PeriodReport) -> bool:
    """Whether nothing came in, nothing was open, and nobody has anything to do or to doubt."""
    return (
        not (report.received or report.carried)
        and report.verdict is Verdict.IN_ORDER
        and report.ledger.sound
        and not report.later
    )


def subject(report: PeriodReport) -> str:
    """How it stands, how many, which month: read in the list of a mailbox, perhaps nowhere else."""
    if report.ledger.only_missing:
        return f"Do not rely on it yet: part of the record could not be checked, {report.label}"
    if not report.ledger.sound:
        return f"Do not rely on it: the record could not be verified, {report.label}"
    if is_quiet(report):
        return f"A quiet month: no requests in {report.label}"
    left = report.total.not_yet + report.carried_total.not_yet
    late = report.total.overdue + report.carried_total.overdue
    told = several(report.total.received + report.carried_total.received, "request")
    if report.verdict is Verdict.OVERDUE and late:
        told = f"{late:,} of {told}"
    elif report.verdict is Verdict.OVERDUE:
        told = "something other than a request"  # a letter, a step of a complaint: the text says which
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
                f"for you to do. The next report is about the time from {long_day(report.next_from)} on."
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
        _to_compare(report),
        _listed("How quickly?", speeds),
        _listed("What we cannot see (the attached page says why)", limits),
        _listed("Complaints, incidents and held evidence", report.cases.said),
    ]
    return [part for part in parts if part]


def _to_do(report: PeriodReport) -> str:
    lines = [line for number, duty in enumerate(report.duties, 1) for line in _duty(number, duty)]
    if report.more_duties:
        lines.append(f"  and {several(report.more_duties, 'more thing')}: dpsync status")
    lines = lines or [_filled(phrases.nothing_to_do(report), "  ")]
    lines += [_filled(report.later, "  ")] if report.later else []
    return "\n".join(["What you need to do", *lines])


def _duty(number: int, duty: Duty) -> tuple[str, str]:
    told = _filled(f"{number}. {phrases.due(duty)}: {duty.sentence}", "  ")
    return told, f"     {visible(duty.command)}"  # whole, so that it can be copied


def _to_compare(report: PeriodReport) -> str:
    told, _, command = phrases.to_compare(report).partition(": ")
    return f"{_filled(told)}:\n  {visible(command)}" if command else ""


def _by_right(report: PeriodReport) -> str:
    rows = [(phrases.tally_label(one), one) for one in (*report.by_right, report.total) if one.received]
    rows += [("Open from before", report.carried_total)] if report.carried else []
    return _listed(f"Requests by right\n{phrases.TOLD_AND_DONE}", [f"{label}: {counted(one)}" for label, one in rows])


def _listed(head: str, items: Sequence[str]) -> str:
    return "\n".join([head, *(_filled(item, "  ") for item in items)]) if items else ""


def _filled(text: str, indent: str = "") -> str:
    hanging = f"{indent}   " if indent else ""
    return textwrap.fill(
        visible(text), 76, initial_indent=indent, subsequent_indent=hanging, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
