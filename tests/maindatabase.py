"""A main database with an outbox: a real MariaDB, PostgreSQL or SQLite, and dpsync's login there."""

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from dpsync.intake.sources import reading
from tests.waiting import until

PERSON = """CREATE TABLE person (id INTEGER PRIMARY KEY, email VARCHAR(254), name VARCHAR(100),
do_not_email BOOLEAN NOT NULL DEFAULT FALSE, restricted BOOLEAN NOT NULL DEFAULT FALSE, erased_at TIMESTAMP NULL)"""
PASSWORD = "invented-for-the-outbox"


@dataclass(frozen=True)
class MainDatabase:
    """`admin` may do all; `url` is what dpsync gets, with a login that may do no more than the SQL says."""

    kind: str
    admin: Engine
    url: str

    @property
    def login(self) -> str:
        """What dpsync is called there, as a grant names it."""
        return "'dpsync'@'localhost'" if self.kind == "mysql" else f"{make_url(self.url).username}"

    def run(self, *statements: str, **values: object) -> None:
        """Change something, as the program does that owns it: each statement a transaction."""
        for statement in statements:
            with self.admin.begin() as connection:
                connection.execute(text(statement), values)

    def apply(self, sql: str) -> None:
        """Run a whole file, as an administrator does, and the grant that stands in it as a comment."""
        if self.kind == "sqlite":
            with closing(sqlite3.connect(make_url(self.url).database or "")) as file:
                file.executescript(sql)
            return
        grants = [line.removeprefix("--   ") for line in sql.splitlines() if line.startswith("--   GRANT")]
        parts = [sql] if self.kind == "postgresql" else _statements(sql)
        connection = self.admin.raw_connection()
        for part in [*parts, *grants]:
            told = part.replace("dpsync.example.org", "localhost").replace(" TO dpsync;", f" TO {self.login};")
            connection.cursor().execute(told)
        connection.commit()
        connection.close()

    def outbox(self) -> list[Any]:
        with self.admin.connect() as connection:
            return list(connection.execute(text("SELECT * FROM dpsync_outbox ORDER BY id")))

    def states(self) -> list[str]:
        return [row.state for row in self.outbox()]

    def dated(self, now: datetime) -> None:
        """Let all that waits have been written at that moment: the clock of a test is not the server's."""
        told = now.replace(tzinfo=None) if self.kind == "mysql" else now.isoformat()
        self.run("UPDATE dpsync_outbox SET made_at = :told WHERE state = 'new'", told=told)


def _statements(sql: str) -> list[str]:
    code = "\n".join(line.partition("-- ")[0] for line in sql.splitlines())
    return [part for part in code.split(";\n") if part.strip()]


def with_people(main: MainDatabase) -> MainDatabase:
    """With a table of people, and the outbox that the ready-made SQL makes for it."""
    main.run(PERSON)
    main.apply(reading.sql_of("outbox")[main.kind])
    return main


@contextmanager
def sqlite_main(folder: Path) -> Iterator[MainDatabase]:
    path = folder / "main.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    yield MainDatabase("sqlite", engine, f"sqlite:///{path}")
    engine.dispose()


@contextmanager
def postgresql_main(url: str) -> Iterator[MainDatabase]:
    name = role = f"{make_url(url).database}_main"  # a role is one of all databases of a server
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"DROP ROLE IF EXISTS {role}"))
        connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    there = make_url(url).set(database=name)
    engine = create_engine(there)
    try:
        limited = there.set(username=role, password=PASSWORD, drivername="postgresql")
        yield MainDatabase("postgresql", engine, limited.render_as_string(hide_password=False))
    finally:
        engine.dispose()
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
            connection.execute(text(f"DROP ROLE {role}"))
        server.dispose()


class MariaDb:
    """A server of its own, on a socket in its folder. It can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "s"
        self._process: subprocess.Popen[bytes] | None = None

    def install(self) -> None:
        command = ["mariadb-install-db", "--no-defaults", f"--datadir={self._folder / 'data'}", "--user=root"]
        command += ["--auth-root-authentication-method=normal"]
        subprocess.run(command, check=True, capture_output=True, timeout=120)

    def start(self) -> None:
        # Nothing of it has to outlive a power cut, and nobody reaches it but by its socket.
        few = ["--innodb-buffer-pool-size=8M", "--innodb-flush-log-at-trx-commit=0", "--skip-networking"]
        command = ["mariadbd", "--no-defaults", "--user=root", f"--datadir={self._folder / 'data'}", *few]
        command += [f"--socket={self._socket}", f"--pid-file={self._folder / 'pid'}"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self._answers)

    def _answers(self) -> bool:
        ping = ["mariadb-admin", "--no-defaults", f"--socket={self._socket}", "-uroot", "ping"]
        return subprocess.run(ping, capture_output=True, check=False, timeout=30).returncode == 0

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def url(self, user: str, database: str) -> str:
        return f"mysql+pymysql://{user}@localhost/{database}?unix_socket={self._socket}"

    @contextmanager
    def main(self) -> Iterator[MainDatabase]:
        """An empty database on it, and a login without any right there yet."""
        server = create_engine(self.url("root", ""), isolation_level="AUTOCOMMIT")
        with server.connect() as connection:
            connection.execute(text("DROP DATABASE IF EXISTS main"))
            connection.execute(text("CREATE DATABASE main CHARACTER SET utf8mb4"))
            connection.execute(text("DROP USER IF EXISTS 'dpsync'@'localhost'"))
            connection.execute(text(f"CREATE USER 'dpsync'@'localhost' IDENTIFIED BY '{PASSWORD}'"))
        server.dispose()
        engine = create_engine(self.url("root", "main"))
        yield MainDatabase("mysql", engine, self.url(f"dpsync:{PASSWORD}", "main"))
        engine.dispose()


@contextmanager
def mariadb(folder: Path) -> Iterator[MariaDb]:
    """A server of MariaDB, started. `folder` is short: a socket's path may have 107 signs at most."""
    made = MariaDb(folder)
    try:
        made.install()
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)
