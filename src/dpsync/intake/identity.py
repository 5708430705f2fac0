"""Who is who: which requests are about one person, and which only share an address.

A *person* is one id of the main database or, where it gave none, everybody who was named only by the same addresses. A
*subject* is a group of persons connected by shared addresses or telephones: within it requests are ordered, but nothing
is merged. A family address is not one person, and a telephone says who is meant only where nothing else does.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from dpsync.intake import merged_records, welcome
from dpsync.ledger import entry, rows
from dpsync.ledger.entry import EntryKind
from dpsync.model import Request
from dpsync.propagation.commitments import key_of, names_said, rows_said
from dpsync.propagation.controller import Controller
from dpsync.propagation.persons import BY_PHONE, may_reach_others
from dpsync.propagation.rules.persons import NAMELESS
from dpsync.sealing import Keys
from dpsync.store import tables as t
from dpsync.store.beside import alone
from dpsync.store.reconciling_tables import listed_person
from dpsync.store.upsert import insert_missing
from dpsync.store.writer import Unit

PSEUDONYM: Final = "pseudonym"
"""What the entry is called that tells that the names of a request's person are destroyed."""

_KNOWN = select(t.alias.c.pseudonym, t.alias.c.person, t.alias.c.subject_id).where(
    or_(
        t.alias.c.pseudonym.in_(bindparam("named", expanding=True)),
        t.alias.c.person.in_(bindparam("persons", expanding=True)),
    )
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


def names_of(request: Request, keys: Keys) -> list[tuple[str, ...]]:
    """Each name of the person once, the id last: its pseudonyms under all peppers, the newest first."""
    return list(
        dict.fromkeys(
            tuple(f"{BY_PHONE if kind == 'phone' else ''}{one}" for one in keys.pseudonyms(kind, value))
            for kind, value in request.named
        )
    )


def known_of(connection: Connection, names: Iterable[str]) -> frozenset[str]:
    """Those of many names that anybody was ever called by, or that are of a record which was merged into another."""
    wanted = list(names)
    found = connection.execute(_BORNE, {"named": wanted}).scalars().all()
    persons = connection.execute(_PERSONS, {"named": wanted}).scalars()
    return frozenset([*found, *persons, *merged_records.known(connection, wanted)])


def introduce(connection: Connection, keys: Keys, requests: Sequence[Request]) -> list[Identity]:
    """Make the identities of subjects that nobody has ever named, each another's than the others'."""
    people: list[Identity] = []
    written: list[dict[str, Any]] = []
    for request in requests:
        names = names_of(request, keys)
        person = names[-1][0] if request.subject.id else NAMELESS + secrets.token_hex(16)
        subject_id = secrets.token_hex(16)
        named = _rows_of([versions[0] for versions in names], person, subject_id, keys.key_version)
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
    alone(connection)  # who is found may be joined with others, and what waits for them anywhere moves
    names, known, own_id = _met(connection, keys, request)
    joined: set[str] = set()
    person = own_id or _nameless(connection, _persons_without_id(request, known), joined)
    subject_id = _joined(connection, {row.subject_id for row in known}, joined)
    for request_id in sorted(joined):
        tell_joined(unit, controller, request_id, now)
    _remember(connection, keys, names, known, person, subject_id)
    shared = bool(may_reach_others(connection, {person}))
    return Identity(subject_id, person, shared, names_said(connection, keys, person))


def person_of(connection: Connection, keys: Keys, request: Request) -> str:
    """Whom the id of a request's subject stands for, though nobody may have asked for anybody under it yet."""
    person = _met(connection, keys, request)[2]
    if person is None:
        raise ValueError("it names no id")
    return person


def is_known(connection: Connection, keys: Keys, request: Request) -> bool:
    """Whether anybody was ever asked for under the id of a request's subject, or under that which it went into."""
    person = person_of(connection, keys, request)
    return connection.execute(select(t.alias.c.person).where(t.alias.c.person == person).limit(1)).first() is not None


def join(unit: Unit, controller: Controller, losers: Sequence[Request], winner: Request, now: datetime) -> bool:
    """Make one person of those whom several ids stand for, and of the names of all of them; whether anybody is known.

    What was asked for them goes on under the winner in the order in which it came. Versions rise for each record by
    itself, so none of what the others asked is compared by its version any more.
    """
    connection, keys = unit.connection, controller.keys
    person = person_of(connection, keys, winner)
    lost = {person_of(connection, keys, one) for one in losers} - {person}
    joined = set(connection.execute(select(t.request.c.id).where(t.request.c.person.in_([person, *lost]))).scalars())
    if not joined:
        return False
    for table in (t.request, t.propagation):
        connection.execute(update(table).where(table.c.person.in_(lost)).values(version=None))
    for other in sorted(lost):
        _rename_person(connection, other, person, joined)
    names = list(dict.fromkeys(name for one in (winner, *losers) for name in names_of(one, keys)))
    known = _known(connection, names, [person])
    subject_id = _joined(connection, {row.subject_id for row in known}, joined)
    _remember(connection, keys, names, known, person, subject_id)
    for request_id in sorted(joined):
        tell_joined(unit, controller, request_id, now)
    return True


def recognise(connection: Connection, keys: Keys, request: Request) -> Recognised:
    """Whom `resolve` would find, by reading only."""
    _, known, own_id = _met(connection, keys, request)
    persons = {own_id} if own_id else _persons_without_id(request, known)
    # An address that is new to this person may be another id's already; a household's telephone says nothing of an id.
    taken = any(
        row.person not in persons
        and not row.person.startswith(NAMELESS)
        and not (own_id and row.pseudonym.startswith(BY_PHONE))
        for row in known
    )
    shared = taken or bool(may_reach_others(connection, persons))
    return Recognised(frozenset(persons), tuple(sorted({row.subject_id for row in known})), shared)


def _met(
    connection: Connection, keys: Keys, request: Request
) -> tuple[list[tuple[str, ...]], Sequence[Any], str | None]:
    """The names, whoever bears one of them, and the person that the id stands for: as it was first written.

    Of a record that was merged it is the winner's, also where nobody of the two was known until now.
    """
    names = names_of(request, keys)
    own = names[-1] if request.subject.id else ()
    winner = merged_records.last_winner(connection, keys, own) if own else ()
    known = _known(connection, names, [*own, *winner])
    before = {row.person for row in known}
    joined_to = next((row.person for row in known if row.pseudonym in own), None)
    person = joined_to or next((one for one in winner or own if one in before), (winner or own or (None,))[0])
    return names, known, person


def _known(connection: Connection, names: Iterable[tuple[str, ...]], persons: Sequence[str]) -> Sequence[Any]:
    wanted = {"named": [one for versions in names for one in versions], "persons": list(persons)}
    return connection.execute(_KNOWN, wanted).all()


def _remember(
    connection: Connection,
    keys: Keys,
    names: Sequence[tuple[str, ...]],
    known: Iterable[Any],
    person: str,
    subject_id: str,
) -> None:
    older = [one for versions in names for one in versions[1:]]
    borne = {row.pseudonym for row in known} | set(merged_records.known(connection, older))
    remembered = {row.pseudonym for row in known if row.person == person}
    for place, version in enumerate(range(keys.key_version, 0, -1)):
        # By an older one, too, where somebody bears it or it went into another record: both are seen by a pseudonym
        # that stands in two places.
        named = [one[place] for one in names if place == 0 or one[place] in borne]
        fresh = [one for one in named if one not in remembered]
        insert_missing(connection, t.alias, _rows_of(fresh, person, subject_id, version))


def _rows_of(names: Iterable[str], person: str, subject_id: str, version: int) -> list[dict[str, Any]]:
    return [{"pseudonym": name, "person": person, "key_version": version, "subject_id": subject_id} for name in names]


def _persons_without_id(request: Request, known: Iterable[Any]) -> set[str]:
    """Who of those without an id is meant: by address; and by telephone where nothing else is named.

    A household has one telephone: where several are known by it, it is one more of them.
    """
    nameless = [row for row in known if row.person.startswith(NAMELESS)]
    if request.addresses:
        return {row.person for row in nameless if not row.pseudonym.startswith(BY_PHONE)}
    persons = {row.person for row in nameless}
    return persons if len(persons) == 1 else set()


def unname(unit: Unit, controller: Controller, person: str, now: datetime) -> None:
    """Destroy the pseudonyms of a person: what was asked of them is from then on of somebody without any name."""
    joined: set[str] = set()
    fresh = NAMELESS + secrets.token_hex(16)
    for table in (t.alias, listed_person):
        unit.connection.execute(delete(table).where(table.c.person == person))
    welcome.forget(unit.connection, person)
    _move(unit.connection, "person", person, fresh, joined)
    said = names_said(unit.connection, controller.keys, fresh)
    for request_id in sorted(joined):
        unit.append(request_id, entry.encode(EntryKind.JOINED, now, req=request_id, kind=PSEUDONYM, rows=said))


def tell_joined(unit: Unit, controller: Controller, request_id: str, now: datetime) -> None:
    """An entry of a request that commits to it, and to all names of its person, as they stand now."""
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
