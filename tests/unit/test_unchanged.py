"""A page of requests is as it was where nothing of it differs, and no entry came to any of its requests."""

from pathlib import Path
from typing import Any, cast

import pytest

from dpsync.ledger.stored_rows import Stretched, named
from dpsync.ledger.unchanged import ComparedBefore, ComparedPage, PageDigests, digest_of, seal
from dpsync.sealing import Keys
from tests.unit.test_stored_rows import TABLES, of_stretch, three_requests


class Opens:
    def mac(self, *_: object) -> bytes:
        return b"k" * 32


KEYS = cast("Keys", Opens())
FOUND: Stretched = {"request": [("r-1", 1), ("r-2", 2)], "attempt": [(1, None)]}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.name))
def test_every_column_of_every_row_of_a_page_is_part_of_its_digest(table: Any) -> None:
    with three_requests() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        was, seen = digest_of(KEYS, (), of_stretch(connection, (2, 4))), set()
        (first, *_) = named(table.name, of_stretch(connection, (4, 4)))
        key = {column.name: first[column.name] for column in table.primary_key.columns}
        this = " AND ".join(f'"{name}" = :key_{name}' for name in key)
        driver: Any = connection.connection.dbapi_connection
        for name, value in first.items():
            other = value + 100 if isinstance(value, int) else value + (b"x" if isinstance(value, bytes) else "\0x")
            changed = f'UPDATE "{table.name}" SET "{name}" = :value WHERE {this}'  # noqa: S608 - because they are names of ours
            with connection.begin_nested() as change:
                given = {"value": other, **{f"key_{one}": was for one, was in key.items()}}
                assert driver.execute(changed, given).rowcount == 1
                seen.add(digest_of(KEYS, (), of_stretch(connection, (2, 4))))
                change.rollback()
        assert was not in seen
        assert digest_of(KEYS, (), of_stretch(connection, (2, 4))) == was


def test_a_row_that_is_gone_or_of_another_table_makes_another_digest() -> None:
    request, attempt = FOUND["request"], FOUND["attempt"]
    others: list[Stretched] = [
        {"request": request, "attempt": []},
        {"request": request[:1], "attempt": attempt},
        {"request": request, "notice": attempt},
        {"request": request},
    ]
    digests = {digest_of(KEYS, (), found) for found in (FOUND, *others)}
    assert len(digests) == 5


def test_equal_rows_have_one_digest_wherever_they_lie_in_memory() -> None:
    long, name = "x" * 300, "shared"
    shared: Stretched = {"request": [(name, long), (name, long)]}
    apart: Stretched = {"".join(("re", "quest")): [("".join(("sha", "red")), "x" * int("300")) for _ in range(2)]}
    assert digest_of(KEYS, (), shared) == digest_of(KEYS, (), apart)


def test_lost_months_are_part_of_the_digest_and_their_order_is_not() -> None:
    assert digest_of(KEYS, ["2026-09", "2026-10"], FOUND) == digest_of(KEYS, ["2026-10", "2026-09"], FOUND)
    assert digest_of(KEYS, ["2026-09"], FOUND) != digest_of(KEYS, [], FOUND)


def test_the_key_of_the_digests_is_the_ledgers_and_for_nothing_else(tmp_path: Path) -> None:
    keys = Keys.create(tmp_path / "keys")
    assert seal(keys) == keys.mac("ledger", b"unchanged pages")
    assert digest_of(keys, (), FOUND) != digest_of(Keys.create(tmp_path / "others"), (), FOUND)


def test_a_number_is_not_the_text_of_it_nor_nothing_nor_bytes() -> None:
    values = (1, "1", b"1", None, "None", 1.5, "1.5", "", b"", "a\0b", "a")
    found = {digest_of(KEYS, (), {"request": [(value,)]}) for value in values}
    assert len(found) == len(values)


@pytest.mark.parametrize(
    ("number", "told_until", "was"),
    [(0, -1, "a"), (0, 9, "a"), (0, 10, None), (1, 19, "b"), (1, 20, None), (2, -1, None)],
)
def test_a_page_was_in_order_under_its_own_number_if_no_entry_came_since(
    number: int, told_until: int, was: str | None
) -> None:
    pages = {0: ComparedPage(PageDigests("a", "1"), 10), 1: ComparedPage(PageDigests("b", "2"), 20)}
    found = ComparedBefore(pages, {number: told_until}, beneath=False).was(number)
    assert found == {"a": PageDigests("a", "1"), "b": PageDigests("b", "2"), None: None}[was]
