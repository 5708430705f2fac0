"""Whether the store is the installation's own: its version, its keys, its ledger; what else tells of that ledger."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Connection, Engine, select

from dpsync import key_register
from dpsync.errors import KeyProblem, NoteInvalid, StoreEmpty, StoreProblem
from dpsync.journal import NAME as JOURNAL
from dpsync.ledger import note, receipt
from dpsync.ledger.anchors import Anchors
from dpsync.sealing import Keys
from dpsync.settings.sections import LedgerSection
from dpsync.store import tables as t
from dpsync.store.database import reading
from dpsync.store.schema import demand_current_schema

NOT_BEGUN = "no ledger has begun in the database"


def meta(connection: Connection) -> dict[str, str]:
    """What a database says of itself."""
    return {row.key: row.value for row in connection.execute(select(t.meta))}


def demand(engine: Engine, keys: Keys, origin: str, ledger: LedgerSection) -> None:
    """Refuse a store of another version, other keys, or another ledger. Raises `StoreProblem`, `KeyProblem`.

    Of an empty one it says where was looked, and whether what lies outside tells that there was a ledger.
    """
    try:
        demand_current_schema(engine)
    except StoreEmpty as empty:
        raise _astray(empty, origin, ledger) from None
    with reading(engine) as connection:
        said = meta(connection)
    if not said:
        raise _astray(StoreEmpty(NOT_BEGUN, "`dpsync init` begins it"), origin, ledger)
    _demand_same(said, keys, origin)


def _demand_same(said: Mapping[str, str], keys: Keys, origin: str) -> None:
    if said["keys"] != keys.fingerprint():
        others = "; ".join(key_register.foreign(said, keys))
        raise KeyProblem(others or "the keys are not those this database was made with; put the right ones back")
    if said["origin"] != origin:
        raise StoreProblem(
            f"the ledger in this database is {said['origin']}, the settings say {origin}; "
            "a rehearsal and a live ledger are never mixed"
        )


def _astray(empty: StoreEmpty, origin: str, ledger: LedgerSection) -> StoreProblem:
    told = "" if empty.elsewhere else past(origin, ledger)
    if not told:
        return empty
    return StoreProblem(
        f"{empty.seen}, but {told}: [store] url names another place than before, or what stood there is lost. Put the "
        "right name there, or the database back from its back-up"
    )


def past(origin: str, ledger: LedgerSection) -> str:
    """What lies outside of that ledger, or is damaged so that it cannot be told; "" for nothing. Needs no key."""
    outside = Anchors(ledger.anchor).read({})
    if outside.damaged:
        return outside.damaged[0]
    for text, name in outside.notes.items():
        head, _ = note.parse(text)
        if head.origin == origin:
            return f"{ledger.anchor / name} is of this ledger with {head.size:,} entries"
    journal = ledger.anchor / JOURNAL
    if journal.is_file() and journal.stat().st_size:
        return f"{journal} tells of requests that were accepted"
    receipts = (
        path for path in sorted(ledger.receipts.glob("r-*.json")) if path.is_file() and _origin_of(path) == origin
    )
    return next((f"{path} is a receipt of this ledger" for path in receipts), "")


def _origin_of(path: Path) -> object:
    try:
        return receipt.read(path.read_bytes()).get("origin")
    except (OSError, NoteInvalid):
        return None
