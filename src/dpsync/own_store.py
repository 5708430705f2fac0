"""Whether the store is the installation's own: its version, its keys, its ledger; what else tells of that ledger."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from sqlalchemy import Connection, Engine, select

from dpsync import key_register
from dpsync.custody.marks import ANCHORED, ANCHORED_AT
from dpsync.errors import KeyProblem, NoteInvalid, StoreEmpty, StoreProblem
from dpsync.journal import NAME as JOURNAL
from dpsync.journal_comparison import MARK
from dpsync.ledger import note, receipt, told
from dpsync.ledger.anchors import Anchors
from dpsync.propagation.proof_boxes import UNFINDABLE
from dpsync.sealing import Keys
from dpsync.settings.sections import LedgerSection
from dpsync.store import tables as t
from dpsync.store.database import reading
from dpsync.store.meta import moment
from dpsync.store.schema import demand_current_schema
from dpsync.store.trouble import RESTORE

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
        wanted = _kept_from_the_beginning(connection, keys)
    if not said:
        raise _astray(StoreEmpty(NOT_BEGUN, "`dpsync init` begins it"), origin, ledger)
    demand_rows(said, wanted)
    _demand_same(said, keys, origin)


ALWAYS = frozenset({"origin", "keys"})
"""The rows of `meta` that a ledger begins with."""

_MOMENT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}\+00:00"
_COMPARED = (
    rf"(?:[a-z0-9_-]{{1,40}} (?:compared|unknown|stopped) {_MOMENT} (?:never|{_MOMENT})"
    r"(?: [0-9]{1,18}){4}\n?)*"
)
_PAGE = r"(?:[0-9]{1,18}:)?[0-9a-f]{64}(?::[0-9a-f]{64})?(?::[0-9]{1,18})?"
"""Of requests that were compared; an earlier version had one digest of each."""
_FORMS = {
    ANCHORED: r"[0-9]{1,18}",
    ANCHORED_AT: _MOMENT,
    MARK: r"[0-9]{1,18} [0-9]{1,18}",
    "checkpoint_mail": r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{1,18}",
    "month_report": r"[0-9]{4}-[0-9]{2} (waiting|doubtful|sent) " + _MOMENT,
    "forgetting": f"{_MOMENT} {_MOMENT}",
    "old-keys": f"{_MOMENT} {_MOMENT}",
    "drill": rf"{_MOMENT} [0-9]{{1,9}}",
    UNFINDABLE: r"[0-9]{1,18}",
    "outboxes": rf"(?:[a-z0-9_-]{{1,40}} (?:up|away) {_MOMENT} [0-9]{{1,18}} [0-9]{{1,18}}\n?)*",
    "reconciled": _COMPARED,
    "swept": _COMPARED,
    "recovered_at": _MOMENT,
    "sweeping": f"(?:[0-9a-f]{{16}} {_MOMENT})?",
    "soundness": rf"{_MOMENT} [0-9]{{1,9}}",
    "compared": rf"{_MOMENT} [0-9]{{1,18}}(?: {_PAGE})+",
}
_OF_MONTHS = (key_register.IDLE, key_register.GIVEN_UP, key_register.DESTROYED)
"""What the rows begin with that say since when something is so of a month's key."""


def demand_rows(said: Mapping[str, str], wanted: Collection[str] = ALWAYS) -> None:
    """Refuse a table `meta` that lacks a row which is never deleted, or holds what is never written there.

    Made anew, such a row would hide what it was there to show. Raises `StoreProblem`.
    """
    gone = sorted(set(wanted) - set(said))
    odd = sorted(key for key, value in said.items() if not _is_as_written(key, value))
    wrong = [f"lacks {', '.join(gone)}"] * bool(gone) + [f"is not what was written there ({', '.join(odd)})"] * bool(
        odd
    )
    if wrong:
        raise StoreProblem(
            f"the database's table `meta` {' and '.join(wrong)}: somebody wrote there by hand, or the database is "
            f"damaged. Keep a copy; then {RESTORE}"
        )


def _is_as_written(key: str, value: str) -> bool:
    form = _MOMENT if key.startswith(_OF_MONTHS) else _FORMS.get(key)
    return form is None or (re.fullmatch(form, value) is not None and all(map(moment, re.findall(_MOMENT, value))))


def _kept_from_the_beginning(connection: Connection, keys: Keys) -> Collection[str]:
    """The rows that must be there: all, once the newest request was accepted by a version that keeps them."""
    newest = select(t.request.c.id).order_by(t.request.c.ordinal.desc()).limit(1).scalar_subquery()
    receipt_of = select(t.entry.c.body).where(t.entry.c.request_id == newest).order_by(t.entry.c.idx).limit(1)
    said = told.readable(connection.execute(receipt_of).scalar_one_or_none() or b"")
    if said is None or "rows" not in said:
        return ALWAYS
    return ALWAYS | {ANCHORED, MARK} | key_register.rows_of(connection, keys)


def _demand_same(said: Mapping[str, str], keys: Keys, origin: str) -> None:
    others = "; ".join(key_register.foreign(said, keys))
    if others or not keys.has_been(said["keys"]):
        raise KeyProblem(others or "the keys are not those this database was made with. Restore the right ones")
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
        f"{empty.seen}, but {told}: [store] url names another place than before, or what stood there is lost. Set it "
        "to the right name, or restore the database from its back-up"
    )


def past(origin: str, ledger: LedgerSection) -> str:
    """What lies outside of that ledger, or is damaged so that it cannot be told; "" for nothing. Needs no key."""
    outside = Anchors(ledger.anchor).read({})
    if outside.damaged:
        return outside.damaged[0]
    heads = ((note.parse(text)[0], name) for text, name in outside.notes.items())
    newest = max(((head.size, name) for head, name in heads if head.origin == origin), default=None)
    if newest:
        return f"{ledger.anchor / newest[1]} is of this ledger with {newest[0]:,} entries"
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
