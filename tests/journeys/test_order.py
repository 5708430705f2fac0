"""Who is who, what goes first, what overtakes what, what is held: on both databases."""

import itertools
import threading
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from dpsync.connector import CannotTell, Retryable
from dpsync.intake.answers import Received
from dpsync.model import Cause, Changes, Exemption, ExemptionCode, Right, State
from dpsync.propagation import owed
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.rules.lifecycle import AnswerKind, DecisionKind
from dpsync.propagation.rules.plan import Safety
from dpsync.store import tables as t
from dpsync.store.database import reading
from tests.builders import World, busy, later, proof
from tests.faults.counting import Counted
from tests.invariants import faults

ADA, NEW = "ada@example.org", "ada.new@example.org"


def carried_out(world: World, name: str = "alpha") -> list[tuple[Right, tuple[str, ...]]]:
    return [(right, addresses) for what, right, addresses in world.vendors[name].calls if what == "carry_out"]


@pytest.mark.no_database
def test_an_erasure_of_somebody_who_is_there_is_carried_out_and_seen(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    asked = world.ask(Right.ERASURE, ADA, id="crm-1")
    world.drive()
    assert world.state(asked) is State.VERIFIED
    assert world.vendors["alpha"].people == {}
    assert world.ledger_problems() == ()


@pytest.mark.no_database
def test_a_rectification_that_waits_leaves_nothing_behind_when_its_new_address_is_erased(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)
    vendor.answers.append(busy(503))
    first = world.ask(Right.RECTIFICATION, ADA, id="crm-1", to=NEW)
    world.drive()
    assert world.state(first) is State.PENDING
    second = world.ask(Right.ERASURE, NEW, id="crm-1")
    world.clock.advance(timedelta(hours=1))
    world.drive()
    assert vendor.people == {}
    assert world.state(first) is State.SUPERSEDED
    assert world.state(second) is State.VERIFIED
    assert set(carried_out(world)[-1][1]) == {ADA, NEW}


@pytest.mark.no_database
@pytest.mark.parametrize("right", [Right.ERASURE, Right.OPT_OUT, Right.RESTRICTION])
def test_what_was_asked_under_too_few_addresses_is_asked_again_once_a_late_change_names_the_earlier(
    world: World, right: Right
) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)
    asked = world.ask(right, NEW, id="crm-1", version=2)
    world.drive()
    assert world.state(asked) is State.NOTHING_HELD
    world.clock.advance(timedelta(seconds=1))
    world.ask(Right.RECTIFICATION, ADA, id="crm-1", to=NEW, version=1)
    world.drive()
    assert world.state(asked) is State.VERIFIED
    wanted = {Right.ERASURE: [], Right.OPT_OUT: ["unsubscribed"], Right.RESTRICTION: ["archived"]}
    assert [one["status"] for one in vendor.people.values()] == wanted[right]
    assert [what for what, one, _ in vendor.calls if one is right] == ["carry_out", "verify", "carry_out", "verify"]
    assert [(row.role, row.cause) for row in world.rows(t.alert)] == [("dpo", "earlier_address")]
    assert faults(world) == []


@pytest.mark.no_database
def test_who_is_not_there_under_the_earlier_address_either_is_only_looked_for(world: World) -> None:
    asked = world.ask(Right.ERASURE, NEW, id="crm-1", version=2)
    world.drive()
    world.clock.advance(timedelta(seconds=1))
    world.ask(Right.RECTIFICATION, ADA, id="crm-1", to=NEW, version=1)
    world.drive()
    assert world.state(asked) is State.VERIFIED
    assert [what for what, _, _ in world.vendors["alpha"].calls] == ["carry_out", "verify"]
    assert world.row(asked).told_at < world.clock.now()


