"""The way from a person to their proof."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "proof_of",
        sa.Column("pseudonym", sa.Text(), primary_key=True),
        sa.Column("box", sa.LargeBinary(), primary_key=True),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sqlite_with_rowid=False,
    )
