"""Where dpsync itself sees what may be a breach of personal data, and proposes an incident: each cause once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, or_, select

from dpsync import key_register
from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.cases.incidents import Incident, IncidentKind, incidents, propose
from dpsync.model import Right, State
from dpsync.propagation.controller import Controller
from dpsync.propagation.questions import Outcome
from dpsync.propagation.rules.lifecycle import AnswerKind
from dpsync.store import tables as t
from dpsync.store.writer import Unit

SAYS = {
    IncidentKind.MISTAKEN_ERASURE: "an erasure was taken back after a processor had been told, so data may be gone",
    IncidentKind.WRONG_RECIPIENT: "whoever got our letter says that it went to the wrong recipient",
    IncidentKind.LOST_KEY: "a key is lost, so requests that were sealed with it cannot be read",
    IncidentKind.OTHER: "something else",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """A cause. `name` tells it from every other, for good."""

    kind: IncidentKind
    name: str
    at: datetime
    about: tuple[str, ...]


def unproposed(connection: Connection, controller: Controller, now: datetime) -> list[Seen]:
    """What may be a breach and was not proposed before."""
    return _unknown(connection, causes(connection, controller, now))


def propose_all(unit: Unit, controller: Controller, seen: Sequence[Seen], now: datetime) -> list[Incident]:
    """Propose what is still not proposed, and tell the data protection officer at once. Gives what is new."""
    unknown = _unknown(unit.connection, seen) if seen else []
    new = [propose(unit, controller, one.kind, one.name, one.at, one.about, now) for one in unknown]
    if new:
        _tell(unit, controller, new, now)
    return new


def _unknown(connection: Connection, seen: Iterable[Seen]) -> list[Seen]:
    known = {one.cause for one in incidents(connection)}
    return [one for name, one in {one.name: one for one in seen}.items() if name not in known]


def causes(connection: Connection, controller: Controller, now: datetime) -> Iterator[Seen]:
    """Everything in the database that may be a breach."""
    yield from _mistaken_erasures(connection)
    yield from _wrong_recipients(connection)
    shut = key_register.shut(connection, controller.keys)
    # What a back-up brings back of a month whose key was destroyed on purpose was forgotten before: no breach.
    for month in sorted(shut.keys() - key_register.destroyed(connection, controller.keys).keys()):
        r = t.request.c
        about = connection.execute(select(r.id).where(r.key_month == month, r.wrapped_key.is_not(None))).scalars()
        yield Seen(IncidentKind.LOST_KEY, f"key/{month}", now, tuple(about))


def _mistaken_erasures(connection: Connection) -> Iterator[Seen]:
    d, w, p, r = t.decision.c, t.withdrawal.c, t.propagation.c, t.request.c
    gone = or_(p.touched, p.state.in_([State.APPLIED.value, State.DECLARED_DONE.value, State.VERIFIED.value]))
    reached = select(p.request_id).where(p.request_id == r.id, gone).exists()
    erasures = (r.right == Right.ERASURE.value) & reached
    ours = select(r.id, d.at).join(t.decision, d.request_id == r.id).where(erasures, d.kind == Outcome.WITHDRAWN.value)
    theirs = select(r.id, w.at).join(t.withdrawal, w.request_id == r.id).where(erasures)
    first: dict[str, datetime] = {}
    for row in (*connection.execute(ours), *connection.execute(theirs)):
        first[row.id] = min(row.at, first.get(row.id, row.at))
    for request_id, at in sorted(first.items(), key=lambda one: one[1]):
        yield Seen(IncidentKind.MISTAKEN_ERASURE, f"withdrawn/{request_id}", at, (request_id,))


def _wrong_recipients(connection: Connection) -> Iterator[Seen]:
    a, p = t.answer.c, t.propagation.c
    found = select(p.request_id, p.processor, a.at).join(t.answer, a.propagation_id == p.id)
    for row in connection.execute(found.where(a.kind == AnswerKind.WRONG_RECIPIENT.value).order_by(a.id)):
        name = f"recipient/{row.request_id}/{row.processor}"
        yield Seen(IncidentKind.WRONG_RECIPIENT, name, row.at, (row.request_id,))


def _tell(unit: Unit, controller: Controller, new: list[Incident], now: datetime) -> None:
    raise_alert(
        unit.connection,
        cause=AlertCause.INCIDENT_PROPOSED,
        role="dpo",
        subject="This may be a breach of personal data: 72 hours run",
        body="Decide whether it is one. If it is, the authority must hear of it within 72 hours, unless there is no "
        "risk to anybody (Art. 33). dpsync notifies nobody. `dpsync incident open ID --what WORDS --by NAME` "
        "records what happened; `dpsync incident close ID --finding not_a_breach --by NAME --reason WHY` dismisses it.",
        now=now,
        zone=controller.zone,
        concerns=[
            Concern(
                one.id,
                f"{one.id}: {SAYS[one.kind]}{', request ' + ', '.join(one.about[:3]) if one.about else ''}; "
                f"72 hours end {one.limit_at.astimezone(controller.zone):%d %b %Y, %H:%M}",
            )
            for one in new
        ],
    )
