"""What is stuck at a processor is asked of the DPO by link after a day, and decided as the commands decide."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dpsync.connector import Retryable
from dpsync.model import Right, State
from dpsync.propagation.decisions import Person as Decider
from dpsync.propagation.decisions import decide
from dpsync.propagation.record import Update, record
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.store import tables as t
from dpsync.store.question_tables import question
from tests.journeys.installation import FORMS, Asked, Installation, installed
from tests.journeys.test_decisions_by_link import Forms, Person, command, ledger
from tests.journeys.test_letters import CONTACT, confirmed

pytestmark = pytest.mark.no_database

ADA = "ada.canary@example.org"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SAID = {"name": "Dana Officer", "reason": "telephoned them"}


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as made:
        confirmed(made)
        yield made


def stuck(there: Installation, after: timedelta = DAY + HOUR) -> Asked:
    """A request of which the contact says that it is done in part, a day ago."""
    there.sandbox.rule(CONTACT, "answer_by_link", answer="partly", remark="the back-ups keep it")
    asked = there.ask(Right.ERASURE, ADA, id="crm-4711", name="Ada Canary")
    there.drive()
    there.sandbox.messages(settled=True)
    there.sandbox.rule(CONTACT, "silent")
    assert there.state(asked, "forms") is State.ESCALATED
    there.drive(after)
    return asked


def test_the_dpo_is_asked_a_day_later_once_and_the_mail_names_nobody(there: Installation) -> None:
    asked = stuck(there, HOUR)
    dpo = Person(there)
    assert dpo.mails("Please decide") == []
    assert ("dpo", "partly") in there.alerts(), "the alert tells of it at once"
    there.drive(DAY)
    (mail,) = dpo.mails("Please decide")
    text = " ".join(str(mail.get_content()).split())
    for said in ("not done at: Stratosoft, sign-up forms", "tell the processor again", asked.id, "it stays open"):
        assert said in text
    assert "anary" not in mail.as_string()
    there.drive(DAY)
    assert len(dpo.mails("Please decide")) == 1
    there.sound()


@pytest.mark.parametrize(
    ("remedy", "state", "event"),
    [
        ("done", State.DECLARED_DONE, "declared"),
        ("settle", State.SETTLED, "settled"),
        ("retry", State.ACCEPTED, "retried"),
    ],
)
def test_what_is_chosen_is_what_the_command_does(
    remedy: str, state: State, event: str, there: Installation, database_url: str
) -> None:
    asked = stuck(there)
    dpo = Person(there)
    page = dpo.look()
    for said in (ADA, "Stratosoft, sign-up forms", "cannot be undone", "Tell the processor again"):
        assert said in page.text
    assert dpo.send("decide", {**SAID, "at.forms": remedy}).status_code == 200
    there.drive()
    assert there.state(asked, "forms") is state
    assert {"shown", event} <= set(ledger(there, asked))
    assert "already decided" in dpo.get().text
    assert len(dpo.mails("Your decision is recorded")) == 1
    there.sound()
    command(there, database_url, "verify")


@pytest.mark.parametrize(
    "sent", [{}, {"at.forms": ""}, {"at.newsletter": "settle"}, {"choice": "release", "sure": "yes"}]
)
def test_what_is_not_one_of_the_choices_decides_nothing(sent: dict[str, str], there: Installation) -> None:
    asked = stuck(there)
    dpo = Person(there)
    dpo.look()
    page = dpo.send("decide", {**SAID, **sent})
    assert page.status_code in {200, 422}
    assert ADA in page.text, "it is asked again"
    assert there.state(asked, "forms") is State.ESCALATED
    assert [row.kind for row in there.rows(t.decision)] == ["shown", "shown"]


def test_stuck_again_it_is_asked_again(there: Installation) -> None:
    asked = stuck(there)
    dpo = Person(there)
    dpo.look()
    there.sandbox.rule(CONTACT, "answer_by_link", answer="partly", remark="still")
    dpo.send("decide", {**SAID, "at.forms": "retry"})
    there.drive()
    there.sandbox.messages(settled=True)
    there.drive()
    assert there.state(asked, "forms") is State.ESCALATED
    there.drive(DAY + HOUR)
    assert len(dpo.mails("Please decide")) == 2
    assert len(there.rows(question)) == 2


def test_what_is_settled_by_command_is_mailed_as_decided(there: Installation, database_url: str) -> None:
    asked = stuck(there)
    dpo = Person(there)
    command(there, database_url, "settle", asked.id, "forms", "--by", "Ben", "--reason", "a letter")
    there.drive()
    assert len(dpo.mails("Already decided")) == 1
    assert "already decided" in dpo.get().text


def test_what_was_withdrawn_while_it_was_sent_is_not_told_again_by_link(there: Installation) -> None:
    asked = there.ask(Right.ERASURE, ADA, id="crm-4711")
    (row,) = there.rows(t.propagation)
    now, why = there.clock.now(), Decider("Ben", "ben", "wrong person")
    doubtful = Update(row.id, [Retryable(reason="no answer", evidence=(), doubtful=True)], now)
    there.service.write(lambda unit: record(unit, there.service.controller, doubtful))
    there.service.write(lambda unit: decide(unit, there.service.controller, asked.id, DecisionKind.WITHDRAW, why, now))
    assert there.state(asked, "forms") is State.ESCALATED
    there.drive(DAY + HOUR)
    dpo = Person(there)
    text = " ".join(str(dpo.mails("Please decide")[0].get_content()).split())
    assert "withdrawn, but not in time" in text
    assert "tell the processor again" not in text
    page = dpo.look()
    assert "personal-data breach" in page.text
    assert 'value="retry"' not in page.text
    assert dpo.send("decide", {**SAID, "at.forms": "retry"}).status_code in {200, 422}
    assert there.state(asked, "forms") is State.ESCALATED
    assert "retry" not in [one.kind for one in there.rows(t.decision)]
    assert "at.forms" not in {name for form in Forms(page.text).found for name in form}
    assert dpo.send("decide", {**SAID, "at.forms": "settle"}).status_code == 200
    assert there.state(asked, "forms") is State.SETTLED
