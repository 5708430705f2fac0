"""From which year on the way from a person to their proof is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_MEAN_YEAR = 31_556_952_000_000
"""Microseconds. Nothing says of a box that is there already whose it is: it counts from the newest request's year."""


def upgrade() -> None:
    op.add_column("proof_of", sa.Column("year", sa.Integer(), nullable=False, server_default="0"))
    newest = "SELECT COALESCE(1970 + MAX(accepted_at) / :mean, 0) FROM request"
    op.get_bind().execute(sa.text(f"UPDATE proof_of SET year = ({newest})"), {"mean": _MEAN_YEAR})
