"""Lanes: one subject's propagations at one account, and when the next of them is due.

The statements are made once: building them anew for each row cost four times as much as running them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, case, delete, exists, select, update

from dpsync.model import Cause, Right, State
from dpsync.propagation.rules.plan import Waiting
from dpsync.store import tables as t
from dpsync.store.upsert import insert_missing


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRow(Waiting):
    """A propagation of one subject, as the store has it.

    `timer`, `timer_at`: what time brings about, "" and None for nothing. `unanswered`: an attempt is under way, or was
    interrupted. `on_its_way`: nobody can say that nothing has gone.
    """

    account_id: str
    causes: frozenset[Cause]
    timer: str
    timer_at: datetime | None
    unanswered: bool
    on_its_way: bool


_P, _R = t.propagation.c, t.request.c
_UNANSWERED = exists().where(t.attempt.c.propagation_id == _P.id, t.attempt.c.ended_at.is_(None)).label("unanswered")
_OF_SUBJECTS = (
    select(_P.subject_id, _P.id, _P.processor, _P.ordinal, _P.right, _P.lifting, _R.source, _P.version, _P.covers)
    .add_columns(_P.person, _P.state, _P.attempts, _P.account_id, _P.causes, _P.timer, _P.timer_at)
    .add_columns(_P.doubtful, _P.touched, _P.told_at, _UNANSWERED)
    .join(t.request, _R.id == _P.request_id)
    .where(_P.subject_id.in_(bindparam("subjects", expanding=True)))
    .order_by(_P.ordinal)
)


def lane_of(connection: Connection, subject_id: str) -> list[LaneRow]:
    """All propagations of a subject everywhere, finished ones included, oldest first."""
    return lanes_of(connection, [subject_id]).get(subject_id, [])


def lanes_of(connection: Connection, subject_ids: Sequence[str]) -> dict[str, list[LaneRow]]:
    """The same for many subjects; one without any is not in it."""
    found: dict[str, list[LaneRow]] = {}
    for row in connection.execute(_OF_SUBJECTS, {"subjects": subject_ids}):
        found.setdefault(row.subject_id, []).append(_lane_row(row))
    return found


def _lane_row(row: Any) -> LaneRow:
    unanswered = bool(row.unanswered)
    return LaneRow(
        id=row.id,
        processor=row.processor,
        ordinal=row.ordinal,
        right=Right(row.right),
        lifting=row.lifting,
        source=row.source,
        version=row.version,
        person=row.person,
        state=State(row.state),
        tried=bool(row.attempts > 0 or row.touched),
        covers=frozenset(row.covers.split()),
        told=row.told_at is not None,
        account_id=row.account_id,
        causes=causes_of(row.causes),
        timer=row.timer,
        timer_at=row.timer_at,
        unanswered=unanswered,
        on_its_way=bool(row.doubtful or unanswered),
    )


def causes_text(causes: frozenset[Cause]) -> str:
    """Causes as they stand in a column and in an entry."""
    return ",".join(sorted(causes))


def causes_of(text: str) -> frozenset[Cause]:
    """The causes that a column holds."""
    return frozenset(Cause(name) for name in text.split(",") if name)


_HERE = and_(t.lane.c.account_id == bindparam("account"), t.lane.c.subject_id == bindparam("subject"))
_L = t.lane.c
# What hurries begins its own back-off: an opt-out must not wait as long as what failed before it.
_SOONER = case((_L.due_at > bindparam("due"), bindparam("due")), else_=_L.due_at)
_HURRY = update(t.lane).where(_HERE).values(due_at=_SOONER, attempts=0, kept_due_at=None, kept_attempts=0)
# And what it overtakes keeps its own: a vendor that asked us to wait is not called at once because of the opt-out.
_TRIED = exists().where(
    _P.account_id == bindparam("account"),
    _P.subject_id == bindparam("subject"),
    _P.state == State.PENDING.value,
    _P.right == Right.RECTIFICATION.value,
    _P.attempts > 0,
)
_RUNS = and_(_L.kept_due_at.is_(None), _L.due_at > bindparam("due"), _TRIED)
_OVERTAKE = (
    update(t.lane)
    .where(_HERE)
    .values(
        due_at=_SOONER,
        attempts=0,
        kept_due_at=case((_RUNS, _L.due_at), else_=_L.kept_due_at),
        kept_attempts=case((_RUNS, _L.attempts), else_=_L.kept_attempts),
    )
)
_PUT_OFF = update(t.lane).where(_HERE).values(due_at=bindparam("due"), attempts=bindparam("tries"))
_ATTEMPTS = select(t.lane.c.attempts).where(_HERE)
_STILL_PENDING = exists().where(
    _P.account_id == bindparam("account"), _P.subject_id == bindparam("subject"), _P.state == State.PENDING.value
)
_HURRIES = exists().where(
    _P.account_id == bindparam("account"),
    _P.subject_id == bindparam("subject"),
    _P.state == State.PENDING.value,
    _P.right != Right.RECTIFICATION.value,
)
_OWN = and_(_L.kept_due_at.is_not(None), ~_HURRIES)
_GO_ON = (
    update(t.lane)
    .where(_HERE)
    .values(
        due_at=case((and_(_OWN, _L.kept_due_at > bindparam("due")), _L.kept_due_at), else_=bindparam("due")),
        attempts=case((_OWN, _L.kept_attempts), else_=0),
        kept_due_at=case((_HURRIES, _L.kept_due_at), else_=None),
        kept_attempts=case((_HURRIES, _L.kept_attempts), else_=0),
    )
)
_EMPTY = delete(t.lane).where(_HERE, ~_STILL_PENDING)
_DROP = delete(t.lane).where(_HERE)


class Hurry(Enum):
    """Whether a lane waits on as it did, or is due now: at once, and whether what was waiting keeps its back-off."""

    NO = 0
    AT_ONCE = 1
    OVERTAKING = 2


def hurry_of(right: Right) -> Hurry:
    """What a new request, or one that is released, is to its lane: a rectification waits its turn."""
    return Hurry.NO if right is Right.RECTIFICATION else Hurry.OVERTAKING


class Due(NamedTuple):
    """A lane, when it is due at the latest, and whether that hurries what waits there."""

    account_id: str
    subject_id: str
    due_at: datetime
    hurry: Hurry


def make_lane_due(connection: Connection, account_id: str, subject_id: str, due_at: datetime, *, hurry: Hurry) -> None:
    """See that a lane stands, due at the latest at `due_at`; without hurry a backoff that runs is kept."""
    make_lanes_due(connection, [Due(account_id, subject_id, due_at, hurry)])


def make_lanes_due(connection: Connection, many: Sequence[Due]) -> None:
    """The same for many lanes, in one statement for all that stand already in one manner."""
    wanted = sorted(set(many), key=lambda due: (due.account_id, due.subject_id))
    rows = [{"account_id": due.account_id, "subject_id": due.subject_id, "due_at": due.due_at} for due in wanted]
    insert_missing(connection, t.lane, [{**row, "attempts": 0} for row in rows])
    for hurry, statement in ((Hurry.AT_ONCE, _HURRY), (Hurry.OVERTAKING, _OVERTAKE)):
        now = [
            {"account": due.account_id, "subject": due.subject_id, "due": due.due_at}
            for due in wanted
            if due.hurry is hurry
        ]
        if now:
            connection.execute(statement, now)


def put_lane_off(connection: Connection, account_id: str, subject_id: str, due_at: datetime, attempts: int) -> None:
    """Let a lane wait until `due_at`."""
    here: Mapping[str, Any] = {"account": account_id, "subject": subject_id, "due": due_at, "tries": attempts}
    if connection.execute(_PUT_OFF, here).rowcount == 0:
        make_lane_due(connection, account_id, subject_id, due_at, hurry=Hurry.NO)
        connection.execute(_PUT_OFF, here)


def lane_attempts(connection: Connection, account_id: str, subject_id: str) -> int:
    """How often in a row this lane was put off."""
    return connection.execute(_ATTEMPTS, {"account": account_id, "subject": subject_id}).scalar_one_or_none() or 0


def drop_lane(connection: Connection, account_id: str, subject_id: str) -> None:
    """Remove a lane that has nothing to do."""
    connection.execute(_DROP, {"account": account_id, "subject": subject_id})


def leave_lanes(connection: Connection, lanes: Sequence[tuple[str, str]], now: datetime) -> None:
    """One propagation of each (account, subject) is through: the lane goes, or is due at once for the next.

    What was overtaken, and comes next again, waits as long as it would have.
    """
    here = [{"account": account_id, "subject": subject_id} for account_id, subject_id in lanes]
    if here and connection.execute(_EMPTY, here).rowcount < len(here):
        connection.execute(_GO_ON, [one | {"due": now} for one in here])
