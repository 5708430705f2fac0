"""Private conversations in an installation at work: its timed jobs, and what webhooks and links about them lead to."""

from collections.abc import Iterable
from concurrent.futures import Future
from datetime import datetime, timedelta
from datetime import time as time_of_day
from functools import partial

from dpsync.connector import Conversation
from dpsync.connector_services import MailRefused
from dpsync.errors import CredentialsRejected
from dpsync.installation import Installation
from dpsync.propagation.correspondence.undelivered import tell_of_mail_host, tell_of_worklist
from dpsync.propagation.decisions import Person
from dpsync.retention import acts, mailing, worklist
from dpsync.retention.worklist import WorkListPage
from dpsync.scheduler import Job, every, weekly

LISTED_AT = time_of_day(8, 0)
LIST_JOB, RETENTION_JOB = "worklist:", "retention"
"""What the jobs are called: a work list a processor, and what is owed of them all."""


def jobs_of(there: Installation) -> list[Job]:
    """A work list a week for each processor with a rule, and each hour what is owed of them; none without a rule."""
    rules = {name: one.retention for name, one in there.controller.processors.items() if one.retention is not None}
    lists = [
        Job(f"{LIST_JOB}{name}", weekly(rule.weekday, LISTED_AT, there.zone), partial(_list, there, name))
        for name, rule in rules.items()
    ]
    return [*lists, Job(RETENTION_JOB, every(timedelta(hours=1)), partial(_tend, there))] if lists else []


def _list(there: Installation, name: str, now: datetime) -> None:
    there.write(lambda unit: worklist.make_list(unit, there.controller, name, now))
    _post(there, now)


def _tend(there: Installation, now: datetime) -> None:
    there.write(lambda unit: worklist.tend(unit, there.controller, now))
    _post(there, now)


def _post(there: Installation, now: datetime) -> None:
    """Mail the lists that wait. A crash after the mail host took one sends the same letter again."""
    mail, controller = there.mail, there.controller
    if mail is None:
        return
    for one in there.read(lambda connection: mailing.planned(connection, controller, now)):
        try:
            status = mailing.post(mail, one)
        except MailRefused:
            # kept, and tried again: the settings may be put right
            there.write(partial(tell_of_worklist, controller=controller, name=one.processor, now=now))
            continue
        except CredentialsRejected as refused:
            there.write(partial(tell_of_mail_host, controller=controller, refused=refused, now=now))
            return
        if status is not None:
            there.write(partial(mailing.mark_posted, controller=controller, one=one, status=status, now=now))


class Conversations:
    """What is said of private conversations from outside: by a processor's webhook, and by the link of a work list."""

    def __init__(self, there: Installation) -> None:
        self._there = there

    def note(self, processor: str, seen: Iterable[Conversation], now: datetime) -> None:
        """Keep what a webhook tells of; returns after the commit."""
        there = self._there
        there.write(lambda unit: acts.note(unit, there.controller, processor, seen, now))

    def page(self, token: str, now: datetime) -> WorkListPage | None:
        """What a link shows; None where it is of no work list, or too old."""
        there = self._there
        return there.read(lambda connection: worklist.page_of(connection, there.controller, token, now))

    def attest(
        self, token: str, references: frozenset[str] | None, name: str, remark: str, peer: str, now: datetime
    ) -> "Future[int]":
        """Keep that rows of a work list are deleted (None: all); resolves after the commit, with how many are new.

        Raises (in the future) `NotFound` for a link that leads nowhere.
        """
        controller, person = self._there.controller, Person(name, "", remark)
        return self._there.writer.submit(
            lambda unit: acts.attest_by_link(unit, controller, token, references, person, peer, now)
        )
