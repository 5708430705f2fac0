"""Campaign Monitor lists whom it holds: each once at least, whoever comes, goes or changes while it is read."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from dpsync.connector import RosterLine
from dpsync.connectors.campaign_monitor import CampaignMonitor
from dpsync.connectors.campaign_monitor.roster import BACK, PAGE, READ
from dpsync.vendor.errors import UNREADABLE, Ended
from tests.connectors.contract import Hands, Said
from tests.connectors.test_campaign_monitor import NEWS, ONE, Book, StandIn, on_stage, said

Row = dict[str, Any]
STATE = re.compile(r"/api/v3\.3/lists/[0-9a-f]{32}/(active|unconfirmed|unsubscribed|bounced|deleted)\.json")
CLOCK = f"{Hands().now():%Y-%m-%d %H:%M:%S}"
OLD_DATE, NEW_DATE = "2025-01-01 00:00:00", "2031-01-01 00:00:00"
SINCE = f"{Hands().now() - BACK:%Y-%m-%d %H:%M:%S}"


def row(number: int, state: str = "Active", date: str = OLD_DATE) -> Row:
    return {"EmailAddress": f"p{number}@example.org", "Name": "Ada", "State": state, "Date": date, "CustomFields": []}


@dataclass
class Lists(StandIn):
    """One list with pages of its states, in order of their dates. `between`: what happens before each page."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    between: Callable[[int, "Lists"], None] = lambda _number, _lists: None
    asked: list[tuple[str, int]] = field(default_factory=list)
    altered: Row = field(default_factory=dict)

    def answer(self, request: requests.PreparedRequest) -> Said:
        url = urlsplit(request.url or "")
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path.endswith("/systemdate.json"):
            return said(200, {"SystemDate": CLOCK})
        if found := STATE.fullmatch(url.path):
            self.between(len(self.asked), self)
            self.asked.append((found[1], int(query["page"])))
            return self.numbered(self.rows.get(found[1], []), query)
        if url.path.endswith("/suppressionlist.json"):
            rows = [{"EmailAddress": one, "Date": OLD_DATE, "State": "Suppressed"} for one in self.suppressed[ONE]]
            return self.numbered(rows, query)
        return super().answer(request)

    def numbered(self, rows: list[Row], query: dict[str, str]) -> Said:
        assert (query["orderfield"], query["orderdirection"]) == ("date", "asc")
        size, number = int(query["pagesize"]), int(query["page"])
        assert size == PAGE
        shown = rows[size * (number - 1) : size * number]
        page = {"Results": shown, "PageNumber": number, "TotalNumberOfRecords": len(rows)}
        return said(200, {**page, "RecordsOnThisPage": len(shown), **self.altered})

    def move(self, number: int, before: str, after: str) -> None:
        """Somebody goes from one state to another, and is the last there."""
        one = next(one for one in self.rows[before] if one["EmailAddress"] == f"p{number}@example.org")
        self.rows[before].remove(one)
        self.rows[after].append({**one, "State": after.capitalize(), "Date": NEW_DATE})


def lists(
    reach: str = "AllClientLists", suppressed: tuple[str, ...] = (), rows: dict[str, list[Row]] | None = None
) -> Lists:
    return Lists(
        {ONE: {NEWS: Book({}, reach)}}, {ONE: list(suppressed)}, rows={**{one: [] for one in READ}, **(rows or {})}
    )


def lines_of(there: Lists) -> list[RosterLine]:
    with on_stage(there) as stage:
        assert isinstance(stage.connector, CampaignMonitor)
        return list(stage.connector.roster())


def numbers(lines: list[RosterLine]) -> set[int]:
    return {int(line.record.partition("@")[0][1:]) for line in lines}


def test_a_line_says_what_the_vendor_shows_and_no_more() -> None:
    there = lists(rows={state: [row(at, state.capitalize())] for at, state in enumerate(READ)})
    found = {READ[int(line.record[1])]: line for line in lines_of(there)}
    assert {state: (line.mailed, line.used, line.opted_out) for state, line in found.items()} == {
        "unsubscribed": (False, True, True),
        "bounced": (False, True, False),
        "deleted": (False, True, False),
        "unconfirmed": (True, True, False),
        "active": (True, True, False),
    }
    assert found["unsubscribed"] == RosterLine(
        NEWS,
        "p0@example.org",
        "p0@example.org",
        mailed=False,
        used=True,
        opted_out=True,
        changed_at=datetime(2025, 1, 1, tzinfo=UTC),
    )
    assert "p0" not in repr(found["unsubscribed"])


