"""What is destroyed years after requests were forgotten, as the settings say: pseudonyms, and receipts in the folder.

Whoever calls this has seen that the clock is right. What is held as evidence stays.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection

from dpsync import durable
from dpsync.installation import Installation
from dpsync.intake import identity
from dpsync.ledger import entry, told
from dpsync.ledger.anchors import GAP
from dpsync.ledger.entry import EntryKind
from dpsync.propagation import forgetting
from dpsync.store.writer import Unit

KIND: Final = "receipt"
"""What the entry is called, among those that something was shredded."""


def destroy(there: Installation, now: datetime, held: Callable[[Connection], Collection[str]], at_once: int) -> None:
    """Destroy what is over, at most `at_once` of a kind. Killed anywhere, it goes on where it was."""
    section = there.settings.forgetting
    if section and section.pseudonyms_after_years:
        until = years_before(now, section.pseudonyms_after_years)
        there.write(partial(_unname, there, until, now, held, at_once))
    if section and section.receipts_after_years:
        _delete_receipts(there, years_before(now, section.receipts_after_years), now, held, at_once)


@dataclass(frozen=True, slots=True)
class DeletedReceipt:
    """A receipt that dpsync deleted from the receipts folder, as the ledger tells it."""

    file: str
    deleted_at: datetime


def deleted_receipts(connection: Connection) -> tuple[DeletedReceipt, ...]:
    """Each receipt that was deleted because its period was over, the newest first."""
    entries = (said for _, said in told.of_no_request(connection))
    found = [
        DeletedReceipt(str(said["name"]), datetime.fromtimestamp(int(said["ts"]), UTC))
        for said in entries
        if said["event"] == EntryKind.SHREDDED and said.get("kind") == KIND
    ]
    return tuple(reversed(found))


def years_before(now: datetime, years: int) -> datetime:
    """The same day so many years ago; of 29 February the day before it."""
    try:
        return now.replace(year=now.year - years)
    except ValueError:
        return now.replace(year=now.year - years, day=28)


def _unname(
    there: Installation,
    until: datetime,
    now: datetime,
    held: Callable[[Connection], Collection[str]],
    at_once: int,
    unit: Unit,
) -> None:
    needed = frozenset(held(unit.connection))
    for person, asked in forgetting.outlived(unit.connection, until, at_once + len(needed)).items():
        if needed.isdisjoint(asked):
            identity.unname(unit, there.controller, person, now)


def _delete_receipts(
    there: Installation, until: datetime, now: datetime, held: Callable[[Connection], Collection[str]], at_once: int
) -> None:
    """On the record first: cut off between the two, the next run tells it again, and a file is never missed unsaid."""
    folder = there.custody.receipts
    over = there.read(lambda connection: forgetting.forgotten_by(connection, until))
    some = [one for one in over if folder.place(one).is_file()][:at_once]
    if some:
        for request_id in there.write(partial(_tell, there, some, now, held)):
            path = folder.place(request_id)
            durable.place(path.with_suffix(GAP), b"")  # so that nobody misses it
            path.unlink(missing_ok=True)
            durable.sync_folder(path.parent)


def _tell(
    there: Installation, some: Sequence[str], now: datetime, held: Callable[[Connection], Collection[str]], unit: Unit
) -> list[str]:
    needed = held(unit.connection)
    free = [one for one in some if one not in needed]
    for request_id in free:
        path = there.custody.receipts.place(request_id)
        digest = sha256(path.read_bytes()).hexdigest()
        unit.append(None, entry.encode(EntryKind.SHREDDED, now, kind=KIND, name=path.name, digest=digest))
    return free
