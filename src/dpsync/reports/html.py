"""Reports as HTML pages: self-contained, printable, readable on a telephone. Jinja2, everything escaped."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dpsync.reports import phrases
from dpsync.reports.conversations import retention_rows
from dpsync.reports.dossier import Dossier
from dpsync.reports.period import PeriodReport
from dpsync.reports.processors import capability_rows
from dpsync.reports.register import Register
from dpsync.reports.register_text import MISSING, how_long, register_rows, right_rows, sentence, title_of, where
from dpsync.reports.standing import PropagationLine
from dpsync.reports.tallies import numbered
from dpsync.reports.text import dates
from dpsync.reports.verdict import Verdict
from dpsync.reports.visible import visible
from dpsync.reports.who import who_rows
from dpsync.reports.words import COUNTING, GLOSSARY, RIGHTS, moment

TEMPLATES = Path(__file__).parent / "templates"
ORDINARY_ROWS = 2000
"""Finished lines that a page shows: 100,000 would be 73 MB, which no telephone opens. The CSV has them all."""

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
    made.globals |= {
        "style": Markup((TEMPLATES / "report.css").read_text("utf-8")),  # noqa: S704 - because the file is our own
        "phrases": phrases,
        "glossary": GLOSSARY,
        "counting": COUNTING,
        "rights": RIGHTS,
        "capability_rows": capability_rows,
        "retention_rows": retention_rows,
    }
    return made


def _finalize(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def period_html(report: PeriodReport, csv_sha256: str) -> str:
    """The period's page. Lines that are open come all; of the finished ones, the first `ORDINARY_ROWS`."""
    zone = ZoneInfo(report.zone)
    numbers = numbered(report.limits)
    lines = [line for one in (*report.received, *report.carried) for line in one.lines]
    shown, left = _shown(lines)
    return _page(
        "period.html",
        zone,
        report=report,
        shape=SHAPES[report.verdict],
        shown=shown,
        left=left,
        cells=lambda line: phrases.line_cells(line, zone, numbers),
        nobody=[one for one in (*report.received, *report.carried) if not one.lines],
        csv_sha256=csv_sha256,
    )


def dossier_html(dossier: Dossier, csv_sha256: str, above: Markup) -> str:
    """One request's page; `above` stands before it."""
    zone = ZoneInfo(dossier.zone)
    return _page(
        "dossier.html",
        zone,
        dossier=dossier,
        above=above,
        shape=SHAPES[dossier.verdict],
        dates=dates(dossier.asked, zone),
        about=who_rows(dossier.who) if dossier.who else (),
        cells=lambda line: phrases.line_cells(line, zone, {}),
        csv_sha256=csv_sha256,
    )


def register_html(register: Register, csv_sha256: str) -> str:
    """The register's page: what matters of all in five columns, then each processor by itself."""
    rows = [
        (line.title, line.purpose or MISSING, ", ".join(line.data) or MISSING, where(line), how_long(line))
        for line in register.lines
    ]
    return _page(
        "register.html",
        ZoneInfo(register.zone),
        register=register,
        title=title_of(register),
        sentence=sentence(register),
        rows=rows,
        about=register_rows,
        told=right_rows,
        csv_sha256=csv_sha256,
    )


def _page(template: str, zone: ZoneInfo, **values: object) -> str:
    return _environment().get_template(template).render(**values, when=lambda value: moment(value, zone), zone=zone)


def _shown(lines: Sequence[PropagationLine]) -> tuple[list[PropagationLine], int]:
    if len(lines) <= ORDINARY_ROWS:
        return list(lines), 0
    shown, ordinary = [], 0
    for line in lines:
        ordinary += not line.open
        if line.open or ordinary <= ORDINARY_ROWS:
            shown.append(line)
    return shown, len(lines) - len(shown)
