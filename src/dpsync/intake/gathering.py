"""Several messages of a platform are one request: each names the same person by one identifier more.

What comes while nobody was told yet is added to the request. What comes later is told as a request of its own, whose
legal dates count from the same day: nobody may lose an identifier, and nobody gains a month by a late one.
"""

from dataclasses import replace

from sqlalchemy import Connection, exists, func, select, update

from dpsync.errors import KeyProblem
from dpsync.intake import identity
from dpsync.intake.acceptance import Asked
from dpsync.intake.answers import Received
from dpsync.model import Cause, Request, State, Subject
from dpsync.propagation import proof_boxes, serialization
from dpsync.propagation.commitments import opened
from dpsync.propagation.controller import Controller
from dpsync.propagation.proof_boxes import Proof, leading
from dpsync.propagation.record import Update, record
from dpsync.propagation.rules.lifecycle import Decision, DecisionKind
from dpsync.store import tables as t
from dpsync.store.beside import alone
from dpsync.store.writer import Unit

_R, _P = t.request.c, t.propagation.c
_COLUMNS = (_R.id.label("request_id"), _R.event_id, _R.sealed, _R.wrapped_key, _R.key_month)
_WAITS = (State.HELD.value, State.PENDING.value, State.EXEMPT.value)


def gathered(unit: Unit, controller: Controller, asked: Asked) -> Received | Asked:
    """What became of one that belongs to several: the request that has its identifier now, or what is to be received.

    Has the writer's lock for itself: a worker that begins an attempt comes before or after.
    """
    connection, request = unit.connection, asked.request
    alone(connection)
    events = (_R.source == request.source) & _R.event_id.in_([request.event_id, asked.own_event])
    rows = {row["event_id"]: dict(row) for row in connection.execute(select(*_COLUMNS).where(events)).mappings()}
    first = rows.get(request.event_id)
    if first is None:
        return asked
    if asked.own_event in rows:  # it was late before, and gets the same answer
        return _late(connection, asked, first["request_id"])
    try:
        found = opened(controller, first)
    except KeyProblem:
        found = None
    if found is None:
        return _late(connection, asked, first["request_id"])
    key, before = found
    wider = _with(before, request.subject)
    if wider is None or (wider != before and _is_begun(connection, first["request_id"])):
        return _late(connection, asked, first["request_id"])
    if wider != before:
        proof = Proof(first["request_id"], key.commit_key)
        sealed = key.seal(serialization.to_bytes(wider), first["request_id"].encode())
        connection.execute(update(t.request).where(_R.id == first["request_id"]).values(sealed=sealed))
        known = leading(before, proof)
        more = [one for one in leading(wider, proof) if one not in known]
        proof_boxes.put(connection, controller.keys, more, asked.now.year)
        _meet(unit, controller, asked, first["request_id"])
    return Received(first["request_id"], held=_is_held(connection, first["request_id"]), repeated=True)


def _with(before: Request, more: Subject) -> Request | None:
    """The request with the identifiers of another message; None where it has no place for one of them.

    Its first address stays the first: the proof of the request names it.
    """
    old = before.subject
    if not before.addresses or (more.phone and old.phone not in {None, more.phone}):
        return None
    named = [address for address in (more.email, *more.other_emails) if address]
    own = replace(before, subject=replace(old, other_emails=(*old.other_emails, *named))).addresses
    others = tuple(address for address in own if address != old.email)
    return replace(before, subject=replace(old, phone=old.phone or more.phone, other_emails=others))


def _late(connection: Connection, asked: Asked, first: str) -> Asked:
    """As a request of its own, whose dates count from when the first came in."""
    at = connection.execute(select(_R.received_at, _R.received_assumed).where(_R.id == first)).one()
    request = replace(
        asked.request, event_id=asked.own_event, received_at=at.received_at, received_assumed=at.received_assumed
    )
    return replace(asked, request=request)


def _is_begun(connection: Connection, request_id: str) -> bool:
    """Whether anybody was told, or may have been."""
    begun = (_P.attempts > 0) | _P.touched | ~_P.state.in_(_WAITS) | exists().where(t.attempt.c.propagation_id == _P.id)
    return bool(connection.execute(select(func.count()).where(_P.request_id == request_id, begun)).scalar_one())


def _is_held(connection: Connection, request_id: str) -> bool:
    held = select(func.count()).where(_P.request_id == request_id, _P.state == State.HELD)
    return bool(connection.execute(held).scalar_one())


def _meet(unit: Unit, controller: Controller, asked: Asked, request_id: str) -> None:
    """Remember who is named so, and hold what destroys if the new identifier is somebody else's, too."""
    who = identity.resolve(unit, controller, asked.request, asked.now)
    identity.tell_joined(unit, controller, request_id, asked.now)
    if not (who.shared and asked.request.irreversible):
        return
    open_ = (State.HELD.value, State.PENDING.value)
    here = select(_P.id).where(_P.request_id == request_id, _P.state.in_(open_))
    hold = Decision(DecisionKind.HOLD, frozenset({Cause.SHARED_ADDRESS}))
    for own_id in unit.connection.execute(here).scalars().all():
        record(unit, controller, Update(own_id, [hold], asked.now))
