"""A report as CSV: one row a request and processor, and for a dossier one row a moment. For spreadsheets and programs.

UTF-8 with a byte order mark, without which one much used spreadsheet guesses another code page (RFC 4180 otherwise).
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from io import StringIO
from itertools import chain, islice
from zoneinfo import ZoneInfo

from dpsync.model import Right
from dpsync.reports import phrases
from dpsync.reports.conversations import retention_rows
from dpsync.reports.dossier import Dossier
from dpsync.reports.lines import LineKind, PropagationLine, RequestStanding
from dpsync.reports.meaning import Need
from dpsync.reports.period import PeriodReport
from dpsync.reports.register import Register, RegisterLine
from dpsync.reports.register_text import right_rows
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


def _of_period(report: PeriodReport) -> Iterator[str]:
    record = _joined(("verified" if report.ledger.sound else "NOT VERIFIED",))
    nobody = _joined([""] * len(LINE_COLUMNS))
    for period, asked in (("received", report.received), ("carried", report.carried)):
        for one in asked:
            of_request = _of_request(one, period)
            for line in one.lines:
                yield f"{of_request},{_of_line(line)},{record}"
            if not one.lines:
                yield f"{of_request},{nobody},{record}"
    for kept in report.conversations:
        for row in _of_conversations(kept, ZoneInfo(report.zone)):
            yield f"{_joined(row)},{record}"


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
    return _written((*MOMENT_COLUMNS, "record"), [_joined((*row, record)) for row in rows], rehearsal=dossier.rehearsal)


def register_csv(register: Register) -> Iterator[str]:
    """One row for each processor, with two cells for each right: how it is told, and what is not done by it."""
    rights = tuple(f"{right.value}_{part}" for right in Right for part in ("told", "limits"))
    rows: list[Sequence[Value]] = []
    for line in register.lines:
        cells = [cell for _, *both in right_rows(line) for cell in both]
        rows.append((*(_of_register(line, name) for name in REGISTER_COLUMNS), *cells))
    return _written((*REGISTER_COLUMNS, *rights), map(_joined, rows), rehearsal=register.rehearsal)


def trustees_csv(page: Trustees) -> Iterator[str]:
    """One row for each right that has a line on the page, then one for all."""
    record = "verified" if page.ledger.sound else "NOT VERIFIED"
    rows: list[Sequence[Value]] = [(label, *phrases.tally_cells(one), record) for label, one in labelled(page)]
    return _written(("right", *TALLY_COLUMNS, "record"), map(_joined, rows), rehearsal=page.rehearsal)


def _of_register(line: RegisterLine, name: str) -> Value:
    value = getattr(line, name)
    return ", ".join(value) if isinstance(value, tuple) else value


def _of_request(one: RequestStanding, period: str) -> str:
    """Under `REQUEST_COLUMNS`."""
    source = _alike(period, one.right, one.lifting, one.source)
    days = _alike(one.strict_on, one.due_on, one.letter_by, one.counts_as, one.told_everyone, one.late)
    received, assumed = _moment(one.received_at), "yes" if one.received_assumed else "no"
    accepted, target, closed = _moment(one.accepted_at), _moment(one.target_at), _moment(one.closed_at)
    return f'{_quoted(one.id)},{source},"{received}","{assumed}","{accepted}","{target}",{days},"{closed}"'


def _of_line(line: PropagationLine) -> str:
    """Under `LINE_COLUMNS`."""
    kind, told = line.kind, _moment(line.told_at)
    # What an API did at once was told and done in one moment, and that is said once.
    done = told if line.done_at is line.told_at else _moment(line.done_at)
    stands, rest = _stands(kind, told != ""), _rest(kind, line.need)
    return f'{stands},"{told}","{done}","{line.late}","{kind.waits_for}","{_moment(line.waits_until)}",{rest}'


@lru_cache(4096)
def _stands(kind: LineKind, told: bool) -> str:
    proof = reached(kind.rung, told=told, undone=not kind.closed)
    state = (kind.state, STATES[kind.state], kind.counts_as)
    return _joined((kind.processor, kind.title, *state, int(kind.rung), proof, kind.way))


@lru_cache(4096)
def _rest(kind: LineKind, need: Need) -> str:
    said = (kind.reason, kind.task, kind.limits)
    return _joined((need, " ".join(kind.causes), kind.attempts, kind.notices, *said))


@lru_cache(4096)
def _alike(*values: Value) -> str:
    """Most lines say the same: with 100,000 requests, each said anew would take most of the report's time."""
    return _joined(values)


def _joined(values: Iterable[Value]) -> str:
    """The values as cells of one row, each in quotation marks.

    Rows are put together of such pieces, and of times and words of ours, in which nothing is quoted: with whole rows
    written by the library, a file took three times as long.
    """
    out = StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="").writerow([_cell(value) for value in values])
    return out.getvalue()


def _quoted(text: str) -> str:
    """The same of one text, which is another in each row."""
    doubled = cell(text).replace('"', '""')
    return f'"{doubled}"'


def _written(heads: Sequence[str], rows: Iterable[str], *, rehearsal: bool) -> Iterator[str]:
    """The file in parts, of which the first is the byte order mark. `rows` are joined cells."""
    end = ',"REHEARSAL"\r\n' if rehearsal else "\r\n"
    yield BOM
    for some in _batched(chain((_joined(heads),), rows)):
        yield f"{end.join(some)}{end}"


def _batched(rows: Iterable[str]) -> Iterator[list[str]]:
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
            return _moment(value)
        case date():
            return value.isoformat()
        case int():
            return str(value)
        case str():
            return cell(str(value))


def _moment(value: datetime | None) -> str:
    """A time in UTC, to the second."""
    if value is None:
        return ""
    return f"{(value if value.tzinfo is UTC else value.astimezone(UTC)).isoformat()[:19]}Z"
