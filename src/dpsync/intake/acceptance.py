"""What acceptance writes: requests, their propagations, lanes and entries, all that wait together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert

from dpsync import key_register
from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.ciphers import RequestKey
from dpsync.intake.answers import Received
from dpsync.intake.identity import Identity
from dpsync.ledger import entry, rows
from dpsync.ledger.entry import EntryKind
from dpsync.model import Cause, Request, Right, State
from dpsync.propagation import commitments, proof_boxes, serialization
from dpsync.propagation.controller import Controller
from dpsync.propagation.held import Held, tell_of_held
from dpsync.propagation.proof_boxes import Leading, Proof, leading
from dpsync.propagation.queue import lanes
from dpsync.propagation.rules.legal_clock import LegalDates
from dpsync.propagation.rules.lifecycle import Timer
from dpsync.propagation.rules.plan import InitialState
from dpsync.propagation.rules.scoped import OUT_OF_SCOPE
from dpsync.store import tables as t
from dpsync.store.writer import Unit


@dataclass(frozen=True, slots=True)
class Asked:
    """A request at the door. `mac`: the keyed digest of the bytes it came in. `doubts`: what holds it because of the
    door it came in by. `misdated`: it named a day of receipt that cannot be so. `own_event`: see `sources.rules.Wish`.
    """

    request: Request
    mac: str
    now: datetime
    doubts: frozenset[Cause] = frozenset()
    misdated: bool = False
    own_event: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A request as it is going to be written. `history`: all of its subject, everywhere, oldest first."""

    asked: Asked
    who: Identity
    history: Sequence[lanes.LaneRow]
    request_id: str
    key: RequestKey
    dates: LegalDates
    initial_states: Sequence[InitialState]

    @property
    def received(self) -> Received:
        """What whoever handed it in hears."""
        return Received(
            self.request_id, held=any(initial.state is State.HELD for initial in self.initial_states), repeated=False
        )

    @property
    def names(self) -> Sequence[Leading]:
        """What leads to the proof of it."""
        return leading(self.asked.request, Proof(self.request_id, self.key.commit_key))


# Made once: building a statement anew for each row costs more than running it.
_NEW_REQUESTS = insert(t.request).returning(t.request.c.id, t.request.c.ordinal)
_NEW_PROPAGATIONS = insert(t.propagation)


def write(unit: Unit, controller: Controller, drafts: Sequence[Draft]) -> None:
    """Requests, propagations, lanes and entries: a statement for each kind, however many drafts there are."""
    if not drafts:
        return
    used = key_register.demand(unit.connection, controller.keys, {month_of(draft.asked.now) for draft in drafts})
    requests = {draft.request_id: _request_row(controller, draft, used) for draft in drafts}
    for written in unit.connection.execute(_NEW_REQUESTS, list(requests.values())):
        requests[written.id]["ordinal"] = written.ordinal
    newest = max(draft.asked.now for draft in drafts)
    proof_boxes.put(unit.connection, controller.keys, (one for draft in drafts for one in draft.names), newest.year)
    parts = {draft.request_id: _propagation_rows(controller, draft, requests[draft.request_id]) for draft in drafts}
    if any(parts.values()):
        unit.connection.execute(_NEW_PROPAGATIONS, [row for some in parts.values() for row in some])
    going = [
        # Where there is no history no lane stands yet, so nothing waits that could be hurried.
        lanes.Due(
            initial.processor.account,
            draft.who.subject_id,
            draft.asked.now,
            lanes.hurry_of(draft.asked.request.right) if draft.history else lanes.Hurry.NO,
        )
        for draft in drafts
        for initial in draft.initial_states
        if initial.state is State.PENDING or _may_name_an_earlier_address(draft, initial)
    ]
    lanes.make_lanes_due(unit.connection, going)
    for draft in drafts:
        _tell_received(unit, draft, requests[draft.request_id], parts[draft.request_id])
        for initial, row in zip(draft.initial_states, parts[draft.request_id], strict=True):
            _append_initial_state(unit, draft, initial, row)
    held = [
        # What is merely observed was decided in the settings, for everybody to see.
        Held(draft.request_id, initial.processor.name, initial.causes - {Cause.OBSERVE})
        for draft in drafts
        for initial in draft.initial_states
        if initial.state is State.HELD
    ]
    tell_of_held(unit.connection, controller, held, newest)
    _tell_of_misdated(unit.connection, controller, [draft for draft in drafts if draft.asked.misdated])


def _tell_of_misdated(connection: Connection, controller: Controller, drafts: Sequence[Draft]) -> None:
    """Whoever has the request on paper may know a day of receipt that makes its legal dates earlier."""
    if not drafts:
        return
    raise_alert(
        connection,
        cause=AlertCause.MISDATED,
        role="dpo",
        subject="A request names a day of receipt that cannot be right",
        body="It says that it was received later than now, or more than a year ago. So its legal dates count from the "
        "moment at which it came in. Ask the sender when it was received. If that was earlier, answer the person by "
        "the date that follows from it:",
        now=drafts[0].asked.now,
        zone=controller.zone,
        concerns=[
            Concern(one.request_id, f"from {one.asked.request.source}: `dpsync dossier {one.request_id}`")
            for one in drafts
        ],
    )


