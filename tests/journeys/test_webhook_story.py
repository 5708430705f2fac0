"""A processor that speaks Standard Webhooks, through the real service: told is one thing, and done is its own word."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from sqlalchemy import select

from dpsync.connectors.webhook import TASK
from dpsync.errors import ConfigurationError
from dpsync.model import Right, Rung, State
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.resuming import pause
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.running import callbacks
from dpsync.sandbox.webhook.api import Owed
from dpsync.store import tables as t
from dpsync.store.callback_tables import callback
from tests.journeys.installation import INBOUND, SIGNING, Asked, Installation, installed

pytestmark = pytest.mark.no_database

ADA, NEW, NEIGHBOUR = "ada@example.org", "ada.new@example.org", "nell@example.org"
TAKEN, REFUSED, EARLY, UNKNOWN = 200, 401, 503, 422
LEFT: dict[Right, list[tuple[str, str]]] = {
    Right.ERASURE: [],
    Right.RESTRICTION: [("people", "restricted")],
    Right.OPT_OUT: [("people", "opted_out")],
}
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def told(there: Installation, right: Right = Right.ERASURE, number: int = 1) -> Asked:
    """Somebody whom the processor holds asked for it, and the processor was told."""
    there.sandbox.webhook.add(f"ada.{number}@example.org")
    asked = there.ask(right, f"ada.{number}@example.org", id=f"crm-{number}")
    there.drive()
    return asked


def heard(there: Installation) -> None:
    """The processor knows from now on where its outcomes go, and sends those that it owes."""
    there.sandbox.webhook.answers_to(f"{there.url}/in/signing/{INBOUND}")
    there.sandbox.webhook.tick()


def state(there: Installation, asked: Asked) -> tuple[State, Rung]:
    return there.state(asked, "signing"), Rung(there.row(asked, "signing").rung)


def owed(there: Installation) -> Owed:
    """The outcome of what it was told last."""
    return there.sandbox.webhook.there(lambda vendor: [*vendor.held.done.values()][-1])


def answers(there: Installation) -> list[str]:
    return [row.kind for row in there.service.read(lambda connection: connection.execute(select(t.answer)).all())]


def causes(there: Installation) -> list[str]:
    return [cause for _, cause in there.alerts() if not cause.startswith("target")]


def test_told_is_delivered_and_only_the_signed_outcome_is_done(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=SIGNING, web=True) as there:
        there.sandbox.webhook.add(NEIGHBOUR)
        every = {right: told(there, right, number) for number, right in enumerate(LEFT, 1)}
        for asked in every.values():
            assert state(there, asked) == (State.ACCEPTED, Rung.DELIVERED)
            assert there.row(asked, "signing").told_at is not None
        heard(there)
        assert there.sandbox.webhook.statuses() == [TAKEN] * 3
        for number, (right, asked) in enumerate(every.items(), 1):
            assert state(there, asked) == (State.DECLARED_DONE, Rung.CONFIRMED)
            assert there.sandbox.webhook.holds(f"ada.{number}@example.org") == LEFT[right]
        assert there.sandbox.webhook.holds(NEIGHBOUR) == [("people", "active")]
        there.sound()


def test_a_change_arrives_and_nobody_held_is_the_processors_word_and_no_more(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=SIGNING, web=True) as there:
        there.sandbox.webhook.add(ADA)
        changed = there.ask(Right.RECTIFICATION, ADA, changes={"email": NEW, "first_name": "Augusta"})
        unknown = there.ask(Right.ERASURE, NEIGHBOUR, id="crm-2")
        there.drive()
        names = there.sandbox.webhook.there(lambda vendor: [(one.email, one.names) for one in vendor.held.people])
        assert names == [(NEW, {"first_name": "Augusta"})]
        heard(there)
        assert there.state(changed, "signing") is State.DECLARED_DONE
        assert there.state(unknown, "signing") is State.DECLARED_NOTHING_HELD


def test_what_is_no_done_is_none(database_url: str, tmp_path: Path) -> None:
    expected = {
        "refused": (State.REFUSED, Rung.ACKNOWLEDGED),
        "partly": (State.ESCALATED, Rung.ACKNOWLEDGED),
        "received": (State.ACCEPTED, Rung.ACKNOWLEDGED),
    }
    with installed(tmp_path, database_url, processors=SIGNING, web=True) as there:
        for number, (says, stands) in enumerate(expected.items(), 1):
            asked = told(there, number=number)
            there.sandbox.webhook.switch(says=says)
            heard(there)
            there.sandbox.webhook.answers_to("http://127.0.0.1:1/")
            assert state(there, asked) == stands, says
        assert causes(there) == ["refused", "partly"]


def test_silence_is_never_a_yes_and_is_a_persons_on_the_day_it_is_owed(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=SIGNING) as there:
        asked = told(there)
        there.drive(4 * DAY)
        assert state(there, asked) == (State.ACCEPTED, Rung.DELIVERED)
        there.drive(DAY)
        assert state(there, asked) == (State.ESCALATED, Rung.DELIVERED)
        assert causes(there) == ["no_answer"]


def test_what_is_not_signed_not_known_or_of_nobody_counts_for_nothing(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=SIGNING, web=True) as there:
        asked = told(there)
        box, reference = there.sandbox.webhook, owed(there).reference
        box.switch(signs_with=there.environ["DPSYNC_TEST_WEBHOOK"])
        heard(there)
        assert box.statuses() == [REFUSED]
        box.switch(signs_with=there.environ["DPSYNC_TEST_WEBHOOK_ANSWERS"])
        unknown = [Owed(f"out-{says}", reference, says) for says in ("completed", "DONE", "delivered", "")]
        guesses = (f"{asked.id}.9.{reference[-16:]}", f"{asked.id}.1.{'0' * 16}", "DPS-OTHER.1.0123456789abcdef", "")
        foreign = [Owed(f"out-{number}", guess, "done") for number, guess in enumerate(guesses)]
        for outcome in [*unknown, *foreign]:
            box.sends(outcome)
        assert box.statuses()[1:] == [UNKNOWN] * 8
        wrong = requests.post(f"{there.url}/in/signing/{INBOUND[::-1]}", json={}, timeout=60)
        assert wrong.status_code == 404
        assert (state(there, asked), answers(there)) == ((State.ACCEPTED, Rung.DELIVERED), [])


def test_the_same_outcome_again_changes_nothing_and_what_is_taken_back_falls(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=SIGNING, web=True) as there:
        asked, box = told(there), there.sandbox.webhook
        heard(there)
        box.sends(owed(there))
        assert (box.statuses(), answers(there)) == ([TAKEN, TAKEN], ["done"])
        box.switch(says="refused")
        box.sends(owed(there))
        assert box.statuses()[2:] == [UNKNOWN]  # another body under the same id
        assert (there.state(asked, "signing"), answers(there)) == (State.DECLARED_DONE, ["done"])
        box.switch(says="partly")
        box.sends(Owed("out-later", owed(there).reference, "partly", "a copy is left"))
        assert there.state(asked, "signing") is State.ESCALATED
        assert (causes(there), answers(there)) == (["requests-refused", "taken_back"], ["done", "partly"])
        for number in range(20):
            box.sends(Owed(f"out-more-{number}", owed(there).reference, "partly"))
        assert box.statuses()[-3:] == [TAKEN, UNKNOWN, UNKNOWN]
        assert len(answers(there)) == 20
        there.sound()


def test_an_outcome_to_a_telling_that_is_under_way_comes_again(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=SIGNING, web=True) as there:
        heard(there)
        there.sandbox.webhook.fault("reset_after_effect", method="POST", template="/webhook")
        asked = told(there)
        assert there.state(asked, "signing") is State.PENDING
        there.drive(10 * MINUTE)
        assert there.sandbox.webhook.effects("erasure") == 1  # told twice under one id, and done once
        assert there.sandbox.webhook.statuses() == [EARLY]
        assert there.state(asked, "signing") is State.ACCEPTED
        heard(there)
        assert there.state(asked, "signing") is State.DECLARED_DONE


def test_an_answer_to_an_earlier_telling_says_nothing_of_the_last(database_url: str, tmp_path: Path) -> None:
    """Told anew after a no, under another id, so that it is not taken for a repetition."""
    with installed(tmp_path, database_url, processors=SIGNING, web=True) as there:
        asked, box = told(there), there.sandbox.webhook
        first = owed(there).reference
        box.there(lambda vendor: vendor.owed.clear())
        heard(there)
        box.sends(Owed("out-a", first, "refused"))
        assert there.state(asked, "signing") is State.REFUSED
        box.answers_to("http://127.0.0.1:1/")
        now, dana = there.clock.now(), Person("Dana Officer", "dana", "asked them again")
        there.service.write(
            lambda unit: decide(unit, there.service.controller, asked.id, DecisionKind.RETRY, dana, now)
        )
        there.drive()
        assert owed(there).reference != first
        assert there.state(asked, "signing") is State.ACCEPTED
        box.answers_to(f"{there.url}/in/signing/{INBOUND}")
        box.sends(Owed("out-b", first, "done"))
        assert there.state(asked, "signing") is State.ACCEPTED
        box.sends(owed(there))
        assert there.state(asked, "signing") is State.DECLARED_NOTHING_HELD


def test_an_address_that_was_given_up_stops_the_account_and_tells_the_operator(
    database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=SIGNING) as there:
        there.sandbox.webhook.fault("status", status=410, times=None)
        asked = told(there)
        assert there.state(asked, "signing") is State.PENDING
        assert there.alerts() == [("operator", "credential")]
        calls = there.sandbox.webhook.calls()
        there.drive(DAY)
        assert there.sandbox.webhook.calls() == calls


def test_what_no_system_takes_for_three_days_goes_by_letter(tmp_path: Path) -> None:
    with installed(tmp_path, f"sqlite:///{tmp_path / 'dpsync.sqlite'}", processors=SIGNING) as there:
        there.sandbox.webhook.fault("status", status=503, times=None)
        asked = told(there)
        there.drive(timedelta(0))
        (lane,) = [row for row in there.rows(t.lane) if row.attempts]
        assert timedelta(0) < lane.due_at - there.clock.now() <= timedelta(seconds=5), "the specification's first step"
        for _ in range(4):
            there.drive(timedelta(minutes=20))
        assert there.sandbox.webhook.calls() == 4, (
            "at once, and after 5 s, 5 min and 30 min; not as often as it is busy"
        )
        there.drive(timedelta(days=2, hours=21))
        assert there.row(asked, "signing").way == "api"
        there.drive(DAY)
        row = there.row(asked, "signing")
        assert (row.way, row.state, row.reason) == ("notice", "held", TASK)
        assert causes(there)[-1] == "contact_unverified"
        there.sound()


def sent_notes(there: Installation) -> list[str]:
    """What an hour later the processor heard about earlier messages."""
    there.clock.advance(MINUTE)
    callbacks.tell_of_what_nobody_does(there.service, there.clock.now())
    callbacks.send_due(there.service, there.clock.now())
    return [one.removeprefix("dpsync.request.") for one in there.sandbox.webhook.noted()]


def test_at_half_time_it_is_reminded_once_and_by_that_says_what_came_of_it(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=SIGNING, web=True) as there:
        there.sandbox.webhook.switch(silent=True)
        asked = told(there)
        there.drive(timedelta(days=2, hours=11))
        assert sent_notes(there) == []
        there.drive(timedelta(hours=1))
        assert sent_notes(there) == sent_notes(there) == ["reminder"]
        assert state(there, asked) == (State.ACCEPTED, Rung.DELIVERED)
        (row,) = there.rows(callback)
        said = json.loads(row.body)
        assert (row.source, said["type"], said["data"]) == (
            "processors.signing",
            "dpsync.request.reminder",
            {
                "request": asked.id,
                "right": "erasure",
                "told_at": f"{there.row(asked, 'signing').told_at:%Y-%m-%dT%H:%M:%SZ}",
                "answer_by": there.row(asked, "signing").answer_by.astimezone(there.service.zone).date().isoformat(),
            },
        )
        entries = [json.loads(one.body) for one in there.rows(t.entry)]
        assert [(one["dest"], one["kind"], one["ref"]) for one in entries if one["event"] == "reminded"] == [
            ("signing", "reminder", row.id)
        ]
        other = told(there, number=2)
        there.sandbox.webhook.switch(silent=False)
        heard(there)
        there.drive(timedelta(days=2, hours=12))
        assert sent_notes(there) == ["reminder", "reminder"]
        assert state(there, other) == (State.DECLARED_DONE, Rung.CONFIRMED), "reminded, it says what came of it"
        assert there.state(asked, "signing") is State.ESCALATED
        there.drive(timedelta(days=4))
        assert sent_notes(there) == ["reminder", "reminder"], "what it has answered is not owed"
        there.sound()


def test_it_hears_of_a_withdrawal_only_of_what_it_was_told_and_has_not_answered(
    database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=SIGNING, web=True) as there:
        box, dana = there.sandbox.webhook, Person("Dana Officer", "dana", "the wrong person")

        def withdrawn(asked: Asked) -> None:
            service, now = there.service, there.clock.now()
            service.write(lambda unit: decide(unit, service.controller, asked.id, DecisionKind.WITHDRAW, dana, now))

        box.switch(silent=True)
        asked = told(there)
        withdrawn(asked)
        withdrawn(asked)
        assert there.state(asked, "signing") is State.ACCEPTED, "only its own word says what became of it"
        assert sent_notes(there) == ["withdrawn"]
        unsent = there.ask(Right.ERASURE, "ada.2@example.org", id="crm-2")
        withdrawn(unsent)
        assert there.state(unsent, "signing") is State.WITHDRAWN
        box.switch(silent=False)
        heard(there)
        done = told(there, number=3)
        assert there.state(done, "signing") is State.DECLARED_DONE
        withdrawn(done)
        box.fault("reset_after_effect", method="POST", template="/webhook")
        doubtful = told(there, number=4)
        withdrawn(doubtful)
        assert there.state(doubtful, "signing") is State.ESCALATED
        assert sent_notes(there) == ["withdrawn", "withdrawn"]
        assert [row.request_id for row in there.rows(callback)] == [asked.id, doubtful.id]
        there.sound()


@pytest.mark.parametrize("stopped", ["paused", "observe"])
def test_nobody_is_reminded_while_nothing_may_be_sent(tmp_path: Path, stopped: str) -> None:
    with installed(tmp_path, f"sqlite:///{tmp_path / 'dpsync.sqlite'}", processors=SIGNING, web=True) as there:
        there.sandbox.webhook.switch(silent=True)
        told(there)
        there.clock.advance(3 * DAY)
        if stopped == "observe":
            there.restart(("[processors.signing]", '[safety]\nmode = "observe"\n[processors.signing]'))
        else:
            there.service.write(lambda unit: pause(unit.connection, {"signing"}))
        assert sent_notes(there) == []
        assert there.rows(callback) == []


def test_a_section_without_the_secret_by_which_its_outcomes_come_in_is_refused(
    database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=SIGNING) as there:
        with pytest.raises(ConfigurationError) as caught:
            there.restart(('inbound_secret = { env = "DPSYNC_TEST_INBOUND" }\n', ""))
        assert [fault.key for fault in caught.value.faults] == ["processors.signing.inbound_secret"]
