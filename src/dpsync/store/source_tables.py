"""The table that counts what main databases with a shape of their own have sent."""

from sqlalchemy import BigInteger, Column, Table, Text

from dpsync.store.callback_tables import UNPROVEN
from dpsync.store.columns import Instant, metadata

source_message = Table(
    "source_message",
    metadata,
    Column("source", Text, primary_key=True),
    Column("rule", Text, primary_key=True),  # of the mapping, by which it means nothing; "" where it meant something
    Column("times", BigInteger, nullable=False),
    Column("last_at", Instant, nullable=False),
    info={UNPROVEN: "how many messages a main database sent; each that asked for something is a request with entries"},
)
