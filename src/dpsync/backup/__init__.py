"""A back-up: the database as it was at one moment, and a page that says what it holds. Never a key."""

import json
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from dpsync import durable, paths
from dpsync.backup import copies
from dpsync.errors import KeyProblem, NotFound, NotWritten, ProofDamaged, StoreProblem, UsageError
from dpsync.installation import Installation
from dpsync.store import copying, integrity
from dpsync.store.copying import FILES
from dpsync.store.database import reading, worker_lock
from dpsync.store.schema import SCHEMA

FORM = "dpsync-backup/1"
PAGE = "backup.json"
PREFIX = "dpsync-"
_NAME = f"{PREFIX}%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Backup:
    """What a back-up holds. `root`: of the tree of `entries`, in hex; `journal`: bytes of the journal before it began;
    `keys`: their fingerprint; `digest`: SHA-256 of the database's file, in hex.
    """

    folder: Path
    origin: str
    engine: str
    schema: str
    taken_at: datetime
    entries: int
    root: str
    journal: int
    keys: str
    digest: str

    @property
    def database(self) -> Path:
        """The file with the database in it."""
        return self.folder / FILES[self.engine]

    @property
    def page(self) -> bytes:
        """What stands in `backup.json`."""
        said = {name: value for name, value in asdict(self).items() if name != "folder"}
        said |= {"form": FORM, "taken_at": self.taken_at.isoformat()}
        return json.dumps(said, sort_keys=True, indent=1).encode() + b"\n"


def take(there: Installation, directory: Path) -> Backup:
    """A new folder in `directory`, whole or not there at all. Others work on meanwhile.

    Raises `NotFound` where there is no such directory, `UsageError` where keys lie there, `NotWritten`, `StoreProblem`.
    """
    if not directory.is_dir():
        raise NotFound(f"there is no folder {directory}: make it first (is its disk mounted?)")
    keys = there.settings.keys.directory.resolve()
    if keys in (folder := directory.resolve(), *folder.parents):
        raise UsageError(f"{directory} is in the key folder: keys and database together open everything. Name another")
    now, journal = there.clock.now().astimezone(UTC), there.custody.journal.path
    begun = Backup(
        directory / now.strftime(_NAME),
        there.origin,
        there.engine.dialect.name,
        SCHEMA,
        now,
        0,
        "",
        journal.stat().st_size if journal.is_file() else 0,
        there.keys.fingerprint(),
        "",
    )
    draft = directory / f".{begun.folder.name}.{secrets.token_hex(8)}"
    try:
        draft.mkdir(mode=0o700)
        taken = _copied(there, replace(begun, folder=draft))
        durable.create(draft / PAGE, taken.page)
        draft.rename(begun.folder)
        durable.sync_folder(directory)
    except (OSError, sqlite3.Error) as refused:
        full = isinstance(refused, OSError) and durable.is_full(refused)
        why = refused.strerror if isinstance(refused, OSError) else "the database cannot be copied just now"
        raise NotWritten(f"no back-up is written to {begun.folder}: {why}", full=full) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return replace(taken, folder=begun.folder)


