"""Which events came already: an id of a source is one event, whatever it asked for."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Text, bindparam, select, union_all

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.propagation.controller import Controller
from dpsync.store import tables as t
from dpsync.store.writer import Unit

_SOURCE, _EVENT = bindparam("source", type_=Text()), bindparam("event_id", type_=Text())
_EVENTS = bindparam("events", type_=Text(), expanding=True)
_R, _W = t.request.c, t.withdrawal.c

# Made once: building a statement anew for each row costs more than running it.
_SEEN = union_all(
    select(_R.id.label("request_id"), _R.body_mac).where(_R.source == _SOURCE, _R.event_id == _EVENT),
    select(_W.request_id, _W.body_mac).where(_W.source == _SOURCE, _W.event_id == _EVENT),
)
_SEEN_OF_SOURCE = union_all(
    select(_R.event_id).where(_R.source == _SOURCE, _R.event_id.in_(_EVENTS)),
    select(_W.event_id).where(_W.source == _SOURCE, _W.event_id.in_(_EVENTS)),
)


@dataclass(frozen=True, slots=True)
class Conflict:
    """This event id came before, with another body. A value: raised, it would undo the alert that tells of it."""


def body_mac(controller: Controller, body: bytes) -> str:
    """The keyed digest by which a body is known again, without keeping it."""
    return controller.keys.mac("event body", body).hex()


def known_among(connection: Connection, named: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the (source, event id) that came before."""
    by_source: dict[str, list[str]] = {}
    for source, event_id in named:
        by_source.setdefault(source, []).append(event_id)
    return {
        (source, event_id)
        for source, ids in by_source.items()
        for event_id in connection.execute(_SEEN_OF_SOURCE, {"source": source, "events": ids}).scalars()
    }


def came_before(
    unit: Unit, controller: Controller, source: str, event_id: str, mac: str, now: datetime
) -> str | Conflict | None:
    """The id of the request that this event made or took back; None where it is new; a conflict raises an alert."""
    seen = unit.connection.execute(_SEEN, {"source": source, "event_id": event_id}).first()
    if seen is None:
        return None
    if seen.body_mac == mac:
        request_id: str = seen.request_id
        return request_id
    raise_alert(
        unit.connection,
        cause=AlertCause.EVENT_CONFLICT,
        role="operator",
        subject="An event id was used twice, with different bodies",
        body="dpsync refused the second (409) and changed nothing. Look at the sender's log: it must never use an id "
        "again. The first request counts:",
        now=now,
        zone=controller.zone,
        concerns=[Concern(seen.request_id, f"from {source}: `dpsync status {seen.request_id}`")],
    )
    return Conflict()
