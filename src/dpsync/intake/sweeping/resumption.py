"""How far a sweep came, kept sealed so that whoever begins again goes on from there: the place in the list, what was
counted, and what was found.

A list goes on changing while nobody reads it. So a place is good for some hours only, and the connector itself says
when the list moved so much that it cannot be found again.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, delete, select

from dpsync.connector import RosterLine
from dpsync.errors import KeyProblem
from dpsync.intake.reconciliation.compare import Difference, DifferenceKind
from dpsync.intake.reconciliation.judging import Counted
from dpsync.model import Right
from dpsync.sealing import Keys
from dpsync.store import shelf
from dpsync.store import tables as t

KEPT: Final = "sweep under way"
"""What its row of the shelf is called where a processor's name stands, which has no spaces."""
GOOD_FOR: Final = timedelta(hours=12)
"""How long after a sweep began it may be gone on with."""
MOST: Final = 2_000
"""With more findings than this no place is kept: a person allowed them, and looks on."""

_S = t.shelf.c
_OF_IT = _S.processor == KEPT


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """How far it came. `mark`: as the connector gave it; `found`: each record that differs, and whether dpsync acts
    on it by itself; `still`: the keys of what was found before, and is so still.
    """

    begun: datetime
    mark: str
    counted: Counted
    found: Sequence[tuple[RosterLine, Difference, bool]] = field(repr=False)
    still: Sequence[str]


def keep(connection: Connection, keys: Keys, processor: str, one: SweepProgress, now: datetime) -> None:
    """In place of what was kept before."""
    found = [[_said(line), kind.kind.value, kind.right and kind.right.value, hint] for line, kind, hint in one.found]
    said = [one.begun.isoformat(), one.mark, asdict(one.counted), found, list(one.still)]
    sealed = keys.seal(KEPT, json.dumps(said).encode(), _context(processor))
    shelf.keep(connection, [{"processor": KEPT, "key": processor, "sealed": sealed, "at": now}])


def kept(connection: Connection, keys: Keys, processor: str, now: datetime) -> SweepProgress | None:
    """What can be gone on with; None for nothing."""
    chosen = select(_S.sealed).where(_OF_IT, _S.key == processor)
    sealed = connection.execute(chosen).scalar_one_or_none()
    try:
        said = json.loads(keys.open(KEPT, sealed, _context(processor))) if sealed else None
    except KeyProblem:
        return None
    if said is None or not timedelta(0) <= now - datetime.fromisoformat(said[0]) < GOOD_FOR:
        return None
    begun, mark, counted, found, still = said
    lines = [
        (_line(line), Difference(DifferenceKind(kind), right and Right(right)), hint)
        for line, kind, right, hint in found
    ]
    return SweepProgress(datetime.fromisoformat(begun), mark, Counted(**counted), lines, still)


def forget(connection: Connection, processor: str) -> None:
    """It came to its end."""
    connection.execute(delete(t.shelf).where(_OF_IT, _S.key == processor))


def is_any_old(connection: Connection, now: datetime) -> bool:
    """Whether something is kept that nobody may go on with any more."""
    return connection.execute(select(_S.key).where(_OF_IT, _S.at <= now - GOOD_FOR).limit(1)).first() is not None


def forget_old(connection: Connection, now: datetime) -> None:
    """It names people, so it does not stay for longer than it is good for."""
    connection.execute(delete(t.shelf).where(_OF_IT, _S.at <= now - GOOD_FOR))


def _said(line: RosterLine) -> dict[str, Any]:
    at, within = line.changed_at and line.changed_at.isoformat(), sorted(line.within)
    return {**asdict(line), "changed_at": at, "within": within}


def _line(said: dict[str, Any]) -> RosterLine:
    at, within = said["changed_at"], frozenset(said.get("within", ()))
    return RosterLine(**{**said, "changed_at": at and datetime.fromisoformat(at), "within": within})


def _context(processor: str) -> bytes:
    return f"{KEPT}\n{processor}".encode()
