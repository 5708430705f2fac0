"""What a named person's decision makes of a propagation. Pure: a part of `lifecycle`."""

from dataclasses import replace
from typing import assert_never

from dpsync.errors import DecisionRefused, IllegalTransition
from dpsync.ledger.entry import EntryKind
from dpsync.model import CLOSED_STATES, Cause, ExemptionCode, Right, Rung, State, Way
from dpsync.propagation.rules.event import Decision, DecisionKind, Next, Position, Step, go, stay

_MAY_BE_SETTLED = frozenset({Cause.SCOPE_UNMAPPED, Cause.FOR_A_PERSON})
"""A person may find that a part does not concern this processor, or do by hand what nobody could tell dpsync."""


def after_decision(at: Position, decision: Decision) -> Step:
    """What a decision makes of it. Raises `DecisionRefused` where it does not fit the state."""
    match decision.kind:
        case DecisionKind.RELEASE | DecisionKind.CONFIRM:
            return released(at, decision.causes)
        case DecisionKind.HOLD:
            restored = Cause.RESTORED in decision.causes  # says itself that it may have gone
            knowing = restored or Cause.KEY_LOST in decision.causes
            if at.state not in {State.PENDING, State.HELD} or (at.doubtful and not knowing):
                raise DecisionRefused("it is already on its way")
            held, causes = stay(at, EntryKind.HELD), at.causes | decision.causes
            return replace(
                held, state=State.HELD, causes=causes, doubtful=at.doubtful and not restored, keep_timer=True
            )
        case DecisionKind.WITHDRAW:
            return _withdrawn(at)
        case DecisionKind.RETRY:
            return _retried(at)
        case DecisionKind.SETTLE:
            waits = at.state is State.HELD and not at.causes & _MAY_BE_SETTLED
            if waits or at.state in {State.SUPERSEDED, State.WITHDRAWN, State.SETTLED, State.VERIFIED}:
                raise DecisionRefused(f"it is {at.state.value}; there is nothing to settle")
            return go(at, State.SETTLED, EntryKind.SETTLED)
        case DecisionKind.NO_CONCERN:
            if at.state is not State.HELD or Cause.SCOPE_UNMAPPED not in at.causes:
                raise DecisionRefused(f"it is {at.state.value}, and nobody asks what the part is")
            return go(at, State.EXEMPT, EntryKind.EXEMPTED)
        case DecisionKind.EXEMPT:
            return _exempted(at, decision.code)
        case DecisionKind.SUPERSEDE:
            if at.state not in {State.PENDING, State.HELD}:
                raise IllegalTransition(f"superseded while {at.state.value}")
            return go(at, State.SUPERSEDED, EntryKind.SUPERSEDED)
        case _:
            assert_never(decision.kind)


def released(at: Position, causes: frozenset[Cause]) -> Step:
    """It is held for these causes no more; by a person, or by time."""
    if at.state is not State.HELD:
        raise DecisionRefused(f"it is {at.state.value}, not held")
    if at.right is Right.RECTIFICATION and Cause.FOR_A_PERSON in at.causes & causes:
        raise DecisionRefused("it names no new values: enter them with `dpsync submit rectification`, then settle this")
    left = at.causes - causes
    if left == at.causes:
        raise DecisionRefused("it is held for other causes: " + ", ".join(sorted(at.causes)))
    # What may have been done while nobody here knew of it is read before it is repeated.
    unread = Cause.RESTORED in at.causes & causes and at.way is Way.API and at.verifiable
    doubtful = at.doubtful or unread
    if left:
        step = replace(stay(at, EntryKind.RELEASED), causes=left, keep_timer=Cause.COOLING_OFF in left)
        return replace(step, doubtful=doubtful)
    return go(at, State.PENDING, EntryKind.RELEASED, next=Next.NOW, doubtful=doubtful)


_NEVER_WENT = frozenset({State.NOT_IDENTIFIABLE, State.SUPERSEDED, State.WITHDRAWN, State.EXEMPT})


def _withdrawn(at: Position) -> Step:
    if at.state not in {State.HELD, State.PENDING}:
        never_went = at.state in _NEVER_WENT and not (at.told or at.touched or at.rung > Rung.NONE)
        why = "nothing was sent, and nothing is on its way" if never_went else "what was sent cannot be called back"
        raise DecisionRefused(f"it is {at.state.value}; {why}")
    if at.doubtful or at.touched or at.rung > Rung.NONE or Cause.RESTORED in at.causes:
        # All or part of it may have happened. Nothing more is sent, and a person must look.
        return go(at, State.ESCALATED, EntryKind.ESCALATED, alert="withdrawn_in_doubt")
    return go(at, State.WITHDRAWN, EntryKind.WITHDRAWN)


def _exempted(at: Position, code: ExemptionCode | None) -> Step:
    """It need not be told (Art. 19). What was told and not done is no exemption: that would hide a contradiction."""
    if code is None:
        raise DecisionRefused("an exemption needs a ground: --code " + " or ".join(ExemptionCode))
    if at.right is Right.OPT_OUT or (at.right is Right.ERASURE and not at.controller):
        raise DecisionRefused("Art. 19 can excuse telling; nothing excuses an erasure or an opt-out")
    if at.state in CLOSED_STATES:
        raise DecisionRefused(f"it is {at.state.value} already")
    # An acknowledgement is proved for good; `told` is taken back, as by whoever refused and then named another contact.
    unknown = at.doubtful or Cause.RESTORED in at.causes
    heard = at.told or at.rung >= Rung.ACKNOWLEDGED or unknown or (at.touched and at.way is Way.API)
    if heard or at.state in {State.REFUSED, State.CONTRADICTED}:
        raise DecisionRefused("it was told, or may have been: record with `dpsync settle` how that was dealt with")
    return go(at, State.EXEMPT, EntryKind.EXEMPTED)


def _retried(at: Position) -> Step:
    again = {
        State.PENDING,
        State.REFUSED,
        State.CONTRADICTED,
        State.ESCALATED,
        State.NOT_IDENTIFIABLE,
        State.ACCEPTED,
        State.HANDED_OVER,
    }
    if at.state not in again:
        raise DecisionRefused(f"it is {at.state.value}; there is nothing to try again")
    # After an escalation or a contradiction nobody knows what stands there: it is read before it is repeated. Where
    # there is only the processor's word, it would say again what the person who decides has heard already.
    shown = at.verifiable or not at.declares
    unread = at.way is Way.API and at.state in {State.ESCALATED, State.CONTRADICTED} and shown
    return go(at, State.PENDING, EntryKind.RETRIED, next=Next.NOW, doubtful=at.doubtful or unread)
