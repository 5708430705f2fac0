"""Decisions by link, by the clock: questions are mailed, and whoever was asked hears how they ended."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row

from dpsync.connector_services import Mail, MailRefused, NoAnswer, Posted
from dpsync.errors import CredentialsRejected, MailHostAway
from dpsync.installation import Installation
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.model import Role
from dpsync.propagation import held, question_letters, questions
from dpsync.propagation.controller import Controller
from dpsync.propagation.correspondence import undelivered, waiting
from dpsync.propagation.points import QuestionKind, subject_of
from dpsync.propagation.question_letters import About
from dpsync.propagation.questions import Outcome
from dpsync.running.question_plans import QuestionPlans
from dpsync.store.writer import Unit

Letter = Callable[[Controller, Mail, str, Row[Any], About, datetime], Posted]


def ask(there: Installation, plans: QuestionPlans, now: datetime) -> None:
    """Close what is decided, mail what waits, tell whoever was asked what is over. Tried again every minute."""
    if there.mail is None or not there.controller.asked:
        return
    if there.read(questions.is_any_open):
        there.write(lambda unit: questions.close_what_is_decided(unit.connection, now))
    _ask_of_credentials(there, now)
    unmailed = there.read(lambda connection: questions.to_be_mailed(connection, now))
    if _all_sent(there, there.mail, unmailed, partial(_question, plans), _asked, now):
        ended = there.read(questions.to_be_told_of)
        _all_sent(there, there.mail, ended, question_letters.post_end, _told, now)


def _ask_of_credentials(there: Installation, now: datetime) -> None:
    """Plan at once what the operator is asked of an account that is stopped: nothing goes there, for nobody."""

    def is_fresh(connection: Connection) -> bool:
        if not (rejected := waiting.rejected_credentials(connection)):
            return False
        asked = {point for row in questions.not_ended(connection) for point in questions.points_of(row)}
        return not asked.issuperset(rejected)

    if there.read(is_fresh):
        there.write(
            lambda unit: questions.ask(
                unit.connection, there.controller, waiting.rejected_credentials(unit.connection), now
            )
        )


def _all_sent(
    there: Installation, mail: Mail, rows: list[Row[Any]], post: Letter, then: Callable[..., None], now: datetime
) -> bool:
    """Mail each, and note that it went. False where the mail host takes nothing just now; after an hour of that our
    operator is told, who hears of what is technical.
    """
    for row in (row for row in rows if row.role in there.controller.asked):  # the settings may have changed since
        of = there.write(partial(_about, there=there, row=row, now=now))
        try:
            post(there.controller, mail, there.address_of(Role(row.role)), row, of, now)
        except NoAnswer as failure:
            if now - row.created_at >= questions.UNMAILED_FOR:
                _tell(there, MailHostAway(failure.reason), now)
            return False
        except CredentialsRejected as refused:
            _tell(there, refused, now)
            return False
        except MailRefused:
            there.write(partial(_undeliverable, row=row, now=now))
        else:
            there.write(partial(then, row=row, now=now))
    return True


def _tell(there: Installation, refused: CredentialsRejected, now: datetime) -> None:
    there.write(partial(undelivered.tell_of_mail_host, controller=there.controller, refused=refused, now=now))


def _question(
    plans: QuestionPlans, controller: Controller, mail: Mail, to: str, row: Row[Any], of: About, now: datetime
) -> Posted:
    return question_letters.post_question(controller, mail, to, row, replace(of, plan=plans.of(row, now)), now)


def _about(unit: Unit, there: Installation, row: Row[Any], now: datetime) -> About:
    return question_letters.about(unit.connection, there.controller, row.request_id, Role(row.role), now)


def _asked(unit: Unit, row: Row[Any], now: datetime) -> None:
    """That it went, and that it did is an entry, as of every alert."""
    questions.mark(unit.connection, row, mailed_at=now)
    points = questions.points_of(row)
    subject = subject_of(points)
    cause = held.CAUSE if subject is QuestionKind.HELD else subject.value.replace(" ", "_")
    for name in sorted({point.processor for point in points if point.processor}):
        unit.append(None, entry.encode(EntryKind.ALERT, now, dest=name, cause=cause, n=1))


def _told(unit: Unit, row: Row[Any], now: datetime) -> None:
    questions.mark(unit.connection, row, ended_told_at=now)


def _undeliverable(unit: Unit, row: Row[Any], now: datetime) -> None:
    """Nobody is reached there: the alert of what is held goes by every channel, and says so each day."""
    questions.close(unit.connection, row, Outcome.UNDELIVERABLE, now)
    _told(unit, row, now)
