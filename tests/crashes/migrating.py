"""Run as a program: upgrades of stored databases, each in a fork that dies by SIGKILL at a given moment of it."""

import os
import signal
import sys

from sqlalchemy import event

from dpsync.store.database import open_database
from dpsync.store.schema import migrate
from tests.crashes.forking import serve_forks


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def upgrade(moment: str, url: str) -> None:
    engine = open_database(url)

    def asked(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE alembic_version"):
            die()

    def audited(what: str, arguments: tuple[object, ...]) -> None:
        # The copy is whole, and does not have its name yet.
        if what == "os.rename" and ".schema-" in str(arguments[1]):
            die()

    match moment:
        case "copied":
            sys.addaudithook(audited)
        case "changed":
            event.listen(engine, "before_cursor_execute", asked)
        case "committing":
            event.listen(engine, "commit", lambda _: die())
    migrate(engine, backed_up=True)


if __name__ == "__main__":
    serve_forks(upgrade)
