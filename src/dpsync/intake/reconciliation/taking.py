"""What becomes of a difference: what was missed goes through the door by which messages come, all else is asked.

An erasure that no message told us of cools off, as one of a source whose secret proves little; one whose record is only
gone is held until a person has looked.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, select

from dpsync.errors import KeyProblem, PayloadInvalid
from dpsync.intake import events
from dpsync.intake.acceptance import Asked
from dpsync.intake.answers import Received
from dpsync.intake.merge_news import take_in
from dpsync.intake.payload import RIGHTS_SINCE, parse_request
from dpsync.intake.reconciliation.compare import DifferenceKind
from dpsync.intake.reconciliation.findings import SourceFinding
from dpsync.intake.reconciliation.listed import Listed
from dpsync.intake.reconciliation.ours import record_id
from dpsync.intake.sources.rules import MergeTold
from dpsync.intake.sources.source import merging_of
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.model import Cause, Right
from dpsync.propagation.commitments import asked_by
from dpsync.propagation.controller import Controller
from dpsync.store import tables as t
from dpsync.store.writer import Unit

MISSED: Final = "missed"
"""How the event of a request ends that no message told us of; what an entry of the ledger calls it."""

_R = t.request.c
_MOST_OPENED: Final = 20
_GROUNDS: Final = {Right.OPT_OUT: "direct_marketing_objection"}


def take(unit: Unit, controller: Controller, one: SourceFinding, wait: timedelta, now: datetime) -> str:
    """Do what may be done alone: the id of the request that was made, "" for none. `wait`: see `merging.merge`."""
    match one.kind:
        case DifferenceKind.MISSED:
            return _request(unit, controller, one, wait, now)
        case DifferenceKind.MERGED:
            _merge(unit, controller, one, wait, now)
            return ""
        case DifferenceKind.GONE:
            return _request(unit, controller, one, wait, now) if one.row.id else ""
        case DifferenceKind.CONTACTABLE | DifferenceKind.ADDRESS | DifferenceKind.RETURNED:
            return ""


def _request(unit: Unit, controller: Controller, one: SourceFinding, wait: timedelta, now: datetime) -> str:
    right, row = one.difference.right, one.row
    if right is None:
        return ""
    event = f"{one.digest}.{right.value}.{MISSED}"
    first, *others = row.addresses or ("",)
    subject = {"id": record_id(one.source, row.id), "email": first or None, "other_emails": list(others) or None}
    data: dict[str, object] = {"right": right.value, "subject": subject, "ground": _GROUNDS.get(right)}
    if at := asked_at(row, now):
        data["received_at"] = at.isoformat()
    try:
        request = parse_request(data, source=one.source, event_id=event, now=now)
    except PayloadInvalid:
        return ""  # then a person is asked, as of all of which nothing was made
    doubts = {Cause.COOLING_OFF} if right is Right.ERASURE else set[Cause]()
    doubts |= {Cause.MAYBE_MERGE} if one.difference.delete_shaped else set()
    # Of the event alone: what it says of the moment is cut off where that lies before the law or after now.
    asked = Asked(request, events.body_mac(controller, event.encode()), now, frozenset(doubts))
    answers = take_in(unit, controller, [asked], (), wait, now).requests
    made = next((each.request_id for each in answers if isinstance(each, Received)), "")
    if made:
        said = {"kind": MISSED, "name": one.source, "right": right.value, "ref": made, "n": days_late(row, now)}
        unit.append(None, entry.encode(EntryKind.DECIDED, now, **said))
    return made


def asked_at(row: Listed, now: datetime) -> datetime | None:
    """When the record was changed last: no later than that it was asked. None where that is not told, or cannot be."""
    return row.changed_at if row.changed_at and RIGHTS_SINCE <= row.changed_at <= now else None


def days_late(row: Listed, now: datetime) -> int:
    """For how many whole days no message told us of it, as far as that is known."""
    at = asked_at(row, now)
    return (now - at) // timedelta(days=1) if at else 0


def _merge(unit: Unit, controller: Controller, one: SourceFinding, wait: timedelta, now: datetime) -> None:
    row = one.row
    loser = {"id": record_id(one.source, row.id), **_addresses(row.addresses)}
    winner = {"id": record_id(one.source, row.merged_into), **_addresses(row.winner_addresses)}
    told = MergeTold("reconciled", f"{one.digest}.merged.{MISSED}", (loser,), winner)
    try:
        merging = merging_of(told, one.source, now)
    except PayloadInvalid:
        return
    take_in(unit, controller, (), [merging], wait, now)


def _addresses(some: tuple[str, ...]) -> dict[str, object]:
    return {"email": some[0], "other_emails": list(some[1:])} if some else {}


def as_last_named(connection: Connection, controller: Controller, source: str, person: str) -> Listed | None:
    """The id and all addresses by which somebody was named to us, as far as that still opens; None without an id."""
    newest = select(_R.id).where(_R.person == person).order_by(_R.ordinal.desc()).limit(_MOST_OPENED)
    found: Listed | None = None
    addresses: dict[str, None] = {}
    for request_id in connection.execute(newest).scalars():
        try:
            asked = asked_by(connection, controller, request_id)
        except KeyProblem:
            continue
        if asked is None:
            continue
        addresses |= dict.fromkeys(asked.addresses)
        own_id = asked.subject.id or ""
        if found is None and own_id.startswith(f"{source}:"):
            found = Listed(own_id.removeprefix(f"{source}:"))
    return replace(found, addresses=tuple(addresses)[:_MOST_OPENED]) if found else None
