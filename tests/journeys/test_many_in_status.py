"""What `status` says of very many requests is counted by the database, and is what their rows would say."""

import random
from datetime import timedelta

from sqlalchemy import insert, update

from dpsync.model import Cause, Right, State
from dpsync.propagation import extensions
from dpsync.reports.status import MOST_NAMED, NotThrough, not_through, status_rows
from dpsync.reports.summary import head_line, summary, summary_of
from dpsync.store import tables as t
from dpsync.store.database import reading, writing
from tests.builders import World
from tests.filling import asked_of_databases, fill

DAY = timedelta(days=1)
PLACES = ("alpha", "beta", "gamma")
CAUSES = ("", "cooling_off", "approval,cooling_off", "contact_unverified", "restored")


def in_every_state(world: World, seed: int) -> None:
    """Requests of many ages, at each place in any state; one goes nowhere; some have an extended date."""
    die, now = random.Random(seed), world.clock.now()
    for days in (0, 1, 3, 5, 20, 33, 60):
        for right in (Right.ERASURE, Right.OPT_OUT):
            fill(world.engine, 12, now - days * DAY, right=right, places=PLACES)
    fill(world.engine, 1, now, places=())
    with writing(world.engine) as connection:
        connection.execute(insert(t.account), [{"id": "alpha", "stopped": ""}, {"id": "beta", "stopped": "credential"}])
        for number in range(1, 12 * 14 + 1):
            for place in PLACES:
                state = die.choice(list(State))
                values = {
                    "state": state.value,
                    "causes": die.choice(CAUSES) if state is State.HELD else "",
                    "told_at": die.choice([None, now]),
                    "answer_by": die.choice([None, now - DAY, now, now + DAY]),
                    "reason": die.choice(["", "not delivered: no such mailbox"]),
                }
                here = (t.propagation.c.ordinal == number) & (t.propagation.c.processor == place)
                connection.execute(update(t.propagation).where(here).values(values))
        for number in die.sample(range(1, 12 * 14 + 1), 30):
            at = now + die.choice([-1, 0, 1]) * DAY
            longer = extensions.Extension(at.date(), at.date(), at, now.date())
            row = {"request_id": f"r-{number:026d}", "processor": "", "kind": extensions.KIND, "detail": longer.detail}
            connection.execute(insert(t.decision).values(**row, sealed=b"", os_user="", at=now))


def test_the_database_counts_what_the_rows_say(world: World) -> None:
    in_every_state(world, 7)
    now = world.clock.now()
    with reading(world.engine) as connection:
        counted = summary(connection, now)
        rows = status_rows(connection, now=now, limit=10_000)
    assert counted == summary_of(rows)
    assert min(counted.overdue, counted.behind, counted.held, counted.people, counted.stopped) > 0
    assert counted.people < counted.open


def test_each_thing_that_needs_a_person_or_not_is_counted_alike(world: World) -> None:
    now = world.clock.now()
    alone = [(state.value, "") for state in State if state is not State.HELD]
    kinds = [*alone, *(("held", causes) for causes in ("", *(one.value for one in Cause), "approval,cooling_off"))]
    for days in (0, 4, 40):
        for state, causes in kinds:
            for answer_by in (None, now, now + DAY):
                fill(world.engine, 1, now - days * DAY, state=state, causes=causes, answer_by=answer_by)
    with reading(world.engine) as connection:
        rows = status_rows(connection, now=now, limit=10_000)
        counted = summary(connection, now)
    assert counted == summary_of(rows)
    assert head_line(counted).startswith(f"{counted.overdue:,} OVERDUE")


def test_of_nothing_there_is_nothing_to_say(world: World) -> None:
    with reading(world.engine) as connection:
        assert head_line(summary(connection, world.clock.now())) == "0 requests open. Told 0 of 0. Nothing is late."


def test_thousands_cost_as_many_statements_as_a_few(world: World) -> None:
    now, found = world.clock.now(), []
    for more in (10, 2_990):
        fill(world.engine, more, now, places=PLACES)
        with asked_of_databases() as asked, reading(world.engine) as connection:
            counted = summary(connection, now)
            rows = status_rows(connection, now=now, limit=5)
        found.append(len(asked))
        assert len(rows) == 5
    assert (counted.open, counted.places) == (3_000, 9_000)
    assert found[0] == found[1] <= 8


def test_a_run_ends_with_so_many_lines_and_says_how_many_more(world: World) -> None:
    now = world.clock.now()
    fill(world.engine, 3, now, places=("beta", "alpha"), state=State.REFUSED.value, reason="no")
    fill(world.engine, 200, now)
    fill(world.engine, 50, now, state=State.VERIFIED.value)
    fill(world.engine, 50, now, state=State.HELD.value)
    with reading(world.engine) as connection:
        left, number = not_through(connection)
    assert (len(left), number) == (MOST_NAMED, 206)
    assert left[:2] == [
        NotThrough("r-000000", "alpha", "refused", "no"),
        NotThrough("r-000000", "beta", "refused", "no"),
    ]
