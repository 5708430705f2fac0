"""What the brake counts by the half hour is what the rows say, at every moment and whoever changed them."""

import random
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select, update

from dpsync.propagation.queue import allowance
from dpsync.store import tables as t
from dpsync.store.brake_tables import brake_slot
from dpsync.store.database import reading, writing
from dpsync.store.schema import migrate
from tests.builders import World
from tests.databases import new_database
from tests.filling import fill
from tests.stored_schema import begin

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def by_rows(connection: Connection, now: datetime) -> dict[str, int]:
    p = t.propagation.c
    counted = select(p.account_id, func.count()).where(p.brake_at > now - DAY, p.brake_at <= now + DAY)
    return {row[0]: row[1] for row in connection.execute(counted.group_by(p.account_id))}


def test_the_slots_say_at_every_moment_what_the_rows_say(world: World) -> None:
    die, now = random.Random(4), world.clock.now()
    for number in range(1, 150):
        at = now + die.randint(-70, 30) * HOUR + die.choice([0, 0, 29, 30, 31]) * MINUTE
        fill(world.engine, 1, now, places=("alpha", "beta"), brake_at=die.choice([None, at]))
        some = t.propagation.c.ordinal == die.randint(1, number)
        change: dict[str, Any] = {"brake_at": die.choice([None, at])}
        change = die.choice([change, {"account_id": die.choice(["gamma", "alpha"])}, {"state": "verified"}])
        with writing(world.engine) as connection:
            connection.execute(update(t.propagation).where(some).values(**change))
    with reading(world.engine) as connection:
        for minutes in range(-50 * 60, 50 * 60, 17):
            moment = now + minutes * MINUTE
            assert allowance.used(connection, moment) == by_rows(connection, moment)
        for slots in range(-100, 100):  # where a window begins and ends with a slot
            for beside in (timedelta(microseconds=-1), timedelta(0), timedelta(microseconds=1)):
                moment = now + slots * allowance.SLOT + beside
                assert allowance.used(connection, moment) == by_rows(connection, moment)


def test_old_slots_are_dropped_and_none_of_the_window(world: World) -> None:
    now = world.clock.now()
    for days in (0, 1, 3, 5, 400):
        fill(world.engine, 1, now, brake_at=now - days * DAY + MINUTE)
    with writing(world.engine) as connection:
        allowance.drop_old(connection, now)
    assert len(world.rows(brake_slot)) == 3
    with reading(world.engine) as connection:
        assert allowance.used(connection, now) == {"alpha": 2}


def test_a_day_of_thousands_is_not_counted_row_by_row(world: World) -> None:
    """Where the database says how many steps it took: they are as many as with a few."""
    if world.engine.dialect.name != "sqlite":
        return
    now, steps = world.clock.now(), []
    for more in (20, 3_980):
        fill(world.engine, more, now, brake_at=now - 12 * HOUR)
        taken: list[None] = []
        with reading(world.engine) as connection:
            plain = connection.connection.driver_connection
            assert plain is not None
            plain.set_progress_handler(partial(taken.append, None), 1)
            assert allowance.used(connection, now)
            plain.set_progress_handler(None, 1)
        steps.append(len(taken))
    assert steps[1] <= steps[0] + 10


def test_a_migration_counts_what_stands_already(database_url: str, tmp_path: Path) -> None:
    with new_database(database_url, tmp_path) as engine:
        begin(engine, tmp_path)
        migrate(engine, backed_up=True)
        with reading(engine) as connection:
            now = connection.execute(select(func.max(t.propagation.c.brake_at))).scalar_one()
            assert allowance.used(connection, now) == by_rows(connection, now) != {}
