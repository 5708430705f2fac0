"""What follows from what: rules that hold over every state and everything that can happen, each of them asked."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from dpsync.connector import (
    Accepted,
    Applied,
    AsAsked,
    CannotTell,
    Contradicts,
    Declares,
    HandOver,
    NothingHeld,
    Refused,
    ReportedOutcome,
)
from dpsync.errors import DecisionRefused, IllegalTransition
from dpsync.ledger.entry import EntryKind
from dpsync.mail_status import is_undelivered
from dpsync.model import CLOSED_STATES, DONE_STATES, Cause, ExemptionCode, Right, Rung, State, Way
from dpsync.propagation.rules.event import reason_after
from dpsync.propagation.rules.lifecycle import (
    Answer,
    AnswerKind,
    Decision,
    DecisionKind,
    EarlierAddress,
    Event,
    Next,
    Position,
    Step,
    Timer,
    advance,
)
from dpsync.propagation.rules.states import events, page
from tests.steps import STORED, steps_from

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Stepped = tuple[Position, Event, Step]


def positions() -> Iterator[Position]:
    """Every state, way, rung and doubt, readable and not.

    What decides alone goes along with one of these: whether the contact is confirmed, how many defects there were, and
    the right, on which only depends whether telling may be excused.
    """
    flags = product((False, True), repeat=2)
    for (doubtful, readable), state, way, rung in product(flags, State, Way, Rung):
        causes = frozenset({Cause.BRAKE, Cause.COOLING_OFF} if readable else {Cause.BRAKE})
        yield Position(
            right=Right.ERASURE if readable else Right.RECTIFICATION,
            state=state,
            way=way,
            rung=rung,
            causes=causes if state is State.HELD else frozenset(),
            doubtful=doubtful and state is State.PENDING,
            touched=doubtful,
            defects=4 if readable else 0,
            rereads=9 if doubtful else 0,
            verifiable=readable,
            contact_confirmed=readable,
            answer_by=(NOW if doubtful else NOW + timedelta(days=3)) if state is State.ACCEPTED else None,
            timer=Timer.REREAD if readable else None,
        )


def can_happen() -> list[Event]:
    """One of each kind, and an answer of each kind to an older letter."""
    return [*(one for _, one in events()), *(Answer(kind, older=True) for kind in AnswerKind)]


@pytest.fixture(scope="module")
def every() -> list[Stepped]:
    """Each position with each event, and the step that follows; what is refused by name is no step."""
    found: list[Stepped] = []
    for at, event in product(positions(), can_happen()):
        try:
            found.append((at, event, advance(at, event, NOW)))
        except (DecisionRefused, IllegalTransition):
            continue
    return found


def against(every: list[Stepped], breaks: Callable[[Position, Event, Step], bool]) -> list[Stepped]:
    """The first few that break a rule, for whoever reads the failure."""
    found = (one for one in every if breaks(*one))
    return [one for one, _ in zip(found, range(3), strict=False)]


def test_all_that_can_happen_is_asked_of_every_position(every: list[Stepped]) -> None:
    assert len(list(positions())) == 4 * len(State) * len(Way) * len(Rung)
    assert {at.state for at, _, _ in every} == set(State)
    assert {type(event) for _, event, _ in every} == {type(event) for event in can_happen()}
    assert len(every) > 27_846


def test_the_rung_never_falls_but_by_a_contradiction(every: list[Stepped]) -> None:
    assert not against(every, lambda at, _, step: step.rung < at.rung and step.entry is not EntryKind.CONTRADICTED)


def test_a_contradiction_takes_the_proof_of_doing_and_leaves_that_of_telling(every: list[Stepped]) -> None:
    assert not against(
        every,
        lambda at, _, step: step.entry is EntryKind.CONTRADICTED and step.rung is not min(at.rung, Rung.ACKNOWLEDGED),
    )


def test_a_rung_rises_only_with_what_proves_it(every: list[Stepped]) -> None:
    def unproved(at: Position, event: Event, step: Step) -> bool:
        if step.rung <= at.rung:
            return False
        match step.rung:
            case Rung.VERIFIED | Rung.STILL_VERIFIED:
                return not isinstance(event, AsAsked)
            case Rung.CONFIRMED:
                final = {AnswerKind.DONE, AnswerKind.NOTHING_HELD}
                said = isinstance(event, Answer) and event.kind in final and not event.older
                word = isinstance(event, Declares) and event.outcome.value in final
                return not said and not word and not isinstance(event, (Applied, NothingHeld))
            case Rung.ACKNOWLEDGED:
                heard = {AnswerKind.RECEIVED, AnswerKind.PARTLY, AnswerKind.REFUSED}
                queued = isinstance(event, Accepted) and at.way is Way.API
                said = isinstance(event, Answer) and event.kind in heard
                word = isinstance(event, Declares) and event.outcome.value in heard
                return not queued and not said and not word
            case Rung.DELIVERED:
                return not (isinstance(event, Answer) and event.kind is AnswerKind.DELIVERED)
            case _:
                went = isinstance(event, (Accepted, Applied))
                return not went and step.alert != "withdrawn_in_doubt"

    assert not against(every, unproved)


def test_verified_is_made_by_our_own_reading_alone(every: list[Stepped]) -> None:
    assert not against(
        every,
        lambda at, event, step: (
            step.state is State.VERIFIED and at.state is not State.VERIFIED and not isinstance(event, AsAsked)
        ),
    )


def test_done_is_made_only_by_what_proves_that_very_state(every: list[Stepped]) -> None:
    def proved(event: Event, state: State) -> bool:
        match event:
            case Applied():
                return state is State.APPLIED
            case NothingHeld():
                return state is State.NOTHING_HELD
            case AsAsked():
                return state is State.VERIFIED
            case Answer(kind=AnswerKind.DONE, older=False) | Declares(outcome=ReportedOutcome.DONE):
                return state is State.DECLARED_DONE
            case Answer(kind=AnswerKind.NOTHING_HELD, older=False) | Declares(outcome=ReportedOutcome.NOTHING_HELD):
                return state is State.DECLARED_NOTHING_HELD
            case _:
                return False

    assert not against(
        every,
        lambda at, event, step: (
            step.state in DONE_STATES and step.state is not at.state and not proved(event, step.state)
        ),
    )


def test_what_was_contradicted_is_forgotten_by_no_word_where_we_can_look(every: list[Stepped]) -> None:
    """It is done again by our own reading, or told again by a person's decision and then read before it is repeated."""

    def forgotten(at: Position, event: Event, step: Step) -> bool:
        if at.state is not State.CONTRADICTED or step.state is State.CONTRADICTED:
            return False
        if step.state is State.PENDING:
            return not step.doubtful and at.way is Way.API
        return step.state in DONE_STATES and at.verifiable and not isinstance(event, AsAsked)

    assert not against(every, forgotten)


