"""What is destroyed years after all was finished, as the settings say, each kind after a period of its own.

Pseudonyms, what leads from a name to a proof, what connectors remember, the words of cases, receipts in the folder;
and days after it was written, what people wrote of a request that was forgotten before. Whoever calls this has seen
that the clock is right. What is held as evidence stays: where nothing says whose something is, all of it that may be.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection

from dpsync import durable
from dpsync.cases.acts import forget_words
from dpsync.cases.complaints import complaints
from dpsync.cases.incidents import incidents
from dpsync.installation import Installation
from dpsync.intake import identity
from dpsync.ledger import entry, told
from dpsync.ledger.anchors import GAP
from dpsync.ledger.entry import EntryKind
from dpsync.propagation import forgetting, proof_boxes
from dpsync.store import shelf
from dpsync.store.writer import Unit

RECEIPT, PROOF, MEMORY = "receipt", "proof", "memory"
"""What the entry is called, among those that something was shredded."""

Held = Callable[[Connection], Collection[str]]
"""The requests whose evidence must stay as it is."""


def destroy(there: Installation, now: datetime, held: Held, at_once: int) -> None:
    """Destroy what is over, at most `at_once` of a kind. Killed anywhere, it goes on where it was."""
    section = there.settings.forgetting
    if section is None:
        return
    written = now - timedelta(days=section.after_days)
    there.write(lambda unit: forgetting.forget_late_words(unit, there.controller, held(unit.connection), written, now))
    until = years_before(now, section.pseudonyms_after_years)
    there.write(partial(_unname, there, until, now, held, at_once))
    _close_proofs(there, now, now.year - section.proofs_after_years - 1, held)
    there.write(partial(_drop_memories, there, years_before(now, section.memories_after_years), now, held, at_once))
    there.write(partial(_forget_cases, there, years_before(now, section.cases_after_years), now, held))
    if section.receipts_after_years:
        _delete_receipts(there, years_before(now, section.receipts_after_years), now, held, at_once)


@dataclass(frozen=True, slots=True)
class Destroyed:
    """What went because its period was over, as the ledger tells it. `name`: of what, as far as it has one."""

    kind: str
    name: str
    count: int
    at: datetime


def destroyed(connection: Connection) -> tuple[Destroyed, ...]:
    """All that was destroyed because a period of its own was over, the newest first."""
    entries = (said for _, said in told.of_no_request(connection))
    found = [
        Destroyed(str(said["kind"]), _name(said), int(said.get("n", 1)), datetime.fromtimestamp(int(said["ts"]), UTC))
        for said in entries
        if said["event"] == EntryKind.SHREDDED
    ]
    return tuple(reversed(found))


def _name(said: told.Said) -> str:
    return str(said.get("name") or said.get("dest") or said.get("ref") or "")


def years_before(now: datetime, years: int) -> datetime:
    """The same day so many years ago; of 29 February the day before it."""
    try:
        return now.replace(year=now.year - years)
    except ValueError:
        return now.replace(year=now.year - years, day=28)


def _unname(there: Installation, until: datetime, now: datetime, held: Held, at_once: int, unit: Unit) -> None:
    needed = frozenset(held(unit.connection))
    for person, asked in forgetting.outlived(unit.connection, until, at_once + len(needed)).items():
        if needed.isdisjoint(asked):
            identity.unname(unit, there.controller, person, now)


def _close_proofs(there: Installation, now: datetime, year: int, held: Held) -> None:
    """Nothing says of a box whose it is. So the requests that still open are asked first: theirs run on from now."""
    oldest = there.read(proof_boxes.kept_since)
    if oldest is None or oldest > year:
        return
    ids = there.read(lambda connection: forgetting.known_since(connection, year))
    for at in range(0, len(ids), proof_boxes.AT_ONCE):
        page = ids[at : at + proof_boxes.AT_ONCE]
        there.write(partial(_renew, there, page, now.year))
    there.write(partial(_drop_boxes, year, now, held))


def _renew(there: Installation, ids: Sequence[str], year: int, unit: Unit) -> None:
    proof_boxes.renew(unit.connection, there, ids, year)


def _drop_boxes(year: int, now: datetime, held: Held, unit: Unit) -> None:
    since = forgetting.earliest(unit.connection, held(unit.connection))
    last = year if since is None else min(year, since.year - 1)
    for of_year, n in proof_boxes.drop(unit.connection, last).items():
        unit.append(None, entry.encode(EntryKind.SHREDDED, now, kind=PROOF, name=str(of_year), n=n))


def _drop_memories(there: Installation, until: datetime, now: datetime, held: Held, at_once: int, unit: Unit) -> None:
    """Of a processor that the settings do not name any more, all of it: nobody can say what it is for."""
    since = forgetting.earliest(unit.connection, held(unit.connection), also_open=True)
    until = until if since is None else min(until, since)
    known = there.controller.processors
    for name in shelf.places(unit.connection):
        if " " in name:  # our own notes about records of main databases, each with its own end
            continue
        begins = known[name].connector.forgets if name in known else {""}
        if n := shelf.drop(unit.connection, name, begins, until, at_once):
            unit.append(None, entry.encode(EntryKind.SHREDDED, now, kind=MEMORY, dest=name, n=n))


def _forget_cases(there: Installation, until: datetime, now: datetime, held: Held, unit: Unit) -> None:
    needed = held(unit.connection)
    cases = [(one.id, one.about, None if one.holds else one.closed_at) for one in complaints(unit.connection)]
    cases += [(one.id, one.about, None if one.open else one.closed_at) for one in incidents(unit.connection)]
    for case_id, about, closed_at in cases:
        if closed_at and closed_at <= until and not any(one in needed for one in about):
            forget_words(unit, there.keys, case_id, now)


def _delete_receipts(there: Installation, until: datetime, now: datetime, held: Held, at_once: int) -> None:
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


def _tell(there: Installation, some: Sequence[str], now: datetime, held: Held, unit: Unit) -> list[str]:
    needed = held(unit.connection)
    free = [one for one in some if one not in needed]
    for request_id in free:
        path = there.custody.receipts.place(request_id)
        digest = sha256(path.read_bytes()).hexdigest()
        unit.append(None, entry.encode(EntryKind.SHREDDED, now, kind=RECEIPT, name=path.name, digest=digest))
    return free
