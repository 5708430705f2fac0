"""What `dpsync init` looks at before it makes anything: whether what is there already belongs together."""

from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy.engine import make_url

from dpsync.cli.opening import store_errors_named
from dpsync.errors import KeyProblem, StoreProblem
from dpsync.own_store import NOT_BEGUN, demand_rows, meta, past
from dpsync.sealing import Keys
from dpsync.settings import Settings
from dpsync.store.database import open_database, reading
from dpsync.store.patience import Patience
from dpsync.store.schema import none_in_file, nothing_there, refuse_newer, schema_version


def look_first(settings: Settings, told: Callable[[str], None]) -> bool:
    """Whether there are keys already. Changes nothing; `told` hears of a database that somebody else holds.

    Raises `KeyProblem` or `StoreProblem` where keys, database and checkpoints do not belong together: new keys beside
    an old database would open nothing of it, and would later be taken for the ones to keep.
    """
    directory = settings.keys.directory
    keys = None if Keys.absent(directory) else Keys.load(directory)
    with store_errors_named(settings.store.url):
        begun, empty = _begun(str(settings.store.url), Patience(told))
    if not begun:
        _demand_no_past(settings, empty)
        return keys is not None
    demand_rows(begun)
    if keys is None:
        raise KeyProblem(
            f"the database has begun, and the keys it was made with are not in {directory}: put them back from their "
            "back-up (for a new installation name another [store] url); nothing was made"
        )
    if not keys.has_been(begun["keys"]):
        raise KeyProblem(
            f"the keys in {directory} are not those this database was made with: put the right ones back; "
            "nothing was made"
        )
    if begun["origin"] != settings.origin:
        raise StoreProblem(
            f"the ledger in this database is {begun['origin']}, the settings say {settings.origin}: set [ledger] "
            "origin and [controller] rehearsal to those of the database, or name another [store] url; nothing was made"
        )
    return True


def _begun(url: str, patience: Patience) -> tuple[Mapping[str, str], str]:
    """What a database says of itself; nothing where it has not begun, and then what was seen there."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        return {}, none_in_file(Path(parsed.database or "")).seen
    engine = open_database(url, patience=patience)
    try:
        has = schema_version(engine)
        if has is None:
            return {}, nothing_there(engine).seen
        refuse_newer(has)
        with reading(engine) as connection:
            return meta(connection), NOT_BEGUN
    finally:
        engine.dispose()


def _demand_no_past(settings: Settings, empty: str) -> None:
    """Refuse to begin a ledger beside what tells of it: it could only contradict what was signed."""
    if told := past(settings.origin, settings.ledger):
        raise StoreProblem(
            f"{empty}, but {told}: put the database back from its back-up, let [store] url name the right one, or, for "
            "a new ledger, name another [ledger] origin, anchor and receipts; nothing was made"
        )