def test_what_is_seen_otherwise_is_told_to_a_person_or_told_again(every: list[Stepped]) -> None:
    assert not against(
        every,
        lambda at, event, step: (
            isinstance(event, Contradicts) and at.state in DONE_STATES and step.state is not State.CONTRADICTED
        ),
    )


def test_whatever_waits_for_a_person_says_so_when_it_begins(every: list[Stepped]) -> None:
    waits = {State.CONTRADICTED, State.REFUSED, State.ESCALATED, State.NOT_IDENTIFIABLE}
    assert not against(every, lambda at, _, step: step.state in waits - {at.state} and not step.alert)


def test_what_is_held_has_a_cause_and_no_other_state_has_one(every: list[Stepped]) -> None:
    assert not against(every, lambda _, __, step: bool(step.causes) != (step.state is State.HELD))


def test_what_is_held_goes_on_only_by_a_person_or_by_time(every: list[Stepped]) -> None:
    assert not against(
        every,
        lambda at, event, step: (
            at.state is State.HELD and step.state is State.PENDING and not isinstance(event, (Decision, Timer))
        ),
    )


def test_only_what_is_pending_goes_on_by_itself_and_it_always_does(every: list[Stepped]) -> None:
    def stuck(at: Position, _: Event, step: Step) -> bool:
        moved = step.entry is not EntryKind.REPEAT and (step.state is State.PENDING)
        idle = step.next is Next.NOTHING
        told = at.state is State.PENDING and step.entry in {EntryKind.DELIVERED, EntryKind.ACKNOWLEDGED}
        return (moved and idle and not told) or (step.state is not State.PENDING and not idle)

    assert not against(every, stuck)


def test_an_answer_that_is_owed_has_its_clock(every: list[Stepped]) -> None:
    owed = {State.ACCEPTED, State.HANDED_OVER}
    assert not against(
        every,
        lambda at, _, step: step.state in owed - {at.state} and (step.timer is None or step.timer_at is None),
    )


