"""What holds of every store at every moment when nothing is under way, whatever happened before."""

from sqlalchemy import Connection, select

from dpsync.ledger.comparison import differences
from dpsync.model import CLOSED_STATES, Cause, State
from dpsync.propagation import owed
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


def timer_faults(connection: Connection) -> list[str]:
    """What nothing but time would bring on, and no time is set; and half a timer."""
    found = []
    for row in connection.execute(select(t.propagation)):
        named = f"{row.processor} {row.right} {row.state}"
        if (row.timer == "") is not (row.timer_at is None):
            found.append(f"half a timer: {named}")
        if row.timer == "" and row.state in {State.ACCEPTED, State.HANDED_OVER}:
            found.append(f"an answer is owed, and nobody would notice its silence: {named}")
        if row.timer != "cooling_off" and Cause.COOLING_OFF in row.causes.split(","):
            found.append(f"a cooling-off that never ends: {named}")
    return found


def account_faults(connection: Connection) -> list[str]:
    """Work at an account without a row, once a worker has begun, and an account whose owner no heartbeat speaks for."""
    accounts = {row.id: row.owner for row in connection.execute(select(t.account))}
    workers = set(connection.execute(select(t.worker.c.id)).scalars())
    used = set(connection.execute(select(t.lane.c.account_id).union(select(t.propagation.c.account_id))).scalars())
    return [
        *(f"an account that no worker can take: {name}" for name in used - accounts.keys() if accounts),
        *(f"owned by nobody: {name}" for name, owner in accounts.items() if owner and owner not in workers),
    ]


def request_faults(connection: Connection) -> list[str]:
    """Requests that are closed with something open in them, or open with everything closed."""
    states: dict[str, set[str]] = {}
    for row in connection.execute(select(t.propagation.c.request_id, t.propagation.c.state)):
        states.setdefault(row.request_id, set()).add(row.state)
    closed = {row.id: row.closed_at is not None for row in connection.execute(select(t.request))}
    return [
        f"a request is {'closed' if closed[name] else 'open'} with {sorted(held)}"
        for name, held in states.items()
        if closed[name] is not all(State(state) in CLOSED_STATES for state in held)
    ]


def unanswered(connection: Connection) -> int:
    """Attempts that were begun and stand without an answer."""
    return len(connection.execute(select(t.attempt.c.id).where(t.attempt.c.ended_at.is_(None))).all())


def faults(world: World, planted: str = "") -> list[str]:
    """Everything that is wrong with a store at rest: lanes, timers, owners, unanswered attempts, the ledger.

    `planted`: a request that the test itself wrote a wrong row of.
    """
    with reading(world.engine) as connection:
        found = [
            fault for look in (lane_faults, timer_faults, account_faults, request_faults) for fault in look(connection)
        ]
        if cut := unanswered(connection):
            found.append(f"{cut} unanswered attempts")
        found += owed.problems(connection, {}, world.clock.now())
        found += world.log.verify(connection, full=True).problems
        found += [one for one in differences(connection, world.keys) if not planted or planted not in one]
    return found
