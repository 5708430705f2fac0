"""What main databases, and processors' own systems, are told: written in the transaction of the fact, and sent later,
until it is taken.

Here stands no name of a person. Whoever opted out at a processor must be named all the same: `named_in` says which
request does so, and `running.callbacks` opens it when the message goes.
"""

import json
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, exists, insert, or_, select

from dpsync.model import DONE_STATES, Rung, State
from dpsync.opendsr_protocol import VERSION, RequestStatus, written
from dpsync.opt_out_scope import named
from dpsync.propagation.controller import Controller
from dpsync.propagation.platform_jobs import has_job, nothing_held, request_status
from dpsync.propagation.rules.persons import NAMELESS
from dpsync.store import tables as t
from dpsync.store.callback_tables import callback

_R, _P, _C, _A = t.request.c, t.propagation.c, callback.c, t.attempt.c
_STILL_TOLD = timedelta(days=7)
"""How long after it closed a request is told of that was closed from the beginning: a main database that gets a
`callback` only now is not told of its years before."""


class CallbackKind(StrEnum):
    """What a main database is told."""

    COMPLETED = "dpsync.request.completed"
    """Every processor did it, or holds nothing."""
    CLOSED = "dpsync.request.closed"
    """Nobody is waited for any more, and not every processor did it."""
    LATE = "dpsync.request.late"
    CONTRADICTED = "dpsync.request.contradicted"
    OBSERVED = "dpsync.opt_out.observed"
    REMINDER = "dpsync.request.reminder"
    """To a processor's own system, as the next one: it owes us what came of a request."""
    WITHDRAWN = "dpsync.request.withdrawn"
    IN_PROGRESS = "opendsr.in_progress"
    """A controller of OpenDSR: somebody was told, so that it cannot be cancelled any more."""


ENDS = {CallbackKind.COMPLETED.value: RequestStatus.COMPLETED, CallbackKind.CLOSED.value: RequestStatus.CANCELLED}
"""What ends a request outside, and what it is called then in OpenDSR."""

NOT_WANTED = "nobody asked to hear of it"
"""Of a controller of OpenDSR that asks by itself how its request stands; the row keeps what it was told then."""


def note_closed(connection: Connection, controller: Controller, request_ids: Collection[str], now: datetime) -> None:
    """Tell of requests that have just closed; a platform of each once, because its job is closed by that."""
    told = exists().where(_C.request_id == _R.id, _C.kind.in_(ENDS))
    anew = or_(_R.source.not_in(controller.platforms), ~told)
    for one in _told_of(connection, controller, _R.id.in_(request_ids), _R.closed_at.is_not(None), anew):
        # A request without processors is nobody's doing.
        states = {state["state"] for state in one.processors}
        done = bool(states) and states <= {state.value for state in DONE_STATES}
        _write(connection, one, CallbackKind.COMPLETED if done else CallbackKind.CLOSED, now)


def closed_from_the_beginning(connection: Connection, controller: Controller, now: datetime) -> list[str]:
    """The requests that were exempt everywhere when they came, and whose main database was not told so. Only reads."""
    if not controller.callbacks:
        return []
    told = exists().where(_C.request_id == _R.id, _C.kind.in_(ENDS))
    born_closed = (_R.closed_at == _R.accepted_at, _R.closed_at > now - _STILL_TOLD)
    where = (*born_closed, _R.source.in_(controller.callbacks), ~told)
    return list(connection.execute(select(_R.id).where(*where)).scalars())


def note_closed_from_the_beginning(
    connection: Connection, controller: Controller, request_ids: Collection[str], now: datetime
) -> None:
    """Tell of those of these requests that were not told of meanwhile."""
    still = set(closed_from_the_beginning(connection, controller, now)) & set(request_ids)
    note_closed(connection, controller, still, now)


def note_contradicted(
    connection: Connection, controller: Controller, request_ids: Collection[str], now: datetime
) -> None:
    """Tell of requests that a processor said it had done, and we looked. A platform hears no more of a closed job."""
    for one in _told_of(connection, controller, _R.id.in_(request_ids), _R.source.not_in(controller.platforms)):
        _write(connection, one, CallbackKind.CONTRADICTED, now)


def note_in_progress(
    connection: Connection, controller: Controller, request_ids: Collection[str], now: datetime
) -> None:
    """Tell controllers of OpenDSR, once, of those of these requests that have begun and are not at their end."""
    told = exists().where(_C.request_id == _R.id, _C.source == _R.source)
    for one in _told_of(connection, controller, _R.id.in_(request_ids), _R.source.in_(controller.opendsr), ~told):
        if one.data["opendsr"]["request_status"] == RequestStatus.IN_PROGRESS:
            _write(connection, one, CallbackKind.IN_PROGRESS, now)


def opendsr_status(connection: Connection, request_id: str) -> dict[str, Any]:
    """What a controller of OpenDSR hears of its request: the last word where it was given, else how it stands now.

    What was called completed is never called anything else there, whatever we see afterwards: people hear of that.
    """
    kinds = select(_C.kind).where(_C.request_id == request_id, _C.kind.in_(ENDS))
    said = connection.execute(kinds.order_by(_C.ordinal).limit(1)).scalar()
    asked = connection.execute(select(_R.event_id, _R.due_at).where(_R.id == request_id)).one()
    begun = exists().where(_A.propagation_id == _P.id)
    rows = connection.execute(select(_P.state, begun.label("begun")).where(_P.request_id == request_id)).all()
    states = [State(row.state) for row in rows]
    status = ENDS[said] if said else request_status(states, begun=any(row.begun for row in rows))
    none = status is RequestStatus.COMPLETED and nothing_held(states)
    return {
        "subject_request_id": asked.event_id,
        "request_status": status.value,
        "expected_completion_time": written(asked.due_at),
        "api_version": VERSION,
        **({"results_count": 0} if none else {}),
    }


