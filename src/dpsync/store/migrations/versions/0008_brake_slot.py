"""What the brake has counted, by the half hour."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_SLOT = 1_800_000_000  # microseconds
_ADD = (
    "INSERT INTO brake_slot (slot, account_id, calls) SELECT NEW.brake_at / {slot}, NEW.account_id, 1 "
    "WHERE NEW.brake_at IS NOT NULL ON CONFLICT (slot, account_id) DO UPDATE SET calls = brake_slot.calls + 1;"
)
_TAKE = (
    "UPDATE brake_slot SET calls = calls - 1 WHERE OLD.brake_at IS NOT NULL "
    "AND slot = OLD.brake_at / {slot} AND account_id = OLD.account_id;"
)
_CHANGED = "OLD.brake_at IS DISTINCT FROM NEW.brake_at OR OLD.account_id <> NEW.account_id"


def upgrade() -> None:
    op.create_table(
        "brake_slot",
        sa.Column("slot", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("account_id", sa.Text(), primary_key=True),
        sa.Column("calls", sa.Integer(), nullable=False),
    )
    op.execute(
        "INSERT INTO brake_slot (slot, account_id, calls) "
        f"SELECT brake_at / {_SLOT}, account_id, count(*) FROM propagation WHERE brake_at IS NOT NULL GROUP BY 1, 2"
    )
    postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in _postgresql() if postgresql else _sqlite():
        op.execute(statement)


def _sqlite() -> list[str]:
    add, take, changed = _ADD.format(slot=_SLOT), _TAKE.format(slot=_SLOT), _CHANGED.replace("IS DISTINCT FROM", "IS NOT")
    return [
        f"CREATE TRIGGER propagation_braked AFTER INSERT ON propagation WHEN NEW.brake_at IS NOT NULL BEGIN {add} END",
        "CREATE TRIGGER propagation_braked_anew AFTER UPDATE OF brake_at, account_id ON propagation "
        f"WHEN {changed} BEGIN {take} {add} END",
    ]


def _postgresql() -> list[str]:
    add, take = _ADD.format(slot=_SLOT), _TAKE.format(slot=_SLOT)
    each = "ON propagation FOR EACH ROW"
    return [
        "CREATE FUNCTION count_braked() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN IF TG_OP = 'UPDATE' THEN {take} END IF; {add} RETURN NULL; END $$",
        f"CREATE TRIGGER propagation_braked AFTER INSERT {each} WHEN (NEW.brake_at IS NOT NULL) "
        "EXECUTE FUNCTION count_braked()",
        f"CREATE TRIGGER propagation_braked_anew AFTER UPDATE OF brake_at, account_id {each} WHEN ({_CHANGED}) "
        "EXECUTE FUNCTION count_braked()",
    ]
