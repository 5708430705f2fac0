"""Changes that mean something only together, and how long each waits for the others."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dpsync.intake.sources.reading import parse
from dpsync.intake.sources.together import Change, gather

MAPPING = """
event = "event_id"
[[rules]]
name = "gone"
right = "erasure"
when = { together = "forgotten" }
subject = { id = "named[0].who" }
[[together]]
name = "forgotten"
same = "who"
minutes = 10
parts.mail = { kind = "mail" }
parts.named = { kind = "name" }
[[together]]
name = "moved"
same = "who"
minutes = 5
parts.mail = { kind = "mail" }
parts.street = { kind = "street" }
"""
RULES = parse(MAPPING).together
START = datetime(2026, 11, 20, 9, tzinfo=UTC)


def change(row: int, kind: str, minute: float, who: object = 1) -> Change:
    return Change(row, f"e{row}", START + timedelta(minutes=minute), {"kind": kind, "who": who})


def gathered(minute: float, *changes: Change) -> tuple[list[tuple[int, ...]], list[int]]:
    found = gather(RULES, changes, START + timedelta(minutes=minute))
    return [one.rows for one in found.ready], [one.row for one in found.waiting]


def test_a_part_waits_for_the_rest_and_stands_for_itself_when_the_time_is_over() -> None:
    assert gathered(9.9, change(1, "mail", 0), change(2, "other", 1)) == ([(2,)], [1])
    assert gathered(10, change(1, "mail", 0)) == ([(1,)], [])
    assert gathered(10, change(1, "mail", 0), change(2, "name", 10)) == ([(1, 2)], [])
    assert gathered(11, change(1, "mail", 0), change(2, "name", 10.1)) == ([(1,)], [2])


def test_parts_of_two_people_are_never_put_together() -> None:
    assert gathered(20, change(1, "mail", 0), change(2, "name", 1, 2)) == ([(1,), (2,)], [])
    assert gathered(20, change(1, "mail", 0), change(2, "name", 1, "1")) == ([(1,), (2,)], []), "1 is not the text 1"
    assert gathered(20, change(1, "mail", 0, None), change(2, "name", 1, None)) == ([(1,), (2,)], []), "nobody"


def test_what_a_whole_is_made_of_is_told_by_parts_and_known_by_its_first() -> None:
    (one,) = gather(RULES, [change(3, "mail", 0), change(4, "mail", 1), change(5, "name", 2)], START).ready
    assert one.rows == (3, 4, 5)
    assert (one.message["together"], one.message["event_id"]) == ("forgotten", "e3")
    assert one.message["mail"] == [{"kind": "mail", "who": 1}] * 2
    assert one.message["made_at"] == "2026-11-20T09:00:00+00:00"


def test_nothing_is_waited_for_that_only_a_wrong_clock_can_have_named() -> None:
    assert gathered(0, change(1, "mail", 60 * 24 * 365)) == ([(1,)], [])


@given(
    st.lists(
        st.tuples(st.sampled_from(["mail", "name", "street", "x"]), st.floats(0, 30), st.integers(1, 2)), max_size=12
    ),
    st.floats(0, 60),
)
def test_every_change_is_in_one_message_or_waits_and_none_waits_for_ever(
    told: list[tuple[str, float, int]], now: float
) -> None:
    changes = [change(row, *one) for row, one in enumerate(told)]
    ready, waiting = gathered(now, *changes)
    assert Counter([*waiting, *(row for rows in ready for row in rows)]) == Counter(range(len(changes)))
    assert gathered(1000, *changes)[1] == []
