"""The one door: bytes that were found genuine become a request, its propagations and their entries, or nothing does.

All of it in one transaction; only after its commit does anybody hear "accepted".
"""

import base64
import secrets
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, bindparam, func, insert, select

from dpsync.alerts import raise_alert
from dpsync.errors import EventConflict
from dpsync.intake.answers import Received
from dpsync.intake.identity import Identity, resolve
from dpsync.intake.payload import Withdrawal
from dpsync.intake.withdrawals import take_back
from dpsync.ledger import entry
from dpsync.ledger.entry import Event
from dpsync.model import Cause, Request, Right, State
from dpsync.propagation import at_rest, brake, lanes, record
from dpsync.propagation.alert_texts import RELEASE_CONTACT
from dpsync.propagation.contacts import confirmed
from dpsync.propagation.controller import Controller
from dpsync.propagation.legal_clock import LegalDates
from dpsync.propagation.lifecycle import Decision, DecisionKind, Timer
from dpsync.propagation.persons import may_be_same
from dpsync.propagation.plan import Birth, Surroundings, birth, restriction_in_force
from dpsync.sealing import RequestKey
from dpsync.store import tables as t
from dpsync.store.writer import Unit, Writer

T = TypeVar("T")
ID_ALPHABET = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def new_request_id() -> str:
    """128 random bits in Crockford's alphabet (no I, L, O, U to misread): never a row number, never reused."""
    return "r-" + base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").translate(ID_ALPHABET)


@dataclass(frozen=True, slots=True)
class Conflict:
    """This event id came before, with another body."""


# Made once: building a statement anew for each row costs more than running it.
_SEEN = select(t.request.c.id, t.request.c.body_mac).where(
    t.request.c.source == bindparam("source"), t.request.c.event_id == bindparam("event_id")
)
_COUNTED = (
    select(t.propagation.c.account_id, func.count().label("calls"))
    .where(t.propagation.c.brake_at > bindparam("since"))
    .group_by(t.propagation.c.account_id)
)
_NEW_REQUEST = insert(t.request)
_NEW_PROPAGATION = insert(t.propagation)


class Reception:
    """Accepts requests from every door: webhook, command line, import."""

    def __init__(self, controller: Controller, writer: Writer) -> None:
        self._controller = controller
        self._writer = writer

    def submit(self, request: Request, body: bytes, now: datetime) -> "Future[Received]":
        """Accept `request`; the future resolves after the commit.

        The same event of the same source again gets the same answer and changes nothing. Raises (in the future)
        `EventConflict` where it came before with another body.
        """
        mac = self._controller.keys.mac("event body", body).hex()
        accepted = self._writer.submit(lambda unit: receive(unit, self._controller, request, mac, now))
        return _then(accepted, _refuse_conflict)

    def submit_withdrawal(self, withdrawal: Withdrawal, now: datetime) -> "Future[Received]":
        """Stop what is unsent of a request that the main database takes back. Raises `NotFound` in the future."""
        return self._writer.submit(lambda unit: take_back(unit, self._controller, withdrawal, now))


def _refuse_conflict(result: Received | Conflict) -> Received:
    if isinstance(result, Conflict):
        raise EventConflict("this event id came before with another body")
    return result


def _then(future: "Future[T]", turn: Callable[[T], Received]) -> "Future[Received]":
    after: Future[Received] = Future()

    def finish(done: "Future[T]") -> None:
        if not after.set_running_or_notify_cancel():
            return
        try:
            after.set_result(turn(done.result()))
        except Exception as error:  # noqa: BLE001 - because it belongs to whoever awaits the future
            after.set_exception(error)

    future.add_done_callback(finish)
    return after


def receive(unit: Unit, controller: Controller, request: Request, mac: str, now: datetime) -> Received | Conflict:
    """What acceptance writes, within the caller's transaction."""
    seen = _seen_before(unit.connection, request)
    if seen is not None:
        if seen.body_mac == mac:
            return Received(seen.id, held=_is_held(unit.connection, seen.id), repeated=True)
        raise_alert(
            unit.connection,
            cause=f"event-conflict:{request.source}",
            role="operator",
            subject="An event id came twice with different bodies",
            body="The second was refused (409) and nothing was changed. Look at the sender's log: an id must never be "
            f"used again. The request that stands: {seen.id}. `dpsync status {seen.id}`",
            now=now,
            zone=controller.zone,
        )
        return Conflict()
    who = resolve(unit.connection, request, controller.keys)
    request_id, key = new_request_id(), controller.keys.new_request_key()
    history = lanes.lane_of(unit.connection, who.subject_id)
    dates = controller.legal_clock.dates(request.right, request.received_at)
    births = _births(unit.connection, controller, request, who, history, now)
    closed_at = now if all(born.state is State.EXEMPT for born in births) else None
    ordinal = _write_request(unit, controller, request, who, request_id, key, mac, dates, closed_at, now)
    _write_received(unit, controller, request, request_id, key, dates, now)
    _write_propagations(unit, controller, request, who, request_id, ordinal, births, now)
    _meet_restrictions(unit, controller, request, who, history, now)
    return Received(request_id, held=any(born.state is State.HELD for born in births), repeated=False)


