"""Short messages to a processor's own system about what it was told: that its outcome is owed, or that the request was
withdrawn. Written in the transaction of the fact, and sent like what main databases are told, until it is taken.

They name a request and nobody. Neither changes where a propagation stands: only what the processor says does.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, exists, or_, select

from dpsync.connector import Processor, TakesBack, TakesNotes
from dpsync.model import Mode, State, Way
from dpsync.propagation.callbacks import CallbackKind, keep, moment
from dpsync.propagation.controller import Controller
from dpsync.store import tables as t
from dpsync.store.callback_tables import callback

PREFIX: Final = "processors."
"""What stands before its name where a main database's would stand, which has no full stop in it."""

_P, _C, _A = t.propagation.c, callback.c, t.account.c
_UNANSWERED: Final = (State.ACCEPTED.value, State.ESCALATED.value)


def takers(controller: Controller) -> Iterator[tuple[Processor, TakesNotes | TakesBack]]:
    """The processors whose own system takes such messages, or has a call of its own for a withdrawal."""
    for one in controller.processors.values():
        if isinstance(one.connector, TakesNotes | TakesBack):
            yield one, one.connector


def quiet(connection: Connection, controller: Controller) -> set[str]:
    """Who is sent nothing just now: nobody is while dpsync only observes, and none whose account is stopped."""
    known = {one.name: one.account for one, _ in takers(controller)}
    if controller.safety.mode is Mode.OBSERVE:
        return {PREFIX + name for name in known}
    stopped = set(connection.execute(select(_A.id).where(_A.stopped != "")).scalars()) if known else set()
    return {PREFIX + name for name, account in known.items() if account in stopped}


def unreminded(connection: Connection, controller: Controller, now: datetime) -> list[int]:
    """The propagations at such processors for whose outcome half of the time is over. Only reads."""
    silent = quiet(connection, controller)
    found: list[int] = []
    for one, taker in takers(controller):
        if PREFIX + one.name in silent or not isinstance(taker, TakesNotes):
            continue
        # told anew, it may be reminded anew
        reminded = _noted(one.name, CallbackKind.REMINDER) & (_C.made_at >= _P.state_since)
        half = _P.answer_by <= now + one.answer_within / 2
        owed = (_P.processor == one.name, _P.state == State.ACCEPTED.value, _P.way == Way.API.value)
        found += connection.execute(select(_P.id).where(*owed, half, ~exists().where(reminded))).scalars()
    return found


def note_reminders(connection: Connection, controller: Controller, ids: Collection[int], now: datetime) -> None:
    """Remind of those of these propagations that were not answered, or reminded of, meanwhile."""
    still = set(unreminded(connection, controller, now)) & set(ids)
    for row in _rows(connection, _P.id.in_(still)):
        by = row.answer_by.astimezone(controller.zone).date().isoformat()
        _keep(connection, row, CallbackKind.REMINDER, now, answer_by=by)


def note_withdrawn(connection: Connection, controller: Controller, ids: Collection[int], now: datetime) -> None:
    """Tell of those of these propagations that the processor was told, or may have been, and has not answered for good.

    What it said to be done stays done, and a person must look at it.
    """
    told = or_(_P.told_at.is_not(None), _P.touched)
    for one, _ in takers(controller):
        here = (_P.id.in_(ids), _P.processor == one.name, _P.state.in_(_UNANSWERED), _P.way == Way.API.value, told)
        for row in _rows(connection, *here, ~exists().where(_noted(one.name, CallbackKind.WITHDRAWN))):
            _keep(connection, row, CallbackKind.WITHDRAWN, now)


def _noted(processor: str, kind: CallbackKind) -> ColumnElement[bool]:
    return (_C.source == PREFIX + processor) & (_C.request_id == _P.request_id) & (_C.kind == kind.value)


def _rows(connection: Connection, *where: ColumnElement[bool]) -> Sequence[Any]:
    columns = (_P.request_id, _P.processor, _P.right, _P.told_at, _P.answer_by)
    return connection.execute(select(*columns).where(*where).order_by(_P.ordinal)).all()


def _keep(connection: Connection, row: Row[Any], kind: CallbackKind, now: datetime, **more: str) -> None:
    said = {"request": row.request_id, "right": row.right} | ({"told_at": moment(row.told_at)} if row.told_at else {})
    body = json.dumps({"type": kind.value, "timestamp": moment(now), "data": {**said, **more}})
    keep(connection, PREFIX + row.processor, row.request_id, kind, body, now)
