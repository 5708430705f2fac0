"""The only writer of a state: row, entry, evidence and alert in one transaction.

Everything here runs inside a unit of the one writer, so what it reads cannot change under it.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, exists, func, insert, or_, select, update

from dpsync.alerts import raise_alert
from dpsync.connector import Evidence, HandOver, Processor, Retryable
from dpsync.ledger import entry
from dpsync.ledger.entry import Event
from dpsync.model import CLOSED_STATES, DONE_STATES, Cause, Request, Right, Rung, State, Way, normalised
from dpsync.propagation import backoff
from dpsync.propagation.alert_texts import ALERTS
from dpsync.propagation.contacts import is_confirmed
from dpsync.propagation.controller import Controller
from dpsync.propagation.lifecycle import Decision, DecisionKind, Happening, Next, Position, Step, advance
from dpsync.propagation.plan import Waiting
from dpsync.sealing import RequestKey
from dpsync.store import tables as t
from dpsync.store.upsert import insert_or_ignore
from dpsync.store.writer import Unit

jitter = random.SystemRandom().random


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A propagation of one subject, as the order and the brake see it."""

    waiting: Waiting
    account_id: str
    causes: frozenset[Cause]
    on_its_way: bool
    """An attempt is unanswered or in doubt: nobody can say that nothing has gone."""


@dataclass(frozen=True, slots=True)
class Attempted:
    """Which attempt a happening answers, and how it is to be charged."""

    id: int
    number: int
    charged: bool = True


@dataclass(frozen=True, slots=True)
class Author:
    """Who decided or answered, as far as the ledger may know: commitments are made of it, never the text."""

    by: str
    reason: str


def lane_of(connection: Connection, subject_id: str, account_id: str | None = None) -> list[LaneRow]:
    """All propagations of a subject (at one account, or everywhere), finished ones included, oldest first."""
    p, r = t.propagation.c, t.request.c
    unanswered = exists().where(t.attempt.c.propagation_id == p.id, t.attempt.c.ended_at.is_(None))
    query = (
        select(
            p.id,
            p.ordinal,
            p.right,
            p.lifting,
            r.source,
            p.version,
            p.person,
            p.state,
            p.attempts,
            p.account_id,
            p.causes,
            p.doubtful,
            unanswered.label("unanswered"),
        )
        .join(t.request, r.id == p.request_id)
        .where(p.subject_id == subject_id)
        .order_by(p.ordinal)
    )
    if account_id is not None:
        query = query.where(p.account_id == account_id)
    return [
        LaneRow(
            Waiting(
                id=row.id,
                ordinal=row.ordinal,
                right=Right(row.right),
                lifting=row.lifting,
                source=row.source,
                version=row.version,
                person=row.person,
                state=State(row.state),
                tried=row.attempts > 0,
            ),
            row.account_id,
            causes_of(row.causes),
            bool(row.doubtful or row.unanswered),
        )
        for row in connection.execute(query)
    ]


def causes_text(causes: frozenset[Cause]) -> str:
    """Causes as they stand in a column and in an entry."""
    return ",".join(sorted(causes))


def causes_of(text: str) -> frozenset[Cause]:
    """The causes that a column holds."""
    return frozenset(Cause(name) for name in text.split(",") if name)


def subject_commitment(request: Request, commit_key: bytes) -> str:
    """What the ledger holds of the subject: opened by whoever has the request's key and the address (or the id)."""
    named = request.addresses
    if request.subject.email or named:
        return entry.commitment(commit_key, normalised(request.subject.email or named[0]))
    return entry.commitment(commit_key, request.subject.id or request.subject.phone or "")


def request_key(controller: Controller, row: Any) -> RequestKey | None:
    """The key of a request, None once it is shredded. `row` has id, wrapped_key and key_month of the request."""
    if row.wrapped_key is None:
        return None
    return controller.keys.unwrap(row.wrapped_key, row.request_id, row.key_month)


def record(
    unit: Unit,
    controller: Controller,
    propagation_id: int,
    happening: Happening,
    now: datetime,
    *,
    attempt: Attempted | None = None,
    author: Author | None = None,
    cause: str = "",
) -> Step:
    """Let `happening` happen to one propagation. Raises what `lifecycle.advance` raises; then nothing is written."""
    row = _row(unit.connection, propagation_id)
    processor = controller.processors.get(row.processor)
    step = advance(_position(unit.connection, controller, row, processor, happening), happening, now)
    key = request_key(controller, row)
    commit_key = key.commit_key if key else b""
    _update(unit.connection, controller, row, happening, step, attempt, now)
    digest = _keep_evidence(unit.connection, happening, attempt, commit_key)
    _append(unit, row, happening, step, attempt, author, cause, digest, commit_key, now)
    _make_next_due(unit.connection, row, happening, step, now)
    _note_account(unit.connection, row.account_id, happening, now)
    _close_or_reopen(unit.connection, row.request_id, now)
    if step.alert:
        alert(unit.connection, controller, step.alert, row.request_id, row.processor, processor, now)
    return step


