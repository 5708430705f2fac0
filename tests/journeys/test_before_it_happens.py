"""What `dpsync plan` says before anything is submitted: by reading only, and never better than what is known."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from dpsync.intake.payload import parse_request
from dpsync.intake.planning import EXEMPT, plan_of
from dpsync.lookup import NO_ADDRESS, NOT_SHOWN, REJECTED, Presence
from dpsync.model import Cause, Request, Right, State
from dpsync.reports.plan import Plan, PlanLine
from dpsync.reports.plan_text import plan_text
from dpsync.sandbox.brevo.filling import BrevoSection
from dpsync.sandbox.handle import Handle
from dpsync.store import tables as t
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
from tests.journeys.test_brevo_story import BREVO
from tests.journeys.test_brevo_story import KEY as BREVO_KEY
from tests.journeys.test_inbox import HOOTSUITE, keep_secrets

ADA, OLD, NEW, NOBODY = "ada@example.org", "ada.before@example.org", "ada.new@example.org", "nobody@example.org"
BREVO_NAMES = BrevoSection.model_validate({"attributes": {"FIRSTNAME": "text", "LASTNAME": "text"}})
PHONE = "+441632960001"
LIFTED = {"told_on": "2026-11-19", "how": "letter"}
CAREFUL = '\n[safety]\nmode = "confirm"\ncooling_off = "24h"\napprovals = 2\n'


def asked(there: Installation, right: Right, **more: Any) -> Request:
    data: dict[str, Any] = {name: more.pop(name) for name in ("changes", "lifted") if name in more}
    data |= {"right": str(right), "subject": {name: value for name, value in more.items() if value}}
    return parse_request(data, source="command", event_id="plan", now=there.clock.now())


def planned(there: Installation, right: Right, email: str | None = ADA, **more: Any) -> Plan:
    request = asked(there, right, **{"id": "crm-1", "email": email, **more})
    return plan_of(there.service, request, there.clock.now())


def at(plan: Plan, processor: str = "newsletter") -> PlanLine:
    return next(line for line in plan.lines if line.processor == processor)


def everything(there: Installation) -> dict[str, list[tuple[Any, ...]]]:
    """Each row of each table."""
    return there.service.read(
        lambda connection: {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in t.metadata.sorted_tables
        }
    )


@contextmanager
def only_reading(there: Installation) -> Iterator[None]:
    """Nothing is stored, nothing is changed at a vendor, and every call that reaches one is a reading one."""
    box = there.sandbox
    vendors: tuple[Handle[Any], ...] = (
        box,
        box.campaign_monitor,
        box.eventbrite,
        box.google_analytics,
        box.brevo,
        box.hootsuite,
    )
    before = everything(there)
    calls = [len(vendor.there(lambda one: list(one.journal.calls))) for vendor in vendors]
    yield
    assert everything(there) == before
    for vendor, seen in zip(vendors, calls, strict=True):
        made = vendor.there(lambda one: [call.endpoint for call in one.journal.calls])[seen:]
        assert [endpoint for endpoint in made if not endpoint.startswith("GET ")] == []
        assert vendor.effects() == 0
    assert there.sandbox.messages() == []


# --- by reading only


@pytest.mark.parametrize("right", Right)
def test_a_plan_reads_only_and_says_who_is_found(right: Right, database_url: str, tmp_path: Path) -> None:
    keep_secrets(tmp_path)
    everywhere = NEWSLETTER + FORMS + EVENTS + MAILINGS + ANALYTICS + BREVO + HOOTSUITE
    with installed(tmp_path, database_url, processors=everywhere, key=BREVO_KEY) as there:
        there.sandbox.brevo.there(lambda vendor: vendor.fill(BREVO_NAMES))
        there.sandbox.brevo.add(ADA, lists=["News"])
        for audience in there.sandbox.audiences():
            there.sandbox.add(ADA, list_id=audience)
        there.sandbox.campaign_monitor.add(ADA, client="Gardens", title="News")
        there.sandbox.eventbrite.add(ADA)
        more: dict[str, Any] = {"references": {"google_analytics": ["111111111.2222222222"]}}
        more |= {"changes": {"last_name": "Lovelace"}} if right is Right.RECTIFICATION else {}
        with only_reading(there):
            plan = planned(there, right, **more)
            other = planned(there, right, NOBODY, id="crm-2", **more)
        seen = {"newsletter": Presence.FOUND, "mailings": Presence.FOUND, "events": Presence.FOUND}
        seen["brevo"] = Presence.FOUND
        unseen = dict.fromkeys(("forms", "analytics", "inbox"), Presence.UNKNOWN)
        assert {line.processor: line.lookup.presence for line in plan.lines} == seen | unseen
        assert [line.lookup.records for line in plan.lines] == [2, None, None, 1, None, 1, None]
        nowhere = dict.fromkeys(("newsletter", "mailings", "brevo"), Presence.NOT_FOUND)
        unseen["events"] = Presence.UNKNOWN
        assert {line.processor: line.lookup.presence for line in other.lines} == nowhere | unseen
        for name in unseen:
            assert at(other, name).lookup.detail.startswith(NOT_SHOWN), name
        assert plan_text(other).count("Is the person there: could not be looked up: ") == 4
        assert ADA not in plan_text(plan) + repr(plan)


def test_each_record_is_counted_once_in_each_list_whatever_its_address_is_spelled_like(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=MAILINGS) as there:
        for client, title in (("Gardens", "News"), ("Gardens", "Events"), ("Shop", "News")):
            there.sandbox.campaign_monitor.add(ADA, client=client, title=title)
        there.sandbox.campaign_monitor.add(OLD, client="Shop", title="News")
        found = at(planned(there, Right.OPT_OUT), "mailings").lookup
        assert (found.presence, found.records) == (Presence.FOUND, 3)
        both = at(planned(there, Right.OPT_OUT, other_emails=[OLD, ADA.upper()]), "mailings").lookup
        assert both.records == 4


def test_an_order_is_found_and_what_is_only_a_ticket_is_never_called_not_found(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=EVENTS) as there:
        there.sandbox.eventbrite.add(ADA)
        assert at(planned(there, Right.ERASURE), "events").lookup.presence is Presence.FOUND
        assert at(planned(there, Right.ERASURE, NOBODY), "events").lookup.presence is Presence.UNKNOWN


@pytest.mark.parametrize("fault", [{"kind": "status", "status": 503}, {"kind": "html_200"}, {"kind": "reset_before"}])
def test_a_processor_that_gives_no_answer_is_unknown_and_worth_another_try(
    fault: dict[str, Any], tmp_path: Path
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), patience=0.5) as there:
        there.sandbox.fault(**fault, times=None, method="GET")
        line = at(planned(there, Right.ERASURE, NOBODY))
        assert (line.lookup.presence, line.lookup.again) == (Presence.UNKNOWN, True)
        assert "Try again later" in plan_text(planned(there, Right.ERASURE, NOBODY))


def test_a_rejected_credential_is_unknown_and_stops_nothing(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        there.sandbox.fault("status", status=401, times=None, method="GET")
        with only_reading(there):
            plan = planned(there, Right.ERASURE, NOBODY)
        assert (at(plan).lookup.presence, at(plan).lookup.detail) == (Presence.UNKNOWN, REJECTED)
        assert plan.unanswered == plan.lines


def test_without_an_address_nobody_is_called_not_found(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        line = at(planned(there, Right.ERASURE, None, phone="+44 1632 960001"))
        assert (line.lookup.presence, line.lookup.detail, line.lookup.again) == (Presence.UNKNOWN, NO_ADDRESS, False)


def test_every_address_that_the_erasure_would_be_told_is_looked_up(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        there.sandbox.add(OLD)
        there.sandbox.fault("status", status=503, times=None, method="PATCH")
        there.ask(Right.RECTIFICATION, OLD, changes={"email": NEW})
        there.drive()
        assert at(planned(there, Right.ERASURE, NEW)).lookup.presence is Presence.FOUND
        assert at(planned(there, Right.ERASURE, NEW, id="crm-2")).lookup.presence is Presence.NOT_FOUND


def test_whom_nobody_would_tell_nobody_asks(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        calls = there.sandbox.calls()
        with there.service.engine.begin() as connection:
            connection.execute(t.account.insert().values(id="newsletter", stopped="person"))
        plan = planned(there, Right.ERASURE)
        assert there.sandbox.calls() == calls
        assert (at(plan).lookup.presence, at(plan).lookup.again) == (Presence.UNKNOWN, True)
        assert "it is stopped by `dpsync pause`" in plan_text(plan)


# --- what the door then does


BRAKE = "\n[safety]\nirreversible_per_day = 1\n"
OBSERVE = '\n[safety]\nmode = "observe"\n'
WHY = '{{ code = "art19_impossible", reason = "It marks nothing.", by = "D", until = "2030-01-01" }}'
EXEMPTED = f"exempt = {{{{ restriction = {WHY} }}}}\n"


def nothing(there: Installation) -> None:
    del there


def shared(there: Installation) -> None:
    there.ask(Right.OPT_OUT, ADA, id="crm-9")


def household(there: Installation) -> None:
    there.ask(Right.OPT_OUT, NOBODY, id="crm-9", phone=PHONE)


def restricted(there: Installation) -> None:
    there.ask(Right.RESTRICTION, ADA)


def braked(there: Installation) -> None:
    there.ask(Right.OPT_OUT, NOBODY, id="crm-9")


@pytest.mark.no_database
@pytest.mark.parametrize(
    ("processors", "before", "right", "more", "causes"),
    [
        (NEWSLETTER, nothing, Right.ERASURE, {}, set()),
        (NEWSLETTER + CAREFUL, nothing, Right.ERASURE, {}, {Cause.APPROVAL, Cause.COOLING_OFF}),
        (NEWSLETTER + CAREFUL, nothing, Right.OPT_OUT, {}, set()),
        (NEWSLETTER + OBSERVE, nothing, Right.OPT_OUT, {}, {Cause.OBSERVE}),
        (NEWSLETTER, shared, Right.ERASURE, {}, {Cause.SHARED_ADDRESS}),
        (NEWSLETTER, shared, Right.ERASURE, {"id": None}, {Cause.SHARED_ADDRESS}),
        (NEWSLETTER, shared, Right.RESTRICTION, {}, set()),
        (NEWSLETTER, household, Right.ERASURE, {"phone": PHONE}, set()),
        (NEWSLETTER, household, Right.ERASURE, {"phone": PHONE, "id": None}, {Cause.SHARED_ADDRESS}),
        (NEWSLETTER, restricted, Right.ERASURE, {}, {Cause.RESTRICTION_IN_FORCE}),
        (NEWSLETTER, restricted, Right.ERASURE, {"id": "crm-3"}, {Cause.SHARED_ADDRESS}),
        (NEWSLETTER, restricted, Right.RESTRICTION, {"lifted": LIFTED}, set()),
        (NEWSLETTER + BRAKE, braked, Right.OPT_OUT, {}, {Cause.BRAKE}),
        (NEWSLETTER + BRAKE, braked, Right.RESTRICTION, {}, set()),
        (NEWSLETTER + EXEMPTED, nothing, Right.RESTRICTION, {}, set()),
        (FORMS, nothing, Right.OPT_OUT, {}, {Cause.CONTACT_UNVERIFIED}),
    ],
)
def test_the_plan_says_what_the_door_then_does(
    processors: str,
    before: Any,
    right: Right,
    more: dict[str, Any],
    causes: set[Cause],
    database_url: str,
    tmp_path: Path,
) -> None:
    with installed(tmp_path, database_url, processors=processors) as there:
        before(there)
        with only_reading(there):
            plan = planned(there, right, **more)
        (line,) = plan.lines
        then = there.ask(right, ADA, **more)
        row = there.row(then, line.processor)
        assert (line.state, set(line.causes)) == (State(row.state), causes)
        assert set(filter(None, row.causes.split(","))) == causes
        (request,) = [one for one in there.rows(t.request) if one.id == then.id]
        assert (plan.target_at, plan.due_on.isoformat()) == (request.target_at, request.due_on)
        assert (plan.strict_on.isoformat(), plan.letter_by.isoformat()) == (request.strict_on, request.letter_by)
        assert plan.cools_until == row.timer_at
        assert (line.lookup.detail == EXEMPT) is (line.state is State.EXEMPT)


def test_two_processors_on_one_account_count_both(tmp_path: Path) -> None:
    one_account = 'account = "both"\n'
    other = NEWSLETTER.replace("processors.newsletter", "processors.appeals") + one_account
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + one_account + other + BRAKE) as there:
        plan = planned(there, Right.OPT_OUT)
        then = there.ask(Right.OPT_OUT, ADA)
        assert {line.processor: line.state for line in plan.lines} == there.states(then)
        assert [(line.used, line.causes) for line in plan.lines] == [(0, ()), (1, (Cause.BRAKE,))]


def test_confirm_asks_one_person_and_a_lifting_is_no_restriction(tmp_path: Path) -> None:
    careful = CAREFUL.replace("approvals = 2\n", "")
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + careful) as there:
        assert "Approval: 1 person must say yes" in plan_text(planned(there, Right.ERASURE))
        lifting = plan_text(planned(there, Right.RESTRICTION, lifted=LIFTED))
        assert "Plan: lifting a restriction" in lifting
        assert "What would happen: What our own restriction did there is taken back" in lifting
        assert "is unsubscribed and archived" not in lifting


def test_what_must_happen_first_and_what_cannot_be_undone_is_said_in_words(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + FORMS + CAREFUL) as there:
        there.sandbox.add(ADA)
        text = plan_text(planned(there, Right.ERASURE))
        for told in (
            "REHEARSAL",
            "Of 2 processors: found at 1, not found at 0, could not be looked up at 1. If you submit it: 2 held first.",
            "Is the person there: found: 1 record (read back: ",
            "Is the person there: could not be looked up: ",
            "Can it be undone: No. What is erased there cannot be brought back.",
            "Approval: 2 different people must say yes",
            "not yet. It is held: 2 different people must approve it; cooling-off",
            "not yet. It is held: 2 different people must approve it; the processor's contact has not confirmed the ",
            "Brake: 0 of 50 counted at this account in 24 hours",
            "its answer is owed by ",
        ):
            assert told in text, told


def test_an_opt_out_has_a_day_and_only_the_person_can_take_it_back(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        plan = planned(there, Right.OPT_OUT)
        assert plan.target_at == there.clock.now() + timedelta(hours=24)
        text = plan_text(plan)
        assert "an opt-out has 24 hours, weekends included" in text
        assert "Only by the person" in text
        assert "Legal date" not in text
