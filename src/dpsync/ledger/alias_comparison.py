"""Whether the names by which each person is known are those that the ledger tells of.

They decide whose earlier requests a new one meets, hence who is erased: one that is forged would erase the wrong person
or hide one. The last entry about any request of a person commits to all names of that person.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, bindparam, select

from dpsync.ledger import rows, stored_rows
from dpsync.ledger.told import Kept, RequestTold
from dpsync.sealing import Keys
from dpsync.store import tables as t

PAGE = 500
_A = t.alias.c
_PERSONS = select(_A.person).where(_A.person > bindparam("last")).group_by(_A.person).order_by(_A.person).limit(PAGE)
_NAMES = (
    select(*stored_rows.columns_of(t.alias))
    .where(_A.person.in_(bindparam("persons", expanding=True)))
    .order_by(_A.person, _A.pseudonym)
)


class Known:
    """The persons of all requests: what the last entry of each says of its names, and which request that was about."""

    def __init__(self) -> None:
        self._by_person: dict[object, tuple[Kept | None, object]] = {}

    def hear(self, row: Mapping[str, Any], said: RequestTold) -> None:
        """Go on by the next request."""
        kept, before = said.rows.get(("alias", "", 0)), self._by_person.get(row["person"], (None, None))[0]
        if before is None or (kept is not None and kept.idx > before.idx):
            self._by_person[row["person"]] = kept, row["id"]

    def problems(self, connection: Connection, keys: Keys) -> Iterator[str]:
        """What is not as committed. Whose requests are all from before names were committed is not compared."""
        key, left, last = rows.own_key(keys), dict(self._by_person), ""
        while persons := connection.execute(_PERSONS, {"last": last}).scalars().all():
            last = persons[-1]
            found = stored_rows.dicts(connection.execute(_NAMES, {"persons": persons}))
            for person, some in groupby(found, key=lambda row: row["person"]):
                if person not in left:
                    yield "alias: person, pseudonym of a row: no request is about such a person"
                    continue
                yield from _of_person(key, *left.pop(person), list(some))
        for kept, request_id in left.values():
            yield from _of_person(key, kept, request_id, [])


def _of_person(key: bytes, kept: Kept | None, request_id: object, some: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    columns = rows.differing(key, kept.said, rows.names(some)) if kept else []
    if kept and columns:
        named = ", ".join(columns)
        yield f"request {request_id}, alias: {named} of its person not as entry {kept.idx} recorded it"
