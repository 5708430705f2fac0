"""Many requests that come in at once: as cheap as one, and with the same end as one after the other."""

import random
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from functools import partial

import pytest
from sqlalchemy import Engine, event

from dpsync.connector import Processor, Retryable
from dpsync.intake.answers import Received
from dpsync.intake.reception import Reception
from dpsync.ledger.entry import commitment, decode
from dpsync.model import Cause, Changes, Exemption, ExemptionCode, Lifted, Request, Right, Subject
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.rules.event import Timer
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.propagation.rules.plan import Safety
from dpsync.store import tables as t
from dpsync.store.writer import Unit
from tests.builders import World
from tests.invariants import faults

RIGHTS = (Right.ERASURE, Right.OPT_OUT, Right.RESTRICTION)


def asked(world: World, event_id: str, right: Right, own: str | None, *addresses: str) -> Request:
    subject = Subject(id=own, email=addresses[0] if addresses else None, other_emails=addresses[1:])
    return Request("crm", event_id, right, subject, received_at=world.clock.now())


def received(world: World, requests: Iterable[Request], *, together: bool) -> list[Received]:
    """What was answered to each: `together` in one transaction, or one after the other."""
    door, going, go = Reception(world.controller, world.writer), threading.Event(), threading.Event()

    def hold(unit: Unit) -> None:
        going.set()
        go.wait(60)

    if not together:
        return [door.submit(one, one.event_id.encode(), world.clock.now()).result(60) for one in requests]
    world.writer.submit(hold)
    assert going.wait(60)
    futures = [door.submit(one, one.event_id.encode(), world.clock.now()) for one in requests]
    go.set()
    return [future.result(60) for future in futures]


@pytest.mark.no_database
def test_a_hundred_new_people_cost_no_more_statements_than_one(world: World, engine: Engine) -> None:
    world.use(safety=Safety(irreversible_per_day=1000))
    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _r, statement, *_: seen.append(statement))

    def cost(numbers: range) -> int:
        before = len(seen)
        some = [asked(world, f"e{n}", Right.ERASURE, str(n), f"p{n}@example.org") for n in numbers]
        assert not any(one.held or one.repeated for one in received(world, some, together=True))
        return len(seen) - before

    first = cost(range(1))
    assert cost(range(1, 101)) <= first + 2, "the number of the ledger's peaks differs, nothing else may"
    assert len(world.rows(t.request)) == len(world.rows(t.propagation)) == len(world.rows(t.lane)) == 101
    assert len({row.subject_id for row in world.rows(t.request)}) == 101
    assert faults(world) == []


@pytest.mark.no_database
def test_what_comes_again_is_called_held_as_long_as_it_is(world: World) -> None:
    world.use(safety=Safety(approvals=1))
    both = [
        asked(world, "e1", Right.ERASURE, "1", "p1@example.org"),
        asked(world, "e2", Right.OPT_OUT, "2", "p2@example.org"),
    ]
    first = received(world, both, together=False)
    assert [(one.held, one.repeated) for one in first] == [(True, False), (False, False)]
    again = received(world, both, together=False)
    assert [(one.held, one.repeated) for one in again] == [(True, True), (False, True)]
    officer = Person("Dana Officer", "root", "asked by telephone")
    release = partial(
        decide,
        controller=world.controller,
        request_id=first[0].request_id,
        kind=DecisionKind.RELEASE,
        person=officer,
        now=world.clock.now(),
    )
    world.writer.submit(release).result(60)
    assert [one.held for one in received(world, both, together=False)] == [False, False]


