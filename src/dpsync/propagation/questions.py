"""What people of the controller are asked by link: one question a request and role, planned with what it asks about.

A link is a question's random id and a signature over whom it asks, about which request, and until when. So nobody makes
or prolongs a link with the database alone.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, update

from dpsync.alerts import day_of
from dpsync.model import Cause, Mode, Role, State
from dpsync.propagation import came_back, signed_links
from dpsync.propagation.controller import Controller
from dpsync.propagation.points import CREDENTIAL, Point, QuestionKind, stuck_point, subject_of
from dpsync.store import tables as t
from dpsync.store.beside import alone
from dpsync.store.question_tables import question

LINK_VALID: Final = timedelta(days=7)
"""After it, what is still held is asked anew."""

MOST_A_DAY: Final = 10
"""Questions to one role in 24 hours. More at once is a flood, which needs a closer look: the daily alert lists them."""

UNMAILED_FOR: Final = timedelta(hours=1)
"""How long a question may wait for the mail host before the alert tells of it by every channel."""

STUCK: Final = frozenset({State.CONTRADICTED, State.ESCALATED})
"""What is not done, and does not go on by itself before the DPO has decided."""

STUCK_FOR: Final = timedelta(days=1)
"""How long it is so before the DPO is asked: an alert has told of it, and it may be dealt with already."""

ASKED: Final[Mapping[Role, frozenset[Cause]]] = MappingProxyType(
    {
        Role.DPO: frozenset(Cause) - {Cause.COOLING_OFF, Cause.CONTACT_UNVERIFIED},
        Role.DEPUTY: frozenset({Cause.APPROVAL}),
        Role.OPERATOR: frozenset({Cause.CONTACT_UNVERIFIED}),
    }
)
"""What each role may release from by link. Time ends a cooling-off. Most contacts confirm themselves."""

Q = question.c
_IN_ONE = 500  # SQLite takes a bounded number of parameters in one statement


class Outcome(StrEnum):
    """How a question ended."""

    OPEN = ""
    DECIDED = "decided"
    RELEASED = "release"
    WITHDRAWN = "withdraw"
    ELSEWHERE = "elsewhere"
    IN_PART = "in part"
    EXPIRED = "expired"
    LOCKED = "locked"
    REVOKED = "revoked"
    UNDELIVERABLE = "undeliverable"


_DEAD: Final = frozenset({Outcome.UNDELIVERABLE, Outcome.REVOKED})
"""Whose links open nothing, and do not say why."""

ANSWERED: Final = frozenset({Outcome.RELEASED, Outcome.WITHDRAWN, Outcome.DECIDED})
"""After these nobody is asked again. After `IN_PART` what is left is asked at once."""


# --- asking


def ask(connection: Connection, controller: Controller, wanted: Collection[Point], now: datetime) -> set[Point]:
    """Plan the questions that are not asked yet. Gives what a mail of today, or of the next minutes, asks the DPO.

    `wanted` are all of one subject.
    """
    if not wanted or not controller.asked or controller.safety.mode is Mode.OBSERVE:
        return set()
    alone(connection)  # how many a day are asked is counted first
    points: dict[str, set[Point]] = defaultdict(set)
    for point in wanted:
        points[point.request_id].add(point)
    earlier, told = _earlier(connection, sorted(points), subject_of(wanted)), set()
    for role in controller.asked:
        room = MOST_A_DAY - _asked_since(connection, role, now - timedelta(days=1))
        for request_id, here in points.items():
            mine = {point for point in here if may_decide(controller, role, point)}
            rows = earlier.get((request_id, role), [])
            running = next((row for row in rows if is_open(row, now)), None)
            if running is not None:
                told |= mine & points_of(running) if role is Role.DPO and _is_told(controller, running, now) else set()
            elif room > 0 and mine - _settled(rows, now):
                room -= 1
                _plan(connection, request_id, role, mine, now)
                told |= mine if role is Role.DPO else set()
    return told


def ask_again(connection: Connection, role: Role, point: Point, now: datetime) -> bool:
    """Plan the question that somebody asked for; False where one is on its way, or there were too many today."""
    rows = _earlier(connection, [point.request_id], QuestionKind.ASKED_FOR).get((point.request_id, role), [])
    if any(is_open(row, now) for row in rows):
        return False
    if _asked_since(connection, role, now - timedelta(days=1)) >= MOST_A_DAY:
        return False
    _plan(connection, point.request_id, role, [point], now)
    return True


def may_decide(controller: Controller, role: Role, point: Point) -> bool:
    """Whether a role is asked about this: the deputy only where two people must approve."""
    if point.why == CREDENTIAL:
        return role is technical_role(controller)
    if point.cause is None:
        return role is Role.DPO
    return may_release(controller, role, point.cause)


def may_release(controller: Controller, role: Role, cause: Cause) -> bool:
    """Whether a role may release from this cause by link."""
    if cause is Cause.CONTACT_UNVERIFIED:
        return role is technical_role(controller)
    return cause in ASKED[role] and (role is Role.DPO or controller.safety.approvals > 1)


def technical_role(controller: Controller) -> Role:
    """Who is asked what is technical: the operator, or the DPO where both have one address."""
    return Role.OPERATOR if Role.OPERATOR in controller.asked else Role.DPO


def points_of(row: Row[Any]) -> set[Point]:
    """What a question asked about."""
    pairs = (line.partition(" ") for line in row.asked.splitlines())
    return {Point(row.request_id, processor, why) for processor, _, why in pairs}


def is_open(row: Row[Any], now: datetime) -> bool:
    """Whether its link can still be used."""
    return bool(row.closed_at is None and row.expires_at > now)


def _is_told(controller: Controller, row: Row[Any], now: datetime) -> bool:
    if row.mailed_at is None:
        return bool(now - row.created_at < UNMAILED_FOR)
    return day_of(row.mailed_at, controller.zone) == day_of(now, controller.zone)


def _settled(rows: Iterable[Row[Any]], now: datetime) -> set[Point]:
    """What this role has answered already, or is better not asked again today."""
    spoiled = {Outcome.LOCKED, Outcome.REVOKED, Outcome.UNDELIVERABLE}
    yesterday = now - timedelta(days=1)
    settled = [
        row for row in rows if row.outcome in ANSWERED or (row.outcome in spoiled and row.created_at > yesterday)
    ]
    # What is technical may be so again. A credential that is rejected after the answer was not put right: whoever
    # answered must hear that at once. A contact who was named anew gets a day to confirm.
    return {
        point
        for row in settled
        for point in points_of(row)
        if point.subject is not QuestionKind.TECHNICAL
        or (row.created_at > yesterday and not (point.why == CREDENTIAL and row.outcome in ANSWERED))
    }


def _earlier(
    connection: Connection, ids: Sequence[str], subject: QuestionKind
) -> dict[tuple[str, str], list[Row[Any]]]:
    found: dict[tuple[str, str], list[Row[Any]]] = defaultdict(list)
    for at in range(0, len(ids), _IN_ONE):
        chosen = select(question).where(Q.request_id.in_(ids[at : at + _IN_ONE])).order_by(Q.created_at)
        for row in connection.execute(chosen):
            if subject_of(points_of(row)) is subject:
                found[row.request_id, row.role].append(row)
    return found


def _asked_since(connection: Connection, role: Role, since: datetime) -> int:
    recent = select(func.count()).where(Q.role == role, Q.created_at > since)
    return int(connection.execute(recent).scalar_one())


def _plan(connection: Connection, request_id: str, role: Role, points: Iterable[Point], now: datetime) -> None:
    values = {
        "id": signed_links.fresh_id(),
        "request_id": request_id,
        "role": role.value,
        "asked": "\n".join(sorted(f"{point.processor} {point.why}" for point in points)),
        "created_at": now,
        "expires_at": now + LINK_VALID,
    }
    connection.execute(insert(question).values(values))


# --- the link


def link_of(controller: Controller, row: Row[Any]) -> str:
    """Where a question is answered."""
    return f"{controller.public_url}/decisions/{signed_links.token(controller.keys, 'question', row.id, _said(row))}"


def found_by(connection: Connection, controller: Controller, token: str, now: datetime) -> Row[Any] | None:
    """The question of a link; None where nobody made it, or it is over its time, without a word as to which."""
    row = connection.execute(select(question).where(Q.id == signed_links.id_in(token))).one_or_none()
    good = signed_links.is_signed(controller.keys, "question", token, _said(row) if row else None)
    usable = row is not None and now < row.expires_at and row.outcome not in _DEAD
    return row if usable and good else None


def _said(row: Row[Any]) -> str:
    return f"{row.id}\n{row.request_id}\n{row.role}\n{row.expires_at.isoformat()}"


# --- how it ends


def close(connection: Connection, row: Row[Any], outcome: Outcome, now: datetime) -> None:
    """It is answered, or needs no answer any more; its link decides nothing from here on."""
    ended = {"closed_at": now, "outcome": outcome.value, "code_mac": ""}
    connection.execute(update(question).where(Q.id == row.id, Q.closed_at.is_(None)).values(ended))


def is_any_open(connection: Connection) -> bool:
    """Whether any question has not ended: nearly always none, and nothing need be written."""
    return connection.execute(select(Q.id).where(Q.closed_at.is_(None)).limit(1)).first() is not None


def not_ended(connection: Connection) -> list[Row[Any]]:
    """The questions that nobody has answered yet, the newest first."""
    return list(connection.execute(select(question).where(Q.closed_at.is_(None)).order_by(Q.created_at.desc(), Q.id)))


def close_what_is_decided(connection: Connection, now: datetime) -> None:
    """Close what was decided in another way since it was asked, and what is over its time."""
    running = connection.execute(select(question).where(Q.closed_at.is_(None))).all()
    left = waiting_now(connection, {row.request_id for row in running})
    left |= came_back.still_open(connection, {point for row in running for point in points_of(row)})
    for row in running:
        points = points_of(row)
        if subject_of(points) is not QuestionKind.ASKED_FOR and not points & left:
            close(connection, row, Outcome.ELSEWHERE, now)
        elif now >= row.expires_at:
            close(connection, row, Outcome.EXPIRED, now)


def waiting_now(connection: Connection, ids: Collection[str]) -> set[Point]:
    """For what these requests are held, and where they are stuck, at this moment."""
    p, found, wanted = t.propagation.c, set(), sorted(ids)
    columns = select(p.request_id, p.processor, p.state, p.causes, p.state_since, t.account.c.stopped)
    columns = columns.join(t.account, t.account.c.id == p.account_id)
    for at in range(0, len(wanted), _IN_ONE):
        of_them = p.request_id.in_(wanted[at : at + _IN_ONE]) & p.state.in_([State.HELD, State.PENDING, *STUCK])
        for row in connection.execute(columns.where(of_them)):
            if row.state == State.HELD:
                found |= {Point(row.request_id, row.processor, one) for one in row.causes.split(",") if one}
            elif row.state == State.PENDING:
                found |= {Point(row.request_id, row.processor, CREDENTIAL)} if row.stopped == CREDENTIAL else set()
            else:
                found.add(stuck_point(row.request_id, row.processor, State(row.state), row.state_since))
    return found


def was_withdrawn(connection: Connection, request_id: str) -> bool:
    """Whether somebody withdrew this request, wholly or in part: then nobody is told of it again by a link."""
    d, w = t.decision.c, t.withdrawal.c
    ours = select(d.request_id).where(d.request_id == request_id, d.kind == Outcome.WITHDRAWN.value)
    theirs = select(w.request_id).where(w.request_id == request_id)
    return connection.execute(ours.union_all(theirs).limit(1)).first() is not None


# --- its mails


def to_be_mailed(connection: Connection, now: datetime) -> list[Row[Any]]:
    """The questions that nobody was mailed yet, the oldest first."""
    waiting = Q.mailed_at.is_(None) & Q.closed_at.is_(None) & (Q.expires_at > now)
    return list(connection.execute(select(question).where(waiting).order_by(Q.created_at)))


def to_be_told_of(connection: Connection) -> list[Row[Any]]:
    """The questions that were mailed and have ended, of which whoever was asked has not heard yet."""
    ended = (
        Q.outcome.in_([*ANSWERED, Outcome.IN_PART, Outcome.ELSEWHERE])
        & Q.mailed_at.is_not(None)
        & Q.ended_told_at.is_(None)
    )
    return list(connection.execute(select(question).where(ended).order_by(Q.closed_at)))


def mark(connection: Connection, row: Row[Any], **times: datetime) -> None:
    """Note when something was mailed: `mailed_at`, `ended_told_at`."""
    connection.execute(update(question).where(Q.id == row.id).values(times))
