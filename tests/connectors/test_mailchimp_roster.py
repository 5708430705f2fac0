"""Everybody whom the audiences hold, archived contacts too, and never a part that looks like the whole."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from dpsync.connector import RosterLine
from dpsync.connectors.mailchimp import Mailchimp
from dpsync.vendor.errors import UNREADABLE, Ended
from dpsync.vendor.rosters import AGAIN, MOVED
from tests.connectors.contract import Said
from tests.connectors.test_mailchimp import StandIn, on_stage, said

Row = dict[str, Any]


def row(number: int, **more: object) -> Row:
    common = {"email_address": f"p{number}@example.org", "status": "subscribed", "source": "Import"}
    return {"contact_id": f"{number:032x}", **common, "last_changed": "2026-11-20T08:55:00+00:00", **more}


@dataclass
class Audience:
    """What one audience lists; `between`: what happens before each page, by its number."""

    rows: list[Row]
    archived: list[Row] = field(default_factory=list)
    between: Callable[[int, "Audience"], None] = lambda _number, _audience: None
    most: int = 1000
    asked: list[dict[str, str]] = field(default_factory=list)

    def page(self, query: dict[str, str]) -> Row:
        self.between(len(self.asked), self)
        self.asked.append(query)
        held = self.archived if query.get("status") == "archived" else self.rows
        skipped, count = int(query["offset"]), min(int(query["count"]), self.most)
        return {"members": held[skipped : skipped + count], "list_id": "list1", "total_items": len(held)}


class Lists(StandIn):
    """Answers the list of an audience's contacts as `audience` says, changed by `change`."""

    def __init__(self, audience: Audience, change: Row | None = None) -> None:
        super().__init__({"list1": {}})
        self.audience, self.change = audience, change or {}

    def answer(self, request: requests.PreparedRequest) -> Said:
        parts = urlsplit(request.url or "")
        if not parts.path.endswith("/list1/members"):
            return super().answer(request)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return said(200, {**self.audience.page(query), **self.change})


def lines_of(there: StandIn, after: str = "", parts: Collection[str] = ()) -> list[RosterLine]:
    with on_stage(there) as stage:
        assert isinstance(stage.connector, Mailchimp)
        return list(stage.connector.roster(after, parts))


def numbers(lines: list[RosterLine]) -> list[int]:
    return [int(line.record, 16) for line in lines]


def test_a_line_says_what_the_vendor_shows_and_no_more() -> None:
    states = ["subscribed", "pending", "transactional", "unsubscribed", "cleaned"]
    audience = Audience([row(at, status=status) for at, status in enumerate(states)], [row(9, status="archived")])
    lines = lines_of(Lists(audience))
    assert [(line.mailed, line.used, line.opted_out) for line in lines] == [
        (False, False, False),
        (True, True, False),
        (True, True, False),
        (True, True, False),
        (False, True, True),
        (False, True, False),
    ]
    assert lines[0] == RosterLine(
        "list1",
        f"{9:032x}",
        "p9@example.org",
        mailed=False,
        used=False,
        opted_out=False,
        changed_at=datetime(2026, 11, 20, 8, 55, tzinfo=UTC),
        by="Import",
    )
    assert "p9" not in repr(lines[0])
    first, second = audience.asked
    assert (first["status"], first["count"], first["offset"], "status" in second) == ("archived", "1000", "0", False)
    wanted = {"list_id", "total_items", *(f"members.{name}" for name in row(1))}
    assert set(second["fields"].split(",")) == wanted, "no name and no merge field is ever asked for"


@pytest.mark.parametrize(
    ("changed", "by", "known"),
    [
        ({"source": "<b>ada@example.org</b>"}, "", True),
        ({"source": "x" * 61}, "", True),
        ({"source": "x" * 60}, "x" * 60, True),
        ({"source": None}, "", True),
        ({"last_changed": ""}, "Import", False),
        ({"last_changed": None}, "Import", False),
    ],
)
def test_how_it_came_there_is_shown_only_where_it_names_nobody(changed: Row, by: str, known: bool) -> None:
    (line,) = lines_of(Lists(Audience([row(1, **changed)])))
    assert (line.by, line.changed_at is not None) == (by, known)


def test_the_source_may_be_missing_and_a_contact_may_have_no_address() -> None:
    bare = {name: value for name, value in row(1, email_address=" ").items() if name != "source"}
    (line,) = lines_of(Lists(Audience([bare])))
    assert (line.by, line.address) == ("", "")


