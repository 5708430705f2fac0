"""Campaign Monitor's suppression list: there is no look-up in it, and how it is ordered is not documented."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from dpsync.connector import Applied, AsAsked, CannotTell, Contradicts
from dpsync.connectors.campaign_monitor.suppression import SET_MOVED
from dpsync.model import Right
from tests.connectors.contract import NEW, OLD, Said
from tests.connectors.test_campaign_monitor import NEWS, ONE, StandIn, book, person, read_back, said, told, vendor


def crowd(count: int) -> list[str]:
    return [f"reader{number:06}@example.org" for number in range(count)]


@pytest.mark.parametrize("at", [0, 999, 1000, 4999, 8191, 16_383])
def test_an_address_is_found_on_any_page_of_the_suppression_list_by_halving(at: int) -> None:
    stand_in = vendor()
    stand_in.suppressed[ONE] = crowd(16_384)
    wanted = crowd(16_384)[at]
    finding = read_back(stand_in, Right.ERASURE, addresses=(wanted,))
    assert isinstance(finding, Contradicts)
    assert stand_in.reads.count("suppressionlist") <= 9


@pytest.mark.parametrize("wanted", ["a@example.org", "reader004999x@example.org", "zoe@example.org", OLD])
def test_an_address_that_is_on_no_page_is_said_to_be_absent_without_reading_all(wanted: str) -> None:
    stand_in = vendor()
    stand_in.suppressed[ONE] = crowd(16_384)
    assert isinstance(read_back(stand_in, Right.ERASURE, addresses=(wanted,)), AsAsked)
    assert stand_in.reads.count("suppressionlist") <= 10


@pytest.mark.parametrize("pages", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("wanted", ["aaron@example.org", "zoe@example.org"])
def test_an_order_that_is_not_ours_makes_every_page_be_read(wanted: str, pages: int) -> None:
    """It is found on whichever page it is, and only where all of them were read it is nowhere."""
    shown = [*crowd(5000)[2500:], *crowd(5000)[:2500]]
    if pages:
        shown[1000 * pages - 1] = wanted
    stand_in = vendor()
    stand_in.suppressed[ONE] = shown
    stand_in.order = {address: f"{number:05}" for number, address in enumerate(shown)}.__getitem__
    assert isinstance(read_back(stand_in, Right.ERASURE, addresses=(wanted,)), Contradicts if pages else AsAsked)
    # the other client's list is empty, and takes one call
    assert stand_in.reads.count("suppressionlist") <= 5 + 1
    assert pages or stand_in.reads.count("suppressionlist") == 5 + 1


def sorted_as(wanted: str, there: str, address: str) -> str:
    return there if address == wanted else address


@pytest.mark.parametrize("off", [-1, 1])
def test_an_address_that_the_vendor_sorts_one_page_before_or_after_ours_is_found(off: int) -> None:
    for page in range(max(0, -off), min(8, 8 - off)):
        wanted, there = f"reader{page:03}997x@example.org", f"reader{page + off:03}500x"
        stand_in = vendor()
        stand_in.suppressed[ONE] = [*crowd(7999), wanted]
        stand_in.order = partial(sorted_as, wanted, there)
        assert isinstance(read_back(stand_in, Right.ERASURE, addresses=(wanted,)), Contradicts)
        assert stand_in.reads.count("suppressionlist") <= 6


@pytest.mark.parametrize(("count", "calls"), [(0, 1), (1, 1), (1000, 1), (1001, 2), (2000, 2)])
def test_no_page_is_read_twice_and_none_that_is_not_there(count: int, calls: int) -> None:
    stand_in = StandIn({ONE: {NEWS: book()}}, {ONE: crowd(count)})
    assert isinstance(read_back(stand_in, Right.ERASURE), AsAsked)
    assert stand_in.reads.count("suppressionlist") == calls


@pytest.mark.parametrize("count", [1500, 5000])
def test_a_suppression_list_that_changes_while_it_is_read_proves_nothing(count: int) -> None:
    class Moving(StandIn):
        def page(self, suppressed: list[str], asked: Mapping[str, str]) -> Said:
            suppressed.append(f"late{len(suppressed)}@example.org")
            return super().page(suppressed, asked)

    stand_in = Moving({ONE: {NEWS: book()}}, {ONE: crowd(count)})
    finding = read_back(stand_in, Right.ERASURE)
    assert isinstance(finding, CannotTell)
    assert (finding.reason, finding.later) == (SET_MOVED, True)


@pytest.mark.parametrize(
    "change",
    [
        {"Results": []},
        {"PageNumber": 2},
        {"TotalNumberOfRecords": "7"},
        {"Results": [{"State": "Suppressed"}] * 7},
        {"Results": None},
    ],
)
def test_a_page_of_the_suppression_list_that_is_not_whole_proves_nothing(change: dict[str, object]) -> None:
    class Short(StandIn):
        def page(self, suppressed: list[str], asked: Mapping[str, str]) -> Said:
            whole = json.loads(super().page(suppressed, asked).body)
            return said(200, {**whole, **change})

    finding = read_back(Short({ONE: {NEWS: book()}}, {ONE: crowd(7)}), Right.ERASURE)
    assert isinstance(finding, CannotTell)
    assert finding.later


@pytest.mark.parametrize("right", [Right.OPT_OUT, Right.RESTRICTION])
@pytest.mark.parametrize(("listed", "found"), [([OLD], Contradicts), ([NEW], Contradicts), ([OLD, NEW], AsAsked)])
def test_every_address_of_the_person_must_be_on_it(right: Right, listed: list[str], found: type) -> None:
    stand_in = vendor(book(person(state="Unsubscribed"), person(NEW, "Unsubscribed")))
    stand_in.suppressed[ONE] = listed
    assert isinstance(read_back(stand_in, right, addresses=(OLD, NEW)), found)


def test_an_entry_of_the_suppression_list_is_the_same_in_capitals_and_between_blanks() -> None:
    for entry in (OLD.upper(), f" {OLD} ", OLD.lower()):
        stand_in = vendor()
        stand_in.suppressed[ONE] = [entry]
        assert isinstance(read_back(stand_in, Right.ERASURE), Contradicts)
        assert isinstance(told(stand_in, Right.OPT_OUT), Applied)


@pytest.mark.parametrize(
    "change", [{"Results": [{"EmailAddress": None}]}, {"Results": ["x"]}, {"TotalNumberOfRecords": -1, "Results": []}]
)
def test_a_page_of_the_suppression_list_that_is_not_as_documented_proves_nothing(change: dict[str, object]) -> None:
    class Odd(StandIn):
        def page(self, suppressed: list[str], asked: Any) -> Said:
            return said(200, {**json.loads(super().page(suppressed, asked).body), **change})

    assert isinstance(read_back(Odd({ONE: {NEWS: book()}}, {ONE: ["a@example.org"]}), Right.ERASURE), CannotTell)
