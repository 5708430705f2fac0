"""Somebody leaves a part of all marketing: that part is left, nothing else is, and what is not known is asked."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from hashlib import md5
from pathlib import Path

import pytest
import requests

from dpsync.cli.standing import standing_of
from dpsync.connector import ObservesOptOuts, OptOutHint
from dpsync.errors import DecisionRefused, NotFound
from dpsync.intake import identity
from dpsync.intake.held_merges import Merging
from dpsync.intake.lists.reading import ListRow
from dpsync.intake.lists.screening import Reason, Screened, screen
from dpsync.intake.merged_opt_outs import tell_again
from dpsync.intake.observed import Observed
from dpsync.intake.payload import parse_request
from dpsync.intake.planning import plan_of
from dpsync.intake.reconciliation.listed import Listed
from dpsync.intake.reconciliation.ours import ours_of
from dpsync.intake.remedies import Remedy, carry_out, remedies_at
from dpsync.intake.sweeping.sweep import sweep_of
from dpsync.intake.welcome import NewConsent, welcome, welcome_back
from dpsync.model import Right, State
from dpsync.person_letters.compose import Asks
from dpsync.person_letters.service import letter_to
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.points import QuestionKind
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.reports.duties import duties_of
from dpsync.reports.plan_text import plan_text
from dpsync.reports.text import dossier_text
from dpsync.running import jobs
from dpsync.sandbox.mailchimp.filling import SeedAudience, fill
from dpsync.store import tables as t
from dpsync.store.question_tables import question
from dpsync.store.writer import Unit
from tests.journeys.installation import FORMS, KEY, MAILINGS, NEWSLETTER, Installation, installed, sqlite_url
from tests.journeys.test_brevo_story import BREVO
from tests.journeys.test_brevo_story import KEY as BREVO_KEY
from tests.journeys.test_extension import dossier_of

ADA, BEN = "ada@example.org", "ben@example.org"
EVENTS = {"topic": "events"}
DANA = Person("Dana Officer", "dana", "asked by telephone")
FIRST, SECOND = "cff35ad3b4", "6eaf096140"
MAPPED = f'scopes = {{{{ "topic=events" = ["audience={SECOND}"] }}}}\n'


@contextmanager
def opened(folder: Path, database_url: str) -> Iterator[Installation]:
    """Ada is in two audiences and in a list; of the audiences alone the settings say what the topic is."""
    with installed(folder, database_url, processors=NEWSLETTER + MAPPED + FORMS + MAILINGS) as there:
        assert there.sandbox.audiences()[:2] == [FIRST, SECOND]
        for audience in (FIRST, SECOND):
            there.sandbox.add(ADA, list_id=audience)
        there.sandbox.campaign_monitor.add(ADA, client="Trust", title="News")
        yield there


def statuses(there: Installation) -> dict[str, str]:
    held: dict[str, str] = dict(there.sandbox.holds(ADA))
    return held


def becomes(there: Installation, audience: str, status: str = "subscribed", **more: object) -> None:
    member = md5(ADA.encode(), usedforsecurity=False).hexdigest()
    url = f"{there.sandbox.addresses.mailchimp_url}/lists/{audience}/members/{member}"
    requests.patch(url, json={"status": status, **more}, auth=("x", KEY), timeout=60).raise_for_status()


def sweep(there: Installation) -> dict[str, int]:
    return dict(sweep_of(there.service, "newsletter").run(there.clock.now()).new)


def hint(there: Installation, audience: str) -> int:
    """What the vendor's webhook brings: how many requests were made of it."""
    connector = there.service.controller.processors["newsletter"].connector
    assert isinstance(connector, ObservesOptOuts)
    return Observed(there.service).note("newsletter", connector, [OptOutHint(ADA, audience)], there.clock.now())


