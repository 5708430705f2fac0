"""What a privacy platform is told of a request: one status for whatever stands at the processors, by one table."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync.model import DONE_STATES, State
from dpsync.opendsr_protocol import RequestStatus
from dpsync.propagation.platform_jobs import OPENDSR, STATUS, JobStatus, request_status, status_of

WAITS = {State.HELD, State.PENDING, State.ACCEPTED, State.HANDED_OVER}
OPEN = WAITS | {State.ESCALATED, State.CONTRADICTED, State.REFUSED}


def test_every_state_has_its_place_in_the_table() -> None:
    assert set(STATUS) == set(State)


@given(st.sets(st.sampled_from(State), min_size=1))
def test_resolved_is_said_only_where_every_processor_did_it_or_holds_nothing(states: set[State]) -> None:
    found = status_of(states)
    assert (found is JobStatus.RESOLVED) is (states <= DONE_STATES)
    assert (found is JobStatus.WAITING) is bool(states & OPEN)
    assert found is status_of([*states] * 2)


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ((), JobStatus.ACTION_REQUIRED),
        ((State.VERIFIED, State.DECLARED_NOTHING_HELD), JobStatus.RESOLVED),
        ((State.VERIFIED, State.EXEMPT), JobStatus.SKIPPED_DUE_TO_EXCEPTION),
        ((State.EXEMPT, State.SETTLED), JobStatus.ACTION_REQUIRED),
        ((State.NOT_IDENTIFIABLE,), JobStatus.ACTION_REQUIRED),
        ((State.WITHDRAWN,), JobStatus.ACTION_REQUIRED),
        ((State.SUPERSEDED, State.APPLIED), JobStatus.ACTION_REQUIRED),
        ((State.NOT_IDENTIFIABLE, State.HELD), JobStatus.WAITING),
    ],
)
def test_what_outweighs_the_rest_is_said(states: tuple[State, ...], status: JobStatus) -> None:
    assert status_of(states) is status


def test_the_order_of_states_changes_nothing() -> None:
    for one, other in combinations(State, 2):
        assert status_of([one, other]) is status_of([other, one])


# --- OpenDSR

CLOSED = {State.SETTLED, State.SUPERSEDED, State.WITHDRAWN, State.EXEMPT}


@given(st.sets(st.sampled_from(State), min_size=1), st.booleans())
def test_completed_is_said_in_opendsr_only_where_every_processor_did_it(states: set[State], begun: bool) -> None:
    found = request_status(states, begun=begun)
    assert (found is RequestStatus.COMPLETED) is (states <= DONE_STATES)
    untouched = not begun and states <= {State.HELD, State.PENDING, *CLOSED} and bool(states - CLOSED)
    assert (found is RequestStatus.PENDING) is untouched
    assert (found is RequestStatus.CANCELLED) is (states <= DONE_STATES | CLOSED and bool(states & CLOSED))
    assert found is request_status([*states] * 2, begun=begun)


@pytest.mark.parametrize(
    ("states", "begun", "status"),
    [
        ((), False, RequestStatus.IN_PROGRESS),
        ((State.HELD, State.PENDING), False, RequestStatus.PENDING),
        ((State.HELD, State.PENDING), True, RequestStatus.IN_PROGRESS),
        ((State.HELD, State.NOTHING_HELD), False, RequestStatus.IN_PROGRESS),
        ((State.HELD, State.EXEMPT), False, RequestStatus.PENDING),
        ((State.REFUSED, State.VERIFIED), True, RequestStatus.IN_PROGRESS),
        ((State.NOT_IDENTIFIABLE,), True, RequestStatus.IN_PROGRESS),
        ((State.EXEMPT, State.VERIFIED), True, RequestStatus.CANCELLED),
        ((State.NOTHING_HELD, State.DECLARED_DONE), True, RequestStatus.COMPLETED),
    ],
)
def test_what_a_request_comes_to_in_opendsr(states: tuple[State, ...], *, begun: bool, status: RequestStatus) -> None:
    assert set(OPENDSR) == set(State)
    assert request_status(states, begun=begun) is status