def _row(connection: Connection, propagation_id: int) -> Row[Any]:
    p, r = t.propagation.c, t.request.c
    query = (
        select(t.propagation, r.wrapped_key, r.key_month)
        .join(t.request, r.id == p.request_id)
        .where(p.id == propagation_id)
    )
    return connection.execute(query).one()


def _position(
    connection: Connection, controller: Controller, row: Row[Any], processor: Processor | None, happening: Happening
) -> Position:
    right = Right(row.right)
    capability = processor.connector.capabilities.get(right) if processor else None
    asked = isinstance(happening, HandOver) and processor is not None
    return Position(
        right=right,
        state=State(row.state),
        way=Way(row.way),
        rung=Rung(row.rung),
        causes=causes_of(row.causes),
        doubtful=row.doubtful,
        defects=row.defects,
        rereads=row.rereads,
        lifting=row.lifting,
        verifiable=bool(capability and capability.verified_by),
        contact_confirmed=not (asked and processor) or is_confirmed(connection, controller, processor),
        answer_within=processor.answer_within if processor else timedelta(days=10),
    )


def _update(
    connection: Connection,
    controller: Controller,
    row: Row[Any],
    happening: Happening,
    step: Step,
    attempt: Attempted | None,
    now: datetime,
) -> None:
    values: dict[str, Any] = {
        "state": step.state,
        "causes": causes_text(step.causes),
        "rung": step.rung,
        "way": step.way,
        "doubtful": step.doubtful,
        "defects": step.defects,
        "rereads": step.rereads,
        "reason": step.reason,
    }
    if not step.keep_timer:
        values |= {"timer": step.timer or "", "timer_at": step.timer_at}
    if step.state != row.state:
        values["state_since"] = now
    if attempt and attempt.charged:
        values["attempts"] = row.attempts + 1
    if row.told_at is None and step.rung >= Rung.SENT:
        values["told_at"] = now
    if row.done_at is None and step.state in DONE_STATES:
        values["done_at"] = now
    if isinstance(happening, HandOver):
        values["task"] = happening.task
        values["handed"] = controller.keys.seal(
            "handed", "\n".join(happening.references).encode(), f"{row.request_id}/{row.processor}".encode()
        )
    if step.event in {Event.NOTICE_SENT, Event.REMINDED}:
        values["notices"] = row.notices + 1
        number = row.notices + 1
        connection.execute(
            update(t.notice).where(t.notice.c.propagation_id == row.id, t.notice.c.number == number).values(sent_at=now)
        )
    if step.event is Event.NOTICE_SENT and step.timer_at:
        values["answer_by"] = now + 2 * (step.timer_at - now)
    connection.execute(update(t.propagation).where(t.propagation.c.id == row.id).values(**values))
    if attempt:
        connection.execute(
            update(t.attempt)
            .where(t.attempt.c.id == attempt.id)
            .values(
                ended_at=now,
                outcome=func.trim(t.attempt.c.outcome + " " + type(happening).__name__),
                reason=step.reason,
            )
        )


def _keep_evidence(connection: Connection, happening: Happening, attempt: Attempted | None, commit_key: bytes) -> str:
    kept: Sequence[Evidence] = getattr(happening, "evidence", ())
    if not kept or attempt is None:
        return ""
    from_reading = type(happening).__name__ in {"AsAsked", "Contradicts", "CannotTell"}
    rows: list[dict[str, Any]] = [
        {
            "endpoint": one.endpoint,
            "scope": one.scope,
            "status": one.status,
            "request_id": entry.safe(one.request_id),
            "at": one.at,
            "digest": one.digest,
            "note": one.note,
        }
        for one in kept
    ]
    part = "finding" if from_reading else "outcome"
    connection.execute(
        insert(t.evidence),
        [{"attempt_id": attempt.id, "part": part, "seq": seq, **row} for seq, row in enumerate(rows)],
    )
    return entry.resp_digest(commit_key, [canonical(row) for row in rows])


def canonical(row: Mapping[str, Any]) -> dict[str, str | int | None]:
    """An evidence row in the form that its digest in the ledger is made of."""
    names = ("endpoint", "scope", "status", "request_id", "digest", "note")
    microseconds = (row["at"] - t.EPOCH) // timedelta(microseconds=1)
    return {**{name: row[name] for name in names}, "at": microseconds}


def _append(
    unit: Unit,
    row: Row[Any],
    happening: Happening,
    step: Step,
    attempt: Attempted | None,
    author: Author | None,
    cause: str,
    digest: str,
    commit_key: bytes,
    now: datetime,
) -> None:
    fields: dict[str, str | int] = {"req": row.request_id, "dest": row.processor, "right": row.right}
    fields |= {"rung": int(step.rung), "way": step.way.value}
    if attempt:
        fields["attempt"] = attempt.number
    if digest:
        fields["resp"] = digest
        last: Evidence = happening.evidence[-1]  # type: ignore[union-attr]  # because a digest is only made of evidence
        if last.status is not None:
            fields["http"] = last.status
        if last.request_id:
            fields["ref"] = entry.safe(last.request_id)
    if author:
        fields["by"] = entry.commitment(commit_key, author.by)
        fields["why"] = entry.commitment(commit_key, author.reason)
    told = cause or causes_text(step.causes)
    if told:
        fields["cause"] = told
    unit.append(row.request_id, entry.encode(step.event, now, **fields))


