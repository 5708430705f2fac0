"""Which records of a main database are gone because they were merged into another, as far as anybody told us.

Kept on the shelf, sealed, under the pseudonym of the id that is gone: whoever writes there by hand without our keys is
not believed, and who deletes there only has a person asked once more. Most of them are of people whom nobody ever
asked anything for: so this is forgotten after a while (`KEPT`), and what counts for good stands in table `alias`.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, func, select, update

from dpsync.errors import KeyProblem
from dpsync.journal import MERGE_TOLD
from dpsync.propagation.persons import MERGED
from dpsync.sealing import Keys
from dpsync.store import shelf
from dpsync.store import tables as t
from dpsync.store.columns import EPOCH
from dpsync.store.upsert import insert_or_ignore

EXPLAINED: Final = "explained by a merge"
"""What the row of each message is called that a record is gone, which a merge explains: see `persons.MERGED`."""

COUNTED: Final = "joined record"
"""The same of each record that was joined with another where somebody was known: the brake counts them."""

KEPT: Final = timedelta(days=400)

EXPLAINS: Final = timedelta(days=3)
"""How long after the news of a merge the news that its loser is gone is no more than that. Senders repeat what was not
answered for a day or two; what comes later may be about a record that was put back, and is for a person to look at."""

_PURPOSE: Final = "merge"
_LONGEST_CHAIN: Final = 100
_S = t.shelf.c


@dataclass(frozen=True, slots=True)
class MergedRecord:
    """One that is gone: into which id, and when we heard of it; `EPOCH` where that is in doubt."""

    winner: str = field(repr=False)
    at: datetime


def remember(connection: Connection, keys: Keys, loser: str, winner: str, now: datetime) -> None:
    """Keep that one record is gone into another, and forget what is too old."""
    connection.execute(
        delete(t.shelf).where(_S.processor.in_([MERGED, EXPLAINED, COUNTED]), _S.at < now - KEPT, _S.at > EPOCH)
    )
    key = keys.pseudonyms("id", loser)[0]
    sealed = keys.seal(_PURPOSE, json.dumps({"winner": winner}).encode(), key.encode())
    shelf.keep(connection, [{"processor": MERGED, "key": key, "sealed": sealed, "at": now}])


def doubt(connection: Connection, keys: Keys, record_id: str) -> None:
    """From now on no merge explains that this record is gone: what was told of it does not fit together."""
    of_it = (_S.processor == MERGED) & _S.key.in_(keys.pseudonyms("id", record_id))
    connection.execute(update(t.shelf).where(of_it).values(at=EPOCH))


def forget(connection: Connection, keys: Keys, record_id: str) -> None:
    """A person says that this record is there."""
    connection.execute(delete(t.shelf).where(_S.processor == MERGED, _S.key.in_(keys.pseudonyms("id", record_id))))


def found(connection: Connection, keys: Keys, names: Sequence[str]) -> MergedRecord | None:
    """What is kept of the record that has one of these pseudonyms, all of one id; None for nothing."""
    chosen = select(_S.key, _S.sealed, _S.at).where(_S.processor == MERGED, _S.key.in_(names))
    for row in connection.execute(chosen):
        try:
            said = json.loads(keys.open(_PURPOSE, row.sealed, row.key.encode()))
        except KeyProblem:
            continue  # written there by hand
        return MergedRecord(said["winner"], row.at)
    return None


def last_winner(connection: Connection, keys: Keys, names: Sequence[str]) -> tuple[str, ...]:
    """All pseudonyms of the id that stays, behind any number of merges; () where the record is not known as gone."""
    record = found(connection, keys, names)
    if record is None:
        return ()
    return keys.pseudonyms("id", winner_of(connection, keys, record.winner) or record.winner)


def winner_of(connection: Connection, keys: Keys, record_id: str) -> str | None:
    """The id that stays, behind any number of merges; None where the record is not known as gone."""
    here, seen = record_id, set[str]()
    for _ in range(_LONGEST_CHAIN):
        record = found(connection, keys, keys.pseudonyms("id", here))
        if record is None or here in seen:
            break
        seen.add(here)
        here = record.winner
    return here if seen else None


def known(connection: Connection, names: Collection[str]) -> Iterable[str]:
    """Those of many pseudonyms that are of a record which is gone."""
    return connection.execute(select(_S.key).where(_S.processor == MERGED, _S.key.in_(names))).scalars()


def explain(connection: Connection, keys: Keys, event: str, now: datetime) -> bool:
    """Keep that a message was explained by a merge; whether it is the first time."""
    sealed = keys.seal(_PURPOSE, b"", event.encode())
    return insert_or_ignore(connection, t.shelf, {"processor": EXPLAINED, "key": event, "sealed": sealed, "at": now})


def note_told(connection: Connection, keys: Keys, mark: str, now: datetime) -> None:
    """Keep that the news of a merge came. The journal lists it for ever, and whatever it lists must be here."""
    sealed = keys.seal(_PURPOSE, b"", mark.encode())
    insert_or_ignore(connection, t.shelf, {"processor": MERGE_TOLD, "key": mark, "sealed": sealed, "at": now})


def count(connection: Connection, keys: Keys, loser: str, now: datetime) -> None:
    """Keep that one was joined."""
    key = keys.pseudonyms("id", loser)[0]
    sealed = keys.seal(_PURPOSE, b"", key.encode())
    shelf.keep(connection, [{"processor": COUNTED, "key": key, "sealed": sealed, "at": now}])


def joined_since(connection: Connection, since: datetime) -> int:
    """How many were joined since then."""
    counted = select(func.count()).where(_S.processor == COUNTED, _S.at > since)
    return int(connection.execute(counted).scalar_one())
