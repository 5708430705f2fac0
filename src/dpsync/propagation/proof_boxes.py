"""How a person's proof is found again by whoever has an address, a telephone number or an id of theirs in hand.

For each name that a request gives of the person there is a box, which only that name opens. It holds the request's id
and the key of its commitments. It stays when all else that says who it was is destroyed: that is what it is for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select

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
_KEYED = select(_R.ordinal, _R.id.label("request_id"), _R.sealed, _R.wrapped_key, _R.key_month).order_by(_R.ordinal)
_BOXES = select(proof_of.c.pseudonym, proof_of.c.box)


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


def put(connection: Connection, keys: Keys, names: Iterable[Leading]) -> None:
    """Make a box for each of `names`."""
    rows = [
        {
            "pseudonym": keys.proof_places(one.kind, one.value)[0],
            "box": keys.proof_box(one.kind, one.value, one.proof.request_id, one.proof.commit_key),
            "key_version": keys.key_version,
        }
        for one in names
    ]
    if rows:
        connection.execute(insert(proof_of), rows)


def find(connection: Connection, keys: Keys, kind: NameKind, value: str) -> list[Proof]:
    """The proof of each request that names the person so, in the order of their ids."""
    boxes = connection.execute(_BOXES.where(proof_of.c.pseudonym.in_(keys.proof_places(kind, value))))
    found = {proof.request_id: proof for row in boxes if (proof := _opened(keys, kind, value, row.box))}
    return [found[one] for one in sorted(found)]


def lacking(connection: Connection, keys: Keys, names: Sequence[Leading]) -> list[Leading]:
    """Those of `names` that lead to no box, or to none that opens to their proof."""
    places = {one: keys.proof_places(one.kind, one.value) for one in names}
    boxes: dict[str, list[bytes]] = {}
    for row in connection.execute(
        _BOXES.where(proof_of.c.pseudonym.in_({one for some in places.values() for one in some}))
    ):
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
    found = {row["request_id"]: _names_of(keyring, row) for row in rows}
    names = [one for some in found.values() for one in some or ()]
    put(connection, keyring.keys, lacking(connection, keyring.keys, names))
    return (rows[-1]["ordinal"] if rows else 0), sum(some is None for some in found.values())


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
