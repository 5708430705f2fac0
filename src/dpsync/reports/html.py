"""Reports as HTML pages: self-contained, printable, readable on a telephone. Jinja2, everything escaped."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from html import unescape
from itertools import chain
from pathlib import Path
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dpsync.reports import charts, page_lines, phrases
from dpsync.reports.conversations import retention_rows
from dpsync.reports.dossier import Dossier
from dpsync.reports.letters import LETTER_HEADS, letter_cells
from dpsync.reports.lines import RequestStanding
from dpsync.reports.period import PeriodReport
from dpsync.reports.processors import capability_rows
from dpsync.reports.receipt import HEADS as RECEIPT_HEADS
from dpsync.reports.receipt import PrintedReceipt
from dpsync.reports.register import Register
from dpsync.reports.register_text import MISSING, how_long, register_rows, right_rows, sentence, title_of, where
from dpsync.reports.shown import EXCEPTION_ROWS, ORDINARY_ROWS, first_lines, first_requests, shown
from dpsync.reports.story import MAY_BE_TOLD, names_kept
from dpsync.reports.tallies import numbered
from dpsync.reports.text import dates
from dpsync.reports.trustees import NONE_SHOWN, NOTE, Trustees, labelled
from dpsync.reports.verdict import Verdict
from dpsync.reports.visible import visible
from dpsync.reports.who import who_rows
from dpsync.reports.whole_ids import with_whole_ids
from dpsync.reports.words import COUNTING, GLOSSARY, RIGHTS, moment

TEMPLATES = Path(__file__).parent / "templates"
_NOTHING = Markup()

SHAPES = {Verdict.IN_ORDER: "●", Verdict.NEEDS_A_DECISION: "▲", Verdict.FINISHED_LATE: "◆", Verdict.OVERDUE: "■"}
"""Said by shape as well as by colour and word."""


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    made.filters["apart"] = phrases.apart
    made.globals |= {
        "style": Markup((TEMPLATES / "report.css").read_text("utf-8")),  # noqa: S704 - because the file is our own
        "phrases": phrases,
        "glossary": GLOSSARY,
        "counting": COUNTING,
        "rights": RIGHTS,
        "capability_rows": capability_rows,
        "retention_rows": retention_rows,
        "running": _running,
    }
    return made


def _running(rehearsal: bool, head: str, made: str) -> Markup:
    """What stands at the head and foot of every printed page but the first, as style: a page has no other place."""
    band = "REHEARSAL: " if rehearsal else ""
    head, made = _quoted(f"{band}{unescape(head)}"), _quoted(f"made {made}")
    return Markup(  # noqa: S704 - because both texts are spelled out in digits
        f"@page{{@top-left{{content:{head}}}@top-right{{content:{made}}}"
        '@bottom-right{content:"page " counter(page) " of " counter(pages)}}'
        "@page:first{@top-left{content:none}@top-right{content:none}}\n"
    )


def _quoted(text: str) -> str:
    """The text as a string of CSS; whatever is no letter or digit of ASCII is a number, so that nothing ends it."""
    plain = (char if char.isascii() and char.isalnum() else f"\\{ord(char):06x}" for char in visible(text))
    return f'"{"".join(plain)}"'


def _finalize(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def period_html(report: PeriodReport, csv_sha256: str, rows: int | None = None) -> str:
    """The period's page. What is late, or waits for a person, comes first, in lists of at most `EXCEPTION_ROWS`; of all
    else, at most `ORDINARY_ROWS`. What is left out is counted, and is in the CSV.

    `rows`: so many rows altogether, as far as those lists leave room for others.
    """
    zone = ZoneInfo(report.zone)
    shape = page_lines.Shape(zone, report.last.year, numbered(report.limits))
    everything = (*report.received, *report.carried)
    carried = [("Open from before", report.carried_total)] if report.carried else []
    return _page(
        "period.html",
        zone,
        report=report,
        shape=SHAPES[report.verdict],
        labelled=[(phrases.tally_label(one), one) for one in (*report.by_right, report.total)] + carried,
        limits=phrases.limit_entries(report.limits),
        charts=charts.charts_of(report.trends),
        in_short=charts.sentence(report.trends),
        wide=charts.WIDE,
        heads=page_lines.HEADS,
        finished_heads=page_lines.FINISHED_HEADS,
        **_listed(report, everything, shape, rows),
        finished=sum(not one.open for one in everything),
        jobs=_jobs(report, zone),
        csv_sha256=csv_sha256,
    )


def _jobs(report: PeriodReport, zone: ZoneInfo) -> list[tuple[str, list[str]]]:
    """The timed jobs by when they last succeeded, those first that never did: most run in the same minute."""
    found: dict[str, list[str]] = {}
    for job in sorted(report.jobs, key=lambda job: job.last_ok_at or datetime.min.replace(tzinfo=UTC)):
        found.setdefault(moment(job.last_ok_at, zone) or "never", []).append(job.name)
    return list(found.items())


def _listed(
    report: PeriodReport, everything: Sequence[RequestStanding], shape: page_lines.Shape, rows: int | None
) -> dict[str, object]:
    """The lists of single requests, and how many requests each of them leaves out."""
    late = (
        ("Overdue", "past the legal date and not closed", report.overdue),
        ("Finished late", "closed after the legal date", report.finished_late),
    )
    attention, attention_left = first_lines(report.attention, EXCEPTION_ROWS)
    still_open = [one for one in everything if one.open]
    urgent = [one for one in still_open if not one.ordinary]
    urgent_shown, urgent_left = first_requests(urgent, EXCEPTION_ROWS)
    if urgent_left:
        hidden = {one.id for one in urgent[len(urgent_shown) :]}
        still_open = [one for one in still_open if one.id not in hidden]
    apart = sum(min(len(lines), EXCEPTION_ROWS) for lines in (report.overdue, report.finished_late, report.attention))
    room = ORDINARY_ROWS if rows is None else min(ORDINARY_ROWS, max(0, rows - apart - len(urgent_shown)))
    open_shown, room = shown(still_open, room)
    cut = [(label, said, len(lines), *first_lines(lines, EXCEPTION_ROWS)) for label, said, lines in late]
    late_blocks = [page_lines.blocks(lines, shape) for _, _, _, lines, _ in cut]
    attention_blocks = page_lines.blocks(attention, shape)
    return {
        "late": [
            (label, said, count, blocks, page_lines.left_out(left))
            for (label, said, count, _, left), blocks in zip(cut, late_blocks, strict=True)
        ],
        "attention": attention_blocks,
        "above": frozenset(chain(attention_blocks, *late_blocks)),
        "attention_left": page_lines.left_out(attention_left),
        "still_open": page_lines.still_open(open_shown, shape),
        "urgent_left": page_lines.left_out(urgent_left),
        "open_left": len(still_open) - len(open_shown),
        "groups": page_lines.finished(everything, shape, room),
    }


def dossier_html(dossier: Dossier, csv_sha256: str, above: Markup) -> str:
    """One request's page; `above` stands before it."""
    zone = ZoneInfo(dossier.zone)
    shape = page_lines.Shape(zone, dossier.made_at.astimezone(zone).year, {})
    return _page(
        "dossier.html",
        zone,
        dossier=dossier,
        above=above,
        shape=SHAPES[dossier.verdict],
        dates=dates(dossier.asked, zone),
        about=who_rows(dossier.who) if dossier.who else (),
        names_kept=names_kept(dossier.asked, dossier.forgets_after),
        may_be_told=MAY_BE_TOLD,
        letters=[letter_cells(one) for one in dossier.letters],
        letter_heads=LETTER_HEADS,
        heads=page_lines.HEADS,
        blocks=page_lines.blocks(dossier.asked.lines, shape),
        csv_sha256=csv_sha256,
    )


