"""What runs by the clock. `schedule` ticks once a minute; what is due stands in table `job`, computed with `now`.

`schedule` alone forgets what was missed over a restart, and two workers would each run it; the row is the memory, and
whoever takes it runs it.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from zoneinfo import ZoneInfo

import schedule
from sqlalchemy import Engine, select, update

from dpsync import liveness, telemetry
from dpsync.connector_services import Clock
from dpsync.store import tables as t
from dpsync.store.database import reading
from dpsync.store.upsert import insert_or_ignore
from dpsync.store.writer import Unit, Writer

SLACK = timedelta(minutes=10)
"""By so much a clock may be put back without that anything is thought of it."""
TAKEN_FOR = timedelta(minutes=10)
"""How long a job belongs to whoever took it; a worker that died in it delays it by no more than this."""

Due = Callable[[datetime], datetime]


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do by the clock. `next_due` gives the next time after a moment; `run` gets the moment."""

    name: str
    next_due: Due
    run: Callable[[datetime], object]


def every(span: timedelta) -> Due:
    """Due so long after it last ran."""
    return lambda after: after + span


def daily(at: time_of_day, zone: ZoneInfo) -> Due:
    """Due each day at a time of the controller's own clock, whatever summer time does."""

    def next_due(after: datetime) -> datetime:
        # Compared as moments: two times of one zone compare by the clock's face, which shows an hour twice each autumn.
        day = after.astimezone(zone).date()
        today = datetime.combine(day, at, tzinfo=zone).astimezone(UTC)
        if today > after:
            return today
        return datetime.combine(day + timedelta(days=1), at, tzinfo=zone).astimezone(UTC)

    return next_due


def weekly(weekday: int, at: time_of_day, zone: ZoneInfo) -> Due:
    """Due once a week, on a day (0 is Monday) and at a time of the controller's own clock."""
    each_day = daily(at, zone)

    def next_due(after: datetime) -> datetime:
        found = each_day(after)
        while found.astimezone(zone).weekday() != weekday:
            found = each_day(found)
        return found

    return next_due


class Jobs:
    """Runs each job once when it is due, over restarts and beside other workers."""

    def __init__(
        self,
        jobs: Mapping[str, Job],
        engine: Engine,
        writer: Writer,
        clock: Clock,
        owner: str,
        failed: Callable[[str], None],
    ) -> None:
        self._jobs = jobs
        self._engine = engine
        self._writer = writer
        self._clock = clock
        self._owner = owner
        self._failed = failed
        self._over: tuple[str, dict[str, object]] | None = None  # a job that ran, until its row says so
        self.failing: set[str] = set()
        """Names of the jobs that raised when they last ran here."""

    def start(self) -> None:
        """Give every job its row. A new one is due at once: nothing waits a day after the first start."""
        now = self._clock.now()

        def work(unit: Unit) -> None:
            for name in self._jobs:
                insert_or_ignore(unit.connection, t.job, {"name": name, "due_at": now})

        self._writer.call(work)

    def run_due(self) -> list[str]:
        """Run what is due now. Returns the names of what ran; a job that raised is told to `failed` and tried again."""
        ran = []
        for name in self._due():
            if not self._take(name):
                continue
            liveness.beat()
            job, now = self._jobs[name], self._clock.now()
            try:
                job.run(now)
            except Exception as error:  # noqa: BLE001 - because one failing job must not stop the others
                telemetry.log("timed").error("job failed", error=error, job=name)
                self._failed(name)
                self.failing.add(name)
                self._note_over(name, self._clock.now() + timedelta(minutes=5), ok=False)
            else:
                self._note_over(name, job.next_due(self._clock.now()), ok=True)
                self.failing.discard(name)
                ran.append(name)
        if self._over is not None:
            self._writer.call(self._give_back)
            self._over = None
        return ran

    def tick(self, stop: threading.Event, *, seconds: int = 60) -> None:
        """Look every so many seconds until `stop` is set, whatever a look ran into."""
        ticker = schedule.Scheduler()
        ticker.every(seconds).seconds.do(self._look)
        ticker.run_all()
        while not stop.wait(min(1.0, seconds / 4)):
            liveness.beat()
            if (ticker.idle_seconds or 0) > seconds:
                # The machine's clock was set back, or summer time ended; `schedule` would wait for it to come round.
                ticker.run_all()
            ticker.run_pending()

    def _look(self) -> None:
        try:
            self.run_due()
        except Exception as error:  # noqa: BLE001 - because a store that was gone for a moment must not end all alerts
            telemetry.log("timed").error("cannot look what is due", error=error)

    def _due(self) -> list[str]:
        now = self._clock.now()
        with reading(self._engine) as connection:
            rows = connection.execute(select(t.job.c.name, t.job.c.due_at).order_by(t.job.c.due_at)).all()
        if self._jobs.keys() - {row.name for row in rows}:
            self.start()  # somebody took a row away: the next look finds it due
        return [row.name for row in rows if row.name in self._jobs and self._is_due(row.name, row.due_at, now)]

    def _is_due(self, name: str, due_at: datetime, now: datetime) -> bool:
        """Whether its time has come, or is one that only a clock that was ahead can have named."""
        return due_at <= now or due_at > self._jobs[name].next_due(now + TAKEN_FOR) + SLACK

    def _take(self, name: str) -> bool:
        now, job = self._clock.now(), t.job.c

        def work(unit: Unit) -> bool:
            self._give_back(unit)  # one commit a job, and not two: each waits for the disk
            row = unit.connection.execute(select(job.due_at, job.owner_until).where(job.name == name)).one()
            taken = row.owner_until is not None and now < row.owner_until <= now + TAKEN_FOR + SLACK
            if taken or not self._is_due(name, row.due_at, now):
                return False
            values = {"owner": self._owner, "owner_until": now + TAKEN_FOR}
            unit.connection.execute(update(t.job).where(job.name == name).values(values))
            return True

        taken = self._writer.call(work)
        self._over = None
        return taken

    def _note_over(self, name: str, due_at: datetime, *, ok: bool) -> None:
        values: dict[str, object] = {"due_at": due_at, "owner": None, "owner_until": None}
        if ok:
            values["last_ok_at"] = self._clock.now()
        self._over = name, values

    def _give_back(self, unit: Unit) -> None:
        if self._over is not None:
            name, values = self._over
            ours = (t.job.c.name == name, t.job.c.owner == self._owner)
            unit.connection.execute(update(t.job).where(*ours).values(**values))