def test_a_timer_has_a_time_and_a_time_its_timer(every: list[Stepped]) -> None:
    assert not against(every, lambda _, __, step: (step.timer is None) != (step.timer_at is None))


def test_what_is_closed_opens_only_with_an_alert(every: list[Stepped]) -> None:
    assert not against(
        every,
        lambda at, _, step: at.state in CLOSED_STATES and step.state not in CLOSED_STATES and not step.alert,
    )


def test_whoever_was_asked_under_too_few_addresses_is_looked_at_or_asked_again(every: list[Stepped]) -> None:
    """No "done" stands that was about other addresses; and only who can be read still counts as told."""
    asked = [(at, step) for at, event, step in every if isinstance(event, EarlierAddress)]
    assert {at.state for at, _ in asked} == DONE_STATES | {State.ACCEPTED, State.HANDED_OVER}
    for at, step in asked:
        readable = at.way is Way.API and at.verifiable
        assert (step.state, step.doubtful, step.next) == (State.PENDING, readable, Next.NOW)
        assert (step.told, step.alert) == (at.told and readable, "earlier_address")


def test_what_may_have_had_an_effect_is_never_called_untouched(every: list[Stepped]) -> None:
    assert not against(every, lambda at, _, step: at.touched and not step.touched)


def test_what_may_have_gone_is_never_called_withdrawn_or_superseded_by_a_person(every: list[Stepped]) -> None:
    def wrong(at: Position, event: Event, step: Step) -> bool:
        gone = at.doubtful or at.touched or at.rung > Rung.NONE
        called_off = isinstance(event, Decision) and event.kind is DecisionKind.WITHDRAW
        return called_off and gone and step.state is State.WITHDRAWN

    assert not against(every, wrong)


def test_a_doubt_ends_by_reading_by_an_answer_or_by_a_person_and_nothing_else(every: list[Stepped]) -> None:
    ends = (AsAsked, Contradicts, CannotTell, Declares, HandOver)
    assert not against(
        every,
        lambda at, event, step: (
            at.doubtful and step.state is State.PENDING and not step.doubtful and not isinstance(event, ends)
        ),
    )


def test_telling_may_be_excused_erasing_may_not(every: list[Stepped]) -> None:
    assert not against(
        every,
        lambda at, _, step: (
            at.right is Right.ERASURE
            and not at.controller
            and step.state is State.EXEMPT
            and at.state is not State.EXEMPT
        ),
    )


def test_what_was_told_is_never_exempt(every: list[Stepped]) -> None:
    assert not against(
        every,
        lambda at, _, step: (
            step.state is State.EXEMPT
            and at.state is not State.EXEMPT
            and (at.told or at.doubtful or at.state in {State.REFUSED, State.CONTRADICTED})
        ),
    )


def test_what_is_noted_only_changes_nothing(every: list[Stepped]) -> None:
    def changes(at: Position, _: Event, step: Step) -> bool:
        was = (at.state, at.rung, at.way, at.causes, at.doubtful, at.defects)
        return step.entry is EntryKind.REPEAT and was != (
            step.state,
            step.rung,
            step.way,
            step.causes,
            step.doubtful,
            step.defects,
        )

    assert not against(every, changes)


def test_the_way_changes_only_where_the_interface_hands_over(every: list[Stepped]) -> None:
    assert not against(every, lambda at, event, step: step.way is not at.way and not isinstance(event, HandOver))


def test_an_answer_to_an_older_letter_moves_nothing(every: list[Stepped]) -> None:
    assert not against(
        every,
        lambda at, event, step: (
            isinstance(event, Answer) and event.older and (step.state, step.rung) != (at.state, at.rung)
        ),
    )


def test_no_mail_system_makes_done_or_undoes_what_people_or_our_reading_said(every: list[Stepped]) -> None:
    by_machine = {AnswerKind.DELIVERED, AnswerKind.BOUNCED}

    def wrong(at: Position, event: Event, step: Step) -> bool:
        if not isinstance(event, Answer) or event.kind not in by_machine or step.state is at.state:
            return False
        waiting = {State.ACCEPTED, State.HANDED_OVER, State.ESCALATED}
        return event.kind is AnswerKind.DELIVERED or at.state not in waiting

    assert not against(every, wrong)