def test_only_the_part_that_was_left_is_left(tmp_path: Path, database_url: str) -> None:
    with opened(tmp_path, database_url) as there:
        part = there.ask(Right.OPT_OUT, ADA, scope=EVENTS)
        there.drive()
        assert statuses(there) == {FIRST: "subscribed", SECOND: "unsubscribed"}
        held = [row for row in there.rows(t.propagation) if row.processor == "mailings"]
        assert [(row.state, row.causes) for row in held] == [(State.HELD.value, "scope_unmapped")], "nobody guesses"
        assert there.state(part) is State.VERIFIED
        received = [json.loads(row.body) for row in there.rows(t.entry) if b'"event":"received"' in row.body]
        assert [one["name"] for one in received] == ["topic=events"]

        there.clock.advance(timedelta(hours=2))
        assert hint(there, SECOND) == 0, "that is our own doing"
        assert sweep(there) == {}, "who left a part is subscribed elsewhere, and that is no finding"
        decided = there.service.write(
            lambda unit: decide(
                unit,
                there.service.controller,
                part.id,
                DecisionKind.SETTLE,
                DANA,
                there.clock.now(),
                processors=["mailings"],
            )
        )
        assert [one.state for one in decided] == [State.SETTLED], "it does not concern that one"

        everything = there.ask(Right.OPT_OUT, ADA)
        there.drive()
        assert set(statuses(there).values()) == {"unsubscribed"}
        assert (there.state(everything), there.state(everything, "mailings")) == (State.VERIFIED, State.VERIFIED)
        later = there.ask(Right.OPT_OUT, ADA, scope=EVENTS)
        there.drive()
        assert set(statuses(there).values()) == {"unsubscribed"}, "a part that is asked for later narrows nothing"
        assert there.state(later) is State.VERIFIED
        there.sound()


def a_minute_later(there: Installation) -> None:
    jobs.answer_parts(there.service, there.clock.now())


def test_a_part_that_the_settings_name_afterwards_asks_nobody_any_more(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=f"{NEWSLETTER}#1\n{MAILINGS}#2\n") as there:
        for audience in (FIRST, SECOND):
            there.sandbox.add(ADA, list_id=audience)
        part = there.ask(Right.OPT_OUT, ADA, scope=EVENTS)
        a_minute_later(there)
        assert {row.state for row in there.rows(t.propagation)} == {State.HELD.value}
        standing, now = standing_of(there.service, part.id), there.clock.now()
        (duty,) = duties_of([standing], now.date(), there.service.zone, asks=True)
        assert "dpsync settle" in duty.sentence, "it may be no concern of one of them"
        mapped = f'scopes = {{ "topic=events" = ["audience={SECOND}"] }}'
        there.restart(("#1", mapped), ("#2", 'scopes = { "topic=events" = ["nothing"] }'))
        a_minute_later(there)
        there.drive()
        assert (there.state(part), there.state(part, "mailings")) == (State.VERIFIED, State.EXEMPT)
        assert statuses(there) == {FIRST: "subscribed", SECOND: "unsubscribed"}, "the part alone, not everything"
        there.sound()


def test_a_part_asks_nobody_any_more_once_the_person_has_left_everything_there(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER) as there:
        there.sandbox.add(ADA, list_id=FIRST)
        part = there.ask(Right.OPT_OUT, ADA, scope=EVENTS)
        wider = there.ask(Right.OPT_OUT, ADA, other_emails=[BEN], scope={"topic": "news"})
        everything = there.ask(Right.OPT_OUT, ADA)
        a_minute_later(there)
        assert there.state(part) is State.HELD, "not before it is done"
        there.drive()
        a_minute_later(there)
        assert (there.state(everything), there.state(part)) == (State.VERIFIED, State.SUPERSEDED)
        assert there.state(wider) is State.HELD, "it names an address that the other did not"
        there.sound()


