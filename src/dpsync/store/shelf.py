"""The connectors' memory: scoped to one processor, sealed, durable when the call returns; a note, with the outcome."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, delete, false, or_, select, update

from dpsync.connector_services import Clock
from dpsync.store import tables as t
from dpsync.store.beside import beside
from dpsync.store.database import reading
from dpsync.store.upsert import insert_or_ignore, insert_or_replace_all
from dpsync.store.writer import Unit, Writer


class Sealer(Protocol):
    """Seals and opens bytes under a purpose; `context` binds them to their place."""

    def seal(self, purpose: str, plain: bytes, context: bytes) -> bytes: ...
    def open(self, purpose: str, sealed: bytes, context: bytes) -> bytes: ...


Row = Mapping[str, Any]


class _Noted(threading.local):
    """What the connector that a thread is asking has noted of it."""

    def __init__(self) -> None:
        self.rows: list[Row] = []


_noted = _Noted()


def take_notes() -> Sequence[Row]:
    """What was noted by this thread since the last time, for `keep`."""
    rows, _noted.rows = _noted.rows, []
    return rows


def keep(connection: Connection, rows: Iterable[Row]) -> None:
    """Write what was put or noted, within the caller's transaction; of two values for one key the later stands."""
    latest = {(row["processor"], row["key"]): row for row in rows}  # one statement must not touch a row twice
    if latest:
        insert_or_replace_all(connection, t.shelf, list(latest.values()))


def places(connection: Connection) -> list[str]:
    """Whose memory is kept, in order."""
    return list(connection.execute(select(t.shelf.c.processor).distinct().order_by(t.shelf.c.processor)).scalars())


def drop(connection: Connection, processor: str, begins: Iterable[str], until: datetime, at_once: int) -> int:
    """Destroy at most `at_once` rows of a memory that were last written by `until`, and begin so; how many it were."""
    s = t.shelf.c
    beginning = or_(*(s.key.startswith(one, autoescape=True) for one in sorted(begins)), false())
    over = select(s.key).where(s.processor == processor, s.at <= until, beginning).order_by(s.key).limit(at_once)
    keys = list(connection.execute(over).scalars())
    if keys:
        connection.execute(delete(t.shelf).where(s.processor == processor, s.key.in_(keys)))
    return len(keys)


@beside
def _keep_all(unit: Unit, many: Sequence[Sequence[Row]]) -> Sequence[None]:
    keep(unit.connection, [row for rows in many for row in rows])
    return [None] * len(many)


class StoredShelf:
    """A `Shelf` in table `shelf`. Keys are shown in the database, so they may hold pseudonyms but no identifiers."""

    def __init__(
        self, processor: str, engine: Engine, writer: Callable[[], Writer], sealer: Sealer, clock: Clock
    ) -> None:
        self._processor = processor
        self._engine = engine
        self._writer = writer
        self._sealer = sealer
        self._clock = clock

    def put(self, key: str, value: str) -> None:
        """Keep `value` under `key`, replacing what stood there; durable when this returns."""
        self.put_all({key: value})

    def put_all(self, entries: Mapping[str, str]) -> None:
        """Keep many in one commit, replacing what stood there."""
        rows = [self._row(key, value) for key, value in sorted(entries.items())]
        if rows:
            self._writer().submit_to(_keep_all, rows).result()

    def note(self, key: str, value: str) -> None:
        """Keep `value` under `key` in the transaction that records the outcome of what this thread is asking.

        A crash loses it only together with the outcome, and then the attempt is in doubt anyway. Measured on a busy
        machine, an erasure waited an eighth of its time for a commit of its own.
        """
        _noted.rows.append(self._row(key, value))

    def swap(self, key: str, old: str | None, new: str) -> bool:
        """Replace `old` by `new` in one transaction; False where something else stands there."""
        row = self._row(key, new)
        here = (t.shelf.c.processor == self._processor) & (t.shelf.c.key == key)

        def work(unit: Unit) -> bool:
            if old is None:
                return insert_or_ignore(unit.connection, t.shelf, row)
            sealed = unit.connection.execute(
                select(t.shelf.c.sealed).where(here).with_for_update()
            ).scalar_one_or_none()
            if sealed is None or self._open(key, sealed) != old:
                return False
            unit.connection.execute(update(t.shelf).where(here).values(sealed=row["sealed"], at=row["at"]))
            return True

        return self._writer().call(work)

    def get(self, key: str) -> str | None:
        """What stands under `key`, or None."""
        return self._read(t.shelf.c.key == key).get(key)

    def find(self, prefix: str) -> Mapping[str, str]:
        """All that stands under keys that begin with `prefix`."""
        return self._read(t.shelf.c.key.startswith(prefix, autoescape=True))

    def _read(self, where: object) -> dict[str, str]:
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(t.shelf.c.key, t.shelf.c.sealed).where(t.shelf.c.processor == self._processor, where)  # type: ignore[arg-type]  # because `where` is a column expression
            ).all()
        return {key: self._open(key, sealed) for key, sealed in rows}

    def _row(self, key: str, value: str) -> Row:
        sealed = self._sealer.seal("shelf", value.encode(), self._context(key))
        return {"processor": self._processor, "key": key, "sealed": sealed, "at": self._clock.now()}

    def _open(self, key: str, sealed: bytes) -> str:
        return self._sealer.open("shelf", sealed, self._context(key)).decode()

    def _context(self, key: str) -> bytes:
        return f"{self._processor}\n{key}".encode()
