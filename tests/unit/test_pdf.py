"""The report as PDF: the same page, tagged, short, and made without asking anybody for anything."""

import re
import socket
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from dpsync.known_connectors import connector_class
from dpsync.model import Right, State
from dpsync.reports import render
from dpsync.reports.formats import Format
from dpsync.reports.housekeeping import JobLine
from dpsync.reports.kept import kept_lines
from dpsync.reports.pdf import pdf
from dpsync.reports.processors import ProcessorLine, capability_lines
from dpsync.reports.trustees import trustees_of
from tests.printed import catalogue, read, text_of
from tests.unit.test_register import SAID, register
from tests.unit.test_reports import HOSTILE, Rows, hostile, november, one_of_each, the_dossier
from tests.unit.test_settings import Folder, folder

__all__ = ["folder"]

FIRST = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)


def real(name: str, connector: str, title: str) -> ProcessorLine:
    """A processor with all that its connector says of itself."""
    found, notice = connector_class(connector), connector_class("notice")
    assert found is not None
    assert notice is not None
    return ProcessorLine(name, title, capability_lines(found.capabilities, notice.capabilities))


FIVE = (
    real("bulk", "campaign_monitor", "Campaign Monitor, bulk mail"),
    real("events", "eventbrite", "Eventbrite, events"),
    real("forms", "notice", "Stratosoft, forms"),
    real("newsletter", "mailchimp", "Mailchimp, newsletter"),
    real("social", "hootsuite", "Hootsuite, social media"),
)

JOBS = tuple(JobLine(f"late-callbacks-{number}", FIRST, FIRST) for number in range(33))
"""As many as a real installation has."""


def a_month(rows: Rows, requests: int) -> None:
    """So many requests at five processors; a third of them are not done somewhere, as in a bad month."""
    for number in range(requests):
        open_one = {"state": State.HELD, "causes": "approval,cooling_off"} if number % 3 == 0 else State.VERIFIED
        rows.ask(
            list(Right)[number % 4],
            received=FIRST + timedelta(hours=number * 29 * 24 / requests),
            bulk=open_one,
            events=State.HANDED_OVER if number % 10 == 9 else State.DECLARED_DONE,
            forms=State.ACCEPTED if number % 6 == 0 else State.DECLARED_DONE,
            newsletter=State.VERIFIED,
            social=State.APPLIED,
        )


def a_month_with_one_overdue(rows: Rows) -> None:
    """Four requests at four processors: one overdue everywhere, one held, one contradicted, one that is done."""
    late = {"state": State.PENDING, "told_at": None}
    rows.ask(
        Right.ERASURE,
        datetime(2026, 10, 20, 9, tzinfo=UTC),
        date(2026, 11, 20),
        bulk=late,
        events=late,
        forms=State.ACCEPTED,
        newsletter=late,
    )
    held = {"state": State.HELD, "causes": "approval,cooling_off"}
    rows.ask(Right.ERASURE, received=FIRST, bulk=held, events=held, forms=held, newsletter=held)
    rows.ask(
        Right.RECTIFICATION,
        received=FIRST,
        bulk=State.VERIFIED,
        events=State.CONTRADICTED,
        forms=State.ESCALATED,
        newsletter=State.HANDED_OVER,
    )
    rows.ask(
        Right.OPT_OUT,
        received=FIRST,
        bulk=State.VERIFIED,
        events=State.DECLARED_DONE,
        forms=State.DECLARED_DONE,
        newsletter=State.VERIFIED,
    )


def test_a_bad_month_of_four_requests_fits_three_pages(rows: Rows, folder: Folder) -> None:
    a_month_with_one_overdue(rows)
    kept = kept_lines(folder.load(forgetting="after_days = 45"))
    report = november(rows, processors=FIVE[:4], controller="Kent Open Gardens", kept=kept)
    made = read(render.rendered(replace(report, jobs=JOBS), Format.PDF))
    assert len(made.pages) <= 3


