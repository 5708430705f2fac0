"""One alert a cause and day, however many requests and processors stand behind it; what has hours is told in time."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection

from dpsync.channels import Alert, Delivery
from dpsync.connector import Refused
from dpsync.errors import CredentialsRejected
from dpsync.model import Cause, Right, State
from dpsync.outbox import Outbox
from dpsync.propagation.record import Update, record
from dpsync.propagation.rules.lifecycle import Decision, DecisionKind
from dpsync.propagation.rules.plan import Safety
from dpsync.store import tables as t
from dpsync.store.database import reading, writing
from tests.builders import World, later, proof

T = TypeVar("T")
SEVEN = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta")
HOUR = timedelta(hours=1)


class Mailbox:
    """A channel that keeps what it was given, and when."""

    name = "mailbox"

    def __init__(self, world: World) -> None:
        self._world = world
        self.given: list[tuple[datetime, Alert]] = []

    def send(self, message: Alert) -> Delivery:
        self.given.append((self._world.clock.now(), message))
        return Delivery(self.name, took=True, detail="")

    def heard_of(self, request_id: str, words: str) -> datetime:
        """When an alert of this subject first named the request."""
        return next(at for at, one in self.given if words in one.subject and request_id in one.body)

    def subjects(self) -> list[str]:
        return [one.subject for _, one in self.given]


def an_hour(world: World, box: Mailbox) -> None:
    """What the timed jobs do of this within an hour: the ladder once, the outbox each ten minutes."""

    def call(work: Callable[[Connection], T], /) -> T:
        with writing(world.engine) as connection:
            return work(connection)

    def read(work: Callable[[Connection], T], /) -> T:
        with reading(world.engine) as connection:
            return work(connection)

    world.climb()
    for _ in range(6):
        Outbox([box]).send_due(call, read, world.clock.now())
        world.clock.advance(HOUR / 6)


def seven(world: World, **safety: Any) -> Mailbox:
    world.use(*(world.processor(name) for name in SEVEN), safety=Safety(**safety))
    return Mailbox(world)


@pytest.mark.no_database
def test_one_request_held_at_seven_processors_is_one_mail_a_day_that_lists_them(world: World) -> None:
    box = seven(world, approvals=1)
    asked = world.ask(Right.ERASURE, "ada@example.org", id="1")
    for _ in range(24):
        an_hour(world, box)
    today = [one for at, one in box.given if at < world.clock.now() - 12 * HOUR]
    (message,) = today
    assert message.subject == "Held and waiting for a decision (7 processors)"
    assert all(f"`dpsync release {asked.request_id} {name} --by NAME --reason WHY`" in message.body for name in SEVEN)
    assert len(box.given) == 2, "and again the next day, because it still waits"


@pytest.mark.no_database
def test_after_seven_days_the_dpo_gets_a_letter_to_the_processors_that_is_ready_to_send(world: World) -> None:
    box = seven(world, approvals=1)
    asked = world.ask(Right.ERASURE, "ada@example.org", id="1")
    world.clock.advance(timedelta(days=8))
    an_hour(world, box)
    (message,) = [one for _, one in box.given if one.subject.startswith("Not done after seven days")]
    assert message.role == "dpo"
    letter, lines, _ = message.body.partition("\n\n")[2].split("\n\n")
    assert letter.strip().startswith("More than seven days ago we instructed you")
    assert "Art. 28(3)(a), (e) and (h)" in letter
    assert len(message.body) < 4000, "nothing of it is cut off"
    assert lines.count(asked.request_id) == len(SEVEN)
    assert lines.count("(not told yet): request") == len(SEVEN), "none of them was instructed"
    assert lines.count("the legal date is 21 Dec 2026, read strictly 19 Dec 2026") == len(SEVEN), "one date, one name"


def test_a_second_request_that_is_held_the_same_day_is_told_within_hours_and_once(world: World) -> None:
    box = seven(world, approvals=1)
    world.ask(Right.ERASURE, "ada@example.org", id="1")
    an_hour(world, box)
    second = world.ask(Right.ERASURE, "grace@example.org", id="2")
    third = world.ask(Right.ERASURE, "joan@example.org", id="3")
    asked_at = world.clock.now()
    for _ in range(6):
        an_hour(world, box)
    assert len(box.given) == 2
    for one in (second, third):
        assert box.heard_of(one.request_id, "Held") - asked_at <= 4 * HOUR


@pytest.mark.no_database
def test_what_is_held_anew_for_another_cause_is_told_the_same_day(world: World) -> None:
    box = seven(world, approvals=1)
    first = world.ask(Right.ERASURE, "ada@example.org", id="1")
    an_hour(world, box)
    hold = Decision(DecisionKind.HOLD, frozenset({Cause.BRAKE}))
    number = world.row(first, "beta").id
    world.writer.call(lambda unit: record(unit, world.controller, Update(number, [hold], world.clock.now())))
    for _ in range(5):
        an_hour(world, box)
    _, second = (one for _, one in box.given)
    assert second.subject == "Held and waiting for a decision (Beta)"
    assert "irreversible_per_day" in second.body


def test_a_refusal_by_seven_processors_is_one_mail(world: World) -> None:
    box = seven(world)
    for name in SEVEN:
        world.vendors[name].answers += [Refused(reason="no", evidence=proof(400))]
    asked = world.ask(Right.ERASURE, "ada@example.org", id="1")
    world.drive()
    an_hour(world, box)
    assert set(world.states(asked).values()) == {State.REFUSED}
    (message,) = (one for _, one in box.given)
    assert message.subject.endswith("refused, or gave an unknown answer (7 processors)")
    assert all(f"`dpsync retry {asked.request_id} {name} " in message.body for name in SEVEN)


def test_each_credential_is_told_at_once_and_once(world: World) -> None:
    box = seven(world)
    for number, name in enumerate(SEVEN[:3]):
        world.vendors[name].answers += [CredentialsRejected("GET /", 401)]
        world.ask(Right.ERASURE, f"p{number}@example.org", id=str(number))
        world.drive()
        an_hour(world, box)
    assert [at - box.given[0][0] for at, _ in box.given] == [timedelta(0), HOUR, 2 * HOUR]
    assert box.subjects() == [f"A processor rejects our credential ({name.title()})" for name in SEVEN[:3]]


@pytest.mark.no_database
def test_each_opt_out_is_told_within_an_hour_of_its_hours_and_nobody_gets_a_mail_for_each(world: World) -> None:
    box = seven(world)
    for name in SEVEN:
        world.vendors[name].answers += [later() for _ in range(5000)]
    asked: dict[str, datetime] = {}
    for hour in range(36):
        if hour < 24:
            one = world.ask(Right.OPT_OUT, f"p{hour}@example.org", id=str(hour))
            asked[one.request_id] = world.clock.now()
        an_hour(world, box)
    for request_id, at in asked.items():
        assert box.heard_of(request_id, "four hours") - at <= 5 * HOUR
        if world.clock.now() - at > 13 * HOUR:
            assert box.heard_of(request_id, "twelve hours") - at <= 13 * HOUR
    said = box.subjects()
    assert len([one for one in said if "four hours" in one]) <= 36 / 4 + 2
    assert len([one for one in said if "twelve hours" in one]) <= 36 / 12 + 2


@pytest.mark.no_database
def test_what_the_ladder_gathers_is_an_entry_for_each_processor(world: World) -> None:
    box = seven(world)
    for name in SEVEN:
        world.vendors[name].answers += [later() for _ in range(50)]
    world.ask(Right.OPT_OUT, "ada@example.org", id="1")
    for _ in range(5):
        an_hour(world, box)
    assert len(box.given) == 1
    assert len(world.rows(t.alert)) == 1
    assert world.ledger_problems() == ()
