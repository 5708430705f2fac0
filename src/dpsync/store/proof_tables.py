"""The table that leads from a name of a person to their proof, and only from there."""

from sqlalchemy import Column, Integer, LargeBinary, Table, Text

from dpsync.store.columns import metadata

proof_of = Table(
    "proof_of",
    metadata,
    Column("pseudonym", Text, primary_key=True),  # of what the request names; of a kind that no other table has
    Column("box", LargeBinary, primary_key=True),  # sealed under what it names: the request's id and commit key
    Column("key_version", Integer, nullable=False),
    Column("year", Integer, nullable=False, server_default="0"),  # from which its period runs: nothing closer than that
    sqlite_with_rowid=False,  # row numbers would tell which request each belongs to
)