def test_a_letter_to_our_own_operator_proves_nothing_about_the_processor(every: list[Stepped]) -> None:
    reached = {AnswerKind.DELIVERED, AnswerKind.RECEIVED}

    def proves(at: Position, event: Event, step: Step) -> bool:
        to_us = at.way is Way.OPERATOR and isinstance(event, Answer) and event.kind in reached
        return to_us and (step.state, step.rung) != (at.state, at.rung)

    assert not against(every, proves)


# --- single cases that say why


def test_a_repeated_outcome_for_what_is_closed_is_noted_and_changes_nothing() -> None:
    at = Position(right=Right.ERASURE, state=State.SETTLED, way=Way.API)
    step = advance(at, Applied(evidence=()), NOW)
    assert step.state is State.SETTLED
    assert step.entry.value == "repeat"


def test_what_went_through_after_it_was_withdrawn_is_shown_to_a_person() -> None:
    at = Position(right=Right.ERASURE, state=State.WITHDRAWN, way=Way.API)
    step = advance(at, Applied(evidence=()), NOW)
    assert step.state is State.ESCALATED
    assert step.alert == "withdrawn_in_doubt"


@pytest.mark.parametrize("right", [Right.ERASURE, Right.OPT_OUT])
def test_telling_may_be_excused_erasing_and_stopping_may_not(right: Right) -> None:
    at = Position(right=right, state=State.REFUSED, way=Way.API)
    with pytest.raises(DecisionRefused):
        advance(at, Decision(DecisionKind.EXEMPT, code=ExemptionCode.IMPOSSIBLE), NOW)


@pytest.mark.parametrize("kind", [AnswerKind.REFUSED, AnswerKind.PARTLY, AnswerKind.WRONG_RECIPIENT])
def test_what_rests_on_a_word_falls_with_the_word_and_nothing_else_does(kind: AnswerKind) -> None:
    for state, way in product(DONE_STATES, Way):
        step = advance(Position(right=Right.ERASURE, state=state, way=way, rung=Rung.CONFIRMED), Answer(kind), NOW)
        on_their_word = state in {State.DECLARED_DONE, State.DECLARED_NOTHING_HELD}
        assert step.state is (State.ESCALATED if on_their_word else state)
        assert (step.alert, step.rung) == ("taken_back", Rung.CONFIRMED)
        told_nobody = on_their_word and kind is AnswerKind.WRONG_RECIPIENT and way is not Way.API
        assert is_undelivered(step.reason) is told_nobody


def test_no_mail_system_on_the_way_is_ever_taken_for_the_processors_no(every: list[Stepped]) -> None:
    assert not against(
        every,
        lambda at, event, step: (
            isinstance(event, Refused)
            and at.way is not Way.API
            and step.state is State.REFUSED
            and at.state is not State.REFUSED
        ),
    )


def test_who_once_acknowledged_is_never_exempt_whatever_took_back_that_it_was_told() -> None:
    at = Position(right=Right.ERASURE, state=State.ACCEPTED, way=Way.NOTICE, told=True, controller=True)
    for kind in (AnswerKind.REFUSED, AnswerKind.WRONG_RECIPIENT):
        step = advance(at, Answer(kind), NOW)
        at = replace(at, state=step.state, rung=step.rung, told=step.told)
    assert not at.told
    with pytest.raises(DecisionRefused, match="dpsync settle"):
        advance(at, Decision(DecisionKind.EXEMPT, code=ExemptionCode.IMPOSSIBLE), NOW)


def test_why_it_waits_for_a_person_is_said_until_the_state_moves(every: list[Stepped]) -> None:
    waits = {State.HELD, State.CONTRADICTED, State.REFUSED, State.ESCALATED, State.NOT_IDENTIFIABLE}
    anew = {EntryKind.ESCALATED, EntryKind.BOUNCED, EntryKind.CONTRADICTED}
    assert not against(
        every,
        lambda at, _, step: (
            at.state in waits
            and step.state is at.state
            and step.entry not in anew
            and reason_after("the reason", at, step) != "the reason"
        ),
    )


@pytest.mark.parametrize(("kind", "said"), [(AnswerKind.DELIVERED, True), (AnswerKind.RECEIVED, False)])
def test_only_a_persons_word_ends_that_a_letter_reached_nobody(kind: AnswerKind, said: bool) -> None:
    at = Position(right=Right.ERASURE, state=State.ESCALATED, way=Way.NOTICE, rung=Rung.SENT)
    before = "not delivered (5.1.1: no such mailbox)"
    step = advance(at, Answer(kind), NOW)
    assert (reason_after(before, at, step) == before, step.told) == (said, not said)


