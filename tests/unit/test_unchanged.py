"""A page of requests is as it was where nothing of it differs, and no entry came to any of its requests."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dpsync.ledger.evidence import AnswerCalls, Place
from dpsync.ledger.row_comparison import Belongings
from dpsync.ledger.unchanged import ComparedBefore, digest_of, seal
from dpsync.sealing import Keys


class Opens:
    def mac(self, *_: object) -> bytes:
        return b"k" * 32


def page() -> dict[str, Any]:
    """Two requests, what belongs to them, and their calls."""
    at: Place = ("alpha", 1, "outcome")
    first, second = Belongings(), Belongings()
    first.parts["alpha"] = {"processor": "alpha", "state": "done"}
    first.rows["attempt", "alpha"].append({"number": 1})
    first.rows["decision", ""].append({"number": 1})
    calls = {at: AnswerCalls([{"status": 204, "note": ""}, {"status": 204, "note": "x"}], [0, 1])}
    return {
        "keys": Opens(),
        "shut": ["2026-10"],
        "page": [{"id": "r-1", "right": "erasure"}, {"id": "r-2", "right": None}],
        "there": {"r-1": first, "r-2": second},
        "calls": {"r-1": calls},
    }


def within(at: Any, change: Callable[[Any], None], other: Any) -> None:
    change(other[at])


def replace(at: Any, other: Any) -> None:
    other[at] = "other"


def lengthen(other: list[Any]) -> None:
    other.append(deepcopy(other[0]) if other else {})


def changes(value: Any) -> Iterator[Callable[[Any], None]]:
    """Each single change of a value's inside, as a function that makes it."""
    for at in value if isinstance(value, dict) else range(len(value)):
        if isinstance(value[at], (dict, list)):
            yield from (partial(within, at, one) for one in changes(value[at]))
        else:
            yield partial(replace, at)
    if isinstance(value, list):
        yield lengthen


def digest(made: dict[str, Any]) -> str:
    return digest_of(**made)


def test_every_value_of_every_row_and_call_is_part_of_the_digest() -> None:
    was = digest(page())
    assert digest(page()) == was
    of_first: tuple[Callable[[Any], Any], ...] = (
        lambda made: made["page"],
        lambda made: made["shut"],
        lambda made: made["there"]["r-1"].parts,
        lambda made: made["there"]["r-1"].rows,
        lambda made: made["calls"]["r-1"]["alpha", 1, "outcome"].calls,
        lambda made: made["calls"]["r-1"]["alpha", 1, "outcome"].seqs,
    )
    seen = {was}
    for part in of_first:
        for change in changes(part(page())):
            made = page()
            change(part(made))
            made["there"] = {row["id"]: made["there"].get(row["id"], Belongings()) for row in made["page"]}
            assert digest(made) != was
            seen.add(digest(made))
    assert len(seen) > 15


def test_a_row_or_a_call_that_was_moved_elsewhere_makes_another_digest() -> None:
    was = digest(page())
    for table, elsewhere in (("attempt", "beta"), ("notice", "alpha")):
        made = page()
        rows = made["there"]["r-1"].rows
        rows[table, elsewhere] = rows.pop(("attempt", "alpha"))
        assert digest(made) != was
    for place in (("beta", 1, "outcome"), ("alpha", 2, "outcome"), ("alpha", 1, "finding")):
        made = page()
        made["calls"]["r-1"] = {place: made["calls"]["r-1"].popitem()[1]}
        assert digest(made) != was
    made = page()
    made["there"] = {"r-1": made["there"]["r-2"], "r-2": made["there"]["r-1"]}
    assert digest(made) != was
    made = page()
    made["calls"] = {"r-2": made["calls"]["r-1"]}
    assert digest(made) != was


def test_what_is_no_row_is_not_part_of_the_digest_nor_the_order_of_lost_months() -> None:
    made = page()
    assert made["there"]["r-2"].rows["attempt", "alpha"] == [], "asked for, and now there"
    assert digest(made) == digest(page())
    assert digest({**page(), "shut": ["2026-09", "2026-10"]}) == digest({**page(), "shut": ["2026-10", "2026-09"]})


def test_the_key_of_the_digests_is_the_ledgers_and_for_nothing_else(tmp_path: Path) -> None:
    keys = Keys.create(tmp_path / "keys")
    assert seal(keys) == keys.mac("ledger", b"unchanged")


def test_a_number_is_not_the_text_of_it_nor_nothing_nor_bytes() -> None:
    found = set()
    for value in (1, "1", b"1", None, "None", 1.0, "", b""):
        made = page()
        made["page"][0]["right"] = value
        found.add(digest(made))
    assert len(found) == 8


@pytest.mark.parametrize(
    ("number", "ids", "digest", "holds"),
    [
        (0, ["r-1", "r-2"], "a", True),
        (1, ["r-1"], "b", True),
        (0, ["r-1", "r-2"], "b", False),
        (1, ["r-1", "r-2"], "a", False),
        (2, ["r-1"], "b", False),
        (0, ["r-1", "r-9"], "a", False),
    ],
)
def test_a_page_holds_under_its_own_number_where_no_entry_came(
    number: int, ids: list[str], digest: str, *, holds: bool
) -> None:
    assert ComparedBefore(["a", "b"], {"r-9"}, {}).holds(number, ids, digest) is holds
