"""What was learned from faults, strangers and real software.

A column that is added to a table with rows and may not be empty needs the `server_default` that stands in
`store/tables.py`, for both engines. Whatever SQLite cannot alter goes through `op.batch_alter_table`.
"""

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    pass
