"""Every command that dpsync suggests works as it stands, once a name and a reason are filled in."""

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from dpsync.__main__ import main
from dpsync.connector import (
    Accepted,
    Applied,
    AsAsked,
    Contradicts,
    HandOver,
    NotIdentifiable,
    Recipient,
    Refused,
    Retryable,
)
from dpsync.model import Cause, Right, State
from dpsync.propagation.alert_texts import ALERTS, alert_text
from dpsync.propagation.forgetting import forget
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.record import Update, record
from dpsync.propagation.rules.lifecycle import Answer, AnswerKind, Decision, DecisionKind, Defect, Event, Timer
from dpsync.reports.meaning import Need
from dpsync.running.jobs import climb
from dpsync.store import tables as t
from tests.builders import proof
from tests.journeys.installation import FORMS, KEY, NEWSLETTER, SECRET, Asked, Installation, installed, sqlite_url

ADA = "ada@example.org"


@dataclass
class Place:
    """An installation whose commands are run as somebody types them."""

    installation: Installation
    capsys: pytest.CaptureFixture[str]
    people: int = 0

    def ask(self, right: Right = Right.RECTIFICATION) -> Asked:
        self.people += 1
        more = {"changes": {"first_name": "Ada"}} if right is Right.RECTIFICATION else {}
        return self.installation.ask(right, f"p{self.people}@example.org", id=f"crm-{self.people}", **more)

    def happens(self, one: Asked, events: Sequence[Event], processor: str = "newsletter") -> None:
        service, row = self.installation.service, self.installation.row(one, processor)
        for event in events:
            service.write(
                lambda unit, event=event: record(  # type: ignore[misc]  # because mypy does not infer a lambda's default
                    unit, service.controller, Update(row.id, [event], self.installation.clock.now())
                )
            )
        if Cause.COOLING_OFF in causes_of(self.installation.row(one, processor).causes):
            over = {"timer": Timer.COOLING_OFF, "timer_at": self.installation.clock.now() + timedelta(days=1)}
            mine = update(t.propagation).where(t.propagation.c.id == row.id).values(over)
            service.write(lambda unit: unit.connection.execute(mine))

    def run(self, command: str) -> tuple[int, str, str]:
        words = [{"NAME": "Dora", "WHY": "seen and asked back"}.get(word, word) for word in shlex.split(command)]
        assert words[0] == "dpsync"
        self.capsys.readouterr()
        code = main(["--config", str(self.installation.folder / "dpsync.toml"), *words[1:]])
        seen = self.capsys.readouterr()
        return code, seen.out, seen.err

    def duties(self, one: Asked) -> list[dict[str, str]]:
        code, out, err = self.run(f"dpsync dossier {one.id} --format json")
        assert code == 0, err
        found: list[dict[str, str]] = json.loads(out)["duties"]
        return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Place]:
    url = sqlite_url(tmp_path)
    given = {"DPSYNC_TEST_DATABASE": url, "DPSYNC_TEST_SECRET": SECRET, "DPSYNC_TEST_KEY": KEY}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with installed(tmp_path, url, processors=NEWSLETTER + FORMS) as made:
        yield Place(made, capsys)


def held(*causes: Cause) -> list[Event]:
    return [Decision(DecisionKind.HOLD, frozenset(causes))]


APPLIED = Applied(evidence=proof())
ACCEPTED = Accepted(evidence=proof(202))
DONE_BY_HAND = HandOver(to=Recipient.OPERATOR, task="Delete the order in the web app.")
# What is handed over was tried by its interface before: the record tells by which way it was first told.
LATER = Retryable(reason="the vendor asks to wait")
WRONG_DESK = Answer(AnswerKind.WRONG_RECIPIENT)

