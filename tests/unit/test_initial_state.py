"""How a processor's part of a request begins, over all that can stand around it."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import product
from types import SimpleNamespace
from typing import ClassVar, cast

import pytest

from dpsync.connector import Capability, Means, Processor
from dpsync.intake.acceptance import Draft, _may_name_an_earlier_address
from dpsync.model import Cause, Changes, Exemption, ExemptionCode, Mode, Request, Right, State, Subject, Way
from dpsync.propagation.rules.plan import InitialState, Safety, Surroundings, initial_state
from tests.builders import TestConnector, Vendor

TODAY = date(2026, 11, 20)
CALM = Surroundings(shared_address=False, restricted=False, counted=0, confirmed=True)
COOL = timedelta(hours=24)


class ByLetter(TestConnector):
    """Has no API for an erasure, and declares nothing about a restriction: both go by letter."""

    capabilities: ClassVar[dict[Right, Capability]] = {
        Right.ERASURE: Capability(Means.NOTICE, "written to", "", "their word", "a test"),
        Right.OPT_OUT: Capability(Means.API, "done", "", "read", "a test"),
        Right.RECTIFICATION: Capability(Means.OPERATOR, "done by hand", "", "read", "a test"),
    }


def processor(connector: type[TestConnector] = TestConnector, **exempt_until: date) -> Processor:
    return Processor(
        name="alpha",
        title="Alpha",
        account="alpha",
        connector=connector(Vendor()),
        contact="privacy@alpha.example",
        answer_within=timedelta(days=10),
        exempt={
            Right(right): Exemption(ExemptionCode.IMPOSSIBLE, "no copy", "Ada", until)
            for right, until in exempt_until.items()
        },
    )


def asked(right: Right) -> Request:
    changes = Changes(email="new@example.org") if right is Right.RECTIFICATION else None
    return Request("crm", "1", right, Subject(id="7"), datetime(2026, 11, 20, 9, tzinfo=UTC), changes=changes)


DOUBTS = [frozenset[Cause](), frozenset({Cause.MAYBE_MERGE}), frozenset({Cause.MAYBE_MERGE, Cause.COOLING_OFF})]
AROUND = [
    Surroundings(shared_address=shared, restricted=restricted, counted=counted, confirmed=confirmed, doubts=doubts)
    for shared, restricted, confirmed, counted, doubts in product(
        [False, True], [False, True], [False, True], [0, 4, 5, 6], DOUBTS
    )
]
SAFETIES = [
    Safety(mode=mode, irreversible_per_day=5, cooling_off=cooling, approvals=approvals)
    for mode, cooling, approvals in product(Mode, [timedelta(0), timedelta(seconds=1), COOL], [0, 1, 2])
]


@pytest.mark.parametrize("connector", [TestConnector, ByLetter])
@pytest.mark.parametrize("right", Right)
def test_each_cause_holds_when_its_own_condition_is_there_and_only_then(
    right: Right, connector: type[TestConnector]
) -> None:
    by_letter = connector is ByLetter and right in {Right.ERASURE, Right.RESTRICTION}
    for around, safety in product(AROUND, SAFETIES):
        begun = initial_state(asked(right), processor(connector), around, safety, TODAY)
        destroys = right is Right.ERASURE
        others = {
            Cause.OBSERVE: safety.mode is Mode.OBSERVE,
            Cause.SHARED_ADDRESS: destroys and around.shared_address,
            Cause.RESTRICTION_IN_FORCE: destroys and around.restricted,
            Cause.COOLING_OFF: destroys and (safety.cooling_off != timedelta(0) or Cause.COOLING_OFF in around.doubts),
            Cause.MAYBE_MERGE: destroys and Cause.MAYBE_MERGE in around.doubts,
            Cause.APPROVAL: destroys and (safety.approvals > 0 or safety.mode is Mode.CONFIRM),
            Cause.CONTACT_UNVERIFIED: by_letter and not around.confirmed,
        }
        held = {cause for cause, is_there in others.items() if is_there}
        counts = right is not Right.RESTRICTION
        if counts and not held and around.counted >= 5:
            held = {Cause.BRAKE}
        assert begun.causes == held
        assert begun.state is (State.HELD if held else State.PENDING)
        assert begun.way is (Way.NOTICE if by_letter else Way.API)
        assert begun.counts is counts
        assert begun.counted is (counts and not held)


@pytest.mark.parametrize(
    ("until", "exempt"), [(TODAY, True), (TODAY + timedelta(days=1), True), (TODAY - timedelta(days=1), False)]
)
@pytest.mark.parametrize("connector", [TestConnector, ByLetter])
def test_an_exemption_counts_for_its_right_to_the_end_of_its_last_day(
    connector: type[TestConnector], until: date, *, exempt: bool
) -> None:
    of = processor(connector, erasure=until)
    worst = replace(CALM, shared_address=True, counted=99)
    begun = initial_state(asked(Right.ERASURE), of, worst, Safety(cooling_off=COOL), TODAY)
    way = Way.NOTICE if connector is ByLetter else Way.API
    if exempt:
        assert begun == InitialState(of, State.EXEMPT, frozenset(), way, counts=False)
        assert not begun.counted
    else:
        assert begun.state is State.HELD
    other = initial_state(asked(Right.OPT_OUT), of, CALM, Safety(), TODAY)
    assert other == InitialState(of, State.PENDING, frozenset(), Way.API, counts=True)


def test_what_cools_off_does_so_for_the_time_of_the_settings_and_for_a_day_where_they_name_none() -> None:
    assert Safety(cooling_off=timedelta(hours=3)).cools_for == timedelta(hours=3)
    assert Safety().cools_for == timedelta(hours=24)


def test_only_a_change_of_somebody_known_may_name_an_earlier_address_where_nobody_need_be_told() -> None:
    looked_at = {
        (right, state, known)
        for right, state, known in product(Right, State, (False, True))
        if _may_name_an_earlier_address(
            cast(
                "Draft",
                SimpleNamespace(
                    asked=SimpleNamespace(request=SimpleNamespace(right=right)), history=["before"] if known else []
                ),
            ),
            cast("InitialState", SimpleNamespace(state=state)),
        )
    }
    assert looked_at == {(Right.RECTIFICATION, State.EXEMPT, True)}
