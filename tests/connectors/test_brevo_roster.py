"""Everybody whom an account of Brevo holds, and never a part that looks like the whole."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from dpsync.connector import RosterLine
from dpsync.connectors.brevo import Brevo
from dpsync.vendor.errors import UNREADABLE, Ended
from dpsync.vendor.rosters import AGAIN, MOVED
from tests.connectors.contract import Said
from tests.connectors.test_brevo import StandIn, before, contact, said

Row = dict[str, Any]


def row(number: int, **more: Any) -> Row:
    return contact(f"p{number}@example.org", number, **{"modifiedAt": "2026-11-20T09:55:00.000+01:00", **more})


@dataclass
class Listed(StandIn):
    """Lists its contacts, `most` a page; `between`: what happens before each page, by its number."""

    most: int = 1000
    between: Callable[[int, "Listed"], None] = lambda _number, _there: None
    change: Row = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)

    def _answer(self, request: requests.PreparedRequest) -> Said:
        url = urlsplit(str(request.url))
        if url.path != "/v3/contacts":
            return super()._answer(request)
        self.between(len(self.asked), self)
        self.asked.append({name: values[0] for name, values in parse_qs(url.query).items()})
        at = int(self.asked[-1]["offset"])
        return said(200, {"contacts": self.held[at : at + self.most], "count": len(self.held), **self.change})


def lines_of(there: StandIn, after: str = "", parts: Collection[str] = ()) -> list[RosterLine]:
    with before(there) as stage:
        assert isinstance(stage.connector, Brevo)
        return list(stage.connector.roster(after, parts))


def test_a_line_says_what_the_vendor_shows_and_no_more() -> None:
    there = Listed([row(1), row(2, emailBlacklisted=True), row(3, emailBlacklisted=True, listIds=[])])
    lines = lines_of(there)
    assert lines[0] == RosterLine(
        "account",
        "1",
        "p1@example.org",
        mailed=True,
        used=True,
        opted_out=False,
        changed_at=datetime(2026, 11, 20, 8, 55, tzinfo=UTC),
        by="",
    )
    shown = [(line.mailed, line.used, line.opted_out, line.unsure) for line in lines]
    assert shown == [(True, True, False, False), (False, True, True, True), (False, False, True, True)]
    assert "p1" not in repr(lines[0])
    assert there.asked == [{"limit": "1000", "offset": "0", "sort": "asc"}]


@pytest.mark.parametrize(("blocked", "mailed"), [(False, True), (True, False)])
def test_who_has_a_number_may_be_written_to_by_it(blocked: bool, mailed: bool) -> None:
    (line,) = lines_of(Listed([row(1, emailBlacklisted=True, smsBlacklisted=blocked, attributes={"SMS": "447700"})]))
    assert (line.mailed, line.opted_out) == (mailed, True)


@pytest.mark.parametrize(
    ("more", "within"),
    [
        ({"listIds": [7, 12]}, {"list=12", "channel=email"}),
        ({"listIds": []}, {"channel=email"}),
        ({"listIds": [12], "emailBlacklisted": True}, {"list=12"}),
        ({"listIds": [], "attributes": {"SMS": "447700"}}, {"channel=email", "channel=sms"}),
        ({"listIds": [], "attributes": {"SMS": "447700"}, "smsBlacklisted": True}, {"channel=email"}),
    ],
)
def test_a_line_says_which_lists_and_channels_that_were_asked_for_it_is_in(more: Row, within: set[str]) -> None:
    (line,) = lines_of(Listed([row(1, **more)]), parts=("list=12", "list=13", "channel=email", "channel=sms"))
    assert line.within == within
    (line,) = lines_of(Listed([row(1, **more)]))
    assert line.within == frozenset(), "nobody asked"


@pytest.mark.parametrize("email", ["", " ", None])
def test_a_contact_may_have_no_address_and_no_time(email: str | None) -> None:
    (line,) = lines_of(Listed([row(1, modifiedAt="soon") | {"email": email}]))
    assert (line.address, line.changed_at) == ("", None)


@pytest.mark.parametrize("many", [0, 1, 50, 51, 80, 81, 234])
def test_each_is_listed_once_however_many_pages_there_are(many: int) -> None:
    there = Listed([row(at) for at in range(many)], most=50)
    assert [int(line.record) for line in lines_of(there)] == list(range(many))


def test_each_mark_is_a_place_from_which_it_goes_on() -> None:
    there = Listed([row(at) for at in range(234)], most=50)
    lines = lines_of(there)
    marked = [at for at, line in enumerate(lines) if line.mark]
    assert marked == [49, 79, 109, 139, 169, 199, 229], "the last line of each page but the last"
    for at in marked:
        assert [int(line.record) for line in lines_of(there, lines[at].mark)] == list(range(at + 1, 234))


def test_a_place_that_moved_meanwhile_is_found_again_or_not_known() -> None:
    there = Listed([row(at) for at in range(100)], most=50)
    mark = lines_of(there)[49].mark
    del there.held[: AGAIN - 1]
    assert [int(line.record) for line in lines_of(there, mark)] == list(range(50, 100))
    del there.held[: AGAIN + 1]
    with pytest.raises(Ended) as caught:
        lines_of(there, mark)
    assert caught.value.outcome.reason == MOVED


def test_whoever_leaves_or_comes_meanwhile_moves_nobody_out_of_sight() -> None:
    def change(number: int, there: Listed) -> None:
        if number == 1:
            del there.held[: AGAIN - 1]
            there.held.append(row(7777))

    there = Listed([row(at) for at in range(75)], most=50, between=change)
    assert [int(line.record) for line in lines_of(there)] == [*range(75), 7777]


def test_a_list_that_shrinks_under_the_pages_is_not_known() -> None:
    def shrink(number: int, there: Listed) -> None:
        if number == 1:
            del there.held[: 2 * AGAIN]

    with pytest.raises(Ended) as caught:
        lines_of(Listed([row(at) for at in range(100)], most=50, between=shrink))
    assert caught.value.outcome.reason == MOVED


@pytest.mark.parametrize(
    "change",
    [
        {"contacts": None},
        {"contacts": {}},
        {"contacts": ["x"]},
        {"count": None},
        {"count": "1"},
        {"count": -1},
        {"count": 2},
        *({"contacts": [row(1) | {name: None}]} for name in ("id", "emailBlacklisted", "listIds", "attributes")),
        {"contacts": [row(1, email=7)]},
    ],
    ids=lambda change: json.dumps(change)[:40],
)
def test_what_is_not_of_the_documented_shape_is_not_known(change: Row) -> None:
    with pytest.raises(Ended) as caught:
        lines_of(Listed([row(1)], change=change))
    assert caught.value.outcome.reason == UNREADABLE
