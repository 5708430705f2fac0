"""The main story in one process: a webhook comes in, is driven, told, read back, closed, and proved outside."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, select, update
from sqlalchemy.exc import SQLAlchemyError

from dpsync.cli.ordinary import ordinary
from dpsync.connector import Processor
from dpsync.errors import DpsyncError, Locked
from dpsync.installation import Installation
from dpsync.intake.web import create_app
from dpsync.propagation.controller import Controller
from dpsync.propagation.receipts import closed
from dpsync.running.health import Health
from dpsync.running.jobs import after_work, jobs_of
from dpsync.running.start import initialise, start
from dpsync.sealing import Keys
from dpsync.service import receiver_of, worker_of
from dpsync.signature import signed_headers
from dpsync.soundness import verify_ledger
from dpsync.store import tables as t
from tests.builders import TestConnector, TurnableClock, Vendor
from tests.invariants import account_faults, lane_faults, request_faults, timer_faults
from tests.journeys.installation import differences

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CONFIG = """\
[controller]
name = "Example Gardens"
dpo = "dpo@example.org"
operator = "it@example.org"
rehearsal = true

[safety]
irreversible_per_day = 5000

[store]
url = { env = "DPSYNC_TEST_DATABASE" }

[ledger]
origin = "example.org/faults"

[intake]
secrets = [{ env = "DPSYNC_TEST_SECRET" }]
"""
ALLOWED = {"job", "receipts"}
"""Alerts of what failed on the way, which are no false alarm."""

_ENGINES: dict[str, Engine] = {}


class Ended(Exception):
    """A process ended by itself, with a sentence for whoever started it."""


@dataclass
class Asked:
    """An erasure, and whether the main database has heard that it is accepted."""

    number: int
    acknowledged: bool = False

    @property
    def address(self) -> str:
        return f"p{self.number}@example.org"

    @property
    def event(self) -> str:
        return f"evt-{self.number}"

    @property
    def body(self) -> bytes:
        subject = {"id": f"crm-{self.number}", "email": self.address}
        return json.dumps({"type": "data_subject.request", "data": {"right": "erasure", "subject": subject}}).encode()


class Place(Installation):
    """An installation with one processor, which a test holds in its hands."""

    def __init__(self, story: "Story") -> None:
        self._vendor = story.vendor
        super().__init__(story.folder / "dpsync.toml", story.environ, clock=story.clock)
        known = _ENGINES.setdefault(self.engine.dialect.name, self.engine)
        # What each statement is in SQL costs half of a story, and is the same in all of them.
        self.engine.dialect, self.engine._compiled_cache = known.dialect, known._compiled_cache

    def fresh_controller(self) -> Controller:
        title, contact = "Alpha", "privacy@alpha.example"
        alpha = Processor("alpha", title, "alpha", TestConnector(self._vendor), contact, timedelta(days=10))
        return replace(super().fresh_controller(), processors={"alpha": alpha})


class Process:
    """One `serve`, turned by hand: what its threads do, one after the other. Raises `Ended` where it cannot begin."""

    def __init__(self, story: "Story") -> None:
        try:
            self.there = Place(story)
            start(self.there)
            self._worker = worker_of(self.there)
            health = Health(self.there, self._worker)
            self._jobs = jobs_of(self.there, self._worker.id, health.beat)
            self._app = create_app(receiver_of(self.there, self._worker, health))
            self._worker.start()
            self._jobs.start()
        except Exception as error:
            named = error if isinstance(error, DpsyncError) else ordinary(error)
            if named is None:
                raise  # what the machine or the database refused must have a name of its own
            raise Ended(named.message) from error

    def hear(self, asked: Asked) -> None:
        """The webhook: 202 or, for now, 503."""
        headers = signed_headers(SECRET, asked.event, self.there.clock.now(), asked.body)
        status = asyncio.run(_posted(self._app, headers, asked.body))
        assert status in {202, 503}
        asked.acknowledged = status == 202

    def work(self) -> None:
        """A look of each thread. Trouble with the store ends none of them, as in a `serve`."""
        for look in (self._worker.run_until_idle, self._jobs.run_due):
            with suppress(SQLAlchemyError, Locked):
                look()
        with suppress(SQLAlchemyError, DpsyncError, OSError):  # each part of it is a timed job, which outlives all
            after_work(self.there, self.there.clock.now())


class Story:
    """One installation in its folder, the vendor's own truth, and the clock."""

    def __init__(self, folder: Path, url: str, people: int) -> None:
        self.folder = folder
        self.environ = {"DPSYNC_TEST_DATABASE": url, "DPSYNC_TEST_SECRET": SECRET}
        self.clock = TurnableClock()
        self.vendor = Vendor()
        self.vendor.hold(*(Asked(number).address for number in range(people)))

    def prepare(self) -> None:
        """An installation that has begun, and has done all that was due."""
        (self.folder / "dpsync.toml").write_text(CONFIG, encoding="utf-8")
        Keys.create(self.folder / "keys")
        with Place(self) as there:
            initialise(there)
        process = Process(self)
        process.work()
        process.there.close()

    @staticmethod
    def dialect(name: str) -> Dialect:
        """The one in which all stories ask that database."""
        return _ENGINES[name].dialect

    def unkept(self, asked: Asked, there: Installation) -> int:
        """How many have heard 202 (it is one, or none) without a row and a line of the journal."""
        mine = select(t.request.c.id).where(t.request.c.event_id == asked.event)
        rows = there.read(lambda connection: connection.execute(mine).all())
        told = [one.event_id for one in there.custody.journal.read().accepted]
        return int(asked.acknowledged and not (len(rows) == 1 and asked.event in told))

    def to_the_end(self, asked: Asked, process: Process | None) -> Process:
        """The main database sends again until it hears 202; that process goes on, or another takes its place."""
        for _ in range(6):
            self.clock.advance(timedelta(minutes=10))
            if process is None:
                self._left_alone()
                process = Process(self)
            if not asked.acknowledged:
                process.hear(asked)
                assert asked.acknowledged, "nothing is wrong any more"
            process.work()
            if self.is_through(asked, process.there):
                return process
        raise AssertionError(f"it does not go on: {asked.event}")

    def is_through(self, asked: Asked, there: Installation) -> bool:
        """Closed, with its receipt, and no attempt is left unanswered."""
        mine = select(t.request.c.closed_at).where(t.request.c.event_id == asked.event)
        unanswered = select(t.attempt.c.id).where(t.attempt.c.ended_at.is_(None))
        ended = there.read(lambda connection: connection.execute(mine).scalar_one()) is not None
        return (
            ended
            and not there.read(lambda connection: connection.execute(unanswered).all())
            and not there.custody.receipts.missing(there.read(closed))
        )

    def effects(self, asked: Asked) -> int:
        """How often the vendor was told."""
        return sum(kind == "carry_out" and asked.address in addresses for kind, _, addresses in self.vendor.calls)

    def _left_alone(self) -> None:
        """On a server a dead worker's accounts are free once its heartbeat is over, by that server's clock."""
        with Place(self) as there:
            there.write(lambda unit: unit.connection.execute(update(t.worker).values(beat_until=self.clock.now())))

    def end_state(self) -> dict[str, Any]:
        """What must be the same, whatever failed on the way."""
        with Place(self) as there:
            there.custody.demand(there.read)
            told = there.custody.journal.read()
            under = set(there.custody.receipts.checkpoints().values())
            return {
                **there.read(_rows),
                "at the vendor": sorted(self.vendor.people),
                "told": sorted(addresses for kind, _, addresses in self.vendor.calls if kind == "carry_out"),
                "ledger": (*verify_ledger(there, full=True).problems, *differences(there)),
                "accepted": sorted({one.event_id for one in told.accepted}),
                "damaged": told.damaged,
                "without a receipt": there.custody.receipts.missing(there.read(closed)),
                "not anchored": sorted(under - set(there.custody.anchors.read({}).notes)),
                "halves": sorted(path.name for path in self.folder.rglob("*") if _is_half(path)),
            }