# --- when it goes on


def make_lane_due(
    connection: Connection, account_id: str, subject_id: str, due_at: datetime, *, hurry: bool, attempts: int = 0
) -> None:
    """See that a lane stands, due at the latest at `due_at`; without `hurry` a backoff that runs is kept."""
    made = insert_or_ignore(
        connection,
        t.lane,
        {"account_id": account_id, "subject_id": subject_id, "due_at": due_at, "attempts": attempts},
    )
    if not made and hurry:
        connection.execute(
            update(t.lane).where(_lane(account_id, subject_id), t.lane.c.due_at > due_at).values(due_at=due_at)
        )


def _lane(account_id: str, subject_id: str) -> Any:
    return and_(t.lane.c.account_id == account_id, t.lane.c.subject_id == subject_id)


def _make_next_due(connection: Connection, row: Row[Any], happening: Happening, step: Step, now: datetime) -> None:
    here = _lane(row.account_id, row.subject_id)
    if step.state is not State.PENDING:
        if row.state != State.PENDING:
            return
        more = select(t.propagation.c.id).where(
            t.propagation.c.account_id == row.account_id,
            t.propagation.c.subject_id == row.subject_id,
            t.propagation.c.state == State.PENDING,
        )
        if connection.execute(more.limit(1)).first() is None:
            connection.execute(delete(t.lane).where(here))
        else:
            connection.execute(update(t.lane).where(here).values(due_at=now, attempts=0))
        return
    match step.next:
        case Next.NOW:
            make_lane_due(connection, row.account_id, row.subject_id, now, hurry=True)
        case Next.BACKOFF:
            attempts = connection.execute(select(t.lane.c.attempts).where(here)).scalar_one_or_none() or 0
            wait = backoff.delay(attempts + 1, jitter())
            if isinstance(happening, Retryable) and happening.retry_after:
                wait = max(wait, min(happening.retry_after, timedelta(hours=24)))
            make_lane_due(connection, row.account_id, row.subject_id, now + wait, hurry=False)
            connection.execute(update(t.lane).where(here).values(due_at=now + wait, attempts=attempts + 1))
        case Next.ACCOUNT | Next.NOTHING:
            make_lane_due(connection, row.account_id, row.subject_id, now, hurry=False)


def _note_account(connection: Connection, account_id: str, happening: Happening, now: datetime) -> None:
    """Keep the account's health: what concerns the whole account moves one row, whatever the backlog."""
    account = t.account.c
    if isinstance(happening, Retryable):
        failures = (
            connection.execute(select(account.failures).where(account.id == account_id)).scalar_one_or_none() or 0
        ) + 1
        values: dict[str, Any] = {"failures": failures}
        if happening.busy:
            values["paused_until"] = now + backoff.account_pause(failures, happening.retry_after, jitter())
        elif failures >= backoff.CIRCUIT_OPENS_AT:
            values["paused_until"] = now + backoff.account_pause(
                failures - backoff.CIRCUIT_OPENS_AT + 1, None, jitter()
            )
        connection.execute(update(t.account).where(account.id == account_id).values(**values))
    elif getattr(happening, "evidence", ()):
        connection.execute(
            update(t.account)
            # Answers to calls that were under way when the processor asked for a pause do not end the pause.
            .where(
                account.id == account_id,
                account.failures > 0,
                or_(account.paused_until.is_(None), account.paused_until <= now),
            )
            .values(failures=0, paused_until=None)
        )


def _close_or_reopen(connection: Connection, request_id: str, now: datetime) -> None:
    p = t.propagation.c
    open_count = connection.execute(
        select(func.count()).where(p.request_id == request_id, p.state.not_in([state.value for state in CLOSED_STATES]))
    ).scalar_one()
    r = t.request.c
    if open_count:
        connection.execute(update(t.request).where(r.id == request_id, r.closed_at.is_not(None)).values(closed_at=None))
    else:
        connection.execute(update(t.request).where(r.id == request_id, r.closed_at.is_(None)).values(closed_at=now))


# --- alerts, and what is not about one propagation


def alert(
    connection: Connection,
    controller: Controller,
    cause: str,
    request_id: str,
    name: str,
    processor: Processor | None,
    now: datetime,
) -> None:
    """One alert a cause, processor and day: the first request is named, `dpsync status` shows them all."""
    role, subject, body = ALERTS[cause]
    title = processor.title if processor else name
    raise_alert(
        connection,
        cause=f"{cause}:{name}",
        role=role,
        subject=f"{subject} ({title})",
        body=f"{body} First seen at request {request_id}. `dpsync status {request_id}`",
        now=now,
        zone=controller.zone,
    )


def supersede(unit: Unit, controller: Controller, rows: Sequence[Waiting], now: datetime) -> None:
    """Close what newer requests have overtaken before it was carried out."""
    for row in rows:
        record(unit, controller, row.id, Decision(DecisionKind.SUPERSEDE), now)
