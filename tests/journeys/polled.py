"""An installation that looks into the outbox of a main database, and speaks to nobody else."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dpsync.installation import Installation as Opened
from dpsync.intake.polling import watching
from dpsync.intake.polling.table import SourceOutbox
from dpsync.model import Request
from dpsync.propagation import serialization
from dpsync.running.start import initialise
from dpsync.sealing import Keys
from dpsync.store import tables as t
from tests.builders import TurnableClock, as_written
from tests.gardens import GARDENS
from tests.journeys.installation import FORMS
from tests.maindatabase import MainDatabase
from tests.told import Told, told_by

SETTINGS = f"""
{GARDENS}
[store]
url = "sqlite:///dpsync.db"
{FORMS}
[sources.crm]
mapping = "MAPPING"
outbox = {{ url = {{ env = "DPSYNC_TEST_OUTBOX" }} }}
"""


class Polled:
    """`look` is what the timed job does, with a clock that only a test turns."""

    def __init__(self, service: Opened, clock: TurnableClock, main: MainDatabase) -> None:
        self.service, self.clock, self.main = service, clock, main

    def look(self) -> None:
        """Look into the outbox now; what waits there was written now."""
        self.main.dated(self.clock.now())
        self.look_again()

    def look_again(self) -> None:
        watching.poll_all(self.service, self.clock.now())

    def rows(self, table: Any) -> list[Any]:
        return self.service.read(lambda connection: list(connection.execute(as_written(table))))

    def rights(self) -> list[str]:
        """What was asked, in order."""
        return [row.right for row in self._requests()]

    def _requests(self) -> list[Any]:
        return sorted(self.rows(t.request), key=lambda row: row.ordinal)

    def asked(self) -> list[Request]:
        """The requests as they were sealed, in order."""
        found, keys = self._requests(), self.service.keys
        return [
            serialization.from_bytes(
                keys.unwrap(row.wrapped_key, row.id, row.key_month).open(row.sealed, row.id.encode())
            )
            for row in found
        ]

    def told(self) -> list[Told]:
        return told_by(self.service.read)

    def outbox(self) -> SourceOutbox:
        section = self.service.settings.sources["crm"].outbox
        assert section is not None
        return SourceOutbox("crm", section)


@contextmanager
def polled(folder: Path, template: Path, main: MainDatabase, mapping: str = "outbox") -> Iterator[Polled]:
    config, clock = folder / "dpsync.toml", TurnableClock()
    config.write_text(SETTINGS.replace("MAPPING", mapping), encoding="utf-8")
    shutil.copy(template, folder / "dpsync.db")
    Keys.create(folder / "keys")
    with Opened(config, {"DPSYNC_TEST_OUTBOX": main.url}, clock=clock) as service:
        initialise(service)
        yield Polled(service, clock, main)
