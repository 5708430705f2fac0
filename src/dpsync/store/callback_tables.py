"""The tables of what main databases are told: each message until one took it, and how each of them is just now."""

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, Text, text

from dpsync.store.columns import Instant, Serial, metadata

UNPROVEN = "unproven"
"""Under which name a table says why it proves nothing."""

callback = Table(
    "callback",
    metadata,
    Column("ordinal", Serial, primary_key=True, autoincrement=True),  # the order in which they go
    Column("id", Text, nullable=False, unique=True),  # random: the webhook-id, the same for each attempt
    Column("source", Text, nullable=False),  # whom it is for
    Column("request_id", Text, ForeignKey("request.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("named_in", Text, nullable=False),  # the request that says who the person is, "" where nobody is named
    Column("body", Text, nullable=False),  # without the person, who is put in when it goes
    Column("made_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("said", Text, nullable=False, server_default=""),  # why the newest attempt told nobody, in words of ours
    Column("told_at", Instant),  # when it was taken: the first answer of the 200s
    Column("dropped_at", Instant),  # when it could not be sent any more
    Index("callback_request", "request_id"),
    Index(
        "callback_open",
        "ordinal",
        postgresql_where=text("told_at IS NULL AND dropped_at IS NULL"),
        sqlite_where=text("told_at IS NULL AND dropped_at IS NULL"),
    ),
    info={UNPROVEN: "what a main database was told; it has the message itself, with our signature"},
)

callback_target = Table(
    "callback_target",
    metadata,
    Column("source", Text, primary_key=True),
    Column("failures", Integer, nullable=False),  # in a row
    Column("paused_until", Instant),
    Column("stopped_at", Instant),  # when it said that nothing is to be sent there any more
    Column("stopped_url", Text, nullable=False),  # keyed digest of the address that said so
    info={UNPROVEN: "how a main database answers just now: when it is called again"},
)
