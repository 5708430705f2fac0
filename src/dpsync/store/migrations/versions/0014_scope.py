"""What an opt-out is from, where it is not from all marketing."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("request", sa.Column("scope", sa.Text(), nullable=False, server_default=""))
