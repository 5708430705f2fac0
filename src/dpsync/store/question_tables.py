"""The table of what is asked of people of the controller by link: which question, until when, and how it ended."""

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, Text, text

from dpsync.store.columns import Instant, metadata

question = Table(
    "question",
    metadata,
    Column("id", Text, primary_key=True),  # random; the link is made of it and of its signature
    Column("request_id", Text, ForeignKey("request.id"), nullable=False),
    Column("role", Text, nullable=False),
    Column("asked", Text, nullable=False),  # processor and cause, one pair a line
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("mailed_at", Instant),
    Column("closed_at", Instant),
    Column("outcome", Text, nullable=False, server_default=""),  # how it ended, "" while it is open
    Column("ended_told_at", Instant),  # when whoever was asked was told how it ended
    Column("code_mac", Text, nullable=False, server_default=""),  # of the newest code, "" where none is valid
    Column("code_at", Instant),
    Column("codes", Integer, nullable=False, server_default="0"),  # how many were made
    Column("wrong", Integer, nullable=False, server_default="0"),  # wrong tries since the newest
    Column("wrong_ever", Integer, nullable=False, server_default="0"),
    Index("question_request", "request_id", "role"),
    Index(
        "question_open",
        "expires_at",
        postgresql_where=text("closed_at IS NULL"),
        sqlite_where=text("closed_at IS NULL"),
    ),
)
