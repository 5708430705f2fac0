"""The table of what people say a processor's contact is, in place of the settings: each one row, only ever added."""

from sqlalchemy import Column, Index, LargeBinary, Table, Text

from dpsync.store.columns import Instant, Serial, metadata

contact_named = Table(
    "contact_named",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("processor", Text, nullable=False),
    Column("instead_of", Text, nullable=False),  # the pseudonym of the address that the settings named then
    Column("pseudonym", Text, nullable=False),  # of the address that was named; the same again takes it back
    Column("sealed", LargeBinary, nullable=False),  # that address, who named it, and why
    Column("os_user", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Index("contact_named_processor", "processor", "id"),
)
