"""What was learned from faults, strangers and real software.

A column that is added to a table with rows and may not be empty needs the `server_default` that stands in
`store/tables.py`, for both engines. Whatever SQLite cannot alter goes through `op.batch_alter_table`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _alerts_are_gathered()
    _refusals_are_counted()
    op.add_column("account", sa.Column("blocked_since", sa.BigInteger()))


def _alerts_are_gathered() -> None:
    with op.batch_alter_table("alert", naming_convention={"uq": "%(table_name)s_%(column_0_N_name)s_key"}) as batch:
        batch.add_column(sa.Column("part", sa.Integer(), nullable=False, server_default="1"))
        batch.drop_constraint("alert_cause_day_key", type_="unique")
        batch.create_unique_constraint("alert_cause_day_part_key", ["cause", "day", "part"])
    op.create_table(
        "alert_concern",
        sa.Column("cause", sa.Text(), primary_key=True),
        sa.Column("day", sa.Text(), primary_key=True),
        sa.Column("about", sa.Text(), primary_key=True),
        sa.Column("alert_id", sa.BigInteger(), sa.ForeignKey("alert.id"), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
    )
    op.create_index("alert_concern_alert", "alert_concern", ["alert_id"])


def _refusals_are_counted() -> None:
    op.create_table(
        "refusal",
        sa.Column("day", sa.Text(), primary_key=True),
        sa.Column("source", sa.Text(), primary_key=True),
        sa.Column("status", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("field", sa.Text(), primary_key=True),
        sa.Column("told", sa.Boolean(), primary_key=True),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("said", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
    )
