"""The table of what opens a privacy platform's job to our answer, until it has it."""

from sqlalchemy import Column, ForeignKey, LargeBinary, Table, Text

from dpsync.store.callback_tables import UNPROVEN
from dpsync.store.columns import metadata

platform_job = Table(
    "platform_job",
    metadata,
    Column("request_id", Text, ForeignKey("request.id"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # whoever has it may answer in our place
    info={UNPROVEN: "by what a platform is answered about a request: a secret, destroyed once it has our answer"},
)
