"""Report, trustees' page, dossier and register in a browser."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from dpsync.ledger.entry import EntryKind
from dpsync.model import Right, State
from dpsync.reports import render
from dpsync.reports.html import receipt_html
from dpsync.reports.trustees import trustees_of
from tests.browser.looking import not_html, printed, wrong_with
from tests.unit.test_ledger_receipt import EMAIL
from tests.unit.test_pdf import FIVE, a_month
from tests.unit.test_receipt_page import DONE, MAIL, told
from tests.unit.test_receipt_page import page as receipt_page
from tests.unit.test_register import SAID, register
from tests.unit.test_reports import BROKEN, Rows, november, one_of_each, the_dossier


def report(rows: Rows, requests: int) -> str:
    a_month(rows, requests)
    return render.html(november(rows, processors=FIVE, controller="Kent Open Gardens"))


def many(rows: Rows) -> str:
    rows.many(2500)
    rows.ask(Right.RECTIFICATION, alpha=State.REFUSED)
    return render.html(november(rows))


def untrusted(rows: Rows) -> str:
    one_of_each(rows)
    return render.html(november(rows, ledger=BROKEN, rehearsal=True))


def trustees(rows: Rows) -> str:
    a_month(rows, 30)
    return render.html(trustees_of(november(rows, processors=FIVE)))


def dossier(rows: Rows) -> str:
    one_of_each(rows)
    return render.html(the_dossier(rows, f"r-{rows.begins}00009ABCDEFGHJKMNPQRSTV01"))


def receipt(rows: Rows) -> str:
    del rows  # it is all in the signed file
    refused = told(EntryKind.REFUSED, "refused", 3, dest="left", cause="refused", way="notice")
    return receipt_html(receipt_page([*DONE, refused], names=("left", MAIL), email=EMAIL))


PAGES: Mapping[str, Callable[[Rows], str]] = {
    "a report of nothing": lambda rows: render.html(november(rows)),
    "a report of 4": lambda rows: report(rows, 4),
    "a report of 30": lambda rows: report(rows, 30),
    "a report of 2,500": many,
    "a report that proves nothing": untrusted,
    "the trustees' page": trustees,
    "a dossier": dossier,
    "a receipt": receipt,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_whole_at_every_width_in_light_and_dark_and_for_a_screen_reader(
    name: str, rows: Rows, browser: Browser, tmp_path: Path
) -> None:
    rows.begins = "C"
    page = PAGES[name](rows)
    file = tmp_path / "page.html"
    file.write_text(page, encoding="utf-8")
    assert not_html(page) == []
    # For a screen reader 2,000 rows are as 30 are, and axe-core takes half a minute for them.
    assert wrong_with(browser, file.as_uri(), axe=name != "a report of 2,500") == []


@pytest.mark.slow
def test_the_register_is_whole_as_well(browser: Browser, tmp_path: Path) -> None:
    page = render.html(register(tmp_path, SAID, keys='leaving = "2027-01-01"'))
    file = tmp_path / "page.html"
    file.write_text(page, encoding="utf-8")
    assert not_html(page) == []
    assert wrong_with(browser, file.as_uri()) == []


@pytest.mark.slow
def test_a_receipt_is_printed_on_two_pages(rows: Rows, browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(receipt(rows), encoding="utf-8")
    said = [" ".join(page.extract_text().split()) for page in printed(browser, file.as_uri()).pages]
    assert len(said) <= 2
    assert "How to check this" in " ".join(said)


@pytest.mark.slow
@pytest.mark.parametrize(("requests", "most"), [(0, 2), (4, 3), (30, 6)])
def test_a_report_is_printed_on_few_pages_with_everything_unfolded(
    requests: int, most: int, rows: Rows, browser: Browser, tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    file.write_text(report(rows, requests) if requests else render.html(november(rows)), encoding="utf-8")
    made = printed(browser, file.as_uri())
    assert len(made.pages) <= most
    said = [" ".join(page.extract_text().split()) for page in made.pages]
    assert "A named person of the controller closed it, with a reason" in " ".join(said), "this was folded"
    assert f"page {len(said)} of {len(said)}" in said[-1]
    if requests == 30:
        heads = [page for page in said[1:] if "Processor Told Done Where it stands" in page]
        assert len(heads) > 1, "a table goes on with its heads on the next page"
