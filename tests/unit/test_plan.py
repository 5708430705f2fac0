"""What of a lane goes next: rules that hold of every lane that could ever stand, not only of the likely ones."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync.model import Right, State
from dpsync.propagation.rules.plan import Waiting, choose, outdated, overtaken, restriction_in_force, told_since


def row(
    ordinal: int,
    right: Right,
    state: State = State.PENDING,
    *,
    person: str = "a",
    processor: str = "alpha",
    version: int | None = None,
    lifting: bool = False,
    tried: bool = False,
    source: str = "crm",
    covers: str = "",
    told: bool = False,
) -> Waiting:
    covered = frozenset(covers.split())
    return Waiting(ordinal, processor, ordinal, right, lifting, source, version, person, state, tried, covered, told)


@st.composite
def lanes(draw: st.DrawFn) -> list[Waiting]:
    """Up to eight propagations of up to three people at up to two processors, in any states, versions and sources."""
    made = []
    for ordinal in range(1, draw(st.integers(0, 8)) + 1):
        right = draw(st.sampled_from(list(Right)))
        made.append(
            row(
                ordinal,
                right,
                draw(st.sampled_from([State.PENDING, State.PENDING, *State])),
                person=draw(st.sampled_from("abc")),
                processor=draw(st.sampled_from(["alpha", "alpha", "beta"])),
                version=draw(st.none() | st.integers(0, 4)),
                lifting=right is Right.RESTRICTION and draw(st.booleans()),
                tried=draw(st.booleans()),
                source=draw(st.sampled_from(["crm", "shop"])),
                covers=draw(st.sampled_from(["", "email", "CITY", "email CITY"])),
                told=draw(st.booleans()),
            )
        )
    return made


@given(lanes())
def test_something_pending_that_is_not_superseded_goes_and_nothing_else(lane: list[Waiting]) -> None:
    choice = choose(lane)
    pending = [one for one in lane if one.state is State.PENDING]
    left = [one for one in pending if one not in choice.superseded]
    assert set(choice.superseded) <= set(pending)
    assert (choice.head in left) if left else (choice.head is None)


@given(lanes())
def test_no_erasure_goes_while_an_opt_out_waits(lane: list[Waiting]) -> None:
    head = choose(lane).head
    if any(one.right is Right.OPT_OUT and one.state is State.PENDING for one in lane):
        assert head is not None
        assert head.right is not Right.ERASURE


@given(lanes(), st.randoms())
def test_the_order_in_which_the_store_gives_the_rows_changes_nothing(lane: list[Waiting], dice: object) -> None:
    mixed = list(lane)
    dice.shuffle(mixed)  # type: ignore[attr-defined]  # because hypothesis gives a random.Random
    one, other = choose(lane), choose(mixed)
    assert one.head == other.head
    assert set(one.superseded) == set(other.superseded)


@given(lanes())
def test_only_the_same_person_supersedes_and_only_rectifications_and_restrictions(lane: list[Waiting]) -> None:
    for gone in choose(lane).superseded:
        assert gone.right in {Right.RECTIFICATION, Right.RESTRICTION}
        own = [one for one in lane if one.person == gone.person]
        assert gone in choose(own).superseded, "somebody else's request was needed for it"


@given(lanes())
def test_what_other_people_ask_never_supersedes_anything(lane: list[Waiting]) -> None:
    everybody = set(choose(lane).superseded)
    alone = {gone for person in "abc" for gone in choose([one for one in lane if one.person == person]).superseded}
    assert everybody == alone


@given(lanes())
def test_driving_a_lane_to_its_end_ends_and_takes_every_erasure_and_opt_out(lane: list[Waiting]) -> None:
    went = []
    for _ in range(len(lane) + 1):
        choice = choose(lane)
        gone = {one.id for one in choice.superseded}
        lane = [_as(one, State.SUPERSEDED) if one.id in gone else one for one in lane]
        if choice.head is None:
            break
        went.append(choice.head)
        lane = [_as(one, State.VERIFIED) if one.id == choice.head.id else one for one in lane]
    assert all(one.state is not State.PENDING for one in lane)
    stops = [went.index(one) for one in went if one.right is Right.OPT_OUT]
    erasures = [went.index(one) for one in went if one.right is Right.ERASURE]
    assert not stops or not erasures or max(stops) < min(erasures)


# --- the rules once more, by looking at every pair


def drawn(count: int) -> Iterator[list[Waiting]]:
    """So many short lanes, always the same ones: short ones meet each rule sooner, and are drawn quickly."""
    dice = Random(20261128)
    states = [State.PENDING, State.PENDING, *State]
    for _ in range(count):
        yield [
            row(
                ordinal,
                right := dice.choice(list(Right)),
                dice.choice(states),
                person=dice.choice("aab"),
                processor=dice.choice(["alpha", "alpha", "alpha", "beta"]),
                version=dice.choice([None, 0, 1, 2, 3]),
                lifting=right is Right.RESTRICTION and dice.random() < 0.5,
                tried=dice.random() < 0.5,
                source=dice.choice(["crm", "crm", "shop"]),
                covers=dice.choice(["", "email", "CITY", "email CITY"]),
                told=dice.random() < 0.5,
            )
            for ordinal in range(1, dice.randint(1, 6))
        ]


DONE_BY_THE_PROCESSOR = set(State) - {
    State.PENDING,
    State.HELD,
    State.WITHDRAWN,
    State.EXEMPT,
    State.SUPERSEDED,
    State.REFUSED,
    State.ESCALATED,
    State.NOT_IDENTIFIABLE,
    State.SETTLED,
}


def went_through(one: Waiting) -> bool:
    """Whoever was told and kept silent may have done it, and so may whoever a person settled it with."""
    return one.state in DONE_BY_THE_PROCESSOR or (one.state in {State.ESCALATED, State.SETTLED} and one.told)


def about_the_same(one: Waiting, other: Waiting) -> bool:
    return (one.person, one.processor) == (other.person, other.processor)


def count_together(one: Waiting, other: Waiting) -> bool:
    """Versions say something only of the same source about the same person at the same processor."""
    return about_the_same(one, other) and one.source == other.source and None not in {one.version, other.version}


def is_newer(one: Waiting, other: Waiting) -> bool:
    if count_together(one, other):
        return (one.version or 0, one.ordinal) > (other.version or 0, other.ordinal)
    return one.ordinal > other.ordinal


def is_out_of_date(row: Waiting, lane: Sequence[Waiting]) -> bool:
    """Whether a pending one need not go any more."""
    never = {State.HELD, State.WITHDRAWN, State.EXEMPT, State.SUPERSEDED}
    newer = [one for one in lane if about_the_same(one, row) and is_newer(one, row)]
    went = [one for one in newer if went_through(one)]
    if row.right is Right.RESTRICTION:
        return any(one.right is Right.RESTRICTION for one in went)
    if row.right is not Right.RECTIFICATION:
        return False
    somebody = {State.APPLIED, State.DECLARED_DONE, State.VERIFIED, State.CONTRADICTED}
    changed = [one.covers for one in went if one.right is Right.RECTIFICATION and one.state in somebody]
    covered = bool(changed) and row.covers <= set().union(*changed)
    return covered or any(one.right is Right.ERASURE and one.state not in never for one in newer)


def goes_next(left: Sequence[Waiting]) -> Waiting | None:
    """Of those that may go, in the order of receipt, with what overrides it."""
    if not left:
        return None
    head = min(left, key=lambda one: one.ordinal)
    versioned = head.right in {Right.RECTIFICATION, Right.RESTRICTION} and head.version is not None
    series = [one for one in left if one.right is head.right and count_together(one, head)] if versioned else []
    head = min(series, key=lambda one: (one.version or 0, one.ordinal), default=head)
    overrides = {
        Right.ERASURE: {Right.OPT_OUT},
        Right.RECTIFICATION: {Right.OPT_OUT, Right.RESTRICTION} if head.tried else set(),
    }.get(head.right, set())
    return min((one for one in left if one.right in overrides), key=lambda one: one.ordinal, default=head)


def test_what_goes_and_what_is_superseded_is_the_same_as_by_looking_at_every_pair() -> None:
    for lane in drawn(8000):
        choice = choose(lane)
        pending = [one for one in lane if one.state is State.PENDING]
        gone = [one for one in pending if is_out_of_date(one, lane)]
        assert list(choice.superseded) == gone
        assert choice.head == goes_next([one for one in pending if one not in gone])


def test_what_was_told_since_and_what_a_read_back_proves_is_the_same_as_by_looking_at_every_pair() -> None:
    for lane in drawn(8000):
        own = row(3, lane[0].right if lane else Right.ERASURE, version=lane[-1].version if lane else 1, covers="email")
        went = [one for one in lane if went_through(one) and about_the_same(one, own) and is_newer(one, own)]
        told = [one for one in went if one.right is Right.RECTIFICATION]
        by_version = len({one.source for one in told}) == 1 and all(one.version is not None for one in told)
        assert told_since(own, lane) == sorted(told, key=lambda one: (by_version and one.version, one.ordinal))
        proves_nothing = {
            Right.ERASURE: False,
            Right.OPT_OUT: any(one.right is Right.ERASURE for one in went),
            Right.RESTRICTION: any(one.right in {Right.ERASURE, Right.RESTRICTION} for one in went),
            Right.RECTIFICATION: any(one.right is Right.ERASURE for one in went)
            or any("email" in one.covers for one in told),
        }
        assert overtaken(own, lane) is proves_nothing[own.right]


@pytest.mark.parametrize(
    ("source", "version", "order"),
    [("crm", 7, [3, 2]), ("crm", 9, [2, 3]), ("shop", 7, [2, 3]), ("shop", None, [2, 3]), ("crm", None, [2, 3])],
)
def test_what_was_told_since_is_in_the_order_of_versions_only_where_they_count_together(
    source: str, version: int | None, order: list[int]
) -> None:
    own = row(1, Right.RECTIFICATION, version=1)
    first = row(2, Right.RECTIFICATION, State.VERIFIED, version=8)
    second = row(3, Right.RECTIFICATION, State.VERIFIED, version=version, source=source)
    assert [one.ordinal for one in told_since(own, [own, first, second])] == order


def _as(one: Waiting, state: State) -> Waiting:
    return replace(one, state=state, tried=True)


def _end(lane: Sequence[Waiting]) -> dict[int, State]:
    rows = list(lane)
    while True:
        choice = choose(rows)
        gone = {one.id for one in choice.superseded}
        rows = [_as(one, State.SUPERSEDED) if one.id in gone else one for one in rows]
        if choice.head is None:
            return {one.id: one.state for one in rows}
        rows = [_as(one, State.VERIFIED) if one.id == choice.head.id else one for one in rows]


def test_of_three_versions_the_newest_is_told_last_whatever_came_first() -> None:
    for order in permutations([1, 2, 3]):
        lane = [row(ordinal, Right.RECTIFICATION, version=version) for ordinal, version in enumerate(order, 1)]
        newest = next(one for one in lane if one.version == 3)
        assert _end(lane)[newest.id] is State.VERIFIED
        older = [one for one in lane if one.ordinal > newest.ordinal]
        assert all(_end([replace(newest, state=State.VERIFIED), one])[one.id] is State.SUPERSEDED for one in older)


def test_an_erasure_supersedes_what_would_rectify_and_nothing_that_stops() -> None:
    lane = [row(1, Right.RECTIFICATION), row(2, Right.OPT_OUT), row(3, Right.RESTRICTION), row(4, Right.ERASURE)]
    choice = choose(lane)
    assert [one.ordinal for one in choice.superseded] == [1]
    assert choice.head is lane[1]


@pytest.mark.parametrize("state", [State.HELD, State.WITHDRAWN, State.EXEMPT, State.SUPERSEDED])
def test_an_erasure_that_may_never_go_supersedes_nothing(state: State) -> None:
    lane = [row(1, Right.RECTIFICATION), row(2, Right.ERASURE, state)]
    assert choose(lane).superseded == ()


def test_a_backed_off_rectification_is_overtaken_and_an_untried_one_is_not() -> None:
    for tried, expected in [(True, Right.OPT_OUT), (False, Right.RECTIFICATION)]:
        head = choose([row(1, Right.RECTIFICATION, tried=tried), row(2, Right.OPT_OUT)]).head
        assert head is not None
        assert head.right is expected


@pytest.mark.parametrize(
    ("newer", "superseded", "read_no_more"),
    [
        ([("email CITY", State.VERIFIED)], True, True),
        ([("email", State.VERIFIED)], False, False),
        ([("email", State.VERIFIED), ("CITY", State.APPLIED)], True, True),
        ([("email", State.VERIFIED), ("CITY", State.ACCEPTED)], False, True),
        ([("email", State.VERIFIED), ("CITY", State.REFUSED)], False, False),
        ([("email CITY", State.ACCEPTED)], False, True),
        ([("email CITY", State.HANDED_OVER)], False, True),
        ([("email CITY", State.NOTHING_HELD)], False, True),
        ([("email CITY", State.DECLARED_NOTHING_HELD)], False, True),
        ([("email CITY", State.HELD)], False, False),
    ],
)
def test_a_rectification_is_superseded_by_newer_ones_that_found_somebody_and_changed_all_of_it(
    newer: list[tuple[str, State]], superseded: bool, read_no_more: bool
) -> None:
    older = row(1, Right.RECTIFICATION, version=1, covers="email CITY")
    later = [
        row(number, Right.RECTIFICATION, state, version=number, covers=covers)
        for number, (covers, state) in enumerate(newer, 2)
    ]
    assert (older in choose([older, *later]).superseded) is superseded
    seen = replace(older, state=State.VERIFIED)
    assert overtaken(seen, [seen, *later]) is read_no_more


def test_nothing_overtakes_itself() -> None:
    for right in Right:
        own = row(1, right, State.VERIFIED, version=3)
        assert not overtaken(own, [own])


def test_version_one_is_newer_than_version_zero_whatever_came_first() -> None:
    zero = row(2, Right.RECTIFICATION, State.VERIFIED, version=0)
    one = row(1, Right.RECTIFICATION, State.VERIFIED, version=1)
    assert overtaken(zero, [zero, one])
    assert not overtaken(one, [zero, one])


def crowd(count: int, *, nameless: bool, state: State = State.VERIFIED) -> list[Waiting]:
    """So many who share an address: half of them told, half waiting, each with a restriction and a rectification."""
    made = []
    for number in range(count):
        person = "~1" if nameless else str(number)
        now = state if number < count // 2 else State.PENDING
        for ordinal, right in ((2 * number, Right.RECTIFICATION), (2 * number + 1, Right.RESTRICTION)):
            made.append(row(ordinal, right, now, person=person, lifting=number % 2 == 0, version=number, covers="CITY"))
    return made


def work_of(lane: list[Waiting]) -> int:
    """How many calls it takes to decide over a lane, for one who is among them."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        choose(lane)
        restriction_in_force(lane, lane[0].person)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("nameless", [False, True])
