"""A part of a round of `make crashes`: real services are killed while vendors are at fault, and then it is counted."""

from pathlib import Path

import pytest

from tests.crashes.reckoning import reckoned
from tests.crashes.rounds import begun
from tests.databases import new_database
from tests.faults.counting import Counted

KILLS = 4


@pytest.mark.fault(17)
def test_killed_while_vendors_are_at_fault_nothing_is_lost_claimed_or_doubled(
    database_url: str, tmp_path: Path, counted: Counted
) -> None:
    """Two workers on a server."""
    with (
        new_database(database_url, tmp_path) as empty,
        begun(1, tmp_path, empty.url.render_as_string(hide_password=False)) as one,
    ):
        one.lives(KILLS)
        figures = reckoned(one)
    counted(17, lost=figures.lost, false_done=figures.false_done + figures.doubled, mismatches=figures.mismatches)
    assert one.wrong == []
    assert figures.letters_otherwise == 0
    assert one.kills.total() == KILLS
    assert sum(asked.acknowledged for asked in one.asked) == len(one.asked) > 0
