"""One set of values, five formats. Nothing is counted here, so that no format can say another number.

JSON: `{"version": 1, "kind": "period" | "dossier" | "register" | "trustees", ...}` with the fields of `PeriodReport`,
`Dossier`, `Register` or `Trustees` by name, in their order; times in UTC (`2026-11-20T09:00:00Z`), days as ISO dates,
states and counts as their fixed words, rungs as numbers. Fields are added, never renamed; ASCII only, no byte order
mark.
"""

import hashlib
import json as json_format
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from functools import cache, partial
from io import BytesIO, StringIO
from typing import Any, assert_never

from markupsafe import Markup

from dpsync.reports.csv import dossier_csv, period_csv, register_csv, trustees_csv
from dpsync.reports.dossier import Dossier
from dpsync.reports.formats import Format
from dpsync.reports.html import dossier_html, period_html, register_html, trustees_html
from dpsync.reports.lines import LINE_FIELDS, PropagationLine, RequestStanding
from dpsync.reports.moments import EvidenceLine
from dpsync.reports.pdf import ROWS, pdf
from dpsync.reports.period import PeriodReport
from dpsync.reports.processors import ProcessorLine
from dpsync.reports.register import Register
from dpsync.reports.register_text import register_text
from dpsync.reports.set_aside import SetAside
from dpsync.reports.status import StatusRow
from dpsync.reports.text import dossier_text, period_text
from dpsync.reports.trustees import Trustees, trustees_text

VERSION = 1
KINDS = {PeriodReport: "period", Dossier: "dossier", Register: "register", Trustees: "trustees"}
Report = PeriodReport | Dossier | Register | Trustees
NAMES: Mapping[type, Mapping[str, str]] = {
    RequestStanding: {"id": "request"},
    PropagationLine: {"request_id": "request"},
    StatusRow: {"request_id": "request"},
    SetAside: {"request_id": "request"},
    EvidenceLine: {"request_id": "their_id"},  # the vendor's, of one call: no request of ours
    ProcessorLine: {"name": "processor"},
}
"""What fields are called where they are printed for a program: one thing has one name everywhere."""
_NOTHING = Markup()


def rendered(report: Report, form: Format) -> bytes:
    """The bytes of the file in a format; text is UTF-8, and the CSV begins with its byte order mark.

    Raises `extras.ExtraMissing` for a PDF where the extra `pdf` is not there.
    """
    match form:
        case Format.PDF:
            return pdf(html(report, rows=ROWS))
        case Format.HTML:
            page = html(report)
        case Format.CSV:
            out = BytesIO()
            out.writelines(part.encode() for part in _csv_parts(report))
            return out.getvalue()
        case Format.JSON:
            page = json(report)
        case Format.TEXT:
            page = text(report)
        case _:
            assert_never(form)
    return page.encode()


def text(report: Report) -> str:
    """Plain text for a terminal or a pipe."""
    match report:
        case PeriodReport():
            return period_text(report, partial(csv_digest, report))
        case Dossier():
            return dossier_text(report)
        case Register():
            return register_text(report)
        case Trustees():
            return trustees_text(report)
        case _:
            assert_never(report)


def csv(report: Report) -> str:
    """CSV with a byte order mark and CR LF line ends; no cell is a formula."""
    return "".join(_csv_parts(report))


def _csv_parts(report: Report) -> Iterator[str]:
    match report:
        case PeriodReport():
            return period_csv(report)
        case Dossier():
            return dossier_csv(report)
        case Register():
            return register_csv(report)
        case Trustees():
            return trustees_csv(report)
        case _:
            assert_never(report)


def html(report: Report, above: Markup = _NOTHING, rows: int | None = None) -> str:
    """One self-contained page: no script, nothing remote. It names the SHA-256 of the CSV of the same values.

    `above` stands before a dossier, where it is a page behind a link. `rows`: at most so many requests or processors
    are shown, where there is little room.
    """
    digest = csv_digest(report)
    match report:
        case PeriodReport():
            return period_html(report, digest, rows)
        case Dossier():
            return dossier_html(report, digest, above)
        case Register():
            return register_html(report, digest, rows)
        case Trustees():
            return trustees_html(report)
        case _:
            assert_never(report)


def csv_digest(report: Report) -> str:
    """The SHA-256 of the CSV of the same values, in hex."""
    digest = hashlib.sha256()
    for part in _csv_parts(report):
        digest.update(part.encode())
    return digest.hexdigest()


def json(report: Report) -> str:
    """JSON in ASCII, of the shape that this module's first lines promise."""
    out = StringIO()
    encoder = json_format.JSONEncoder(indent=1, ensure_ascii=True, allow_nan=False, default=_shallow)
    # Value by value: all as dictionaries, besides the values themselves, took ten times the file's memory.
    out.writelines(encoder.iterencode({"version": VERSION, "kind": KINDS[type(report)], **_shallow(report)}))
    out.write("\n")
    return out.getvalue()


def json_value(value: object) -> Any:
    """A value of the reports (a status row, a processor's line) as JSON knows it."""
    return _plain(value)


def _plain(value: object) -> Any:
    match value:
        case Enum():
            return value.value
        case None | bool() | int() | float() | str():
            return value
        case tuple() | list():
            return [_plain(one) for one in value]
    made = _shallow(value)
    return {name: _plain(one) for name, one in made.items()} if isinstance(made, dict) else made


def _shallow(value: object) -> Any:
    """One value of ours as JSON knows it; what is in it is as it was."""
    match value:
        case Enum():
            return value.value
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case Mapping():
            return {str(key): one for key, one in value.items()}
    if is_dataclass(value):
        kind: Any = type(value)
        names = NAMES.get(kind, {})
        return {names.get(name, name): getattr(value, name) for name in _fields(kind)}
    raise TypeError(f"{type(value).__name__} has no form in JSON")


@cache
def _fields(kind: Any) -> tuple[str, ...]:
    """What is told of a value of ours: its fields, or what a line says by its head and kind."""
    return LINE_FIELDS if kind is PropagationLine else tuple(field.name for field in fields(kind))
