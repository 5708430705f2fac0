"""Databases that a test makes for itself, besides the one that its run has."""

import json
import os
import shutil
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from dpsync.store.database import open_database
from dpsync.store.schema import migrate
from tests.waiting import until


def lay_out(url: str) -> None:
    """Make the tables of a SQLite file that is not there yet: a copy, because all migrations one by one took a fifth
    of a test.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database and not Path(parsed.database).exists():
        Path(parsed.database).write_bytes(_empty())


@cache
def _empty() -> bytes:
    with TemporaryDirectory() as folder, new_database("sqlite://", Path(folder)) as engine:
        migrate(engine)
        engine.dispose()
        return (Path(folder) / "new.db").read_bytes()


@contextmanager
def new_database(url: str, folder: Path) -> Iterator[Engine]:
    """An empty database on the same engine as `url`."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        with closing(f"sqlite:///{folder / 'new.db'}") as engine:
            yield engine
        return
    name = f"{parsed.database}_new"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name}"))
        try:
            with closing(parsed.set(database=name).render_as_string(hide_password=False)) as engine:
                yield engine
        finally:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@contextmanager
def new_schema(url: str, folder: Path) -> Iterator[Engine]:
    """The same within the database of `url`, in a schema of its own: a twentieth of what a database costs a server."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        with closing(f"sqlite:///{folder / 'new.db'}") as engine:
            yield engine
        return
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("DROP SCHEMA IF EXISTS a_new_one CASCADE"))
        connection.execute(text("CREATE SCHEMA a_new_one"))
        place = parsed.update_query_dict({"options": "-csearch_path=a_new_one"})
        with closing(place.render_as_string(hide_password=False)) as engine:
            yield engine
        connection.execute(text("DROP SCHEMA a_new_one CASCADE"))
    admin.dispose()


@contextmanager
def closing(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    try:
        yield engine
    finally:
        engine.dispose()


def end_what_was_left(homes: Iterable[Path]) -> None:
    """End each server of tests whose processes were all killed, and remove its folder: nothing else ever would."""
    for home in homes:
        pg = home / "pg"
        with suppress(OSError, ValueError):
            if any(map(called_by, json.loads((pg / ".handle_pids.json").read_text(encoding="utf-8")))):
                continue
            server = int((pg / "postmaster.pid").read_text(encoding="utf-8").split()[0])
            if str(pg) in called_by(server):  # another process may have that number by now
                _end(server)
            shutil.rmtree(home)


def _end(server: int) -> None:
    os.kill(server, signal.SIGQUIT)  # its "immediate" shutdown
    until(lambda: not called_by(server))


def called_by(process: int) -> list[str]:
    """The words of its command line; none of a process that ended."""
    place = Path("/proc", str(process), "cmdline")
    return place.read_text(encoding="utf-8").split("\0")[:-1] if place.exists() else []
