"""Google Analytics through the real service: accepted, for ever, unless a person looks and attests it."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dpsync.connectors.google_analytics.ids import UNSET
from dpsync.model import Right, Rung, State
from dpsync.propagation.commitments import Author
from dpsync.propagation.correspondence.acknowledgement import answer_by_hand
from dpsync.propagation.rules.lifecycle import AnswerKind
from dpsync.store import tables as t
from tests.journeys.installation import ANALYTICS, Installation, installed, sqlite_url

pytestmark = pytest.mark.no_database

ADA, COOKIE = "ada@example.org", "1148903321.1767225600"
ONE, TWO = "312345678", "412345678"
IDS: dict[str, Any] = {"references": {"google_analytics": [COOKIE, "USER_ID:member-7"]}}
UPSERT = "POST /analytics/v3/userDeletion/userDeletionRequests:upsert"
DAY = timedelta(days=1)


def filled(there: Installation) -> None:
    for place in (ONE, TWO):
        there.sandbox.google_analytics.add(COOKIE, place)


def test_a_deletion_stays_accepted_through_its_72_hours_and_is_a_persons_after_its_two_months(
    database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=ANALYTICS) as there:
        filled(there)
        asked = there.ask(Right.ERASURE, ADA, **IDS)
        there.drive()
        assert there.state(asked, "analytics") is State.ACCEPTED
        for days, state in ((1, State.ACCEPTED), (3, State.ACCEPTED), (57, State.ACCEPTED), (2, State.ESCALATED)):
            there.drive(days * DAY)
            assert there.state(asked, "analytics") is state
            assert there.row(asked, "analytics").rung == Rung.ACKNOWLEDGED
        assert there.sandbox.google_analytics.holds(COOKIE) == []
        assert there.sandbox.google_analytics.calls(UPSERT) == 4
        there.sound()


def test_a_person_who_looked_may_attest_it(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=ANALYTICS) as there:
        filled(there)
        asked = there.ask(Right.ERASURE, ADA, **IDS)
        there.drive()
        there.drive(3 * DAY)
        author = Author("Dana Officer", "looked into the user report")
        there.service.write(
            lambda unit: answer_by_hand(
                unit,
                there.service.controller,
                asked.id,
                "analytics",
                AnswerKind.DONE,
                author,
                "dana",
                there.clock.now(),
            )
        )
        there.drive(DAY)
        assert there.state(asked, "analytics") is State.DECLARED_DONE
        there.sound()


def test_a_whole_cookie_deletes_its_visitor_and_what_is_no_id_is_not_identifiable(
    database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=ANALYTICS) as there:
        filled(there)
        whole = there.ask(Right.ERASURE, ADA, references={"google_analytics": [f"GA1.2.{COOKIE}"]})
        nothing = there.ask(Right.ERASURE, "bob@example.org", references={"google_analytics": ["undefined"]})
        there.drive()
        assert there.state(whole, "analytics") is State.ACCEPTED
        assert there.state(nothing, "analytics") is State.NOT_IDENTIFIABLE
        assert there.row(nothing, "analytics").reason == UNSET
        assert there.sandbox.google_analytics.calls(UPSERT) == 2
        there.drive(62 * DAY)
        assert there.sandbox.google_analytics.holds(COOKIE) == []
        there.sound()


def test_without_an_id_nobody_is_identifiable_and_a_person_hears_of_it(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=ANALYTICS) as there:
        asked = there.ask(Right.ERASURE, ADA)
        there.drive()
        assert there.state(asked, "analytics") is State.NOT_IDENTIFIABLE
        assert there.sandbox.google_analytics.calls() == 0
        assert [role for role, cause in there.alerts() if cause.startswith("not_identifiable")]
        there.sound()


@pytest.mark.parametrize("status", [403, 429])
def test_over_the_days_quota_it_waits_for_the_next_day_and_repeats_nothing(
    status: int, database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=ANALYTICS) as there:
        filled(there)
        there.sandbox.google_analytics.switch(daily_quota=3, quota_status=status)
        asked = there.ask(Right.ERASURE, ADA, **IDS)
        there.drive()
        assert there.state(asked, "analytics") is State.PENDING
        there.drive(timedelta(hours=1))
        assert there.sandbox.google_analytics.calls(UPSERT) == 4
        there.drive(DAY)
        assert there.state(asked, "analytics") is State.ACCEPTED
        assert there.sandbox.google_analytics.calls(UPSERT) == 5
        assert there.sandbox.google_analytics.effects("queued") == 4
        there.sound()


def test_a_token_without_the_scope_stops_the_account_before_anything_is_asked(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=ANALYTICS) as there:
        there.sandbox.google_analytics.switch(without_scope=True)
        asked = there.ask(Right.ERASURE, ADA, **IDS)
        there.drive()
        assert there.state(asked, "analytics") is State.PENDING
        assert there.sandbox.google_analytics.calls(UPSERT) == 0
        assert [row.stopped for row in there.rows(t.account)] == ["credential"]
        there.sound()
