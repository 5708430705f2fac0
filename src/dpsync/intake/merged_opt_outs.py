"""An opt-out of a person who was several records of the main database: that may have lost it when it merged them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, exists, select

from dpsync.address import normalised
from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.errors import KeyProblem
from dpsync.intake import held_merges, identity, merged_records, welcome
from dpsync.intake.acceptance import Asked
from dpsync.intake.answers import Received
from dpsync.intake.held_merges import Merging
from dpsync.intake.reception import receive_all
from dpsync.model import Request, Right, State, Subject
from dpsync.propagation.commitments import asked_by
from dpsync.propagation.controller import Controller
from dpsync.store import tables as t
from dpsync.store.writer import Unit

_R, _P = t.request.c, t.propagation.c
_SCOPE: Final = "scope of an opt-out"
"""What the keyed digest is for that tells the events of several scopes apart."""
_STOPPED: Final = frozenset({State.WITHDRAWN.value, State.SUPERSEDED.value})


def tell_again(unit: Unit, controller: Controller, one: Merging, mac: str, now: datetime) -> None:
    """Tell an opt-out of either record again, for all addresses of both: the main database may have lost it.

    One from everything covers every part; else each part that either record left is told again for itself.
    """
    person = identity.person_of(unit.connection, controller.keys, one.winner)
    standing = _standing(unit.connection, controller, person)
    for scope in [""] if "" in standing else sorted(standing):
        _tell_one(unit, controller, one, person, scope, mac, now)


def _standing(connection: Connection, controller: Controller, person: str) -> set[str]:
    """The scopes of what keeps a person from being mailed: "" where one of them is everything."""
    stands = select(_R.scope, _R.right, _R.received_at).join(t.propagation, _P.request_id == _R.id)
    rights = [Right.OPT_OUT.value, Right.ERASURE.value]
    stands = stands.where(_P.state.not_in(_STOPPED), _R.person == person, _R.right.in_(rights)).distinct()
    since = welcome.since(connection, controller.keys, [person]).get(person)
    rows = connection.execute(stands)
    return {row.scope for row in rows if row.scope or not welcome.is_ended(row.right, row.received_at, since)}


def _tell_one(
    unit: Unit, controller: Controller, one: Merging, person: str, scope: str, mac: str, now: datetime
) -> None:
    connection = unit.connection
    asked = _asked(connection, controller, person)
    # Those of corrections are added to whatever is told, as far as they are still the person's.
    named = dict.fromkeys(address for each in (one.winner, *one.losers, *asked) for address in each.addresses)
    subject = replace(
        one.winner.subject,
        email=next(iter(named), None),
        other_emails=tuple(named)[1:],
        phone=next((each.subject.phone for each in asked if each.subject.phone), None),
        name=next((each.subject.name for each in asked if each.subject.name), None),
    )
    # One event may tell of several merges; none of them may look like the repetition of another.
    part = f".{controller.keys.mac(_SCOPE, scope.encode()).hex()[:16]}" if scope else ""
    event = f"{one.event}.{held_merges.mark(controller.keys, one)}.opt-out{part}"
    request = replace(one.winner, event_id=event, subject=subject, received_at=now, scope=scope)
    (received,) = receive_all(unit, controller, [Asked(request, mac, now)])
    if isinstance(received, Received):
        own = any(each.addresses for each in (one.winner, *asked) if each.subject.id == one.winner.subject.id)
        _tell(connection, controller, received.request_id, own=own, now=now)


def tell_late(
    unit: Unit, controller: Controller, late: Asked, request_id: str, merges: Sequence[Merging], now: datetime
) -> None:
    """The same where the opt-out of a record comes in after the news of its merge, or in one delivery with it."""
    connection, request = unit.connection, late.request
    winner_id = merged_records.winner_of(connection, controller.keys, request.subject.id or "")
    if request.right is not Right.OPT_OUT or winner_id is None:
        return
    told = (one.winner for one in merges if one.winner.subject.id == winner_id)
    winner = next(told, replace(request, subject=Subject(id=winner_id)))
    asked = _asked(connection, controller, identity.person_of(connection, controller.keys, request))
    named = {normalised(address) for each in (winner, *asked) for address in each.addresses}
    if named <= {normalised(address) for address in request.addresses}:
        _tell(connection, controller, request_id, own=False, now=now)
        return
    tell_again(unit, controller, Merging(request.source, request.event_id, (request,), winner, b""), late.mac, now)


def _asked(connection: Connection, controller: Controller, person: str) -> list[Request]:
    """What says under which addresses a person is not to be written to, the newest first, as far as it still opens.

    Nobody is told again of an address that was erased.
    """
    found = []
    stands = exists().where(_P.request_id == _R.id, _P.state.not_in(_STOPPED))
    stops = _R.right.in_([Right.OPT_OUT.value, Right.RESTRICTION.value]) | ((_R.right == Right.ERASURE.value) & ~stands)
    newest = select(_R.id).where(_R.person == person, stops).order_by(_R.ordinal.desc())
    for request_id in connection.execute(newest).scalars():
        try:
            asked = asked_by(connection, controller, request_id)
        except KeyProblem:
            continue
        found += [asked] if asked else []
    return found


def _tell(connection: Connection, controller: Controller, request_id: str, *, own: bool, now: datetime) -> None:
    missing = "" if own else " dpsync knows no address of the record that stays: look there, and enter it, too."
    raise_alert(
        connection,
        cause=AlertCause.MERGED_OPT_OUT,
        role="dpo",
        subject="Two records were merged, and one of them had opted out",
        body="Merging often loses an opt-out. dpsync tells all processors again, for every address that it knows of "
        "both. See that the record that stays is opted out in your main database, too. `dpsync status REQUEST --who` "
        "shows who it is. To add an address: `dpsync submit opt_out --id ID --email ADDRESS`.",
        now=now,
        zone=controller.zone,
        concerns=[Concern(request_id, f"Request {request_id}.{missing}")],
    )
