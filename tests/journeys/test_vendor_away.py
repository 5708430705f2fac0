"""A vendor is away, asks us to wait, or has a bad hour: what waits is tried in its time, and nothing is lost."""

import itertools
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dpsync.connector import Retryable
from dpsync.http import HttpClient
from dpsync.model import Right, State
from dpsync.propagation.rules.backoff import BLOCKED_AFTER, CIRCUIT_OPENS_AT
from dpsync.propagation.rules.plan import Safety
from dpsync.store import tables as t
from tests.builders import START, TurnableClock, World, proof
from tests.certificates import certificate_for
from tests.faults.counting import Counted
from tests.journeys.installation import NEWSLETTER, Installation, installed, sqlite_url
from tests.unit.test_http import peer

ADA = "ada@example.org"
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
MANY = 300
STEPS = [30 * SECOND, 2 * MINUTE, 10 * MINUTE, HOUR, 3 * HOUR]
"""How long a request waits after its first attempt, its second and so on: docs/operating.md publishes them."""


def brief(clock: TurnableClock) -> HttpClient:
    return HttpClient(clock, rehearsal=True, longest=0.3)


@contextmanager
def closed() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}/3.0"


@contextmanager
def deaf() -> Iterator[str]:
    """Whose queue is full: no connection is ever made."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as waiting:
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/3.0"


@contextmanager
def nowhere() -> Iterator[str]:
    yield "https://nobody.invalid/3.0"


def next_due(there: Installation) -> datetime:
    """When the only request is due, and its account goes on."""
    (lane,), (account,) = there.rows(t.lane), there.rows(t.account)
    due: datetime = max(lane.due_at, account.paused_until or lane.due_at)
    return due


@pytest.mark.fault(2)
@pytest.mark.fault(13)
@pytest.mark.parametrize("where", [closed, deaf, nowhere])
def test_what_reaches_nobody_is_tried_at_the_published_times_and_its_account_pauses(
    where: Callable[[], Any], tmp_path: Path, counted: Counted
) -> None:
    with (
        where() as url,
        installed(
            tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER.replace("{mailchimp_url}", url), http=brief
        ) as there,
    ):
        asked = there.ask(Right.OPT_OUT, ADA)
        there.drive()
        off = 0
        for number, step in enumerate(STEPS, 1):
            (lane,), due = there.rows(t.lane), next_due(there)
            off += not step / 2 <= lane.due_at - there.clock.now() <= step
            there.drive(due - there.clock.now() - SECOND)
            off += len(there.rows(t.attempt)) != number
            there.drive(SECOND)
            off += len(there.rows(t.attempt)) != number + 1
        counted(2, attempts_off_schedule=off)
        (account,) = there.rows(t.account)
        assert account.failures >= CIRCUIT_OPENS_AT
        assert account.paused_until > there.clock.now()
        assert (there.state(asked), there.row(asked).doubtful) == (State.PENDING, False)
        there.sound()
        counted(13, lost=1 - len(there.rows(t.lane)))


@pytest.mark.fault(6)
@pytest.mark.parametrize("status", [429, 403])
def test_a_no_without_a_word_makes_the_whole_account_wait(status: int, tmp_path: Path, counted: Counted) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        there.sandbox.fault("status_without_body", status=status, times=None)
        for number in range(20):
            there.ask(Right.OPT_OUT, f"p{number}@example.org", id=f"crm-{number}")
        calls: list[datetime] = []
        while there.clock.now() < START + HOUR:
            before = there.sandbox.calls()
            there.drive()
            calls += [there.clock.now()] * (there.sandbox.calls() - before)
            (account,) = there.rows(t.account)
            assert account.paused_until is not None
            assert account.stopped == ""
            there.clock.advance(max(SECOND, account.paused_until - there.clock.now()))
        worst = max(sum(first <= one < first + MINUTE for one in calls) for first in calls)
        counted(6, calls_in_the_worst_minute=worst)
        assert {row.attempts for row in there.rows(t.propagation)} == {0}, "somebody was charged with it"
        there.sound()


@pytest.mark.fault(7)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_hour_of_faults_meets_few_calls_and_is_made_up_for_without_a_herd(world: World, counted: Counted) -> None:
    vendor = world.vendors["alpha"]
    world.use(safety=Safety(irreversible_per_day=MANY))
    for number in range(MANY):
        world.ask(Right.OPT_OUT, f"p{number}@example.org", id=f"crm-{number}")
    vendor.answers += itertools.repeat(Retryable(reason="a fault there", evidence=proof(500)), 5000)
    while world.clock.now() < START + HOUR:
        world.drive()
        (account,) = world.rows(t.account)
        assert account.paused_until is not None
        world.clock.advance(max(SECOND, account.paused_until - world.clock.now()))
    storm = len(vendor.calls)
    vendor.answers.clear()
    vendor.peak = 0
    world.drive()
    world.clock.advance(7 * HOUR)
    world.drive()
    states = Counter(row.state for row in world.rows(t.propagation))
    assert states == {State.NOTHING_HELD: MANY}
    counted(7, calls_in_the_storm=storm, most_at_once=vendor.peak)


@pytest.mark.fault(14)
@pytest.mark.parametrize("how", ["another's", "out of date"])
def test_a_vendor_that_cannot_prove_who_it_is_gets_nothing_and_the_operator_hears_of_it(
    how: str, tmp_path: Path, counted: Counted
) -> None:
    made = certificate_for(tmp_path, expired=how == "out of date")
    heard: list[bytes] = []

    def trusting(clock: TurnableClock) -> HttpClient:
        client = HttpClient(clock, rehearsal=True, longest=5)
        client._session.verify = str(made.file)
        return client

    with peer(lambda sock, _: heard.append(sock.recv(1000)), made.server) as vendor:
        host = "127.0.0.1" if how == "another's" else "localhost"
        url = f"{vendor.url.replace('127.0.0.1', host)}/3.0"
        with installed(
            tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER.replace("{mailchimp_url}", url), http=trusting
        ) as there:
            asked = there.ask(Right.ERASURE, ADA)
            there.drive()
            assert there.alerts() == [], "a single one may be nothing"
            there.drive(BLOCKED_AFTER + MINUTE)
            counted(14, bytes_sent=sum(map(len, heard)))
            assert there.alerts() == [("operator", "blocked")]
            row = there.row(asked)
            assert (row.state, row.attempts, row.doubtful) == (State.PENDING, 0, False)
            assert row.reason == "the processor's certificate or TLS version was not accepted"
            there.sound()