WAITS = Step(State.HELD, Rung.NONE, Way.API, EntryKind.RETRIED, reason="new")


@pytest.mark.parametrize(
    ("at", "step", "reason"),
    [
        (State.HELD, WAITS, "old"),
        (State.HELD, replace(WAITS, entry=EntryKind.REPEAT, state=State.PENDING), "old"),
        (State.HELD, replace(WAITS, entry=EntryKind.ESCALATED), "new"),
        (State.PENDING, WAITS, "new"),
        (State.PENDING, replace(WAITS, state=State.PENDING), "new"),
        (State.PENDING, replace(WAITS, state=State.PENDING, entry=EntryKind.ESCALATED), "new"),
        (State.REFUSED, replace(WAITS, state=State.PENDING), "new"),
    ],
)
def test_why_it_waits_for_a_person_stays_until_the_state_moves_or_is_entered_anew(
    at: State, step: Step, reason: str
) -> None:
    position = Position(right=Right.ERASURE, state=at, way=Way.API)
    assert reason_after("old", position, step) == reason
    assert reason_after("", position, step) == ("" if step.entry is EntryKind.REPEAT else "new")


def test_a_letter_that_comes_back_after_an_answer_from_elsewhere_is_told(every: list[Stepped]) -> None:
    def silent(at: Position, event: Event, step: Step) -> bool:
        bounced = isinstance(event, Answer) and event.kind is AnswerKind.BOUNCED and not event.older
        return bounced and at.way is Way.NOTICE and at.state in DONE_STATES and step.alert != "letter_lost"

    assert not against(every, silent)
    at = Position(right=Right.ERASURE, state=State.DECLARED_DONE, way=Way.NOTICE, told=True, by_link=True)
    assert advance(at, Answer(AnswerKind.BOUNCED), NOW).alert == "", "who answers from a letter has it"
    assert advance(replace(at, by_link=False), Answer(AnswerKind.BOUNCED), NOW).told


@pytest.mark.parametrize("way", [Way.NOTICE, Way.OPERATOR])
def test_an_answer_that_overtakes_the_word_of_our_own_mail_host_counts(way: Way) -> None:
    at = Position(right=Right.ERASURE, state=State.PENDING, way=way)
    answered = advance(at, Answer(AnswerKind.DONE), NOW)
    assert (answered.state, answered.entry.value) == (State.DECLARED_DONE, "declared")
    sent = advance(replace(at, state=answered.state, rung=answered.rung), Accepted(evidence=()), NOW)
    assert (sent.state, sent.rung) == (State.DECLARED_DONE, Rung.CONFIRMED)


def test_what_is_told_by_api_has_no_answer_before_it_was_told() -> None:
    at = Position(right=Right.ERASURE, state=State.PENDING, way=Way.API)
    assert advance(at, Answer(AnswerKind.DONE), NOW).state is State.PENDING


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("state", State)
def test_no_step_is_another_than_was_last_found_right(state: State, way: Way) -> None:
    on_record, found = json.loads(STORED.read_text(encoding="utf-8"))[f"{state} {way}"], steps_from(state, way)
    others = [name for name, digest in found.items() if on_record.get(name) != digest]
    assert not others, "read docs/states.md for what is meant; what is meant otherwise: python -m tests.steps"
    assert found.keys() == on_record.keys()


def test_no_step_is_on_record_from_where_nothing_stands() -> None:
    places = {f"{state} {way}" for state, way in product(State, Way)}
    assert json.loads(STORED.read_text(encoding="utf-8")).keys() == places


def test_the_page_of_states_is_up_to_date() -> None:
    written = Path(__file__).parents[2] / "docs" / "states.md"
    assert written.read_text(encoding="utf-8") == page(), "run `make docs`"


@pytest.mark.parametrize(("heard", "rung"), [(True, Rung.ACKNOWLEDGED), (False, Rung.DELIVERED)])
def test_what_only_took_a_message_in_has_not_said_that_the_processor_has_it(heard: bool, rung: Rung) -> None:
    at = Position(right=Right.ERASURE, state=State.PENDING, way=Way.API)
    step = advance(at, Accepted(evidence=(), heard=heard), NOW)
    assert (step.state, step.rung, step.told) == (State.ACCEPTED, rung, True)


