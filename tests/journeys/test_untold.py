"""Told is true only while nothing shows the contrary: what came back takes it back, in every figure."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dpsync.ledger import entry
from dpsync.model import Right, Rung, State
from dpsync.propagation.commitments import Author
from dpsync.propagation.correspondence import incoming
from dpsync.propagation.correspondence.acknowledgement import answer_by_hand
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.rules.lifecycle import AnswerKind, DecisionKind
from dpsync.reports.make import month_report
from dpsync.reports.status import status_rows
from dpsync.sandbox.recipient import fill_in, links_of
from dpsync.store import tables as t
from tests.journeys.installation import NEWSLETTER, SOON, Asked, Installation, installed, sqlite_url
from tests.journeys.test_delivery_report import DELIVERED, FAILED, comes, retried, tag_of, told
from tests.journeys.test_letters import ADA, DAY, letters
from tests.returned import mail, report

PERSON = Person("Olli Operator", "olli", "telephoned")


def is_told(there: Installation, asked: Asked) -> bool:
    """Whether the processor counts as told, wherever that is said: everywhere alike."""
    there.sound()
    service, now = there.service, there.clock.now()
    (row,) = service.read(lambda connection: status_rows(connection, now=now, only_open=False))
    month = month_report(service, now)
    logged = service.read(lambda connection: service.log.entries_of(connection, asked.id))
    said = [entry.decode(body) for _, body in logged]
    figures = {
        "row": there.row(asked, "forms").told_at is not None,
        "status": row.told == 1,
        "report": month.total.told_everyone == 1,
        "of the processor": month.by_processor[0].told == 1,
        "speed": month.speed.told == 1,
        "ledger": [one["told"] for one in said if "told" in one][-1] == 1,
    }
    assert len(set(figures.values())) == 1, figures
    return figures["row"]


def duty(there: Installation) -> tuple[str, str]:
    duties = month_report(there.service, there.clock.now()).duties
    (one,) = [one for one in duties if not one.sentence.startswith("Incident")]
    return one.sentence, one.command


def by_hand(there: Installation, asked: Asked, kind: AnswerKind) -> State:
    controller, now = there.service.controller, there.clock.now()
    author = Author("Olli", "said so")
    return there.service.write(
        lambda unit: answer_by_hand(unit, controller, asked.id, "forms", kind, author, "olli", now)
    )


def by_link(there: Installation, word: str) -> None:
    (link,) = [one for one in links_of(letters(there)[-1].raw) if "/answers/" in one]
    assert fill_in(link, {"answer": word, "name": "Pat Desk"})
    there.drive(SOON)


@contextmanager
def sent(folder: Path, database_url: str) -> Iterator[tuple[Installation, Asked, str]]:
    with told(folder, database_url) as (there, asked, tag):
        assert is_told(there, asked)
        yield there, asked, tag


@pytest.mark.no_database
def test_a_bounce_takes_back_that_the_processor_was_told_and_says_what_to_do(database_url: str, tmp_path: Path) -> None:
    with sent(tmp_path, database_url) as (there, asked, tag):
        comes(there, report(FAILED, envelope_id=tag))
        assert not is_told(there, asked)
        assert there.row(asked, "forms").rung == Rung.SENT, "what was proved was proved"
        sentence, command = duty(there)
        assert "not delivered (5.1.1: no such mailbox)" in sentence
        assert "Correct its `contact` in the settings" in sentence
        assert "Speak with" not in sentence
        assert command.startswith(f"dpsync retry {asked.id[:8]} forms ")
        (alert,) = there.told()
        assert "5.1.1: no such mailbox" in alert.text
        assert "contact" in alert.text
        retried(there, asked, "new@right.example")
        assert is_told(there, asked)
        assert there.row(asked, "forms").told_at == there.rows(t.notice)[-1].sent_at, "since the letter that went"


@pytest.mark.parametrize("status", ["4.4.7", "5.4.7", "5.2.2", "5.7.1"])
def test_a_delivery_that_ends_without_success_is_none_whatever_ended_it(status: str, tmp_path: Path) -> None:
    with sent(tmp_path, sqlite_url(tmp_path)) as (there, asked, tag):
        comes(there, report(("delayed", "4.4.1"), envelope_id=tag))
        assert is_told(there, asked), "delayed is no bounce"
        comes(there, report(("failed", status), envelope_id=tag))
        assert not is_told(there, asked)
        assert status in duty(there)[0]


def test_who_says_that_the_desk_is_wrong_was_not_the_one_to_tell(database_url: str, tmp_path: Path) -> None:
    with sent(tmp_path, database_url) as (there, asked, _):
        by_link(there, "received")
        by_link(there, "wrong_recipient")
        assert not is_told(there, asked)
        assert "wrong recipient" in duty(there)[0]
        retried(there, asked, "new@right.example")
        assert is_told(there, asked)
        comes(there, report(FAILED, envelope_id=tag_of(there, 2)))
        assert not is_told(there, asked), "that somebody else had read it helps nobody"


@pytest.mark.parametrize("order", [(DELIVERED, FAILED), (FAILED, DELIVERED)])
def test_of_several_desks_behind_one_address_the_one_that_failed_counts(
    order: tuple[tuple[str, str], ...], tmp_path: Path
) -> None:
    with sent(tmp_path, sqlite_url(tmp_path)) as (there, asked, tag):
        for one in order:
            comes(there, report(one, envelope_id=tag))
        assert not is_told(there, asked)


@pytest.mark.no_database
def test_who_answers_has_the_letter_whatever_came_back(database_url: str, tmp_path: Path) -> None:
    with sent(tmp_path, database_url) as (there, asked, tag):
        comes(there, report(FAILED, envelope_id=tag))
        assert not is_told(there, asked)
        by_link(there, "received")
        assert is_told(there, asked)
        comes(there, report(("failed", "4.4.7"), envelope_id=tag))
        assert is_told(there, asked)
        assert there.state(asked, "forms") is State.ESCALATED
        assert "one of the two is wrong" in duty(there)[0]


def test_a_letter_that_came_back_after_somebody_said_they_have_it_is_a_contradiction(tmp_path: Path) -> None:
    with sent(tmp_path, sqlite_url(tmp_path)) as (there, asked, tag):
        by_hand(there, asked, AnswerKind.RECEIVED)
        comes(there, report(FAILED, envelope_id=tag))
        assert is_told(there, asked), "a person said so"
        sentence, command = duty(there)
        assert "they said that they have it, but the letter came back: one of the two is wrong" in sentence
        assert "earlier" not in sentence
        assert command.startswith(f"dpsync retry {asked.id[:8]} forms ")


def test_the_bounce_of_an_older_letter_does_not_take_back_the_newer(tmp_path: Path) -> None:
    with sent(tmp_path, sqlite_url(tmp_path)) as (there, asked, tag):
        comes(there, report(FAILED, envelope_id=tag))
        retried(there, asked, "new@right.example")
        comes(there, report(("failed", "4.4.7"), envelope_id=tag))
        assert is_told(there, asked)


def test_a_bounce_after_it_was_settled_is_a_bounce(tmp_path: Path) -> None:
    with sent(tmp_path, sqlite_url(tmp_path)) as (there, asked, tag):
        controller, now = there.service.controller, there.clock.now()
        there.service.write(lambda unit: decide(unit, controller, asked.id, DecisionKind.SETTLE, PERSON, now))
        comes(there, report(FAILED, envelope_id=tag))
        assert there.state(asked, "forms") is State.SETTLED
        assert not is_told(there, asked)


def test_a_reminder_that_is_refused_takes_back_what_the_first_letter_was_taken_for(tmp_path: Path) -> None:
    with sent(tmp_path, sqlite_url(tmp_path)) as (there, asked, _):
        there.sandbox.rule(there.service.controller.processors["forms"].contact, "bounce_5.1.1")
        there.drive(6 * DAY)
        assert there.state(asked, "forms") is State.ESCALATED
        assert not is_told(there, asked)


def test_a_person_records_a_bounce_that_no_machine_could_read(database_url: str, tmp_path: Path) -> None:
    with sent(tmp_path, database_url) as (there, asked, tag):
        comes(there, mail("postmaster@stratosoft.example", to=f"bounce+{tag}@example.org", body="No such user."))
        assert len(there.service.read(incoming.unread)) == 1
        assert by_hand(there, asked, AnswerKind.BOUNCED) is State.ESCALATED
        assert not is_told(there, asked)
        assert there.service.read(incoming.unread) == frozenset(), "it was read"
        assert duty(there)[1].startswith("dpsync retry")
        by_hand(there, asked, AnswerKind.REFUSED)
        assert is_told(there, asked)
        assert by_hand(there, asked, AnswerKind.BOUNCED) is State.REFUSED
        assert is_told(there, asked), "who refused has it, whatever came back"


def test_a_task_that_comes_back_is_put_right_at_our_own_operator(tmp_path: Path) -> None:
    (tmp_path / "mail" / "new").mkdir(parents=True)
    with installed(tmp_path, sqlite_url(tmp_path), processors='incoming = "mail/"\n' + NEWSLETTER, web=True) as there:
        there.sandbox.add(ADA, status="unsubscribed")
        asked = there.ask(Right.RECTIFICATION, ADA, id="crm-4711", changes={"email": "ada.new@example.org"})
        there.drive()
        assert there.state(asked) is State.HANDED_OVER
        comes(there, report(FAILED, envelope_id=tag_of(there)))
        assert there.state(asked) is State.ESCALATED
        sentence, command = duty(there)
        assert "correct `operator` in the settings" in sentence
        assert command.startswith(f"dpsync retry {asked.id[:8]} newsletter ")
        there.sound()