@pytest.mark.no_database
def test_a_late_change_that_newer_ones_cover_owes_no_reading(world: World) -> None:
    """Newer is what its version says, though it came in first."""
    vendor = world.vendors["alpha"]
    world.ask(Right.RECTIFICATION, ADA, id="crm-1", to=NEW, version=2)
    world.drive()
    vendor.hold(ADA)
    vendor.findings.append(CannotTell(reason="asleep", later=True, blocked=True))
    world.ask(Right.RECTIFICATION, ADA, id="crm-1", to=NEW, version=1)
    for _ in range(3):
        world.drive()
        world.clock.advance(timedelta(hours=1))
    with reading(world.engine) as connection:
        accounts = {name: one.account for name, one in world.controller.processors.items()}
        assert list(owed.problems(connection, accounts, world.clock.now())) == []


@pytest.mark.no_database
def test_a_change_is_not_looked_for_after_an_erasure_that_ended_in_the_same_moment(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    changed = world.ask(Right.RECTIFICATION, ADA, id="crm-1", to=NEW, version=2)
    world.drive()
    erased = world.ask(Right.ERASURE, ADA, id="crm-1", version=1)
    world.drive()
    assert world.row(changed).state_since == world.row(erased).state_since
    world.clock.advance(timedelta(days=31))
    world.drive()
    assert (world.state(changed), world.state(erased)) == (State.VERIFIED, State.VERIFIED)
    assert [what for what, right, _ in world.vendors["alpha"].calls if right is Right.RECTIFICATION] == [
        "carry_out",
        "verify",
    ]
    with reading(world.engine) as connection:
        assert list(owed.problems(connection, {"alpha": "alpha"}, world.clock.now())) == []


def by_letter(world: World, right: Right) -> Received:
    """A processor by letter alone was asked under the new address, and has the letter."""
    world.use(world.processor("paper", world.notice))
    world.confirm("paper")
    asked = world.ask(right, NEW, id="crm-1", version=2)
    world.drive()
    return asked


def says(world: World, kind: AnswerKind, letter: int = 0) -> None:
    """Somebody there answers that letter."""
    world.answer(world.notice.letters[letter].answer_url.rpartition("/")[2], kind)


@pytest.mark.parametrize("right", [Right.ERASURE, Right.OPT_OUT, Right.RESTRICTION])
@pytest.mark.parametrize("said", [None, AnswerKind.RECEIVED, AnswerKind.DONE, AnswerKind.NOTHING_HELD])
def test_a_letter_that_named_too_few_addresses_is_followed_by_one_that_names_them_all(
    world: World, right: Right, said: AnswerKind | None
) -> None:
    asked = by_letter(world, right)
    if said:
        says(world, said)
    world.clock.advance(timedelta(days=1))
    world.ask(Right.RECTIFICATION, ADA, id="crm-1", to=NEW, version=1)
    world.drive()
    assert world.state(asked, "paper") is State.ACCEPTED
    first, *_, second = [one for one in world.notice.letters if one.right is right]
    assert (set(first.addresses), set(second.addresses)) == ({NEW}, {NEW, ADA})
    assert first.message_id != second.message_id
    says(world, AnswerKind.NOTHING_HELD, world.notice.letters.index(second))
    world.drive()
    assert world.state(asked, "paper") is State.DECLARED_NOTHING_HELD
    assert len([one for one in world.notice.letters if one.right is right]) == 2
    assert faults(world) == []


@pytest.mark.no_database
def test_nobody_is_reminded_of_a_letter_that_a_newer_one_undoes(world: World) -> None:
    """Who reads a reminder of the older one last would lift what the newer one asks for."""
    world.use(world.processor("paper", world.notice))
    world.confirm("paper")
    newer = world.ask(Right.RESTRICTION, ADA, id="crm-1", version=2)
    world.drive()
    older = world.ask(Right.RESTRICTION, ADA, id="crm-1", version=1, lifted=True)
    lifting = world.ask(Right.RESTRICTION, ADA, id="crm-1", version=3, lifted=True)
    world.drive()
    assert len(world.notice.letters) == 2
    assert (world.state(newer, "paper"), world.state(older, "paper")) == (State.ACCEPTED, State.SUPERSEDED)
    for _ in range(20):
        world.clock.advance(timedelta(days=1))
        world.drive()
    reminders = world.notice.letters[2:]
    assert [one.lifted is not None for one in reminders] == [True] * len(reminders)
    assert reminders
    states = (world.state(newer, "paper"), world.state(lifting, "paper"))
    assert states == (State.ESCALATED, State.ESCALATED)
    assert faults(world) == []


def test_a_late_change_that_a_processor_need_not_be_told_names_an_earlier_address_too(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)
    asked = world.ask(Right.ERASURE, NEW, id="crm-1", version=2)
    world.drive()
    world.clock.advance(timedelta(days=1))
    excused = Exemption(ExemptionCode.IMPOSSIBLE, "no field for it", "Dana", world.clock.now().date())
    world.use(replace(world.processor("alpha"), exempt={Right.RECTIFICATION: excused}))
    world.ask(Right.RECTIFICATION, ADA, id="crm-1", to=NEW, version=1)
    world.drive()
    assert (world.state(asked), vendor.people) == (State.VERIFIED, {})
    assert faults(world) == []


@pytest.mark.no_database
def test_an_older_change_goes_with_the_newest_values_while_the_newer_one_has_found_nobody_yet(world: World) -> None:
    """It alone names the address under which they know the person; what they end with is the newest all the same."""
    world.use(world.processor("paper", world.notice))
    world.confirm("paper")
    newest = "ada.newest@example.org"
    for silence in (timedelta(days=1), timedelta(days=30)):
        person = f"crm-{silence.days}"
        world.ask(Right.RECTIFICATION, NEW, id=person, to=newest, version=2)
        world.drive()
        world.clock.advance(silence)
        world.drive()
        late = world.ask(Right.RECTIFICATION, ADA, id=person, to=NEW, version=1)
        world.drive()
        assert world.state(late, "paper") is State.ACCEPTED
        letter = world.notice.letters[-1]
        assert letter.changes is not None
        assert (letter.changes.email, set(letter.addresses)) == (newest, {ADA, NEW, newest})
    assert faults(world) == []


@pytest.mark.no_database
def test_an_answer_to_the_letter_that_named_too_few_is_none_to_the_next_that_is_not_out_yet(world: World) -> None:
    asked = by_letter(world, Right.ERASURE)
    world.clock.advance(timedelta(days=1))
    world.notice.vendor.answers += [later()]
    world.ask(Right.RECTIFICATION, ADA, id="crm-1", to=NEW, version=1)
    world.drive()
    assert (world.state(asked, "paper"), world.row(asked, "paper").told_at) == (State.PENDING, None)
    says(world, AnswerKind.NOTHING_HELD)
    assert world.state(asked, "paper") is State.PENDING
    assert "older_letter" in [row.cause for row in world.rows(t.alert)]
    world.clock.advance(timedelta(hours=1))
    world.drive()
    assert world.state(asked, "paper") is State.ACCEPTED
    assert set(world.notice.letters[-1].addresses) == {NEW, ADA}


@pytest.mark.no_database
def test_a_letter_cut_off_while_an_older_change_came_in_is_followed_by_another(world: World) -> None:
    """What counts is when it was begun: what went into it was settled then."""
    asked = by_letter(world, Right.ERASURE)
    world.clock.advance(timedelta(days=1))
    world.ask(Right.RECTIFICATION, ADA, id="crm-1", to=NEW, version=1)
    says(world, AnswerKind.NOTHING_HELD)
    assert world.row(asked, "paper").done_at == world.clock.now()
    world.drive()
    assert world.state(asked, "paper") is State.ACCEPTED
    assert set(world.notice.letters[-1].addresses) == {NEW, ADA}


@pytest.mark.no_database
def test_what_was_asked_and_is_destroyed_is_a_persons_to_ask_again(world: World) -> None:
    asked = by_letter(world, Right.ERASURE)
    says(world, AnswerKind.NOTHING_HELD)
    world.writer.call(
        lambda unit: unit.connection.execute(
            update(t.request).where(t.request.c.id == asked.request_id).values(sealed=None, wrapped_key=None)
        )
    )
    world.clock.advance(timedelta(days=40))
    world.ask(Right.RECTIFICATION, ADA, id="crm-1", to=NEW, version=1)
    world.drive()
    assert world.state(asked, "paper") is State.DECLARED_NOTHING_HELD
    assert [(row.role, row.cause) for row in world.rows(t.alert)] == [("dpo", "earlier_address")]


@pytest.mark.no_database
def test_what_is_in_doubt_again_and_again_waits_longer_each_time_although_it_is_read_in_between(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)
    asked = world.ask(Right.ERASURE, ADA, id="crm-1")
    for times in range(1, 7):
        vendor.answers.append(Retryable(reason="cut", evidence=proof(None), doubtful=True))
        world.drive()
        (lane,) = world.rows(t.lane)
        assert lane.attempts == times
        world.clock.advance(timedelta(hours=12))
    world.drive()
    assert world.state(asked) is State.VERIFIED
    assert [what for what, _, _ in vendor.calls] == ["carry_out", *["verify", "carry_out"] * 6, "verify"]


@pytest.mark.no_database
def test_an_erasure_never_swallows_an_open_opt_out(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    world.vendors["alpha"].answers.append(later())
    stop = world.ask(Right.OPT_OUT, ADA, id="crm-1")
    world.drive()
    erase = world.ask(Right.ERASURE, ADA, id="crm-1")
    world.clock.advance(timedelta(hours=1))
    world.drive()
    assert [right for right, _ in carried_out(world)] == [Right.OPT_OUT, Right.OPT_OUT, Right.ERASURE]
    assert world.state(stop) in {State.VERIFIED, State.APPLIED}
    assert world.state(erase) is State.VERIFIED


def backed_off(world: World, times: int) -> tuple[Received, datetime]:
    """A rectification that failed so often, and when it is due again."""
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)
    asked = world.ask(Right.RECTIFICATION, ADA, id="crm-1", to=NEW)
    for _ in range(times):
        vendor.answers.append(later())
        world.drive()
        (lane,) = world.rows(t.lane)
        world.clock.advance(lane.due_at - world.clock.now())
    vendor.answers.append(later())
    world.drive()
    (lane,) = world.rows(t.lane)
    assert lane.attempts == times + 1
    return asked, lane.due_at


@pytest.mark.no_database
def test_what_an_opt_out_overtook_keeps_the_back_off_that_it_had(world: World) -> None:
    slow, due_at = backed_off(world, 3)
    before = len(carried_out(world))
    world.clock.advance(timedelta(seconds=1))
    stop = world.ask(Right.OPT_OUT, ADA, id="crm-1")
    world.drive()
    assert (world.state(stop), world.state(slow)) == (State.VERIFIED, State.PENDING)
    assert [right for right, _ in carried_out(world)[before:]] == [Right.OPT_OUT]
    (lane,) = world.rows(t.lane)
    assert (lane.due_at, lane.attempts, lane.kept_due_at) == (due_at, 4, None)
    world.clock.advance(due_at - world.clock.now())
    world.vendors["alpha"].answers.append(later())
    world.drive()
    assert world.rows(t.lane)[0].attempts == 5
    assert faults(world) == []


@pytest.mark.no_database
def test_a_second_one_that_hurries_does_not_wait_for_what_the_first_overtook(world: World) -> None:
    slow, due_at = backed_off(world, 1)
    world.vendors["alpha"].answers.append(later())
    stop = world.ask(Right.OPT_OUT, ADA, id="crm-1")
    world.drive()
    assert world.state(stop) is State.PENDING
    other = world.ask(Right.RESTRICTION, ADA, id="crm-1")
    world.drive()
    assert (world.state(stop), world.state(other), world.state(slow)) == (*[State.VERIFIED] * 2, State.PENDING)
    assert world.rows(t.lane)[0].due_at == due_at


@pytest.mark.no_database
def test_who_asks_for_it_by_name_need_not_wait(world: World) -> None:
    slow, _ = backed_off(world, 2)
    world.ask(Right.OPT_OUT, ADA, id="crm-1")
    world.drive()
    dana = Person("Dana Officer", "dana", "the vendor says that it is well again")
    now = world.clock.now()
    world.writer.call(lambda unit: decide(unit, world.controller, slow.request_id, DecisionKind.RETRY, dana, now))
    world.drive()
    assert world.state(slow) is State.VERIFIED
    assert faults(world) == []


def test_an_opt_out_is_sent_at_once_behind_a_rectification_that_backs_off(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    world.vendors["alpha"].answers += [later(), later(), later()]
    slow = world.ask(Right.RECTIFICATION, ADA, id="crm-1", to=NEW)
    for _ in range(3):
        world.drive()
        world.clock.advance(timedelta(hours=12))
    world.clock.advance(timedelta(hours=-12))  # it has just failed again and waits
    stop = world.ask(Right.OPT_OUT, ADA, id="crm-1")
    world.drive()
    assert [right for right, _ in carried_out(world)] == [*[Right.RECTIFICATION] * 3, Right.OPT_OUT]
    assert (world.state(stop), world.state(slow)) == (State.VERIFIED, State.PENDING)


@pytest.mark.no_database
@pytest.mark.fault(44)
def test_two_people_with_one_address_the_erasure_is_held_and_the_neighbour_untouched(
    world: World, counted: Counted
) -> None:
    world.vendors["alpha"].hold("family@example.org")
    world.ask(Right.RECTIFICATION, "family@example.org", id="crm-2", to=None)
    world.drive()
    erase = world.ask(Right.ERASURE, "family@example.org", id="crm-1")
    world.drive()
    assert erase.held
    assert world.state(erase) is State.HELD
    assert causes_of(world.row(erase).causes) == {Cause.SHARED_ADDRESS}
    assert "family@example.org" in world.vendors["alpha"].people
    irreversible = [call for call in world.vendors["alpha"].calls if call[1] is Right.ERASURE]
    counted(44, irreversible_calls=len(irreversible))


@pytest.mark.no_database
def test_sharing_an_address_orders_but_does_not_merge(world: World) -> None:
    one = world.ask(Right.RECTIFICATION, "family@example.org", id="crm-1", to="one@example.org", version=1)
    two = world.ask(Right.RECTIFICATION, "family@example.org", id="crm-2", to="two@example.org", version=9)
    assert world.row(one).subject_id == world.row(two).subject_id
    assert world.row(one).person != world.row(two).person
    world.drive()
    assert State.SUPERSEDED not in {world.state(one), world.state(two)}


@pytest.mark.no_database
def test_without_ids_a_chain_of_shared_addresses_is_one_person(world: World) -> None:
    one = world.ask(Right.OPT_OUT, "a@example.org")
    two = world.ask(Right.OPT_OUT, "c@example.org")
    assert world.row(one).person != world.row(two).person
    three = world.ask(Right.OPT_OUT, "a@example.org", others=["c@example.org"])
    assert world.row(one).person == world.row(two).person == world.row(three).person
    assert world.row(one).subject_id == world.row(two).subject_id == world.row(three).subject_id


@pytest.mark.parametrize("right", [Right.OPT_OUT, Right.ERASURE, Right.RESTRICTION])
def test_one_more_who_shares_an_address_costs_no_more_than_in_proportion(world: World, right: Right) -> None:
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    world.use(safety=Safety(irreversible_per_day=1000))
    threading.setprofile(count)  # the writer's thread is not begun yet, and does all the work
    try:
        costs = []
        for number in range(41):
            before = calls
            world.ask(right, "family@example.org", id=str(number))
            costs.append(calls - before)
    finally:
        threading.setprofile(None)
    assert min(costs[35:]) > 0
    assert sum(costs[35:41]) <= 2.3 * sum(costs[15:21])


PHONE = "+44 20 7946 0958"


@pytest.mark.parametrize(
    "spelling", ["020 7946 0958", "0044 20 7946-0958", "+44 (0)20 7946 0958", "+４４ 20 7946 0958"]
)
def test_the_same_telephone_alone_is_the_same_person_however_it_is_written(world: World, spelling: str) -> None:
    one, two = world.ask(Right.RESTRICTION, phone=PHONE), world.ask(Right.ERASURE, phone=spelling)
    assert world.row(one).person == world.row(two).person
    assert world.row(one).subject_id == world.row(two).subject_id
    assert causes_of(world.row(two).causes) == {Cause.RESTRICTION_IN_FORCE}
    assert not any("2079460958" in row.pseudonym for row in world.rows(t.alias))


@pytest.mark.no_database
def test_a_telephone_that_an_id_uses_is_ordered_with_it_and_its_erasure_is_held(world: World) -> None:
    known = world.ask(Right.OPT_OUT, ADA, id="crm-1", phone=PHONE)
    erase = world.ask(Right.ERASURE, phone=PHONE)
    assert world.row(known).subject_id == world.row(erase).subject_id
    assert world.row(known).person != world.row(erase).person
    assert causes_of(world.row(erase).causes) == {Cause.SHARED_ADDRESS}


@pytest.mark.parametrize("ids", [("crm-1", "crm-2"), (None, None)])
def test_a_household_has_one_telephone_and_stays_several_people(world: World, ids: tuple[str | None, ...]) -> None:
    one = world.ask(Right.OPT_OUT, ADA, id=ids[0], phone=PHONE)
    two = world.ask(Right.ERASURE, "ben@example.org", id=ids[1], phone=PHONE)
    third = world.ask(Right.OPT_OUT, phone=PHONE)
    assert len({world.row(asked).person for asked in (one, two, third)}) == 3
    assert len({world.row(asked).subject_id for asked in (one, two, third)}) == 1
    assert world.state(two) is State.PENDING, "its id, or its address, says who is meant"


@pytest.mark.no_database
def test_a_restriction_holds_an_erasure_whichever_came_first(world: World) -> None:
    first = world.ask(Right.ERASURE, ADA, id="crm-1")
    world.ask(Right.RESTRICTION, ADA, id="crm-1")
    second = world.ask(Right.ERASURE, ADA, id="crm-1")
    assert world.state(first) is State.HELD
    assert world.state(second) is State.HELD


RIGHTS = [(Right.RECTIFICATION, 1), (Right.OPT_OUT, 2), (Right.RESTRICTION, 3), (Right.ERASURE, 4)]


@pytest.mark.no_database
@pytest.mark.fault(27)
def test_every_order_of_arrival_ends_the_same(world: World, counted: Counted) -> None:
    ends = set()
    world.use(safety=Safety(irreversible_per_day=1000))
    for number, order in enumerate(itertools.permutations(RIGHTS)):
        person, old, new = f"crm-{number}", f"p{number}@example.org", f"n{number}@example.org"
        world.vendors["alpha"].hold(old)
        asked = {
            right: world.ask(right, old, id=person, version=version, to=new if right is Right.RECTIFICATION else None)
            for right, version in order
        }
        world.drive()
        ends.add(tuple(world.state(asked[right]) for right, _ in RIGHTS))
    assert ends == {(State.VERIFIED, State.VERIFIED, State.VERIFIED, State.HELD)}
    counted(27, end_states=len(ends))


@pytest.mark.no_database
def test_every_order_without_a_restriction_leaves_nobody_behind(world: World) -> None:
    rights = [RIGHTS[0], RIGHTS[1], RIGHTS[3]]
    world.use(safety=Safety(irreversible_per_day=1000))
    for number, order in enumerate(itertools.permutations(rights)):
        person, old, new = f"crm-{number}", f"p{number}@example.org", f"n{number}@example.org"
        world.vendors["alpha"].hold(old)
        for right, version in order:
            world.ask(right, old, id=person, version=version, to=new if right is Right.RECTIFICATION else None)
        world.drive()
    assert world.vendors["alpha"].people == {}


def test_rectifications_go_by_version_and_an_older_one_never_undoes_a_newer(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    newer = world.ask(Right.RECTIFICATION, ADA, id="crm-1", to="two@example.org", version=2)
    world.drive()
    older = world.ask(Right.RECTIFICATION, ADA, id="crm-1", to="one@example.org", version=1)
    world.drive()
    assert world.state(newer) is State.VERIFIED
    assert world.state(older) is State.SUPERSEDED


PARTS = {
    1: Changes(email=NEW, fields={"CITY": "York", "ZIP": "1"}),
    2: Changes(fields={"CITY": "Kent"}),
    3: Changes(fields={"ZIP": "3"}),
}
PARTS_OF_AN_ADDRESS = {
    1: Changes(email=NEW, fields={"HOME": {"city": "York", "zip": "1"}}),
    2: Changes(fields={"HOME": {"city": "Kent"}}),
    3: Changes(fields={"HOME": {"zip": "3"}}),
}


FIELDS_END, ADDRESS_ENDS = {"CITY": "Kent", "ZIP": "3"}, {"HOME.city": "Kent", "HOME.zip": "3"}


@pytest.mark.parametrize(
    ("driven_between", "changes_by_version", "ends"),
    [
        *((driven, PARTS, FIELDS_END) for driven in itertools.product([False, True], repeat=2)),
        ((False, True), PARTS_OF_AN_ADDRESS, ADDRESS_ENDS),
    ],
)
def test_what_an_older_rectification_alone_changes_is_not_lost_in_whatever_order_they_come(
    world: World, driven_between: tuple[bool, bool], changes_by_version: dict[int, Changes], ends: dict[str, str]
) -> None:
    world.use(safety=Safety(irreversible_per_day=1000))
    vendor = world.vendors["alpha"]
    for number, order in enumerate(itertools.permutations(changes_by_version)):
        old, new = f"p{number}@example.org", f"n{number}@example.org"
        vendor.hold(old)
        for version, drive in zip(order, (*driven_between, True), strict=True):
            changes = changes_by_version[version]
            changes = replace(changes, email=new) if version == 1 else changes
            named = old if version == 1 else new
            world.ask(Right.RECTIFICATION, named, id=f"crm-{number}", version=version, changes=changes)
            if drive:
                world.drive()
        assert old not in vendor.people
        assert vendor.people[new] == {"status": "subscribed", **ends}, order
    assert State.CONTRADICTED not in {row.state for row in world.rows(t.propagation)}


HELD_AND_NEWER: list[tuple[Changes, Changes, dict[str, str]]] = [
    (PARTS[1], PARTS[2], {"CITY": "Kent", "ZIP": "1"}),
    (PARTS_OF_AN_ADDRESS[1], PARTS_OF_AN_ADDRESS[2], {"HOME.city": "Kent", "HOME.zip": "1"}),
    (PARTS_OF_AN_ADDRESS[1], Changes(fields={"HOME": ""}), {"HOME": ""}),
]


@pytest.mark.parametrize("shredded", [False, True])
@pytest.mark.parametrize(("first", "second", "ends"), HELD_AND_NEWER, ids=["fields", "address", "emptied"])
def test_a_rectification_that_was_held_is_told_as_it_is_after_the_newer_one(
    world: World, first: Changes, second: Changes, ends: dict[str, str], *, shredded: bool
) -> None:
    world.use(safety=Safety(irreversible_per_day=1))
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)
    world.ask(Right.OPT_OUT, "ben@example.org", id="2")
    held = world.ask(Right.RECTIFICATION, ADA, id="1", version=1, changes=first)
    newer = world.ask(Right.RECTIFICATION, ADA, id="1", version=2, changes=second)
    world.drive()
    assert (world.state(held), world.state(newer)) == (State.HELD, State.VERIFIED)
    if shredded:
        gone = t.request.update().where(t.request.c.id == newer.request_id).values(sealed=None, wrapped_key=None)
        world.writer.call(lambda unit: unit.connection.execute(gone))
    dpo, now = Person("Dana Officer", "dana", "decided in the test"), world.clock.now()
    world.writer.call(lambda unit: decide(unit, world.controller, held.request_id, DecisionKind.RELEASE, dpo, now))
    world.drive()
    assert vendor.people == {NEW: {"status": "subscribed", **ends}}
    assert world.state(held) is State.VERIFIED


@pytest.mark.no_database
def test_the_store_keeps_no_name_of_a_changed_field(world: World) -> None:
    asked = world.ask(Right.RECTIFICATION, ADA, id="1", changes=PARTS[1])
    covers = world.row(asked).covers.split()
    assert len(covers) == 3
    assert all(len(one) == 16 and set(one) <= set("0123456789abcdef") for one in covers)


def test_two_receivers_that_race_to_make_one_subject_make_one(world: World) -> None:
    asked = []
    start = threading.Barrier(8)

    def one(number: int) -> None:
        start.wait()
        asked.append(world.ask(Right.OPT_OUT, ADA, id="crm-1" if number % 2 else None, event=f"race-{number}"))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({row.subject_id for row in world.rows(t.request)}) == 1
    assert len(world.rows(t.request)) == 8
    assert world.ledger_problems() == ()


@pytest.mark.no_database
@pytest.mark.fault(43)
def test_five_hundred_erasures_in_a_minute_the_limit_goes_and_the_rest_waits_with_one_alert(
    world: World, counted: Counted
) -> None:
    world.use(safety=Safety(irreversible_per_day=50))
    for number in range(500):
        world.vendors["alpha"].hold(f"p{number}@example.org")
        world.ask(Right.ERASURE, f"p{number}@example.org", id=f"crm-{number}")
    world.drive()
    states = [row.state for row in world.rows(t.propagation)]
    assert states.count(State.VERIFIED) == 50
    assert states.count(State.HELD) == 450
    assert len(world.vendors["alpha"].people) == 450
    assert [row.cause for row in world.rows(t.alert)] == ["held"]
    counted(43, over_the_limit=states.count(State.VERIFIED) - 50)


@pytest.mark.no_database
@pytest.mark.fault(26)
@pytest.mark.parametrize("body", [b"same", b"other"])
def test_an_event_id_twice_gives_the_first_answer_or_a_conflict(world: World, body: bytes, counted: Counted) -> None:
    from dpsync.errors import EventConflict

    first = world.ask(Right.OPT_OUT, ADA, event="evt", body=b"same")
    if body == b"same":
        again = world.ask(Right.OPT_OUT, ADA, event="evt", body=body)
        assert again.repeated
        assert again.request_id == first.request_id
    else:
        with pytest.raises(EventConflict):
            world.ask(Right.OPT_OUT, ADA, event="evt", body=body)
        assert [row.cause for row in world.rows(t.alert)] == ["event-conflict"]
    assert len(world.rows(t.request)) == 1
    counted(26, rows=len(world.rows(t.request)))


@pytest.mark.no_database
def test_a_doubtful_attempt_is_read_before_it_is_repeated(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)

    def cut_after_the_effect(instruction: object) -> Retryable:
        vendor.people.clear()
        return Retryable(reason="reset", evidence=proof(None), doubtful=True)

    vendor.answers.append(cut_after_the_effect)
    asked = world.ask(Right.ERASURE, ADA, id="crm-1")
    world.drive()
    world.clock.advance(timedelta(minutes=5))
    world.drive()
    assert world.state(asked) is State.VERIFIED
    assert [what for what, _, _ in vendor.calls] == ["carry_out", "verify"]
