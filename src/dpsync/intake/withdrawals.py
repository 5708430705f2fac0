"""A request that the main database takes back: what is unsent is stopped, and what was too late is told to a person."""

from datetime import datetime

from sqlalchemy import insert

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.errors import NotFound
from dpsync.intake.answers import Received
from dpsync.intake.events import Conflict, came_before
from dpsync.intake.payload import Withdrawal
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.model import State
from dpsync.propagation import commitments
from dpsync.propagation.controller import Controller
from dpsync.propagation.decisions import Decided, Person, decide, find_request, remember
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.store import tables as t
from dpsync.store.writer import Unit

_NOTHING_WENT = frozenset({State.WITHDRAWN, State.SUPERSEDED, State.EXEMPT})


def take_back(
    unit: Unit, controller: Controller, withdrawal: Withdrawal, mac: str, now: datetime
) -> Received | Conflict:
    """Withdraw all of a request that was not sent yet, within the caller's transaction. Raises `NotFound`.

    `mac`: the keyed digest of the bytes it came in. The same event again gets the same answer and changes nothing.
    """
    seen = came_before(unit, controller, withdrawal.source, withdrawal.event_id, mac, now)
    if isinstance(seen, Conflict):
        return seen
    if seen is not None:
        return Received(seen, held=False, repeated=True)
    request_id = find_request(unit.connection, withdrawal.request_id)
    # A person sees whom a short id means before saying yes; a machine that cut one off must not stop somebody else's.
    if request_id != withdrawal.request_id:
        raise NotFound("a webhook names the whole id")
    row = {"source": withdrawal.source, "event_id": withdrawal.event_id, "body_mac": mac, "at": now}
    unit.connection.execute(insert(t.withdrawal).values(request_id=request_id, **row))
    key = commitments.commit_key_for(unit.connection, controller, request_id)
    said = {"rows": commitments.rows_said(key, [("withdrawal", row)])}
    unit.append(request_id, entry.encode(EntryKind.WITHDRAWN, now, req=request_id, **said))
    person = Person(by=withdrawal.source, os_user="", reason=f"withdrawn by event {withdrawal.event_id}")
    decided = decide(unit, controller, request_id, DecisionKind.WITHDRAW, person, now)
    gone = [one for one in decided if one.refused and one.state not in _NOTHING_WENT]
    new = any(one.kept for one in decided)
    # The sender hears the same 202 as if all had been stopped, so that a repeat is harmless: a person must hear more.
    if gone and _tell(unit, controller, request_id, withdrawal.source, gone, now) and not new:
        remember(unit, controller, request_id, DecisionKind.WITHDRAW, person, now)
    return Received(request_id, held=False, repeated=not new)


def _tell(unit: Unit, controller: Controller, request_id: str, source: str, gone: list[Decided], now: datetime) -> bool:
    """Each request is told once a day: it may be a person to whom something was done by mistake."""
    titles = [controller.title_of(one.processor) for one in gone]
    places = "; ".join(f"{title}: {one.state.value.replace('_', ' ')}" for title, one in zip(titles, gone, strict=True))
    return raise_alert(
        unit.connection,
        cause=AlertCause.WITHDRAWN_TOO_LATE,
        role="operator",
        subject="A request was withdrawn after it had been sent",
        body="dpsync cannot call back what was sent. If the request was a mistake, have it corrected there by hand, "
        "and write to everybody who got a letter. Tell the DPO: an erasure by mistake is a personal-data breach "
        "(Art. 4(12)). The dossier shows what was sent, and to whom.",
        now=now,
        zone=controller.zone,
        concerns=[
            Concern(
                request_id,
                f"{source} withdrew request {request_id}. Already sent to: {places}. `dpsync dossier {request_id}`",
            )
        ],
    )
