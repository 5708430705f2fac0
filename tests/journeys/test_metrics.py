"""/metrics answers on its own listener, with how things stand."""

import re
import urllib.request
from collections.abc import Iterator
from datetime import timedelta

import pytest

from dpsync.model import Right
from dpsync.running import metrics
from tests.builders import World
from tests.filling import asked_of_databases


@pytest.fixture
def where(world: World) -> Iterator[str]:
    """Where the metrics of a world with one finished request are."""
    world.vendors["alpha"].hold("ada@example.org")
    world.ask(Right.ERASURE, "ada@example.org", id="crm-1")
    world.drive()

    class Shown:
        clock = world.clock
        log = world.log
        zone = world.controller.zone

        class settings:  # noqa: N801 - because it stands for an attribute
            class intake:  # noqa: N801 - because it stands for an attribute
                metrics_listen = "127.0.0.1:0"

        @staticmethod
        def read(work):  # type: ignore[no-untyped-def]  # because it stands for Installation.read
            with world.engine.connect() as connection:
                return work(connection)

    with metrics.listening(Shown()) as where:  # type: ignore[arg-type]  # because only these are asked
        yield where


def told(where: str) -> str:
    with urllib.request.urlopen(f"http://{where}/metrics") as answer:
        said: str = answer.read().decode()
    return said


@pytest.mark.no_database
def test_metrics_tell_how_things_stand(where: str) -> None:
    said = told(where)
    assert 'dpsync_propagations{processor="alpha",right="erasure",state="verified"} 1.0' in said
    assert 'dpsync_requests_accepted_total{right="erasure"} 1.0' in said
    assert "dpsync_anchored_timestamp_seconds NaN" in said, "this ledger has no anchor yet"
    assert "ada" not in said


@pytest.mark.no_database
def test_who_asks_again_within_seconds_makes_nobody_count_anew(where: str, world: World) -> None:
    first = told(where)
    world.ask(Right.ERASURE, "grace@example.org", id="crm-2")
    world.drive()
    world.clock.advance(timedelta(seconds=metrics.KEPT - 1))
    with asked_of_databases() as asked:
        assert told(where) == first
    assert asked == []
    world.clock.advance(timedelta(seconds=1))
    assert 'state="verified"} 1.0' in told(where)
    assert 'state="nothing_held"} 1.0' in told(where)


@pytest.mark.no_database
def test_what_is_late_or_waits_is_told_by_right_and_processor(where: str, world: World) -> None:
    received = world.clock.now()
    asked = world.ask(Right.ERASURE, "grace@example.org", id="crm-2")
    world.clock.advance(timedelta(days=40))
    said = told(where)
    assert 'dpsync_propagations_open{level="overdue",processor="alpha",right="erasure"} 1.0' in said
    (oldest,) = re.findall(r'dpsync_oldest_open_timestamp_seconds{processor="alpha",right="erasure"} (\S+)', said)
    assert float(oldest) == received.timestamp()
    assert asked.request_id not in said


def test_what_ended_since_the_start_is_in_the_histograms_once(where: str, world: World) -> None:
    assert "dpsync_attempt_duration_seconds_count" not in told(where), "what was before is another process's to tell"
    world.vendors["alpha"].hold("grace@example.org")
    world.ask(Right.ERASURE, "grace@example.org", id="crm-2")
    world.clock.advance(timedelta(seconds=90))
    world.drive()
    for _ in range(2):
        world.clock.advance(timedelta(seconds=metrics.KEPT))
        said = told(where)
        assert 'dpsync_queue_duration_seconds_bucket{le="60.0",processor="alpha"} 0.0' in said
        assert 'dpsync_queue_duration_seconds_bucket{le="300.0",processor="alpha"} 1.0' in said
        assert 'dpsync_attempt_duration_seconds_count{kind="carry_out",processor="alpha"} 1.0' in said
        assert 'dpsync_completion_duration_seconds_count{processor="alpha",right="erasure"} 1.0' in said
