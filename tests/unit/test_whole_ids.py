"""Ids on a page: each on one line, and the page otherwise as it was."""

import re

import pytest

from dpsync.reports.whole_ids import with_whole_ids

ID = "r-C2J0AJB5E7KAYRKD8EW5QTJKBH"


@pytest.mark.parametrize("id_", [ID[:8], "C-C2J0AJB5", "I-9KNX1WPK", "DPS-C2J0AJB5E7"])
def test_an_id_in_a_sentence_is_whole_and_copied_as_it_is(id_: str) -> None:
    page = with_whole_ids(f"<p>Ask about {id_}.</p>")
    assert page == f'<p>Ask about <span class="id">{id_}</span>.</p>'
    assert re.sub("<[^>]*>", "", page) == f"Ask about {id_}."


@pytest.mark.parametrize("option", ["--by", "--without-key"])
def test_an_option_of_a_command_is_never_left_behind_its_two_hyphens(option: str) -> None:
    page = with_whole_ids(f"<code>dpsync told {option} NAME</code>")
    assert page == f'<code>dpsync told <span class="opt">{option}</span> NAME</code>'


def test_of_a_long_id_what_people_read_out_is_whole_and_the_rest_may_break() -> None:
    assert with_whole_ids(f"<code>{ID}</code>") == f'<code><span class="id">{ID[:8]}</span>{ID[8:]}</code>'


@pytest.mark.parametrize(
    "page",
    [
        f'<a href="/pages/{ID}" title="about {ID}">it</a>',
        f"<title>{ID}</title>",
        f'<style media="x">a::before{{content:"{ID}"}}</style>',
        f"<textarea rows=3>{ID}\n\n{ID}</textarea>",
        f"<option>{ID}</option>",
        "<p>for-CHANGING what DPS-1 is, -r-C2J0AJ</p>",
        "<p>a--b, ---by and -- alone, --9</p>",
    ],
)
def test_nothing_else_changes(page: str) -> None:
    assert with_whole_ids(page) == page
