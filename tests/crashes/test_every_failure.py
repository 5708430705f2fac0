"""Each statement, commit and use of a file fails once: nothing accepted is lost, nothing is told twice, all goes on.

`make every-failure` lets each of them fail. Here some do, spread evenly over all.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import timedelta
from itertools import cycle, product
from pathlib import Path
from typing import Any

import pytest

from tests.builders import TurnableClock
from tests.crashes.failing import ERRORS, POSTGRESQL, SQLITE, FailingFiles, Nth, failing_database
from tests.crashes.story import Asked, Ended, Process, Story
from tests.databases import new_database
from tests.faults.counting import Counted
from tests.journeys.installation import sqlite_url

EVERY = "DPSYNC_EVERY_FAILURE" in os.environ
STATEMENTS, LIVING = 800, 150
USES = {"ENOSPC": 80, "EIO": 80, "EACCES": 40, "short": 8}
"""How many there were when this was written, and a few less: what sees none of them would let none fail."""
PEOPLE = 1000


@pytest.fixture
def story(database_url: str, tmp_path: Path) -> Iterator[Story]:
    """On either database."""
    with new_database(database_url, tmp_path) as engine:
        made = Story(tmp_path, engine.url.render_as_string(hide_password=False), PEOPLE)
        made.prepare()
        yield made


def tried(of: int, some: int, hows: Iterable[str]) -> Iterable[tuple[int, str]]:
    """Which of all fail, and how: each in every way, or some that are spread evenly, each in one."""
    if EVERY:
        return product(range(1, of + 1), hows)
    return zip([1 + of * (2 * turn + 1) // (2 * some) for turn in range(some)], cycle(hows), strict=False)


@contextmanager
def failing(name: str, nth: Nth, how: str) -> Iterator[None]:
    """Within, the n-th statement or commit fails."""
    database = failing_database(Story.dialect(name))
    database.nth, database.how = nth, how
    try:
        yield
    finally:
        database.nth = Nth()


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """The folder of an installation on a SQLite file, to be copied."""
    folder = tmp_path / "prepared"
    folder.mkdir()
    Story(folder, sqlite_url(folder), 1).prepare()
    return folder


def copy_of(prepared: Path) -> Story:
    """Another one, a day later: all that is done once a day is due."""
    folder = prepared.with_name("copy")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(prepared, folder)
    story = Story(folder, sqlite_url(folder), 1)
    story.clock.advance(timedelta(days=1))
    return story


def lived(story: Story, *, fails: AbstractContextManager[None], again: bool) -> dict[str, Any]:
    """The end state of a service that begins, hears of a person and works, while something fails once. `again`: then it
    has ended, and another begins; else it goes on, unless it could not begin.
    """
    asked, process = Asked(0), None
    with fails, suppress(Ended):
        process = Process(story)
        process.hear(asked)
        process.work()
    if process is not None:
        assert not story.unkept(asked, process.there)
        if again:
            process.there.close()
    story.to_the_end(asked, None if again else process).there.close()
    return story.end_state()


@pytest.mark.fault(20)
@pytest.mark.fault(22)
def test_a_service_lives_on_whatever_statement_failed(story: Story, counted: Counted) -> None:
    sqlite = "postgresql" not in story.environ["DPSYNC_TEST_DATABASE"]
    name, hows, some = ("sqlite", SQLITE, 30) if sqlite else ("postgresql", POSTGRESQL, 6)
    process = Process(story)

    def outlived(person: int, number: int, how: str) -> Nth:
        nonlocal process
        asked, nth = Asked(person), Nth(number)
        with failing(name, nth, how):
            process.hear(asked)
            process.work()
        counted(20, acknowledged_without_a_row=story.unkept(asked, process.there))
        ended = person % 2 == 0 and not sqlite  # there the next test has another take its place
        if ended:
            process.there.close()
        process = story.to_the_end(asked, None if ended else process)
        assert story.effects(asked) == 1, nth.what
        return nth

    total = outlived(0, 0, "").count
    assert total > LIVING
    for person, (number, how) in enumerate(tried(total, some, hows), 1):
        outlived(person, number, how)
    process.there.close()
    state = story.end_state()
    counted(22, lost=state["open"])
    assert set(state.pop("states")) == {("alpha", "erasure", "verified", 5, "", "reread")}
    assert state.pop("events") == state.pop("accepted")
    del state["at the vendor"], state["told"]
    assert not any(state.values()), state


@pytest.mark.fault(22)
def test_a_service_that_ends_or_goes_on_ends_as_if_no_statement_had_failed(prepared: Path, counted: Counted) -> None:
    nth = Nth()
    smooth = lived(copy_of(prepared), fails=failing("sqlite", nth, ""), again=False)
    assert (smooth["at the vendor"], smooth["told"], smooth["open"]) == ([], [(Asked(0).address,)], 0)
    assert nth.count > STATEMENTS
    for turn, (number, how) in enumerate(tried(nth.count, 8, SQLITE)):
        nth = Nth(number)
        state = lived(copy_of(prepared), fails=failing("sqlite", nth, how), again=turn % 2 == 0)
        counted(22, lost=state["open"])
        assert state == smooth, nth.what


@pytest.mark.parametrize("how", ERRORS)
def test_a_service_ends_as_if_no_use_of_a_file_had_failed(how: str, prepared: Path) -> None:
    nth, story = Nth(), copy_of(prepared)
    smooth = lived(story, fails=FailingFiles(nth, how, story.folder).watched(), again=False)
    assert nth.count > USES[how]
    for turn, (number, _) in enumerate(tried(nth.count, 2, [how])):
        nth, story = Nth(number), copy_of(prepared)
        state = lived(story, fails=FailingFiles(nth, how, story.folder).watched(), again=turn % 2 == 0)
        if nth.what.startswith("open") and "/anchors/" in nth.what:
            state["alerts"] = sorted({*state["alerts"]} - {"ledger"})  # somebody is told of what could not be read
        if nth.what.startswith("unlink"):
            state["halves"] = []  # what cannot be removed stays
        assert state == smooth, nth.what


@contextmanager
def leaping(clock: TurnableClock, span: timedelta) -> Iterator[None]:
    """Within, the clock is off by that much."""
    clock.advance(span)
    yield
    clock.advance(-span)


@pytest.mark.fault(24)
@pytest.mark.parametrize("years", [-10, 10])
def test_a_service_whose_clock_was_ten_years_off_ends_as_any_other(
    years: int, prepared: Path, counted: Counted
) -> None:
    smooth = lived(copy_of(prepared), fails=nullcontext(), again=False)
    for again in (False, True):
        story = copy_of(prepared)
        state = lived(story, fails=leaping(story.clock, timedelta(days=365 * years)), again=again)
        counted(24, early_or_late=abs(story.effects(Asked(0)) - 1))
        assert state.pop("alerts") == ["clock"], "a person is told"
        if years < 0:
            state["states"] = smooth["states"]  # by every clock that there is, ten years have passed in between
        assert state == {name: value for name, value in smooth.items() if name != "alerts"}
