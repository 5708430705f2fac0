"""When a processor counts as told, asked of every position: only by what proves it, until something shows otherwise."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product

import pytest

from dpsync.connector import Accepted, Applied, AsAsked, NothingHeld, Refused
from dpsync.errors import DecisionRefused, IllegalTransition
from dpsync.model import DONE_STATES, Cause, Right, Rung, State, Way
from dpsync.propagation.rules.lifecycle import Answer, AnswerKind, Happening, Position, Step, advance
from dpsync.propagation.rules.states import happenings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONTRARY = {AnswerKind.BOUNCED, AnswerKind.WRONG_RECIPIENT}
BEYOND = DONE_STATES | {State.CONTRADICTED}


def steps() -> Iterator[tuple[Position, Happening, Step]]:
    every = [*(one for _, one in happenings()), *(Answer(kind, older=True) for kind in AnswerKind)]
    for told, heard, state, way, rung in product((False, True), (False, True), State, Way, (Rung.NONE, Rung.DELIVERED)):
        causes = frozenset({Cause.BRAKE} if state is State.HELD else ())
        at = Position(Right.RECTIFICATION, state, way, rung, causes, told=told, heard=heard)
        for happening in every:
            try:
                yield at, happening, advance(at, happening, NOW)
            except (IllegalTransition, DecisionRefused):
                continue


@pytest.fixture(scope="module")
def every() -> list[tuple[Position, Happening, Step]]:
    return list(steps())


def test_it_is_told_only_by_what_proves_that_it_has_the_instruction(
    every: list[tuple[Position, Happening, Step]],
) -> None:
    for at, happening, step in every:
        if step.told and not at.told:
            proves = isinstance(happening, (Applied, NothingHeld, Accepted, AsAsked))
            proves |= isinstance(happening, Answer) and happening.kind not in CONTRARY and not happening.older
            assert proves, (at, happening)
            assert step.rung >= Rung.SENT


def test_it_is_untold_by_whatever_shows_the_contrary_and_by_nothing_else(
    every: list[tuple[Position, Happening, Step]],
) -> None:
    for at, happening, step in every:
        # What rests on their word alone, they may take back; our own reading they may not.
        wrong_desk = isinstance(happening, Answer) and happening.kind is AnswerKind.WRONG_RECIPIENT
        on_their_word = wrong_desk and at.state in {State.DECLARED_DONE, State.DECLARED_NOTHING_HELD}
        by_letter = at.way is Way.NOTICE and (at.state not in BEYOND or on_their_word)
        back = isinstance(happening, Answer) and happening.kind in CONTRARY and not happening.older
        by_mail = isinstance(happening, Refused) or (
            isinstance(happening, Answer) and happening.kind.value == "bounced"
        )
        shown = (
            by_letter
            and (back or isinstance(happening, Refused))
            and not (by_mail and (at.heard or at.state is State.REFUSED))
        )
        if shown:
            assert not step.told, (at, happening)
        elif at.told:
            assert step.told, (at, happening)


def test_a_host_that_says_delivered_does_not_outweigh_one_that_said_failed(
    every: list[tuple[Position, Happening, Step]],
) -> None:
    for at, happening, step in every:
        if isinstance(happening, Answer) and happening.kind is AnswerKind.DELIVERED and at.rung >= Rung.SENT:
            assert step.told == at.told
