"""A few virtual months in each run; `make simulate` plays thousands."""

import io
from collections.abc import Iterator

import pytest

from dpsync import telemetry
from dpsync.model import Right
from dpsync.propagation.rules import after_finding
from tests.simulator.playing import judged, of_seed, shrunk
from tests.simulator.scenario import DAY, PROCESSORS, Ask, AskAgain, Crash, Mishap, Person, Scenario, Trouble, drawn

IN_EACH_RUN = range(4)


@pytest.fixture(autouse=True)
def _no_log_lines() -> Iterator[None]:
    """Every mishap leaves a line, and a month has hundreds."""
    telemetry.configure("error", io.StringIO())
    yield
    telemetry.configure("error", io.StringIO())


@pytest.mark.parametrize("seed", IN_EACH_RUN)
def test_whatever_goes_wrong_in_a_month_it_ends_as_was_asked(seed: int) -> None:
    assert of_seed(seed) == []


def test_a_month_is_the_same_each_time_it_is_played() -> None:
    assert drawn(3) == drawn(3)
    assert repr(drawn(3)) != repr(drawn(4))


ADA, BOB = Person(0, "ada@example.org", ("alpha", "agency")), Person(1, "bob@example.org", PROCESSORS)
LYING = Trouble(at=20, processor="alpha", mishap=Mishap.LIES, minutes=5 * DAY, most=1)
ERASE = Ask(at=31, event="evt-0-0", person=0, right=Right.ERASURE, email=ADA.address)
BESIDE = (
    Ask(at=5, event="evt-1-0", person=1, right=Right.OPT_OUT, email=BOB.address),
    AskAgain(at=40, event="evt-0-0", other_body=True),
    Crash(at=40, commits=1, after=True),
    Trouble(at=50, processor="beta", mishap=Mishap.TIME_OUT, minutes=DAY),
)


def test_a_rule_that_believes_a_processor_against_its_own_reading_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    month = Scenario(1, 50, (ADA, BOB), tuple(sorted([LYING, ERASE, *BESIDE], key=lambda one: one.at)))
    assert judged(month) == []
    monkeypatch.setattr(after_finding, "_seen_otherwise", lambda at, _, now: after_finding._seen(at, now))
    assert "evt-0-0 at alpha is called verified, and the person is there" in judged(month)
    assert shrunk(month, lambda tried: bool(judged(tried))).steps == (LYING, ERASE)
