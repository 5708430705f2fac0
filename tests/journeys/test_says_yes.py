"""A vendor that says yes and does nothing: contradicted, with its own alert, and not asked the same for days."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dpsync.model import Right, State
from dpsync.store import tables as t
from tests.journeys.installation import MAILINGS, NEWSLETTER, installed

pytestmark = pytest.mark.no_database

ADA = "ada@example.org"
WRITES = ("POST", "PUT", "PATCH", "DELETE")
CHANGES = {"email": "ada.new@example.org", "first_name": "Augusta", "last_name": "King"}


@pytest.mark.parametrize("right", list(Right))
@pytest.mark.parametrize("name", ["newsletter", "mailings"])
def test_it_is_contradicted_and_told_and_not_asked_again_by_itself(
    name: str, right: Right, database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=NEWSLETTER if name == "newsletter" else MAILINGS) as there:
        vendor: Any = there.sandbox if name == "newsletter" else there.sandbox.campaign_monitor
        vendor.add(ADA, **({} if name == "newsletter" else {"client": "One", "title": "News"}))
        before = vendor.holds(ADA)
        for method in WRITES:
            vendor.fault("says_yes_does_nothing", method=method, times=None)
        more: dict[str, Any] = {"changes": CHANGES} if right is Right.RECTIFICATION else {}
        asked = there.ask(right, ADA, **more)
        there.drive()
        assert there.state(asked, name) is State.CONTRADICTED
        assert there.alerts() == [("dpo", "contradicted")]
        kinds = [row.kind for row in there.rows(t.attempt)]
        there.drive(timedelta(hours=1))
        for _ in range(5):
            there.drive(timedelta(days=1))
        assert [row.kind for row in there.rows(t.attempt)] == [*kinds, "verify"]
        assert there.state(asked, name) is State.CONTRADICTED
        assert vendor.holds(ADA) == before
        there.sound()