def test_where_nobody_said_what_a_part_is_a_person_may_say_everything(tmp_path: Path, database_url: str) -> None:
    with installed(tmp_path, database_url, processors=NEWSLETTER) as there:
        for audience in (FIRST, SECOND):
            there.sandbox.add(ADA, list_id=audience)
        part = there.ask(Right.OPT_OUT, ADA, scope=EVENTS)
        there.drive()
        assert (there.state(part), set(statuses(there).values())) == (State.HELD, {"subscribed"})
        there.service.write(
            lambda unit: decide(unit, there.service.controller, part.id, DecisionKind.RELEASE, DANA, there.clock.now())
        )
        there.drive()
        assert (there.state(part), set(statuses(there).values())) == (State.VERIFIED, {"unsubscribed"})
        assert hint(there, FIRST) == 0
        there.clock.advance(timedelta(hours=2))
        assert sweep(there) == {}
        there.sound()


def test_by_link_it_is_said_of_each_processor_by_itself(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + MAILINGS) as there:
        there.sandbox.add(ADA)
        part = there.ask(Right.OPT_OUT, ADA, scope=EVENTS)
        one = standing_of(there.service, part.id)
        for line in one.lines:
            offered = remedies_at(line, QuestionKind.HELD, withdrawn=False, independent=False)
            assert offered == (Remedy.EVERYTHING, Remedy.NO_CONCERN)
            assert remedies_at(line, QuestionKind.HELD, withdrawn=True, independent=False) == ()
        for name, remedy in (("newsletter", Remedy.EVERYTHING), ("mailings", Remedy.NO_CONCERN)):
            there.service.write(
                partial(
                    carry_out,
                    there=there.service,
                    request_id=part.id,
                    name=name,
                    remedy=remedy,
                    person=DANA,
                    now=there.clock.now(),
                )
            )
        there.drive()
        assert there.states(part) == {"newsletter": State.VERIFIED, "mailings": State.SETTLED}
        letter = letter_to(there.service, part.id, None, "Ada L", Asks(), there.clock.now())
        assert "You asked for this only: topic events." in letter.text
        assert "an opt-out (only topic events)" in dossier_text(dossier_of(there, part.id))


def test_a_part_that_is_mailed_again_is_found_and_a_wish_for_all_is_heard(tmp_path: Path) -> None:
    with opened(tmp_path, sqlite_url(tmp_path)) as there:
        there.ask(Right.OPT_OUT, ADA, scope=EVENTS)
        there.drive()
        there.clock.advance(timedelta(days=2))
        becomes(there, SECOND, "subscribed")
        becomes(there, FIRST, "unsubscribed")
        assert sweep(there) == {"contactable": 1, "missed": 1}
        assert [row.scope for row in there.rows(t.request)] == ["topic=events", ""], "who left elsewhere left it all"


GROUP, BESIDE = "9143cf3bd1", "5e0a2c7f44"
GROUPED = f'"topic=events" = ["interest={FIRST}/{GROUP}"], "topic=news" = ["interest={FIRST}/{BESIDE}"]'
LISTED = '"topic=events" = ["list=1"], "channel=sms" = ["channel=sms"]'


def test_who_is_back_in_one_interest_group_is_found_and_asked_about_for_that_group(tmp_path: Path) -> None:
    grouped = f"{NEWSLETTER}scopes = {{{{ {GROUPED} }}}}\n"
    groups = {"What for?": {GROUP: "Events", BESIDE: "News"}}
    with installed(tmp_path, sqlite_url(tmp_path), processors=grouped) as there:
        seeded = SeedAudience(id=FIRST, groups=groups)
        there.sandbox.there(lambda vendor: fill(vendor.accounts[KEY].audiences[FIRST], seeded, vendor.now()))
        there.sandbox.add(ADA)
        becomes(there, FIRST, interests=dict.fromkeys((GROUP, BESIDE), True))
        events, news = (there.ask(Right.OPT_OUT, ADA, scope={"topic": name}) for name in ("events", "news"))
        there.drive()
        assert (there.state(events), there.state(news)) == (State.VERIFIED, State.VERIFIED)
        there.clock.advance(timedelta(days=2))
        assert sweep(there) == {}
        becomes(there, FIRST, interests={GROUP: True})
        assert sweep(there) == {"contactable": 1}
        asked = [row.request_id for row in there.rows(question)]
        assert asked == [events.id], "not the newer one: that is of a group that they are not back in"
        consent = NewConsent(there.clock.now(), "signed up at the fair")
        with pytest.raises(DecisionRefused, match="let the record stay"):
            there.service.write(
                lambda unit: welcome_back(unit, there.service.controller, events.id, consent, DANA, there.clock.now())
            )


