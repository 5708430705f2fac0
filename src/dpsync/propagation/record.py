"""The only writer of a state: row, entry, evidence and alert in one transaction.

Everything here runs inside a unit of the one writer, so what it reads cannot change under it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, exists, func, insert, select, update

from dpsync.alerts import raise_alert
from dpsync.connector import Accepted, AsAsked, CannotTell, Contradicts, Evidence, HandOver, Processor, Refused
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.model import CLOSED_STATES, DONE_STATES, Right, Rung, State, Way
from dpsync.propagation.alert_texts import alert_text
from dpsync.propagation.commitments import Author, Beside, calls_digest, calls_of, commit_key_of, rows_said
from dpsync.propagation.contacts import is_confirmed
from dpsync.propagation.controller import Controller
from dpsync.propagation.queue import allowance, due, lanes
from dpsync.propagation.queue.lanes import causes_of, causes_text
from dpsync.propagation.rounds import is_heard
from dpsync.propagation.rules.event import reason_after
from dpsync.propagation.rules.lifecycle import Answer, Decision, DecisionKind, Event, Position, Step, Timer, advance
from dpsync.propagation.rules.plan import Waiting
from dpsync.store import tables as t
from dpsync.store.writer import Unit

_P, _R, _A = t.propagation.c, t.request.c, t.account.c
_ROWS = (
    select(t.propagation, _R.wrapped_key, _R.key_month, _R.closed_at, _A.failures, _A.blocked_since)
    .join(t.request, _R.id == _P.request_id)
    .outerjoin(t.account, _A.id == _P.account_id)
    .where(_P.id.in_(bindparam("propagation_ids", expanding=True)))
)
_CHANGED = (
    "state",
    "causes",
    "released",
    "rung",
    "way",
    "doubtful",
    "touched",
    "defects",
    "rereads",
    "reason",
    "state_since",
    "attempts",
    "told_at",
    "done_at",
    "task",
    "handed",
    "notices",
    "answer_by",
    "timer",
    "timer_at",
    "brake_at",
    "released_contact",
)
_UPDATE = (
    update(t.propagation)
    .where(_P.id == bindparam("propagation_id"))
    .values({name: bindparam(f"new_{name}") for name in _CHANGED})
)
_END_ATTEMPT = (
    update(t.attempt)
    .where(t.attempt.c.id == bindparam("attempt_id"))
    .values({name: bindparam(f"new_{name}") for name in ("ended_at", "outcome", "reason")})
)
_OPEN_STATES = [state.value for state in State if state not in CLOSED_STATES]
# Never the moment of whoever happened to write last: that one may have looked at the clock before it waited its turn.
_CAME_TO_REST = select(func.max(_P.state_since)).where(_P.request_id == _R.id).scalar_subquery()
_CLOSE = (
    update(t.request)
    .where(
        _R.id.in_(bindparam("requests", expanding=True)),
        _R.closed_at.is_(None),
        ~exists().where(_P.request_id == _R.id, _P.state.in_(_OPEN_STATES)),
    )
    .values(closed_at=_CAME_TO_REST)
)


@dataclass(frozen=True, slots=True)
class Attempted:
    """Which attempt an event answers, and how it is to be charged."""

    id: int
    number: int
    charged: bool = True


@dataclass(frozen=True, slots=True)
class Update:
    """What happened to one propagation, in order: for an attempt its outcome, then what our own reading showed.

    `beside`: the rows that were written of it, which its entry commits to. `contact`: the pseudonym of whom a release
    meant, where that is remembered.
    """

    propagation_id: int
    events: Sequence[Event]
    now: datetime
    attempt: Attempted | None = None
    author: Author | None = None
    cause: str = ""
    beside: Sequence[Beside] = ()
    contact: str = ""


def record(
    unit: Unit,
    controller: Controller,
    propagation_id: int,
    event: Event,
    now: datetime,
    *,
    attempt: Attempted | None = None,
    author: Author | None = None,
    cause: str = "",
    beside: Sequence[Beside] = (),
    contact: str = "",
) -> Step:
    """Let `event` happen to one propagation. Raises what `lifecycle.advance` raises; then nothing is written."""
    one = Update(propagation_id, [event], now, attempt, author, cause, beside, contact)
    return record_all(unit, controller, [one])[0]


def record_all(unit: Unit, controller: Controller, many: Sequence[Update]) -> list[Step]:
    """The same for many propagations, each named once: a statement is asked once for all of them.

    See `attempts` for what that saves.
    """
    connection = unit.connection
    ids = [one.propagation_id for one in many]
    if len(set(ids)) < len(ids):
        raise ValueError("one propagation twice: the second would not see what happened to it first")
    rows = {row["id"]: dict(row) for row in connection.execute(_ROWS, {"propagation_ids": ids}).mappings()}
    failures = {row["account_id"]: row["failures"] or 0 for row in rows.values()}
    kept: list[dict[str, Any]] = []
    before = {number: State(row["state"]) for number, row in rows.items()}
    steps = [_happen(unit, controller, rows[one.propagation_id], one, failures, kept) for one in many]
    if kept:
        connection.execute(_KEEP, kept)
    pairs = zip(many, steps, strict=True)
    if ended := [_end(one.attempt, _ended(one, step)) for one, step in pairs if one.attempt]:
        connection.execute(_END_ATTEMPT, ended)
    connection.execute(_UPDATE, [_changed(rows[number]) for number in ids])
    left: list[tuple[str, str]] = []
    closed: list[str] = []
    for one, step in zip(many, steps, strict=True):
        row = rows[one.propagation_id]
        if step.state is State.PENDING:
            due.make_next_due(connection, row, one.events[-1], step, one.now)
        elif before[one.propagation_id] is State.PENDING:
            left.append((row["account_id"], row["subject_id"]))
        if step.state in CLOSED_STATES and row["closed_at"] is None:
            closed.append(row["request_id"])
        elif step.state not in CLOSED_STATES and row["closed_at"] is not None:
            connection.execute(update(t.request).where(_R.id == row["request_id"]).values(closed_at=None))
    lanes.leave_lanes(connection, left, max(one.now for one in many))
    if closed:
        connection.execute(_CLOSE, {"requests": closed})
    return steps


def _happen(
    unit: Unit,
    controller: Controller,
    row: dict[str, Any],
    one: Update,
    failures: dict[str, int],
    kept: list[dict[str, Any]],
) -> Step:
    """What it makes of the row, in memory, and its entries; the evidence is added to what is kept."""
    processor = controller.processors.get(row["processor"])
    commit_key = commit_key_of(controller, row)
    at = _position(row, processor)
    step: Step | None = None
    if one.attempt:
        row["attempts"] += one.attempt.charged and not due.is_of_the_account(one.events[0])
    beside = list(one.beside)
    for event in one.events:
        if isinstance(event, Decision) and _is_under_way(unit.connection, row["id"]):
            at = replace(at, doubtful=True)  # nobody can say that nothing has gone
        if isinstance(event, (Answer, Refused)) and at.way is Way.NOTICE:
            by_link = is_heard(unit.connection, row["id"], by_link=True)
            # Who records by hand that it came back has weighed what was said before.
            heard = not one.author and (by_link or is_heard(unit.connection, row["id"]))
            at = replace(at, heard=heard, by_link=by_link)
        if isinstance(event, HandOver) and processor is not None:
            at = replace(
                at, contact_confirmed=is_confirmed(unit.connection, controller, processor.name, processor.contact)
            )
        # What follows the outcome is our own reading, also where the credential was rejected in it.
        reading = isinstance(event, (AsAsked, Contradicts, CannotTell)) or step is not None
        step = advance(at, event, one.now)
        part = "finding" if reading else "outcome"
        calls = calls_of(event, one.attempt.id, part) if one.attempt else []
        kept += calls
        digest = calls_digest(commit_key, calls)
        beside += _change(unit.connection, controller, row, event, at, step, one)
        if one.attempt and event is one.events[-1]:
            beside.append(("ended", {"number": one.attempt.number, **_ended(one, step)}))
        _append(unit, row, event, step, one, (part, digest), commit_key, beside)
        beside.clear()
        if due.note_account(unit.connection, row, event, failures, one.now):
            alert(unit.connection, controller, "blocked", row["request_id"], row["account_id"], processor, one.now)
        if step.alert:
            whose = (row["request_id"], row["processor"], processor)
            alert(unit.connection, controller, step.alert, *whose, one.now, step.reason)
        at = _position(row, processor)
    if step is None:
        raise ValueError("nothing happened")
    return step


def _ended(one: Update, step: Step) -> dict[str, Any]:
    said = " ".join(type(event).__name__ for event in one.events)
    return {"ended_at": one.now, "outcome": said, "reason": step.reason}


def _end(attempt: Attempted, values: Mapping[str, Any]) -> dict[str, Any]:
    return {"attempt_id": attempt.id, **{f"new_{name}": value for name, value in values.items()}}


def _changed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"propagation_id": row["id"], **{f"new_{name}": row[name] for name in _CHANGED}}


def _position(row: Mapping[str, Any], processor: Processor | None) -> Position:
    right = Right(row["right"])
    capability = processor.connector.capabilities.get(right) if processor else None
    return Position(
        right=right,
        state=State(row["state"]),
        way=Way(row["way"]),
        rung=Rung(row["rung"]),
        causes=causes_of(row["causes"]),
        doubtful=row["doubtful"],
        touched=row["touched"],
        told=row["told_at"] is not None,
        defects=row["defects"],
        rereads=row["rereads"],
        lifting=row["lifting"],
        controller=processor is not None and processor.is_controller,
        verifiable=bool(capability and capability.verified_by),
        answer_within=processor.answer_within if processor else timedelta(days=10),
        answer_by=row["answer_by"],
        timer=Timer(row["timer"]) if row["timer"] else None,
    )


def _is_under_way(connection: Connection, propagation_id: int) -> bool:
    of_it = t.attempt.c.propagation_id == propagation_id
    unanswered = select(t.attempt.c.id).where(of_it, t.attempt.c.ended_at.is_(None))
    return connection.execute(unanswered.limit(1)).first() is not None


def _change(
    connection: Connection,
    controller: Controller,
    row: dict[str, Any],
    event: Event,
    at: Position,
    step: Step,
    one: Update,
) -> list[Beside]:
    """What the step makes of the row, in memory; it is written once, when all has happened.

    Gives the letter that was sent by it.
    """
    now, done_before = one.now, row["state"] in DONE_STATES
    if step.state != row["state"]:
        row["state_since"] = now
    row |= {
        "state": step.state.value,
        "causes": causes_text(step.causes),
        "rung": int(step.rung),
        "way": step.way.value,
        **{name: getattr(step, name) for name in ("doubtful", "touched", "defects", "rereads")},
        "brake_at": row["brake_at"] if step.touched or step.state not in allowance.GIVEN_BACK else None,
        "reason": reason_after(row["reason"], at, step),
    }
    if not step.keep_timer:
        row |= {"timer": step.timer.value if step.timer else "", "timer_at": step.timer_at}
    row["told_at"] = (row["told_at"] or now) if step.told else None
    # What was contradicted was not done: it counts from when it is done again, or a late end would look timely.
    if step.state in DONE_STATES and not (done_before and row["done_at"]):
        row["done_at"] = now
    if isinstance(event, Decision) and event.kind is DecisionKind.RELEASE:
        row["released"] = causes_text(causes_of(row["released"]) | event.causes)
        # The yes was to this address. The second contact, or another one next week, must confirm itself or be named.
        row["released_contact"] = one.contact or row["released_contact"]
    if isinstance(event, HandOver):
        row["task"] = event.task
        row["handed"] = controller.keys.seal(
            "handed", "\n".join(event.references).encode(), f"{row['request_id']}/{row['processor']}".encode()
        )
    if step.answer_by:
        row["answer_by"] = step.answer_by
    # Also where the answer was quicker than our keeping the mail host's word: of a letter told twice the first counts.
    if step.entry in {EntryKind.NOTICE_SENT, EntryKind.REMINDED} or (isinstance(event, Accepted) and event.digest):
        n = t.notice.c
        written = select(func.max(n.number)).where(n.propagation_id == row["id"])
        row["notices"] = max(row["notices"], connection.execute(written).scalar_one() or 0)
        latest = (n.propagation_id == row["id"]) & (n.number == row["notices"]) & n.sent_at.is_(None)
        sent = {"sent_at": now, "digest": getattr(event, "digest", "")}
        if connection.execute(update(t.notice).where(latest).values(**sent)).rowcount:
            return [("sent", {"number": row["notices"], **sent})]
    return []


_KEEP = insert(t.evidence)


def _append(
    unit: Unit,
    row: Mapping[str, Any],
    event: Event,
    step: Step,
    one: Update,
    calls: tuple[str, str],
    commit_key: bytes,
    beside: Sequence[Beside],
) -> None:
    fields: dict[str, str | int] = {"req": row["request_id"], "dest": row["processor"], "right": row["right"]}
    fields |= {"state": step.state.value, "rung": int(step.rung), "told": int(step.told), "way": step.way.value}
    if one.attempt:
        fields["attempt"] = one.attempt.number
    part, digest = calls
    if digest:
        fields |= {"resp": digest, "kind": part}
        last: Evidence = event.evidence[-1]  # type: ignore[union-attr]  # because a digest is only made of evidence
        if last.status is not None:
            fields["http"] = last.status
        if last.request_id:
            fields["ref"] = entry.safe(last.request_id)
    if one.author and commit_key:
        fields |= one.author.said(commit_key)
    if isinstance(event, Answer) and event.digest and commit_key:
        fields["digest"] = entry.commitment(commit_key, event.digest)
    if told := one.cause or causes_text(step.causes):
        fields["cause"] = told
    if commit_key:
        fields["rows"] = rows_said(commit_key, [("propagation", row), *beside])
    unit.append(row["request_id"], entry.encode(step.entry, one.now, **fields))


# --- alerts, and what is not about one propagation


def alert(
    connection: Connection,
    controller: Controller,
    cause: str,
    request_id: str,
    name: str,
    processor: Processor | None,
    now: datetime,
    reason: str = "",
) -> None:
    """Tell of one propagation; all of one cause are one alert a day."""
    told = alert_text(cause, request_id, name, processor.title if processor else name, reason)
    raise_alert(
        connection,
        cause=cause,
        role=told.role,
        subject=told.subject,
        body=told.body,
        now=now,
        zone=controller.zone,
        concerns=[told.concern],
        at_once=told.at_once,
    )


def supersede(unit: Unit, controller: Controller, rows: Sequence[Waiting], now: datetime) -> None:
    """Close what newer requests have overtaken before it was carried out."""
    for row in rows:
        record(unit, controller, row.id, Decision(DecisionKind.SUPERSEDE), now)
