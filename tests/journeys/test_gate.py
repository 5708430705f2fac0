"""What may still go is asked before each call, whatever was so when the request came in: on both databases."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from dpsync.connector import Applied, HandOver, Instruction, NoticeKind, Recipient, Refused, Retryable
from dpsync.ledger import entry
from dpsync.model import Cause, Mode, Right, Rung, State
from dpsync.propagation import owed
from dpsync.propagation.correspondence import acknowledgement
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.rules.lifecycle import AnswerKind, DecisionKind
from dpsync.propagation.rules.plan import Safety
from dpsync.store import tables as t
from dpsync.store.database import reading
from tests.builders import World, later, proof
from tests.invariants import faults

ADA, BOB = "ada@example.org", "bob@example.org"
DPO = Person("Dana Officer", "dana", "decided in the test")


def say(world: World, request_id: str, kind: DecisionKind, person: Person = DPO, **more: object) -> None:
    world.writer.call(
        lambda unit: decide(unit, world.controller, request_id, kind, person, world.clock.now(), **more)  # type: ignore[arg-type]  # because a test gives what fits
    )


@pytest.mark.no_database
def test_a_restriction_that_comes_while_an_erasure_is_in_doubt_holds_it(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)
    vendor.answers.append(Retryable(reason="503", evidence=proof(503), doubtful=True))
    erase = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    world.ask(Right.RESTRICTION, ADA, id="1")
    world.clock.advance(timedelta(hours=1))
    world.drive()
    assert world.state(erase) is State.HELD
    assert ADA in vendor.people
    say(world, erase.request_id, DecisionKind.RELEASE)
    world.drive()
    assert world.state(erase) is State.VERIFIED, "what a person released stays released"


def test_retrying_a_refused_erasure_meets_the_restriction_that_came_meanwhile(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    world.vendors["alpha"].answers.append(Refused(reason="no", evidence=proof(418)))
    erase = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    world.ask(Right.RESTRICTION, ADA, id="1")
    world.drive()
    say(world, erase.request_id, DecisionKind.RETRY)
    world.drive()
    assert causes_of(world.row(erase).causes) == {Cause.RESTRICTION_IN_FORCE}


@pytest.mark.no_database
def test_a_restriction_given_by_address_holds_the_erasure_given_by_id(world: World) -> None:
    world.ask(Right.RESTRICTION, ADA)
    world.drive()
    assert world.ask(Right.ERASURE, ADA, id="crm-1").held


def test_an_address_that_another_id_took_meanwhile_holds_the_erasure(world: World) -> None:
    world.use(safety=Safety(cooling_off=timedelta(hours=24)))
    world.vendors["alpha"].hold(ADA)
    erase = world.ask(Right.ERASURE, ADA, id="1")
    world.ask(Right.OPT_OUT, ADA, id="2")
    world.clock.advance(timedelta(hours=25))
    world.drive()
    assert causes_of(world.row(erase).causes) == {Cause.SHARED_ADDRESS}
    assert ADA in world.vendors["alpha"].people


@pytest.mark.no_database
def test_an_address_that_the_brake_stopped_is_never_fed_to_an_erasure(world: World) -> None:
    world.use(safety=Safety(irreversible_per_day=1))
    vendor = world.vendors["alpha"]
    vendor.hold(ADA, BOB)
    vendor.answers.append(later())
    world.ask(Right.ERASURE, ADA, id="1")
    wrong = world.ask(Right.RECTIFICATION, ADA, id="1", to=BOB)
    assert world.state(wrong) is State.HELD
    world.drive()
    world.clock.advance(timedelta(hours=1))
    world.drive()
    assert list(vendor.people) == [BOB]


@pytest.mark.no_database
@pytest.mark.parametrize("right", [Right.ERASURE, Right.OPT_OUT])
def test_whoever_is_held_under_the_address_before_a_rectification_that_is_held_is_found(
    world: World, right: Right
) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)
    world.use(safety=Safety(irreversible_per_day=0))
    assert world.ask(Right.RECTIFICATION, ADA, id="1", to=BOB).held
    world.use(safety=Safety())
    asked = world.ask(right, BOB, id="1")
    world.drive()
    assert world.state(asked) is State.VERIFIED, "nothing is held under the new address, for nobody was told of it"
    assert [one["status"] for one in vendor.people.values()] == ["unsubscribed"] * (right is Right.OPT_OUT)


def test_what_was_put_right_while_the_erasure_cooled_off_is_read_no_more_after_it(world: World) -> None:
    world.use(safety=Safety(cooling_off=timedelta(hours=24)))
    world.vendors["alpha"].hold(ADA)
    erase = world.ask(Right.ERASURE, ADA, id="1")
    right = world.ask(Right.RECTIFICATION, ADA, id="1", to=BOB)
    world.drive()
    assert world.state(right) is State.VERIFIED
    world.clock.advance(timedelta(hours=25))
    world.drive()
    assert world.state(erase) is State.VERIFIED
    assert world.vendors["alpha"].people == {}
    world.clock.advance(timedelta(days=32))
    world.drive()
    assert world.state(right) is State.VERIFIED, "nobody is there any more, and that contradicts nothing"
    assert faults(world) == []


def test_a_reading_that_an_erasure_made_pointless_is_not_owed(world: World) -> None:
    world.use(safety=Safety(cooling_off=timedelta(hours=24)))
    world.vendors["alpha"].hold(ADA)
    world.ask(Right.ERASURE, ADA, id="1")
    right = world.ask(Right.RECTIFICATION, ADA, id="1", to=BOB)
    world.drive()
    never_read = {"state": State.APPLIED.value, "rung": Rung.CONFIRMED.value, "timer": "", "timer_at": None}
    put_right = t.propagation.update().where(t.propagation.c.request_id == right.request_id).values(never_read)
    world.writer.call(lambda unit: unit.connection.execute(put_right))
    with reading(world.engine) as connection:
        assert len(list(owed.problems(connection, {}, world.clock.now()))) == 1
        months = connection.execute(select(t.request.c.key_month)).scalars().all()
        assert list(owed.problems(connection, {}, world.clock.now(), months)) == [], "nobody knows whom to look for"
    world.clock.advance(timedelta(hours=25))
    world.drive()
    with reading(world.engine) as connection:
        assert list(owed.problems(connection, {}, world.clock.now())) == []


def test_the_old_contacts_link_releases_nothing_for_the_new_one(world: World) -> None:
    paper = world.processor("paper", world.notice)
    world.use(paper)
    world.confirm("paper")
    world.writer.call(lambda unit: unit.connection.execute(t.contact.update().values(confirmed_at=None)))
    old = world.controller.contact_token(paper.contact, "paper")
    world.use(replace(paper, contact="right@paper.example"))
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.writer.call(lambda unit: acknowledgement.confirm_contact(unit, world.controller, old, world.clock.now()))
    world.drive()
    assert world.state(asked, "paper") is State.HELD
    assert world.notice.letters == []


@pytest.mark.no_database
def test_two_spellings_of_one_name_are_one_approval_and_a_yes_elsewhere_is_none_here(world: World) -> None:
    world.use(world.processor("alpha"), world.processor("beta"), safety=Safety(approvals=2))
    asked = world.ask(Right.ERASURE, ADA, id="1")
    say(world, asked.request_id, DecisionKind.RELEASE)
    say(world, asked.request_id, DecisionKind.RELEASE, replace(DPO, by="DANA  officer"))
    say(world, asked.request_id, DecisionKind.RELEASE, replace(DPO, by="Ben"), processors=["beta"])
    assert world.states(asked) == {"alpha": State.HELD, "beta": State.PENDING}


def test_withdrawn_while_it_was_carried_out_is_shown_to_a_person(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)

    def withdrawn_meanwhile(instruction: Instruction) -> Applied:
        say(world, asked.request_id, DecisionKind.WITHDRAW)
        vendor.do(instruction)
        return Applied(evidence=proof())

    vendor.answers.append(withdrawn_meanwhile)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert world.state(asked) is not State.WITHDRAWN
    assert "withdrawn_in_doubt" in [row.cause for row in world.rows(t.alert)]


@pytest.mark.no_database
def test_a_second_click_on_an_answer_does_not_stop_the_read_back(world: World) -> None:
    world.confirm("alpha")
    world.vendors["alpha"].answers.append(HandOver(to=Recipient.PROCESSOR, task="x"))
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    token = world.notice.letters[0].answer_url.rpartition("/")[2]
    world.answer(token, AnswerKind.DONE)
    world.answer(token, AnswerKind.DONE)
    world.drive()
    assert world.state(asked) is State.VERIFIED


def test_no_word_makes_done_what_was_seen_not_to_be_and_our_own_reading_does(world: World) -> None:
    world.confirm("alpha")
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)
    vendor.answers.append(HandOver(to=Recipient.PROCESSOR, task="x"))
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    token = world.notice.letters[0].answer_url.rpartition("/")[2]
    for kind in (AnswerKind.DONE, AnswerKind.DONE, AnswerKind.NOTHING_HELD):
        world.answer(token, kind)
        world.drive()
        assert world.state(asked) is State.CONTRADICTED
    world.answer(token, AnswerKind.DONE)
    assert world.state(asked) is State.CONTRADICTED, "before anybody has looked again, too"
    vendor.people.clear()
    world.drive()
    assert world.state(asked) is State.VERIFIED
    assert world.ledger_problems() == ()


@pytest.mark.no_database
def test_what_one_processor_did_supersedes_nothing_at_another_on_the_same_account(world: World) -> None:
    world.use(world.processor("alpha", account="shared"), world.processor("beta", account="shared"))
    world.vendors["beta"].hold(ADA)
    rectify = world.ask(Right.RECTIFICATION, ADA, id="1", to="new@example.org")
    erase = world.ask(Right.ERASURE, ADA, id="1")
    say(world, erase.request_id, DecisionKind.WITHDRAW, processors=["beta"])
    world.drive()
    assert world.states(rectify)["beta"] is State.VERIFIED


@pytest.mark.no_database
def test_an_opt_out_does_not_inherit_the_back_off_of_what_failed_before_it(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    world.vendors["alpha"].answers += [later() for _ in range(9)]
    world.ask(Right.RECTIFICATION, ADA, id="1", to="new@example.org")
    for _ in range(8):
        world.drive()
        world.clock.advance(timedelta(hours=13))
    world.vendors["alpha"].answers[:] = [later()]
    world.ask(Right.OPT_OUT, ADA, id="1")
    world.drive()
    (lane,) = world.rows(t.lane)
    assert lane.due_at - world.clock.now() < timedelta(minutes=5)


@pytest.mark.no_database
def test_observing_stops_what_was_pending(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    erase = world.ask(Right.ERASURE, ADA, id="1")
    world.use(safety=Safety(mode=Mode.OBSERVE))
    world.drive()
    assert world.state(erase) is State.HELD
    assert ADA in world.vendors["alpha"].people


@pytest.mark.no_database
def test_while_dpsync_only_observes_no_yes_sends_anything(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    world.use(safety=Safety(mode=Mode.OBSERVE))
    erase = world.ask(Right.ERASURE, ADA, id="1")
    say(world, erase.request_id, DecisionKind.RELEASE)
    assert world.state(erase) is State.HELD
    assert world.rows(t.decision) == []
    world.drive()
    assert world.vendors["alpha"].calls == []
    world.use(safety=Safety())
    world.restart()
    world.drive()
    assert world.state(erase) is State.HELD
    say(world, erase.request_id, DecisionKind.RELEASE)
    world.drive()
    assert world.state(erase) is State.VERIFIED


@pytest.mark.no_database
def test_a_yes_from_before_sends_nothing_once_dpsync_only_observes(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    world.use(safety=Safety(mode=Mode.OBSERVE))
    erase = world.ask(Right.ERASURE, ADA, id="1")
    world.use(safety=Safety())
    say(world, erase.request_id, DecisionKind.RELEASE)
    world.use(safety=Safety(mode=Mode.OBSERVE))
    world.drive()
    assert (world.state(erase), world.vendors["alpha"].calls) == (State.HELD, [])


def test_an_answer_to_the_letter_from_before_a_retry_is_kept_and_does_not_close_the_new_round(world: World) -> None:
    world.use(world.processor("paper", world.notice))
    world.confirm("paper")
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    say(world, asked.request_id, DecisionKind.RETRY)
    world.drive()
    old, new = (letter.answer_url.rpartition("/")[2] for letter in world.notice.letters)
    world.answer(old, AnswerKind.DONE)
    assert world.state(asked, "paper") is State.ACCEPTED
    assert [(row.number, row.kind) for row in world.rows(t.answer)] == [(1, "done")]
    assert entry.decode(world.rows(t.entry)[-1].body)["event"] == "repeat"
    assert [row.cause for row in world.rows(t.alert)] == ["older_letter"]
    world.answer(new, AnswerKind.NOTHING_HELD)
    assert world.state(asked, "paper") is State.DECLARED_NOTHING_HELD


@pytest.mark.no_database
def test_a_reminder_to_our_own_operator_is_the_task_again(world: World) -> None:
    world.vendors["alpha"].answers.append(HandOver(to=Recipient.OPERATOR, task="Delete it there.", evidence=proof()))
    world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    world.clock.advance(timedelta(days=6))
    world.drive()
    told = [letter.letter for letter in world.notice.letters if letter.letter is not None]
    assert [(one.kind, one.task) for one in told] == [
        (NoticeKind.TASK, "Delete it there."),
        (NoticeKind.TASK_REMINDER, "Delete it there."),
    ]


@pytest.mark.no_database
def test_an_answer_to_the_first_letter_counts_after_its_reminder(world: World) -> None:
    world.use(world.processor("paper", world.notice))
    world.confirm("paper")
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    world.clock.advance(timedelta(days=6))
    world.drive()
    first, _reminder = world.notice.letters
    world.answer(first.answer_url.rpartition("/")[2], AnswerKind.DONE)
    assert world.state(asked, "paper") is State.DECLARED_DONE


@pytest.mark.no_database
def test_the_first_of_two_approvals_stands_in_the_ledger_without_name_or_reason(world: World) -> None:
    world.use(safety=Safety(approvals=2))
    asked = world.ask(Right.ERASURE, ADA, id="1")
    say(world, asked.request_id, DecisionKind.RELEASE)
    assert world.state(asked) is State.HELD
    bodies = [row.body for row in world.rows(t.entry)][-2:]
    approved, decided = map(entry.decode, bodies)
    assert (approved["event"], approved["req"], approved["dest"]) == ("approved", asked.request_id, "alpha")
    assert (decided["event"], decided["kind"], decided["req"]) == ("decided", "release", asked.request_id)
    assert {"by", "why"} <= approved.keys() & decided.keys()
    assert not any(word in body for body in bodies for word in (DPO.by.encode(), DPO.reason.encode()))
    say(world, asked.request_id, DecisionKind.RELEASE, replace(DPO, by="Ben"))
    assert world.state(asked) is State.PENDING
    assert world.ledger_problems() == ()
