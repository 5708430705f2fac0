"""What was said falls with who said it, why something waits is not said over, what was told once is never exempt."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dpsync.model import ExemptionCode, Rung, State
from dpsync.propagation.commitments import Author
from dpsync.propagation.correspondence.acknowledgement import answer_by_hand
from dpsync.propagation.decisions import Decided, Person, decide
from dpsync.propagation.rules.lifecycle import AnswerKind, DecisionKind
from dpsync.reports.make import month_report
from dpsync.store import tables as t
from tests.journeys.installation import FORMS, Asked, Installation, installed
from tests.journeys.test_delivery_report import DELIVERED, FAILED, comes, tag_of
from tests.journeys.test_letters import ask, confirmed
from tests.returned import report

AGAINST = [AnswerKind.REFUSED, AnswerKind.PARTLY, AnswerKind.WRONG_RECIPIENT]
PAT, DANA = Author("Olli Operator", "by telephone, with Pat Desk"), Person("Dana Officer", "root", "we spoke")


@contextmanager
def told(folder: Path, database_url: str, more: str = "") -> Iterator[tuple[Installation, Asked]]:
    """An installation that has written to its processor, and the request."""
    (folder / "mail" / "new").mkdir(parents=True)
    with installed(folder, database_url, processors='incoming = "mail/"\n' + FORMS + more, web=True) as there:
        confirmed(there)
        asked = ask(there)
        there.drive()
        yield there, asked


def says(there: Installation, asked: Asked, kind: AnswerKind) -> State:
    controller, now = there.service.controller, there.clock.now()
    return there.service.write(lambda unit: answer_by_hand(unit, controller, asked.id, "forms", kind, PAT, "olli", now))


def decided(there: Installation, asked: Asked, kind: DecisionKind, code: ExemptionCode | None = None) -> Decided:
    controller, now = there.service.controller, there.clock.now()
    (one,) = there.service.write(lambda unit: decide(unit, controller, asked.id, kind, DANA, now, code=code))
    return one


def returns(there: Installation, *verdicts: tuple[str, str]) -> None:
    for verdict in verdicts:
        comes(there, report(verdict, to=f"bounce+{tag_of(there)}@example.org"))


def duty(there: Installation) -> str:
    (found,) = month_report(there.service, there.clock.now()).duties
    return found.sentence


def test_a_delivery_that_is_told_after_the_bounce_leaves_why_it_waits(database_url: str, tmp_path: Path) -> None:
    with told(tmp_path, database_url) as (there, asked):
        returns(there, FAILED)
        before = there.row(asked, "forms").reason, duty(there)
        assert before[0] == "not delivered (5.1.1: no such mailbox)"
        returns(there, DELIVERED)
        assert (there.row(asked, "forms").reason, duty(there)) == before
        assert there.row(asked, "forms").told_at is None
        assert says(there, asked, AnswerKind.RECEIVED) is State.ESCALATED
        assert there.row(asked, "forms").told_at is not None
        assert duty(there).startswith("Speak with"), "a person has it: no letter need be sent again"
        there.sound()


@pytest.mark.no_database
@pytest.mark.parametrize("kind", AGAINST)
def test_what_is_taken_back_by_telephone_waits_for_a_person_and_can_be_tried_again(
    kind: AnswerKind, database_url: str, tmp_path: Path
) -> None:
    with told(tmp_path, database_url) as (there, asked):
        assert says(there, asked, AnswerKind.DONE) is State.DECLARED_DONE
        assert says(there, asked, kind) is State.ESCALATED
        assert there.alerts() == [("dpo", "taken_back")]
        row = there.row(asked, "forms")
        assert row.rung == Rung.CONFIRMED
        assert (row.told_at is None) is (kind is AnswerKind.WRONG_RECIPIENT)
        assert [one.kind for one in there.rows(t.answer)] == ["done", kind.value]
        if kind is AnswerKind.WRONG_RECIPIENT:
            assert row.reason == "not delivered (they said that it was done, and later: wrong recipient)"
            assert "Correct its `contact` in the settings and restart" in duty(there)
            assert "Speak with" not in duty(there), "nobody there was told"
        else:
            assert row.reason == "they said that it was done, and later took that back"
            assert "took that back" in duty(there)
        there.sound()
        assert decided(there, asked, DecisionKind.RETRY).state is State.PENDING
        assert says_done_again(there, asked) is State.DECLARED_DONE
        there.sound()


def says_done_again(there: Installation, asked: Asked) -> State:
    there.drive()
    return says(there, asked, AnswerKind.DONE)


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_letter_that_came_back_after_an_answer_by_telephone_is_told_and_changes_nothing(
    by_hand: bool, database_url: str, tmp_path: Path
) -> None:
    with told(tmp_path, database_url) as (there, asked):
        assert says(there, asked, AnswerKind.NOTHING_HELD) is State.DECLARED_NOTHING_HELD
        if by_hand:
            says(there, asked, AnswerKind.BOUNCED)
        else:
            returns(there, FAILED)
        assert there.state(asked, "forms") is State.DECLARED_NOTHING_HELD
        assert there.row(asked, "forms").told_at is not None
        assert there.alerts() == [("operator", "letter_lost")]
        there.sound()


@pytest.mark.no_database
def test_a_controller_that_refused_is_never_exempt_though_it_named_another_desk(
    database_url: str, tmp_path: Path
) -> None:
    with told(tmp_path, database_url, 'kind = "controller"\n') as (there, asked):
        assert says(there, asked, AnswerKind.REFUSED) is State.REFUSED
        assert says(there, asked, AnswerKind.WRONG_RECIPIENT) is State.ESCALATED
        assert there.row(asked, "forms").told_at is None
        refused = decided(there, asked, DecisionKind.EXEMPT, ExemptionCode.IMPOSSIBLE)
        assert "dpsync settle" in refused.refused
        assert there.state(asked, "forms") is State.ESCALATED
        there.sound()
