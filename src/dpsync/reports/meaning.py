"""What a state means to a reader: how it is counted, for whom it waits, what a person must do. Pure, decided once."""

from collections.abc import Sequence
from enum import StrEnum
from typing import assert_never

from dpsync.model import Cause, State


class Count(StrEnum):
    """How something is counted. Only the first two are done, and they are never added up unseen."""

    SEEN = "seen_by_us"
    SAID = "they_say"
    NOT_YET = "not_yet"
    SETTLED = "settled"
    EXEMPT = "exempt"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"


class Late(StrEnum):
    """Whether an open one is late: past our target for doing it, or past the legal date; or was closed after that."""

    NO = ""
    TARGET = "past_target"
    OVERDUE = "overdue"
    FINISHED = "finished_late"


class WaitsFor(StrEnum):
    """For whom or what an open one waits."""

    NOBODY = ""
    TIME = "time"
    DPSYNC = "dpsync"
    PROCESSOR = "processor"
    OPERATOR = "operator"
    DPO = "dpo"


class Need(StrEnum):
    """What a person must do about it."""

    NOTHING = ""
    DECIDE = "decide"
    CONTACT = "contact"
    RESUME = "resume"
    LOOK = "look"
    CHASE = "chase"
    BY_HAND = "by_hand"
    CONTRADICTED = "contradicted"
    REFUSED = "refused"
    ESCALATED = "escalated"
    UNDELIVERED = "undelivered"
    NOT_IDENTIFIABLE = "not_identifiable"
    FORGOTTEN = "forgotten"


def counted(state: State) -> Count:
    """How one processor's part is counted: only what our own read-back showed is `SEEN`."""
    match state:
        case State.VERIFIED:
            return Count.SEEN
        case State.APPLIED | State.DECLARED_DONE | State.NOTHING_HELD | State.DECLARED_NOTHING_HELD:
            return Count.SAID
        case State.SETTLED:
            return Count.SETTLED
        case State.EXEMPT:
            return Count.EXEMPT
        case State.WITHDRAWN:
            return Count.WITHDRAWN
        case State.SUPERSEDED:
            return Count.SUPERSEDED
        case State.HELD | State.PENDING | State.ACCEPTED | State.HANDED_OVER | State.CONTRADICTED:
            return Count.NOT_YET
        case State.REFUSED | State.ESCALATED | State.NOT_IDENTIFIABLE:
            return Count.NOT_YET
        case _:
            assert_never(state)


_FURTHEST_BEHIND = (Count.NOT_YET, Count.SETTLED, Count.EXEMPT, Count.WITHDRAWN, Count.SAID, Count.SEEN)


def counted_together(counts: Sequence[Count]) -> Count:
    """A request is counted where the processor furthest behind is. RequestStanding of nobody is not done."""
    for count in _FURTHEST_BEHIND:
        if count in counts:
            return count
    return Count.SUPERSEDED if counts else Count.NOT_YET


def waits_for(state: State, causes: frozenset[Cause], *, stopped: bool) -> WaitsFor:
    """For whom it waits: the loudest, where there are several."""
    match state:
        case State.HELD if causes & {
            Cause.BRAKE,
            Cause.APPROVAL,
            Cause.SHARED_ADDRESS,
            Cause.RESTRICTION_IN_FORCE,
            Cause.MAYBE_MERGE,
            Cause.RESTORED,
            Cause.KEY_LOST,
            Cause.SCOPE_UNMAPPED,
            Cause.FOR_A_PERSON,
        }:
            return WaitsFor.DPO
        case State.HELD if Cause.OBSERVE in causes:
            return WaitsFor.OPERATOR
        case State.HELD:
            return WaitsFor.PROCESSOR if Cause.CONTACT_UNVERIFIED in causes else WaitsFor.TIME
        case State.PENDING:
            return WaitsFor.OPERATOR if stopped else WaitsFor.DPSYNC
        case State.ACCEPTED:
            return WaitsFor.PROCESSOR
        case State.HANDED_OVER | State.REFUSED | State.NOT_IDENTIFIABLE:
            return WaitsFor.OPERATOR
        case State.CONTRADICTED | State.ESCALATED:
            return WaitsFor.DPO
        case State.APPLIED | State.DECLARED_DONE | State.NOTHING_HELD | State.DECLARED_NOTHING_HELD | State.VERIFIED:
            return WaitsFor.NOBODY
        case State.SUPERSEDED | State.WITHDRAWN | State.SETTLED | State.EXEMPT:
            return WaitsFor.NOBODY
        case never:
            assert_never(never)


def need(
    state: State, causes: frozenset[Cause], late: Late, *, stopped: bool, silent: bool, reached: bool = True
) -> Need:
    """What a person must do now. What is overdue always needs one, whoever it waits for.

    `reached`: false where the letter is known to have reached nobody who could do it.
    """
    match state:
        case State.REFUSED | State.ESCALATED if not reached:
            return Need.UNDELIVERED
        case State.HELD if Cause.CONTACT_UNVERIFIED in causes and causes <= {
            Cause.CONTACT_UNVERIFIED,
            Cause.COOLING_OFF,
        }:
            return Need.CONTACT
        case State.HELD:
            return Need.NOTHING if causes == {Cause.COOLING_OFF} and late is not Late.OVERDUE else Need.DECIDE
        case State.PENDING if stopped:
            return Need.RESUME
        case State.PENDING:
            return Need.LOOK if late is not Late.NO else Need.NOTHING
        case State.ACCEPTED:
            return Need.CHASE if silent or late is Late.OVERDUE else Need.NOTHING
        case State.HANDED_OVER:
            return Need.BY_HAND
        case _:
            return _NEED.get(state, Need.NOTHING)


_NEED = {
    State.CONTRADICTED: Need.CONTRADICTED,
    State.REFUSED: Need.REFUSED,
    State.ESCALATED: Need.ESCALATED,
    State.NOT_IDENTIFIABLE: Need.NOT_IDENTIFIABLE,
}
"""The states that wait for a person whatever the time."""