def _may_name_an_earlier_address(draft: Draft, initial: InitialState) -> bool:
    """Whether what was asked there before is to be looked at, though nobody need be told of this change."""
    is_change = draft.asked.request.right is Right.RECTIFICATION
    return initial.state is State.EXEMPT and is_change and bool(draft.history)


def month_of(now: datetime) -> str:
    """The month under whose key a request of that moment is sealed."""
    return f"{now:%Y-%m}"


def _request_row(controller: Controller, draft: Draft, used: Mapping[str, str]) -> dict[str, Any]:
    request, dates, now = draft.asked.request, draft.dates, draft.asked.now
    month = used[month_of(now)]
    return {
        "id": draft.request_id,
        "source": request.source,
        "event_id": request.event_id,
        "body_mac": draft.asked.mac,
        "subject_id": draft.who.subject_id,
        "person": draft.who.person,
        "right": request.right,
        "lifting": request.lifted is not None,
        "ground": request.ground,
        "version": request.version,
        "received_at": request.received_at,
        "received_assumed": request.received_assumed,
        "accepted_at": now,
        "starts_on": dates.starts_on.isoformat(),
        "target_at": dates.target_at,
        "strict_on": dates.strict_on.isoformat(),
        "due_on": dates.due_on.isoformat(),
        "letter_by": dates.letter_by.isoformat(),
        "due_at": dates.due_at,
        "clock_rule": dates.rule,
        "processors": "\n".join(sorted(initial.processor.name for initial in draft.initial_states)),
        "sealed": draft.key.seal(serialization.to_bytes(request), draft.request_id.encode()),
        "wrapped_key": controller.keys.wrap(draft.key, draft.request_id, month),
        "key_month": month,
        "scope": request.scope,
        "closed_at": now if all(initial.state is State.EXEMPT for initial in draft.initial_states) else None,
    }


def _propagation_rows(controller: Controller, draft: Draft, request_row: Mapping[str, Any]) -> list[dict[str, Any]]:
    request, now = draft.asked.request, draft.asked.now
    common = {
        "request_id": draft.request_id,
        **{name: request_row[name] for name in rows.COPIED},
        "covers": " ".join(sorted(map(controller.change_digest, request.changes.names if request.changes else ()))),
        "opened_at": now,
        "state_since": now,
    }
    cools = now + controller.safety.cools_for
    return [
        {
            **common,
            "processor": initial.processor.name,
            "account_id": initial.processor.account,
            "state": initial.state,
            "causes": lanes.causes_text(initial.causes),
            "way": initial.way,
            "timer": Timer.COOLING_OFF if Cause.COOLING_OFF in initial.causes else "",
            "timer_at": cools if Cause.COOLING_OFF in initial.causes else None,
            "brake_at": now if initial.counted else None,
        }
        for initial in draft.initial_states
    ]


def _tell_received(unit: Unit, draft: Draft, row: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> None:
    """What was asked, as far as the ledger may know, and every date that follows from it."""
    request, dates, commit_key = draft.asked.request, draft.dates, draft.key.commit_key
    names = [one["processor"] for one in parts]
    beside = [("request", row), ("births", rows.births(parts))]
    fields: dict[str, str | int] = {
        "req": draft.request_id,
        "right": request.right.value,
        "subj": commitments.subject_commitment(request, commit_key),
        "n": len(names),
        "list": entry.list_digest(names),
        "received": int(request.received_at.timestamp()),
        "starts": dates.starts_on.isoformat(),
        "target": int(dates.target_at.timestamp()),
        "strict": dates.strict_on.isoformat(),
        "letter": dates.letter_by.isoformat(),
        "due": dates.due_on.isoformat(),
        "overdue": int(dates.due_at.timestamp()),
        "rule": dates.rule,
        "rows": f"{commitments.rows_said(commit_key, beside)} {draft.who.names}",
    }
    if request.received_assumed:
        fields["assumed"] = 1
    if request.ground:
        fields["ground"] = request.ground
    if request.scope:
        fields["name"] = request.scope
    if request.lifted:
        fields |= {
            "told_on": request.lifted.told_on.isoformat(),
            "how": entry.commitment(commit_key, request.lifted.how),
        }
    event = EntryKind.LIFTED if request.lifted else EntryKind.RECEIVED
    unit.append(draft.request_id, entry.encode(event, draft.asked.now, **fields))


def _append_initial_state(unit: Unit, draft: Draft, initial: InitialState, row: Mapping[str, Any]) -> None:
    if initial.state not in {State.HELD, State.EXEMPT}:
        return
    right, now = draft.asked.request.right, draft.asked.now
    fields: dict[str, str | int] = {"req": draft.request_id, "dest": initial.processor.name, "right": right.value}
    fields |= {"state": initial.state.value, "rung": 0, "way": initial.way.value}
    fields["rows"] = commitments.rows_said(draft.key.commit_key, [("propagation", {**rows.BORN, **row})])
    if initial.state is State.HELD:
        fields["cause"] = lanes.causes_text(initial.causes)
        unit.append(draft.request_id, entry.encode(EntryKind.HELD, now, **fields))
    else:
        exemption = initial.processor.exempt.get(right)
        fields["cause"] = exemption.code if exemption else OUT_OF_SCOPE
        unit.append(draft.request_id, entry.encode(EntryKind.EXEMPTED, now, **fields))
