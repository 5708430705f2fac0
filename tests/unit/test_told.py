"""When a processor counts as told, asked of every position: only by what proves it, until something shows otherwise."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product

import pytest

from dpsync.connector import Accepted, Applied, AsAsked, NothingHeld, Refused
from dpsync.connector_outcomes import Declares
from dpsync.errors import DecisionRefused, IllegalTransition
from dpsync.model import DONE_STATES, Cause, Right, Rung, State, Way
from dpsync.propagation.rules.lifecycle import Answer, AnswerKind, EarlierAddress, Event, Position, Step, advance
from dpsync.propagation.rules.states import events

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONTRARY = {AnswerKind.BOUNCED, AnswerKind.WRONG_RECIPIENT}
BEYOND = DONE_STATES | {State.CONTRADICTED}


def steps() -> Iterator[tuple[Position, Event, Step]]:
    every = [*(one for _, one in events()), *(Answer(kind, older=True) for kind in AnswerKind)]
    for told, heard, state, way, rung in product((False, True), (False, True), State, Way, (Rung.NONE, Rung.DELIVERED)):
        causes = frozenset({Cause.BRAKE} if state is State.HELD else ())
        at = Position(Right.RECTIFICATION, state, way, rung, causes, told=told, heard=heard)
        for event in every:
            try:
                yield at, event, advance(at, event, NOW)
            except (IllegalTransition, DecisionRefused):
                continue


@pytest.fixture(scope="module")
def every() -> list[tuple[Position, Event, Step]]:
    return list(steps())


def test_it_is_told_only_by_what_proves_that_it_has_the_instruction(
    every: list[tuple[Position, Event, Step]],
) -> None:
    for at, event, step in every:
        if step.told and not at.told:
            proves = isinstance(event, (Applied, NothingHeld, Accepted, AsAsked))
            proves |= isinstance(event, Answer) and event.kind not in CONTRARY and not event.older
            proves |= isinstance(event, Declares)  # by its own word it has it
            assert proves, (at, event)
            assert step.rung >= Rung.SENT


def test_it_is_untold_by_whatever_shows_the_contrary_and_by_nothing_else(
    every: list[tuple[Position, Event, Step]],
) -> None:
    for at, event, step in every:
        # What rests on their word alone, they may take back; our own reading they may not.
        wrong_desk = isinstance(event, Answer) and event.kind is AnswerKind.WRONG_RECIPIENT
        on_their_word = wrong_desk and at.state in {State.DECLARED_DONE, State.DECLARED_NOTHING_HELD}
        by_letter = at.way is Way.NOTICE and (at.state not in BEYOND or on_their_word)
        back = isinstance(event, Answer) and event.kind in CONTRARY and not event.older
        by_mail = isinstance(event, Refused) or (isinstance(event, Answer) and event.kind.value == "bounced")
        shown = (
            by_letter
            and (back or isinstance(event, Refused))
            and not (by_mail and (at.heard or at.state is State.REFUSED))
        )
        # "Nothing held" under the newer address says nothing of the earlier one; where we can look, we look first.
        too_few = isinstance(event, EarlierAddress) and not (at.way is Way.API and at.verifiable)
        if shown or too_few:
            assert not step.told, (at, event)
        elif at.told:
            assert step.told, (at, event)


def test_a_host_that_says_delivered_does_not_outweigh_one_that_said_failed(
    every: list[tuple[Position, Event, Step]],
) -> None:
    for at, event, step in every:
        if isinstance(event, Answer) and event.kind is AnswerKind.DELIVERED and at.rung >= Rung.SENT:
            assert step.told == at.told
