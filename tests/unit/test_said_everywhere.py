"""What a report says of the done and notes of the late, and that one thing has one name wherever a program reads it."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from dpsync.cli.opening import sent_of
from dpsync.cli.receipt import _chosen
from dpsync.cli.reports import _form, _period
from dpsync.errors import UsageError
from dpsync.model import Right, State
from dpsync.reports import render
from dpsync.reports.formats import Format
from tests.unit.test_reports import RECEIVED, Rows, november, the_dossier

ENDINGS = (
    ("html", Format.HTML),
    ("CSV", Format.CSV),
    ("json", Format.JSON),
    ("txt", Format.TEXT),
    ("pdf", Format.PDF),
)


def test_of_the_done_it_says_at_each_processor_what_was_seen(rows: Rows) -> None:
    for _ in range(3):
        rows.ask(alpha=State.VERIFIED, beta=State.DECLARED_DONE)
    rows.ask(alpha=State.APPLIED, beta=State.VERIFIED)
    rows.ask(alpha=State.VERIFIED, beta=State.PENDING)
    said = november(rows).sentence
    assert "4 of 5 requests are done everywhere" in said
    assert "seen by us: Alpha 3 of 4, Beta, forms 1 of 4; on their word: Alpha 1, Beta, forms 3" in said


def test_what_is_seen_everywhere_speaks_of_nobodys_word(rows: Rows) -> None:
    rows.ask(alpha=State.VERIFIED, beta=State.VERIFIED)
    assert "(seen by us: Alpha 1 of 1, Beta, forms 1 of 1)" in november(rows).sentence


@pytest.mark.parametrize(("right", "limit"), [(Right.OPT_OUT, "24 hours (Art. 21(3))"), (Right.ERASURE, "legal date")])
def test_what_was_finished_late_is_noted_where_nothing_can_be_done(rows: Rows, right: Right, limit: str) -> None:
    at = RECEIVED + timedelta(days=4)
    last = {"state": State.VERIFIED, "done_at": at, "state_since": at}
    late = rows.ask(right, due=(RECEIVED + timedelta(days=1)).date(), closed_at=at, alpha=last, beta=last)
    for made in (november(rows), the_dossier(rows, late)):
        (note,) = made.notes
        assert limit in note
        assert late[:8] in note
        for page in (render.text(made), render.html(made)):
            assert "To note" in page
            assert "Nothing more can be done. Read the notes." in page


def test_what_was_finished_in_time_needs_no_note(rows: Rows) -> None:
    rows.ask(alpha=State.VERIFIED, beta=State.VERIFIED)
    assert november(rows).notes == ()
    assert "To note" not in render.text(november(rows))


def test_a_request_is_called_request_and_a_vendors_id_is_not(rows: Rows) -> None:
    one = rows.ask(alpha=State.VERIFIED, beta=State.SETTLED)
    told = json.loads(render.json(november(rows)))
    (asked,) = told["received"]
    assert (asked["request"], {line["request"] for line in asked["lines"]}) == (one, {one})
    assert {line["processor"] for line in told["processors"]} == {"alpha", "beta"}
    assert '"request_id"' not in render.json(november(rows)) + render.json(the_dossier(rows, one))


TODAY = date(2026, 11, 20)


@pytest.mark.parametrize(
    "asked", [("2026-12", None, None), ("2027-01", None, None), (None, "2026-11-21", "2026-11-30")]
)
def test_a_period_that_has_not_begun_is_refused(asked: tuple[str | None, str | None, str | None]) -> None:
    with pytest.raises(UsageError, match="has not begun"):
        _period(*asked, TODAY)


@pytest.mark.parametrize(
    "asked", [("2026-11", None, None), (None, "2026-11-20", "2026-11-20"), (None, "2026-11-01", "2026-12-31")]
)
def test_a_period_that_has_begun_is_not(asked: tuple[str | None, str | None, str | None]) -> None:
    assert _period(*asked, TODAY)[0] <= TODAY


@pytest.mark.parametrize("name", ["x.docx", "report.xlsx", "x.2026", "x.html.gz", "x.doc ", "x.doc."])
def test_what_nothing_is_written_as_is_refused_and_not_written_as_text(name: str) -> None:
    with pytest.raises(UsageError, match="dpsync does not write"):
        _form(None, Path(name))
    with pytest.raises(UsageError, match="dpsync does not write"):
        _chosen(None, Path(name))


@pytest.mark.parametrize("name", ["x.docx", "x.xlsx", "x.html.gz"])
@pytest.mark.parametrize("form", Format)
def test_no_format_is_written_under_the_name_of_one_that_it_is_not(form: Format, name: str) -> None:
    with pytest.raises(UsageError, match="dpsync does not write"):
        _form(form, Path(name))
    for ending, wanted in ENDINGS:
        if form is wanted:
            assert _form(form, Path(f"x.{ending}")) is form
        else:
            with pytest.raises(UsageError, match="make them agree"):
                _form(form, Path(f"x.{ending}"))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "there.html").mkdir()
    for folder in (tmp_path, tmp_path / "there.html"):
        with pytest.raises(UsageError, match=r"is a folder\. Name a file in it"):
            _form(Format.HTML, folder)


@pytest.mark.parametrize("name", ["", "."])
def test_an_output_without_a_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="needs the name of a file"):
        _form(None, Path(name))


@pytest.mark.parametrize(
    "asked",
    [
        ("", None, None), (None, "", ""), (None, "", "2026-11-01"), ("2026-13", None, None), ("9999-12", None, None),
        ("0001-01", None, None), ("２０２６-11", None, None), (None, "2026-11-01", "9999-12-31"), ("2026-11", "", ""),
        (None, "0001-01-01", "2026-11-20"), (None, "2026-11-01", None),
    ],
)  # fmt: skip
def test_a_period_that_is_none_is_refused_and_never_taken_for_this_month(
    asked: tuple[str | None, str | None, str | None],
) -> None:
    with pytest.raises(UsageError):
        _period(*asked, TODAY)


def test_what_is_written_goes_by_its_ending() -> None:
    wanted = {
        "x.htm": Format.HTML,
        "x.PDF": Format.PDF,
        "x.csv": Format.CSV,
        "x.JSON": Format.JSON,
        "x.txt": Format.TEXT,
        "x": Format.TEXT,
    }
    assert {name: _form(None, Path(name)) for name in wanted} == wanted
    assert _form(Format.HTML, Path("page.xyz")) is Format.HTML


def test_what_a_source_sent_is_a_whole_number_said_once() -> None:
    assert sent_of(["crm=12", "a=b=0"]) == {"crm": 12, "a=b": 0}
    for wrong in (["crm"], ["=3"], ["crm=-1"], ["crm=x"], ["crm=１"], ["crm=1", "crm=1"]):
        with pytest.raises(UsageError, match="--sent"):
            sent_of(wrong)
