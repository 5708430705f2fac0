"""The connectors' memory: scoped to one processor, sealed, durable when the call returns."""

from collections.abc import Callable, Mapping
from typing import Protocol

from sqlalchemy import Engine, select

from dpsync.connector import Clock
from dpsync.store import tables as t
from dpsync.store.database import reading
from dpsync.store.upsert import insert_or_replace
from dpsync.store.writer import Unit, Writer


class Sealer(Protocol):
    """Seals and opens bytes under a purpose; `context` binds them to their place."""

    def seal(self, purpose: str, plain: bytes, context: bytes) -> bytes: ...
    def open(self, purpose: str, sealed: bytes, context: bytes) -> bytes: ...


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
        sealed = self._sealer.seal("shelf", value.encode(), self._context(key))

        def work(unit: Unit) -> None:
            row = {"processor": self._processor, "key": key, "sealed": sealed, "at": self._clock.now()}
            insert_or_replace(unit.connection, t.shelf, row)

        self._writer().call(work)

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
        return {key: self._sealer.open("shelf", sealed, self._context(key)).decode() for key, sealed in rows}

    def _context(self, key: str) -> bytes:
        return f"{self._processor}\n{key}".encode()
