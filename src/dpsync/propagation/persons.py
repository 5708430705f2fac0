"""Whose erasure may reach somebody else: who shares an address with whom, and who was several records before."""

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, bindparam, exists, or_, select

from dpsync.propagation.rules.persons import NAMELESS
from dpsync.store import tables as t

BY_PHONE = "tel:"
"""First characters of the pseudonym of a telephone number."""

MERGED: Final = "merged record"
"""What a row of table `shelf` is called that says that a record was merged into another: it stands where a processor's
name stands, which has no spaces. Its key is the pseudonym of the id that is gone."""

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
_OF_SEVERAL = (
    select(t.alias.c.person)
    .distinct()
    .where(t.alias.c.person.in_(bindparam("persons", expanding=True)))
    .where(exists().where(t.shelf.c.processor == MERGED, t.shelf.c.key == t.alias.c.pseudonym))
)


def may_reach_others(connection: Connection, persons: Collection[str]) -> frozenset[str]:
    """Those of many persons of whom an erasure may reach somebody else.

    Another id uses an address that this person was ever named by, or a merge, which may be a mistake, made one person
    of several records. An address that came without an id may be the same person's; only another *id* is another
    person for sure.
    """
    if not persons:
        return frozenset()
    asked = {"persons": sorted(persons)}
    return frozenset(one for found in (_ANOTHER_ID, _OF_SEVERAL) for one in connection.execute(found, asked).scalars())