def test_who_is_back_on_a_list_or_a_channel_of_brevos_is_found(tmp_path: Path) -> None:
    listed = f"{BREVO}scopes = {{{{ {LISTED} }}}}\n"
    with installed(tmp_path, sqlite_url(tmp_path), processors=listed, key=BREVO_KEY) as there:
        brevo = there.sandbox.brevo
        for address in (ADA, BEN):
            brevo.add(address, attributes={"SMS": "441134960000"}, lists=("News",))
        left = [there.ask(Right.OPT_OUT, ADA, id="crm-1", scope=EVENTS)]
        left.append(there.ask(Right.OPT_OUT, BEN, id="crm-2", scope={"channel": "sms"}))
        there.drive()
        assert [there.state(one, "brevo") for one in left] == [State.VERIFIED, State.VERIFIED]
        there.clock.advance(timedelta(days=2))
        swept = sweep_of(there.service, "brevo")
        assert swept.run(there.clock.now()).new == {}
        for one in (1, 2):
            body = {"listIds": [1], "smsBlacklisted": False}
            url = f"{there.sandbox.addresses.brevo_url}/contacts/{one}"
            requests.put(url, json=body, headers={"api-key": BREVO_KEY}, timeout=60).raise_for_status()
        assert sweep_of(there.service, "brevo").run(there.clock.now()).new == {"contactable": 2}


def test_a_wish_for_all_is_not_hidden_by_a_part_that_was_asked_for_since(tmp_path: Path) -> None:
    with opened(tmp_path, sqlite_url(tmp_path)) as there:
        becomes(there, FIRST, "unsubscribed")
        there.clock.advance(timedelta(hours=1))
        there.ask(Right.OPT_OUT, ADA, scope=EVENTS)
        there.drive()
        assert hint(there, FIRST) == 1
        assert [row.scope for row in there.rows(t.request)] == ["topic=events", ""]


@pytest.mark.parametrize(("mailing", "kept"), [("", 0), ("topic=events", 0), ("channel=email", 0), ("topic=news", 1)])
def test_whoever_left_a_part_is_left_out_of_what_may_belong_to_it(tmp_path: Path, mailing: str, kept: int) -> None:
    with opened(tmp_path, sqlite_url(tmp_path)) as there:
        there.ask(Right.OPT_OUT, ADA, scope=EVENTS)
        keys, found, row = there.service.keys, Screened(), ListRow(1, {"email": ADA}, [ADA])
        mailed = there.service.read(lambda connection: list(screen(connection, keys, [row], found, mailing)))
        assert (len(mailed), found.kept) == (kept, kept)
        assert found.left_out == ({} if kept else {Reason.LEFT_A_PART: 1})
        there.ask(Right.OPT_OUT, ADA)
        found = Screened()
        assert there.service.read(lambda connection: list(screen(connection, keys, [row], found, mailing))) == []
        assert found.left_out == {Reason.OPTED_OUT: 1}, "the stronger reason is said"


