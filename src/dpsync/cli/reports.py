"""What the data protection officer reads: report, dossier, register."""

import re
import sys
from contextlib import suppress
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import RequestId
from dpsync.errors import Exit, UsageError
from dpsync.extras import loaded
from dpsync.reports.formats import Format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dpsync.installation import Installation
    from dpsync.reports.dossier import Opener
    from dpsync.reports.render import Report


FormatOption = Annotated[
    Format | None, typer.Option("--format", help="Default: the format that the name of FILE ends in, or else text.")
]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Where to write it. Default, or -: standard output."),
]

STANDARD_OUTPUT = {Path("-"), Path("/dev/stdout")}
"""Both would be a file of that name otherwise; the second belongs to the whole machine."""


def report(
    ctx: typer.Context,
    *,
    month: Annotated[str | None, typer.Option(metavar="YYYY-MM", help="A month. Default: this month so far.")] = None,
    first: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="The first day, such as 2026-11-01.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="The last day. It is included.")] = None,
    trustees: Annotated[
        str | None,
        typer.Option(metavar="YYYY", help="A year on one page for trustees. It tells of no single request."),
    ] = None,
    sent: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE=N", help="How many requests a source says it sent. Repeat it for more."),
    ] = None,
    form: FormatOption = None,
    output: Output = None,
) -> int:
    """Report on a period: who was told, what was done, what waits. Exit code 2: the ledger could not be verified."""
    from dpsync.cli.opening import installation, sent_of
    from dpsync.reports.make import period_of
    from dpsync.reports.trustees import trustees_of
    from dpsync.running.month_report import begun_on

    talk: Talk = ctx.obj
    chosen, said = _form(form, output), sent_of(sent or ())
    with installation(talk, secrets=False, compare=False) as there:
        now = there.clock.now()
        begin, end = _period(*_days_of(trustees, month, first, last), now.astimezone(there.zone).date())
        begun = there.read(partial(begun_on, zone=there.zone))
        if end < begun:
            told = f"dpsync's record begins on {begun.isoformat()}"
            talk.warn(f"{told}. Of the time before that it knows only what was entered later.")
        with talk.progress("verifying the record, then counting"):
            made = period_of(there, begin, end, now, said)
        _write(talk, made if trustees is None else trustees_of(made), chosen, output)
    doubt = "" if made.ledger.sound else "do not rely on this, the record could not be verified: "
    talk.say(f"{made.label}: {doubt}{made.sentence}")
    return Exit.DONE if made.ledger.sound else Exit.LOOK


def dossier(
    ctx: typer.Context,
    request: RequestId,
    *,
    open_answers: Annotated[
        bool, typer.Option(help="Show the names and remarks of the people who answered. These are personal data.")
    ] = False,
    who: Annotated[
        bool, typer.Option("--who", help="Show who it is about and what it changes. dpsync records that you looked.")
    ] = False,
    by: Annotated[str, typer.Option(help="Who looks, for the record. Default: your account on this machine.")] = "",
    form: FormatOption = None,
    output: Output = None,
) -> int:
    """Show everything about one request, in order of time. Exit code 2: the ledger could not be verified."""
    from dpsync.cli.opening import full_id, installation, shown_to
    from dpsync.reports.dossier import dossier as make
    from dpsync.reports.make import basis_of

    talk: Talk = ctx.obj
    chosen = _form(form, output)
    with installation(talk, secrets=False, compare=False) as there:
        request_id, now = full_id(there, request), there.clock.now()
        about = shown_to(there, request_id, by, "dpsync dossier --who") if who else None
        talk.did = f"that request {request_id} was shown is on the record; it may be shown again" if about else ""
        with talk.progress("verifying the record"):
            basis = basis_of(there, now)
        made = there.read(
            lambda connection: make(
                connection,
                basis,
                request_id,
                entries=_readable(there.log.entries_of(connection, request_id)),
                opener=_opener(there) if open_answers else None,
                who=about,
            )
        )
        _write(talk, made, chosen, output)
    return Exit.DONE if made.ledger.sound else Exit.LOOK


def register(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program: --format json.")] = False,
    form: FormatOption = None,
    output: Output = None,
) -> int:
    """Show the register of processors: what for, which data, where, how long, and how each is told (Art. 30).

    It holds what the settings say. What they leave out is named as missing.
    """
    from dpsync.cli.opening import installation
    from dpsync.reports.make import register_now

    talk: Talk = ctx.obj
    if as_json and form not in (None, Format.JSON):
        raise UsageError("use either --json or --format")
    chosen = _form(Format.JSON if as_json else form, output)
    with installation(talk, secrets=False, compare=False) as there:
        made = register_now(there, there.clock.now())
    _write(talk, made, chosen, output)
    return Exit.DONE


