"""The news that two records became one, where only a person can say whether that is so.

Kept on the shelf, sealed, until somebody has decided: see `merged_records` for why there.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, select

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.errors import KeyProblem
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.model import Request
from dpsync.propagation.controller import Controller
from dpsync.sealing import Keys
from dpsync.store import shelf
from dpsync.store import tables as t
from dpsync.store.upsert import insert_or_ignore
from dpsync.store.writer import Unit

HELD: Final = "held merge"
"""What these rows are called where a processor's name stands, which has no spaces; and the kind of their entries."""

ERASED: Final = "One of the two is to be erased, or was erased."
RESTRICTED: Final = "The processing of one of the two is restricted."
TOO_MANY: Final = "More merges came within 24 hours than [safety] irreversible_per_day allows."
OTHERWISE: Final = "An earlier message said something else of one of the two."
APART: Final = "A person said before that these are two people."

_KEPT_APART: Final = "records kept apart"
"""What a row is called that says so of two records; the `HELD` of a decision."""

_PURPOSE: Final = "merge"
_S = t.shelf.c


@dataclass(frozen=True, slots=True)
class Merging:
    """The news that records became one. Each is an opt-out in form, of which only the names count; that of the `winner`
    may have to be told. `body`: what it came in.
    """

    source: str
    event: str
    losers: tuple[Request, ...] = field(repr=False)
    winner: Request = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class HeldMerge:
    """One that waits for a person. The ids are those of the main database, without the name of the source. `key`: what
    tells it from any other, and says nothing of anybody.
    """

    source: str
    losers: tuple[str, ...] = field(repr=False)
    winner: str = field(repr=False)
    why: str
    at: datetime
    key: str


def hold(unit: Unit, controller: Controller, one: Merging, why: str, now: datetime) -> None:
    """Keep it and ask the data protection officer; the same news again changes nothing."""
    losers = [loser.subject.id or "" for loser in one.losers]
    said = {"source": one.source, "event": one.event, "winner": one.winner.subject.id, "losers": losers, "why": why}
    row = _row(controller.keys, said, now)
    if insert_or_ignore(unit.connection, t.shelf, row):
        unit.append(None, entry.encode(EntryKind.DECIDED, now, kind="merge_held", name=one.source, ref=row["key"]))
        remind(unit, controller, now)


def mark(keys: Keys, one: Merging) -> str:
    """What tells this merge of these records from any other, and says nothing of anybody."""
    return _mark(keys, [record.subject.id or "" for record in (one.winner, *one.losers)])


def _mark(keys: Keys, ids: Sequence[str]) -> str:
    return keys.mac(_PURPOSE, json.dumps(ids).encode()).hex()[:32]


def _row(keys: Keys, said: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    key = _mark(keys, [said["winner"], *said["losers"]])
    return {"processor": HELD, "key": key, "sealed": _sealed(keys, said, key), "at": at}


def _sealed(keys: Keys, said: Mapping[str, Any], key: str) -> bytes:
    return keys.seal(_PURPOSE, json.dumps(said).encode(), key.encode())


def _opened(keys: Keys, row: Any) -> dict[str, Any] | None:
    """What was kept; None for what does not open, which was not written by us."""
    try:
        said: dict[str, Any] = json.loads(keys.open(_PURPOSE, row.sealed, row.key.encode()))
    except KeyProblem:
        return None
    return said


def waiting(connection: Connection, keys: Keys) -> list[HeldMerge]:
    """All that wait, the oldest first."""
    found = []
    for row in connection.execute(select(_S.key, _S.sealed, _S.at).where(_S.processor == HELD).order_by(_S.at, _S.key)):
        said = _opened(keys, row)
        if said is None:
            continue
        prefix = f"{said['source']}:"
        losers = tuple(one.removeprefix(prefix) for one in said["losers"])
        found.append(
            HeldMerge(said["source"], losers, said["winner"].removeprefix(prefix), said["why"], row.at, row.key)
        )
    return found


def settle(unit: Unit, controller: Controller, one: Merging) -> list[str]:
    """It is decided about these records: what waited of each of these pairs waits no more. Gives the events of it.

    Of news about several losers, those that nobody has decided about wait on.
    """
    keys, connection = controller.keys, unit.connection
    pairs = _pairs(one)
    settled = []
    for row in connection.execute(select(_S.key, _S.sealed, _S.at).where(_S.processor == HELD)).all():
        said = _opened(keys, row)
        if said is None:
            continue
        left = [loser for loser in said["losers"] if {loser, said["winner"]} not in pairs]
        if len(left) == len(said["losers"]):
            continue
        connection.execute(delete(t.shelf).where(_S.processor == HELD, _S.key == row.key))
        if left:
            insert_or_ignore(connection, t.shelf, _row(keys, {**said, "losers": left}, row.at))
        settled.append(said.get("event", ""))
    return settled


def _pairs(one: Merging) -> list[set[str]]:
    return [{loser.subject.id or "", one.winner.subject.id or ""} for loser in one.losers]


def keep_apart(connection: Connection, keys: Keys, one: Merging, events: Sequence[str], now: datetime) -> None:
    """A person says that these are two people. `events`: what told otherwise, and asks nobody any more."""
    for pair in _pairs(one):
        key = _mark(keys, sorted(pair))
        sealed = _sealed(keys, {"events": events}, key)
        shelf.keep(connection, [{"processor": _KEPT_APART, "key": key, "sealed": sealed, "at": now}])


def no_longer_apart(connection: Connection, keys: Keys, one: Merging) -> None:
    """A person says that they are one after all."""
    marks = [_mark(keys, sorted(pair)) for pair in _pairs(one)]
    connection.execute(delete(t.shelf).where(_S.processor == _KEPT_APART, _S.key.in_(marks)))


def kept_apart(connection: Connection, keys: Keys, loser: Request, winner: Request) -> Sequence[str] | None:
    """The events that a person decided about who said that these are two people; None where nobody did."""
    key = _mark(keys, sorted((loser.subject.id or "", winner.subject.id or "")))
    chosen = select(_S.key, _S.sealed).where(_S.processor == _KEPT_APART, _S.key == key)
    said = [_opened(keys, row) for row in connection.execute(chosen)]
    return next((one["events"] for one in said if one), None)


def remind(unit: Unit, controller: Controller, now: datetime) -> None:
    """Ask the data protection officer about all that wait: when one comes, and each day."""
    held: Sequence[HeldMerge] = waiting(unit.connection, controller.keys)
    if not held:
        return
    raise_alert(
        unit.connection,
        cause=AlertCause.MERGE_HELD,
        role="dpo",
        subject="Two records were merged, and dpsync has not joined them",
        body="Joined, an erasure of one would reach whoever is behind the other. Look in the main database whether "
        "both are one person. `dpsync source merges` shows which records. If they are one: `dpsync source merge "
        "SOURCE LOSER WINNER --by NAME --reason WHY`. If they are not: the same with `--apart`.",
        now=now,
        zone=controller.zone,
        concerns=[
            Concern(
                one.key,
                f"From {one.source}, {one.at.astimezone(controller.zone):%d %b %Y, %H:%M}. {one.why}",
            )
            for one in held
        ],
    )
