"""What a restored database calls open may be done: it is read before it is repeated, and never called untold."""

from datetime import UTC, datetime

import pytest

from dpsync.errors import DecisionRefused
from dpsync.model import Cause, ExemptionCode, Right, State, Way
from dpsync.propagation.rules.lifecycle import Decision, DecisionKind, Position, Step, advance

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RESTORED = frozenset({Cause.RESTORED})


def step(
    at: Position, kind: DecisionKind, causes: frozenset[Cause] = RESTORED, code: ExemptionCode | None = None
) -> Step:
    return advance(at, Decision(kind, causes, code), NOW)


def held(*more: Cause, way: Way = Way.API, verifiable: bool = True) -> Position:
    causes = frozenset({Cause.RESTORED, *more})
    return Position(Right.RECTIFICATION, State.HELD, way, causes=causes, verifiable=verifiable)


def test_it_is_held_also_where_an_attempt_was_in_doubt_and_for_no_other_cause_is_that_so() -> None:
    pending = Position(Right.OPT_OUT, State.PENDING, Way.API, doubtful=True)
    found = step(pending, DecisionKind.HOLD)
    assert (found.state, found.causes, found.doubtful) == (State.HELD, RESTORED, False)
    with pytest.raises(DecisionRefused):
        step(pending, DecisionKind.HOLD, frozenset({Cause.BRAKE}))


@pytest.mark.parametrize(
    ("way", "verifiable", "read"), [(Way.API, True, True), (Way.API, False, False), (Way.NOTICE, True, False)]
)
def test_what_is_released_is_read_first_where_it_can_be(way: Way, verifiable: bool, read: bool) -> None:
    found = step(held(way=way, verifiable=verifiable), DecisionKind.RELEASE)
    assert (found.state, found.doubtful) == (State.PENDING, read)


def test_it_is_read_first_also_where_it_is_released_from_something_else_last() -> None:
    first = step(held(Cause.APPROVAL), DecisionKind.RELEASE)
    assert (first.state, first.causes, first.doubtful) == (State.HELD, frozenset({Cause.APPROVAL}), True)
    at = Position(Right.ERASURE, State.HELD, Way.API, causes=first.causes, doubtful=first.doubtful)
    assert step(at, DecisionKind.RELEASE, frozenset({Cause.APPROVAL})).doubtful
    other = step(held(Cause.APPROVAL), DecisionKind.RELEASE, frozenset({Cause.APPROVAL}))
    assert (other.causes, other.doubtful) == (RESTORED, False)


def test_it_is_neither_withdrawn_as_untold_nor_exempt() -> None:
    found = step(held(), DecisionKind.WITHDRAW)
    assert (found.state, found.alert) == (State.ESCALATED, "withdrawn_in_doubt")
    with pytest.raises(DecisionRefused, match="may have been"):
        step(held(), DecisionKind.EXEMPT, code=next(iter(ExemptionCode)))