def register_html(register: Register, csv_sha256: str, rows: int | None = None) -> str:
    """The register's page: what matters of all in five columns, then each processor by itself; of at most `rows`."""
    lines = register.lines[:rows]
    return _page(
        "register.html",
        ZoneInfo(register.zone),
        register=register,
        title=title_of(register),
        sentence=sentence(register),
        rows=[
            (line.title, line.purpose or MISSING, ", ".join(line.data) or MISSING, where(line), how_long(line))
            for line in lines
        ],
        lines=lines,
        about=register_rows,
        told=right_rows,
        csv_sha256=csv_sha256,
    )


def trustees_html(trustees: Trustees) -> str:
    """The trustees' page: counts of a year, and nothing about a single request."""
    return _page(
        "trustees.html",
        ZoneInfo(trustees.zone),
        trustees=trustees,
        shape=SHAPES[trustees.verdict],
        labelled=labelled(trustees),
        note=NOTE,
        none_shown=NONE_SHOWN,
    )


def receipt_html(printed: PrintedReceipt, above: Markup = _NOTHING) -> str:
    """The page of a receipt; `above` stands before it."""
    return _page("receipt.html", ZoneInfo(printed.zone), printed=printed, heads=RECEIPT_HEADS, above=above)


def _page(template: str, zone: ZoneInfo, **values: object) -> str:
    page = _environment().get_template(template).render(**values, when=lambda value: moment(value, zone), zone=zone)
    return with_whole_ids(page)
