"""What `dpsync check` sees of the register of processors: reviews that are due, who is leaving, what is missing."""

from collections.abc import Iterator
from datetime import datetime

from dpsync.cli.check_lines import CheckLine, CheckResult
from dpsync.errors import ConfigurationError
from dpsync.installation import Installation
from dpsync.reports.make import register_now
from dpsync.reports.register import RegisterLine, remains
from dpsync.reports.words import day, several


def register_lines(there: Installation, now: datetime) -> Iterator[CheckLine]:
    """One line for each thing that a person must do about it, and one for the register as a whole."""
    try:
        register = register_now(there, now)
    except ConfigurationError:
        return  # said already, in the processor's own line
    for line in register.lines:
        yield from _of(line)
    unfilled = [line.processor for line in register.lines if line.missing]
    if unfilled:
        text = (
            f"{several(len(unfilled), 'entry is', 'entries are')} not complete. `dpsync register` names what is missing"
        )
        yield CheckLine("register", CheckResult.NOT_SET, f"{text}: {', '.join(unfilled)}")
    elif register.lines:
        yield CheckLine("register", CheckResult.OK, f"{several(len(register.lines), 'entry', 'entries')}, complete")


def _of(line: RegisterLine) -> Iterator[CheckLine]:
    what = f"{line.processor} register"
    if line.review_overdue and line.review_by:
        yield CheckLine(what, CheckResult.PROBLEM, f"its review was due by {day(line.review_by)}", "DP-341")
    if line.leaving:
        verdict = CheckResult.PROBLEM if line.left else CheckResult.WAITING
        text = f"leaving on {day(line.leaving)}. {' '.join(remains(line))}"
        yield CheckLine(what, verdict, text, "DP-342" if line.left else "")
