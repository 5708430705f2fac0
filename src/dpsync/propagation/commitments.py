"""What the ledger may hold of a request: commitments under its key, to whom it is about, who decided, and its rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, select

from dpsync.address import normalised
from dpsync.ciphers import RequestKey
from dpsync.connector import Evidence
from dpsync.errors import KeyProblem
from dpsync.ledger import entry, evidence, rows
from dpsync.model import Request
from dpsync.propagation import serialization
from dpsync.propagation.rules.event import Event
from dpsync.sealing import Keys
from dpsync.store import tables as t

_R = t.request.c


@dataclass(frozen=True, slots=True)
class Author:
    """Who decided or answered, as far as the ledger may know: commitments are made of it, never the text.

    `account`: that of the operating system which gave the command, "" where there was none.
    """

    by: str
    reason: str
    account: str = ""

    def said(self, commit_key: bytes) -> dict[str, str]:
        """What an entry holds of it."""
        by = entry.authorship(commit_key, self.by, self.account)
        return {"by": by, "why": entry.commitment(commit_key, self.reason)}


class Keyring(Protocol):
    """Whoever holds the installation's keys."""

    @property
    def keys(self) -> Keys:
        """All of them."""


Beside = tuple[str, Mapping[str, Any]]
"""A row that is written with an entry: the table's name in `ledger.rows`, and its columns."""


def subject_commitment(request: Request, commit_key: bytes) -> str:
    """What the ledger holds of the subject: opened by whoever has the request's key and the address (or the id)."""
    if request.addresses:
        return entry.commitment(commit_key, normalised(request.addresses[0]))
    return entry.commitment(commit_key, request.subject.id or request.subject.phone or "")


def request_key(keyring: Keyring, row: Mapping[str, Any]) -> RequestKey | None:
    """The key of a request, None once it is shredded. `row` has its request_id, wrapped_key and key_month."""
    if row["wrapped_key"] is None:
        return None
    return keyring.keys.unwrap(row["wrapped_key"], row["request_id"], row["key_month"])


def opened(keyring: Keyring, row: Mapping[str, Any]) -> tuple[RequestKey, Request] | None:
    """A request's key and what was asked, None once that is destroyed. `row` has `sealed` too. Raises `KeyProblem`."""
    key = request_key(keyring, row)
    if key is None or row["sealed"] is None:
        return None
    return key, serialization.from_bytes(key.open(row["sealed"], row["request_id"].encode()))


def commit_key_of(keyring: Keyring, row: Mapping[str, Any]) -> bytes:
    """What commits to whatever is said of a request. Where its key is destroyed, or does not open, `rows.stand_in`: a
    person can still decide what becomes of it, and the rows that tell so can still be compared.
    """
    try:
        key = request_key(keyring, row)
    except KeyProblem:
        key = None
    return key.commit_key if key else rows.stand_in(keyring.keys, row["request_id"])


def key_of(connection: Connection, keyring: Keyring, request_id: str) -> RequestKey | None:
    """The key of the request of that id, None once it is shredded, or where it does not open."""
    try:
        return request_key(keyring, _row(connection, request_id))
    except KeyProblem:
        return None


def commit_key_for(connection: Connection, keyring: Keyring, request_id: str) -> bytes:
    """The same of the request of that id."""
    return commit_key_of(keyring, _row(connection, request_id))


def asked_by(connection: Connection, keyring: Keyring, request_id: str) -> Request | None:
    """What was asked by the request of that id, None once that is destroyed. Raises `KeyProblem`."""
    found = opened(keyring, _row(connection, request_id))
    return found and found[1]


def _row(connection: Connection, request_id: str) -> Mapping[str, Any]:
    columns = select(_R.id.label("request_id"), _R.sealed, _R.wrapped_key, _R.key_month)
    return dict(connection.execute(columns.where(_R.id == request_id)).mappings().one())


def rows_said(key: bytes, written: Iterable[Beside]) -> str:
    """The `rows` of an entry: what it commits of the rows that are written with it."""
    return " ".join(rows.item(key, table, row, row["number"] if table in NUMBERED else None) for table, row in written)


def names_said(connection: Connection, keys: Keys, person: str) -> str:
    """The item of an entry's `rows` about all names of a person, as they stand now."""
    found = connection.execute(select(t.alias).where(t.alias.c.person == person)).mappings()
    return rows.item(rows.own_key(keys), "alias", rows.names([dict(row) for row in found]))


NUMBERED = frozenset({"attempt", "ended", "notice", "sent"})
"""What is known by a number of its own, and may change."""


def calls_of(event: Event, attempt_id: int, part: str) -> list[dict[str, Any]]:
    """The evidence rows of one answer; none where nothing was called. `part`: outcome, or the finding of a reading."""
    given: Sequence[Evidence] = getattr(event, "evidence", ())
    return [
        {
            "attempt_id": attempt_id,
            "part": part,
            "seq": seq,
            "endpoint": one.endpoint,
            "scope": one.scope,
            "status": one.status,
            "request_id": entry.safe(one.request_id),
            "at": one.at,
            "digest": one.digest,
            "note": one.note,
        }
        for seq, one in enumerate(given)
    ]


def calls_digest(commit_key: bytes, calls: Sequence[Mapping[str, Any]]) -> str:
    """Their digest for the ledger, "" where there are none."""
    return entry.resp_digest(commit_key, [evidence.canonical(call) for call in calls]) if calls else ""
