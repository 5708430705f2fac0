"""Links to read-only pages."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "page_link",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False, server_default=""),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.Column("code_mac", sa.Text(), nullable=False, server_default=""),
        sa.Column("code_at", sa.BigInteger()),
        sa.Column("codes", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("wrong", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("wrong_ever", sa.Integer(), nullable=False, server_default="0"),
    )
    op.create_index("page_link_page", "page_link", ["kind", "about", "role"])
