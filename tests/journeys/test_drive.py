"""Attempts, doubt, pauses, stopped accounts, read-backs and letters: on both databases."""

from datetime import timedelta

import pytest

from dpsync.connector import (
    Applied,
    CannotTell,
    HandOver,
    Instruction,
    NotIdentifiable,
    Recipient,
    Refused,
    Retryable,
)
from dpsync.errors import CredentialsRejected
from dpsync.ledger import entry
from dpsync.model import Changes, Right, Rung, State
from dpsync.propagation.correspondence import acknowledgement
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.engine.membership import Lease
from dpsync.propagation.rules.lifecycle import AnswerKind, DecisionKind
from dpsync.propagation.rules.plan import Safety
from dpsync.store import tables as t
from tests.builders import World, busy, later, proof
from tests.faults.counting import Counted

ADA = "ada@example.org"
DPO = Person("Dana Officer", "dana", "decided in the test")


@pytest.mark.no_database
def test_a_rejected_credential_stops_the_account_once_and_charges_nobody(world: World) -> None:
    world.vendors["alpha"].hold(ADA, "ben@example.org")
    world.vendors["alpha"].answers += [CredentialsRejected("GET /", 401)] * 8
    first, second = world.ask(Right.ERASURE, ADA, id="1"), world.ask(Right.ERASURE, "ben@example.org", id="2")
    world.drive()
    assert world.rows(t.account)[0].stopped == "credential"
    assert world.row(first).attempts == world.row(second).attempts == 0
    assert [row.cause for row in world.rows(t.alert)] == ["credential"]
    world.vendors["alpha"].answers.clear()
    world.writer.call(lambda unit: unit.connection.execute(t.account.update().values(stopped="")))
    world.drive()
    assert {world.state(first), world.state(second)} == {State.VERIFIED}


@pytest.mark.fault(6)
def test_too_many_requests_pauses_the_account_and_touches_no_lane(world: World, counted: Counted) -> None:
    for number in range(20):
        world.vendors["alpha"].hold(f"p{number}@example.org")
    world.vendors["alpha"].answers.append(busy(429, seconds=600))
    for number in range(20):
        world.ask(Right.OPT_OUT, f"p{number}@example.org", id=str(number))
    world.drive()
    calls = len(world.vendors["alpha"].calls)
    counted(6, calls_in_the_worst_minute=calls)
    waiting = [row for row in world.rows(t.propagation) if row.state == State.PENDING]
    assert waiting
    assert world.rows(t.account)[0].paused_until >= world.clock.now() + timedelta(seconds=590)
    assert all(row.due_at <= world.clock.now() and row.attempts == 0 for row in world.rows(t.lane))
    world.clock.advance(timedelta(seconds=300))
    world.drive()
    assert len(world.vendors["alpha"].calls) == calls, "a call came before the processor's own Retry-After"
    world.clock.advance(timedelta(seconds=301))
    world.drive()
    assert {row.state for row in world.rows(t.propagation)} == {State.VERIFIED}


def test_never_more_at_once_than_the_account_takes(world: World) -> None:
    world.use(safety=Safety(irreversible_per_day=100))
    for number in range(60):
        world.vendors["alpha"].hold(f"p{number}@example.org")
        world.ask(Right.OPT_OUT, f"p{number}@example.org", id=str(number))
    world.drive()
    assert 1 <= world.vendors["alpha"].peak <= 4
    assert {row.state for row in world.rows(t.propagation)} == {State.VERIFIED}


@pytest.mark.no_database
def test_five_failures_in_a_row_open_the_circuit(world: World) -> None:
    world.vendors["alpha"].answers += [later() for _ in range(60)]
    for number in range(20):
        world.ask(Right.OPT_OUT, f"p{number}@example.org", id=str(number))
    world.drive()
    assert world.rows(t.account)[0].paused_until is not None
    assert len(world.vendors["alpha"].calls) < 20


@pytest.mark.no_database
def test_an_attempt_cut_after_the_effect_is_read_back_and_verified_not_nothing_held(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)

    def die_after_the_effect(instruction: object) -> Retryable:
        vendor.people.clear()
        raise SystemExit

    vendor.answers.append(die_after_the_effect)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert world.state(asked) is State.VERIFIED
    assert [what for what, _, _ in vendor.calls] == ["carry_out", "verify"]
    assert world.ledger_problems() == ()


@pytest.mark.no_database
def test_an_attempt_cut_before_the_effect_is_read_back_and_carried_out(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)
    vendor.answers.append(SystemExit())
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert world.state(asked) is State.VERIFIED
    assert [what for what, _, _ in vendor.calls] == ["carry_out", "verify", "carry_out", "verify"]


