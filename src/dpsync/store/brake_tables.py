"""The table of what the brake has counted: how many an account in each half hour, kept by triggers of the database.

The rows of `propagation` are the truth. So that not all of a day are counted with each reception, each change of
`brake_at` or `account_id` is counted here in the same transaction, whoever makes it (migration 0008). A migration that
makes the table `propagation` anew must make the triggers anew, too.
"""

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from dpsync.store.columns import metadata

SLOT_SECONDS = 1800
"""How long a slot is. Slot 0 begins with the epoch, as all times that are stored."""

brake_slot = Table(
    "brake_slot",
    metadata,
    Column("slot", BigInteger, primary_key=True, autoincrement=False),
    Column("account_id", Text, primary_key=True),
    Column("calls", Integer, nullable=False),
)