@pytest.mark.parametrize(("requests", "most"), [(4, 3), (30, 6)])
def test_a_month_fits_few_pages(rows: Rows, requests: int, most: int, folder: Folder) -> None:
    a_month(rows, requests)
    kept = kept_lines(folder.load(forgetting="after_days = 45"))
    report = replace(november(rows, processors=FIVE, kept=kept), jobs=JOBS)
    made = read(render.rendered(report, Format.PDF))
    assert len(made.pages) <= most
    last = made.pages[-1].extract_text()
    assert f"page {len(made.pages)} of {len(made.pages)}" in last
    assert "Example Gardens, data-protection requests, November 2026" in last
    assert "Example Gardens, data-protection requests" not in made.pages[0].extract_text(), "it has its own heading"
    lines = [line for page in made.pages for line in page.extract_text().splitlines()]
    for cell in (
        "Campaign Monitor, bulk mail (1)",
        "told, answer owed; past the target",
        "Proof reaches",
        "sent Stratosoft, forms",
    ):
        assert any(cell in line for line in lines), f"the widths of the columns break {cell}"


def test_it_is_tagged_and_says_its_language_and_title(rows: Rows) -> None:
    one_of_each(rows)
    raw = render.rendered(november(rows), Format.PDF)
    root, made = catalogue(raw), read(raw)
    assert root["/MarkInfo"]["/Marked"]
    assert "/StructTreeRoot" in root
    assert root["/Lang"] == "en"
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert made.metadata is not None
    assert made.metadata.title == "Needs a decision: Example Gardens, data-protection requests, November 2026"
    assert b"pdfuaid:part" in root["/Metadata"].get_data()


def test_it_says_what_the_page_says(rows: Rows) -> None:
    one_of_each(rows)
    report = november(rows)
    said = text_of(render.rendered(report, Format.PDF))
    digest = sha256(render.csv(report).encode()).hexdigest()
    for told in (report.sentence, "Erasure 6 4 1 1 2", "All 10 6 2 2 2", "Settled or exempt", digest):
        assert told in said, told


@pytest.mark.parametrize("kind", ["period", "dossier"])
def test_what_others_wrote_is_text_in_it_and_nothing_else(rows: Rows, kind: str) -> None:
    period, dossier = hostile(rows)
    raw = render.rendered(period if kind == "period" else dossier, Format.PDF)
    assert not re.search(rb"/JavaScript|/JS\b|/OpenAction|/Launch|/URI|/EmbeddedFile|/SubmitForm", raw)
    assert "alert(1)" in text_of(raw)
    assert "\u202e" not in text_of(raw)


def test_nothing_is_fetched() -> None:
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        threading.Thread(target=lambda: asked.append(listener.accept()), daemon=True).start()
        page = f'<title>x</title><img src="http://127.0.0.1:{port}/a"><link rel="stylesheet" href="file:///etc/hosts">x'
        assert "x" in text_of(pdf(page))
        assert asked == []


def test_of_many_requests_the_first_300_rows_are_in_it_and_the_rest_is_named(rows: Rows) -> None:
    rows.many(310)
    rows.ask(alpha=State.REFUSED)
    report = november(rows)
    said = text_of(render.rendered(report, Format.PDF))
    assert "12 more requests, all finished, are in the CSV with the SHA-256 below" in said
    assert "r-000001" in said
    assert "more requests" not in render.html(report)


def test_dossier_and_trustees_page_are_made_as_well(rows: Rows) -> None:
    one_of_each(rows)
    dossier = text_of(render.rendered(the_dossier(rows, "r-000009ABCDEFGHJKMNPQRSTV01"), Format.PDF))
    assert "Dossier of request" in dossier
    trustees = text_of(render.rendered(trustees_of(november(rows)), Format.PDF))
    assert "for the trustees, made 1 Dec 2026" in trustees
    assert "r-0000" not in trustees
    assert HOSTILE not in trustees


def test_a_register_of_many_processors_names_how_many_it_leaves_out(tmp_path: Path) -> None:
    made = register(tmp_path, SAID)
    many = replace(made, lines=made.lines * 302)
    assert "2 more processors are in the CSV" in render.html(many, rows=300)
    assert "more processors" not in render.html(many)
