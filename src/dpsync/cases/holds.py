"""That a named person has the evidence about a request held, until a day: nothing of it is destroyed meanwhile.

For what is no complaint to us and no incident: a claim, an inquiry of the authority, an audit. It is a decision about
the request like any other, and the newest counts. Because it has a day, nothing is held for ever by being overlooked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from sqlalchemy import Connection, select

from dpsync.errors import DecisionRefused
from dpsync.propagation.controller import Controller
from dpsync.propagation.decisions import Person, demand_request, remember
from dpsync.store import tables as t
from dpsync.store.writer import Unit

HOLD: Final = "hold_evidence"
END: Final = "end_hold"
"""What the two are called among the decisions."""

_D = t.decision.c


@dataclass(frozen=True, slots=True)
class EvidenceHold:
    """The evidence about one request is held, the controller's day `until` included. `sealed`: who decided, and why."""

    request_id: str
    until: date
    since: datetime
    sealed: bytes = field(repr=False)


def hold(unit: Unit, controller: Controller, request_id: str, until: date, person: Person, now: datetime) -> bool:
    """Have the evidence about it held until that day, in place of any day before; whether that is new.

    Raises `NotFound`, `UsageError` without a name or a reason, and `DecisionRefused` for a day that is over.
    """
    person.demand(reason=True)
    demand_request(unit.connection, request_id)
    today = controller.legal_clock.day_of(now)
    if until < today:
        raise DecisionRefused(f"{until:%d %b %Y} is over: give the last day on which the evidence must still be here")
    before = held(unit.connection, today).get(request_id)
    if before and before.until == until:
        return False
    day = until.isoformat()
    remember(unit, controller, request_id, HOLD, person, now, detail=f"until {day}", entered={"due": day})
    return True


def end(unit: Unit, controller: Controller, request_id: str, person: Person, now: datetime) -> None:
    """Hold it no more. Raises what `hold` raises; `DecisionRefused` where it is not held."""
    person.demand(reason=True)
    demand_request(unit.connection, request_id)
    if request_id not in held(unit.connection, controller.legal_clock.day_of(now)):
        raise DecisionRefused("nobody has its evidence held: `dpsync forgotten` shows what holds what back")
    remember(unit, controller, request_id, END, person, now)


def held(connection: Connection, today: date) -> Mapping[str, EvidenceHold]:
    """What is held on that day, by request, the first day to end first. A row that somebody wrote by hand holds, too:
    until `verify` names it nothing is destroyed."""
    found: dict[str, EvidenceHold] = {}
    columns = select(_D.request_id, _D.kind, _D.detail, _D.at, _D.sealed)
    for row in connection.execute(columns.where(_D.kind.in_([HOLD, END])).order_by(_D.id)):
        found.pop(row.request_id, None)
        if row.kind == HOLD and (until := _day_in(row.detail)) >= today:
            found[row.request_id] = EvidenceHold(row.request_id, until, row.at, row.sealed)
    return dict(sorted(found.items(), key=lambda one: (one[1].until, one[0])))


def _day_in(detail: str) -> date:
    try:
        return date.fromisoformat(detail.removeprefix("until "))
    except ValueError:
        return date.max
