"""A clock that was two years ahead, and was put right: nothing waits for 2028, and a person hears of it."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, select, update

from dpsync.__main__ import main
from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.channels import Alert, Delivery
from dpsync.model import Right, Rung, State
from dpsync.outbox import Outbox
from dpsync.propagation.engine.lease import heartbeat
from dpsync.propagation.queue import waits
from dpsync.propagation.rules.lifecycle import Timer
from dpsync.scheduler import Job, Jobs, daily, every
from dpsync.store import tables as t
from dpsync.store.database import open_database, reading, writing
from tests.builders import START, World, busy, later
from tests.databases import new_database
from tests.faults.counting import Counted
from tests.journeys.test_store_away import CONFIG
from tests.standins.door import free_port

AHEAD = timedelta(days=730)
LONDON = ZoneInfo("Europe/London")


def put_right(world: World) -> None:
    world.clock._now -= AHEAD


def alerts_of(world: World) -> list[str]:
    return [row.cause for row in world.rows(t.alert)]


@pytest.mark.fault(24)
def test_what_was_put_off_while_the_clock_was_ahead_goes_on_when_it_is_right_again(
    world: World, counted: Counted
) -> None:
    world.use(world.processor("alpha"), world.processor("beta"))
    for name in ("alpha", "beta"):
        world.vendors[name].hold("ada@example.org")
    world.clock.advance(AHEAD)
    world.vendors["alpha"].answers = [later(), later()]
    world.vendors["beta"].answers = [busy(429, 3600)]
    asked = world.ask(Right.ERASURE, "ada@example.org", id="crm-1")
    world.drive()
    world.clock.advance(timedelta(minutes=5))
    world.drive()
    assert set(world.states(asked).values()) == {State.PENDING}
    put_right(world)
    world.restart()
    world.drive()
    assert set(world.states(asked).values()) == {State.VERIFIED}
    reread = world.row(asked).timer_at
    assert reread <= world.clock.now() + timedelta(days=31)
    assert world.ledger_problems() == ()
    late = [state for state in world.states(asked).values() if state is not State.VERIFIED]
    counted(24, early_or_late=len(late))


@pytest.mark.no_database
@pytest.mark.fault(24)
def test_what_is_to_be_read_again_in_thirty_days_is_not_read_when_the_clock_is_put_right(
    world: World, counted: Counted
) -> None:
    world.vendors["alpha"].hold("ada@example.org")
    world.clock.advance(AHEAD)
    asked = world.ask(Right.ERASURE, "ada@example.org", id="crm-1")
    world.drive()
    put_right(world)
    wrong = 0
    for days, rung in ((0, Rung.VERIFIED), (29, Rung.VERIFIED), (2, Rung.STILL_VERIFIED)):
        world.clock.advance(timedelta(days=days))
        world.restart()
        world.worker()
        world.drive()
        wrong += world.row(asked).rung != rung
    counted(24, early_or_late=wrong)
    assert world.ledger_problems() == ()


@pytest.mark.parametrize("column", ["lane.due_at", "lane.kept_due_at", "account.paused_until"])
def test_no_time_that_something_is_due_at_keeps_it_for_years(column: str, world: World) -> None:
    world.vendors["alpha"].hold("ada@example.org")
    world.vendors["alpha"].answers = [later()]
    asked = world.ask(Right.ERASURE, "ada@example.org", id="crm-1")
    world.drive()
    assert world.state(asked) is State.PENDING
    table, _, name = column.partition(".")
    values = {name: world.clock.now() + AHEAD}
    world.writer.call(lambda unit: unit.connection.execute(update(t.metadata.tables[table]).values(values)))
    world.clock.advance(timedelta(hours=25))  # the longest that a vendor may ask us to wait
    world.drive()
    assert world.state(asked) is State.VERIFIED


@pytest.mark.no_database
@pytest.mark.fault(24)
def test_what_is_meant_to_wait_waits_on(world: World, counted: Counted) -> None:
    world.vendors["alpha"].answers = [busy(429, 24 * 3600)]
    asked = world.ask(Right.ERASURE, "ada@example.org", id="crm-1")
    world.drive()
    world.restart()
    world.clock.advance(timedelta(hours=23))
    world.drive()
    assert len([one for one in world.vendors["alpha"].calls if one[0] == "carry_out"]) == 1
    assert world.state(asked) is State.PENDING
    early = [one for one in world.vendors["alpha"].calls if one[0] == "carry_out"][1:]
    counted(24, early_or_late=len(early))


@pytest.mark.parametrize(
    ("timer", "at_most"),
    [
        (Timer.REREAD, timedelta(0)),
        (Timer.REMIND, waits.LONGEST_ANSWER),
        (Timer.ESCALATE, waits.LONGEST_ANSWER),
        (Timer.COOLING_OFF, waits.LONGEST_COOLING_OFF),
    ],
)
def test_a_timer_is_brought_back_to_the_whole_of_its_time_and_a_legal_date_is_not_touched(
    timer: Timer, at_most: timedelta, world: World
) -> None:
    asked = world.ask(Right.ERASURE, "ada@example.org", id="crm-1")
    dates = world.rows(t.request)
    answer_by = world.clock.now() + AHEAD
    values = {"timer": timer.value, "timer_at": world.clock.now() + AHEAD, "answer_by": answer_by}
    world.writer.call(lambda unit: unit.connection.execute(update(t.propagation).values(values)))
    world.writer.call(lambda unit: waits.shorten(unit.connection, world.controller, {"alpha"}, world.clock.now()))
    row = world.row(asked)
    assert row.timer_at <= world.clock.now() + at_most
    assert row.answer_by == answer_by
    assert world.rows(t.request) == dates


def test_a_sign_of_life_from_2028_keeps_nobodys_accounts(world: World) -> None:
    world.vendors["alpha"].hold("ada@example.org")
    asked = world.ask(Right.ERASURE, "ada@example.org", id="crm-1")

    def work(unit: object) -> None:
        heartbeat(unit, "w-dead", world.clock.now() + AHEAD)  # type: ignore[arg-type]  # because it is the writer's unit
        connection = unit.connection  # type: ignore[attr-defined]  # because it is the writer's unit
        connection.execute(insert(t.account).values(id="alpha", owner="w-dead"))

    world.writer.call(work)
    worker = world.worker()
    worker.run_until_idle()
    assert world.state(asked) is State.PENDING, "whoever gave it may be alive, until it has had the time to say so"
    world.clock.advance(timedelta(minutes=3))
    worker.run_until_idle()
    assert world.state(asked) is State.VERIFIED


# --- timed jobs, alerts


@pytest.mark.parametrize("next_due", [every(timedelta(minutes=1)), daily(START.time(), LONDON)])
def test_a_timed_job_that_is_due_in_2028_runs_now_and_then_as_it_should(
    next_due: Callable[[datetime], datetime], world: World
) -> None:
    ran: list[datetime] = []
    jobs = Jobs({"one": Job("one", next_due, ran.append)}, world.engine, world.writer, world.clock, "w", ran.append)  # type: ignore[arg-type]  # because no job fails here
    jobs.start()
    world.clock.advance(AHEAD)
    jobs.run_due()
    values = {"owner": "w-dead", "owner_until": world.clock.now()}
    world.writer.call(lambda unit: unit.connection.execute(update(t.job).values(values)))
    put_right(world)
    assert jobs.run_due() == ["one"]
    assert jobs.run_due() == []
    world.clock.advance(timedelta(days=1, hours=1))
    assert jobs.run_due() == ["one"]


class Room:
    """A channel that takes everything."""

    name = "room"

    def __init__(self) -> None:
        self.took: list[str] = []

    def send(self, message: Alert) -> Delivery:
        self.took.append(message.subject)
        return Delivery(self.name, took=True, detail="")


@pytest.mark.no_database
def test_an_alert_of_2028_goes_out_and_keeps_no_other_back(world: World) -> None:
    room = Room()
    outbox = Outbox([room])

    def tell() -> None:
        world.writer.call(
            lambda unit: raise_alert(
                unit.connection,
                cause=AlertCause.JOB,
                role="operator",
                subject="A timed job failed",
                body="Look.",
                now=world.clock.now(),
                zone=LONDON,
                concerns=[Concern("one", "the job")],
            )
        )

    def send() -> None:
        def read(work: Callable[..., object]) -> object:
            with reading(world.engine) as connection:
                return work(connection)

        outbox.send_due(lambda work: world.writer.call(lambda unit: work(unit.connection)), read, world.clock.now())  # type: ignore[arg-type]  # because the types of the two are the same

    world.clock.advance(AHEAD)
    tell()
    put_right(world)
    send()
    assert room.took == ["A timed job failed"]
    tell()
    world.clock.advance(timedelta(days=1))
    send()
    assert len(room.took) == 2, "what was told in 2028 is no reason to be silent today"


@pytest.mark.no_database
def test_a_clock_that_is_behind_what_is_stored_is_told_of_once(world: World) -> None:
    def look() -> None:
        now = world.clock.now()
        with reading(world.engine) as connection:
            trouble = waits.clock_trouble(connection, now, LONDON)
        if trouble is not None:
            world.writer.call(lambda unit: waits.tell_of_clock(unit.connection, trouble, now, LONDON))

    world.ask(Right.ERASURE, "ada@example.org", id="crm-1")
    look()
    assert "clock" not in alerts_of(world)
    world.clock.advance(AHEAD)
    world.ask(Right.ERASURE, "bob@example.org", id="crm-2")
    put_right(world)
    for _ in range(3):
        look()
        world.clock.advance(timedelta(days=1))
    assert alerts_of(world).count("clock") == 1


# --- said by the commands too


@pytest.fixture
def config(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with new_database(database_url, tmp_path) as engine:
        monkeypatch.setenv("DPSYNC_TEST_DATABASE", engine.url.render_as_string(hide_password=False))
        monkeypatch.setenv("DPSYNC_TEST_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        path = tmp_path / "dpsync.toml"
        path.write_text(CONFIG.format(port=free_port()), encoding="utf-8")
        assert main(["--config", str(path), "init"]) == 0
        assert main(["--config", str(path), "run-once"]) == 0
        yield path


def every_time_moved(span: timedelta) -> None:
    """As if all that is stored had been stored under a clock that was so far ahead."""
    engine = open_database(os.environ["DPSYNC_TEST_DATABASE"])
    with writing(engine) as connection:
        for table, column in ((t.checkpoint, "at"), (t.job, "last_ok_at")):
            for row in connection.execute(select(table)).all():
                where = [key == getattr(row, key.name) for key in table.primary_key]
                if (at := getattr(row, column)) is not None:
                    connection.execute(update(table).where(*where).values({column: at + span}))
    engine.dispose()


@pytest.mark.parametrize(("moved", "word"), [(AHEAD, "behind what is stored"), (-AHEAD, "far ahead of what is stored")])
@pytest.mark.parametrize("command", [("check", "--offline"), ("run-once",)])
def test_check_and_run_once_say_of_a_wrong_clock_what_the_alert_says(
    command: tuple[str, ...], moved: timedelta, word: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    main(["--config", str(config), *command])
    seen = capsys.readouterr()
    assert "DP-331" not in seen.out + seen.err, "a clock that is right"
    every_time_moved(moved)
    if moved < timedelta(0):  # what comes in under the wrong clock does not speak for it
        assert main(["--config", str(config), "submit", "opt_out", "--email", "ada@example.org"]) == 0
        capsys.readouterr()
    code = main(["--config", str(config), *command])
    seen = capsys.readouterr()
    said = seen.out + seen.err
    assert "DP-331" in said
    assert word in said
    if command[0] == "check":
        assert code == 2
        return
    engine = open_database(os.environ["DPSYNC_TEST_DATABASE"])
    with reading(engine) as connection:
        (alert,) = connection.execute(select(t.alert).where(t.alert.c.cause == "clock")).all()
    engine.dispose()
    assert alert.subject in said
    assert alert.body.partition(".")[0] in said


@pytest.mark.fault(24)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("begun", [datetime(2026, 10, 25, 0, 55, tzinfo=UTC), datetime(2027, 3, 28, 0, 55, tzinfo=UTC)])
def test_a_wait_over_the_night_in_which_the_clocks_change_is_as_long_as_it_was_asked_to_be(
    begun: datetime, world: World, counted: Counted
) -> None:
    world.clock._now = begun
    world.vendors["alpha"].answers = [busy(429, 600)]
    world.ask(Right.OPT_OUT, "ada@example.org", id="crm-1")
    wrong = 0
    for after, calls in ((0, 1), (599, 1), (600, 2)):
        world.clock._now = begun + timedelta(seconds=after)
        world.drive()
        wrong += len([one for one in world.vendors["alpha"].calls if one[0] == "carry_out"]) != calls
    counted(24, early_or_late=wrong)


@pytest.mark.fault(24)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_was_asked_while_the_clock_was_ten_years_behind_goes_on_when_it_is_right(
    world: World, counted: Counted
) -> None:
    world.clock.advance(timedelta(days=-3650))
    world.vendors["alpha"].answers = [later(), busy(429, 3600)]
    asked = world.ask(Right.OPT_OUT, "ada@example.org", id="crm-1")
    world.drive()
    world.clock.advance(timedelta(days=3650))
    for _ in range(2):
        world.drive()
        world.clock.advance(timedelta(hours=1))
    counted(24, early_or_late=int(world.state(asked) is not State.NOTHING_HELD))
    assert world.ledger_problems() == ()
