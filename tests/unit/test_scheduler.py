"""What runs by the clock runs once when it is due, over restarts, beside others, and through summer time."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, event

from dpsync.errors import Locked
from dpsync.scheduler import TAKEN_FOR, Job, Jobs, daily, every, weekly
from dpsync.store import tables as t
from dpsync.store.database import reading
from dpsync.store.writer import Unit, Writer
from tests.builders import START, TurnableClock
from tests.waiting import until

LONDON = ZoneInfo("Europe/London")


class Office:
    """One database, one clock, and the jobs of as many processes as a test starts."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.clock = TurnableClock()
        self.writer = Writer(engine, lambda *_: None)
        self.ran: list[tuple[str, datetime]] = []
        self.failed: list[str] = []

    def jobs(self, owner: str, run: Callable[[datetime], None] | None = None, next_due: object = None) -> Jobs:
        def note(now: datetime) -> None:
            self.ran.append((owner, now))

        due = next_due or every(timedelta(hours=1))
        job = Job("report", due, run or note)  # type: ignore[arg-type]  # because a test gives a Due or nothing
        made = Jobs({"report": job}, self.engine, self.writer, self.clock, owner, self.failed.append)
        made.start()
        return made

    def row(self) -> object:
        with reading(self.engine) as connection:
            return connection.execute(t.job.select()).one()


@pytest.fixture
def office(engine: Engine) -> Office:
    return Office(engine)


def test_a_new_job_is_due_at_once_and_then_when_it_says(office: Office) -> None:
    jobs = office.jobs("a")
    assert jobs.run_due() == ["report"]
    assert jobs.run_due() == []
    office.clock.advance(timedelta(hours=1))
    assert jobs.run_due() == ["report"]


def test_many_jobs_in_a_row_cost_one_commit_each_and_the_next_sees_that_the_one_before_is_over(office: Office) -> None:
    seen: list[set[str]] = []
    commits: list[Connection] = []

    def look(_: datetime) -> None:
        with reading(office.engine) as connection:
            rows = connection.execute(t.job.select().where(t.job.c.last_ok_at.is_not(None))).all()
        seen.append({row.name for row in rows if row.owner is None})

    names = ["a", "b", "c", "d"]
    each = {name: Job(name, every(timedelta(hours=1)), look) for name in names}
    jobs = Jobs(each, office.engine, office.writer, office.clock, "one", office.failed.append)
    jobs.start()
    event.listen(office.engine, "commit", commits.append)
    ran = jobs.run_due()
    assert seen == [set(ran[:number]) for number in range(len(names))]
    assert len([one for one in commits if one.get_execution_options().get("dpsync_writes")]) == len(names) + 1


def test_a_restart_across_a_due_daily_job_runs_it_once(office: Office) -> None:
    morning = daily(time_of_day(7, 0), LONDON)
    office.jobs("first", next_due=morning).run_due()
    office.clock.advance(timedelta(days=1))
    for owner in ("second", "third"):
        office.jobs(owner, next_due=morning).run_due()
    assert [owner for owner, _ in office.ran] == ["first", "second"]
    office.clock.advance(timedelta(days=5))
    office.jobs("fourth", next_due=morning).run_due()
    assert len(office.ran) == 3, "what was missed is done once, not once a day that was missed"


