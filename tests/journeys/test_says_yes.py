"""A vendor that says yes and does nothing: contradicted, with its own alert, and not asked the same for days."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dpsync.model import Right, State
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.store import tables as t
from tests.journeys.installation import MAILINGS, NEWSLETTER, installed

pytestmark = pytest.mark.no_database

ADA = "ada@example.org"
DANA = Person("Dana Officer", "root", "they say that it works again")
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


def test_one_list_that_is_left_to_a_person_hides_no_other_that_said_yes_and_did_nothing(
    database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=MAILINGS) as there:
        vendor = there.sandbox.campaign_monitor
        for title in ("News", "Talks"):
            vendor.add(ADA, client="One", title=title)
        vendor.fault("says_yes_does_nothing", method="DELETE", nth=2, times=None)
        asked = there.ask(Right.ERASURE, ADA)
        there.drive()
        assert sorted(state for _, state in vendor.holds(ADA)) == ["Active", "Deleted"]
        assert there.state(asked, "mailings") is State.CONTRADICTED
        assert there.alerts() == [("dpo", "contradicted")]
        vendor.clear_faults()
        controller, now = there.service.controller, there.clock.now()
        there.service.write(lambda unit: decide(unit, controller, asked.id, DecisionKind.RETRY, DANA, now))
        there.drive()
        assert [state for _, state in vendor.holds(ADA)] == ["Deleted", "Deleted"]
        assert there.state(asked, "mailings") is State.HANDED_OVER, "what is left to a person is not lost by it"
        there.sound()