def _copied(there: Installation, into: Backup) -> Backup:
    """The database's copy in the folder, and what it holds, read from that copy or in the same view."""

    def head(connection: Connection) -> Backup:
        size, root = there.log.size(connection), there.log.root(connection).hex()
        return replace(into, entries=size, root=root)

    if into.engine == "sqlite":
        copying.copy_sqlite(Path(there.engine.url.database or ""), into.database)
        with copies.opened(into.database) as connection:
            found = head(connection)
    else:
        with reading(there.engine) as connection:
            found = head(connection)
            copying.dump(connection, into.database)
    return replace(found, digest=_digest(into.database))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def find(place: Path) -> Backup:
    """The back-up in that folder or, of several in it, the newest. Raises `NotFound`, `StoreProblem`."""
    folders = [place] if (place / PAGE).exists() else sorted(place.glob(f"{PREFIX}*"), reverse=True)
    found = next((one for one in folders if (one / PAGE).exists()), None)
    if found is None:
        raise NotFound(f"there is no back-up in {place}: it would have a file {PAGE}")
    try:
        said: dict[str, Any] = json.loads(paths.read(found / PAGE))
        form, at = said.pop("form"), datetime.fromisoformat(said.pop("taken_at"))
        backup = Backup(folder=found, taken_at=at, **said)
        kinds = {type(value) is (int if name in {"entries", "journal"} else str) for name, value in said.items()}
        known = form == FORM and kinds == {True} and at.tzinfo is not None and backup.engine in FILES
        known = known and "".join(map(str, said.values())).isprintable()
        known = known and backup.page == (found / PAGE).read_bytes()
    except (paths.Unusable, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        known = False
    if not known:
        raise StoreProblem(f"{found / PAGE} is not as dpsync writes it: take another back-up")
    return backup


def demand_whole(backup: Backup) -> None:
    """Refuse one whose file is not what was written. Raises `StoreProblem`."""
    try:
        same = _digest(backup.database) == backup.digest
    except OSError:
        same = False
    if not same:
        raise StoreProblem(f"{backup.database} is missing or is not what was written there: take another back-up")
    if backup.engine != "sqlite":
        return
    with copies.opened(backup.database) as connection:
        if unsound := integrity.problem(connection, thorough=True):
            raise StoreProblem(f"{backup.database} is damaged: {unsound}. Take another back-up")


def demand_own(there: Installation, backup: Backup) -> None:
    """Refuse one of another ledger, engine, version, or other keys. Raises `StoreProblem`, `KeyProblem`."""
    if backup.origin != there.origin:
        raise StoreProblem(f"the back-up is of the ledger {backup.origin}, the settings say {there.origin}")
    if backup.engine != there.engine.dialect.name:
        raise StoreProblem(f"the back-up is of a {backup.engine} database, and [store] url names none")
    if backup.schema != SCHEMA:
        raise StoreProblem(
            f"the back-up has schema {backup.schema}, this program needs {SCHEMA}: restore and recover it with the "
            "dpsync that made it, and upgrade then"
        )
    if not there.keys.has_been(backup.keys):
        raise KeyProblem("the keys are not those that the back-up was made with: put the right ones back first")


def restore(there: Installation, backup: Backup) -> Path | None:
    """Put the database back, and keep what stood in its place. Nothing works on it before it is recovered.

    Gives the name that the former SQLite file has now. Raises what the demands above do; `Locked` while a worker runs,
    `ProofDamaged` where the anchor folder, which knows more than the back-up, is not there.
    """
    demand_own(there, backup)
    demand_whole(backup)
    with worker_lock(there.settings.store.url):
        if backup.engine != "sqlite":
            copying.demand_empty(there.engine)
            _demand_continued(there, backup)
            begun = there.custody.begin_restore(backup.page)
            try:
                copying.restore_dump(there.engine, backup.database)
            except StoreProblem:
                if begun:  # whole or not at all: it is as empty as it was
                    there.custody.mark.unlink()
                raise
            return None
        return _put_back(there, Path(there.engine.url.database or ""), backup)


def _put_back(there: Installation, database: Path, backup: Backup) -> Path | None:
    for left in database.parent.glob(f".{database.name}.{'[0-9a-f]' * 16}"):
        left.unlink()  # of one that was killed: nobody else works here
    draft = database.with_name(f".{database.name}.{secrets.token_hex(8)}")
    try:
        copying.copy_sqlite(backup.database, draft)
        _demand_ledger(there, draft)
        # Not sooner, or a full disk would stop a service whose database stands. Nor later: one that is back has it.
        there.custody.begin_restore(backup.page)
        kept = _kept_name(there.custody.mark, database)
        for end in ("-wal", "-shm", ""):  # all of them: a newer -wal would be played into the older file
            part = Path(f"{database}{end}")
            if part.exists():
                part.rename(f"{kept}{end}")
        draft.rename(database)
        durable.sync_folder(database.parent)
    except (OSError, sqlite3.Error) as refused:
        full = isinstance(refused, OSError) and durable.is_full(refused)
        raise NotWritten(f"{database} cannot be put back: look at its folder and its disk", full=full) from None
    finally:
        draft.unlink(missing_ok=True)
    return kept if kept.exists() else None


def _kept_name(mark: Path, database: Path) -> Path:
    """The name for what stands there; killed between two renames, the next run finds the same, and parts nothing."""
    status = mark.stat()
    at, tag = datetime.fromtimestamp(status.st_mtime, UTC), f"{status.st_mtime_ns:x}"[-4:]
    kept = database.with_name(f"{database.name}.before-{at:%Y%m%dT%H%M%SZ}-{tag}")
    return kept if not kept.exists() else kept.with_name(f"{kept.name[:-4]}{secrets.token_hex(2)}")


def _demand_continued(there: Installation, backup: Backup) -> None:
    """Refuse a copy that pg_restore cannot read or, where it can be tried, one that is not what was signed."""
    if not copying.may_make_databases(there.engine):
        copying.demand_readable(backup.database)
        return
    with copying.scratch_database(there.engine) as scratch:
        copying.restore_dump(scratch, backup.database)
        with scratch.connect() as connection:
            copies.demand_signed(there, connection)


def _demand_ledger(there: Installation, copy: Path) -> None:
    with copies.opened(copy) as connection:
        copies.demand_signed(there, connection)


@dataclass(frozen=True, slots=True)
class Tried:
    """What a drill found. `problems`: empty where the way back works; `lost`: requests accepted after the back-up;
    `untried`: what cannot be tried here, "" where all was.
    """

    problems: tuple[str, ...]
    lost: int = 0
    untried: str = ""


def try_out(there: Installation, backup: Backup) -> Tried:
    """Put the back-up back in a scratch place and look at it as a start would. Nothing outside that is changed."""
    try:
        demand_own(there, backup)
        demand_whole(backup)
        lying, since = there.custody.lying(there.read), there.custody.journal.read(backup.journal)
        if backup.engine != "sqlite" and not copying.may_make_databases(there.engine):
            copying.demand_readable(backup.database)
            return Tried((), len(since.accepted), _UNTRIED)
        with _put_in_scratch(there, backup) as connection:
            problems = (*copies.wrong(there, connection, lying), *_unlike_its_page(there, connection, backup))
            return Tried(problems, len(since.accepted))
    except (KeyProblem, ProofDamaged, StoreProblem) as wrong:
        return Tried((wrong.message,))


def _unlike_its_page(there: Installation, connection: Connection, backup: Backup) -> Iterator[str]:
    size = there.log.size(connection)
    if (size, there.log.root(connection).hex()) != (backup.entries, backup.root):
        yield f"{backup.database} holds another ledger of {size:,} entries than {PAGE} says"


_UNTRIED = (
    "the copy is read to its end, and not put into a database, because the user of [store] url may not make one. As an "
    "administrator: ALTER ROLE ... CREATEDB"
)


@contextmanager
def _put_in_scratch(there: Installation, backup: Backup) -> Iterator[Connection]:
    if backup.engine != "sqlite":
        with copying.scratch_database(there.engine) as scratch:
            copying.restore_dump(scratch, backup.database)
            with scratch.connect() as connection:
                yield connection
        return
    with tempfile.TemporaryDirectory(prefix="dpsync-drill-") as folder:
        copy = Path(folder) / FILES[backup.engine]
        copying.copy_sqlite(backup.database, copy)
        with copies.opened(copy) as connection:
            yield connection
