"""An installation that compares a main database's list of people with what was asked of it, and speaks to nobody."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from dpsync.installation import Installation as Opened
from dpsync.intake.payload import parse
from dpsync.intake.reconciliation import findings
from dpsync.intake.reconciliation.comparison import ListComparison
from dpsync.intake.reconciliation.daily import reconcile_all, reconciliation_of
from dpsync.intake.reconciliation.findings import OpenFinding
from dpsync.model import Cause, Request, Right
from dpsync.propagation import serialization
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.reports.reconciled import SourceStanding, standings
from dpsync.running.start import initialise
from dpsync.sealing import Keys
from dpsync.store import tables as t
from dpsync.store.reconciling_tables import source_finding
from dpsync.store.writer import Unit
from tests.builders import TurnableClock, as_written
from tests.gardens import GARDENS
from tests.journeys.installation import FORMS, receive
from tests.maindatabase import MainDatabase
from tests.told import Told, told_by

DANA = Person("Dana Officer", "dana", "seen in the app")
QUERY = "SELECT id, emails, opted_out, erased, deleted, restricted, merged_into, version, changed_at FROM people"
TABLE = """CREATE TABLE people (id INTEGER PRIMARY KEY, emails VARCHAR(254), opted_out BOOLEAN NOT NULL DEFAULT FALSE,
erased BOOLEAN NOT NULL DEFAULT FALSE, deleted BOOLEAN NOT NULL DEFAULT FALSE,
restricted BOOLEAN NOT NULL DEFAULT FALSE, merged_into INTEGER, version INTEGER, changed_at VARCHAR(40))"""
SETTINGS = f"""
{GARDENS}
[store]
url = "sqlite:///dpsync.db"
{FORMS}
[sources.crm]
mapping = "outbox"
scheme = "github"
secrets = [{{ env = "DPSYNC_TEST_CRM" }}]
reconcile = {{ url = {{ env = "DPSYNC_TEST_MAIN" }}, query = "QUERY", most = 50 }}
"""


class Reconciled:
    """`compare` is what the timed job does for this source, with a clock that only a test turns."""

    def __init__(self, service: Opened, clock: TurnableClock, main: MainDatabase) -> None:
        self.service, self.clock, self.main = service, clock, main
        self._asked = 0

    def ask(self, right: Right, own_id: int | None, *emails: str, **more: Any) -> str:
        """Let in what a message of the main database asks for."""
        self._asked += 1
        named = {"id": own_id and f"crm:{own_id}", "email": emails[0] if emails else None}
        subject: dict[str, Any] = {**named, "other_emails": list(emails[1:])}
        body = {"type": "data_subject.request", "data": {"right": right.value, "subject": subject, **more}}
        return self.take(body, f"evt-{self._asked}")

    def take(self, body: dict[str, Any], event: str, source: str = "crm") -> str:
        content = json.dumps(body).encode()
        request = parse(content, source=source, event_id=event, now=self.clock.now())
        return receive(self.service, request, content).request_id

    def decide(self, request_id: str, kind: DecisionKind) -> None:
        """A person decides about all of a request."""

        def work(unit: Unit) -> None:
            some = frozenset(Cause)
            decide(unit, self.service.controller, request_id, kind, DANA, self.clock.now(), causes=some)

        self.service.write(work)

    def compare(self, *, dry: bool = False, released: int | None = None) -> ListComparison:
        return reconciliation_of(self.service, "crm", released).run(self.clock.now(), dry=dry)

    def run_job(self) -> None:
        reconcile_all(self.service, self.clock.now())

    def rows(self, table: Any) -> list[Any]:
        return self.service.read(lambda connection: list(connection.execute(as_written(table))))

    def requests(self) -> list[Any]:
        return sorted(self.rows(t.request), key=lambda row: row.ordinal)

    def asked(self) -> list[Request]:
        """The requests as they were sealed, in order."""
        keys = self.service.keys
        return [
            serialization.from_bytes(
                keys.unwrap(row.wrapped_key, row.id, row.key_month).open(row.sealed, row.id.encode())
            )
            for row in self.requests()
        ]

    def waiting(self) -> list[OpenFinding]:
        """The open differences as people see them."""
        return self.service.read(lambda connection: findings.waiting(connection, self.service.keys, ["crm"]))

    def leave(self, marked: str) -> bool:
        """A person says that one may stay."""
        return self.service.write(lambda unit: findings.leave(unit, self.service.keys, marked, DANA, self.clock.now()))

    def findings(self) -> list[tuple[str, str]]:
        """Those that are open."""
        return sorted((row.kind, row.right) for row in self.rows(source_finding) if row.closed_at is None)

    def standing(self) -> SourceStanding:
        return self.service.read(standings)["crm"]

    def told(self) -> list[Told]:
        return told_by(self.service.read)


@contextmanager
def reconciled(folder: Path, template: Path, main: MainDatabase, query: str = QUERY) -> Iterator[Reconciled]:
    config, clock = folder / "dpsync.toml", TurnableClock()
    config.write_text(SETTINGS.replace("QUERY", query), encoding="utf-8")
    shutil.copy(template, folder / "dpsync.db")
    Keys.create(folder / "keys")
    environ = {"DPSYNC_TEST_MAIN": main.url, "DPSYNC_TEST_CRM": "0123456789abcdef0123456789abcdef"}
    with Opened(config, environ, clock=clock) as service:
        initialise(service)
        yield Reconciled(service, clock, main)


def address(own_id: int) -> str:
    return f"p{own_id}@example.org"


def ask_before(there: Reconciled) -> None:
    """What messages asked for three days before the lists are compared."""
    there.ask(Right.OPT_OUT, 2, address(2))
    there.ask(Right.RECTIFICATION, 3, "old3@example.org", changes={"email": "p3@example.org"})
    for own_id in (4, 6, 10):
        there.ask(Right.OPT_OUT, own_id, address(own_id))
    erased = there.ask(Right.ERASURE, 5, address(5))
    for kind in (DecisionKind.RELEASE, DecisionKind.SETTLE):
        there.decide(erased, kind)
    there.clock.advance(timedelta(days=3))