def test_whoever_is_suppressed_gets_no_mail_but_from_a_list_of_its_own_reach() -> None:
    for reach, silent in (("AllClientLists", True), ("OnlyThisList", False)):
        there = lists(reach, ("P1@example.org",), {"active": [row(1), row(2)]})
        found = {line.record: (line.mailed, line.used) for line in lines_of(there)}
        assert found == {"p1@example.org": (not silent, not silent), "p2@example.org": (True, True)}
    there = lists("OnlyThisList", ("p1@example.org",), {"unsubscribed": [row(1, "Unsubscribed")]})
    assert [(line.mailed, line.used) for line in lines_of(there)] == [(False, False)]


@pytest.mark.parametrize("many", [0, 1, PAGE, PAGE + 1, 3 * PAGE])
def test_everybody_is_listed_however_many_pages_there_are(many: int) -> None:
    there = lists(rows={"active": [row(at) for at in range(many)]})
    found = lines_of(there)
    assert (len(found), numbers(found)) == (many, set(range(many)))
    asked, pages = [number for state, number in there.asked if state == "active"], -(-max(many, 1) // PAGE)
    assert len(asked) == (2 if pages == 1 else 1 + pages + 2), "the end alone is read once more"


def test_whoever_came_a_moment_ago_is_listed_once_too() -> None:
    there = lists(rows={"active": [row(1), row(2, date=SINCE), row(3, date=CLOCK), row(4, date=NEW_DATE)]})
    assert [line.record[1] for line in lines_of(there)] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("date", [SINCE, NEW_DATE])
def test_whoever_came_while_the_others_were_read_is_listed_with_the_second_look(date: str) -> None:
    def come(number: int, there: Lists) -> None:
        if there.asked and there.asked[-1][0] == "active" and len(there.rows["active"]) == 1:
            there.rows["active"] += [row(at, date=date) for at in range(1, PAGE + 5)]

    there = lists(rows={"active": [row(0, date=date)]})
    there.between = come
    assert sorted(int(line.record.partition("@")[0][1:]) for line in lines_of(there)) == list(range(PAGE + 5))


def test_whoever_was_seen_in_one_state_is_listed_again_in_the_next_one() -> None:
    def go(number: int, there: Lists) -> None:
        if there.asked and there.asked[-1][0] == "active" and there.rows["active"]:
            there.move(7, "active", "unsubscribed")

    there = lists(rows={"active": [row(7, date=NEW_DATE)]})
    there.between = go
    assert [line.opted_out for line in lines_of(there)] == [False, True]


def test_of_a_long_suppression_list_every_page_counts() -> None:
    everybody = tuple(f"p{number}@example.org" for number in range(PAGE + 1))
    there = lists(suppressed=everybody, rows={"active": [row(0), row(PAGE), row(PAGE + 1)]})
    assert [line.mailed for line in lines_of(there)] == [False, False, True]


def test_whoever_leaves_meanwhile_moves_nobody_out_of_sight() -> None:
    def leave(number: int, there: Lists) -> None:
        if there.asked and there.asked[-1][0] == "active" and number % 2:
            del there.rows["active"][:7]

    there = lists(rows={"active": [row(at) for at in range(3 * PAGE)]})
    there.between = leave
    assert numbers(lines_of(there)) >= set(range(100, 3 * PAGE))


@pytest.mark.parametrize(("before", "after"), [("active", "unsubscribed"), ("unsubscribed", "active")])
@pytest.mark.parametrize("when", range(12))
def test_whoever_goes_from_one_state_to_another_meanwhile_is_seen(when: int, before: str, after: str) -> None:
    def go(number: int, there: Lists) -> None:
        if number == when and any(one["EmailAddress"] == "p7@example.org" for one in there.rows[before]):
            there.move(7, before, after)

    many = [row(at, before.capitalize()) for at in range(PAGE + 50)]
    there = lists(rows={before: many})
    there.between = go
    assert numbers(lines_of(there)) == set(range(PAGE + 50))


@pytest.mark.parametrize(
    "change",
    [
        {"TotalNumberOfRecords": "1"},
        {"TotalNumberOfRecords": -1},
        {"TotalNumberOfRecords": 2},
        {"PageNumber": 2},
        {"Results": None},
        {"Results": ["x"]},
        {"Results": [row(1, "Gone")]},
        *({"Results": [{**row(1), name: None}]} for name in ("EmailAddress", "State")),
        {"Results": [{**row(1), "EmailAddress": " "}]},
    ],
    ids=lambda change: json.dumps(change)[:40],
)
def test_what_is_not_of_the_documented_shape_is_not_known(change: Row) -> None:
    there = lists(rows={"active": [row(1)]})
    there.altered = {"TotalNumberOfRecords": 1, **change}
    if "Results" not in change:
        there.altered = {"Results": [row(1)], **there.altered}
    with pytest.raises(Ended) as caught:
        lines_of(there)
    assert caught.value.outcome.reason == UNREADABLE


def test_a_record_without_a_time_is_listed_without_one() -> None:
    (line,) = lines_of(lists(rows={"active": [row(1, date="")]}))[:1]
    assert line.changed_at is None