# --- the processor's own word, asked for


def declared(outcome: ReportedOutcome, **more: object) -> Declares:
    return Declares(outcome=outcome, evidence=(), reason="its word", **more)  # type: ignore[arg-type]  # because the names are its own


def asked(state: State, **more: object) -> Position:
    """Of a processor of which nothing can be seen, and which can be asked."""
    at = Position(right=Right.ERASURE, state=state, way=Way.API, verifiable=False, declares=True, told=True)
    return replace(at, **{"rung": Rung.DELIVERED, "answer_by": NOW + timedelta(days=9), **more})  # type: ignore[arg-type]  # because the names are its own


def test_what_was_accepted_is_read_where_the_processor_can_be_asked() -> None:
    begun = asked(State.PENDING, rung=Rung.NONE, rereads=5)
    step = advance(begun, Accepted(evidence=(), answer_by=NOW + timedelta(days=9)), NOW)
    assert (step.timer, step.timer_at) == (Timer.REREAD, NOW + timedelta(minutes=10))
    unread = advance(replace(begun, declares=False), Accepted(evidence=(), answer_by=NOW + timedelta(days=9)), NOW)
    assert (unread.timer, unread.timer_at) == (Timer.ESCALATE, NOW + timedelta(days=9))


@pytest.mark.parametrize(
    ("outcome", "state", "alert", "rung"),
    [
        (ReportedOutcome.DONE, State.DECLARED_DONE, "", Rung.CONFIRMED),
        (ReportedOutcome.NOTHING_HELD, State.DECLARED_NOTHING_HELD, "", Rung.CONFIRMED),
        (ReportedOutcome.REFUSED, State.REFUSED, "refused", Rung.ACKNOWLEDGED),
        (ReportedOutcome.PARTLY, State.ESCALATED, "partly", Rung.ACKNOWLEDGED),
    ],
)
def test_the_word_that_was_asked_for_is_declared_and_nothing_is_read_again(
    outcome: ReportedOutcome, state: State, alert: str, rung: Rung
) -> None:
    for before in (asked(State.ACCEPTED), asked(State.ESCALATED), asked(State.PENDING, doubtful=True)):
        step = advance(before, declared(outcome), NOW)
        assert (step.state, step.alert, step.rung, step.reason) == (state, alert, rung, "its word")
        assert (step.timer, step.timer_at, step.keep_timer, step.next) == (None, None, False, Next.NOTHING)
        assert step.told


def test_even_where_we_could_look_its_word_alone_has_nothing_read_again() -> None:
    step = advance(asked(State.ACCEPTED, verifiable=True), declared(ReportedOutcome.DONE), NOW)
    assert (step.state, step.timer, step.timer_at) == (State.DECLARED_DONE, None, None)


def test_not_yet_is_asked_again_and_on_the_day_it_is_owed_a_person_hears_of_it() -> None:
    step = advance(asked(State.ACCEPTED, rereads=1), declared(ReportedOutcome.RECEIVED), NOW)
    assert (step.state, step.entry, step.rung) == (State.ACCEPTED, EntryKind.CANNOT_TELL, Rung.ACKNOWLEDGED)
    assert (step.told, step.rereads, step.reason) == (True, 2, "its word")
    assert (step.timer, step.timer_at) == (Timer.REREAD, NOW + timedelta(hours=1))
    late = advance(asked(State.ACCEPTED, answer_by=NOW), declared(ReportedOutcome.RECEIVED), NOW)
    assert (late.state, late.alert, late.timer) == (State.ESCALATED, "no_answer", Timer.REREAD)
    further = advance(asked(State.ESCALATED, rung=Rung.CONFIRMED), declared(ReportedOutcome.RECEIVED), NOW)
    assert (further.state, further.timer, further.rung) == (State.ESCALATED, Timer.REREAD, Rung.CONFIRMED)
    untold = advance(asked(State.ACCEPTED, told=False), declared(ReportedOutcome.RECEIVED), NOW)
    assert untold.told


