"""Who is who: which requests are about one person, and which only share an address.

A *person* is one id of the main database or, where it gave none, everybody who was named only by the same addresses. A
*subject* is a group of persons connected by shared addresses or telephones: within it requests are ordered, but nothing
is merged. A family address is not one person, and a telephone says who is meant only where nothing else does.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from dpsync.ledger import entry, rows
from dpsync.ledger.entry import EntryKind
from dpsync.model import Request
from dpsync.propagation.commitments import key_of, names_said, rows_said
from dpsync.propagation.controller import Controller
from dpsync.propagation.persons import BY_PHONE, shares_an_address, sharing_an_address
from dpsync.propagation.rules.persons import NAMELESS
from dpsync.sealing import Keys
from dpsync.store import tables as t
from dpsync.store.upsert import insert_missing
from dpsync.store.writer import Unit

_KNOWN = select(t.alias.c.pseudonym, t.alias.c.person, t.alias.c.subject_id).where(
    or_(t.alias.c.pseudonym.in_(bindparam("named", expanding=True)), t.alias.c.person == bindparam("person"))
)

_BORNE = select(t.alias.c.pseudonym).where(t.alias.c.pseudonym.in_(bindparam("named", expanding=True)))
_PERSONS = select(t.alias.c.person).where(t.alias.c.person.in_(bindparam("named", expanding=True)))


@dataclass(frozen=True, slots=True)
class Identity:
    """`subject_id` orders, `person` merges; `shared`: an address is in use by another id. `names`: what an entry of the
    request commits to of all names of the person.
    """

    subject_id: str
    person: str
    shared: bool
    names: str


@dataclass(frozen=True, slots=True)
class Recognised:
    """Whom a request would be about. `persons`: who would become one; `subjects`: the groups that would.

    Of somebody new both are empty, but for the own id. `shared`: as of `Identity`.
    """

    persons: frozenset[str]
    subjects: tuple[str, ...]
    shared: bool


def names_of(request: Request, keys: Keys) -> list[str]:
    """The pseudonyms of every address, of the telephone and of the id, the id's last; each once."""
    addresses = [keys.pseudonym("address", address) for address in request.addresses]
    phone = [BY_PHONE + keys.pseudonym("phone", request.subject.phone)] if request.subject.phone else []
    own_id = [keys.pseudonym("id", request.subject.id)] if request.subject.id else []
    return list(dict.fromkeys(addresses + phone + own_id))


def known_of(connection: Connection, names: Iterable[str]) -> frozenset[str]:
    """Those of many names that anybody was ever called by."""
    wanted = list(names)
    found = connection.execute(_BORNE, {"named": wanted}).scalars().all()
    return frozenset([*found, *connection.execute(_PERSONS, {"named": wanted}).scalars()])


def introduce(connection: Connection, keys: Keys, requests: Sequence[Request]) -> list[Identity]:
    """Make the identities of subjects that nobody has ever named, each another's than the others'."""
    people: list[Identity] = []
    written: list[dict[str, Any]] = []
    for request in requests:
        names = names_of(request, keys)
        person = names[-1] if request.subject.id else NAMELESS + secrets.token_hex(16)
        subject_id = secrets.token_hex(16)
        named = _rows_of(names, person, subject_id, keys)
        said = rows.item(rows.own_key(keys), "alias", rows.names(named))
        people.append(Identity(subject_id, person, shared=False, names=said))
        written += named
    insert_missing(connection, t.alias, written)
    return people


def resolve(unit: Unit, controller: Controller, request: Request, now: datetime) -> Identity:
    """Find or make the identity of a request's subject, and remember its pseudonyms.

    Runs in the transaction that accepts the request, so two requests that name one new subject cannot both make it.
    Whoever turns out to be the same as, or to share an address with, somebody known changes what is committed of the
    older requests; each of them gets an entry of it.
    """
    connection, keys = unit.connection, controller.keys
    named = names_of(request, keys)
    own_id = named[-1] if request.subject.id else None
    known = connection.execute(_KNOWN, {"named": named, "person": own_id or ""}).all()
    joined: set[str] = set()
    person = own_id or _nameless(connection, _persons_without_id(request, known), joined)
    subject_id = _joined(connection, {row.subject_id for row in known}, joined)
    for request_id in sorted(joined):
        _tell_joined(unit, controller, request_id, now)
    remembered = {(row.pseudonym, row.person) for row in known}
    fresh = [name for name in named if (name, person) not in remembered]
    insert_missing(connection, t.alias, _rows_of(fresh, person, subject_id, keys))
    return Identity(subject_id, person, shares_an_address(connection, person), names_said(connection, keys, person))


