"""What the data protection officer reads: the same numbers everywhere, and never a better word than the worst line."""

import cProfile
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, event, insert, select

from dpsync.connector import Capability, Means
from dpsync.errors import NotFound
from dpsync.ledger.entry import decode
from dpsync.model import CLOSED_STATES, DONE_STATES, Cause, Right, Rung, State
from dpsync.reports import page_one, render
from dpsync.reports.basis import Basis
from dpsync.reports.dossier import Dossier, dossier
from dpsync.reports.formats import Format
from dpsync.reports.meaning import Count, Late, Need, WaitsFor, counted
from dpsync.reports.period import PeriodReport, period_report
from dpsync.reports.processors import ExemptLine, ProcessorLine, capabilities_text, capability_lines
from dpsync.reports.proof import LedgerLine
from dpsync.reports.status import status_rows
from dpsync.reports.verdict import Verdict, sentence
from dpsync.reports.visible import cell, visible
from dpsync.reports.words import together
from dpsync.settings.sources import BY_LINK
from dpsync.store import tables as t
from dpsync.store.database import reading, writing
from tests.builders import World, later
from tests.faults.counting import Counted

LONDON = ZoneInfo("Europe/London")
NOW = datetime(2026, 12, 1, 7, 0, tzinfo=UTC)
RECEIVED = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
SOUND = LedgerLine(verified=True, entries=1204, checked_at=NOW, checkpoint="8f3a21c4")
BROKEN = replace(SOUND, verified=False, problems=("entry 17 is not what was signed",))
HOSTILE = "=cmd|'/C calc'!A1 <script>alert(1)</script> \x1b[31mred\x1b[0m \u202egnp.exe\r\nA fresh line"

WRITTEN = [form for form in Format if form is not Format.PDF]
"""The formats that are text; what is in a PDF is read by tests/unit/test_pdf.py."""

COLUMNS = ("seen", "said", "not_yet", "settled", "exempt", "withdrawn", "superseded")
WORDS = dict(zip(COLUMNS, Count, strict=True))
"""Under which word of the formats a column of the tallies is counted."""


def known(name: str, title: str = "", limits: str = "", verified_by: str = "it is read back") -> ProcessorLine:
    declared = {
        right: Capability(Means.API, "It is done.", limits, verified_by, "its documentation") for right in Right
    }
    return ProcessorLine(name, title or name.title(), capability_lines(declared, {}))


PROCESSORS = (known("alpha"), known("beta", "Beta, forms", "It keeps its own log.", ""))


