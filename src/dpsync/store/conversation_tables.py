"""The tables of private conversations that a processor keeps, and that must be gone after a while."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from dpsync.store.columns import Instant, Serial, metadata

conversation = Table(
    "conversation",
    metadata,
    Column("processor", Text, primary_key=True),
    Column("pseudonym", Text, primary_key=True),  # of the vendor's conversation id
    Column("reference", Text, nullable=False, unique=True),  # DPS-...: what people call it
    Column("contact", Text, nullable=False),  # pseudonym of the vendor's contact id
    Column("sealed", LargeBinary),  # the vendor's ids; destroyed when an export shows that it is gone
    Column("state", Text, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("due_on", Text, nullable=False),  # the last day by the rule
    Column("until_on", Text),  # the last day by a named exception
    Column("overdue_at", Instant, nullable=False),  # the first moment that is overdue, exception included
    Column("open", Boolean, nullable=False),  # as last seen; no export shows what is open
    Column("told_at", Instant),  # when a webhook first told of it; empty: known from an export only
    Column("seen_at", Instant, nullable=False),  # the newest moment at which the vendor named it
    Column("claimed_at", Instant),  # when it was last attested, or verified by an export
    Column("contradicted_at", Instant),
    Index("conversation_overdue", "processor", "overdue_at"),
)

retention_act = Table(
    "retention_act",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("processor", Text, nullable=False),
    Column("kind", Text, nullable=False),  # model.ActKind
    Column("at", Instant, nullable=False),
    Column("conversations", Integer, nullable=False),  # how many it concerns
    Column("sealed", LargeBinary),  # who, and why or how: people write names there
    Column("os_user", Text, nullable=False, server_default=""),
    Column("until_on", Text),
    Column("next_on", Text),  # of a check, or a statement about open ones: by when the next one is due
    # of a check
    Column("file_sha256", Text),
    Column("file_rows", Integer),
    Column("older", Integer),  # rows of conversations that should be gone
    Column("oldest_on", Text),
    Column("from_on", Text),
    Column("to_on", Text),
    # of a work list
    Column("list_id", Text),  # random: what reference, link and Message-IDs are made of
    Column("reference", Text, unique=True),
    Column("token_hash", Text, unique=True),
    Column("answer_by", Instant),
    Column("expires_at", Instant),
    Column("reminded_at", Instant),
    Column("escalated_at", Instant),
    Index("retention_act_kind", "processor", "kind", "at"),
)

retention_act_row = Table(
    "retention_act_row",
    metadata,
    Column("act_id", BigInteger, ForeignKey("retention_act.id"), primary_key=True),
    Column("pseudonym", Text, primary_key=True),
)

retention_letter = Table(
    "retention_letter",
    metadata,
    Column("act_id", BigInteger, ForeignKey("retention_act.id"), primary_key=True),
    Column("kind", Text, primary_key=True),  # first, reminder, backup
    Column("message_id", Text, nullable=False, unique=True),
    Column("created_at", Instant, nullable=False),
    Column("sent_at", Instant),
)
