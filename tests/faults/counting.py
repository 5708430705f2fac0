"""Lets a test count what a fault did, and prints the table of them: `pytest -m fault --faults` (`make faults`)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

import pytest

from tests.faults.table import FAULTS

_COUNTED: Final = "fault"


class Counted(Protocol):
    """Called with the number of a row and its figures, as soon as they are known."""

    def __call__(self, number: int, /, **figures: float) -> None:
        """Fails where a figure is above its limit or belongs to no row of this test."""


def _of(properties: Iterable[tuple[str, object]]) -> list[tuple[int, dict[str, float]]]:
    """What `counted` has written there."""
    return [cast("tuple[int, dict[str, float]]", value) for name, value in properties if name == _COUNTED]


def _rows(item: pytest.Item) -> set[int]:
    return {mark.args[0] for mark in item.iter_markers("fault")}


@pytest.fixture
def counted(request: pytest.FixtureRequest) -> Counted:
    """Each test that is marked `fault(number)` counts something of that row."""

    def count(number: int, /, **figures: float) -> None:
        assert number in _rows(request.node), f"this test is not marked fault({number})"
        limits = FAULTS[number].limits
        for name, figure in figures.items():
            assert figure <= limits[name], f"row {number}: {name} is {figure}, and at most {limits[name]}"
        request.node.user_properties.append((_COUNTED, (number, figures)))

    return count


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option of `make faults`."""
    parser.addoption("--faults", action="store_true", help="print the table of faults, and fail where a row has none")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A test that is marked for a row and counts nothing of it fails."""
    yield
    if uncounted := _rows(item) - {number for number, _ in _of(item.user_properties)}:
        pytest.fail(f"marked as a fault, and nothing of it was counted: {sorted(uncounted)}")


@dataclass
class Row:
    """What the tests of one row showed."""

    worst: dict[str, float] = field(default_factory=dict)
    tests: dict[str, int] = field(default_factory=lambda: defaultdict(int))


class Table:
    """Gathers what was counted in all processes of the run."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {number: Row() for number in FAULTS}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """What a test that passed has counted."""
        if report.when != "call" or not report.passed:
            return
        found = _of(report.user_properties)
        for number in {number for number, _ in found}:
            self.rows[number].tests[report.nodeid.partition("[")[0]] += 1
        for number, figures in found:
            worst = self.rows[number].worst
            for what, figure in figures.items():
                worst[what] = max(worst.get(what, figure), figure)

    def unproved(self) -> list[int]:
        """The rows of which a figure is missing."""
        return [number for number, fault in FAULTS.items() if set(fault.limits) - set(self.rows[number].worst)]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A row without its figures is a failure, whatever the tests say."""
        if self.unproved() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table, row by row."""
        terminalreporter.section("faults")
        for number, row in self.rows.items():
            terminalreporter.write_line(f"{number:>2}  {FAULTS[number].words}")
            for line in (_figures(number, row), *(f"{name} ({times})" for name, times in sorted(row.tests.items()))):
                terminalreporter.write_line(f"      {line}")
        missing = self.unproved()
        ending = f"; not proved: {', '.join(map(str, missing))}" if missing else ""
        terminalreporter.write_line(f"{len(FAULTS) - len(missing)} of {len(FAULTS)} faults are proved{ending}")


def _figures(number: int, row: Row) -> str:
    shown = {name: f"{figure:.3g}" for name, figure in row.worst.items()}
    return ", ".join(
        f"{name.replace('_', ' ')} {shown.get(name, 'not counted')} (at most {limit:g})"
        for name, limit in FAULTS[number].limits.items()
    )


def pytest_configure(config: pytest.Config) -> None:
    """Where the table is wanted, whoever sees all reports gathers it."""
    if config.getoption("--faults") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Table(), "faults")