def test_a_line_says_which_groups_that_were_asked_for_it_is_in() -> None:
    """As the read-back of an opt-out from a group has it: who is archived is mailed in none, whoever else is."""
    both = {"interests": {"g7": True, "g8": True}}
    rows = [
        row(1, **both),
        row(2, interests={"g7": False}),
        row(3, interests={}),
        row(4, status="unsubscribed", **both),
    ]
    audience = Audience(rows, [row(9, status="archived", **both)])
    lines = lines_of(Lists(audience), parts={"interest=list1/g7", "interest=list2/g7", "audience=list1"})
    mine = frozenset({"interest=list1/g7"})
    assert [line.within for line in lines] == [frozenset(), mine, frozenset(), frozenset(), mine]
    assert all("members.interests" in query["fields"].split(",") for query in audience.asked)
    plain = Audience(rows)
    assert {line.within for line in lines_of(Lists(plain), parts={"interest=list2/g7"})} == {frozenset()}
    assert "interests" not in plain.asked[0]["fields"], "what nobody left is not read"


@pytest.mark.parametrize("interests", [None, [], "g7"])
def test_groups_that_are_not_shown_are_not_known(interests: object) -> None:
    with pytest.raises(Ended) as caught:
        lines_of(Lists(Audience([row(1, interests=interests)])), parts={"interest=list1/g7"})
    assert caught.value.outcome.reason == UNREADABLE


@pytest.mark.parametrize("many", [0, 1, 50, 51, 80, 81, 234])
def test_each_is_listed_once_however_many_pages_there_are(many: int) -> None:
    audience = Audience([row(at) for at in range(many)], most=50)
    assert numbers(lines_of(Lists(audience))) == list(range(many))


def test_each_mark_is_a_place_from_which_it_goes_on() -> None:
    audience = Audience([row(at) for at in range(120)], [row(at) for at in range(200, 270)], most=50)
    lines = lines_of(Lists(audience))
    assert numbers(lines) == [*range(200, 270), *range(120)]
    marked = [at for at, line in enumerate(lines) if line.mark]
    assert marked == [49, 119, 149, 179], "the last line of each page but the last"
    for at in marked:
        assert numbers(lines_of(Lists(audience), lines[at].mark)) == numbers(lines[at + 1 :])
    assert [lines[at].mark.partition(" ")[0] for at in marked] == ["list1/archived", *["list1/"] * 3]


def test_a_mark_of_an_audience_that_is_gone_is_no_place() -> None:
    audience = Audience([row(at) for at in range(120)], most=50)
    mark = lines_of(Lists(audience))[49].mark
    with pytest.raises(Ended) as caught:
        lines_of(Lists(audience), mark.replace("list1", "list2"))
    assert caught.value.outcome.reason == MOVED


def test_whoever_leaves_meanwhile_moves_nobody_out_of_sight() -> None:
    def leave(number: int, audience: Audience) -> None:
        if number == 2:  # the second page of those who are not archived
            del audience.rows[:19]

    audience = Audience([row(at) for at in range(75)], most=50, between=leave)
    assert numbers(lines_of(Lists(audience))) == list(range(75))


def test_whoever_comes_meanwhile_does_so_too() -> None:
    def come(number: int, audience: Audience) -> None:
        if number == 2:
            audience.rows.insert(0, row(9999))
            audience.rows.append(row(7777))

    found = numbers(lines_of(Lists(Audience([row(at) for at in range(75)], most=50, between=come))))
    assert found == [*range(75), 7777]


@pytest.mark.parametrize("left", [0, 30, 75 - AGAIN])
def test_a_list_that_shrinks_under_the_pages_is_not_known(left: int) -> None:
    def shrink(number: int, audience: Audience) -> None:
        if number == 2:
            del audience.rows[: 75 - left]

    with pytest.raises(Ended) as caught:
        lines_of(Lists(Audience([row(at) for at in range(75)], most=50, between=shrink)))
    assert caught.value.outcome.reason == MOVED


def test_a_list_that_promises_more_than_it_shows_is_not_known() -> None:
    with pytest.raises(Ended) as caught:
        lines_of(Lists(Audience([row(1)]), {"total_items": 2}))
    assert caught.value.outcome.reason == UNREADABLE


@pytest.mark.parametrize(
    "change",
    [
        {"list_id": "list2"},
        {"total_items": "1"},
        {"total_items": -1},
        {"total_items": None},
        {"members": None},
        {"members": {}},
        {"members": ["x"]},
        *({"members": [row(1, **{name: None})]} for name in ("contact_id", "email_address", "status")),
        {"members": [row(1, status="new")]},
        {"members": [row(1, contact_id="../x")]},
        {"members": [row(1, contact_id="")]},
    ],
    ids=lambda change: json.dumps(change)[:40],
)
def test_what_is_not_of_the_documented_shape_is_not_known(change: Row) -> None:
    with pytest.raises(Ended) as caught:
        lines_of(Lists(Audience([row(1)]), change))
    assert caught.value.outcome.reason == UNREADABLE
