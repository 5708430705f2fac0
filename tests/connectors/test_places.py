"""What every connector to a vendor that keeps people in places inherits."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest

from dpsync.connector import (
    Applied,
    AsAsked,
    CannotTell,
    Connector,
    Contradicts,
    Evidence,
    Finding,
    Kit,
    NothingHeld,
    Outcome,
    Refused,
    Retryable,
)
from dpsync.connectors.mailchimp import Mailchimp
from dpsync.connectors.mailchimp.calls import Calls, MailchimpSettings
from dpsync.errors import CredentialsRejected
from dpsync.model import Right
from dpsync.vendor.corrections import NOT_COMPARABLE
from dpsync.vendor.errors import NOT_DONE, Ended, refused
from dpsync.vendor.outcomes import task
from dpsync.vendor.places import ASKED, NO_PLACE, NOBODY, OLD_ADDRESS, OTHER_FIELD, _finding, _undone_first, remembered
from tests.connectors.contract import OLD, OpenShelf, instruction
from tests.connectors.test_mailchimp import Only, person, vendor

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)


class ShowsNoPlace(Mailchimp):
    def places(self, calls: Calls) -> Iterator[str]:
        return iter(())


class Suite(Only):
    connector = ShowsNoPlace

    def built(self, kit: Kit) -> Connector:
        return ShowsNoPlace(MailchimpSettings.model_validate(self.section), kit, sleep=lambda _: None)


@pytest.mark.parametrize("right", list(Right))
def test_an_account_that_shows_no_place_proves_nothing(right: Right) -> None:
    with Suite().before(vendor(list1=person(OLD, "list1"))) as stage:
        outcome = stage.tell(instruction(right))
        assert isinstance(outcome, Refused)
        assert outcome.reason == NO_PLACE
        assert isinstance(stage.read_back(instruction(right)), CannotTell)


def refuses() -> Outcome:
    raise refused()


def is_rejected() -> Outcome:
    raise CredentialsRejected("DELETE /people", 401)


def says(outcome: Outcome) -> Callable[[], Outcome]:
    return lambda: outcome


def ends(outcome: Retryable) -> Callable[[], Outcome]:
    def ask() -> Outcome:
        raise Ended(outcome)

    return ask


LATER, DOUBTFUL = Retryable(reason="later"), Retryable(reason="no answer", doubtful=True)
UNDONE = {
    "a no": refuses,
    "a rejected credential": is_rejected,
    "later": ends(LATER),
    "an outcome of no": says(Refused(reason="no", evidence=())),
    "an outcome of later": says(LATER),
    "nobody": says(NothingHeld(evidence=())),
}
MAYBE = {
    "done": says(Applied(evidence=())),
    "doubt": ends(DOUBTFUL),
    "an outcome of doubt": says(DOUBTFUL),
    "left to a person": says(task("Erase it.", "list1")),
}


@pytest.mark.parametrize(
    ("ask", "left"), [*((ask, "") for ask in UNDONE.values()), *((ask, ASKED) for ask in MAYBE.values())]
)
def test_an_erasure_is_remembered_before_it_is_asked_for_and_forgotten_where_nothing_was_done(
    ask: Callable[[], Outcome], left: str
) -> None:
    shelf, before = OpenShelf(), []

    def looking() -> Outcome:
        before.append(shelf.get("erased/1"))
        return ask()

    with suppress(Ended, CredentialsRejected):
        assert remembered(shelf, "erased/1", looking) == ask()
    assert (before, shelf.get("erased/1")) == ([ASKED], left)


@pytest.mark.parametrize("ask", UNDONE.values(), ids=UNDONE)
def test_what_the_asking_itself_remembers_stays(ask: Callable[[], Outcome]) -> None:
    shelf = OpenShelf()

    def keeping() -> Outcome:
        shelf.put("erased/1", "blanked")
        return ask()

    with suppress(Ended, CredentialsRejected):
        remembered(shelf, "erased/1", keeping)
    assert shelf.get("erased/1") == "blanked"


@pytest.mark.parametrize(
    ("reasons", "found"),
    [
        ([NOT_COMPARABLE, OLD_ADDRESS], Contradicts(reason=OLD_ADDRESS, evidence=())),
        ([NOT_COMPARABLE, OTHER_FIELD], Contradicts(reason=OTHER_FIELD, evidence=())),
        ([OTHER_FIELD, OLD_ADDRESS], Contradicts(reason=OLD_ADDRESS, evidence=())),
        (["", NOT_COMPARABLE], CannotTell(reason=NOT_COMPARABLE, evidence=())),
        (["", ""], AsAsked(evidence=())),
        ([], CannotTell(reason=NOBODY, evidence=())),
    ],
)
def test_of_several_places_the_one_that_is_most_wrong_says_how_it_is(reasons: list[str], found: Finding) -> None:
    calls = cast("Calls", SimpleNamespace(kept=()))
    assert _finding(instruction(Right.RECTIFICATION), reasons, calls) == found


@pytest.mark.parametrize("right", list(Right))
@pytest.mark.parametrize("note", [NOT_DONE, "", "every list was reached"])
def test_what_was_not_done_is_told_before_what_is_left_to_a_person(right: Right, note: str) -> None:
    calls = tuple(Evidence("DELETE /people", 200, NOW, note=one) for one in (note, ""))
    left, told = replace(task("Erase it.", "list1"), evidence=calls), instruction(right)
    undone = note == NOT_DONE and right is not Right.RECTIFICATION
    assert _undone_first(told, left) == (Applied(evidence=calls) if undone else left)
    for other in (Refused(reason="no", evidence=calls), LATER, NothingHeld(evidence=calls)):
        assert _undone_first(told, other) is other