def recognise(connection: Connection, keys: Keys, request: Request) -> Recognised:
    """Whom `resolve` would find, by reading only."""
    named = names_of(request, keys)
    own_id = named[-1] if request.subject.id else None
    known = connection.execute(_KNOWN, {"named": named, "person": own_id or ""}).all()
    persons = {own_id} if own_id else _persons_without_id(request, known)
    # An address that is new to this person may be another id's already; a household's telephone says nothing of an id.
    taken = any(
        row.person not in persons
        and not row.person.startswith(NAMELESS)
        and not (own_id and row.pseudonym.startswith(BY_PHONE))
        for row in known
    )
    shared = taken or bool(sharing_an_address(connection, persons))
    return Recognised(frozenset(persons), tuple(sorted({row.subject_id for row in known})), shared)


def _rows_of(names: Iterable[str], person: str, subject_id: str, keys: Keys) -> list[dict[str, Any]]:
    return [
        {"pseudonym": name, "person": person, "key_version": keys.key_version, "subject_id": subject_id}
        for name in names
    ]


def _persons_without_id(request: Request, known: Iterable[Any]) -> set[str]:
    """Who of those without an id is meant: by address; and by telephone where nothing else is named.

    A household has one telephone: where several are known by it, it is one more of them.
    """
    nameless = [row for row in known if row.person.startswith(NAMELESS)]
    if request.addresses:
        return {row.person for row in nameless if not row.pseudonym.startswith(BY_PHONE)}
    persons = {row.person for row in nameless}
    return persons if len(persons) == 1 else set()


def _tell_joined(unit: Unit, controller: Controller, request_id: str, now: datetime) -> None:
    row = dict(unit.connection.execute(select(t.request).where(t.request.c.id == request_id)).mappings().one())
    key = key_of(unit.connection, controller, request_id)  # none: of what does not open, nothing is committed anew
    said = [rows_said(key.commit_key, [("request", row)])] if key else []
    said.append(names_said(unit.connection, controller.keys, row["person"]))
    unit.append(request_id, entry.encode(EntryKind.JOINED, now, req=request_id, rows=" ".join(said)))


def _move(connection: Connection, column: str, old: str, new: str, joined: set[str]) -> None:
    """Bring everything from one group of people, or one person, to another; `joined` learns which requests it met."""
    joined |= set(connection.execute(select(t.request.c.id).where(t.request.c[column] == old)).scalars())
    for table in (t.alias, t.request, t.propagation):
        connection.execute(update(table).where(table.c[column] == old).values({column: new}))


def _nameless(connection: Connection, known: set[str], joined: set[str]) -> str:
    if not known:
        return NAMELESS + secrets.token_hex(16)
    person = min(known)
    for other in known - {person}:
        _rename_person(connection, other, person, joined)
    return person


def _rename_person(connection: Connection, old: str, new: str, joined: set[str]) -> None:
    have = select(t.alias.c.pseudonym).where(t.alias.c.person == new)
    connection.execute(delete(t.alias).where(t.alias.c.person == old, t.alias.c.pseudonym.in_(have)))
    _move(connection, "person", old, new, joined)


def _joined(connection: Connection, known: Iterable[str], joined: set[str]) -> str:
    groups = sorted(known)
    if not groups:
        return secrets.token_hex(16)
    subject_id, *others = groups
    for other in others:
        _move(connection, "subject_id", other, subject_id, joined)
        lanes = connection.execute(select(t.lane).where(t.lane.c.subject_id.in_([subject_id, other]))).all()
        connection.execute(delete(t.lane).where(t.lane.c.subject_id.in_([subject_id, other])))
        earliest = {}
        for lane in sorted(lanes, key=lambda row: row.due_at, reverse=True):
            earliest[lane.account_id] = lane
        for account_id, lane in earliest.items():
            connection.execute(
                insert(t.lane).values(
                    account_id=account_id, subject_id=subject_id, due_at=lane.due_at, attempts=lane.attempts
                )
            )
    return subject_id
