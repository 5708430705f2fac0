"""The table of complaints and incidents: each step one row, only ever added."""

from sqlalchemy import Column, Index, LargeBinary, Table, Text

from dpsync.store.columns import Instant, Serial, metadata

case_act = Table(
    "case_act",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("case_id", Text, nullable=False),  # random; C-... a complaint, I-... an incident
    Column("kind", Text, nullable=False),  # the kind of its entry in the ledger
    Column("said", Text, nullable=False),  # JSON: codes, dates, numbers, ids of ours; no words of anybody
    Column("sealed", LargeBinary, nullable=False),  # who did it, and words: people write names there
    Column("os_user", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Index("case_act_case", "case_id", "id"),
)
