"""Whether all that is still to happen has what brings it about: a lane, a timer, an account that somebody takes.

No entry tells of these rows, for they change with every try. What the entries do tell is what is still to happen; where
nothing would ever bring it about, a letter, a reading or the end of a wait would be owed for ever, and nobody told.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, exists, or_, select, tuple_

from dpsync.model import DONE_STATES, Cause, Right, Rung, State, Way
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.rules.backoff import STILL_VERIFIED_AFTER
from dpsync.propagation.rules.event import Timer
from dpsync.store import tables as t
from dpsync.store.columns import Instant

_P, _L = t.propagation.c, t.lane.c
_UNDER_WAY = exists().where(t.attempt.c.propagation_id == _P.id, t.attempt.c.ended_at.is_(None))
_IN_LANE = exists().where(_L.account_id == _P.account_id, _L.subject_id == _P.subject_id)
_AT_ACCOUNT = exists().where(t.account.c.id == _P.account_id)
_AS_CONFIGURED = tuple_(_P.processor, _P.account_id).in_(bindparam("accounts", expanding=True))
_AWAITING = (State.ACCEPTED.value, State.HANDED_OVER.value)
ERASED = [one.value for one in (*DONE_STATES, State.ACCEPTED, State.HANDED_OVER, State.CONTRADICTED)]
"""States of an erasure that went: what was done for the person before it is not looked at any more."""
_LATER = t.propagation.alias()
_OVERTAKEN = exists().where(
    _LATER.c.subject_id == _P.subject_id,
    _LATER.c.processor == _P.processor,
    or_(
        _LATER.c.ordinal > _P.ordinal,
        and_(_LATER.c.person == _P.person, _LATER.c.version > _P.version),  # newer, though it came in first
        and_(
            _LATER.c.right == Right.ERASURE.value,
            _LATER.c.state.in_(ERASED),
            _LATER.c.state_since >= _P.state_since,
        ),
    ),
)
_SHUT = exists().where(t.request.c.id == _P.request_id, t.request.c.key_month.in_(bindparam("shut", expanding=True)))
"""Nobody knows any more whom to look for: its month's key is destroyed."""
_UNREAD = and_(
    _P.timer == "",
    _P.way == Way.API.value,
    _P.rereads == 0,
    _P.defects == 0,
    or_(
        (_P.state == State.APPLIED.value) & (_P.rung == Rung.CONFIRMED.value),
        (_P.state == State.VERIFIED.value)
        & (_P.rung == Rung.VERIFIED.value)
        & (_P.state_since > bindparam("monthly", type_=Instant)),
    ),
    ~_OVERTAKEN,
    ~_SHUT,
)
"""Done, never looked at in vain, and yet no reading is to come: the first one, or that after a month."""

_ROWS = (
    select(_P.request_id, _P.processor, _P.account_id, _P.state, _P.causes, _P.attempts, _P.timer, _P.timer_at)
    .add_columns(_IN_LANE.label("in_lane"), _AT_ACCOUNT.label("at_account"), _UNREAD.label("unread"))
    .where(
        or_(
            _P.state.in_([State.PENDING.value, State.HELD.value, *_AWAITING]),
            _P.timer != "",
            _P.timer_at.is_not(None),
            _UNREAD,
        ),
        or_(
            and_(_P.state == State.PENDING.value, ~_IN_LANE),
            (_P.timer == "") != _P.timer_at.is_(None),
            and_(_P.timer == "", _P.state.in_(_AWAITING)),
            and_(_P.causes.contains(Cause.COOLING_OFF.value, autoescape=True), _P.timer != Timer.COOLING_OFF.value),
            and_(or_(_P.attempts > 0, ~_AS_CONFIGURED), ~_AT_ACCOUNT),
            _UNREAD,
        ),
        ~_UNDER_WAY,
    )
    .order_by(_P.request_id, _P.processor)
)
"""Those alone of which `_of` may say something: a hundred thousand that are as they should be are never read."""


def problems(
    connection: Connection, accounts: Mapping[str, str], now: datetime, shut: Collection[str] = ()
) -> Iterator[str]:
    """Each open propagation that nothing brings up any more. `accounts`: that of each configured processor; `shut`: the
    months whose keys are destroyed.

    Of what is under way at this moment nothing is said: it has its attempt.
    """
    given = {"monthly": now - STILL_VERIFIED_AFTER, "accounts": list(accounts.items()), "shut": list(shut)}
    for row in connection.execute(_ROWS, given):
        for column, problem in _of(row, accounts):
            yield f"request {row.request_id} at {row.processor}: {column} {problem}"


def _of(row: Any, accounts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if row.state == State.PENDING.value and not row.in_lane:
        yield "lane", "is not there: nothing would ever bring it up"
    if (row.timer == "") is not (row.timer_at is None):
        yield "timer, timer_at", "are only half there"
    elif row.timer == "" and row.state in _AWAITING:
        yield "timer", "is not there: an answer is owed, and nobody would notice its silence"
    elif row.unread:
        yield "timer", "is not there: its reading is owed, and would never come"
    if Cause.COOLING_OFF in causes_of(row.causes) and row.timer != Timer.COOLING_OFF.value:
        yield "timer", "is not that of its cooling-off, which would never end"
    if not row.at_account and (row.attempts or row.account_id != accounts.get(row.processor, row.account_id)):
        yield "account_id", f"names an account ({row.account_id}) that no worker takes"
