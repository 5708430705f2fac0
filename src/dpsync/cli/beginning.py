"""What `dpsync init` looks at before it makes anything: whether what is there already belongs together."""

from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.engine import make_url

from dpsync.cli.opening import store_errors_named
from dpsync.errors import KeyProblem, NoteInvalid, StoreProblem
from dpsync.installation import origin_of
from dpsync.journal import NAME as JOURNAL
from dpsync.ledger import note, receipt
from dpsync.ledger.anchors import Anchors
from dpsync.sealing import Keys
from dpsync.settings import Settings
from dpsync.store import tables as t
from dpsync.store.database import open_database, reading
from dpsync.store.patience import Patience
from dpsync.store.schema import refuse_newer, schema_version


def look_first(settings: Settings, told: Callable[[str], None]) -> bool:
    """Whether there are keys already. Changes nothing; `told` hears of a database that somebody else holds.

    Raises `KeyProblem` or `StoreProblem` where keys, database and checkpoints do not belong together: new keys beside
    an old database would open nothing of it, and would later be taken for the ones to keep.
    """
    directory = settings.keys.directory
    keys = None if Keys.absent(directory) else Keys.load(directory)
    with store_errors_named(settings.store.url):
        begun = _begun(str(settings.store.url), Patience(told))
    if not begun:
        _demand_no_past(settings)
        return keys is not None
    if keys is None:
        raise KeyProblem(
            f"the database has begun, and the keys it was made with are not in {directory}: put them back from their "
            "back-up (for a new installation name another [store] url); nothing was made"
        )
    if begun["keys"] != keys.fingerprint():
        raise KeyProblem(
            f"the keys in {directory} are not those this database was made with: put the right ones back; "
            "nothing was made"
        )
    if begun["origin"] != origin_of(settings):
        raise StoreProblem(
            f"the ledger in this database is {begun['origin']}, the settings say {origin_of(settings)}: set [ledger] "
            "origin and [controller] rehearsal to those of the database, or name another [store] url; nothing was made"
        )
    return True


def _begun(url: str, patience: Patience) -> Mapping[str, str]:
    """What a database says of itself; nothing where it has not begun."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        return {}
    engine = open_database(url, patience=patience)
    try:
        has = schema_version(engine)
        if has is None:
            return {}
        refuse_newer(has)
        with reading(engine) as connection:
            return {row.key: row.value for row in connection.execute(select(t.meta))}
    finally:
        engine.dispose()


def _demand_no_past(settings: Settings) -> None:
    """Refuse to begin a ledger beside what tells of it: it could only contradict what was signed."""
    origin, folder = origin_of(settings), settings.ledger.anchor
    outside = Anchors(folder).read({})
    if outside.damaged:
        raise StoreProblem(f"{outside.damaged[0]}; nothing was made")
    for text, name in outside.notes.items():
        head, _ = note.parse(text)
        if head.origin == origin:
            raise StoreProblem(
                f"the database is new, but {folder / name} is of this ledger with {head.size:,} entries: put the "
                "database back from its back-up, or name another [ledger] origin; nothing was made"
            )
    journal = folder / JOURNAL
    if journal.is_file() and journal.stat().st_size:
        raise StoreProblem(
            f"the database is new, but {journal} tells of requests that were accepted: put the database back from its "
            "back-up, or name another [ledger] anchor; nothing was made"
        )
    for path in sorted(settings.ledger.receipts.glob("r-*.json")):
        if _origin_of_receipt(path) == origin:
            raise StoreProblem(
                f"the database is new, but {path} is a receipt of this ledger: put the database back from its back-up, "
                "or name another [ledger] origin; nothing was made"
            )


def _origin_of_receipt(path: Path) -> object:
    try:
        return receipt.read(path.read_bytes()).get("origin")
    except (OSError, NoteInvalid):
        return None
