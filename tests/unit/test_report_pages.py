"""The pages of a report: what stands where, and what of it is folded, printed and named."""

import re
from datetime import timedelta
from typing import Any

import pytest

from dpsync.model import Right, State
from dpsync.reports import render
from dpsync.reports.page_lines import FINISHED_HEADS
from tests.unit.test_reports import HOSTILE, NOW, RECEIVED, Rows, Tables, november, one_of_each


def test_page_one_says_whose_then_proof_verdict_work_figures_speed_and_limits(rows: Rows) -> None:
    one_of_each(rows)
    page = render.html(november(rows))
    order = (
        "<h1>Example Gardens · Data-protection requests · November 2026</h1>",
        "made 1 Dec 2026, 07:00 GMT",
        "The record is unaltered",
        "Needs a decision",
        "What you need to do",
        "Requests by right, November 2026",
        "the sources say they sent",
        "How quickly?",
        "What we cannot see",
        "What exactly we cannot see or do (1)",
        "Needs attention (",
        "All 10 requests",
        "What the words mean",
    )
    places = [page.partition("</head>")[2].index(said) for said in order]
    assert places == sorted(places)


def test_the_first_table_has_five_figures_and_what_is_apart_stands_under_it(rows: Rows) -> None:
    one_of_each(rows)
    page = render.html(november(rows))
    heads = Tables(page).tables["numbers by-right"][0]
    assert heads == ["Right", "Received", "Told everyone", "Done, seen by us", "Done, they say", "Not yet"]
    under = page.partition('<ul class="under">')[2].partition("</ul>")[0]
    assert "Closed and not counted as done: 1 settled, 1 exempt, 1 withdrawn, 1 superseded." in under
    assert "Not yet: r-000009 (erasure), r-000010 (erasure)." in re.sub("<[^>]*>", "", under)


def test_figures_apart_that_are_all_nought_are_a_sentence_and_no_table(rows: Rows) -> None:
    nothing, none_late = "No request was settled, exempt, withdrawn or superseded", "past its legal date.</p>"
    rows.ask(alpha=State.VERIFIED)
    pages = [render.html(november(rows))]
    rows.ask(due=NOW.date() - timedelta(days=2), alpha=State.ACCEPTED)
    pages.append(render.html(november(rows)))
    rows.ask(alpha=State.SETTLED)
    pages.append(render.html(november(rows)))
    shown = [("numbers aside" in page, "numbers dates" in page, nothing in page, none_late in page) for page in pages]
    assert shown == [(False, False, True, True), (False, True, True, False), (True, True, False, False)]


def test_a_request_that_is_open_has_a_row_where_it_is_and_one_for_where_it_is_closed(rows: Rows) -> None:
    rows.ask(Right.RECTIFICATION, alpha=State.VERIFIED, beta=State.ACCEPTED, gamma=State.APPLIED)
    found = Tables(render.html(november(rows))).tables["lines"]
    assert found[1:] == [
        ["r-000001 rectification, received 20 Nov 2026, 09:00 GMT, accepted 20 Nov, 09:01, last day Mon 21 Dec 2026"],
        ["Beta, forms (1)", "20 Nov, 09:09", "no", "told, answer owed; past the target", "sent", "Beta, forms"],
        ["Seen by us: Alpha. They say: gamma (2)"],
    ]


def test_a_request_that_is_finished_is_one_row(rows: Rows) -> None:
    rows.ask(Right.OPT_OUT, closed_at=RECEIVED + timedelta(hours=1), alpha=State.VERIFIED, beta=State.DECLARED_DONE)
    found = Tables(render.html(november(rows))).tables["finished"]
    assert tuple(found[0]) == FINISHED_HEADS
    told = ["r-000001", "opt-out", "20 Nov, 09:00", "20 Nov, 09:09", "20 Nov, 10:00"]
    assert found[1:] == [[*told, "Seen by us: Alpha. They say: Beta, forms (1)"]]


def test_a_page_leaves_out_finished_requests_alone_and_says_how_many(rows: Rows) -> None:
    rows.many(5)
    late = rows.ask(alpha=State.REFUSED)
    page = render.html(november(rows), rows=4)  # the open one takes two
    assert "3 more requests, all finished, are in the CSV" in page
    assert late[:8] in page
    assert len(Tables(page).tables["finished"]) == 1 + 2


def test_what_is_open_or_late_is_complete_however_few_rows_there_is_room_for(rows: Rows) -> None:
    rows.many(5)
    left = [rows.ask(alpha=State.REFUSED) for _ in range(4)]
    page = render.html(november(rows), rows=3)
    assert [one for one in left[:4] if page.count(f'<code><span class="id">{one[:8]}</span></code>') < 2] == [], (
        "as what needs attention, and as what is open"
    )
    assert "more requests, all finished, are in the CSV" in page


@pytest.mark.parametrize("more", [{}, {"rehearsal": True}])
def test_what_others_wrote_cannot_end_the_style_that_prints_it(rows: Rows, more: dict[str, Any]) -> None:
    ending = '";}} body{display:none} </style><script>alert(1)</script>' + HOSTILE
    page = render.html(november(rows, controller=ending, **more))
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert page.count("</style") == 1
    assert "display:none} " not in style
    head = re.findall(r'@top-left\{content:"([^"]*)"\}', style)[0]
    spelled = re.sub(r"\\([0-9a-f]{6})", lambda code: chr(int(code[1], 16)), head)
    assert spelled.startswith(("REHEARSAL: " if more else "") + "In order: " + '";}} body')


def test_only_a_page_of_now_names_no_year(rows: Rows) -> None:
    rows.ask(received=NOW.replace(year=2025), alpha=State.REFUSED)
    assert "accepted 1 Dec 2025, 07:01" in render.html(november(rows))
