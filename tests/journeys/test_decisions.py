"""What a named person decides: each with a reason, each on the record, none beyond what it was given for."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import insert, select

from dpsync.connector import Accepted, Applied, Contradicts, Outcome, Refused
from dpsync.errors import NotFound, UsageError
from dpsync.intake.answers import Received
from dpsync.ledger import entry
from dpsync.model import Cause, ExemptionCode, Mode, Right, State
from dpsync.propagation.decisions import RELEASED_BY_A_YES, Decided, Person, decide, find_request
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.propagation.rules.plan import Safety
from dpsync.store import tables as t
from dpsync.store.database import reading
from tests.builders import World, busy, later, proof
from tests.invariants import faults

ADA = "ada@example.org"
WHY = "checked by telephone on Monday"
DANA, BEN = Person("Dana Officer", "dana", WHY), Person("Ben Deputy", "ben", WHY)


def say(
    world: World,
    asked: Received,
    kind: DecisionKind,
    person: Person = DANA,
    *,
    at: tuple[str, ...] = (),
    causes: frozenset[Cause] = RELEASED_BY_A_YES,
    code: ExemptionCode | None = ExemptionCode.IMPOSSIBLE,
) -> list[Decided]:
    now = world.clock.now()
    return world.writer.call(
        lambda unit: decide(
            unit,
            world.controller,
            asked.request_id,
            kind,
            person,
            now,
            processors=at,
            causes=causes,
            code=code if kind is DecisionKind.EXEMPT else None,
        )
    )


def events(world: World, asked: Received) -> list[str]:
    return [str(entry.decode(row.body)["event"]) for row in world.rows(t.entry) if row.request_id == asked.request_id]


# --- release


def test_a_plain_release_gives_a_yes_and_the_erasure_goes(world: World) -> None:
    world.use(safety=Safety(mode=Mode.CONFIRM))
    world.vendors["alpha"].hold(ADA)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert world.vendors["alpha"].calls == []
    (decided,) = say(world, asked, DecisionKind.RELEASE)
    assert decided.refused == ""
    world.drive()
    assert world.state(asked) is State.VERIFIED
    assert faults(world) == []


@pytest.mark.no_database
def test_two_approvals_are_two_people_and_one_who_says_it_twice_is_one(world: World) -> None:
    world.use(safety=Safety(approvals=2))
    asked = world.ask(Right.ERASURE, ADA, id="1")
    for same in (DANA, DANA, Person(" dana officer ", "dana", WHY)):
        (decided,) = say(world, asked, DecisionKind.RELEASE, same)
        assert decided.state is State.HELD
        assert "1 of 2" in decided.refused
    (decided,) = say(world, asked, DecisionKind.RELEASE, BEN)
    assert decided.state is State.PENDING
    assert faults(world) == []


@pytest.mark.no_database
def test_cooling_off_ends_by_time_or_when_it_is_named(world: World) -> None:
    world.use(safety=Safety(cooling_off=timedelta(hours=24)))
    waits, hurried = world.ask(Right.ERASURE, ADA, id="1"), world.ask(Right.ERASURE, "b@example.org", id="2")
    (decided,) = say(world, waits, DecisionKind.RELEASE)
    assert decided.refused
    (decided,) = say(world, hurried, DecisionKind.RELEASE, causes=frozenset({Cause.COOLING_OFF}))
    assert decided.state is State.PENDING
    world.clock.advance(timedelta(hours=23))
    world.drive()
    assert world.state(waits) is State.HELD
    assert world.state(hurried) is State.NOTHING_HELD
    world.clock.advance(timedelta(hours=2))
    world.drive()
    assert world.state(waits) is State.NOTHING_HELD
    assert faults(world) == []


@pytest.mark.no_database
def test_what_is_held_twice_goes_only_when_both_are_over(world: World) -> None:
    world.use(safety=Safety(mode=Mode.CONFIRM, cooling_off=timedelta(hours=24)))
    first, second = world.ask(Right.ERASURE, ADA, id="1"), world.ask(Right.ERASURE, "b@example.org", id="2")
    say(world, first, DecisionKind.RELEASE)
    assert causes_of(world.row(first).causes) == {Cause.COOLING_OFF}
    world.clock.advance(timedelta(hours=25))
    world.drive()
    assert world.state(first) is State.NOTHING_HELD
    assert causes_of(world.row(second).causes) == {Cause.APPROVAL}
    say(world, second, DecisionKind.RELEASE)
    world.drive()
    assert world.state(second) is State.NOTHING_HELD
    assert faults(world) == []


def test_an_unconfirmed_contact_is_released_by_name_only(world: World) -> None:
    world.use(world.processor("paper", world.notice))
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    (decided,) = say(world, asked, DecisionKind.RELEASE)
    assert decided.refused
    world.drive()
    assert world.notice.letters == []
    say(world, asked, DecisionKind.RELEASE, causes=frozenset({Cause.CONTACT_UNVERIFIED}))
    world.drive()
    assert len(world.notice.letters) == 1


def test_what_the_brake_holds_goes_after_a_release(world: World) -> None:
    world.use(safety=Safety(irreversible_per_day=1))
    world.ask(Right.ERASURE, ADA, id="1")
    braked = world.ask(Right.ERASURE, "b@example.org", id="2")
    world.drive()
    assert causes_of(world.row(braked).causes) == {Cause.BRAKE}
    say(world, braked, DecisionKind.RELEASE)
    world.drive()
    assert world.state(braked) is State.NOTHING_HELD
    assert faults(world) == []


# --- the other decisions


@pytest.mark.no_database
def test_withdrawn_before_it_went_it_never_goes_and_its_lane_is_gone(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    (decided,) = say(world, asked, DecisionKind.WITHDRAW)
    assert decided.state is State.WITHDRAWN
    world.drive()
    assert world.vendors["alpha"].calls == []
    assert faults(world) == []
    (again,) = say(world, asked, DecisionKind.WITHDRAW)
    assert again.already == world.clock.now()


@pytest.mark.no_database
def test_withdrawn_in_doubt_it_waits_for_a_person(world: World) -> None:
    from dpsync.connector import Retryable

    world.vendors["alpha"].answers.append(Retryable(reason="reset", evidence=proof(None), doubtful=True))
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    say(world, asked, DecisionKind.WITHDRAW)
    assert world.state(asked) is State.ESCALATED
    assert "withdrawn_in_doubt" in [row.cause for row in world.rows(t.alert)]
    assert faults(world) == []


def test_retry_goes_at_once_though_the_lane_backs_off(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    world.vendors["alpha"].answers.append(later())
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert world.state(asked) is State.PENDING
    say(world, asked, DecisionKind.RETRY)
    world.drive()
    assert world.state(asked) is State.VERIFIED
    (decided,) = say(world, asked, DecisionKind.RETRY)
    assert decided.refused
    assert faults(world) == []


@pytest.mark.no_database
def test_settled_is_closed_and_never_done(world: World) -> None:
    world.vendors["alpha"].answers.append(Refused(reason="no", evidence=proof(400)))
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    say(world, asked, DecisionKind.SETTLE)
    assert world.state(asked) is State.SETTLED
    row = world.row(asked)
    assert row.done_at is None
    assert world.rows(t.request)[0].closed_at is not None
    assert faults(world) == []


@pytest.mark.no_database
@pytest.mark.parametrize("right", list(Right))
def test_telling_may_be_excused_but_erasing_and_stopping_may_not(world: World, right: Right) -> None:
    world.vendors["alpha"].answers.append(busy(503))
    asked = world.ask(right, ADA, id="1", to="new@example.org")
    world.drive()
    (decided,) = say(world, asked, DecisionKind.EXEMPT)
    excused = right in {Right.RECTIFICATION, Right.RESTRICTION}
    assert (decided.state is State.EXEMPT) is excused
    assert bool(decided.refused) is not excused
    assert faults(world) == []


@pytest.mark.no_database
def test_an_exemption_needs_its_ground_which_stands_in_the_ledger_and_in_the_decision(world: World) -> None:
    asked = world.ask(Right.RESTRICTION, ADA, id="1")
    (refused,) = say(world, asked, DecisionKind.EXEMPT, code=None)
    assert "--code" in refused.refused
    assert world.state(asked) is State.PENDING
    (decided,) = say(world, asked, DecisionKind.EXEMPT, code=ExemptionCode.DISPROPORTIONATE)
    assert decided.state is State.EXEMPT
    assert [row.detail for row in world.rows(t.decision)] == ["art19_disproportionate"]
    said = [entry.decode(row.body) for row in world.rows(t.entry) if row.request_id == asked.request_id]
    assert [one["cause"] for one in said if one["event"] == "exempted"] == ["art19_disproportionate"]
    assert faults(world) == []


REFUSED = Refused(reason="no", evidence=proof(400))


@pytest.mark.parametrize("answers", [[Applied(evidence=proof())], [REFUSED], [Accepted(evidence=proof(202))]])
def test_what_was_told_and_not_done_is_settled_and_never_exempt(world: World, answers: list[Outcome]) -> None:
    world.vendors["alpha"].answers += answers
    world.vendors["alpha"].findings += [Contradicts(reason="still there", evidence=proof())] * 5
    asked = world.ask(Right.RESTRICTION, ADA, id="1")
    world.drive()
    before = world.state(asked)
    assert before in {State.CONTRADICTED, State.REFUSED, State.ACCEPTED}
    (decided,) = say(world, asked, DecisionKind.EXEMPT)
    assert "settle" in decided.refused
    assert world.state(asked) is before
    assert say(world, asked, DecisionKind.SETTLE)[0].state is State.SETTLED
    assert faults(world) == []


@pytest.mark.no_database
def test_a_recipient_that_is_a_controller_may_be_exempt_for_erasure_and_a_processor_may_not(world: World) -> None:
    partner = replace(world.processor("partner"), is_controller=True)
    world.use(world.processor("alpha"), partner)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    told = {one.processor: one for one in say(world, asked, DecisionKind.EXEMPT)}
    assert "nothing excuses an erasure" in told["alpha"].refused
    assert world.states(asked) == {"alpha": State.PENDING, "partner": State.EXEMPT}
    stop = world.ask(Right.OPT_OUT, ADA, id="1")
    assert all(one.refused for one in say(world, stop, DecisionKind.EXEMPT))
    assert faults(world) == []


@pytest.mark.no_database
def test_an_approval_is_about_what_is_held_and_does_not_fail_where_nothing_is(world: World) -> None:
    partner = replace(world.processor("partner"), is_controller=True)
    world.use(world.processor("alpha"), partner, safety=Safety(mode=Mode.CONFIRM))
    asked = world.ask(Right.ERASURE, ADA, id="1")
    assert say(world, asked, DecisionKind.EXEMPT, at=("partner",))[0].state is State.EXEMPT
    (decided,) = say(world, asked, DecisionKind.RELEASE)
    assert (decided.processor, decided.refused) == ("alpha", "")
    (named,) = say(world, asked, DecisionKind.RELEASE, at=("partner",))
    assert named.refused == "it is exempt, not held", "who names a processor hears of it"
    assert faults(world) == []


@pytest.mark.no_database
def test_one_processor_may_be_too_late_while_the_other_is_not(world: World) -> None:
    world.use(world.processor("alpha"), world.processor("beta"))
    world.vendors["beta"].answers.append(later())
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    world.drive()
    told = say(world, asked, DecisionKind.WITHDRAW)
    assert [(one.processor, bool(one.refused)) for one in told] == [("alpha", True), ("beta", False)]
    assert faults(world) == []


@pytest.mark.no_database
def test_a_decision_at_one_processor_leaves_the_other_alone(world: World) -> None:
    world.use(world.processor("alpha"), world.processor("beta"), safety=Safety(mode=Mode.CONFIRM))
    asked = world.ask(Right.ERASURE, ADA, id="1")
    say(world, asked, DecisionKind.RELEASE, at=("beta",))
    assert world.states(asked) == {"alpha": State.HELD, "beta": State.PENDING}


@pytest.mark.no_database
@pytest.mark.parametrize("kind", [DecisionKind.WITHDRAW, DecisionKind.SETTLE, DecisionKind.EXEMPT])
def test_a_decision_given_twice_says_since_when_it_is_so_and_writes_nothing(world: World, kind: DecisionKind) -> None:
    world.vendors["alpha"].answers.append(Refused(reason="no", evidence=proof(400)))
    asked = world.ask(Right.RESTRICTION, ADA, id="1")
    if kind is DecisionKind.SETTLE:
        world.drive()
    (first,) = say(world, asked, kind)
    assert (first.kept, first.already) == (True, None)
    before, at = (len(world.rows(t.decision)), events(world, asked)), world.clock.now()
    world.clock.advance(timedelta(days=2))
    (again,) = say(world, asked, kind, BEN)
    assert (again.refused, again.already, again.kept) == ("", at, False)
    assert (len(world.rows(t.decision)), events(world, asked)) == before


def test_a_release_given_twice_says_since_when_it_is_so_until_it_is_held_anew(world: World) -> None:
    world.use(safety=Safety(mode=Mode.CONFIRM))
    asked = world.ask(Right.ERASURE, ADA, id="1")
    assert say(world, asked, DecisionKind.RELEASE)[0].kept
    at = world.clock.now()
    world.clock.advance(timedelta(days=2))
    assert say(world, asked, DecisionKind.RELEASE)[0].already == at
    world.ask(Right.RESTRICTION, ADA, id="1")
    assert world.state(asked) is State.HELD
    assert say(world, asked, DecisionKind.RELEASE)[0].kept
    assert len(world.rows(t.decision)) == 2


# --- who and why


@pytest.mark.no_database
@pytest.mark.parametrize("person", [Person("", "dana", WHY), Person("Dana", "dana", " "), Person(" ", "", "")])
def test_without_a_name_or_a_reason_nothing_is_decided(world: World, person: Person) -> None:
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    with pytest.raises(UsageError):
        say(world, asked, DecisionKind.WITHDRAW, person)
    assert world.state(asked) is State.PENDING
    assert world.rows(t.decision) == []


def test_an_unknown_processor_or_request_decides_nothing_anywhere(world: World) -> None:
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    with pytest.raises(NotFound, match="gamma"):
        say(world, asked, DecisionKind.WITHDRAW, at=("alpha", "gamma"))
    with pytest.raises(NotFound):
        say(world, Received("r-NOSUCH", held=False, repeated=False), DecisionKind.WITHDRAW)
    assert world.state(asked) is State.PENDING
    assert world.rows(t.decision) == []


@pytest.mark.no_database
@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (DecisionKind.RELEASE, State.PENDING),
        (DecisionKind.WITHDRAW, State.WITHDRAWN),
        (DecisionKind.SETTLE, State.SETTLED),
        (DecisionKind.RETRY, State.PENDING),
        (DecisionKind.EXEMPT, State.EXEMPT),
    ],
)
def test_every_decision_leaves_a_row_and_an_entry_without_the_words(
    world: World, kind: DecisionKind, state: State
) -> None:
    if kind is DecisionKind.RELEASE:
        world.use(safety=Safety(irreversible_per_day=0))
    elif kind in {DecisionKind.SETTLE, DecisionKind.RETRY}:
        world.vendors["alpha"].answers.append(Refused(reason="no", evidence=proof(400)))
    asked = world.ask(Right.OPT_OUT if kind is DecisionKind.RELEASE else Right.RESTRICTION, ADA, id="1")
    if kind in {DecisionKind.SETTLE, DecisionKind.RETRY}:
        world.drive()
    before = len(events(world, asked))
    (decided,) = say(world, asked, kind)
    assert decided.state is state
    (row,) = world.rows(t.decision)
    assert (row.request_id, row.kind, row.os_user) == (asked.request_id, kind, DANA.os_user)
    assert not any(word in row.sealed for word in (b"Dana", WHY.encode()))
    opened = world.keys.open("decision", row.sealed, asked.request_id.encode())
    assert json.loads(opened) == {"by": DANA.by, "reason": WHY}
    assert len(events(world, asked)) == before + 2
    assert events(world, asked)[-1] == "decided"
    last = world.rows(t.entry)[-1].body
    assert WHY.encode() not in last
    assert b"Dana" not in last
    assert {"by", "why"} <= set(entry.decode(last))
    assert faults(world) == []


# --- naming a request


def test_a_request_is_named_by_the_beginning_of_its_id(world: World) -> None:
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    bare = asked.request_id.removeprefix("r-")
    with reading(world.engine) as connection:
        spelled = (asked.request_id, asked.request_id.lower(), bare, bare[:8], bare[:8].lower(), f"  r-{bare[:6]} ")
        for spelling in spelled:
            assert find_request(connection, spelling) == asked.request_id
        for spelling in ("", "r-", bare[:3], "%%%%", "____", "ZZZZZZZZ", "r-" + "0" * 60):
            with pytest.raises(NotFound):
                find_request(connection, spelling)


def test_a_beginning_that_two_requests_share_names_neither(world: World) -> None:
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    with reading(world.engine) as connection:
        one = dict(connection.execute(select(t.request)).mappings().one())
    twin = asked.request_id[:12] + "0" * 16
    assert twin != asked.request_id
    one |= {"id": twin, "event_id": "another", "ordinal": one["ordinal"] + 1}
    world.writer.call(lambda unit: unit.connection.execute(insert(t.request).values(**one)))
    with reading(world.engine) as connection:
        with pytest.raises(NotFound, match="more than one"):
            find_request(connection, asked.request_id[:10])
        assert find_request(connection, twin) == twin


@pytest.mark.no_database
def test_a_late_answer_after_a_settlement_changes_nothing(world: World) -> None:
    world.vendors["alpha"].answers.append(Accepted(evidence=proof(202)))
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    assert world.state(asked) is State.ACCEPTED
    say(world, asked, DecisionKind.SETTLE)
    world.clock.advance(timedelta(days=2))
    world.drive()
    assert world.state(asked) is State.SETTLED
    assert faults(world) == []
