"""The calls behind an answer, as the ledger committed to them and as the database has them."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from dpsync.ledger import entry
from dpsync.ledger.evidence import AnswerCalls, Place, answers, canonical, problems
from dpsync.model import Right
from dpsync.store import tables as t
from dpsync.store.database import reading, writing
from tests.builders import START, World

KEY = bytes(32)


def row(endpoint: str = "GET /members", **more: object) -> dict[str, Any]:
    said = {"endpoint": endpoint, "scope": "", "status": 200, "request_id": "", "digest": "", "note": "", "at": START}
    return {**said, **more}


def call(endpoint: str) -> dict[str, Any]:
    return canonical(row(endpoint))


def test_a_call_is_committed_to_with_its_microseconds_and_nothing_of_where_it_is_kept() -> None:
    at = t.EPOCH + timedelta(seconds=3, microseconds=5)
    found = canonical(row(at=at, attempt_id=7, part="outcome", seq=0))
    assert found == row(at=3_000_005)


@pytest.mark.parametrize(
    "answer",
    [AnswerCalls([call("a"), call("b")], [0, 2]), AnswerCalls([call("a")], [1]), AnswerCalls([row(status="200")], [0])],
)
def test_what_was_never_kept_in_that_shape_has_no_digest(answer: AnswerCalls) -> None:
    assert answer.digest(KEY) == ""


def test_the_digest_of_an_answer_is_that_of_its_calls_in_their_order() -> None:
    calls = [call("a"), call("b")]
    assert (
        AnswerCalls(calls, [0, 1]).digest(KEY)
        == entry.resp_digest(KEY, calls)
        != AnswerCalls(calls[::-1], [0, 1]).digest(KEY)
    )


def test_calls_are_read_in_their_order_however_they_lie_in_the_database(world: World) -> None:
    asked = world.ask(Right.OPT_OUT, "ada@example.org")
    world.drive()
    with reading(world.engine) as connection:
        attempt = connection.execute(select(t.attempt).order_by(t.attempt.c.id)).mappings().first()
    assert attempt is not None
    with writing(world.engine) as connection:
        connection.execute(t.evidence.delete())
        for seq in (2, 0, 1):
            values = row(f"call {seq}", attempt_id=attempt["id"], part="outcome", seq=seq)
            connection.execute(t.evidence.insert().values(values))
    with reading(world.engine) as connection:
        if world.engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA reverse_unordered_selects = ON")  # an order that nobody asked for
        ((place, answer),) = answers(connection, [asked.request_id])[asked.request_id].items()
        assert answers(connection, ["r-of-nobody"]) == {}
    assert place[1:] == (attempt["number"], "outcome")
    assert answer.seqs == [0, 1, 2]
    assert [one["endpoint"] for one in answer.calls] == ["call 0", "call 1", "call 2"]


HERE: Place = ("alpha", 1, "outcome")
KEPT = {HERE: AnswerCalls([call("a")], [0])}
DIGEST = KEPT[HERE].digest(KEY)


@pytest.mark.parametrize(
    "place", [HERE, ("alpha", 1, None)], ids=["this part", "of an older entry, which says no part"]
)
def test_calls_that_an_entry_tells_of_are_as_they_were(place: Place) -> None:
    assert list(problems(KEY, {place: (3, DIGEST)}, KEPT)) == []


@pytest.mark.parametrize(
    ("told", "kept", "says"),
    [
        ({HERE: (3, "00" * 32)}, KEPT, "the calls behind entry 3 are not recorded as they were"),
        ({HERE: (3, DIGEST)}, {("alpha", 1, "finding"): KEPT[HERE]}, "the calls behind entry 3"),
        ({HERE: (3, DIGEST)}, {}, "the calls behind entry 3"),
        ({}, KEPT, "calls are recorded that no entry tells of"),
        (
            {HERE: (3, DIGEST)},
            {**KEPT, ("alpha", 2, "outcome"): AnswerCalls([call("b")], [0])},
            "calls are recorded that",
        ),
    ],
)
def test_calls_that_differ_from_what_an_entry_tells_are_found_once(
    told: dict[Place, tuple[int, str]], kept: dict[Place, AnswerCalls], says: str
) -> None:
    (problem,) = problems(KEY, told, kept)
    assert problem.startswith(says)