def test_deciding_over_twice_as_many_who_share_an_address_takes_twice_the_work(*, nameless: bool) -> None:
    once, twice = (work_of(crowd(count, nameless=nameless)) for count in (200, 400))
    assert twice <= 2.3 * once


# --- restrictions


@given(lanes())
def test_who_is_restricted_is_the_same_as_by_looking_at_every_pair(history: list[Waiting]) -> None:
    def newer(one: Waiting, other: Waiting) -> bool:
        same = (one.person, one.source) == (other.person, other.source) and None not in {one.version, other.version}
        if same and one.version != other.version:
            return (one.version or 0) > (other.version or 0)
        return one.ordinal > other.ordinal

    own = [
        one
        for one in history
        if one.right is Right.RESTRICTION and one.person == "a" and one.state not in {State.WITHDRAWN, State.SUPERSEDED}
    ]
    slowly = any(not one.lifting and not any(two.lifting and newer(two, one) for two in own) for one in own)
    assert restriction_in_force(history, "a") is slowly


@pytest.mark.parametrize(
    ("history", "restricted"),
    [
        ([], False),
        ([row(1, Right.RESTRICTION)], True),
        ([row(1, Right.RESTRICTION, State.VERIFIED)], True),
        ([row(1, Right.RESTRICTION, State.WITHDRAWN)], False),
        ([row(1, Right.RESTRICTION, State.SUPERSEDED)], False),
        ([row(1, Right.RESTRICTION, person="b")], False),
        ([row(1, Right.RESTRICTION), row(2, Right.RESTRICTION, lifting=True)], False),
        ([row(1, Right.RESTRICTION), row(2, Right.RESTRICTION, lifting=True, person="b")], True),
        ([row(1, Right.RESTRICTION, lifting=True), row(2, Right.RESTRICTION)], True),
        # The lifting came in first and is the newer version all the same.
        ([row(1, Right.RESTRICTION, lifting=True, version=5), row(2, Right.RESTRICTION, version=4)], False),
        ([row(1, Right.RESTRICTION, version=5), row(2, Right.RESTRICTION, lifting=True, version=4)], True),
        ([row(1, Right.RESTRICTION, lifting=True, version=0), row(2, Right.RESTRICTION, version=0)], True),
        (
            [
                row(1, Right.RESTRICTION, lifting=True),
                row(2, Right.RESTRICTION, lifting=True, version=1, source="shop"),
                row(5, Right.RESTRICTION, version=1),
                row(9, Right.RESTRICTION, lifting=True, version=1, source="web"),
            ],
            False,
        ),
        (
            # In whatever order they are read.
            [
                row(9, Right.RESTRICTION, lifting=True),
                row(2, Right.RESTRICTION, lifting=True),
                row(5, Right.RESTRICTION, version=1),
            ],
            False,
        ),
        (
            [
                row(9, Right.RESTRICTION, lifting=True),
                row(2, Right.RESTRICTION, lifting=True, version=1, source="shop"),
                row(5, Right.RESTRICTION),
                row(6, Right.RESTRICTION, version=1),
            ],
            False,
        ),
        (
            [
                row(9, Right.RESTRICTION, lifting=True, version=1, source="shop"),
                row(2, Right.RESTRICTION, lifting=True, version=1, source="shop"),
                row(5, Right.RESTRICTION),
            ],
            False,
        ),
        # What one processor was told of is the same person's restriction as what another was.
        (
            [
                row(1, Right.RESTRICTION, version=5),
                row(2, Right.RESTRICTION, lifting=True, version=4, processor="beta"),
            ],
            True,
        ),
        (
            [
                row(1, Right.RESTRICTION, lifting=True, version=5),
                row(2, Right.RESTRICTION, version=4, processor="beta"),
            ],
            False,
        ),
        # Versions of two sources say nothing about each other: then the order of receipt counts.
        (
            [row(1, Right.RESTRICTION, version=9), row(2, Right.RESTRICTION, lifting=True, version=1, source="shop")],
            False,
        ),
        # Nor does a source that numbers from 0 what another one lifted before.
        (
            [row(2, Right.RESTRICTION, version=0), row(1, Right.RESTRICTION, lifting=True, version=1, source="shop")],
            True,
        ),
        ([row(1, Right.RESTRICTION), row(2, Right.RESTRICTION, State.WITHDRAWN, lifting=True)], True),
    ],
)
def test_a_restriction_is_in_force_until_a_newer_one_lifts_it(history: list[Waiting], restricted: bool) -> None:
    assert restriction_in_force(history, "a") is restricted
    assert restriction_in_force(list(reversed(history)), "a") is restricted


