"""How the outboxes stood when they were last looked at: one row of `meta`, so that a restart forgets nothing of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from dpsync.store import meta

OUTBOXES = "outboxes"
_UP, _AWAY = "up", "away"


@dataclass(frozen=True, slots=True)
class OutboxStanding:
    """`since`: when it was last reached, or since when it cannot be. `waiting`, `refused`: rows, when last reached."""

    source: str
    away: bool
    since: datetime
    waiting: int = 0
    refused: int = 0


def standings(connection: Connection) -> Mapping[str, OutboxStanding]:
    """Of each source that was ever looked at, by its name."""
    lines = (meta.value_of(connection, OUTBOXES) or "").splitlines()
    return {one.source: one for one in map(_read, lines)}


def _read(line: str) -> OutboxStanding:
    source, state, since, waiting, refused = line.split(" ")
    return OutboxStanding(source, state == _AWAY, datetime.fromisoformat(since), int(waiting), int(refused))


def write_standings(connection: Connection, seen: Sequence[OutboxStanding]) -> None:
    """Keep how they stand, in place of what stood there: who is not among them has no outbox any more."""
    lines = [
        f"{one.source} {_AWAY if one.away else _UP} {one.since.isoformat()} {one.waiting} {one.refused}"
        for one in sorted(seen, key=lambda one: one.source)
    ]
    meta.put(connection, OUTBOXES, "\n".join(lines))
