"""Persons: who is certainly another, and who may be the same."""

from sqlalchemy import Connection, bindparam, select

from dpsync.store import tables as t

NAMELESS = "~"
"""First sign of a person without an id of the main database."""

_OWN = t.alias.alias("own")
_ANOTHER_ID = (
    select(t.alias.c.person)
    .join(_OWN, _OWN.c.pseudonym == t.alias.c.pseudonym)
    .where(
        _OWN.c.person == bindparam("person"),
        t.alias.c.person != bindparam("person"),
        ~t.alias.c.person.startswith(NAMELESS),
    )
    .limit(1)
)


def shares_an_address(connection: Connection, person: str) -> bool:
    """Whether another id uses any address this person was ever named by.

    An address that came without an id may be the same person's; only another *id* is another person for sure.
    """
    return connection.execute(_ANOTHER_ID, {"person": person}).first() is not None


def may_be_same(one: str, other: str) -> bool:
    """Whether two persons of one subject may be one: for holding back, never for merging."""
    return one == other or one.startswith(NAMELESS) or other.startswith(NAMELESS)
