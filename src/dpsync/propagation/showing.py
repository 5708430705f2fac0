"""Whom a request is about, and what is about a person: shown to a named person, and recorded that it was."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, select

from dpsync.errors import NotFound
from dpsync.ledger.entry import EntryKind
from dpsync.model import NameKind, Request
from dpsync.propagation import proof_boxes
from dpsync.propagation.commitments import Keyring, asked_by
from dpsync.propagation.decisions import Person, remember
from dpsync.store import tables as t
from dpsync.store.writer import Unit

SHOWN = "shown"
"""What the record calls it, among what people decided."""

_R = t.request.c


@dataclass(frozen=True, slots=True)
class FoundRequest:
    """A request of a person. `commit_key`: what opens its proof; None where only a person's other requests lead to it.

    `person`: which of the people that share the name, from 1.
    """

    request_id: str
    person: int
    commit_key: bytes | None = field(repr=False)


def show(unit: Unit, keyring: Keyring, request_id: str, person: Person, now: datetime) -> Request:
    """What was asked, as long as it exists; that `person` looked is committed with it, before anybody sees it.

    Raises `NotFound` where the identifiers were destroyed.
    """
    asked = asked_by(unit.connection, keyring, request_id)
    if asked is None:
        raise NotFound("nobody knows any more who it was about: the identifiers of this request were destroyed")
    remember(unit, keyring, request_id, SHOWN, person, now, event=EntryKind.SHOWN)
    return asked


def show_all(
    unit: Unit, keyring: Keyring, kind: NameKind, value: str, person: Person, now: datetime
) -> list[FoundRequest]:
    """The requests of whoever is named so, the oldest first: those that name them so, and others of the same person.

    Each of them gets an entry that `person` looked, before anybody sees it; also one that is forgotten.
    """
    found = _of(unit.connection, keyring, kind, value)
    for one in found:
        remember(unit, keyring, one.request_id, SHOWN, person, now, event=EntryKind.SHOWN, commit_key=one.commit_key)
    return found


def _of(connection: Connection, keyring: Keyring, kind: NameKind, value: str) -> list[FoundRequest]:
    proofs = {one.request_id: one for one in proof_boxes.find(connection, keyring.keys, kind, value)}
    people = select(_R.person).where(_R.id.in_(proofs))
    rows = connection.execute(select(_R.id, _R.person).where(_R.person.in_(people)).order_by(_R.ordinal)).all()
    numbers = {person: number for number, person in enumerate(dict.fromkeys(row.person for row in rows), 1)}
    return [
        FoundRequest(row.id, numbers[row.person], proofs[row.id].commit_key if row.id in proofs else None)
        for row in rows
    ]
