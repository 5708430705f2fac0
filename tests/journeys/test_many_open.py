"""With very many open propagations the ladder writes few rows, asks little while it writes, and leaves nothing out."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from dpsync.alerts import MOST_CONCERNS, MOST_NAMED, few
from dpsync.model import Cause, Right, Role, State
from dpsync.propagation import extensions, questions
from dpsync.propagation.correspondence import escalation, letters_due, reaching
from dpsync.propagation.correspondence.levels import level_of
from dpsync.store import tables as t
from dpsync.store.database import reading, writing
from dpsync.store.question_tables import question
from tests.builders import World
from tests.filling import asked_of_databases, fill

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def lines(world: World, cause: str) -> list[str]:
    return [line for one in world.told() if one.cause == cause for line in one.concerns]


def many(world: World, number: int, **more: Any) -> None:
    fill(world.engine, number, world.clock.now(), **more)


def test_so_many_are_told_each_for_itself_and_of_more_their_number(world: World) -> None:
    world.use(world.processor("alpha"), world.processor("beta"))
    many(world, MOST_NAMED)
    many(world, MOST_NAMED + 1, places=("beta",))
    world.clock.advance(73 * HOUR)
    world.climb()
    told = lines(world, "target")
    assert len(told) == MOST_NAMED + 1
    assert f"Beta: {MOST_NAMED + 1} requests. `dpsync status` lists them" in told
    entered = sorted((row.cause, row.day, row.about) for row in world.rows(t.alert_concern) if row.about[0] == "*")
    assert [one[2] for one in entered] == ["*/beta"]
    world.clock.advance(HOUR)
    world.climb()
    assert lines(world, "target") == told, "once a day"


@pytest.mark.parametrize("held", [False, True])
def test_thousands_that_are_open_cost_few_statements_and_a_row(world: World, held: bool) -> None:
    more = {"state": State.HELD.value, "causes": "approval,restored"} if held else {}
    many(world, 3_000, **more)
    world.clock.advance(73 * HOUR)
    with asked_of_databases() as asked:
        world.climb()
    assert len(asked) < 40
    assert sum(one.rows for one in asked if one.writes) < 40
    assert len(world.rows(t.alert_concern)) == (3 if held else 1)


def test_what_is_done_between_the_look_and_the_writing_is_not_told(world: World) -> None:
    many(world, 3)
    world.clock.advance(73 * HOUR)
    now = world.clock.now()
    with reading(world.engine) as connection:
        found = escalation.look(connection, world.controller, now)
    with writing(world.engine) as connection:
        done = t.propagation.c.ordinal == 2
        connection.execute(update(t.propagation).where(done).values(state=State.VERIFIED.value))
    assert world.writer.call(lambda unit: escalation.climb(unit, world.controller, found, now)) == 1
    assert [line.split(",")[0][-1] for line in lines(world, "target")] == ["1", "3"]


def test_nothing_is_written_where_nothing_is_to_be_told(world: World) -> None:
    many(world, 3)
    with reading(world.engine) as connection:
        assert not escalation.look(connection, world.controller, world.clock.now())


def test_many_opt_outs_are_told_in_time_by_their_number(world: World) -> None:
    for hour in range(24):
        if hour < 12:
            many(world, 60, right=Right.OPT_OUT)
        world.climb()
        newest = "".join(lines(world, "opt-out-4h")[-1:])
        told = sum(int(number.replace(",", "")) for number in re.findall(r"[0-9,]+(?= requests| more)", newest))
        waiting = 60 * (min(max(hour - 3, 0), 12) - min(max(hour - 11, 0), 12))
        assert waiting <= MOST_NAMED or told >= waiting, "each is in a number when its four hours are over"
        world.clock.advance(HOUR)
    crowds = [row for row in world.rows(t.alert_concern) if row.about[0] == "*" and row.cause == "opt-out-4h"]
    assert 2 <= len(crowds) <= 6


def test_the_database_and_the_rule_agree_on_each_level(world: World) -> None:
    for hours in (
        0,
        3,
        4,
        11,
        12,
        23,
        24,
        71,
        72,
        95,
        96,
        24 * 7 - 1,
        24 * 7,
        24 * 23,
        24 * 24,
        24 * 28,
        24 * 31,
        24 * 40,
    ):
        at = world.clock.now() - hours * HOUR
        fill(world.engine, 1, at)
        fill(world.engine, 1, at, right=Right.OPT_OUT)
    now = world.clock.now()
    with reading(world.engine) as connection:
        found = reaching.all_reached(connection, now, now.date())
        each = reaching.open_propagations(connection)
    for one in found:
        mine = [other.about for other in each if level_of(other, now, now.date()) is one.level]
        named = [other.about for other in one.named if level_of(other, now, now.date()) is one.level]
        assert named == mine
        assert mine
    assert len(found) == 8


def test_an_extended_date_counts_also_among_many(world: World) -> None:
    many(world, 300)
    now = world.clock.now()
    later = extensions.Extension((now + 85 * DAY).date(), (now + 90 * DAY).date(), now + 91 * DAY, now.date())
    with writing(world.engine) as connection:
        row = {"request_id": f"r-{7:026d}", "processor": "", "kind": extensions.KIND, "detail": later.detail}
        connection.execute(t.decision.insert().values(**row, sealed=b"", os_user="", at=now))
    world.clock.advance(32 * DAY)
    world.climb()
    assert lines(world, "overdue") == ["Alpha: 299 requests. `dpsync status` lists them"]
    assert [line.split(",")[0][-1] for line in lines(world, "day-7")] == ["7"]
    with reading(world.engine) as connection:
        named, number = reaching.overdue(connection, world.clock.now(), 50)
    assert (len(named), number) == (50, 299)
    assert f"r-{7:026d}" not in named


def test_of_many_that_are_held_the_oldest_are_asked_about_and_all_are_counted(world: World) -> None:
    world.use(world.processor("alpha"), world.processor("beta"))
    world.controller = replace(world.controller, asked=(Role.DPO,))
    many(world, 300, places=("alpha", "beta"), state=State.HELD.value, causes="approval")
    world.climb()
    asked = world.rows(question)
    assert len(asked) == questions.MOST_A_DAY
    assert sorted(row.request_id for row in asked) == [f"r-{number:026d}" for number in range(1, 11)]
    assert {row.asked for row in asked} == {"alpha approval\nbeta approval"}, "about all of a request"
    told = [line for line in lines(world, "held") if "300 requests" in line]
    assert len(told) == 2
    assert all("`dpsync status` lists them" in line and "dpsync release REQUEST" in line for line in told)
    world.climb()
    assert len(world.rows(question)) == questions.MOST_A_DAY


def test_what_few_are_held_for_is_named_beside_a_crowd_of_another_cause(world: World) -> None:
    many(world, 300, state=State.HELD.value, causes="approval")
    many(world, 1, state=State.HELD.value, causes="approval,shared_address")
    world.climb()
    told = [line for line in lines(world, "held") if "request" in line and line.startswith("Alpha")]
    assert any(line.startswith("Alpha: 301 requests") for line in told)
    assert any(f"request r-{301:026d}" in line for line in told)
    assert len(told) == 2
    (entered,) = [row.about for row in world.rows(t.alert_concern) if row.about[0] != "*"]
    assert entered.endswith(f"/alpha/{Cause.SHARED_ADDRESS}")


def test_whom_there_are_few_of_is_named_until_together_they_are_many() -> None:
    assert few({"a": MOST_NAMED, "b": MOST_NAMED + 1}) == {"a"}
    assert len(few(dict.fromkeys(range(50), MOST_NAMED))) == MOST_CONCERNS // MOST_NAMED
    assert few({"many": 200, "one": 1, **{str(number): 180 for number in range(11)}}) >= {"one"}


def test_letters_that_are_due_are_looked_for_while_others_write(world: World) -> None:
    many(world, 1_500)
    world.clock.advance(29 * DAY)
    now, controller = world.clock.now(), world.controller
    with reading(world.engine) as connection:
        found = letters_due.look(connection, controller, now)
    assert [(one.level, len(one.named), one.more) for one in found] == [("letter-near", 100, 1_400)]
    with writing(world.engine) as connection:
        first = t.propagation.c.ordinal == 1
        connection.execute(update(t.propagation).where(first).values(state=State.WITHDRAWN.value))
        taken_back = {"source": "crm", "event_id": "w", "body_mac": "", "request_id": f"r-{1:026d}", "at": now}
        connection.execute(t.withdrawal.insert().values(**taken_back))
    with asked_of_databases() as asked:
        assert world.writer.call(lambda unit: letters_due.remind(unit, controller, found, now)) == 1
    assert len(lines(world, "letter-near")) == 99
    assert sum(one.rows for one in asked if one.writes) < 120
    with reading(world.engine) as connection:
        assert len(letters_due.look(connection, controller, now)) == 1, "the next one has moved up"


def test_letters_are_looked_for_in_lists_that_are_made_once_and_not_for_each_request(world: World) -> None:
    many(world, 2)
    with reading(world.engine) as connection, asked_of_databases() as asked:
        letters_due.look(connection, world.controller, world.clock.now() + 29 * DAY)
    (said,) = [one.statement for one in asked if "letter_by" in one.statement and "withdrawal" in one.statement]
    for table in ("withdrawal", "decision"):
        assert f"SELECT {table}.request_id" in said
        assert f"WHERE {table}.request_id = request.id" not in " ".join(said.split()), "100,000 times"
