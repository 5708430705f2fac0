"""What main databases are told of their requests."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_OPEN = sa.text("told_at IS NULL AND dropped_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "callback",
        sa.Column(
            "ordinal", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("id", sa.Text(), nullable=False, unique=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), sa.ForeignKey("request.id"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("named_in", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("said", sa.Text(), nullable=False, server_default=""),
        sa.Column("told_at", sa.BigInteger()),
        sa.Column("dropped_at", sa.BigInteger()),
    )
    op.create_index("callback_request", "callback", ["request_id"])
    op.create_index("callback_open", "callback", ["ordinal"], postgresql_where=_OPEN, sqlite_where=_OPEN)
    op.create_table(
        "callback_target",
        sa.Column("source", sa.Text(), primary_key=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("paused_until", sa.BigInteger()),
        sa.Column("stopped_at", sa.BigInteger()),
        sa.Column("stopped_url", sa.Text(), nullable=False),
    )
