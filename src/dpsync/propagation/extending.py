"""A named person extends the legal date of a request (Art. 12(3)): once, with a reason, the person told in time."""

from datetime import date, datetime

from sqlalchemy import select

from dpsync.errors import DecisionRefused, NotFound
from dpsync.ledger.entry import EntryKind
from dpsync.model import Right
from dpsync.propagation import extensions
from dpsync.propagation.controller import Controller
from dpsync.propagation.decisions import Person, remember
from dpsync.propagation.extensions import Extension
from dpsync.store import tables as t
from dpsync.store.writer import Unit


def extend(
    unit: Unit, controller: Controller, request_id: str, person: Person, told_on: date, now: datetime
) -> Extension:
    """Extend by two months, counted from the original start. `told_on`: the day on which the person was told, and why.

    It takes complexity or number of requests as its reason, and the person told within the first month: the law leaves
    dpsync no judgement there. Raises `NotFound`, `UsageError` without a name or a reason, and `DecisionRefused` for an
    objection, a request that is closed or extended already, and a day outside the first month.
    """
    person.demand(reason=True)
    r = t.request.c
    row = unit.connection.execute(
        select(r.right, r.starts_on, r.due_on, r.received_at, r.closed_at).where(r.id == request_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no request {request_id}")
    last, received_on = date.fromisoformat(row.due_on), controller.legal_clock.day_of(row.received_at)
    if row.right == Right.OPT_OUT:
        raise DecisionRefused("an objection has 24 hours (Art. 21(3)) and cannot be extended")
    if row.closed_at is not None:
        raise DecisionRefused("it is closed: there is nothing left to extend")
    if before := extensions.of(unit.connection, request_id):
        raise DecisionRefused(f"it was extended already, to {before.due_on:%d %b %Y}, and the law allows it once")
    if told_on > controller.legal_clock.day_of(now):
        raise DecisionRefused("tell the person first: the day on which they were told is in the future")
    if not received_on <= told_on <= last:
        raise DecisionRefused(
            f"the person must be told within the first month, from {received_on:%d %b %Y} to {last:%d %b %Y} "
            "(Art. 12(3)): there is no extension after that"
        )
    dates = controller.legal_clock.extended(date.fromisoformat(row.starts_on))
    made = Extension(dates.strict_on, dates.due_on, dates.due_at, told_on)
    _record(unit, controller, request_id, person, made, dates.rule, now)
    return made


def _record(
    unit: Unit,
    controller: Controller,
    request_id: str,
    person: Person,
    made: Extension,
    rule: str,
    now: datetime,
) -> None:
    entered: dict[str, str | int] = {
        "strict": made.strict_on.isoformat(),
        "due": made.due_on.isoformat(),
        "overdue": int(made.due_at.timestamp()),
        "told_on": made.told_on.isoformat(),
        "rule": rule,
    }
    kind, event = extensions.KIND, EntryKind.EXTENDED
    detail = made.detail
    remember(unit, controller, request_id, kind, person, now, detail=detail, event=event, entered=entered)
