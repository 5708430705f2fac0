"""How fast an account is called, whichever vendor's."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dpsync.connector import Kit, Retryable
from dpsync.http import HttpClient
from dpsync.vendor.errors import BUSY, Ended
from dpsync.vendor.pace import DAY_SPENT, Pace, until_tomorrow
from tests.connectors.contract import NOW, Hands, OpenShelf, pseudonym


def pace(clock: Hands, shelf: OpenShelf | None = None, **more: Any) -> Pace:
    return Pace(Kit(HttpClient(clock), clock, pseudonym, shelf or OpenShelf()), **more)


def waits(one: Pace, *places: str) -> Retryable:
    with pytest.raises(Ended) as caught:
        one.take(*places)
    assert caught.value.stop
    assert isinstance(caught.value.outcome, Retryable)
    assert (caught.value.outcome.busy, caught.value.outcome.doubtful) == (True, False)
    return caught.value.outcome


def test_one_call_a_day_is_one() -> None:
    one = pace(Hands(), a_day=1)
    one.take("here")
    assert waits(one, "here").reason == DAY_SPENT


def test_without_a_gap_nobody_waits() -> None:
    slept: list[float] = []
    one = pace(Hands(), sleep=slept.append)
    one.take("here")
    one.take("here")
    assert slept == []


@pytest.mark.parametrize(("said", "held"), [(30, 30), (86_400, 86_400), (10**9, 86_400)])
def test_while_a_limit_holds_no_call_is_made_and_never_for_over_a_day(said: int, held: int) -> None:
    clock = Hands()
    one = pace(clock)
    one.take()
    one.hold(timedelta(seconds=said))
    clock.seconds += 10
    outcome = waits(one, "anywhere")
    assert (outcome.reason, outcome.retry_after) == (BUSY, timedelta(seconds=held - 10))
    clock.seconds += held - 10
    one.take()
    assert one.left() == timedelta()


def test_between_two_calls_to_one_place_there_is_a_gap_and_between_two_places_none() -> None:
    clock, slept = Hands(), []

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 3))
        clock.seconds += seconds

    one = pace(clock, gap=0.5, sleep=sleep)
    for place in ("a", "a", "b", "a"):
        one.take(place)
        clock.seconds += 0.1
    clock.seconds += 9
    one.take("a")
    assert slept == [0.4, 0.3]


def test_a_day_is_counted_of_each_place_and_of_the_whole_and_over_a_restart() -> None:
    clock, shelf = Hands(), OpenShelf()
    for place in ("a", "a", "b"):
        pace(clock, shelf, a_day=3).take(place, "whole")
    assert shelf.kept == {"day/whole": "2026-11-20 3", "day/a": "2026-11-20 2", "day/b": "2026-11-20 1"}
    outcome = waits(pace(clock, shelf, a_day=3), "b", "whole")
    assert (outcome.reason, outcome.retry_after) == (DAY_SPENT, timedelta(hours=15))
    assert shelf.kept["day/b"] == "2026-11-20 1", "what was not made does not count"
    clock.seconds += 15 * 3600
    pace(clock, shelf, a_day=3).take("b", "whole")
    assert shelf.kept["day/whole"] == "2026-11-21 1"


@pytest.mark.parametrize(
    ("now", "zone", "hours"),
    [
        (NOW, UTC, 15),
        (NOW, ZoneInfo("America/Los_Angeles"), 23),
        (datetime(2026, 10, 31, 23, tzinfo=UTC), ZoneInfo("America/Los_Angeles"), 8),
        (datetime(2026, 11, 1, 8, tzinfo=UTC), ZoneInfo("America/Los_Angeles"), 24),
    ],
)
def test_a_day_ends_at_midnight_where_it_is_counted(now: datetime, zone: Any, hours: int) -> None:
    assert until_tomorrow(now, zone) == timedelta(hours=hours)