def _seen_before(connection: Connection, request: Request) -> Any:
    return connection.execute(_SEEN, {"source": request.source, "event_id": request.event_id}).one_or_none()


def _is_held(connection: Connection, request_id: str) -> bool:
    held = select(func.count()).where(t.propagation.c.request_id == request_id, t.propagation.c.state == State.HELD)
    return bool(connection.execute(held).scalar_one())


def _write_request(
    unit: Unit,
    controller: Controller,
    request: Request,
    who: Identity,
    request_id: str,
    key: RequestKey,
    mac: str,
    dates: LegalDates,
    closed_at: datetime | None,
    now: datetime,
) -> int:
    month = f"{now:%Y-%m}"
    written = unit.connection.execute(
        _NEW_REQUEST,
        {
            "id": request_id,
            "source": request.source,
            "event_id": request.event_id,
            "body_mac": mac,
            "subject_id": who.subject_id,
            "person": who.person,
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
            "processors": "\n".join(sorted(controller.processors)),
            "sealed": key.seal(at_rest.to_bytes(request), request_id.encode()),
            "wrapped_key": controller.keys.wrap(key, request_id, month),
            "key_month": month,
            "closed_at": closed_at,
        },
    )
    made: Any = written.inserted_primary_key
    return int(made[0])


def _write_received(
    unit: Unit,
    controller: Controller,
    request: Request,
    request_id: str,
    key: RequestKey,
    dates: LegalDates,
    now: datetime,
) -> None:
    names = sorted(controller.processors)
    unit.append(
        request_id,
        entry.encode(
            Event.LIFTED if request.lifted else Event.RECEIVED,
            now,
            req=request_id,
            right=request.right.value,
            subj=record.subject_commitment(request, key.commit_key),
            n=len(names),
            list=entry.list_digest(names),
            due=dates.due_on.isoformat(),
        ),
    )


def _births(
    connection: Connection,
    controller: Controller,
    request: Request,
    who: Identity,
    history: list[lanes.LaneRow],
    now: datetime,
) -> list[Birth]:
    restricted = restriction_in_force((row.waiting for row in history), who.person)
    counted = {row.account_id: row.calls for row in connection.execute(_COUNTED, {"since": now - brake.WINDOW})}
    known = confirmed(connection, controller)
    today = now.astimezone(controller.zone).date()
    births = []
    for processor in controller.processors.values():
        around = Surroundings(
            shared_address=who.shared,
            restricted=restricted,
            counted=counted.get(processor.account, 0),
            confirmed=processor.name in known,
        )
        born = birth(request, processor, around, controller.safety, today)
        # Two processors on one account are two calls with one credential: both count.
        counted[processor.account] = counted.get(processor.account, 0) + (born.counts and not born.braked)
        births.append(born)
    return births


def _write_propagations(
    unit: Unit,
    controller: Controller,
    request: Request,
    who: Identity,
    request_id: str,
    ordinal: int,
    births: list[Birth],
    now: datetime,
) -> None:
    if not births:
        return
    common = {
        "request_id": request_id,
        "subject_id": who.subject_id,
        "person": who.person,
        "ordinal": ordinal,
        "right": request.right,
        "lifting": request.lifted is not None,
        "version": request.version,
        "covers": " ".join(sorted(map(controller.change_digest, request.changes.names if request.changes else ()))),
        "opened_at": now,
        "state_since": now,
    }
    cools = now + controller.safety.cooling_off
    unit.connection.execute(
        _NEW_PROPAGATION,
        [
            {
                **common,
                "processor": born.processor.name,
                "account_id": born.processor.account,
                "state": born.state,
                "causes": lanes.causes_text(born.causes),
                "way": born.way,
                "timer": Timer.COOLING_OFF if Cause.COOLING_OFF in born.causes else "",
                "timer_at": cools if Cause.COOLING_OFF in born.causes else None,
                "brake_at": now if born.counts and not born.braked else None,
            }
            for born in births
        ],
    )
    going = [born.processor.account for born in births if born.state is State.PENDING]
    lanes.make_lanes_due(unit.connection, going, who.subject_id, now, hurry=lanes.hurry_of(request.right))
    for born in births:
        _tell_birth(unit, controller, request, request_id, born, now)


