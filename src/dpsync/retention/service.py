"""Private conversations in an installation at work: its timed jobs, and what stands behind the link of a work list."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import datetime, timedelta
from datetime import time as time_of_day
from functools import partial
from typing import Protocol, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from dpsync.connector_services import Mail, MailRefused
from dpsync.errors import CredentialsRejected
from dpsync.model import Retention
from dpsync.propagation.controller import Controller
from dpsync.propagation.correspondence.undelivered import tell_of_mail_host, tell_of_worklist
from dpsync.retention import acts, mailing, worklist
from dpsync.retention.conversations import By
from dpsync.retention.worklist import WorkListPage
from dpsync.scheduler import Job, every, weekly
from dpsync.store.writer import Unit, Writer

LISTED_AT = time_of_day(8, 0)
LIST_JOB, RETENTION_JOB = "worklist:", "retention"
"""What the jobs are called: a work list a processor, and what is owed of them all."""


T = TypeVar("T")


class Lent(Protocol):
    """What an installation lends to this room."""

    zone: ZoneInfo
    writer: Writer

    @property
    def controller(self) -> Controller:
        """On whose behalf, and with which processors."""

    @property
    def mail(self) -> Mail | None:
        """The controller's own mail host."""

    def read(self, work: Callable[[Connection], T]) -> T:
        """Read in one moment's view of the store."""

    def write(self, work: Callable[[Unit], T]) -> T:
        """Write in a transaction; returns after its commit."""


class Retaining:
    """For every processor that keeps private conversations and has a rule for them."""

    def __init__(self, service: Lent) -> None:
        self._service = service

    @property
    def _rules(self) -> Mapping[str, Retention]:
        processors = self._service.controller.processors
        return {name: one.retention for name, one in processors.items() if one.retention is not None}

    def jobs(self) -> list[Job]:
        """A work list a week for each, and each hour what is owed of them; none where there is no rule."""
        zone = self._service.zone
        lists = [
            Job(f"{LIST_JOB}{name}", weekly(rule.weekday, LISTED_AT, zone), partial(self._list, name))
            for name, rule in self._rules.items()
        ]
        return [*lists, Job(RETENTION_JOB, every(timedelta(hours=1)), self._tend)] if lists else []

    def _list(self, name: str, now: datetime) -> None:
        service = self._service
        service.write(lambda unit: worklist.make_list(unit, service.controller, name, now))
        self._post(now)

    def _tend(self, now: datetime) -> None:
        service = self._service
        service.write(lambda unit: worklist.tend(unit, service.controller, now))
        self._post(now)

    def _post(self, now: datetime) -> None:
        """Mail the lists that wait. A crash after the mail host took one sends the same letter again."""
        service = self._service
        mail = service.mail
        if mail is None:
            return
        for one in service.read(lambda connection: mailing.planned(connection, service.controller, now)):
            try:
                status = mailing.post(mail, one)
            except MailRefused:
                # kept, and tried again: the settings may be put right
                service.write(partial(tell_of_worklist, controller=service.controller, name=one.processor, now=now))
                continue
            except CredentialsRejected as refused:
                service.write(partial(tell_of_mail_host, controller=service.controller, refused=refused, now=now))
                return
            if status is not None:
                service.write(
                    partial(mailing.mark_posted, controller=service.controller, one=one, status=status, now=now)
                )

    # --- the page

    def page(self, token: str, now: datetime) -> WorkListPage | None:
        """What a link shows; None where it is of no work list, or too old."""
        service = self._service
        return service.read(lambda connection: worklist.page_of(connection, service.controller, token, now))

    def attest(
        self, token: str, references: frozenset[str] | None, name: str, remark: str, peer: str, now: datetime
    ) -> "Future[int]":
        """Keep what the holder of a link said, after the commit."""
        service, by = self._service, By(name, reason=remark, peer=peer)
        return service.writer.submit(
            lambda unit: acts.attest_by_link(unit, service.controller, token, references, by, now)
        )
