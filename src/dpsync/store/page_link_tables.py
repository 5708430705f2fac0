"""The table of the links to read-only pages that our own mails carry: what each opens, for whom, and until when."""

from sqlalchemy import Column, Index, Integer, Table, Text

from dpsync.store.columns import Instant, metadata

page_link = Table(
    "page_link",
    metadata,
    Column("id", Text, primary_key=True),  # random; the link is made of it and of its signature
    Column("kind", Text, nullable=False),  # of the page
    Column("about", Text, nullable=False, server_default=""),  # a month or a request, "" where the kind says it all
    Column("role", Text, nullable=False),  # to whom it was mailed
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Column("code_mac", Text, nullable=False, server_default=""),  # of the newest code, "" where none is valid
    Column("code_at", Instant),
    Column("codes", Integer, nullable=False, server_default="0"),  # how many were made
    Column("wrong", Integer, nullable=False, server_default="0"),  # wrong tries since the newest
    Column("wrong_ever", Integer, nullable=False, server_default="0"),
    Index("page_link_page", "kind", "about", "role"),
)
