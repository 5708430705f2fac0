"""What the clock and `dpsync check` make of the register: a review that is due, a processor that leaves."""

from datetime import timedelta
from pathlib import Path

import pytest

from dpsync.cli.check_lines import CheckResult
from dpsync.cli.check_register import register_lines
from dpsync.model import Right
from dpsync.running.jobs import table
from tests.journeys.installation import DPO, FORMS, NEWSLETTER, Installation, installed, sqlite_url

pytestmark = pytest.mark.no_database

DAY = timedelta(days=1)
REVIEW = '\n[processors.{name}.about]\nreview_by = "2026-11-20"\n'  # the day on which the clock of these tests begins
COMPLETE = REVIEW + (
    'purpose = "News"\npeople = ["members"]\ndata = ["name"]\ncountries = ["GB"]\nkept_for = "a year"\n'
    'contract_on = "2024-05-01"\n'
)
BOTH = NEWSLETTER + FORMS + "".join(REVIEW.format(name=name) for name in ("newsletter", "forms"))


def look(there: Installation, after: timedelta = timedelta(0)) -> list[str]:
    """Turn the clock, run the job, and tell what the alerts of it say in all."""
    there.clock.advance(after)
    (job,) = [one for one in table(there.service, lambda _: None) if one.name == "reviews"]
    job.run(there.clock.now())
    return [f"{one.cause}: {one.text}" for one in there.told()]


def test_an_overdue_review_is_one_alert_for_all_processors_and_again_after_a_week(
    database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=BOTH) as there:
        assert look(there) == []
        look(there, DAY)
        assert there.alerts() == [("dpo", "review-overdue")]
        (told,) = there.told()
        assert "Mailchimp, newsletter ([processors.newsletter.about]): it was due by Fri 20 Nov 2026" in told.text
        assert "Stratosoft, sign-up forms ([processors.forms.about])" in told.text
        for _ in range(6):
            look(there, DAY)
        assert len(there.alerts()) == 1
        look(there, DAY)
        assert len(there.alerts()) == 2


def test_a_new_day_for_the_review_ends_the_reminders(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=BOTH) as there:
        look(there, DAY)
        there.restart(("2026-11-20", "2027-11-20"))
        look(there, 30 * DAY)
        assert len(there.alerts()) == 1


def test_who_has_left_and_still_stands_in_the_settings_is_an_alert_and_is_still_told(tmp_path: Path) -> None:
    leaving = FORMS + 'leaving = "2026-11-20"\n'
    with installed(tmp_path, sqlite_url(tmp_path), processors=leaving) as there:
        assert look(there) == []
        look(there, DAY)
        assert there.alerts() == [("dpo", "processor-left")]
        assert "Until then dpsync goes on telling it." in there.told()[0].text
        assert set(there.states(there.ask(Right.ERASURE, "ada@example.org"))) == {"forms"}


@pytest.mark.parametrize(
    ("more", "after", "lines"),
    [
        ("", DAY, [("register", CheckResult.NOT_SET, "")]),
        (COMPLETE, timedelta(0), [("register", CheckResult.OK, "")]),
        (COMPLETE, DAY, [("newsletter register", CheckResult.PROBLEM, "DP-341"), ("register", CheckResult.OK, "")]),
    ],
)
def test_check_says_what_is_missing_and_what_is_due(
    more: str, after: timedelta, lines: list[tuple[str, CheckResult, str]], tmp_path: Path
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + more.format(name="newsletter")) as there:
        there.clock.advance(after)
        found = list(register_lines(there.service, there.clock.now()))
        assert [(one.what, one.verdict, one.code) for one in found] == lines


def test_check_waits_for_who_is_leaving_until_the_day_is_over(tmp_path: Path) -> None:
    leaving = NEWSLETTER + 'leaving = "2026-11-20"\n' + COMPLETE.replace("2026-11-20", "2027-01-01")
    with installed(tmp_path, sqlite_url(tmp_path), processors=leaving.replace("{name}", "newsletter")) as there:
        there.ask(Right.OPT_OUT, "ada@example.org")
        before, _ = register_lines(there.service, there.clock.now())
        assert (before.verdict, before.code) == (CheckResult.WAITING, "")
        assert "1 request is still open there" in before.text
        there.drive(DAY)
        after, _ = register_lines(there.service, there.clock.now())
        assert (after.verdict, after.code) == (CheckResult.PROBLEM, "DP-342")
        assert "still open" not in after.text
        assert DPO not in after.text
