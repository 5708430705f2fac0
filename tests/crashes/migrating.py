"""Run as a program: an upgrade of a stored database, whose process dies by SIGKILL at a given moment of it."""

import os
import signal
import sys

from sqlalchemy import event

from dpsync.store.database import open_database
from dpsync.store.schema import migrate


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(url: str, moment: str) -> None:
    engine = open_database(url)

    def asked(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE alembic_version"):
            die()

    def audited(what: str, arguments: tuple[object, ...]) -> None:
        # The copy is whole, and does not have its name yet.
        if what == "os.rename" and str(arguments[1]).endswith(".schema-0001"):
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
    main(sys.argv[1], sys.argv[2])
