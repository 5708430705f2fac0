"""How a person's proof is found again by whoever has an address, a telephone number or an id of theirs in hand.

For each name that a request gives of the person there is a box, which only that name opens. It holds the request's id
and the key of its commitments. It stays when all else that says who it was is destroyed: that is what it is for. It has
a period of its own, which runs from a year: a closer date would tell which request a box belongs to.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from dpsync.errors import KeyProblem
from dpsync.model import NameKind, Request
from dpsync.propagation.commitments import Keyring, opened
from dpsync.sealing import Keys
from dpsync.store import meta
from dpsync.store import tables as t
from dpsync.store.proof_tables import proof_of

AT_ONCE = 200
"""Requests whose boxes are made in one transaction, where they are from before there were any."""

UNFINDABLE = "unfindable"
"""The row of `meta` that says to how many requests no box leads: they were forgotten, or did not open, before."""

_R = t.request.c
_KEYED = select(
    _R.ordinal, _R.id.label("request_id"), _R.sealed, _R.wrapped_key, _R.key_month, _R.accepted_at
).order_by(_R.ordinal)
_B = proof_of.c
_BOXES = select(_B.pseudonym, _B.box)


@dataclass(frozen=True, slots=True)
class Proof:
    """What a box holds: whose proof, and the 32 bytes that open its commitments."""

    request_id: str
    commit_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Leading:
    """A name that leads to a proof. It is personal data."""

    kind: NameKind
    value: str = field(repr=False)
    proof: Proof


def leading(request: Request, proof: Proof) -> list[Leading]:
    """Every name of the person that a request gives."""
    return [Leading(kind, value, proof) for kind, value in request.named]


def put(connection: Connection, keys: Keys, names: Iterable[Leading], year: int) -> None:
    """Make a box for each of `names`, whose period runs from `year`."""
    rows = [
        {
            "pseudonym": keys.proof_places(one.kind, one.value)[0],
            "box": keys.proof_box(one.kind, one.value, one.proof.request_id, one.proof.commit_key),
            "key_version": keys.key_version,
            "year": year,
        }
        for one in names
    ]
    if rows:
        connection.execute(insert(proof_of), rows)


def find(connection: Connection, keys: Keys, kind: NameKind, value: str) -> list[Proof]:
    """The proof of each request that names the person so, in the order of their ids."""
    boxes = connection.execute(_BOXES.where(_B.pseudonym.in_(keys.proof_places(kind, value))))
    found = {proof.request_id: proof for row in boxes if (proof := _opened(keys, kind, value, row.box))}
    return [found[one] for one in sorted(found)]


def lacking(connection: Connection, keys: Keys, names: Sequence[Leading]) -> list[Leading]:
    """Those of `names` that lead to no box, or to none that opens to their proof."""
    places = {one: keys.proof_places(one.kind, one.value) for one in names}
    boxes: dict[str, list[bytes]] = {}
    for row in connection.execute(_BOXES.where(_B.pseudonym.in_({one for some in places.values() for one in some}))):
        boxes.setdefault(row.pseudonym, []).append(row.box)
    return [
        one
        for one, some in places.items()
        if all(_opened(keys, one.kind, one.value, box) != one.proof for place in some for box in boxes.get(place, ()))
    ]


def unfindable(connection: Connection) -> int | None:
    """To how many requests no box leads, because they are from before there were boxes and did not open any more.

    None as long as those of that time that do open have none either.
    """
    said = meta.value_of(connection, UNFINDABLE)
    return None if said is None else int(said)


def make_missing(connection: Connection, keyring: Keyring, after: int) -> tuple[int, int]:
    """Make the boxes of the next requests after the ordinal `after`, as far as they lack them and still open.

    Gives the last ordinal, 0 at the end, and how many did not open. Twice changes nothing.
    """
    rows = connection.execute(_KEYED.where(_R.ordinal > after).limit(AT_ONCE)).mappings().all()
    shut, of_year = 0, dict[int, list[Leading]]()
    for row in rows:
        names = _names_of(keyring, row)
        shut += names is None
        of_year.setdefault(row["accepted_at"].year, []).extend(names or ())
    for year, some in of_year.items():
        put(connection, keyring.keys, lacking(connection, keyring.keys, some), year)
    return (rows[-1]["ordinal"] if rows else 0), shut


def renew(connection: Connection, keyring: Keyring, ids: Sequence[str], year: int) -> None:
    """Have the period of the boxes that lead to these requests run from `year`, as far as the requests still open."""
    for row in connection.execute(_KEYED.where(_R.id.in_(ids))).mappings().all():
        for one in _names_of(keyring, row) or ():
            places = _B.pseudonym.in_(keyring.keys.proof_places(one.kind, one.value))
            for pseudonym, box in connection.execute(_BOXES.where(places)).all():
                if _opened(keyring.keys, one.kind, one.value, box) == one.proof:
                    here = (_B.pseudonym == pseudonym, _B.box == box)
                    connection.execute(update(proof_of).where(*here).values(year=year))


def kept_since(connection: Connection) -> int | None:
    """From which year the oldest period runs; None where there is no box."""
    year: int | None = connection.execute(select(func.min(_B.year))).scalar_one()
    return year


def drop(connection: Connection, year: int) -> dict[int, int]:
    """Destroy the boxes of that year and of all before it; how many of each. Nothing leads from a name there then."""
    over = _B.year <= year
    asked = select(_B.year, func.count()).where(over).group_by(_B.year).order_by(_B.year)
    counted = {row[0]: int(row[1]) for row in connection.execute(asked)}
    connection.execute(delete(proof_of).where(over))
    return counted


def _names_of(keyring: Keyring, row: RowMapping) -> list[Leading] | None:
    try:
        there = opened(keyring, dict(row))
    except KeyProblem:
        return None
    return leading(there[1], Proof(row["request_id"], there[0].commit_key)) if there else None


def _opened(keys: Keys, kind: NameKind, value: str, box: Any) -> Proof | None:
    try:
        return Proof(*keys.open_proof_box(kind, value, bytes(box)))
    except KeyProblem:
        return None
