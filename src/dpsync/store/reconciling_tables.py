"""The tables of what was found when a main database was compared with our requests."""

from sqlalchemy import Column, Index, LargeBinary, Table, Text, text

from dpsync.store.callback_tables import UNPROVEN
from dpsync.store.columns import Instant, metadata

listed_person = Table(
    "listed_person",
    metadata,
    Column("source", Text, primary_key=True),
    Column("person", Text, primary_key=True),  # somebody for whom something was asked; of nobody else is anything kept
    Column("first_at", Instant, nullable=False),
    info={UNPROVEN: "whom a main database listed that we know; it is found anew each day"},
)

source_finding = Table(
    "source_finding",
    metadata,
    Column("source", Text, primary_key=True),
    Column("key", Text, primary_key=True),  # keyed digest of the kind of difference and of the record
    Column("kind", Text, nullable=False),
    Column("right", Text, nullable=False),  # "" where it is about none
    Column("digest", Text, nullable=False),  # keyed, of what the record said: id, addresses, flags, version
    Column("sealed", LargeBinary, nullable=False),  # the id of the record, until it is closed
    Column("request_id", Text, nullable=False),  # what was made of it, "" for nothing
    Column("found_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Index(
        "source_finding_open",
        "source",
        postgresql_where=text("closed_at IS NULL"),
        sqlite_where=text("closed_at IS NULL"),
    ),
    info={UNPROVEN: "a difference that was found; what is asked because of it is a request with its entries"},
)
