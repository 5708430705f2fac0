"""Who shares an address with whom."""

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, or_, select

from dpsync.propagation.rules.persons import NAMELESS
from dpsync.store import tables as t

BY_PHONE = "tel:"
"""First characters of the pseudonym of a telephone number."""

_OWN = t.alias.alias("own")
_ANOTHER_ID = (
    select(_OWN.c.person)
    .distinct()
    .join(t.alias, _OWN.c.pseudonym == t.alias.c.pseudonym)
    .where(
        _OWN.c.person.in_(bindparam("persons", expanding=True)),
        t.alias.c.person != _OWN.c.person,
        ~t.alias.c.person.startswith(NAMELESS),
        # A household has one telephone; whoever is known by an id is not told apart by it.
        or_(_OWN.c.person.startswith(NAMELESS), ~_OWN.c.pseudonym.startswith(BY_PHONE)),
    )
)


def shares_an_address(connection: Connection, person: str) -> bool:
    """Whether another id uses any address this person was ever named by.

    An address that came without an id may be the same person's; only another *id* is another person for sure.
    """
    return bool(sharing_an_address(connection, {person}))


def sharing_an_address(connection: Connection, persons: Collection[str]) -> frozenset[str]:
    """Those of many persons who share an address so."""
    if not persons:
        return frozenset()
    return frozenset(connection.execute(_ANOTHER_ID, {"persons": sorted(persons)}).scalars())