def _opener(there: "Installation") -> "Opener":
    return lambda propagation_id, sealed: there.keys.open("answer", sealed, str(propagation_id).encode())


def _readable(logged: "Sequence[tuple[int, bytes]]") -> "list[tuple[int, dict[str, str | int]]]":
    """What the entries say; one that says nothing was edited by hand, and is named at the head as a problem."""
    from dpsync.ledger import entry

    found = []
    for idx, body in logged:
        with suppress(ValueError):
            found.append((idx, entry.decode(body)))
    return found


def _days_of(
    year: str | None, month: str | None, first: str | None, last: str | None
) -> tuple[str | None, str | None, str | None]:
    """What is asked for: the days of `year`, where it is given."""
    if year is None:
        return month, first, last
    if not (month is first is last is None):
        raise UsageError("use --trustees alone: it is about a whole year")
    if not re.fullmatch(r"\d{4}", year, re.ASCII):
        raise UsageError("write --trustees as YYYY, such as 2026")
    return None, f"{year}-01-01", f"{year}-12-31"


def _period(month: str | None, first: str | None, last: str | None, today: date) -> tuple[date, date]:
    begin, end = _asked_for(month, first, last, today)
    if begin > today:
        # An empty report of it would say that nothing came in and nothing is late.
        raise UsageError(f"that period has not begun. It begins on {begin.isoformat()}, today is {today.isoformat()}")
    return begin, end


def _asked_for(month: str | None, first: str | None, last: str | None, today: date) -> tuple[date, date]:
    from dpsync.cli.opening import day_of
    from dpsync.reports.make import month_end

    # An option that was given empty, as by a variable that is not set, asks for something: for none of these.
    if month is not None and not (first is last is None):
        raise UsageError("use either --month, or --from and --to")
    if month is not None:
        if not re.fullmatch(r"\d{4}-(?:0[1-9]|1[0-2])", month, re.ASCII):
            raise UsageError("write --month as YYYY-MM, such as 2026-11")
        begin = day_of(f"{month}-01", "--month")
        return begin, month_end(begin)
    if (first is None) != (last is None):
        raise UsageError("use --from and --to together")
    if first is not None and last is not None:
        begin, end = day_of(first, "--from"), day_of(last, "--to")
        if end < begin:
            raise UsageError("the period ends before it begins")
        return begin, end
    return today.replace(day=1), month_end(today)


_FORMS = {
    "html": Format.HTML,
    "htm": Format.HTML,
    "csv": Format.CSV,
    "json": Format.JSON,
    "txt": Format.TEXT,
    "pdf": Format.PDF,
    "": Format.TEXT,
}
_OTHER_FORMS = frozenset({"doc", "docx", "odt", "rtf", "xls", "xlsx", "ods", "zip", "gz"})


def _form(form: Format | None, output: Path | None) -> Format:
    """How it is written. Raises `UsageError` where a file's name would say something else than the file, and
    `ExtraMissing` for a PDF where the extra `pdf` cannot be used.
    """
    chosen = _named_form(form, output)
    if chosen is Format.PDF:
        loaded("pdf", "a report as PDF")
        if (output is None or output in STANDARD_OUTPUT) and sys.stdout.isatty():
            raise UsageError("a PDF is no text for a terminal: name a file, such as -o report.pdf")
    return chosen


def _named_form(form: Format | None, output: Path | None) -> Format:
    from dpsync.cli.opening import ending_of

    if output in STANDARD_OUTPUT:
        return form or Format.TEXT
    if output is not None and not output.name:
        raise UsageError("-o needs the name of a file")
    if output is not None and output.is_dir():
        raise UsageError(f"-o {output} is a folder. Name a file in it, such as {output / 'report.html'}")
    ending = ending_of(output) if output else ""
    if ending in _OTHER_FORMS or (form is None and ending not in _FORMS):
        kinds = "A report is .html, .pdf, .csv, .json or .txt: choose one, or use --format"
        raise UsageError(f"dpsync does not write .{ending} files. {kinds}")
    if form and ending and _FORMS.get(ending, form) is not form:
        raise UsageError(f"the file name ends in .{ending}, but --format says {form.value}: make them agree")
    return form or _FORMS[ending]


def _write(talk: Talk, made: "Report", form: Format, output: Path | None) -> None:
    from dpsync.cli.opening import written
    from dpsync.reports.render import rendered

    content = rendered(made, form)
    if output is None or output in STANDARD_OUTPUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    written(output, content)
    talk.ending(
        stored=f"{output} ({form.value}, {len(content):,} bytes, readable by you only)",
        by_itself="nothing: a report changes nothing.",
        waits=" ".join(duty.sentence for duty in made.duties),
    )
