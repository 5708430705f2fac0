"""The connectors' memory: scoped to one processor, sealed, durable when the call returns (or `settle` does)."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from sqlalchemy import Engine, select, update

from dpsync.connector import Clock
from dpsync.store import tables as t
from dpsync.store.database import reading
from dpsync.store.upsert import insert_or_ignore, insert_or_replace_all
from dpsync.store.writer import Unit, Writer


class Sealer(Protocol):
    """Seals and opens bytes under a purpose; `context` binds them to their place."""

    def seal(self, purpose: str, plain: bytes, context: bytes) -> bytes: ...
    def open(self, purpose: str, sealed: bytes, context: bytes) -> bytes: ...


class _Soon(threading.local):
    """What a thread's connectors put without waiting."""

    def __init__(self) -> None:
        self.kept: list[Future[None]] = []


_soon = _Soon()


def settle() -> None:
    """Wait until everything that this thread put without waiting is durable. Raises what the database said."""
    waiting, _soon.kept = _soon.kept, []
    for kept in waiting:
        kept.result()


def _keep(unit: Unit, many: Sequence[Sequence[Mapping[str, Any]]]) -> list[None]:
    # One statement must not touch a row twice: of two values for one key the later stands.
    rows = {(row["processor"], row["key"]): row for rows in many for row in rows}
    insert_or_replace_all(unit.connection, t.shelf, list(rows.values()))
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
        if entries:
            self._kept(entries).result()

    def put_soon(self, key: str, value: str) -> None:
        """Keep `value` under `key` without waiting: durable before the outcome of the instruction is recorded.

        A crash loses it only together with the outcome, and then the attempt is in doubt anyway. For what is noted
        *after* a call: waiting for it made each erasure a quarter longer.
        """
        _soon.kept.append(self._kept({key: value}))

    def _kept(self, entries: Mapping[str, str]) -> "Future[None]":
        rows = [self._row(key, value) for key, value in sorted(entries.items())]
        return self._writer().submit_to(_keep, rows)

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

    def _row(self, key: str, value: str) -> dict[str, object]:
        sealed = self._sealer.seal("shelf", value.encode(), self._context(key))
        return {"processor": self._processor, "key": key, "sealed": sealed, "at": self._clock.now()}

    def _open(self, key: str, sealed: bytes) -> str:
        return self._sealer.open("shelf", sealed, self._context(key)).decode()

    def _context(self, key: str) -> bytes:
        return f"{self._processor}\n{key}".encode()