def _rows(connection: Connection) -> dict[str, Any]:
    p = t.propagation.c
    states = select(p.processor, p.right, p.state, p.rung, p.reason, p.timer)
    looks: list[Callable[[Connection], list[str]]] = [lane_faults, timer_faults, account_faults, request_faults]
    return {
        "states": sorted(tuple(row) for row in connection.execute(states)),
        "events": sorted(connection.execute(select(t.request.c.event_id)).scalars()),
        "open": len(connection.execute(select(t.request.c.id).where(t.request.c.closed_at.is_(None))).all()),
        "unanswered": len(connection.execute(select(t.attempt.c.id).where(t.attempt.c.ended_at.is_(None))).all()),
        "alerts": sorted(set(connection.execute(select(t.alert.c.cause)).scalars()) - ALLOWED),
        "faults": [fault for look in looks for fault in look(connection)],
    }


def _is_half(path: Path) -> bool:
    """A draft, or a file of nothing. (A draft that has its name as well is whole: only its removal failed.)"""
    if ".db" in path.name or not path.is_file():
        return False
    status = path.stat()
    return (path.name.startswith(".") and status.st_nlink == 1) or ".odd" in path.name or not status.st_size


async def _posted(app: Any, headers: dict[str, str], body: bytes) -> int:
    """What a receiver answers: a request without a socket."""
    status = 0
    parts = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(parts, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    named = {**headers, "content-type": "application/json", "content-length": str(len(body))}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/requests",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }
    await app(scope, receive, send)
    return status
