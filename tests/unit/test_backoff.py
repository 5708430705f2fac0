"""When to try again: the published steps, their bounds, and that neither numbers nor vendors can break them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync.propagation.rules.backoff import CIRCUIT_OPENS_AT, account_pause, delay, reread_delay

JITTER = st.floats(0, 1, exclude_max=True)
STEPS = [0, 30, 120, 600, 3600, 3 * 3600, 6 * 3600, 12 * 3600]


@pytest.mark.parametrize(("attempts", "seconds"), list(enumerate(STEPS)))
def test_each_step_waits_between_half_and_the_whole_of_it(attempts: int, seconds: int) -> None:
    assert delay(attempts, 0.0) == timedelta(seconds=seconds / 2)
    assert delay(attempts, 0.5) == timedelta(seconds=seconds * 0.75)
    assert timedelta(seconds=seconds * 0.99) <= delay(attempts, 0.999) <= timedelta(seconds=seconds)


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 0), (1, 5), (2, 300), (3, 300), (99, 300)])
def test_a_protocols_own_steps_begin_after_the_first_attempt_and_the_last_is_kept(attempts: int, seconds: int) -> None:
    assert delay(attempts, 0.5, (timedelta(seconds=5), timedelta(minutes=5))) == timedelta(seconds=seconds * 0.75)


@given(st.integers(8, 10**9), JITTER)
def test_it_goes_on_every_twelve_hours_for_ever(attempts: int, jitter: float) -> None:
    assert timedelta(hours=6) <= delay(attempts, jitter) <= timedelta(hours=12)


@given(st.integers(0, 20), JITTER)
def test_more_attempts_never_wait_less_for_the_same_jitter(attempts: int, jitter: float) -> None:
    assert delay(attempts, jitter) <= delay(attempts + 1, jitter)


@pytest.mark.parametrize("jitter", [-0.1, 1.0, 2.0, float("nan")])
def test_a_jitter_outside_its_range_is_refused(jitter: float) -> None:
    with pytest.raises(ValueError, match="jitter"):
        delay(1, jitter)


@given(st.integers(0, 10**9), JITTER)
def test_the_vendors_wish_is_kept_exactly_up_to_a_day(failures: int, jitter: float) -> None:
    assert account_pause(failures, timedelta(seconds=37), jitter) == timedelta(seconds=37)
    assert account_pause(failures, timedelta(hours=24), jitter) == timedelta(hours=24)
    assert account_pause(failures, timedelta(days=3650), jitter) == timedelta(hours=24)


@given(st.integers(0, 10**9), JITTER, st.sampled_from([None, timedelta(0), timedelta(seconds=-5), timedelta.min]))
def test_a_wish_for_no_time_does_not_call_in_a_circle(failures: int, jitter: float, wish: timedelta | None) -> None:
    assert timedelta(seconds=2.5) <= account_pause(failures, wish, jitter) <= timedelta(minutes=15)


def test_pauses_double_from_five_seconds_to_a_quarter_of_an_hour() -> None:
    halves = [account_pause(failures, None, 0.0) * 2 for failures in range(1, 11)]
    assert [half.total_seconds() for half in halves] == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]


def test_read_backs_end_after_seven() -> None:
    waits = [reread_delay(done) for done in range(9)]
    hours = [None if wait is None else wait.total_seconds() / 3600 for wait in waits]
    assert hours == [1 / 6, 1, 6, 24, 24, 24, 24, None, None]


def test_the_circuit_opens_at_the_fifth_failure() -> None:
    assert CIRCUIT_OPENS_AT == 5
