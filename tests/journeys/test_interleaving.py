"""Whatever is written in whatever order, by clocks that do not agree: the rows are those that the ledger tells of."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial

from dpsync.connector import Contradicts, Instruction, NothingHeld, Outcome, Refused
from dpsync.errors import DecisionRefused
from dpsync.intake.reception import Reception
from dpsync.ledger.comparison import differences
from dpsync.model import Changes, Request, Right, Subject
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.propagation.rules.plan import Safety
from dpsync.store import tables as t
from dpsync.store.database import reading
from tests.builders import TestConnector, TurnableClock, World, later, proof
from tests.invariants import request_faults

REQUESTS = 500
DAY = timedelta(days=1)
DANA = Person("Dana Officer", "dana", "looked into it")


class Disagreeing(TurnableClock):
    """What the clocks of several threads say of one moment: seconds apart, and by the time it is written not true."""

    def __init__(self, lot: random.Random) -> None:
        super().__init__()
        self._lot = lot
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            return super().now() + timedelta(seconds=self._lot.uniform(-3.0, 3.0))


class Moody(TestConnector):
    """Answers as processors do: mostly well, sometimes later, sometimes no, sometimes what turns out not to be so."""

    max_inflight = 2

    def __init__(self, world: World, name: str, lot: random.Random) -> None:
        super().__init__(world.vendors[name])
        self._lot = lot

    def carry_out(self, instruction: Instruction) -> Outcome:
        mood = self._lot.random()
        if mood < 0.03:
            return later()
        if mood < 0.05:
            return Refused(reason="no such list", evidence=proof(400))
        if mood < 0.10:
            return NothingHeld(evidence=proof(404))
        self.vendor.findings[:] = [Contradicts(reason="still there", evidence=proof())] if mood > 0.97 else []
        return super().carry_out(instruction)


def asked(lot: random.Random, number: int, now: datetime) -> Request:
    right = lot.choice([Right.ERASURE, Right.OPT_OUT, Right.RESTRICTION, Right.RECTIFICATION])
    person = lot.randrange(REQUESTS)
    return Request(
        source="crm",
        event_id=f"evt-{number}",
        right=right,
        subject=Subject(id=f"crm-{person}", email=f"p{person}@example.org"),
        received_at=now - timedelta(minutes=lot.randrange(600)),
        changes=Changes(fields={"CITY": "Kent"}) if right is Right.RECTIFICATION else None,
    )


def decided(world: World, lot: random.Random) -> None:
    """People decide beside it."""
    kinds = [DecisionKind.SETTLE, DecisionKind.RETRY, DecisionKind.WITHDRAW]
    ids = [row.id for row in world.rows(t.request)]
    for request_id in lot.sample(ids, 40):
        kind, now = lot.choice(kinds), world.clock.now()
        try:
            world.writer.call(
                partial(decide, controller=world.controller, request_id=request_id, kind=kind, person=DANA, now=now)
            )
        except DecisionRefused:
            continue


def test_hundreds_of_requests_by_four_at_a_time_end_as_the_ledger_tells(world: World) -> None:
    lot = random.Random(1971)
    world.clock = Disagreeing(random.Random(7))
    names = ("alpha", "beta")
    processors = (world.processor(name, Moody(world, name, random.Random(name))) for name in names)
    world.use(*processors, safety=Safety(irreversible_per_day=10 * REQUESTS))
    for vendor in (world.vendors[name] for name in names):
        vendor.hold(*(f"p{number}@example.org" for number in range(REQUESTS)))
    reception = Reception(world.controller, world.writer)
    made = [asked(lot, number, world.clock.now()) for number in range(REQUESTS)]
    waiting = [reception.submit(one, one.event_id.encode(), world.clock.now()) for one in made]
    for one in waiting:
        one.result(60)
    with ThreadPoolExecutor(1) as people:
        beside = people.submit(decided, world, random.Random(3))
        world.drive()
        beside.result(60)
    world.clock.advance(DAY)
    world.drive()
    with reading(world.engine) as connection:
        assert differences(connection, world.keys) == ()
        assert request_faults(connection) == []
    closed = [row for row in world.rows(t.request) if row.closed_at]
    assert len(closed) > REQUESTS // 2
