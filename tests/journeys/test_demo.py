"""The demo tells the truth: it ends with 0 where both accounts agree, and with 1 where a vendor only says yes."""

from pathlib import Path

import pytest

from dpsync.demo.installation import TITLES
from dpsync.demo.reckoning import RIGHTS, end_of
from dpsync.demo.story import run
from dpsync.errors import UsageError


def told(folder: Path, *, broken: bool) -> tuple[int, list[str]]:
    lines: list[str] = []
    return run(folder, broken=broken, say=lines.append), lines


def test_all_five_are_told_of_all_four_rights_and_every_figure_agrees(tmp_path: Path) -> None:
    code, lines = told(tmp_path / "demo", broken=False)
    assert (code, [line for line in lines if "NOT SO" in line]) == (0, [])
    for title in TITLES.values():
        assert {line.split()[1] for line in lines if line.startswith("2/6") and title in line} == set(RIGHTS)
    assert lines[-2] == "6/6 every figure agrees with the sandbox's own counters"
    back = lines.index("5/6 eve unsubscribes in a mail from Mailchimp")
    assert "The main database took dpsync's signed message" in lines[back + 1]
    assert (tmp_path / "demo" / "receipt.json").exists()
    with pytest.raises(UsageError):
        run(tmp_path, broken=False, say=lines.append)


def test_a_vendor_that_says_yes_and_does_nothing_is_contradicted_and_nothing_else_is(tmp_path: Path) -> None:
    code, lines = told(tmp_path / "demo", broken=True)
    assert code == 1
    assert [line for line in lines if line.startswith("6/6")] == [
        "6/6 contradicted: erasure at Mailchimp, newsletter. The vendor said yes; our own reading says otherwise."
    ]
    assert [line for line in lines if "NOT SO" in line] == []


def test_what_nobody_can_look_into_never_ends_as_verified() -> None:
    ends = {(right, name): end_of((right, name)) for right in RIGHTS for name in TITLES}
    assert {state for (_, name), state in ends.items() if name == "forms"} == {"declared_done"}
    assert "verified" not in {state for (_, name), state in ends.items() if name == "inbox"}