# --- read-backs that prove nothing any more


@pytest.mark.parametrize(
    ("right", "by", "is_overtaken"),
    [
        (Right.RECTIFICATION, row(2, Right.RECTIFICATION, State.VERIFIED), True),
        (Right.RECTIFICATION, row(2, Right.RECTIFICATION), False),
        (Right.RECTIFICATION, row(2, Right.RECTIFICATION, State.VERIFIED, person="b"), False),
        (Right.RECTIFICATION, row(2, Right.ERASURE, State.NOTHING_HELD), True),
        (Right.RECTIFICATION, row(2, Right.OPT_OUT, State.VERIFIED), False),
        (Right.RECTIFICATION, row(0, Right.RECTIFICATION, State.VERIFIED), False),
        (Right.OPT_OUT, row(2, Right.ERASURE, State.VERIFIED), True),
        (Right.OPT_OUT, row(2, Right.RESTRICTION, State.VERIFIED), False),
        (Right.RESTRICTION, row(2, Right.RESTRICTION, State.VERIFIED, lifting=True), True),
        (Right.ERASURE, row(2, Right.RECTIFICATION, State.VERIFIED), False),
        (Right.ERASURE, row(2, Right.ERASURE, State.VERIFIED), False),
    ],
)
def test_a_read_back_is_overtaken_by_what_changed_the_same_thing(right: Right, by: Waiting, is_overtaken: bool) -> None:
    own = row(1, right, State.VERIFIED)
    assert overtaken(own, [own, by]) is is_overtaken


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("state", [State.ESCALATED, State.SETTLED])
def test_what_was_told_and_never_answered_or_settled_went_through_all_the_same(state: State, told: bool) -> None:
    """Whoever reads both letters ends with the one that is read last; and what a person settled may stand there."""
    for right in (Right.RECTIFICATION, Right.RESTRICTION):
        older = row(1, right, version=1, covers="CITY")
        silent = replace(row(2, right, state, version=2, covers="CITY EMAIL"), told=told)
        # An older change may name the address under which somebody is: it goes, with the newest values.
        assert (choose([older, silent]).superseded == (older,)) is (told and right is Right.RESTRICTION)
        assert overtaken(replace(older, state=State.VERIFIED), [silent]) is told
        assert told_since(older, [silent]) == ([silent] if told and right is Right.RECTIFICATION else [])
        refused = replace(silent, state=State.REFUSED, told=True)
        assert not choose([older, refused]).superseded


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("by", Right)
@pytest.mark.parametrize("right", Right)
def test_no_reminder_has_somebody_undo_what_something_newer_asks_for(right: Right, by: Right, state: State) -> None:
    """A letter about a rectification has the newest values, and a stop is right beside anything."""
    undoes = (right, by) in {
        (Right.RESTRICTION, Right.RESTRICTION),
        (Right.RESTRICTION, Right.ERASURE),
        (Right.RECTIFICATION, Right.ERASURE),
    }
    never_goes = {State.HELD, State.WITHDRAWN, State.EXEMPT, State.SUPERSEDED}
    own, newer = row(1, right, State.ACCEPTED), row(2, by, state)
    assert outdated(own, [own, newer]) is (undoes and state not in never_goes)
    assert not outdated(newer, [own, newer])
    assert not outdated(own, [own, replace(newer, person="b")])
    assert not outdated(own, [own, replace(newer, processor="elsewhere")])