@pytest.mark.no_database
def test_a_doubtful_attempt_that_cannot_be_read_now_is_not_repeated(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)
    vendor.answers.append(Retryable(reason="reset", evidence=proof(None), doubtful=True))
    vendor.findings += [CannotTell(reason="down", later=True), CannotTell(reason="down", later=True)]
    asked = world.ask(Right.ERASURE, ADA, id="1")
    for _ in range(3):
        world.drive()
        world.clock.advance(timedelta(hours=1))
    assert [what for what, _, _ in vendor.calls][:3] == ["carry_out", "verify", "verify"]
    world.drive()
    assert world.state(asked) is State.VERIFIED


@pytest.mark.no_database
def test_a_vendor_that_says_yes_and_does_nothing_is_contradicted_and_told(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    world.vendors["alpha"].lies = True
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert world.state(asked) is State.CONTRADICTED
    assert world.row(asked).rung < Rung.CONFIRMED
    assert [row.cause for row in world.rows(t.alert)] == ["contradicted"]
    world.vendors["alpha"].people.clear()
    world.clock.advance(timedelta(hours=2))
    world.drive()
    assert world.state(asked) is State.VERIFIED, "it is read once more by itself"


@pytest.mark.no_database
def test_what_stays_undone_after_each_unclear_answer_is_told_to_a_person_and_tried_on(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)
    vendor.answers += [Retryable(reason="unclear", evidence=proof(), doubtful=True)] * 5
    asked = world.ask(Right.ERASURE, ADA, id="1")
    told: list[int] = []
    for _ in range(5):
        world.drive()
        told.append(len(world.rows(t.alert)))
        world.clock.advance(timedelta(hours=7))
    assert told == [0, 0, 0, 1, 1]
    assert {row.cause for row in world.rows(t.alert)} == {"undone"}
    world.drive()
    assert world.state(asked) is State.VERIFIED


@pytest.mark.no_database
def test_thirty_days_later_it_is_read_again(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    world.clock.advance(timedelta(days=31))
    world.drive()
    assert Rung(world.row(asked).rung) is Rung.STILL_VERIFIED


@pytest.mark.no_database
def test_a_read_back_that_a_newer_request_overtook_proves_nothing_and_is_dropped(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    first = world.ask(Right.RECTIFICATION, ADA, id="1", to="two@example.org", version=1)
    world.drive()
    world.ask(Right.RECTIFICATION, "two@example.org", id="1", to="three@example.org", version=2)
    world.drive()
    world.clock.advance(timedelta(days=31))
    world.drive()
    assert world.state(first) is State.VERIFIED
    assert Rung(world.row(first).rung) is Rung.VERIFIED


@pytest.mark.no_database
def test_a_poisoned_propagation_is_set_aside_after_five_defects_and_the_others_flow(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA, "good@example.org")

    def poisoned_by_ada(instruction: Instruction) -> Applied:
        if ADA in instruction.addresses:
            raise RuntimeError("poison")
        vendor.do(instruction)
        return Applied(evidence=proof())

    vendor.answers += [poisoned_by_ada] * 20
    bad, good = world.ask(Right.ERASURE, ADA, id="1"), world.ask(Right.ERASURE, "good@example.org", id="2")
    for _ in range(8):
        world.drive()
        world.clock.advance(timedelta(days=1))
    assert world.state(good) is State.VERIFIED
    assert world.state(bad) is State.ESCALATED
    assert world.row(bad).defects == 5
    assert ADA in vendor.people


@pytest.mark.no_database
def test_what_an_api_cannot_do_goes_by_letter_once_the_contact_has_confirmed_itself(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.answers.append(HandOver(to=Recipient.PROCESSOR, task="Delete order", references=("order-17",)))
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert world.state(asked) is State.HELD
    assert world.notice.letters == []
    world.confirm("alpha")
    token = world.controller.contact_token("privacy@alpha.example", "alpha")
    world.writer.call(lambda unit: unit.connection.execute(t.contact.update().values(confirmed_at=None)))
    world.writer.call(lambda unit: acknowledgement.confirm_contact(unit, world.controller, token, world.clock.now()))
    world.drive()
    assert world.state(asked) is State.ACCEPTED
    (letter,) = world.notice.letters
    assert letter.letter is not None
    assert letter.letter.references == ("order-17",)
    assert letter.message_id == world.rows(t.notice)[0].message_id


@pytest.mark.no_database
def test_a_letter_is_answered_by_link_and_a_later_answer_may_take_back_what_rests_on_the_first(world: World) -> None:
    world.use(world.processor("paper", world.notice))
    world.confirm("paper")
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert world.state(asked, "paper") is State.ACCEPTED
    token = world.notice.letters[0].answer_url.rpartition("/")[2]
    for kind in (AnswerKind.DONE, AnswerKind.REFUSED):
        world.answer(token, kind)
    assert world.state(asked, "paper") is State.ESCALATED
    assert [row.kind for row in world.rows(t.answer)] == ["done", "refused"]
    assert "taken_back" in [row.cause for row in world.rows(t.alert)]


@pytest.mark.no_database
def test_silence_is_reminded_with_the_first_letter_named_then_escalated_and_never_success(world: World) -> None:
    world.use(world.processor("paper", world.notice))
    world.confirm("paper")
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    world.clock.advance(timedelta(days=5, hours=1))
    world.drive()
    first, reminder = world.notice.letters
    assert reminder.letter is not None
    assert reminder.letter.in_reply_to == first.message_id != reminder.message_id
    world.clock.advance(timedelta(days=6))
    world.drive()
    assert world.state(asked, "paper") is State.ESCALATED
    assert "no_answer" in [row.cause for row in world.rows(t.alert)]


@pytest.mark.no_database
def test_a_letter_cut_off_keeps_its_message_id(world: World) -> None:
    world.use(world.processor("paper", world.notice))
    world.confirm("paper")
    world.notice.vendor.answers.append(SystemExit())
    world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert len(world.notice.letters) == 1
    assert world.notice.letters[0].message_id == world.rows(t.notice)[0].message_id


@pytest.mark.no_database
def test_withdraw_stops_what_is_unsent_and_says_what_had_gone(world: World) -> None:
    world.use(world.processor("alpha"), world.processor("beta"))
    world.vendors["alpha"].hold(ADA)
    world.vendors["beta"].answers += [later()]
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    told = world.writer.call(
        lambda unit: decide(unit, world.controller, asked.request_id, DecisionKind.WITHDRAW, DPO, world.clock.now())
    )
    assert [(one.processor, bool(one.refused)) for one in told] == [("alpha", True), ("beta", False)]
    assert world.states(asked) == {"alpha": State.VERIFIED, "beta": State.WITHDRAWN}
    world.clock.advance(timedelta(days=1))
    world.drive()
    assert [c for c in world.vendors["beta"].calls if c[0] == "carry_out"].__len__() == 1


@pytest.mark.no_database
def test_refused_and_not_identifiable_wait_for_a_person_and_retry_goes_on(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    world.vendors["alpha"].answers += [
        NotIdentifiable(reason="no address"),
        Refused(reason="undocumented answer", evidence=proof(418)),
    ]
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert world.state(asked) is State.NOT_IDENTIFIABLE
    for expected in (State.REFUSED, State.VERIFIED):
        world.writer.call(
            lambda unit: decide(unit, world.controller, asked.request_id, DecisionKind.RETRY, DPO, world.clock.now())
        )
        world.drive()
        assert world.state(asked) is expected


def test_two_workers_share_accounts_and_a_dead_one_is_taken_over_only_after_its_last_call(world: World) -> None:
    names = ["alpha", "beta", "gamma", "delta"]
    world.use(*[world.processor(name) for name in names])
    for name in names:
        world.vendors[name].answers += [later() for _ in range(3)]
    world.ask(Right.OPT_OUT, ADA, id="1")
    one = world.worker(terms=Lease(call_deadline=timedelta(seconds=60)))
    two = world.worker(terms=Lease(call_deadline=timedelta(seconds=60)))
    one.turn()
    two.turn()
    owners = {row.id: row.owner for row in world.rows(t.account)}
    assert set(owners.values()) <= {one.id, two.id, None}
    taken = {name for name, owner in owners.items() if owner == one.id}
    assert taken
    world.clock.advance(timedelta(seconds=30))  # its heartbeat is over, its last call may not be
    two.turn()
    assert {row.id for row in world.rows(t.account) if row.owner == one.id} == taken
    world.clock.advance(timedelta(seconds=45))
    two.turn()
    world.clock.advance(timedelta(seconds=5))
    two.turn()
    assert {row.owner for row in world.rows(t.account)} == {two.id}


@pytest.mark.no_database
def test_the_ladder_speaks_once_a_cause_and_day(world: World) -> None:
    world.vendors["alpha"].answers += [later() for _ in range(50)]
    for number in range(5):
        world.ask(Right.OPT_OUT, f"p{number}@example.org", id=str(number))
    heard = []
    for _ in range(26):
        world.clock.advance(timedelta(hours=1))
        heard.append(world.climb())
    causes = [row.cause for row in world.rows(t.alert)]
    assert "opt-out-4h" in causes
    assert "opt-out-12h" in causes
    assert "opt-out-overdue" in causes
    assert len(causes) == len(set(zip(causes, [row.day for row in world.rows(t.alert)], strict=True)))


@pytest.mark.no_database
def test_no_entry_holds_an_address(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    world.ask(Right.RECTIFICATION, ADA, id="crm-1", changes=Changes(first_name="Canary"))
    world.drive()
    bodies = [bytes(row.body) for row in world.rows(t.entry)]
    assert bodies
    assert not any(b"ada@" in body or b"Canary" in body or b"crm-1" in body for body in bodies)
    assert [entry.decode(body)["event"] for body in bodies][:2] == ["received", "attempt"]
