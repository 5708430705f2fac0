"""To which address a person's data may go: only to one that has confirmed itself, or that a named person meant."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dpsync.connector import HandOver, Recipient
from dpsync.model import Cause, Right, State
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.store import tables as t
from tests.builders import World

ADA = "ada@example.org"
DPO = Person("Dana Officer", "dana", "asked by telephone")
UNVERIFIED = frozenset({Cause.CONTACT_UNVERIFIED})
RIGHT_DESK, OTHER_DESK, SECOND_DESK = "privacy@paper.example", "new@paper.example", "second@paper.example"


def paper(world: World, contact: str = RIGHT_DESK, backup: str | None = None) -> None:
    """The settings as they are from now on: a change comes with a restart."""
    world.use(replace(world.processor("paper", world.notice), contact=contact, backup_contact=backup))
    world.restart()


def confirm_only(world: World, *addresses: str) -> None:
    """All contacts are known, and these alone have confirmed themselves."""
    world.confirm("paper")
    known = [world.keys.pseudonym("address", one) for one in addresses]
    others = t.contact.c.pseudonym.not_in(known)
    world.writer.call(lambda unit: unit.connection.execute(t.contact.update().where(others).values(confirmed_at=None)))


def release(world: World, request_id: str) -> None:
    world.writer.call(
        lambda unit: decide(
            unit, world.controller, request_id, DecisionKind.RELEASE, DPO, world.clock.now(), causes=UNVERIFIED
        )
    )


def addressees(world: World) -> list[str]:
    return [one.letter.to for one in world.notice.letters if one.letter]


def test_a_release_is_for_the_contact_of_that_day_and_not_for_the_next_one(world: World) -> None:
    paper(world)
    confirm_only(world)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    release(world, asked.request_id)
    paper(world, OTHER_DESK)
    world.drive()
    assert causes_of(world.row(asked, "paper").causes) == UNVERIFIED
    assert addressees(world) == []
    release(world, asked.request_id)
    world.drive()
    assert addressees(world) == [OTHER_DESK]


@pytest.mark.no_database
def test_a_reminder_goes_to_no_contact_that_came_later_and_has_not_confirmed_itself(world: World) -> None:
    paper(world)
    confirm_only(world)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    release(world, asked.request_id)
    world.drive()
    paper(world, OTHER_DESK)
    world.clock.advance(timedelta(days=6))
    world.drive()
    assert addressees(world) == [RIGHT_DESK]
    assert world.state(asked, "paper") is State.ESCALATED, "a person is told instead"


def test_the_reminder_goes_where_the_letter_was_released_to(world: World) -> None:
    paper(world)
    confirm_only(world)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    release(world, asked.request_id)
    world.drive()
    world.clock.advance(timedelta(days=6))
    world.drive()
    assert addressees(world) == [RIGHT_DESK, RIGHT_DESK]


def test_neither_a_release_nor_the_first_contacts_yes_lets_a_letter_go_to_the_second(world: World) -> None:
    paper(world, backup=SECOND_DESK)
    confirm_only(world)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    release(world, asked.request_id)
    world.drive()
    confirm_only(world, RIGHT_DESK)
    for _ in range(3):
        world.clock.advance(timedelta(days=6))
        world.drive()
    assert world.state(asked, "paper") is State.ESCALATED
    assert addressees(world) == [RIGHT_DESK, RIGHT_DESK]


@pytest.mark.no_database
def test_a_second_contact_that_has_confirmed_itself_is_written_to_when_the_first_is_silent(world: World) -> None:
    paper(world, backup=SECOND_DESK)
    confirm_only(world, RIGHT_DESK, SECOND_DESK)
    world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    for _ in range(2):
        world.clock.advance(timedelta(days=6))
        world.drive()
    assert addressees(world) == [RIGHT_DESK, RIGHT_DESK, SECOND_DESK]


def test_what_an_api_hands_over_waits_for_a_contact_that_was_changed_after_a_release(world: World) -> None:
    world.vendors["alpha"].hold(ADA)
    world.vendors["alpha"].answers.append(HandOver(to=Recipient.PROCESSOR, task="Delete it by hand"))
    alpha = world.processor("alpha")
    world.use(alpha)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    release(world, asked.request_id)
    world.use(replace(alpha, contact=OTHER_DESK))
    world.restart()
    world.drive()
    assert (world.state(asked), addressees(world)) == (State.HELD, [])


def test_a_retry_after_the_contact_was_corrected_waits_for_the_new_one(world: World) -> None:
    paper(world)
    confirm_only(world, RIGHT_DESK)
    asked = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    paper(world, OTHER_DESK)
    world.writer.call(
        lambda unit: decide(unit, world.controller, asked.request_id, DecisionKind.RETRY, DPO, world.clock.now())
    )
    world.drive()
    assert (world.state(asked, "paper"), addressees(world)) == (State.HELD, [RIGHT_DESK])
    assert [row.recipient for row in world.rows(t.notice)] == [world.keys.pseudonym("address", RIGHT_DESK)]
