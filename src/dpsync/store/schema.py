"""The schema's version: what a database has, what this program needs, and the way from the one to the other.

A program that starts never changes the schema by itself: a version that was put in place by mistake could not be taken
back. `dpsync init` migrates, after the copy that leads back.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection, Engine, func, inspect, select, table, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from dpsync import durable
from dpsync.errors import Locked, StoreEmpty, StoreProblem
from dpsync.store import copying
from dpsync.store.columns import EPOCH
from dpsync.store.database import database_now, reading, schema_of, worker_lock, writing
from dpsync.store.trouble import RESTORE, trouble

SCHEMA = "0015"
"""The newest migration: what this program works with."""
_BACKED_UP = "back the database up (pg_dump), and say so: `dpsync init --backed-up` migrates it"
A_BEAT = timedelta(minutes=1)
"""A sign of life that holds for longer was given by a clock that was ahead."""
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Migration:
    """What `migrate` did: from which version, None where there was nothing; `copy`: the database as it was before."""

    was: str | None
    copy: Path | None = None


def schema_version(engine: Engine) -> str | None:
    """The version the database has; None where it is empty, or not there yet.

    Raises `StoreEmpty` where the URL names no PostgreSQL schema and another one than `public` has the tables: a second
    ledger would be begun beside the first.
    """
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").exists():
        return None  # asking would make it
    with reading(engine) as connection:
        found = _version(connection)
        if found is None and engine.dialect.name == "postgresql" and "options" not in engine.url.query:
            empty = _none_in_schema(connection, engine.url)
            if empty.elsewhere:
                raise empty
        return found


def _version(connection: Connection) -> str | None:
    there, found = inspect(connection), None
    if there.has_table("alembic_version"):
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    if found is None and there.has_table("entry"):
        raise StoreProblem(
            "the database has a ledger, and nothing that says of which version (`alembic_version`): somebody wrote "
            f"there by hand, or the database is damaged. Keep a copy; then {RESTORE}"
        )
    return found


def nothing_there(engine: Engine) -> StoreEmpty:
    """What is to be said of a place that has no tables: where was looked, and what is there instead."""
    if engine.dialect.name == "postgresql":
        with reading(engine) as connection:
            return _none_in_schema(connection, engine.url)
    return none_in_file(Path(engine.url.database or ""))


def none_in_file(path: Path) -> StoreEmpty:
    """The same of a SQLite file, which need not be there."""
    seen = f"{path} is a database without any table" if path.exists() else f"there is no database {path}"
    return StoreEmpty(seen, INIT)


INIT = "`dpsync init` makes it, or another name is to stand in [store] url"
_PLACES = "SELECT schemaname FROM pg_tables WHERE tablename = :table AND schemaname <> :schema"


def _none_in_schema(connection: Connection, url: URL) -> StoreEmpty:
    schema = schema_of(url)
    both = (
        connection.execute(text(_PLACES), {"table": name, "schema": schema}).scalars().all()
        for name in ("alembic_version", "checkpoint")
    )
    places = sorted(set.intersection(*map(set, both)))
    there = connection.execute(text("SELECT 1 FROM pg_namespace WHERE nspname = :name"), {"name": schema}).first()
    seen = f"the PostgreSQL database {url.database} has no " + (
        f"table of dpsync in the schema {schema}"
        if there
        else f"schema {schema}, in which [store] url lets dpsync look"
    )
    if not places:
        return StoreEmpty(
            seen, INIT if there else "create it (CREATE SCHEMA), or put the right name there (search_path)"
        )
    way = (
        "take `options` out of [store] url"
        if places[0] == "public"
        else f"say so in [store] url, postgresql://...?options=-csearch_path%3D{places[0]}"
    )
    return StoreEmpty(seen, f"they are in the schema {places[0]}; {way}", elsewhere=True)


def demand_current_schema(engine: Engine) -> None:
    """Refuse to go on with a database that is damaged or of another version. Raises `StoreProblem`; `StoreEmpty` where
    there are no tables.
    """
    try:
        has = schema_version(engine)
    except DBAPIError as error:
        found = trouble(error, str(engine.url))
        if isinstance(found, StoreProblem):
            raise found from None
        raise  # it is locked or away, which passes
    if has is None:
        raise nothing_there(engine)
    refuse_newer(has)
    if has != SCHEMA:
        copied = engine.dialect.name == "sqlite"
        way = "`dpsync init` copies the database and migrates it" if copied else _BACKED_UP
        raise StoreProblem(
            f"the database has the older schema {has}, this program needs {SCHEMA}: stop the service, then {way}"
        )


def refuse_newer(has: str | None) -> None:
    """Refuse a database that a newer program has migrated. Raises `StoreProblem`."""
    if has is not None and has > SCHEMA:
        raise StoreProblem(
            f"the database has schema {has}, which is newer than this program ({SCHEMA}): install the newer dpsync "
            "again, or restore the copy of the database that was made before it was migrated; nothing was changed"
        )


def migrate(
    engine: Engine,
    *,
    backed_up: bool = False,
    then: Callable[[Connection], None] = lambda _: None,
    verify: Callable[[Connection], None] = lambda _: None,
) -> Migration | None:
    """Bring the schema to this version, in one transaction, and do what belongs to it (`then`) in the same.

    A SQLite file that holds something is copied first, to `NAME.schema-VERSION` beside it; of a PostgreSQL database
    somebody must say that it is `backed_up`. Before the commit no table may have lost a row, and `verify` looks at what
    came of it: whatever they raise leaves the database as it was. None where nothing was to migrate. Raises
    `StoreProblem`, and `Locked` while a worker is at work.
    """
    if schema_version(engine) == SCHEMA:
        with writing(engine) as connection:  # a worker may go on beside this
            then(connection)
        return None
    with worker_lock(engine.url), _alone(engine) as connection:
        was = _version(connection)
        refuse_newer(was)
        if was == SCHEMA:
            return None
        if was is None:
            _upgrade(connection)
            then(connection)
            return Migration(was)
        _demand_rest(connection)
        done, held = Migration(was, _kept(engine, was, backed_up=backed_up)), _rows(connection)
        _upgrade(connection)
        then(connection)
        _demand_rows(held, _rows(connection))
        verify(connection)
        return done


def _rows(connection: Connection) -> Mapping[str, int]:
    """How many rows each table has."""
    names = inspect(connection).get_table_names()
    return {name: connection.execute(select(func.count()).select_from(table(name))).scalar_one() for name in names}


def _demand_rows(held: Mapping[str, int], has: Mapping[str, int]) -> None:
    """Refuse a migration that would lose rows of a table which is still there. Raises `StoreProblem`."""
    short = sorted(name for name in held.keys() & has.keys() if has[name] < held[name])
    if short:
        raise StoreProblem(
            f"the migration would lose rows of {', '.join(short)}: keep the older program, and tell whoever looks "
            "after dpsync; nothing was changed"
        )


def _demand_rest(connection: Connection) -> None:
    """Refuse while a worker of the older program gives signs of life: it would go on by tables that are no more."""
    now = (database_now(connection) - EPOCH) // MICROSECOND
    beats = text("SELECT 1 FROM worker WHERE beat_until > :now AND beat_until < :soon")
    if connection.execute(beats, {"now": now, "soon": now + A_BEAT // MICROSECOND}).first() is not None:
        raise Locked("a dpsync worker is at work on this database: stop it, wait a minute, then try again")


def _upgrade(connection: Connection) -> None:
    # Imported here: alembic costs 60 ms and 10 MB, and a service that runs has no use for it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    # The connection is handed on: alembic's own would begin as it likes, and a killed migration would stay half done.
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A transaction in which tables may be rebuilt: on SQLite that drops the old one, whose rows others refer to.

    What refers to nothing at the end is refused all the same. https://sqlite.org/lang_altertable.html#otheralter
    """
    with engine.connect().execution_options(dpsync_writes=True) as connection:
        lite = engine.dialect.name == "sqlite"
        if lite:
            _references(connection, demanded=False)  # SQLite takes it outside transactions only
        try:
            with connection.begin():
                yield connection
                if lite and connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                    raise StoreProblem("the migration would leave rows that refer to nothing; nothing was changed")
        finally:
            if lite:
                _references(connection, demanded=True)


def _references(connection: Connection, *, demanded: bool) -> None:
    connection.connection.cursor().execute(f"PRAGMA foreign_keys={'ON' if demanded else 'OFF'}")


def _kept(engine: Engine, was: str, *, backed_up: bool) -> Path | None:
    """The copy to which one can go back. Needs the writer's lock: so it holds all that was ever committed before."""
    if engine.dialect.name == "sqlite":
        database = Path(engine.url.database or "")
        return _copied(database, database.with_name(f"{database.name}.schema-{was}"))
    if not backed_up:
        raise StoreProblem(
            f"the database has schema {was} and is to get {SCHEMA}: stop the service, then {_BACKED_UP}; nothing was "
            "changed"
        )
    return None


def _copied(database: Path, copy: Path) -> Path:
    draft = copy.with_name(f".{copy.name}.part")
    try:
        draft.unlink(missing_ok=True)
        copying.copy_sqlite(database, draft)
        draft.replace(copy)
        durable.sync_folder(copy.parent)
    except (OSError, sqlite3.Error):
        raise StoreProblem(
            f"{copy}, the copy that leads back, cannot be written: look at the disk and at who owns the folder; "
            "nothing was changed"
        ) from None
    return copy
