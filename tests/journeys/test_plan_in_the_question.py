"""The page of a question shows what `dpsync plan` shows: where the person is, what is called; by reading only."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from dpsync.intake.planning import TOO_SLOW, looks_of, plan_of
from dpsync.lookup import Presence
from dpsync.model import Right
from dpsync.reports.changing_calls import CHANGING, changing_calls
from dpsync.reports.plan_text import plan_text
from dpsync.running import asking
from dpsync.running.jobs import climb
from dpsync.running.question_plans import NOT_MADE, TURN_WAITS, QuestionPlans
from dpsync.store import tables as t
from dpsync.store.question_tables import question
from tests.journeys.installation import (
    ANALYTICS,
    EVENTS,
    FORMS,
    MAILINGS,
    NEWSLETTER,
    Installation,
    installed,
    sqlite_url,
)
from tests.journeys.test_before_it_happens import ADA as PERSON
from tests.journeys.test_before_it_happens import BREVO_NAMES, asked
from tests.journeys.test_brevo_story import BREVO
from tests.journeys.test_brevo_story import KEY as BREVO_KEY
from tests.journeys.test_decisions_by_link import ADA, CAREFUL, NO, YES, Person, ask, desk, ledger
from tests.journeys.test_inbox import HOOTSUITE, keep_secrets

pytestmark = pytest.mark.no_database

ERASE = "POST /lists/{list_id}/members/{subscriber_hash}/actions/delete-permanent"


def calls(there: Installation) -> list[str]:
    return there.sandbox.there(lambda one: [call.endpoint for call in one.journal.calls])


def test_the_page_says_where_the_person_is_and_what_is_called_and_only_reads(tmp_path: Path, database_url: str) -> None:
    with desk(tmp_path, database_url, processors=NEWSLETTER + FORMS) as there:
        ask(there)
        dpo, before = Person(there), len(calls(there))
        page = dpo.look()
        made = calls(there)[before:]
        assert made != []
        assert [one for one in made if not one.startswith("GET ")] == []
        assert there.sandbox.effects() == 0
        assert "Found: 1 record (read back: " in page.text
        assert ERASE in page.text
        assert page.text.count("Is the person there") == 2
        assert "Could not be looked up: what can be read there does not show it" in page.text
        before = len(calls(there))
        assert "Found: 1 record" in dpo.send("decide", {**YES, "sure": ""}).text, "the same page"
        assert len(calls(there)) == before, "and nobody is asked again"
        there.sound()


def test_who_is_not_found_is_said_so(tmp_path: Path, database_url: str) -> None:
    with desk(tmp_path, database_url) as there:
        there.ask(Right.ERASURE, ADA)
        there.drive()
        assert "Not found (read back: " in Person(there).look().text


@pytest.mark.parametrize("status", [503, 401])
def test_where_nobody_could_look_the_page_says_so_and_takes_the_decision(
    status: int, tmp_path: Path, database_url: str
) -> None:
    with desk(tmp_path, database_url) as there:
        ask(there)
        there.sandbox.fault("status", status=status, times=None, method="GET")
        dpo = Person(there)
        page = dpo.look()
        assert page.status_code == 200
        assert "Could not be looked up: " in page.text
        assert "Try again later" in page.text
        assert there.rows(t.account)[0].stopped == "", "a look stops nothing"
        assert dpo.send("decide", NO).status_code == 200


def test_a_processor_that_hangs_keeps_no_page_waiting(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + FORMS + CAREFUL) as there:
        request = asked(there, Right.ERASURE, id="crm-1", email=PERSON)
        there.sandbox.there(lambda vendor: setattr(vendor, "latency", 3.0))
        seen = looks_of(there.service, request, ["newsletter"], there.clock.now(), within=0.3)
        assert [(one.presence, one.detail, one.again) for one in seen.values()] == [(Presence.UNKNOWN, TOO_SLOW, True)]
        there.sandbox.there(lambda vendor: setattr(vendor, "latency", 0.0))


@pytest.mark.parametrize("right", Right)
def test_what_a_plan_says_is_called_is_what_the_connectors_call(right: Right, tmp_path: Path) -> None:
    keep_secrets(tmp_path)
    everywhere = NEWSLETTER + EVENTS + MAILINGS + ANALYTICS + BREVO + HOOTSUITE
    with installed(tmp_path, sqlite_url(tmp_path), processors=everywhere, key=BREVO_KEY) as there:
        there.sandbox.brevo.there(lambda vendor: vendor.fill(BREVO_NAMES))
        there.sandbox.brevo.add(PERSON, lists=["News"])
        there.sandbox.add(PERSON)
        there.sandbox.campaign_monitor.add(PERSON, client="Gardens", title="News")
        there.sandbox.eventbrite.add(PERSON)
        more: dict[str, Any] = {"changes": {"email": "ada.new@example.org"}} if right is Right.RECTIFICATION else {}
        plan = plan_of(there.service, asked(there, right, id="crm-1", email=PERSON, **more), there.clock.now())
        there.ask(right, PERSON, references={"google_analytics": ["111111111.2222222222"]}, **more)
        there.drive()
        made = changed(there)
        for name, section in there.service.settings.processors.items():
            said = changing_calls(section.connector, right, lifting=False)
            (line,) = [one for one in plan.lines if one.processor == name]
            assert line.calls == said
            assert made.get(name, set()) <= set(said), name
            if section.connector in {"mailchimp", "brevo", "campaign_monitor"}:
                assert made[name] == set(said), name
            assert all(one in plan_text(plan) for one in said)


def changed(there: Installation) -> dict[str, set[str]]:
    """What was called to change something, by processor, as the evidence has it."""
    p, a, e = t.propagation.c, t.attempt.c, t.evidence.c
    query = select(p.processor, e.endpoint).join(t.attempt, a.propagation_id == p.id)
    rows = there.service.read(lambda connection: list(connection.execute(query.join(t.evidence, e.attempt_id == a.id))))
    found: dict[str, set[str]] = {}
    for row in rows:
        if not row.endpoint.startswith(("GET ", "SMTP ")):
            found.setdefault(row.processor, set()).add(row.endpoint)
    return found


def test_every_api_connector_that_is_listed_is_one_that_there_is() -> None:
    from dpsync.known_connectors import connector_names

    assert CHANGING.keys() <= set(connector_names())


# --- in the mail


def told(dpo: Person) -> str:
    (mail,) = dpo.mails("Please decide")
    return " ".join(str(mail.get_content()).split())


def test_the_mail_says_where_the_person_is_and_what_is_called_and_names_nobody(
    tmp_path: Path, database_url: str
) -> None:
    with desk(tmp_path, database_url, processors=NEWSLETTER + FORMS) as there:
        before = len(calls(there))
        asked = ask(there)
        text = told(Person(there))
        for said in (
            "by reading only. Of 2 processors: found at 1 (1 record), not found at 0, could not be looked up at 1.",
            "Mailchimp, newsletter Is the person there: found: 1 record (read back: ",
            f"How it is told: through its API What would be called: {ERASE}",
            "Stratosoft, sign-up forms Is the person there: could not be looked up: ",
            "How it is told: by a tracked notice to its contact",
            "An erasure cannot be undone.",
        ):
            assert said in text
        assert "anary" not in text
        made = calls(there)[before:]
        assert [one for one in made if not one.startswith("GET ")] == []
        assert there.sandbox.effects() == 0
        assert "shown" not in ledger(there, asked), "a mail shows nobody who it is about"
        there.sound()


@pytest.mark.parametrize("status", [503, 401])
def test_where_nobody_could_look_the_mail_goes_and_says_so(status: int, tmp_path: Path, database_url: str) -> None:
    with desk(tmp_path, database_url) as there:
        there.sandbox.fault("status", status=status, times=None, method="GET")
        ask(there)
        text = told(Person(there))
        assert "found at 0, not found at 0, could not be looked up at 1." in text
        assert "Is the person there: could not be looked up: " in text
        assert f"What would be called: {ERASE}" in text
        assert there.rows(t.account)[0].stopped == "", "a look stops nothing"


def test_where_the_processors_take_too_long_the_mail_goes_without_a_plan(tmp_path: Path) -> None:
    with desk(tmp_path, sqlite_url(tmp_path)) as there:
        ask(there)
        (row,), now, plans = there.rows(question), there.clock.now(), QuestionPlans(there.service)
        assert plans.of(row, now) == plans.of(row, now) != (NOT_MADE,)
        there.ask(Right.ERASURE, "grace.canary@example.org")
        climb(there.service, there.clock.now())
        *_, newer = there.rows(question)
        there.clock.advance(timedelta(seconds=TURN_WAITS))
        assert plans.of(newer, now) == (NOT_MADE,), "the turn is over"
        assert plans.of(newer, there.clock.now()) != (NOT_MADE,), "the next one has time again"


def test_where_the_plan_fails_the_mail_goes_all_the_same(tmp_path: Path) -> None:
    with desk(tmp_path, sqlite_url(tmp_path)) as there:
        there.drive()
        asked = there.ask(Right.ERASURE, ADA)
        climb(there.service, there.clock.now())
        with there.service.engine.begin() as connection:
            connection.execute(update(t.request).where(t.request.c.id == asked.id).values(sealed=b"spoiled"))
        asking.ask(there.service, QuestionPlans(there.service), there.clock.now())
        text = told(Person(there))
        assert NOT_MADE in text
        assert "An erasure cannot be undone." in text


def test_a_mail_host_that_is_away_does_not_make_dpsync_look_each_minute(tmp_path: Path) -> None:
    with desk(tmp_path, sqlite_url(tmp_path)) as there:
        there.restart((f"port = {there.sandbox.smtp_port}", "port = 1"))
        there.drive()
        plans, looked = QuestionPlans(there.service), []
        there.ask(Right.ERASURE, ADA)
        climb(there.service, there.clock.now())
        for minutes in (1, 1, 57, 1, 1):
            before = len(calls(there))
            asking.ask(there.service, plans, there.clock.now())
            looked.append(len(calls(there)) > before)
            there.clock.advance(timedelta(minutes=minutes))
        assert looked == [True, False, False, False, True], "once an hour"