CASES: list[tuple[Need, list[Event], set[State]]] = [
    *(
        # A correction whose new values nobody knows is settled: a yes would say nothing.
        (Need.DECIDE, held(cause), {State.SETTLED if cause is Cause.FOR_A_PERSON else State.PENDING})
        for cause in Cause
        if cause is not Cause.CONTACT_UNVERIFIED
    ),
    (Need.DECIDE, held(Cause.APPROVAL, Cause.CONTACT_UNVERIFIED, Cause.COOLING_OFF), {State.HELD}),
    (Need.CONTACT, held(Cause.CONTACT_UNVERIFIED), {State.PENDING}),
    (Need.CONTACT, held(Cause.CONTACT_UNVERIFIED, Cause.COOLING_OFF), {State.HELD}),
    (Need.LOOK, [], {State.PENDING}),
    (Need.RESUME, [], {State.PENDING}),
    (Need.CHASE, [ACCEPTED], {State.ACCEPTED}),
    (Need.BY_HAND, [LATER, DONE_BY_HAND, ACCEPTED], {State.DECLARED_DONE}),
    (Need.CONTRADICTED, [APPLIED, Contradicts(reason="still there", evidence=proof())], {State.PENDING}),
    (Need.REFUSED, [Refused(reason="it said no", evidence=proof(400))], {State.PENDING}),
    (Need.ESCALATED, [ACCEPTED, WRONG_DESK], {State.ESCALATED}),
    (Need.UNDELIVERED, [LATER, DONE_BY_HAND, ACCEPTED, Answer(AnswerKind.BOUNCED, status="5.1.1")], {State.PENDING}),
    (Need.NOT_IDENTIFIABLE, [NotIdentifiable(reason="no address")], {State.SETTLED}),
]


def test_there_is_a_case_for_every_kind_of_duty() -> None:
    assert {need for need, _, _ in CASES} == set(Need) - {Need.NOTHING, Need.FORGOTTEN}  # the last has a test below


@pytest.mark.parametrize(("need", "events", "after"), CASES)
def test_the_command_of_each_duty_works_when_it_is_pasted(
    place: Place, need: Need, events: list[Event], after: set[State]
) -> None:
    # Long past its legal date: what only time would end needs a person by then.
    place.installation.clock.advance(timedelta(days=-365))
    one = place.ask()
    place.installation.clock.advance(timedelta(days=365))
    place.happens(one, events)
    if need is Need.RESUME:
        place.installation.service.write(
            lambda unit: unit.connection.execute(update(t.account).values(stopped="person"))
        )
    (duty, *_) = [duty for duty in place.duties(one) if "Mailchimp" in duty["sentence"]]
    code, _, err = place.run(duty["command"])
    assert code == 0, (duty, err)
    assert place.installation.state(one) in after


def test_what_is_taken_back_after_it_was_forgotten_is_settled_by_the_command_that_says_so(place: Place) -> None:
    one = place.ask(Right.ERASURE)
    place.happens(one, [APPLIED, AsAsked(evidence=proof())])
    place.installation.clock.advance(timedelta(days=31))
    place.happens(one, [AsAsked(evidence=proof())])  # the last look
    place.happens(one, [Decision(DecisionKind.WITHDRAW)], "forms")
    service, now = place.installation.service, place.installation.clock.now()
    assert service.write(lambda unit: forget(unit, service.controller, [one.id], now, now)) == 1
    (service.settings.ledger.receipts / f"{one.id}.gap").touch()  # no receipt was written here
    place.happens(one, [Contradicts(reason="still there", evidence=proof())])
    (duty,) = [duty for duty in place.duties(one) if "took back" in duty["sentence"]]
    code, _, err = place.run(duty["command"])
    assert code == 0, err
    assert place.installation.state(one) is State.SETTLED


def test_to_stop_what_waits_for_a_decision_works_when_it_is_pasted(place: Place) -> None:
    one = place.ask()
    place.happens(one, held(Cause.APPROVAL))
    sentence = next(duty["sentence"] for duty in place.duties(one) if "To stop it instead" in duty["sentence"])
    code, _, err = place.run(sentence.partition("To stop it instead: ")[2])
    assert code == 0, err
    assert set(place.installation.states(one).values()) == {State.WITHDRAWN}


def test_two_who_owe_an_answer_are_two_duties_each_with_its_own_command(place: Place) -> None:
    one = place.ask()
    place.happens(one, [ACCEPTED, WRONG_DESK])
    place.happens(one, [*released_contact(), ACCEPTED, WRONG_DESK], "forms")
    commands = [duty["command"] for duty in place.duties(one)]
    assert len(commands) == 2
    assert [place.run(command)[0] for command in commands] == [0, 0]