def _tell_birth(
    unit: Unit, controller: Controller, request: Request, request_id: str, born: Birth, now: datetime
) -> None:
    common: dict[str, str | int] = {"req": request_id, "dest": born.processor.name, "right": request.right.value}
    common |= {"state": born.state.value, "rung": 0}
    if born.state is State.HELD:
        unit.append(request_id, entry.encode(Event.HELD, now, cause=lanes.causes_text(born.causes), **common))
        _alert_held(unit.connection, controller, request_id, born, now)
    elif born.state is State.EXEMPT:
        exemption = born.processor.exempt[request.right]
        unit.append(request_id, entry.encode(Event.EXEMPTED, now, cause=exemption.code, **common))


def _alert_held(connection: Connection, controller: Controller, request_id: str, born: Birth, now: datetime) -> None:
    by = "--by NAME --reason WHY"
    for cause in sorted(born.causes - {Cause.OBSERVE, Cause.COOLING_OFF}):
        release = f"dpsync release {request_id} {born.processor.name} {by}"
        if cause is Cause.CONTACT_UNVERIFIED:
            release = RELEASE_CONTACT.format(request=request_id, processor=born.processor.name)
        raise_alert(
            connection,
            cause=f"held:{cause}:{born.processor.account if cause is Cause.BRAKE else born.processor.name}",
            role="dpo",
            subject=f"Held: {cause.replace('_', ' ')} ({born.processor.title})",
            body=f"{HELD_BECAUSE[cause]} Nothing of it is sent until a named person decides; the legal dates run on. "
            f"`dpsync status` shows what is held. For the first of today: `{release}`, or to stop it "
            f"`dpsync withdraw {request_id} {by}`.",
            now=now,
            zone=controller.zone,
        )


HELD_BECAUSE = {
    Cause.BRAKE: "More was asked of one account in 24 hours than [safety] irreversible_per_day allows: "
    "a fault in the main database or a stolen secret looks like this.",
    Cause.APPROVAL: "An erasure waits for a person's yes.",
    Cause.SHARED_ADDRESS: "An erasure names an address that another person in the main database uses too.",
    Cause.RESTRICTION_IN_FORCE: "An erasure was asked while the processing of this person is restricted (Art. 18).",
    Cause.CONTACT_UNVERIFIED: "A notice would carry personal data to a contact that has not confirmed itself yet.",
}


def _meet_restrictions(
    unit: Unit,
    controller: Controller,
    request: Request,
    who: Identity,
    history: list[lanes.LaneRow],
    now: datetime,
) -> None:
    """A restriction that comes in holds the erasures of that person that have not gone yet; lifting releases none."""
    if request.right is not Right.RESTRICTION:
        return
    erasures = [row for row in history if row.waiting.right is Right.ERASURE]
    own = [row for row in erasures if may_be_same(row.waiting.person, who.person)]
    if request.lifted:
        held = [row.waiting.id for row in own if Cause.RESTRICTION_IN_FORCE in row.causes]
        if held:
            p, by = t.propagation.c, "--by NAME --reason WHY"
            rows = unit.connection.execute(select(p.request_id, p.processor).where(p.id.in_(held))).all()
            erasure = rows[0].request_id
            names = " ".join(sorted(row.processor for row in rows if row.request_id == erasure))
            raise_alert(
                unit.connection,
                cause="lifted-with-erasure-held",
                role="dpo",
                subject="A restriction was lifted while an erasure is held for it",
                body="Lifting does not release the erasure. Decide: "
                f"`dpsync release {erasure} {names} {by}`, or to stop it `dpsync withdraw {erasure} {by}`.",
                now=now,
                zone=controller.zone,
            )
        return
    everything = [row.waiting for row in lanes.lane_of(unit.connection, who.subject_id)]
    if not restriction_in_force(everything, who.person):
        return
    for row in own:
        if row.waiting.state in {State.PENDING, State.HELD} and not row.on_its_way:
            hold = Decision(DecisionKind.HOLD, frozenset({Cause.RESTRICTION_IN_FORCE}))
            record.record(unit, controller, row.waiting.id, hold, now)