def late(connection: Connection, controller: Controller, now: datetime) -> list[str]:
    """The open requests whose legal date is over, and whose main database was not told so. Only reads."""
    told = exists().where(_C.request_id == _R.id, _C.kind == CallbackKind.LATE.value)
    heard = controller.callbacks - controller.platforms
    open_late = (_R.closed_at.is_(None), _R.due_at <= now, _R.source.in_(heard), ~told)
    return list(connection.execute(select(_R.id).where(*open_late)).scalars()) if controller.callbacks else []


def note_late(connection: Connection, controller: Controller, request_ids: Collection[str], now: datetime) -> None:
    """Tell of those of these requests that are still late."""
    still = set(late(connection, controller, now)) & set(request_ids)
    for one in _told_of(connection, controller, _R.id.in_(still)):
        _write(connection, one, CallbackKind.LATE, now)


def note_observed(
    connection: Connection,
    controller: Controller,
    request_id: str,
    persons: Collection[str],
    processor: str,
    observed_at: datetime,
    now: datetime,
) -> None:
    """Tell every main database of somebody who opted out at a processor: by its own id, where one person bears it.

    `persons`: who bears the address. Where it is nobody's, or a family's, the address itself is named.
    """
    data = {"request": request_id, "right": "opt_out", "processor": processor, "observed_at": moment(observed_at)}
    for source in sorted(controller.callbacks - controller.platforms):
        named_in = _named_in(connection, source, persons) or request_id
        one = _Told(request_id, source, data, ())
        _write(connection, one, CallbackKind.OBSERVED, now, named_in)


def _named_in(connection: Connection, source: str, persons: Collection[str]) -> str:
    """The newest request by which a main database named the one person it knows by an id; "" for none, or several."""
    of_them = (_R.source == source, _R.person.in_(persons), ~_R.person.startswith(NAMELESS), _R.sealed.is_not(None))
    found = connection.execute(select(_R.id, _R.person).where(*of_them).order_by(_R.ordinal)).all()
    return found[-1].id if len({row.person for row in found}) == 1 else ""


class _Told(NamedTuple):
    request_id: str
    source: str
    data: Mapping[str, Any]
    processors: Sequence[Mapping[str, Any]]


def _told_of(connection: Connection, controller: Controller, *where: ColumnElement[bool]) -> Iterator[_Told]:
    """The requests of main databases that are told, each with how it stands at every processor."""
    if not controller.callbacks:
        return  # nothing is read for those who are told nothing
    columns = (_R.id, _R.source, _R.event_id, _R.right, _R.received_at, _R.due_on, _R.scope)
    found = connection.execute(select(*columns).where(_R.source.in_(controller.callbacks), *where)).all()
    parts = _parts(connection, [row.id for row in found])
    for row in found:
        data = {
            "request": row.id,
            "event": row.event_id,
            "right": row.right,
            "received_at": moment(row.received_at),
            "due_on": row.due_on,
        } | ({"scope": named(row.scope)} if row.scope else {})
        if row.source in controller.opendsr:
            data["opendsr"] = opendsr_status(connection, row.id)
        yield _Told(row.id, row.source, data, parts.get(row.id, []))


def _parts(connection: Connection, request_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    columns = (_P.request_id, _P.processor, _P.state, _P.rung, _P.told_at, _P.done_at)
    found: dict[str, list[dict[str, Any]]] = {}
    for row in connection.execute(select(*columns).where(_P.request_id.in_(request_ids)).order_by(_P.processor)):
        said = {"name": row.processor, "state": row.state, "proof": Rung(row.rung).name.lower()}
        times = {"told_at": row.told_at and moment(row.told_at), "done_at": row.done_at and moment(row.done_at)}
        found.setdefault(row.request_id, []).append(said | times)
    return found


def _write(connection: Connection, one: _Told, kind: CallbackKind, now: datetime, named_in: str = "") -> None:
    data = {**one.data, "processors": one.processors} if one.processors else one.data
    # Written once: what goes out later, or again, must be what was so, to the byte.
    body = json.dumps({"type": kind.value, "timestamp": moment(now), "data": data})
    heard = "opendsr" in one.data and not has_job(connection, one.request_id)
    keep(connection, one.source, one.request_id, kind, body, now, named_in, heard=heard)


def keep(
    connection: Connection,
    source: str,
    request_id: str,
    kind: CallbackKind,
    body: str,
    now: datetime,
    named_in: str = "",
    *,
    heard: bool = False,
) -> None:
    """Have one message sent to whoever `source` is; `heard`: it is only kept, for nobody wants to be sent it."""
    values = {"source": source, "request_id": request_id, "kind": kind.value, "named_in": named_in}
    times: dict[str, Any] = {"made_at": now, "due_at": now}
    if heard:
        times |= {"told_at": now, "said": NOT_WANTED}
    connection.execute(insert(callback).values(id=f"cb-{secrets.token_hex(12)}", body=body, **values, **times))


def moment(at: datetime) -> str:
    """A time as a message has it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