@dataclass
class Rows:
    """Writes rows as reception and record leave them."""

    engine: Engine
    made: int = 0
    begins: str = "0"
    """How its ids begin, behind their hyphen: a line breaks there only before a letter."""
    told: datetime = field(default=RECEIVED + timedelta(minutes=9))

    def ask(
        self,
        right: Right = Right.ERASURE,
        received: datetime = RECEIVED,
        due: date = date(2026, 12, 21),
        source: str = "crm",
        closed_at: datetime | None = None,
        **states: State | Mapping[str, Any],
    ) -> str:
        self.made += 1
        request_id = f"r-{self.begins}{self.made:05d}ABCDEFGHJKMNPQRSTV01"
        request, lines = self.rows(request_id, right, received, due, source, closed_at, states)
        with writing(self.engine) as connection:
            connection.execute(insert(t.request).values(request))
            if lines:
                connection.execute(insert(t.propagation), lines)
        return request_id

    def many(self, count: int, after: int = 0) -> None:
        made = [
            self.rows(
                f"r-M{number:05d}ABCDEFGHJKMNPQRSTV01",
                list(Right)[number % 4],
                RECEIVED + timedelta(seconds=number),
                date(2026, 12, 21),
                "crm",
                RECEIVED + timedelta(hours=2),
                {"alpha": State.VERIFIED, "beta": State.DECLARED_DONE, "gamma": State.APPLIED},
            )
            for number in range(after, after + count)
        ]
        with writing(self.engine) as connection:
            connection.execute(insert(t.request), [request for request, _ in made])
            connection.execute(insert(t.propagation), [line for _, lines in made for line in lines])

    def rows(
        self,
        request_id: str,
        right: Right,
        received: datetime,
        due: date,
        source: str,
        closed_at: datetime | None,
        states: Mapping[str, State | Mapping[str, Any]],
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        opt_out = right is Right.OPT_OUT
        due_at = received + timedelta(hours=24) if opt_out else datetime(due.year, due.month, due.day, tzinfo=UTC)
        request = {
            "id": request_id,
            "source": source,
            "event_id": f"event of ada@example.org {request_id}",
            "body_mac": "",
            "subject_id": "s-secret",
            "person": "p-secret",
            "right": right,
            "lifting": False,
            "ground": "",
            "received_at": received,
            "received_assumed": False,
            "accepted_at": received + timedelta(minutes=1),
            "starts_on": received.date().isoformat(),
            "target_at": received + timedelta(hours=24 if opt_out else 72),
            "strict_on": (due - timedelta(days=2)).isoformat(),
            "due_on": due.isoformat(),
            "letter_by": (due - timedelta(days=4)).isoformat(),
            "due_at": due_at if opt_out else due_at + timedelta(days=1),
            "clock_rule": "ICO calendar month",
            "processors": "\n".join(sorted(states)),
            "key_month": "2026-11",
            "closed_at": closed_at,
        }
        lines = [self._line(request_id, right, received, name, given) for name, given in states.items()]
        return request, lines

    def _line(
        self, request_id: str, right: Right, received: datetime, name: str, given: State | Mapping[str, Any]
    ) -> dict[str, Any]:
        more = {"state": given} if isinstance(given, State) else dict(given)
        state = State(more["state"])
        untold = {State.HELD, State.PENDING, State.EXEMPT, State.WITHDRAWN, State.SUPERSEDED, State.HANDED_OVER}
        rung = Rung.VERIFIED if state is State.VERIFIED else Rung.CONFIRMED if state in DONE_STATES else Rung.SENT
        told = None if state in untold else received + (self.told - RECEIVED)
        row = {
            "request_id": request_id,
            "processor": name,
            "account_id": name,
            "subject_id": "s-secret",
            "person": "p-secret",
            "ordinal": self.made,
            "right": right,
            "lifting": False,
            "causes": "",
            "rung": Rung.NONE if state in untold else rung,
            "way": "api",
            "task": "",
            "reason": "",
            "opened_at": received,
            "told_at": told,
            "done_at": told if state in DONE_STATES else None,
            "state_since": received,
            "answer_by": None,
            "timer_at": None,
        }
        return row | more


BASIS = Basis("Example Gardens", False, LONDON, NOW, SOUND, PROCESSORS, lambda _, sealed: sealed)


def basis_with(more: dict[str, Any]) -> Basis:
    """The basis with what `more` says of it, which is taken out of there."""
    return replace(BASIS, **{one.name: more.pop(one.name) for one in fields(Basis) if one.name in more})


def untagged(page: str) -> str:
    """What a page says, without the tags around a part of a sentence."""
    return re.sub("</?span[^>]*>", "", page)


def november(rows: Rows, **more: Any) -> PeriodReport:
    basis = basis_with(more)
    days = {"first": date(2026, 11, 1), "last": date(2026, 11, 30)}
    with reading(rows.engine) as connection:
        return period_report(connection, basis, **(days | more))


def the_dossier(rows: Rows, request_id: str, **more: Any) -> Dossier:
    basis = basis_with(more)
    with reading(rows.engine) as connection:
        return dossier(connection, basis, request_id, **({"entries": ()} | more))


def one_of_each(rows: Rows) -> None:
    """A month in which every way of being counted happens."""
    rows.ask(alpha=State.VERIFIED, beta=State.VERIFIED)
    rows.ask(Right.RECTIFICATION, alpha=State.VERIFIED, beta=State.SUPERSEDED)
    rows.ask(Right.RECTIFICATION, alpha=State.SUPERSEDED, beta=State.SUPERSEDED)
    rows.ask(alpha=State.VERIFIED, beta=State.DECLARED_DONE)
    rows.ask(Right.RESTRICTION, alpha=State.APPLIED, beta=State.EXEMPT)
    rows.ask(alpha=State.SETTLED, beta=State.NOTHING_HELD)
    rows.ask(alpha=State.WITHDRAWN, beta=State.VERIFIED)
    rows.ask(Right.OPT_OUT, alpha=State.VERIFIED, beta=State.DECLARED_NOTHING_HELD)
    rows.ask(alpha={"state": State.HELD, "causes": "approval,cooling_off"}, beta=State.ACCEPTED)
    rows.ask(alpha=State.VERIFIED, beta=State.CONTRADICTED)


# --- parsing the formats back


class Tables(HTMLParser):
    """The cells of each table by its class, and everything that a page refers to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: Counter[str] = Counter()
        self.refers: list[str] = []
        self.handlers: list[str] = []
        self.title = ""
        self._table = ""
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        given = dict(attrs)
        self.refers += [value or "" for name, value in attrs if name in {"src", "href", "action", "srcset"}]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag == "table":
            self._table = given.get("class") or "lines"
            self.tables[self._table] = []
        elif tag == "tr":
            self.tables[self._table].append([])
        elif tag in {"th", "td"}:
            self.tables[self._table][-1].append("")
        self._open = self._open if tag in {"code", "span"} else tag

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open if tag in {"code", "span"} else ""

    def handle_data(self, data: str) -> None:
        if self._open in {"th", "td"}:
            self.tables[self._table][-1][-1] += data
        elif self._open == "title":
            self.title += data


def from_json(report: PeriodReport) -> dict[str, list[int]]:
    value = json.loads(render.json(report))
    tallies = {one["right"] or "all": one for one in (*value["by_right"], value["total"])}
    names = ("received", "told_everyone", *COLUMNS, "overdue", "finished_late")
    return {right: [one[name] for name in names] for right, one in tallies.items()}


def from_csv(report: PeriodReport) -> dict[str, list[int]]:
    found = list(csv.DictReader(io.StringIO(render.csv(report).removeprefix("\ufeff"))))
    requests = {row["request"]: row for row in found if row["period"] == "received"}
    return {
        right: _counted([row for row in requests.values() if right in {"all", row["right"]}])
        for right in (*(right.value for right in Right), "all")
    }


def _counted(chosen: Sequence[Mapping[str, str]]) -> list[int]:
    counts = Counter(row["request_counts_as"] for row in chosen)
    told = sum(row["told_everyone"] == "yes" for row in chosen)
    late = Counter(row["request_late"] for row in chosen)
    dates = (late[Late.OVERDUE], late[Late.FINISHED])
    return [len(chosen), told, *(counts[WORDS[name]] for name in COLUMNS), *dates]


def from_html(report: PeriodReport) -> dict[str, list[int]]:
    tables = Tables(render.html(report)).tables
    page, first = " ".join(render.html(report).split()), _cells(tables["numbers by-right"])
    others = []
    for name, columns, otherwise in (
        ("aside", 4, "No request was settled, exempt, withdrawn or superseded"),
        ("dates", 2, "past its legal date.</p>"),
    ):
        found = _cells(tables.get(f"numbers {name}", []))
        assert (otherwise in page) is not bool(found), "figures that are all 0 are a sentence"
        assert all(map(any, found.values())), "a row says something"
        others.append(dict.fromkeys(first, [0] * columns) | found)
    return {right: counts + [count for one in others for count in one[right]] for right, counts in first.items()}


def _cells(table: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    return {_right(row[0]): [int(cell) for cell in row[1:]] for row in table[1:] if row[0] != "Open from before"}


def from_text(report: PeriodReport) -> dict[str, list[int]]:
    text = render.text(report)
    block = text.split("Requests by right")[1].split("\n\n")[0].splitlines()[2:]
    cells = [re.split(r"\s{2,}", line.strip()) for line in block]
    return {_right(row[0]): [int(cell) for cell in row[1:]] for row in cells if row[0] != "Open from before"}


def _right(label: str) -> str:
    return label.lower().replace("-", "_")


# --- counting


def test_all_four_formats_say_the_same_numbers(rows: Rows) -> None:
    one_of_each(rows)
    rows.ask(due=date(2026, 11, 25), received=RECEIVED - timedelta(days=3), alpha=State.PENDING)
    rows.ask(closed_at=datetime(2026, 12, 22, tzinfo=UTC), alpha=State.VERIFIED)
    report = november(rows)
    told = from_json(report)
    assert told["all"] == [12, 7, 1 + 1 + 1, 2, 3, 1, 1, 1, 1, 1, 1]
    assert from_csv(report) == told
    assert from_html(report) == told
    assert from_text(report) == told


def test_each_request_is_in_exactly_one_column(rows: Rows) -> None:
    one_of_each(rows)
    report = november(rows)
    for tally in (*report.by_right, report.total):
        assert tally.received == sum(getattr(tally, name) for name in COLUMNS)
    for right in COLUMNS:
        assert getattr(report.total, right) == sum(getattr(tally, right) for tally in report.by_right)
    for one in report.by_processor:
        assert one.asked == sum(getattr(one, name) for name in COLUMNS)


@pytest.mark.parametrize("state", list(State))
def test_only_the_done_states_count_as_done_and_only_verified_as_seen(state: State) -> None:
    assert (counted(state) in {Count.SEEN, Count.SAID}) == (state in DONE_STATES)
    assert (counted(state) is Count.SEEN) == (state is State.VERIFIED)
    assert (counted(state) is Count.NOT_YET) == (state not in CLOSED_STATES)


@pytest.mark.parametrize("aside", [State.SETTLED, State.EXEMPT])
def test_settled_and_exempt_are_never_counted_as_done(rows: Rows, aside: State) -> None:
    rows.ask(Right.RESTRICTION, alpha=State.VERIFIED, beta=aside)
    report = november(rows)
    assert report.total.seen + report.total.said == 0
    assert getattr(report.total, aside.value) == 1
    assert report.sentence.startswith("0 of 1 request is done everywhere, ")
    assert f"1 {aside.value}" in report.sentence
    assert report.verdict is Verdict.IN_ORDER


def test_whoever_is_exempt_was_not_told(rows: Rows) -> None:
    rows.ask(Right.RESTRICTION, alpha=State.VERIFIED, beta=State.EXEMPT)
    assert november(rows).total.told_everyone == 0


def test_what_was_asked_of_nobody_is_not_done(rows: Rows) -> None:
    rows.ask()
    report = november(rows)
    assert report.total.not_yet == 1
    assert report.verdict is Verdict.NEEDS_A_DECISION
    assert "no processor was asked" in render.text(report)
    assert "no processor was asked" in render.html(report)


def test_a_day_belongs_to_the_controllers_zone(rows: Rows) -> None:
    rows.ask(received=datetime(2026, 7, 31, 23, 30, tzinfo=UTC), alpha=State.VERIFIED, closed_at=NOW)
    july = november(rows, first=date(2026, 7, 1), last=date(2026, 7, 31))
    august = november(rows, first=date(2026, 8, 1), last=date(2026, 8, 31))
    assert (july.total.received, august.total.received) == (0, 1)
    assert july.carried == ()


def test_what_was_still_open_when_the_period_began_is_carried_over_and_counted_apart(rows: Rows) -> None:
    october = datetime(2026, 10, 5, 9, 0, tzinfo=UTC)
    still = rows.ask(received=october, alpha=State.REFUSED)
    since = rows.ask(received=october, alpha=State.VERIFIED, closed_at=RECEIVED)
    rows.ask(received=october, alpha=State.VERIFIED, closed_at=october + timedelta(days=1))
    rows.ask(Right.RESTRICTION, received=october, alpha=State.EXEMPT)
    report = november(rows)
    assert [one.id for one in report.carried] == [still, since]
    assert (report.total.received, report.carried_total.received, report.carried_total.not_yet) == (0, 2, 1)
    assert "1 of 2 requests is done everywhere" in report.sentence


def test_what_was_recorded_by_link_is_counted_and_nobody_is_asked_how_many_it_was(rows: Rows) -> None:
    rows.ask(alpha=State.VERIFIED, source=BY_LINK)
    report = november(rows)
    for page in (render.text(report), render.html(report)):
        assert "dpsync-link: 1 request, recorded by link: nobody else counts them" in page
        assert "--sent" not in page
    rows.ask(alpha=State.VERIFIED)
    assert "--sent crm=N" in render.text(november(rows))
    assert "--sent dpsync-link" not in render.text(november(rows))


@pytest.mark.parametrize(
    ("names", "said"),
    [(["one"], "one"), (["one", "two"], "one and two"), (["one", "two", "three"], "one, two and three")],
)
def test_names_are_put_together_as_in_a_sentence(names: list[str], said: str) -> None:
    assert together(iter(names)) == said


def test_sources_are_counted_for_reconciliation(rows: Rows) -> None:
    rows.ask(alpha=State.VERIFIED)
    rows.ask(alpha=State.VERIFIED, source="forms")
    rows.ask(alpha=State.VERIFIED)
    report = november(rows)
    assert [(one.source, one.requests) for one in report.sources] == [("crm", 2), ("forms", 1)]
    for page in (render.text(report), render.html(report)):
        assert "crm: 2 requests" in page
        assert "forms: 1 request" in page


@pytest.mark.parametrize(
    ("sent", "said", "expected"),
    [
        ({}, "crm: 1 request; what it sent is not known", Verdict.IN_ORDER),
        ({"crm": 1}, "crm: 1 request; it says 1: the numbers agree", Verdict.IN_ORDER),
        ({"crm": 2}, "crm: 1 request; it says 2: THEY DIFFER", Verdict.NEEDS_A_DECISION),
        ({"forms": 3}, "forms: 0 requests; it says 3: THEY DIFFER", Verdict.NEEDS_A_DECISION),
    ],
)
def test_what_a_source_says_it_sent_agrees_differs_or_is_not_known(
    rows: Rows, sent: Mapping[str, int], said: str, expected: Verdict
) -> None:
    rows.ask(alpha=State.VERIFIED)
    report = november(rows, sent=sent)
    assert report.verdict is expected
    assert [said in page for page in (render.text(report), render.html(report))] == [True, True]
    assert [duty.sentence.split(".")[0] for duty in report.duties] == [
        f"{source} says that it sent {count} requests, and {report.total.received if source == 'crm' else 0} came in"
        for source, count in sent.items()
        if expected is Verdict.NEEDS_A_DECISION
    ]


def test_speed_says_how_many_are_not_told_yet_and_who_is_slowest(rows: Rows) -> None:
    rows.ask(alpha=State.VERIFIED, beta=State.VERIFIED)
    rows.ask(alpha={"state": State.VERIFIED, "told_at": RECEIVED + timedelta(hours=80)}, beta=State.PENDING)
    rows.ask(Right.OPT_OUT, alpha={"state": State.VERIFIED, "told_at": RECEIVED + timedelta(minutes=4)})
    report = november(rows)
    assert (report.speed.to_tell, report.speed.told, report.speed.after_target) == (4, 3, 2)
    assert (report.speed.median_hours, report.speed.slowest_hours, report.speed.slowest_title) == (0.15, 80.0, "Alpha")
    assert (report.speed_opt_out.told, report.speed_opt_out.after_target) == (1, 0)
    assert "slowest 80.0 hours (Alpha)" in render.text(report)


def test_what_cannot_be_seen_is_said_for_what_was_asked_and_for_nothing_else(rows: Rows) -> None:
    rows.ask(alpha=State.VERIFIED, beta=State.DECLARED_DONE, gone=State.APPLIED)
    report = november(rows)
    assert [(one.processor, one.right, one.on_word) for one in report.limits] == [
        ("beta", Right.ERASURE, 1),
        ("gone", Right.ERASURE, 1),
    ]
    for page in (render.text(report), render.html(report)):
        assert re.search(r"Beta, forms(: there is only| \(erasure through).*Done on their word: 1 of 1\.", page)
        assert "It keeps its own log. We cannot look there: there is only their word." in page


LETTERS = ProcessorLine("letters", "Letters", capability_lines({}, {}))
"""Reached by letter alone: the same holds for every right."""

MIXED = ProcessorLine(
    "mixed",
    "Mixed",
    capability_lines(
        {
            Right.ERASURE: Capability(Means.API, "", "It keeps a log. Back-ups stay a month.", "read", "its pages"),
            Right.OPT_OUT: Capability(Means.OPERATOR, "", "It keeps a log. Old mail still goes.", "read", "its pages"),
        },
        {},
    ),
)


def test_what_cannot_be_seen_is_said_once_with_the_rights_it_holds_for(rows: Rows) -> None:
    for right in Right:
        rows.ask(right, letters=State.DECLARED_DONE)
    for right in (Right.ERASURE, Right.OPT_OUT):
        rows.ask(right, mixed=State.APPLIED)
    report = november(rows, processors=(LETTERS, MIXED))
    head = "Letters (all four rights by a tracked notice to its contact). Done on their word: 4 of 4."
    pages = ((render.text(report), "Each request of the period"), (render.html(report), "Needs attention"))
    for page, after in pages:
        shown = page.partition("What we cannot see")[2].partition(after)[0]
        assert (head if page == render.text(report) else "All four rights by a tracked notice to its") in shown
        for said in ("Nothing happens until a person there does it", "their word only", "It keeps a log."):
            assert shown.count(said) == 1
        assert "rasure through its API; opt-out by our operator, by hand" in shown
        assert "Erasure: Back-ups stay a month." in shown
        assert "Opt-out: Old mail still goes." in shown


def test_a_row_names_the_number_under_which_its_limits_stand_in_every_format(rows: Rows) -> None:
    for right in Right:
        rows.ask(right, letters=State.DECLARED_DONE, alpha=State.VERIFIED)
    rows.ask(Right.OPT_OUT, mixed=State.APPLIED)
    report = november(rows, processors=(LETTERS, PROCESSORS[0], MIXED))
    told = {(one["number"], one["processor"]) for one in json.loads(render.json(report))["limits"]}
    assert told == {(1, "letters"), (2, "mixed")}
    assert len(report.limits) == 5
    text, page = render.text(report), render.html(report)
    assert re.findall(r"^  (\d)\. (\w+) \(", text, re.MULTILINE) == [("1", "Letters"), ("2", "Mixed")]
    assert re.findall(r'<li value="(\d)">(\w+):', page) == [("1", "Letters"), ("2", "Mixed")]
    assert Counter(re.findall(r"limit \d", text)) == {"limit 1": 4, "limit 2": 1}
    assert Counter(re.findall(r"\w+ \(\d\)", page.partition('class="finished"')[2].partition("</table>")[0])) == {
        "Letters (1)": 4,
        "Mixed (2)": 1,
    }
    rows_of = csv.DictReader(io.StringIO(render.csv(report).removeprefix("\ufeff")))
    assert {row["processor"] for row in rows_of if row["limits"]} == {"letters", "mixed"}


def test_the_sentence_says_apart_what_is_overdue_and_no_request(rows: Rows) -> None:
    rows.ask(alpha=State.VERIFIED)
    told = sentence(november(rows).received, "at Inbox 1 private conversation is")
    assert told.endswith("No request is overdue; at Inbox 1 private conversation is.")


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (timedelta(0), "usually within a minute; slowest less than a minute (Alpha)"),
        (timedelta(seconds=59), "usually within a minute; slowest less than a minute (Alpha)"),
        (timedelta(seconds=70), "usually within 1 minute; slowest 1 minute (Alpha)"),
        (timedelta(minutes=9), "usually within 9 minutes; slowest 9 minutes (Alpha)"),
    ],
)
def test_no_time_is_called_nought_minutes(rows: Rows, after: timedelta, said: str) -> None:
    rows.ask(alpha={"state": State.VERIFIED, "told_at": RECEIVED + after})
    assert said in render.text(november(rows))


# --- the verdict


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (State.VERIFIED, Verdict.IN_ORDER),
        ({"state": State.PENDING}, Verdict.NEEDS_A_DECISION),
        ({"state": State.ACCEPTED}, Verdict.IN_ORDER),
        ({"state": State.ACCEPTED, "answer_by": NOW}, Verdict.NEEDS_A_DECISION),
        ({"state": State.HELD, "causes": "cooling_off"}, Verdict.IN_ORDER),
        ({"state": State.HELD, "causes": "approval"}, Verdict.NEEDS_A_DECISION),
        ({"state": State.HELD, "causes": "contact_unverified"}, Verdict.NEEDS_A_DECISION),
        (State.HANDED_OVER, Verdict.NEEDS_A_DECISION),
        (State.CONTRADICTED, Verdict.NEEDS_A_DECISION),
        (State.REFUSED, Verdict.NEEDS_A_DECISION),
        (State.ESCALATED, Verdict.NEEDS_A_DECISION),
        (State.NOT_IDENTIFIABLE, Verdict.NEEDS_A_DECISION),
    ],
)
def test_the_worst_line_decides_the_verdict(rows: Rows, line: Any, expected: Verdict) -> None:
    for _ in range(3):
        rows.ask(alpha=State.VERIFIED, beta=State.VERIFIED)
    rows.ask(alpha=State.VERIFIED, beta=line)
    assert november(rows).verdict is expected


def test_one_overdue_line_outweighs_everything_else(rows: Rows) -> None:
    for _ in range(5):
        rows.ask(alpha=State.VERIFIED)
    rows.ask(alpha=State.CONTRADICTED)
    late = rows.ask(
        received=RECEIVED - timedelta(days=15), due=date(2026, 11, 30), alpha=State.VERIFIED, beta=State.ACCEPTED
    )
    report = november(rows)
    assert report.verdict is Verdict.OVERDUE
    assert [line.request_id for line in report.overdue] == [late]
    assert report.duties[0].overdue
    assert report.duties[0].requests == (late,)
    for page in (render.text(report), render.html(report)):
        assert page.index("Overdue, the last day was Mon 30 Nov 2026") < page.index("Told everyone")


def test_overdue_begins_with_the_stored_moment_and_ends_with_being_closed(rows: Rows) -> None:
    rows.ask(due=date(2026, 11, 30), alpha=State.ACCEPTED)
    rows.ask(due=date(2026, 11, 30), alpha=State.SETTLED)
    moment = datetime(2026, 12, 1, tzinfo=UTC)
    assert november(rows, now=moment - timedelta(microseconds=1)).total.overdue == 0
    assert november(rows, now=moment).total.overdue == 1


def finished(rows: Rows, at: datetime, *, state: State = State.VERIFIED) -> str:
    """A request due by 25 November whose last processor was through at `at`."""
    begun = RECEIVED - timedelta(days=10)
    last = {"state": state, "done_at": at if state in DONE_STATES else None, "state_since": at}
    return rows.ask(received=begun, due=date(2026, 11, 25), closed_at=at, alpha=State.VERIFIED, beta=last)


def test_a_missed_legal_date_stays_missed_when_the_request_is_closed(rows: Rows) -> None:
    late = finished(rows, datetime(2026, 11, 26, 10, 0, tzinfo=UTC))
    finished(rows, datetime(2026, 11, 25, 23, 59, tzinfo=UTC))
    report = november(rows)
    assert (report.verdict, report.total.finished_late, report.total.overdue) == (Verdict.FINISHED_LATE, 1, 0)
    assert report.sentence.endswith("No request is overdue. 1 request was finished after the legal date.")
    assert [(line.request_id, line.processor) for line in report.finished_late] == [(late, "beta")]
    said = "FINISHED LATE: 26 Nov 2026, 10:00 GMT, the last day was Wed 25 Nov 2026"
    own = the_dossier(rows, late)
    assert own.verdict is Verdict.FINISHED_LATE
    pages = (render.text(report), render.html(report), render.text(own), render.html(own))
    assert [said in page for page in pages] == [True] * 4
    assert "Closed: FINISHED LATE" in render.text(own)
    found = list(csv.DictReader(io.StringIO(render.csv(report).removeprefix("\ufeff"))))
    assert {row["closed_at"] for row in found if row["request"] == late} == {"2026-11-26T10:00:00Z"}


def test_what_is_late_at_one_processor_and_overdue_at_another_is_not_called_finished(rows: Rows) -> None:
    begun, at = RECEIVED - timedelta(days=10), datetime(2026, 11, 26, tzinfo=UTC)
    done = {"state": State.VERIFIED, "done_at": at, "state_since": at}
    rows.ask(received=begun, due=date(2026, 11, 25), alpha=done, beta=State.ACCEPTED)
    report = november(rows)
    assert (report.verdict, report.total.finished_late, report.notes) == (Verdict.OVERDUE, 0, ())
    finished(rows, at)
    (note,) = november(rows).notes
    assert note.startswith("1 request was finished after its legal date")


@pytest.mark.parametrize("state", [State.SETTLED, State.WITHDRAWN, State.DECLARED_DONE, State.EXEMPT])
def test_however_it_was_closed_after_its_legal_date_it_was_late(rows: Rows, state: State) -> None:
    finished(rows, datetime(2026, 11, 26, tzinfo=UTC), state=state)
    assert november(rows).verdict is Verdict.FINISHED_LATE


def test_what_is_read_again_after_the_legal_date_was_not_finished_then(rows: Rows) -> None:
    begun, done = RECEIVED - timedelta(days=10), RECEIVED
    line = {"state": State.VERIFIED, "done_at": done, "state_since": datetime(2026, 11, 29, tzinfo=UTC)}
    rows.ask(received=begun, due=date(2026, 11, 25), closed_at=done, alpha=line)
    assert november(rows).verdict is Verdict.IN_ORDER


@pytest.mark.no_database
def test_what_was_contradicted_counts_as_done_from_when_it_is_done_again(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold("ada@example.org")
    asked = world.ask(Right.ERASURE, "ada@example.org")
    world.drive()
    first = world.row(asked).done_at
    vendor.hold("ada@example.org")
    world.clock.advance(timedelta(days=31))
    world.drive()
    assert world.state(asked) is State.CONTRADICTED
    vendor.people.clear()
    world.clock.advance(timedelta(hours=1))
    world.drive()
    assert world.state(asked) is State.VERIFIED
    assert world.row(asked).done_at == first + timedelta(days=31, hours=1)


def test_an_opt_out_is_overdue_after_its_24_hours(rows: Rows) -> None:
    rows.ask(Right.OPT_OUT, received=NOW - timedelta(hours=24), alpha=State.PENDING)
    assert november(rows, last=date(2026, 12, 1)).verdict is Verdict.OVERDUE


def test_a_stopped_account_waits_for_the_operator(rows: Rows) -> None:
    rows.ask(received=NOW - timedelta(hours=1), alpha=State.PENDING)
    with writing(rows.engine) as connection:
        connection.execute(insert(t.account).values(id="alpha", stopped="credential"))
    report = november(rows, last=date(2026, 12, 1))
    assert report.received[0].lines[0].waits_for is WaitsFor.OPERATOR
    assert report.duties[0].command == "dpsync resume alpha"


def test_at_most_three_duties_stand_on_the_page_and_alike_ones_stand_together(rows: Rows) -> None:
    held = [rows.ask(alpha={"state": State.HELD, "causes": "brake"}) for _ in range(40)]
    for state in (State.CONTRADICTED, State.REFUSED, State.ESCALATED):
        rows.ask(alpha=state)
    report = november(rows)
    assert (len(report.duties), report.more_duties) == (3, 1)
    assert report.duties[0].requests == tuple(held)
    assert report.duties[0].by == date(2026, 12, 19)
    assert report.duties[0].command == "dpsync release r-000001 alpha --by NAME --reason WHY"
    assert "and 39 more alike" in report.duties[0].sentence
    assert "and 1 more" in render.html(report)


def test_what_is_held_is_to_be_decided_within_our_target_while_there_is_time(rows: Rows) -> None:
    rows.ask(received=NOW - timedelta(hours=1), alpha={"state": State.HELD, "causes": "brake"})
    assert november(rows, last=date(2026, 12, 1)).duties[0].by == date(2026, 12, 4), "the last legal day is too late"


def test_an_alert_that_nobody_got_is_a_duty(rows: Rows) -> None:
    with writing(rows.engine) as connection:
        for attempts in (0, 4):
            connection.execute(
                insert(t.alert).values(
                    cause=f"c{attempts}",
                    day="2026-11-20",
                    role="dpo",
                    subject="Held: approval (Alpha)",
                    body="",
                    created_at=RECEIVED,
                    due_at=RECEIVED,
                    attempts=attempts,
                )
            )
    report = november(rows)
    assert (report.alerts_raised, len(report.alerts)) == (2, 2)
    assert report.verdict is Verdict.NEEDS_A_DECISION
    assert report.duties[0].sentence.startswith("1 alert could not be delivered")


def test_a_record_that_does_not_verify_is_the_first_screen_and_never_in_order(rows: Rows) -> None:
    rows.ask(alpha=State.VERIFIED)
    report = november(rows, ledger=BROKEN)
    assert report.verdict is Verdict.NEEDS_A_DECISION
    assert report.duties[0].command == "dpsync verify"
    text, page = render.text(report), render.html(report)
    for one in (text, page):
        assert one.index("THE RECORD COULD NOT BE VERIFIED") < one.lower().rindex("needs a decision")
        assert "entry 17 is not what was signed" in one
        assert "unaltered" not in one
    assert 'class="broken"' in page
    assert {row["record"] for row in csv.DictReader(io.StringIO(render.csv(report)))} == {"NOT VERIFIED"}
    assert json.loads(render.json(report))["ledger"]["verified"] is False


def test_verified_with_problems_is_not_verified(rows: Rows) -> None:
    report = november(rows, ledger=replace(SOUND, problems=("a gap",)))
    assert report.verdict is Verdict.NEEDS_A_DECISION


def test_an_empty_month_is_one_friendly_sentence(rows: Rows) -> None:
    report = november(rows)
    assert report.verdict is Verdict.IN_ORDER
    for page in (render.text(report), render.html(report)):
        assert "No request came in, and no earlier one was open." in page
        assert "Nothing. The next report is about the time from 1 December 2026 on." in page
    assert len(render.csv(report).splitlines()) == 1


def test_letters_that_are_due_later_are_not_nothing(rows: Rows) -> None:
    rows.ask(alpha=State.VERIFIED)
    rows.ask(due=date(2026, 12, 23), alpha=State.VERIFIED)
    rows.ask(Right.RECTIFICATION, due=date(2026, 12, 12), alpha=State.VERIFIED)
    report = november(rows, letters=True)
    later = "2 people have no letter yet that answers them: the first is due by Thu 17 Dec 2026 (request r-000001)."
    assert [duty.by for duty in report.duties] == [date(2026, 12, 8)], "which is a week away, and not told twice"
    assert page_one.is_quiet(report) is False
    for page in (render.text(report), render.html(report), *page_one.paragraphs(report)[3:4]):
        assert later in " ".join(untagged(page).split())


def test_a_dossier_of_what_is_done_everywhere_says_that_the_person_has_no_letter(rows: Rows) -> None:
    found = the_dossier(rows, rows.ask(alpha=State.VERIFIED), letters=True)
    assert (found.duties, found.verdict) == ((), Verdict.IN_ORDER)
    for page in (render.text(found), render.html(found)):
        assert "Nothing now." in page
        told = "1 person has no letter yet that answers them: it is due by Thu 17 Dec 2026 (request r-000001)."
        assert told in untagged(page)
    assert the_dossier(rows, found.asked.id, letters=False).later == ""


def test_what_is_set_aside_has_its_reason_and_name(rows: Rows) -> None:
    settled = rows.ask(alpha=State.SETTLED, beta=State.VERIFIED)
    exempt = rows.ask(Right.RESTRICTION, alpha=State.EXEMPT, beta=State.VERIFIED)
    with writing(rows.engine) as connection:
        for processor, reason in (("alpha", "telephoned, gone"), ("beta", "not this one")):
            connection.execute(
                insert(t.decision).values(
                    request_id=settled,
                    processor=processor,
                    kind="settle",
                    detail="",
                    sealed=json.dumps({"by": "Grace H", "reason": reason}).encode(),
                    os_user="grace",
                    at=NOW,
                )
            )
    why = ExemptLine(Right.RESTRICTION, "art19_impossible", "no contact exists", "Board", date(2027, 6, 30))
    report = november(rows, processors=(replace(PROCESSORS[0], exempt=(why,)), PROCESSORS[1]))
    told = [(one.request_id, one.processors, one.kind, one.reason, one.by) for one in report.set_aside]
    assert told == [
        (settled, ("Alpha",), "settled", "telephoned, gone", "Grace H"),
        (exempt, ("Alpha",), "exempt", "no contact exists (art19_impossible)", "Board"),
    ]


# --- what was written by others


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", " =", "|", "\u00a0="])
def test_no_cell_begins_a_formula(start: str) -> None:
    shown = cell(f"{start}1+1")
    assert shown[0] not in "=+-@\t\r\n＝＋－＠|"
    assert shown.strip()[0] not in "=+-@\t\r\n＝＋－＠|"


@pytest.mark.parametrize("text", ["\x1b[31m", "\u202e", "\u2066", "\x07", "\r\n", "\x85", "\u2028", "\ufeff", "\ud800"])
def test_what_steers_a_terminal_or_the_eye_is_spelled_out(text: str) -> None:
    assert visible(f"a{text}b").isprintable()
    assert visible("Žofie Ångström, 名前") == "Žofie Ångström, 名前"


def hostile(rows: Rows) -> tuple[PeriodReport, Dossier]:
    line = {"reason": HOSTILE, "task": HOSTILE}
    held = rows.ask(alpha={"state": State.REFUSED, **line}, beta={"state": State.HANDED_OVER, **line}, source=HOSTILE)
    with writing(rows.engine) as connection:
        connection.execute(
            insert(t.decision).values(
                request_id=held,
                processor="",
                kind="retry",
                detail="",
                sealed=json.dumps({"by": HOSTILE, "reason": HOSTILE}).encode(),
                os_user="x",
                at=NOW,
            )
        )
    more: dict[str, Any] = {
        "controller": HOSTILE,
        "processors": (known("alpha", HOSTILE, HOSTILE), known("beta", "Beta", HOSTILE, "")),
        "ledger": replace(BROKEN, problems=(HOSTILE,), checkpoint=HOSTILE),
    }
    return november(rows, **more), the_dossier(rows, held, **more)


@pytest.mark.fault(35)
@pytest.mark.fault(34)
def test_hostile_text_is_inert_in_every_format(rows: Rows, counted: Counted) -> None:
    for report in hostile(rows):
        for form in WRITTEN:
            raw = render.rendered(report, form).decode()
            assert "\x1b" not in raw
            assert "\u202e" not in raw
            counted(35, raw_hits=sum(raw.count(one) for one in ("\x1b", "\u202e")))
            assert "\n" + "A fresh line" not in raw
        page = Tables(render.html(report))
        assert page.tags["script"] == 0
        assert page.handlers == []
        table = list(csv.reader(io.StringIO(render.csv(report).removeprefix("\ufeff"))))
        begun = [one for row in table for one in row if one[:1] in set("=+-@\t\r＝＋－＠") - {""} and one]
        counted(34, cells=len(begun))
        assert all(one[:1] not in set("=+-@\t\r＝＋－＠") for row in table for one in row if one)
        assert len({len(row) for row in table}) == 1


def test_a_page_refers_to_nothing_outside_itself(rows: Rows) -> None:
    one_of_each(rows)
    for report in (november(rows), the_dossier(rows, "r-000001ABCDEFGHJKMNPQRSTV01")):
        page = render.html(report)
        assert Tables(page).refers == []
        assert "url(" not in page
        assert "@import" not in page
        assert "http://" not in page
        assert "https://" not in page
        assert "default-src 'none'" in page


def test_tables_have_captions_scopes_and_labels_for_narrow_screens(rows: Rows) -> None:
    one_of_each(rows)
    page = render.html(november(rows))
    parsed = Tables(page)
    assert parsed.tags["caption"] == parsed.tags["table"] > 2
    assert page.count("<th ") == page.count('scope="')
    assert page.count("<td ") == page.count("data-label=") == parsed.tags["td"]
    assert parsed.tags["details"] == parsed.tags["summary"] > 4


def test_no_identifier_of_a_person_is_in_any_format(rows: Rows) -> None:
    one_of_each(rows)
    for report in (november(rows), the_dossier(rows, "r-000001ABCDEFGHJKMNPQRSTV01")):
        for form in WRITTEN:
            raw = render.rendered(report, form).decode()
            assert "example.org" not in raw
            assert "secret" not in raw


@pytest.mark.parametrize("form", WRITTEN)
def test_a_rehearsal_says_so_first_and_only_a_rehearsal_does(rows: Rows, form: Format) -> None:
    request_id = rows.ask(alpha=State.VERIFIED)
    for make in (november, lambda rows, **more: the_dossier(rows, request_id, **more)):
        marked = render.rendered(make(rows, rehearsal=True), form).decode().lower()
        plain = render.rendered(make(rows, rehearsal=False), form).decode().lower()
        assert "rehearsal" in marked[:2500]
        if form is Format.HTML:
            assert Tables(marked).title.startswith("rehearsal: ")
            assert marked.index('<p class="rehearsal"') < marked.index("<main>")
            assert '<p class="rehearsal"' not in plain
        elif form is not Format.JSON:
            assert "rehearsal" not in plain


# --- the shapes that programs read


def test_the_json_has_a_version_and_every_field_by_name(rows: Rows) -> None:
    one_of_each(rows)
    raw = render.json(november(rows))
    value = json.loads(raw)
    assert raw.isascii()
    assert (value["version"], value["kind"]) == (1, "period")
    assert set(value) == {"version", "kind", *(field.name for field in fields(PeriodReport))}
    assert value["received"][0]["received_at"] == "2026-11-20T09:00:00Z"
    assert value["received"][0]["lines"][0]["rung"] == int(Rung.VERIFIED)
    assert value["received"][0]["request"] == "r-000001ABCDEFGHJKMNPQRSTV01"


def test_the_csv_has_a_mark_full_ids_and_a_row_for_each_request_and_processor(rows: Rows) -> None:
    one_of_each(rows)
    raw = render.rendered(november(rows), Format.CSV)
    assert raw.startswith(b"\xef\xbb\xbf")
    assert raw.count(b"\n") == raw.count(b"\r\n") == 1 + 20
    assert b"r-000001ABCDEFGHJKMNPQRSTV01" in raw


def test_text_is_never_cut(rows: Rows) -> None:
    long = "A very long title of a processor " * 8
    rows.ask(alpha=State.REFUSED)
    assert long.strip() in render.text(november(rows, processors=(known("alpha", long.strip()),)))


@pytest.mark.slow
def test_two_thousand_requests_cost_four_times_what_five_hundred_do(rows: Rows) -> None:
    """In steps of the interpreter and in questions to the database, so that a busy machine changes nothing."""

    def cost(requests: int) -> tuple[int, int, PeriodReport]:
        asked = []
        event.listen(rows.engine, "before_cursor_execute", asking := lambda *_: asked.append(1))
        with cProfile.Profile() as profile:
            report = november(rows)
            pages = [render.rendered(report, form) for form in WRITTEN]
        event.remove(rows.engine, "before_cursor_execute", asking)
        assert report.total.received == requests
        assert all(pages)
        return sum(one.callcount for one in profile.getstats()), len(asked), report

    rows.many(500)
    steps, asked, _ = cost(500)
    rows.many(1500, after=500)
    more_steps, asked_again, report = cost(2000)
    assert more_steps < 4.4 * steps
    assert asked_again <= 4.4 * asked
    page = render.html(report)
    assert "more requests" not in page
    assert from_html(report) == from_csv(report) == from_json(report)


@pytest.mark.slow
def test_twenty_thousand_requests_cost_ten_times_what_two_thousand_do(rows: Rows) -> None:
    """In steps of the interpreter. The page has the first 2,000 that are finished, and names the file of all."""

    def cost() -> tuple[int, str]:
        with cProfile.Profile() as profile:
            page = render.html(november(rows))
        return sum(one.callcount for one in profile.getstats()), page

    rows.many(2000)
    steps, _ = cost()
    for after in range(2000, 20_000, 6000):
        rows.many(6000, after=after)
    more_steps, page = cost()
    assert more_steps < 11 * steps
    assert "18000 more requests, all finished, are in the CSV with the SHA-256 below" in page
    assert len(page) < 3_000_000


def test_a_long_page_leaves_out_only_what_is_finished(rows: Rows) -> None:
    rows.many(2100)
    late = rows.ask(received=RECEIVED + timedelta(days=3), alpha=State.REFUSED)
    page = Tables(render.html(november(rows))).tables
    assert any(late[:8] in row[0] for row in page["lines"])


# --- status


def test_status_shows_the_open_ones_in_order_of_their_legal_date(rows: Rows) -> None:
    rows.ask(alpha=State.VERIFIED)
    second = rows.ask(
        due=date(2026, 12, 21), alpha={"state": State.HELD, "causes": "approval,cooling_off"}, beta=State.ACCEPTED
    )
    first = rows.ask(due=date(2026, 11, 28), alpha=State.PENDING)
    with reading(rows.engine) as connection:
        found = status_rows(connection, now=NOW)
        everything = status_rows(connection, now=NOW, only_open=False, limit=2)
    assert [row.request_id for row in found] == [first, second]
    assert [row.late for row in found] == [Late.OVERDUE, Late.TARGET]
    assert found[1].states == "held: approval, cooling off (alpha); told, answer owed (beta)"
    assert found[1].causes == (Cause.APPROVAL, Cause.COOLING_OFF)
    assert found[1].waits_for == ("the DPO", "beta")
    assert (found[1].told, found[1].processors, found[1].needs_a_person) == (1, 2, True)
    assert [row.request_id for row in everything] == [first, second]


def test_status_of_one_request_is_shown_although_it_is_closed(rows: Rows) -> None:
    closed = rows.ask(alpha=State.VERIFIED, beta=State.VERIFIED)
    with reading(rows.engine) as connection:
        found = status_rows(connection, now=NOW, request_id=closed)
    assert [(row.states, row.waits_for) for row in found] == [("done, seen by us (all 2)", ())]


# --- what processors can do


def test_every_right_of_every_processor_has_its_effect_limits_and_source() -> None:
    text = capabilities_text(PROCESSORS)
    assert text.count("### ") == len(PROCESSORS) * len(Right)
    assert text.count("- Limits: It keeps its own log.") == len(Right)
    assert text.count("- Seen by us: no: there is only their word, or our operator's") == len(Right)


@pytest.mark.no_database
def test_a_right_that_no_connector_declares_goes_by_notice(world: World) -> None:
    letters = world.notice.capabilities
    assert {can.means for can in capability_lines(letters, {})} == {Means.NOTICE}
    assert {can.means for can in capability_lines({}, letters)} == {Means.NOTICE}
    assert {can.verified_by for can in capability_lines({}, {})} == {""}


# --- with rows that the service itself wrote


def ledger_of(world: World, request_id: str) -> list[tuple[int, Mapping[str, str | int]]]:
    return [(row.idx, decode(row.body)) for row in world.rows(t.entry) if row.request_id == request_id]


@pytest.mark.no_database
def test_a_dossier_tells_the_whole_story_in_order(world: World) -> None:
    world.vendors["alpha"].answers = [later()]
    world.vendors["alpha"].hold("ada@example.org")
    asked = world.ask(Right.ERASURE, "ada@example.org")
    world.drive()
    world.clock.advance(timedelta(hours=2))
    world.drive()
    rows = Rows(world.engine)
    made = the_dossier(
        rows, asked.request_id, now=world.clock.now(), entries=ledger_of(world, asked.request_id), processors=()
    )
    assert made.asked.counts_as is Count.SEEN
    assert [(one.kind, one.outcome) for one in made.attempts] == [
        ("carry_out", "Retryable"),
        ("carry_out", "Applied AsAsked"),
    ]
    assert len(made.attempts[1].evidence) == 2
    assert (made.entries[0].event, made.entries[-1].event) == ("received", "verified")
    assert [one.at for one in made.moments] == sorted(one.at for one in made.moments)
    for form in WRITTEN:
        raw = render.rendered(made, form).decode()
        assert ("Applied AsAsked" if form is Format.CSV else "says that it did it. We looked at") in raw
        assert "ada@" not in raw
    json_rows = json.loads(render.json(made))
    csv_rows = list(csv.reader(io.StringIO(render.csv(made))))
    html_tables = Tables(render.html(made)).tables
    assert len(json_rows["moments"]) == len(made.moments) == len(html_tables["moments"]) - 1
    assert len(csv_rows) - 1 == len(made.moments) + len(made.entries)
    assert len(html_tables["entries"]) - 1 == len(made.entries)


def test_an_answer_stays_sealed_unless_it_is_opened(world: World) -> None:
    asked = world.ask(Right.ERASURE, "ada@example.org")
    sealed = world.keys.seal("answer", b'{"name": "Grace H", "remark": "done", "peer": ""}', b"1")
    with writing(world.engine) as connection:
        number = connection.execute(select(t.propagation.c.id)).scalar_one()
        connection.execute(
            insert(t.answer).values(
                propagation_id=number, number=1, kind="done", final=True, sealed=sealed, at=world.clock.now()
            )
        )
    rows = Rows(world.engine)
    closed = the_dossier(rows, asked.request_id)
    opened = the_dossier(rows, asked.request_id, opener=lambda _number, raw: world.keys.open("answer", raw, b"1"))
    assert [(one.kind, one.said) for one in closed.answers] == [("done", ())]
    assert opened.answers[0].said == (("name", "Grace H"), ("remark", "done"))
    assert all("Grace" not in render.rendered(closed, form).decode() for form in WRITTEN)
    assert "Grace" in render.text(opened)


def test_a_dossier_over_a_record_that_does_not_verify_is_not_in_order(rows: Rows) -> None:
    request_id = rows.ask(alpha=State.VERIFIED)
    assert the_dossier(rows, request_id).verdict is Verdict.IN_ORDER
    made = the_dossier(rows, request_id, ledger=BROKEN)
    assert made.verdict is Verdict.NEEDS_A_DECISION
    assert "THE RECORD COULD NOT BE VERIFIED" in render.text(made)


def test_there_is_no_dossier_of_a_request_that_is_not_there(rows: Rows) -> None:
    with pytest.raises(NotFound):
        the_dossier(rows, "r-NOBODY")


def test_the_report_of_real_rows_agrees_with_their_states_on_both_databases(world: World) -> None:
    world.use(world.processor("alpha"), world.processor("letters", world.notice))
    world.vendors["alpha"].hold("ada@example.org", "grace@example.org")
    world.ask(Right.ERASURE, "ada@example.org")
    world.ask(Right.OPT_OUT, "grace@example.org")
    world.drive()
    lines = tuple(
        ProcessorLine(one.name, one.title, capability_lines(one.connector.capabilities, world.notice.capabilities))
        for one in world.controller.processors.values()
    )
    report = november(Rows(world.engine), now=world.clock.now(), processors=lines)
    assert [line.state for one in report.received for line in one.lines] == [
        State.VERIFIED,
        State.HELD,
        State.VERIFIED,
        State.HELD,
    ]
    assert report.total.not_yet == 2
    assert {line.need for line in report.attention} == {Need.CONTACT}
    assert from_html(report) == from_csv(report) == from_json(report) == from_text(report)
    with reading(world.engine) as connection:
        assert len(status_rows(connection, now=world.clock.now())) == 2
