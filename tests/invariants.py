"""What holds of every store at every moment when nothing is under way, whatever happened before."""

from sqlalchemy import Connection, select

from dpsync.ledger.comparison import differences
from dpsync.model import State
from dpsync.store import tables as t
from dpsync.store.database import reading
from tests.builders import World


def lane_faults(connection: Connection) -> list[str]:
    """Pending work that no lane would ever bring up, and lanes that stand for nothing."""
    p = t.propagation.c
    rows = connection.execute(select(p.account_id, p.subject_id).where(p.state == State.PENDING)).all()
    pending = {tuple(row) for row in rows}
    lanes = {tuple(row) for row in connection.execute(select(t.lane.c.account_id, t.lane.c.subject_id))}
    return [
        *(f"pending without a lane at {account}" for account, _ in pending - lanes),
        *(f"a lane without pending work at {account}" for account, _ in lanes - pending),
    ]


def unanswered(connection: Connection) -> int:
    """Attempts that were begun and stand without an answer."""
    return len(connection.execute(select(t.attempt.c.id).where(t.attempt.c.ended_at.is_(None))).all())


def faults(world: World) -> list[str]:
    """Everything that is wrong with a store at rest: lanes, unanswered attempts, the ledger."""
    with reading(world.engine) as connection:
        found = lane_faults(connection)
        if cut := unanswered(connection):
            found.append(f"{cut} unanswered attempts")
        found += world.log.verify(connection, full=True).problems
        found += differences(connection)
    return found
