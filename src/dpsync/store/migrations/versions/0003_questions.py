"""What is asked of people of the controller by link."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "question",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("request_id", sa.Text(), sa.ForeignKey("request.id"), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("mailed_at", sa.BigInteger()),
        sa.Column("closed_at", sa.BigInteger()),
        sa.Column("outcome", sa.Text(), nullable=False, server_default=""),
        sa.Column("ended_told_at", sa.BigInteger()),
        sa.Column("code_mac", sa.Text(), nullable=False, server_default=""),
        sa.Column("code_at", sa.BigInteger()),
        sa.Column("codes", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("wrong", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("wrong_ever", sa.Integer(), nullable=False, server_default="0"),
    )
    op.create_index("question_request", "question", ["request_id", "role"])
    op.create_index(
        "question_open",
        "question",
        ["expires_at"],
        postgresql_where=sa.text("closed_at IS NULL"),
        sqlite_where=sa.text("closed_at IS NULL"),
    )
