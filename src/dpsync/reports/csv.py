"""A report as CSV: one row a request and processor, and for a dossier one row a moment. For spreadsheets and programs.

UTF-8 with a byte order mark, without which one much used spreadsheet guesses another code page (RFC 4180 otherwise).
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import chain, islice
from zoneinfo import ZoneInfo

from dpsync.model import Right
from dpsync.reports import phrases
from dpsync.reports.conversations import retention_rows
from dpsync.reports.dossier import Dossier
from dpsync.reports.period import PeriodReport
from dpsync.reports.register import Register, RegisterLine
from dpsync.reports.register_text import right_rows
from dpsync.reports.standing import PropagationLine, RequestStanding
from dpsync.reports.trustees import Trustees, labelled
from dpsync.reports.visible import cell
from dpsync.reports.who import who_rows
from dpsync.reports.words import STATES, reached
from dpsync.retention.standing import RetentionLine

BOM = "\ufeff"
AT_ONCE = 1000
"""So many rows are written at a time: the file of 100,000 requests is not held to know its digest."""
CONVERSATIONS = "private conversations"
"""In the column `period`: the row is of no request."""

REQUEST_COLUMNS = (
    "request",
    "period",
    "right",
    "lifting",
    "source",
    "received_at",
    "received_assumed",
    "accepted_at",
    "target_at",
    "strict_on",
    "due_on",
    "letter_by",
    "request_counts_as",
    "told_everyone",
    "request_late",
    "closed_at",
)
LINE_COLUMNS = (
    "processor",
    "title",
    "state",
    "state_in_words",
    "counts_as",
    "rung",
    "rung_in_words",
    "way",
    "told_at",
    "done_at",
    "late",
    "waits_for",
    "waits_until",
    "needs",
    "causes",
    "attempts",
    "notices",
    "reason",
    "task",
    "limits",
)
REGISTER_COLUMNS = (
    "processor",
    "title",
    "is_controller",
    "contact",
    "purpose",
    "people",
    "data",
    "countries",
    "transfer",
    "kept_for",
    "conversations_months",
    "contract_on",
    "review_by",
    "review_overdue",
    "leaving",
    "left",
    "open_requests",
    "missing",
    "instructed_on",
    "confirmed_on",
)
TALLY_COLUMNS = tuple(head.lower().replace(",", "").replace(" ", "_") for head in phrases.TALLY_HEADS)
MOMENT_COLUMNS = ("request", "at", "kind", "where", "what", "detail")

Value = str | int | bool | date | datetime | None


def period_csv(report: PeriodReport) -> Iterator[str]:
    """One row for each request and processor; a request that was asked of nobody has one row with empty cells.

    Then one for each thing that is said of private conversations.
    """
    return _written((*REQUEST_COLUMNS, *LINE_COLUMNS, "record"), _of_period(report), rehearsal=report.rehearsal)


def _of_period(report: PeriodReport) -> Iterator[Sequence[str]]:
    record = "verified" if report.ledger.sound else "NOT VERIFIED"
    for period, asked in (("received", report.received), ("carried", report.carried)):
        for one in asked:
            of_request = _of_request(one, period)
            for line in one.lines:
                yield (*of_request, *_of_line(line), record)
            if not one.lines:
                yield (*of_request, *("" for _ in LINE_COLUMNS), record)
    for kept in report.conversations:
        for row in _of_conversations(kept, ZoneInfo(report.zone)):
            yield _cells((*row, record))


def _of_conversations(one: RetentionLine, zone: ZoneInfo) -> Iterable[tuple[Value, ...]]:
    """One row for each thing that is said of a processor's conversations: label in `state_in_words`, rest in `task`."""
    heads = (*REQUEST_COLUMNS, *LINE_COLUMNS)
    for label, told in retention_rows(one, zone):
        filled = {"processor": one.rule.processor, "title": one.rule.title, "state_in_words": label, "task": told}
        yield tuple({"period": CONVERSATIONS, **filled}.get(head, "") for head in heads)


