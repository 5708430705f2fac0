"""What opens a privacy platform's job to our answer."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "platform_job",
        sa.Column("request_id", sa.Text(), sa.ForeignKey("request.id"), primary_key=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
