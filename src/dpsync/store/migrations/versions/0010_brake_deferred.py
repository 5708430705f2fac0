"""What counts for the brake can wait for a transaction's turn, so that two receivers need not wait for each other."""

from alembic import op

revision = "0010"
down_revision = "0009"

_CHANGED = "OLD.brake_at IS DISTINCT FROM NEW.brake_at OR OLD.account_id <> NEW.account_id"
_EACH = "ON propagation DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for statement in (
        "DROP TRIGGER propagation_braked ON propagation",
        "DROP TRIGGER propagation_braked_anew ON propagation",
        f"CREATE CONSTRAINT TRIGGER propagation_braked AFTER INSERT {_EACH} WHEN (NEW.brake_at IS NOT NULL) "
        "EXECUTE FUNCTION count_braked()",
        f"CREATE CONSTRAINT TRIGGER propagation_braked_anew AFTER UPDATE OF brake_at, account_id {_EACH} "
        f"WHEN ({_CHANGED}) EXECUTE FUNCTION count_braked()",
    ):
        op.execute(statement)