def dossier_csv(dossier: Dossier) -> Iterator[str]:
    """One row for each moment, then whom it is about, where that is shown, then complaints and
    incidents about it, then one for each ledger entry."""
    rows: list[Sequence[Value]] = [
        (dossier.asked.id, one.at, one.kind, one.title, one.what, one.detail) for one in dossier.moments
    ]
    about = who_rows(dossier.who) if dossier.who else ()
    rows += [(dossier.asked.id, dossier.made_at, "who", "", label, value) for label, value in about]
    rows += [(dossier.asked.id, dossier.made_at, "case", "", said, "") for said in dossier.cases]
    for entry in dossier.entries:
        fields = " ".join(f"{key}={value}" for key, value in entry.fields.items() if key != "dest")
        rows.append(
            (
                dossier.asked.id,
                entry.at,
                "entry",
                str(entry.fields.get("dest", "")),
                f"{entry.idx} {entry.event}",
                fields,
            )
        )
    record = "verified" if dossier.ledger.sound else "NOT VERIFIED"
    return _written((*MOMENT_COLUMNS, "record"), [_cells((*row, record)) for row in rows], rehearsal=dossier.rehearsal)


def register_csv(register: Register) -> Iterator[str]:
    """One row for each processor, with two cells for each right: how it is told, and what is not done by it."""
    rights = tuple(f"{right.value}_{part}" for right in Right for part in ("told", "limits"))
    rows: list[Sequence[Value]] = []
    for line in register.lines:
        cells = [cell for _, *both in right_rows(line) for cell in both]
        rows.append((*(_of_register(line, name) for name in REGISTER_COLUMNS), *cells))
    return _written((*REGISTER_COLUMNS, *rights), map(_cells, rows), rehearsal=register.rehearsal)


def trustees_csv(page: Trustees) -> Iterator[str]:
    """One row for each right that has a line on the page, then one for all."""
    record = "verified" if page.ledger.sound else "NOT VERIFIED"
    rows: list[Sequence[Value]] = [(label, *phrases.tally_cells(one), record) for label, one in labelled(page)]
    return _written(("right", *TALLY_COLUMNS, "record"), map(_cells, rows), rehearsal=page.rehearsal)


def _of_register(line: RegisterLine, name: str) -> Value:
    value = getattr(line, name)
    return ", ".join(value) if isinstance(value, tuple) else value


def _of_request(one: RequestStanding, period: str) -> tuple[str, ...]:
    """Under `REQUEST_COLUMNS`."""
    days = _alike(one.strict_on, one.due_on, one.letter_by, one.counts_as, one.told_everyone, one.late)
    return (
        *(_cell(one.id), *_alike(period, one.right, one.lifting, one.source), _cell(one.received_at)),
        *(_cell(one.received_assumed), _cell(one.accepted_at), _cell(one.target_at), *days, _cell(one.closed_at)),
    )


def _of_line(line: PropagationLine) -> tuple[str, ...]:
    """Under `LINE_COLUMNS`."""
    proof = reached(line.rung, told=line.told_at is not None, undone=line.open)
    stands = _alike(
        line.processor, line.title, line.state, STATES[line.state], line.counts_as, int(line.rung), proof, line.way
    )
    rest = _alike(*(line.need, " ".join(line.causes), line.attempts, line.notices, line.reason, line.task, line.limits))
    until = _cell(line.waits_until)
    return (*stands, _cell(line.told_at), _cell(line.done_at), line.late, line.waits_for, until, *rest)


@lru_cache(4096)
def _alike(*values: Value) -> tuple[str, ...]:
    """Most lines say the same: with 100,000 requests, each said anew would take most of the report's time."""
    return _cells(values)


def _cells(values: Iterable[Value]) -> tuple[str, ...]:
    return tuple(map(_cell, values))


def _written(heads: Sequence[str], rows: Iterable[Sequence[str]], *, rehearsal: bool) -> Iterator[str]:
    """The file in parts, of which the first begins with the byte order mark. `rows` are cells already."""
    mark = ("REHEARSAL",) if rehearsal else ()
    yield BOM
    for some in _batched(chain(((*heads, *mark),), ((*row, *mark) for row in rows))):
        out = io.StringIO(newline="")
        csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(some)
        yield out.getvalue()


def _batched(rows: Iterable[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    left = iter(rows)
    while some := list(islice(left, AT_ONCE)):
        yield some


def _cell(value: Value) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case int():
            return str(value)
        case str():
            return cell(str(value))