def test_in_doubt_its_word_shows_that_it_was_told() -> None:
    until = NOW + timedelta(days=4)
    step = advance(
        asked(State.PENDING, doubtful=True, rung=Rung.NONE), declared(ReportedOutcome.RECEIVED, answer_by=until), NOW
    )
    assert (step.state, step.rung, step.answer_by, step.told) == (State.ACCEPTED, Rung.ACKNOWLEDGED, until, True)
    assert (step.timer, step.timer_at) == (Timer.REREAD, NOW + timedelta(minutes=10))
    step = advance(asked(State.PENDING), declared(ReportedOutcome.DONE), NOW)
    assert (step.state, step.entry) == (State.PENDING, EntryKind.REPEAT)  # nobody asked because of a doubt
    step = advance(asked(State.PENDING, doubtful=True, way=Way.NOTICE), declared(ReportedOutcome.DONE), NOW)
    assert (step.state, step.entry) == (State.PENDING, EntryKind.REPEAT)  # the letter is still to go
    for outcome in ReportedOutcome:
        for state in (State.HELD, State.WITHDRAWN):
            step = advance(asked(state), declared(outcome), NOW)
            assert (step.state, step.entry, step.keep_timer) == (state, EntryKind.REPEAT, True)


def test_a_no_that_is_read_again_is_no_news() -> None:
    step = advance(asked(State.REFUSED), declared(ReportedOutcome.REFUSED), NOW)
    assert (step.state, step.alert, step.entry) == (State.REFUSED, "", EntryKind.CANNOT_TELL)
    assert (step.timer, step.keep_timer) == (None, False)
    assert advance(asked(State.REFUSED), declared(ReportedOutcome.DONE), NOW).state is State.DECLARED_DONE
    assert advance(asked(State.REFUSED), declared(ReportedOutcome.RECEIVED), NOW).entry is EntryKind.CANNOT_TELL


@pytest.mark.parametrize("outcome", ReportedOutcome)
def test_nothing_that_was_said_goes_back(outcome: ReportedOutcome) -> None:
    step = advance(asked(State.DECLARED_DONE, rung=Rung.CONFIRMED), declared(outcome), NOW)
    against = outcome in {ReportedOutcome.REFUSED, ReportedOutcome.PARTLY}
    assert step.state is (State.ESCALATED if against else State.DECLARED_DONE)
    assert step.alert == ("taken_back" if against else "")
    assert (step.rung, step.timer, step.keep_timer) == (Rung.CONFIRMED, None, False)


def test_a_word_about_a_letter_sets_no_clock_of_the_interface() -> None:
    at = asked(State.ACCEPTED, way=Way.NOTICE, timer=Timer.REMIND)
    step = advance(at, declared(ReportedOutcome.RECEIVED), NOW)
    assert (step.state, step.entry, step.timer) == (State.ACCEPTED, EntryKind.CANNOT_TELL, None)


def test_a_message_that_there_is_news_has_it_asked_for_at_once() -> None:
    hint = Answer(AnswerKind.RECEIVED)
    for state in (State.ACCEPTED, State.ESCALATED, State.REFUSED):
        step = advance(asked(state), hint, NOW)
        assert (step.state, step.timer, step.timer_at, step.keep_timer) == (state, Timer.REREAD, NOW, False)
        assert step.rung is Rung.ACKNOWLEDGED
    kept = [
        advance(asked(State.ACCEPTED, declares=False), hint, NOW),
        advance(asked(State.ACCEPTED, way=Way.NOTICE), hint, NOW),
        advance(asked(State.ACCEPTED), Answer(AnswerKind.DELIVERED), NOW),
    ]
    assert [(step.timer, step.timer_at, step.keep_timer) for step in kept] == [(None, None, True)] * 3


def test_who_tries_again_after_silence_is_not_told_the_same_word_again() -> None:
    for at, read in (
        (asked(State.ESCALATED), False),
        (asked(State.ESCALATED, verifiable=True), True),
        (asked(State.ESCALATED, declares=False), True),
        (asked(State.ESCALATED, way=Way.NOTICE, declares=False), False),
        (asked(State.ACCEPTED), False),
    ):
        step = advance(at, Decision(DecisionKind.RETRY), NOW)
        assert (step.state, step.doubtful, step.next) == (State.PENDING, read, Next.NOW)


def test_its_day_gone_by_it_is_still_asked() -> None:
    at = asked(State.ACCEPTED, rereads=2)
    step = advance(at, Timer.ESCALATE, NOW)
    assert (step.state, step.timer, step.timer_at) == (State.ESCALATED, Timer.REREAD, NOW + timedelta(hours=6))
    assert advance(replace(at, declares=False), Timer.ESCALATE, NOW).timer is None
