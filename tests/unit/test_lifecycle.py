"""What follows from what: rules that hold over every state and everything that can happen."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync.connector import Accepted, Applied, AsAsked, CannotTell, Contradicts, Retryable
from dpsync.errors import DecisionRefused, IllegalTransition
from dpsync.model import DONE_STATES, Cause, Right, Rung, State, Way
from dpsync.propagation.lifecycle import Answer, AnswerKind, Decision, DecisionKind, Happening, Position, Step, advance
from dpsync.propagation.states import happenings, page

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POSITIONS = st.builds(
    Position,
    right=st.sampled_from(Right),
    state=st.sampled_from(State),
    way=st.sampled_from(Way),
    rung=st.sampled_from(Rung),
    causes=st.frozensets(st.sampled_from(Cause), min_size=1),
    doubtful=st.booleans(),
    defects=st.integers(0, 6),
    rereads=st.integers(0, 9),
    verifiable=st.booleans(),
    contact_confirmed=st.booleans(),
)
HAPPENINGS = st.sampled_from([happening for _, happening in happenings()])


def stepped(at: Position, happening: Happening) -> Step | None:
    try:
        return advance(at, happening, NOW)
    except (DecisionRefused, IllegalTransition):
        return None


@given(POSITIONS, HAPPENINGS)
def test_only_our_own_reading_makes_verified(at: Position, happening: Happening) -> None:
    step = stepped(at, happening)
    if step and step.state is State.VERIFIED and at.state is not State.VERIFIED:
        assert isinstance(happening, AsAsked)


@given(POSITIONS, HAPPENINGS)
def test_only_the_processor_a_person_there_or_our_reading_makes_done(at: Position, happening: Happening) -> None:
    step = stepped(at, happening)
    if step and step.state in DONE_STATES and at.state not in DONE_STATES:
        assert not isinstance(happening, (Decision, Retryable, Contradicts, CannotTell))
        assert happening.__class__.__name__ in {"Applied", "NothingHeld", "AsAsked", "Answer"}


@given(POSITIONS, HAPPENINGS)
def test_what_is_held_is_never_sent_but_by_a_release_or_time(at: Position, happening: Happening) -> None:
    at = replace(at, state=State.HELD)
    step = stepped(at, happening)
    if step and step.state is State.PENDING:
        assert isinstance(happening, Decision) or happening.__class__.__name__ == "Timer"
        assert not step.causes


@given(POSITIONS, HAPPENINGS)
def test_a_held_propagation_has_a_cause_and_no_other_state_has_one(at: Position, happening: Happening) -> None:
    at = replace(at, causes=at.causes if at.state is State.HELD else frozenset())
    step = stepped(at, happening)
    if step:
        assert bool(step.causes) == (step.state is State.HELD)


@given(POSITIONS, HAPPENINGS)
def test_a_contradiction_takes_the_proof_of_doing_but_not_of_telling(at: Position, happening: Happening) -> None:
    step = stepped(at, happening)
    if step and step.state is State.CONTRADICTED:
        assert step.rung <= Rung.ACKNOWLEDGED or at.state is State.CONTRADICTED


@given(POSITIONS, HAPPENINGS)
def test_a_doubt_is_only_resolved_by_reading_or_by_a_final_answer(at: Position, happening: Happening) -> None:
    at = replace(at, state=State.PENDING, doubtful=True)
    step = stepped(at, happening)
    if step and step.state is State.PENDING and not step.doubtful:
        assert isinstance(happening, (AsAsked, Contradicts, CannotTell)) or type(happening).__name__ == "HandOver"


def test_a_repeated_outcome_for_what_is_closed_is_noted_and_changes_nothing() -> None:
    at = Position(right=Right.ERASURE, state=State.SETTLED, way=Way.API)
    step = advance(at, Applied(evidence=()), NOW)
    assert step.state is State.SETTLED
    assert step.event.value == "repeat"


def test_what_went_through_after_it_was_withdrawn_is_shown_to_a_person() -> None:
    at = Position(right=Right.ERASURE, state=State.WITHDRAWN, way=Way.API)
    step = advance(at, Applied(evidence=()), NOW)
    assert step.state is State.ESCALATED
    assert step.alert == "withdrawn_in_doubt"


@pytest.mark.parametrize("right", [Right.ERASURE, Right.OPT_OUT])
def test_telling_may_be_excused_erasing_and_stopping_may_not(right: Right) -> None:
    at = Position(right=right, state=State.REFUSED, way=Way.API)
    with pytest.raises(DecisionRefused):
        advance(at, Decision(DecisionKind.EXEMPT), NOW)


def test_an_answer_after_the_final_one_changes_nothing() -> None:
    at = Position(right=Right.ERASURE, state=State.DECLARED_DONE, way=Way.NOTICE)
    assert advance(at, Answer(AnswerKind.REFUSED), NOW).state is State.DECLARED_DONE


@pytest.mark.parametrize("way", [Way.NOTICE, Way.OPERATOR])
def test_an_answer_that_overtakes_the_word_of_our_own_mail_host_counts(way: Way) -> None:
    at = Position(right=Right.ERASURE, state=State.PENDING, way=way)
    answered = advance(at, Answer(AnswerKind.DONE), NOW)
    assert (answered.state, answered.event.value) == (State.DECLARED_DONE, "declared")
    sent = advance(replace(at, state=answered.state, rung=answered.rung), Accepted(evidence=()), NOW)
    assert (sent.state, sent.rung) == (State.DECLARED_DONE, Rung.CONFIRMED)


def test_what_is_told_by_api_has_no_answer_before_it_was_told() -> None:
    at = Position(right=Right.ERASURE, state=State.PENDING, way=Way.API)
    assert advance(at, Answer(AnswerKind.DONE), NOW).state is State.PENDING


def test_the_page_of_states_is_up_to_date() -> None:
    written = Path(__file__).parents[2] / "docs" / "states.md"
    assert written.read_text(encoding="utf-8") == page(), "run `make docs`"


@given(POSITIONS, st.sampled_from([AnswerKind.DELIVERED, AnswerKind.BOUNCED]))
def test_no_mail_system_makes_done_or_undoes_what_people_or_our_reading_said(at: Position, kind: AnswerKind) -> None:
    step = advance(at, Answer(kind), NOW)
    if step.state is not at.state:
        assert kind is AnswerKind.BOUNCED
        assert at.state in {State.ACCEPTED, State.HANDED_OVER, State.ESCALATED}


@given(POSITIONS, st.sampled_from([AnswerKind.DELIVERED, AnswerKind.RECEIVED]))
def test_a_letter_to_our_own_operator_proves_nothing_about_the_processor(at: Position, kind: AnswerKind) -> None:
    step = advance(replace(at, way=Way.OPERATOR), Answer(kind), NOW)
    assert (step.state, step.rung) == (at.state, at.rung)


@given(POSITIONS, st.sampled_from(AnswerKind))
def test_what_was_contradicted_is_made_done_by_no_answer_where_we_can_look(at: Position, kind: AnswerKind) -> None:
    step = advance(replace(at, state=State.CONTRADICTED, verifiable=True), Answer(kind), NOW)
    assert step.state not in DONE_STATES
