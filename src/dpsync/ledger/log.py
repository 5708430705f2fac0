"""The ledger in the database: append, sign, prove. Nothing of it is kept in memory between two transactions.

Every method works inside the caller's transaction. Whoever writes is alone (`store.database.writing`), so the head that
is read here is still the head at the commit.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, text, update

from dpsync.errors import LedgerTampered
from dpsync.ledger import audit, entry, merkle, note, stored
from dpsync.ledger.audit import Verification
from dpsync.ledger.continuation import Continuation
from dpsync.ledger.receipt import REHEARSAL, EvidenceRow, Logged, build
from dpsync.store import tables


class Log:
    """One ledger, named by its origin line.

    `signer` signs new checkpoints, and so does each of `also` while keys change; `known` are the keys that may have
    signed older ones.
    """

    def __init__(
        self,
        origin: str,
        signer: note.Signer,
        *,
        also: Sequence[note.Signer] = (),
        known: Sequence[note.VerifierKey] = (),
    ) -> None:
        self.origin = origin
        self.signer = signer
        self._signers = (signer, *also)
        self.keys = (*(one.verifier for one in self._signers), *known)

    def append(self, connection: Connection, bodies: Sequence[tuple[str | None, bytes]]) -> int:
        """Append entries, each with the id of the request that it names or None; four statements for any number.

        Returns how many there are then.

        Raises `ValueError` for bytes that are no entry or name another request, and `LedgerTampered` where the tree's
        own nodes are gone.
        """
        for request_id, body in bodies:
            if entry.decode(body).get("req") != request_id:
                raise ValueError("an entry is filed under another request than it names")
        size = self.size(connection)
        if not bodies:
            return size
        nodes: list[dict[str, Any]] = []

        def take(level: int, idx: int, value: bytes) -> bytes:
            nodes.append({"level": level, "idx": idx, "hash": value})
            return value

        frontier = stored.frontier(connection, size)
        merkle.grow(size, frontier, (merkle.leaf_hash(body) for _, body in bodies), take)
        rows = [{"idx": size + n, "request_id": filed, "body": body} for n, (filed, body) in enumerate(bodies)]
        connection.execute(insert(tables.entry), rows)
        connection.execute(insert(tables.node), nodes)
        return size + len(bodies)

    def size(self, connection: Connection) -> int:
        """How many entries there are."""
        return stored.size(connection)

    def root(self, connection: Connection) -> bytes:
        """The root over all entries."""
        return merkle.frontier_root(stored.frontier(connection, self.size(connection)))

    def checkpoint(self, connection: Connection, now: datetime) -> str:
        """Sign the head, keep the note, and give it; the kept note where this size has been signed before.

        Raises `LedgerTampered` rather than sign a head that does not continue what was signed last.
        """
        head = note.Checkpoint(self.origin, self.size(connection), self.root(connection))
        newest = stored.newest_checkpoint(connection)
        if newest is not None:
            size, kept = newest
            problems = self.consistent_with(connection, kept)
            if problems:
                raise LedgerTampered(f"nothing is signed: {problems[0]}")
            last = note.parse(kept)[0]
            # A row that holds an older note would let a head be signed beside one that is out in the world.
            if last.size != size:
                raise LedgerTampered(f"nothing is signed: checkpoint {size} holds a note of another size")
            if last == head:
                return kept
        signed = note.sign(head, *self._signers)
        connection.execute(insert(tables.checkpoint).values(size=head.size, note=signed, at=now))
        return signed

    def consistent_with(self, connection: Connection, note_text: str) -> tuple[str, ...]:
        """What speaks against this ledger being a continuation of a checkpoint kept elsewhere; empty if nothing does.

        Compares with the stored nodes, in a few reads; that the entries fit the nodes is what `verify` shows.
        """
        return audit.against_note(connection, self.origin, self.keys, note_text)

    def verify(
        self, connection: Connection, *, full: bool, progress: Callable[[int, int], None] | None = None
    ) -> Verification:
        """Hash the entries again and compare them with the nodes and with every checkpoint.

        `full` begins at the first entry, otherwise at the last verified checkpoint: older entries are then taken on
        trust. `progress` is told (entries done, entries in all) after each page.
        """
        return audit.verify(connection, self.origin, self.keys, full=full, progress=progress)

    def mark_verified(self, connection: Connection, size: int, now: datetime) -> None:
        """Note that everything up to the checkpoint of that size was found in order; later checks begin there."""
        connection.execute(update(tables.checkpoint).where(tables.checkpoint.c.size == size).values(verified_at=now))

    def distrust(self, connection: Connection) -> None:
        """Forget how far the ledger was found in order: after a fault was seen, every check begins at the beginning."""
        connection.execute(update(tables.checkpoint).values(verified_at=None))

    def entries_of(self, connection: Connection, request_id: str, signed: str = "") -> list[tuple[int, bytes]]:
        """All entries of a request, in order; of those under the checkpoint `signed`, where it is given.

        Raises `NoteInvalid` for what is no checkpoint.
        """
        column = tables.entry.c
        query = select(column.idx, column.body).where(column.request_id == request_id).order_by(column.idx)
        if signed:
            query = query.where(column.idx < note.parse(signed)[0].size)
        rows = connection.execute(query)
        return [(row.idx, stored.raw(row.body)) for row in rows]

    def consistency(self, connection: Connection, old: int, new: int) -> list[bytes]:
        """The proof that the first `new` entries begin with the first `old`. Raises `ValueError` if `old` > `new`."""
        return stored.proved(connection, lambda get: merkle.consistency_proof(get, old, new))

    def continuation(self, connection: Connection, old: int, signed: str) -> str:
        """The consistency file from the ledger's first `old` entries to the checkpoint `signed`.

        Raises `ValueError` where `old` is larger, and `NoteInvalid` for what is no checkpoint.
        """
        proof = self.consistency(connection, old, note.parse(signed)[0].size)
        return Continuation(old, tuple(proof), signed).text

    def receipt(
        self,
        connection: Connection,
        request_id: str,
        *,
        commit_key: bytes,
        processors: Sequence[str],
        evidence: Mapping[int, Sequence[EvidenceRow]],
        signed: str,
        remarks: Mapping[str, Mapping[str, str]] | None = None,
    ) -> dict[str, Any]:
        """The receipt of a request, under a checkpoint of `checkpoint`. Raises what `build` does, and `LedgerTampered`
        for a node that is missing.
        """
        size = note.parse(signed)[0].size
        entries = self.entries_of(connection, request_id, signed)

        def logged(get: merkle.Reader) -> list[Logged]:
            return [Logged(idx, body, tuple(merkle.inclusion_proof(get, idx, size))) for idx, body in entries]

        return build(
            checkpoint=signed,
            signer=self.signer,
            request_id=request_id,
            commit_key=commit_key,
            processors=processors,
            entries=stored.proved(connection, logged),
            evidence=evidence,
            rehearsal=REHEARSAL in self.origin,
            remarks=remarks,
        )


def protect(connection: Connection) -> None:
    """Make the database refuse to change, delete or replace entries and nodes. Twice changes nothing.

    Against accidents only: an administrator can drop a trigger. What stops him is a checkpoint held by somebody else.
    """
    for statement in _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL:
        connection.execute(text(statement))


_SQLITE = tuple(
    f"CREATE TRIGGER IF NOT EXISTS {table}_no_{what} BEFORE {what} ON {table} {when} "
    "BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END"
    for table, taken in (("entry", "idx = NEW.idx"), ("node", "level = NEW.level AND idx = NEW.idx"))
    for what, when in (
        ("update", ""),
        ("delete", ""),
        # INSERT OR REPLACE deletes without firing the trigger against deletion.
        ("insert", f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {taken})"),  # noqa: S608 - because all of it stands above
    )
)

_POSTGRESQL_FUNCTION = (
    "CREATE OR REPLACE FUNCTION ledger_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the ledger only grows'; END $$"
)
_POSTGRESQL = (
    _POSTGRESQL_FUNCTION,
    *(
        f"CREATE OR REPLACE TRIGGER {table}_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows()"
        for table in ("entry", "node")
    ),
)
