"""Acts about private conversations against what the ledger tells of them, one wrong row at a time."""

from collections import defaultdict
from typing import Any

import pytest
from sqlalchemy import create_engine, insert

from dpsync.ledger import entry, rows
from dpsync.ledger.conversation_comparison import _Followed, _of_acts, _of_lists, _Told
from dpsync.ledger.rows import COMMITTED
from dpsync.ledger.told import Kept
from dpsync.model import ActKind, ConversationState
from dpsync.store import conversation_tables as ct
from dpsync.store.columns import metadata

KEY = b"k" * 32
SECOND = 1_000_000


def act(number: int, conversations: int = 1, **more: Any) -> dict[str, Any]:
    named = {"id": number, "processor": "inbox", "kind": ActKind.ATTESTED.value, "at": 100 * SECOND}
    return {**named, "conversations": conversations, "reference": None, "escalated_at": None, **more}


def told_of(*pseudonyms: str) -> _Told:
    """What the ledger says of one act that concerns these."""
    return _Told(lists={("inbox", ActKind.ATTESTED.value, entry.list_digest(pseudonyms))})


def followed(
    acts: list[dict[str, Any]], of: dict[int, list[str]], said: _Told
) -> tuple[list[str], dict[tuple[str, str], _Followed]]:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    states: dict[tuple[str, str], _Followed] = defaultdict(_Followed)
    with engine.begin() as connection:
        for number, pseudonyms in of.items():
            for one in pseudonyms:
                connection.execute(insert(ct.retention_act_row), {"act_id": number, "pseudonym": one})
        found = list(_of_acts(connection, acts, said, states))
    engine.dispose()
    return found, dict(states)


def untold(number: int) -> str:
    return (
        f"private conversations at inbox: the ledger does not tell of act {number} (attested; retention_act_row: "
        "act_id, pseudonym)"
    )


def test_the_conversations_of_an_act_that_is_told_of_follow_it() -> None:
    found, states = followed([act(1, 2)], {1: ["p", "q"]}, told_of("p", "q"))
    assert found == []
    assert {key: one.state for key, one in states.items()} == {
        ("inbox", "p"): ConversationState.ATTESTED,
        ("inbox", "q"): ConversationState.ATTESTED,
    }
    assert {one.claimed_at for one in states.values()} == {100 * SECOND}


def test_an_act_that_concerns_no_conversation_says_nothing_of_any_and_what_comes_after_it_is_read() -> None:
    found, states = followed([act(1, 0), act(2)], {2: ["p"]}, told_of("p"))
    assert found == []
    assert states.keys() == {("inbox", "p")}


@pytest.mark.parametrize(
    ("conversations", "pseudonyms"),
    [(1, ["q"]), (0, ["q"]), (1, []), (2, ["p"])],
    ids=["another", "one too many", "it lost one", "fewer than it says, as told"],
)
def test_an_act_is_as_told_of_by_its_rows_alone(conversations: int, pseudonyms: list[str]) -> None:
    found, states = followed([act(1, conversations)], {1: pseudonyms}, told_of("p"))
    assert found == ([] if pseudonyms == ["p"] else [untold(1)])
    assert states.keys() == ({("inbox", "p")} if pseudonyms == ["p"] else set())


def test_each_act_that_nobody_tells_of_is_named_and_those_after_it_are_followed() -> None:
    acts = [act(1), act(2, kind="invented"), act(3)]
    found, states = followed(acts, {1: ["q"], 2: ["p"], 3: ["p"]}, told_of("p"))
    assert found == [untold(1), untold(2).replace("attested", "invented")]
    assert states.keys() == {("inbox", "p")}


def letter(**more: Any) -> dict[str, Any]:
    named = {column: f"letter {column}" for column in COMMITTED["retention_letter"]}
    return {**named, "act_id": 1, "sent_at": 100 * SECOND, **more}


@pytest.mark.parametrize("older", [False, True])
def test_a_letter_that_no_entry_tells_of_may_be_from_before_entries_committed_to_rows(*, older: bool) -> None:
    found = list(_of_lists(KEY, [act(1, reference="w-1")], [letter()], _Told(), older=older))
    assert [one.split(":")[0] for one in found] == ([] if older else ["work list w-1, retention_letter"])


@pytest.mark.parametrize("older", [False, True])
def test_a_letter_that_an_entry_tells_of_and_that_is_not_there_is_always_named(*, older: bool) -> None:
    said = _Told()
    (one,) = rows.read(rows.item(KEY, "retention_letter", letter(), 1))
    said.letters["w-1"].append(Kept(9, one))
    found = list(_of_lists(KEY, [act(1, reference="w-1")], [letter(sent_at=None)], said, older=older))
    assert [problem.endswith("of a row that entry 9 recorded: it is not there") for problem in found] == [True]