@pytest.mark.parametrize("seed", range(6))
def test_together_ends_as_one_after_the_other(world: World, seed: int) -> None:
    world.use(world.processor("alpha"), world.processor("beta"), safety=Safety(irreversible_per_day=1000))
    chance = random.Random(seed)
    plan = [
        (
            f"e{chance.randrange(20)}" if chance.random() < 0.2 else f"own{number}",
            chance.choice(RIGHTS),
            chance.choice([None, *"12345678", f"x{number}", f"y{number}"]),
            tuple(f"{name}" for name in chance.sample("abcdefghijklmnopqrstuvwxyz", chance.randrange(1, 3))),
        )
        for number in range(24)
    ]
    once: dict[str, tuple[str, Right, str | None, tuple[str, ...]]] = {one[0]: one for one in plan}

    def end(suffix: str, *, together: bool) -> list[object]:
        some = [
            asked(world, event_id + suffix, right, own and own + suffix, *[f"{a}{suffix}@example.org" for a in names])
            for event_id, right, own, names in (once[one[0]] for one in plan)
        ]
        answers = received(world, some, together=together)
        ids = [answer.request_id for answer in answers]
        requests = {row.id: row for row in world.rows(t.request)}
        subjects = [requests[one].subject_id for one in ids]
        persons = [requests[one].person for one in ids]
        states = {
            one: sorted(
                (row.processor, row.state, row.causes) for row in world.rows(t.propagation) if row.request_id == one
            )
            for one in ids
        }
        return [
            (ids.index(one), answer.held, answer.repeated, subjects.index(subject), persons.index(person), states[one])
            for one, answer, subject, person in zip(ids, answers, subjects, persons, strict=True)
        ]

    assert end("-s", together=False) == end("-t", together=True)
    assert faults(world) == []


# --- what is written of one


def exempt(world: World, name: str, until: date) -> Processor:
    own = Exemption(ExemptionCode.IMPOSSIBLE, "nobody is there", "Dana Officer", until)
    return replace(world.processor(name), exempt={Right.RESTRICTION: own})


@pytest.mark.no_database
def test_what_cools_off_says_until_when(world: World) -> None:
    world.use(safety=Safety(cooling_off=timedelta(hours=24)))
    world.ask(Right.ERASURE, "ada@example.org")
    world.ask(Right.OPT_OUT, "ben@example.org")
    timers = {row.right: (row.timer, row.timer_at) for row in world.rows(t.propagation)}
    assert timers == {
        Right.ERASURE: (Timer.COOLING_OFF, world.clock.now() + timedelta(hours=24)),
        Right.OPT_OUT: ("", None),
    }


@pytest.mark.no_database
def test_what_is_held_is_told_of_and_nothing_else(world: World) -> None:
    world.ask(Right.ERASURE, "ben@example.org")
    assert world.rows(t.alert) == []
    world.use(safety=Safety(approvals=1))
    world.ask(Right.ERASURE, "ada@example.org")
    assert world.rows(t.alert) != []


def test_a_request_closes_at_once_only_where_every_processor_is_exempt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")  # where the exemption's last day is over
    time.tzset()
    world.clock.advance(timedelta(hours=3))
    try:
        today = world.clock.now().date()
        world.use(exempt(world, "alpha", today), exempt(world, "beta", today))
        world.ask(Right.RESTRICTION, "ada@example.org")
        world.use(exempt(world, "alpha", today), world.processor("beta"))
        world.ask(Right.RESTRICTION, "ben@example.org")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert [row.closed_at for row in world.rows(t.request)] == [world.clock.now(), None]
    exempted = [decode(row.body) for row in world.rows(t.entry) if row.request_id and b'"exempted"' in row.body]
    assert [(one["dest"], one["state"], one["cause"]) for one in exempted] == [
        (name, "exempt", "art19_impossible") for name in ("alpha", "beta", "alpha")
    ]


@pytest.mark.no_database
def test_a_rectification_says_what_it_covers(world: World) -> None:
    world.ask(Right.RECTIFICATION, "ada@example.org", changes=Changes(first_name="Ada", last_name="Lovelace"))
    digest = world.controller.change_digest
    (row,) = world.rows(t.propagation)
    assert row.covers.split() == sorted([digest("first_name"), digest("last_name")])


def test_an_opt_out_makes_the_lane_of_whoever_is_known_due_at_once(world: World) -> None:
    world.vendors["alpha"].answers.append(Retryable(reason="later", retry_after=timedelta(hours=6)))
    world.ask(Right.RECTIFICATION, "ada@example.org", id="1")
    world.drive()
    world.clock.advance(timedelta(minutes=1))
    (lane,) = world.rows(t.lane)
    assert lane.due_at > world.clock.now()
    world.ask(Right.OPT_OUT, "ada@example.org", id="1")
    (lane,) = world.rows(t.lane)
    assert lane.due_at == world.clock.now()