def test_of_many_owners_at_once_one_runs_it(office: Office) -> None:
    start = threading.Barrier(6)
    owners = [office.jobs(f"w{number}") for number in range(6)]

    def one(jobs: Jobs) -> None:
        start.wait()
        jobs.run_due()

    threads = [threading.Thread(target=one, args=(jobs,)) for jobs in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(office.ran) == 1


def test_a_job_whose_owner_died_in_it_is_taken_over_and_not_before(office: Office) -> None:
    def die(now: datetime) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        office.jobs("dead", run=die).run_due()
    alive = office.jobs("alive")
    assert alive.run_due() == []
    office.clock.advance(TAKEN_FOR)
    assert alive.run_due() == ["report"]


def test_a_failing_job_is_told_and_tried_again_soon(office: Office) -> None:
    def fail(now: datetime) -> None:
        raise RuntimeError("ada@example.org")

    jobs = office.jobs("a", run=fail)
    assert jobs.run_due() == []
    assert office.failed == ["report"]
    office.clock.advance(timedelta(minutes=4))
    jobs.run_due()
    assert office.failed == ["report"]
    office.clock.advance(timedelta(minutes=2))
    jobs.run_due()
    assert office.failed == ["report", "report"]
    assert getattr(office.row(), "last_ok_at", None) is None


@given(
    after=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - because hypothesis adds the zone
    minutes=st.integers(0, 24 * 60 - 1),
    zone=st.sampled_from(["Europe/London", "America/New_York", "Australia/Lord_Howe", "UTC"]),
)
def test_the_next_daily_time_is_always_later_and_never_more_than_a_day_and_a_bit(
    after: datetime, minutes: int, zone: str
) -> None:
    at = time_of_day(minutes // 60, minutes % 60)
    due = daily(at, ZoneInfo(zone))(after)
    assert timedelta(0) < due - after <= timedelta(hours=25)


@pytest.mark.parametrize(
    ("at", "day", "runs"),
    [
        (time_of_day(7, 0), datetime(2026, 3, 28, 12, tzinfo=UTC), ["03-29 06:00", "03-30 06:00"]),
        (time_of_day(7, 0), datetime(2026, 10, 24, 12, tzinfo=UTC), ["10-25 07:00", "10-26 07:00"]),
        (time_of_day(1, 30), datetime(2026, 10, 24, 12, tzinfo=UTC), ["10-25 00:30", "10-26 01:30"]),
        (time_of_day(1, 30), datetime(2026, 3, 28, 12, tzinfo=UTC), ["03-29 01:30", "03-30 00:30"]),
    ],
)
def test_a_daily_job_runs_once_on_the_days_when_the_clocks_change(
    at: time_of_day, day: datetime, runs: list[str]
) -> None:
    due = daily(at, LONDON)
    seen: list[str] = []
    now = day
    while len(seen) < 2:
        now = due(now)
        seen.append(f"{now:%m-%d %H:%M}")
        now += timedelta(minutes=45)  # a late look, in the hour that comes twice
    assert seen == runs


def test_the_ticker_really_ticks_and_a_store_that_was_gone_does_not_end_it(engine: Engine) -> None:
    office = Office(engine)

    class Flickering(Writer):
        gone = 0

        def submit(self, work: Callable[[Unit], object]) -> "object":  # type: ignore[override]  # because the future's type says nothing here
            if self.gone:
                self.gone -= 1
                raise Locked("gone for a moment")
            return super().submit(work)

    writer = Flickering(engine, lambda *_: None)
    office.writer = writer
    jobs = office.jobs("a", next_due=every(timedelta(0)))
    writer.gone = 1
    stop = threading.Event()
    ticking = threading.Thread(target=jobs.tick, args=(stop,), kwargs={"seconds": 1})
    ticking.start()
    try:
        until(lambda: office.ran or not ticking.is_alive())
    finally:
        stop.set()
        ticking.join(60)
    assert office.ran
    assert office.ran[0][1] == START


def test_a_clock_that_is_set_back_delays_no_tick(engine: Engine) -> None:
    import schedule

    office = Office(engine)
    jobs = office.jobs("a", next_due=every(timedelta(0)))
    stop = threading.Event()
    before = list[schedule.Job]()
    original = schedule.Job._schedule_next_run

    def an_hour_late(job: schedule.Job) -> None:
        original(job)
        assert job.next_run is not None
        if not before:
            job.next_run += timedelta(hours=1)  # what the wall shows after it was set back by an hour
            before.append(job)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule.Job, "_schedule_next_run", an_hour_late)
        ticking = threading.Thread(target=jobs.tick, args=(stop,), kwargs={"seconds": 1})
        ticking.start()
        try:
            until(lambda: len(office.ran) >= 2)
        finally:
            stop.set()
            ticking.join(60)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC)), st.integers(0, 6))  # noqa: DTZ001 - because the zone is the strategy's other argument
def test_a_weekly_job_comes_once_a_week_on_its_day_at_its_time(after: datetime, weekday: int) -> None:
    due = weekly(weekday, time_of_day(8, 0), LONDON)
    first = due(after)
    second = due(first)
    for one in (first, second):
        local = one.astimezone(LONDON)
        assert (local.weekday(), local.hour, local.minute) == (weekday, 8, 0)
    assert after < first <= after + timedelta(days=7, hours=1)
    assert (second.astimezone(LONDON).date() - first.astimezone(LONDON).date()).days == 7