def test_a_part_is_no_opt_out_from_everything_for_a_comparison_and_ends_by_no_new_consent(tmp_path: Path) -> None:
    with opened(tmp_path, sqlite_url(tmp_path)) as there:
        there.ask(Right.OPT_OUT, ADA, id="crm:1", scope=EVENTS)
        listed = Listed(id="1", addresses=(ADA,), opted_out=True, restricted=False)
        (ours,) = there.service.read(lambda connection: ours_of(connection, there.service.keys, "crm", [listed]))
        assert ours.opt_out is None, "that the main database says everything is news"
        consent = NewConsent(there.clock.now(), "signed up at the fair")
        with pytest.raises(NotFound, match="nobody with this address opted out"):
            there.service.write(
                lambda unit: welcome(unit, there.service.controller, ADA, consent, DANA, "", there.clock.now())
            )


def test_a_part_is_nothing_where_the_settings_say_so(tmp_path: Path) -> None:
    nothing = NEWSLETTER + 'scopes = {{ "topic=events" = ["nothing"] }}\n'
    with installed(tmp_path, sqlite_url(tmp_path), processors=nothing) as there:
        part = there.ask(Right.OPT_OUT, ADA, scope=EVENTS)
        there.drive()
        assert there.state(part) is State.EXEMPT
        entries = [json.loads(row.body) for row in there.rows(t.entry)]
        assert [one["cause"] for one in entries if one["event"] == "exempted"] == ["out_of_scope"]
        assert there.state(there.ask(Right.OPT_OUT, ADA)) is State.PENDING, (
            "an opt-out from everything is no such thing"
        )
        there.sound()


def test_a_plan_says_what_a_part_is_at_each_processor(tmp_path: Path) -> None:
    with opened(tmp_path, sqlite_url(tmp_path)) as there:
        now = there.clock.now()
        data = {"right": "opt_out", "subject": {"id": "crm-1", "email": ADA}, "scope": EVENTS}
        asked = parse_request(data, source="plan", event_id="plan", now=now)
        said = plan_text(plan_of(there.service, asked, now))
        assert "Plan: opt-out (only topic events)" in said
        assert (
            f"The person leaves audience={SECOND}, which is what topic events is here. Nothing else is touched." in said
        )
        assert (
            "Nothing yet: nobody said what topic events is here. A person decides: everything here, or nothing." in said
        )
        assert "It is told in words to stop topic events, and nothing else." in said
        assert [row.scope for row in there.rows(t.request)] == []


def test_a_mapping_that_is_gone_widens_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, sqlite_url(tmp_path)) as there:
        part = there.ask(Right.OPT_OUT, ADA, scope=EVENTS)
        there.restart((f'scopes = {{ "topic=events" = ["audience={SECOND}"] }}', ""))
        there.drive()
        assert (there.state(part), set(statuses(there).values())) == (State.HELD, {"subscribed"})


def test_a_merge_repeats_what_the_loser_left(tmp_path: Path) -> None:
    with opened(tmp_path, sqlite_url(tmp_path)) as there:
        there.ask(Right.OPT_OUT, ADA, id="crm:loser", scope=EVENTS)
        there.drive()
        there.sandbox.add(BEN, list_id=SECOND)
        there.sandbox.add(BEN, list_id=FIRST)
        now, controller = there.clock.now(), there.service.controller
        loser, winner = (
            parse_request(
                {"right": "opt_out", "subject": {"id": id_, "email": email}}, source="crm", event_id="evt-m", now=now
            )
            for id_, email in (("crm:loser", ADA), ("crm:winner", BEN))
        )

        def joined(unit: Unit) -> None:
            assert identity.join(unit, controller, [loser], winner, now)
            tell_again(unit, controller, Merging("crm", "evt-m", (loser,), winner, b""), "mac", now)

        there.service.write(joined)
        there.drive()
        assert [row.scope for row in there.rows(t.request)] == ["topic=events", "topic=events"]
        assert dict(there.sandbox.holds(BEN)) == {
            FIRST: "subscribed",
            SECOND: "unsubscribed",
        }
