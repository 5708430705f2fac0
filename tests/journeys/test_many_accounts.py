"""With very many accounts a turn of the worker costs what there is to do, and not what there is."""

from datetime import timedelta

from sqlalchemy import update

from dpsync.connector import Accepted
from dpsync.model import Right, State
from dpsync.propagation.resuming import pause
from dpsync.store import tables as t
from dpsync.store.database import writing
from tests.builders import World
from tests.filling import asked_of_databases

MANY = tuple(f"p{number}" for number in range(60))


def turn(world: World) -> int:
    """How many statements a turn asks that has no heartbeat in it."""
    worker = world._workers[-1]
    worker.turn()
    with asked_of_databases() as asked:
        worker.turn()
    return len(asked)


def test_a_turn_at_sixty_idle_accounts_asks_one_question(world: World) -> None:
    world.use(*(world.processor(name) for name in MANY))
    world.ask(Right.ERASURE, "ada@example.org", id="1")
    world.drive()
    world.clock.advance(timedelta(minutes=1))
    assert turn(world) == 1


def test_a_backlog_at_an_account_that_is_stopped_or_paused_is_no_question_more(world: World) -> None:
    world.use(*(world.processor(name) for name in MANY))
    world.ask(Right.ERASURE, "grace@example.org", id="2")
    world.drive()
    with writing(world.engine) as connection:
        pause(connection, MANY[:30])
        later = world.clock.now() + timedelta(hours=1)
        connection.execute(update(t.account).where(t.account.c.id.in_(MANY[30:])).values(paused_until=later))
    asked = world.ask(Right.ERASURE, "ada@example.org", id="1")
    assert turn(world) == 1
    world.clock.advance(timedelta(hours=2))
    world.drive()
    states = world.states(asked)
    assert {states[name] for name in MANY[:30]} == {State.PENDING}
    assert State.PENDING not in {states[name] for name in MANY[30:]}


def test_what_time_brings_about_is_seen_also_where_the_account_is_stopped(world: World) -> None:
    world.use(world.processor("alpha"), world.processor("beta"))
    world.vendors["alpha"].answers += [Accepted(evidence=(), answer_by=world.clock.now() + timedelta(days=1))]
    asked = world.ask(Right.ERASURE, "ada@example.org", id="1")
    world.drive()
    with writing(world.engine) as connection:
        pause(connection, ["alpha"])
    assert world.state(asked) is State.ACCEPTED
    world.clock.advance(timedelta(days=40))
    world.drive()
    assert world.state(asked) is not State.ACCEPTED