def test_each_of_many_that_come_at_once_counts_for_the_brake(world: World) -> None:
    world.use(safety=Safety(irreversible_per_day=2))
    some = [asked(world, f"e{n}", Right.ERASURE, str(n), f"p{n}@example.org") for n in range(4)]
    assert [one.held for one in received(world, some, together=True)] == [False, False, True, True]


@pytest.mark.no_database
def test_a_rectification_waits_its_turn_in_the_lane_of_whoever_is_known(world: World) -> None:
    world.vendors["alpha"].answers.append(Retryable(reason="later", retry_after=timedelta(hours=6)))
    world.ask(Right.RECTIFICATION, "ada@example.org", id="1")
    world.drive()
    world.clock.advance(timedelta(minutes=1))
    (before,) = world.rows(t.lane)
    world.ask(Right.RECTIFICATION, "ada@example.org", id="1", changes=Changes(last_name="Lovelace"))
    (lane,) = world.rows(t.lane)
    assert lane.due_at == before.due_at > world.clock.now()


@pytest.mark.no_database
def test_what_counts_for_the_brake_says_since_when(world: World) -> None:
    world.ask(Right.ERASURE, "ada@example.org")
    world.ask(Right.RECTIFICATION, "ben@example.org")
    counted = {row.right: row.brake_at for row in world.rows(t.propagation)}
    assert counted == {Right.ERASURE: world.clock.now(), Right.RECTIFICATION: None}


@pytest.mark.no_database
def test_an_erasure_waits_while_the_person_is_restricted(world: World) -> None:
    world.ask(Right.RESTRICTION, "ada@example.org", id="1")
    world.ask(Right.ERASURE, "ada@example.org", id="1")
    world.ask(Right.ERASURE, "ben@example.org", id="2")
    causes = [row.causes for row in world.rows(t.propagation) if row.right == Right.ERASURE]
    assert sorted(causes) == ["", Cause.RESTRICTION_IN_FORCE]


@pytest.mark.no_database
def test_an_erasure_at_an_address_of_several_people_waits(world: World) -> None:
    world.ask(Right.OPT_OUT, "family@example.org", id="1")
    world.ask(Right.ERASURE, "family@example.org", id="2")
    assert Cause.SHARED_ADDRESS in {row.causes for row in world.rows(t.propagation) if row.right == Right.ERASURE}


@pytest.mark.no_database
def test_the_ledger_is_told_the_ground_and_how_the_person_was_told_of_a_lifting(world: World) -> None:
    ground = asked(world, "e1", Right.OPT_OUT, "1", "ada@example.org")
    lifting = asked(world, "e2", Right.RESTRICTION, "2", "ben@example.org")
    lifted = Lifted(world.clock.now().date(), "by letter")
    received(world, [replace(ground, ground="21(2)"), replace(lifting, lifted=lifted)], together=False)
    told = [decode(row.body) for row in world.rows(t.entry) if row.request_id]
    keyring = world.controller.keys
    keys = {row.id: keyring.unwrap(row.wrapped_key, row.id, row.key_month) for row in world.rows(t.request)}
    grounds = [one["ground"] for one in told if "ground" in one]
    hows = [(one["how"], commitment(keys[one["req"]].commit_key, "by letter")) for one in told if "how" in one]
    assert grounds == ["21(2)"]
    assert [said for said, _ in hows] == [right for _, right in hows] != []


def test_our_own_main_database_hears_of_nothing_but_what_others_hand_over(world: World) -> None:
    world.use(world.processor("alpha"), world.processor("beta"))
    world.controller = replace(world.controller, main_database="beta", opendsr=frozenset({"opendsr:shop"}))
    own = asked(world, "e1", Right.ERASURE, "1", "ada@example.org")
    theirs = replace(asked(world, "e2", Right.ERASURE, "2", "ben@example.org"), source="opendsr:shop")
    received(world, [own, theirs], together=True)
    rows = {row.event_id: row for row in world.rows(t.request)}
    assert (rows["e1"].processors, rows["e2"].processors) == ("alpha", "alpha\nbeta")
    told = {(row.request_id, row.processor) for row in world.rows(t.propagation)}
    assert told == {(rows["e1"].id, "alpha"), (rows["e2"].id, "alpha"), (rows["e2"].id, "beta")}
    assert faults(world) == []
