"""What must be so after a month, whatever happened in it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import select

from dpsync.address import normalised
from dpsync.ledger.comparison import differences
from dpsync.model import CLOSED_STATES, Cause, Right, Rung, State
from dpsync.propagation import owed
from dpsync.propagation.queue.lanes import causes_of
from dpsync.store import tables as t
from dpsync.store.database import reading
from tests.invariants import account_faults, lane_faults, request_faults, timer_faults, unanswered
from tests.simulator.month import ACCOUNTS, Month
from tests.simulator.scenario import APIS, PROCESSORS, Ask, Crash, Leap
from tests.simulator.vendors import Record, Told

Held = Mapping[str, tuple[object, ...] | None]
"""What a processor has, by the address that the main database has now; None where it has nobody."""


def faults(month: Month) -> list[str]:
    """Everything that is wrong at the end of a month."""
    return [
        *month.complaints,
        *_of_the_store(month),
        *_lost(month),
        *_open(month),
        *_not_as_asked(month),
        *_repeated(month),
        *_too_often(month),
        *_beyond_the_brake(month),
    ]


def _of_the_store(month: Month) -> Iterator[str]:
    with reading(month.engine) as connection:
        for look in (lane_faults, timer_faults, account_faults, request_faults):
            yield from look(connection)
        if cut := unanswered(connection):
            yield f"{cut} unanswered attempts"
        yield from owed.problems(connection, ACCOUNTS, month.clock.now())
        yield from month.log.verify(connection, full=True).problems
        yield from differences(connection, month.keys)


def _lost(month: Month) -> Iterator[str]:
    """What was accepted, and is not there."""
    told: dict[str, set[str]] = defaultdict(set)
    for row in month.rows(t.propagation):
        told[row.request_id].add(row.processor)
    for event_id, one in month.sent.items():
        if told[one.request_id] != set(PROCESSORS):
            yield f"{event_id} was accepted, and goes to {sorted(told[one.request_id])}"


def _by_event(month: Month) -> dict[str, list[Any]]:
    events = {one.request_id: event_id for event_id, one in month.sent.items()}
    found: dict[str, list[Any]] = defaultdict(list)
    for row in sorted(month.rows(t.propagation), key=lambda row: (row.ordinal, row.processor)):
        found[events.get(row.request_id, row.request_id)].append(row)
    return found


def _open(month: Month) -> Iterator[str]:
    """What did not end, although nothing went wrong any more and people saw to it."""
    for event_id, rows in _by_event(month).items():
        for row in rows:
            if State(row.state) not in CLOSED_STATES:
                yield f"{event_id} at {row.processor} stays {row.state} {row.causes}"


# --- what the processors hold


def _as_asked(asks: list[Ask], person_at: bool, address: str) -> tuple[object, ...] | None:
    """What is to be held of somebody in the end. `asks` in the order that counts."""
    if not person_at or any(one.right is Right.ERASURE for one in asks):
        return None
    city, archived = "", False
    for one in asks:
        city, address = one.city or city, one.to or address
        archived = not one.lifting if one.right is Right.RESTRICTION else archived
    return address, city, all(one.right is not Right.OPT_OUT for one in asks), archived


def held(month: Month) -> dict[tuple[int, str], tuple[object, ...] | None]:
    """What each processor has of each person who shares an address with nobody and whom no decision took out."""
    found = {}
    for person, asks in _alone(month):
        names = {normalised(person.address), *(normalised(one.to) for one in asks if one.to)}
        for processor in PROCESSORS:
            records = [one for name, one in month.vendors[processor].records.items() if name in names]
            found[person.number, processor] = _shown(records)
    return found


def _shown(records: list[Record]) -> tuple[object, ...] | None:
    if len(records) > 1:
        return ("more than one record", *sorted(one.address for one in records))
    return next(((one.address, one.city, one.mailed, one.archived) for one in records), None)


def _alone(month: Month) -> Iterator[tuple[Any, list[Ask]]]:
    addresses = [one.address for one in month.scenario.people]
    ordinals = {row.id: row.ordinal for row in month.rows(t.request)}
    for person in month.scenario.people:
        asks = [one for one in month.sent.values() if one.ask.person == person.number]
        if addresses.count(person.address) > 1 or any(one.ask.event in month.touched for one in asks):
            continue
        asks.sort(key=lambda one: one.ask.version or ordinals.get(one.request_id, 0))
        yield person, [one.ask for one in asks]


def _not_as_asked(month: Month) -> Iterator[str]:
    """Where everything is closed, and a processor does not hold what was asked for."""
    shown = held(month)
    for person, asks in _alone(month):
        for processor in PROCESSORS:
            wanted = _as_asked(asks, processor in person.at, person.address)
            if shown[person.number, processor] != wanted:
                yield f"{person.id} at {processor}: {shown[person.number, processor]} in place of {wanted}"
    for event_id, rows in _by_event(month).items():
        one = month.sent[event_id].ask
        for row in rows if one.right is Right.ERASURE else ():
            done = State(row.state) in _SAID_DONE and row.rung >= Rung.CONFIRMED
            if done and normalised(one.email) in month.vendors[row.processor].records:
                yield f"{event_id} at {row.processor} is called {row.state}, and the person is there"


_SAID_DONE = {State.VERIFIED, State.NOTHING_HELD, State.APPLIED}


# --- what was told


MOST_IN_A_DAY = 200
"""A processor that says for days that it is busy is asked every 7 to 15 minutes, see `backoff.LONGEST_PAUSE`."""
_DONE = {"Applied", "NothingHeld", "AsAsked"}
_DOUBTFUL = {"RESET_AFTER", "TIME_OUT", "TIME_OUT_LATE", "DIES_BEFORE", "DIES_AFTER", "DEFECT"}


def _repeated(month: Month) -> Iterator[str]:
    """What was told again after a clear yes, or after a doubt without a look."""
    crashed = any(isinstance(one, Crash) for one in month.scenario.steps)
    for processor in APIS:
        calls: dict[str, list[Told]] = defaultdict(list)
        for one in month.vendors[processor].told:
            calls[one.reference].append(one)
        for told in calls.values():
            for before, after in pairwise(told):
                if after.reads:
                    continue
                if before.answer in _DOUBTFUL and not before.reads:
                    yield f"{after.right} at {processor} was told again after {before.answer} without a look"
                if before.answer in _DONE and not crashed and after.right is Right.ERASURE:
                    yield f"{after.right} at {processor} was told again after {before.answer}"


def _too_often(month: Month) -> Iterator[str]:
    """What was called so often in a day that no back-off can have run."""
    for processor in APIS:
        times: dict[str, list[timedelta]] = defaultdict(list)
        for one in month.vendors[processor].told:
            times[one.reference].append(one.at)
        for at in times.values():
            if any(last - first < timedelta(days=1) for first, last in zip(at, at[MOST_IN_A_DAY:], strict=False)):
                yield f"one request was told or read at {processor} more than {MOST_IN_A_DAY} times in a day"


def _beyond_the_brake(month: Month) -> Iterator[str]:
    """More than the brake allows within a day, where nobody released it and the clock was right."""
    if any(isinstance(one, Leap) for one in month.scenario.steps):
        return
    with reading(month.engine) as connection:
        rows = connection.execute(
            select(t.propagation.c.account_id, t.propagation.c.brake_at, t.propagation.c.released)
            .where(t.propagation.c.brake_at.is_not(None))
            .order_by(t.propagation.c.brake_at)
        ).all()
    times: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        if Cause.BRAKE not in causes_of(row.released):
            times[row.account_id].append(row.brake_at)
    for account, at in times.items():
        for first, last in zip(at, at[month.scenario.brake :], strict=False):
            if last - first < timedelta(hours=24):
                yield f"more than {month.scenario.brake} at account {account} within a day"
