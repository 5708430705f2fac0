"""A main database, and an installation that tells it what became of its requests and calls nobody else."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dpsync.installation import Installation as Opened
from dpsync.intake.payload import Withdrawal, parse
from dpsync.model import Right
from dpsync.running import callbacks
from dpsync.running.start import initialise, start
from dpsync.sandbox.main_database import MainDatabase, MessageIn, running_main_database
from dpsync.sealing import Keys
from dpsync.store.callback_tables import callback
from tests.builders import TurnableClock, as_written
from tests.gardens import GARDENS
from tests.journeys.installation import SECRET, receive, reword
from tests.told import told_by

ADA, BEN, CEM = "ada@example.org", "ben@example.org", "cem@example.org"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OTHER = "whsec_" + "b3RoZXItc2VjcmV0LW9mLTMyLWJ5dGVzLWZvci10ZXN0cw=="
ENVIRON = {"DPSYNC_TEST_SECRET": SECRET, "DPSYNC_TEST_OTHER": OTHER, "PATH": os.environ["PATH"]}
SOURCE = """
[sources.crm]
mapping = "supabase"
scheme = "standard-webhooks"
secrets = [{ env = "DPSYNC_TEST_SECRET" }]
callback = { url = "URL", private_host = "127.0.0.1", secrets = [{ env = "DPSYNC_TEST_SECRET" }] }
"""
FORMS = """
[processors.forms]
connector = "notice"
contact = "privacy@stratosoft.example"
"""


@dataclass
class Place:
    """A main database, and an installation whose one processor has no interface: nothing else is called."""

    folder: Path
    crm: MainDatabase
    clock: TurnableClock
    environ: dict[str, str]
    service: Opened
    asked: int = 0

    def withdraw(self, *addresses: str, source: str = "crm") -> list[str]:
        """Ask for an opt-out of each, and withdraw it at once: so it is closed. Gives the ids of the requests."""
        found = []
        for address in addresses:
            found.append(self.ask(address, source))
            back = Withdrawal(source=source, event_id=f"back-{self.asked}", request_id=found[-1])
            receive(self.service, back, b"back")
        return found

    def ask(self, address: str, source: str = "crm", right: Right = Right.OPT_OUT) -> str:
        """Gives the id of the request."""
        self.asked += 1
        data = {"right": right.value, "subject": {"id": f"crm:{self.asked}", "email": address}}
        body = json.dumps({"type": "data_subject.request", "data": data}).encode()
        asked = parse(body, source=source, event_id=f"evt-{self.asked}", now=self.clock.now())
        return receive(self.service, asked, body).request_id

    def send(self, after: timedelta = timedelta(0), longest: float = callbacks.LONGEST) -> list[MessageIn]:
        """Turn the clock and send. Gives what was heard."""
        self.clock.advance(after)
        before = len(self.crm.heard)
        callbacks.send_due(self.service, self.clock.now(), longest=longest)
        return self.crm.heard[before:]

    def rows(self, table: Any = callback) -> list[Any]:
        return self.service.read(lambda connection: list(connection.execute(as_written(table))))

    def causes(self) -> list[str]:
        return [one.cause for one in told_by(self.service.read) if one.cause.startswith("callback")]

    def again(self, *changes: tuple[str, str]) -> None:
        """Begin anew, with each second text in the settings in place of the first."""
        self.service.close()
        config = self.folder / "dpsync.toml"
        reword(config, *changes)
        self.service = Opened(config, self.environ, clock=self.clock)


def begin(folder: Path) -> Path:
    """The folder of an installation that has just begun: made once, copied for each test."""
    settings = GARDENS + FORMS + SOURCE.replace("URL", "http://127.0.0.1:9")
    (folder / "dpsync.toml").write_text(settings, encoding="utf-8")
    Keys.create(folder / "keys")
    with Opened(folder / "dpsync.toml", ENVIRON, clock=TurnableClock(datetime.now(UTC) - HOUR)) as there:
        initialise(there)
        start(there)
    return folder


@contextmanager
def place_in(folder: Path, begun: Path) -> Iterator[Place]:
    clock = TurnableClock(datetime.now(UTC).replace(microsecond=0))  # the public library knows only the machine's
    shutil.copytree(begun, folder, dirs_exist_ok=True)
    with running_main_database(now=lambda: clock.now().timestamp()) as crm:
        made = Place(folder, crm, clock, dict(ENVIRON), Opened(folder / "dpsync.toml", ENVIRON, clock=clock))
        made.again(("http://127.0.0.1:9", crm.url))
        yield made
        made.service.close()