def released_contact() -> list[Event]:
    return [Decision(DecisionKind.RELEASE, frozenset({Cause.CONTACT_UNVERIFIED}))]


# --- alerts

LEADS_TO: dict[str, list[Event]] = {  # an alert that is not named here is raised while an answer is owed
    "not_identifiable": [NotIdentifiable(reason="no address")],
    "refused": [Refused(reason="it said no", evidence=proof(400))],
    "contradicted": [APPLIED, Contradicts(reason="still there", evidence=proof())],
    "partly": [ACCEPTED, Answer(AnswerKind.PARTLY)],
    "wrong_recipient": [ACCEPTED, WRONG_DESK],
    "bounced": [ACCEPTED, Answer(AnswerKind.BOUNCED)],
    "contact_unverified": held(Cause.CONTACT_UNVERIFIED),
    "withdrawn_in_doubt": [Defect(), Decision(DecisionKind.WITHDRAW)],
    "quarantine": [Defect()] * 5,
    "defect": [Defect()],
    "taken_back": [ACCEPTED, Answer(AnswerKind.DONE)],
    "unconfigured": [],
    "credential": [],
    "mail_credential": [],
}


@pytest.mark.parametrize("cause", sorted(ALERTS))
def test_no_alert_shows_a_placeholder(cause: str) -> None:
    told = alert_text(cause, "r-7K2M9Q", "newsletter", "Newsletter", "not delivered (5.1.1: no such mailbox)")
    assert [text for text in (told.subject, told.body, told.concern.text) if "{" in text] == []


def test_no_case_speaks_of_an_alert_that_is_gone() -> None:
    assert set(LEADS_TO) <= set(ALERTS)


@pytest.mark.parametrize("cause", sorted(ALERTS))
def test_each_command_in_an_alert_works_when_it_is_pasted(place: Place, cause: str) -> None:
    one = place.ask()
    place.happens(one, LEADS_TO.get(cause, [ACCEPTED]))
    told = alert_text(cause, one.id, "newsletter", "Newsletter")
    commands = re.findall(r"`(dpsync [^`]+)`", told.concern.text)
    assert commands
    for command in commands:
        code, _, err = place.run(command)
        # A check may find what has nothing to do with it: here there is one channel for alerts.
        assert code in ({0, 2} if command.startswith("dpsync check") else {0}), (command, err)


def test_the_alert_of_a_held_request_names_commands_that_work(place: Place) -> None:
    one = place.ask()
    assert place.installation.told() == [], "the contact may confirm itself, and is asked to"
    place.installation.clock.advance(timedelta(days=1, minutes=1))
    climb(place.installation.service, place.installation.clock.now())
    told = next(told for told in place.installation.told() if told.cause == "held")
    (release,) = re.findall(r"`(dpsync [^`]+)`", "".join(told.concerns))
    withdraw = next(found for found in re.findall(r"`(dpsync [^`]+)`", told.body) if "withdraw" in found)
    withdraw = withdraw.replace("REQUEST", one.id)
    assert place.run(release)[0] == 0
    assert place.installation.state(one, "forms") is State.PENDING
    assert place.run(withdraw)[0] == 0
    assert set(place.installation.states(one).values()) == {State.WITHDRAWN}


def test_the_alert_of_a_lifted_restriction_names_the_erasure_that_waits(place: Place) -> None:
    installation = place.installation
    installation.ask(Right.RESTRICTION, ADA)
    installation.service.write(
        lambda unit: unit.connection.execute(update(t.propagation).values(state="declared_done"))
    )
    erasure = installation.ask(Right.ERASURE, ADA)
    installation.ask(Right.RESTRICTION, ADA, lifted={"told_on": "2026-11-19", "how": "letter"})
    told = next(told for told in installation.told() if told.cause == "lifted-with-erasure-held")
    release, _ = re.findall(r"`(dpsync [^`]+)`", told.text)
    assert erasure.id in release
    assert place.run(release)[0] == 0
